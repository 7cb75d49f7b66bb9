package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

// lossy is a core with one cluster of three masters, three data nodes and a
// coordinating one, each on an agent of its own; that of data-1 has just been lost, and
// all that a decision rests on is known.
type lossy struct {
	t  *testing.T
	c  *Core
	cl *cluster
}

func newLossy(t *testing.T) *lossy {
	t.Helper()
	c, err := New(benchConfig(), nil)
	require.NoError(t, err)
	c.begin(benchEpoch)
	c.connected, c.subscribedAt, c.observedAt = true, benchEpoch.Add(-time.Hour), benchEpoch.Add(-time.Minute)
	set := func(name string, count int, roles ...string) v1.NodeSet {
		return v1.NodeSet{Name: name, Count: count, Roles: &roles, Resources: v1.NodeResources{CPUs: 1, Memory: "1gb"}, Storage: v1.Storage{Size: "1gb"}}
	}
	spec := v1.Cluster{Name: "logs", Spec: v1.ClusterSpec{Version: "8.19.21", Role: "db", NodeSets: []v1.NodeSet{
		set("master", 3, "master"), set("data", 3, "data"), set("front", 1),
	}}}
	cl := newCluster(state.Cluster{Spec: spec, Generation: 1, Incarnation: 1, ClusterUUID: "U1", InitialMasters: plan.Masters(spec)})
	c.clusters["logs"] = cl
	for i, n := range plan.Nodes(spec) {
		s := c.newSlot(cl, n)
		agent := &agent{id: fmt.Sprintf("a%d", i), hostname: fmt.Sprintf("h%d", i), active: true, seen: benchEpoch.Add(-time.Minute)}
		c.agents[agent.id] = agent
		s.Bind = c.binding(agent)
		s.Bind.Reserved, s.Bind.Volume = state.KnownYes, state.KnownYes
		s.Life, s.confirmed = 1, true
		s.Task = &state.Task{ID: s.taskID(1), Life: 1, AgentID: agent.id, State: state.TaskRunning, Healthy: true, Since: benchEpoch.Add(-time.Hour), NodeID: "id-" + n.Name}
	}
	l := &lossy{t: t, c: c, cl: cl}
	l.lose("logs-data-1")
	l.observed()
	return l
}

func (l *lossy) node(name string) *slot {
	_, s, problem := l.c.nodeOf("logs", name)
	require.Nil(l.t, problem)
	return s
}

// lose makes a node unreachable.
func (l *lossy) lose(name string) {
	s := l.node(name)
	s.Task.State, s.Task.Since = state.TaskUnreachable, benchEpoch.Add(-30*time.Second)
	delete(l.c.agents, s.Bind.AgentID)
}

// observed is a full answer of Elasticsearch to a question of just now.
func (l *lossy) observed(risks ...observe.AtRisk) {
	l.cl.observedAt, l.cl.fullAt, l.cl.awayAsked = benchEpoch, benchEpoch, benchEpoch.Add(-time.Second)
	l.cl.awayFull = observe.Observation{Seq: 7, Full: true, Health: "yellow", MinReplicas: 1, Away: l.cl.away(), AtRisk: risks, AtRiskTotal: len(risks)}
	l.cl.observation = l.cl.awayFull
}

