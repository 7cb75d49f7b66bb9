package scenario

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

var (
	clusters   = state.Clusters
	slots      = state.Slots
	frameworks = state.Frameworks
)

// world is two equal cores, the durable records, and the model.
type world struct {
	t       *rapid.T
	m       *master
	now     time.Time
	epoch   int64
	core    *scheduler.Core
	twin    *scheduler.Core // sees the same and must decide the same
	durable map[state.Key][]byte
	wake    time.Time
	reply   scheduler.ReplyID

	views     []scheduler.AgentsObserved // of the operator API, under way
	questions []observe.Request
	failed    []scheduler.Event // of calls that were not delivered

	// crash says at which point the leader dies in the next step.
	crash crashPoint
	// losing calls get lost without, failing ones with a word. The driver sees to
	// it that the first happens only with a subscription that ends: broken.
	losing, failing int
	broken          bool
	// slow: calls wait in the pipe, in order.
	slow      bool
	pipe      []*sched.Call
	framework string
	served    map[string]bool // ids of updates that were acknowledged
	ended     map[string]bool // tasks that had ended on record before this step
	trace     []string
}

// maxTrace is how many lines of what happened a failure shows.
const maxTrace = 300

type crashPoint int

const (
	noCrash crashPoint = iota
	beforeWrites
	afterWrites
	amidCalls
)

func newWorld(t *rapid.T) *world {
	w := &world{t: t, m: newMaster("db"), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), durable: map[state.Key][]byte{}, served: map[string]bool{}}
	w.m.refuse = func(string) bool { return false }
	w.m.destroyed = func(id string) {
		// Also when the DESTROY was long under way: nobody may have been told
		// meanwhile that the volume is kept.
		if s, ok := w.slot(id); !ok || s.Order == nil {
			w.fatal("volume %s was destroyed, and nobody wants that", id)
		}
	}
	w.start()
	return w
}

// start makes cores from exactly what is durable.
func (w *world) start() {
	w.epoch++
	make := func() *scheduler.Core {
		core, err := scheduler.New(scheduler.Config{
			Epoch: w.epoch, Roles: []string{"db"}, Principal: "berth",
			Catalogue:   map[string]scheduler.Distribution{"8.19.21": {Home: "/opt/elasticsearch"}},
			ExecutorURL: "http://berth:8080", TokenKey: []byte("key"), KillGrace: time.Minute, Retention: time.Minute,
		}, maps.Clone(w.durable))
		require.NoError(w.t, err)
		return core
	}
	w.core, w.twin = make(), make()
	w.wake = w.now
	w.views, w.questions, w.failed = nil, nil, nil
	w.pipe, w.slow = nil, false
	w.m.subscribed, w.m.out = false, nil
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, w.now.Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	if n := len(w.trace); n > maxTrace {
		w.trace = append(w.trace[:maxTrace/2:maxTrace/2], append([]string{"…"}, w.trace[n-maxTrace/2:]...)...)
	}
	w.t.Fatalf("%s\n%s\nIn the end:\n%s", fmt.Sprintf(format, args...), strings.Join(w.trace, "\n"), w.snapshot())
}

// snapshot is what there is, for the end of a failure's report.
func (w *world) snapshot() string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(w.m.agents)) {
		a := w.m.agents[id]
		out = append(out, fmt.Sprintf("agent %s of %s: connected %t registered %t gone %t, filter until %s: %s",
			id, a.hostname, a.connected, a.registered, a.gone, a.filter.Format(time.TimeOnly), text(a.total.list())))
	}
	for _, id := range slices.Sorted(maps.Keys(w.m.offers)) {
		out = append(out, fmt.Sprintf("offer %s of %s is out: %s", id, w.m.offers[id].agent.id, text(w.m.offers[id].resources)))
	}
	for _, id := range slices.Sorted(maps.Keys(w.m.tasks)) {
		if t := w.m.tasks[id]; live(t.state) || t.lingers || len(t.updates) > 0 {
			out = append(out, fmt.Sprintf("task %s on %s: %s, healthy %t, arrived %t, %d updates wait", id, t.agent.id, t.state, t.healthy, t.arrived, len(t.updates)))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(w.durable)) {
		out = append(out, string(key)+" "+string(w.durable[key]))
	}
	return strings.Join(append(out, fmt.Sprintf("suppressed %t, %d ACCEPTs wait", w.m.suppressed, len(w.m.waiting))), "\n")
}

