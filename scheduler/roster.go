package scheduler

import (
	"maps"
	"slices"
)

// roster is the slots of one owner, a cluster or an application, of all wants.
type roster struct {
	slots map[string]*slot // by slot id
	order []*slot          // the same by id, made by list; nil after a change
}

func newRoster() roster { return roster{slots: map[string]*slot{}} }

func (r *roster) add(s *slot) {
	r.slots[s.ID] = s
	r.order = nil
}

func (r *roster) drop(s *slot) {
	delete(r.slots, s.ID)
	r.order = nil
}

// list is all slots by id, not to be changed. A step asks for it several times, so
// it is kept until a slot comes or goes.
func (r *roster) list() []*slot {
	if r.order == nil {
		r.order = make([]*slot, 0, len(r.slots))
		for _, id := range slices.Sorted(maps.Keys(r.slots)) {
			r.order = append(r.order, r.slots[id])
		}
	}
	return r.order
}
