package mesosmodel

import (
	"container/heap"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// Times of Mesos, by their flags' defaults where there is one.
const (
	allocationInterval = time.Second
	pingTimeout        = 75 * time.Second // agent_ping_timeout × max_agent_ping_timeouts
	reregisterTimeout  = 10 * time.Minute // agent_reregister_timeout
	electionTime       = 10 * time.Second
	updateRetry        = 10 * time.Second
	// recoveryTimeout is how long an executor lives without its agent.
	recoveryTimeout = 15 * time.Minute
)

// Config is a cluster.
type Config struct {
	// Principal is the framework's, which owns what it reserves.
	Principal string
	// Split is the chance that one agent's free resources come in two offers.
	Split float64
}

// Workload decides what happens in containers.
type Workload interface {
	// Launch says whether the process starts; an error ends the task as failed.
	Launch(c *Container) error
	// Started: the process runs and holds its volume.
	Started(c *Container)
	// Stopped: the process is gone.
	Stopped(c *Container)
	// Message is what the scheduler sent to the executor.
	Message(c *Container, data []byte)
}

// Hooks tell an observer what happens; each may be nil. They are for checkers
// and traces, and change nothing.
type Hooks struct {
	Trace func(format string, args ...any)
	// Launched: the master has taken a task. Destroyed: a volume with all its
	// data is gone from the machine. Called before the change is visible.
	Launched  func(agentID string, task *mesos.TaskInfo)
	Destroyed func(m *Machine, v *Volume)
	// Applied: an agent has carried an operation out.
	Applied func(m *Machine)
}

// Delivery is one event for the framework. Closed ends the subscription.
type Delivery struct {
	Stream string
	Event  *sched.Event
	Closed string
}

// Model is the whole cluster. It is owned by one goroutine.
type Model struct {
	cfg    Config
	rand   *rand.Rand
	now    time.Time
	start  time.Time
	timers timerHeap
	seq    int64
	work   Workload
	hooks  Hooks

	machines []*Machine
	agents   map[string]*agent // every agent id that ever was
	registry registry
	master   *master // nil during an election

	framework framework
	stream    string // of the one subscription, "" without
	out       []Delivery

	// Knobs that faults turn.
	knobs Knobs
	// quota limits what roles consume, in thousandths by resource name.
	quota map[string]map[string]int64
}

// Knobs are standing troubles; the zero value is none.
type Knobs struct {
	// RefuseCreate and RefuseReserve are chances that the master refuses an
	// operation, as an ACL would.
	RefuseCreate, RefuseReserve float64
	// Slow is how much longer agents take to come back after a master failover.
	Slow time.Duration
	// LoseMessages is the chance that a MESSAGE to an executor is lost.
	LoseMessages float64
}

// registry is what masters keep durably.
type registry struct {
	admitted    map[string]bool
	unreachable map[string]bool
	gone        map[string]bool
	deactivated map[string]bool
	draining    map[string]bool
	maintenance map[string]*mesos.Unavailability // by hostname
}

// New makes a cluster without machines. All chance comes from r.
func New(cfg Config, now time.Time, r *rand.Rand, w Workload, hooks Hooks) *Model {
	m := &Model{
		cfg: cfg, rand: r, now: now, start: now, work: w, hooks: hooks, agents: map[string]*agent{}, quota: map[string]map[string]int64{},
		registry: registry{
			admitted: map[string]bool{}, unreachable: map[string]bool{}, gone: map[string]bool{},
			deactivated: map[string]bool{}, draining: map[string]bool{}, maintenance: map[string]*mesos.Unavailability{},
		},
	}
	m.elect()
	m.after(allocationInterval, m.tick)
	return m
}

// Knobs returns the standing troubles, to be changed.
func (m *Model) Knobs() *Knobs { return &m.knobs }

// Next is when the model next does something by itself.
func (m *Model) Next() time.Time { return m.timers[0].at }

// Advance does what is due up to and including now.
func (m *Model) Advance(now time.Time) {
	for m.timers[0].at.Compare(now) <= 0 {
		t := heap.Pop(&m.timers).(timer)
		m.now = t.at
		t.do()
	}
	m.now = now
}

// Take returns the events since the last Take, in order.
func (m *Model) Take() []Delivery {
	out := m.out
	m.out = nil
	return out
}

func (m *Model) trace(format string, args ...any) {
	if m.hooks.Trace != nil {
		m.hooks.Trace(format, args...)
	}
}

func (m *Model) at(t time.Time, do func()) {
	m.seq++
	heap.Push(&m.timers, timer{at: t, seq: m.seq, do: do})
}

func (m *Model) after(d time.Duration, do func()) { m.at(m.now.Add(d), do) }

// between draws a duration.
func (m *Model) between(a, b time.Duration) time.Duration {
	return a + time.Duration(m.rand.Int64N(int64(b-a)+1))
}

func (m *Model) chance(p float64) bool { return p > 0 && m.rand.Float64() < p }

func (m *Model) number() int64 { m.seq++; return m.seq }

func (m *Model) uuid() []byte {
	b := make([]byte, 16)
	binary.BigEndian.PutUint64(b[8:], uint64(m.number()))
	return b
}

// FailMaster ends the leading master; another leads after an election and knows
// only what the registry says, until agents register again.
func (m *Model) FailMaster() {
	if m.master == nil {
		return
	}
	m.trace("master: fails")
	m.closeStream("the master is gone")
	m.master = nil
	for _, a := range m.liveAgents() {
		a.unlink()
	}
	m.after(m.between(electionTime, electionTime+5*time.Second), m.elect)
}

func (m *Model) elect() {
	ms := newMaster(m.now)
	m.master = ms
	for id := range m.registry.admitted {
		if !m.registry.unreachable[id] && !m.registry.gone[id] {
			ms.agents[id] = &masterAgent{id: id, machine: m.agents[id].machine}
			ms.recovering++
		}
	}
	ms.known = ms.recovering
	m.trace("master: elected, %d agents recovered", ms.known)
	for _, a := range m.liveAgents() {
		m.after(m.between(500*time.Millisecond, 20*time.Second+m.knobs.Slow), func() { m.reregister(a) })
	}
	m.after(reregisterTimeout, func() {
		if m.master != ms {
			return
		}
		for _, id := range ms.ids() {
			if !ms.agents[id].registered {
				m.trace("master: agent %s did not come back in time: unreachable", id)
				delete(ms.agents, id)
				ms.recovering--
				m.registry.unreachable[id] = true
			}
		}
	})
}

// tick is one round of the allocator.
func (m *Model) tick() {
	m.after(allocationInterval, m.tick)
	m.allocate()
}

// timer is something that the model does later.
type timer struct {
	at  time.Time
	seq int64
	do  func()
}

type timerHeap []timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if c := h[i].at.Compare(h[j].at); c != 0 {
		return c < 0
	}
	return h[i].seq < h[j].seq
}
func (h timerHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)   { *h = append(*h, x.(timer)) }
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = timer{}
	*h = old[:len(old)-1]
	return t
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func ptr[T any](v T) *T { return &v }
