package zkstore

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

// TestSnapshotOutlastsALostConnection: the answer with the large record is lost.
func TestSnapshotOutlastsALostConnection(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	lease := win(t, newElectorAt(t, Options{Servers: server.Addr}))
	big := bytes.Repeat([]byte("x"), 2*largeFrame)
	require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{{Key: "slots/big", Value: big}, put("slots/a", "1")}))
	p := newProxy(t, server.Addr)
	p.set(func() { p.loseReply = true })
	values, _, err := newElectorAt(t, Options{Servers: p.addr()}).Snapshot(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[state.Key][]byte{"slots/big": big, "slots/a": []byte("1")}, values)
	p.set(func() { assert.False(t, p.loseReply, "no answer was lost: this test proves nothing") })
}

// TestEventsMissedAreNoQuiet: a new connection's silence says nothing about what
// changed before it.
func TestEventsMissedAreNoQuiet(t *testing.T) {
	session := func(s zk.State) zk.Event { return zk.Event{Type: zk.EventSession, State: s} }
	for name, test := range map[string]struct {
		events []zk.Event
		cut    bool
	}{
		"a server refused before another took us": {[]zk.Event{session(zk.StateDisconnected), session(zk.StateHasSession)}, false},
		"the connection was lost":                 {[]zk.Event{session(zk.StateHasSession), session(zk.StateDisconnected)}, true},
		"and came back":                           {[]zk.Event{session(zk.StateHasSession), session(zk.StateDisconnected), session(zk.StateConnected), session(zk.StateHasSession)}, true},
		"the session expired":                     {[]zk.Event{session(zk.StateHasSession), session(zk.StateExpired)}, true},
		"a watch was dropped":                     {[]zk.Event{session(zk.StateHasSession), {Type: zk.EventNotWatching, Path: "/x"}}, true},
	} {
		sn := &snapshot{fired: map[string]bool{}}
		for _, ev := range test.events {
			sn.event(ev)
		}
		_, err := sn.takeFired()
		if test.cut {
			assert.ErrorIs(t, err, state.ErrUnavailable, name)
		} else {
			assert.NoError(t, err, name)
		}
	}
}

// TestSnapshotThroughAFollower: another server than the leader's may lag behind.
func TestSnapshotThroughAFollower(t *testing.T) {
	ensemble := zookeeper.RunEnsemble(t, zookeeper.Options{Tick: tick})
	lease := win(t, newElectorAt(t, Options{Servers: ensemble.Servers[0].Addr}))
	readers := []*Elector{newElectorAt(t, Options{Servers: ensemble.Servers[1].Addr}), newElectorAt(t, Options{Servers: ensemble.Servers[2].Addr})}
	for n := range 20 {
		text := fmt.Sprint(n)
		require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{put("pair/left", "%d", n), put("pair/right", "%d", n)}))
		for _, reader := range readers {
			values, position, err := reader.Snapshot(t.Context())
			require.NoError(t, err)
			assert.Equal(t, map[state.Key][]byte{"pair/left": []byte(text), "pair/right": []byte(text)}, values)
			assert.Equal(t, state.Position{Epoch: 1, Commit: int64(n + 1)}, position)
		}
	}
}

func TestSnapshotRefusesWhatIsNotBerths(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	lease := win(t, newElectorAt(t, Options{Servers: server.Addr}))
	require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{put("slots/a", "1")}))
	s := raw(t, server.Addr)
	_, err := s.conn.Create("/berth/state/slots/00", nil, 0, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	_, err = s.conn.Create("/berth/state/slots/00/stray", nil, 0, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	_, _, err = newElectorAt(t, Options{Servers: server.Addr}).Snapshot(t.Context())
	require.ErrorContains(t, err, "/berth/state/slots/00/stray is in the wrong place")
}

func TestSnapshotNeedsTheCredentials(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	lease := win(t, newElectorAt(t, Options{Servers: server.Addr, Auth: "berth:right"}))
	require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{put("slots/a", "1")}))
	_, _, err := newElectorAt(t, Options{Servers: server.Addr}).Snapshot(t.Context())
	require.ErrorContains(t, err, "credentials")
	values, _, err := newElectorAt(t, Options{Servers: server.Addr, Auth: "berth:right"}).Snapshot(t.Context())
	require.NoError(t, err)
	assert.Len(t, values, 1)
}

func TestSnapshotIsUnavailableWithoutZooKeeper(t *testing.T) {
	e := newElectorAt(t, Options{Servers: newProxy(t, "127.0.0.1:1").addr(), SessionTimeout: minSessionTimeout})
	_, _, err := e.Snapshot(t.Context())
	require.ErrorIs(t, err, state.ErrUnavailable)
	require.NoError(t, e.Close())
	_, _, err = e.Snapshot(t.Context())
	require.ErrorIs(t, err, errClosed)
}
