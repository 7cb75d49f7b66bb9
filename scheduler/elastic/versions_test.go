package elastic

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

var versions = []struct {
	dir, version string
	product      bool // go-elasticsearch speaks to it
	ephemeral    bool
	roles        []string // of a node with the default roles
	requests     [2]int64 // of a small and of a full observation
}{
	{"2.4", "2.4.6", false, false, []string{"data", "master"}, [2]int64{4, 5}},
	{"5.6", "5.6.16", false, true, []string{"data", "ingest", "master"}, [2]int64{4, 5}},
	{"6.8", "6.8.23", false, true, []string{"data", "ingest", "master"}, [2]int64{3, 4}},
	{"7.17", "7.17.29", true, true, []string{"data", "master"}, [2]int64{3, 4}},
	{"8.19", "8.19.21", true, true, []string{"data", "master"}, [2]int64{2, 3}},
	{"9.5", "9.5.3", true, true, []string{"data", "master"}, [2]int64{2, 3}},
}

func TestVersions(t *testing.T) {
	for _, v := range versions {
		for i, full := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/full=%v", v.dir, full), func(t *testing.T) {
				f := newFake(t, v.dir, v.version)
				a := newAdapter(t, Options{})
				o, err := a.Do(context.Background(), f.request(full))
				require.NoError(t, err)

				want := observe.Observation{Seq: 42, Full: full, ClusterUUID: "uuid-demo", ClusterName: "demo", Health: "yellow",
					ActiveShards: 4, Relocating: 1, Initializing: 1, Unassigned: 1, DelayedUnassigned: 1, InFlightFetch: 3, Pending: 2,
					MinReplicas: -1}
				for i, roles := range [][]string{v.roles, v.roles, {"data"}} {
					n := observe.Node{ID: fmt.Sprintf("id%d", i), Name: fmt.Sprintf("demo-%d", i), Address: fmt.Sprintf("127.0.0.1:930%d", i),
						Roles: roles, Version: v.version, Attributes: o.Nodes[i].Attributes, Master: i == 1}
					if v.ephemeral {
						n.EphemeralID = fmt.Sprintf("eph%d", i)
					}
					assert.Equal(t, []string{"h0", "h1", "h1"}[i], n.Attributes["host"])
					want.Nodes = append(want.Nodes, n)
				}
				if full {
					want.Indices, want.MinReplicas, want.MinReplicasIndex = 3, 1, "a"
					want.SharedHost = []observe.SharedShard{{Index: "a", Shard: 0, Host: "h1", OnHost: 2, Copies: 2}}
					want.SharedHostTotal = 1
					want.Sole = []observe.SoleMachine{
						{Host: "h0", Nodes: []string{"demo-0"}, Indices: []observe.SoleIndex{{Index: "b", Shards: []int{0}, ShardCount: 1}}, IndexTotal: 1, ShardTotal: 1},
						{Host: "h1", Nodes: []string{"demo-1"}, Indices: []observe.SoleIndex{{Index: "a", Shards: []int{1}, ShardCount: 1}}, IndexTotal: 1, ShardTotal: 1},
					}
					want.AtRisk, want.AtRiskTotal = []observe.AtRisk{{Index: "c", Unknown: true, Reason: "not shown"}}, 1
				}
				assert.Equal(t, want, o)
				assert.Equal(t, v.product, a.clusters["demo"].clients[0].product != nil)
				assert.Equal(t, v.requests[i], f.hits.Load(), "requests")
			})
		}
	}
}

