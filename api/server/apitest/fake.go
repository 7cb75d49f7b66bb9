// Package apitest has a stand-in for the scheduler behind the API, for tests of
// the server, the client and the command line.
package apitest

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	v1 "github.com/berthdata/berth/api/v1"

	"github.com/berthdata/berth/api/server"
)

// Epoch is the fake's time: all of its timestamps are this one.
var Epoch = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

// UnknownTaskID is the one unknown task that can be ordered killed.
const UnknownTaskID = "old-es-0.3.7"

// Fake keeps clusters in memory and answers at once. It is safe for concurrent
// use. Set its fields before the first call.
type Fake struct {
	// Hook, when set, runs before each call with the method's name; its error
	// is the call's answer.
	Hook func(ctx context.Context, method string) error
	// Script, when set, changes a cluster's view each time it is read; read
	// counts from 1.
	Script func(view *v1.ClusterView, read int)
	// SparkScript is the same for an application.
	SparkScript func(view *v1.SparkView, read int)
	// Files are the artifacts, by task id, token and file name.
	Files map[[3]string][]byte
	// Views, when set, is what Clusters answers.
	Views []v1.ClusterView
	// NotReady is what Readiness waits for; "" means ready.
	NotReady string
	// Findings has the ledger show some, Away only that an agent is away. Silent is
	// why the master does not answer; "" means that it does.
	Findings, Away bool
	Silent         string

	mu       sync.Mutex
	clusters map[string]*v1.ClusterView
	spark    map[string]*v1.SparkView
	reads    map[string]int
	calls    []Call
	destroy  map[string]bool
	repair   *v1.RepairView
	restarts map[string]bool // clusters with a restart under way
}

// Call is one command as the fake saw it.
type Call struct {
	Method  string
	Name    string
	Options any
}

var (
	_ server.Commands  = (*Fake)(nil)
	_ server.Queries   = (*Fake)(nil)
	_ server.Artifacts = (*Fake)(nil)
)

// Calls returns the commands so far.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *Fake) enter(ctx context.Context, method string) error {
	if f.Hook != nil {
		return f.Hook(ctx, method)
	}
	return nil
}

// PutCluster implements server.Commands.
func (f *Fake) PutCluster(ctx context.Context, c v1.Cluster, o server.PutOptions) (v1.Accepted, error) {
	if err := f.enter(ctx, "PutCluster"); err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{"PutCluster", c.Name, o})
	old := f.clusters[c.Name]
	generation := int64(0)
	if old != nil {
		generation = old.Generation
	}
	if o.IfGeneration != nil && *o.IfGeneration != generation {
		return v1.Accepted{}, v1.ProblemGenerationMismatch("cluster", c.Name, *o.IfGeneration, generation)
	}
	a := v1.Accepted{Name: c.Name, Generation: generation, DryRun: o.DryRun}
	if old != nil {
		a.Changes = v1.Diff(old.Spec, c.Spec)
	}
	a.Changed = old == nil || len(a.Changes) > 0
	if o.DryRun && a.Changed {
		a.Placements = []v1.Placement{
			{Node: c.Name + "-es-3", NodeSet: "es", AgentID: "S1", Hostname: "host-1"},
			{Node: c.Name + "-es-4", NodeSet: "es", Problem: "3 agents were judged, none fits"},
		}
		a.Reserves = &v1.ResourceView{CPUs: 2, MemoryMiB: 2048, DiskMiB: 2048, Ports: 4}
	}
	if !a.Changed || o.DryRun {
		return a, nil
	}
	a.Generation++
	a.PlanID = "plan-1"
	view := &v1.ClusterView{Cluster: c, Generation: a.Generation, Status: v1.ClusterStatus{
		Phase: "Pending", Health: "unknown", NodesWanted: c.Spec.TotalNodes(), CreatedAt: Epoch, UpdatedAt: Epoch,
	}}
	if f.clusters == nil {
		f.clusters = map[string]*v1.ClusterView{}
	}
	f.clusters[c.Name] = view
	return a, nil
}

