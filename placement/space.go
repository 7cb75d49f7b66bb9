// Package placement finds a place for a slot among the agents: which agent, and
// what to reserve there. One evaluator answers Place and Explain. It does no
// I/O and knows no time.
package placement

import (
	"cmp"
	"slices"

	"github.com/berthdata/berth/volumes"
)

// Node is one agent as one role sees it.
type Node struct {
	ID       string // the agent id
	Hostname string
	// Machine is what the host rule counts by: it stays the same when the
	// agent comes back under another id. "" = Hostname, or else ID.
	Machine    string
	Attributes Attributes
	// Pool is what the agent offers; the Space takes from it. Nil = nothing.
	Pool *volumes.Pool
	// Unavailable, when not "", says why the agent takes no slot at present:
	// "draining", "maintenance from 12:00".
	Unavailable string
}

// Space is a set of agents, what they have left, and who is on them already. It
// is owned by one goroutine. What is left only falls and counts only rise while
// slots are placed; the index depends on that, and is made anew after AddNode.
type Space struct {
	nodes    []node
	byID     map[nodeKey]int32
	machines map[string]int32
	groups   map[string]*group
	// owners are the nodes that show a reservation under a label.
	owners map[string][]int32

	indexed bool
	order   []int32 // all nodes, best packing first
	classes map[string]*class
	search  search
}

type nodeKey struct{ id, role string }

type node struct {
	Node
	machine int32
	rank    int32 // position in Space.order
}

// group is who counts under one name.
type group struct {
	machines map[int32]int
	members  []Attributes
	// values counts by the values of an attribute, for the attributes that a
	// Spread has asked for.
	values map[string]map[string]int
}

// NewSpace makes an empty Space.
func NewSpace() *Space {
	return &Space{
		byID: map[nodeKey]int32{}, machines: map[string]int32{}, groups: map[string]*group{},
		owners: map[string][]int32{}, classes: map[string]*class{},
	}
}

// AddNode adds an agent, or replaces it when one of this id and role is there.
func (s *Space) AddNode(n Node) {
	n.Machine = cmp.Or(n.Machine, n.Hostname, n.ID)
	added := node{Node: n, machine: s.machineOf(n.Machine)}
	key := nodeKey{id: n.ID}
	if n.Pool != nil {
		key.role = n.Pool.Role()
	}
	i, known := s.byID[key]
	if known {
		for label, at := range s.owners {
			s.owners[label] = slices.DeleteFunc(at, func(j int32) bool { return j == i })
		}
		s.nodes[i] = added
	} else {
		i = int32(len(s.nodes))
		s.nodes = append(s.nodes, added)
		s.byID[key] = i
	}
	if n.Pool != nil {
		for _, h := range n.Pool.Held() {
			if !h.Foreign {
				s.owners[h.Label] = append(s.owners[h.Label], i)
			}
		}
	}
	s.indexed = false
}

// Len is how many nodes there are.
func (s *Space) Len() int { return len(s.nodes) }

// Occupy counts one existing member of groups on a machine. The caller counts
// whatever may run or come back there: running, starting, in flight,
// reserved but empty, unreachable, of an old version. attributes are those of
// its agent, for spread; the zero value counts for the limits alone.
func (s *Space) Occupy(machine string, attributes Attributes, groups ...string) {
	m := s.machineOf(machine)
	for _, name := range groups {
		s.groupOf(name).add(m, attributes)
	}
}

func (s *Space) machineOf(name string) int32 {
	m, ok := s.machines[name]
	if !ok {
		m = int32(len(s.machines))
		s.machines[name] = m
	}
	return m
}

func (s *Space) groupOf(name string) *group {
	g := s.groups[name]
	if g == nil {
		g = &group{machines: map[int32]int{}}
		s.groups[name] = g
	}
	return g
}

func (g *group) add(machine int32, a Attributes) {
	g.machines[machine]++
	g.members = append(g.members, a)
	for attribute, counts := range g.values {
		if v, ok := a.Value(attribute); ok {
			counts[v]++
		}
	}
}

// counts is the group's members by the values of an attribute.
func (g *group) counts(attribute string) map[string]int {
	counts, ok := g.values[attribute]
	if ok {
		return counts
	}
	counts = map[string]int{}
	for _, a := range g.members {
		if v, ok := a.Value(attribute); ok {
			counts[v]++
		}
	}
	if g.values == nil {
		g.values = map[string]map[string]int{}
	}
	g.values[attribute] = counts
	return counts
}
