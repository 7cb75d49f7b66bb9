package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// removed has a node ended, and the master show its agent without its volume.
func (l *lossy) removed(name string) *slot {
	s := l.node(name)
	l.end(name)
	l.back(name, true)
	s.Bind.HasData, s.missing, s.volumeGone = true, true, true
	l.c.held = holdings{views: []volumes.View{{AgentID: s.Bind.AgentID}}, byAgent: map[string]int{s.Bind.AgentID: 0}}
	l.observed()
	return s
}

// A node whose volume somebody has removed is replaced by order, like one whose machine
// is lost; but it cannot come back, so that nothing waits for it.
func TestReplaceWithoutVolume(t *testing.T) {
	const victim = "logs-data-1"
	risk := observe.AtRisk{Index: "x", Shards: []int{0}, ShardCount: 1, Left: []string{"id-" + victim}, Reason: "NODE_LEFT"}
	for name, k := range map[string]struct {
		node   string // victim if empty
		change func(*lossy, *slot)
		accept []string
		code   string // empty: allowed
		says   string
	}{
		"removed":                         {},
		"its task may run":                {change: func(_ *lossy, s *slot) { s.Task.State = state.TaskRunning }, code: v1.CodeConflict, says: "on h4"},
		"no data was on it":               {change: func(_ *lossy, s *slot) { s.Bind.HasData = false }, code: v1.CodeConflict, says: "berth volumes repair plan --finding logs-data-1."},
		"a part of its reservation":       {change: func(_ *lossy, s *slot) { s.volumeGone = false }, code: v1.CodeConflict, says: "berth volumes repair plan --finding logs-data-1."},
		"the master does not answer":      {change: func(l *lossy, _ *slot) { l.c.observedAt = benchEpoch.Add(-time.Hour) }, code: v1.CodeFactsMissing, says: "has not answered since"},
		"not shown since subscribing":     {change: func(l *lossy, _ *slot) { l.c.subscribedAt = benchEpoch }, code: v1.CodeFactsMissing, says: "since Berth subscribed"},
		"its agent is disconnected":       {change: func(l *lossy, _ *slot) { l.c.held.views[0].Unknown = whyDisconnected }, code: v1.CodeFactsMissing, says: whyDisconnected},
		"its agent is not listed":         {change: func(l *lossy, _ *slot) { l.c.held = holdings{} }, code: v1.CodeFactsMissing, says: whyNotListed},
		"its agent is away":               {change: func(l *lossy, s *slot) { s.agentAway = true; delete(l.c.agents, s.Bind.AgentID) }},
		"it had the only copy":            {change: func(l *lossy, _ *slot) { l.observed(risk) }, code: v1.CodeDataAtRisk, says: "volume logs-data-1."},
		"it had the only copy, accepted":  {change: func(l *lossy, _ *slot) { l.observed(risk) }, accept: []string{"x"}},
		"observed before it was seen":     {change: func(l *lossy, _ *slot) { l.cl.awayFull.Away = nil }, code: v1.CodeFactsMissing, says: "other nodes are away"},
		"a master of three, before 7":     {node: "logs-master-0", change: func(l *lossy, _ *slot) { l.cl.Spec.Spec.Version = "6.8.23" }},
		"the only master, without it":     {node: "logs-master-0", change: func(l *lossy, _ *slot) { l.cl.Spec.Spec.NodeSets[0].Count = 1 }, code: v1.CodeQuorumAtRisk, says: "Find out who removed the volume"},
		"the cluster is without a master": {node: "logs-master-0", change: func(l *lossy, _ *slot) { l.cl.noMaster = true }, code: v1.CodeQuorumAtRisk, says: "no elected master"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLossy(t)
			node := k.node
			if node == "" {
				node = victim
			}
			s := l.removed(node)
			if k.change != nil {
				k.change(l, s)
			}
			away := s.agentAway
			for _, dryRun := range []bool{true, false} {
				accepted, problem := l.c.replaceNode(NodeReplaceOrdered{Cluster: "logs", Node: node, AcceptDataLoss: k.accept, DryRun: dryRun, User: "ann"})
				if k.code != "" {
					require.NotNil(t, problem, "dry run %t", dryRun)
					assert.Equal(t, k.code, problem.Code)
					assert.Contains(t, problem.Error(), k.says)
					assert.Equal(t, state.WantRun, s.Want)
					assert.Equal(t, state.KnownYes, s.Bind.Volume)
					continue
				}
				require.Nil(t, problem)
				assert.True(t, accepted.Changed)
				switch {
				case dryRun:
					assert.Equal(t, state.WantRun, s.Want)
					assert.Equal(t, state.KnownYes, s.Bind.Volume)
				case away: // it may be there after all
					assert.Equal(t, state.WantReplaced, s.Want)
					assert.Equal(t, state.KnownYes, s.Bind.Volume)
				default:
					assert.Equal(t, state.WantRetain, s.Want)
					assert.Nil(t, s.Order, "nothing is destroyed by it")
					assert.False(t, s.counts(), "its machine is free for its successor")
				}
			}
		})
	}
}
