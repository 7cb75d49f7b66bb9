package placement_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"github.com/berthdata/berth/placement"
	"github.com/berthdata/berth/volumes"
)

// static reserves a resource for a role in the agent's own configuration.
func static(role string, r mesos.Resource) mesos.Resource {
	r.Reservations = []mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_STATIC.Enum(), Role: &role}}
	return r
}

func lending(slot string, cpus, mem int64) placement.Request {
	r := request(slot)
	r.Need = volumes.Need{CPU: volumes.Units(cpus), Mem: volumes.Units(mem), Ephemeral: true}
	return r
}

// TestEphemeralSlotsAreCounted places slots that hold nothing on agents whose
// resources are partly reserved for the role: exactly as many as there is room for,
// whatever order they come in with slots that reserve.
func TestEphemeralSlotsAreCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := placement.NewSpace()
		type room struct{ free, own int64 }
		rooms := map[string]*room{}
		for i := range rapid.IntRange(1, 70).Draw(t, "agents") {
			id := fmt.Sprint("a", i)
			x := &room{int64(rapid.IntRange(0, 3).Draw(t, "free")), int64(rapid.IntRange(0, 3).Draw(t, "own"))}
			rooms[id] = x
			s.AddNode(placement.Node{ID: id, Hostname: id, Pool: poolOf(t, role,
				scalar("cpus", float64(x.free)), scalar("mem", 100), static(role, scalar("cpus", float64(x.own))))})
		}
		for i := range rapid.IntRange(1, 30).Draw(t, "slots") {
			n := int64(rapid.IntRange(1, 4).Draw(t, "cpus"))
			r := lending(fmt.Sprint("s", i), n, 1)
			r.Need.Ephemeral = rapid.IntRange(0, 3).Draw(t, "reserves") > 0
			fits := 0
			for _, x := range rooms {
				if x.free >= n || r.Need.Ephemeral && x.free+x.own >= n {
					fits++
				}
			}
			if e := s.Explain(r); e.Fitting != fits {
				t.Fatalf("%d agents have %d cpus, Explain says %d", fits, n, e.Fitting)
			}
			out := s.Place(r)
			if out.Placed != (fits > 0) {
				t.Fatalf("%d agents have %d cpus, placed: %t", fits, n, out.Placed)
			}
			if !out.Placed {
				continue
			}
			x := rooms[out.NodeID]
			if r.Need.Ephemeral {
				own := min(x.own, n)
				x.own -= own
				n -= own
			}
			if x.free -= n; x.free < 0 {
				t.Fatalf("%s is used beyond what it has", out.NodeID)
			}
		}
	})
}

func TestExplainOfAnEphemeralSlotCountsWhatIsReservedForTheRole(t *testing.T) {
	s := placement.NewSpace()
	s.AddNode(placement.Node{ID: "a1", Hostname: "h1", Pool: poolOf(t, role, scalar("cpus", 1), scalar("mem", 10), static(role, scalar("cpus", 2)))})
	e := s.Explain(lending("x", 4, 1))
	require.Len(t, e.Reasons, 1)
	assert.Equal(t, []string{"h1 (3 free)"}, e.Reasons[0].Children[0].Examples)
	holds := lending("x", 4, 1)
	holds.Need.Ephemeral = false
	e = s.Explain(holds)
	assert.Contains(t, e.Reasons[0].Children[0].Examples[0], "h1 (1 free; 2 more not used: it is reserved statically")
}
