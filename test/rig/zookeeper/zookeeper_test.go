package zookeeper

import (
	"net"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func connect(t *testing.T, addr string) *zk.Conn {
	conn, events, err := zk.Connect([]string{addr}, 10*time.Second, zk.WithLogInfo(false))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	for {
		select {
		case ev := <-events:
			if ev.State == zk.StateHasSession {
				return conn
			}
		case <-time.After(30 * time.Second):
			require.FailNow(t, "no session")
		}
	}
}

func TestServerKeepsDataAndAddressOverRestarts(t *testing.T) {
	s := Run(t, Options{Tick: 200 * time.Millisecond})
	_, err := connect(t, s.Addr).Create("/kept", []byte("x"), 0, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	host, _, err := net.SplitHostPort(s.Addr)
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1", host)

	addr, first := s.Addr, s.Pid()
	for _, stop := range []func() error{s.Stop, s.Kill} {
		require.NoError(t, stop())
		assert.Zero(t, s.Pid())
		_, err = s.Mode()
		require.Error(t, err)
		require.NoError(t, s.Restart(t.Context()))
		assert.Equal(t, addr, s.Addr)
		assert.NotEqual(t, first, s.Pid())
		data, _, err := connect(t, s.Addr).Get("/kept")
		require.NoError(t, err)
		assert.Equal(t, "x", string(data))
	}
}

func TestPauseFreezesAndResumeThaws(t *testing.T) {
	s := Run(t, Options{})
	mode, err := s.Mode()
	require.NoError(t, err)
	assert.Equal(t, "standalone", mode)
	require.NoError(t, s.Pause())
	_, err = s.Mode()
	require.Error(t, err)
	require.NoError(t, s.Resume())
	require.NoError(t, s.awaitServing(t.Context()))
	require.NoError(t, s.Pause())
	require.NoError(t, s.Stop(), "a paused server can be stopped")
}

func TestEnsembleSurvivesTheLossOfItsLeader(t *testing.T) {
	e := RunEnsemble(t, Options{Tick: 200 * time.Millisecond})
	leader := e.Leader()
	require.NotNil(t, leader)
	require.NoError(t, leader.Kill())
	deadline := time.After(30 * time.Second)
	for tick := time.NewTicker(pollEvery); e.Leader() == nil; {
		select {
		case <-tick.C:
		case <-deadline:
			require.FailNow(t, "no new leader")
		}
	}
	require.NoError(t, leader.Restart(t.Context()))
}

func TestFindNamesTheRemedy(t *testing.T) {
	t.Setenv(ClasspathVariable, "/some/zookeeper.jar")
	found, err := Find()
	require.NoError(t, err)
	assert.Equal(t, "/some/zookeeper.jar", found)
	t.Setenv("JAVA_HOME", "")
	t.Setenv("PATH", t.TempDir())
	_, err = Find()
	require.ErrorContains(t, err, "apt-get install zookeeper")
}
