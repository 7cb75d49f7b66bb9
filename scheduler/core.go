package scheduler

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// Config is what the core must know of its surroundings. It does not change
// while the core lives.
type Config struct {
	// Epoch is the leadership's fencing epoch; it makes event ids rise over
	// failovers.
	Epoch int64
	// Roles are the framework's Mesos roles; the first is the default role.
	Roles     []string
	Principal string
	// MachineAttribute names an agent attribute that identifies the machine,
	// where hostnames do not; "" = the hostname.
	MachineAttribute string
	// Catalogue says where the distribution of each version of Elasticsearch is,
	// SparkCatalogue that of each version of Spark.
	Catalogue      map[string]Distribution
	SparkCatalogue map[string]Distribution
	// SparkSchedulers are host:port of every Berth's API, for drivers; SparkTLS
	// says whether they are spoken to by https.
	SparkSchedulers []string
	SparkTLS        bool
	// ExecutorURL is the base of the URL under which executors are served;
	// TokenKey makes the per-task token in it.
	ExecutorURL string
	TokenKey    []byte
	// TaskUser is the agents' user that executors run as; "" = the framework's.
	TaskUser string
	// NodeUser is who a node runs as when the executor itself runs as root.
	NodeUser string
	// SparkUser is the same for drivers and executors.
	SparkUser string
	// KillGrace is the time between SIGTERM and SIGKILL of a node.
	KillGrace time.Duration
	// Retention is how long the volumes of a deleted cluster are kept at least,
	// when the order to delete names no other time.
	Retention time.Duration
}

// Distribution is where one version of Elasticsearch or Spark comes from.
type Distribution struct {
	// Home is a path on every agent; URI an archive to fetch. One of them.
	Home string `json:"home,omitempty"`
	URI  string `json:"uri,omitempty"`
	// JavaHome on every agent; "" = the distribution's own, or searched for.
	JavaHome string `json:"javaHome,omitempty"`
}

// Core is the scheduler's state machine. It belongs to one goroutine.
type Core struct {
	cfg       Config
	framework state.Framework
	clusters  map[string]*cluster
	slots     map[string]*slot
	apps      map[string]*application
	appIDs    map[string]string // Spark's application id → name
	agents    map[string]*agent
	workloads map[string]workload

	connected    bool
	subscribedAt time.Time
	reconcile    reconciliation
	demand       demand
	returned     []mesos.OfferID // to be declined once more, at returnAt
	returnAt     time.Time
	observedAt   time.Time // last AgentsObserved, by its AskedAt
	agentsAsked  time.Time
	agentsSoon   bool
	waits        []witnessWait // for a view asked for later

	// unheard are the tasks that may run and of which the subscription has not
	// told yet: see the recovery gate.
	unheard map[string]bool
	unknown map[string]*unknownTask // by task id
	held    holdings
	// ended says when the records of labels ended that the last view may still show.
	ended map[string]time.Time
	// findings are the ledger's, by id.
	findings map[string]*finding
	// repairs by id; targets are what the last view says of what they touch.
	repairs map[string]*state.Repair
	targets map[string]volumes.Class

	// agenda says what needs a look when; wanting are the slots that need an
	// offer now, by id.
	agenda  *agenda
	wanting map[string]bool

	// Of the step under way: look and lookOwners are the slots and clusters to
	// settle, changed… what to write.
	now            time.Time
	out            Decision
	look           map[string]bool
	lookOwners     map[string]bool
	lookApps       map[string]bool
	changedSlots   map[string]*slot
	changedApps    map[string]*application
	changedOwners  map[string]*cluster
	changedKills   map[string]bool
	removed        map[state.Key]bool
	auditLog       auditLog
	frameworkDirty bool
	findingsDirty  bool
	lookRepairs    map[string]bool
	changedRepairs map[string]bool
	wake           time.Time
	// standings are the applications whose drivers' hub is to be told how things
	// are, events what their drivers are to be told; both by name.
	standings map[string]*application
	events    map[string][]v1.SparkDriverEvent

	eventSeq int64
	askSeq   int64
}

// slot is a state.Slot with what is known only while this process lives.
type slot struct {
	state.Slot
	// confirmed: the current task's state was told since the subscription.
	confirmed bool
	// askedAt is when the task or its operations were last asked for.
	askedAt time.Time
	// executorEnded is when Mesos said that the executor of the current task has
	// ended, while the task's own update has not come.
	executorEnded time.Time
	// killedAt is when KILL was last sent.
	killedAt time.Time
	// refusedLife is the life whose RESERVE or CREATE was refused: the end of its
	// task is a consequence, not a failure of its own.
	refusedLife int64
	// missing: a full view of its agent does not show what is on record; volumeGone:
	// and the volume is among it.
	missing, volumeGone bool
	// agentAway: the last full view does not list the agent that it is bound to.
	agentAway bool
	// lookedFull is the full observation that it was last looked at with, while it is
	// replaced.
	lookedFull int64
	// safeSeen is the full observation that said first that a replaced node may be
	// stopped; 0: the last one did not.
	safeSeen int64
	// reserveRefusals counts RESERVEs refused in a row, wherever they were tried.
	reserveRefusals int
	// drops counts lives in a row that Mesos dropped before they ran.
	drops int
	// elsewhere is the agent that offers this slot's volume under another id.
	elsewhere string
	// seeds are the seed hosts that the running node was last told, seedsAt when.
	seeds   string
	seedsAt time.Time
	// avoid are agents to keep away from, each until a time.
	avoid map[string]time.Time
}

