package mesosmodel

import (
	"maps"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// master is what one leading master believes.
type master struct {
	elected    time.Time
	known      int             // agents that the registry knew when it was elected
	recovering int             // those of them that are not back
	removed    map[string]bool // frameworks
	agents     map[string]*masterAgent
	tasks      map[string]*masterTask
	executors  map[string]*masterExecutor // by task
	lost       map[string]lostTask        // tasks on unreachable agents
	ops        map[string]*masterOp
	offers     map[string]*offer
	inverse    map[string]string // inverse offer → agent
	suppressed map[string]bool   // by role
}

type masterAgent struct {
	id         string
	machine    *Machine
	registered bool // false: recovered from the registry, not back yet
	connected  bool
	total      bag
	filters    []filter
}

type filter struct {
	role  string
	has   bag
	until time.Time
}

type masterTask struct {
	id, agentID string
	info        mesos.TaskInfo
	used        bag
	status      mesos.TaskStatus
	terminal    bool
	kill        bool // asked for, and repeated when the agent registers again
}

type lostTask struct {
	agentID string
	status  mesos.TaskStatus
}

type masterExecutor struct {
	agentID string
	role    string // that its task was offered to
	used    bag
}

type masterOp struct {
	id, agentID string
	status      mesos.OperationStatus
	done        bool
}

func newMaster(now time.Time) *master {
	return &master{
		elected: now, removed: map[string]bool{}, agents: map[string]*masterAgent{},
		tasks: map[string]*masterTask{}, executors: map[string]*masterExecutor{}, lost: map[string]lostTask{},
		ops: map[string]*masterOp{}, offers: map[string]*offer{}, inverse: map[string]string{}, suppressed: map[string]bool{},
	}
}

func (ms *master) dropExecutors(agentID string) {
	maps.DeleteFunc(ms.executors, func(_ string, e *masterExecutor) bool { return e.agentID == agentID })
}

func (ms *master) ids() []string { return sortedKeys(ms.agents) }

// tasksOn lists the tasks of an agent by id.
func (ms *master) tasksOn(agentID string) []*masterTask {
	var out []*masterTask
	for _, id := range sortedKeys(ms.tasks) {
		if t := ms.tasks[id]; t.agentID == agentID {
			out = append(out, t)
		}
	}
	return out
}

// registered admits an agent, for the first time or again.
func (m *Model) registered(ms *master, a *agent) {
	if m.registry.gone[a.id] {
		m.shutdownAgent(a)
		return
	}
	old := ms.agents[a.id]
	returns := m.registry.unreachable[a.id]
	if old == nil && !returns {
		m.replaces(ms, a)
	}
	delete(m.registry.unreachable, a.id)
	m.registry.admitted[a.id] = true
	ma := old
	if ma == nil {
		ma = &masterAgent{id: a.id, machine: a.machine}
		ms.agents[a.id] = ma
	}
	wasRegistered := ma.registered
	if old != nil && !wasRegistered {
		ms.recovering--
	}
	a.ready = true
	ma.registered, ma.connected, ma.total = true, true, a.machine.total.clone()
	m.trace("master: %s registered (unreachable before: %t, known: %t)", a.machine, returns, wasRegistered)
	m.rescindAgent(a.id)
	if wasRegistered {
		m.reconcileKnown(ms, a)
	}
	for _, id := range sortedKeys(ms.removed) {
		m.shutdownFramework(a, id)
	}
	ms.dropExecutors(a.id)
	for id, e := range a.executors {
		ms.executors[id] = &masterExecutor{agentID: a.id, role: e.role, used: e.used}
	}
	maps.DeleteFunc(ms.lost, func(_ string, l lostTask) bool { return l.agentID == a.id })
	for _, id := range sortedKeys(a.tasks) {
		t := a.tasks[id]
		mt := ms.tasks[id]
		if mt == nil {
			mt = &masterTask{id: id, agentID: a.id, info: t.info, used: bagOf(t.info.Resources)}
			ms.tasks[id] = mt
		}
		mt.status, mt.terminal = t.status, t.terminal
		if mt.status.State == nil {
			mt.status = mesos.TaskStatus{TaskID: t.info.TaskID, State: mesos.TASK_STAGING.Enum(), AgentID: &mesos.AgentID{Value: a.id}}
		}
		if returns {
			s := plain(mt.status)
			s.Reason = mesos.REASON_AGENT_REREGISTERED.Enum()
			s.Source = mesos.SOURCE_MASTER.Enum()
			m.sendStatus(s)
		}
		m.forward(a, t)
		if mt.kill && !mt.terminal {
			m.down(a.id, func(a *agent) { m.killTask(a, id, 0) })
		}
	}
	for _, id := range sortedKeys(a.ops) {
		m.forwardOp(a, a.ops[id])
	}
	if m.registry.draining[a.id] {
		m.killAllOn(ms, a.id)
	}
}

// plain is a status as the master repeats it: without uuid, so that it is not
// acknowledged (Mesos rule 46).
func plain(s mesos.TaskStatus) mesos.TaskStatus {
	s.UUID, s.Data = nil, nil
	return s
}

// replaces removes a disconnected agent of the same address. Its tasks are lost,
// also for a PARTITION_AWARE framework: the master does not say what it knows.
func (m *Model) replaces(ms *master, a *agent) {
	for _, id := range ms.ids() {
		if ma := ms.agents[id]; ma.machine == a.machine && id != a.id && ma.registered {
			m.trace("master: agent %s is removed: %s registers from its address", id, a.id)
			m.removeAgent(ms, id, mesos.TASK_LOST, mesos.REASON_AGENT_REMOVED)
			delete(m.registry.admitted, id)
		}
	}
}

// removeAgent forgets an agent; every task on it changes to st, also one whose end
// is not acknowledged, and likewise every operation.
func (m *Model) removeAgent(ms *master, id string, st mesos.TaskState, reason mesos.TaskStatus_Reason) {
	m.rescindAgent(id)
	for _, t := range ms.tasksOn(id) {
		delete(ms.tasks, t.id)
		s := plain(t.status)
		s.State, s.Reason, s.Source, s.Healthy = &st, &reason, mesos.SOURCE_MASTER.Enum(), nil
		s.Message = ptr("the agent was removed")
		m.sendStatus(s)
		if st == mesos.TASK_UNREACHABLE {
			ms.lost[t.id] = lostTask{agentID: id, status: s}
		}
	}
	for _, opID := range sortedKeys(ms.ops) {
		if op := ms.ops[opID]; op.agentID == id {
			delete(ms.ops, opID)
			m.operationLost(op, st)
		}
	}
	ms.dropExecutors(id)
	delete(ms.agents, id)
	if a := m.agents[id]; a != nil {
		a.unlink()
	}
	m.send(&sched.Event{Type: sched.Event_FAILURE, Failure: &sched.Event_Failure{AgentID: &mesos.AgentID{Value: id}}})
}

// operationLost says what is known of an operation on an agent that was removed.
func (m *Model) operationLost(op *masterOp, task mesos.TaskState) {
	var st mesos.OperationState
	switch task {
	case mesos.TASK_UNREACHABLE:
		st = mesos.OPERATION_UNREACHABLE
	case mesos.TASK_GONE_BY_OPERATOR:
		st = mesos.OPERATION_GONE_BY_OPERATOR
	default:
		return
	}
	m.sendOp(mesos.OperationStatus{OperationID: op.status.OperationID, State: st, AgentID: &mesos.AgentID{Value: op.agentID}})
}

// markUnreachable gives an agent up whose pings failed.
func (m *Model) markUnreachable(id string) {
	ms := m.master
	if ms == nil || ms.agents[id] == nil || !ms.agents[id].registered {
		return
	}
	m.trace("master: agent %s is unreachable", id)
	m.registry.unreachable[id] = true
	m.removeAgent(ms, id, mesos.TASK_UNREACHABLE, mesos.REASON_AGENT_REMOVED)
}

// disconnected is what the master does when an agent's connection closes.
func (m *Model) disconnected(a *agent) {
	if m.master == nil || m.master.agents[a.id] == nil {
		return
	}
	m.master.agents[a.id].connected = false
	m.rescindAgent(a.id)
}

// reconcileKnown lets an agent that registers again say what became of the
// tasks and operations that the master knows and it does not.
func (m *Model) reconcileKnown(ms *master, a *agent) {
	for _, t := range ms.tasksOn(a.id) {
		if a.tasks[t.id] != nil {
			continue
		}
		if t.terminal {
			// Acknowledged already, as far as the agent is concerned.
			delete(ms.tasks, t.id)
			continue
		}
		id, info := t.id, t.info
		m.down(a.id, func(a *agent) {
			if a.tasks[id] == nil {
				a.tasks[id] = &agentTask{info: info}
				m.agentUpdate(a, id, status(mesos.TASK_DROPPED, mesos.REASON_RECONCILIATION, "the task is not known to the agent"))
			}
		})
	}
	for _, id := range sortedKeys(ms.ops) {
		op := ms.ops[id]
		if op.agentID != a.id || a.ops[id] != nil {
			continue
		}
		if op.done {
			delete(ms.ops, id)
			continue
		}
		m.down(a.id, func(a *agent) {
			if a.ops[id] == nil {
				m.operationDropped(a, id)
			}
		})
	}
}

// taskStatus is an agent's update on its way through the master.
func (m *Model) taskStatus(ms *master, s, latest mesos.TaskStatus) {
	if t := ms.tasks[s.TaskID.Value]; t != nil {
		t.status, t.terminal = latest, terminal(latest.GetState())
	}
	m.sendStatus(s)
}

// usedOn is what tasks and executors occupy on an agent.
func (m *Model) usedOn(id string) bag {
	used := bag{}
	for _, t := range m.master.tasks { // a sum: the order does not matter
		if t.agentID == id && !t.terminal {
			used.addAll(t.used)
		}
	}
	for _, e := range m.master.executors {
		if e.agentID == id {
			used.addAll(e.used)
		}
	}
	return used
}
