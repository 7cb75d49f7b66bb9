// Package runner drives the core: one goroutine owns it, another makes its
// decisions durable and only then lets their effects out.
//
//	events ──▶ loop (owns Core) ──▶ decisions ──▶ committer ──▶ Mesos, Elasticsearch,
//	queries ─▶      │                             (Store)       replies, event stream
//	timer ───▶      └── never waits for the store ◀── failures come back as events
//
// Both queues are bounded. While the store is away decisions pile up to that
// bound; then the loop takes no more events, and Mesos sees backpressure.
package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/state"
)

// Bounds of the runner.
const (
	// maxEvents and maxQueries wait for the loop, maxDecisions for the store.
	maxEvents    = 4096
	maxQueries   = 256
	maxDecisions = 1024
	// maxGroup is how many decisions one commit takes together.
	maxGroup = 256
	// maxFeedback are failures of calls on their way back to the loop.
	maxFeedback = 4096
)

// ErrStopped: the runner has stopped, as after the end of leadership. A change
// that was asked for may or may not have happened.
var ErrStopped = errors.New("this Berth has stopped leading")

// Mesos takes the core's calls, in order, for one subscription.
type Mesos interface {
	Enqueue(stream string, call *sched.Call) error
}

// Elastic answers the core's questions to Elasticsearch.
type Elastic interface {
	Do(ctx context.Context, r observe.Request) (observe.Observation, error)
}

// Agents asks the master's operator API.
type Agents interface {
	Observe(ctx context.Context) ([]scheduler.AgentObservation, error)
	// Operate carries out one call. An error says that it was refused, or that
	// nobody knows; no error that the master took it, not that it is done.
	Operate(ctx context.Context, call scheduler.OperatorCall) error
}

// Publisher takes events for the users' stream.
type Publisher interface{ Publish(v1.Event) }

// Spark takes what the drivers of Spark applications are to be told.
type Spark interface {
	Notify([]scheduler.SparkNotice)
}

// Options are what a runner works with; all are needed but Spark and Hooks.
type Options struct {
	Core    *scheduler.Core
	Lease   state.Lease
	Mesos   Mesos
	Elastic Elastic
	Agents  Agents
	Events  Publisher
	Spark   Spark // nil: nobody is told
	Log     *zap.Logger
	// Now is the clock; nil is time.Now.
	Now   func() time.Time
	Hooks Hooks
}

// Hooks are told what happens, for metrics. Each may be nil.
type Hooks struct {
	Step   func(event string, took time.Duration)
	Commit func(writes int, took time.Duration, err error)
	Queued func(decisions int)
}

// Runner owns a core. Its methods are safe for concurrent use.
type Runner struct {
	o         Options
	events    chan scheduler.Event
	feedback  chan scheduler.Event
	queries   chan func(*scheduler.Core)
	decisions chan decided
	stopped   chan struct{}

	stream string // of the current subscription; the loop's own
	last   time.Time

	replyID atomic.Uint64
	mu      sync.Mutex
	replies map[scheduler.ReplyID]chan scheduler.Reply

	asking atomic.Bool // a question to the operator API is under way
	work   sync.WaitGroup
	// committing is when the commit under way began, nil without one.
	committing atomic.Pointer[time.Time]
	durable    atomic.Value // error or nilError: whether the last commit worked
}

// decided is a decision with the subscription it was made under.
type decided struct {
	scheduler.Decision
	stream string
}

type storeState struct{ err error }

// New makes a runner; Run starts it.
func New(o Options) *Runner {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Runner{
		o:         o,
		events:    make(chan scheduler.Event, maxEvents),
		feedback:  make(chan scheduler.Event, maxFeedback),
		queries:   make(chan func(*scheduler.Core), maxQueries),
		decisions: make(chan decided, maxDecisions),
		stopped:   make(chan struct{}),
		replies:   map[scheduler.ReplyID]chan scheduler.Reply{},
	}
	r.durable.Store(storeState{})
	return r
}

// Run works until parent ends, which returns nil, until the lease ends or a newer
// leader has written (both wrap state.ErrFenced), or until a record cannot be
// stored at all. Nothing leaves after the lease has ended.
func (r *Runner) Run(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer close(r.stopped)
	var committer sync.WaitGroup
	committer.Add(1)
	go func() {
		defer committer.Done()
		cancel(r.commitLoop(ctx))
	}()
	// The end of the lease also ends a commit that the store does not answer.
	r.work.Add(1)
	go func() {
		defer r.work.Done()
		select {
		case <-r.o.Lease.Done():
			cancel(leaseEnded())
		case <-ctx.Done():
		}
	}()
	r.loop(ctx)
	committer.Wait()
	r.work.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && err != context.Cause(parent) {
		return err
	}
	return nil
}