// cluster is a state.Cluster with what is known only while this process lives.
type cluster struct {
	state.Cluster
	roster

	observation observe.Observation
	observedAt  time.Time // of the last readable answer
	observeErr  string
	askedAt     time.Time // of the question under way; zero = none
	nextAsk     time.Time
	askSeq      int64
	fullAt      time.Time
	fullAsked   time.Time // when the question that lastFull answers was sent
	lastFull    observe.Observation
	// awayFull is the newest full answer to a question that named the nodes that are
	// away, and nothing else, as such; awayAsked is when it was asked.
	awayFull      observe.Observation
	awayAsked     time.Time
	noMaster      bool         // the last answer was that there is no elected master
	noMasterAsked time.Time    // when the question was asked to which that is the answer
	askKind       observe.Kind // of the question under way
	conditions    map[string]v1.Condition
	phase         string

	// Of a rolling restart: whose turn is next, the gates of it, and what
	// Elasticsearch last said against a step.
	candidate  string
	gates      []plan.Gate
	restartErr string
	// prints are fingerprints by node set, of generation printsOf.
	prints   map[string]string
	printsOf int64
}

// New makes a core from everything that was durable. Records that cannot be
// read are an error: nothing may be decided on half a state.
func New(cfg Config, records map[state.Key][]byte) (*Core, error) {
	if len(cfg.Roles) == 0 {
		return nil, fmt.Errorf("scheduler: no Mesos role is configured")
	}
	c := empty(cfg)
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if err := c.load(key, records[key]); err != nil {
			return nil, fmt.Errorf("scheduler: loading state: %w", err)
		}
	}
	for _, s := range c.slots {
		if o := c.ownerOf(s); o != nil && o.incarnation() == s.OwnerIncarnation {
			o.add(s)
		}
	}
	for id := range c.slots {
		c.look[id] = true
	}
	for name := range c.clusters {
		c.lookOwners[name] = true
	}
	for name := range c.apps {
		c.lookApps[name] = true
	}
	for id := range c.repairs {
		c.lookRepairs[id] = true
	}
	return c, nil
}

// empty is a core without a state.
func empty(cfg Config) *Core {
	c := &Core{
		cfg:            cfg,
		clusters:       map[string]*cluster{},
		slots:          map[string]*slot{},
		agents:         map[string]*agent{},
		unheard:        map[string]bool{},
		unknown:        map[string]*unknownTask{},
		ended:          map[string]time.Time{},
		findings:       map[string]*finding{},
		repairs:        map[string]*state.Repair{},
		targets:        map[string]volumes.Class{},
		lookRepairs:    map[string]bool{},
		changedRepairs: map[string]bool{},
		agenda:         newAgenda(),
		wanting:        map[string]bool{},
		look:           map[string]bool{},
		lookOwners:     map[string]bool{},
		lookApps:       map[string]bool{},
		apps:           map[string]*application{},
		appIDs:         map[string]string{},
		standings:      map[string]*application{},
		events:         map[string][]v1.SparkDriverEvent{},

		changedApps: map[string]*application{}, changedSlots: map[string]*slot{}, changedOwners: map[string]*cluster{},
		changedKills: map[string]bool{}, removed: map[state.Key]bool{},
	}
	c.workloads = map[string]workload{
		kindElasticsearch: elasticsearch{c}, kindSparkDriver: sparkDriver{c}, kindSparkExecutor: sparkExecutor{c},
	}
	return c
}

// errUnknownKind: the record is of a newer Berth, or not one of Berth's.
var errUnknownKind = errors.New("a kind of record that this build does not know")

// clusterKey marks a cluster's key on the agenda, apart from slot ids.
const clusterKey = "cluster/"