// DeleteCluster implements server.Commands.
func (f *Fake) DeleteCluster(ctx context.Context, name string, o server.DeleteOptions) (v1.Accepted, error) {
	if err := f.enter(ctx, "DeleteCluster"); err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{"DeleteCluster", name, o})
	view, ok := f.clusters[name]
	if !ok {
		return v1.Accepted{}, v1.ProblemNotFound("cluster", name)
	}
	view.Generation++
	view.Status.Phase = "Deleting"
	return v1.Accepted{Name: name, Generation: view.Generation, Changed: true, Message: "its volumes are kept until 2024-05-13T07:08:09Z"}, nil
}

// RestartCluster implements server.Commands.
func (f *Fake) RestartCluster(ctx context.Context, name string, o server.RestartOptions) (v1.Accepted, error) {
	if err := f.known(ctx, "RestartCluster", name); err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{"RestartCluster", name, o})
	if o.DryRun {
		return v1.Accepted{Name: name, Generation: 1, Changed: true, DryRun: true, Message: "would restart 3 nodes"}, nil
	}
	if f.restarts[name] {
		return v1.Accepted{}, v1.ProblemConflict("a restart is under way", "cancel it first")
	}
	if f.restarts == nil {
		f.restarts = map[string]bool{}
	}
	f.restarts[name] = true
	return v1.Accepted{Name: name, Generation: 1, PlanID: name + ".r9", Changed: true}, nil
}

// ControlPlan implements server.Commands.
func (f *Fake) ControlPlan(ctx context.Context, name string, o server.PlanOptions) (v1.Accepted, error) {
	if err := f.known(ctx, "ControlPlan", name); err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{"ControlPlan", name, o})
	if !f.restarts[name] {
		return v1.Accepted{}, v1.ProblemConflict("no plan is under way", "cluster "+name+" has nothing to "+o.Verb)
	}
	return v1.Accepted{Name: name, Generation: 1, PlanID: name + ".r9", Changed: true, Message: o.Verb + ": done"}, nil
}

// AwayNode is the one node of each cluster that can be replaced, OnlyCopy the index
// of which it has the only copy.
const (
	AwayNode = "logs-es-1"
	OnlyCopy = "audit"
)

// ReplaceNode implements server.Commands.
func (f *Fake) ReplaceNode(ctx context.Context, cluster, node string, o server.ReplaceOptions) (v1.Accepted, error) {
	if err := f.enter(ctx, "ReplaceNode"); err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{"ReplaceNode", cluster + "/" + node, o})
	switch {
	case node != AwayNode && node != "logs-es-0":
		return v1.Accepted{}, v1.ProblemNotFound("node", node)
	case node != AwayNode:
		return v1.Accepted{}, v1.ProblemConflict("the node is not to be replaced", node+" is Healthy")
	case !slices.Equal(o.AcceptDataLoss, []string{OnlyCopy}):
		p := v1.NewProblem(409, v1.CodeDataAtRisk, "data would be lost", "look again")
		p.AtRisk = []v1.IndexAtRisk{{Index: OnlyCopy, Shards: []int{0, 3}, ShardCount: 2, Reason: "only on " + node}}
		return v1.Accepted{}, p
	}
	return v1.Accepted{Name: node, Generation: 1, Changed: true, DryRun: o.DryRun, Successor: node + "-r7"}, nil
}

// CancelReplacement implements server.Commands.
func (f *Fake) CancelReplacement(ctx context.Context, cluster, node string, o server.ReplaceOptions) (v1.Accepted, error) {
	if err := f.enter(ctx, "CancelReplacement"); err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{"CancelReplacement", cluster + "/" + node, o})
	if node != AwayNode {
		return v1.Accepted{}, v1.ProblemNotFound("node", node)
	}
	return v1.Accepted{Name: node, Generation: 1, Changed: true}, nil
}

