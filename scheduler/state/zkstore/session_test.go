package zkstore

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/state/statetest"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

// connectResponse is what a server answers to a session request, cut after the
// part that is read here.
func connectResponse(timeout time.Duration) []byte {
	answer := make([]byte, handshakeHead)
	binary.BigEndian.PutUint32(answer, 37)
	binary.BigEndian.PutUint32(answer[8:], uint32(timeout.Milliseconds()))
	return answer
}

func TestSilentServersAreGivenUpEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		var granted time.Duration
		conn := newGuardedConn(near, 30*time.Second, func(d time.Duration) { granted = d })
		silence := func() time.Duration {
			start := time.Now()
			require.NoError(t, conn.SetReadDeadline(start.Add(time.Hour)))
			_, err := conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			return time.Since(start)
		}
		assert.Equal(t, 10*time.Second, silence(), "a third of the session asked for, before the handshake")

		go func() { _, _ = far.Write(connectResponse(12 * time.Second)) }()
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Hour)))
		for range handshakeHead { // in pieces, as networks do
			_, err := conn.Read(make([]byte, 1))
			require.NoError(t, err)
		}
		assert.Equal(t, 12*time.Second, granted)
		assert.Equal(t, 6*time.Second, silence(), "half of the session granted, after it")

		start := time.Now()
		require.NoError(t, conn.SetReadDeadline(start.Add(time.Second)))
		_, err := conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start), "earlier deadlines stay")
	})
}

func TestAnUnansweredRequestEndsTheConnection(t *testing.T) {
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for name, k := range map[string]struct {
		request func(context.Context) error
		cancel  time.Duration // of the caller, 0: never
		before  bool          // it was asked on the connection before this one
		ends    bool
	}{
		"answered":                    {func(context.Context) error { return nil }, 0, false, false},
		"refused":                     {func(context.Context) error { return errAway }, 0, false, false},
		"not answered":                {hang, 0, false, true},
		"not answered by another one": {hang, 0, true, false},
		"the caller ends first":       {hang, time.Second, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				defer far.Close()
				ctx := t.Context()
				if k.cancel > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, k.cancel)
					defer cancel()
				}
				start := time.Now()
				s := &session{transport: near}
				_ = s.elsewhereAfter(ctx, 5*time.Second, func(ctx context.Context) error {
					if k.before {
						s.transport = &net.TCPConn{}
					}
					return k.request(ctx)
				})
				if k.ends {
					assert.Equal(t, 5*time.Second, time.Since(start))
				}
				_ = far.SetReadDeadline(time.Now().Add(time.Second)) // refused once the other end is closed
				_, err := far.Read(make([]byte, 1))
				if k.ends {
					require.ErrorIs(t, err, io.EOF)
				} else {
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				}
			})
		})
	}
}

func TestTheServersTimeoutCounts(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	for asked, want := range map[time.Duration]time.Duration{
		minSessionTimeout: 2 * tick,
		3 * time.Second:   3 * time.Second,
		time.Minute:       20 * tick,
	} {
		lease := win(t, newElectorAt(t, Options{Servers: server.Addr, SessionTimeout: asked}))
		assert.Equal(t, want, lease.s.timeout(), "asked for %v", asked)
		require.NoError(t, lease.Resign())
	}
}

func TestCandidatesAreOrderedByNumber(t *testing.T) {
	assert.Equal(t,
		[]string{"_c_ff-c-0000000002", "_c_aa-c-0000000010", "_c_00-c-0000000011"},
		candidates([]string{"_c_00-c-0000000011", "stray", "_c_ff-c-0000000002", "_c_aa-c-0000000010", "-"}))
}

func TestDeletedCandidateEndsTheLease(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	lease := win(t, newElectorAt(t, Options{Servers: server.Addr}))
	require.NoError(t, raw(t, server.Addr).conn.Delete(lease.candidate, -1))
	awaitEnd(t, lease)
	require.ErrorIs(t, lease.Err(), errDisproved)
	require.NoError(t, lease.Resign())
}

func TestNewerEpochEndsAnIdleLease(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	lease := win(t, newElectorAt(t, Options{Servers: server.Addr}))
	require.NoError(t, lease.Err())
	usurp(t, raw(t, server.Addr), defaultRoot)
	awaitEnd(t, lease)
	require.ErrorIs(t, lease.Err(), errDisproved)
}

