package scheduler

import (
	"maps"
	"slices"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/placement"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// Explain says for each node of a cluster that has no task why it has none. It
// asks the evaluator that places, over all known agents with what is free on
// them, so the answer and the deed cannot differ.
func (c *Core) Explain(name string) (v1.Explanation, *v1.Problem) {
	cl := c.clusters[name]
	if cl == nil {
		return v1.Explanation{}, v1.ProblemNotFound("cluster", name)
	}
	out := v1.Explanation{Cluster: name, Nodes: []v1.NodeExplanation{}}
	space, awaited := c.wholeSpace(cl, cl.Spec.Spec.Role), c.awaitedText(cl)
	for _, s := range cl.nodes() {
		if text := c.awayText(cl, s); text != "" {
			out.Nodes = append(out.Nodes, v1.NodeExplanation{Node: s.Name, Agents: 1, Reasons: []v1.ReasonNode{}, Summary: text})
			continue
		}
		if s.live() || s.Want != state.WantRun {
			continue
		}
		e := c.explainSlot(space, s)
		if s.Bind == nil && awaited != "" {
			e.Summary = "waits for " + awaited + ". Besides: " + e.Summary
		}
		out.Nodes = append(out.Nodes, e)
	}
	return out, nil
}

func (c *Core) explainSlot(space *placement.Space, s *slot) v1.NodeExplanation {
	if s.Bind != nil {
		return v1.NodeExplanation{
			Node: s.Name, Agents: 1, Fitting: 1, Reasons: []v1.ReasonNode{},
			Summary: "has its place on " + s.Bind.Hostname + " and waits for " + s.waiting(),
		}
	}
	req, err := c.requestFor(s)
	if err != nil {
		return v1.NodeExplanation{Node: s.Name, Summary: err.Error(), Reasons: []v1.ReasonNode{}}
	}
	e := space.Explain(req)
	return v1.NodeExplanation{
		Node: s.Name, Summary: e.Summary, Agents: e.Agents, Fitting: e.Fitting,
		Reasons: reasonNodes(e.Reasons), SmallestChange: e.SmallestChange,
	}
}

// wholeSpace holds every known agent with what is free on it for a role, and what
// a cluster or application has placed.
func (c *Core) wholeSpace(o owner, role string) *placement.Space {
	space := c.agentSpace(role)
	c.occupyBy(space, o)
	return space
}

// agentSpace holds every known agent with what is free on it for a role.
func (c *Core) agentSpace(role string) *placement.Space {
	space := placement.NewSpace()
	for _, id := range slices.Sorted(maps.Keys(c.agents)) {
		a := c.agents[id]
		pool, err := volumes.NewPoolFromResources(role, c.cfg.Principal, a.free)
		if err != nil {
			continue
		}
		n := placement.Node{ID: a.id, Hostname: a.hostname, Machine: a.machine, Attributes: a.attributes, Pool: pool}
		switch {
		case !a.active:
			n.Unavailable = "the agent is not connected to the master"
		case a.draining:
			n.Unavailable = "an operator drains the agent"
		case !a.full:
			n.Unavailable = "the agent's free resources are not known yet"
		}
		space.AddNode(n)
	}
	return space
}

func reasonNodes(in []placement.Reason) []v1.ReasonNode {
	out := make([]v1.ReasonNode, 0, len(in))
	for _, r := range in {
		out = append(out, v1.ReasonNode{
			Name: r.Name, Reason: r.Reason, Agents: r.Agents, Examples: r.Examples, Children: reasonNodes(r.Children),
		})
	}
	return out
}
