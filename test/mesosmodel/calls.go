package mesosmodel

import (
	"fmt"
	"slices"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// Call takes one call of a subscription. An error is what the HTTP API answers
// instead of 202: no master, or not the present subscription (Mesos rule 1).
func (m *Model) Call(stream string, c *sched.Call) error {
	switch {
	case m.master == nil:
		return fmt.Errorf("503: the master has not finished its recovery")
	case stream != m.stream || stream == "":
		return fmt.Errorf("400: stream %q is not the present subscription", stream)
	}
	switch c.Type {
	case sched.Call_ACCEPT:
		m.accept(c.GetAccept())
	case sched.Call_DECLINE:
		m.declineEach(c.GetDecline())
	case sched.Call_REVIVE:
		m.revive(m.rolesOf(c.GetRevive().Roles))
	case sched.Call_SUPPRESS:
		for _, role := range m.rolesOf(c.GetSuppress().Roles) {
			m.master.suppressed[role] = true
		}
	case sched.Call_KILL:
		m.killCall(c.GetKill())
	case sched.Call_RECONCILE:
		m.reconcile(c.GetReconcile())
	case sched.Call_RECONCILE_OPERATIONS:
		m.reconcileOperations(c.GetReconcileOperations())
	case sched.Call_ACKNOWLEDGE:
		m.acknowledge(c.GetAcknowledge())
	case sched.Call_ACKNOWLEDGE_OPERATION_STATUS:
		m.acknowledgeOperation(c.GetAcknowledgeOperationStatus())
	case sched.Call_MESSAGE:
		m.message(c.GetMessage())
	case sched.Call_ACCEPT_INVERSE_OFFERS:
		for _, id := range c.GetAcceptInverseOffers().InverseOfferIDs {
			delete(m.master.inverse, id.Value)
		}
	case sched.Call_DECLINE_INVERSE_OFFERS:
		for _, id := range c.GetDeclineInverseOffers().InverseOfferIDs {
			delete(m.master.inverse, id.Value)
		}
	default:
		return fmt.Errorf("400: %s is not modelled", c.Type)
	}
	return nil
}

// rolesOf reads the roles of a call: none means all.
func (m *Model) rolesOf(named []string) []string {
	if len(named) == 0 {
		return m.framework.roles
	}
	return named
}

// revive ends suppression and filters of roles (Mesos rule 22).
func (m *Model) revive(roles []string) {
	for _, role := range roles {
		delete(m.master.suppressed, role)
	}
	for _, a := range m.master.agents {
		a.filters = slices.DeleteFunc(a.filters, func(f filter) bool { return slices.Contains(roles, f.role) })
	}
}

// declineEach takes offers of any agents; invalid ones are ignored.
func (m *Model) declineEach(c *sched.Call_Decline) {
	for _, id := range c.OfferIDs {
		if o := m.master.offers[id.Value]; o != nil {
			delete(m.master.offers, id.Value)
			m.decline(o.agentID, o.role, o.has, c.Filters)
		}
	}
}

func (m *Model) killCall(k *sched.Call_Kill) {
	id := k.TaskID.Value
	t := m.master.tasks[id]
	if t == nil {
		// What the master says of a task that it does not know (Mesos rule 46).
		m.answer(id, k.GetAgentID().GetValue())
		return
	}
	if !t.terminal {
		t.kill = true
		m.down(t.agentID, func(a *agent) { m.killTask(a, id, 0) })
	}
}

func (m *Model) reconcile(c *sched.Call_Reconcile) {
	if len(c.Tasks) == 0 {
		// Implicit: every task that the master knows.
		for _, id := range sortedKeys(m.master.tasks) {
			m.tell(m.master.tasks[id].status, mesos.REASON_RECONCILIATION)
		}
		return
	}
	for _, t := range c.Tasks {
		m.answer(t.TaskID.Value, t.GetAgentID().GetValue())
	}
}

// answer is one explicit reconciliation (Mesos rules 44 to 46).
func (m *Model) answer(id, agentID string) {
	ms := m.master
	if t := ms.tasks[id]; t != nil {
		m.tell(t.status, mesos.REASON_RECONCILIATION)
		return
	}
	st, ok := m.unknown(agentID)
	if !ok {
		return // not back yet: silence (rule 45)
	}
	s := mesos.TaskStatus{TaskID: mesos.TaskID{Value: id}, State: &st, Source: mesos.SOURCE_MASTER.Enum()}
	if agentID != "" {
		s.AgentID = &mesos.AgentID{Value: agentID}
	}
	m.tell(s, mesos.REASON_RECONCILIATION)
}

// unknown is what the master says of a task that it does not know, by the agent
// that it is asked with; false: nothing.
func (m *Model) unknown(agentID string) (mesos.TaskState, bool) {
	ms := m.master
	switch a := ms.agents[agentID]; {
	case m.registry.gone[agentID]:
		return mesos.TASK_GONE_BY_OPERATOR, true
	case m.registry.unreachable[agentID]:
		return mesos.TASK_UNREACHABLE, true
	case a != nil && a.registered:
		return mesos.TASK_GONE, true
	case a != nil || agentID == "" && ms.recovering > 0:
		return 0, false
	default:
		return mesos.TASK_UNKNOWN, true
	}
}

// Over says whether the master would answer, asked now, that a task surely does
// not run any more.
func (m *Model) Over(taskID, agentID string) bool {
	if m.master == nil {
		return false
	}
	if t := m.master.tasks[taskID]; t != nil {
		return t.terminal
	}
	st, ok := m.unknown(agentID)
	return ok && terminal(st)
}

// tell repeats what the master knows of a task.
func (m *Model) tell(s mesos.TaskStatus, why mesos.TaskStatus_Reason) {
	s = plain(s)
	s.Reason, s.Source = &why, mesos.SOURCE_MASTER.Enum()
	m.sendStatus(s)
}

// reconcileOperations answers for each operation (Mesos rule 37).
func (m *Model) reconcileOperations(c *sched.Call_ReconcileOperations) {
	ms := m.master
	for _, o := range c.Operations {
		if op := ms.ops[o.OperationID.Value]; op != nil {
			s := op.status
			s.UUID = nil // nothing to acknowledge
			m.sendOp(s)
			continue
		}
		agentID := o.GetAgentID().GetValue()
		st := mesos.OPERATION_UNKNOWN
		a := ms.agents[agentID]
		switch {
		case m.registry.gone[agentID]:
			st = mesos.OPERATION_GONE_BY_OPERATOR
		case m.registry.unreachable[agentID]:
			st = mesos.OPERATION_UNREACHABLE
		case a != nil && !a.registered:
			st = mesos.OPERATION_RECOVERING
		}
		m.sendOp(mesos.OperationStatus{
			OperationID: &mesos.OperationID{Value: o.OperationID.Value}, State: st, AgentID: o.AgentID,
			Message: ptr("reconciliation"),
		})
	}
}

func (m *Model) acknowledge(c *sched.Call_Acknowledge) {
	id := c.TaskID.Value
	if t := m.master.tasks[id]; t != nil && t.terminal && string(t.status.UUID) == string(c.UUID) {
		delete(m.master.tasks, id)
	}
	m.down(c.AgentID.Value, func(a *agent) { m.acknowledged(a, id, c.UUID) })
}

func (m *Model) acknowledgeOperation(c *sched.Call_AcknowledgeOperationStatus) {
	id := c.OperationID.Value
	if op := m.master.ops[id]; op != nil && op.done && op.status.UUID != nil && string(op.status.UUID.Value) == string(c.UUID) {
		delete(m.master.ops, id)
	}
	m.down(c.GetAgentID().GetValue(), func(a *agent) {
		if o := a.ops[id]; o != nil && string(o.status.UUID.Value) == string(c.UUID) {
			delete(a.ops, id)
		}
	})
}

// message passes data to an executor; nobody promises that it arrives.
func (m *Model) message(c *sched.Call_Message) {
	if m.chance(m.knobs.LoseMessages) {
		return
	}
	m.down(c.AgentID.Value, func(a *agent) {
		if t := a.tasks[c.ExecutorID.Value]; t != nil && t.c != nil && t.c.Running {
			m.work.Message(t.c, c.Data)
		}
	})
}
