package placement

import "github.com/berthdata/berth/volumes"

// Request asks for a place for one slot.
type Request struct {
	// Slot is the slot's stable name, used in explanations.
	Slot string
	// Identity is how the slot's own reservation is recognised in an offer.
	Identity volumes.Identity
	Need     volumes.Need
	// Constraints must all hold.
	Constraints []Constraint
	// Limits cap how many members of a group one machine holds; all must hold.
	Limits []Limit
	// Groups are the groups that the slot counts in once it is placed.
	Groups []string
	// Spread keeps Groups-like counts even over an attribute's values.
	Spread *Spread
	// Bound, when not "", is the only agent that will do: the one that holds
	// the slot's data.
	Bound string
}

// Limit is one hard cap: fewer than Max members of Group may already be on the
// machine. Name is shown in explanations ("host rule", "masters' majority").
type Limit struct {
	Name  string
	Group string
	Max   int
}

// Spread asks for even counts of Group over the values of Attribute (soft).
type Spread struct {
	Group     string
	Attribute string
}
