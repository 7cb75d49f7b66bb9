package mesos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/berthdata/berth/test/rig"
	rigzk "github.com/berthdata/berth/test/rig/zookeeper"
)

func TestLowest(t *testing.T) {
	for want, children := range map[string][]string{
		"":                     {"log_replicas", "info_0000000001", "json.info_x"},
		"json.info_0000000002": {"json.info_0000000010", "log_replicas", "json.info_0000000002", "info_0000000001"},
	} {
		assert.Equal(t, want, lowest(children))
	}
	assert.Empty(t, lowest(nil))
}

func TestParseMasterInfo(t *testing.T) {
	const modern = `{"address":{"hostname":"m1.test","ip":"10.0.0.1","port":5050},"hostname":"m1.test","id":"A","ip":16777226,"pid":"master@10.0.0.1:5050","port":5050}`
	for name, tc := range map[string]struct {
		json string
		tls  bool
		want string
	}{
		"by ip":           {modern, false, "http://10.0.0.1:5050"},
		"by name for TLS": {modern, true, "https://m1.test:5050"},
		"IPv6":            {`{"address":{"ip":"fd00::1","port":5050}}`, false, "http://[fd00::1]:5050"},
		"name only":       {`{"address":{"hostname":"m","port":1}}`, false, "http://m:1"},
		"very old":        {`{"pid":"master@10.0.0.1:5050"}`, false, "http://10.0.0.1:5050"},
	} {
		m, err := parseMasterInfo([]byte(tc.json), tc.tls)
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, m.base.String(), name)
	}
	for _, bad := range []string{"", "{}", `{"pid":"x"}`, "\x00protobuf"} {
		_, err := parseMasterInfo([]byte(bad), false)
		assert.Error(t, err, bad)
	}
}

func TestRedirectTargets(t *testing.T) {
	for _, tc := range []struct{ from, location, want, err string }{
		{"http://a:1", "//b:2/master/api/v1", "http://b:2", ""},
		{"https://a:1", "//b:2/", "https://b:2", ""},
		{"http://a:1", "https://b:2/x", "https://b:2", ""},
		{"https://a:1", "http://b:2/x", "", "from https to http"},
		{"http://a:1", "", "", "names no master"},
		{"http://a:1", "ftp://b:2", "", "names no master"},
		{"http://a:1", "http://[", "", "no URL"},
	} {
		from, err := url.Parse(tc.from)
		require.NoError(t, err)
		to, err := redirect(from, &http.Response{Header: http.Header{"Location": {tc.location}}})
		if tc.err != "" {
			assert.ErrorContains(t, err, tc.err)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, tc.want, to.String())
	}
}

// fakeElection answers from a script, one step per look.
type fakeElection struct {
	steps  []step
	events chan zk.Event
}

type step struct {
	exists   bool // of the path, when children is nil
	children []string
	data     map[string]string // by child; a missing one is gone
	err      error
}

func (f *fakeElection) ChildrenW(string) ([]string, *zk.Stat, <-chan zk.Event, error) {
	s := f.steps[0]
	if s.err != nil {
		return nil, nil, nil, s.err
	}
	if s.children == nil {
		return nil, nil, nil, zk.ErrNoNode
	}
	if len(s.data) == 0 {
		f.steps = f.steps[1:]
	}
	return s.children, nil, f.events, nil
}

func (f *fakeElection) ExistsW(string) (bool, *zk.Stat, <-chan zk.Event, error) {
	exists := f.steps[0].exists
	f.steps = f.steps[1:]
	return exists, nil, f.events, nil
}

func (f *fakeElection) Get(p string) ([]byte, *zk.Stat, error) {
	data, ok := f.steps[0].data[path.Base(p)]
	f.steps = f.steps[1:]
	if !ok {
		return nil, nil, zk.ErrNoNode
	}
	return []byte(data), nil, nil
}

func TestElectionIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		info := func(id, ip string) string {
			return fmt.Sprintf(`{"id":%q,"address":{"ip":%q,"port":5050}}`, id, ip)
		}
		broken := errors.New("connection lost")
		f := &fakeElection{events: make(chan zk.Event), steps: []step{
			{},                                   // no master ever: waits for the path
			{exists: true},                       // … which appears between the two questions
			{children: []string{"log_replicas"}}, // nobody yet
			{children: []string{"json.info_2", "json.info_1"}, data: map[string]string{"json.info_2": "x"}}, // 1 vanishes
			{children: []string{"json.info_2"}, data: map[string]string{"json.info_2": info("B", "2.2.2.2")}},
			{children: []string{"json.info_2", "json.info_3"}, data: map[string]string{"json.info_2": info("B", "2.2.2.2")}},
			{err: broken},
		}}
		z := newZKLeader(zkAddress{path: "/mesos"}, time.Second, false, zap.NewNop())
		ended := make(chan error, 1)
		go func() { ended <- z.follow(t.Context(), f) }()

		known := make(chan *url.URL, 1)
		var changed <-chan struct{}
		go func() {
			base, c, err := z.next(t.Context())
			assert.NoError(t, err)
			changed = c
			known <- base
		}()
		synctest.Wait()
		f.events <- zk.Event{} // the path appears: two looks
		f.events <- zk.Event{} // masters register: two looks
		assert.Equal(t, "http://2.2.2.2:5050", (<-known).String())
		f.events <- zk.Event{} // a follower comes
		synctest.Wait()
		select {
		case <-changed:
			t.Error("a follower is no new leader")
		default:
		}
		f.events <- zk.Event{}
		assert.ErrorIs(t, <-ended, broken)
		base, _, err := z.next(t.Context())
		require.NoError(t, err, "Mesos rule 58: the last leader stays known")
		assert.Equal(t, "http://2.2.2.2:5050", base.String())
	})
}

func TestNoLeaderIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := newZKLeader(zkAddress{servers: []string{"h:1"}, path: "/mesos", userinfo: "u:hidden"}, time.Second, false, zap.NewNop())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := z.candidates(ctx)
		require.ErrorIs(t, err, ErrUnavailable)
		assert.ErrorContains(t, err, "no leading master in zk://h:1/mesos")

		z.set(mustMaster(t, `{"id":"A","address":{"ip":"1.1.1.1","port":5050}}`))
		_, err = z.candidates(t.Context())
		require.NoError(t, err)
		z.set(nil)
		ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = z.candidates(ctx)
		require.ErrorIs(t, err, ErrUnavailable, "a leader that has left is not asked any more")
	})
}

// TestRealElection follows an election on a real ZooKeeper, with access rules
// and a restart of the server.
func TestRealElection(t *testing.T) {
	if testing.Short() {
		t.Skip("needs real systems")
	}
	process := rigzk.Run(t, rigzk.Options{})
	server := process.Addr
	conn, _, err := zk.Connect([]string{server}, 10*time.Second, zk.WithLogInfo(false))
	require.NoError(t, err)
	defer conn.Close()
	const auth = "mesos:zk-password"
	require.NoError(t, conn.AddAuth("digest", []byte(auth)))
	root := fmt.Sprintf("/berth-driver-test-%d", time.Now().UnixNano())
	acl := zk.DigestACL(zk.PermAll, "mesos", "zk-password")
	register := func(id, ip string) string {
		p, err := conn.CreateProtectedEphemeralSequential(root+"/x", nil, acl)
		require.NoError(t, err)
		// A sequence number of the server's, under the name that Mesos uses.
		sequence := p[len(p)-10:]
		name := root + "/" + masterPrefix + sequence
		_, err = conn.Create(name, fmt.Appendf(nil, `{"id":%q,"address":{"ip":%q,"port":5050}}`, id, ip), zk.FlagEphemeral, acl)
		require.NoError(t, err)
		return name
	}
	z := newZKLeader(zkAddress{servers: []string{server}, path: root, userinfo: auth}, 10*time.Second, false, zaptest.NewLogger(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan struct{})
	go func() { defer close(ended); z.run(ctx) }()
	defer func() { cancel(); <-ended }()

	_, err = conn.Create(root, nil, 0, acl)
	require.NoError(t, err)
	first := register("A", "1.1.1.1")
	base, changed, err := z.next(ctx)
	require.NoError(t, err)
	assert.Equal(t, "http://1.1.1.1:5050", base.String())
	second := register("B", "2.2.2.2")
	require.NoError(t, conn.Delete(first, -1))
	select {
	case <-changed:
	case <-ctx.Done():
		t.Fatal("the change of the leader was not seen")
	}
	base, changed, err = z.next(ctx)
	require.NoError(t, err)
	assert.Equal(t, "http://2.2.2.2:5050", base.String())

	// Without ZooKeeper the leader stays known, and later changes are seen.
	require.NoError(t, process.Kill())
	base, _, err = z.next(ctx)
	require.NoError(t, err)
	assert.Equal(t, "http://2.2.2.2:5050", base.String())
	require.NoError(t, process.Restart(ctx))
	require.NoError(t, rig.Eventually(ctx, 50*time.Millisecond, "the client's reconnection", func(context.Context) error {
		err := conn.Delete(second, -1)
		if errors.Is(err, zk.ErrNoNode) {
			return nil
		}
		return err
	}))
	register("C", "3.3.3.3")
	select {
	case <-changed:
	case <-ctx.Done():
		t.Fatal("the change of the leader after the restart was not seen")
	}
	base, _, err = z.next(ctx)
	require.NoError(t, err)
	assert.Equal(t, "http://3.3.3.3:5050", base.String())
}
