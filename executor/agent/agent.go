package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	mesosexec "github.com/mesos/mesos-go/api/v1/lib/executor"
	"go.uber.org/zap"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/workload"
)

const (
	// firstSubscribe bounds how long a new executor tries to reach its agent.
	firstSubscribe = time.Minute
	// A restarted agent waits 2 s by default for its executors to come back
	// before it kills them, so they knock more often than that.
	retryLeast = 50 * time.Millisecond
	retryMost  = 500 * time.Millisecond
	// farewell is how long the end of a task that was shut down waits for its
	// acknowledgement.
	farewell = time.Second
	// shutdownMargin is kept of the agent's patience for the terminal update.
	shutdownMargin = 2 * time.Second
	statusBuffer   = 16
)

// Options are what an Agent is made of.
type Options struct {
	Config Config
	// Kinds are the workloads that this executor can run, by Launch.Kind.
	Kinds map[string]workload.New
	Log   *zap.Logger
}

// Run speaks to the agent until the task has ended and its end is acknowledged,
// or until no agent is left to tell. Ending ctx stops the task gracefully. The
// error says what kept the executor from its work; a failed task is none.
func Run(ctx context.Context, o Options) error {
	a := &agent{
		config:   o.Config,
		kinds:    o.Kinds,
		log:      o.Log,
		client:   newClient(o.Config),
		attempts: make(chan attempt, 1),
		events:   make(chan *mesosexec.Event),
		broken:   make(chan error, 1),
		statuses: make(chan workload.Status, statusBuffer),
		exits:    make(chan workload.Exit, 1),
	}
	return a.loop(ctx)
}

// agent is the executor's state. Only loop touches it.
type agent struct {
	config Config
	kinds  map[string]workload.New
	log    *zap.Logger
	client *client
	ledger ledger
	task   *task

	// The subscription; hangUp ends it, and its reader with it.
	subscribed bool

	hangUp context.CancelFunc
	lostAt time.Time
	retry  <-chan time.Time
	giveUp <-chan time.Time

	// leave is when the executor goes, whether acknowledged or not.
	leave    <-chan time.Time
	shutdown bool // asked to end
	forsaken bool // no agent will ever listen again

	goroutines sync.WaitGroup // attempts and readers

	attempts chan attempt
	events   chan *mesosexec.Event
	broken   chan error
	statuses chan workload.Status
	exits    chan workload.Exit
}

// task is the one task of this executor.
type task struct {
	info   mesos.TaskInfo
	launch executor.Launch
	runner workload.Runner // nil when it never ran
	kill   context.CancelFunc
	killed bool // someone asked for its end
	ended  bool
}

// attempt is the outcome of trying to subscribe.
type attempt struct {
	stream *stream
	ctx    context.Context // of the stream; hangUp ends it
	hangUp context.CancelFunc
	err    error
}

func (a *agent) loop(ctx context.Context) error {
	defer a.client.close()
	defer a.goroutines.Wait()
	// Calls must outlive ctx: its end is when the end of the task is reported.
	calls, endCalls := context.WithCancel(context.WithoutCancel(ctx))
	defer endCalls()
	defer a.reapTask()
	a.lostAt = time.Now()
	a.giveUp = time.After(min(firstSubscribe, max(a.config.RecoveryTimeout, time.Second)))
	a.connect(calls)
	stop := ctx.Done()
	for {
		if a.done() {
			return nil
		}
		select {
		case r := <-a.attempts:
			a.attempted(calls, r)
		case <-a.retry:
			a.retry = nil
			a.connect(calls)
		case <-a.giveUp:
			if err := a.abandoned(); err != nil {
				return err
			}
		case err := <-a.broken:
			a.disconnected(err)
		case e := <-a.events:
			a.event(calls, e)
		case s := <-a.statuses:
			a.running(calls, s)
		case x := <-a.exits:
			a.exited(calls, x)
		case <-a.leave:
			a.log.Warn("leaving without an acknowledgement of the task's end")
			return nil
		case <-stop:
			stop = nil
			a.log.Info("asked to end by a signal")
			a.end(a.grace())
		}
	}
}

// done says that nothing is left to do or to say.
func (a *agent) done() bool {
	if a.task == nil {
		return a.shutdown
	}
	return a.task.ended && (a.forsaken || a.ledger.settled())
}

// reapTask makes sure that nothing of the task outlives the loop.
func (a *agent) reapTask() {
	if a.hangUp != nil {
		a.hangUp()
	}
	if a.task == nil || a.task.runner == nil || a.task.ended {
		return
	}
	a.task.kill()
	for {
		select {
		case <-a.statuses:
		case <-a.exits:
			return
		}
	}
}

