package scheduler

import (
	"slices"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/placement"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// agent is what is known of one Mesos agent. It is learned anew after each
// failover: nothing here is durable, and nothing destructive rests on it alone.
type agent struct {
	id         string
	hostname   string
	machine    string
	address    string
	attributes placement.Attributes
	active     bool
	draining   bool
	// free is what no framework uses, as last seen by the operator API.
	free []mesos.Resource
	// full: free comes from the operator API and so covers everything.
	full bool
	seen time.Time
}

// learn notes an agent from one of its offers.
func (c *Core) learn(o *mesos.Offer) *agent {
	a := c.agents[o.AgentID.Value]
	if a == nil {
		a = &agent{id: o.AgentID.Value}
		c.agents[a.id] = a
	}
	a.hostname, a.active, a.seen = o.Hostname, true, c.now
	a.attributes = placement.AttributesOf(o.Hostname, o.Attributes)
	a.machine = c.machineOf(a)
	if o.URL != nil {
		a.address = o.URL.Address.GetIP()
	}
	if a.address == "" {
		a.address = o.Hostname
	}
	return a
}

// machineOf is what the host rule counts by: hosts, never agent ids, since one
// machine may come back under a new id.
func (c *Core) machineOf(a *agent) string {
	if c.cfg.MachineAttribute != "" {
		if v, ok := a.attributes.Value(c.cfg.MachineAttribute); ok {
			return v
		}
	}
	return a.hostname
}

// agentFailed notes that the master removed an agent. Its tasks may still run:
// their own updates say what becomes of them.
func (c *Core) agentFailed(id string) {
	if a := c.agents[id]; a != nil {
		a.active = false
		c.publish("AgentLost", "", "", "agent %s (%s) was removed by the master; its nodes and volumes are kept on record", id, a.hostname)
	}
}

// agentsWanted asks for a full view of the agents soon.
func (c *Core) agentsWanted() { c.agentsSoon = true }

// settleAgents asks the operator API for all agents: soon while something is
// unsure, and now and then anyway, since explanations rest on it.
func (c *Core) settleAgents() {
	if !c.connected {
		return
	}
	if len(c.waits) > 0 {
		c.agentsSoon = true
	}
	pace := agentsRoutine
	if c.agentsSoon {
		pace = agentsEvery
	}
	due := c.agentsAsked.Add(pace)
	if c.agentsAsked.IsZero() || !due.After(c.now) {
		c.out.ObserveAgents = true
		c.agentsAsked, c.agentsSoon = c.now, false
		due = c.now.Add(agentsRoutine)
	}
	c.wakeAt(due)
}

// agentsObserved takes a full view of the agents: the second witness for what
// operations did, which needs no offer (Mesos rule 55).
func (c *Core) agentsObserved(e AgentsObserved) {
	seen := map[string]bool{}
	c.held, c.observedAt = c.holdingsOf(e), e.AskedAt
	for i := range e.Agents {
		o := &e.Agents[i]
		a := c.agents[o.ID]
		if a == nil {
			a = &agent{id: o.ID}
			c.agents[o.ID] = a
		}
		seen[o.ID] = true
		if !o.Registered {
			// Not back yet after a master failover: not knowing is not "gone".
			a.active = false
			continue
		}
		a.hostname, a.address, a.active, a.draining, a.seen = o.Hostname, o.Address, o.Active, o.Draining, c.now
		a.attributes = placement.AttributesOf(o.Hostname, o.Attributes)
		a.machine = c.machineOf(a)
		a.free, a.full = volumes.Subtract(o.Total, o.Used), true
		c.recognise(a, c.held.ours(o.ID), e.AskedAt)
	}
	for id := range c.agents {
		if !seen[id] {
			delete(c.agents, id)
		}
	}
	c.noteAway()
	c.settleWitness(e)
	c.askLost()
	c.repairsViewed(c.noteFindings(), e.AskedAt)
	c.answerWaits(e.AskedAt)
	for i := range e.Agents {
		if o := &e.Agents[i]; o.Registered && o.Draining {
			c.vacate(o.ID, "its agent "+o.Hostname+" is being drained")
		}
	}
}

// witnessWait is a user who waits for a view of the agents that is asked for after
// since.
type witnessWait struct {
	reply ReplyID
	since time.Time
}

func (c *Core) witnessAsked(e WitnessAsked) {
	// Whoever asked long ago has got no answer and gone.
	c.waits = slices.DeleteFunc(c.waits, func(w witnessWait) bool { return !w.since.Add(witnessWaits).After(c.now) })
	switch {
	case !c.connected:
		c.refuse(e.Reply, v1.ProblemUnavailable("Berth is not subscribed to a Mesos master, so that none can be asked"))
	case len(c.waits) >= maxWaits:
		c.refuse(e.Reply, v1.ProblemUnavailable("too many requests wait for the master's view already"))
	default:
		c.waits = append(c.waits, witnessWait{reply: e.Reply, since: c.now})
	}
}

// answerWaits answers those whom a view that was asked for at a time is new enough.
func (c *Core) answerWaits(asked time.Time) {
	c.waits = slices.DeleteFunc(c.waits, func(w witnessWait) bool {
		if asked.Before(w.since) {
			return false
		}
		c.out.Replies = append(c.out.Replies, Reply{ID: w.reply, Accepted: &v1.Accepted{Name: "witness"}})
		return true
	})
}

// recognise compares what an agent shows under our labels with the records.
// asked is when a view of the agents was asked for, which teaches nothing of what
// changed after; zero: it comes from an offer, so nothing is using it right now.
func (c *Core) recognise(a *agent, held []volumes.Holding, asked time.Time) {
	slices.SortFunc(held, func(x, y volumes.Holding) int { return strings.Compare(x.Label, y.Label) })
	for i := range held {
		h := &held[i]
		if h.Foreign {
			continue
		}
		s := c.slots[h.Label] // what no record explains is for the ledger alone
		if s != nil && (asked.IsZero() || !asked.Before(s.UpdatedAt)) {
			c.recogniseSlot(a, s, h, asked.IsZero())
		}
	}
}

func (c *Core) recogniseSlot(a *agent, s *slot, h *volumes.Holding, offered bool) {
	b := s.Bind
	switch {
	case b == nil:
		// Our own reservation that the record had given up: take it back
		// rather than reserve twice. On a machine that has its share of the
		// owner's nodes it can only be a copy.
		if !c.roomOn(a, s) {
			c.why("%s: a reservation of its label on agent %s (%s) is left alone: the machine has its share", s.ID, a.id, a.hostname)
			return
		}
		s.Bind = c.binding(a)
		s.Bind.Reserved, s.Bind.Volume = state.KnownYes, knownIf(h.Volume != nil)
		s.Bind.Ports, s.Bind.DiskMiB = h.Ports, h.Disk
		c.why("%s: its reservation was found on agent %s", s.ID, a.id)
		c.touch(s)
	case b.AgentID != a.id:
		c.elsewhere(a, s, h, offered)
	default:
		c.recogniseBound(s, h, offered)
	}
}

// roomOn reports whether a slot's limits allow one more node on an agent's machine.
func (c *Core) roomOn(a *agent, s *slot) bool {
	req, err := c.workloads[s.Kind].request(s)
	o := c.ownerOf(s)
	if err != nil || o == nil {
		return false
	}
	count := map[string]int{}
	for _, other := range o.list() {
		if other.counts() && other.Bind.Machine == a.machine {
			for _, group := range c.workloads[other.Kind].groups(other) {
				count[group]++
			}
		}
	}
	return !slices.ContainsFunc(req.Limits, func(l placement.Limit) bool { return count[l.Group] >= l.Max })
}

// recogniseBound completes what is known of a slot's own reservation. Seeing
// proves; not seeing proves nothing, since resources can be in use or split
// over offers.
func (c *Core) recogniseBound(s *slot, h *volumes.Holding, offered bool) {
	b := s.Bind
	if b.ReserveOp != "" || b.CreateOp != "" {
		// Views and offers show what an operation will do before the agent has
		// it, and it may be lost on its way: it answers for itself (Mesos rule 37).
		return
	}
	if !offered && s.mayBeDestroyed() {
		return
	}
	if h.Volume != nil && b.Volume != state.KnownYes && s.Release == nil {
		b.Volume = state.KnownYes
		c.touch(s)
	}
	if s.live() || s.Release != nil {
		return
	}
	if s.shownWhole(h) && b.Reserved != state.KnownYes {
		b.Reserved = state.KnownYes
		if len(b.Ports) == 0 {
			b.Ports = h.Ports
		}
		c.touch(s)
	}
	if h.Volume == nil && h.Disk >= s.Need.Disk && b.Volume == state.KnownUnsure {
		b.Volume = state.KnownNo
		if b.Reserved == state.KnownNo {
			// Nothing but the volume was reserved when that was noted; with it gone,
			// its bare disk still is.
			b.Reserved = state.KnownUnsure
		}
		c.touch(s)
	}
}

// shownWhole reports whether a holding shows all cores, memory and ports that the
// slot has reserved.
func (s *slot) shownWhole(h *volumes.Holding) bool {
	return h.CPU >= s.Need.CPU && h.Mem >= s.Need.Mem && len(h.Ports) >= s.Need.Ports
}

// elsewhere handles what a slot holds when another agent id offers it. Label and
// persistence id are unique, so it is the same, and the machine came back under a
// new id (Mesos rule 48): the slot follows its data, once its old task does not run
// there. A reservation without a volume is followed only when no volume is on
// record and the old agent is not there any more: it could be of a former attempt.
func (c *Core) elsewhere(a *agent, s *slot, h *volumes.Holding, offered bool) {
	if old := c.agents[s.Bind.AgentID]; h.Volume == nil && (s.Bind.Volume == state.KnownYes || old != nil && old.active) {
		return
	}
	if !c.mayFollow(a, s) {
		if s.elsewhere == a.id {
			s.elsewhere = ""
		}
		if !offered {
			c.why("volume %s is on agent %s (%s) while its node is bound to agent %s on %s: another machine's volume may be a copy and is not followed", s.ID, a.id, a.hostname, s.Bind.AgentID, s.Bind.Hostname)
		}
		return
	}
	if !offered {
		// Only seen: an offer must show that nothing uses it, so ask for one.
		if s.elsewhere != a.id {
			s.elsewhere = a.id
			c.look[s.ID] = true
			c.why("volume %s is on agent %s now, not on %s: asking for offers", s.ID, a.id, s.Bind.AgentID)
		}
		return
	}
	if s.live() && s.Task.State != state.TaskUnreachable {
		// The old agent is not known to be lost yet: ask about the task.
		if s.elsewhere != a.id {
			s.elsewhere = a.id
			c.askTask(s)
		}
		return
	}
	unknown := s.live() || s.Want == state.WantNothing
	if s.live() {
		c.setTask(s, state.TaskEnded, false)
		s.Task.Message = "its agent came back under a new id without it"
	}
	if unknown {
		// The new agent knows nothing of the executor, which may run on for as long
		// as it waits for the old one: offers do not tell whether it uses the volume.
		// That its agent was declared gone has not ended it either.
		s.RetainUntil = later(s.RetainUntil, c.now.Add(orphansFor))
	}
	old := s.Bind
	then := "the node returns in place"
	if s.Want != state.WantRun {
		then = "it is kept"
	}
	c.publishSlot("NodeRebound", s, "volume %s is back on %s under agent id %s (was %s): %s", s.ID, a.hostname, a.id, old.AgentID, then)
	s.Bind = c.binding(a)
	s.Bind.Reserved, s.Bind.Volume = state.KnownYes, state.KnownYes
	if h.Volume == nil {
		// An offer may show a part: the master's own view says what there is.
		s.Bind.Reserved, s.Bind.Volume = state.KnownUnsure, state.KnownUnsure
		c.agentsWanted()
	}
	s.Bind.Ports, s.Bind.DiskMiB, s.Bind.HasData = h.Ports, h.Disk, old.HasData
	// What was being given back, because no volume can be made there, still is.
	s.Bind.CreateFailures = old.CreateFailures
	s.elsewhere = ""
	if s.Want == state.WantNothing {
		// It was given up for lost and has a successor: its data is kept.
		s.Want, s.RetainUntil, s.Order = state.WantRetain, later(s.RetainUntil, c.now.Add(c.cfg.Retention)), nil
	}
	c.touch(s)
}

// mayFollow reports whether a slot may go to an agent that shows what it holds.
// On its own machine it may: the volume's lock keeps two nodes off it. A machine is
// known by its name or address here, never by an attribute, which is copied with
// the agent's configuration. What shows on another machine may be a copy, of a
// restored image or a cloned disk, while the node runs on where it was; and the
// host rule was never asked. So a node that is to run stays, as does one whose
// replacement may still be taken back, and an operator who did move the disks declares
// the old agent gone. What is only kept follows once
// the old agent is not there any more.
func (c *Core) mayFollow(a *agent, s *slot) bool {
	b := s.Bind
	if a.hostname == b.Hostname || a.address == b.Address {
		return true
	}
	return s.Want != state.WantRun && s.Want != state.WantReplaced && !s.live() && c.observedAt.After(c.subscribedAt) && c.agents[b.AgentID] == nil
}

// mayBeDestroyed reports whether a DESTROY that was sent may still be carried
// out. The master's view may show the volume meanwhile; only an offer of it, which
// cannot be out while the ACCEPT is under way, says that the DESTROY is not.
func (s *slot) mayBeDestroyed() bool {
	return s.Want == state.WantDestroy && s.Bind.Volume == state.KnownUnsure
}

func (c *Core) binding(a *agent) *state.Binding {
	return &state.Binding{
		AgentID: a.id, Hostname: a.hostname, Machine: a.machine, Address: a.address,
		Attributes: a.attributes.Map(), Since: c.now,
	}
}

func knownIf(b bool) state.Known {
	if b {
		return state.KnownYes
	}
	return state.KnownNo
}
