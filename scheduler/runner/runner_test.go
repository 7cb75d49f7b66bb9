package runner_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	lib "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/mesos"
	"github.com/berthdata/berth/scheduler/runner"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/scheduler/state/memstore"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// outside is everything around a runner. What leaves is written down in order.
type outside struct {
	t     *testing.T
	mem   *memstore.Memory
	lease state.Lease

	mu        sync.Mutex
	left      []string // calls and events, in the order in which they left
	onCall    func(*sched.Call) error
	agents    []scheduler.AgentObservation
	onOperate func(scheduler.OperatorCall)
	leaves    chan string
	commits   chan error // of each try
}

func (o *outside) note(what string) {
	o.mu.Lock()
	o.left = append(o.left, what)
	o.mu.Unlock()
	o.leaves <- what
}

func (o *outside) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.left...)
}

// Enqueue stands in for the Mesos driver.
func (o *outside) Enqueue(stream string, call *sched.Call) error {
	if stream != "s1" {
		return errors.New("of a subscription that is gone")
	}
	if o.onCall != nil {
		if err := o.onCall(call); err != nil {
			return err
		}
	}
	o.note(call.GetType().String())
	return nil
}

// Publish stands in for the users' event stream.
func (o *outside) Publish(e v1.Event) { o.note(e.Type) }

func (o *outside) Do(context.Context, observe.Request) (observe.Observation, error) {
	return observe.Observation{}, errors.New("no cluster runs here")
}

func (o *outside) Observe(context.Context) ([]scheduler.AgentObservation, error) {
	return o.agents, nil
}

func (o *outside) Operate(_ context.Context, call scheduler.OperatorCall) error {
	if o.onOperate != nil {
		o.onOperate(call)
	}
	o.note("operate " + call.ID)
	return nil
}

// running is a runner under way.
type running struct {
	*outside
	*runner.Runner
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{} // closes when Run has returned err
	err    error
}

func start(t *testing.T, adapt func(*outside, *runner.Options)) *running {
	o := &outside{t: t, mem: memstore.NewMemory(), leaves: make(chan string, 1<<16), commits: make(chan error, 1<<16)}
	elector := o.mem.NewElector()
	lease, err := elector.Campaign(t.Context(), "here")
	require.NoError(t, err)
	o.lease = lease
	core, err := scheduler.New(scheduler.Config{
		Epoch: lease.Epoch(), Roles: []string{"db"}, Principal: "berth", ExecutorURL: "http://berth", TokenKey: []byte("key"),
		Catalogue: map[string]scheduler.Distribution{"8.19.21": {Home: "/opt/es"}}, KillGrace: time.Minute,
	}, nil)
	require.NoError(t, err)
	opts := runner.Options{
		Core: core, Lease: lease, Mesos: o, Elastic: o, Agents: o, Events: o, Log: zap.NewNop(),
		Hooks: runner.Hooks{Commit: func(_ int, _ time.Duration, err error) { o.commits <- err }},
	}
	if adapt != nil {
		adapt(o, &opts)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{outside: o, Runner: runner.New(opts), ctx: ctx, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = r.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		_ = r.stopped() // each test judges it for itself
		require.NoError(t, elector.Close())
	})
	return r
}

// stopped waits for Run to return and tells what it returned.
func (r *running) stopped() error {
	r.t.Helper()
	within(r.t, r.ended, "Run to return")
	return r.err
}

func within[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "waited in vain for "+what)
		panic("unreachable")
	}
}

func (r *running) waitFor(what string) {
	r.t.Helper()
	for within(r.t, r.leaves, what) != what {
	}
}

func (r *running) subscribe() {
	r.MesosEvent(r.ctx, mesos.Subscribed{FrameworkID: "F1", StreamID: "s1"})
}

func spec(name string) v1.Cluster {
	heap := "1gb"
	c := v1.Cluster{Name: name, Spec: v1.ClusterSpec{Version: "8.19.21", NodeSets: []v1.NodeSet{{
		Name: "data", Count: 1, Resources: v1.NodeResources{CPUs: 1, Memory: "2gb", Heap: heap}, Storage: v1.Storage{Size: "10gb"},
	}}}}
	c.SetDefaults()
	return c
}

func put(name string) func(scheduler.ReplyID) scheduler.Event {
	return func(id scheduler.ReplyID) scheduler.Event { return scheduler.SpecPut{Reply: id, Cluster: spec(name)} }
}