func TestMayReplace(t *testing.T) {
	risk := func(index string, on, left []string, unknown bool) observe.AtRisk {
		return observe.AtRisk{Index: index, Shards: []int{0}, ShardCount: 1, On: on, Left: left, Unknown: unknown, Reason: "NODE_LEFT"}
	}
	ids := func(nodes ...string) (out []string) {
		for _, n := range nodes {
			out = append(out, "id-logs-"+n)
		}
		return out
	}
	const victim = "logs-data-1"
	for name, k := range map[string]struct {
		change func(*lossy)
		node   string // victim if empty
		accept []string
		code   string // empty: allowed
		says   string
	}{
		"a lost node":                     {},
		"a healthy one":                   {node: "logs-data-0", code: v1.CodeConflict, says: "is Healthy on h3"},
		"one that starts":                 {func(l *lossy) { l.node(victim).Task.State = state.TaskStarting }, "", nil, v1.CodeConflict, "is Starting on h4"},
		"one being launched":              {func(l *lossy) { l.node(victim).Task.State = state.TaskStaging }, "", nil, v1.CodeConflict, "is Launching on h4"},
		"one without a place":             {func(l *lossy) { s := l.node(victim); s.Bind, s.Task = nil, nil }, "", nil, v1.CodeConflict, "has no place yet"},
		"one given up with its agent":     {func(l *lossy) { l.node(victim).Want = state.WantNothing }, "", nil, v1.CodeConflict, "lost with its agent"},
		"one that is retained":            {func(l *lossy) { l.node(victim).Want = state.WantRetain }, "", nil, v1.CodeConflict, "has a successor already"},
		"of a cluster being deleted":      {func(l *lossy) { l.cl.Deletion = &state.Deletion{} }, "", nil, v1.CodeConflict, "being deleted"},
		"ended, its agent is there":       {func(l *lossy) { l.end(victim); l.back(victim, true) }, "", nil, v1.CodeConflict, "is started there again"},
		"ended, its agent is lost":        {func(l *lossy) { l.end(victim); l.observed() }, "", nil, "", ""},
		"ended, agent disconnected":       {func(l *lossy) { l.end(victim); l.back(victim, false) }, "", nil, v1.CodeFactsMissing, "or waits for h4 itself"},
		"ended, no view since":            {func(l *lossy) { l.end(victim); l.node(victim).agentAway = false }, "", nil, v1.CodeFactsMissing, "has not shown its agents lately"},
		"ended, view too old":             {func(l *lossy) { l.end(victim); l.observed(); l.c.observedAt = benchEpoch.Add(-10 * time.Minute) }, "", nil, v1.CodeFactsMissing, "has not shown its agents lately"},
		"ended, view before subscribing":  {func(l *lossy) { l.end(victim); l.observed(); l.c.subscribedAt = benchEpoch }, "", nil, v1.CodeFactsMissing, "has not shown its agents lately"},
		"not subscribed":                  {func(l *lossy) { l.c.connected = false }, "", nil, v1.CodeFactsMissing, "not subscribed"},
		"not told since subscribing":      {func(l *lossy) { l.node(victim).confirmed = false }, "", nil, v1.CodeFactsMissing, "has not told"},
		"its agent is back":               {func(l *lossy) { l.back(victim, true) }, "", nil, v1.CodeFactsMissing, "is back"},
		"not formed":                      {func(l *lossy) { l.cl.ClusterUUID = "" }, "", nil, v1.CodeFactsMissing, "has not formed"},
		"Elasticsearch does not answer":   {func(l *lossy) { l.cl.observeErr = "timeout: late" }, "", nil, v1.CodeFactsMissing, "timeout: late"},
		"never observed":                  {func(l *lossy) { l.cl.awayFull = observe.Observation{} }, "", nil, v1.CodeFactsMissing, "has not told it lately"},
		"observed too long ago":           {func(l *lossy) { l.cl.awayAsked = benchEpoch.Add(-replaceTrusted - time.Second) }, "", nil, v1.CodeFactsMissing, "has not told it lately"},
		"observed, another is away since": {func(l *lossy) { l.lose("logs-data-2") }, "", nil, v1.CodeFactsMissing, "other nodes are away"},
		"observed, the master is behind":  {func(l *lossy) { l.cl.awayFull.TimedOut = true }, "", nil, v1.CodeFactsMissing, "behind with its work"},
		"no elected master":               {func(l *lossy) { l.cl.noMaster = true }, "", nil, v1.CodeQuorumAtRisk, "3 of its 3 master-eligible nodes answer"},

		"a master of three":    {func(l *lossy) { l.lose("logs-master-2"); l.observed() }, "logs-master-2", nil, "", ""},
		"the only master":      {func(l *lossy) { l.masters(1, "8.19.21", "logs-master-0") }, "logs-master-0", nil, v1.CodeQuorumAtRisk, "the only master-eligible node"},
		"of three, before 7":   {func(l *lossy) { l.masters(3, "6.8.23", "logs-master-0") }, "logs-master-0", nil, v1.CodeQuorumAtRisk, "2 of 3 votes"},
		"of two, before 7":     {func(l *lossy) { l.masters(2, "6.8.23", "logs-master-0") }, "logs-master-0", nil, "", ""},
		"a data node before 7": {func(l *lossy) { l.masters(3, "2.4.6", "logs-data-2") }, "logs-data-2", nil, "", ""},
		"a second master at once": {func(l *lossy) {
			l.lose("logs-master-1")
			l.lose("logs-master-2")
			l.replaced("logs-master-1")
			l.observed()
		}, "logs-master-2", nil, v1.CodeQuorumAtRisk, "one at a time"},
		"a second master, one is ready": {func(l *lossy) {
			l.lose("logs-master-1")
			l.lose("logs-master-2")
			l.heal(l.replaced("logs-master-1"))
			l.observed()
		}, "logs-master-2", nil, "", ""},
		"a second master, one is launched": {func(l *lossy) {
			l.lose("logs-master-2")
			l.retired("logs-master-1")
			l.observed()
		}, "logs-master-2", nil, v1.CodeQuorumAtRisk, "until logs-master-1-r8, its successor, is healthy"},
		"a second master, one has joined and is down": {func(l *lossy) {
			l.lose("logs-master-2")
			next := l.retired("logs-master-1")
			l.heal(next)
			next.Task.State = state.TaskEnded
			l.observed()
		}, "logs-master-2", nil, "", ""},
		"a successor that was lost before it joined": {func(l *lossy) {
			l.retired("logs-master-1")
			l.lose("logs-master-1-r8")
			l.observed()
		}, "logs-master-1-r8", nil, "", ""},
		"a data node beside a master": {func(l *lossy) { l.lose("logs-master-1"); l.replaced("logs-master-1"); l.observed() }, "", nil, "", ""},

		"its volume has the only copy":     {func(l *lossy) { l.observed(risk("x", nil, ids("data-1"), false)) }, "", nil, v1.CodeDataAtRisk, "x, shard 0: only on logs-data-1"},
		"it runs on with the only copy":    {func(l *lossy) { l.observed(risk("x", []string{victim}, nil, false)) }, "", nil, v1.CodeDataAtRisk, "x, shard 0: only on logs-data-1"},
		"one of two that are lost":         {func(l *lossy) { l.observed(risk("x", nil, ids("data-2", "data-1"), false)) }, "", nil, v1.CodeDataAtRisk, "only on logs-data-1, logs-data-2"},
		"only another one has it":          {func(l *lossy) { l.observed(risk("x", nil, ids("data-2"), false)) }, "", nil, "", ""},
		"only another one runs with it":    {func(l *lossy) { l.observed(risk("x", []string{"logs-data-2"}, nil, false)) }, "", nil, "", ""},
		"a node of unknown name has it":    {func(l *lossy) { l.observed(risk("x", []string{"stranger"}, nil, false)) }, "", nil, v1.CodeDataAtRisk, "only on stranger"},
		"a node of unknown id had it":      {func(l *lossy) { l.observed(risk("x", nil, []string{"gone"}, false)) }, "", nil, v1.CodeDataAtRisk, "a node that has left (gone)"},
		"perhaps elsewhere, perhaps here":  {func(l *lossy) { l.observed(risk("x", nil, ids("data-2"), true)) }, "", nil, v1.CodeDataAtRisk, "perhaps elsewhere"},
		"where it is is unknown":           {func(l *lossy) { l.observed(risk("x", nil, nil, true)) }, "", nil, v1.CodeDataAtRisk, "is not known (NODE_LEFT)"},
		"a node that holds no data":        {func(l *lossy) { l.lose("logs-front-0"); l.observed(risk("x", nil, nil, true)) }, "logs-front-0", nil, "", ""},
		"a master without data":            {func(l *lossy) { l.lose("logs-master-0"); l.observed(risk("x", nil, nil, true)) }, "logs-master-0", nil, "", ""},
		"the loss is accepted":             {func(l *lossy) { l.observed(risk("x", nil, ids("data-1"), false), risk("y", nil, nil, true)) }, "", []string{"x", "y"}, "", ""},
		"less than the loss is accepted":   {func(l *lossy) { l.observed(risk("x", nil, ids("data-1"), false), risk("y", nil, nil, true)) }, "", []string{"x"}, v1.CodeDataAtRisk, "would be lost now is x, y"},
		"more than the loss is accepted":   {func(l *lossy) { l.observed(risk("x", nil, ids("data-1"), false)) }, "", []string{"w", "x"}, v1.CodeDataAtRisk, "the loss of w, x was accepted"},
		"a loss that would not be":         {accept: []string{"x"}, code: v1.CodeDataAtRisk, says: "every shard has a started copy elsewhere"},
		"another one's loss does not mix":  {func(l *lossy) { l.observed(risk("x", nil, ids("data-2"), false)) }, "", []string{"x"}, v1.CodeDataAtRisk, "every shard has a started copy elsewhere"},
		"more at risk than is listed":      {func(l *lossy) { l.observed(risk("x", nil, ids("data-2"), false)); l.cl.awayFull.AtRiskTotal = 900 }, "", nil, v1.CodeDataAtRisk, "of 900 indices or more"},
		"more at risk than can be named":   {func(l *lossy) { l.observed(risk("x", nil, ids("data-1"), false)); l.cl.awayFull.AtRiskTotal = 900 }, "", []string{"x"}, v1.CodeDataAtRisk, "of 900 indices or more"},
		"an accepted loss needs facts too": {func(l *lossy) { l.observed(risk("x", nil, ids("data-1"), false)); l.cl.observeErr = "timeout" }, "", []string{"x"}, v1.CodeFactsMissing, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLossy(t)
			if k.change != nil {
				k.change(l)
			}
			node := k.node
			if node == "" {
				node = victim
			}
			for _, dryRun := range []bool{true, false} {
				accepted, problem := l.c.replaceNode(NodeReplaceOrdered{Cluster: "logs", Node: node, AcceptDataLoss: k.accept, DryRun: dryRun, User: "ann"})
				s := l.node(node)
				if k.code == "" {
					require.Nil(t, problem)
					assert.True(t, accepted.Changed)
					assert.Equal(t, !dryRun, s.Want == state.WantReplaced)
					continue
				}
				require.NotNil(t, problem, "dry run %t", dryRun)
				assert.Equal(t, k.code, problem.Code)
				assert.Equal(t, 409, problem.Status)
				assert.Contains(t, problem.Error(), k.says)
				assert.Empty(t, l.c.out.Published)
				assert.Nil(t, s.Replacement)
			}
		})
	}
}