// TestCatShardsInstead: a server that does not show its routing table is asked
// by _cat/shards, to the same result.
func TestCatShardsInstead(t *testing.T) {
	for _, v := range versions {
		t.Run(v.dir, func(t *testing.T) {
			f := newFake(t, v.dir, v.version)
			a := newAdapter(t, Options{})
			want, err := a.Do(context.Background(), f.request(true))
			require.NoError(t, err)
			f.says("state", 200, strings.Replace(f.file(t, "state"), "routing_table", "something_else", 1))
			got, err := a.Do(context.Background(), f.request(true))
			require.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}
}

func TestUUIDBefore24(t *testing.T) {
	f := newFake(t, "2.4", "2.4.6")
	f.says("info", 200, `{"name":"demo-0","cluster_name":"demo","version":{"number":"2.3.5"}}`)
	f.says("metadata", 200, `{"metadata":{"cluster_uuid":"from-metadata"}}`)
	o, err := newAdapter(t, Options{}).Do(context.Background(), f.request(false))
	require.NoError(t, err)
	assert.Equal(t, "from-metadata", o.ClusterUUID)
}

func TestUUIDNotYet(t *testing.T) {
	f := newFake(t, "8.19", "8.19.21")
	f.says("state", 200, strings.Replace(f.file(t, "state"), "uuid-demo", "_na_", 1))
	f.says("info", 200, `{"cluster_name":"demo","cluster_uuid":"_na_"}`)
	o, err := newAdapter(t, Options{}).Do(context.Background(), f.request(false))
	require.NoError(t, err)
	assert.Empty(t, o.ClusterUUID)
}

// TestSilentMember: a member that does not answer for itself stays a member.
func TestSilentMember(t *testing.T) {
	f := newFake(t, "6.8", "6.8.23")
	f.says("nodes", 200, `{"nodes":{"id0":{"version":"6.8.23","roles":["master"]},"id1":{"version":"6.8.23"}}}`)
	o, err := newAdapter(t, Options{}).Do(context.Background(), f.request(false))
	require.NoError(t, err)
	require.Len(t, o.Nodes, 3)
	assert.Equal(t, []string{"master"}, o.Nodes[0].Roles)
	assert.Empty(t, o.Nodes[1].Roles, "coordinating only: filter_path leaves empty lists out")
	assert.Equal(t, "6.8.23", o.Nodes[1].Version)
	assert.Empty(t, o.Nodes[2].Version)
	assert.Equal(t, "demo-2", o.Nodes[2].Name)
}

func TestHealthTimedOut(t *testing.T) {
	for _, status := range []int{200, 408} {
		f := newFake(t, "7.17", "7.17.29")
		f.says("health", status, strings.Replace(f.file(t, "health"), `"timed_out": false`, `"timed_out": true`, 1))
		o, err := newAdapter(t, Options{}).Do(context.Background(), f.request(true))
		require.NoError(t, err, "status %d", status)
		assert.True(t, o.TimedOut)
	}
}

// TestFullWaitsForTheQueue: only a full observation makes the master work off
// its queue first, and the server's waiting ends before ours.
func TestFullWaitsForTheQueue(t *testing.T) {
	f := newFake(t, "8.19", "8.19.21")
	a := newAdapter(t, Options{})
	for _, full := range []bool{false, true} {
		var events string
		f.on("health", func(w http.ResponseWriter, r *http.Request) {
			events = r.URL.Query().Get("wait_for_events")
			waits := time.Duration(0)
			for _, p := range []string{"timeout", "master_timeout"} {
				d, err := time.ParseDuration(r.URL.Query().Get(p))
				assert.NoError(t, err, p)
				waits += d
			}
			assert.Less(t, waits, defaultHTTPTimeout)
			_, _ = w.Write([]byte(f.file(t, "health")))
		})
		_, err := a.Do(context.Background(), f.request(full))
		require.NoError(t, err)
		assert.Equal(t, full, events == "languid")
	}
}

func TestNoIndices(t *testing.T) {
	f := newFake(t, "8.19", "8.19.21")
	f.says("settings", 200, `{}`)
	f.says("cat", 200, `[]`)
	f.says("state", 200, strings.Replace(f.file(t, "state"), "routing_table", "left_out", 1))
	f.says("health", 200, strings.Replace(f.file(t, "health"), `"active_shards": 4`, `"active_shards": 0`, 1))
	o, err := newAdapter(t, Options{}).Do(context.Background(), f.request(true))
	require.NoError(t, err)
	assert.Equal(t, 0, o.Indices)
	assert.Equal(t, -1, o.MinReplicas)
	assert.Empty(t, o.MinReplicasIndex)
}
