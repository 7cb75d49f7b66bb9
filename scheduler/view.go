package scheduler

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// The views below are what the API answers. They read the core's state of this
// moment, which may be a commit ahead of what is durable: a view is a report,
// not a promise (replies to changes are, and wait for the commit).

// Clusters lists every cluster, by name.
func (c *Core) Clusters() []v1.ClusterView {
	out := make([]v1.ClusterView, 0, len(c.clusters))
	for _, name := range slices.Sorted(maps.Keys(c.clusters)) {
		out = append(out, c.clusterView(c.clusters[name]))
	}
	return out
}

// Cluster returns one cluster, or a not-found problem.
func (c *Core) Cluster(name string) (v1.ClusterView, *v1.Problem) {
	cl := c.clusters[name]
	if cl == nil {
		return v1.ClusterView{}, v1.ProblemNotFound("cluster", name)
	}
	return c.clusterView(cl), nil
}

func (c *Core) clusterView(cl *cluster) v1.ClusterView {
	n := cl.census()
	spec := cl.Spec
	spec.Spec = cl.Spec.Spec.Clone()
	v := v1.ClusterView{
		Cluster: spec, Generation: cl.Generation,
		Status: v1.ClusterStatus{
			ObservedGeneration: cl.ObservedGeneration, Phase: cl.phase, Health: cl.health(), ClusterUUID: cl.ClusterUUID,
			NodesWanted: n.wanted, NodesRunning: n.running, NodesHealthy: n.healthy,
			Conditions: []v1.Condition{}, InProgress: []v1.Progress{},
			CreatedAt: cl.CreatedAt, UpdatedAt: cl.UpdatedAt,
		},
	}
	if !cl.observedAt.IsZero() {
		at := cl.observedAt
		v.Status.ObservedAt = &at
	}
	for _, typ := range slices.Sorted(maps.Keys(cl.conditions)) {
		v.Status.Conditions = append(v.Status.Conditions, cl.conditions[typ])
	}
	for _, s := range cl.nodes() {
		if p, ok := progressOf(s, c.nodeText(cl, s)); ok {
			v.Status.InProgress = append(v.Status.InProgress, p)
		}
	}
	return v
}

