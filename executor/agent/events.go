package agent

import (
	"context"
	"fmt"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	mesosexec "github.com/mesos/mesos-go/api/v1/lib/executor"
	"go.uber.org/zap"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/workload"
)

func (a *agent) event(calls context.Context, e *mesosexec.Event) {
	switch e.GetType() {
	case mesosexec.Event_SUBSCRIBED:
		a.log.Info("subscribed", zap.String("agent", e.GetSubscribed().GetAgentInfo().Hostname))
	case mesosexec.Event_LAUNCH:
		a.launch(calls, e.GetLaunch().GetTask())
	case mesosexec.Event_LAUNCH_GROUP:
		group := e.GetLaunchGroup().GetTaskGroup()
		for _, t := range group.Tasks {
			a.refuse(calls, t, mesos.REASON_TASK_GROUP_INVALID, "this executor takes no task groups: launch the task by itself")
		}
	case mesosexec.Event_KILL:
		a.killed(e.GetKill())
	case mesosexec.Event_ACKNOWLEDGED:
		ack := e.GetAcknowledged()
		a.ledger.acknowledged(ack.TaskID.Value, ack.UUID)
	case mesosexec.Event_SHUTDOWN:
		a.shutDown()
	case mesosexec.Event_ERROR:
		// It belongs to a call of ours that the agent did not understand; a new
		// subscription says everything again.
		a.log.Error("the agent reports an error", zap.String("message", e.GetError().GetMessage()))
		a.hangUp()
	case mesosexec.Event_MESSAGE:
		a.told(e.GetMessage().GetData())
	case mesosexec.Event_HEARTBEAT:
	default:
		a.log.Warn("unknown event ignored", zap.Stringer("type", e.GetType()))
	}
}

// told hands a message of the scheduler to what runs.
func (a *agent) told(data []byte) {
	m, err := executor.DecodeMessage(data)
	if err != nil {
		a.log.Warn("message from the scheduler ignored", zap.Error(err))
		return
	}
	if a.task == nil || a.task.ended {
		return
	}
	if l, ok := a.task.runner.(workload.Listener); ok {
		l.Tell(m)
	}
}

func (a *agent) launch(calls context.Context, info mesos.TaskInfo) {
	if a.task != nil {
		// The same task once more is an agent that is not sure we have it: an
		// answer of TASK_ERROR would end the very task that runs.
		if a.task.info.TaskID.Value == info.TaskID.Value {
			a.log.Info("launch repeated, ignored", zap.String("task", info.TaskID.Value))
			return
		}
		a.refuse(calls, info, mesos.REASON_TASK_INVALID, errOneTask.Error())
		return
	}
	a.ledger.main = info.TaskID.Value
	a.ledger.launched(info)
	t := &task{info: info}
	a.task = t
	launch, err := executor.DecodeLaunch(info.Data)
	if err == nil && launch.TaskID != info.TaskID.Value {
		err = fmt.Errorf("launch document: taskId is %q, but the task is %q", launch.TaskID, info.TaskID.Value)
	}
	newRunner, known := a.kinds[launch.Kind]
	if err == nil && !known {
		err = fmt.Errorf("launch document: kind is %q, which this executor does not run", launch.Kind)
	}
	if err != nil {
		t.ended = true
		a.push(calls, a.invalid(info, err))
		return
	}
	t.launch = launch
	t.runner = newRunner(launch, workload.Env{Sandbox: a.config.Sandbox, Log: a.log.With(zap.String("task", launch.TaskID))})
	ctx, kill := context.WithCancel(context.WithoutCancel(calls))
	t.kill = kill
	// Before the update is sent: an agent that takes its time must not delay
	// the node.
	go func() {
		a.exits <- t.runner.Run(ctx, func(s workload.Status) { a.statuses <- s })
	}()
	starting := a.status(info.TaskID, mesos.TASK_STARTING, "preparing to start")
	a.push(calls, a.withReport(starting, executor.Report{Phase: executor.PhaseStarting}))
}