// end makes a node's task surely ended, its agent being away.
func (l *lossy) end(name string) {
	s := l.node(name)
	s.Task.State, s.agentAway = state.TaskEnded, true
}

// back has the master list the agent again.
func (l *lossy) back(name string, active bool) {
	s := l.node(name)
	s.agentAway = false
	l.c.agents[s.Bind.AgentID] = &agent{id: s.Bind.AgentID, hostname: s.Bind.Hostname, active: active, seen: benchEpoch}
}

// masters makes the spec one of so many masters of a version, and loses one node.
func (l *lossy) masters(count int, version, lost string) {
	l.cl.Spec.Spec.Version, l.cl.Spec.Spec.NodeSets[0].Count = version, count
	l.lose(lost)
	l.observed()
}

// replaced is the successor that is made for a node.
func (l *lossy) replaced(name string) *slot {
	s := l.node(name)
	s.Want = state.WantReplaced
	next := l.c.newSlot(l.cl, plan.Node{Name: s.Name, Place: s.place()})
	s.Replacement = &state.Replacement{By: next.ID}
	return next
}

// retired is replaced for a node that has surely ended, with its successor launched.
func (l *lossy) retired(name string) *slot {
	l.end(name)
	next := l.replaced(name)
	l.node(name).Want = state.WantRetain
	next.Bind = l.c.binding(&agent{id: "a9", hostname: "h9"})
	next.Life, next.confirmed = 1, true
	next.Task = &state.Task{ID: next.taskID(1), Life: 1, AgentID: "a9", State: state.TaskStaging, LaunchedAt: benchEpoch, Since: benchEpoch}
	return next
}

