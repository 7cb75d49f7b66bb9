package conformance

import (
	"cmp"
	"fmt"
	"math"
	"os/user"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/stretchr/testify/require"

	driver "github.com/berthdata/berth/scheduler/mesos"
)

const (
	role      = "db"
	principal = "berth"
)

// script plays one scenario and writes down what it sees.
type script struct {
	t *testing.T
	c cluster
	words

	info    mesos.FrameworkInfo // as last subscribed
	stream  string              // the newest
	streams []string
	trace   strings.Builder

	pending   []line // came, and nothing has waited for it yet
	offers    map[string]mesos.Offer
	rescinded map[string]bool
	ids       map[string]string // machine → its present agent id
	used      map[string]usage  // by task
	silent    bool              // updates are not acknowledged
	statuses  []mesos.TaskStatus

	optional   []string // heads of events that may come or not
	deliveries int
}

// maxDeliveries bounds what a scenario listens to: what is not acknowledged is
// repeated for ever.
const maxDeliveries = 1000

// usage is what a task takes of a machine.
type usage struct {
	machine   string
	resources []mesos.Resource
}

func newScript(t *testing.T, c cluster) *script {
	return &script{
		t: t, c: c, words: words{agents: map[string]string{}, frameworks: map[string]string{}, seen: map[string]bool{}},
		offers: map[string]mesos.Offer{}, rescinded: map[string]bool{}, ids: map[string]string{}, used: map[string]usage{},
	}
}

func (s *script) step(format string, args ...any) { fmt.Fprintf(&s.trace, "> "+format+"\n", args...) }
func (s *script) note(format string, args ...any) { fmt.Fprintf(&s.trace, "  "+format+"\n", args...) }

// so is a condition of the scenario itself.
func (s *script) so(ok bool, format string, args ...any) {
	s.t.Helper()
	require.True(s.t, ok, "%s\nUntil then:\n%s", fmt.Sprintf(format, args...), s.trace.String())
}

// pump takes one delivery in; false when none comes.
func (s *script) pump(p patience) bool {
	s.t.Helper()
	s.deliveries++
	s.so(s.deliveries < maxDeliveries, "too much is heard, and not what is waited for: %v", s.pending)
	d, ok := s.c.Next(p)
	if !ok {
		return false
	}
	var l line
	if d.Event == nil {
		l = line{head: "closed"}
	} else {
		s.take(d.Event)
		l = s.describe(d.Event)
	}
	if l.head == "" {
		return true
	}
	if slices.Contains(s.optional, l.head) {
		return true
	}
	if d.Stream != s.stream {
		l.head = "old stream " + l.head
	}
	s.pending = append(s.pending, l)
	return true
}

func (s *script) take(ev *sched.Event) {
	switch ev.Type {
	case sched.Event_SUBSCRIBED:
		s.info.ID = ev.Subscribed.FrameworkID
	case sched.Event_OFFERS:
		for _, o := range ev.Offers.Offers {
			s.offers[o.ID.Value] = o
		}
	case sched.Event_RESCIND:
		delete(s.offers, ev.Rescind.OfferID.Value)
		s.rescinded[ev.Rescind.OfferID.Value] = true
	case sched.Event_UPDATE:
		st := ev.Update.Status
		s.statuses = append(s.statuses, st)
		if terminal(st.GetState()) {
			delete(s.used, st.TaskID.Value)
		}
		if !s.silent {
			s.acknowledge(&st)
		}
	case sched.Event_UPDATE_OPERATION_STATUS:
		st := ev.UpdateOperationStatus.Status
		if !s.silent && st.UUID != nil && st.AgentID != nil {
			require.NoError(s.t, s.c.Call(s.stream, s.ours(&sched.Call{
				Type: sched.Call_ACKNOWLEDGE_OPERATION_STATUS,
				AcknowledgeOperationStatus: &sched.Call_AcknowledgeOperationStatus{
					AgentID: st.AgentID, UUID: st.UUID.Value, OperationID: *st.OperationID,
				},
			})))
		}
	}
}

