package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

// settleReplaced looks after a node whose successor was ordered.
func (c *Core) settleReplaced(s *slot, at func(time.Time)) (wantsOffer bool) {
	cl := c.clusters[s.Owner]
	var next *slot
	if cl != nil && cl.Incarnation == s.OwnerIncarnation {
		next = cl.wanted()[s.place()]
	}
	switch {
	case next == nil && (cl == nil || cl.Incarnation != s.OwnerIncarnation || !plan.Wants(cl.Spec, s.place())):
		// Nothing takes its place any more, and it is not wanted back.
		return c.retire(s, at)
	case next == nil:
		c.lookOwners[s.Owner] = true // its successor is lost too: another one is made
		return false
	case c.isBack(s) && !launched(next):
		c.cancelReplacement(s, next, "its agent "+s.hostname()+" is back before "+next.Name+" was launched")
		return false
	case !s.live() && launched(next):
		return c.retire(s, at)
	case !s.live() || s.Task.State == state.TaskUnreachable:
		c.agentsWanted()
		at(c.now.Add(agentsEvery))
		if s.live() {
			c.askReturned(s)
		}
		return s.elsewhere != ""
	case s.killedAt.IsZero() && !c.safeToStop(cl, s, next):
		return false // its own end, or an answer of Elasticsearch, brings the next look
	}
	c.kill(s, at)
	return false
}

// safeToStop reports whether two full observations in a row had nothing against
// stopping a replaced node. It is asked anew after each failover, and after each time
// that the node was unreachable: until KILL has left it may have become needed again.
func (c *Core) safeToStop(cl *cluster, s, next *slot) bool {
	if why := c.mayNotStop(cl, s, next); why != "" {
		s.safeSeen = 0
		c.why("%s is back beside %s, and runs on: %s", s.Name, next.Name, why)
		return false
	}
	if s.safeSeen == 0 {
		s.safeSeen = cl.awayFull.Seq
	}
	return s.safeSeen != cl.awayFull.Seq
}

// retire makes a replaced node one that is not to run any more: what it holds is
// given back, and its volume is kept until somebody orders it destroyed.
func (c *Core) retire(s *slot, at func(time.Time)) (wantsOffer bool) {
	s.Want, s.RetainUntil = state.WantRetain, c.now.Add(c.cfg.Retention)
	c.touch(s)
	c.why("%s was replaced: its volume %s is kept", s.Name, s.ID)
	if s.live() {
		return c.settleLive(s, at)
	}
	return c.settleRelease(s, at)
}

// isBack reports whether a node runs, or could be started again in its place.
func (c *Core) isBack(s *slot) bool {
	if s.live() {
		return s.Task.State != state.TaskUnreachable
	}
	return c.isThere(s.Bind.AgentID)
}

// openReplacement reports whether a node is being replaced in a way that has one node
// less than is wanted: its successor has not joined, or it is itself being stopped.
func (c *Core) openReplacement(cl *cluster, s *slot) bool {
	if s.Want != state.WantReplaced {
		return false
	}
	next := cl.wanted()[s.place()]
	return next == nil || !next.healthy() || s.live() && !s.killedAt.IsZero()
}

// hasReturned reports whether a replaced node runs beside its successor.
func (cl *cluster) hasReturned() bool {
	return slices.ContainsFunc(cl.list(), func(s *slot) bool {
		return s.Want == state.WantReplaced && s.live() && s.Task.State != state.TaskUnreachable
	})
}

// lookAtReplaced has the replaced nodes that are back looked at again: what
// Elasticsearch says of the cluster decides when they are stopped.
func (c *Core) lookAtReplaced(cl *cluster) {
	for _, s := range cl.list() {
		if s.Want == state.WantReplaced && s.live() && s.Task.State != state.TaskUnreachable && s.lookedFull != cl.awayFull.Seq {
			s.lookedFull = cl.awayFull.Seq
			c.look[s.ID] = true
		}
	}
}

