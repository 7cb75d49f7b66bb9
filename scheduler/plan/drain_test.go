package plan

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// drained is a node that holds nothing any more, by every part of the answer.
func drained() DrainFacts {
	return DrainFacts{
		RestartFacts: RestartFacts{
			Candidate: Member{Name: "logs-data-3", Healthy: true, Joined: true, Master: true},
			Others:    []Member{{Name: "logs-data-0", Healthy: true, Master: true}, {Name: "logs-data-1", Healthy: true, Master: true}},
			Seen:      true, Health: "green", Members: 3, RiskSeen: true,
		},
		Staying: 2,
		Leaving: &observe.Leaving{
			Node: "logs-data-3", Member: true, Namesakes: 1, ID: "id3", EphemeralID: "e1", Excluded: true,
			VotersExcluded: []string{"logs-data-3"}, RoomKnown: true, Room: 10 << 20,
		},
	}
}

// TestDrained: each thing that an answer may say against it, or not say, is enough.
func TestDrained(t *testing.T) {
	was := Process{ID: "id3", EphemeralID: "e1"}
	ok, why := drained().Drained(was, false)
	require.True(t, ok, why)
	for name, c := range map[string]struct {
		change func(*DrainFacts)
		why    string
		yellow bool // accepted, and refused all the same
	}{
		"no answer since the last change":  {func(f *DrainFacts) { f.Seen = false }, "has not said", true},
		"an answer of another question":    {func(f *DrainFacts) { f.Leaving = nil }, "has not said", true},
		"an answer on another node":        {func(f *DrainFacts) { f.Leaving.Node = "logs-data-2" }, "has not said", true},
		"the master is behind":             {func(f *DrainFacts) { f.TimedOut = true }, "behind", true},
		"it is away":                       {func(f *DrainFacts) { f.Leaving.Member, f.Leaving.ID, f.Leaving.Namesakes = false, "", 0 }, "no member", true},
		"two of one name":                  {func(f *DrainFacts) { f.Leaving.Member, f.Leaving.Namesakes = false, 2 }, "2 members answer", true},
		"it rejoined on the same data":     {func(f *DrainFacts) { f.Leaving.EphemeralID = "e2" }, "started anew", true},
		"it rejoined empty":                {func(f *DrainFacts) { f.Leaving.ID, f.Leaving.EphemeralID = "id9", "e2" }, "started anew", true},
		"its exclusion was lost":           {func(f *DrainFacts) { f.Leaving.Excluded = false }, "not in force", true},
		"a copy is on it":                  {func(f *DrainFacts) { f.Leaving.Holds, f.Leaving.Some = 1, []string{"logs[3]"} }, "1 copies of shards: logs[3]", true},
		"a shard relocates":                {func(f *DrainFacts) { f.Relocating = 1 }, "1 relocate", true},
		"a shard starts":                   {func(f *DrainFacts) { f.Initializing = 1 }, "1 shards initialize", true},
		"a shard is being looked for":      {func(f *DrainFacts) { f.Fetching = 1 }, "1 are being looked for", true},
		"a replica has become unassigned":  {func(f *DrainFacts) { f.Health, f.Unassigned = "yellow", 1 }, "yellow: 1 shards", false},
		"green, and a shard is unassigned": {func(f *DrainFacts) { f.Unassigned = 1 }, "1 shards are unassigned", false},
		"red":                              {func(f *DrainFacts) { f.Health = "red" }, "says red", true},
		"another node is away":             {func(f *DrainFacts) { f.Members = 2 }, "2 of 3 nodes", false},
		"the risk is not known":            {func(f *DrainFacts) { f.RiskSeen = false }, "not known", true},
		"a shard has no copy elsewhere":    {func(f *DrainFacts) { f.AtRisk = []string{"audit [0]"} }, "audit [0]", true},
		"another master is away":           {func(f *DrainFacts) { f.StayingAway = "logs-data-0" }, "logs-data-0 is away", true},
		"it still votes":                   {func(f *DrainFacts) { f.Leaving.Voter = true }, "still votes", true},
	} {
		t.Run(name, func(t *testing.T) {
			f := drained()
			c.change(&f)
			ok, why := f.Drained(was, false)
			assert.False(t, ok)
			assert.Contains(t, why, c.why)
			ok, _ = f.Drained(was, true)
			assert.Equal(t, !c.yellow, ok, "with unassigned replicas accepted")
		})
	}
}