// loop owns the core.
func (r *Runner) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var ev scheduler.Event
		select {
		case <-ctx.Done():
			return
		case ev = <-r.feedback:
		case ev = <-r.events:
		case q := <-r.queries:
			q(r.o.Core)
			continue
		case <-timer.C:
			ev = scheduler.TimerFired{}
		}
		d := r.step(ev)
		if !r.hand(ctx, decided{d, r.stream}) {
			return
		}
		timer.Stop()
		if !d.Wake.IsZero() {
			timer.Reset(max(0, d.Wake.Sub(r.o.Now())))
		}
	}
}

// step takes one event; times never go backwards, whatever the wall clock does.
func (r *Runner) step(ev scheduler.Event) scheduler.Decision {
	began := r.o.Now()
	now := began.Round(0)
	if now.Before(r.last) {
		now = r.last
	}
	r.last = now
	if s, ok := ev.(subscribed); ok {
		r.stream = s.stream
		ev = s.Subscribed
	}
	d := r.o.Core.Step(now, ev)
	for _, why := range d.Why {
		r.o.Log.Debug("decided", zap.String("event", name(ev)), zap.String("why", why))
	}
	if r.o.Hooks.Step != nil {
		r.o.Hooks.Step(name(ev), r.o.Now().Sub(began))
	}
	return d
}

// subscribed is a Subscribed with the stream that calls must name.
type subscribed struct {
	scheduler.Subscribed
	stream string
}

// hand gives a decision to the committer. While the queue is full it keeps
// taking feedback, so that the two goroutines never wait for each other.
func (r *Runner) hand(ctx context.Context, d decided) bool {
	var held []scheduler.Event
	defer func() {
		for _, ev := range held {
			select {
			case r.feedback <- ev:
			default:
				r.o.Log.Warn("feedback dropped: too many calls failed while the store was away", zap.String("event", name(ev)))
			}
		}
	}()
	for {
		select {
		case r.decisions <- d:
			if r.o.Hooks.Queued != nil {
				r.o.Hooks.Queued(len(r.decisions))
			}
			return true
		default:
		}
		select {
		case r.decisions <- d:
			return true
		case ev := <-r.feedback:
			if len(held) < maxFeedback {
				held = append(held, ev)
			}
		case <-ctx.Done():
			return false
		}
	}
}

// Post gives an event to the loop; it waits while the queue is full.
func (r *Runner) Post(ctx context.Context, ev scheduler.Event) error {
	select {
	case <-r.stopped:
		return ErrStopped // also when there is still room in the queue
	default:
	}
	select {
	case r.events <- ev:
		return nil
	case <-r.stopped:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ask posts a user's event and waits for its answer; a problem is the error.
func (r *Runner) Ask(ctx context.Context, ev func(scheduler.ReplyID) scheduler.Event) (v1.Accepted, error) {
	reply, err := r.Reply(ctx, ev)
	if err != nil {
		return v1.Accepted{}, err
	}
	return *reply.Accepted, nil
}

// Reply posts an event that has a reply and waits for it: for the durable answer,
// not for the decision. A problem is the error.
func (r *Runner) Reply(ctx context.Context, ev func(scheduler.ReplyID) scheduler.Event) (scheduler.Reply, error) {
	id := scheduler.ReplyID(r.replyID.Add(1))
	answer := make(chan scheduler.Reply, 1)
	r.mu.Lock()
	r.replies[id] = answer
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.replies, id)
		r.mu.Unlock()
	}()
	if err := r.Post(ctx, ev(id)); err != nil {
		return scheduler.Reply{}, err
	}
	select {
	case reply := <-answer:
		if reply.Problem != nil {
			return scheduler.Reply{}, reply.Problem
		}
		return reply, nil
	case <-r.stopped:
		return scheduler.Reply{}, ErrStopped
	case <-ctx.Done():
		return scheduler.Reply{}, ctx.Err()
	}
}

// Query runs a function with the core, in the loop. It must only read.
func (r *Runner) Query(ctx context.Context, q func(*scheduler.Core)) error {
	done := make(chan struct{})
	select {
	case r.queries <- func(c *scheduler.Core) { defer close(done); q(c) }:
	case <-r.stopped:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-r.stopped:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// slowCommit is after what time a commit without an answer counts as a store
// that does not answer.
const slowCommit = 2 * time.Second

// StoreError says why decisions are not becoming durable: what the last commit
// failed with, or that the one under way has waited for long. Nil: all is well.
func (r *Runner) StoreError() error {
	if began := r.committing.Load(); began != nil {
		if waited := r.o.Now().Sub(*began); waited > slowCommit {
			return fmt.Errorf("%w: no answer for %s", state.ErrUnavailable, waited.Round(time.Second))
		}
	}
	return r.durable.Load().(storeState).err
}
