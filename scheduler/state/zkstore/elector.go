package zkstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-zookeeper/zk"
	"go.uber.org/zap"

	"github.com/berthdata/berth/scheduler/state"
)

const (
	campaignBackoffMin = 200 * time.Millisecond
	campaignBackoffMax = 5 * time.Second
	// waitFailures is how often in a row a waiting candidate may fail to look at
	// the election before it starts again with a new session.
	waitFailures = 3
	// claimAttempts bounds the races for the epoch znode within one candidacy.
	claimAttempts = 8
	// leaderAttempts bounds how often Leader looks again after a candidate went
	// away between listing and reading it.
	leaderAttempts = 5
)

// Elector elects one leader among the processes that share a ZooKeeper path.
// Every candidacy has a session of its own, so that an abandoned one takes its
// znodes with it.
type Elector struct {
	t      *target
	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	closed bool
	active sync.WaitGroup // campaigns, leases and snapshots; grows under mu while not closed

	// observer has one element, the session that Leader reads with or nil: who
	// needs it takes it out, and can give up waiting for it.
	observer chan *session
}

// errClosed is the cause of contexts that end with Close.
var errClosed = errors.New("the elector was closed")

// New checks the options. It does not connect: Campaign and Leader do, and wait
// for ZooKeeper if it is away.
func New(o Options) (*Elector, error) {
	t, err := o.target()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	e := &Elector{t: t, ctx: ctx, cancel: cancel, observer: make(chan *session, 1)}
	e.observer <- nil
	return e, nil
}

// candidate is the value of an election znode.
type candidate struct {
	Advertise string `json:"advertise"`
}

// errStartAgain: this candidacy cannot win any more, a new one can.
var errStartAgain = errors.New("candidacy lost")

// Campaign is described at state.Elector. It outlasts outages of ZooKeeper; it
// fails when ctx ends, when the elector is closed, and when ZooKeeper refuses
// access or holds an epoch that is no number. The lease is a *Lease.
func (e *Elector) Campaign(ctx context.Context, advertise string) (state.Lease, error) {
	ctx, release, err := e.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = campaignBackoffMin, campaignBackoffMax
	for {
		lease, err := e.candidacy(ctx, advertise)
		switch {
		case err == nil:
			return lease, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("campaign ended before it was won: %w (%w)", context.Cause(ctx), err)
		case !errors.Is(err, state.ErrUnavailable) && !errors.Is(err, errStartAgain):
			return nil, err
		}
		pause := wait.NextBackOff()
		e.t.log.Warn("campaign interrupted", zap.Error(err), zap.Duration("again_in", pause))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// enter is join for what Close must wait for, until release is called.
func (e *Elector) enter(ctx context.Context) (_ context.Context, release func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, nil, errClosed
	}
	e.active.Add(1)
	ctx, leave := e.join(ctx)
	return ctx, func() { leave(); e.active.Done() }, nil
}

// join returns a context that ends with ctx or with the elector.
func (e *Elector) join(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	unlink := context.AfterFunc(e.ctx, func() { cancel(errClosed) })
	return ctx, func() { unlink(); cancel(nil) }
}

// candidacy is one attempt on one session.
func (e *Elector) candidacy(ctx context.Context, advertise string) (*Lease, error) {
	value, err := json.Marshal(candidate{advertise})
	if err != nil {
		return nil, fmt.Errorf("advertised address: %w", err)
	}
	s, err := dial(ctx, e.t)
	if err != nil {
		return nil, err
	}
	lease, err := e.win(ctx, s, value)
	if err != nil {
		s.close()
		return nil, err
	}
	return lease, nil
}

func (e *Elector) win(ctx context.Context, s *session, value []byte) (*Lease, error) {
	l := e.t.layout
	for path, data := range map[string][]byte{l.election(): {}, l.state(): {}, l.epoch(): []byte("0"), l.commit(): []byte("0")} {
		if err := s.ensure(ctx, path, data, e.t.acl); err != nil {
			return nil, err
		}
	}
	// Protected: if the connection breaks while the znode is being created, the
	// client finds it again by its random prefix. If even that fails, closing
	// the session removes it.
	path, err := call(ctx, s, func() (string, error) {
		return s.conn.CreateProtectedEphemeralSequential(l.election()+"/c-", value, e.t.acl)
	})
	if err != nil {
		return nil, explain("create a candidate in", l.election(), err)
	}
	e.t.log.Info("candidate for leadership", zap.String("znode", path))
	if err := e.awaitTurn(ctx, s, path); err != nil {
		return nil, err
	}
	return e.claim(ctx, s, path)
}

// awaitTurn returns when no candidate is before ours. Each waits for its
// predecessor alone, so that a departure wakes one process.
func (e *Elector) awaitTurn(ctx context.Context, s *session, own string) error {
	recheck := time.NewTicker(s.timeout())
	defer recheck.Stop()
	var watched string
	var gone <-chan zk.Event
	failures := 0
	for {
		predecessor, err := e.predecessor(ctx, s, own)
		if err == nil && predecessor == "" {
			return nil
		}
		if err == nil && predecessor != watched {
			watched, gone, err = e.watch(ctx, s, predecessor)
			if err == nil && gone == nil {
				continue // it went away in between
			}
		}
		switch {
		case err == nil:
			failures = 0
		case errors.Is(err, errStartAgain) || !errors.Is(err, state.ErrUnavailable):
			return err
		default:
			if failures++; failures >= waitFailures {
				return fmt.Errorf("%w: %w", errStartAgain, err)
			}
		}
		select {
		case <-ctx.Done():
			return noAnswer(ctx)
		case <-s.lost:
			return fmt.Errorf("%w: the ZooKeeper session was lost", errStartAgain)
		case <-gone:
			watched, gone = "", nil
		case <-recheck.C:
		}
	}
}

// predecessor returns the path of the candidate just before own, "" if own is
// the first, errStartAgain if own is gone.
func (e *Elector) predecessor(ctx context.Context, s *session, own string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout())
	defer cancel()
	names, err := s.children(ctx, e.t.layout.election())
	if err != nil {
		return "", explain("list", e.t.layout.election(), err)
	}
	queue := candidates(names)
	i := slices.Index(queue, own[strings.LastIndexByte(own, '/')+1:])
	switch {
	case i < 0:
		return "", fmt.Errorf("%w: %s is gone", errStartAgain, own)
	case i == 0:
		return "", nil
	}
	return e.t.layout.election() + "/" + queue[i-1], nil
}

