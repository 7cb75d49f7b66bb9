package placement

import (
	"slices"

	"github.com/berthdata/berth/volumes"
)

// query is a Request against one Space.
type query struct {
	Request
	limits []*group // of Request.Limits, in order
	// home are the nodes that show the volume of a slot that is not bound. When
	// there are any, no other node will do: elsewhere it would start without its
	// data.
	home []int32
	// own are all nodes to be tried before others: the bound agent; or home, and
	// those with a reservation under the slot's label.
	own []int32
}

func (s *Space) query(r Request) query {
	q := query{Request: r}
	if len(r.Limits) > 0 {
		q.limits = make([]*group, len(r.Limits))
		for i, l := range r.Limits {
			q.limits[i] = s.groupOf(l.Group)
		}
	}
	if r.Bound != "" {
		if i, ok := s.byID[nodeKey{r.Bound, r.Identity.Role}]; ok {
			q.own = append(q.own, i)
		}
		return q
	}
	labelled := s.owners[r.Identity.Label]
	for _, i := range labelled {
		if n := &s.nodes[i]; n.Pool.HoldsVolume(r.Identity) {
			q.home = append(q.home, i)
		}
	}
	// Where the volume is comes first, then the rest.
	q.own = append(q.own, q.home...)
	q.own = append(q.own, labelled...)
	return q
}

// rejection is one rule that a node breaks.
type rejection struct {
	kind  rejectionKind
	index int // which constraint or limit
	short volumes.Shortfall
}

type rejectionKind uint8

const (
	rejectUnavailable rejectionKind = iota
	rejectNothing                   // the agent offers nothing
	rejectRole
	rejectConstraint
	rejectBound
	rejectLimit
	rejectShort
)

// rejections collects what a node breaks; nil stops at the first.
type rejections []rejection

// fixed judges what no placement changes: the Space caches its answers.
func (q *query) fixed(n *node, all *rejections) bool {
	ok := true
	reject := func(k rejectionKind, index int) bool {
		ok = false
		if all != nil {
			*all = append(*all, rejection{kind: k, index: index})
		}
		return all == nil
	}
	if n.Unavailable != "" && reject(rejectUnavailable, 0) {
		return false
	}
	if n.Pool == nil {
		if reject(rejectNothing, 0) {
			return false
		}
	} else if n.Pool.Role() != q.Identity.Role && reject(rejectRole, 0) {
		return false
	}
	for i := range q.Constraints {
		if !q.Constraints[i].Holds(n.Attributes) && reject(rejectConstraint, i) {
			return false
		}
	}
	return ok
}

// current judges what each placement may change. It needs fixed's consent only
// for the pool: a node without one is judged without it.
func (q *query) current(i int32, n *node, all *rejections) bool {
	ok := true
	if !q.bindingHolds(i, n) {
		if all == nil {
			return false
		}
		ok = false
		*all = append(*all, rejection{kind: rejectBound})
	}
	for j, g := range q.limits {
		if g.machines[n.machine] < q.Limits[j].Max {
			continue
		}
		if all == nil {
			return false
		}
		ok = false
		*all = append(*all, rejection{kind: rejectLimit, index: j})
	}
	if n.Pool == nil || n.Pool.Role() != q.Identity.Role {
		return ok
	}
	fit := n.Pool.Fit(q.Identity, q.Need)
	if all != nil {
		for _, short := range fit.Shortfalls() {
			*all = append(*all, rejection{kind: rejectShort, short: short})
		}
	}
	return ok && fit.OK()
}

// bindingHolds: a bound slot runs on its agent and nowhere else, since what another
// one shows of it may be a copy; the scheduler binds it anew when its agent comes
// back under another id (Mesos rule 48). One that is not bound goes where its
// volume is seen.
func (q *query) bindingHolds(i int32, n *node) bool {
	if len(q.home) > 0 {
		return slices.Contains(q.home, i)
	}
	return q.Bound == "" || q.Bound == n.ID
}
