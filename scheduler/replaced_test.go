package scheduler

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/state"
)

// returned is a node that is back beside its healthy successor, with a full answer of
// Elasticsearch since.
func (l *lossy) returned(name string) (s, next *slot) {
	s = l.node(name)
	next = l.replaced(name)
	l.heal(next)
	s.Task.State, s.Task.Since = state.TaskRunning, benchEpoch.Add(-20*time.Second)
	l.back(name, true)
	l.members()
	return s, next
}

// members is observed with every node as a member that runs.
func (l *lossy) members(risks ...observe.AtRisk) {
	l.observed(risks...)
	for _, s := range l.cl.list() {
		if s.live() && s.Task.State == state.TaskRunning {
			l.cl.awayFull.Nodes = append(l.cl.awayFull.Nodes, observe.Node{Name: s.Name})
		}
	}
}

func (l *lossy) notMember(name string) {
	l.cl.awayFull.Nodes = slices.DeleteFunc(l.cl.awayFull.Nodes, func(n observe.Node) bool { return n.Name == name })
}

func TestMayStop(t *testing.T) {
	alone := observe.AtRisk{Index: "x", Shards: []int{0}, ShardCount: 1, On: []string{"logs-data-1"}}
	alone2 := observe.AtRisk{Index: "x", Shards: []int{0}, ShardCount: 1, On: []string{"logs-master-1"}}
	other := observe.AtRisk{Index: "x", Shards: []int{0}, ShardCount: 1, Left: []string{"id-logs-data-2"}}
	unknown := observe.AtRisk{Index: "x", Shards: []int{0}, ShardCount: 1, Unknown: true}
	for name, k := range map[string]struct {
		node   string // logs-data-1 if empty
		change func(l *lossy, s, next *slot)
		says   string // empty: it may be stopped
	}{
		"nothing against it":                {},
		"its successor does not answer":     {"", func(_ *lossy, _, next *slot) { next.Task.Healthy = false }, "has not joined yet"},
		"its successor is gone":             {"", func(_ *lossy, _, next *slot) { next.Task.State = state.TaskUnreachable }, "has not joined yet"},
		"its successor is no member":        {"", func(l *lossy, _, next *slot) { l.notMember(next.Name) }, "does not count"},
		"asked before it came back":         {"", func(_ *lossy, s, _ *slot) { s.Task.Since = benchEpoch }, "has not told yet"},
		"asked before the successor joined": {"", func(_ *lossy, _, next *slot) { next.Task.HealthySince = benchEpoch }, "has not told yet"},
		"asked too long ago": {"", func(l *lossy, _, _ *slot) {
			l.cl.awayAsked = benchEpoch.Add(-replaceTrusted - time.Second)
			l.c.now = benchEpoch.Add(time.Second)
		}, "has not told yet"},
		"Elasticsearch does not answer now":  {"", func(l *lossy, _, _ *slot) { l.cl.observeErr = "timeout" }, "does not answer: timeout"},
		"no elected master":                  {"", func(l *lossy, _, _ *slot) { l.cl.noMaster = true }, "no elected master"},
		"the master is behind":               {"", func(l *lossy, _, _ *slot) { l.cl.awayFull.TimedOut = true }, "behind"},
		"another one is away since":          {"", func(l *lossy, _, _ *slot) { l.lose("logs-data-2") }, "other nodes are away"},
		"a shard is only on it":              {"", func(l *lossy, _, _ *slot) { l.members(alone) }, "shards of x"},
		"where a shard is is unknown":        {"", func(l *lossy, _, _ *slot) { l.members(unknown) }, "shards of x"},
		"a shard is only on another one":     {"", func(l *lossy, _, _ *slot) { l.members(other) }, ""},
		"a data node, and a master is away":  {"", func(l *lossy, _, _ *slot) { l.lose("logs-master-0"); l.members() }, ""},
		"a master":                           {"logs-master-1", nil, ""},
		"a master that holds no data":        {"logs-master-1", func(l *lossy, _, _ *slot) { l.members(alone2, unknown) }, ""},
		"a master, another one is away":      {"logs-master-1", func(l *lossy, _, _ *slot) { l.lose("logs-master-0"); l.members() }, ""},
		"a master, and both others are away": {"logs-master-1", func(l *lossy, _, _ *slot) { l.lose("logs-master-0"); l.lose("logs-master-2"); l.members() }, "1 of 3 master-eligible nodes"},
		"one of two masters, one is there": {"logs-master-1", func(l *lossy, _, _ *slot) {
			l.lose("logs-master-2")
			l.masters(2, "8.19.21", "logs-master-0")
			l.members()
		}, "1 of 2 master-eligible nodes"},
		"a master, two others are no members": {"logs-master-1", func(l *lossy, _, _ *slot) {
			l.notMember("logs-master-0")
			l.notMember("logs-master-2")
		}, "1 of 3 master-eligible nodes"},
		"a master, another one is stopped": {"logs-master-1", func(l *lossy, _, _ *slot) {
			o, _ := l.returned("logs-master-2")
			o.killedAt = benchEpoch
		}, "one at a time"},
		"a master, another one has stopped": {"logs-master-1", func(l *lossy, _, _ *slot) {
			o, _ := l.returned("logs-master-2")
			o.Want, o.Task.State, o.killedAt = state.WantRetain, state.TaskEnded, benchEpoch
			l.members()
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLossy(t)
			l.heal(l.node("logs-data-1"))
			node := k.node
			if node == "" {
				node = "logs-data-1"
			}
			s, next := l.returned(node)
			if k.change != nil {
				k.change(l, s, next)
			}
			why := l.c.mayNotStop(l.cl, s, next)
			if k.says == "" {
				assert.Empty(t, why)
			} else {
				assert.Contains(t, why, k.says)
			}
		})
	}
}

// One answer is not enough, and one that speaks against it starts over.
func TestTwoAnswersInARow(t *testing.T) {
	l := newLossy(t)
	l.heal(l.node("logs-data-1"))
	s, next := l.returned("logs-data-1")
	require.False(t, l.c.safeToStop(l.cl, s, next))
	require.False(t, l.c.safeToStop(l.cl, s, next), "the same answer")
	l.cl.awayFull.Seq++
	l.cl.awayFull.TimedOut = true
	require.False(t, l.c.safeToStop(l.cl, s, next))
	l.cl.awayFull.Seq++
	l.cl.awayFull.TimedOut = false
	require.False(t, l.c.safeToStop(l.cl, s, next))
	l.cl.awayFull.Seq++
	require.True(t, l.c.safeToStop(l.cl, s, next))
}
