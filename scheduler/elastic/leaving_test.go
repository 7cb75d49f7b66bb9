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

func leavingOf(t *testing.T, f *fake, q observe.LeavingQuestion) (*observe.Leaving, error) {
	t.Helper()
	req := f.request(true)
	req.Leaving = &q
	o, err := newAdapter(t, Options{}).Do(context.Background(), req)
	if err == nil {
		require.NotNil(t, o.Leaving)
	}
	return o.Leaving, err
}

// TestLeaving reads recorded answers of every version: a copy that is on its way
// from the node or to it is on it.
func TestLeaving(t *testing.T) {
	for _, v := range versions {
		t.Run(v.dir, func(t *testing.T) {
			f := newFake(t, v.dir, v.version)
			m := &master{persistent: `"x,demo-2"`, voting: []string{"demo-2"}}
			m.serve(t, f)
			for node, want := range map[string]observe.Leaving{
				"demo-0": {Member: true, Namesakes: 1, ID: "id0", Holds: 2, Some: []string{"a[0]", "b[0]"}},
				"demo-1": {Member: true, Namesakes: 1, ID: "id1", Holds: 2, Some: []string{"a[0]", "a[1]"}},
				"demo-2": {Member: true, Namesakes: 1, ID: "id2", Holds: 2, Some: []string{"a[0]", "b[0]"}, Excluded: true},
				"demo-7": {},
			} {
				want.Node = node
				if v.ephemeral && want.Member {
					want.EphemeralID = strings.Replace(want.ID, "id", "eph", 1)
				}
				if atLeast(v.version, 7, 0) {
					want.VotersExcluded, want.Voter = []string{"demo-2"}, want.ID == "id0" || want.ID == "id1"
				}
				got, err := leavingOf(t, f, observe.LeavingQuestion{Node: node})
				require.NoError(t, err)
				assert.Equal(t, want, *got)
			}

			// The same by _cat/shards, whose relocating rows read "a -> ip id b".
			want, err := leavingOf(t, f, observe.LeavingQuestion{Node: "demo-2"})
			require.NoError(t, err)
			f.says("state", 200, strings.Replace(f.file(t, "state"), "routing_table", "something_else", 1))
			got, err := leavingOf(t, f, observe.LeavingQuestion{Node: "demo-2"})
			require.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}
}

// TestLeavingHidden: what is set on the transient level hides the persistent one.
func TestLeavingHidden(t *testing.T) {
	f := newFake(t, "8.19", "8.19.21")
	m := &master{persistent: `"demo-2"`, transient: `"theirs"`}
	m.serve(t, f)
	got, err := leavingOf(t, f, observe.LeavingQuestion{Node: "demo-2"})
	require.NoError(t, err)
	assert.False(t, got.Excluded)
	m.transient = `"theirs,demo-2"`
	got, err = leavingOf(t, f, observe.LeavingQuestion{Node: "demo-2"})
	require.NoError(t, err)
	assert.True(t, got.Excluded)
}

// TestLeavingUnreadable: what cannot be read whole is no answer, never an empty node.
func TestLeavingUnreadable(t *testing.T) {
	cut := func(s string) string { return s[:len(s)/2] }
	for name, tc := range map[string]struct {
		change func(t *testing.T, f *fake)
		class  observe.Class
	}{
		"settings cut off":    {func(_ *testing.T, f *fake) { f.says("settings of the cluster", 200, `{"persistent":{}`) }, observe.Unreadable},
		"settings refused":    {func(_ *testing.T, f *fake) { f.says("settings of the cluster", 403, `{}`) }, observe.Unauthorized},
		"no voters":           {func(_ *testing.T, f *fake) { f.says("metadata", 200, `{}`) }, observe.Unreadable},
		"state cut off":       {func(t *testing.T, f *fake) { f.says("state", 200, cut(f.file(t, "state"))) }, observe.Unreadable},
		"rows without a node": {func(t *testing.T, f *fake) { noRouting(t, f, `"RELOCATING"`, `"STARTED"`) }, observe.Unreadable},
		"an odd arrow":        {func(t *testing.T, f *fake) { noRouting(t, f, " -> ", " => ") }, observe.Unreadable},
		"no rows at all": {func(t *testing.T, f *fake) {
			noRouting(t, f, "", "")
			f.says("cat", 200, `[]`)
		}, observe.Unreadable},
		"rows are null": {func(t *testing.T, f *fake) {
			noRouting(t, f, "", "")
			f.says("cat", 200, `null`)
		}, observe.Unreadable},
		"too busy": {func(_ *testing.T, f *fake) { f.says("settings of the cluster", 429, `{}`) }, observe.Refused},
		"rules not told": {func(_ *testing.T, f *fake) { f.says("allocation rules", 500, `{}`) },
			observe.Unreadable},
		"an odd watermark": {func(_ *testing.T, f *fake) {
			f.says("settings of the cluster", 200, `{"persistent":{"cluster.routing.allocation.disk.watermark.low":"much"},"transient":{}}`)
		}, observe.Unreadable},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, "8.19", "8.19.21")
			(&master{}).serve(t, f)
			room(f, "10")
			tc.change(t, f)
			_, err := leavingOf(t, f, observe.LeavingQuestion{Node: "demo-2", Fit: true})
			assert.Equal(t, tc.class, failureOf(t, err).Class, err)
		})
	}
}