// load takes one record, or says what is wrong with it: a kind or a schema of a
// newer build, damage, a record under another one's key, whose next write would
// double it, or one that contradicts itself.
func (c *Core) load(key state.Key, raw []byte) error {
	kind, _, err := key.Split()
	if err != nil {
		return err
	}
	switch kind {
	case state.KindFramework:
		c.framework, err = frameworkRecord.Decode(key, raw)
		if err != nil {
			return err
		}
		return checkName(key, frameworkName)
	case state.KindCluster:
		r, err := clusterRecord.Decode(key, raw)
		if err != nil {
			return err
		}
		c.clusters[r.Spec.Name] = newCluster(r)
		return errors.Join(checkName(key, r.Spec.Name), checkCluster(key, &r))
	case state.KindSlot:
		r, err := slotRecord.Decode(key, raw)
		if err != nil {
			return err
		}
		c.slots[r.ID] = &slot{Slot: r}
		return errors.Join(checkName(key, r.ID), c.checkSlot(key, &r))
	case state.KindApplication:
		r, err := applicationRecord.Decode(key, raw)
		if err != nil {
			return err
		}
		c.apps[r.Spec.Name], c.appIDs[r.AppID] = newApplication(r), r.Spec.Name
		return errors.Join(checkName(key, r.Spec.Name), checkApplicationRecord(key, &r))
	case state.KindKill:
		r, err := killRecord.Decode(key, raw)
		if err != nil {
			return err
		}
		c.unknown[r.TaskID] = &unknownTask{id: r.TaskID, agentID: r.AgentID, order: &r.Order, first: r.Order.At, last: r.Order.At}
		return checkName(key, killName(r.TaskID))
	case state.KindRepair:
		r, err := repairRecord.Decode(key, raw)
		if err != nil {
			return err
		}
		c.repairs[r.ID] = &r
		return errors.Join(checkName(key, r.ID), checkRepair(key, &r))
	case state.KindAudit:
		r, err := auditRecord.Decode(key, raw)
		if err != nil {
			return err
		}
		return c.auditLog.load(key, r)
	case state.KindFindings:
		r, err := findingsRecord.Decode(key, raw)
		if err != nil {
			return err
		}
		for _, f := range r.Findings {
			c.findings[f.ID] = &finding{Finding: f}
		}
		return checkName(key, findingsName)
	default:
		return fmt.Errorf("%s: %w: a downgrade is refused; start the newer version or restore a backup", key, errUnknownKind)
	}
}

func newCluster(r state.Cluster) *cluster {
	return &cluster{Cluster: r, roster: newRoster(), conditions: map[string]v1.Condition{}}
}

func (cl *cluster) incarnation() int64 { return cl.Incarnation }
func (cl *cluster) created() time.Time { return cl.CreatedAt }
func (cl *cluster) generation() int64  { return cl.Generation }

// frameworkName names the one framework record.
const frameworkName = "berth"

// The codecs of the core's records.
var (
	frameworkRecord   = state.Frameworks
	clusterRecord     = state.Clusters
	slotRecord        = state.Slots
	applicationRecord = state.Applications
	killRecord        = state.Kills
	findingsRecord    = state.LedgerFindings
	auditRecord       = state.AuditPages
	repairRecord      = state.Repairs
)

// FrameworkID returns the durable framework id, "" before the first
// subscription.
func (c *Core) FrameworkID() string { return c.framework.ID }

// touch marks a slot as changed: its record is written in this step.
func (c *Core) touch(s *slot) {
	s.UpdatedAt = c.now
	c.changedSlots[s.ID] = s
	c.look[s.ID] = true
}

// touchCluster marks a cluster's record as changed.
func (c *Core) touchCluster(cl *cluster) {
	c.changedOwners[cl.Spec.Name] = cl
	c.lookOwners[cl.Spec.Name] = true
}

// remove deletes a slot's record in this step.
func (c *Core) remove(s *slot) {
	delete(c.changedSlots, s.ID)
	delete(c.slots, s.ID)
	delete(c.wanting, s.ID)
	if s.Task != nil {
		c.heard(s.Task.ID)
	}
	if s.Bind != nil && !s.Need.Ephemeral && len(c.ended) < maxEnded {
		c.ended[s.ID] = c.now
	}
	c.agenda.set(s.ID, time.Time{})
	c.lookOwner(s)
	if o := c.ownerOf(s); o != nil {
		o.drop(s)
	}
	c.removed[state.Key(state.KindSlot+"/"+s.ID)] = true
}

// wakeAt asks for TimerFired no later than t.
func (c *Core) wakeAt(t time.Time) {
	if t.IsZero() {
		return
	}
	if c.wake.IsZero() || t.Before(c.wake) {
		c.wake = t
	}
}

func (c *Core) call(call *sched.Call) { c.out.Calls = append(c.out.Calls, call) }

func (c *Core) why(format string, args ...any) {
	c.out.Why = append(c.out.Why, fmt.Sprintf(format, args...))
}

// publish adds an event to the users' stream.
func (c *Core) publish(typ, clusterName, node, format string, args ...any) {
	c.emit(v1.Event{Type: typ, Cluster: clusterName, Node: node}, format, args...)
}

// emit completes an event. Ids rise over failovers, since the epoch is their upper
// part.
func (c *Core) emit(ev v1.Event, format string, args ...any) {
	c.eventSeq++
	ev.ID, ev.Time, ev.Message = c.cfg.Epoch<<32|c.eventSeq, c.now, fmt.Sprintf(format, args...)
	c.out.Published = append(c.out.Published, ev)
}

// taskSlot finds the slot of a task id, and the life that the id names.
// The slot is nil when Berth does not know it.
func (c *Core) taskSlot(taskID string) (*slot, int64) {
	i := strings.LastIndexByte(taskID, '.')
	if i < 0 {
		return nil, 0
	}
	life, err := strconv.ParseInt(taskID[i+1:], 10, 64)
	if err != nil {
		return nil, 0
	}
	return c.slots[taskID[:i]], life
}

// clip bounds a foreign message before it is kept.
func clip(s string) string { return clipTo(s, maxMessage) }

// clipTo bounds a message further than clip.
func clipTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