// ask starts a PUT and returns its answer to come.
func (r *running) ask(name string) <-chan error {
	answer := make(chan error, 1)
	go func() {
		_, err := r.Ask(r.ctx, put(name))
		answer <- err
	}()
	return answer
}

func (r *running) records() map[state.Key][]byte {
	r.t.Helper()
	records, err := r.lease.Store().Load(r.t.Context())
	require.NoError(r.t, err)
	return records
}

func offer(agent string) scheduler.OffersReceived {
	role := "db"
	scalar := func(name string, v float64) lib.Resource {
		return lib.Resource{Name: name, Type: lib.SCALAR.Enum(), Scalar: &lib.Value_Scalar{Value: v}, AllocationInfo: &lib.Resource_AllocationInfo{Role: &role}}
	}
	ports := lib.Resource{Name: "ports", Type: lib.RANGES.Enum(), AllocationInfo: &lib.Resource_AllocationInfo{Role: &role},
		Ranges: &lib.Value_Ranges{Range: []lib.Value_Range{{Begin: 31000, End: 31009}}}}
	return scheduler.OffersReceived{Offers: []lib.Offer{{
		ID: lib.OfferID{Value: "o-" + agent}, AgentID: lib.AgentID{Value: agent}, Hostname: agent,
		AllocationInfo: &lib.Resource_AllocationInfo{Role: &role},
		Resources:      []lib.Resource{scalar("cpus", 4), scalar("mem", 8192), scalar("disk", 50000), ports},
	}}}
}

// No task leaves before the record that names it is durable (Mesos rule 39).
func TestWritesBeforeEffects(t *testing.T) {
	r := start(t, func(o *outside, _ *runner.Options) {
		o.onCall = func(c *sched.Call) error {
			for _, op := range c.GetAccept().GetOperations() {
				for _, task := range op.GetLaunch().GetTaskInfos() {
					// The committer calls this, so it may use the store.
					raw := o.records(t)["slots/logs-data-0.2"]
					assert.Contains(t, string(raw), `"`+task.TaskID.Value+`"`, "launched without a durable record")
				}
			}
			return nil
		}
	})
	r.subscribe()
	require.NoError(t, within(t, r.ask("logs"), "the answer"))
	require.Contains(t, r.records(), state.Key("clusters/logs"), "answered before it was durable")
	require.NoError(t, r.Post(r.ctx, offer("a1")))
	r.waitFor("NodeLaunching")
	require.Contains(t, r.all(), "ACCEPT")
}

func (o *outside) records(t *testing.T) map[state.Key][]byte {
	records, err := o.lease.Store().Load(t.Context())
	assert.NoError(t, err)
	return records
}

// While the store is away nothing leaves; once it is back everything does, in
// the order in which it was decided.
func TestStoreAwayThenBack(t *testing.T) {
	r := start(t, nil)
	r.subscribe()
	r.waitFor("Registered")
	before := r.all()

	r.mem.SetAway(true)
	first := r.ask("logs")
	for range 3 {
		for within(t, r.commits, "a commit that fails") == nil {
		}
	}
	second := r.ask("events")
	require.NoError(t, r.Post(r.ctx, offer("a1")))
	require.NoError(t, r.Query(r.ctx, func(*scheduler.Core) {}), "the loop works on while the store is away")
	for within(t, r.commits, "one more commit that fails") == nil {
	}
	require.Equal(t, before, r.all(), "something left that is not durable")
	require.ErrorIs(t, r.StoreError(), state.ErrUnavailable)
	require.Empty(t, first)
	require.Empty(t, second)

	r.mem.SetAway(false)
	require.NoError(t, within(t, first, "the first answer"))
	require.NoError(t, within(t, second, "the second answer"))
	r.waitFor("NodeLaunching")
	at := func(what string) int {
		for i, w := range r.all() {
			if w == what {
				return i
			}
		}
		return -1
	}
	require.Less(t, at("ClusterAccepted"), at("ACCEPT"))
	require.Less(t, at("REVIVE"), at("ACCEPT"))
	require.NoError(t, r.StoreError())
}

