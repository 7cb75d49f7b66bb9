package scenario

import (
	"maps"
	"slices"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/berthdata/berth/scheduler"
)

// update is what an agent tells of a task: with a uuid, and again until it is
// acknowledged, the next only then (Mesos rule 40).
func (m *master) update(t *task, s mesos.TaskState, healthy bool, message string) {
	t.state, t.healthy = s, healthy
	st := mesos.TaskStatus{
		TaskID: t.info.TaskID, AgentID: &mesos.AgentID{Value: t.agent.id}, State: s.Enum(),
		UUID: m.uuid(), Data: t.data, Source: mesos.SOURCE_EXECUTOR.Enum(),
	}
	if s == mesos.TASK_RUNNING {
		st.Healthy = &healthy
	}
	if message != "" {
		st.Message = &message
	}
	t.updates = append(t.updates, st)
	if len(t.updates) == 1 && t.agent.connected && t.agent.registered {
		m.emit(scheduler.TaskUpdated{Status: st})
	}
}

// resend repeats every update that waits for an acknowledgement.
func (m *master) resend() {
	for _, id := range slices.Sorted(maps.Keys(m.tasks)) {
		if t := m.tasks[id]; len(t.updates) > 0 && t.agent.connected && t.agent.registered {
			m.emit(scheduler.TaskUpdated{Status: t.updates[0]})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.ops)) {
		op := m.ops[id]
		if a := op.agent; a.connected && a.registered {
			m.emit(scheduler.OperationUpdated{Status: op.status})
		}
	}
}

func (m *master) acknowledge(c *sched.Call_Acknowledge) {
	t := m.tasks[c.TaskID.Value]
	if t == nil || len(t.updates) == 0 || string(t.updates[0].UUID) != string(c.UUID) {
		return // a repeated one
	}
	if t.agent.id != c.AgentID.Value {
		m.fail("an update of %s, on agent %s, was acknowledged to agent %s", c.TaskID.Value, t.agent.id, c.AgentID.Value)
	}
	if !t.agent.connected {
		return
	}
	t.updates = t.updates[1:]
	if len(t.updates) > 0 {
		m.emit(scheduler.TaskUpdated{Status: t.updates[0]})
	}
}

func (m *master) acknowledgeOperation(c *sched.Call_AcknowledgeOperationStatus) {
	op := m.ops[c.OperationID.Value]
	if op == nil || string(op.status.UUID.Value) != string(c.UUID) {
		return // a repeated one
	}
	if op.agent.id != c.AgentID.GetValue() {
		m.fail("operation %s of agent %s was acknowledged to agent %q (Mesos rule 36)", c.OperationID.Value, op.agent.id, c.AgentID.GetValue())
	}
	delete(m.ops, c.OperationID.Value)
}

func (m *master) kill(c *sched.Call_Kill) {
	if t := m.tasks[c.TaskID.Value]; t != nil && t.arrived && t.agent.connected && t.agent.registered && live(t.state) {
		m.update(t, mesos.TASK_KILLED, false, "killed")
	}
}

// master's own word for a task, without uuid (Mesos rule 46). Silence while
// the agent has not come back after a failover (rule 45).
func (m *master) answer(taskID, agentID string) {
	st := mesos.TaskStatus{
		TaskID: mesos.TaskID{Value: taskID}, Source: mesos.SOURCE_MASTER.Enum(), Reason: mesos.REASON_RECONCILIATION.Enum(),
	}
	if agentID != "" {
		st.AgentID = &mesos.AgentID{Value: agentID}
	}
	a, t := m.agents[agentID], m.tasks[taskID]
	switch {
	case a == nil:
		st.State = mesos.TASK_UNKNOWN.Enum()
	case a.gone:
		st.State = mesos.TASK_GONE_BY_OPERATOR.Enum()
	case !a.registered && a.connected:
		return
	case !a.registered:
		st.State = mesos.TASK_UNREACHABLE.Enum()
	case t == nil && m.isWaiting(taskID):
		st.State = mesos.TASK_STAGING.Enum()
	case t == nil || t.agent != a || !live(t.state) && len(t.updates) == 0:
		st.State = mesos.TASK_GONE.Enum()
	default:
		st.State = t.state.Enum()
		if len(t.updates) > 0 {
			st.State = t.updates[0].State // what the master was told so far
		}
		if st.GetState() == mesos.TASK_RUNNING {
			st.Healthy = &t.healthy
		}
	}
	m.emit(scheduler.TaskUpdated{Status: st})
}

// isWaiting: the master knows a task already whose ACCEPT is not authorised yet.
func (m *master) isWaiting(taskID string) bool {
	for _, p := range m.waiting {
		for _, op := range p.call.Operations {
			for _, info := range op.GetLaunch().GetTaskInfos() {
				if p.invalid == nil && info.TaskID.Value == taskID {
					return true
				}
			}
		}
	}
	return false
}

