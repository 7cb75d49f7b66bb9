package mesosmodel

import (
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// master is what one leading master believes.
type master struct {
	elected    time.Time
	known      int // agents that it expects back
	agents     map[string]*masterAgent
	tasks      map[string]*masterTask
	lost       map[string]lostTask // tasks on unreachable agents
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
}

type lostTask struct {
	agentID string
	since   time.Time
}

type masterOp struct {
	id, agentID string
	status      mesos.OperationStatus
	done        bool
}

func newMaster(now time.Time) *master {
	return &master{
		elected: now, agents: map[string]*masterAgent{}, tasks: map[string]*masterTask{}, lost: map[string]lostTask{},
		ops: map[string]*masterOp{}, offers: map[string]*offer{}, inverse: map[string]string{}, suppressed: map[string]bool{},
	}
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
	a.ready = true
	ma.registered, ma.connected, ma.total = true, true, a.machine.total.clone()
	m.trace("master: %s registered (unreachable before: %t, known: %t)", a.machine, returns, wasRegistered)
	m.rescindAgent(a.id)
	if wasRegistered {
		m.reconcileKnown(ms, a)
	}
	for _, id := range sortedKeys(a.tasks) {
		t := a.tasks[id]
		delete(ms.lost, id)
		mt := ms.tasks[id]
		if mt == nil {
			mt = &masterTask{id: id, agentID: a.id, info: t.info, used: taskBag(&t.info)}
			ms.tasks[id] = mt
		}
		mt.status, mt.terminal = t.status, t.terminal
		if mt.status.State == nil {
			mt.status = mesos.TaskStatus{TaskID: t.info.TaskID, State: mesos.TASK_STAGING.Enum(), AgentID: &mesos.AgentID{Value: a.id}}
		}
		if returns && !t.terminal {
			s := plain(mt.status)
			s.Reason = mesos.REASON_AGENT_REREGISTERED.Enum()
			s.Source = mesos.SOURCE_MASTER.Enum()
			m.sendStatus(s)
		}
		m.forward(a, t)
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

// replaces removes a disconnected agent of the same address: its tasks are
// gone for good as far as the master knows.
func (m *Model) replaces(ms *master, a *agent) {
	for _, id := range ms.ids() {
		if ma := ms.agents[id]; ma.machine == a.machine && id != a.id && ma.registered {
			m.trace("master: agent %s is removed: %s registers from its address", id, a.id)
			m.removeAgent(ms, id, mesos.TASK_GONE, mesos.REASON_AGENT_REMOVED)
			delete(m.registry.admitted, id)
		}
	}
}

// removeAgent forgets an agent; every task on it changes to st.
func (m *Model) removeAgent(ms *master, id string, st mesos.TaskState, reason mesos.TaskStatus_Reason) {
	m.rescindAgent(id)
	for _, t := range ms.tasksOn(id) {
		delete(ms.tasks, t.id)
		if t.terminal {
			continue
		}
		s := plain(t.status)
		s.State, s.Reason, s.Source, s.Healthy = &st, &reason, mesos.SOURCE_MASTER.Enum(), nil
		s.Message = ptr("the agent was removed")
		m.sendStatus(s)
		if st == mesos.TASK_UNREACHABLE {
			ms.lost[t.id] = lostTask{agentID: id, since: m.now}
		}
	}
	for _, opID := range sortedKeys(ms.ops) {
		if ms.ops[opID].agentID == id {
			delete(ms.ops, opID)
		}
	}
	delete(ms.agents, id)
	if a := m.agents[id]; a != nil {
		a.unlink()
	}
	m.send(&sched.Event{Type: sched.Event_FAILURE, Failure: &sched.Event_Failure{AgentID: &mesos.AgentID{Value: id}}})
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

// MarkGone declares an agent gone for good, as an operator does (Mesos rule 49).
func (m *Model) MarkGone(id string) {
	ms := m.master
	if ms == nil || m.registry.gone[id] {
		return
	}
	m.trace("master: agent %s is declared gone by an operator", id)
	m.registry.gone[id] = true
	delete(m.registry.unreachable, id)
	delete(m.registry.deactivated, id)
	delete(m.registry.draining, id)
	if ms.agents[id] != nil {
		a := m.agents[id]
		if a.ready {
			m.after(m.latency(a), func() { m.shutdownAgent(a) })
		}
		m.removeAgent(ms, id, mesos.TASK_GONE_BY_OPERATOR, mesos.REASON_AGENT_REMOVED_BY_OPERATOR)
		return
	}
	for _, t := range sortedKeys(ms.lost) {
		if ms.lost[t].agentID == id {
			delete(ms.lost, t)
		}
	}
}

// DeadIDs lists unreachable agent ids of machines that have another one now: they
// never come back, and an operator may declare them gone.
func (m *Model) DeadIDs() []string {
	var ids []string
	for _, id := range sortedKeys(m.agents) {
		if a := m.agents[id]; a.machine.agent != a && !m.registry.gone[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// Gone says whether an agent was declared gone.
func (m *Model) Gone(id string) bool { return m.registry.gone[id] }

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
				m.update(a, id, status(mesos.TASK_DROPPED, mesos.REASON_RECONCILIATION, "the task is not known to the agent"))
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
				m.operationDone(a, id, mesos.OPERATION_DROPPED, "the operation is not known to the agent")
			}
		})
	}
}

// taskStatus is an agent's update on its way through the master.
func (m *Model) taskStatus(ms *master, s, latest mesos.TaskStatus) {
	if t := ms.tasks[s.TaskID.Value]; t != nil {
		ended := t.terminal
		t.status, t.terminal = latest, terminal(latest.GetState())
		if t.terminal && !ended {
			m.send(&sched.Event{Type: sched.Event_FAILURE, Failure: &sched.Event_Failure{
				AgentID: &mesos.AgentID{Value: t.agentID}, ExecutorID: &mesos.ExecutorID{Value: t.id}, Status: ptr(int32(256)),
			}})
		}
	}
	m.sendStatus(s)
}

// Drain keeps an agent from being offered and kills its tasks (Mesos rule 49).
func (m *Model) Drain(id string) {
	if m.master == nil || m.master.agents[id] == nil || m.registry.gone[id] {
		return
	}
	m.trace("master: agent %s is drained", id)
	m.registry.deactivated[id], m.registry.draining[id] = true, true
	m.rescindAgent(id)
	m.killAllOn(m.master, id)
}

func (m *Model) killAllOn(ms *master, id string) {
	for _, t := range ms.tasksOn(id) {
		if !t.terminal {
			taskID := t.id
			m.down(id, func(a *agent) { m.killTask(a, taskID) })
		}
	}
}

// Reactivate ends a drain.
func (m *Model) Reactivate(id string) {
	delete(m.registry.deactivated, id)
	delete(m.registry.draining, id)
}

// Maintain plans maintenance of a host, and asks for it by an inverse offer;
// the zero duration ends the plan.
func (m *Model) Maintain(h *Machine, start time.Time, d time.Duration) {
	if d == 0 {
		delete(m.registry.maintenance, h.Hostname)
		return
	}
	u := &mesos.Unavailability{
		Start:    mesos.TimeInfo{Nanoseconds: start.UnixNano()},
		Duration: &mesos.DurationInfo{Nanoseconds: int64(d)},
	}
	m.registry.maintenance[h.Hostname] = u
	if m.master == nil {
		return
	}
	m.rescindAgent(h.AgentID())
	id := "inverse-" + h.AgentID()
	m.master.inverse[id] = h.AgentID()
	m.send(&sched.Event{Type: sched.Event_INVERSE_OFFERS, InverseOffers: &sched.Event_InverseOffers{InverseOffers: []mesos.InverseOffer{{
		OfferID: mesos.OfferID{Value: id}, AgentID: &mesos.AgentID{Value: h.AgentID()}, Unavailability: *u,
		FrameworkID: mesos.FrameworkID{Value: m.frameworkID},
	}}}})
}

// AgentView is one agent as GET_AGENTS shows it.
type AgentView struct {
	ID                           string
	Machine                      *Machine
	Registered, Active, Draining bool
	// Disconnected: the connection is closed, and Total is what it last said.
	Disconnected     bool
	Total, Allocated []mesos.Resource
}

// Agents is the operator API's GET_AGENTS; ok is false while there is no master.
func (m *Model) Agents() (views []AgentView, ok bool) {
	if m.master == nil {
		return nil, false
	}
	for _, id := range m.master.ids() {
		ma := m.master.agents[id]
		v := AgentView{ID: id, Machine: ma.machine, Registered: ma.registered}
		if ma.registered {
			v.Active = ma.connected && !m.registry.deactivated[id]
			v.Draining = m.registry.draining[id]
			v.Disconnected = !ma.connected && !m.registry.deactivated[id]
			v.Total = ma.total.resources()
			v.Allocated = m.usedOn(id).resources()
		}
		views = append(views, v)
	}
	return views, true
}

// usedOn is what tasks occupy on an agent.
func (m *Model) usedOn(id string) bag {
	used := bag{}
	for _, t := range m.master.tasks { // a sum: the order does not matter
		if t.agentID == id && !t.terminal {
			used.addAll(t.used)
		}
	}
	return used
}

// Idle says whether an agent has neither tasks nor unacknowledged words.
func (h *Machine) Idle() bool {
	return len(h.containers) == 0 && h.agent != nil && len(h.agent.tasks) == 0 && len(h.agent.ops) == 0
}