func (l *lossy) heal(s *slot) {
	s.Bind = l.c.binding(&agent{id: "a9", hostname: "h9"})
	s.Bind.HasData = true
	s.Life, s.Task = 1, &state.Task{ID: s.taskID(1), AgentID: "a9", State: state.TaskRunning, Healthy: true, HealthySince: benchEpoch.Add(-time.Minute)}
}

// What an answer may list is bounded, however much is at risk.
func TestARefusalIsBounded(t *testing.T) {
	l := newLossy(t)
	var risks []observe.AtRisk
	for i := range observe.MaxAtRisk {
		r := observe.AtRisk{Index: fmt.Sprintf("%s-%04d", strings.Repeat("x", 200), i), Left: []string{"id-logs-data-1"}, ShardCount: 5000}
		for n := range observe.MaxAtRiskShards {
			r.Shards = append(r.Shards, n)
		}
		risks = append(risks, r)
	}
	l.observed(risks...)
	_, problem := l.c.replaceNode(NodeReplaceOrdered{Cluster: "logs", Node: "logs-data-1"})
	require.Len(t, problem.AtRisk, v1.MaxAcceptedLosses)
	assert.Less(t, len(problem.Error()), 20_000)
	assert.Contains(t, problem.Error(), "and 180 more")
	assert.Contains(t, problem.Error(), "and 4988 more")

	var names []string
	for _, r := range risks {
		names = append(names, r.Index)
	}
	slices.Reverse(names)
	accepted, problem := l.c.replaceNode(NodeReplaceOrdered{Cluster: "logs", Node: "logs-data-1", AcceptDataLoss: names})
	require.Nil(t, problem, "in any order")
	assert.Less(t, len(accepted.Message), 3000)
	w, err := slotRecord.Encode(l.node("logs-data-1").ID, l.node("logs-data-1").Slot)
	require.NoError(t, err)
	assert.Less(t, len(w.Value), 64<<10)
}

