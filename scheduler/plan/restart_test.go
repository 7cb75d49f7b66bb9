package plan_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/plan"
)

func TestUpgradePath(t *testing.T) {
	for _, tc := range []struct{ from, to, says string }{
		{"8.19.20", "8.19.21", ""}, {"7.0.0", "7.17.29", ""}, {"7.17.29", "8.19.21", ""}, {"8.18.0", "9.0.0", ""}, {"8.19.21", "9.5.3", ""},
		{"5.6.16", "6.8.23", ""}, {"6.8.23", "7.17.29", ""}, {"2.4.5", "2.4.6", ""}, {"8.19.21", "8.19.21", ""},
		{"8.19.21", "8.19.20", "older than"}, {"8.0.0", "7.17.29", "older than"}, {"7.17.28", "7.2.0", "older than"},
		{"7.16.3", "8.0.0", "upgrade to 7.17 first"}, {"8.17.9", "9.0.0", "upgrade to 8.18 first"}, {"6.7.2", "7.0.0", "upgrade to 6.8 first"},
		{"6.8.23", "8.0.0", "skips a major version: upgrade to 7.x first"}, {"2.4.6", "5.6.16", "every node must be stopped"}, {"x", "8.0.0", "cannot be read"},
	} {
		err := plan.UpgradePath(tc.from, tc.to)
		if tc.says == "" {
			assert.NoError(t, err, "%s to %s", tc.from, tc.to)
		} else {
			assert.ErrorContains(t, err, tc.says, "%s to %s", tc.from, tc.to)
		}
	}
}

// What changes the fingerprint restarts every node of a set, so what does not
// reach a process must not be in it.
func TestFingerprint(t *testing.T) {
	c := logs(set("data", 3))
	c.Spec.NodeSets[0].Resources.Heap = "2gb"
	was := plan.Fingerprint(c.Spec, c.Spec.NodeSets[0])
	for name, change := range map[string]func(*v1.ClusterSpec, *v1.NodeSet){
		"count":               func(_ *v1.ClusterSpec, s *v1.NodeSet) { s.Count = 9 },
		"constraints":         func(_ *v1.ClusterSpec, s *v1.NodeSet) { s.Constraints, s.Spread = []v1.Constraint{{}}, "rack" },
		"replicas":            func(c *v1.ClusterSpec, _ *v1.NodeSet) { r := 2; c.Replicas = &r },
		"empty for none":      func(_ *v1.ClusterSpec, s *v1.NodeSet) { s.Config, s.JavaOptions = map[string]any{}, []string{} },
		"heap in other words": func(_ *v1.ClusterSpec, s *v1.NodeSet) { s.Resources.Heap = "2048mb" },
	} {
		spec, s := c.Spec, c.Spec.NodeSets[0]
		change(&spec, &s)
		assert.Equal(t, was, plan.Fingerprint(spec, s), name)
	}
	seen := map[string]string{was: "nothing"}
	for name, change := range map[string]func(*v1.ClusterSpec, *v1.NodeSet){
		"version":     func(c *v1.ClusterSpec, _ *v1.NodeSet) { c.Version = "8.19.22" },
		"heap":        func(_ *v1.ClusterSpec, s *v1.NodeSet) { s.Resources.Heap = "1gb" },
		"config":      func(_ *v1.ClusterSpec, s *v1.NodeSet) { s.Config = map[string]any{"a": 1} },
		"javaOptions": func(_ *v1.ClusterSpec, s *v1.NodeSet) { s.JavaOptions = []string{"-Da=b"} },
		"timeZone":    func(_ *v1.ClusterSpec, s *v1.NodeSet) { s.TimeZone = "Europe/Berlin" },
	} {
		spec, s := c.Spec, c.Spec.NodeSets[0]
		change(&spec, &s)
		f := plan.Fingerprint(spec, s)
		assert.Empty(t, seen[f], name)
		seen[f] = name
	}
}

func TestRestartOrder(t *testing.T) {
	members := []plan.Member{
		{Name: "elected", Master: true, Elected: true, Joined: true, Tier: 4}, {Name: "master", Master: true, Joined: true, Tier: 4},
		{Name: "hot", Joined: true, Tier: 3}, {Name: "frozen", Joined: true, Tier: 0}, {Name: "data", Joined: true, Tier: 4},
		{Name: "hot-master", Joined: true, Master: true, Tier: 3}, {Name: "broken", Tier: 4},
	}
	rapid.Check(t, func(t *rapid.T) {
		shuffled := rapid.Permutation(members).Draw(t, "members")
		plan.RestartOrder(shuffled)
		var names []string
		for _, m := range shuffled {
			names = append(names, m.Name)
		}
		require.Equal(t, "broken frozen hot data hot-master master elected", strings.Join(names, " "))
	})
	assert.Equal(t, 1, plan.Tier(set("x", 1, "data_cold", "data_hot")), "the coldest tier counts")
	assert.Equal(t, 4, plan.Tier(set("x", 1)))
}