func TestDrainGates(t *testing.T) {
	closed := func(f DrainFacts, holdsNothing bool) map[string]string {
		out := map[string]string{}
		for _, g := range DrainGates(f, holdsNothing) {
			if !g.Open {
				assert.NotEmpty(t, g.Message, g.Name)
				out[g.Name] = g.Message
			} else {
				assert.Empty(t, g.Message, g.Name)
			}
		}
		return out
	}
	require.Empty(t, closed(drained(), false))
	for name, c := range map[string]struct {
		change func(*DrainFacts)
		gate   string
		why    string
	}{
		"unanswered":      {func(f *DrainFacts) { f.Unanswered = 2 }, GateReconciled, "2 tasks"},
		"another is away": {func(f *DrainFacts) { f.Others[1].Healthy = false }, GateOthersHealthy, "logs-data-1"},
		"yellow":          {func(f *DrainFacts) { f.Health, f.Unassigned = "yellow", 1 }, GateClusterGreen, "yellow"},
		"not a member":    {func(f *DrainFacts) { f.Leaving.Member = false }, GateDrainable, "no member"},
		"namesakes":       {func(f *DrainFacts) { f.Leaving.Member, f.Leaving.Namesakes = false, 2 }, GateDrainable, "2 members"},
		"not healthy":     {func(f *DrainFacts) { f.Candidate.Healthy = false }, GateDrainable, "not healthy"},
		"no place": {func(f *DrainFacts) {
			f.Leaving.Misfits, f.Leaving.MisfitTotal = []observe.Misfit{{Index: "audit", Reason: "r"}}, 3
		}, GateShardsFit, "index audit: r (and 2 indices more)"},
		"no room":          {func(f *DrainFacts) { f.Leaving.Bytes = 11 << 20 }, GateDiskFits, "11 MiB in shards, and the nodes that stay have room for 10 MiB"},
		"room not known":   {func(f *DrainFacts) { f.Leaving.RoomKnown = false }, GateDiskFits, "not every node"},
		"the last master":  {func(f *DrainFacts) { f.Staying = 0 }, GateMastersQuorum, "last master-eligible"},
		"a master is away": {func(f *DrainFacts) { f.StayingAway = "logs-data-0" }, GateMastersQuorum, "logs-data-0 is away"},
		"voters excluded":  {func(f *DrainFacts) { f.Leaving.VotersExcluded = []string{"x", "logs-data-3"} }, GateVotersKnown, "voting exclusions of x"},
	} {
		t.Run(name, func(t *testing.T) {
			f := drained()
			c.change(&f)
			got := closed(f, false)
			assert.Len(t, got, 1)
			assert.Contains(t, got[c.gate], c.why)
		})
	}

	f := drained()
	f.Leaving = nil
	assert.Len(t, closed(f, false), 4, "nothing is known of it: Drainable, ShardsFit, DiskFits, VotersKnown")
	f = DrainFacts{RestartFacts: RestartFacts{Candidate: Member{Name: "x"}}}
	assert.Empty(t, closed(f, true), "one that never joined holds nothing")
	f.Unanswered = -1
	assert.Len(t, closed(f, true), 1)
	f = drained()
	f.Leaving.RoomKnown, f.Leaving.NoThreshold = false, true
	assert.Empty(t, closed(f, false), "Elasticsearch does not heed the disks")
	for _, name := range DrainOverridable {
		assert.NotContains(t, []string{GateReconciled, GateDrainable, GateCopiesElsewhere, GateVotersKnown}, name)
	}
}

func TestFix(t *testing.T) {
	for _, d := range []string{"same_shard", "awareness", "disk_threshold", "filter", "shards_limit", "enable", "throttling", "node_version", "data_tier", "max_retry"} {
		assert.NotContains(t, Fix(d), "decider", d)
	}
	assert.Contains(t, Fix("unheard_of"), "unheard_of")
	assert.Contains(t, Fix(""), "explain")
}
