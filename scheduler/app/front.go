package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"github.com/berthdata/berth/api/server"
	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/runner"
)

// front answers the API's ports from the leadership under way.
type front struct{ app *App }

func (f front) runner() (*runner.Runner, error) {
	l := f.app.leading.Load()
	if l == nil {
		return nil, v1.ProblemNotLeader()
	}
	return l.runner, nil
}

// ask sends a change to the core and waits until its answer is durable.
func (f front) ask(ctx context.Context, ev func(scheduler.ReplyID) scheduler.Event) (v1.Accepted, error) {
	r, err := f.runner()
	if err != nil {
		return v1.Accepted{}, err
	}
	accepted, err := r.Ask(ctx, ev)
	if errors.Is(err, runner.ErrStopped) {
		err = v1.ProblemUnavailable("this Berth stopped leading while it worked on the request; it may or may not have been carried out: repeat it")
	}
	return accepted, err
}

func (f front) PutCluster(ctx context.Context, c v1.Cluster, o server.PutOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.SpecPut{Reply: id, Cluster: c, IfGeneration: o.IfGeneration, DryRun: o.DryRun, User: o.User, Message: o.Message}
	})
}

func (f front) DeleteCluster(ctx context.Context, name string, o server.DeleteOptions) (v1.Accepted, error) {
	retain := f.app.o.Retention
	if o.Retention != nil {
		retain = *o.Retention
	}
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.SpecDeleted{Reply: id, Name: name, RetainFor: retain, User: o.User, Message: o.Message}
	})
}

func (f front) RestartCluster(ctx context.Context, name string, o server.RestartOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.RestartOrdered{Reply: id, Name: name, Nodes: o.Nodes, DryRun: o.DryRun, User: o.User, Message: o.Message}
	})
}

func (f front) ControlPlan(ctx context.Context, name string, o server.PlanOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.PlanControlled{
			Reply: id, Name: name, Verb: scheduler.PlanVerb(o.Verb), Gate: o.Gate, For: o.For, User: o.User, Message: o.Message,
		}
	})
}

func (f front) ReplaceNode(ctx context.Context, cluster, node string, o server.ReplaceOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.NodeReplaceOrdered{
			Reply: id, Cluster: cluster, Node: node, AcceptDataLoss: o.AcceptDataLoss, DryRun: o.DryRun, User: o.User, Message: o.Message,
		}
	})
}

func (f front) CancelReplacement(ctx context.Context, cluster, node string, o server.ReplaceOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.NodeReplaceCancelled{Reply: id, Cluster: cluster, Node: node, User: o.User, Message: o.Message}
	})
}

func (f front) DestroyVolume(ctx context.Context, volume string, o server.VolumeOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.VolumeDestroyOrdered{Reply: id, ID: volume, User: o.User, Message: o.Message}
	})
}

func (f front) RestoreVolume(ctx context.Context, volume string, o server.VolumeOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.VolumeRestored{Reply: id, ID: volume, User: o.User, Message: o.Message}
	})
}

func (f front) KillUnknownTask(ctx context.Context, taskID string, o server.TaskOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.TaskKillOrdered{Reply: id, TaskID: taskID, User: o.User, Message: o.Message}
	})
}

func (f front) KeepUnknownTask(ctx context.Context, taskID string, o server.TaskOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.TaskKillWithdrawn{Reply: id, TaskID: taskID, User: o.User, Message: o.Message}
	})
}

func (f front) PlanRepair(ctx context.Context, o server.RepairOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.RepairAsked{Reply: id, Findings: o.Findings, Retained: o.Retained, Retention: o.Retention, User: o.User, Message: o.Message}
	})
}

func (f front) ApproveRepair(ctx context.Context, repair string, o server.ApprovalOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.RepairApproved{Reply: id, ID: repair, Fingerprint: o.Fingerprint, User: o.User, Message: o.Message}
	})
}

func (f front) CancelRepair(ctx context.Context, repair string, o server.CancelOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.RepairCancelled{Reply: id, ID: repair, Step: o.Step, User: o.User, Message: o.Message}
	})
}

// read asks the core in its own goroutine.
func read[T any](ctx context.Context, f front, q func(*scheduler.Core) (T, *v1.Problem)) (T, error) {
	var out T
	r, err := f.runner()
	if err != nil {
		return out, err
	}
	var problem *v1.Problem
	if err := r.Query(ctx, func(c *scheduler.Core) { out, problem = q(c) }); err != nil {
		if errors.Is(err, runner.ErrStopped) {
			err = v1.ProblemNotLeader()
		}
		return out, err
	}
	if problem != nil {
		return out, problem
	}
	return out, nil
}

// always makes a view that cannot fail fit for read.
func always[T any](q func(*scheduler.Core) T) func(*scheduler.Core) (T, *v1.Problem) {
	return func(c *scheduler.Core) (T, *v1.Problem) { return q(c), nil }
}

func (f front) Clusters(ctx context.Context) ([]v1.ClusterView, error) {
	return read(ctx, f, always((*scheduler.Core).Clusters))
}

func (f front) Cluster(ctx context.Context, name string) (v1.ClusterView, error) {
	return read(ctx, f, func(c *scheduler.Core) (v1.ClusterView, *v1.Problem) { return c.Cluster(name) })
}

func (f front) Nodes(ctx context.Context, name string) ([]v1.NodeView, error) {
	return read(ctx, f, func(c *scheduler.Core) ([]v1.NodeView, *v1.Problem) { return c.Nodes(name) })
}

