package placement_test

import (
	"fmt"
	"math"
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"pgregory.net/rapid"

	"github.com/berthdata/berth/placement"
	"github.com/berthdata/berth/volumes"
)

// naiveNode is what the naive check knows of a node. It judges by whole
// numbers and loops, and shares nothing with the engine.
type naiveNode struct {
	id, machine, rack, zone string // rack "" = has none
	down                    bool
	cpus, mem, root, ports  int
	mounts                  []int
	held                    map[string]naiveHeld
}

// naiveHeld is what a slot holds on a node.
type naiveHeld struct {
	cpus   int
	volume bool
}

type naive struct {
	nodes   []*naiveNode
	members map[string]map[string]int // group → machine → count
	racks   map[string]map[string]int // group → rack → count
}

// ask is a request in the naive check's terms.
type ask struct {
	slot, group            string
	cpus, mem, disk, ports int
	onMount                bool
	rack, notZone          string
	max                    int // 0 = no limit
	spread                 bool
	bound                  string
	expectVolume           bool
}

func (n *naive) count(group, machine string) {
	if n.members[group] == nil {
		n.members[group] = map[string]int{}
	}
	n.members[group][machine]++
}

func (n *naive) countRack(group, rack string) {
	if rack == "" {
		return
	}
	if n.racks[group] == nil {
		n.racks[group] = map[string]int{}
	}
	n.racks[group][rack]++
}

func (n *naive) feasible(a ask, x *naiveNode) bool {
	home := false
	for _, y := range n.nodes {
		home = home || y.held[a.slot].volume
	}
	h := x.held[a.slot]
	switch {
	case x.down, a.rack != "" && x.rack != a.rack, a.notZone != "" && x.zone == a.notZone:
		return false
	case a.max > 0 && n.members[a.group][x.machine] >= a.max:
		return false
	case a.bound != "" && a.bound != x.id, a.bound == "" && home && !h.volume:
		return false
	case a.expectVolume && !h.volume:
		return false
	}
	disk := h.volume || a.disk == 0 || !a.onMount && x.root >= a.disk
	for _, m := range x.mounts {
		disk = disk || a.onMount && m >= a.disk
	}
	return disk && x.cpus >= a.cpus-h.cpus && x.mem >= a.mem && x.ports >= a.ports
}

// place takes the resources of a where the engine has placed it.
func (n *naive) place(a ask, x *naiveNode) {
	h := x.held[a.slot]
	x.cpus -= max(0, a.cpus-h.cpus)
	x.mem -= a.mem
	x.ports -= a.ports
	switch {
	case h.volume || a.disk == 0:
	case a.onMount:
		best := -1
		for i, m := range x.mounts {
			if m >= a.disk && (best < 0 || m < x.mounts[best]) {
				best = i
			}
		}
		x.mounts = append(x.mounts[:best:best], x.mounts[best+1:]...)
	default:
		x.root -= a.disk
	}
	delete(x.held, a.slot)
	n.count(a.group, x.machine)
	n.countRack(a.group, x.rack)
}

func (x *naiveNode) build(t *rapid.T) placement.Node {
	rs := []mesos.Resource{scalar("cpus", float64(x.cpus)), scalar("mem", float64(x.mem)), scalar("disk", float64(x.root))}
	if x.ports > 0 {
		rs = append(rs, ports(31000, 31000+uint64(x.ports)-1))
	}
	for i, m := range x.mounts {
		rs = append(rs, mount(fmt.Sprint("/m", i), float64(m)))
	}
	for slot, h := range x.held {
		if h.cpus > 0 {
			rs = append(rs, reserved(slot, scalar("cpus", float64(h.cpus))))
		}
		if h.volume {
			rs = append(rs, volume(slot, 1))
		}
	}
	return placement.Node{
		ID: x.id, Hostname: x.id, Machine: x.machine, Attributes: x.attributes(),
		Pool: poolOf(t, role, rs...), Unavailable: map[bool]string{true: "down"}[x.down],
	}
}

func (x *naiveNode) attributes() placement.Attributes {
	m := map[string]string{"zone": x.zone}
	if x.rack != "" {
		m["rack"] = x.rack
	}
	return placement.TextAttributes(m)
}

func (a ask) request() placement.Request {
	r := request(a.slot)
	r.Groups = []string{a.group}
	r.Bound = a.bound
	r.Need = volumes.Need{
		CPU: volumes.Units(int64(a.cpus)), Mem: volumes.Units(int64(a.mem)), Disk: volumes.Units(int64(a.disk)),
		DiskType: volumes.DiskRoot, Ports: a.ports, Expect: volumes.Expect{Volume: a.expectVolume},
	}
	if a.onMount {
		r.Need.DiskType = volumes.DiskMount
	}
	if a.rack != "" {
		constrained("rack", "EQ", a.rack)(&r)
	}
	if a.notZone != "" {
		constrained("zone", "NEQ", a.notZone)(&r)
	}
	if a.max > 0 {
		r.Limits = []placement.Limit{{Name: "host rule", Group: a.group, Max: a.max}}
	}
	if a.spread {
		r.Spread = &placement.Spread{Group: a.group, Attribute: "rack"}
	}
	return r
}

