package placement_test

import (
	"fmt"
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/placement"
	"github.com/berthdata/berth/volumes"
)

const role = "db"

func ptr[T any](v T) *T { return &v }

func scalar(name string, v float64) mesos.Resource {
	return mesos.Resource{Name: name, Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}}
}

func ports(first, last uint64) mesos.Resource {
	return mesos.Resource{Name: "ports", Type: mesos.RANGES.Enum(),
		Ranges: &mesos.Value_Ranges{Range: []mesos.Value_Range{{Begin: first, End: last}}}}
}

func mount(root string, size float64) mesos.Resource {
	r := scalar("disk", size)
	r.Disk = &mesos.Resource_DiskInfo{Source: &mesos.Resource_DiskInfo_Source{
		Type: mesos.Resource_DiskInfo_Source_MOUNT, Mount: &mesos.Resource_DiskInfo_Source_Mount{Root: ptr(root)}}}
	return r
}

func reserved(label string, r mesos.Resource) mesos.Resource {
	r.Reservations = []mesos.Resource_ReservationInfo{{
		Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: ptr(role),
		Labels: &mesos.Labels{Labels: []mesos.Label{{Key: volumes.LabelKey, Value: ptr(label)}}},
	}}
	return r
}

func volume(label string, size float64) mesos.Resource {
	r := reserved(label, scalar("disk", size))
	r.Disk = &mesos.Resource_DiskInfo{
		Persistence: &mesos.Resource_DiskInfo_Persistence{ID: label + "-v"},
		Volume:      &mesos.Volume{ContainerPath: "data", Mode: mesos.RW.Enum()},
	}
	return r
}

func poolOf(t require.TestingT, role string, rs ...mesos.Resource) *volumes.Pool {
	p, err := volumes.NewPoolFromResources(role, "", rs)
	require.NoError(t, err)
	return p
}

// host is an agent with 4 cores, 4096 MiB, 1000 MiB of root disk and 10 ports,
// and what is given besides.
func host(t require.TestingT, id, rack string, more ...mesos.Resource) placement.Node {
	rs := append([]mesos.Resource{scalar("cpus", 4), scalar("mem", 4096), scalar("disk", 1000), ports(31000, 31009)}, more...)
	n := placement.Node{ID: id, Hostname: id + ".test", Pool: poolOf(t, role, rs...)}
	n.Attributes = placement.AttributesOf(n.Hostname, nil)
	if rack != "" {
		n.Attributes = placement.AttributesOf(n.Hostname, []mesos.Attribute{textAttribute("rack", rack)})
	}
	return n
}

func spaceOf(nodes ...placement.Node) *placement.Space {
	s := placement.NewSpace()
	for _, n := range nodes {
		s.AddNode(n)
	}
	return s
}

// request is a slot that needs 1 core, 1024 MiB, 100 MiB of disk and 2 ports.
func request(slot string, change ...func(*placement.Request)) placement.Request {
	r := placement.Request{
		Slot:     slot,
		Identity: volumes.Identity{Role: role, Label: slot, PersistenceID: slot + "-v", ContainerPath: "data"},
		Need:     volumes.Need{CPU: volumes.Units(1), Mem: volumes.Units(1024), Disk: volumes.Units(100), DiskType: volumes.DiskRoot, Ports: 2},
	}
	for _, f := range change {
		f(&r)
	}
	return r
}

func constrained(attribute, operator string, values ...string) func(*placement.Request) {
	return func(r *placement.Request) {
		c, err := placement.CompileConstraint(attribute, operator, values)
		if err != nil {
			panic(err)
		}
		r.Constraints = append(r.Constraints, c)
	}
}

// inGroup counts the slot in a group that may have most members on a machine.
func inGroup(group string, most int) func(*placement.Request) {
	return func(r *placement.Request) {
		r.Groups = append(r.Groups, group)
		r.Limits = append(r.Limits, placement.Limit{Name: "host rule", Group: group, Max: most})
	}
}

func spreadOver(group, attribute string) func(*placement.Request) {
	return func(r *placement.Request) {
		r.Groups = append(r.Groups, group)
		r.Spread = &placement.Spread{Group: group, Attribute: attribute}
	}
}

func bound(agent string) func(*placement.Request) {
	return func(r *placement.Request) { r.Bound = agent }
}

func needing(f func(*volumes.Need)) func(*placement.Request) {
	return func(r *placement.Request) { f(&r.Need) }
}

func places(s *placement.Space, requests ...placement.Request) []string {
	out := []string{}
	for _, r := range requests {
		out = append(out, s.Place(r).NodeID)
	}
	return out
}

