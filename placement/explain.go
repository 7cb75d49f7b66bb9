package placement

import (
	"slices"
	"strings"

	"github.com/berthdata/berth/volumes"
)

// Explanation says why a slot has no place, or how many agents would do.
type Explanation struct {
	Slot string
	// Summary is one sentence for people.
	Summary string
	// Agents is how many were judged, Fitting how many of them would do.
	Agents  int
	Fitting int
	// Reasons is a tree: an agent counts under every rule that it breaks.
	Reasons []Reason
	// SmallestChange is the least change that would make the slot fit; "" when
	// it fits.
	SmallestChange string
}

// Reason is one node of the tree of rejections.
type Reason struct {
	Name     string
	Reason   string
	Agents   int
	Examples []string // at most maxExamples
	Children []Reason
}

// maxExamples is how many agents a reason names.
const maxExamples = 3

// Explain judges every node by the rules that Place uses, and places nothing.
// Fitting is above 0 exactly when Place would succeed.
func (s *Space) Explain(r Request) Explanation {
	e, _ := s.explain(r)
	return e
}

func (s *Space) explain(r Request) (Explanation, *tally) {
	q := s.query(r)
	t := &tally{query: &q, rows: map[ruleID]*row{}}
	// By agent id, so that examples do not depend on the order of adding.
	order := make([]int32, len(s.nodes))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return strings.Compare(s.nodes[a].ID, s.nodes[b].ID) })
	var all rejections
	for _, i := range order {
		n := &s.nodes[i]
		all = all[:0]
		fixed := q.fixed(n, &all)
		if q.current(i, n, &all) && fixed {
			t.fitting++
			continue
		}
		t.add(n, all)
	}
	e := Explanation{Slot: r.Slot, Agents: len(s.nodes), Fitting: t.fitting, Reasons: t.tree()}
	if e.Fitting == 0 {
		e.SmallestChange = t.smallestChange()
	}
	e.Summary = t.summary(e)
	return e, t
}

// tally counts rejections over the nodes.
type tally struct {
	query   *query
	fitting int
	rows    map[ruleID]*row
	parts   [parts]int // nodes rejected by any rule of the part
	// nearest is the node that breaks the least, by cost, and broken what it
	// breaks.
	nearest *node
	broken  rejections
	cost    float64
}

// ruleID names one rule of the query: a rejection without its amounts.
type ruleID struct {
	kind  rejectionKind
	index int
	lack  volumes.Lack
}

// row is one rule.
type row struct {
	agents   int
	examples []string
	// alone counts the nodes that break only this rule, and machines theirs.
	alone    int
	machines map[int32]bool
}

func (r rejection) id() ruleID {
	return ruleID{kind: r.kind, index: r.index, lack: r.short.Lack}
}

func (t *tally) add(n *node, all rejections) {
	var parts [parts]bool
	cost := 0.0
	for _, r := range all {
		w := t.rows[r.id()]
		if w == nil {
			w = &row{machines: map[int32]bool{}}
			t.rows[r.id()] = w
		}
		w.agents++
		if len(w.examples) < maxExamples {
			w.examples = append(w.examples, t.example(n, r))
		}
		if len(all) == 1 {
			w.alone++
			w.machines[n.machine] = true
		}
		parts[r.part()] = true
		cost += t.costOf(r)
	}
	for p, hit := range parts {
		if hit {
			t.parts[p]++
		}
	}
	if t.nearest == nil || cost < t.cost {
		t.nearest, t.broken, t.cost = n, slices.Clone(all), cost
	}
}

// tree lists the rejections by part, in the order of judgement.
func (t *tally) tree() []Reason {
	ids := make([]ruleID, 0, len(t.rows))
	for id := range t.rows {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b ruleID) int {
		return slices.Compare(
			[]int{int(a.kind), a.index, int(a.lack)},
			[]int{int(b.kind), b.index, int(b.lack)})
	})
	children := [parts][]Reason{}
	for _, id := range ids {
		w, p := t.rows[id], rejection{kind: id.kind}.part()
		name, why := t.words(id)
		children[p] = append(children[p], Reason{Name: name, Reason: why, Agents: w.agents, Examples: w.examples})
	}
	var tree []Reason
	for p, cs := range children {
		if len(cs) > 0 {
			tree = append(tree, Reason{Name: partNames[p][0], Reason: partNames[p][1], Agents: t.parts[p], Children: cs})
		}
	}
	return tree
}