func drawNode(t *rapid.T, i, slots int) *naiveNode {
	number := func(name string, most int) int { return rapid.IntRange(0, most).Draw(t, name) }
	x := &naiveNode{
		id: fmt.Sprint("a", i), machine: fmt.Sprint("m", number("machine", 5)),
		rack: rapid.SampledFrom([]string{"", "r1", "r2", "r3"}).Draw(t, "rack"),
		zone: rapid.SampledFrom([]string{"z1", "z2"}).Draw(t, "zone"),
		down: number("down", 9) == 0,
		cpus: number("cpus", 12), mem: number("mem", 12), root: number("root", 12), ports: number("ports", 12),
		held: map[string]naiveHeld{},
	}
	for range number("mounts", 2) {
		x.mounts = append(x.mounts, 1+number("mount", 10))
	}
	if number("holds", 3) == 0 {
		slot := fmt.Sprint("s", number("held slot", slots))
		if h := (naiveHeld{cpus: number("held cpus", 3), volume: rapid.Bool().Draw(t, "held volume")}); h.cpus > 0 || h.volume {
			x.held[slot] = h
		}
	}
	return x
}

// shapes are requests that come again and again, as the slots of a node set do.
func drawShape(t *rapid.T) ask {
	number := func(name string, most int) int { return rapid.IntRange(0, most).Draw(t, name) }
	return ask{
		group: fmt.Sprint("g", number("group", 1)),
		cpus:  number("need cpus", 3), mem: number("need mem", 3), disk: number("need disk", 4), ports: number("need ports", 2),
		onMount: rapid.Bool().Draw(t, "on mount"), max: number("max", 3), spread: rapid.Bool().Draw(t, "spread"),
		rack:    rapid.SampledFrom([]string{"", "", "r1", "r2"}).Draw(t, "want rack"),
		notZone: rapid.SampledFrom([]string{"", "", "z1"}).Draw(t, "not zone"),
	}
}

// TestPlaceAgreesWithTheNaiveCheck places random slots on random nodes. Place
// succeeds exactly when the naive check finds a feasible node, Explain counts
// just those nodes, the slot goes to its own volume or else to a value of the
// spread attribute than which no feasible one is less used, and what the pools
// have left is what the naive check says.
func TestPlaceAgreesWithTheNaiveCheck(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const slots = 30
		n := &naive{members: map[string]map[string]int{}, racks: map[string]map[string]int{}}
		s := placement.NewSpace()
		byID := map[string]*naiveNode{}
		pools := map[string]*volumes.Pool{}
		addNode := func() {
			x := drawNode(t, len(n.nodes), slots)
			n.nodes = append(n.nodes, x)
			byID[x.id] = x
			node := x.build(t)
			pools[x.id] = node.Pool
			s.AddNode(node)
		}
		for range rapid.IntRange(0, 10).Draw(t, "nodes") {
			addNode()
		}
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			group, machine := fmt.Sprint("g", rapid.IntRange(0, 1).Draw(t, "of")), fmt.Sprint("m", rapid.IntRange(0, 5).Draw(t, "on"))
			rack := rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "member's rack")
			s.Occupy(machine, placement.TextAttributes(map[string]string{"rack": rack}), group)
			n.count(group, machine)
			n.countRack(group, rack)
		}
		shapes := []ask{drawShape(t), drawShape(t), drawShape(t)}
		for i := range rapid.IntRange(1, slots).Draw(t, "slots") {
			if rapid.IntRange(0, 15).Draw(t, "a node joins") == 0 {
				addNode()
			}
			a := rapid.SampledFrom(shapes).Draw(t, "shape")
			a.slot = fmt.Sprint("s", i)
			if rapid.IntRange(0, 7).Draw(t, "bind") == 0 {
				a.bound = fmt.Sprint("a", rapid.IntRange(0, 10).Draw(t, "bound to"))
			}
			a.expectVolume = rapid.IntRange(0, 9).Draw(t, "expect") == 0
			step(t, s, n, byID, a)
		}
		for id, p := range pools {
			x, f := byID[id], p.Free()
			if f.CPU != volumes.Units(int64(x.cpus)) || f.Mem != volumes.Units(int64(x.mem)) || f.Root != volumes.Units(int64(x.root)) || f.Ports != x.ports {
				t.Fatalf("node %s should have %+v left, it has %+v", id, x, f)
			}
		}
	})
}

func step(t *rapid.T, s *placement.Space, n *naive, byID map[string]*naiveNode, a ask) {
	feasible, least, own := 0, math.MaxInt, false
	for _, x := range n.nodes {
		if n.feasible(a, x) {
			feasible++
			least = min(least, n.load(a, x))
			_, holds := x.held[a.slot]
			own = own || holds
		}
	}
	r := a.request()
	if e := s.Explain(r); e.Fitting != feasible || e.Agents != len(n.nodes) || (e.SmallestChange == "") != (feasible > 0) {
		t.Fatalf("%+v: %d of %d nodes are feasible, explained as %+v", a, feasible, len(n.nodes), e)
	}
	o := s.Place(r)
	if o.Placed != (feasible > 0) {
		t.Fatalf("%+v: %d nodes are feasible, placed: %v on %q", a, feasible, o.Placed, o.NodeID)
	}
	if !o.Placed {
		return
	}
	x := byID[o.NodeID]
	if !n.feasible(a, x) {
		t.Fatalf("%+v went to %+v, which is not feasible", a, x)
	}
	_, holds := x.held[a.slot]
	if own != holds || own != o.Own {
		t.Fatalf("%+v: a feasible node of its own: %v, it went to %+v", a, own, x)
	}
	if !own && n.load(a, x) > least {
		t.Fatalf("%+v went to %+v, on whose rack are %d; there is a feasible one with %d", a, x, n.load(a, x), least)
	}
	if len(o.Grant.Ports) != a.ports {
		t.Fatalf("%+v got ports %v", a, o.Grant.Ports)
	}
	n.place(a, x)
}

// load is how many members are on the node's value of the spread attribute.
func (n *naive) load(a ask, x *naiveNode) int {
	switch {
	case !a.spread:
		return 0
	case x.rack == "":
		return math.MaxInt - 1
	default:
		return n.racks[a.group][x.rack]
	}
}
