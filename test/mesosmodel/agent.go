package mesosmodel

import (
	"fmt"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// agent is one agent id with what its process keeps on disk.
type agent struct {
	id      string
	machine *Machine
	up      bool
	// terminated: it will never run again (identity lost, or declared gone).
	terminated bool
	starts     int
	// gen numbers its links to the master: messages of an older one are lost.
	gen int
	// linked: it has sent its registration; ready: the master has taken it.
	linked, ready bool
	// The times that keep messages of one link in order.
	toAgent, toMaster time.Time

	tasks map[string]*agentTask
	// executors are those that run, by task id: each outlives its task a little.
	executors map[string]agentExecutor
	ops       map[string]*agentOp
}

// agentTask is a task that the agent knows, until its terminal status is
// acknowledged.
type agentTask struct {
	info     mesos.TaskInfo
	c        *Container // nil: never started, or gone with a reboot
	status   mesos.TaskStatus
	terminal bool
	// updates are those that are not acknowledged, oldest first (Mesos rule 40).
	updates []mesos.TaskStatus
	resend  int
}

type agentExecutor struct {
	role string // that its task was offered to
	used bag
}

type agentOp struct {
	status mesos.OperationStatus
	resend int
}

func (a *agent) unlink() { a.gen++; a.linked, a.ready = false, false }

// latency is the time that a message to or from an agent takes.
func (m *Model) latency(a *agent) time.Duration {
	d := m.between(time.Millisecond, 50*time.Millisecond)
	if lag := a.machine.Lag; lag > 0 {
		d += m.between(0, lag)
	}
	return d
}

// down sends a message to an agent; it is lost when the link breaks.
func (m *Model) down(id string, do func(a *agent)) {
	a := m.agents[id]
	if a == nil || !a.ready {
		return
	}
	gen := a.gen
	a.toAgent = later(a.toAgent, m.now.Add(m.latency(a)))
	m.at(a.toAgent, func() {
		if a.gen == gen && a.up {
			do(a)
		}
	})
}

// upward sends a message to the master; it is lost when the link breaks.
func (m *Model) upward(a *agent, do func(ms *master)) {
	if !a.linked {
		return
	}
	gen, ms := a.gen, m.master
	a.toMaster = later(a.toMaster, m.now.Add(m.latency(a)))
	m.at(a.toMaster, func() {
		if a.gen == gen && m.master == ms {
			do(ms)
		}
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// reregister tells the master who the agent is and what it holds.
func (m *Model) reregister(a *agent) {
	if !a.up || !a.machine.reachable || a.terminated {
		return
	}
	if m.master == nil {
		return // it tries again when a master is elected
	}
	a.unlink()
	a.linked = true
	gen := a.gen
	m.upward(a, func(ms *master) {
		if a.gen == gen {
			m.registered(ms, a)
		}
	})
}

// shutdownAgent is what happens to an agent that was declared gone: everything
// on it is killed and its identity is no longer taken.
func (m *Model) shutdownAgent(a *agent) {
	if !a.up {
		return
	}
	m.trace("%s: the agent was declared gone and shuts down", a.machine)
	a.up, a.terminated = false, true
	a.unlink()
	for _, c := range a.machine.Containers() {
		if c.AgentID == a.id {
			m.vanish(c)
		}
	}
}

// runTask starts a task on the agent.
func (m *Model) runTask(a *agent, role string, info mesos.TaskInfo) {
	id := info.TaskID.Value
	if a.tasks[id] != nil {
		return
	}
	h := a.machine
	t := &agentTask{info: info}
	a.tasks[id] = t
	used := bagOf(info.Resources)
	for _, v := range used.volumes() {
		if h.volumes[v] == nil {
			m.agentUpdate(a, id, status(mesos.TASK_DROPPED, mesos.REASON_RESOURCES_UNKNOWN, "a volume that the task uses is not known to the agent"))
			return
		}
	}
	a.executors[id] = agentExecutor{role: role, used: bagOf(info.GetExecutor().GetResources())}
	c := &Container{Task: info, AgentID: a.id, Machine: h, Live: true}
	if ids := used.volumes(); len(ids) > 0 {
		c.VolumeID = ids[0]
	}
	t.c = c
	h.containers[id] = c
	m.after(m.between(50*time.Millisecond, 2*time.Second), func() {
		if !c.Live {
			return
		}
		m.report(c, status(mesos.TASK_STARTING, 0, ""))
		m.after(m.between(50*time.Millisecond, 2*time.Second), func() { m.startProcess(c) })
	})
}

// Stray puts a task of the framework on a host that the scheduler never launched
// there, as one that it forgot would be: it runs, and takes no resources. "" is an
// id that nobody knows.
func (m *Model) Stray(h *Machine, id string) {
	a := h.agent
	if !a.ready || a.tasks[id] != nil || m.Runs(id) {
		return
	}
	if id == "" {
		id = fmt.Sprintf("stray-%d.1.1", m.number())
	}
	info := mesos.TaskInfo{Name: "stray", TaskID: mesos.TaskID{Value: id}, AgentID: mesos.AgentID{Value: a.id}}
	a.tasks[id], a.executors[id] = &agentTask{info: info}, agentExecutor{}
	m.master.tasks[id] = &masterTask{id: id, agentID: a.id, info: info, used: bag{}}
	m.update(a, id, mesos.TaskStatus{State: mesos.TASK_RUNNING.Enum(), Healthy: ptr(true)})
	m.master.tasks[id].status = a.tasks[id].status
}

// startProcess takes the volume's lock and starts the node.
func (m *Model) startProcess(c *Container) {
	if !c.Live {
		return
	}
	v := c.Volume()
	if v != nil && v.Holder != nil && v.Holder != c {
		m.end(c, mesos.TASK_FAILED, 0, "the volume is in use by "+v.Holder.ID())
		return
	}
	if err := m.work.Launch(c); err != nil {
		m.end(c, mesos.TASK_FAILED, 0, err.Error())
		return
	}
	if v != nil {
		v.Holder = c
	}
	c.Running = true
	m.trace("%s: %s runs", c.Machine.Hostname, c.ID())
	m.report(c, mesos.TaskStatus{State: mesos.TASK_RUNNING.Enum(), Healthy: ptr(false)})
	m.work.Started(c)
}

func status(st mesos.TaskState, reason mesos.TaskStatus_Reason, message string) mesos.TaskStatus {
	s := mesos.TaskStatus{State: &st}
	if reason != 0 {
		s.Reason = &reason
	}
	if message != "" {
		s.Message = &message
	}
	return s
}

// killTask is the agent's side of KILL; reason is why the agent itself kills, or 0.
func (m *Model) killTask(a *agent, id string, reason mesos.TaskStatus_Reason) {
	t := a.tasks[id]
	if t == nil || t.terminal {
		return
	}
	if t.c == nil { // a stray
		m.after(m.between(100*time.Millisecond, 5*time.Second), func() {
			m.update(a, id, mesos.TaskStatus{State: mesos.TASK_KILLED.Enum()})
		})
		return
	}
	if t.c.killing {
		return
	}
	c := t.c
	c.killing = true
	m.after(m.between(100*time.Millisecond, 5*time.Second), func() { m.end(c, mesos.TASK_KILLED, reason, "killed") })
}

// update takes a status from an executor; one that ends the task lets the executor
// leave.
func (m *Model) update(a *agent, id string, s mesos.TaskStatus) {
	s.ExecutorID = &mesos.ExecutorID{Value: id}
	s.Source = mesos.SOURCE_EXECUTOR.Enum()
	m.record(a, id, s)
	if terminal(s.GetState()) {
		m.after(m.between(10*time.Millisecond, 2*time.Second), func() { m.executorExited(a, id, 0) })
	}
}

// agentUpdate is a status that the agent makes itself.
func (m *Model) agentUpdate(a *agent, id string, s mesos.TaskStatus) {
	s.Source = mesos.SOURCE_AGENT.Enum()
	m.record(a, id, s)
}

// executorExited tells the master that an executor is gone, with the status that
// its process ended with.
func (m *Model) executorExited(a *agent, id string, code int32) {
	if _, runs := a.executors[id]; !runs {
		return
	}
	delete(a.executors, id)
	if !a.up {
		return // the agent will not find it when it is back
	}
	m.upward(a, func(ms *master) {
		if ms.executors[id] == nil {
			return
		}
		delete(ms.executors, id)
		m.send(&sched.Event{Type: sched.Event_FAILURE, Failure: &sched.Event_Failure{
			AgentID: &mesos.AgentID{Value: a.id}, ExecutorID: &mesos.ExecutorID{Value: id}, Status: &code,
		}})
	})
}

// executorLost is what the agent does about an executor that died: its task has
// failed.
func (m *Model) executorLost(a *agent, id string, message string) {
	s := status(mesos.TASK_FAILED, mesos.REASON_EXECUTOR_TERMINATED, message)
	s.ExecutorID = &mesos.ExecutorID{Value: id}
	m.agentUpdate(a, id, s)
}

// record is the agent's reliable stream of one task.
func (m *Model) record(a *agent, id string, s mesos.TaskStatus) {
	t := a.tasks[id]
	if t == nil || t.terminal {
		return
	}
	s.TaskID = mesos.TaskID{Value: id}
	s.AgentID = &mesos.AgentID{Value: a.id}
	s.UUID = m.uuid()
	t.status, t.terminal = s, terminal(s.GetState())
	t.updates = append(t.updates, s)
	if len(t.updates) == 1 {
		m.forward(a, t)
	}
}

// forward sends the oldest update that is not acknowledged, and again later.
func (m *Model) forward(a *agent, t *agentTask) {
	if len(t.updates) == 0 {
		return
	}
	t.resend++
	n, s, latest := t.resend, t.updates[0], t.status
	m.upward(a, func(ms *master) { m.taskStatus(ms, s, latest) })
	gen := a.gen
	m.after(updateRetry, func() {
		if t.resend == n && a.gen == gen && a.linked {
			m.forward(a, t)
		}
	})
}

// acknowledged takes one update off the stream.
func (m *Model) acknowledged(a *agent, id string, uuid []byte) {
	t := a.tasks[id]
	if t == nil || len(t.updates) == 0 || string(t.updates[0].UUID) != string(uuid) {
		return
	}
	t.updates = t.updates[1:]
	if t.terminal && len(t.updates) == 0 {
		delete(a.tasks, id)
		return
	}
	m.forward(a, t)
}

// apply carries out one operation on the agent's checkpointed resources.
func (m *Model) apply(a *agent, op *operation) {
	h := a.machine
	if !h.total.contains(op.from) {
		m.operationDone(a, op.id, mesos.OPERATION_FAILED, "the agent does not have what the operation converts")
		return
	}
	for _, id := range op.from.volumes() {
		if v := h.volumes[id]; v != nil && !op.to.holds(id) {
			m.trace("%s: volume %s is destroyed", h, id)
			if m.hooks.Destroyed != nil {
				m.hooks.Destroyed(h, v)
			}
			delete(h.volumes, id)
		}
	}
	h.total.subtract(op.from)
	h.total.addAll(op.to)
	for _, id := range op.to.volumes() {
		if h.volumes[id] == nil {
			h.volumes[id] = &Volume{ID: id}
		}
	}
	if m.hooks.Applied != nil {
		m.hooks.Applied(h)
	}
	m.operationDone(a, op.id, mesos.OPERATION_FINISHED, "")
}

func (b bag) holds(volume string) bool {
	for _, id := range b.volumes() {
		if id == volume {
			return true
		}
	}
	return false
}

// operationDropped answers for an operation that the agent never got. Nobody keeps
// that: it has no uuid, and is neither acknowledged nor repeated.
func (m *Model) operationDropped(a *agent, id string) {
	s := mesos.OperationStatus{
		OperationID: &mesos.OperationID{Value: id}, State: mesos.OPERATION_DROPPED, AgentID: &mesos.AgentID{Value: a.id},
		Message: ptr("the operation is not known to the agent"),
	}
	m.upward(a, func(ms *master) {
		delete(ms.ops, id)
		m.sendOp(s)
	})
}

// operationDone starts the reliable feedback of one operation.
func (m *Model) operationDone(a *agent, id string, st mesos.OperationState, message string) {
	if id == "" {
		return
	}
	s := mesos.OperationStatus{
		OperationID: &mesos.OperationID{Value: id}, State: st,
		AgentID: &mesos.AgentID{Value: a.id}, UUID: &mesos.UUID{Value: m.uuid()},
	}
	if message != "" {
		s.Message = &message
	}
	o := &agentOp{status: s}
	a.ops[id] = o
	m.forwardOp(a, o)
}

func (m *Model) forwardOp(a *agent, o *agentOp) {
	o.resend++
	n, gen, s := o.resend, a.gen, o.status
	m.upward(a, func(ms *master) {
		if op := ms.ops[s.OperationID.Value]; op != nil {
			op.status, op.done = s, true
		} else {
			ms.ops[s.OperationID.Value] = &masterOp{id: s.OperationID.Value, agentID: a.id, status: s, done: true}
		}
		m.sendOp(s)
	})
	m.after(updateRetry, func() {
		if a.ops[s.OperationID.Value] == o && o.resend == n && a.gen == gen && a.linked {
			m.forwardOp(a, o)
		}
	})
}

func (m *Model) sendOp(s mesos.OperationStatus) {
	m.send(&sched.Event{Type: sched.Event_UPDATE_OPERATION_STATUS, UpdateOperationStatus: &sched.Event_UpdateOperationStatus{Status: s}})
}

func (m *Model) sendStatus(s mesos.TaskStatus) {
	m.send(&sched.Event{Type: sched.Event_UPDATE, Update: &sched.Event_Update{Status: s}})
}

// terminal says whether a task in this state surely does not run any more.
func terminal(st mesos.TaskState) bool {
	switch st {
	case mesos.TASK_FINISHED, mesos.TASK_FAILED, mesos.TASK_KILLED, mesos.TASK_ERROR, mesos.TASK_LOST,
		mesos.TASK_DROPPED, mesos.TASK_GONE, mesos.TASK_GONE_BY_OPERATOR:
		return true
	}
	return false
}

// StatusOf finds the update that an acknowledgement is for; nil when the agent
// does not have it, or not any more.
func (m *Model) StatusOf(agentID, taskID string, uuid []byte) *mesos.TaskStatus {
	a := m.agents[agentID]
	if a == nil || a.tasks[taskID] == nil {
		return nil
	}
	for i := range a.tasks[taskID].updates {
		if s := &a.tasks[taskID].updates[i]; string(s.UUID) == string(uuid) {
			return s
		}
	}
	return nil
}

// Runs reports whether the master knows a task and holds it for running.
func (m *Model) Runs(taskID string) bool {
	if m.master == nil {
		return false
	}
	t := m.master.tasks[taskID]
	return t != nil && !t.terminal
}
