package app

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

// eachState runs a test with the options of each kind of state, each empty.
func eachState(t *testing.T, test func(t *testing.T, o Options)) {
	t.Run("directory", func(t *testing.T) { test(t, options(t)) })
	t.Run("ZooKeeper", func(t *testing.T) {
		server := zookeeper.Run(t, zookeeper.Options{})
		o := options(t)
		o.DevDir, o.ZooKeeper, o.SessionTimeout = "", server.Addr, 4*time.Second
		test(t, o)
	})
}

// mesosMaster counts who comes: a Berth that may not lead must not.
func mesosMaster(t *testing.T, o *Options) *atomic.Int32 {
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(s.Close)
	o.Masters = s.URL
	return &calls
}

// keeper is another process with the same state.
func keeper(t *testing.T, o Options) State {
	t.Helper()
	s, err := o.OpenState(zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func snapshot(t *testing.T, s State) map[state.Key][]byte {
	t.Helper()
	values, _, err := s.Snapshot(t.Context())
	require.NoError(t, err)
	return values
}

// ofANewerBerth are records in ways that only a newer build writes them.
func ofANewerBerth(t *testing.T) map[string]state.Write {
	t.Helper()
	cluster, err := state.Clusters.Encode("logs", state.Cluster{Spec: v1.Cluster{Name: "logs"}, Generation: 3})
	require.NoError(t, err)
	newer := map[string]any{}
	require.NoError(t, json.Unmarshal(cluster.Value, &newer))
	newer["v"] = state.Clusters.Version + 1
	value, err := json.Marshal(newer)
	require.NoError(t, err)
	return map[string]state.Write{
		"a newer schema":               {Key: cluster.Key, Value: value},
		"a newer schema of the key":    {Key: "secrets/executor", Value: []byte(`{"v":2,"kind":"secrets","body":{"keys":[]}}`)},
		"a kind of record of its own":  {Key: "quotas/data", Value: []byte(`{"v":1,"kind":"quotas","body":{}}`)},
		"a field without a new schema": {Key: cluster.Key, Value: []byte(`{"v":1,"kind":"clusters","body":{"spec":{"name":"logs","spec":{}},"colour":"red"}}`)},
	}
}

// A Berth that is started on the state of a newer one ends at once, says why, and
// has changed nothing: it has not even led.
func TestDowngradeIsRefusedAtTheStart(t *testing.T) {
	eachState(t, func(t *testing.T, o Options) {
		calls := mesosMaster(t, &o)
		for name, newer := range ofANewerBerth(t) {
			t.Run(name, func(t *testing.T) {
				k := keeper(t, o)
				lease, err := k.Campaign(t.Context(), "http://newer")
				require.NoError(t, err)
				require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{newer, {Key: "framework/berth", Value: []byte(`{"v":1,"kind":"framework","body":{"id":"F1","nextIncarnation":7}}`)}}))
				before, epoch := snapshot(t, k), lease.Epoch()

				a, err := New(o, zaptest.NewLogger(t))
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				err = a.Run(ctx)
				require.Error(t, err, "while the newer one leads")
				require.NoError(t, ctx.Err())
				assert.ErrorContains(t, err, string(newer.Key))
				assert.ErrorContains(t, err, "cannot work with the state that is there")
				require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{{Key: "framework/berth", Value: before["framework/berth"]}}), "the newer one was not disturbed")
				require.NoError(t, lease.Resign())

				a, err = New(o, zaptest.NewLogger(t))
				require.NoError(t, err)
				err = a.Run(ctx)
				require.Error(t, err, "while nobody leads")
				require.NoError(t, ctx.Err())
				assert.ErrorContains(t, err, string(newer.Key))
				assert.Equal(t, before, snapshot(t, k))
				assert.Zero(t, calls.Load(), "Mesos was not asked for anything")

				again, err := k.Campaign(t.Context(), "http://newer")
				require.NoError(t, err)
				assert.Equal(t, epoch+1, again.Epoch(), "the older one has never led")
				require.NoError(t, again.Store().Commit(t.Context(), []state.Write{{Key: newer.Key}}))
				require.NoError(t, again.Resign())
			})
		}
	})
}

// An older follower that waits since before the first newer write leads for a
// moment when its turn comes, does nothing, ends, and leaves the state to others.
func TestAnOlderFollowerDoesNotLead(t *testing.T) {
	eachState(t, func(t *testing.T, o Options) {
		calls := mesosMaster(t, &o)
		newer := ofANewerBerth(t)["a newer schema"]
		k := keeper(t, o)
		lease, err := k.Campaign(t.Context(), "http://newer")
		require.NoError(t, err)

		older, err := New(o, zaptest.NewLogger(t))
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- older.Run(t.Context()) }()
		no := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		require.Eventually(t, func() bool {
			resp, err := no.Get("http://" + older.Addr() + "/v1/clusters")
			if err != nil {
				return false
			}
			resp.Body.Close()
			return resp.Header.Get("Location") == "http://newer/v1/clusters"
		}, 20*time.Second, 10*time.Millisecond, "it follows")

		require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{newer}))
		before := snapshot(t, k)
		require.NoError(t, lease.Resign())
		select {
		case err := <-ended:
			require.ErrorIs(t, err, state.ErrNewerSchema)
			assert.ErrorContains(t, err, "clusters/logs")
			assert.ErrorContains(t, err, "start the newer version")
		case <-time.After(30 * time.Second):
			t.Fatal("the older Berth did not end")
		}
		assert.Equal(t, before, snapshot(t, k), "not even a key for executors was stored")
		assert.Zero(t, calls.Load(), "Mesos was not asked for anything")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		again, err := k.Campaign(ctx, "http://newer")
		require.NoError(t, err, "leadership was given back at once")
		require.NoError(t, again.Resign())
	})
}

// What is only damaged is named just so.
func TestDamageIsNamedAtTheStart(t *testing.T) {
	o := options(t)
	k := keeper(t, o)
	lease, err := k.Campaign(t.Context(), "http://other")
	require.NoError(t, err)
	require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{{Key: "slots/a.1", Value: []byte("{")}}))
	require.NoError(t, lease.Resign())
	a, err := New(o, zaptest.NewLogger(t))
	require.NoError(t, err)
	err = a.Run(t.Context())
	require.ErrorIs(t, err, state.ErrDamaged)
	assert.ErrorContains(t, err, "slots/a.1")
}