func TestPlaceGivesTheGrant(t *testing.T) {
	o := spaceOf(host(t, "a1", "")).Place(request("s"))
	require.True(t, o.Placed)
	assert.Equal(t, "a1", o.NodeID)
	assert.Equal(t, "a1.test", o.Machine)
	assert.False(t, o.Own)
	assert.Len(t, o.Grant.Reserve, 4)
	assert.Equal(t, []uint64{31000, 31001}, o.Grant.Ports)
}

func TestPlaceTakesUntilNothingIsLeft(t *testing.T) {
	s := spaceOf(host(t, "a1", ""), host(t, "a2", ""))
	got := []string{}
	for i := range 9 {
		got = append(got, s.Place(request(fmt.Sprint("s", i))).NodeID)
	}
	assert.Equal(t, []string{"a1", "a1", "a1", "a1", "a2", "a2", "a2", "a2", ""}, got)
}

func TestHostRuleCountsByMachine(t *testing.T) {
	a1, a2, a3 := host(t, "a1", ""), host(t, "a2", ""), host(t, "a3", "")
	a1.Machine, a2.Machine, a3.Machine = "m1", "m1", "m2" // two agents on one machine
	s := spaceOf(a1, a2, a3)
	assert.Equal(t, []string{"a1", "a3", ""}, places(s, request("x", inGroup("c", 1)), request("y", inGroup("c", 1)), request("z", inGroup("c", 1))))
	assert.Equal(t, []string{"a1"}, places(s, request("other", inGroup("d", 1))), "another cluster counts apart")
	assert.Equal(t, []string{"a1", "a3", ""}, places(s, request("z2", inGroup("c", 2)), request("z3", inGroup("c", 2)), request("z4", inGroup("c", 2))))
}

func TestHostRuleCountsWhoIsThereAlready(t *testing.T) {
	s := spaceOf(host(t, "a1", ""), host(t, "a2", ""))
	s.Occupy("a1.test", placement.Attributes{}, "c")
	s.Occupy("far.test", placement.Attributes{}, "c")
	assert.Equal(t, []string{"a2", ""}, places(s, request("x", inGroup("c", 1)), request("y", inGroup("c", 1))))
}

func TestAllLimitsHold(t *testing.T) {
	masters := func(r *placement.Request) {
		r.Groups = append(r.Groups, "masters")
		r.Limits = append(r.Limits, placement.Limit{Name: "masters' majority", Group: "masters", Max: 1})
	}
	s := spaceOf(host(t, "a1", ""), host(t, "a2", ""))
	assert.Equal(t, []string{"a1", "a2", "", "a1"}, places(s,
		request("m0", inGroup("c", 2), masters), request("m1", inGroup("c", 2), masters),
		request("m2", inGroup("c", 2), masters), request("d0", inGroup("c", 2))))
}

func TestALimitOfZeroIsNeverMet(t *testing.T) {
	s := spaceOf(host(t, "a1", ""))
	r := request("x", inGroup("c", 0))
	assert.Equal(t, []string{""}, places(s, r))
	e := s.Explain(r)
	assert.Equal(t, 0, e.Fitting)
	assert.Equal(t, "it allows 0 on a machine, so no machine will ever do", e.Reasons[0].Children[0].Reason)
	assert.Equal(t, "a host rule that allows at least 1 on a machine: it allows 0", e.SmallestChange)
}

func TestConstraintsAndRoleFilter(t *testing.T) {
	other := host(t, "a0", "r2")
	other.Pool = poolOf(t, "web", scalar("cpus", 9), scalar("mem", 9999), scalar("disk", 9999), ports(1, 99))
	s := spaceOf(other, host(t, "a1", "r1"), host(t, "a2", "r2"), placement.Node{ID: "a3", Attributes: placement.TextAttributes(map[string]string{"rack": "r2"})})
	assert.Equal(t, []string{"a2", "a1", "", ""}, places(s,
		request("w", constrained("rack", "EQ", "r2")), request("x", constrained("rack", "EQ", "r1")),
		request("y", constrained("rack", "EQ", "r3")), request("z", constrained("rack", "EQ", "r1"), constrained("hostname", "NEQ", "a1.test"))))
}

func TestAnUnavailableAgentTakesNothing(t *testing.T) {
	n := host(t, "a1", "")
	n.Unavailable = "draining"
	s := spaceOf(n)
	assert.Equal(t, []string{""}, places(s, request("x")))
	assert.Equal(t, []string{""}, places(s, request("y", bound("a1"))))
	s.AddNode(host(t, "a1", ""))
	assert.Equal(t, 1, s.Len(), "the same agent again replaces it")
	assert.Equal(t, []string{"a1"}, places(s, request("x")))
}