func (s *script) acknowledge(st *mesos.TaskStatus) {
	if len(st.UUID) == 0 {
		return // Mesos rule 40
	}
	require.NoError(s.t, s.c.Call(s.stream, s.ours(&sched.Call{Type: sched.Call_ACKNOWLEDGE, Acknowledge: &sched.Call_Acknowledge{
		AgentID: *st.AgentID, TaskID: st.TaskID, UUID: st.UUID,
	}})))
}

// acknowledgeAll makes up for what was not acknowledged.
func (s *script) acknowledgeAll() {
	s.step("acknowledge what has come")
	s.silent = false
	for i := range s.statuses {
		s.acknowledge(&s.statuses[i])
	}
}

// await waits for these events, by their heads, and for no others.
func (s *script) await(heads ...string) {
	s.t.Helper()
	var got []line
	for _, head := range heads {
		for {
			i := slices.IndexFunc(s.pending, func(l line) bool { return l.head == head })
			if i >= 0 {
				got = append(got, s.pending[i])
				s.pending = slices.Delete(s.pending, i, i+1)
				break
			}
			s.so(s.pump(enough), "%s never came, but %v", head, s.pending)
		}
	}
	// Order within one thing is that of their heads, which is that of coming.
	slices.SortStableFunc(got, func(a, b line) int { return cmp.Compare(a.about(), b.about()) })
	for _, l := range got {
		s.note("%s", l)
	}
	s.expectNoMore()
}

// expectNoMore forgets repetitions, and fails of anything else.
func (s *script) expectNoMore() {
	s.t.Helper()
	s.pending = slices.DeleteFunc(s.pending, func(l line) bool { return strings.HasSuffix(l.head, again) })
	s.so(len(s.pending) == 0, "unexpected: %v", s.pending)
}

// arrived lets what was sent arrive.
func (s *script) arrived() {
	for s.pump(moment) {
	}
}

// mayHear names events that from now on may come or not: the trace leaves them out.
func (s *script) mayHear(heads ...string) { s.optional = append(s.optional, heads...) }

// silence waits a while for nothing.
func (s *script) silence() {
	s.t.Helper()
	for s.pump(brief) {
		s.expectNoMore()
	}
	s.expectNoMore()
	s.note("nothing is heard")
}

// lapse lets what a task does later happen, unheard.
func (s *script) lapse() {
	s.t.Helper()
	for s.pump(lapse) {
		s.expectNoMore()
	}
	s.expectNoMore()
	s.step("time passes, and nothing is heard")
}

// end says that nothing else has come.
func (s *script) end() string {
	s.arrived()
	s.expectNoMore()
	return s.trace.String()
}

// framework is Berth's own FrameworkInfo, of the user who runs the test.
func (s *script) framework(roles ...string) {
	me, err := user.Current()
	require.NoError(s.t, err)
	info, err := driver.BuildFrameworkInfo(driver.FrameworkOptions{
		User: me.Username, Name: "conformance", Principal: principal, Roles: roles,
	})
	require.NoError(s.t, err)
	info.ID = s.info.ID
	s.info = *info
}

// subscribe subscribes with what framework says, again under the same id.
func (s *script) subscribe() {
	s.t.Helper()
	s.subscribing()
	s.await("subscribed")
}

func (s *script) subscribing() {
	s.t.Helper()
	if s.info.Name == "" {
		s.framework(role)
	}
	s.step("subscribe for %s", strings.Join(s.info.Roles, ", "))
	clear(s.offers) // Mesos rule 26
	stream, err := s.c.Subscribe(&s.info)
	s.answered(err)
	s.stream = stream
	s.streams = append(s.streams, stream)
}

var httpStatus = regexp.MustCompile(`\b[45]\d\d\b`)

func (s *script) answered(err error) {
	if err != nil {
		s.note("refused: %s", cmp.Or(httpStatus.FindString(err.Error()), err.Error()))
	}
}

func (s *script) unsubscribe() {
	s.step("the connection breaks")
	s.c.Unsubscribe(s.stream)
	s.await("closed")
	clear(s.offers)
}