// mayNotStop says why a replaced node that runs must not be stopped yet, "" if
// nothing speaks against it. It may hold what is nowhere else.
func (c *Core) mayNotStop(cl *cluster, s, next *slot) string {
	full := cl.awayFull
	if !next.healthy() {
		return next.Name + " has not joined yet"
	}
	switch {
	case cl.noMaster:
		return "the cluster has no elected master"
	case cl.observeErr != "":
		return "Elasticsearch does not answer: " + cl.observeErr
	case !full.Full || cl.awayAsked.Before(s.Task.Since) || cl.awayAsked.Before(next.Task.HealthySince) || cl.awayAsked.Add(replaceTrusted).Before(c.now):
		return "Elasticsearch has not told yet where the copies of its shards are now"
	case !slices.Equal(full.Away, cl.away()):
		return "since Elasticsearch was asked, other nodes are away"
	case full.TimedOut:
		return "the elected master is behind with its work"
	case cl.Restart != nil && cl.Restart.Step != "":
		return "a rolling restart has another node under way: one at a time"
	}
	members := map[string]bool{}
	for i := range full.Nodes {
		members[full.Nodes[i].Name] = true
	}
	if !members[next.Name] {
		return "Elasticsearch does not count " + next.Name + " as a member yet"
	}
	if cl.masterEligible()[s.Set] {
		if why := cl.quorumNeeds(s, members); why != "" {
			return why
		}
	}
	risks := c.risksOf(cl, s)
	if len(risks) == 0 {
		return ""
	}
	var names []string
	for i := range risks {
		names = append(names, risks[i].Index)
	}
	return fmt.Sprintf("shards of %s have no started copy elsewhere: give them replicas, or move them away from it by cluster.routing.allocation.exclude._name", someOf(slices.Compact(names)))
}

// quorumNeeds says why the masters' majority may need a replaced node, "" if the others
// suffice. Those that are to stay must have the majority without it, and be two: of
// two voters Elasticsearch counts on one alone. It does not wait for all of them, since
// one may have to wait for the very machine that this one is on.
func (cl *cluster) quorumNeeds(s *slot, members map[string]bool) string {
	masters, there := cl.masterEligible(), 0
	for _, o := range cl.list() {
		switch {
		case !masters[o.Set] || o == s:
		case o.Want == state.WantRun && o.healthy() && members[o.Name]:
			there++
		case o.Want != state.WantRun && o.live() && !o.killedAt.IsZero():
			return "master-eligible node " + o.Name + " is being stopped: one at a time"
		}
	}
	if n := len(plan.Masters(cl.Spec)); 2*there <= n || there < 2 {
		return fmt.Sprintf("%d of %d master-eligible nodes are healthy: their majority may need it", there, n)
	}
	return ""
}

