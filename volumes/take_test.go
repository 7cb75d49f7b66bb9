package volumes_test

import (
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/volumes"
)

func TestTakeCarves(t *testing.T) {
	plain := []mesos.Resource{scalar("cpus", 4), scalar("mem", 1024), scalar("disk", 100), ports(31000, 31009)}
	for _, c := range []struct {
		name                  string
		offered               []mesos.Resource
		need                  volumes.Need
		reserve, create, task string
		ports                 []uint64
		disk                  float64
	}{
		{
			name: "a fresh slot", offered: plain, need: need(1.5, 512, 50, volumes.DiskRoot, 2),
			reserve: `cpus(db/search s): 1.5
				mem(db/search s): 512
				ports(db/search s): 31000-31001
				disk(db/search s): 50`,
			create: `disk(db/search s) volume s-v at data: 50`,
			task: `cpus(db/search s): 1.5
				mem(db/search s): 512
				ports(db/search s): 31000-31001
				disk(db/search s) volume s-v at data: 50`,
			ports: []uint64{31000, 31001}, disk: 50,
		},
		{
			name: "no volume, no ports", offered: plain, need: need(1, 512, 0, "", 0),
			reserve: "cpus(db/search s): 1\nmem(db/search s): 512",
			task:    "cpus(db/search s): 1\nmem(db/search s): 512",
		},
		{
			name:    "ports over several ranges",
			offered: []mesos.Resource{ports(31000, 31000, 31005, 31006, 31100, 31200)}, need: need(0, 0, 0, "", 4),
			reserve: "ports(db/search s): 31000-31000 31005-31006 31100-31100",
			task:    "ports(db/search s): 31000-31000 31005-31006 31100-31100",
			ports:   []uint64{31000, 31005, 31006, 31100},
		},
		{
			name:    "the smallest MOUNT disk that is large enough, whole",
			offered: []mesos.Resource{scalar("disk", 900, onMount("/m1")), scalar("disk", 200, onMount("/m2")), scalar("disk", 60, onMount("/m3"))},
			need:    need(0, 0, 100, volumes.DiskMount, 0),
			reserve: "disk(db/search s) on /m2: 200",
			create:  "disk(db/search s) on /m2 volume s-v at data: 200",
			task:    "disk(db/search s) on /m2 volume s-v at data: 200",
			disk:    200,
		},
		{
			name:    "the smallest PATH disk that is large enough, in part",
			offered: []mesos.Resource{scalar("disk", 900, onPath("/p1")), scalar("disk", 200, onPath("/p2"))},
			need:    need(0, 0, 100, volumes.DiskPath, 0),
			reserve: "disk(db/search s) on /p2: 100",
			create:  "disk(db/search s) on /p2 volume s-v at data: 100",
			task:    "disk(db/search s) on /p2 volume s-v at data: 100",
			disk:    100,
		},
		{
			name:    "what is set aside for an ancestor first, refined",
			offered: []mesos.Resource{scalar("cpus", 4), scalar("cpus", 1, static("db")), scalar("disk", 40, static("db")), scalar("disk", 80)},
			need:    need(2.5, 0, 30, volumes.DiskRoot, 0),
			reserve: `cpus(db)(db/search s): 1
				cpus(db/search s): 1.5
				disk(db)(db/search s): 30`,
			create: "disk(db)(db/search s) volume s-v at data: 30",
			task: `cpus(db)(db/search s): 1
				cpus(db/search s): 1.5
				disk(db)(db/search s) volume s-v at data: 30`,
			disk: 30,
		},
		{
			name: "RESERVE done, CREATE not: the disk is used again",
			offered: append([]mesos.Resource{scalar("cpus", 1, reserved("s")), scalar("mem", 512, reserved("s")),
				scalar("disk", 50, reserved("s")), portsWith([]uint64{31500, 31501}, reserved("s"))}, plain...),
			need:    need(1, 512, 50, volumes.DiskRoot, 2),
			reserve: "", create: "disk(db/search s) volume s-v at data: 50",
			task: `cpus(db/search s): 1
				mem(db/search s): 512
				ports(db/search s): 31500-31501
				disk(db/search s) volume s-v at data: 50`,
			ports: []uint64{31500, 31501}, disk: 50,
		},
		{
			name:    "the volume was kept, the rest given back",
			offered: append([]mesos.Resource{scalar("disk", 50, reserved("s"), volume("s-v"))}, plain...),
			need:    need(1, 512, 50, volumes.DiskRoot, 1),
			reserve: `cpus(db/search s): 1
				mem(db/search s): 512
				ports(db/search s): 31000-31000`,
			task: `disk(db/search s) volume s-v at data: 50
				cpus(db/search s): 1
				mem(db/search s): 512
				ports(db/search s): 31000-31000`,
			ports: []uint64{31000}, disk: 50,
		},
		{
			name: "everything is held: the same ports, nothing to reserve",
			offered: append([]mesos.Resource{scalar("cpus", 1, reserved("s")), scalar("mem", 512, reserved("s")),
				scalar("disk", 50, reserved("s"), volume("s-v")), portsWith([]uint64{31007, 31008}, reserved("s"))}, plain...),
			need: need(1, 512, 50, volumes.DiskRoot, 2),
			task: `cpus(db/search s): 1
				mem(db/search s): 512
				disk(db/search s) volume s-v at data: 50
				ports(db/search s): 31007-31008`,
			ports: []uint64{31007, 31008}, disk: 50,
		},
		{
			name: "a larger need tops up: the old ports and one more",
			offered: append([]mesos.Resource{scalar("cpus", 1, reserved("s")), scalar("disk", 20, reserved("s")),
				portsWith([]uint64{31050, 31050}, reserved("s"))}, plain...),
			need: need(1.5, 512, 50, volumes.DiskRoot, 2),
			reserve: `cpus(db/search s): 0.5
				mem(db/search s): 512
				ports(db/search s): 31000-31000
				disk(db/search s): 30`,
			create: "disk(db/search s) volume s-v at data: 50",
			task: `cpus(db/search s): 1.5
				ports(db/search s): 31000-31000 31050-31050
				mem(db/search s): 512
				disk(db/search s) volume s-v at data: 50`,
			ports: []uint64{31000, 31050}, disk: 50,
		},
		{
			name:    "a disk that no volume is wanted on stays with the slot",
			offered: append([]mesos.Resource{scalar("disk", 20, reserved("s"))}, plain...),
			need:    need(1, 0, 0, "", 0),
			reserve: "cpus(db/search s): 1",
			task: `disk(db/search s): 20
				cpus(db/search s): 1`,
		},
		{
			name:    "a volume is taken at the size that it has",
			offered: append([]mesos.Resource{scalar("disk", 20, reserved("s"), onPath("/p"), volume("s-v"))}, plain...),
			need:    need(0, 0, 50, volumes.DiskRoot, 0),
			task:    "disk(db/search s) on /p volume s-v at data: 20", disk: 20,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pool(t, c.offered...)
			before := p.Free()
			g, ok := p.Take(identity("s"), c.need)
			require.True(t, ok)
			_, _, disk, _ := sums(g.Reserve)
			assert.Equal(t, before.Disk-disk, p.Free().Disk)
			requireText(t, "reserve", c.reserve, g.Reserve)
			requireText(t, "create", c.create, g.Create)
			requireText(t, "task", c.task, g.Task)
			assert.Equal(t, c.ports, g.Ports)
			assert.Equal(t, volumes.FromFloat(c.disk), g.Disk)
			assert.Equal(t, []mesos.OfferID{{Value: "o1"}}, g.Offers)
			assert.Empty(t, p.Held(), "what was held went into the grant")
		})
	}
}

