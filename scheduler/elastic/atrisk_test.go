package elastic

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

func TestAtRisk(t *testing.T) {
	nodes := []observe.Node{{ID: "ia", Name: "a"}, {ID: "ib", Name: "b"}, {ID: "ic", Name: "c"}}
	at := func(state, node string) shardCopy { return shardCopy{index: "x", shard: 3, state: state, node: node} }
	unassigned := at("UNASSIGNED", "")
	moving := shardCopy{index: "x", shard: 3, state: "RELOCATING", node: "ia", target: "ib"}
	left := func(id string) unassignedCopy { return unassignedCopy{reason: "NODE_LEFT", node: id} }
	primaryLeft := unassignedCopy{primary: true, reason: "NODE_LEFT", node: "ic"}
	for name, c := range map[string]struct {
		copies []shardCopy
		away   []string
		told   []unassignedCopy
		want   *observe.AtRisk // without its shard
	}{
		"a copy on a member":                 {[]shardCopy{at("STARTED", "ia")}, nil, nil, nil},
		"another one elsewhere":              {[]shardCopy{at("STARTED", "ia"), at("STARTED", "ib")}, []string{"a"}, nil, nil},
		"the replica has no place":           {[]shardCopy{at("STARTED", "ia"), unassigned}, nil, nil, nil},
		"relocating counts where it is":      {[]shardCopy{moving}, nil, nil, nil},
		"relocating away from an away one":   {[]shardCopy{moving}, []string{"a"}, nil, &observe.AtRisk{On: []string{"a"}}},
		"only on an away member":             {[]shardCopy{at("STARTED", "ia")}, []string{"a"}, nil, &observe.AtRisk{On: []string{"a"}}},
		"only on two away members":           {[]shardCopy{at("STARTED", "ib"), at("STARTED", "ia")}, []string{"a", "b"}, nil, &observe.AtRisk{On: []string{"a", "b"}}},
		"on a node that is no member":        {[]shardCopy{at("STARTED", "ix")}, nil, nil, &observe.AtRisk{On: []string{"ix"}}},
		"away, and a replica that starts":    {[]shardCopy{at("STARTED", "ia"), at("INITIALIZING", "ib")}, []string{"a"}, nil, &observe.AtRisk{On: []string{"a"}, Unknown: true, Reason: "starting"}},
		"primary starts":                     {[]shardCopy{at("INITIALIZING", "ib")}, nil, nil, &observe.AtRisk{Unknown: true, Reason: "starting"}},
		"its node has left":                  {[]shardCopy{unassigned}, nil, []unassignedCopy{primaryLeft}, &observe.AtRisk{Left: []string{"ic"}, Reason: "NODE_LEFT"}},
		"both of its nodes have left":        {[]shardCopy{unassigned, unassigned}, nil, []unassignedCopy{left("ib"), primaryLeft}, &observe.AtRisk{Left: []string{"ib", "ic"}, Reason: "NODE_LEFT"}},
		"the replica never was anywhere":     {[]shardCopy{unassigned, unassigned}, nil, []unassignedCopy{{reason: "REPLICA_ADDED"}, primaryLeft}, &observe.AtRisk{Left: []string{"ic"}, Reason: "NODE_LEFT"}},
		"node left, and which is not said":   {[]shardCopy{unassigned}, nil, []unassignedCopy{{primary: true, reason: "NODE_LEFT"}}, &observe.AtRisk{Unknown: true, Reason: "NODE_LEFT"}},
		"after a restart of the cluster":     {[]shardCopy{unassigned}, nil, []unassignedCopy{{primary: true, reason: "CLUSTER_RECOVERED"}}, &observe.AtRisk{Unknown: true, Reason: "CLUSTER_RECOVERED"}},
		"allocation failed":                  {[]shardCopy{unassigned}, nil, []unassignedCopy{{primary: true, reason: "ALLOCATION_FAILED"}}, &observe.AtRisk{Unknown: true, Reason: "ALLOCATION_FAILED"}},
		"one of two is unknown":              {[]shardCopy{unassigned, unassigned}, nil, []unassignedCopy{{reason: "ALLOCATION_FAILED"}, primaryLeft}, &observe.AtRisk{Left: []string{"ic"}, Unknown: true, Reason: "NODE_LEFT"}},
		"never started":                      {[]shardCopy{unassigned, unassigned}, nil, []unassignedCopy{{primary: true, reason: "INDEX_CREATED"}, {reason: "INDEX_CREATED"}}, nil},
		"restored into a new index":          {[]shardCopy{unassigned}, nil, []unassignedCopy{{primary: true, reason: "NEW_INDEX_RESTORED"}}, nil},
		"nothing is said of the unassigned":  {[]shardCopy{unassigned}, nil, nil, &observe.AtRisk{Unknown: true, Reason: "unassigned"}},
		"on an away member and left another": {[]shardCopy{at("STARTED", "ia"), unassigned}, []string{"a"}, []unassignedCopy{left("ib")}, &observe.AtRisk{On: []string{"a"}, Left: []string{"ib"}}},
	} {
		t.Run(name, func(t *testing.T) {
			settings := indexSettings{"x": false}
			told := map[shardKey][]unassignedCopy{{"x", 3}: c.told}
			got, total := atRisk(lostShards(c.copies, nodes, c.away), settings, c.copies, told)
			assert.Len(t, got, total)
			if c.want == nil {
				assert.Empty(t, got)
				return
			}
			want := *c.want
			want.Index, want.Shards, want.ShardCount = "x", []int{3}, 1
			assert.Equal(t, []observe.AtRisk{want}, got)

			settings["x"] = true
			got, _ = atRisk(lostShards(c.copies, nodes, c.away), settings, c.copies, told)
			assert.Empty(t, got, "a mounted snapshot loses nothing")
		})
	}
}