func TestOwnVolumeComesFirst(t *testing.T) {
	// By every other rule a1 is better.
	s := spaceOf(host(t, "a1", "r1"), host(t, "a2", "r2", volume("s", 100), mount("/big", 1e6)))
	s.Occupy("a2.test", placement.TextAttributes(map[string]string{"rack": "r2"}), "g")
	o := s.Place(request("s", spreadOver("g", "rack")))
	assert.Equal(t, "a2", o.NodeID)
	assert.True(t, o.Own)
	assert.Empty(t, o.Grant.Create, "the volume is used again")
}

func TestAnOwnReservationWithoutVolumeIsOnlyPreferred(t *testing.T) {
	held := reserved("s", scalar("cpus", .5))
	s := spaceOf(host(t, "a1", ""), host(t, "a2", "", held))
	assert.Equal(t, []string{"a2"}, places(s, request("s")))
	full := host(t, "a2", "", held)
	full.Pool = poolOf(t, role, held)
	s = spaceOf(host(t, "a1", ""), full)
	assert.Equal(t, []string{"a1"}, places(s, request("s")))
}

func TestASlotWhoseVolumeIsSeenGoesNowhereElse(t *testing.T) {
	full := host(t, "a2", "")
	full.Pool = poolOf(t, role, volume("s", 100))
	s := spaceOf(host(t, "a1", ""), full)
	assert.Equal(t, []string{""}, places(s, request("s")), "a1 has room, but not the data")
	e := s.Explain(request("s"))
	assert.Equal(t, 0, e.Fitting)
	assert.Contains(t, e.SmallestChange, "room on the agent that holds the slot's volume")
}

func TestBoundSlots(t *testing.T) {
	s := spaceOf(host(t, "a1", ""), host(t, "a2", ""))
	assert.Equal(t, []string{"a2", ""}, places(s, request("x", bound("a2")), request("y", bound("a9"))))

	t.Run("its volume on another agent may be a copy", func(t *testing.T) {
		s := spaceOf(host(t, "a1", ""), host(t, "old", ""), host(t, "new", "", volume("s", 100)))
		r := request("s", bound("old"), needing(func(n *volumes.Need) { n.Expect.Volume = true }))
		assert.Equal(t, 0, s.Explain(r).Fitting)
		assert.Equal(t, []string{""}, places(s, r))
		assert.Equal(t, []string{"old"}, places(s, request("s", bound("old"))))
	})
	t.Run("the volume on record is not shown", func(t *testing.T) {
		s := spaceOf(host(t, "a1", ""))
		r := request("s", bound("a1"), needing(func(n *volumes.Need) { n.Expect.Volume = true }))
		assert.Equal(t, []string{""}, places(s, r), "rule 38: no second volume")
		assert.Equal(t, "volume s-v offered by a1.test", s.Explain(r).SmallestChange)
	})
}

func TestSpreadFillsTheLeastUsedValueThatHasRoom(t *testing.T) {
	s := spaceOf(host(t, "a1", "r1"), host(t, "a2", "r1"), host(t, "b1", "r2"), host(t, "c1", ""))
	s.Occupy("gone.test", placement.TextAttributes(map[string]string{"rack": "r1"}), "g")
	var got []string
	for i := range 14 {
		got = append(got, s.Place(request(fmt.Sprint("s", i), spreadOver("g", "rack"))).NodeID)
	}
	assert.Equal(t, []string{
		"b1",       // r1 has one already
		"a1", "b1", // even
		"a1", "b1",
		"a1", "b1",
		"a1",                   // r2 is full
		"a2", "a2", "a2", "a2", // r1 goes on
		"c1", "c1", // without the attribute: last
	}, got)
}

func TestPackingFillsBeforeItOpensAndProtectsBigDisks(t *testing.T) {
	part := host(t, "z-part", "")
	part.Pool = poolOf(t, role, scalar("cpus", 2), scalar("mem", 2048), scalar("disk", 900), ports(1, 9))
	big := host(t, "a-big", "", mount("/big", 1e6))
	small := host(t, "b-small", "", mount("/small", 5000))
	s := spaceOf(big, small, host(t, "c-plain", ""), part)
	onMount := needing(func(n *volumes.Need) { n.DiskType, n.Disk = volumes.DiskMount, volumes.Units(4000) })
	assert.Equal(t, []string{"z-part", "z-part", "c-plain"}, places(s, request("s1"), request("s2"), request("s3")),
		"what is open already, then a host with little disk")
	assert.Equal(t, []string{"b-small", "a-big", ""}, places(s, request("m1", onMount), request("m2", onMount), request("m3", onMount)),
		"the smallest MOUNT disk that is large enough")
}