func (f front) Plan(ctx context.Context, name string) (v1.PlanView, error) {
	return read(ctx, f, func(c *scheduler.Core) (v1.PlanView, *v1.Problem) { return c.Plan(name) })
}

func (f front) Explain(ctx context.Context, name string) (v1.Explanation, error) {
	return read(ctx, f, func(c *scheduler.Core) (v1.Explanation, *v1.Problem) { return c.Explain(name) })
}

func (f front) Survives(ctx context.Context, name string) (v1.Certificate, error) {
	return read(ctx, f, func(c *scheduler.Core) (v1.Certificate, *v1.Problem) { return c.Survives(name) })
}

func (f front) Endpoints(ctx context.Context, name string) (v1.Endpoints, error) {
	return read(ctx, f, func(c *scheduler.Core) (v1.Endpoints, *v1.Problem) { return c.Endpoints(name) })
}

func (f front) Agents(ctx context.Context) ([]v1.AgentView, error) {
	return read(ctx, f, always((*scheduler.Core).Agents))
}

// witnessTimeout is how long a request waits for the master to show its agents.
const witnessTimeout = 20 * time.Second

func (f front) Audit(ctx context.Context, q server.AuditQuery) (v1.AuditList, error) {
	filter := scheduler.AuditFilter{
		User: q.User, Verb: q.Verb, Kind: q.Kind, Target: q.Target, Since: q.Since, Until: q.Until, Before: q.Before, Most: q.Limit,
	}
	return read(ctx, f, always(func(c *scheduler.Core) v1.AuditList { return c.Audit(filter) }))
}

func (f front) Volumes(ctx context.Context, q server.VolumeQuery) (v1.VolumeList, error) {
	if q.Fresh {
		if err := f.askMaster(ctx); err != nil {
			return v1.VolumeList{}, err
		}
	}
	filter := scheduler.VolumeFilter{Classes: q.Classes, Cluster: q.Cluster}
	return read(ctx, f, always(func(c *scheduler.Core) v1.VolumeList { return c.Volumes(time.Now(), filter) }))
}

func (f front) Repairs(ctx context.Context) (v1.RepairList, error) {
	return read(ctx, f, always((*scheduler.Core).Repairs))
}

func (f front) Repair(ctx context.Context, id string) (v1.RepairView, error) {
	return read(ctx, f, func(c *scheduler.Core) (v1.RepairView, *v1.Problem) { return c.Repair(id) })
}

// askMaster waits until the ledger compares with a view that is asked for now.
func (f front) askMaster(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, witnessTimeout)
	defer cancel()
	_, err := f.ask(wait, func(id scheduler.ReplyID) scheduler.Event { return scheduler.WitnessAsked{Reply: id} })
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return v1.ProblemUnavailable(fmt.Sprintf("the master's operator API did not answer within %s; without fresh=true the last view that it gave is compared", witnessTimeout))
	}
	return err
}

func (f front) UnknownTasks(ctx context.Context) (v1.UnknownTaskList, error) {
	return read(ctx, f, always((*scheduler.Core).UnknownTasks))
}

// readinessTimeout bounds the question to the core: probes do not wait.
const readinessTimeout = time.Second

// Readiness says whether this Berth can act. A follower is ready to redirect,
// but not to act.
func (f front) Readiness(ctx context.Context) v1.Readiness {
	out := v1.Readiness{Version: f.app.o.Version, Phase: "Following", Checks: map[string]string{"leader": "no"}}
	r, err := f.runner()
	if err != nil {
		return out
	}
	out.Leader, out.Phase, out.Checks["leader"] = true, "Starting", "ok"
	ctx, cancel := context.WithTimeout(ctx, readinessTimeout)
	defer cancel()
	var subscribed, reconciled bool
	if err := r.Query(ctx, func(c *scheduler.Core) {
		subscribed, reconciled = c.Connected()
		out.FrameworkID = c.FrameworkID()
	}); err != nil {
		out.Checks["core"] = "does not answer: " + err.Error()
		return out
	}
	out.Checks["core"] = "ok"
	check := func(name string, ok bool, waiting string) bool {
		out.Checks[name] = "ok"
		if !ok {
			out.Checks[name] = waiting
		}
		return ok
	}
	stored := r.StoreError()
	okStore := check("state", stored == nil, "the state store does not answer")
	okMesos := check("mesos", subscribed, "not subscribed to a Mesos master")
	// Tasks on agents that are away may not answer for long: that is shown,
	// and does not make this Berth unready.
	check("reconciliation", reconciled, "some tasks have not answered yet")
	if okStore && okMesos {
		out.Ready, out.Phase = true, "Leading"
	}
	return out
}

// executorFile is the name under which the executor's binary is served.
const executorFile = "berth-executor"

// artifacts serves files to the agent of a task that has its token.
type artifacts struct {
	paths map[string]string // by the name that is served
	key   atomic.Pointer[[]byte]
}

func (a *artifacts) Open(taskID, token, file string) (io.ReadSeekCloser, time.Time, int64, error) {
	key := a.key.Load()
	path, served := a.paths[file]
	if !served || key == nil || !executor.VerifyToken(*key, taskID, token) {
		return nil, time.Time{}, 0, fs.ErrNotExist
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, time.Time{}, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, 0, errors.Join(err, f.Close())
	}
	return f, info.ModTime(), info.Size(), nil
}
