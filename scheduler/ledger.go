package scheduler

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// holdings is the master's last view of what the agents hold for our roles: the
// second witness beside the records.
type holdings struct {
	views   []volumes.View // by agent id
	byAgent map[string]int // index in views
	// agents are all that the master listed, away those of which it says that it
	// cannot tell what they hold.
	agents int
	away   []awayAgent
	// whole: every agent that the master counts on was registered.
	whole bool
}

type awayAgent struct{ id, hostname, why string }

// Why a view may not be what an agent holds now.
const (
	whyNotBack      = "the agent has not come back since the master's failover"
	whyDisconnected = "the master has lost its connection to the agent"
	whyNotListed    = "the master does not list the agent: it is unreachable, or was removed"
	whyNoView       = "the master has not been asked yet"
)

// holdingsOf lists what is reserved for any of our roles, by agent.
func (c *Core) holdingsOf(e AgentsObserved) holdings {
	h := holdings{whole: true, agents: len(e.Agents), views: make([]volumes.View, 0, len(e.Agents)), byAgent: make(map[string]int, len(e.Agents))}
	for i := range e.Agents {
		o := &e.Agents[i]
		v := volumes.View{AgentID: o.ID}
		switch {
		case !o.Registered:
			h.whole = false
			v.Unknown = whyNotBack // it may hold anything: not knowing is not "gone"
		case o.Disconnected:
			v.Unknown = whyDisconnected
			fallthrough
		default:
			v.Held = volumes.Inventory(c.cfg.Roles, c.cfg.Principal, o.Total)
		}
		if v.Unknown != "" {
			h.away = append(h.away, awayAgent{id: o.ID, hostname: o.Hostname, why: v.Unknown})
		}
		h.views = append(h.views, v)
	}
	slices.SortFunc(h.views, func(a, b volumes.View) int { return cmp.Compare(a.AgentID, b.AgentID) })
	slices.SortFunc(h.away, func(a, b awayAgent) int { return cmp.Compare(a.id, b.id) })
	for i := range h.views {
		h.byAgent[h.views[i].AgentID] = i
	}
	return h
}

// view is what the master shows of an agent; nil when it has not come back, or is
// not listed.
func (h holdings) view(agentID string) *volumes.View {
	i, listed := h.byAgent[agentID]
	if !listed || h.views[i].Unknown == whyNotBack {
		return nil
	}
	return &h.views[i]
}

// find is what an agent holds under a label. known is false when nothing can be
// said of the agent.
func (h holdings) find(agentID, label string) (held volumes.Holding, reserved, known bool) {
	v := h.view(agentID)
	if v == nil {
		return volumes.Holding{}, false, false
	}
	i := slices.IndexFunc(v.Held, func(r volumes.Reserved) bool { return r.Label == label && !r.Foreign })
	if i < 0 {
		return volumes.Holding{}, false, true
	}
	return v.Held[i].Holding, true, true
}

// ours are the reservations of our making that an agent shows.
func (h holdings) ours(agentID string) []volumes.Holding {
	var out []volumes.Holding
	if v := h.view(agentID); v != nil {
		for i := range v.Held {
			if !v.Held[i].Foreign {
				out = append(out, v.Held[i].Holding)
			}
		}
	}
	return out
}

// settleWitness compares what is unsure of a slot's binding with a full view of
// its agent. Only a view that was asked for well after the slot last changed
// proves anything (Mesos rule 38).
func (c *Core) settleWitness(e AgentsObserved) {
	for _, id := range slices.Sorted(maps.Keys(c.slots)) {
		s := c.slots[id]
		if s.Bind == nil || !c.settledBefore(s, e) || !s.unsureOrReleasing() {
			continue
		}
		if h, reserved, known := c.held.find(s.Bind.AgentID, s.ID); known {
			c.witness(s, h, reserved)
		}
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

// audit compares records and holdings: the ledger. A view that is stale at the
// time now proves nothing.
func (c *Core) audit(now time.Time) []volumes.Entry {
	records := make([]volumes.Record, 0, len(c.slots))
	for _, id := range slices.Sorted(maps.Keys(c.slots)) {
		if s := c.slots[id]; !s.Need.Ephemeral { // such a slot holds nothing
			records = append(records, c.recordOf(s))
		}
	}
	views, noView := c.held.views, whyNotListed
	if why := c.witnessStale(now); why != "" {
		noView = why
		views = slices.Clone(views)
		for i := range views {
			views[i].Unknown = why
		}
	}
	return slices.DeleteFunc(volumes.Classify(records, views, noView), func(e volumes.Entry) bool {
		// A slot without a place has nothing to be compared; and what was given
		// back after the view was asked for is not too much because of it.
		return !e.Seen && e.AgentID == "" || e.Record.Label == "" && c.endedAfterView(e.Holding.Label)
	})
}

// witnessStale says why the last view of the agents is not to be believed, "" if
// it is.
func (c *Core) witnessStale(now time.Time) string {
	switch {
	case c.observedAt.IsZero():
		return whyNoView
	case now.Sub(c.observedAt) > witnessTrusted:
		return "the master's operator API has not answered since " + c.observedAt.UTC().Format(time.RFC3339)
	}
	return ""
}

// endedAfterView reports whether the record of a label ended so late that the last
// view of the agents may still show what it held.
func (c *Core) endedAfterView(label string) bool {
	at, ended := c.ended[label]
	return ended && c.observedAt.Before(at.Add(witnessLag))
}

// forgetEnded drops ends of records that every later view knows of.
func (c *Core) forgetEnded() {
	maps.DeleteFunc(c.ended, func(label string, _ time.Time) bool { return !c.endedAfterView(label) })
}

// recordOf is a slot as the ledger's first witness: what surely is there, and
// whether the last view was asked for late enough to contradict it.
func (c *Core) recordOf(s *slot) volumes.Record {
	r := volumes.Record{Label: s.ID, PersistenceID: s.Identity.PersistenceID, State: volumes.StateOwned, Missed: s.missing}
	switch s.Want {
	case state.WantReplaced:
		r.State = volumes.StateReplaced
	case state.WantRetain:
		r.State = volumes.StateRetained
		if s.Replacement != nil {
			r.State = volumes.StateReplaced
		}
	case state.WantDestroy:
		r.State = volumes.StateDestroying
	case state.WantNothing:
		r.State = volumes.StateLost
	}
	b := s.Bind
	if b == nil {
		return r
	}
	r.AgentID, r.Reserved, r.Created = b.AgentID, b.Reserved == state.KnownYes, b.Volume == state.KnownYes
	r.CPU, r.Mem, r.Ports = s.Need.CPU, s.Need.Mem, s.Need.Ports
	r.Settled = s.Release == nil && b.ReserveOp == "" && b.CreateOp == "" && c.settledBefore(s, AgentsObserved{AskedAt: c.observedAt})
	return r
}