func TestFitSaysWhatIsMissing(t *testing.T) {
	full := need(2, 100, 50, volumes.DiskRoot, 2)
	base := []mesos.Resource{scalar("cpus", 2), scalar("mem", 100), scalar("disk", 50), ports(31000, 31001)}
	held := []mesos.Resource{scalar("cpus", 2, reserved("s")), scalar("mem", 100, reserved("s")), portsWith([]uint64{31000, 31001}, reserved("s"))}
	short := func(l volumes.Lack, missing, free float64) []volumes.Shortfall {
		return []volumes.Shortfall{{Lack: l, Missing: volumes.FromFloat(missing), Free: volumes.FromFloat(free)}}
	}
	expect := func(e volumes.Expect) volumes.Need { n := full; n.Expect = e; return n }
	for _, c := range []struct {
		name    string
		offered []mesos.Resource
		need    volumes.Need
		id      volumes.Identity
		own     bool
		want    []volumes.Shortfall
	}{
		{"fits exactly", base, full, identity("s"), false, nil},
		{"cpus", base, need(2.001, 100, 50, volumes.DiskRoot, 2), identity("s"), false, short(volumes.LackCPU, .001, 2)},
		{"mem", base, need(2, 164, 50, volumes.DiskRoot, 2), identity("s"), false, short(volumes.LackMem, 64, 100)},
		{"disk", base, need(2, 100, 60, volumes.DiskRoot, 2), identity("s"), false, short(volumes.LackDisk, 10, 50)},
		{"kind of disk", base, need(2, 100, 50, volumes.DiskMount, 2), identity("s"), false, short(volumes.LackDisk, 50, 0)},
		{"ports", base, need(2, 100, 50, volumes.DiskRoot, 5), identity("s"), false, short(volumes.LackPorts, 3, 2)},
		{"two PATH disks are not one", []mesos.Resource{scalar("disk", 30, onPath("/a")), scalar("disk", 30, onPath("/b"))},
			need(0, 0, 50, volumes.DiskPath, 0), identity("s"), false, short(volumes.LackDisk, 20, 30)},
		{"a stack boundary parts a disk", []mesos.Resource{scalar("disk", 30), scalar("disk", 30, static("db"))},
			need(0, 0, 50, volumes.DiskRoot, 0), identity("s"), false, short(volumes.LackDisk, 20, 30)},
		{"role", base, full, volumes.Identity{Role: "other", Label: "s"}, false, short(volumes.LackRole, 0, 0)},
		{"another volume under our label", append(base, scalar("disk", 50, reserved("s"), volume("strange"))), full, identity("s"), true, short(volumes.LackOtherVolume, 0, 50)},
		{"a reservation on record is not all there", append(base, scalar("cpus", 1, reserved("s"))), expect(volumes.Expect{CPU: volumes.Units(2)}), identity("s"), true, short(volumes.LackPart, 0, 0)},
		{"ports on record are not there", base, expect(volumes.Expect{Ports: 2}), identity("s"), false, short(volumes.LackPart, 0, 0)},
		{"the volume on record is not there", append(base, held...), expect(volumes.Expect{Volume: true}), identity("s"), true, short(volumes.LackVolume, 0, 0)},
		{"all on record is there", append(held, scalar("disk", 50, reserved("s"), volume("s-v"))),
			expect(volumes.Expect{CPU: volumes.Units(2), Mem: volumes.Units(100), Ports: 2, Volume: true}), identity("s"), true, nil},
		{"reserved disk of another kind", append(base, scalar("disk", 50, reserved("s"), onMount("/m"))), full, identity("s"), true, short(volumes.LackReservedDisk, 0, 50)},
		{"reserved disk cannot grow enough", append(base, scalar("disk", 20, reserved("s"))), need(2, 100, 71, volumes.DiskRoot, 2), identity("s"), true, short(volumes.LackReservedDisk, 0, 20)},
		{"a MOUNT disk does not grow by another", []mesos.Resource{scalar("disk", 50, reserved("s"), onMount("")), scalar("disk", 100, onMount(""))},
			need(0, 0, 80, volumes.DiskMount, 0), identity("s"), true, short(volumes.LackReservedDisk, 0, 50)},
		{"a foreign reservation is no help", append(base, scalar("cpus", 1, reservedFor(role, "x", "s"))), need(3, 100, 50, volumes.DiskRoot, 2), identity("s"), false, short(volumes.LackCPU, 1, 2)},
		{"another slot's reservation is no help", append(base, scalar("cpus", 1, reserved("t"))), need(3, 100, 50, volumes.DiskRoot, 2), identity("s"), false, short(volumes.LackCPU, 1, 2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pool(t, c.offered...)
			fit := p.Fit(c.id, c.need)
			assert.Equal(t, c.want == nil, fit.OK())
			assert.Equal(t, c.own, fit.Own)
			assert.ElementsMatch(t, c.want, fit.Shortfalls())
			before := p.Free()
			_, ok := p.Take(c.id, c.need)
			assert.Equal(t, fit.OK(), ok, "Take agrees with Fit")
			if !ok {
				assert.Equal(t, before, p.Free(), "a refused Take changes nothing")
			}
		})
	}
}

