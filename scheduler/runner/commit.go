package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/state"
)

// commitLoop makes decisions durable and lets their effects out, in order. What
// has piled up meanwhile is committed together.
func (r *Runner) commitLoop(ctx context.Context) error {
	for {
		var group []decided
		select {
		case <-ctx.Done():
			return nil
		case <-r.o.Lease.Done():
			return leaseEnded()
		case d := <-r.decisions:
			group = r.group(d)
		}
		durable, err := r.commit(ctx, writesOf(group))
		if err != nil {
			return err
		}
		if !durable {
			return nil // stopping: nothing of an uncertain group may leave
		}
		for _, d := range group {
			// The lease may have ended while the store answered: what is
			// durable stays durable, but nothing leaves any more (Mesos rule 57).
			select {
			case <-r.o.Lease.Done():
				return leaseEnded()
			default:
			}
			r.release(ctx, d)
		}
	}
}

func leaseEnded() error { return fmt.Errorf("the leader's lease has ended: %w", state.ErrFenced) }

// group takes what else is waiting.
func (r *Runner) group(first decided) []decided {
	group := []decided{first}
	for len(group) < maxGroup {
		select {
		case d := <-r.decisions:
			group = append(group, d)
		default:
			return group
		}
	}
	return group
}

// writesOf merges the writes of a group: values are absolute, so only the last
// of a key counts, at the place of that last one.
func writesOf(group []decided) []state.Write {
	last := map[state.Key]int{}
	n := 0
	for _, d := range group {
		for _, w := range d.Writes {
			n++
			last[w.Key] = n
		}
	}
	writes := make([]state.Write, 0, len(last))
	n = 0
	for _, d := range group {
		for _, w := range d.Writes {
			if n++; last[w.Key] == n {
				writes = append(writes, w)
			}
		}
	}
	return writes
}

// commit repeats a commit until it works or must not go on. A store that is away
// is no reason to step down: only the end of the lease is (Mesos rule 58). It
// answers false when ctx ended before the writes were known to be durable.
func (r *Runner) commit(ctx context.Context, writes []state.Write) (durable bool, _ error) {
	if len(writes) == 0 {
		return true, nil
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, 2*time.Second
	for {
		began := r.o.Now()
		r.committing.Store(&began)
		err := r.o.Lease.Store().Commit(ctx, writes)
		r.committing.Store(nil)
		r.durable.Store(storeState{err})
		if r.o.Hooks.Commit != nil {
			r.o.Hooks.Commit(len(writes), r.o.Now().Sub(began), err)
		}
		switch {
		case err == nil:
			return true, nil
		case ctx.Err() != nil:
			return false, nil
		case !errors.Is(err, state.ErrUnavailable):
			return false, fmt.Errorf("storing %d records: %w", len(writes), err)
		}
		r.o.Log.Warn("the state store does not answer: repeating", zap.Int("writes", len(writes)), zap.Error(err))
		wait := time.NewTimer(pause.NextBackOff())
		select {
		case <-wait.C:
		case <-r.o.Lease.Done():
			wait.Stop()
			return false, leaseEnded()
		case <-ctx.Done():
			wait.Stop()
			return false, nil
		}
	}
}

// release lets one durable decision's effects out.
func (r *Runner) release(ctx context.Context, d decided) {
	for _, call := range d.Calls {
		if err := r.o.Mesos.Enqueue(d.stream, call); err != nil {
			r.back(ctx, scheduler.CallFailed{Call: call, Err: err.Error()})
		}
	}
	for _, q := range d.Elastic {
		r.work.Add(1)
		go func() {
			defer r.work.Done()
			r.askElastic(ctx, q)
		}()
	}
	if d.ObserveAgents && r.asking.CompareAndSwap(false, true) {
		r.work.Add(1)
		go func() {
			defer r.work.Done()
			defer r.asking.Store(false)
			r.askAgents(ctx)
		}()
	}
	for _, call := range d.Operate {
		r.work.Add(1)
		go func() { // the core bounds how many are without an answer
			defer r.work.Done()
			r.operate(ctx, call)
		}()
	}
	if len(d.Spark) > 0 && r.o.Spark != nil {
		r.o.Spark.Notify(d.Spark) // before the replies, which may rest on it
	}
	for _, reply := range d.Replies {
		r.mu.Lock()
		answer := r.replies[reply.ID]
		r.mu.Unlock()
		if answer != nil {
			answer <- reply // buffered; one reply an id
		}
	}
	for _, ev := range d.Published {
		r.o.Log.Info(ev.Message, zap.String("type", ev.Type), zap.String("cluster", ev.Cluster), zap.String("application", ev.Application), zap.String("node", ev.Node), zap.Int64("id", ev.ID))
		r.o.Events.Publish(ev)
	}
}

// back returns the failure of a call to the loop. The loop always takes
// feedback, so this cannot deadlock.
func (r *Runner) back(ctx context.Context, ev scheduler.Event) {
	select {
	case r.feedback <- ev:
	case <-ctx.Done():
	}
}

func (r *Runner) askElastic(ctx context.Context, q observe.Request) {
	o, err := r.o.Elastic.Do(ctx, q)
	if ctx.Err() != nil {
		return
	}
	ev := scheduler.ElasticObserved{Cluster: q.Cluster, Observation: o}
	if err != nil {
		ev.Observation.Seq = q.Seq
		ev.Err, ev.ErrClass = err.Error(), "failed"
		var f *observe.Failure
		if errors.As(err, &f) {
			ev.Err, ev.ErrClass = f.Message, string(f.Class)
		}
	}
	_ = r.Post(ctx, ev) // fails only when the runner stops
}

func (r *Runner) askAgents(ctx context.Context) {
	asked := r.o.Now().Round(0)
	agents, err := r.o.Agents.Observe(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.o.Log.Warn("the master's operator API does not answer", zap.Error(err))
		}
		return
	}
	_ = r.Post(ctx, scheduler.AgentsObserved{AskedAt: asked, Agents: agents})
}

// operateTimeout is how long a call of the operator API may take: less than what the
// core waits before it takes the answer for lost.
const operateTimeout = 20 * time.Second

func (r *Runner) operate(ctx context.Context, call scheduler.OperatorCall) {
	wait, cancel := context.WithTimeout(ctx, operateTimeout)
	defer cancel()
	ev := scheduler.OperatorAnswered{ID: call.ID}
	if err := r.o.Agents.Operate(wait, call); err != nil {
		ev.Err = err.Error()
	}
	r.o.Log.Info("asked the master's operator API to free resources", zap.String("call", call.ID), zap.String("agent", call.AgentID),
		zap.Int("volumes", len(call.Destroy)), zap.Int("resources", len(call.Unreserve)), zap.String("error", ev.Err))
	if ctx.Err() == nil {
		_ = r.Post(ctx, ev) // fails only when the runner stops
	}
}

func name(ev scheduler.Event) string { return fmt.Sprintf("%T", ev) }
