package elastic

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

func TestDecodeCatShards(t *testing.T) {
	row := func(state, id, node string) string {
		b, err := json.Marshal([]map[string]string{{"index": "a", "shard": "3", "prirep": "p", "state": state, "id": id, "node": node}})
		require.NoError(t, err)
		return string(b)
	}
	for name, c := range map[string]struct {
		body string
		want []shardCopy
	}{
		"none":               {`[]`, []shardCopy{}},
		"started":            {row("STARTED", "n1", "demo-1"), []shardCopy{{"a", 3, true, "STARTED", "n1", ""}}},
		"unassigned":         {`[{"index":"a","shard":"3","prirep":"r","state":"UNASSIGNED","id":null,"node":null}]`, []shardCopy{{"a", 3, false, "UNASSIGNED", "", ""}}},
		"relocating":         {row("RELOCATING", "n1", "demo-1 -> 10.0.0.2 n2 demo-2"), []shardCopy{{"a", 3, true, "RELOCATING", "n1", "n2"}}},
		"IPv6":               {row("RELOCATING", "n1", "demo-1 -> fe80::1%eth0 n2 demo-2"), []shardCopy{{"a", 3, true, "RELOCATING", "n1", "n2"}}},
		"blanks in a name":   {row("RELOCATING", "n1", "Big Bear -> 10.0.0.2 n2 Iron Man"), []shardCopy{{"a", 3, true, "RELOCATING", "n1", "n2"}}},
		"arrow in a name":    {row("RELOCATING", "n1", "a -> b c d -> 10.0.0.2 n2 x"), []shardCopy{{"a", 3, true, "RELOCATING", "n1", "n2"}}},
		"no target":          {row("RELOCATING", "n1", "demo-1"), nil},
		"half a target":      {row("RELOCATING", "n1", "demo-1 -> 10.0.0.2 n2"), nil},
		"started nowhere":    {row("STARTED", "", ""), nil},
		"unassigned on node": {row("UNASSIGNED", "n1", "demo-1"), nil},
		"unknown state":      {row("FLOATING", "n1", "demo-1"), nil},
		"no index":           {`[{"shard":"3","prirep":"p","state":"STARTED","id":"n1","node":"x"}]`, nil},
		"shard not a number": {`[{"index":"a","shard":"x","prirep":"p","state":"STARTED","id":"n1","node":"x"}]`, nil},
		"no prirep":          {`[{"index":"a","shard":"3","state":"STARTED","id":"n1","node":"x"}]`, nil},
		"null":               {`null`, nil},
		"text":               {"a 3 p STARTED", nil},
		"an object":          {`{"error":"x"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeCatShards([]byte(c.body))
			if c.want == nil {
				assert.Equal(t, observe.Unreadable, failureOf(t, err).Class)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
}

func TestReplicas(t *testing.T) {
	for name, c := range map[string]struct {
		body    string
		indices int
		min     int
		index   string
	}{
		"none":                            {`{}`, 0, -1, ""},
		"lowest":                          {`{"x":{"settings":{"index":{"number_of_replicas":"2"}}},"y":{"settings":{"index":{"number_of_replicas":"1"}}}}`, 2, 1, "y"},
		"first by name":                   {`{"z":{"settings":{"index":{"number_of_replicas":"1"}}},"a":{"settings":{"index":{"number_of_replicas":"1"}}}}`, 2, 1, "a"},
		"zero":                            {`{"a":{"settings":{"index":{"number_of_replicas":"0"}}}}`, 1, 0, "a"},
		"auto-expand counts by its bound": {`{"a":{"settings":{"index":{"auto_expand_replicas":"0-1","number_of_replicas":"0"}}}}`, 1, 1, "a"},
		"auto-expand to all has none":     {`{"a":{"settings":{"index":{"auto_expand_replicas":"0-all","number_of_replicas":"0"}}}}`, 1, -1, ""},
		"auto-expand to nothing":          {`{"a":{"settings":{"index":{"auto_expand_replicas":"0-0","number_of_replicas":"0"}}}}`, 1, 0, "a"},
		"auto-expand off":                 {`{"a":{"settings":{"index":{"auto_expand_replicas":"false","number_of_replicas":"0"}}}}`, 1, 0, "a"},
		"auto-expand unreadable counts the present": {`{"a":{"settings":{"index":{"auto_expand_replicas":"0-x","number_of_replicas":"0"}}}}`, 1, 0, "a"},
		"a mounted snapshot does not count":         {`{"a":{"settings":{"index":{"store":{"type":"snapshot"},"number_of_replicas":"0"}}},"b":{"settings":{"index":{"store":{"type":"fs"},"number_of_replicas":"1"}}}}`, 2, 1, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			o := observe.Observation{MinReplicas: -1}
			_, err := decodeReplicas([]byte(c.body), &o)
			require.NoError(t, err)
			assert.Equal(t, c.indices, o.Indices)
			assert.Equal(t, c.min, o.MinReplicas)
			assert.Equal(t, c.index, o.MinReplicasIndex)
		})
	}
}

func nodesOn(hosts ...string) (nodes []observe.Node) {
	for i, h := range hosts {
		n := observe.Node{ID: fmt.Sprintf("n%d", i)}
		if h != "" {
			n.Attributes = map[string]string{"host": h}
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func TestSharedHosts(t *testing.T) {
	nodes := nodesOn("A", "A", "B", "B", "")
	started := func(index string, on ...string) (cs []shardCopy) {
		for _, n := range on {
			cs = append(cs, shardCopy{index: index, state: "STARTED", node: n})
		}
		return cs
	}
	for name, c := range map[string]struct {
		copies []shardCopy
		want   []observe.SharedShard
	}{
		"apart":                    {started("x", "n0", "n2"), nil},
		"together":                 {started("x", "n0", "n1"), []observe.SharedShard{{Index: "x", Host: "A", OnHost: 2, Copies: 2}}},
		"two of three":             {started("x", "n0", "n1", "n2"), []observe.SharedShard{{Index: "x", Host: "A", OnHost: 2, Copies: 3}}},
		"two and two":              {started("x", "n0", "n1", "n2", "n3"), []observe.SharedShard{{Index: "x", Host: "A", OnHost: 2, Copies: 4}, {Index: "x", Host: "B", OnHost: 2, Copies: 4}}},
		"other shards":             {append(started("x", "n0"), started("y", "n1")...), nil},
		"a node without host":      {started("x", "n4", "n4"), nil},
		"an unknown node":          {started("x", "gone", "n0"), nil},
		"unassigned":               {append(started("x", "n0"), shardCopy{index: "x", state: "UNASSIGNED"}), nil},
		"all of a shard first":     {append(started("a", "n0", "n1", "n2"), started("z", "n2", "n3")...), []observe.SharedShard{{Index: "z", Host: "B", OnHost: 2, Copies: 2}, {Index: "a", Host: "A", OnHost: 2, Copies: 3}}},
		"moving within a host":     {[]shardCopy{{index: "x", state: "RELOCATING", node: "n0", target: "n1"}}, nil},
		"moving to a replica's":    {append(started("x", "n2"), shardCopy{index: "x", state: "RELOCATING", node: "n0", target: "n3"}), []observe.SharedShard{{Index: "x", Host: "B", OnHost: 2, Copies: 2}}},
		"moving away, still there": {append(started("x", "n0"), shardCopy{index: "x", state: "RELOCATING", node: "n1", target: "n2"}), []observe.SharedShard{{Index: "x", Host: "A", OnHost: 2, Copies: 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, total := sharedHosts(c.copies, nodes)
			assert.Equal(t, c.want, got)
			assert.Equal(t, len(c.want), total)
		})
	}
}

// TestSharedHostsAgainstRecount checks every pair of shard and host by itself.
func TestSharedHostsAgainstRecount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := nodesOn(rapid.SliceOfN(rapid.SampledFrom([]string{"A", "B", "C", ""}), 1, 8).Draw(t, "hosts")...)
		node := rapid.SampledFrom(nodes)
		copies := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) shardCopy {
			c := shardCopy{index: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "index"), shard: rapid.IntRange(0, 20).Draw(t, "shard"),
				state: rapid.SampledFrom(shardStates).Draw(t, "state")}
			if c.state != "UNASSIGNED" {
				c.node = node.Draw(t, "node").ID
			}
			if c.state == "RELOCATING" {
				c.target = node.Draw(t, "target").ID
			}
			return c
		}), 0, 100).Draw(t, "copies")

		got, total := sharedHosts(copies, nodes)
		if len(got) > observe.MaxSharedHost || total < len(got) || (total > len(got) && len(got) < observe.MaxSharedHost) {
			t.Fatalf("%d of %d", len(got), total)
		}
		on := func(id, host string) bool {
			for _, n := range nodes {
				if n.ID == id {
					return n.Attributes["host"] == host
				}
			}
			return false
		}
		expected := 0
		for _, index := range []string{"x", "y"} {
			for shard := range 21 {
				for _, host := range []string{"A", "B", "C"} {
					n := 0
					for _, c := range copies {
						if c.index == index && c.shard == shard && (on(c.node, host) || on(c.target, host)) {
							n++
						}
					}
					if n > 1 {
						expected++
					}
				}
			}
		}
		if expected != total {
			t.Fatalf("%d shared, recounted %d", total, expected)
		}
		for _, s := range got {
			if s.OnHost < 2 || s.OnHost > s.Copies {
				t.Fatalf("%+v", s)
			}
		}
	})
}

// FuzzDecoders: no input panics, and what a decoder accepts is consistent.
func FuzzDecoders(f *testing.F) {
	for _, v := range versions {
		for _, name := range []string{"health", "state", "settings", "cat", "nodes", "info"} {
			fk := fake{dir: v.dir}
			if b, err := fk.read(name); err == nil {
				f.Add(b)
			}
		}
	}
	f.Add([]byte(`{"metadata":{"cluster_uuid":"x"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		o := observe.Observation{MinReplicas: -1}
		if decodeHealth(body, &o) == nil {
			assert.NotEmpty(t, o.ClusterName)
			assert.Contains(t, []string{"green", "yellow", "red"}, o.Health)
			assert.GreaterOrEqual(t, min(o.ActiveShards, o.Relocating, o.Initializing, o.Unassigned, o.DelayedUnassigned, o.InFlightFetch, o.Pending), 0)
		}
		copies, err := decodeCatShards(body)
		if st, _, stErr := decodeState(body); stErr == nil {
			assert.NotEmpty(t, st.nodes)
			assert.NotEmpty(t, st.name)
			_ = decodeNodeInfo(body, st.nodes)
			copies = append(copies, st.copies...)
			sharedHosts(copies, st.nodes)
			told, _ := decodeUnassigned(body)
			groups, total := atRisk(lostShards(copies, st.nodes, []string{"demo-1"}), indexSettings{"a": true, "z": false}, copies, told)
			assert.Len(t, groups, min(total, observe.MaxAtRisk))
		}
		for _, c := range copies {
			assert.NoError(t, c.check("accepted"), err)
		}
		o = observe.Observation{MinReplicas: -1}
		if _, err := decodeReplicas(body, &o); err == nil {
			assert.Equal(t, o.MinReplicas < 0, o.MinReplicasIndex == "" && o.MinReplicas == -1)
		}
		_, _, _ = decodeInfo(body)
		_, _ = decodeUUID(body)
	})
}

// BenchmarkFullObservation: 40 nodes, 1,000 indices of 5 shards with 1 replica.
func BenchmarkFullObservation(b *testing.B) {
	type copyDoc map[string]any
	nodes, indices, settings := map[string]any{}, map[string]any{}, map[string]any{}
	for i := range 40 {
		nodes[fmt.Sprintf("node-id-%02d-0123456789ab", i)] = map[string]any{"name": fmt.Sprintf("demo-data-%d", i), "ephemeral_id": "e", "transport_address": "10.0.0.1:9300",
			"attributes": map[string]string{"host": fmt.Sprintf("h%d", i%20)}, "roles": []string{"data"}, "version": "8.19.21"}
	}
	for i := range 1000 {
		shards := map[string]any{}
		for s := range 5 {
			at := func(n int) string { return fmt.Sprintf("node-id-%02d-0123456789ab", n%40) }
			shards[fmt.Sprint(s)] = []copyDoc{{"state": "STARTED", "primary": true, "node": at(i + s), "relocating_node": nil}, {"state": "STARTED", "primary": false, "node": at(i + s + 1), "relocating_node": nil}}
		}
		name := fmt.Sprintf("security-events-2026.01.01-%06d", i)
		indices[name] = map[string]any{"shards": shards}
		settings[name] = map[string]any{"settings": map[string]any{"index": map[string]string{"number_of_replicas": "1"}}}
	}
	state, err := json.Marshal(map[string]any{"cluster_name": "demo", "cluster_uuid": "u", "master_node": "node-id-00-0123456789ab", "nodes": nodes, "routing_table": map[string]any{"indices": indices}})
	require.NoError(b, err)
	replicas, err := json.Marshal(settings)
	require.NoError(b, err)
	f := newFake(b, "8.19", "8.19.21")
	f.says("state", 200, string(state))
	f.says("settings", 200, string(replicas))
	a := New(Options{})
	defer a.Close()
	b.ReportAllocs()
	for b.Loop() {
		o, err := a.Do(context.Background(), f.request(true))
		require.NoError(b, err)
		require.Equal(b, 1000, o.Indices)
	}
	b.ReportMetric(float64(len(state)+len(replicas)), "body-B")
}
