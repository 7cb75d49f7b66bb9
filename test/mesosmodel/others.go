package mesosmodel

import (
	"fmt"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// Operate is the operator API's DESTROY_VOLUMES and UNRESERVE_RESOURCES: offers that
// hold the resources are rescinded, and what a task uses is refused. No error means
// that the master took it (202), not that the agent has it.
func (m *Model) Operate(agentID string, destroy, unreserve []mesos.Resource) error {
	ms := m.master
	if ms == nil {
		return fmt.Errorf("503: the master has not finished its recovery")
	}
	a := ms.agents[agentID]
	if a == nil || !a.registered {
		return fmt.Errorf("400: No agent found with specified ID")
	}
	m.rescindAgent(agentID)
	ops := []mesos.Offer_Operation{}
	if len(destroy) > 0 {
		ops = append(ops, mesos.Offer_Operation{Type: mesos.Offer_Operation_DESTROY, Destroy: &mesos.Offer_Operation_Destroy{Volumes: destroy}})
	}
	if len(unreserve) > 0 {
		ops = append(ops, mesos.Offer_Operation{Type: mesos.Offer_Operation_UNRESERVE, Unreserve: &mesos.Offer_Operation_Unreserve{Resources: unreserve}})
	}
	for i := range ops {
		conv, err := m.convert(ms, agentID, "", m.freeOn(a), &ops[i])
		if err != nil {
			return fmt.Errorf("409: %w", err)
		}
		m.trace("operator API: %s on %s", ops[i].Type, agentID)
		a.total.subtract(conv.from)
		a.total.addAll(conv.to)
		m.down(agentID, func(a *agent) { m.apply(a, conv) })
	}
	return nil
}

// Others reserve resources on a machine, and make volumes of them: another framework
// in the role, or an operator. It answers false when they are not free there, or the
// agent is not connected.
func (m *Model) Others(h *Machine, reserved []mesos.Resource) bool {
	conv := &operation{from: bag{}, to: bag{}}
	for _, r := range reserved {
		plain := r
		if volumeOf(&r) != "" {
			plain = unmade(r)
		}
		plain = bare(plain)
		conv.from.add(&plain)
		conv.to.add(&r)
	}
	return m.turn(h, conv)
}

// OthersLeave is the reverse.
func (m *Model) OthersLeave(h *Machine, reserved []mesos.Resource) bool {
	conv := &operation{from: bag{}, to: bag{}}
	for _, r := range reserved {
		conv.from.add(&r)
		if volumeOf(&r) != "" {
			r = unmade(r)
		}
		plain := bare(r)
		conv.to.add(&plain)
	}
	return m.turn(h, conv)
}

func (m *Model) turn(h *Machine, conv *operation) bool {
	ms, a := m.master, h.agent
	if ms == nil || a == nil || !a.ready || ms.agents[a.id] == nil {
		return false
	}
	m.rescindAgent(a.id)
	ma := ms.agents[a.id]
	if !m.freeOn(ma).contains(conv.from) || !h.total.contains(conv.from) {
		return false
	}
	m.trace("others on %s: %s becomes %s", h, conv.from, conv.to)
	for _, total := range []bag{ma.total, h.total} {
		total.subtract(conv.from)
		total.addAll(conv.to)
	}
	for _, id := range conv.from.volumes() {
		delete(h.volumes, id)
	}
	for _, id := range conv.to.volumes() {
		h.volumes[id] = &Volume{ID: id, Data: true}
	}
	return true
}
