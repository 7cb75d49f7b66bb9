package elastic

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

func TestSoleMachines(t *testing.T) {
	on := func(id, name, host string) observe.Node {
		n := observe.Node{ID: id, Name: name}
		if host != "" {
			n.Attributes = map[string]string{observe.HostAttribute: host}
		}
		return n
	}
	nodes := []observe.Node{on("ia", "a", "m1"), on("ib", "b", "m1"), on("ic", "c", "m2"), on("id", "d", "")}
	at := func(shard int, state, node string) shardCopy {
		return shardCopy{index: "x", shard: shard, state: state, node: node}
	}
	moving := shardCopy{index: "x", shard: 0, state: "RELOCATING", node: "ia", target: "ic"}
	only := func(host string, names ...string) []observe.SoleMachine {
		return []observe.SoleMachine{{
			Host: host, Nodes: names, Indices: []observe.SoleIndex{{Index: "x", Shards: []int{0}, ShardCount: 1}}, IndexTotal: 1, ShardTotal: 1,
		}}
	}
	for name, k := range map[string]struct {
		copies []shardCopy
		away   []string
		want   []observe.SoleMachine
	}{
		"two machines":                       {copies: []shardCopy{at(0, "STARTED", "ia"), at(0, "STARTED", "ic")}},
		"one copy":                           {copies: []shardCopy{at(0, "STARTED", "ia")}, want: only("m1", "a")},
		"both on one machine":                {copies: []shardCopy{at(0, "STARTED", "ib"), at(0, "STARTED", "ia")}, want: only("m1", "a", "b")},
		"the other is being built":           {copies: []shardCopy{at(0, "STARTED", "ia"), at(0, "INITIALIZING", "ic")}, want: only("m1", "a")},
		"the other has no place":             {copies: []shardCopy{at(0, "STARTED", "ia"), at(0, "UNASSIGNED", "")}, want: only("m1", "a")},
		"moving counts where it is read":     {copies: []shardCopy{moving}, want: only("m1", "a")},
		"the other is on a node that's away": {copies: []shardCopy{at(0, "STARTED", "ia"), at(0, "STARTED", "ic")}, away: []string{"c"}, want: only("m1", "a")},
		"the other is on no member":          {copies: []shardCopy{at(0, "STARTED", "ia"), at(0, "STARTED", "ix")}, want: only("m1", "a")},
		"no host attribute":                  {copies: []shardCopy{at(0, "STARTED", "id")}, want: only("", "d")},
		"no host attribute, and another":     {copies: []shardCopy{at(0, "STARTED", "id"), at(0, "STARTED", "ia")}},
		"none started":                       {copies: []shardCopy{at(0, "UNASSIGNED", ""), at(0, "INITIALIZING", "ia")}},
	} {
		t.Run(name, func(t *testing.T) {
			got := soleMachines(k.copies, nodes, indexSettings{"x": false}, k.away)
			if len(k.want) == 0 {
				assert.Empty(t, got)
			} else {
				assert.Equal(t, k.want, got)
			}
			assert.Empty(t, soleMachines(k.copies, nodes, indexSettings{"x": true}, k.away), "a mounted snapshot loses nothing")
		})
	}
}

// TestSoleMachinesAreBounded: what is not listed is counted.
func TestSoleMachinesAreBounded(t *testing.T) {
	nodes := []observe.Node{{ID: "ia", Name: "a"}}
	var copies []shardCopy
	settings := indexSettings{}
	const indices, shards = observe.MaxSoleIndices + 3, observe.MaxAtRiskShards + 5
	for i := range indices {
		index := fmt.Sprintf("i%02d", indices-i)
		settings[index] = false
		for n := range shards {
			copies = append(copies, shardCopy{index: index, shard: n, state: "STARTED", node: "ia"})
		}
	}
	got := soleMachines(copies, nodes, settings, nil)
	require.Len(t, got, 1)
	assert.Equal(t, []string{"a"}, got[0].Nodes)
	assert.Equal(t, indices, got[0].IndexTotal)
	assert.Equal(t, indices*shards, got[0].ShardTotal)
	require.Len(t, got[0].Indices, observe.MaxSoleIndices)
	assert.Equal(t, "i01", got[0].Indices[0].Index)
	assert.Len(t, got[0].Indices[0].Shards, observe.MaxAtRiskShards)
	assert.Equal(t, shards, got[0].Indices[0].ShardCount)
	assert.Equal(t, "i20", got[0].Indices[observe.MaxSoleIndices-1].Index)
	assert.Equal(t, shards, got[0].Indices[observe.MaxSoleIndices-1].ShardCount)
}
