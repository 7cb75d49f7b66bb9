package volumes_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"pgregory.net/rapid"

	"github.com/berthdata/berth/volumes"
)

// agent is a small model of what Mesos does with an agent's resources. It keeps
// milli-units by kind, reservation and disk, and ports one by one, and compares
// messages by their text: it shares nothing with the code under test.
type agent struct {
	scalars map[string]int64
	sample  map[string]mesos.Resource // one resource of each kind

}

func newAgent() *agent {
	return &agent{scalars: map[string]int64{}, sample: map[string]mesos.Resource{}}
}

func asJSON(message any) string {
	text, err := json.Marshal(message)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// units splits a resource into what is counted: milli-units by key.
func units(r mesos.Resource) map[string]int64 {
	key := r.Name
	for i := range r.Reservations {
		key += "|" + asJSON(&r.Reservations[i])
	}
	if r.Disk != nil {
		key += "|" + asJSON(r.Disk)
	}
	if r.Ranges == nil {
		return map[string]int64{key: int64(r.Scalar.Value*1000 + .5)}
	}
	m := map[string]int64{}
	for _, x := range r.Ranges.Range {
		for p := x.Begin; p <= x.End; p++ {
			m[fmt.Sprintf("%s|%d", key, p)]++
		}
	}
	return m
}

func (a *agent) add(rs ...mesos.Resource) error {
	for _, r := range rs {
		for k, n := range units(r) {
			a.scalars[k] += n
			if r.Ranges != nil && a.scalars[k] > 1 {
				return fmt.Errorf("port twice: %s", k)
			}
			one := r
			if r.Ranges != nil {
				var p uint64
				fmt.Sscanf(k[len(k)-5:], "%d", &p)
				one.Ranges = &mesos.Value_Ranges{Range: []mesos.Value_Range{{Begin: p, End: p}}}
			}
			a.sample[k] = one
		}
	}
	return nil
}

func (a *agent) remove(rs ...mesos.Resource) error {
	for _, r := range rs {
		for k, n := range units(r) {
			if a.scalars[k] < n {
				return fmt.Errorf("not there: %d of %s, there are %d", n, k, a.scalars[k])
			}
			if r.Disk.GetSource().GetMount() != nil && a.scalars[k] != n {
				return fmt.Errorf("a part of a MOUNT disk: %s", k)
			}
			if a.scalars[k] -= n; a.scalars[k] == 0 {
				delete(a.scalars, k)
			}
		}
	}
	return nil
}

// reserve, create, destroy and unreserve are the operations, by the rules of Mesos.
func (a *agent) reserve(rs []mesos.Resource) error {
	for _, r := range rs {
		top := r.Reservations[len(r.Reservations)-1]
		if top.GetRole() != role || top.GetPrincipal() != principal {
			return fmt.Errorf("reserved for %v", top)
		}
		before := r
		before.Reservations = r.Reservations[:len(r.Reservations)-1]
		if err := a.remove(before); err != nil {
			return err
		}
		if err := a.add(r); err != nil {
			return err
		}
	}
	return nil
}

func bare(r mesos.Resource) mesos.Resource {
	if r.Disk.Source == nil {
		r.Disk = nil
		return r
	}
	r.Disk = &mesos.Resource_DiskInfo{Source: r.Disk.Source}
	return r
}

func (a *agent) create(rs []mesos.Resource) error {
	for _, r := range rs {
		if err := a.remove(bare(r)); err != nil {
			return err
		}
		if err := a.add(r); err != nil {
			return err
		}
	}
	return nil
}

func (a *agent) destroy(rs []mesos.Resource) error {
	for _, r := range rs {
		if err := a.remove(r); err != nil {
			return err
		}
		if err := a.add(bare(r)); err != nil {
			return err
		}
	}
	return nil
}

func (a *agent) unreserve(rs []mesos.Resource) error {
	for _, r := range rs {
		if err := a.remove(r); err != nil {
			return err
		}
		r.Reservations = r.Reservations[:len(r.Reservations)-1]
		if err := a.add(r); err != nil {
			return err
		}
	}
	return nil
}

// offers lists everything, in two offers.
func (a *agent) offers(t *rapid.T) []mesos.Offer {
	var rs []mesos.Resource
	for _, k := range slices.Sorted(maps.Keys(a.scalars)) {
		n, r := a.scalars[k], a.sample[k]
		if r.Scalar != nil {
			r.Scalar = &mesos.Value_Scalar{Value: float64(n) / 1000}
		}
		rs = append(rs, r)
	}
	cut := rapid.IntRange(0, len(rs)).Draw(t, "offers split at")
	return []mesos.Offer{offer("o1", "a1", rs[:cut]...), offer("o2", "a1", rs[cut:]...)}
}

// total counts by name and, for MOUNT and PATH disks, by root: what no
// operation may change.
func (a *agent) total() map[string]int64 {
	m := map[string]int64{}
	for k, n := range a.scalars {
		r := a.sample[k]
		name := r.Name
		if r.Disk.GetSource() != nil {
			name += asJSON(r.Disk.Source)
		}
		if r.Ranges != nil {
			name += asJSON(r.Ranges)
		}
		m[name] += n
	}
	return m
}

func drawAgent(t *rapid.T) *agent {
	a := newAgent()
	stacks := [][]func(*mesos.Resource){nil, {static("db")}}
	for i, stack := range stacks {
		draw := func(name string, most int) float64 {
			return float64(rapid.IntRange(0, most).Draw(t, fmt.Sprint(name, i))) / 4
		}
		must(t, a.add(scalar("cpus", draw("cpus", 40), stack...), scalar("mem", draw("mem", 8000), stack...),
			scalar("disk", draw("root", 800), stack...)))
		must(t, a.add(scalar("disk", draw("path", 800), append(stack, onPath("/p"))...)))
		for m := range rapid.IntRange(0, 2).Draw(t, "mounts") {
			must(t, a.add(scalar("disk", 1+draw("mount", 400), append(stack, onMount(fmt.Sprintf("/m%d-%d", i, m)))...)))
		}
	}
	first := uint64(31000)
	for i := range rapid.IntRange(0, 3).Draw(t, "ranges") {
		last := first + uint64(rapid.IntRange(0, 4).Draw(t, "ports"))
		must(t, a.add(portsWith([]uint64{first, last}, stacks[i%2]...)))
		first = last + 1 + uint64(rapid.IntRange(0, 2).Draw(t, "gap"))
	}
	return a
}

func must(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func drawNeed(t *rapid.T) volumes.Need {
	quarter := func(name string, most int) volumes.Amount {
		return volumes.Amount(rapid.IntRange(0, most).Draw(t, name)) * 250
	}
	return volumes.Need{
		CPU: quarter("cpu", 16), Mem: quarter("mem", 4000), Disk: quarter("disk", 400),
		DiskType: rapid.SampledFrom([]volumes.DiskType{volumes.DiskRoot, volumes.DiskPath, volumes.DiskMount, ""}).Draw(t, "kind"),
		Ports:    rapid.IntRange(0, 4).Draw(t, "need ports"),
	}
}

// TestSlotsComeAndGoWithoutLoss lets a few slots reserve, fail half-way, give
// back a part or all, and come again on one agent. Whatever happens: the model
// accepts every operation, each slot holds what it needs and not more, ports
// and volumes are nobody else's, and nothing is lost.
func TestSlotsComeAndGoWithoutLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAgent(t)
		whole := a.total()
		ports := map[string][]uint64{} // of slots that hold theirs
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			label := rapid.SampledFrom([]string{"s1", "s2", "s3"}).Draw(t, "slot")
			p, err := volumes.NewPool(role, principal, a.offers(t))
			must(t, err)
			if rapid.Bool().Draw(t, "release") {
				keep := rapid.Bool().Draw(t, "keep")
				for _, h := range p.Held() {
					if h.Label == label {
						destroy, unreserve := volumes.Release(h, keep)
						must(t, a.destroy(destroy))
						must(t, a.unreserve(unreserve))
						delete(ports, label)
					}
				}
				continue
			}
			n := drawNeed(t)
			take(t, a, p, label, n, ports)
		}
		if !maps.Equal(whole, a.total()) {
			t.Fatalf("there was %v, there is %v", whole, a.total())
		}
	})
}