// machines starts machines and waits for them.
func (s *script) machines(names ...string) {
	for _, name := range names {
		s.c.AddMachine(name)
	}
	for _, name := range names {
		s.learn(name)
	}
}

// learn names a machine's agent id.
func (s *script) learn(name string) {
	id := s.c.AgentID(name)
	s.ids[name] = id
	if s.agents[id] != "" {
		return
	}
	n := 1
	for _, known := range s.agents {
		if known == name || strings.HasPrefix(known, name+"(") {
			n++
		}
	}
	s.agents[id] = name
	if n > 1 {
		s.agents[id] = fmt.Sprintf("%s(%d)", name, n)
	}
}

// back waits until a machine's agent is with the master.
func (s *script) back(name string) {
	s.learn(name)
	s.note("the agent of %s is active as %s", name, s.agents[s.ids[name]])
}

// offered waits until everything on a machine that tasks leave free is offered
// to a role, in however many offers, and writes down what that is.
func (s *script) offered(machine string) []mesos.Offer {
	s.t.Helper()
	want := totals(shapeResources())
	for _, u := range s.used {
		if u.machine == machine {
			for name, n := range totals(u.resources) {
				want[name] -= n
			}
		}
	}
	return s.offeredTo(role, machine, want)
}

// offeredTo waits for offers that come to these totals.
func (s *script) offeredTo(role, machine string, want map[string]int64) []mesos.Offer {
	s.t.Helper()
	for {
		offers, rs := s.outstanding(role, machine)
		if got := totals(rs); same(got, want) {
			s.note("%s offers %s: %s", s.agents[s.ids[machine]], role, resources(rs))
			return offers
		}
		s.so(s.pump(enough), "%s does not offer %s %v, but %s", machine, role, want, resources(rs))
	}
}

// outstanding are the offers that are held, by their ids.
func (s *script) outstanding(role, machine string) (offers []mesos.Offer, rs []mesos.Resource) {
	for _, o := range s.offers {
		if o.AgentID.Value == s.ids[machine] && o.AllocationInfo.GetRole() == role {
			offers = append(offers, o)
			rs = append(rs, o.Resources...)
		}
	}
	slices.SortFunc(offers, func(a, b mesos.Offer) int { return cmp.Compare(a.ID.Value, b.ID.Value) })
	return offers, rs
}

// noOffers waits a while for no offers.
func (s *script) noOffers() {
	s.t.Helper()
	for s.pump(brief) {
	}
	for _, o := range s.offers {
		s.so(false, "offered: %s", resources(o.Resources))
	}
	s.expectNoMore()
	s.note("nothing is offered")
}

// takenBack waits until offers are rescinded.
func (s *script) takenBack(offers []mesos.Offer) {
	s.t.Helper()
	for _, o := range offers {
		for !s.rescinded[o.ID.Value] {
			s.so(s.pump(enough), "offer %s of %s is not rescinded", o.ID.Value, s.agent(&o.AgentID))
		}
	}
	s.note("its offers are rescinded")
}

// totals sums by name: thousandths, and numbers of ports.
func totals(rs []mesos.Resource) map[string]int64 {
	sum := map[string]int64{}
	for _, r := range rs {
		if r.Scalar != nil {
			sum[r.Name] += int64(math.Round(r.Scalar.Value * 1000))
		}
		for _, x := range r.GetRanges().GetRange() {
			sum[r.Name] += int64(x.End-x.Begin) + 1
		}
	}
	return sum
}

func same(a, b map[string]int64) bool {
	for _, m := range []map[string]int64{a, b} {
		for name := range m {
			if a[name] != b[name] {
				return false
			}
		}
	}
	return true
}

func terminal(st mesos.TaskState) bool {
	switch st {
	case mesos.TASK_STAGING, mesos.TASK_STARTING, mesos.TASK_RUNNING, mesos.TASK_KILLING, mesos.TASK_UNREACHABLE, mesos.TASK_UNKNOWN:
		return false
	}
	return true
}

// never is a filter that lasts longer than any scenario.
const never = time.Hour