// noRouting has shards come by _cat/shards, with a change to what was recorded.
func noRouting(t *testing.T, f *fake, from, to string) {
	f.says("state", 200, strings.Replace(f.file(t, "state"), "routing_table", "something_else", 1))
	if from != "" {
		changed := strings.Replace(f.file(t, "cat"), from, to, 1)
		require.NotEqual(t, f.file(t, "cat"), changed)
		if from == `"RELOCATING"` {
			changed = strings.Replace(f.file(t, "cat"), `"id0"`, `""`, 1)
		}
		f.says("cat", 200, changed)
	}
}

// room has demo-2 hold so many bytes, and the disks of the others be of 1000 bytes,
// 300 of them free.
func room(f *fake, holds string) {
	f.says("allocation rules", 200, `{"a":{"settings":{"index":{}}}}`)
	f.says("cat allocation", 200, fmt.Sprintf(`[{"node":"demo-0","disk.indices":"5","disk.avail":"300","disk.total":"1000"},
		{"node":"demo-1","disk.indices":"5","disk.avail":"300","disk.total":"1000"},
		{"node":"demo-2","disk.indices":%q,"disk.avail":"0","disk.total":"1000"},{"node":"UNASSIGNED","disk.indices":null}]`, holds))
}

func TestRoom(t *testing.T) {
	for name, c := range map[string]struct {
		settings string // further ones
		rows     string // of demo-1
		also     []string
		want     observe.Leaving
	}{
		"default": {want: observe.Leaving{Bytes: 77, Room: 300, RoomKnown: true}},
		"percent": {settings: `"cluster.routing.allocation.disk.watermark.low":"80%"`, want: observe.Leaving{Bytes: 77, Room: 200, RoomKnown: true}},
		"ratio":   {settings: `"cluster.routing.allocation.disk.watermark.low":"0.75"`, want: observe.Leaving{Bytes: 77, Room: 100, RoomKnown: true}},
		"bytes":   {settings: `"cluster.routing.allocation.disk.watermark.low":"280b"`, want: observe.Leaving{Bytes: 77, Room: 40, RoomKnown: true}},
		"headroom": {settings: `"cluster.routing.allocation.disk.watermark.low":"80%","cluster.routing.allocation.disk.watermark.low.max_headroom":"10b"`,
			want: observe.Leaving{Bytes: 77, Room: 580, RoomKnown: true}},
		"no threshold":       {settings: `"cluster.routing.allocation.disk.threshold_enabled":"false"`, want: observe.Leaving{NoThreshold: true}},
		"beyond the mark":    {settings: `"cluster.routing.allocation.disk.watermark.low":"60%"`, want: observe.Leaving{Bytes: 77, RoomKnown: true}},
		"one does not tell":  {rows: `{"node":"demo-1","disk.indices":null,"disk.avail":null,"disk.total":null}`, want: observe.Leaving{Bytes: 77, Room: 150}},
		"one is missing":     {rows: `{"node":"x"}`, want: observe.Leaving{Bytes: 77, Room: 150}},
		"another one leaves": {also: []string{"demo-1"}, want: observe.Leaving{Bytes: 77, Room: 150, RoomKnown: true}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, "8.19", "8.19.21")
			(&master{}).serve(t, f)
			room(f, "77")
			if c.rows != "" {
				f.says("cat allocation", 200, `[{"node":"demo-0","disk.indices":"5","disk.avail":"300","disk.total":"1000"},
					{"node":"demo-2","disk.indices":"77","disk.avail":"0","disk.total":"1000"},`+c.rows+`]`)
			}
			f.says("settings of the cluster", 200, `{"persistent":{`+c.settings+`},"transient":{},"defaults":{}}`)
			got, err := leavingOf(t, f, observe.LeavingQuestion{Node: "demo-2", Fit: true, Also: c.also})
			require.NoError(t, err)
			c.want.Node, c.want.Member, c.want.Namesakes, c.want.ID, c.want.EphemeralID = "demo-2", true, 1, "id2", "eph2"
			got.Holds, got.Some, got.Misfits, got.MisfitTotal = 0, nil, nil, 0
			assert.Equal(t, c.want, *got)
		})
	}

	// Two nodes with disks of one size on one machine are taken to share it.
	f := newFake(t, "8.19", "8.19.21")
	(&master{}).serve(t, f)
	room(f, "77")
	f.says("state", 200, strings.Replace(f.file(t, "state"), `"host": "h1"`, `"host": "h0"`, 1))
	got, err := leavingOf(t, f, observe.LeavingQuestion{Node: "demo-2", Fit: true})
	require.NoError(t, err)
	assert.Equal(t, int64(150), got.Room)
}

