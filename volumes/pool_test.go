package volumes_test

import (
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/volumes"
)

func TestPoolTakesTheOffersOfOneAgentAndRole(t *testing.T) {
	a := offer("o1", "a1", scalar("cpus", 1, allocated))
	other := offer("o2", "a2", scalar("cpus", 1))
	wrong := offer("o3", "a1", scalar("cpus", 1))
	wrong.AllocationInfo = &mesos.Resource_AllocationInfo{Role: ptr("db/other")}
	inner := offer("o4", "a1", scalar("cpus", 1, func(r *mesos.Resource) {
		r.AllocationInfo = &mesos.Resource_AllocationInfo{Role: ptr("db/other")}
	}))
	for _, c := range []struct {
		name   string
		offers []mesos.Offer
		err    string
	}{
		{"none", nil, "at least one offer"},
		{"two agents", []mesos.Offer{a, other}, "offer o2 is of agent a2, offer o1 of agent a1"},
		{"other role", []mesos.Offer{a, wrong}, `offer o3 of agent a1 is allocated to role "db/other"`},
		{"resource of other role", []mesos.Offer{inner}, `offer o4 of agent a1: resource cpus is allocated to role "db/other"`},
	} {
		_, err := volumes.NewPool(role, principal, c.offers)
		require.ErrorContains(t, err, c.err, c.name)
	}
	p, err := volumes.NewPool(role, principal, []mesos.Offer{a, offer("o2", "a1", scalar("cpus", 2))})
	require.NoError(t, err)
	assert.Equal(t, []mesos.OfferID{{Value: "o1"}, {Value: "o2"}}, p.Offers())
	assert.Equal(t, volumes.Units(3), p.Free().CPU)
	assert.Equal(t, role, p.Role())
}

func TestPoolSortsOutWhatIsOffered(t *testing.T) {
	for _, c := range []struct {
		name   string
		r      mesos.Resource
		free   volumes.Amount // cpus or disk
		held   int
		unused string
	}{
		{"unreserved", scalar("cpus", 4), volumes.Units(4), 0, ""},
		{"role * in the old field", scalar("cpus", 4, func(r *mesos.Resource) { r.Role = ptr("*") }), volumes.Units(4), 0, ""},
		{"for an ancestor, static", scalar("cpus", 4, static("db")), volumes.Units(4), 0, ""},
		{"for an ancestor, dynamic", scalar("cpus", 4, reservedFor("db", "ops", "")), volumes.Units(4), 0, ""},
		{"for exactly us, static", scalar("cpus", 4, static(role)), 0, 0, "statically for exactly this role"},
		{"for us, labelled", scalar("cpus", 4, reserved("s1")), 0, 1, ""},
		{"refined for us", scalar("cpus", 4, static("db"), reserved("s1")), 0, 1, ""},
		{"a name that only starts alike", scalar("cpus", 4, reservedFor("d", "x", "")), 0, 0, "reserved for role d"},
		{"for a descendant", scalar("cpus", 4, reservedFor(role+"/x", "x", "")), 0, 0, "reserved for role"},
		{"revocable", scalar("cpus", 4, func(r *mesos.Resource) { r.Revocable = &mesos.Resource_RevocableInfo{} }), 0, 0, "revocable"},
		{"shared", scalar("disk", 4, func(r *mesos.Resource) { r.Shared = &mesos.Resource_SharedInfo{} }), 0, 0, "shared"},
		{"of a provider", scalar("disk", 4, func(r *mesos.Resource) { r.ProviderID = &mesos.ResourceProviderID{Value: "p"} }), 0, 0, "resource provider"},
		{"old format", scalar("cpus", 4, func(r *mesos.Resource) { r.Role = ptr(role) }), 0, 0, "before reservation refinement"},
		{"raw disk", scalar("disk", 4, func(r *mesos.Resource) {
			diskInfo(r).Source = &mesos.Resource_DiskInfo_Source{Type: mesos.Resource_DiskInfo_Source_RAW}
		}), 0, 0, "raw, block or profiled"},
		{"not used by anyone", scalar("gpus", 4), 0, 0, ""},
	} {
		p := pool(t, c.r)
		assert.Equal(t, c.free, p.Free().CPU+p.Free().Disk, c.name)
		assert.Len(t, p.Held(), c.held, c.name)
		if c.unused == "" {
			assert.Empty(t, p.Unused(), c.name)
			continue
		}
		require.Len(t, p.Unused(), 1, c.name)
		assert.Contains(t, p.Unused()[0].Why, c.unused, c.name)
		assert.Equal(t, volumes.Units(4), p.Unused()[0].Amount, c.name)
	}
}