func awaitEnd(t *testing.T, lease *Lease) {
	t.Helper()
	select {
	case <-lease.Done():
	case <-time.After(statetest.Patience):
		require.FailNow(t, "the lease did not end")
	}
}

// TestClaimNeedsItsCandidate: a candidate whose session expired unnoticed must not
// raise the epoch under the feet of the one that leads.
func TestClaimNeedsItsCandidate(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	e := newElectorAt(t, Options{Servers: server.Addr})
	lease := win(t, e)
	_, err := e.claim(t.Context(), raw(t, server.Addr), layout{defaultRoot}.election()+"/gone")
	require.ErrorIs(t, err, errStartAgain)
	node, err := lease.s.get(t.Context(), layout{defaultRoot}.epoch())
	require.NoError(t, err)
	assert.Equal(t, "1", string(node.data))
}

// TestCampaignWaitsForZooKeeper: starting before ZooKeeper does is not an error.
func TestCampaignWaitsForZooKeeper(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	p := newProxy(t, server.Addr)
	p.set(func() { p.away = true })
	e := newElectorAt(t, Options{Servers: p.addr(), SessionTimeout: minSessionTimeout})
	won := make(chan error, 1)
	go func() {
		_, err := e.Campaign(t.Context(), "http://patient.example")
		won <- err
	}()
	select {
	case err := <-won:
		require.FailNow(t, "won without ZooKeeper", "%v", err)
	case <-time.After(4 * minSessionTimeout): // longer than one attempt
	}
	p.set(func() { p.away = false })
	select {
	case err := <-won:
		require.NoError(t, err)
	case <-time.After(statetest.Patience):
		require.FailNow(t, "did not win after ZooKeeper came")
	}
}

// TestWaitingCandidateGivesUpADeadSession: a client that cannot connect is never
// told that its session has expired. It must dial anew, because only then are host
// names resolved again.
func TestWaitingCandidateGivesUpADeadSession(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	win(t, newElectorAt(t, Options{Servers: server.Addr}))
	p := newProxy(t, server.Addr)
	e := newElectorAt(t, Options{Servers: p.addr(), SessionTimeout: minSessionTimeout})
	s, err := dial(t.Context(), e.t)
	require.NoError(t, err)
	t.Cleanup(s.close)
	own, err := s.conn.CreateProtectedEphemeralSequential(e.t.layout.election()+"/c-", nil, e.t.acl)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- e.awaitTurn(t.Context(), s, own) }()
	p.set(func() { p.away = true })
	select {
	case err := <-ended:
		require.ErrorIs(t, err, errStartAgain)
	case <-time.After(statetest.Patience):
		require.FailNow(t, "still waiting")
	}
}

// TestWaitingCandidateOutlastsItsSession: it starts again, and wins in the end.
func TestWaitingCandidateOutlastsItsSession(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	lease := win(t, newElectorAt(t, Options{Servers: server.Addr}))
	p := newProxy(t, server.Addr)
	waiting := newElectorAt(t, Options{Servers: p.addr(), SessionTimeout: minSessionTimeout})
	won := make(chan error, 1)
	go func() {
		_, err := waiting.Campaign(t.Context(), "http://waiting.example")
		won <- err
	}()
	s := raw(t, server.Addr)
	count := func() int {
		names, err := s.children(t.Context(), layout{defaultRoot}.election())
		require.NoError(t, err)
		return len(names)
	}
	await := func(n int) {
		t.Helper()
		poll := time.NewTicker(20 * time.Millisecond)
		defer poll.Stop()
		deadline := time.After(statetest.Patience)
		for count() != n {
			select {
			case <-poll.C:
			case <-deadline:
				require.FailNow(t, "timeout", "want %d candidates, have %d", n, count())
			}
		}
	}
	await(2)
	p.set(func() { p.frozen = true })
	await(1)
	p.set(func() { p.frozen = false })
	await(2)
	require.NoError(t, lease.Resign())
	select {
	case err := <-won:
		require.NoError(t, err)
	case <-time.After(statetest.Patience):
		require.FailNow(t, "the candidate gave up")
	}
}