func take(t *rapid.T, a *agent, p *volumes.Pool, label string, n volumes.Need, ports map[string][]uint64) {
	var before volumes.Holding
	for _, h := range p.Held() {
		if h.Label == label {
			before = h
		}
	}
	free := p.Free()
	g, ok := p.Take(identity(label), n)
	if !ok {
		return
	}
	cpu, mem, disk, count := sums(g.Reserve)
	after := p.Free()
	if free.CPU-after.CPU != cpu || free.Mem-after.Mem != mem || free.Disk-after.Disk != disk || free.Ports-after.Ports != count {
		t.Fatalf("reserves %v, but the pool went from %+v to %+v", text(g.Reserve), free, after)
	}
	if cpu != max(0, n.CPU-before.CPU) || mem != max(0, n.Mem-before.Mem) || count != max(0, n.Ports-len(before.Ports)) {
		t.Fatalf("needs %+v, held %+v, reserves %v", n, before, text(g.Reserve))
	}
	if n.DiskType != volumes.DiskMount && disk > max(0, n.Disk-before.Disk) {
		t.Fatalf("needs %s of disk, held %s, reserves %s", n.Disk, before.Disk, disk)
	}
	must(t, a.reserve(g.Reserve))
	for i, port := range before.Ports {
		if g.Ports[indexOf(g.Ports, port)] != port {
			t.Fatalf("port %d (%d) was given up: %v", port, i, g.Ports)
		}
	}
	if len(g.Ports) > 0 {
		ports[label] = g.Ports
	}
	owner := map[uint64]string{}
	for l, ps := range ports {
		for _, port := range ps {
			if other, taken := owner[port]; taken {
				t.Fatalf("port %d is of %s and of %s", port, other, l)
			}
			owner[port] = l
		}
	}
	if rapid.Bool().Draw(t, "CREATE fails") {
		return
	}
	must(t, a.create(g.Create))
	if n.Disk > 0 && len(g.Create) == 0 && before.Volume == nil {
		t.Fatal("a volume is needed and none is made")
	}
	if len(g.Create) > 0 && g.Disk < n.Disk {
		t.Fatalf("a volume of %s for a need of %s", g.Disk, n.Disk)
	}
	// The task gets all of it, all of it is there, and it is enough.
	check := newAgent()
	maps.Copy(check.scalars, a.scalars)
	must(t, check.remove(g.Task...))
	for k, left := range check.scalars {
		if r := a.sample[k]; left > 0 && len(r.Reservations) > 0 && labelledBy(r, label) {
			t.Fatalf("%d of %s stay reserved and unused", left, k)
		}
	}
	cpu, mem, _, count = sums(g.Task)
	if cpu < n.CPU || mem < n.Mem || count < n.Ports || count != len(g.Ports) {
		t.Fatalf("needs %+v, runs on %v", n, text(g.Task))
	}
}

