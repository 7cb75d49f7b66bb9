package scheduler

import (
	"fmt"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// Two cores that see the same events decide the same, to the last word and in
// the same order, whatever order their maps have.
func TestDeterminism(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := running(t, 40)
		first, err := New(benchConfig(), records)
		require.NoError(t, err)
		second, err := New(benchConfig(), records)
		require.NoError(t, err)
		now := benchEpoch.Add(time.Minute)
		offerable := freeOffers(12)
		step := func(ev Event) {
			a, b := first.Step(now, ev), second.Step(now, ev)
			require.Equal(t, a, b, "%T", ev)
		}
		step(Subscribed{FrameworkID: "F1"})
		var tasks []string
		known := func() []string {
			tasks = tasks[:0]
			for _, cl := range first.Clusters() {
				nodes, _ := first.Nodes(cl.Name)
				for _, n := range nodes {
					if n.TaskID != "" {
						tasks = append(tasks, n.TaskID)
					}
				}
			}
			return tasks
		}
		puts := 0
		t.Repeat(map[string]func(*rapid.T){
			"offers": func(t *rapid.T) {
				n := rapid.IntRange(1, len(offerable)).Draw(t, "agents")
				step(OffersReceived{Offers: offerable[:n]})
			},
			"status": func(t *rapid.T) {
				id := rapid.SampledFrom(known()).Draw(t, "task")
				st := rapid.SampledFrom([]mesos.TaskState{mesos.TASK_RUNNING, mesos.TASK_FAILED, mesos.TASK_GONE, mesos.TASK_UNREACHABLE, mesos.TASK_GONE_BY_OPERATOR, mesos.TASK_KILLED}).Draw(t, "state")
				healthy := rapid.Bool().Draw(t, "healthy")
				step(TaskUpdated{Status: mesos.TaskStatus{TaskID: mesos.TaskID{Value: id}, State: &st, AgentID: &mesos.AgentID{Value: "a1"}, UUID: []byte("u"), Healthy: &healthy}})
			},
			"operation": func(t *rapid.T) {
				id := rapid.SampledFrom(known()).Draw(t, "task") + rapid.SampledFrom([]string{".reserve", ".create", ".unreserve"}).Draw(t, "verb")
				st := rapid.SampledFrom([]mesos.OperationState{mesos.OPERATION_FINISHED, mesos.OPERATION_FAILED, mesos.OPERATION_UNKNOWN}).Draw(t, "state")
				step(OperationUpdated{Status: mesos.OperationStatus{OperationID: &mesos.OperationID{Value: id}, State: st}})
			},
			"put": func(t *rapid.T) {
				puts++
				spec := v1.Cluster{Name: fmt.Sprintf("new%d", puts%3), Spec: v1.ClusterSpec{Version: "8.19.21", NodeSets: []v1.NodeSet{{
					Name: "data", Count: rapid.IntRange(1, 4).Draw(t, "count"), Resources: v1.NodeResources{CPUs: 1, Memory: "2gb", Heap: "1gb"}, Storage: v1.Storage{Size: "10gb"}}}}}
				spec.SetDefaults()
				step(SpecPut{Reply: 1, Cluster: spec})
			},
			"delete": func(t *rapid.T) {
				step(SpecDeleted{Reply: 1, Name: rapid.SampledFrom([]string{"c00000", "c00001", "new0", "new1"}).Draw(t, "name")})
			},
			"elastic": func(t *rapid.T) {
				name := rapid.SampledFrom([]string{"c00000", "c00001"}).Draw(t, "name")
				seq := int64(0)
				if cl := first.clusters[name]; cl != nil {
					seq = cl.askSeq
				}
				step(ElasticObserved{Cluster: name, Observation: observe.Observation{Seq: seq, Health: "green", Nodes: make([]observe.Node, 20), MinReplicas: -1}})
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 60000).Draw(t, "ms")) * time.Millisecond)
				step(TimerFired{})
			},
			"subscription": func(*rapid.T) {
				step(Disconnected{Reason: "broken"})
				step(Subscribed{FrameworkID: "F1"})
			},
		})
	})
}
