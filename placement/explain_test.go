package placement_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"github.com/berthdata/berth/placement"
	"github.com/berthdata/berth/volumes"
)

func mem(mib int64) func(*placement.Request) {
	return needing(func(n *volumes.Need) { n.Mem = volumes.Units(mib) })
}

func TestSmallestChange(t *testing.T) {
	two := func() *placement.Space { return spaceOf(host(t, "a1", "r1"), host(t, "a2", "r2")) }
	for _, c := range []struct {
		name  string
		space *placement.Space
		r     placement.Request
		want  string
	}{
		{"no agent", spaceOf(), request("s"), `an agent must be offered to role "db"`},
		{"memory", two(), request("s", mem(4608)), "memory 512 MiB less (would fit on a1.test)"},
		{"cpus and ports", two(), request("s", needing(func(n *volumes.Need) { n.CPU, n.Ports = volumes.FromFloat(4.5), 12 })),
			"cpus 0.5 cores less and ports: 2 less (would fit on a1.test)"},
		{"disk", two(), request("s", needing(func(n *volumes.Need) { n.Disk = volumes.Units(1200) })), "disk 200 MiB less (would fit on a1.test)"},
		{"no such disk", two(), request("s", needing(func(n *volumes.Need) { n.DiskType = volumes.DiskMount })),
			"a MOUNT disk of at least 100 MiB (would fit on a1.test)"},
		{"constraint", two(), request("s", constrained("rack", "EQ", "r9")),
			"1 more agent with attribute rack=r9, or giving up constraint rack EQ r9 (2 agents would fit then)"},
		{"constraint of another kind", two(), request("s", constrained("rack", "LIKE", "x.*")),
			"1 more agent for which rack LIKE x.* holds, or giving up that constraint (2 agents would fit then)"},
		{"constraint, and memory only elsewhere", two(), request("s", constrained("rack", "EQ", "r1"), mem(8192)),
			"memory 4096 MiB less (would fit on a1.test)"},
		{"unavailable", func() *placement.Space {
			n := host(t, "a1", "r1")
			n.Unavailable = "draining"
			return spaceOf(n)
		}(), request("s"), "a1.test becoming available again (draining)"},
		{"nothing offered", spaceOf(placement.Node{ID: "a1"}), request("s"), "an offer from a1"},
		{"bound", two(), request("s", bound("a7")), "agent a7 offering its resources"},
		{"role", two(), request("s", func(r *placement.Request) { r.Identity.Role = "web" }), `offers for role "web"`},
		{"host rule", func() *placement.Space {
			s := two()
			s.Occupy("a1.test", placement.Attributes{}, "c")
			s.Occupy("a2.test", placement.Attributes{}, "c")
			return s
		}(), request("s", inGroup("c", 1)),
			"1 more machine: host rule allows 1 on a machine, and all 2 machines that otherwise fit hold as many"},
		{"host rule on the one machine left", func() *placement.Space {
			s := two()
			s.Occupy("a1.test", placement.Attributes{}, "c")
			return s
		}(), request("s", inGroup("c", 1), constrained("rack", "EQ", "r1")),
			"1 more machine: host rule allows 1 on a machine, and the only machine that otherwise fits holds as many"},
		{"a part of the reservation", func() *placement.Space {
			return spaceOf(host(t, "a1", "", reserved("s", scalar("cpus", .5))))
		}(), request("s", bound("a1"), needing(func(n *volumes.Need) { n.Expect.CPU = volumes.Units(1) })),
			"the rest of the slot's reservation offered by a1.test"},
		{"a strange volume under the label", func() *placement.Space {
			return spaceOf(host(t, "a1", "", volume("s", 100)))
		}(), request("s", func(r *placement.Request) { r.Identity.PersistenceID = "x" }),
			"the slot's old reservation on a1.test released"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := c.space.Explain(c.r)
			assert.Equal(t, c.want, e.SmallestChange)
			assert.Zero(t, e.Fitting)
			assert.False(t, c.space.Place(c.r).Placed)
		})
	}
}

