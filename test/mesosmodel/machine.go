package mesosmodel

import (
	"fmt"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// Machine is one host with what is really on it.
type Machine struct {
	Hostname   string
	Address    string
	Attributes []mesos.Attribute

	// total is what the agent has checkpointed: with reservations and volumes.
	total      bag
	volumes    map[string]*Volume
	containers map[string]*Container // by task id

	agent     *agent // the newest agent process's identity; nil before the first
	reachable bool   // the network between it and the master works
	// Lag is how much longer messages between it and the master take, at most.
	Lag time.Duration
}

// Volume is one persistent volume with the data on it.
type Volume struct {
	ID string
	// Data: a node has run on it. Marker is what the node left there.
	Data   bool
	Marker string
	// Holder is the container whose process has it locked, nil when none.
	Holder *Container
}

// Container is one executor with its task's process.
type Container struct {
	Task    mesos.TaskInfo
	AgentID string
	Machine *Machine
	// VolumeID is the task's volume, "" for none.
	VolumeID string
	// Live until the process is gone; Running once it holds its volume.
	Live, Running bool
	// Orphan: its agent is gone and a new one does not know it.
	Orphan  bool
	Healthy bool
	killing bool
	backlog []mesos.TaskStatus // while the agent is down
}

// ID is the container's task id.
func (c *Container) ID() string { return c.Task.TaskID.Value }

// Volume is the container's volume on its machine, nil when it has none.
func (c *Container) Volume() *Volume { return c.Machine.volumes[c.VolumeID] }

// AddMachine adds a host and starts its agent.
func (m *Model) AddMachine(hostname, address string, attributes []mesos.Attribute, resources []mesos.Resource) *Machine {
	h := &Machine{
		Hostname: hostname, Address: address, Attributes: attributes, total: bagOf(resources),
		volumes: map[string]*Volume{}, containers: map[string]*Container{}, reachable: true,
	}
	m.machines = append(m.machines, h)
	m.newAgent(h)
	return h
}

// Machines lists all hosts in the order in which they were added.
func (m *Model) Machines() []*Machine { return m.machines }

// Containers lists a host's live containers by task id.
func (h *Machine) Containers() []*Container {
	var live []*Container
	for _, id := range sortedKeys(h.containers) {
		if c := h.containers[id]; c.Live {
			live = append(live, c)
		}
	}
	return live
}

// Volumes lists a host's volumes by id.
func (h *Machine) Volumes() []*Volume {
	out := make([]*Volume, 0, len(h.volumes))
	for _, id := range sortedKeys(h.volumes) {
		out = append(out, h.volumes[id])
	}
	return out
}

// Total is everything on the host in Mesos' messages.
func (h *Machine) Total() []mesos.Resource { return h.total.resources() }

// Reserved calls do for each kind of reserved resource on the host, in no fixed
// order: with its amount if it is a scalar, and how many ports there are if it is
// not. The resource is without amount, and not to be changed.
func (h *Machine) Reserved(do func(r *mesos.Resource, scalar float64, ports uint64)) {
	for _, p := range h.total {
		if len(p.like.Reservations) == 0 {
			continue
		}
		n := uint64(0)
		for _, r := range p.ports {
			n += r.End - r.Begin + 1
		}
		do(p.like, float64(p.milli)/1000, n)
	}
}

// AgentID is the id of the host's present or last agent.
func (h *Machine) AgentID() string {
	if h.agent == nil {
		return ""
	}
	return h.agent.id
}

// IDsOf lists all agent ids that a host ever had.
func (m *Model) IDsOf(h *Machine) []string {
	var ids []string
	for _, id := range sortedKeys(m.agents) {
		if m.agents[id].machine == h {
			ids = append(ids, id)
		}
	}
	return ids
}

// Up says whether the agent process runs, Reachable whether the network works.
func (h *Machine) Up() bool        { return h.agent != nil && h.agent.up }
func (h *Machine) Reachable() bool { return h.reachable }

func (h *Machine) String() string { return fmt.Sprintf("%s (%s)", h.Hostname, h.AgentID()) }

// liveAgents are the agent processes that run, in order of their machines.
func (m *Model) liveAgents() []*agent {
	var out []*agent
	for _, h := range m.machines {
		if h.agent != nil && h.agent.up {
			out = append(out, h.agent)
		}
	}
	return out
}

// StopAgent kills the agent process; containers go on. The master sees the
// connection close at once, and gives the agent up after the ping timeout.
func (m *Model) StopAgent(h *Machine) {
	a := h.agent
	if a == nil || !a.up {
		return
	}
	m.trace("%s: the agent stops", h)
	a.up = false
	a.unlink()
	if h.reachable {
		m.disconnected(a)
	}
	m.pingsFail(a)
	stopped := a.starts
	m.after(recoveryTimeout, func() {
		if a.starts != stopped || a.up {
			return
		}
		for _, c := range h.Containers() {
			if c.AgentID == a.id {
				m.vanish(c) // the executor waited too long for its agent
			}
		}
		clear(a.executors)
	})
}

// StartAgent starts the agent process again under its id, with its executors.
func (m *Model) StartAgent(h *Machine) {
	a := h.agent
	if a == nil || a.up || a.terminated {
		return
	}
	m.trace("%s: the agent starts", h)
	a.up = true
	a.starts++
	m.recover(a)
	m.after(m.between(time.Second, 3*time.Second), func() { m.flush(h) })
	m.after(m.between(500*time.Millisecond, 3*time.Second), func() { m.reregister(a) })
}

// recover finds the executors of an agent that starts again; those that died
// meanwhile have failed their tasks.
func (m *Model) recover(a *agent) {
	for _, id := range sortedKeys(a.tasks) {
		if _, runs := a.executors[id]; !runs && !a.tasks[id].terminal {
			m.executorLost(a, id, "the executor did not survive")
		}
	}
}

// Reboot ends everything on the host; the agent comes back later by StartAgent
// under its id (Mesos rule 48), and its tasks have failed.
func (m *Model) Reboot(h *Machine) {
	m.trace("%s: reboots", h)
	if h.agent.up {
		m.StopAgent(h)
	}
	for _, c := range h.Containers() {
		m.vanish(c)
	}
	clear(h.agent.executors)
}

// LoseIdentity stops the agent and makes it forget who it was: it comes back
// under a new id, with the reservations and volumes of the host. Containers
// that still run become orphans of which nobody knows, until they end.
func (m *Model) LoseIdentity(h *Machine, orphansLive time.Duration) {
	m.trace("%s: the agent loses its identity", h)
	if h.agent.up {
		m.StopAgent(h)
	}
	for _, c := range h.Containers() {
		c.Orphan = true
		m.after(orphansLive, func() { m.end(c, mesos.TASK_KILLED, 0, "killed") })
	}
	h.agent.terminated = true
}

// NewAgent starts an agent with a new id on a host that lost its identity, or
// whose agent was declared gone.
func (m *Model) NewAgent(h *Machine) {
	if h.agent != nil && !h.agent.terminated {
		return
	}
	m.newAgent(h)
}

func (m *Model) newAgent(h *Machine) {
	a := &agent{
		id: fmt.Sprintf("agent-%d", m.number()), machine: h, up: true,
		tasks: map[string]*agentTask{}, executors: map[string]agentExecutor{}, ops: map[string]*agentOp{},
	}
	h.agent = a
	m.agents[a.id] = a
	m.trace("%s: a new agent starts", h)
	m.after(m.between(100*time.Millisecond, time.Second), func() { m.reregister(a) })
}

// Partition cuts a host off the master; everything on it goes on.
func (m *Model) Partition(h *Machine) {
	if !h.reachable {
		return
	}
	m.trace("%s: partitioned", h)
	h.reachable = false
	if h.agent.up {
		h.agent.unlink()
		m.pingsFail(h.agent)
	}
}

// Rejoin ends a partition.
func (m *Model) Rejoin(h *Machine) {
	if h.reachable {
		return
	}
	m.trace("%s: reachable again", h)
	h.reachable = true
	if a := h.agent; a.up {
		m.after(m.between(100*time.Millisecond, 2*time.Second), func() { m.reregister(a) })
	}
}

// pingsFail gives the agent up when it has not come back in time.
func (m *Model) pingsFail(a *agent) {
	gen := a.gen
	m.after(m.between(pingTimeout-15*time.Second, pingTimeout), func() {
		if a.gen == gen {
			m.markUnreachable(a.id)
		}
	})
}

// Crash ends a container's process by itself.
func (m *Model) Crash(c *Container, message string) {
	m.end(c, mesos.TASK_FAILED, 0, message)
}

// LoseExecutor ends an executor, and its node with it, before it could say anything:
// the agent says what became of the task. status is what its process ends with, as
// wait(2) has it.
func (m *Model) LoseExecutor(c *Container, status int32) {
	if !c.Live {
		return
	}
	m.trace("%s: the executor of %s dies", c.Machine.Hostname, c.ID())
	m.vanish(c)
	a := m.agents[c.AgentID]
	switch {
	case c.Orphan:
	case a.up:
		m.executorLost(a, c.ID(), "the executor died")
		m.executorExited(a, c.ID(), status)
	default:
		delete(a.executors, c.ID())
	}
}

// CopyDisks adds a host with a copy of another one's disks, as from a restored
// image: the same reservations and volumes with the same data, under an agent id
// of its own.
func (m *Model) CopyDisks(from *Machine, hostname, address string, attributes []mesos.Attribute) *Machine {
	h := m.AddMachine(hostname, address, attributes, from.total.resources())
	for id, v := range from.volumes {
		h.volumes[id] = &Volume{ID: id, Data: v.Data, Marker: v.Marker}
	}
	m.trace("%s: has a copy of the disks of %s", h, from)
	return h
}

// MachineOf is the host of an agent id, nil of an unknown one.
func (m *Model) MachineOf(agentID string) *Machine {
	if a := m.agents[agentID]; a != nil {
		return a.machine
	}
	return nil
}

// vanish ends a process without a word to anybody.
func (m *Model) vanish(c *Container) {
	if !c.Live {
		return
	}
	c.Live, c.Running, c.Healthy, c.backlog = false, false, false, nil
	if v := c.Volume(); v != nil && v.Holder == c {
		v.Holder = nil
	}
	delete(c.Machine.containers, c.ID())
	m.work.Stopped(c)
}

// end stops a process and reports it.
func (m *Model) end(c *Container, st mesos.TaskState, reason mesos.TaskStatus_Reason, message string) {
	if !c.Live {
		return
	}
	backlog := c.backlog
	m.trace("%s: %s ends as %s: %s", c.Machine.Hostname, c.ID(), st, message)
	m.vanish(c)
	c.backlog = backlog
	s := mesos.TaskStatus{State: &st, Message: &message}
	if reason != 0 {
		s.Reason = &reason
	}
	m.report(c, s)
}

// Healthy reports that the process answers, or no longer does.
func (m *Model) Healthy(c *Container, healthy bool, data []byte, message string) {
	if !c.Live || !c.Running {
		return
	}
	c.Healthy = healthy
	if v := c.Volume(); v != nil && healthy {
		v.Data = true
	}
	s := mesos.TaskStatus{State: mesos.TASK_RUNNING.Enum(), Healthy: &healthy, Data: data, Message: &message}
	if healthy {
		s.Reason = mesos.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED.Enum()
	}
	m.report(c, s)
}

// report gives a status to the container's agent, now or when it is back.
func (m *Model) report(c *Container, s mesos.TaskStatus) {
	if c.Orphan {
		return
	}
	a := m.agents[c.AgentID]
	if !a.up {
		c.backlog = append(c.backlog, s)
		t := a.tasks[c.ID()]
		if t != nil {
			t.c = c
		}
		return
	}
	m.update(a, c.ID(), s)
}

// flush hands over what executors could not report while the agent was down.
func (m *Model) flush(h *Machine) {
	a := h.agent
	if !a.up {
		return
	}
	for _, id := range sortedKeys(a.tasks) {
		t := a.tasks[id]
		if t.c == nil {
			continue
		}
		backlog := t.c.backlog
		t.c.backlog = nil
		for _, s := range backlog {
			m.update(a, id, s)
		}
	}
}
