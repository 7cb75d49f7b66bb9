package scheduler

import (
	"fmt"
	"slices"
	"time"

	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

// A rolling restart takes one node at a time through the same steps: its gates
// open, Elasticsearch restricts allocation and flushes, the task ends, its next
// life starts in place from the spec of now and joins, allocation is let go. What
// is left to do is never a list on record: it follows from the spec and from what
// each task was built from, so that a node that was restarted for another reason
// meanwhile is not restarted twice.

// needsRestart reports whether a slot's task was built from another spec, or, by
// an order, at another time; or was to be stopped, and KILL may still reach it.
func (cl *cluster) needsRestart(s *slot) bool {
	if s.Want != state.WantRun || !s.live() {
		return false
	}
	if !s.Task.KillOrdered.IsZero() {
		return true
	}
	if r := cl.Restart; r != nil && r.Ordered && s.Task.LaunchedAt.Before(r.At) &&
		(len(r.Nodes) == 0 || slices.Contains(r.Nodes, s.Name)) {
		return true
	}
	return cl.outdated(s)
}

// outdated reports whether a running task was built from another spec. Tasks of
// builds that did not record it are stamped when the spec changes.
func (cl *cluster) outdated(s *slot) bool {
	if s.Task.Fingerprint == "" {
		return false
	}
	now := cl.fingerprint(s.Set)
	return now != "" && s.Task.Fingerprint != now
}

// fingerprint is what a node of a set would be built from now; "" = there is no
// such set any more.
func (cl *cluster) fingerprint(set string) string {
	if cl.printsOf != cl.Generation {
		cl.prints, cl.printsOf = map[string]string{}, cl.Generation
		for _, n := range cl.Spec.Spec.NodeSets {
			cl.prints[n.Name] = plan.Fingerprint(cl.Spec.Spec, n)
		}
	}
	return cl.prints[set]
}

// stamp notes what running tasks were built from, before the spec changes.
func (c *Core) stamp(cl *cluster) {
	for _, s := range cl.list() {
		if s.Task == nil || s.Task.Fingerprint != "" {
			continue
		}
		if now := cl.fingerprint(s.Set); now != "" {
			s.Task.Fingerprint, s.Task.Version = now, cl.Spec.Spec.Version
			c.touch(s)
		}
	}
}

// toRestart are the slots that need a restart, in the order of their ids.
func (cl *cluster) toRestart() []*slot {
	var list []*slot
	for _, s := range cl.list() {
		if cl.needsRestart(s) {
			list = append(list, s)
		}
	}
	return list
}

// restarting reports whether a rolling restart is stopping this life of a slot.
func (c *Core) restarting(s *slot) bool {
	cl := c.clusters[s.Owner]
	return cl != nil && cl.Restart != nil && cl.Restart.Slot == s.ID && cl.Restart.Step == state.RestartStop && cl.Restart.Life == s.Life
}

// mayStop reports whether KILL of the node under way may leave: it has before, or
// what the gates saw is still so. A leader that takes over, or a subscription that
// was away, finds a cluster that it knows nothing of yet.
func (c *Core) mayStop(s *slot) bool {
	cl := c.clusters[s.Owner]
	if !s.killedAt.IsZero() || !cl.Restart.Restricted {
		return true
	}
	for _, o := range cl.list() {
		if o != s && o.Want == state.WantRun && o.live() && !o.confirmed {
			return false
		}
	}
	return !c.stopOverdue(cl, s)
}

// stopOverdue reports whether the node under way must be judged anew before it is
// stopped.
func (c *Core) stopOverdue(cl *cluster, s *slot) bool {
	r := cl.Restart
	return s.killedAt.IsZero() && r.Restricted && (!r.Since.Add(restartFresh).After(c.now) || c.connected && c.secondFailure(cl, s))
}

// settleRestart takes a rolling restart as far as it goes now.
func (c *Core) settleRestart(cl *cluster) {
	if cl.Restart == nil && !c.beginRestart(cl) {
		return
	}
	for c.restartGoesOn(cl) {
	}
}

// beginRestart begins a restart that the spec asks for.
func (c *Core) beginRestart(cl *cluster) bool {
	if cl.RestartCancelled >= cl.Generation {
		return false
	}
	n := len(cl.toRestart())
	if n == 0 {
		return false
	}
	cl.Restart = &state.Restart{
		ID: plan.ID(cl.Spec.Name, cl.Generation), At: c.now, User: cl.UpdatedBy, Message: cl.Message,
		Total: n, Since: c.now,
	}
	c.touchCluster(cl)
	c.publish("RestartBegun", cl.Spec.Name, "", "%d nodes are restarted one by one for generation %d", n, cl.Generation)
	return true
}

// restartGoesOn takes the node under way one step on, or the next node, and
// reports whether the step after that may be due already.
func (c *Core) restartGoesOn(cl *cluster) bool {
	r := cl.Restart
	s := cl.slots[r.Slot]
	lost := r.Slot != "" && (s == nil || s.Want != state.WantRun)
	switch r.Step {
	case state.RestartStop:
		switch {
		case lost || s.Life > r.Life || !s.live():
			c.restartStep(cl, state.RestartStart)
			return true
		case c.stopOverdue(cl, s):
			c.why("%s is not stopped: what its gates saw is old, or not so any more", s.ID)
			c.restartStep(cl, state.RestartRelease)
			return true
		}
		c.look[s.ID] = true
		return false
	case state.RestartStart:
		switch {
		case lost:
			c.publish("RestartLost", cl.Spec.Name, "", "the node that was being restarted is lost: going on without it")
		case s.healthy() && s.Life > r.Life:
		case s.Failures >= restartTries && r.Halted == "":
			// Tried on one node first: the others keep what works.
			r.Halted = clip(fmt.Sprintf("%s does not come back: %s", s.Name, s.LastFailure))
			c.touchCluster(cl)
			c.publish("RestartHalted", cl.Spec.Name, s.Name, "%s; no other node is touched: correct the spec, or resume", r.Halted)
			return false
		default:
			return false
		}
		c.restartStep(cl, state.RestartRelease)
		return true
	case state.RestartRestrict, state.RestartRelease:
		if r.Restricted {
			return false // the answer decides
		}
		c.restartStep(cl, "")
		return true
	}
	c.nextRestart(cl)
	return false
}

// restartStep goes on to the next step of the node under way; "" ends its turn.
func (c *Core) restartStep(cl *cluster, step state.RestartStep) {
	r := cl.Restart
	r.Step, r.Since = step, c.now
	cl.restartErr, cl.gates = "", nil
	if step == "" {
		r.Slot, r.Life, r.Halted = "", 0, ""
	}
	// What Elasticsearch says from now on counts.
	cl.nextAsk = c.now
	c.touchCluster(cl)
}

// nextRestart begins with the next node if there is one and its gates are open,
// or ends the restart.
func (c *Core) nextRestart(cl *cluster) {
	r := cl.Restart
	left := cl.toRestart()
	if r.Cancelled {
		// The node under way is finished, also if it has to be judged anew.
		left = slices.DeleteFunc(left, func(s *slot) bool { return s.Task.KillOrdered.IsZero() })
	}
	if len(left) == 0 {
		c.endRestart(cl)
		return
	}
	s := c.restartCandidate(cl, left)
	if s == nil {
		cl.gates = []plan.Gate{{Name: plan.GateReconciled, Message: "the nodes that are left cannot be reached"}}
		return
	}
	cl.candidate = s.Name
	facts := c.restartFacts(cl, s)
	cl.gates = plan.RestartGates(facts)
	if r.Paused || c.closedGate(cl) != nil {
		return
	}
	r.Slot, r.Life = s.ID, s.Life
	if !facts.Candidate.Joined {
		// It holds nothing: there is no allocation to hold back.
		c.restartStep(cl, state.RestartStop)
		c.look[s.ID] = true
	} else {
		r.Restricted = true
		c.restartStep(cl, state.RestartRestrict)
	}
	c.publish("NodeRestarting", cl.Spec.Name, s.Name, "restarting %s (%d of %d left)", s.Name, len(left), r.Total)
}

func (c *Core) endRestart(cl *cluster) {
	r, left := cl.Restart, len(cl.toRestart())
	switch {
	case r.Cancelled && left > 0:
		cl.RestartCancelled = cl.Generation
		c.publish("RestartCancelled", cl.Spec.Name, "", "%s is cancelled: %d of %d nodes were not restarted", r.ID, left, r.Total)
	default:
		c.publish("RestartComplete", cl.Spec.Name, "", "%s is complete: no node is left to restart", r.ID)
	}
	cl.Restart, cl.candidate, cl.gates = nil, "", nil
	c.touchCluster(cl)
}

// restartCandidate is the node whose turn it is: one that can be stopped. Nodes
// that are down come back from the spec of now by themselves. A KILL that may have
// left may still arrive: no other node is stopped before.
func (c *Core) restartCandidate(cl *cluster, left []*slot) *slot {
	byName := map[string]*slot{}
	var members []plan.Member
	begun := slices.ContainsFunc(left, func(s *slot) bool { return !s.Task.KillOrdered.IsZero() })
	for _, s := range left {
		if begun && s.Task.KillOrdered.IsZero() {
			continue
		}
		if s.confirmed && s.Task.State != state.TaskUnreachable {
			byName[s.Name] = s
			members = append(members, cl.member(s))
		}
	}
	if len(members) == 0 {
		return nil
	}
	plan.RestartOrder(members)
	return byName[members[0].Name]
}

func (cl *cluster) member(s *slot) plan.Member {
	set, _ := plan.Set(cl.Spec.Spec, s.Set)
	m := plan.Member{Name: s.Name, Tier: plan.Tier(set), Master: plan.MasterEligible(set), Healthy: s.healthy()}
	if s.Task != nil {
		m.Joined, m.Version = !s.Task.HealthySince.IsZero(), s.Task.Version
	}
	for _, n := range cl.observation.Nodes {
		if n.Name == s.Name {
			m.Elected = n.Master
		}
	}
	return m
}

// restartFacts are what the gates of one node judge. Only an answer that was
// asked for in this turn counts: an older one does not know of the last restart.
func (c *Core) restartFacts(cl *cluster, s *slot) plan.RestartFacts {
	f := plan.RestartFacts{Candidate: cl.member(s)}
	if !c.connected {
		f.Unanswered = -1
	}
	for _, o := range cl.list() {
		if c.openReplacement(cl, o) {
			m := cl.member(o)
			m.Healthy = false
			f.Others = append(f.Others, m)
			continue
		}
		if o.Want != state.WantRun || o.Bind == nil {
			continue // what never had a place cannot be away
		}
		if o.live() && !o.confirmed && c.connected {
			f.Unanswered++
		}
		if o != s {
			f.Others = append(f.Others, cl.member(o))
		}
	}
	o := cl.lastFull
	f.Seen = o.Full && !cl.fullAsked.Before(cl.Restart.Since) && cl.fullAsked.Add(restartFresh).After(c.now) && cl.observeErr == ""
	if !f.Candidate.Joined {
		// What Mesos tells may be late: an acknowledgement that was lost holds the
		// next status back for minutes, and the node may have joined unheard.
		if f.Seen && len(o.Nodes) > 0 {
			f.Candidate.Joined = slices.ContainsFunc(o.Nodes, func(n observe.Node) bool { return n.Name == s.Name })
		} else {
			f.JoinUnknown = cl.ClusterUUID != "" && !(cl.noMaster && cl.noMasterAsked.Add(restartFresh).After(c.now))
		}
	}
	if f.Seen {
		f.Health, f.TimedOut, f.Members = o.Health, o.TimedOut, len(o.Nodes)
		f.Initializing, f.Relocating, f.Fetching = o.Initializing, o.Relocating, o.InFlightFetch
		f.Unassigned, f.Delayed = o.Unassigned, o.DelayedUnassigned
		f.RiskSeen = slices.Equal(o.Away, []string{s.Name})
		for _, risk := range o.AtRisk {
			f.AtRisk = append(f.AtRisk, fmt.Sprintf("%s %v", risk.Index, risk.Shards))
		}
		if len(f.AtRisk) == 0 && o.AtRiskTotal > 0 {
			f.AtRisk = []string{fmt.Sprintf("%d shards", o.AtRiskTotal)}
		}
	}
	return f
}

// closedGate is the first gate that holds the next node, overrides counted in, or
// nil.
func (c *Core) closedGate(cl *cluster) *plan.Gate {
	for i, g := range cl.gates {
		if !g.Open && !c.overridden(cl, g.Name) {
			return &cl.gates[i]
		}
	}
	return nil
}

func (c *Core) overridden(cl *cluster, gate string) bool {
	return slices.ContainsFunc(cl.Restart.Overrides, func(o state.Override) bool {
		return o.Gate == gate && o.Until.After(c.now)
	})
}

// restartQuestion makes of req what a rolling restart has to ask of Elasticsearch
// now, if anything.
func (c *Core) restartQuestion(cl *cluster, req *observe.Request) {
	r := cl.Restart
	if r == nil {
		return
	}
	switch r.Step {
	case state.RestartRestrict:
		req.Kind, req.Allocation, req.Owned, req.Flush = observe.KindAllocation, observe.AllocationPrimaries, true, true
	case state.RestartRelease:
		if r.Restricted {
			req.Kind, req.Owned = observe.KindAllocation, true
		}
	case state.RestartStart:
		// A node that stays away must not keep the others' copies from being
		// built anew.
		if r.Restricted && (r.Halted != "" || c.restartStuck(r)) {
			req.Kind, req.Owned = observe.KindAllocation, true
		}
	case "":
		if cl.candidate != "" && !r.Paused {
			req.Full, req.Away = true, []string{cl.candidate}
		}
	}
}

// restartPace is how long after an answer Elasticsearch is asked again. What holds the
// next node is asked for in full, and may hold it for hours.
func (cl *cluster) restartPace(now time.Time) time.Duration {
	if cl.Restart.Step != "" {
		return observeForming
	}
	return min(max(now.Sub(cl.Restart.Since)/observeWaited, observeForming), observeWaiting)
}

// allocationAnswered takes the answer to a change of allocation.
func (c *Core) allocationAnswered(cl *cluster, failure string) {
	r := cl.Restart
	if r == nil {
		return
	}
	if failure != "" {
		cl.restartErr = failure
		return
	}
	switch s := cl.slots[r.Slot]; {
	case r.Step == state.RestartRelease:
		r.Restricted = false
		c.restartStep(cl, "")
	case r.Step == state.RestartStart:
		r.Restricted, cl.restartErr = false, ""
		c.touchCluster(cl)
	case r.Step != state.RestartRestrict:
	case s == nil || s.Want != state.WantRun || s.Life != r.Life || c.secondFailure(cl, s) || !r.Since.Add(restartRestrict).After(c.now):
		// Something else has happened meanwhile: not now.
		c.restartStep(cl, state.RestartRelease)
	default:
		c.restartStep(cl, state.RestartStop)
		c.look[s.ID] = true
	}
}

// secondFailure reports whether another node went away since the gates were open,
// even if it is back: while allocation is restricted it has no shards.
func (c *Core) secondFailure(cl *cluster, s *slot) bool {
	if c.overridden(cl, plan.GateOthersHealthy) {
		return false
	}
	for _, o := range cl.list() {
		if c.openReplacement(cl, o) || o != s && o.Want == state.WantRun && o.Bind != nil && (!o.healthy() || o.Task.HealthySince.After(cl.Restart.Since)) {
			return true
		}
	}
	return false
}

// judgeRestart says in a condition how far a restart is and what holds it, and
// reports whether no node needs one.
func (c *Core) judgeRestart(cl *cluster) (current bool) {
	r := cl.Restart
	const typ = "NodesCurrent"
	left := len(cl.toRestart())
	if r == nil {
		if left > 0 {
			c.setCondition(cl, typ, "False", "Cancelled", "%d nodes run an older spec: order a restart to bring them up to it", left)
			return false
		}
		c.setCondition(cl, typ, "True", "AllCurrent", "")
		return true
	}
	done := fmt.Sprintf("%s: %d nodes left of %d", r.ID, left, r.Total)
	name := ""
	if s := cl.slots[r.Slot]; s != nil {
		name = s.Name
	}
	switch {
	case r.Halted != "":
		c.setCondition(cl, typ, "False", "Halted", "%s; %s: apply a corrected spec (the former one undoes the change), or resume", done, r.Halted)
	case c.restartStuck(r):
		c.setCondition(cl, typ, "False", "Stuck", "%s; %s has not come further than %q since %s, and waits for: %s", done, name, r.Step, r.Since.UTC().Format(time.RFC3339), cl.restartCause())
	case r.Paused && r.Step == "":
		c.setCondition(cl, typ, "False", "Paused", "%s; paused", done)
	case r.Step != "":
		c.setCondition(cl, typ, "False", "Restarting", "%s; %s: %s", done, name, r.Step)
	default:
		if g := c.closedGate(cl); g != nil {
			c.setCondition(cl, typ, "False", g.Name, "%s; next is %s, which waits: %s", done, cl.candidate, g.Message)
			break
		}
		c.setCondition(cl, typ, "False", "Restarting", "%s", done)
	}
	return false
}

// restartStuck reports whether the node under way has not come further for long.
func (c *Core) restartStuck(r *state.Restart) bool {
	return r.Step != "" && !r.Since.Add(restartStuck).After(c.now)
}

// restartCause is the likely reason why a restart does not go on.
func (cl *cluster) restartCause() string {
	if cl.restartErr != "" {
		return cl.restartErr
	}
	if step := cl.Restart.Step; step == state.RestartRestrict || step == state.RestartRelease {
		return "Elasticsearch to change its allocation"
	}
	if s := cl.slots[cl.Restart.Slot]; s != nil {
		if m := s.message(); m != "" {
			return m
		}
		if s.live() && s.Life == cl.Restart.Life {
			return "the former life to end"
		}
		if w := s.waiting(); w != "" {
			return w
		}
	}
	return "no cause is known"
}
