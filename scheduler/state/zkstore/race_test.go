package zkstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/scheduler/state/statetest"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

// leaderVariable makes the test binary a leader process on this server.
const leaderVariable = "BERTH_ZKSTORE_TEST_LEADER"

// raceSession is short: every round of the race waits for an expiry.
const raceSession = 4 * tick

func TestMain(m *testing.M) {
	if server := os.Getenv(leaderVariable); server != "" {
		if err := leadAndWrite(server); err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// leadAndWrite campaigns and then commits as fast as it can, over every outage,
// until it is fenced.
// It tells of each step on standard output.
func leadAndWrite(server string) error {
	e, err := New(Options{Servers: server, SessionTimeout: raceSession})
	if err != nil {
		return err
	}
	lease, err := e.Campaign(context.Background(), fmt.Sprintf("http://%d.example", os.Getpid()))
	if err != nil {
		return err
	}
	fmt.Println("leads", lease.Epoch())
	for n := 1; ; n++ {
		err := lease.Store().Commit(context.Background(), []state.Write{
			put("race/last", "%d %d", lease.Epoch(), n),
			put(fmt.Sprintf("race/by-%d", lease.Epoch()), "%d", n),
		})
		if errors.Is(err, state.ErrUnavailable) {
			continue // as the contract asks: only the fence may stop a leader
		}
		if err != nil {
			<-lease.Done()
			fmt.Println("fenced", n, err)
			return e.Close()
		}
		if n == 1 {
			fmt.Println("wrote")
		}
	}
}

func put(key, format string, args ...any) state.Write {
	return state.Write{Key: state.Key(key), Value: []byte(fmt.Sprintf(format, args...))}
}

// leaderProcess is a child that runs leadAndWrite.
type leaderProcess struct {
	cmd   *exec.Cmd
	lines chan string
}

func startLeader(t *testing.T, server string) *leaderProcess {
	t.Helper()
	p := &leaderProcess{cmd: exec.Command(os.Args[0]), lines: make(chan string, 16)}
	p.cmd.Env = append(os.Environ(), leaderVariable+"="+server)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-read
		_ = p.cmd.Wait()
	})
	return p
}

func (p *leaderProcess) await(t *testing.T, word string) string {
	t.Helper()
	select {
	case line := <-p.lines:
		require.True(t, strings.HasPrefix(line, word), "want %q, got %q", word, line)
		return line
	case <-time.After(statetest.Patience):
		require.FailNow(t, "timeout", "waiting for %q", word)
		return ""
	}
}

func (p *leaderProcess) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(sig))
}

// TestPausedLeaderWritesNothingAfterItsSuccessor: leaders take turns; each is
// stopped while it writes, woken when its successor has written, and must not have
// written again.
func TestPausedLeaderWritesNothingAfterItsSuccessor(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	s := raw(t, server.Addr)
	read := func(key state.Key) string {
		_, _, path := layout{defaultRoot}.node(key)
		node, err := s.get(t.Context(), path)
		require.NoError(t, err)
		return string(node.data)
	}
	old := startLeader(t, server.Addr)
	old.await(t, "leads 1")
	old.await(t, "wrote")
	for epoch := 2; epoch <= 4; epoch++ {
		old.signal(t, syscall.SIGSTOP)
		next := startLeader(t, server.Addr)
		next.await(t, fmt.Sprintf("leads %d", epoch))
		next.await(t, "wrote")
		mine := state.Key(fmt.Sprintf("race/by-%d", epoch-1))
		last := read(mine)
		old.signal(t, syscall.SIGCONT)
		old.await(t, "fenced")
		assert.Equal(t, last, read(mine), "the old leader wrote after its successor")
		assert.True(t, strings.HasPrefix(read("race/last"), fmt.Sprint(epoch, " ")))
		old = next
	}
}

// TestLostMultiCannotLandLater: a Multi whose answer was lost may still be on its
// way when the next commit is made; it must then fail, whatever it contains.
func TestLostMultiCannotLandLater(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	lease := win(t, newElectorAt(t, Options{Servers: server.Addr}))
	st := lease.store
	_, err := st.Load(t.Context())
	require.NoError(t, err)
	require.NoError(t, st.Commit(t.Context(), []state.Write{put("slots/a", "1"), put("slots/b", "1")}))
	late := st.build([]state.Write{put("slots/a", "late"), put("slots/new", "late")})
	require.NoError(t, st.Commit(t.Context(), []state.Write{{Key: "slots/new"}, put("slots/b", "2")}))

	_, err = raw(t, server.Addr).multi(t.Context(), late.ops)
	require.Error(t, err)
	values, err := st.Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[state.Key][]byte{"slots/a": []byte("1"), "slots/b": []byte("2")}, values)
}