// A commit that ended between the two records of an order leaves none of it: nobody
// was told.
func TestHalfAnOrder(t *testing.T) {
	l := newLossy(t)
	_, problem := l.c.replaceNode(NodeReplaceOrdered{Cluster: "logs", Node: "logs-data-1"})
	require.Nil(t, problem)
	next := l.cl.wanted()[plan.Place{Set: "data", Ordinal: 1}]
	require.Equal(t, "logs-data-1-r8", next.Name)
	old := l.node("logs-data-1")
	whole := old.Slot
	records := func(old state.Slot, next *state.Slot) map[state.Key][]byte {
		out := map[state.Key][]byte{}
		add := func(w state.Write, err error) {
			require.NoError(t, err)
			out[w.Key] = w.Value
		}
		add(clusterRecord.Encode("logs", l.cl.Cluster))
		add(slotRecord.Encode(old.ID, old))
		if next != nil {
			add(slotRecord.Encode(next.ID, *next))
		}
		return out
	}
	places := func(r map[state.Key][]byte) (want map[string]state.Want) {
		c, err := New(benchConfig(), r)
		require.NoError(t, err)
		d := c.Step(benchEpoch, TimerFired{})
		again := r
		for _, w := range d.Writes {
			if again[w.Key] = w.Value; w.Value == nil {
				delete(again, w.Key)
			}
		}
		want = map[string]state.Want{}
		for _, s := range c.slots {
			if s.place() == (plan.Place{Set: "data", Ordinal: 1}) {
				want[s.Name] = s.Want
			}
		}
		return want
	}
	before := whole
	before.Want, before.Replacement = state.WantRun, nil
	assert.Equal(t, map[string]state.Want{"logs-data-1": state.WantRun}, places(records(before, &next.Slot)), "the successor's record came first")
	// The other way round, and as a whole, there is one successor.
	for what, r := range map[string]map[state.Key][]byte{"the order's": records(whole, nil), "both": records(whole, &next.Slot)} {
		got := places(r)
		assert.Len(t, got, 2, what)
		assert.Equal(t, state.WantReplaced, got["logs-data-1"], what)
	}
}
