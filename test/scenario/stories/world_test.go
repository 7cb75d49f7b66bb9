package stories

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const role = "db"

var (
	frameworks = state.Frameworks
	clusters   = state.Clusters
	slots      = state.Slots
	kills      = state.Kills
	findings   = state.LedgerFindings
	repairs    = state.Repairs
)

// world is the core with its surroundings: a clock, the durable records, and a
// master with agents that does what the core's calls say.
type world struct {
	t       *testing.T
	now     time.Time
	epoch   int64
	core    *scheduler.Core
	durable map[state.Key][]byte
	wake    time.Time

	machines map[string]*machine
	offers   map[string]*mesos.Offer // those that are out
	failed   map[string]bool         // those whose answer may not have arrived
	offerSeq int
	uuidSeq  int

	// last is the decision whose parts have not left yet: the next command lets
	// them out, unless it is a crash.
	last *scheduler.Decision
	// calls are those of the last command that let any out, for call-failed.
	calls []*sched.Call
	// lost: the ACCEPTs of last do not arrive; refused: this verb in them fails.
	lost    bool
	refused mesos.Offer_Operation_Type

	retention time.Duration // by default, from the next start on

	asked map[string]observe.Request // newest question by cluster
	kept  map[state.Key][]byte       // by the backup

	refusedSpark string // what the API said of the last application that it refused
	// operated are calls of the operator API without an answer.
	operated []scheduler.OperatorCall
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, now: epoch, durable: map[state.Key][]byte{}, retention: 7 * 24 * time.Hour,
		machines: map[string]*machine{}, offers: map[string]*mesos.Offer{}, failed: map[string]bool{}, asked: map[string]observe.Request{},
	}
	w.start()
	return w
}

// start makes a core from exactly what is durable.
func (w *world) start() {
	w.epoch++
	core, err := scheduler.New(scheduler.Config{
		Epoch: w.epoch, Roles: []string{role}, Principal: "berth",
		SparkCatalogue: map[string]scheduler.Distribution{
			"3.5.9": {Home: "/opt/spark-3.5.9"}, "4.0.1": {Home: "/opt/spark-4.0.1"},
		},
		SparkSchedulers: []string{"berth:8080"},
		Catalogue: map[string]scheduler.Distribution{
			"6.8.23":  {Home: "/opt/elasticsearch-6.8.23"},
			"8.19.21": {Home: "/opt/elasticsearch-8.19.21"},
			"9.1.2":   {Home: "/opt/elasticsearch-9.1.2"},
		},
		ExecutorURL: "http://berth:8080", TokenKey: []byte("key"),
		KillGrace: time.Minute, Retention: w.retention,
	}, maps.Clone(w.durable))
	require.NoError(w.t, err)
	w.core, w.wake, w.offers = core, w.now, map[string]*mesos.Offer{}
}

// step gives the core an event and notes what it decided. The decision before
// leaves first: that is the order rule.
func (w *world) step(ev scheduler.Event) scheduler.Decision {
	w.let(true)
	d := w.core.Step(w.now, ev)
	w.last, w.wake = &d, d.Wake
	for _, q := range d.Elastic {
		w.asked[q.Cluster] = q
	}
	w.checkDestroys(d)
	return d
}

// let makes the last decision durable and, if it is sent, carries its calls out.
func (w *world) let(sent bool) {
	d := w.last
	if w.last = nil; d == nil {
		return
	}
	for _, wr := range d.Writes {
		if wr.Value == nil {
			delete(w.durable, wr.Key)
		} else {
			w.durable[wr.Key] = wr.Value
		}
	}
	if !sent {
		return
	}
	if len(d.Calls) > 0 {
		w.calls = d.Calls
	}
	for _, c := range d.Calls {
		w.deliver(c)
	}
	w.operated = append(w.operated, d.Operate...)
	w.lost, w.refused = false, mesos.Offer_Operation_UNKNOWN
	w.checkHolds()
}

// deliver does what a call asks the master for.
func (w *world) deliver(c *sched.Call) {
	switch c.GetType() {
	case sched.Call_DECLINE:
		for _, id := range c.Decline.OfferIDs {
			w.useOffer(id.Value)
		}
	case sched.Call_ACCEPT:
		var m *machine
		for _, id := range c.Accept.OfferIDs {
			if o := w.useOffer(id.Value); o != nil {
				m = w.machines[o.AgentID.Value]
			}
		}
		w.checkRecorded(c)
		if m == nil || w.lost {
			return
		}
		for _, op := range c.Accept.Operations {
			if op.Type == w.refused {
				return // what comes after it in the same ACCEPT cannot work either
			}
			require.NoError(w.t, m.apply(op), "the master would refuse what the core sent to %s", m.id)
		}
	}
}