// step gives the core one event and carries its decision out, in the order that
// Decision promises.
func (w *world) step(ev scheduler.Event) {
	w.now = w.now.Add(time.Millisecond)
	w.m.now = w.now
	d := w.core.Step(w.now, ev)
	if other := w.twin.Step(w.now, ev); asText(d) != asText(other) {
		w.fatal("two cores decide differently on %T:\n%s\n%s", ev, asText(d), asText(other))
	}
	w.noteEvent(ev, d)
	for _, why := range d.Why {
		w.note("    %s", why)
	}
	w.wake = d.Wake
	crash := w.crash
	w.crash = noCrash
	if crash == beforeWrites {
		w.note("  the leader dies before the writes")
		w.start()
		return
	}
	if slices.ContainsFunc(d.Calls, func(c *sched.Call) bool { return c.Type == sched.Call_KILL }) {
		w.ended = w.endedTasks()
	}
	w.write(d.Writes)
	w.checkAcknowledged(ev, d.Calls)
	if crash == afterWrites {
		w.note("  the leader dies after the writes")
		w.start()
		return
	}
	for i, call := range d.Calls {
		if crash == amidCalls && i == (len(d.Calls)+1)/2 {
			w.note("  the leader dies amid the calls")
			w.start()
			return
		}
		w.send(call)
	}
	w.questions = append(w.questions, d.Elastic...)
	if d.ObserveAgents {
		w.views = append(w.views, w.m.observe())
	}
	for _, r := range d.Replies {
		w.checkReply(ev, r)
	}
	w.check()
}

// noteEvent leaves out what happens all the time and changes nothing.
func (w *world) noteEvent(ev scheduler.Event, d scheduler.Decision) {
	switch ev.(type) {
	case scheduler.TimerFired, scheduler.ElasticObserved, scheduler.AgentsObserved, scheduler.OffersReceived:
		if len(d.Why)+len(d.Writes) == 0 {
			return
		}
	}
	w.note("%s", eventText(ev))
}

func (w *world) write(writes []state.Write) {
	for _, wr := range writes {
		if wr.Value == nil {
			delete(w.durable, wr.Key)
		} else {
			w.durable[wr.Key] = wr.Value
		}
		if wr.Key.Kind() == state.KindFramework {
			f, err := frameworks.Decode(wr.Key, wr.Value)
			require.NoError(w.t, err)
			if w.framework != "" && f.ID != w.framework {
				w.fatal("the framework id changed from %s to %s", w.framework, f.ID)
			}
			w.framework = f.ID
		}
	}
}

// send lets one call out, unless it is to get lost.
func (w *world) send(call *sched.Call) {
	if call.Type != sched.Call_DECLINE {
		w.note("  %s", callText(call))
	}
	w.checkCall(call)
	switch {
	case w.losing > 0:
		w.losing--
		w.broken = true
		w.note("    lost")
	case w.failing > 0:
		w.failing--
		w.note("    failed")
		w.failed = append(w.failed, scheduler.CallFailed{Call: call, Err: "broken"})
	case w.slow:
		w.pipe = append(w.pipe, call)
	default:
		w.m.call(call)
	}
}

// flush lets what waits in the pipe arrive.
func (w *world) flush() {
	w.slow = false
	for _, call := range w.pipe {
		w.note("%s arrives", call.Type)
		w.m.call(call)
	}
	w.pipe = nil
}

// slot is the durable record of a slot.
func (w *world) slot(id string) (state.Slot, bool) {
	key := state.Key(state.KindSlot + "/" + id)
	raw, ok := w.durable[key]
	if !ok {
		return state.Slot{}, false
	}
	s, err := slots.Decode(key, raw)
	require.NoError(w.t, err)
	return s, true
}