// watch returns a channel that delivers when the path changes or the session
// ends, and nil when the path does not exist.
func (e *Elector) watch(ctx context.Context, s *session, path string) (string, <-chan zk.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout())
	defer cancel()
	events, err := call(ctx, s, func() (<-chan zk.Event, error) {
		found, _, events, err := s.conn.ExistsW(path)
		if !found {
			return nil, err
		}
		return events, err
	})
	if err != nil || events == nil {
		return "", nil, explain("watch", path, err)
	}
	return path, events, nil
}

// candidates returns the election's znode names in the order of their sequence
// numbers; the random prefix comes first in the name and must not count. Names
// without a number are not candidates.
func candidates(names []string) []string {
	sequence := func(name string) int {
		n, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
		if err != nil {
			return -1
		}
		return n
	}
	queue := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return sequence(name) < 0 })
	slices.SortFunc(queue, func(a, b string) int { return cmp.Compare(sequence(a), sequence(b)) })
	return queue
}

// claim writes a new epoch, on condition that our candidate still exists and that
// nobody else has written one meanwhile, and starts the lease.
func (e *Elector) claim(ctx context.Context, s *session, own string) (*Lease, error) {
	path := e.t.layout.epoch()
	for range claimAttempts {
		node, err := s.get(ctx, path)
		if err != nil {
			return nil, explain("read", path, err)
		}
		last, err := strconv.ParseInt(string(node.data), 10, 64)
		if err != nil || last < 0 {
			return nil, fmt.Errorf("zookeeper: %s holds %q instead of a decimal epoch: "+
				"set it to a number that no leader has had yet", path, node.data)
		}
		epoch, asked := last+1, time.Now()
		results, err := s.multi(ctx, []any{
			&zk.CheckVersionRequest{Path: own, Version: -1},
			&zk.SetDataRequest{Path: path, Data: []byte(strconv.FormatInt(epoch, 10)), Version: node.stat.Version},
		})
		switch {
		case err == nil:
			return e.lease(s, own, epoch, results[1].Stat.Version, asked), nil
		case firstFailure(results) == 0:
			return nil, fmt.Errorf("%w: %s is gone", errStartAgain, own)
		case errors.Is(err, zk.ErrBadVersion):
			continue // our own lost claim, or that of a leader that is on its way out
		}
		// If the answer was lost the epoch may be written: the next candidacy
		// writes a higher one.
		return nil, explain("write a new epoch to", path, err)
	}
	return nil, fmt.Errorf("%w: %s changed %d times while it was being claimed", errStartAgain, path, claimAttempts)
}

