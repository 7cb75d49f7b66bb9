package scheduler

import (
	"fmt"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
)

var benchEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func benchConfig() Config {
	return Config{
		Epoch: 1, Roles: []string{"db"}, Principal: "berth", ExecutorURL: "http://berth:8080", TokenKey: []byte("key"),
		Catalogue: map[string]Distribution{"8.19.21": {Home: "/opt/es"}}, KillGrace: time.Minute,
	}
}

// running are the records of clusters of 20 nodes each, all running healthy.
func running(tb require.TestingT, nodes int) map[state.Key][]byte {
	records := map[state.Key][]byte{}
	next := int64(0)
	keep := func(w state.Write, err error) {
		require.NoError(tb, err)
		records[w.Key] = w.Value
	}
	for i := range nodes / 20 {
		name := fmt.Sprintf("c%05d", i)
		spec := v1.Cluster{Name: name, Spec: v1.ClusterSpec{Version: "8.19.21", Role: "db", NodeSets: []v1.NodeSet{{
			Name: "data", Count: 20, Resources: v1.NodeResources{CPUs: 1, Memory: "2gb", Heap: "1gb"}, Storage: v1.Storage{Size: "10gb"},
		}}}}
		spec.SetDefaults()
		next++
		keep(clusterRecord.Encode(name, state.Cluster{Spec: spec, Generation: 1, ObservedGeneration: 1, Incarnation: next, ClusterUUID: "U", CreatedAt: benchEpoch, UpdatedAt: benchEpoch}))
		owner := next
		for j := range 20 {
			next++
			node := fmt.Sprintf("%s-data-%d", name, j)
			id := fmt.Sprintf("%s.%d", node, next)
			s := state.Slot{
				ID: id, Name: node, Kind: kindElasticsearch, Owner: name, OwnerIncarnation: owner, Set: "data", Ordinal: j, Want: state.WantRun, Life: 1,
				Need: needOf(spec.Spec.NodeSets[0]),
				Bind: &state.Binding{AgentID: fmt.Sprintf("a%d", next%10000), Hostname: fmt.Sprintf("h%d", next%10000), Machine: fmt.Sprintf("h%d", next%10000),
					Address: "10.0.0.1", Ports: []uint64{31000, 31001}, Reserved: state.KnownYes, Volume: state.KnownYes, HasData: true, Since: benchEpoch},
				Task: &state.Task{ID: id + ".1", Life: 1, AgentID: fmt.Sprintf("a%d", next%10000), State: state.TaskRunning, Healthy: true, LaunchedAt: benchEpoch, Since: benchEpoch, HealthySince: benchEpoch},
			}
			s.Identity.Role, s.Identity.Principal, s.Identity.Label, s.Identity.PersistenceID, s.Identity.ContainerPath = "db", "berth", id, id, dataPath
			keep(slotRecord.Encode(id, s))
		}
	}
	keep(frameworkRecord.Encode(frameworkName, state.Framework{ID: "F1", NextIncarnation: next}))
	return records
}

func freeOffers(n int) []mesos.Offer {
	role := "db"
	offers := make([]mesos.Offer, n)
	for i := range offers {
		allocated := &mesos.Resource_AllocationInfo{Role: &role}
		scalar := func(name string, v float64) mesos.Resource {
			return mesos.Resource{Name: name, Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}, AllocationInfo: allocated}
		}
		offers[i] = mesos.Offer{
			ID: mesos.OfferID{Value: fmt.Sprintf("o%d", i)}, AgentID: mesos.AgentID{Value: fmt.Sprintf("a%d", i)}, Hostname: fmt.Sprintf("h%d", i), AllocationInfo: allocated,
			Resources: []mesos.Resource{scalar("cpus", 8), scalar("mem", 32768), scalar("disk", 1e6), {
				Name: "ports", Type: mesos.RANGES.Enum(), AllocationInfo: allocated, Ranges: &mesos.Value_Ranges{Range: []mesos.Value_Range{{Begin: 31000, End: 32000}}}}},
		}
	}
	return offers
}

func benchCore(tb testing.TB, nodes int) (*Core, map[state.Key][]byte) {
	records := running(tb, nodes)
	c, err := New(benchConfig(), records)
	require.NoError(tb, err)
	c.Step(benchEpoch.Add(time.Minute), Subscribed{FrameworkID: "F1"})
	return c, records
}

func BenchmarkStatusUpdate20kSlots(b *testing.B) {
	c, _ := benchCore(b, 20000)
	var tasks []string
	for id := range c.slots {
		tasks = append(tasks, id+".1")
	}
	now, healthy := benchEpoch.Add(time.Minute), true
	i := 0
	for b.Loop() {
		task := tasks[i%len(tasks)]
		i++
		d := c.Step(now, TaskUpdated{Status: mesos.TaskStatus{
			TaskID: mesos.TaskID{Value: task}, State: mesos.TASK_RUNNING.Enum(), AgentID: &mesos.AgentID{Value: "a1"}, UUID: []byte("u"), Healthy: &healthy,
		}})
		if len(d.Calls) == 0 {
			b.Fatal("not acknowledged")
		}
	}
}

func BenchmarkOffers10kAgentsIdle(b *testing.B) {
	c, _ := benchCore(b, 20000)
	offers := freeOffers(10000)
	now := benchEpoch.Add(time.Minute)
	for b.Loop() {
		if d := c.Step(now, OffersReceived{Offers: offers}); len(d.Calls) != 1 {
			b.Fatalf("%d calls, not one DECLINE", len(d.Calls))
		}
	}
}

func BenchmarkNew20kSlots(b *testing.B) {
	records := running(b, 20000)
	for b.Loop() {
		if _, err := New(benchConfig(), records); err != nil {
			b.Fatal(err)
		}
	}
}
