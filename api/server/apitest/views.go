package apitest

import (
	"context"
	"slices"
	"time"

	"github.com/berthdata/berth/api/server"
	v1 "github.com/berthdata/berth/api/v1"
)

func (f *Fake) known(ctx context.Context, method, name string) error {
	if err := f.enter(ctx, method); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.clusters[name]; !ok {
		return v1.ProblemNotFound("cluster", name)
	}
	return nil
}

// Nodes implements server.Queries: es-0 runs, es-1 backs off, es-2 has no place.
func (f *Fake) Nodes(ctx context.Context, name string) ([]v1.NodeView, error) {
	if err := f.known(ctx, "Nodes", name); err != nil {
		return nil, err
	}
	next := Epoch.Add(30 * time.Second)
	return []v1.NodeView{
		{Name: name + "-es-0", NodeSet: "es", Roles: []string{"master", "data"}, State: "Healthy", Life: 1,
			TaskID: name + "-es-0.1", AgentID: "agent-1", Hostname: "host-1", Address: "10.0.0.1", HTTPPort: 31000,
			TransportPort: 31001, VolumeID: name + "-es-0-v1", Since: Epoch},
		{Name: name + "-es-1", NodeSet: "es", Roles: []string{"master", "data"}, State: "Backoff", Life: 4,
			AgentID: "agent-2", Hostname: "host-2", VolumeID: name + "-es-1-v1", Failures: 3, NextTryAt: &next,
			Message: "exit status 78: max virtual memory areas vm.max_map_count [65530] is too low", Since: Epoch},
		{Name: name + "-es-2", NodeSet: "es", State: "Pending", Since: Epoch},
	}, nil
}

// Plan implements server.Queries.
func (f *Fake) Plan(ctx context.Context, name string) (v1.PlanView, error) {
	if err := f.known(ctx, "Plan", name); err != nil {
		return v1.PlanView{}, err
	}
	if f.restarting(name) {
		return v1.PlanView{
			ID: name + ".r9", Generation: 1, Status: "Paused", Message: "held by a person",
			Phases: []v1.PlanPhase{{Name: "restart nodes", Status: "InProgress", Steps: []v1.PlanStep{
				{Node: name + "-es-1", Action: "restart", Status: "Pending", Waiting: "ClusterGreen: yellow"},
			}}},
			Gates: []v1.PlanGate{
				{Name: "Reconciled", Node: name + "-es-1", Open: true},
				{Name: "ClusterGreen", Node: name + "-es-1", Overridden: true, Message: "Elasticsearch says yellow"},
				{Name: "CopiesElsewhere", Node: name + "-es-1", Message: "only copy of events [3]"},
			},
		}, nil
	}
	return v1.PlanView{ID: "plan-1", Generation: 1, Status: "InProgress", Phases: []v1.PlanPhase{
		{Name: "deploy", Status: "InProgress", Steps: []v1.PlanStep{
			{Node: name + "-es-0", Action: "deploy", Status: "Complete"},
			{Node: name + "-es-2", Action: "deploy", Status: "Pending", Waiting: "no agent fits, see explain"},
		}},
		{Name: "later", Status: "Pending"},
	}}, nil
}

// Explain implements server.Queries.
func (f *Fake) Explain(ctx context.Context, name string) (v1.Explanation, error) {
	if err := f.known(ctx, "Explain", name); err != nil {
		return v1.Explanation{}, err
	}
	return v1.Explanation{Cluster: name, Nodes: []v1.NodeExplanation{{
		Node: name + "-es-2", Summary: "3 agents were judged, none fits", Agents: 3,
		Reasons: []v1.ReasonNode{
			{Name: "host rule", Reason: "1 node of the cluster is on the machine, at most 1 is allowed", Agents: 2, Examples: []string{"host-1", "host-2"}},
			{Name: "resources", Reason: "not enough", Agents: 1, Children: []v1.ReasonNode{
				{Name: "memory", Reason: "512 MiB are free, 1024 MiB are needed", Agents: 1, Examples: []string{"host-3"}},
			}},
		},
		SmallestChange: "512 MiB more memory on host-3",
	}}}, nil
}