// nodes are the cluster's slots in the order of its spec, those that it does
// not want any more last.
func (cl *cluster) nodes() []*slot {
	order := map[string]int{}
	for i, set := range cl.Spec.Spec.NodeSets {
		order[set.Name] = i + 1
	}
	rank := func(s *slot) int {
		if s.Want != state.WantRun || order[s.Set] == 0 {
			return len(order) + 1
		}
		return order[s.Set]
	}
	list := slices.Collect(maps.Values(cl.slots))
	slices.SortFunc(list, func(a, b *slot) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		if d := a.Ordinal - b.Ordinal; d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

func progressOf(s *slot, message string) (v1.Progress, bool) {
	st := s.display()
	p := v1.Progress{Node: s.Name, Action: st, Message: message, Since: s.since()}
	return p, st != "Healthy" && st != "Retained" && st != "Lost" && st != "Replaced"
}

// display is the state of a slot in one word, for people.
func (s *slot) display() string {
	switch {
	case s.Want == state.WantNothing:
		return "Lost"
	case s.Want == state.WantReplaced && !(s.live() && !s.Task.KillOrdered.IsZero()):
		return "Replaced"
	case s.live() && (s.Want != state.WantRun || !s.Task.KillOrdered.IsZero()):
		return "Stopping"
	case s.Want == state.WantDestroy:
		return "Destroying"
	case s.Want == state.WantRetain:
		return "Retained"
	case s.healthy():
		return "Healthy"
	case s.live():
		return map[state.TaskState]string{
			state.TaskStaging: "Launching", state.TaskStarting: "Starting",
			state.TaskRunning: "Running", state.TaskUnreachable: "Unreachable",
		}[s.Task.State]
	case s.isMissing(), s.volumeRemoved():
		return "Missing"
	case s.Failures > 0 && (s.Bind != nil || s.Need.Ephemeral):
		return "Backoff"
	case s.Bind == nil:
		return "Pending"
	case s.unsure():
		return "Reserving"
	}
	return "Down"
}

func (s *slot) message() string {
	switch {
	case s.missing && !s.live():
		return "its reservation or volume is not on agent " + s.Bind.AgentID + " any more, and Berth did not remove it"
	case s.live() && s.Task.Message != "" && !s.healthy():
		return s.Task.Message
	case !s.live() && s.LastFailure != "":
		return s.LastFailure
	case s.Bind == nil && s.Want == state.WantRun:
		return "no agent that is offered fits yet: see explain"
	}
	return ""
}

// nodeText is what there is to say of a node.
func (c *Core) nodeText(cl *cluster, s *slot) string {
	return cmp.Or(c.awayText(cl, s), c.replacedText(cl, s), s.message())
}

// Nodes lists a cluster's nodes.
func (c *Core) Nodes(name string) ([]v1.NodeView, *v1.Problem) {
	cl := c.clusters[name]
	if cl == nil {
		return nil, v1.ProblemNotFound("cluster", name)
	}
	out := make([]v1.NodeView, 0, len(cl.slots))
	for _, s := range cl.nodes() {
		v := cl.nodeView(s)
		v.Message = c.nodeText(cl, s)
		if s.Replaces != "" {
			v.Replaces = c.nameOf(s.Replaces)
		}
		if s.Replacement != nil {
			v.ReplacedBy = c.nameOf(s.Replacement.By)
		}
		out = append(out, v)
	}
	return out, nil
}

func (cl *cluster) nodeView(s *slot) v1.NodeView {
	set, _ := plan.Set(cl.Spec.Spec, s.Set)
	v := v1.NodeView{
		Name: s.Name, NodeSet: s.Set, Roles: append([]string{}, plan.Roles(set)...), State: s.display(), Life: s.Life,
		Failures: s.Failures, Since: s.since(),
	}
	if s.Task != nil {
		v.TaskID = s.Task.ID
	}
	if b := s.Bind; b != nil {
		v.AgentID, v.Hostname, v.Address = b.AgentID, b.Hostname, b.Address
		if len(b.Ports) >= portsPerNode {
			v.HTTPPort, v.TransportPort = int(b.Ports[portHTTP]), int(b.Ports[portTransport])
		}
		if b.Volume == state.KnownYes {
			v.VolumeID = s.ID
		}
	}
	if !s.live() && !s.NotBefore.IsZero() && s.Want == state.WantRun {
		at := s.NotBefore
		v.NextTryAt = &at
	}
	return v
}

// Plan shows how far the newest generation of a cluster is.
func (c *Core) Plan(name string) (v1.PlanView, *v1.Problem) {
	cl := c.clusters[name]
	if cl == nil {
		return v1.PlanView{}, v1.ProblemNotFound("cluster", name)
	}
	have, awaited := cl.wanted(), c.awaitedText(cl)
	var facts []plan.Fact
	for _, n := range plan.Nodes(cl.Spec) {
		f := plan.Fact{Node: n, Action: "deploy"}
		if s := have[n.Place]; s != nil {
			f.Node.Name = s.Name
			f.State, f.Done, f.Started, f.Waiting = s.display(), s.healthy(), s.Bind != nil, s.waiting()
			if s.Bind == nil && awaited != "" {
				f.Waiting = awaited
			}
		}
		facts = append(facts, f)
	}
	view := plan.Build(cl.Spec, cl.Generation, facts, cl.ObservedGeneration == cl.Generation)
	c.restartView(cl, &view)
	return view, nil
}

// waiting names what holds a node that is not healthy.
func (s *slot) waiting() string {
	switch {
	case s.healthy():
		return ""
	case s.Bind == nil:
		return "an offer that fits"
	case s.volumeRemoved():
		return "an order: its volume was removed from " + s.Bind.Hostname
	case s.isAway():
		return "the agent " + s.Bind.Hostname + " to come back"
	case s.live():
		return "the node to answer and join"
	case s.Failures > 0:
		return "back-off after " + s.LastFailure
	}
	return "an offer with its reservation on " + s.Bind.Hostname
}

// Endpoints lists where a cluster's nodes answer.
func (c *Core) Endpoints(name string) (v1.Endpoints, *v1.Problem) {
	cl := c.clusters[name]
	if cl == nil {
		return v1.Endpoints{}, v1.ProblemNotFound("cluster", name)
	}
	e := v1.Endpoints{Cluster: name, HTTP: []string{}, Transport: []string{}}
	for _, s := range cl.nodes() {
		if s.healthy() && s.Want == state.WantRun && len(s.Bind.Ports) >= portsPerNode {
			e.HTTP = append(e.HTTP, s.httpURL())
			e.Transport = append(e.Transport, s.transport())
		}
	}
	return e, nil
}

// Agents lists the agents that Berth knows, by hostname.
func (c *Core) Agents() []v1.AgentView {
	nodes := map[string][]string{}
	for _, id := range slices.Sorted(maps.Keys(c.slots)) {
		if s := c.slots[id]; s.counts() {
			nodes[s.Bind.AgentID] = append(nodes[s.Bind.AgentID], s.Name)
		}
	}
	out := make([]v1.AgentView, 0, len(c.agents))
	for _, a := range c.agents {
		v := v1.AgentView{
			ID: a.id, Hostname: a.hostname, Machine: a.machine, Attributes: a.attributes.Map(),
			Active: a.active && !a.draining, Nodes: append([]string{}, nodes[a.id]...), Seen: a.seen,
		}
		if pool, err := volumes.NewPoolFromResources(c.cfg.Roles[0], c.cfg.Principal, a.free); err == nil {
			f := pool.Free()
			v.Free = v1.ResourceView{CPUs: f.CPU.Float(), MemoryMiB: f.Mem.Float(), DiskMiB: f.Disk.Float(), Ports: f.Ports}
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b v1.AgentView) int {
		if d := strings.Compare(a.Hostname, b.Hostname); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Connected reports whether the core holds a subscription, and whether every
// task has answered since.
func (c *Core) Connected() (subscribed, reconciled bool) {
	return c.connected, c.connected && len(c.reconcile.waiting) == 0
}

// Stats are counts for metrics.
type Stats struct {
	Clusters, Slots, Wanting, Agents int
	UnknownTasks, UnknownLabels      int
	Unanswered                       int // tasks that reconciliation waits for
	// Findings are the ledger's, by class.
	Findings map[string]int
	// RepairSteps are those of repairs that are under way, by state.
	RepairSteps map[string]int `json:",omitempty"`
	// WitnessAt is when the agents were last asked for; zero: not yet.
	WitnessAt     time.Time `json:",omitzero"`
	SlotStates    map[string]int
	ClusterPhases map[string]int
	// ApplicationPhases and SparkTasks, by state, are those of Spark; SlotStates
	// has none of them.
	ApplicationPhases map[string]int `json:",omitempty"`
	SparkTasks        map[string]int `json:",omitempty"`
}

// Stats counts what there is.
func (c *Core) Stats() Stats {
	st := Stats{
		Clusters: len(c.clusters), Slots: len(c.slots), Wanting: len(c.wanting), Agents: len(c.agents),
		UnknownTasks: len(c.unknown), Unanswered: len(c.reconcile.waiting), Findings: map[string]int{}, WitnessAt: c.observedAt,
		SlotStates: map[string]int{}, ClusterPhases: map[string]int{},
		ApplicationPhases: map[string]int{}, SparkTasks: map[string]int{},
	}
	for _, f := range c.findings {
		if f.current {
			st.Findings[string(f.entry.Class)]++
		}
	}
	for _, r := range c.repairs {
		for i := range r.Steps {
			if active(r) {
				if st.RepairSteps == nil {
					st.RepairSteps = map[string]int{}
				}
				st.RepairSteps[string(r.Steps[i].State)]++
			}
		}
	}
	st.UnknownLabels = st.Findings[string(volumes.ClassOrphan)]
	for _, s := range c.slots {
		if sparkKind(s.Kind) {
			st.SparkTasks[s.display()]++
		} else {
			st.SlotStates[s.display()]++
		}
	}
	for _, a := range c.apps {
		st.ApplicationPhases[a.phase]++
	}
	for _, cl := range c.clusters {
		st.ClusterPhases[cl.phase]++
	}
	return st
}