func (m *master) reconcile(c *sched.Call_Reconcile) {
	if len(c.Tasks) == 0 {
		for _, id := range slices.Sorted(maps.Keys(m.tasks)) {
			t := m.tasks[id]
			if t.agent.registered && (live(t.state) || len(t.updates) > 0) {
				m.answer(id, t.agent.id)
			}
		}
		return
	}
	for _, q := range c.Tasks {
		if q.AgentID == nil {
			m.fail("%s was asked for without its agent (Mesos rule 44)", q.TaskID.Value)
		}
		m.answer(q.TaskID.Value, q.AgentID.GetValue())
	}
}

func (m *master) reconcileOperations(c *sched.Call_ReconcileOperations) {
	for _, q := range c.Operations {
		st := mesos.OperationStatus{OperationID: &q.OperationID, AgentID: q.AgentID, State: mesos.OPERATION_UNKNOWN}
		a := m.agents[q.AgentID.GetValue()]
		switch op := m.ops[q.OperationID.Value]; {
		case a != nil && a.gone:
			st.State = mesos.OPERATION_GONE_BY_OPERATOR
		case a != nil && !a.registered && a.connected:
			st.State = mesos.OPERATION_RECOVERING
		case a != nil && !a.registered:
			st.State = mesos.OPERATION_UNREACHABLE
		case op != nil:
			st.State, st.Message = op.status.State, op.status.Message
		}
		m.emit(scheduler.OperationUpdated{Status: st})
	}
}

// partition cuts an agent off; the master does not know yet.
func (m *master) partition(a *agent) { a.connected = false }

// remove is the master noticing that an agent is away.
func (m *master) remove(a *agent) {
	a.registered = false
	for _, id := range slices.Sorted(maps.Keys(m.offers)) {
		if m.offers[id].agent == a {
			delete(m.offers, id)
			m.emit(scheduler.OfferRescinded{OfferID: id})
		}
	}
	for _, t := range m.tasksOn(a) {
		if live(t.state) {
			m.tell(t, mesos.TASK_UNREACHABLE, mesos.REASON_AGENT_REMOVED)
		}
	}
	m.emit(scheduler.AgentFailed{AgentID: a.id})
}

// tell is the master's own word, without uuid.
func (m *master) tell(t *task, s mesos.TaskState, reason mesos.TaskStatus_Reason) {
	st := mesos.TaskStatus{
		TaskID: t.info.TaskID, AgentID: &mesos.AgentID{Value: t.agent.id}, State: s.Enum(),
		Reason: reason.Enum(), Source: mesos.SOURCE_MASTER.Enum(),
	}
	m.emit(scheduler.TaskUpdated{Status: st})
}

func (m *master) tasksOn(a *agent) []*task {
	var list []*task
	for _, id := range slices.Sorted(maps.Keys(m.tasks)) {
		if m.tasks[id].agent == a {
			list = append(list, m.tasks[id])
		}
	}
	return list
}

// comeBack: the same agent registers again, with what runs on it.
func (m *master) comeBack(a *agent) {
	a.connected, a.registered = true, true
	for _, t := range m.tasksOn(a) {
		switch {
		case !live(t.state):
		case !t.arrived:
			t.state = mesos.TASK_DROPPED
			m.tell(t, mesos.TASK_DROPPED, mesos.REASON_AGENT_REREGISTERED)
		default:
			m.tell(t, t.state, mesos.REASON_AGENT_REREGISTERED)
		}
	}
	m.resend()
}

// rename: the machine comes back as a new agent, without its tasks but with its
// reservations and volumes (Mesos rule 48).
func (m *master) rename(a *agent, id string) *agent {
	if a.registered {
		m.remove(a)
	}
	for _, t := range m.tasksOn(a) {
		t.state, t.updates = mesos.TASK_LOST, nil
	}
	fresh := &agent{id: id, hostname: a.hostname, ip: a.ip, total: a.total, connected: true, registered: true}
	a.connected, a.registered, a.total = false, false, newLedger()
	m.agents[id] = fresh
	// What the old agent had not told yet is lost with it.
	maps.DeleteFunc(m.ops, func(_ string, op *operation) bool { return op.agent == a })
	return fresh
}

// declareGone is the operator's word that an agent never comes back.
func (m *master) declareGone(a *agent) {
	a.gone, a.registered, a.connected = true, false, false
	for _, t := range m.tasksOn(a) {
		if live(t.state) {
			t.state = mesos.TASK_GONE_BY_OPERATOR
			m.tell(t, mesos.TASK_GONE_BY_OPERATOR, mesos.REASON_AGENT_REMOVED_BY_OPERATOR)
		}
		t.updates = nil
	}
	m.emit(scheduler.AgentFailed{AgentID: a.id})
	a.total = newLedger()
}

// failover: a new master leads, and no agent has come back to it yet.
func (m *master) failover() scheduler.Event {
	m.subscribed = false
	m.out, m.waiting, m.slow = nil, nil, false
	clear(m.offers)
	for _, a := range m.agents {
		if !a.gone && a.connected {
			a.registered = false
		}
	}
	return scheduler.Disconnected{Reason: "the master went away"}
}