// Survives implements server.Queries.
func (f *Fake) Survives(ctx context.Context, name string) (v1.Certificate, error) {
	if name != "" {
		if err := f.known(ctx, "Survives", name); err != nil {
			return v1.Certificate{}, err
		}
	}
	observed := Epoch
	return v1.Certificate{Survives: v1.VerdictFalse, Machines: []v1.MachineLoss{
		{Machine: "host-1", Survives: v1.VerdictTrue, Clusters: []v1.ClusterLoss{{
			Cluster: "logs", Nodes: []string{"logs-es-0"}, Survives: v1.VerdictTrue, Reasons: []string{},
			Masters: 1, MastersElsewhere: 2, MastersNeeded: 2, ObservedAt: &observed,
		}}},
		{Machine: "host-2", Survives: v1.VerdictFalse, Clusters: []v1.ClusterLoss{{
			Cluster: "logs", Nodes: []string{"logs-es-1"}, Survives: v1.VerdictFalse, Reasons: []string{v1.LossData},
			Message: "the only started copies of shards are there, 1 in all, such as index events, shard 3: only on logs-es-1", Masters: 1, MastersElsewhere: 2, MastersNeeded: 2,
			AtRisk:        []v1.IndexAtRisk{{Index: "events", Shards: []int{3}, ShardCount: 1, Reason: "only on logs-es-1"}},
			IndicesAtRisk: 1, ShardsAtRisk: 1, ObservedAt: &observed,
		}}},
	}}, nil
}

// Audit implements server.Queries.
func (f *Fake) Audit(_ context.Context, q server.AuditQuery) (v1.AuditList, error) {
	all := []v1.AuditEntry{
		{ID: 12, Time: Epoch, Verb: v1.AuditOutcome, Kind: "cluster", Target: "logs", Event: "PlanComplete", Outcome: "generation 2 is reached: 5 nodes, green"},
		{
			ID: 11, Time: Epoch.Add(-time.Minute), User: "ann", Verb: "apply", Kind: "cluster", Target: "logs", Generation: 2, Message: "ticket 4711",
			Changes: []v1.Change{{Field: "nodeSets[es].count", NodeSet: "es", Leaf: "count", From: "3", To: "5"}}, ChangesTotal: 1,
		},
		{ID: 10, Time: Epoch.Add(-time.Hour), User: "bob", Verb: "replace", Kind: "node", Target: "shop-es-1", Owner: "shop", Detail: "successor shop-es-1-r7", Message: "the machine burnt"},
	}
	list := v1.AuditList{Entries: []v1.AuditEntry{}, Oldest: 1}
	for _, e := range all {
		if (q.User == "" || q.User == e.User) && (q.Verb == "" || q.Verb == e.Verb) && (q.Kind == "" || q.Kind == e.Kind) &&
			(q.Target == "" || q.Target == e.Target || q.Target == e.Owner) && (q.Before == 0 || e.ID < q.Before) &&
			!e.Time.Before(q.Since) && (q.Until.IsZero() || e.Time.Before(q.Until)) {
			list.Entries = append(list.Entries, e)
		}
	}
	if len(list.Entries) > q.Limit {
		list.Entries, list.More = list.Entries[:q.Limit], true
	}
	return list, nil
}

// Endpoints implements server.Queries.
func (f *Fake) Endpoints(ctx context.Context, name string) (v1.Endpoints, error) {
	if err := f.known(ctx, "Endpoints", name); err != nil {
		return v1.Endpoints{}, err
	}
	return v1.Endpoints{Cluster: name, HTTP: []string{"http://10.0.0.1:31000"}}, nil
}

// Agents implements server.Queries.
func (f *Fake) Agents(ctx context.Context) ([]v1.AgentView, error) {
	if err := f.enter(ctx, "Agents"); err != nil {
		return nil, err
	}
	return []v1.AgentView{
		{ID: "agent-1", Hostname: "host-1", Machine: "host-1", Attributes: map[string]string{"rack": "r1", "disk": "ssd"},
			Active: true, Free: v1.ResourceView{CPUs: 1.5, MemoryMiB: 2048, DiskMiB: 10240, Ports: 900}, Nodes: []string{"logs-es-0"}, Seen: Epoch},
		{ID: "agent-2", Hostname: "host-2", Machine: "host-2", Seen: Epoch},
	}, nil
}