// useOffer takes an offer off the list; each is answered at most once, unless
// that answer did not surely arrive.
func (w *world) useOffer(id string) *mesos.Offer {
	o, out := w.offers[id]
	if !out && w.failed[id] {
		delete(w.failed, id)
		return nil
	}
	require.True(w.t, out || w.lost, "offer %s is answered twice, or was never made", id)
	delete(w.offers, id)
	return o
}

// record reads one durable slot.
func (w *world) record(id string) (state.Slot, bool) {
	key := state.Key(state.KindSlot + "/" + id)
	raw, ok := w.durable[key]
	if !ok {
		return state.Slot{}, false
	}
	s, err := slots.Decode(key, raw)
	require.NoError(w.t, err)
	return s, true
}

// checkRecorded: no task without a durable record that names it (Mesos rule 39).
func (w *world) checkRecorded(c *sched.Call) {
	for _, op := range c.Accept.Operations {
		for _, task := range op.GetLaunch().GetTaskInfos() {
			id := task.TaskID.Value
			s, ok := w.record(id[:strings.LastIndexByte(id, '.')])
			require.True(w.t, ok && s.Task != nil && s.Task.ID == id, "task %s is launched without a durable record", id)
		}
	}
}

// checkDestroys: no volume is destroyed without a recorded order.
func (w *world) checkDestroys(d scheduler.Decision) {
	for _, c := range d.Calls {
		for _, op := range c.GetAccept().GetOperations() {
			for _, v := range op.GetDestroy().GetVolumes() {
				s, ok := w.record(v.Disk.Persistence.ID)
				require.True(w.t, ok && s.Order != nil || w.approved(v), "volume %s is destroyed without a durable order", v.Disk.Persistence.ID)
			}
		}
	}
	for _, o := range d.Operate {
		for _, v := range o.Destroy {
			require.True(w.t, w.approved(v), "volume %s is destroyed without a durable order", v.Disk.Persistence.ID)
		}
	}
}

// checkHolds: no slot holds anything on two agents, and no machine runs more
// nodes of a cluster than it has replicas.
func (w *world) checkHolds() {
	where := map[string]string{}
	count := map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(w.machines)) {
		m := w.machines[id]
		for label := range m.labels() {
			if !m.copy {
				require.Empty(w.t, where[label], "%s holds resources on %s and %s", label, where[label], id)
				where[label] = id
			}
		}
		for task := range m.tasks {
			if s, ok := w.record(task[:strings.LastIndexByte(task, '.')]); ok {
				count[m.hostname+" "+s.Owner]++
			}
		}
	}
	for key, raw := range w.durable {
		if kind, _, _ := key.Split(); kind != state.KindCluster {
			continue
		}
		c, err := clusters.Decode(key, raw)
		require.NoError(w.t, err)
		for _, m := range w.machines {
			require.LessOrEqual(w.t, count[m.hostname+" "+c.Spec.Name], plan.Replicas(c.Spec.Spec), "nodes of %s on machine %s", c.Spec.Name, m.hostname)
		}
	}
}

// maxFirings bounds what the timer may do within one instant or one command.
const maxFirings = 20000

// advance lets time pass and fires the timer when the core asked for it.
func (w *world) advance(d time.Duration, brief bool, out *strings.Builder) {
	until := w.now.Add(d)
	same := 0
	for range maxFirings {
		if w.wake.IsZero() || w.wake.After(until) {
			w.now = until
			return
		}
		if w.wake.After(w.now) {
			w.now, same = w.wake, 0
		}
		same++
		require.Less(w.t, same, 20, "the core asks to be woken at %s again and again", w.at(w.now))
		var part strings.Builder
		decision := w.step(scheduler.TimerFired{})
		if brief {
			decision.Calls = slices.DeleteFunc(slices.Clone(decision.Calls), func(c *sched.Call) bool {
				return c.GetType() == sched.Call_RECONCILE
			})
		}
		w.print(&part, decision, false)
		if part.Len() > 0 {
			fmt.Fprintf(out, "at %s\n%s", w.at(w.now), part.String())
		}
	}
	w.t.Fatalf("more than %d firings of the timer in %s", maxFirings, d)
}