func (w *world) clusters() map[string]state.Cluster {
	out := map[string]state.Cluster{}
	for key, raw := range w.durable {
		if key.Kind() == state.KindCluster {
			c, err := clusters.Decode(key, raw)
			require.NoError(w.t, err)
			out[c.Spec.Name] = c
		}
	}
	return out
}

func (w *world) slots() map[string]state.Slot {
	out := map[string]state.Slot{}
	for key := range w.durable {
		if key.Kind() == state.KindSlot {
			out[key.Name()], _ = w.slot(key.Name())
		}
	}
	return out
}

func slotOf(taskID string) string { return taskID[:strings.LastIndexByte(taskID, '.')] }

func lifeOf(taskID string) int64 {
	life, err := strconv.ParseInt(taskID[strings.LastIndexByte(taskID, '.')+1:], 10, 64)
	if err != nil {
		panic(err) // the core makes these ids
	}
	return life
}

// advance moves the clock, with every timer on the way.
func (w *world) advance(d time.Duration) {
	until := w.now.Add(d)
	for i := 0; i < 500 && !w.wake.IsZero() && !w.wake.After(until); i++ {
		if w.wake.After(w.now) {
			w.now = w.wake
		}
		w.step(scheduler.TimerFired{})
	}
	if until.After(w.now) {
		w.now = until
	}
}

// deliver hands an event of the master to the core: the oldest of those that are
// about the same thing as the i-th, since others come in no fixed order (Mesos
// rule 21).
func (w *world) deliver(i int) bool {
	if len(w.m.out) == 0 {
		return false
	}
	about := aboutWhat(w.m.out[i%len(w.m.out)])
	i = slices.IndexFunc(w.m.out, func(ev scheduler.Event) bool { return aboutWhat(ev) == about })
	ev := w.m.out[i]
	w.m.out = slices.Delete(w.m.out, i, i+1)
	w.step(ev)
	return true
}

func aboutWhat(ev scheduler.Event) string {
	switch e := ev.(type) {
	case scheduler.TaskUpdated:
		return "task " + e.Status.TaskID.Value
	case scheduler.OperationUpdated:
		return "operation " + e.Status.GetOperationID().GetValue()
	}
	return "offers and agents"
}

// disconnect ends the subscription; what waits in the pipe has failed with it.
func (w *world) disconnect() {
	ev := w.m.failover()
	for _, call := range w.pipe {
		w.failed = append(w.failed, scheduler.CallFailed{Call: call, Err: "the subscription has ended"})
	}
	w.pipe, w.slow = nil, false
	w.step(ev)
}

func (w *world) subscribe() {
	if !w.m.subscribed {
		w.broken = false
		w.step(w.m.subscribe())
	}
}

func (w *world) nextReply() scheduler.ReplyID {
	w.reply++
	return w.reply
}

func spec(name string, count, replicas int) v1.Cluster {
	c := v1.Cluster{Name: name, Spec: v1.ClusterSpec{Version: "8.19.21", Replicas: &replicas, NodeSets: []v1.NodeSet{{
		Name: "data", Count: count, Resources: v1.NodeResources{CPUs: 1, Memory: "2gb"}, Storage: v1.Storage{Size: "10gb"},
	}}}}
	c.SetDefaults()
	return c
}

// progress lets a task go on by one step, as its executor would.
func (w *world) progress(t *task) {
	switch {
	case t.state == mesos.TASK_STAGING:
		w.m.update(t, mesos.TASK_STARTING, false, "")
	case t.state == mesos.TASK_STARTING:
		w.m.update(t, mesos.TASK_RUNNING, false, "")
	case t.state == mesos.TASK_RUNNING && !t.healthy:
		s, ok := w.slot(slotOf(t.info.TaskID.Value))
		if !ok {
			return
		}
		report := executor.Report{Phase: "running", ClusterUUID: uuidOf(s.Owner, s.OwnerIncarnation), NodeID: s.ID}
		t.data, _ = json.Marshal(report)
		w.m.update(t, mesos.TASK_RUNNING, true, "")
	}
}

