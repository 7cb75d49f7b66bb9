package zkstore

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/scheduler/state/statetest"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

const (
	// tick is short so that expiry is; 20 of them are the longest session.
	tick        = 300 * time.Millisecond
	testSession = 20 * tick
)

// root returns a path that no other test uses.
func root() string { return fmt.Sprintf("/test-%d/berth", roots.Add(1)) }

var roots atomic.Int64

func newElectorAt(t *testing.T, o Options) *Elector {
	t.Helper()
	if o.SessionTimeout == 0 {
		o.SessionTimeout = testSession
	}
	if o.Log == nil {
		o.Log = zaptest.NewLogger(t)
	}
	e, err := New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

func win(t *testing.T, e *Elector) *Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), statetest.Patience)
	defer cancel()
	lease, err := e.Campaign(ctx, "http://leader.example:8080")
	require.NoError(t, err)
	return lease.(*Lease)
}

// raw is a plain client of the server.
func raw(t *testing.T, addr string) *session {
	t.Helper()
	target, err := Options{Servers: addr, SessionTimeout: testSession}.target()
	require.NoError(t, err)
	s, err := dial(t.Context(), target)
	require.NoError(t, err)
	t.Cleanup(s.close)
	return s
}

func usurp(t *testing.T, s *session, root string) {
	t.Helper()
	path := layout{root}.epoch()
	node, err := s.get(t.Context(), path)
	require.NoError(t, err)
	var epoch int64
	_, err = fmt.Sscan(string(node.data), &epoch)
	require.NoError(t, err)
	_, err = s.conn.Set(path, []byte(fmt.Sprint(epoch+1)), node.stat.Version)
	require.NoError(t, err)
}