func TestMisfits(t *testing.T) {
	at := func(shard int, node string) shardCopy {
		return shardCopy{index: "x", shard: shard, state: "STARTED", node: node}
	}
	two := []shardCopy{at(0, "n"), at(0, "a"), at(1, "a"), at(1, "b")}
	for name, c := range map[string]struct {
		rule  allocationRule
		nodes int
		want  string
	}{
		"fits":                    {nodes: 2},
		"one node, two copies":    {nodes: 1, want: "2 copies of a shard, and 1 nodes"},
		"no node":                 {nodes: 0, want: "2 copies"},
		"expands with the nodes":  {rule: allocationRule{autoExpand: "0-all"}, nodes: 1},
		"does not expand":         {rule: allocationRule{autoExpand: "false"}, nodes: 1, want: "2 copies"},
		"expands, and no node":    {rule: allocationRule{autoExpand: "0-1"}, nodes: 0, want: "no node"},
		"few per node":            {rule: allocationRule{perNode: 1}, nodes: 2, want: "total_shards_per_node allows 1"},
		"enough per node":         {rule: allocationRule{perNode: 2}, nodes: 2},
		"no limit":                {rule: allocationRule{perNode: -1}, nodes: 2},
		"required by name":        {rule: allocationRule{require: map[string]string{"_name": "node"}}, nodes: 5, want: "require ties it"},
		"required by id":          {rule: allocationRule{require: map[string]string{"_id": "n"}}, nodes: 5, want: "require ties it"},
		"included by name":        {rule: allocationRule{include: map[string]string{"_name": "node"}}, nodes: 5, want: "include ties it"},
		"included among others":   {rule: allocationRule{include: map[string]string{"_name": "node,other"}}, nodes: 5},
		"required: another thing": {rule: allocationRule{require: map[string]string{"box": "hot"}}, nodes: 5},
	} {
		t.Run(name, func(t *testing.T) {
			got := misfits("node", "n", c.nodes, two, heldBy(two, map[string]bool{"n": true}), map[string]allocationRule{"x": c.rule})
			if c.want == "" {
				assert.Empty(t, got)
				return
			}
			require.Len(t, got, 1)
			assert.Equal(t, "x", got[0].Index)
			assert.Contains(t, got[0].Reason, c.want)
		})
	}
	assert.Empty(t, misfits("node", "n", 0, two, nil, nil), "what it has no copy of is not its matter")
}

func TestSharesData(t *testing.T) {
	for _, c := range []struct {
		of, roles string
		want      bool
	}{
		{"data,master", "data", true}, {"data", "master", false}, {"data_hot", "data_cold", false}, {"data_hot", "data", true},
		{"data_hot,data_content", "data_content", true}, {"data", "data_hot", true}, {"data", "", false}, {"master", "data", true},
	} {
		assert.Equal(t, c.want, sharesData(strings.Split(c.of, ","), strings.Split(c.roles, ",")), c)
	}
}

func TestExplain(t *testing.T) {
	f := newFake(t, "8.19", "8.19.21")
	(&master{}).serve(t, f)
	asked := 0
	f.on("explain", func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprint(w, `{"index":"b","shard":0,"can_move_to_other_node":"no","move_explanation":"cannot move",
			"node_allocation_decisions":[{"node_name":"demo-0","deciders":[{"decider":"same_shard","decision":"NO","explanation":"a copy is there"},{"decider":"enable","decision":"YES","explanation":"y"}]},
			{"node_name":"demo-1","deciders":[{"decider":"disk_threshold","decision":"NO","explanation":"full"},{"decider":"same_shard","decision":"NO","explanation":"too"}]}]}`)
	})
	got, err := leavingOf(t, f, observe.LeavingQuestion{Node: "demo-1", Explain: true})
	require.NoError(t, err)
	assert.Equal(t, "a[0]", got.Stuck)
	assert.Equal(t, "same_shard", got.Decider)
	assert.Equal(t, "demo-0: a copy is there", got.Explanation)
	_, err = leavingOf(t, f, observe.LeavingQuestion{Node: "demo-7", Explain: true})
	require.NoError(t, err)
	assert.Equal(t, 1, asked, "one that holds nothing needs no explanation")

	f.says("explain", 500, `{}`)
	got, err = leavingOf(t, f, observe.LeavingQuestion{Node: "demo-1", Explain: true})
	require.NoError(t, err, "it is a help only")
	assert.Equal(t, "a[0]", got.Stuck)
	assert.Empty(t, got.Decider)
	_, words := decodeExplain([]byte(`{"move_explanation":"cannot move"}`))
	assert.Equal(t, "cannot move", words)
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "5": 5, "5b": 5, "2kb": 2048, "1.5GB": 3 << 29, "200gb": 200 << 30, "1pb": 1 << 50} {
		got, ok := byteSize(text)
		assert.True(t, ok, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "-1", "x", "5 apples"} {
		_, ok := byteSize(text)
		assert.False(t, ok, text)
	}
}
