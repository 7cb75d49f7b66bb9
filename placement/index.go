package placement

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/berthdata/berth/volumes"
)

// class is the nodes that pass the fixed rules of a kind of request: role and
// constraints. They are listed by the values of one spread attribute.
type class struct {
	values []value
}

// value is the nodes of one value of the spread attribute, or all nodes of the
// class when there is no spread. Nodes without the attribute come last of all.
type value struct {
	name   string
	absent bool
	nodes  []int32 // in packing order
	// blocks bound what any node of a block has free. Free amounts only fall,
	// so an old bound is still a bound; a fruitless visit tightens it. The parts
	// that only ephemeral needs can use are bounded apart.
	blocks []volumes.Free
}

// blockSize is how many nodes one bound speaks for.
const blockSize = 32

// maxClasses bounds the cache of classes; beyond it the cache starts anew.
const maxClasses = 512

// index puts all nodes into packing order, once after nodes were added. The
// order fills nodes with small disks before those with big ones and, among
// these, nodes with little left before empty ones.
func (s *Space) index() {
	if s.indexed {
		return
	}
	var most volumes.Free
	for i := range s.nodes {
		f := s.nodes[i].free()
		most.CPU, most.Mem = max(most.CPU, f.CPU), max(most.Mem, f.Mem)
	}
	type key struct {
		disk  int
		share float64
	}
	keys := make([]key, len(s.nodes))
	s.order = make([]int32, len(s.nodes))
	for i := range s.nodes {
		f := s.nodes[i].free()
		keys[i] = key{
			disk:  volumes.SizeClass(max(f.Root, f.Path, f.Mount)),
			share: share(f.CPU, most.CPU) + share(f.Mem, most.Mem),
		}
		s.order[i] = int32(i)
	}
	slices.SortFunc(s.order, func(a, b int32) int {
		return cmp.Or(
			cmp.Compare(keys[a].disk, keys[b].disk),
			cmp.Compare(keys[a].share, keys[b].share),
			cmp.Compare(s.nodes[a].ID, s.nodes[b].ID),
			cmp.Compare(a, b),
		)
	})
	for rank, i := range s.order {
		s.nodes[i].rank = int32(rank)
	}
	clear(s.classes)
	s.indexed = true
}

func (n *node) free() volumes.Free {
	if n.Pool == nil {
		return volumes.Free{}
	}
	return n.Pool.Free()
}

func share(part, whole volumes.Amount) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// classOf finds or makes the class of a query.
func (s *Space) classOf(q *query) *class {
	var b strings.Builder
	b.WriteString(q.Identity.Role)
	for i := range q.Constraints {
		b.WriteByte(0)
		b.WriteString(q.Constraints[i].key)
	}
	if q.Spread != nil {
		b.WriteString("\x00\x00" + q.Spread.Attribute)
	}
	key := b.String()
	c := s.classes[key]
	if c == nil {
		if len(s.classes) >= maxClasses {
			clear(s.classes)
		}
		c = s.newClass(q)
		s.classes[key] = c
	}
	return c
}

func (s *Space) newClass(q *query) *class {
	c := &class{}
	at := map[string]int{}
	for _, i := range s.order {
		n := &s.nodes[i]
		if !q.fixed(n, nil) {
			continue
		}
		name, present := "", true
		if q.Spread != nil {
			name, present = n.Attributes.Value(q.Spread.Attribute)
		}
		key := name
		if !present {
			key = "\x00" // no value: apart from an empty one
		}
		j, ok := at[key]
		if !ok {
			j = len(c.values)
			at[key] = j
			c.values = append(c.values, value{name: name, absent: !present})
		}
		c.values[j].nodes = append(c.values[j].nodes, i)
	}
	for j := range c.values {
		v := &c.values[j]
		v.blocks = make([]volumes.Free, (len(v.nodes)+blockSize-1)/blockSize)
		for b := range v.blocks {
			s.tighten(v, b)
		}
	}
	return c
}

// tighten makes block b's bound exact.
func (s *Space) tighten(v *value, b int) {
	var most volumes.Free
	for _, i := range v.nodes[b*blockSize : min((b+1)*blockSize, len(v.nodes))] {
		f := s.nodes[i].Pool.Free()
		most.CPU, most.Mem = max(most.CPU, f.CPU), max(most.Mem, f.Mem)
		most.Root, most.Path, most.Mount = max(most.Root, f.Root), max(most.Path, f.Path), max(most.Mount, f.Mount)
		most.Ports = max(most.Ports, f.Ports)
		most.AsIs.CPU, most.AsIs.Mem = max(most.AsIs.CPU, f.AsIs.CPU), max(most.AsIs.Mem, f.AsIs.Mem)
		most.AsIs.Ports = max(most.AsIs.Ports, f.AsIs.Ports)
	}
	v.blocks[b] = most
}