func TestConforms(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	statetest.Run(t, func(t *testing.T) *statetest.Backend {
		root := root()
		return &statetest.Backend{
			Usurp: func(t *testing.T) { usurp(t, raw(t, server.Addr), root) },
			Candidate: func(t *testing.T) *statetest.Candidate {
				p := newProxy(t, server.Addr)
				return &statetest.Candidate{
					Elector: newElectorAt(t, Options{Servers: p.addr(), Root: root}),
					Expire:  func(*testing.T) { p.set(func() { p.frozen = true }) },
					Outage: func(*testing.T) func() {
						p.set(func() { p.away = true })
						return func() { p.set(func() { p.away = false }) }
					},
					LoseAnswer:  func(*testing.T) { p.set(func() { p.loseReply = true }) },
					LoseRequest: func(*testing.T) { p.set(func() { p.loseRequest = true }) },
				}
			},
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for servers, want := range map[string]struct {
		servers []string
		root    string
	}{
		"zk1":                          {[]string{"zk1:2181"}, "/berth"},
		"zk1:1,zk2:2":                  {[]string{"zk1:1", "zk2:2"}, "/berth"},
		"zk1:1, zk2:2/platform/data":   {[]string{"zk1:1", "zk2:2"}, "/platform/data/berth"},
		"zk1:1/platform/":              {[]string{"zk1:1"}, "/platform/berth"},
		"[2001:db8::1]:2181,127.0.0.1": {[]string{"[2001:db8::1]:2181", "127.0.0.1:2181"}, "/berth"},
	} {
		target, err := Options{Servers: servers}.target()
		require.NoError(t, err, servers)
		assert.Equal(t, want.servers, target.servers, servers)
		assert.Equal(t, want.root, target.layout.root, servers)
		assert.Equal(t, defaultSessionTimeout, target.timeout)
	}
	for name, bad := range map[string]Options{
		"no server":     {},
		"empty host":    {Servers: "zk1:1,,zk2:2"},
		"double slash":  {Servers: "zk1:1/a//b"},
		"relative":      {Servers: "zk1:1/../b"},
		"short session": {Servers: "zk1:1", SessionTimeout: time.Millisecond},
		"no password":   {Servers: "zk1:1", Auth: "berth"},
		"no user":       {Servers: "zk1:1", Auth: ":secret"},
	} {
		_, err := New(bad)
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), "secret", "errors do not show credentials")
	}
}

func TestLayoutIsAsDocumented(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	s := raw(t, server.Addr)
	lease := win(t, newElectorAt(t, Options{Servers: server.Addr + "/platform"}))
	require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{
		{Key: "slots/sec-events-data-0", Value: []byte(`{"v":1}`)},
	}))
	for path, want := range map[string]string{
		"/platform/berth/epoch":                            "1",
		"/platform/berth/commit":                           "1",
		"/platform/berth/state/slots/26/sec-events-data-0": `{"v":1}`,
	} {
		node, err := s.get(t.Context(), path)
		require.NoError(t, err, path)
		assert.Equal(t, want, string(node.data), path)
	}
	names, err := s.children(t.Context(), "/platform/berth/election")
	require.NoError(t, err)
	require.Len(t, names, 1)
	node, err := s.get(t.Context(), "/platform/berth/election/"+names[0])
	require.NoError(t, err)
	assert.JSONEq(t, `{"advertise":"http://leader.example:8080"}`, string(node.data))
	assert.Equal(t, lease.s.conn.SessionID(), node.stat.EphemeralOwner, "it goes with the leader's session")

	acls, _, err := s.conn.GetACL("/platform/berth/state/slots")
	require.NoError(t, err)
	assert.Equal(t, zk.WorldACL(zk.PermAll), acls)

	// A stray znode must not be skipped without a word.
	_, err = s.conn.Create("/platform/berth/state/slots/00", nil, 0, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	_, err = s.conn.Create("/platform/berth/state/slots/00/sec-events-data-0", nil, 0, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	_, err = lease.Store().Load(t.Context())
	require.ErrorContains(t, err, "move it to /platform/berth/state/slots/26/sec-events-data-0")
}

func TestBucketsOfManyNamesStayFarBelowTheReplyLimit(t *testing.T) {
	const names, jute = 1_000_000, 1 << 20
	bytes := map[string]int{}
	for i := range names {
		name := fmt.Sprintf("some-team-sec-events-data-%d", i)
		bytes[bucketOf(name)] += 4 + len(name)
	}
	require.Len(t, bytes, buckets)
	for bucket, size := range bytes {
		assert.Less(t, size, jute, "bucket %s", bucket)
	}
}

func TestAuthKeepsOthersOut(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	owner := Options{Servers: server.Addr, Auth: "berth:right"}
	lease := win(t, newElectorAt(t, owner))
	write := []state.Write{{Key: "slots/a", Value: []byte("1")}}
	require.NoError(t, lease.Store().Commit(t.Context(), write))
	s := raw(t, server.Addr)
	for _, path := range []string{"/berth", "/berth/epoch", "/berth/commit", "/berth/election", "/berth/state", "/berth/state/slots"} {
		_, err := s.get(t.Context(), path)
		assert.ErrorIs(t, err, zk.ErrNoAuth, path)
	}
	for _, auth := range []string{"", "berth:wrong"} {
		intruder := newElectorAt(t, Options{Servers: server.Addr, Auth: auth})
		ctx, cancel := context.WithTimeout(t.Context(), statetest.Patience)
		_, err := intruder.Campaign(ctx, "http://intruder.example")
		cancel()
		require.ErrorContains(t, err, "credentials")
		require.ErrorIs(t, err, zk.ErrNoAuth)
		_, err = intruder.Leader(t.Context())
		require.ErrorContains(t, err, "credentials")
	}
	leader, err := newElectorAt(t, owner).Leader(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "http://leader.example:8080", leader)
	require.NoError(t, lease.Resign())
	second := win(t, newElectorAt(t, owner))
	values, err := second.Store().Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[state.Key][]byte{"slots/a": []byte("1")}, values)
}

func TestLeaderIsUnavailableWithoutZooKeeper(t *testing.T) {
	p := newProxy(t, "127.0.0.1:1")
	e := newElectorAt(t, Options{Servers: p.addr(), SessionTimeout: minSessionTimeout})
	_, err := e.Leader(t.Context())
	require.ErrorIs(t, err, state.ErrUnavailable)
}

func TestDamagedEpochStopsTheCampaign(t *testing.T) {
	server := zookeeper.Run(t, zookeeper.Options{Tick: tick})
	lease := win(t, newElectorAt(t, Options{Servers: server.Addr}))
	require.NoError(t, lease.Resign())
	_, err := raw(t, server.Addr).conn.Set("/berth/epoch", []byte("seven"), -1)
	require.NoError(t, err)
	_, err = newElectorAt(t, Options{Servers: server.Addr}).Campaign(t.Context(), "http://b.example")
	require.ErrorContains(t, err, `/berth/epoch holds "seven"`)
}
