// Package server answers Berth's REST API, version 1: it authenticates,
// decodes, validates and limits, and leaves every decision to two ports,
// Commands and Queries. It never blocks them: each call carries a deadline.
package server

import (
	"context"
	"io"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
)

// PutOptions accompany a spec.
type PutOptions struct {
	// DryRun: say what would change, and change nothing.
	DryRun bool
	// IfGeneration is the generation that the caller saw: anything else is
	// v1.ProblemGenerationMismatch. 0: the cluster must not exist. Nil: no lock.
	IfGeneration *int64
	// Message is the caller's reason, for the audit log.
	Message string
	// User is who asked.
	User string
}

// DeleteOptions accompany the deletion of a cluster.
type DeleteOptions struct {
	// Confirm repeats the cluster's name; the server has compared it already.
	Confirm string
	// Retention is how long volumes are kept; nil: the scheduler's default.
	Retention *time.Duration
	Message   string
	User      string
}

// ReplaceOptions accompany the order to replace a node, and its withdrawal.
type ReplaceOptions struct {
	// AcceptDataLoss names exactly the indices that would lose shards.
	AcceptDataLoss []string
	// DryRun: say what would happen, and change nothing.
	DryRun  bool
	Message string
	User    string
}

// VolumeOptions accompany a destroy order and its withdrawal.
type VolumeOptions struct {
	// Confirm repeats the volume's id (destroy only; compared already).
	Confirm string
	Message string
	User    string
}

// TaskOptions accompany an order to kill an unknown task and its withdrawal.
type TaskOptions struct {
	// Confirm repeats the task's id (kill only; compared already).
	Confirm string
	Message string
	User    string
}

// VolumeQuery says what of the ledger is asked for.
type VolumeQuery struct {
	// Classes are v1.VolumeClasses; none: all.
	Classes []string
	// Cluster leaves out what is not of one cluster; "": nothing.
	Cluster string
	// Fresh: ask the master first. The error is v1.ProblemUnavailable when it does
	// not answer.
	Fresh bool
}

// AuditQuery says which entries of the audit log are asked for: what is empty does
// not filter.
type AuditQuery struct {
	User, Verb, Kind string
	// Target is the name of what an entry is about, or of what that belongs to.
	Target       string
	Since, Until time.Time
	// Before: only entries older than this id.
	Before int64
	// Limit is 1 to v1.MaxAuditListed.
	Limit int
}

// RepairOptions accompany the plan of a repair.
type RepairOptions struct {
	// Findings that the caller named; none: orphans and what is missing.
	Findings []string
	// Retained: also kept volumes of deleted clusters whose retention is over.
	Retained bool
	// Retention is how long orphaned volumes are kept after the approval; nil: the
	// scheduler's default.
	Retention *time.Duration
	Message   string
	User      string
}

// ApprovalOptions accompany the approval of a repair.
type ApprovalOptions struct {
	// Fingerprint of the plan that the caller has seen: anything else is refused.
	Fingerprint string
	Message     string
	User        string
}

// CancelOptions accompany the withdrawal of a repair.
type CancelOptions struct {
	// Step is the number of one step, from 1; 0: all that has not begun.
	Step    int
	Message string
	User    string
}

// RestartOptions accompany the order to restart a cluster's nodes.
type RestartOptions struct {
	// Nodes are names; empty: all.
	Nodes  []string
	DryRun bool
	// Message is the caller's reason, for the audit log.
	Message string
	User    string
}

// PlanOptions accompany what is asked of the plan under way.
type PlanOptions struct {
	// Verb is pause, resume, cancel or override.
	Verb string
	// Gate is the one to override, For how long.
	Gate    string
	For     time.Duration
	Message string
	User    string
}

