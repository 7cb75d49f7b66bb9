package scheduler

import (
	"maps"
	"slices"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// holdings is the last full view of what the agents hold for our roles.
type holdings struct {
	byAgent map[string][]volumes.Holding
	// whole: every agent that the master counts on was registered.
	whole bool
	// orphans counts labels of ours that no record explains.
	orphans int
}

// holdingsOf lists what is reserved for any of our roles, by agent.
func (c *Core) holdingsOf(e AgentsObserved) holdings {
	h := holdings{byAgent: map[string][]volumes.Holding{}, whole: true}
	for i := range e.Agents {
		o := &e.Agents[i]
		if !o.Registered {
			h.whole = false
			continue // it may hold anything: not knowing is not "gone"
		}
		list := []volumes.Holding{}
		for _, role := range c.cfg.Roles {
			// A pool of one role skips what other roles hold.
			pool, err := volumes.NewPoolFromResources(role, c.cfg.Principal, o.Total)
			if err != nil {
				c.why("the resources of agent %s cannot be read: %v", o.ID, err)
				continue
			}
			list = append(list, pool.Held()...)
		}
		h.byAgent[o.ID] = list
		for j := range list {
			if !list[j].Foreign && c.slots[list[j].Label] == nil {
				h.orphans++
			}
		}
	}
	return h
}

// find is what an agent holds under a label. known is false when nothing can be
// said of the agent.
func (h holdings) find(agentID, label string) (held volumes.Holding, reserved, known bool) {
	list, known := h.byAgent[agentID]
	i := slices.IndexFunc(list, func(h volumes.Holding) bool { return h.Label == label && !h.Foreign })
	if i < 0 {
		return volumes.Holding{}, false, known
	}
	return list[i], true, known
}

// settleWitness compares every slot's binding with a full view of its agent.
// Only a view that was asked for well after the slot last changed proves
// anything (Mesos rule 38).
func (c *Core) settleWitness(e AgentsObserved) {
	for _, id := range slices.Sorted(maps.Keys(c.slots)) {
		s := c.slots[id]
		if s.Bind == nil || !c.settledBefore(s, e) {
			continue
		}
		h, reserved, known := c.held.find(s.Bind.AgentID, s.ID)
		if !known {
			continue
		}
		if s.unsureOrReleasing() {
			c.witness(s, h, reserved)
		}
		c.missing(s, s.Want == state.WantRun && s.Bind.Reserved == state.KnownYes && (!reserved || s.Bind.Volume == state.KnownYes && h.Volume == nil))
	}
}

func (c *Core) settledBefore(s *slot, e AgentsObserved) bool {
	return !e.AskedAt.Before(s.UpdatedAt.Add(witnessLag))
}

// unsureOrReleasing reports whether the master's view may decide what a slot
// holds: while a lost answer left it open, and for one that is to be released,
// whose reservation is in no offer once it is gone. A reservation without a
// volume holds nothing that the view could cost.
func (s *slot) unsureOrReleasing() bool {
	if s.live() || s.Release != nil {
		return false
	}
	b := s.Bind
	if b.ReserveOp != "" || b.CreateOp != "" {
		// The view shows what operations will do that the agent may never get:
		// those under way answer for themselves.
		return false
	}
	return b.Reserved == state.KnownUnsure || b.Volume == state.KnownUnsure ||
		s.Want != state.WantRun && s.Want != state.WantNothing && b.Reserved == state.KnownYes ||
		s.Want == state.WantRun && b.Reserved == state.KnownYes && b.Volume == state.KnownNo
}

// witness takes the master's word for what a slot holds.
func (c *Core) witness(s *slot, h volumes.Holding, reserved bool) {
	b := s.Bind
	volume, rest := knownIf(h.Volume != nil), knownIf(reserved)
	if volume == state.KnownYes && s.mayBeDestroyed() {
		volume = state.KnownUnsure
	}
	if s.Want != state.WantRun && h.Volume != nil {
		rest = knownIf(h.CPU > 0 || h.Mem > 0 || len(h.Ports) > 0)
	}
	if b.Reserved == rest && b.Volume == volume {
		return
	}
	b.Reserved, b.Volume = rest, volume
	c.why("the master's own view settles %s on agent %s: reserved %s, volume %s", s.ID, b.AgentID, rest, volume)
	c.touch(s)
}

// missing notes whether a slot's reservation or volume has gone without an
// operation of ours: somebody else removed it. It is said, and nothing is done.
func (c *Core) missing(s *slot, missing bool) {
	if s.missing == missing {
		return
	}
	s.missing = missing
	c.lookOwners[s.Owner] = true
	if missing {
		c.publish("VolumeMissing", s.Owner, s.Name, "reservation or volume %s is not on agent %s (%s) any more, and Berth did not remove it", s.ID, s.Bind.AgentID, s.Bind.Hostname)
	}
}

// audit compares records and holdings: the ledger.
func (c *Core) audit() []volumes.Entry {
	l := volumes.NewLedger()
	ids := slices.Sorted(maps.Keys(c.slots))
	for _, settled := range []bool{true, false} {
		for _, id := range ids {
			s := c.slots[id]
			if s.Bind != nil && c.settledBefore(s, AgentsObserved{AskedAt: c.observedAt}) == settled {
				l.Put(recordOf(s))
			}
		}
		if settled {
			// Records that changed after the view are put after it: they are
			// not missing for not being in it.
			for _, agent := range slices.Sorted(maps.Keys(c.held.byAgent)) {
				l.Observe(agent, c.held.byAgent[agent], true)
			}
		}
	}
	return l.Classify()
}

func recordOf(s *slot) volumes.Record {
	st := volumes.StateOwned
	switch s.Want {
	case state.WantRetain:
		st = volumes.StateRetained
	case state.WantDestroy:
		st = volumes.StateDestroying
	}
	return volumes.Record{
		Label: s.ID, AgentID: s.Bind.AgentID, PersistenceID: s.Identity.PersistenceID,
		Created: s.Bind.Volume == state.KnownYes, Cluster: s.Owner, Node: s.Name, State: st,
	}
}

// Volumes is the ledger for people: every reservation and volume that a record
// or an agent knows.
func (c *Core) Volumes() []v1.VolumeView {
	out := []v1.VolumeView{}
	for _, e := range c.audit() {
		v := v1.VolumeView{ID: e.Record.Label, Class: string(e.Class), AgentID: e.AgentID, SizeMiB: e.Holding.Disk.Float()}
		if a := c.agents[e.AgentID]; a != nil {
			v.Hostname = a.hostname
		}
		if s := c.slots[v.ID]; s != nil {
			describeVolume(&v, s, e)
		} else {
			v.ID = e.Holding.Label
			v.Message = map[volumes.Class]string{
				volumes.ClassOrphan:  "no record explains this reservation; it is left alone",
				volumes.ClassForeign: "reserved for our role by somebody else; it is left alone",
			}[e.Class]
		}
		out = append(out, v)
	}
	return out
}

func describeVolume(v *v1.VolumeView, s *slot, e volumes.Entry) {
	v.Cluster, v.Node, v.Hostname, v.SizeMiB = s.Owner, s.Name, s.Bind.Hostname, s.Bind.DiskMiB.Float()
	switch {
	case s.Want == state.WantNothing:
		v.Class, v.Message = string(volumes.ClassMissing), s.LastFailure
	case e.Class == volumes.ClassMissing:
		v.Message = "a full view of the agent does not show it, and Berth did not remove it"
	case e.Moved():
		v.Message = "seen under another agent id than on record"
	}
	if s.Want == state.WantRetain || s.Want == state.WantDestroy {
		at := s.RetainUntil
		v.RetainTo = &at
		if s.Order != nil {
			v.DestroyAt = &at
		}
	}
}

// judgeVolumes says whether every volume on record was last seen where it
// should be.
func (c *Core) judgeVolumes(cl *cluster) {
	var missing []string
	for _, s := range cl.list() {
		if s.missing && s.Want == state.WantRun {
			missing = append(missing, s.ID)
		}
	}
	if len(missing) > 0 {
		c.setCondition(cl, "VolumesPresent", "False", "Missing", "%d volumes are not on their agents any more, such as %s: see berth volumes list", len(missing), missing[0])
		return
	}
	c.setCondition(cl, "VolumesPresent", "True", "Present", "")
}
