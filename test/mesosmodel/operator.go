package mesosmodel

import (
	"fmt"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

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
		if l := ms.lost[t]; l.agentID == id {
			delete(ms.lost, t)
			l.status.State, l.status.Reason = mesos.TASK_GONE_BY_OPERATOR.Enum(), mesos.REASON_AGENT_REMOVED_BY_OPERATOR.Enum()
			m.sendStatus(l.status)
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
			m.down(id, func(a *agent) { m.killTask(a, taskID, mesos.REASON_AGENT_DRAINING) })
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
		FrameworkID: mesos.FrameworkID{Value: m.framework.id},
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

// Idle says whether an agent has neither tasks nor unacknowledged words.
func (h *Machine) Idle() bool {
	return len(h.containers) == 0 && h.agent != nil && len(h.agent.tasks) == 0 && len(h.agent.executors) == 0 && len(h.agent.ops) == 0
}

// SetQuota limits what a role consumes, in thousandths by resource name; nil is
// no limit. Offers that the role holds are taken back (Mesos rule 51).
func (m *Model) SetQuota(role string, limits map[string]int64) {
	if limits == nil {
		delete(m.quota, role)
		return
	}
	m.quota[role] = limits
	if m.master == nil {
		return
	}
	for _, id := range sortedKeys(m.master.offers) {
		if m.master.offers[id].role == role {
			m.rescind(id)
		}
	}
}

// Destroy and Unreserve are the operator's own DESTROY_VOLUMES and
// UNRESERVE_RESOURCES. They take back the offers that hold what they need.
func (m *Model) Destroy(agentID string, volumes ...mesos.Resource) error {
	return m.operate(agentID, mesos.Offer_Operation{
		Type: mesos.Offer_Operation_DESTROY, Destroy: &mesos.Offer_Operation_Destroy{Volumes: volumes},
	})
}

func (m *Model) Unreserve(agentID string, rs ...mesos.Resource) error {
	return m.operate(agentID, mesos.Offer_Operation{
		Type: mesos.Offer_Operation_UNRESERVE, Unreserve: &mesos.Offer_Operation_Unreserve{Resources: rs},
	})
}

func (m *Model) operate(agentID string, op mesos.Offer_Operation) error {
	if m.master == nil || m.master.agents[agentID] == nil || !m.master.agents[agentID].connected {
		return fmt.Errorf("no such agent: %s", agentID)
	}
	a := m.master.agents[agentID]
	m.rescindAgent(agentID)
	conv, err := m.convert(m.master, agentID, "", m.freeOn(a), &op)
	if err != nil {
		return fmt.Errorf("409: %w", err)
	}
	m.convey(a, conv)
	return nil
}