// Commands change things. An error that is (or wraps) a *v1.Problem is answered
// as it is; any other is logged and answered as an internal problem. When ctx
// ends first the caller is told that the change may or may not have happened,
// so each command must be safe to repeat.
type Commands interface {
	// PutCluster makes the spec the wanted one. Defaults are set and the spec
	// is valid. Accepted.Changed is false when it was the wanted one already.
	PutCluster(ctx context.Context, c v1.Cluster, o PutOptions) (v1.Accepted, error)
	DeleteCluster(ctx context.Context, name string, o DeleteOptions) (v1.Accepted, error)
	// RestartCluster orders a rolling restart; ControlPlan steers the one under way.
	RestartCluster(ctx context.Context, name string, o RestartOptions) (v1.Accepted, error)
	ControlPlan(ctx context.Context, name string, o PlanOptions) (v1.Accepted, error)
	// ReplaceNode has another node, under another name, take the place of one whose
	// agent is away. It is refused (409) while that could lose data or the masters'
	// majority, or while that is not known. CancelReplacement takes the order back
	// while the other node has not been launched.
	ReplaceNode(ctx context.Context, cluster, node string, o ReplaceOptions) (v1.Accepted, error)
	CancelReplacement(ctx context.Context, cluster, node string, o ReplaceOptions) (v1.Accepted, error)
	// DestroyVolume records a destroy order, carried out after the retention
	// time; until then RestoreVolume takes it back.
	DestroyVolume(ctx context.Context, id string, o VolumeOptions) (v1.Accepted, error)
	RestoreVolume(ctx context.Context, id string, o VolumeOptions) (v1.Accepted, error)
	// PlanRepair makes and records a plan and changes nothing else; its id is the
	// answer's Name. ApproveRepair starts exactly that plan; CancelRepair takes
	// back what of it has not begun.
	PlanRepair(ctx context.Context, o RepairOptions) (v1.Accepted, error)
	ApproveRepair(ctx context.Context, id string, o ApprovalOptions) (v1.Accepted, error)
	CancelRepair(ctx context.Context, id string, o CancelOptions) (v1.Accepted, error)
	// KillUnknownTask records an order to kill a task that no record explains;
	// KeepUnknownTask takes it back.
	KillUnknownTask(ctx context.Context, taskID string, o TaskOptions) (v1.Accepted, error)
	KeepUnknownTask(ctx context.Context, taskID string, o TaskOptions) (v1.Accepted, error)
}

// Queries read. Errors are as for Commands; an unknown cluster is
// v1.ProblemNotFound("cluster", name).
type Queries interface {
	Clusters(ctx context.Context) ([]v1.ClusterView, error)
	Cluster(ctx context.Context, name string) (v1.ClusterView, error)
	Nodes(ctx context.Context, name string) ([]v1.NodeView, error)
	Plan(ctx context.Context, name string) (v1.PlanView, error)
	Explain(ctx context.Context, name string) (v1.Explanation, error)
	// Survives says what the loss of each machine would do to a cluster, or with ""
	// to all.
	Survives(ctx context.Context, name string) (v1.Certificate, error)
	Endpoints(ctx context.Context, name string) (v1.Endpoints, error)
	Agents(ctx context.Context) ([]v1.AgentView, error)
	Volumes(ctx context.Context, q VolumeQuery) (v1.VolumeList, error)
	Audit(ctx context.Context, q AuditQuery) (v1.AuditList, error)
	Repairs(ctx context.Context) (v1.RepairList, error)
	Repair(ctx context.Context, id string) (v1.RepairView, error)
	UnknownTasks(ctx context.Context) (v1.UnknownTaskList, error)
	// Readiness never waits: it is asked by probes.
	Readiness(ctx context.Context) v1.Readiness
}

// EventSource is a bounded history of events and what comes after it.
type EventSource interface {
	// Subscribe starts after the event with id after; 0 is the oldest event
	// that is kept, LatestOnly is none of the kept ones. The error is a
	// *HistoryGoneError when events after that id are no longer kept.
	Subscribe(ctx context.Context, after int64) (Subscription, error)
}

// LatestOnly asks for new events only.
const LatestOnly int64 = -1

// Subscription is one reader's place in the stream, for one goroutine.
type Subscription interface {
	// Next waits for the next event; one that is there already is returned even
	// when ctx has ended. Errors: ctx's, ErrSlowConsumer when the history has
	// overtaken the reader, ErrHubClosed at the end.
	Next(ctx context.Context) (v1.Event, error)
	// Position is the id up to which everything was delivered.
	Position() int64
}

// Artifacts serve what agents fetch, such as the executor's binary. The token
// belongs to the task; a wrong one, like an unknown file, is fs.ErrNotExist.
type Artifacts interface {
	Open(taskID, token, file string) (content io.ReadSeekCloser, modified time.Time, size int64, err error)
}

// LeaderRedirect says whether this Berth leads, and if not, the base URL of the
// one that does ("" when unknown). Nil in Options: this Berth always leads.
type LeaderRedirect func(ctx context.Context) (leading bool, leaderURL string)