// covers is what Fit demands at least of a node that holds nothing for the slot.
func covers(bound volumes.Free, need *volumes.Need) bool {
	f := bound.For(need.Ephemeral)
	return f.CPU >= need.CPU && f.Mem >= need.Mem && f.Ports >= need.Ports &&
		f.Largest(need.DiskType) >= need.Disk
}

// search is the state of a run of equal requests, such as the slots of one node
// set. A node that was infeasible for one of them is so for the next, as free
// amounts only fall and counts only rise: cursors never go back, and the keys
// of the heap only rise.
type search struct {
	class  *class
	need   volumes.Need
	limits []Limit
	spread Spread
	counts map[string]int // of the spread group; nil without spread
	// cursors are, by value of the class, the first node not yet ruled out.
	cursors []int32
	heap    []candidate
}

// candidate is one value of the spread attribute. Its key is a lower bound.
type candidate struct {
	count int32 // members on it
	rank  int32 // of the first node not yet ruled out
	value int32
}

func (a candidate) less(b candidate) bool {
	return a.count < b.count || a.count == b.count && a.rank < b.rank
}

// find searches the class of the query for the best feasible node.
func (s *Space) find(q *query) int32 {
	c := s.classOf(q)
	if len(q.own) > 0 {
		// What this slot's own nodes lack says nothing of the next slot, so
		// this search is shared with none.
		s.search = search{}
		defer func() { s.search = search{} }()
	}
	if !s.search.serves(c, q) {
		s.startSearch(c, q)
	}
	f := &s.search
	for len(f.heap) > 0 {
		top := f.heap[0]
		i := s.advance(q, top.value)
		if i < 0 {
			f.drop() // for good: no later equal request will fit there either
			continue
		}
		now := candidate{count: f.countOf(top.value), rank: s.nodes[i].rank, value: top.value}
		if now == top {
			return i
		}
		f.heap[0] = now
		f.down(0)
	}
	return -1
}

// serves says whether the search is one for queries like q.
func (f *search) serves(c *class, q *query) bool {
	var spread Spread
	if q.Spread != nil {
		spread = *q.Spread
	}
	return f.class == c && f.need == q.Need && f.spread == spread && slices.Equal(f.limits, q.Limits)
}

func (s *Space) startSearch(c *class, q *query) {
	f := &s.search
	*f = search{
		class: c, need: q.Need, limits: slices.Clone(q.Limits),
		cursors: make([]int32, len(c.values)), heap: f.heap[:0],
	}
	if q.Spread != nil {
		f.spread = *q.Spread
		f.counts = s.groupOf(q.Spread.Group).counts(q.Spread.Attribute)
	}
	for v := range c.values {
		f.heap = append(f.heap, candidate{count: f.countOf(int32(v)), rank: s.nodes[c.values[v].nodes[0]].rank, value: int32(v)})
	}
	for i := len(f.heap)/2 - 1; i >= 0; i-- {
		f.down(i)
	}
}

// countOf is how many members are on a value; nodes without the attribute come
// after all others.
func (f *search) countOf(v int32) int32 {
	switch {
	case f.counts == nil:
		return 0
	case f.class.values[v].absent:
		return math.MaxInt32
	default:
		return int32(f.counts[f.class.values[v].name])
	}
}

// advance moves the value's cursor to its first feasible node; -1 when none.
func (s *Space) advance(q *query, at int32) int32 {
	v := &s.search.class.values[at]
	cursor := &s.search.cursors[at]
	for int(*cursor) < len(v.nodes) {
		b := int(*cursor) / blockSize
		end := int32(min((b+1)*blockSize, len(v.nodes)))
		if !covers(v.blocks[b], &q.Need) {
			*cursor = end
			continue
		}
		whole := int(*cursor)%blockSize == 0
		for ; *cursor < end; *cursor++ {
			i := v.nodes[*cursor]
			if q.current(i, &s.nodes[i], nil) {
				return i
			}
		}
		if whole {
			s.tighten(v, b)
		}
	}
	return -1
}

func (f *search) drop() {
	last := len(f.heap) - 1
	f.heap[0] = f.heap[last]
	f.heap = f.heap[:last]
	if last > 0 {
		f.down(0)
	}
}

// down restores the heap below i.
func (f *search) down(i int) {
	h := f.heap
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if r := child + 1; r < len(h) && h[r].less(h[child]) {
			child = r
		}
		if !h[child].less(h[i]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}