func labelledBy(r mesos.Resource, label string) bool {
	top := r.Reservations[len(r.Reservations)-1]
	return top.Labels != nil && top.Labels.Labels[0].GetValue() == label
}

func indexOf(ps []uint64, port uint64) int {
	for i, p := range ps {
		if p == port {
			return i
		}
	}
	return 0
}

func sums(rs []mesos.Resource) (cpu, mem, disk volumes.Amount, ports int) {
	for _, r := range rs {
		switch r.Name {
		case "cpus":
			cpu += volumes.FromFloat(r.Scalar.Value)
		case "mem":
			mem += volumes.FromFloat(r.Scalar.Value)
		case "disk":
			disk += volumes.FromFloat(r.Scalar.Value)
		case "ports":
			for _, x := range r.Ranges.Range {
				ports += int(x.End-x.Begin) + 1
			}
		}
	}
	return cpu, mem, disk, ports
}

// TestSlotsOfOneRoundShareAPool: grants that are carved one after another from
// the same pool can all be reserved and created.
func TestSlotsOfOneRoundShareAPool(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAgent(t)
		p, err := volumes.NewPool(role, principal, a.offers(t))
		must(t, err)
		for i := range rapid.IntRange(1, 6).Draw(t, "slots") {
			if g, ok := p.Take(identity(fmt.Sprint("s", i)), drawNeed(t)); ok {
				must(t, a.reserve(g.Reserve))
				must(t, a.create(g.Create))
			}
		}
	})
}
