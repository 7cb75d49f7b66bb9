package scheduler

import (
	"cmp"
	"slices"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// preview says where the nodes without a place would go if a spec were accepted now,
// and what they would reserve; old is the cluster as it is, nil for a new one. The
// evaluator is the one that places, over all known agents with what is free on them,
// in the order in which it would place: with the same offers the answer and the deed
// are the same. Others may come first meanwhile: it is a report, no promise.
func (c *Core) preview(spec v1.Cluster, old *cluster) ([]v1.Placement, *v1.ResourceView) {
	would := newCluster(state.Cluster{Spec: spec})
	have := map[plan.Place]*slot{}
	space := c.agentSpace(spec.Spec.Role)
	if old != nil {
		copied := *old
		would = &copied
		would.Spec = spec
		have = old.wanted()
		c.occupyBy(space, old)
	}
	var slots []*slot
	for _, n := range plan.Nodes(spec) {
		s := have[n.Place]
		if s != nil && s.Bind != nil {
			continue
		}
		set, _ := plan.Set(spec.Spec, n.Set)
		next := &slot{Slot: state.Slot{
			Name: n.Name, Kind: kindElasticsearch, Owner: spec.Name, Set: n.Set, Ordinal: n.Ordinal, Need: needOf(set),
			Identity: volumes.Identity{Role: spec.Spec.Role, Principal: c.cfg.Principal, Label: n.Name, PersistenceID: n.Name, ContainerPath: dataPath},
		}}
		if s != nil {
			next.Name, next.Identity, next.Replaces, next.avoid = s.Name, s.Identity, s.Replaces, s.avoid
		}
		slots = append(slots, next)
	}
	slices.SortFunc(slots, func(a, b *slot) int { return cmp.Or(cmp.Compare(a.Set, b.Set), cmp.Compare(a.Ordinal, b.Ordinal)) })
	placements := make([]v1.Placement, 0, len(slots))
	var adds v1.ResourceView
	explained := map[string]string{} // one node of each set: every agent is judged for it
	for _, s := range slots {
		adds.CPUs += s.Need.CPU.Float()
		adds.MemoryMiB += s.Need.Mem.Float()
		adds.DiskMiB += s.Need.Disk.Float()
		adds.Ports += s.Need.Ports
		p := v1.Placement{Node: s.Name, NodeSet: s.Set}
		set, _ := plan.Set(spec.Spec, s.Set)
		if req, err := (elasticsearch{c}).requestIn(would, set, s); err != nil {
			p.Problem = err.Error()
		} else if out := space.Place(req); out.Placed {
			p.AgentID, p.Hostname = out.NodeID, c.agents[out.NodeID].hostname
		} else if first := explained[s.Set]; first != "" {
			p.Problem = "as " + first
		} else {
			explained[s.Set] = s.Name
			p.Problem = space.Explain(req).Summary
		}
		placements = append(placements, p)
	}
	if len(placements) == 0 {
		return nil, nil
	}
	return placements, &adds
}