// Volumes implements server.Queries.
func (f *Fake) Volumes(ctx context.Context, q server.VolumeQuery) (v1.VolumeList, error) {
	if err := f.enter(ctx, "Volumes"); err != nil {
		return v1.VolumeList{}, err
	}
	if q.Fresh && f.Silent != "" {
		return v1.VolumeList{}, v1.ProblemUnavailable(f.Silent)
	}
	keep, seen := Epoch.Add(7*24*time.Hour), Epoch.Add(-50*time.Hour)
	all := []v1.VolumeView{
		{ID: "logs-es-0-v1", Class: "owned", Record: "owned", Confirmed: true, Cluster: "logs", Node: "logs-es-0", AgentID: "agent-1", Hostname: "host-1", Role: "data", SizeMiB: 1024},
		{ID: "logs-es-1-v1", Class: "retained", Record: "retained", Confirmed: true, Cluster: "logs", Node: "logs-es-1", AgentID: "agent-2", Hostname: "host-2", Role: "data", SizeMiB: 51200, RetainTo: &keep},
	}
	if f.Findings {
		all = append(all,
			v1.VolumeView{ID: "old-es-0.7", Class: "orphan", Finding: "0123456789ab", FirstSeen: &seen, AgentID: "agent-2", Hostname: "host-2", Node: "old-es-0",
				Role: "data", Principal: "berth", Labels: []v1.Label{{Key: "berth.slot", Value: "old-es-0.7"}}, SizeMiB: 512, Message: "no record explains it",
				Reserved:          &v1.ReservedView{DiskMiB: 512, Text: "disk 512 (volume old-es-0.7)"},
				PersistentVolumes: []v1.PersistentVolume{{ID: "old-es-0.7", SizeMiB: 512}}},
			v1.VolumeView{ID: "ba9876543210", Class: "foreign", Finding: "ba9876543210", FirstSeen: &seen, AgentID: "agent-1", Hostname: "host-1",
				Role: "data", Principal: "ops", Message: "principal ops made it", Reserved: &v1.ReservedView{CPUs: 1, Ports: "31000-31001", Text: "cpus 1, ports 31000-31001"}})
	}
	if f.Findings || f.Away {
		all = append(all, v1.VolumeView{ID: "logs-es-2-v1", Class: "unknown", Record: "owned", Finding: "logs-es-2-v1", Cluster: "logs", Node: "logs-es-2", AgentID: "agent-3", Hostname: "host-3",
			Message: "the master does not list the agent: it is unreachable, or was removed"})
	}
	list := v1.VolumeList{Volumes: []v1.VolumeView{}, Summary: map[string]int{}, Confirmed: 2,
		Witness: v1.Witness{AskedAt: &seen, AgeSeconds: 2, Fresh: true, Agents: 3, Away: []v1.AwayAgent{}}}
	for _, v := range all {
		list.Summary[v.Class]++
		if (len(q.Classes) == 0 || slices.Contains(q.Classes, v.Class)) && (q.Cluster == "" || v.Cluster == q.Cluster) {
			list.Volumes = append(list.Volumes, v)
		}
	}
	return list, nil
}

// UnknownTasks implements server.Queries: one is ordered killed, one is not.
func (f *Fake) UnknownTasks(ctx context.Context) (v1.UnknownTaskList, error) {
	if err := f.enter(ctx, "UnknownTasks"); err != nil {
		return v1.UnknownTaskList{}, err
	}
	message := "no record has a node that this could be"
	return v1.UnknownTaskList{LeftOut: 17, Tasks: []v1.UnknownTask{
		{TaskID: UnknownTaskID, AgentID: "agent-1", Hostname: "host-1", State: "TASK_RUNNING", FirstSeen: Epoch, LastSeen: Epoch, Message: message,
			KillOrder: &v1.OrderView{At: Epoch, User: "ann", Message: "moved"}},
		{TaskID: "other.1.1", AgentID: "agent-9", State: "TASK_UNREACHABLE", FirstSeen: Epoch, LastSeen: Epoch, Message: message},
	}}, nil
}

func (f *Fake) restarting(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.restarts[name]
}
