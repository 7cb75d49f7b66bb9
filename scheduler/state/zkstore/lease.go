package zkstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/zap"

	"github.com/berthdata/berth/scheduler/state"
)

// errLeaseEnded is the cause of contexts that end with the lease.
var errLeaseEnded = errors.New("the lease has ended")

// resignWithin bounds the deletion of the election znode at the end of a lease;
// closing the session, or its expiry, has the same effect later.
const resignWithin = 2 * time.Second

// Lease is leadership in ZooKeeper. It ends when the holder resigns, when a newer
// epoch or the end of the session is seen, and at the latest at a local deadline
// that the holder can only move by proofs (see keeper).
type Lease struct {
	s         *session
	store     *Store
	epoch     int64
	candidate string
	log       *zap.Logger

	done     chan struct{}
	endOnce  sync.Once
	cause    error         // written before done is closed
	resign   chan struct{} // closed to ask for the end
	resigned sync.Once
	finished chan struct{} // closed when the session is closed
	handover error         // written before finished is closed
}

// Epoch is described at state.Lease.
func (l *Lease) Epoch() int64 { return l.epoch }

// Done is described at state.Lease.
func (l *Lease) Done() <-chan struct{} { return l.done }

// Store is described at state.Lease.
func (l *Lease) Store() state.Store { return l.store }

// Err says why the lease has ended, nil while it is held.
func (l *Lease) Err() error {
	select {
	case <-l.done:
		return l.cause
	default:
		return nil
	}
}

// Resign ends the lease at once, then removes the candidate so that the next one
// leads without waiting for this session to expire. An error means that ZooKeeper
// did not confirm the removal: the next one may have to wait. Later calls return
// the same.
func (l *Lease) Resign() error {
	l.resigned.Do(func() { close(l.resign) })
	<-l.finished
	return l.handover
}

func (l *Lease) end(cause error) {
	l.endOnce.Do(func() {
		l.cause = cause
		close(l.done)
	})
}

// keep holds the lease until it ends, and then hands it over.
func (l *Lease) keep(lastProof time.Time) {
	k := keeper{
		term:  leaseTerm(l.s.timeout()),
		every: proofEvery(l.s.timeout()),
		prove: l.prove,
		lost:  l.s.lost,
		up:    l.s.up,
		stop:  l.resign,
		ended: l.done,
	}
	l.end(k.run(lastProof))
	l.log.Info("leadership ended", zap.Int64("epoch", l.epoch), zap.NamedError("reason", l.cause))

	ctx, cancel := context.WithTimeout(context.Background(), resignWithin)
	_, err := call(ctx, l.s, func() (struct{}, error) { return struct{}{}, l.s.conn.Delete(l.candidate, -1) })
	cancel()
	if err != nil && !errors.Is(err, zk.ErrNoNode) {
		l.handover = explain("delete", l.candidate, err)
	}
	l.s.close()
	close(l.finished)
}

// prove shows that this process leads still: a Multi of two checks, that no newer
// epoch was written and that our candidate, and so our session, exists. A Multi
// goes through the quorum; a read would not do, because a server that was cut off
// from the quorum keeps answering reads for seconds.
func (l *Lease) prove(ctx context.Context) error {
	var results []zk.MultiResponse
	err := l.s.elsewhereAfter(ctx, proofPatience(l.s.timeout()), func(ctx context.Context) (err error) {
		results, err = l.s.multi(ctx, []any{
			&zk.CheckVersionRequest{Path: l.store.layout.epoch(), Version: l.store.fence},
			&zk.CheckVersionRequest{Path: l.candidate, Version: -1},
		})
		return err
	})
	for i, path := range []string{l.store.layout.epoch(), l.candidate} {
		if failed := firstFailure(results); failed == i && !unavailable(err) {
			return fmt.Errorf("%w: %s: %w", errDisproved, path, err)
		}
	}
	return err
}

// errDisproved is prove's answer when somebody else leads or may lead.
var errDisproved = errors.New("leadership is gone")

// leaseTerm is how long a proof lasts, from the moment before it was asked for.
// The server counts the session timeout from when it last heard of the session,
// which is later than that moment, save for the delay of up to half a tick (a
// quarter of the least timeout) with which a follower tells the leader. The third
// that is left covers this delay, clock rates, and the holder's reaction to Done.
func leaseTerm(sessionTimeout time.Duration) time.Duration { return sessionTimeout * 2 / 3 }

// proofEvery leaves room for three failed attempts within a term.
func proofEvery(sessionTimeout time.Duration) time.Duration { return sessionTimeout / 6 }

// proofPatience is after how long a server that leaves a proof unanswered is given up
// for another one. A proof is asked for within a sixth of the session after the last
// that succeeded, so that a sixth remains of the term. Silence alone would be noticed
// too late: other answers may have come since that proof.
func proofPatience(sessionTimeout time.Duration) time.Duration { return sessionTimeout / 3 }

// keeper runs a lease against a deadline: term after the start of the last proof
// that succeeded. Losing the connection alone ends nothing (Mesos rule 58).
type keeper struct {
	term, every time.Duration
	prove       func(context.Context) error
	lost        <-chan struct{} // the session has ended
	up          <-chan struct{} // the connection is back: worth a proof at once
	stop        <-chan struct{} // the holder resigns
	ended       <-chan struct{} // the store has met a newer epoch
}

var errResigned = errors.New("resigned")

// run returns why the lease ended. One proof at most is under way at a time.
func (k *keeper) run(lastProof time.Time) error {
	type proof struct {
		asked time.Time
		err   error
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	expires := lastProof.Add(k.term)
	deadline := time.NewTimer(time.Until(expires))
	defer deadline.Stop()
	due := time.NewTicker(k.every)
	defer due.Stop()
	proofs := make(chan proof, 1)
	underWay := false
	var lastErr error
	ask := func() {
		if underWay {
			return
		}
		underWay = true
		asked := time.Now()
		running.Go(func() { proofs <- proof{asked, k.prove(ctx)} })
	}
	for {
		select {
		case <-k.stop:
			return errResigned
		case <-k.ended:
			return errLeaseEnded
		case <-k.lost:
			return fmt.Errorf("the ZooKeeper session was lost (last failure: %w)", orNone(lastErr))
		case <-deadline.C:
			return fmt.Errorf("no proof of leadership for %v (last failure: %w)", k.term, orNone(lastErr))
		case <-due.C:
			ask()
		case <-k.up:
			ask()
		case p := <-proofs:
			underWay = false
			if errors.Is(p.err, errDisproved) {
				return p.err
			}
			if lastErr = p.err; p.err == nil {
				expires = p.asked.Add(k.term)
				deadline.Reset(time.Until(expires))
			}
		}
		// A process that was stopped for a while finds several cases ready and
		// select picks any: the deadline must win.
		if !time.Now().Before(expires) {
			return fmt.Errorf("no proof of leadership for %v (last failure: %w)", k.term, orNone(lastErr))
		}
	}
}

var errNoFailure = errors.New("none")

func orNone(err error) error {
	if err == nil {
		return errNoFailure
	}
	return err
}