func TestWhatOneSlotCannotUseAnotherCan(t *testing.T) {
	// A disk of the wrong kind is reserved on a1 under the label of s.
	s := spaceOf(host(t, "a1", "", reserved("s", mount("/m", 50))), host(t, "a2", ""))
	assert.Equal(t, []string{"a2", "a1"}, places(s, request("s"), request("t")))
}

func TestAnotherPrincipalsReservationDrawsNoSlot(t *testing.T) {
	foreign := reserved("s", scalar("cpus", 1))
	foreign.Reservations[0].Principal = ptr("somebody")
	s := spaceOf(host(t, "a1", ""), host(t, "a2", "", foreign))
	assert.Equal(t, []string{"a1"}, places(s, request("s")))
}

func TestASmallerNeedIsSearchedAnew(t *testing.T) {
	s := spaceOf(host(t, "a1", ""))
	assert.Equal(t, []string{"", "a1", ""}, places(s, request("big", mem(5000)), request("small", mem(4000)), request("more", mem(4000))))
}

func TestManyNodesAreFilledInOrder(t *testing.T) {
	s := placement.NewSpace()
	for i := range 200 {
		s.AddNode(host(t, fmt.Sprintf("a%03d", i), ""))
	}
	cores := func(n int64) func(*placement.Request) {
		return needing(func(need *volumes.Need) { *need = volumes.Need{CPU: volumes.Units(n)} })
	}
	// Equal requests of turning sizes: each size must skip what others filled.
	for i := range 200 {
		require.Equal(t, fmt.Sprintf("a%03d", i), s.Place(request(fmt.Sprint("x", i), cores(3))).NodeID)
		if i%2 == 0 {
			require.Equal(t, fmt.Sprintf("a%03d", i/2), s.Place(request(fmt.Sprint("y", i), cores(1))).NodeID)
		}
	}
	require.Equal(t, "a100", s.Place(request("z", cores(1))).NodeID)
	require.False(t, s.Place(request("z", cores(2))).Placed)
	require.Equal(t, "a101", s.Place(request("z", cores(1))).NodeID)
}

func TestTheFirstNodeAfterFullOnesIsNotSkipped(t *testing.T) {
	s := placement.NewSpace()
	for i := range 200 {
		s.AddNode(host(t, fmt.Sprintf("a%03d", i), ""))
	}
	for i := range 128 {
		require.Equal(t, fmt.Sprintf("a%03d", i), s.Place(request(fmt.Sprint("x", i), needing(func(n *volumes.Need) { n.CPU = volumes.Units(4) }))).NodeID)
	}
	for _, cores := range []float64{1.5, 1.4, 1.1} { // three passes over what is full
		require.Equal(t, "a128", s.Place(request(fmt.Sprint(cores), needing(func(n *volumes.Need) { n.CPU = volumes.FromFloat(cores) }))).NodeID)
	}
}

func TestGroupsAreSpreadApart(t *testing.T) {
	s := spaceOf(host(t, "a1", "r1"), host(t, "a2", "r2"))
	s.Occupy("far1.test", placement.TextAttributes(map[string]string{"rack": "r1"}), "g")
	s.Occupy("far2.test", placement.TextAttributes(map[string]string{"rack": "r1"}), "h")
	assert.Equal(t, []string{"a2", "a2"}, places(s, request("x", spreadOver("g", "rack")), request("y", spreadOver("h", "rack"))))
}

func TestAReplacedAgentIsKnownByItsNewOffer(t *testing.T) {
	s := spaceOf(host(t, "a1", ""), host(t, "a2", "", reserved("s", scalar("cpus", 1))))
	s.AddNode(host(t, "a2", ""))
	assert.Equal(t, []string{"a1"}, places(s, request("s")))
}

func TestTheOrderOfAddingDoesNotMatter(t *testing.T) {
	var want []string
	for turn := range 5 {
		s := placement.NewSpace()
		for i := range 5 {
			k := (i*(turn%4+1) + turn) % 5
			s.AddNode(host(t, fmt.Sprint("a", k), fmt.Sprint("r", k%2)))
		}
		var got []string
		for i := range 22 {
			got = append(got, s.Place(request(fmt.Sprint("s", i), inGroup("c", 3), spreadOver("g", "rack"))).NodeID)
		}
		if turn == 0 {
			want = got
		}
		assert.Equal(t, want, got)
	}
	assert.Contains(t, want, "", "the host rule stops it")
}

func TestNodesMayBeAddedBetweenPlacements(t *testing.T) {
	s := spaceOf(host(t, "a1", ""))
	r := func(slot string) placement.Request { return request(slot, inGroup("c", 1)) }
	assert.Equal(t, []string{"a1", ""}, places(s, r("x"), r("y")))
	s.AddNode(host(t, "a2", ""))
	assert.Equal(t, []string{"a2", ""}, places(s, r("y"), r("z")))
}