// A commit whose answer was lost is repeated, and its effects leave once.
func TestLostAnswer(t *testing.T) {
	r := start(t, nil)
	r.subscribe()
	r.waitFor("Registered")
	for len(r.commits) > 0 {
		<-r.commits
	}
	r.mem.LoseAnswer()
	require.NoError(t, within(t, r.ask("logs"), "the answer"))
	require.ErrorIs(t, within(t, r.commits, "the commit whose answer is lost"), state.ErrUnavailable)
	require.NoError(t, within(t, r.commits, "its repetition"))
	accepted := 0
	for _, what := range r.all() {
		if what == "ClusterAccepted" {
			accepted++
		}
	}
	require.LessOrEqual(t, accepted, 1)
	r.waitFor("ClusterAccepted")
}

// A newer leader has written: Run ends and nothing of the refused commit leaves.
func TestFenced(t *testing.T) {
	r := start(t, nil)
	r.subscribe()
	r.waitFor("Registered")
	before := len(r.all())
	r.mem.Usurp()
	answer := r.ask("logs")
	require.ErrorIs(t, r.stopped(), state.ErrFenced)
	require.ErrorIs(t, within(t, answer, "the answer"), runner.ErrStopped)
	for _, what := range r.all()[before:] {
		require.NotContains(t, []string{"ClusterAccepted", "REVIVE", "ACCEPT"}, what)
	}
	require.ErrorIs(t, r.Post(context.Background(), scheduler.TimerFired{}), runner.ErrStopped)
}

// The lease ends while the store is away: Run ends and nothing leaves, though
// the decision is never known to be lost (Mesos rule 57).
func TestLeaseEnds(t *testing.T) {
	r := start(t, nil)
	r.subscribe()
	r.waitFor("Registered")
	r.mem.SetAway(true)
	answer := r.ask("logs")
	for within(t, r.commits, "a commit that fails") == nil {
	}
	before := len(r.all())
	r.mem.Expire()
	require.ErrorIs(t, r.stopped(), state.ErrFenced)
	require.ErrorIs(t, within(t, answer, "the answer"), runner.ErrStopped)
	require.Len(t, r.all(), before)
}

// The lease ends while a commit is answered: it is durable, and still nothing of
// it leaves.
func TestLeaseEndsDuringCommit(t *testing.T) {
	r := start(t, func(o *outside, opts *runner.Options) {
		opts.Hooks.Commit = func(int, time.Duration, error) {
			o.mem.Expire()
			within(t, o.lease.Done(), "the lease to end")
		}
	})
	r.subscribe() // writes the framework's id
	require.ErrorIs(t, r.stopped(), state.ErrFenced)
	require.Empty(t, r.all())
}

// Cancelling is a planned end and no error.
func TestCancel(t *testing.T) {
	r := start(t, nil)
	r.subscribe()
	r.waitFor("Registered")
	r.cancel()
	require.NoError(t, r.stopped())
	_, err := r.Ask(context.Background(), put("logs"))
	require.ErrorIs(t, err, runner.ErrStopped)
}

// gated is a store that answers only when it is let.
type gated struct {
	state.Lease
	gate chan struct{}
}

type gatedStore struct {
	state.Store
	gate chan struct{}
}

func (g gated) Store() state.Store { return gatedStore{g.Lease.Store(), g.gate} }

func (s gatedStore) Commit(ctx context.Context, w []state.Write) error {
	<-s.gate
	return s.Store.Commit(ctx, w)
}

// Every call fails, more of them than any queue holds, while the store has held
// decisions back to their bound: loop and committer never wait for each other.
func TestFailedCallsDoNotDeadlock(t *testing.T) {
	const updates = 6000
	gate := make(chan struct{})
	r := start(t, func(o *outside, opts *runner.Options) {
		opts.Lease = gated{opts.Lease, gate}
		open := sync.OnceFunc(func() { close(gate) })
		opts.Hooks.Queued = func(decisions int) {
			if decisions > 1000 {
				open()
			}
		}
		o.onCall = func(*sched.Call) error { return errors.New("the connection broke") }
	})
	r.subscribe()
	posted := make(chan error, 1)
	go func() {
		for i := range updates {
			err := r.Post(r.ctx, scheduler.TaskUpdated{Status: lib.TaskStatus{
				TaskID: lib.TaskID{Value: fmt.Sprintf("other.%d.1", i)}, State: lib.TASK_RUNNING.Enum(),
				AgentID: &lib.AgentID{Value: "a1"}, UUID: []byte("u"),
			}})
			if err != nil {
				posted <- err
				return
			}
		}
		posted <- nil
	}()
	require.NoError(t, within(t, posted, "the loop to take every event"))
	require.NoError(t, within(t, r.ask("logs"), "an answer after all that"))
}
