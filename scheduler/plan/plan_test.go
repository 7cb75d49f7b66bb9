package plan_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/plan"
)

func set(name string, count int, roles ...string) v1.NodeSet {
	s := v1.NodeSet{Name: name, Count: count, Resources: v1.NodeResources{CPUs: 1, Memory: "2gb"}, Storage: v1.Storage{Size: "10gb"}}
	if roles != nil {
		s.Roles = &roles
	}
	return s
}

func logs(sets ...v1.NodeSet) v1.Cluster {
	return v1.Cluster{Name: "logs", Spec: v1.ClusterSpec{Version: "8.19.21", Role: "db", NodeSets: sets}}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		bound  map[string]int // highest ordinal in use, plus one
		change func(*v1.Cluster)
		fields []string
	}{
		{"nothing", map[string]int{"data": 3}, func(*v1.Cluster) {}, nil},
		{"more nodes", map[string]int{"data": 3}, func(c *v1.Cluster) { c.Spec.NodeSets[0].Count = 5 }, nil},
		{"a new set", map[string]int{"data": 3}, func(c *v1.Cluster) { c.Spec.NodeSets = append(c.Spec.NodeSets, set("hot", 2)) }, nil},
		{"sets in another order", map[string]int{"data": 3, "master": 1}, func(c *v1.Cluster) {
			c.Spec.NodeSets[0], c.Spec.NodeSets[1] = c.Spec.NodeSets[1], c.Spec.NodeSets[0]
		}, nil},
		{"labels and constraints", map[string]int{"data": 3}, func(c *v1.Cluster) {
			c.Labels = map[string]string{"team": "a"}
			c.Spec.NodeSets[0].Constraints = []v1.Constraint{{Attribute: "rack", Operator: "EQ", Values: []string{"r1"}}}
			c.Spec.NodeSets[0].Spread = "rack"
		}, nil},
		{"default roles in words", map[string]int{"data": 3}, func(c *v1.Cluster) {
			roles := append([]string{}, plan.DefaultRoles...)
			c.Spec.NodeSets[0].Roles = &roles
		}, nil},
		{"an empty list for none", map[string]int{"data": 3}, func(c *v1.Cluster) {
			c.Spec.NodeSets[0].JavaOptions = []string{}
		}, nil},
		{"everything while nothing is placed", nil, func(c *v1.Cluster) { *c = logs(set("other", 1, "data")); c.Spec.Version = "9.1.2"; c.Spec.Role = "x" }, nil},
		{"fewer, above what is placed", map[string]int{"data": 2}, func(c *v1.Cluster) { c.Spec.NodeSets[0].Count = 2 }, nil},
		{"fewer than placed", map[string]int{"data": 3}, func(c *v1.Cluster) { c.Spec.NodeSets[0].Count = 2 }, []string{"spec.nodeSets[0].count"}},
		{"a placed set is missing", map[string]int{"data": 3}, func(c *v1.Cluster) { c.Spec.NodeSets = c.Spec.NodeSets[1:] }, []string{"spec.nodeSets"}},
		{"the same size in other words", map[string]int{"data": 3}, func(c *v1.Cluster) {
			c.Spec.NodeSets[0].Storage.Size = "10240mb"
			c.Spec.NodeSets[0].Count++
		}, nil},
		{"an upgrade, and another role", map[string]int{"master": 1}, func(c *v1.Cluster) { c.Spec.Version, c.Spec.Role = "9.1.2", "x" }, []string{"spec.role"}},
		{"a downgrade", map[string]int{"master": 1}, func(c *v1.Cluster) { c.Spec.Version = "8.19.20" }, []string{"spec.version"}},
		{"what a restart brings", map[string]int{"master": 1}, func(c *v1.Cluster) {
			s := &c.Spec.NodeSets[1]
			s.JavaOptions, s.TimeZone, s.Resources.Heap, s.Config = []string{"-Dx=y"}, "Europe/Paris", "1gb", map[string]any{"x": 1}
		}, nil},
		{"what needs another reservation", map[string]int{"master": 1}, func(c *v1.Cluster) {
			s := &c.Spec.NodeSets[1]
			s.Roles, s.Resources.CPUs, s.Storage.Size = &[]string{"data"}, 2, "20gb"
			s.JavaOptions, s.TimeZone = []string{"-Dx=y"}, "Europe/Paris"
		}, []string{"spec.nodeSets[1].roles", "spec.nodeSets[1].resources.cpus", "spec.nodeSets[1].storage.size"}},
		{"named by its place in the new spec", map[string]int{"master": 1}, func(c *v1.Cluster) {
			c.Spec.NodeSets[1].Count = 0
			c.Spec.NodeSets[0], c.Spec.NodeSets[1] = c.Spec.NodeSets[1], c.Spec.NodeSets[0]
		}, []string{"spec.nodeSets[0].count"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			was, now := logs(set("data", 3), set("master", 1, "master")), logs(set("data", 3), set("master", 1, "master"))
			c.change(&now)
			var fields []string
			for _, r := range plan.Refusals(was, now, func(set string) int { return c.bound[set] }, []string{was.Spec.Version}) {
				fields = append(fields, r.Field)
				require.NotEmpty(t, r.Reason)
			}
			require.Equal(t, c.fields, fields)
		})
	}
}