func (e *Elector) lease(s *session, own string, epoch int64, fence int32, asked time.Time) *Lease {
	l := &Lease{
		s: s, epoch: epoch, candidate: own, log: e.t.log,
		done: make(chan struct{}), resign: make(chan struct{}), finished: make(chan struct{}),
	}
	l.store = newStore(s, e.t, epoch, fence, l.done, l.end)
	e.t.log.Info("leading", zap.Int64("epoch", epoch), zap.Duration("session_timeout", s.timeout()))
	stop := context.AfterFunc(e.ctx, func() { l.resigned.Do(func() { close(l.resign) }) })
	e.active.Go(func() {
		defer stop()
		l.keep(asked)
	})
	return l
}

// Leader is described at state.Elector. It answers from the server that it is
// connected to, which may be a moment behind. It waits for ZooKeeper for one
// session timeout at most; its error then is state.ErrUnavailable.
func (e *Elector) Leader(ctx context.Context) (string, error) {
	ctx, release := e.join(ctx)
	defer release()
	ctx, cancel := context.WithTimeout(ctx, e.t.timeout)
	defer cancel()
	s, err := e.observe(ctx)
	if err != nil {
		return "", err
	}
	address, err := readLeader(ctx, s, e.t.layout.election())
	if errors.Is(err, state.ErrUnavailable) {
		e.unobserve(s) // the next call dials, and resolves host names, anew
	}
	return address, err
}

func readLeader(ctx context.Context, s *session, election string) (string, error) {
	for range leaderAttempts {
		names, err := s.children(ctx, election)
		if errors.Is(err, zk.ErrNoNode) {
			return "", nil
		}
		if err != nil {
			return "", explain("list", election, err)
		}
		queue := candidates(names)
		if len(queue) == 0 {
			return "", nil
		}
		path := election + "/" + queue[0]
		node, err := s.get(ctx, path)
		if errors.Is(err, zk.ErrNoNode) {
			continue
		}
		if err != nil {
			return "", explain("read", path, err)
		}
		var c candidate
		if err := json.Unmarshal(node.data, &c); err != nil {
			return "", fmt.Errorf("zookeeper: %s holds %.100q: %w", path, node.data, err)
		}
		return c.Advertise, nil
	}
	return "", nil
}

// observe returns the session that Leader reads with, opened when first needed.
func (e *Elector) observe(ctx context.Context) (*session, error) {
	var s *session
	select {
	case s = <-e.observer:
	case <-ctx.Done():
		return nil, noAnswer(ctx)
	}
	defer func() { e.observer <- s }()
	if s != nil {
		select {
		case <-s.lost:
			s.close()
			s = nil
		default:
			return s, nil
		}
	}
	if e.ctx.Err() != nil {
		return nil, errClosed
	}
	fresh, err := dial(ctx, e.t)
	if err != nil {
		return nil, err
	}
	s = fresh
	return s, nil
}

// unobserve closes the session if it still is the observer.
func (e *Elector) unobserve(s *session) {
	current := <-e.observer
	if current == s && s != nil {
		s.close()
		current = nil
	}
	e.observer <- current
}

// Close ends campaigns and resigns leases, and returns when their sessions are
// closed. The error is always nil.
func (e *Elector) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel(errClosed)
	e.active.Wait()
	current := <-e.observer
	if current != nil {
		current.close()
	}
	e.observer <- nil
	return nil
}
