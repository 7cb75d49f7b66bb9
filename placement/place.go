package placement

import "github.com/berthdata/berth/volumes"

// Outcome is where a slot goes.
type Outcome struct {
	Placed bool
	// NodeID is the agent: Request.Bound, if there is one.
	NodeID  string
	Machine string
	// Own says that the agent holds reserved resources of this slot.
	Own   bool
	Grant volumes.Grant
}

// Place finds the best node, takes what the slot needs from its pool and counts
// the slot in its groups. A node with the slot's own volume or reservation
// comes first; then the least used value of the spread attribute that has a
// feasible node; then the fullest feasible node with the smallest disks; then
// the lowest id. When no node is feasible nothing changes, and Explain says why.
func (s *Space) Place(r Request) Outcome {
	s.index()
	q := s.query(r)
	i := s.choose(&q)
	if i < 0 {
		return Outcome{}
	}
	n := &s.nodes[i]
	own := n.Pool.Fit(r.Identity, r.Need)
	grant, ok := n.Pool.Take(r.Identity, r.Need)
	if !ok {
		return Outcome{} // not reached: choose has judged by the same Fit
	}
	for _, name := range r.Groups {
		s.groupOf(name).add(n.machine, n.Attributes)
	}
	return Outcome{Placed: true, NodeID: n.ID, Machine: n.Machine, Own: own.Own, Grant: grant}
}

// choose finds the node, -1 when none is feasible.
func (s *Space) choose(q *query) int32 {
	for _, i := range q.own {
		if n := &s.nodes[i]; q.fixed(n, nil) && q.current(i, n, nil) {
			return i
		}
	}
	// From here on no node is the slot's own: whatever demands one has failed.
	if q.Bound != "" || len(q.home) > 0 || q.Need.Expect != (volumes.Expect{}) {
		return -1
	}
	return s.find(q)
}