func (a *agent) invalid(info mesos.TaskInfo, err error) mesos.TaskStatus {
	s := a.status(info.TaskID, mesos.TASK_ERROR, err.Error())
	s.Reason = mesos.REASON_TASK_INVALID.Enum()
	return a.withReport(s, executor.Report{Phase: executor.PhaseExited, Cause: err.Error()})
}

// refuse answers for a task that this executor will not run.
func (a *agent) refuse(calls context.Context, info mesos.TaskInfo, reason mesos.TaskStatus_Reason, why string) {
	a.log.Warn("task refused", zap.String("task", info.TaskID.Value), zap.String("why", why))
	a.ledger.launched(info)
	s := a.status(info.TaskID, mesos.TASK_ERROR, why)
	s.Reason = reason.Enum()
	a.push(calls, s)
}

// killed obeys KILL: its own kill policy first, then the task's, then what the
// launch document says.
func (a *agent) killed(k *mesosexec.Event_Kill) {
	if a.task == nil || a.task.info.TaskID.Value != k.TaskID.Value || a.task.ended {
		a.log.Warn("kill of a task that does not run here, ignored", zap.String("task", k.TaskID.Value))
		return
	}
	grace := a.grace()
	for _, p := range []*mesos.KillPolicy{a.task.info.KillPolicy, k.KillPolicy} {
		if p != nil && p.GracePeriod != nil {
			grace = time.Duration(p.GracePeriod.Nanoseconds)
		}
	}
	a.log.Info("kill", zap.Duration("grace", grace))
	a.task.killed = true
	a.task.runner.Stop(grace)
}

// shutDown obeys SHUTDOWN: the agent destroys the container at the end of its
// grace period, so the node must be gone, and reported, before.
func (a *agent) shutDown() {
	a.log.Info("shutdown", zap.Duration("grace", a.config.ShutdownGrace))
	a.leave = time.After(a.config.ShutdownGrace)
	a.end(min(a.grace(), max(a.config.ShutdownGrace-shutdownMargin, a.config.ShutdownGrace/2)))
}

// running reports a change of the running task.
func (a *agent) running(calls context.Context, s workload.Status) {
	u := a.status(a.task.info.TaskID, mesos.TASK_RUNNING, s.Message)
	u.Healthy = &s.Healthy
	if s.Report.Phase != executor.PhaseStarting {
		u.Reason = mesos.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED.Enum()
	}
	a.log.Info("status", zap.String("phase", s.Report.Phase), zap.Bool("healthy", s.Healthy), zap.String("message", s.Message))
	a.push(calls, a.withReport(u, s.Report))
}

// exited reports the end of the task.
func (a *agent) exited(calls context.Context, x workload.Exit) {
	a.drainStatuses(calls)
	t := a.task
	t.ended = true
	t.kill()
	state := mesos.TASK_FAILED
	switch {
	case t.killed:
		state = mesos.TASK_KILLED
	case x.Finished:
		state = mesos.TASK_FINISHED
	}
	a.log.Info("ended", zap.Stringer("state", state), zap.String("message", x.Message))
	u := a.status(t.info.TaskID, state, x.Message)
	a.push(calls, a.withReport(u, x.Report))
	a.waitForAck()
}

// waitForAck bounds the wait for the acknowledgement of the task's end.
func (a *agent) waitForAck() {
	switch {
	case a.shutdown:
		// An agent that leaves its cluster takes no more updates of the
		// frameworks that it shuts down (seen on Mesos 1.11.0): waiting for
		// the acknowledgement would only hold it up.
		a.leave = time.After(farewell)
	case a.config.Checkpoint:
		// A connected agent answers at once; one that is away has its recovery
		// timeout to come back and hear of it.
		a.leave = time.After(max(a.config.ShutdownGrace, a.config.RecoveryTimeout))
	default:
		a.leave = time.After(a.config.ShutdownGrace)
	}
}

// drainStatuses takes what the runner emitted before it ended: select does not
// keep the order of two channels.
func (a *agent) drainStatuses(calls context.Context) {
	for {
		select {
		case s := <-a.statuses:
			a.running(calls, s)
		default:
			return
		}
	}
}