// TestAbandonedCommit: the caller gave up waiting, the commit went on, and the
// caller goes on with other writes.
func TestAbandonedCommit(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	p := newProxy(t, server.Addr)
	lease := win(t, newElectorAt(t, Options{Servers: p.addr()}))
	require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{put("slots/a", "1")}))
	p.set(func() { p.frozen = true })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := lease.Store().Commit(ctx, []state.Write{put("slots/a", "2"), put("slots/b", "2")})
	require.ErrorIs(t, err, state.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	p.set(func() { p.frozen = false })
	require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{put("slots/a", "3"), {Key: "slots/b"}}))
	values, err := lease.Store().Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[state.Key][]byte{"slots/a": []byte("3")}, values)
}

// TestZnodesChangedByHand: an operator's deletion or creation must not stop Berth.
func TestZnodesChangedByHand(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	lease := win(t, newElectorAt(t, Options{Servers: server.Addr}))
	s := raw(t, server.Addr)
	_, err := lease.Store().Load(t.Context())
	require.NoError(t, err)
	require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{put("slots/a", "1"), put("slots/b", "1")}))
	for _, key := range []state.Key{"slots/a", "slots/b"} {
		_, _, path := layout{defaultRoot}.node(key)
		require.NoError(t, s.conn.Delete(path, -1))
	}
	require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{put("slots/a", "2"), {Key: "slots/b"}}))
	values, err := lease.Store().Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[state.Key][]byte{"slots/a": []byte("2")}, values)
}

// TestLeaseOutlastsLossesInTheEnsemble has the session of the default: once a server
// that hangs is given up, a sixth of it is left to go on with another one.
func TestLeaseOutlastsLossesInTheEnsemble(t *testing.T) {
	ensemble := zookeeper.RunEnsemble(t, zookeeper.Options{Tick: defaultSessionTimeout / 20})
	var followers []*zookeeper.Server
	var addrs []string
	for _, s := range ensemble.Servers {
		if mode, err := s.Mode(); err == nil && mode == "follower" {
			followers = append(followers, s)
			addrs = append(addrs, s.Addr)
		}
	}
	require.Len(t, followers, 2)
	lease := win(t, newElectorAt(t, Options{Servers: strings.Join(addrs, ","), SessionTimeout: defaultSessionTimeout, Log: zaptest.NewLogger(t)}))
	write := func(n int) {
		t.Helper()
		again := time.NewTicker(50 * time.Millisecond)
		defer again.Stop()
		for {
			err := lease.Store().Commit(t.Context(), []state.Write{put("slots/a", "%d", n)})
			if err == nil {
				break
			}
			require.ErrorIs(t, err, state.ErrUnavailable)
			<-again.C
		}
		require.NoError(t, lease.Err())
	}
	write(0)
	connected := func() *zookeeper.Server {
		for _, s := range followers {
			if s.Addr == lease.s.conn.Server() {
				return s
			}
		}
		require.FailNow(t, "connected to no follower")
		return nil
	}
	session := lease.s.conn.SessionID()

	frozen := connected()
	require.NoError(t, frozen.Pause())
	write(1)
	assert.NotEqual(t, frozen, connected(), "the client moved to the other server")
	require.NoError(t, frozen.Resume())
	awaitFollowing(t, frozen) // the ensemble bears one loss at a time

	killed := connected()
	require.NoError(t, killed.Kill())
	write(2)
	assert.Equal(t, frozen, connected())
	assert.Equal(t, session, lease.s.conn.SessionID(), "all within one session")
	values, err := lease.Store().Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[state.Key][]byte{"slots/a": []byte("2")}, values)
}

// awaitFollowing returns when a server is of the quorum (again): it answers a sync,
// which goes through the leader.
func awaitFollowing(t *testing.T, server *zookeeper.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), statetest.Patience)
	defer cancel()
	s := raw(t, server.Addr)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := s.sync(ctx, "/")
		if err == nil {
			return
		}
		require.NoError(t, ctx.Err(), "the server did not come back to its ensemble: %v", err)
		<-again.C
	}
}

func TestStateSurvivesTheServersCrash(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick, Fsync: true})
	e := newElectorAt(t, Options{Servers: server.Addr})
	lease := win(t, e)
	require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{put("slots/a", "1")}))
	require.NoError(t, server.Kill())
	require.NoError(t, server.Restart(t.Context()))
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for err := state.ErrUnavailable; err != nil; <-again.C {
		err = lease.Store().Commit(t.Context(), []state.Write{put("slots/b", "1")})
		if err != nil {
			require.ErrorIs(t, err, state.ErrUnavailable, "a restart within the lease's term costs nothing but time")
		}
	}
	values, err := lease.Store().Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[state.Key][]byte{"slots/a": []byte("1"), "slots/b": []byte("1")}, values)
}