func (a *agent) connect(calls context.Context) {
	tasks, updates := a.ledger.snapshot()
	ctx, hangUp := context.WithCancel(calls)
	a.goroutines.Go(func() {
		s, err := a.client.subscribe(ctx, tasks, updates)
		if err != nil {
			hangUp()
		}
		a.attempts <- attempt{stream: s, ctx: ctx, hangUp: hangUp, err: err}
	})
	a.ledger.sent = len(updates)
}

func (a *agent) attempted(calls context.Context, r attempt) {
	if r.err != nil {
		a.log.Warn("cannot subscribe to the agent", zap.Error(r.err))
		a.scheduleRetry()
		return
	}
	a.subscribed, a.hangUp, a.giveUp = true, r.hangUp, nil
	a.goroutines.Go(func() { a.read(r.ctx, r.stream) })
	// What was added while the attempt was under way.
	a.flush(calls)
}

func (a *agent) scheduleRetry() {
	most := max(min(a.config.BackoffMax, retryMost), retryLeast)
	a.retry = time.After(retryLeast + mathrand.N(most-retryLeast+1))
}

// read brings events to the loop until the stream ends, which hangUp does.
func (a *agent) read(ctx context.Context, s *stream) {
	defer s.close()
	for {
		e, err := s.next()
		if err != nil {
			a.broken <- err
			return
		}
		select {
		case a.events <- e:
		case <-ctx.Done():
			a.broken <- ctx.Err()
			return
		}
	}
}

// disconnected keeps the task for as long as the agent may come back.
func (a *agent) disconnected(err error) {
	a.log.Warn("the agent has gone", zap.Error(err), zap.Bool("checkpoint", a.config.Checkpoint))
	a.hangUp()
	a.subscribed, a.hangUp, a.ledger.sent = false, nil, 0
	if !a.config.Checkpoint || a.shutdown {
		// Without a checkpoint no agent would know this executor again.
		a.forsaken = true
		a.end(a.grace())
		return
	}
	a.lostAt = time.Now()
	a.giveUp = time.After(a.config.RecoveryTimeout)
	a.scheduleRetry()
}

// abandoned ends the executor: the agent was away for too long.
func (a *agent) abandoned() error {
	a.giveUp, a.forsaken = nil, true
	away := time.Since(a.lostAt).Round(time.Second)
	if a.task == nil {
		return fmt.Errorf("the agent at %s could not be reached for %s", a.config.URL, away)
	}
	a.log.Warn("the agent did not come back: stopping the task", zap.Duration("away", away))
	a.end(a.grace())
	return nil
}

// end asks the task to stop, or the loop when there is none.
func (a *agent) end(grace time.Duration) {
	a.shutdown = true
	if a.task == nil {
		return
	}
	if a.task.ended {
		a.waitForAck()
		return
	}
	a.task.killed = true
	a.task.runner.Stop(grace)
}

func (a *agent) grace() time.Duration {
	if a.task == nil {
		return 0
	}
	return time.Duration(a.task.launch.GraceSeconds) * time.Second
}

// push records an update and sends it if it can be.
func (a *agent) push(calls context.Context, s mesos.TaskStatus) {
	a.ledger.add(s)
	a.flush(calls)
}

// flush sends what was not sent on this subscription, in order. A failure ends
// the subscription: the next one repeats everything.
func (a *agent) flush(calls context.Context) {
	for a.subscribed && a.ledger.sent < len(a.ledger.pending) {
		s := a.ledger.pending[a.ledger.sent]
		if err := a.client.update(calls, s); err != nil {
			a.log.Warn("the agent did not take an update", zap.Stringer("state", s.GetState()), zap.Error(err))
			a.subscribed = false
			a.hangUp() // the reader reports the end
			return
		}
		a.ledger.sent++
	}
}

// status makes an update with all that Mesos wants to know it by.
func (a *agent) status(id mesos.TaskID, state mesos.TaskState, message string) mesos.TaskStatus {
	uuid := make([]byte, 16)
	_, _ = rand.Read(uuid)                // never fails
	uuid[6], uuid[8] = uuid[6]&0x0f|0x40, // RFC 9562 version 4
		uuid[8]&0x3f|0x80
	return mesos.TaskStatus{
		TaskID:     id,
		ExecutorID: &mesos.ExecutorID{Value: a.config.ExecutorID},
		State:      state.Enum(),
		Source:     mesos.SOURCE_EXECUTOR.Enum(),
		UUID:       uuid,
		Timestamp:  ptr(float64(time.Now().UnixMicro()) / 1e6),
		Message:    &message,
	}
}

// withReport puts the report into an update. One that cannot be encoded is
// left out: the state matters more.
func (a *agent) withReport(s mesos.TaskStatus, r executor.Report) mesos.TaskStatus {
	data, err := r.Encode()
	if err != nil {
		a.log.Error("report left out", zap.Error(err))
		return s
	}
	s.Data = data
	return s
}

func ptr[T any](v T) *T { return &v }

var errOneTask = errors.New("this executor runs one task, and has one already: every task needs an executor of its own")