// DestroyVolume implements server.Commands.
func (f *Fake) DestroyVolume(ctx context.Context, id string, o server.VolumeOptions) (v1.Accepted, error) {
	return f.volume(ctx, "DestroyVolume", id, o, true)
}

// RestoreVolume implements server.Commands.
func (f *Fake) RestoreVolume(ctx context.Context, id string, o server.VolumeOptions) (v1.Accepted, error) {
	return f.volume(ctx, "RestoreVolume", id, o, false)
}

func (f *Fake) volume(ctx context.Context, method, id string, o server.VolumeOptions, destroy bool) (v1.Accepted, error) {
	if err := f.enter(ctx, method); err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{method, id, o})
	if id != "logs-es-0-v1" && id != "logs-es-1-v1" {
		return v1.Accepted{}, v1.ProblemNotFound("volume", id)
	}
	if f.destroy == nil {
		f.destroy = map[string]bool{}
	}
	changed := f.destroy[id] != destroy
	f.destroy[id] = destroy
	return v1.Accepted{Name: id, Generation: 1, Changed: changed}, nil
}

// KillUnknownTask implements server.Commands.
func (f *Fake) KillUnknownTask(ctx context.Context, taskID string, o server.TaskOptions) (v1.Accepted, error) {
	return f.task(ctx, "KillUnknownTask", taskID, o)
}

// KeepUnknownTask implements server.Commands.
func (f *Fake) KeepUnknownTask(ctx context.Context, taskID string, o server.TaskOptions) (v1.Accepted, error) {
	return f.task(ctx, "KeepUnknownTask", taskID, o)
}

func (f *Fake) task(ctx context.Context, method, id string, o server.TaskOptions) (v1.Accepted, error) {
	if err := f.enter(ctx, method); err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{method, id, o})
	if id != UnknownTaskID {
		return v1.Accepted{}, v1.ProblemNotFound("unknown task", id)
	}
	return v1.Accepted{Name: id, Changed: true}, nil
}

// Clusters implements server.Queries.
func (f *Fake) Clusters(ctx context.Context) ([]v1.ClusterView, error) {
	if err := f.enter(ctx, "Clusters"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Views != nil {
		return f.Views, nil
	}
	var list []v1.ClusterView
	for _, name := range slices.Sorted(maps.Keys(f.clusters)) {
		list = append(list, *f.clusters[name])
	}
	return list, nil
}

// Cluster implements server.Queries.
func (f *Fake) Cluster(ctx context.Context, name string) (v1.ClusterView, error) {
	if err := f.enter(ctx, "Cluster"); err != nil {
		return v1.ClusterView{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	view, ok := f.clusters[name]
	if !ok {
		return v1.ClusterView{}, v1.ProblemNotFound("cluster", name)
	}
	if f.Script != nil {
		if f.reads == nil {
			f.reads = map[string]int{}
		}
		f.reads[name]++
		f.Script(view, f.reads[name])
	}
	return *view, nil
}

// Readiness implements server.Queries.
func (f *Fake) Readiness(context.Context) v1.Readiness {
	r := v1.Readiness{Ready: f.NotReady == "", Leader: true, Phase: "Steady", Version: "test", FrameworkID: "fw-1"}
	if !r.Ready {
		r.Phase = "Reconciling"
		r.Checks = map[string]string{"mesos": f.NotReady}
	}
	return r
}

type closable struct{ *bytes.Reader }

func (closable) Close() error { return nil }

// Open implements server.Artifacts.
func (f *Fake) Open(taskID, token, file string) (io.ReadSeekCloser, time.Time, int64, error) {
	content, ok := f.Files[[3]string{taskID, token, file}]
	if !ok {
		return nil, time.Time{}, 0, fs.ErrNotExist
	}
	return closable{bytes.NewReader(content)}, Epoch, int64(len(content)), nil
}
