package mesos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mesos/mesos-go/api/v1/lib/encoding"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"go.uber.org/zap"
)

// maxBackoff between two attempts to subscribe (Mesos rule 4).
const maxBackoff = 15 * time.Second

// Driver keeps one subscription. Its methods are safe for concurrent use.
type Driver struct {
	cfg       Config
	log       *zap.Logger
	codec     encoding.Codec
	transport *http.Transport
	client    *http.Client
	leader    leaderSource
	running   atomic.Bool

	mu      sync.Mutex
	current *session // nil: not subscribed
	// frameworkID as the master assigned it to this process. The store may be
	// behind; subscribing without an id again would make a second framework
	// (Mesos rule 8).
	frameworkID string
}

// New checks cfg and makes a driver; nothing is connected before Run.
func New(cfg Config, log *zap.Logger) (*Driver, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("mesos: %w", err)
	}
	m, err := parseMasters(cfg.Masters, cfg.TLS != nil)
	if err != nil {
		return nil, fmt.Errorf("mesos: %w", err)
	}
	codec, err := codecFor(cfg.Encoding)
	if err != nil {
		return nil, fmt.Errorf("mesos: %w", err)
	}
	if t := time.Duration(cfg.Framework.GetFailoverTimeout() * float64(time.Second)); t < minFailoverTimeout {
		log.Warn("failover timeout is below one week: Mesos kills all tasks when the scheduler is away that long",
			zap.Duration("failover_timeout", t))
	}
	d := &Driver{cfg: cfg, log: log, codec: codec, transport: newTransport(cfg)}
	d.client = &http.Client{
		Transport: d.transport,
		// Redirects name another leader: that is for the caller to judge.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if m.zk != nil {
		d.leader = newZKLeader(*m.zk, cfg.ZKTimeout, cfg.TLS != nil, log)
	} else {
		d.leader = &urlList{urls: m.urls}
	}
	return d, nil
}

// Run keeps a subscription until ctx ends, which returns nil, or until it must
// not go on: ErrFailedOver, ErrFrameworkRemoved or ErrRefused. frameworkID
// returns the stored id, "" if the framework is new; it is asked before each
// attempt. All events go to handle, the last Disconnected included.
func (d *Driver) Run(ctx context.Context, frameworkID func() string, handle Handler) error {
	if !d.running.CompareAndSwap(false, true) {
		return errors.New("mesos: the driver runs already")
	}
	defer d.running.Store(false)
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { d.leader.run(ctx) })
	defer func() {
		cancel()
		watching.Wait()
		d.transport.CloseIdleConnections()
	}()

	wait := newBackoff(maxBackoff)
	for {
		base, changed, err := d.leader.next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var lived time.Duration
		if err == nil {
			lived, err = d.subscribe(ctx, base, changed, frameworkID, handle)
		}
		switch {
		case isFatal(err):
			return err
		case ctx.Err() != nil:
			return nil
		case lived >= resetAfter:
			wait.Reset()
		}
		pause := wait.NextBackOff()
		d.log.Warn("not subscribed to Mesos", zap.Stringer("master", base),
			zap.Duration("retry_in", pause), zap.Error(err))
		retry := time.NewTimer(pause)
		select {
		case <-retry.C:
		case <-changed:
			// A new leader is worth a try at once.
			wait.Reset()
		case <-ctx.Done():
		}
		retry.Stop()
	}
}

// Enqueue hands call to the sender of the subscription named by stream, the
// StreamID of its Subscribed. It never blocks. An error (ErrNotSubscribed,
// ErrQueueFull, ErrRejected) means that the call was not taken and surely has
// no effect; no CallFailed follows. Otherwise the call either reaches the
// master, after all calls enqueued before it, or comes back in a CallFailed.
// Reaching the master is not success: that is confirmed by events only (Mesos
// rule 6). The framework id is filled in; call must not be changed afterwards.
func (d *Driver) Enqueue(stream string, call *scheduler.Call) error {
	if err := checkCall(call); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.current
	if s == nil || s.streamID != stream {
		return fmt.Errorf("%w: %s was made for a subscription that has ended", ErrNotSubscribed, call.Type)
	}
	select {
	case s.queue <- call:
		return nil
	default:
		return fmt.Errorf("%w: %d calls wait for the master; %s was not sent", ErrQueueFull, cap(s.queue), call.Type)
	}
}

// Send sends call now, beside the queue, on the present subscription, and waits
// for the master's receipt. For calls whose order does not matter, such as
// TEARDOWN. Errors as in CallFailed.
func (d *Driver) Send(ctx context.Context, call *scheduler.Call) error {
	if err := checkCall(call); err != nil {
		return err
	}
	d.mu.Lock()
	s := d.current
	d.mu.Unlock()
	if s == nil {
		return fmt.Errorf("%w: %s was not sent", ErrNotSubscribed, call.Type)
	}
	_, err := s.send(ctx, call)
	if errors.Is(err, ErrStale) {
		s.giveUp(err)
	}
	return err
}

// checkCall refuses what may never be sent as a call.
func checkCall(call *scheduler.Call) error {
	if call == nil || call.Type == scheduler.Call_UNKNOWN {
		return fmt.Errorf("%w: call has no type", ErrRejected)
	}
	if call.Type == scheduler.Call_SUBSCRIBE {
		return fmt.Errorf("%w: SUBSCRIBE is the driver's own", ErrRejected)
	}
	return nil
}

// identity is the framework id to subscribe with, "" for a new framework.
func (d *Driver) identity(stored string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if stored != "" && d.frameworkID != "" && stored != d.frameworkID {
		return "", fmt.Errorf("%w: the stored framework id %q is not the id %q that Mesos assigned", ErrRefused, stored, d.frameworkID)
	}
	if stored == "" {
		return d.frameworkID, nil
	}
	return stored, nil
}

// open makes s the subscription that calls go to.
func (d *Driver) open(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.frameworkID = s.frameworkID
	d.current = s
}

// close refuses further calls for s.
func (d *Driver) close(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == s {
		d.current = nil
	}
}

// leading is the base URL of the master subscribed to, nil if none.
func (d *Driver) leading() *url.URL {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil {
		return nil
	}
	return d.current.base
}

// Queued is the number of calls that wait for the sender, for a gauge.
func (d *Driver) Queued() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil {
		return 0
	}
	return len(d.current.queue)
}