func TestPoolAddsUpDivisibleDisksAndKeepsMountsWhole(t *testing.T) {
	p, err := volumes.NewPool(role, principal, []mesos.Offer{
		offer("o1", "a1", scalar("disk", 10), scalar("disk", 20, onPath("/p1")), scalar("disk", 100, onMount("/m1"))),
		offer("o2", "a1", scalar("disk", 5), scalar("disk", 7, onPath("/p1")), scalar("disk", 9, onPath("/p2")), scalar("disk", 50, onMount("/m2"))),
	})
	require.NoError(t, err)
	f := p.Free()
	assert.Equal(t, volumes.Units(15), f.Root)
	assert.Equal(t, volumes.Units(27), f.Path)
	assert.Equal(t, volumes.Units(100), f.Mount)
	assert.Equal(t, volumes.Units(15+27+9+150), f.Disk)
	nameless := pool(t, scalar("disk", 10, onMount("")), scalar("disk", 20, onMount("")))
	assert.Equal(t, volumes.Units(20), nameless.Free().Mount, "without a root they still are two disks")
	assert.Equal(t, f.Root, f.Largest(volumes.DiskRoot))
	assert.Equal(t, f.Root, f.Largest(""))
	assert.Equal(t, f.Path, f.Largest(volumes.DiskPath))
	assert.Equal(t, f.Mount, f.Largest(volumes.DiskMount))
}

func TestPoolJoinsPortRanges(t *testing.T) {
	p := pool(t, ports(31005, 31009, 31000, 31004), ports(31007, 31012, 31008, 31008, 5, 1, 70000, 80000, 65534, 90000))
	require.Equal(t, 13+2, p.Free().Ports, "31000-31012, and of the last range only ports that exist")
	g, ok := p.Take(identity("s"), need(0, 0, 0, "", 15))
	require.True(t, ok)
	requireText(t, "joined", "ports(db/search s): 31000-31012 65534-65535", g.Reserve)
}

func TestHeldListsEveryLabelKnownOrNot(t *testing.T) {
	rs := []mesos.Resource{
		scalar("cpus", 1, reserved("b"), allocated), scalar("mem", 64, reserved("b")),
		scalar("disk", 10, reserved("b"), volume("b-v")), portsWith([]uint64{31000, 31001}, reserved("b")),
		scalar("cpus", 2, reserved("a")), scalar("cpus", .5, reserved("a")),
		scalar("cpus", 3, reserved("")),
		scalar("cpus", 4, reservedFor(role, "somebody", "a")),
	}
	held := pool(t, rs...).Held()
	require.Len(t, held, 4)
	assert.Equal(t, "", held[0].Label)
	assert.True(t, held[0].Foreign, "a reservation without our label is not ours to use")
	assert.Equal(t, "a", held[1].Label)
	assert.False(t, held[1].Foreign)
	assert.Equal(t, volumes.FromFloat(2.5), held[1].CPU)
	requireText(t, "merged as Mesos does", "cpus(db/search a): 2.5", held[1].Resources)
	assert.True(t, held[2].Foreign, "another principal made it")
	assert.Equal(t, "somebody", held[2].Principal)
	b := held[3]
	assert.Equal(t, volumes.Units(1), b.CPU)
	assert.Equal(t, volumes.Units(64), b.Mem)
	assert.Equal(t, volumes.Units(10), b.Disk)
	assert.Equal(t, []uint64{31000, 31001}, b.Ports)
	assert.Equal(t, "b-v", b.PersistenceID)
	require.NotNil(t, b.Volume)
	for _, r := range b.Resources {
		assert.Nil(t, r.AllocationInfo, r.Name)
	}
	assert.NotNil(t, rs[0].AllocationInfo, "the offer itself stays as it was")
}

func TestPoolFromResourcesHasNoOffers(t *testing.T) {
	p, err := volumes.NewPoolFromResources(role, principal, []mesos.Resource{scalar("cpus", 2)})
	require.NoError(t, err)
	assert.Empty(t, p.Offers())
	assert.Equal(t, volumes.Units(2), p.Free().CPU)
	_, err = volumes.NewPoolFromResources(role, principal, []mesos.Resource{scalar("cpus", 2, func(r *mesos.Resource) {
		r.AllocationInfo = &mesos.Resource_AllocationInfo{Role: ptr("x")}
	})})
	require.ErrorContains(t, err, `allocated to role "x"`)
}

func TestHoldsVolumeGoesByLabelAndVolumeID(t *testing.T) {
	p := pool(t, scalar("disk", 10, reserved("a"), volume("a-v")), scalar("disk", 10, reserved("b"), volume("other")), scalar("disk", 1, reserved("c")))
	assert.True(t, p.HoldsVolume(identity("a")))
	assert.False(t, p.HoldsVolume(identity("b")))
	assert.False(t, p.HoldsVolume(identity("c")))
	assert.False(t, p.HoldsVolume(identity("d")))
}
