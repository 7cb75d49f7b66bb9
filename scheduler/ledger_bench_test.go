package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/require"
)

// viewOf is the master's view of agents that hold exactly what is on record.
func viewOf(c *Core, agents int, asked time.Time) AgentsObserved {
	at := map[string][]mesos.Resource{}
	for _, id := range slices.Sorted(maps.Keys(c.slots)) {
		s := c.slots[id]
		stack := []mesos.Resource_ReservationInfo{{
			Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: new("db"), Principal: new("berth"),
			Labels: &mesos.Labels{Labels: []mesos.Label{{Key: "berth.slot", Value: &s.ID}}},
		}}
		scalar := func(name string, v float64) mesos.Resource {
			return mesos.Resource{Name: name, Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}, Reservations: stack}
		}
		disk := scalar("disk", s.Need.Disk.Float())
		disk.Disk = &mesos.Resource_DiskInfo{
			Persistence: &mesos.Resource_DiskInfo_Persistence{ID: s.ID, Principal: new("berth")},
			Volume:      &mesos.Volume{ContainerPath: dataPath, Mode: mesos.RW.Enum()},
		}
		ports := mesos.Resource{Name: "ports", Type: mesos.RANGES.Enum(), Ranges: &mesos.Value_Ranges{Range: []mesos.Value_Range{{Begin: 31000, End: 31001}}}, Reservations: stack}
		at[s.Bind.AgentID] = append(at[s.Bind.AgentID], scalar("cpus", s.Need.CPU.Float()), scalar("mem", s.Need.Mem.Float()), disk, ports)
	}
	e := AgentsObserved{AskedAt: asked}
	for i := range agents {
		id, host := fmt.Sprintf("a%d", i), fmt.Sprintf("h%d", i)
		free := mesos.Resource{Name: "cpus", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: 8}}
		e.Agents = append(e.Agents, AgentObservation{ID: id, Hostname: host, Address: host, Registered: true, Active: true, Total: append(at[id], free), Used: at[id]})
	}
	return e
}

// BenchmarkView10kAgents is what the master's whole view costs the core, the audit
// of 20,000 slots included.
func BenchmarkView10kAgents(b *testing.B) {
	c, _ := benchCore(b, 20000)
	e := viewOf(c, 10000, benchEpoch.Add(2*time.Minute))
	for b.Loop() {
		c.Step(benchEpoch.Add(2*time.Minute), e)
	}
}

// BenchmarkAudit20kSlots is what GET /v1/volumes costs the core.
func BenchmarkAudit20kSlots(b *testing.B) {
	c, _ := benchCore(b, 20000)
	now := benchEpoch.Add(2 * time.Minute)
	c.Step(now, viewOf(c, 10000, now))
	for b.Loop() {
		if list := c.Volumes(now, VolumeFilter{}); list.Confirmed != 20000 {
			b.Fatalf("%d of 20000 are confirmed", list.Confirmed)
		}
	}
}

func TestViewThatAgreesIsConfirmed(t *testing.T) {
	records := running(t, 40)
	c, err := New(benchConfig(), records)
	require.NoError(t, err)
	now := benchEpoch.Add(2 * time.Minute)
	c.Step(now, Subscribed{FrameworkID: "F1"})
	d := c.Step(now, viewOf(c, 50, now))
	require.Empty(t, d.Published)
	require.Empty(t, d.Writes)
	list := c.Volumes(now, VolumeFilter{})
	require.Equal(t, 40, list.Confirmed)
	require.Equal(t, map[string]int{"owned": 40}, list.Summary)
}
