// Package memstore keeps Berth's state without ZooKeeper: in memory, for tests, or
// in a directory, for "berth scheduler --dev" on one machine. Both obey the
// contracts of package state, fencing included.
package memstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/berthdata/berth/scheduler/state"
)

// backend is what an Elector works on. Its methods are safe for concurrent use.
type backend interface {
	// acquire waits for leadership and raises the epoch. The term ends when
	// ended closes; release gives it up and may be called at any time, once.
	acquire(ctx context.Context, advertise string) (t term, err error)
	// load and commit return state.ErrFenced when epoch is not the newest.
	load(epoch int64) (map[state.Key][]byte, error)
	commit(epoch int64, writes []state.Write) error
	// leader returns the address of the present leader, "" if none.
	leader() (string, error)
	// snapshot is load without an epoch.
	snapshot() (map[state.Key][]byte, state.Position, error)
}

type term struct {
	epoch   int64
	ended   <-chan struct{} // nil when only release ends it
	release func() error
}

// Elector elects one leader among those that share a Memory or a directory.
type Elector struct {
	backend backend
	ctx     context.Context // ends with Close
	cancel  context.CancelCauseFunc

	mu     sync.Mutex
	closed bool
	active sync.WaitGroup // campaigns and leases; grows under mu while not closed
}

var errClosed = errors.New("the elector was closed")

func newElector(b backend) *Elector {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Elector{backend: b, ctx: ctx, cancel: cancel}
}

// Campaign is described at state.Elector.
func (e *Elector) Campaign(ctx context.Context, advertise string) (state.Lease, error) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil, errClosed
	}
	e.active.Add(1)
	e.mu.Unlock()
	defer e.active.Done()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(e.ctx, func() { cancel(errClosed) })()
	t, err := e.backend.acquire(ctx, advertise)
	if err != nil {
		return nil, err
	}
	l := &lease{term: t, done: make(chan struct{}), resign: make(chan struct{}), finished: make(chan struct{})}
	l.store = &store{backend: e.backend, epoch: t.epoch, done: l.done, lease: l}
	e.active.Go(func() { l.keep(e.ctx) })
	return l, nil
}

// Leader is described at state.Elector.
func (e *Elector) Leader(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return e.backend.leader()
}

// Snapshot is described at state.Snapshotter.
func (e *Elector) Snapshot(ctx context.Context) (map[state.Key][]byte, state.Position, error) {
	if err := ctx.Err(); err != nil {
		return nil, state.Position{}, fmt.Errorf("%w: %w", state.ErrUnavailable, err)
	}
	return e.backend.snapshot()
}

// Close ends campaigns and resigns leases. The error is always nil.
func (e *Elector) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel(errClosed)
	e.active.Wait()
	return nil
}

type lease struct {
	term     term
	store    *store
	done     chan struct{}
	resign   chan struct{}
	once     sync.Once
	finished chan struct{}
	handover error // written before finished is closed
}

func (l *lease) Epoch() int64          { return l.term.epoch }
func (l *lease) Done() <-chan struct{} { return l.done }
func (l *lease) Store() state.Store    { return l.store }

func (l *lease) Resign() error {
	l.end()
	<-l.finished
	return l.handover
}

func (l *lease) end() { l.once.Do(func() { close(l.resign) }) }

// keep closes done before it lets the next one lead.
func (l *lease) keep(ctx context.Context) {
	select {
	case <-l.resign:
	case <-l.term.ended:
	case <-ctx.Done():
	}
	close(l.done)
	l.handover = l.term.release()
	close(l.finished)
}

type store struct {
	backend backend
	epoch   int64
	done    <-chan struct{}
	lease   *lease
}

// Load is described at state.Store.
func (s *store) Load(ctx context.Context) (map[state.Key][]byte, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	values, err := s.backend.load(s.epoch)
	return values, s.checked(err)
}

// Commit is described at state.Store; here the whole of it is atomic.
func (s *store) Commit(ctx context.Context, writes []state.Write) error {
	for _, w := range writes {
		if err := w.Check(); err != nil {
			return err
		}
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.checked(s.backend.commit(s.epoch, writes))
}

// Close does nothing: what there is to close belongs to the lease.
func (s *store) Close() error { return nil }

func (s *store) ready(ctx context.Context) error {
	select {
	case <-s.done:
		return fmt.Errorf("epoch %d: %w (the lease has ended)", s.epoch, state.ErrFenced)
	default:
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", state.ErrUnavailable, err)
	}
	return nil
}

// checked ends the lease when a newer epoch was met.
func (s *store) checked(err error) error {
	if errors.Is(err, state.ErrFenced) {
		s.lease.end()
	}
	return err
}

// fence returns state.ErrFenced unless mine is the newest epoch.
func fence(mine, newest int64) error {
	if mine != newest {
		return fmt.Errorf("epoch %d: %w (epoch %d)", mine, state.ErrFenced, newest)
	}
	return nil
}

// apply carries the writes out in order.
func apply(values map[state.Key][]byte, writes []state.Write) {
	for _, w := range writes {
		if w.Value == nil {
			delete(values, w.Key)
		} else {
			values[w.Key] = append([]byte{}, w.Value...)
		}
	}
}

func clone(values map[state.Key][]byte) map[state.Key][]byte {
	out := make(map[state.Key][]byte, len(values))
	for key, value := range values {
		out[key] = append([]byte{}, value...)
	}
	return out
}