// TestAtRiskIsBounded: what a large cluster may answer fits, and what does not is
// counted.
func TestAtRiskIsBounded(t *testing.T) {
	nodes := []observe.Node{{ID: "ia", Name: "a"}}
	var copies []shardCopy
	settings := indexSettings{"hidden": false, "mounted": true}
	for i := range observe.MaxAtRisk + 7 {
		index := fmt.Sprintf("i%04d", i)
		settings[index] = false
		for n := range observe.MaxAtRiskShards + 3 {
			copies = append(copies, shardCopy{index: index, shard: n, primary: true, state: "STARTED", node: "ia"})
		}
	}
	got, total := atRisk(lostShards(copies, nodes, []string{"a"}), settings, copies, nil)
	assert.Len(t, got, observe.MaxAtRisk)
	assert.Equal(t, observe.MaxAtRisk+8, total)
	assert.Equal(t, observe.AtRisk{Index: "hidden", Unknown: true, Reason: "not shown"}, got[0])
	assert.Len(t, got[1].Shards, observe.MaxAtRiskShards)
	assert.Equal(t, observe.MaxAtRiskShards+3, got[1].ShardCount)

	for i := range copies {
		copies[i].state, copies[i].node = "UNASSIGNED", ""
	}
	names := unassignedIndices(lostShards(copies, nodes, nil))
	assert.Len(t, names, maxUnassignedIndices)
	long := []lostShard{{shardKey{strings.Repeat("ü", 120), 0}, nil, nil, true}}
	for i := range 20 {
		long = append(long, lostShard{shardKey{fmt.Sprintf("%s%d", strings.Repeat("x", 240), i), 0}, nil, nil, true})
	}
	names = unassignedIndices(long)
	assert.Less(t, len(strings.Join(names, ",")), maxUnassignedPath)
	assert.Greater(t, len(names), 5)
}

// red makes the fake's second index lose its primary for good.
func red(t *testing.T, f *fake) {
	f.says("state", 200, strings.Replace(f.file(t, "state"), `"b": {
    "shards": {
     "0": [`, `"b": {"shards": {"7": [{"state": "UNASSIGNED", "primary": true, "node": null, "relocating_node": null}],
     "0": [`, 1))
}

// TestUnassignedAreAskedFor: only a red cluster is asked why, by one request, and
// without a readable answer nothing is known.
func TestUnassignedAreAskedFor(t *testing.T) {
	const said = `{"routing_table":{"indices":{"b":{"shards":{"7":[{"state":"UNASSIGNED","primary":true,"unassigned_info":{"reason":"NODE_LEFT"%s}}],
		"0":[{"state":"STARTED","primary":true}]}}}}}`
	for _, v := range versions {
		t.Run(v.dir, func(t *testing.T) {
			f := newFake(t, v.dir, v.version)
			red(t, f)
			a := newAdapter(t, Options{})
			ask := func(status int, body string) observe.AtRisk {
				t.Helper()
				f.says("unassigned", status, body)
				before := f.hits.Load()
				o, err := a.Do(context.Background(), f.request(true))
				require.NoError(t, err)
				assert.Equal(t, v.requests[1]+1, f.hits.Load()-before)
				require.Len(t, o.AtRisk, 2)
				assert.Equal(t, []int{7}, o.AtRisk[0].Shards)
				assert.Equal(t, "b", o.AtRisk[0].Index)
				return o.AtRisk[0]
			}
			for more, want := range map[string][]string{
				`,"details":"node_left[former]"`:                   {"former"},
				`,"details":"node_left [gone]"`:                    {"gone"},
				`,"details":"node_left [old]","last_node":"newer"`: {"newer"},
				`,"details":"node_left [cut o"`:                    nil,
				`,"details":"failed shard on node [x]: node_left"`: nil,
			} {
				got := ask(200, fmt.Sprintf(said, more))
				assert.Equal(t, want, got.Left, more)
				assert.Equal(t, want == nil, got.Unknown, more)
				assert.Equal(t, "NODE_LEFT", got.Reason)
			}
			for _, bad := range []string{`{`, `{"routing_table":{"indices":{"b":{"shards":{"x":[]}}}}}`, `{"routing_table":{"indices":{"b":{"shards":{"7":[{"state":"UNASSIGNED"}]}}}}}`, `{}`} {
				assert.True(t, ask(200, bad).Unknown, bad)
			}
			assert.True(t, ask(http.StatusForbidden, `{}`).Unknown)
		})
	}
}
