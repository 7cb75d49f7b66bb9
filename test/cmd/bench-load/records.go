package main

import (
	"fmt"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

const version = "8.19.21"

func config(epoch int64) scheduler.Config {
	return scheduler.Config{
		Epoch: epoch, Roles: []string{"data"}, Principal: "berth", ExecutorURL: "http://127.0.0.1:1", TokenKey: []byte("key"),
		Catalogue: map[string]scheduler.Distribution{version: {Home: "/opt/elasticsearch"}}, KillGrace: time.Minute,
	}
}

// records are those of clusters that run: as large as real ones, with attributes,
// ports, node ids and a few settings.
func records(clusters, nodes int) ([]state.Write, error) {
	var all []state.Write
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	next := int64(0)
	for i := range clusters {
		name := fmt.Sprintf("security-events-%04d", i)
		spec := v1.Cluster{Name: name, Labels: map[string]string{"team": "security", "stage": "production"}, Spec: v1.ClusterSpec{Version: version, Role: "data", NodeSets: []v1.NodeSet{{
			Name: "data", Count: nodes, Spread: "rack", Resources: v1.NodeResources{CPUs: 8, Memory: "64gb", Heap: "31gb"}, Storage: v1.Storage{Size: "4tb", Type: v1.StorageMount},
			Constraints: []v1.Constraint{{Attribute: "disk", Operator: v1.OpEQ, Values: []string{"ssd"}}},
			Config:      map[string]any{"indices.memory.index_buffer_size": "20%", "thread_pool.write.queue_size": 1000.0},
		}}}}
		spec.SetDefaults()
		next++
		owner := next
		w, err := state.Clusters.Encode(name, state.Cluster{
			Spec: spec, Generation: 3, ObservedGeneration: 3, Incarnation: owner, ClusterUUID: "yQ7vZ3lXTt2oJm0Yw1n4Hg", CreatedAt: at, UpdatedAt: at, UpdatedBy: "ann", Message: "ticket 4711",
		})
		if err != nil {
			return nil, err
		}
		all = append(all, w)
		for j := range nodes {
			next++
			if w, err = slot(name, owner, next, j, at); err != nil {
				return nil, err
			}
			all = append(all, w)
		}
	}
	w, err := state.Frameworks.Encode("berth", state.Framework{ID: "b5fbf49a-5e0c-4c8c-9d2e-5c1f0a6c2f11-0000", NextIncarnation: next})
	return append(all, w), err
}

// slot is one node that runs healthy on one of 10,000 agents.
func slot(cluster string, owner, incarnation int64, ordinal int, at time.Time) (state.Write, error) {
	name := fmt.Sprintf("%s-data-%d", cluster, ordinal)
	id := fmt.Sprintf("%s.%d", name, incarnation)
	agent := fmt.Sprintf("b5fbf49a-5e0c-4c8c-9d2e-5c1f0a6c2f11-S%d", incarnation%10_000)
	host := fmt.Sprintf("node-%05d.dc1.example", incarnation%10_000)
	return state.Slots.Encode(id, state.Slot{
		ID: id, Name: name, Kind: "elasticsearch", Owner: cluster, OwnerIncarnation: owner, Set: "data", Ordinal: ordinal, Want: state.WantRun, Life: 4,
		Identity: volumes.Identity{Role: "data", Principal: "berth", Label: id, PersistenceID: id, ContainerPath: "data"},
		Need:     volumes.Need{CPU: volumes.Units(8), Mem: volumes.Units(65_536), Disk: volumes.Units(4_194_304), DiskType: volumes.DiskMount, Ports: 2},
		Bind: &state.Binding{
			AgentID: agent, Hostname: host, Machine: host, Address: fmt.Sprintf("10.%d.%d.%d", incarnation%7, incarnation%200, incarnation%250),
			Attributes: map[string]string{"hostname": host, "rack": fmt.Sprintf("r%d", incarnation%400), "zone": "z1", "disk": "ssd"},
			Ports:      []uint64{31_000, 31_001}, Reserved: state.KnownYes, Volume: state.KnownYes, DiskMiB: volumes.Units(4_194_304), HasData: true, Since: at,
		},
		Task: &state.Task{
			ID: id + ".4", Life: 4, AgentID: agent, State: state.TaskRunning, Healthy: true, Generation: 3, NodeID: "Xw3d0f1lR5y8mJmQn2c7Zg",
			LaunchedAt: at, HealthySince: at, Since: at,
		},
		CreatedAt: at, UpdatedAt: at,
	})
}
