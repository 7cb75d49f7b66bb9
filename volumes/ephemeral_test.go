package volumes_test

import (
	"fmt"
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/berthdata/berth/volumes"
)

func ephemeral(cpu, mem float64, ports int) volumes.Need {
	n := need(cpu, mem, 0, "", ports)
	n.Ephemeral = true
	return n
}

// An ephemeral need takes resources as they are offered: nothing is reserved,
// what others hold stays theirs, and what nobody could reserve goes first.
func TestTakeLends(t *testing.T) {
	for _, c := range []struct {
		name    string
		offered []mesos.Resource
		need    volumes.Need
		task    string
		ports   []uint64
		left    float64 // cpus that can still be reserved
	}{
		{
			name:    "unreserved",
			offered: []mesos.Resource{scalar("cpus", 4), scalar("mem", 1024), ports(31000, 31009)}, need: ephemeral(1.5, 512, 2),
			task: "cpus: 1.5\nmem: 512\nports: 31000-31001", ports: []uint64{31000, 31001}, left: 2.5,
		},
		{
			name:    "reserved statically for our role first, then for an ancestor, then for nobody",
			offered: []mesos.Resource{scalar("cpus", 1), scalar("cpus", 1, static("db")), scalar("cpus", 1, static(role)), scalar("mem", 10, static(role))},
			need:    ephemeral(2.5, 10, 0),
			task:    "cpus(db/search): 1\nmem(db/search): 10\ncpus(db): 1\ncpus: 0.5", left: 0.5,
		},
		{
			name:    "never what a slot holds, though it has the same label",
			offered: []mesos.Resource{scalar("cpus", 4, reserved("s")), scalar("mem", 64, reserved("s")), scalar("cpus", 1), scalar("mem", 32)},
			need:    ephemeral(1, 32, 0), task: "cpus: 1\nmem: 32",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pool(t, c.offered...)
			held := len(p.Held())
			g, ok := p.Take(identity("s"), c.need)
			require.True(t, ok)
			assert.Empty(t, g.Reserve)
			assert.Empty(t, g.Create)
			requireText(t, "task", c.task, g.Task)
			assert.Equal(t, c.ports, g.Ports)
			assert.Equal(t, []mesos.OfferID{{Value: "o1"}}, g.Offers)
			assert.Len(t, p.Held(), held)
			assert.Equal(t, volumes.FromFloat(c.left), p.Free().CPU)
		})
	}
}

func TestStaticReservationsServeEphemeralNeedsAlone(t *testing.T) {
	p := pool(t, scalar("cpus", 4, static(role)), scalar("mem", 64, static(role)), scalar("mem", 8))
	fit := p.Fit(identity("s"), need(1, 16, 0, "", 0))
	assert.Equal(t, []volumes.Shortfall{
		{Lack: volumes.LackCPU, Missing: volumes.Units(1)},
		{Lack: volumes.LackMem, Missing: volumes.Units(8), Free: volumes.Units(8)},
	}, fit.Shortfalls())
	fit = p.Fit(identity("s"), ephemeral(4, 72, 0))
	assert.True(t, fit.OK())
	fit = p.Fit(identity("s"), ephemeral(5, 73, 1))
	assert.Equal(t, []volumes.Shortfall{
		{Lack: volumes.LackCPU, Missing: volumes.Units(1), Free: volumes.Units(4)},
		{Lack: volumes.LackMem, Missing: volumes.Units(1), Free: volumes.Units(72)},
		{Lack: volumes.LackPorts, Missing: volumes.Units(1)},
	}, fit.Shortfalls())
	require.Len(t, p.Unused(), 2)
	assert.True(t, p.Unused()[0].AsIs)
}

// TestLendingLosesNothing takes ephemeral and holding needs in turn from one
// agent: each gets exactly what it asks for out of what is there, and nobody gets
// a unit twice.
func TestLendingLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAgent(t)
		quarter := func(name string, most int) float64 { return float64(rapid.IntRange(0, most).Draw(t, name)) / 4 }
		must(t, a.add(scalar("cpus", quarter("own cpus", 20), static(role)), scalar("mem", quarter("own mem", 4000), static(role))))
		p, err := volumes.NewPool(role, principal, a.offers(t))
		must(t, err)
		for i := range rapid.IntRange(1, 6).Draw(t, "slots") {
			n := drawNeed(t)
			if rapid.Bool().Draw(t, "ephemeral") {
				n.Ephemeral, n.Disk = true, 0
			}
			fit := p.Fit(identity(fmt.Sprint("s", i)), n)
			g, ok := p.Take(identity(fmt.Sprint("s", i)), n)
			if ok != fit.OK() {
				t.Fatalf("Take answers %t, Fit %v", ok, fit.Shortfalls())
			}
			if !ok {
				continue
			}
			if n.Ephemeral {
				if len(g.Reserve)+len(g.Create) > 0 {
					t.Fatalf("an ephemeral need reserves: %v", text(g.Reserve))
				}
				cpu, mem, disk, ports := sums(g.Task)
				if cpu != n.CPU || mem != n.Mem || disk != 0 || ports != n.Ports || len(g.Ports) != n.Ports {
					t.Fatalf("%+v got %v", n, text(g.Task))
				}
				must(t, a.remove(g.Task...))
				continue
			}
			must(t, a.reserve(g.Reserve))
			must(t, a.create(g.Create))
			must(t, a.remove(g.Task...))
		}
	})
}