func TestBuild(t *testing.T) {
	cluster := logs(set("master", 1, "master"), set("data", 2, "data"))
	fact := func(name, set string, done, started bool, waiting string) plan.Fact {
		return plan.Fact{Node: plan.Node{Name: name, Place: plan.Place{Set: set}}, Action: "deploy", Done: done, Started: started, Waiting: waiting}
	}
	build := func(formed bool, facts ...plan.Fact) (whole string, phases []string, view v1.PlanView) {
		view = plan.Build(cluster, 4, facts, formed)
		for _, p := range view.Phases {
			phases = append(phases, p.Name+" "+p.Status)
		}
		return view.Status, phases, view
	}

	status, phases, view := build(false,
		fact("logs-master-0", "master", true, true, "stale words"), fact("logs-data-0", "data", false, true, "the node to join"), fact("logs-data-1", "data", false, false, "an offer"))
	require.Equal(t, "logs.g4", view.ID)
	require.Equal(t, plan.InProgress, status)
	require.Equal(t, []string{"deploy master Complete", "deploy data InProgress", "form cluster Pending"}, phases)
	require.Equal(t, []v1.PlanStep{
		{Node: "logs-data-0", Action: "deploy", Status: plan.InProgress, Waiting: "the node to join"},
		{Node: "logs-data-1", Action: "deploy", Status: plan.Pending, Waiting: "an offer"},
	}, view.Phases[1].Steps)
	require.Empty(t, view.Phases[0].Steps[0].Waiting, "what is done waits for nothing")

	all := []plan.Fact{fact("logs-master-0", "master", true, true, ""), fact("logs-data-0", "data", true, true, ""), fact("logs-data-1", "data", true, true, "")}
	status, phases, _ = build(false, all...)
	require.Equal(t, plan.InProgress, status)
	require.Equal(t, "form cluster InProgress", phases[2], "nodes that run are no cluster yet")
	status, phases, _ = build(true, all...)
	require.Equal(t, plan.Complete, status)
	require.Equal(t, "form cluster Complete", phases[2])

	// A cluster that had formed and lost a node is not complete.
	all[1].Done = false
	status, _, _ = build(true, all...)
	require.Equal(t, plan.InProgress, status)
}

// Losing any one machine leaves a majority of n masters, as soon as there are
// three; with fewer there is no such placement.
func TestMastersPerMachine(t *testing.T) {
	for n := range 20 {
		most := plan.MastersPerMachine(n)
		require.GreaterOrEqual(t, most, 1)
		if n >= 3 {
			require.Greater(t, n-most, n/2, "%d masters, %d on one machine", n, most)
			require.LessOrEqual(t, n-(most+1), n/2, "%d masters: %d would do as well", n, most+1)
		}
	}
}

func TestNodes(t *testing.T) {
	c := logs(set("data", 2), set("hot", 1, "data"))
	require.Equal(t, []plan.Node{
		{Name: "logs-data-0", Place: plan.Place{Set: "data", Ordinal: 0}},
		{Name: "logs-data-1", Place: plan.Place{Set: "data", Ordinal: 1}},
		{Name: "logs-hot-0", Place: plan.Place{Set: "hot", Ordinal: 0}},
	}, plan.Nodes(c))
	require.Equal(t, []string{"logs-data-0", "logs-data-1"}, plan.Masters(c), "a set without roles may be master")
	coordinating := set("front", 1, []string{}...)
	coordinating.Roles = &[]string{}
	require.False(t, plan.MasterEligible(coordinating), "an empty list is coordinating only")
}

// A node that took another's place has a name that no place has, and both tell
// their set.
func TestNodeNames(t *testing.T) {
	require.Equal(t, "logs-data-3-r17", plan.ReplacementName(plan.NodeName("logs", "data", 3), 17))
	for name, want := range map[string]string{
		"logs-data-3": "logs-data", "logs-data-3-r17": "logs-data", "logs-data-1-2": "logs-data-1", "logs-data-1-2-r3": "logs-data-1",
		"logs": "", "": "", "-3": "", "3": "", "logs-data": "", "logs-data-r17": "", "logs-data-3-r": "", "logs-data-3-17r": "", "-3-r4": "", "r4": "", "-r4": "",
	} {
		set, ok := plan.SetOf(name)
		require.Equal(t, want, set, name)
		require.Equal(t, want != "", ok, name)
	}
	c := logs(set("data", 2), set("hot", 1, "data"))
	require.True(t, plan.Wants(c, plan.Place{Set: "data", Ordinal: 1}))
	require.False(t, plan.Wants(c, plan.Place{Set: "data", Ordinal: 2}))
	require.False(t, plan.Wants(c, plan.Place{Set: "warm"}))
}

func TestHoldsData(t *testing.T) {
	require.True(t, plan.HoldsData(set("all", 1)))
	require.True(t, plan.HoldsData(set("hot", 1, "master", "data_hot")))
	require.True(t, plan.HoldsData(set("data", 1, "data")))
	require.False(t, plan.HoldsData(set("master", 1, "master", "ingest")))
}