func TestExplainTree(t *testing.T) {
	s := placement.NewSpace()
	for i := range 4 {
		s.AddNode(host(t, fmt.Sprint("x", i), "r1"))
		s.Occupy(fmt.Sprintf("x%d.test", i), placement.Attributes{}, "c")
	}
	for i := range 2 {
		n := host(t, fmt.Sprint("y", i), "r2")
		n.Pool = poolOf(t, role, scalar("cpus", .5), scalar("mem", 512), scalar("disk", 1000), ports(1, 9))
		s.AddNode(n)
	}
	drained := host(t, "z0", "")
	drained.Unavailable = "draining since yesterday"
	s.AddNode(drained)
	e := s.Explain(request("es-data-0", constrained("rack", "EQ", "r2"), inGroup("c", 1)))
	assert.Equal(t, placement.Explanation{
		Slot:    "es-data-0",
		Summary: "es-data-0 has no place on 7 agents: unavailable (1), rack EQ r2 (5), host rule (4), cpus (2), mem (2)",
		Agents:  7,
		Reasons: []placement.Reason{
			{Name: "availability", Reason: "the agent takes no slot of this role at present", Agents: 1, Children: []placement.Reason{
				{Name: "unavailable", Reason: "the agent is not available", Agents: 1, Examples: []string{"z0.test (draining since yesterday)"}},
			}},
			{Name: "constraints", Reason: "a constraint does not hold", Agents: 5, Children: []placement.Reason{
				{Name: "rack EQ r2", Reason: "the constraint does not hold", Agents: 5, Examples: []string{"x0.test (rack=r1)", "x1.test (rack=r1)", "x2.test (rack=r1)"}},
			}},
			{Name: "limits", Reason: "the machine holds as many as it may", Agents: 4, Children: []placement.Reason{
				{Name: "host rule", Reason: "it allows 1 on a machine", Agents: 4, Examples: []string{"x0.test (holds 1)", "x1.test (holds 1)", "x2.test (holds 1)"}},
			}},
			{Name: "resources", Reason: "the agent does not offer what the slot needs", Agents: 2, Children: []placement.Reason{
				{Name: "cpus", Reason: "fewer than 1 cores are free", Agents: 2, Examples: []string{"y0.test (0.5 free)", "y1.test (0.5 free)"}},
				{Name: "mem", Reason: "less than 1024 MiB of memory is free", Agents: 2, Examples: []string{"y0.test (512 free)", "y1.test (512 free)"}},
			}},
		},
		SmallestChange: "cpus 0.5 cores less and memory 512 MiB less (would fit on y0.test)",
	}, e)
}

func TestExplainOfASlotThatFits(t *testing.T) {
	s := spaceOf(host(t, "a1", "r1"), host(t, "a2", "r2"))
	e := s.Explain(request("s", constrained("rack", "EQ", "r2")))
	assert.Equal(t, 1, e.Fitting)
	assert.Equal(t, "s fits on 1 of 2 agents", e.Summary)
	assert.Empty(t, e.SmallestChange)
	assert.Equal(t, e, s.Explain(request("s", constrained("rack", "EQ", "r2"))), "it places nothing")
}

func TestExplainNamesWhatIsOfferedAndNotUsed(t *testing.T) {
	static := scalar("mem", 9999)
	static.Reservations = []mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_STATIC.Enum(), Role: ptr(role)}}
	s := spaceOf(host(t, "a1", "", static))
	e := s.Explain(request("s", mem(5000)))
	require.Len(t, e.Reasons, 1)
	assert.Equal(t, []string{"a1.test (4096 free; 9999 more not used: it is reserved statically for exactly this role: such a reservation carries no label to tell slots apart)"},
		e.Reasons[0].Children[0].Examples)
}

func TestExplainOfAbsentAttributesAndReservations(t *testing.T) {
	s := spaceOf(host(t, "a1", "", reserved("s", mount("/m", 50))))
	e := s.Explain(request("s", constrained("rack", "EQ", "r2")))
	require.Len(t, e.Reasons, 2)
	assert.Equal(t, []string{"a1.test (no rack)"}, e.Reasons[0].Children[0].Examples)
	assert.Equal(t, "the disk that is reserved for the slot cannot become a ROOT volume of 100 MiB", e.Reasons[1].Children[0].Reason)
	assert.Equal(t, []string{"a1.test"}, e.Reasons[1].Children[0].Examples)
}