// away are the nodes whose copies of shards count as lost: those whose machines may
// be lost, and those that have a successor.
func (cl *cluster) away() []string {
	var names []string
	for _, s := range cl.list() {
		if s.isAway() || s.Want == state.WantReplaced {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// noteAway notes by a full view which agents that hold something are not there.
func (c *Core) noteAway() {
	var missing []*slot
	for _, s := range c.slots {
		away := s.Bind != nil && c.agents[s.Bind.AgentID] == nil
		if s.agentAway == away {
			continue
		}
		was := s.isMissing()
		s.agentAway = away
		c.look[s.ID] = true
		if s.isMissing() && !was {
			missing = append(missing, s)
		}
	}
	slices.SortFunc(missing, func(a, b *slot) int { return strings.Compare(a.ID, b.ID) })
	for _, s := range missing {
		c.publishSlot("NodeMissing", s, "it has ended, and the master does not list agent %s (%s), which holds its volume: waiting, nothing is replaced", s.hostname(), s.Bind.AgentID)
	}
}

// awayText says what an operator can do about a node that is away, and what speaks
// against it now; "" for any other node.
func (c *Core) awayText(cl *cluster, s *slot) string {
	if !s.isAway() {
		return ""
	}
	where, text := fmt.Sprintf("agent %s (%s)", s.hostname(), s.Bind.AgentID), ""
	switch {
	case s.volumeRemoved():
		text = "it has ended, and its volume is not on " + where + " any more, and Berth did not remove it: find out who did. Nothing is made anew in its place but by order: berth cluster replace "
	case s.isMissing():
		text = "it has ended, and the master does not list " + where + ", which holds its volume: wait, or bring the machine back; if it is lost, berth cluster replace "
	default:
		text = where + " cannot be reached, the node may run: wait, or bring the machine back; if it is lost, berth cluster replace "
	}
	text += s.Owner + " " + s.Name
	if p := c.mayReplace(cl, s, nil); p != nil {
		text += ", which would be refused now: " + p.Detail
	}
	return text
}

// awayHint is the same in short, for the whole cluster.
func (c *Core) awayHint(cl *cluster) string {
	var machines, removed []string
	for _, s := range cl.list() {
		switch {
		case s.volumeRemoved():
			removed = append(removed, s.Name)
		case s.isAway():
			machines = append(machines, s.Name)
		}
	}
	text := "see berth cluster explain " + cl.Spec.Name + " for what replacing them would do"
	if len(machines) > 0 {
		text = "bring the machines of " + someOf(machines) + " back, or " + text
	}
	if len(removed) > 0 {
		text = "find out who removed the volumes of " + someOf(removed) + "; " + text
	}
	return text
}

// replacedText says what becomes of a node that has a successor; "" for any other.
func (c *Core) replacedText(cl *cluster, s *slot) string {
	if s.Replacement == nil {
		return ""
	}
	r := s.Replacement
	text := fmt.Sprintf("replaced by %s on order of %s at %s (%s)", c.nameOf(r.By), orSomebody(r.User), r.At.UTC().Format(time.RFC3339), orNoReason(r.Message))
	if len(r.DataLoss) > 0 {
		text += ", the loss of " + someOf(r.DataLoss) + " being accepted"
	}
	next := cl.wanted()[s.place()]
	switch {
	case s.Want != state.WantReplaced && s.Bind != nil && s.Bind.Volume == state.KnownNo:
		return text + "; nothing of its volume is left"
	case s.Want != state.WantReplaced:
		return text + "; its volume is kept"
	case next == nil:
		return text
	case !launched(next):
		return text + ", which has no place yet: the order can be taken back"
	case !c.isBack(s):
		return text + "; should it come back, it is stopped once its successor has joined; its volume is kept"
	}
	if why := c.mayNotStop(cl, s, next); why != "" {
		return text + "; it is back and runs on: " + why
	}
	return text + "; it is back, and is stopped"
}

// judgeReplacements says whether every replacement is carried out.
func (c *Core) judgeReplacements(cl *cluster) {
	const typ = "Replacements"
	wanted := cl.wanted()
	var away, text string
	for _, s := range cl.list() {
		if s.Want != state.WantReplaced {
			continue
		}
		next := wanted[s.place()]
		switch {
		case next == nil:
		case !next.healthy():
			c.setCondition(cl, typ, "False", "SuccessorPending", "%s, which takes the place of %s, is %s", next.Name, s.Name, next.display())
			return
		case s.live() && s.Task.State != state.TaskUnreachable:
			text = fmt.Sprintf("%s is back beside its successor %s", s.Name, next.Name)
			if why := c.mayNotStop(cl, s, next); why != "" {
				text += ", and is not stopped: " + why
			}
		default:
			away = fmt.Sprintf("%s may come back beside its successor %s, and is then stopped: until then its machine counts for the host rule", s.Name, next.Name)
		}
	}
	switch {
	case text != "":
		c.setCondition(cl, typ, "False", "FormerNodeRuns", "%s", text)
	case away != "":
		c.setCondition(cl, typ, "True", "FormerNodeAway", "%s", away)
	default:
		c.setCondition(cl, typ, "True", "NoneOpen", "")
	}
}