func TestGrantNamesThePrincipalOnlyWhenThereIsOne(t *testing.T) {
	id := identity("s")
	g, ok := pool(t, scalar("disk", 10)).Take(id, need(0, 0, 10, volumes.DiskRoot, 0))
	require.True(t, ok)
	assert.Equal(t, principal, g.Reserve[0].Reservations[0].GetPrincipal())
	assert.Equal(t, principal, g.Create[0].Disk.Persistence.GetPrincipal())
	assert.Equal(t, mesos.RW, g.Create[0].Disk.Volume.GetMode())
	assert.Nil(t, g.Create[0].Disk.Volume.HostPath, "rule 32")
	p, err := volumes.NewPool(role, "", []mesos.Offer{offer("o1", "a1", scalar("disk", 10))})
	require.NoError(t, err)
	id.Principal = ""
	g, ok = p.Take(id, need(0, 0, 10, volumes.DiskRoot, 0))
	require.True(t, ok)
	assert.Nil(t, g.Reserve[0].Reservations[0].Principal)
	assert.Nil(t, g.Create[0].Disk.Persistence.Principal)
}

func TestFitAllocatesNothing(t *testing.T) {
	p := pool(t, scalar("cpus", 1), scalar("cpus", 1, reserved("s")))
	id, n := identity("s"), need(4, 4, 4, volumes.DiskRoot, 4)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		if f := p.Fit(id, n); f.OK() {
			t.Error("it does not fit")
		}
	}))
}