func TestRestartGates(t *testing.T) {
	node := func(name string) plan.Member {
		return plan.Member{Name: name, Master: true, Healthy: true, Joined: true, Version: "8.19.21"}
	}
	good := func() plan.RestartFacts {
		return plan.RestartFacts{
			Candidate: node("a"), Others: []plan.Member{node("b"), node("c")},
			Seen: true, Health: "green", Members: 3, RiskSeen: true,
		}
	}
	older := func(f *plan.RestartFacts) { f.Candidate.Version = "8.19.20" }
	for _, tc := range []struct {
		name   string
		change func(f *plan.RestartFacts)
		gate   string // that holds; "" = none
		says   string
	}{
		{"all is well", func(*plan.RestartFacts) {}, "", ""},
		{"a silent task", func(f *plan.RestartFacts) { f.Unanswered = 2 }, plan.GateReconciled, "2 tasks"},
		{"no subscription", func(f *plan.RestartFacts) { f.Unanswered = -1 }, plan.GateReconciled, "no subscription"},
		{"another node is away", func(f *plan.RestartFacts) {
			f.Others[1].Healthy, f.Others[1].Master = false, false
			f.Others = append(f.Others, node("d"))
			f.Members = 4
		}, plan.GateOthersHealthy, "c does not answer"},
		{"nothing seen since", func(f *plan.RestartFacts) { f.Seen = false }, plan.GateClusterGreen, "has not said"},
		{"behind", func(f *plan.RestartFacts) { f.TimedOut = true }, plan.GateClusterGreen, "behind"},
		{"a member is missing", func(f *plan.RestartFacts) { f.Members = 2 }, plan.GateClusterGreen, "2 of 3"},
		{"moving", func(f *plan.RestartFacts) { f.Relocating = 1 }, plan.GateClusterGreen, "1 relocate"},
		{"starting", func(f *plan.RestartFacts) { f.Initializing = 1 }, plan.GateClusterGreen, "1 shards initialize"},
		{"looking for copies", func(f *plan.RestartFacts) { f.Fetching = 1 }, plan.GateClusterGreen, "looked for"},
		{"yellow", func(f *plan.RestartFacts) { f.Health, f.Unassigned = "yellow", 4 }, plan.GateClusterGreen, "yellow: 4 shards"},
		{"red", func(f *plan.RestartFacts) { older(f); f.Health = "red" }, plan.GateClusterGreen, "red"},
		{"yellow in an upgrade", func(f *plan.RestartFacts) { older(f); f.Health, f.Unassigned = "yellow", 4 }, "", ""},
		{"yellow in an upgrade, and a copy may come back", func(f *plan.RestartFacts) { older(f); f.Health, f.Delayed = "yellow", 1 }, plan.GateClusterGreen, "yellow"},
		{"yellow, and the candidate is the newer one", func(f *plan.RestartFacts) { f.Candidate.Version, f.Health = "8.19.22", "yellow" }, plan.GateClusterGreen, "yellow"},
		{"an only copy", func(f *plan.RestartFacts) { f.AtRisk = []string{"x [0]", "y [1]"} }, plan.GateCopiesElsewhere, "only started copy of x [0], y [1]"},
		{"many", func(f *plan.RestartFacts) { f.AtRisk = []string{"1", "2", "3", "4", "5", "6", "7"} }, plan.GateCopiesElsewhere, "5 and 2 more"},
		{"risk unknown", func(f *plan.RestartFacts) { f.RiskSeen = false }, plan.GateCopiesElsewhere, "not known yet"},
		{"two masters", func(f *plan.RestartFacts) { f.Others[1].Master = false }, plan.GateMastersQuorum, "2 master-eligible"},
		{"two masters, and the candidate is none", func(f *plan.RestartFacts) { f.Candidate.Master = false }, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := good()
			tc.change(&f)
			for _, g := range plan.RestartGates(f) {
				if g.Name == tc.gate {
					assert.False(t, g.Open, g.Name)
					assert.Contains(t, g.Message, tc.says)
				} else if tc.gate != plan.GateClusterGreen || g.Name != plan.GateCopiesElsewhere || f.Seen {
					assert.True(t, g.Open, "%s: %s", g.Name, g.Message)
				}
			}
		})
	}
	// A node that never joined holds nothing: only not knowing holds it back.
	f := good()
	f.Candidate.Joined, f.Seen, f.Others[0].Healthy = false, false, false
	for _, g := range plan.RestartGates(f) {
		assert.True(t, g.Open, g.Name)
	}
	f.Unanswered = 1
	assert.False(t, plan.RestartGates(f)[0].Open)
}