func uuidOf(cluster string, incarnation int64) string {
	return fmt.Sprintf("uuid-of-%s-%d", cluster, incarnation)
}

// answer is what a cluster's nodes say, by the model.
func (w *world) answer(q observe.Request) {
	cl, ok := w.clusters()[q.Cluster]
	if !ok {
		return
	}
	o := observe.Observation{Seq: q.Seq, At: w.now, Full: q.Full, Away: q.Away, ClusterName: q.Cluster, MinReplicas: -1, Health: "green"}
	for _, id := range slices.Sorted(maps.Keys(w.m.tasks)) {
		t := w.m.tasks[id]
		s, ok := w.slot(slotOf(id))
		if ok && s.Owner == q.Cluster && s.OwnerIncarnation == cl.Incarnation && t.state == mesos.TASK_RUNNING && t.healthy && t.agent.connected {
			o.Nodes = append(o.Nodes, observe.Node{ID: s.ID, Name: s.Name})
		}
	}
	if len(o.Nodes) == 0 {
		w.step(scheduler.ElasticObserved{Cluster: q.Cluster, Observation: observe.Observation{Seq: q.Seq}, Err: "refused", ErrClass: "unreachable"})
		return
	}
	o.ClusterUUID = uuidOf(q.Cluster, cl.Incarnation)
	if len(o.Nodes) < len(plan.Nodes(cl.Spec)) {
		o.Health = "yellow"
	}
	w.step(scheduler.ElasticObserved{Cluster: q.Cluster, Observation: o})
}

func asText(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(out)
}

func eventText(ev scheduler.Event) string {
	switch e := ev.(type) {
	case scheduler.TaskUpdated:
		return fmt.Sprintf("%s is %s, uuid %q %s %s", e.Status.TaskID.Value, e.Status.GetState(), e.Status.UUID, e.Status.GetReason(), e.Status.GetMessage())
	case scheduler.OperationUpdated:
		return fmt.Sprintf("%s is %s %s", e.Status.GetOperationID().GetValue(), e.Status.State, e.Status.GetMessage())
	case scheduler.OffersReceived:
		out := "offers"
		for _, o := range e.Offers {
			out += fmt.Sprintf(" %s of %s (%s)", o.ID.Value, o.AgentID.Value, text(o.Resources))
		}
		return out
	case scheduler.NodeReplaceOrdered:
		return "replace " + e.Node
	case scheduler.NodeReplaceCancelled:
		return "do not replace " + e.Node
	case scheduler.SpecPut:
		return fmt.Sprintf("put %s with %d nodes", e.Cluster.Name, e.Cluster.Spec.TotalNodes())
	case scheduler.AgentsObserved:
		out := fmt.Sprintf("view of %s", e.AskedAt.Format("15:04:05.000"))
		for _, a := range e.Agents {
			out += fmt.Sprintf(" %s registered %t", a.ID, a.Registered)
		}
		return out
	case scheduler.ElasticObserved:
		return fmt.Sprintf("elastic %s: %s %s", e.Cluster, e.Observation.Health, e.Err)
	case scheduler.TimerFired:
		return "timer"
	case scheduler.CallFailed:
		return fmt.Sprintf("%s failed", e.Call.Type)
	}
	return fmt.Sprintf("%T%+v", ev, ev)
}

func callText(c *sched.Call) string {
	switch c.Type {
	case sched.Call_ACCEPT:
		out := "ACCEPT"
		for _, o := range c.Accept.OfferIDs {
			out += " " + o.Value
		}
		for _, op := range c.Accept.Operations {
			switch op.Type {
			case mesos.Offer_Operation_LAUNCH:
				for _, t := range op.Launch.TaskInfos {
					out += " LAUNCH " + t.TaskID.Value
				}
			default:
				out += " " + op.ID.Value
			}
		}
		return out
	case sched.Call_DECLINE, sched.Call_ACKNOWLEDGE, sched.Call_ACKNOWLEDGE_OPERATION_STATUS, sched.Call_MESSAGE, sched.Call_SUPPRESS, sched.Call_REVIVE:
		return c.Type.String()
	}
	return c.Type.String() + " " + asText(c)
}
