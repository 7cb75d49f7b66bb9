package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

// Replacing a node whose machine is lost, or whose volume somebody has removed. No
// timer does it: not knowing is not "gone". A person orders it, and the order is refused while it could cost data or
// the cluster, and while it is not known whether it would.
//
// The successor is another slot, under another node name, on another machine. Until
// it has been launched the order can be taken back, and takes itself back when the
// node returns in place. From then on the node that was there is on its way out: it
// is only kept from running on when it comes back, once its successor has joined and
// no shard's only copy is on it (see replaced.go). Its volume is kept in any case.
// A node whose volume was removed cannot come back: it gives up its place at once.

// nodeReplaceOrdered records the order, or says why not. A dry run says the same.
func (c *Core) nodeReplaceOrdered(e NodeReplaceOrdered) {
	accepted, problem := c.replaceNode(e)
	c.reply(e.Reply, accepted, problem)
}

func (c *Core) replaceNode(e NodeReplaceOrdered) (*v1.Accepted, *v1.Problem) {
	cl, s, problem := c.nodeOf(e.Cluster, e.Node)
	if problem != nil {
		return nil, problem
	}
	out := &v1.Accepted{Name: s.Name, Generation: cl.Generation, DryRun: e.DryRun}
	if cl.Deletion == nil && s.Want != state.WantRun && s.Replacement != nil {
		out.Successor = c.nameOf(s.Replacement.By)
		out.Message = fmt.Sprintf("was ordered already, by %s at %s: %s takes its place", orSomebody(s.Replacement.User), s.Replacement.At.UTC().Format(time.RFC3339), out.Successor)
		return out, nil
	}
	loss := slices.Sorted(slices.Values(e.AcceptDataLoss))
	if problem := c.mayReplace(cl, s, loss); problem != nil {
		c.agentsWanted() // it is likely to be asked again
		return nil, problem
	}
	out.Changed = true
	removed, kept := s.volumeRemoved(), keptText(s, loss)
	cause, where, until := "its agent %s (%s) being away", "another machine", "; until it is launched the order can be taken back"
	if removed {
		cause, where, until = "its volume being gone from agent %s (%s)", "any machine", ""
	}
	if e.DryRun {
		out.Message = fmt.Sprintf("would be replaced by a new node on %s: %s. %s", where, c.fitText(cl, s), kept)
		return out, nil
	}
	s.Want = state.WantReplaced
	if removed {
		// What is left of its reservation is given back. Should the volume be there
		// after all, an offer shows it, UNRESERVE fails (Mesos rule 31), and it is kept.
		s.Want, s.RetainUntil = state.WantRetain, c.now.Add(c.cfg.Retention)
		s.Bind.Volume = state.KnownNo
	}
	s.Replacement = &state.Replacement{Order: state.Order{At: c.now, User: e.User, Message: clip(e.Message)}, DataLoss: loss}
	next := c.newSlot(cl, plan.Node{Name: plan.NodeName(cl.Spec.Name, s.Set, s.Ordinal), Place: s.place()})
	s.Replacement.By = next.ID
	c.touch(s)
	c.publishSlot("NodeReplaceOrdered", s, "%s ordered it replaced, "+cause+": %s; %s takes its place on %s. %s",
		orSomebody(e.User), s.hostname(), s.Bind.AgentID, orNoReason(s.Replacement.Message), next.Name, where, kept)
	out.Successor = next.Name
	out.Message = fmt.Sprintf("%s takes its place on %s%s. %s", next.Name, where, until, kept)
	return out, nil
}

// keptText says what becomes of the data.
func keptText(s *slot, loss []string) string {
	text, accepted := fmt.Sprintf("Volume %s on %s is kept", s.ID, s.hostname()), ": what was there is on that volume only"
	if s.volumeRemoved() {
		text, accepted = fmt.Sprintf("Of volume %s on %s nothing is left to keep: what is still reserved for it is given back", s.ID, s.hostname()), ""
	}
	if len(loss) > 0 {
		text += "; the loss of " + someOf(loss) + " is accepted" + accepted
	}
	return text
}

// fitText says where a successor would find a place now.
func (c *Core) fitText(cl *cluster, s *slot) string {
	set, _ := plan.Set(cl.Spec.Spec, s.Set)
	next := &slot{Slot: state.Slot{
		Name: s.Name, Kind: s.Kind, Owner: s.Owner, OwnerIncarnation: s.OwnerIncarnation, Set: s.Set, Ordinal: s.Ordinal,
		Want: state.WantRun, Identity: s.Identity, Need: needOf(set), Replaces: s.ID,
	}}
	e := c.explainSlot(c.wholeSpace(cl, cl.Spec.Spec.Role), next)
	return fmt.Sprintf("%d of %d agents fit now", e.Fitting, e.Agents)
}

// nodeOf finds a node by its name: the one that is to run, or else the newest of
// those that were.
func (c *Core) nodeOf(clusterName, node string) (*cluster, *slot, *v1.Problem) {
	cl := c.clusters[clusterName]
	if cl == nil {
		return nil, nil, v1.ProblemNotFound("cluster", clusterName)
	}
	var found *slot
	for _, s := range cl.list() {
		if s.Name == node && (found == nil || found.Want != state.WantRun && (s.Want == state.WantRun || s.CreatedAt.After(found.CreatedAt))) {
			found = s
		}
	}
	if found == nil {
		return nil, nil, v1.ProblemNotFound("node", node)
	}
	return cl, found, nil
}

// nameOf is the node name in a slot's id.
func (c *Core) nameOf(id string) string {
	if s := c.slots[id]; s != nil {
		return s.Name
	}
	name, _, _ := strings.Cut(id, ".")
	return name
}

// isMissing reports whether a node that is to run has surely ended, and the master
// does not list the agent that holds its volume.
func (s *slot) isMissing() bool {
	return !sparkKind(s.Kind) && s.Want == state.WantRun && s.Bind != nil && !s.live() && s.agentAway
}

// volumeRemoved reports whether a node that is to run has surely ended, and its agent
// is there without the volume that had its data, which no operation of ours has
// removed. A volume without data is made anew by a repair.
func (s *slot) volumeRemoved() bool {
	return !sparkKind(s.Kind) && s.Want == state.WantRun && s.Bind != nil && !s.live() && s.volumeGone && s.Bind.HasData && !s.agentAway
}

// isAway reports whether a node that is to run may be lost with its machine, or is
// without its volume.
func (s *slot) isAway() bool {
	return s.isMissing() || s.volumeRemoved() || s.Want == state.WantRun && s.live() && s.Task.State == state.TaskUnreachable
}

// isThere reports whether an agent is connected to the master, as far as that is known.
func (c *Core) isThere(agentID string) bool {
	a := c.agents[agentID]
	return a != nil && a.active
}

// mayReplace is the rule: nil, or why a node must not be replaced now. accepted are
// the indices whose loss is accepted, sorted. Everything that is not known is a
// reason against it. It changes nothing: views ask it too.
func (c *Core) mayReplace(cl *cluster, s *slot, accepted []string) *v1.Problem {
	for _, ask := range []func(*cluster, *slot) *v1.Problem{c.notAway, c.notKnown, c.quorumAtRisk} {
		if p := ask(cl, s); p != nil {
			return p
		}
	}
	return c.dataAtRisk(cl, s, accepted)
}

// notAway refuses to replace a node that is not away, and says what to do instead.
func (c *Core) notAway(cl *cluster, s *slot) *v1.Problem {
	no := func(format string, args ...any) *v1.Problem {
		return v1.ProblemConflict("the node is not to be replaced", s.Name+" "+fmt.Sprintf(format, args...))
	}
	switch {
	case cl.Deletion != nil:
		return no("is of a cluster that is being deleted")
	case s.Want == state.WantNothing:
		return no("was lost with its agent, and its successor was made then: see berth cluster nodes %s", s.Owner)
	case s.Want != state.WantRun:
		return no("has a successor already, and is %s", s.display())
	case s.Bind == nil:
		return no("has no place yet, so there is nothing to replace: see berth cluster explain %s", s.Owner)
	case s.isAway(), !s.live() && !c.isThere(s.Bind.AgentID):
		return nil
	case !s.live() && s.missing:
		return no("has ended, and what is gone of it from agent %s (%s) held no data: berth volumes repair plan --finding %s makes it anew", s.hostname(), s.Bind.AgentID, s.ID)
	case !s.live():
		return no("has ended, and agent %s (%s), which holds its volume, is listed by the master: it is started there again (%s)", s.hostname(), s.Bind.AgentID, cmp.Or(s.message(), s.display()))
	}
	return no("is %s on %s, whose agent has not been lost: if the machine is dead, wait until the master notices it, within about a minute and a half", s.display(), s.hostname())
}

// notKnown refuses while what the decision rests on is not known, or not any more.
func (c *Core) notKnown(cl *cluster, s *slot) *v1.Problem {
	unknown := func(format string, args ...any) *v1.Problem {
		return v1.NewProblem(409, v1.CodeFactsMissing, "it is not known whether the node can be replaced", fmt.Sprintf(format, args...))
	}
	agent := c.agents[s.Bind.AgentID]
	switch {
	case !c.connected:
		return unknown("Berth is not subscribed to a Mesos master: whether %s is away is not known", s.Name)
	case s.live() && !s.confirmed:
		return unknown("Mesos has not told of %s since Berth subscribed: wait for its answer", s.Task.ID)
	case s.live() && agent != nil && agent.active && agent.seen.After(s.Task.Since):
		return unknown("agent %s (%s) is back, and what became of %s is being asked: wait for the answer", s.hostname(), s.Bind.AgentID, s.Name)
	case s.volumeRemoved():
		if why := c.notSeen(s.Bind.AgentID); why != "" {
			return unknown("whether volume %s is still gone from %s: %s", s.ID, s.hostname(), why)
		}
	case !s.live() && (!s.agentAway || agent != nil || c.observedAt.Before(c.subscribedAt) || c.observedAt.Add(2*agentsRoutine).Before(c.now)):
		return unknown("the master has not shown its agents lately, or waits for %s itself: whether it comes back is not known; repeat it in a few seconds", s.hostname())
	}
	return cl.notObserved(c.now, s)
}

// notSeen says why the master's last view does not tell what an agent holds, "" if it
// does.
func (c *Core) notSeen(agentID string) string {
	if why := c.witnessStale(c.now); why != "" {
		return why
	}
	if c.observedAt.Before(c.subscribedAt) {
		return "the master has not shown its agents since Berth subscribed"
	}
	i, listed := c.held.byAgent[agentID]
	if !listed {
		return whyNotListed
	}
	return c.held.views[i].Unknown
}

// notObserved refuses without a full answer of Elasticsearch that knows of all that
// is away.
func (cl *cluster) notObserved(now time.Time, s *slot) *v1.Problem {
	unknown := func(format string, args ...any) *v1.Problem {
		return v1.NewProblem(409, v1.CodeFactsMissing, "it is not known whether the node can be replaced",
			"where the copies of this cluster's shards are is not known: "+fmt.Sprintf(format, args...))
	}
	full := cl.awayFull
	switch {
	case cl.ClusterUUID == "":
		return unknown("it has not formed yet. Bring the machine back; or declare the agent gone in Mesos, and the node is placed anew")
	case cl.noMaster:
		return v1.NewProblem(409, v1.CodeQuorumAtRisk, "the cluster has no elected master", fmt.Sprintf(
			"%d of its %d master-eligible nodes answer: a successor of %s has no vote, and cannot bring the majority back. Bring back a machine of one that is away", cl.mastersHealthy(), len(plan.Masters(cl.Spec)), s.Name))
	case cl.observeErr != "":
		return unknown("Elasticsearch does not answer: %s", cl.observeErr)
	case !cl.awayFull.Full || cl.awayAsked.Add(replaceTrusted).Before(now):
		return unknown("Elasticsearch has not told it lately; it is asked all the time: repeat it in a few seconds")
	case !slices.Equal(full.Away, cl.away()):
		return unknown("since Elasticsearch was asked, other nodes are away: repeat it in a few seconds")
	case full.TimedOut:
		return unknown("the elected master is behind with its work, and what it says may be old: repeat it in a few seconds")
	}
	return nil
}

func (cl *cluster) mastersHealthy() int {
	n, masters := 0, cl.masterEligible()
	for _, s := range cl.list() {
		if masters[s.Set] && s.healthy() {
			n++
		}
	}
	return n
}

// quorumAtRisk refuses to replace a voting master where that could leave the
// cluster without a majority, or with two.
func (c *Core) quorumAtRisk(cl *cluster, s *slot) *v1.Problem {
	risk := func(format string, args ...any) *v1.Problem {
		return v1.NewProblem(409, v1.CodeQuorumAtRisk, "the masters' majority would be at risk", fmt.Sprintf(format, args...))
	}
	masters := cl.masterEligible()
	if !masters[s.Set] {
		return nil
	}
	n := len(plan.Masters(cl.Spec))
	if n == 1 {
		return risk("%s is the only master-eligible node: what the cluster knows of itself is on its volume alone. %s", s.Name, s.bringBack())
	}
	if s.volumeRemoved() {
		return nil // it cannot come back beside its successor
	}
	// Versions before 7 take any minimum_master_nodes for a majority. With an even
	// number of masters one more leaves it one; with an odd number it does not.
	if version, err := v1.ParseVersion(cl.lowestVersion()); (err != nil || !version.AtLeast(7, 0)) && n%2 == 1 {
		return risk("Elasticsearch %s elects a master with %d of %d votes: should %s come back beside its successor, two halves of %d could each elect one. Bring its machine back; or, if it surely never comes back, declare the agent gone in Mesos, and a successor is made",
			cl.Spec.Spec.Version, n/2+1, n, s.Name, n+1)
	}
	wanted := cl.wanted()
	for _, o := range cl.list() {
		if !masters[o.Set] || o == s {
			continue
		}
		next := wanted[o.place()]
		if o.Want == state.WantReplaced && (next == nil || !next.healthy()) {
			return risk("master-eligible node %s is being replaced already: one at a time, so wait until its successor is healthy", o.Name)
		}
		// One that has surely ended is retired as soon as its successor is launched,
		// which has no vote before it has joined.
		if o.Want == state.WantRun && o.Replaces != "" && (o.Bind == nil || !o.Bind.HasData) {
			return risk("master-eligible node %s is being replaced already: one at a time, so wait until %s, its successor, is healthy", c.nameOf(o.Replaces), o.Name)
		}
	}
	return nil
}

// dataAtRisk refuses while a shard has no started copy but on the node's volume, or
// where that is not known, unless exactly the loss of these indices is accepted.
func (c *Core) dataAtRisk(cl *cluster, s *slot, accepted []string) *v1.Problem {
	risks := c.risksOf(cl, s)
	indices := map[string]bool{}
	for i := range risks {
		indices[risks[i].Index] = true
	}
	names := slices.Sorted(maps.Keys(indices))
	whole := cl.awayFull.AtRiskTotal <= len(cl.awayFull.AtRisk)
	if slices.Equal(names, accepted) && whole {
		return nil
	}
	p := v1.NewProblem(409, v1.CodeDataAtRisk, "data would be lost", "")
	for i := range risks {
		p.AtRisk = append(p.AtRisk, c.riskView(cl, &risks[i]))
	}
	switch {
	case !whole:
		p.Detail = fmt.Sprintf("more shards have no started copy than Elasticsearch's answer lists, of %d indices or more: so much cannot be given up by name. %s, or first the machines of other nodes that are away", cl.awayFull.AtRiskTotal, s.bringBack())
	case len(names) == 0:
		p.Title = "no data would be lost"
		p.Detail = fmt.Sprintf("the loss of %s was accepted, but every shard has a started copy elsewhere now: repeat it without", someOf(accepted))
	case len(accepted) > 0:
		p.Detail = fmt.Sprintf("the loss of %s was accepted, but what would be lost now is %s: look again", someOf(accepted), someOf(names))
	case s.volumeRemoved():
		p.Detail = fmt.Sprintf("shards of %s have no started copy, and volume %s is gone from %s. %s; or, to give these shards up, accept exactly this loss, and restore what a snapshot has", someOf(names), s.ID, s.hostname(), s.bringBack())
	default:
		p.Detail = fmt.Sprintf("shards of %s have no started copy but, perhaps, on volume %s of %s. %s; or, to give these shards up, accept exactly this loss", someOf(names), s.ID, s.hostname(), s.bringBack())
	}
	return p
}

// bringBack says what is better than replacing a node that is away.
func (s *slot) bringBack() string {
	if s.volumeRemoved() {
		return "Find out who removed the volume of " + s.Name + ", and bring back the machines of other nodes that are away"
	}
	return "Bring the machine of " + s.Name + " back"
}

// risksOf are the shards without a started copy of which one may be on a node's
// volume. It may, unless all of their copies were surely elsewhere.
func (c *Core) risksOf(cl *cluster, s *slot) []observe.AtRisk {
	if set, ok := plan.Set(cl.Spec.Spec, s.Set); ok && !plan.HoldsData(set) {
		return nil
	}
	names, ids := map[string]bool{}, map[string]bool{} // of the other nodes
	for _, o := range cl.list() {
		if o.Name != s.Name {
			names[o.Name] = true
		}
		if o != s && o.Task != nil && o.Task.NodeID != "" {
			ids[o.Task.NodeID] = true
		}
	}
	if s.Task != nil {
		delete(ids, s.Task.NodeID)
	}
	return slices.DeleteFunc(slices.Clone(cl.awayFull.AtRisk), func(r observe.AtRisk) bool {
		elsewhere := func(known map[string]bool) func(string) bool { return func(n string) bool { return known[n] } }
		return !r.Unknown && all(r.On, elsewhere(names)) && all(r.Left, elsewhere(ids))
	})
}

func all(list []string, ok func(string) bool) bool {
	return !slices.ContainsFunc(list, func(x string) bool { return !ok(x) })
}

// riskView says for people where the copies of shards are thought to be.
func (c *Core) riskView(cl *cluster, r *observe.AtRisk) v1.IndexAtRisk {
	v := v1.IndexAtRisk{Index: r.Index, Shards: append([]int{}, r.Shards...), ShardCount: r.ShardCount}
	on := slices.Clone(r.On)
	for _, id := range r.Left {
		name := "a node that has left (" + id + ")"
		for _, s := range cl.list() {
			if s.Task != nil && s.Task.NodeID == id {
				name = s.Name
			}
		}
		on = append(on, name)
	}
	slices.Sort(on)
	text := strings.Join(slices.Compact(on), ", ")
	switch {
	case r.Reason == "not shown":
		v.Reason = "Elasticsearch does not show where its copies are: it is closed (open it to see), or was made just now"
	case r.Unknown && text == "":
		v.Reason = "where its copies are is not known (" + r.Reason + ")"
	case r.Unknown:
		v.Reason = "on " + text + ", and perhaps elsewhere (" + cmp.Or(r.Reason, "not told") + ")"
	default:
		v.Reason = "only on " + text
	}
	return v
}

// someOf names the first few.
func someOf(names []string) string {
	if len(names) <= maxRiskTold {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxRiskTold], ", "), len(names)-maxRiskTold)
}

// nodeReplaceCancelled takes an order back, while the successor has not been
// launched.
func (c *Core) nodeReplaceCancelled(e NodeReplaceCancelled) {
	cl, s, problem := c.nodeOf(e.Cluster, e.Node)
	if problem != nil {
		c.refuse(e.Reply, problem)
		return
	}
	if s.Want == state.WantRun && s.Replaces != "" && !launched(s) {
		// The successor's name means the same order.
		if old := c.slots[s.Replaces]; old != nil && old.Want == state.WantReplaced {
			s = old
		}
	}
	next := cl.wanted()[s.place()]
	switch {
	case s.Want == state.WantRun:
		c.acceptNamed(e.Reply, s.Name, "there was no order to replace it")
	case s.Want != state.WantReplaced:
		c.refuse(e.Reply, v1.ProblemConflict("too late", fmt.Sprintf("%s is %s: it cannot come back", s.Name, s.display())))
	case next == nil || launched(next):
		c.refuse(e.Reply, v1.ProblemConflict("too late", fmt.Sprintf("%s has been launched in the place of %s already", c.nameOf(s.Replacement.By), s.Name)))
	default:
		c.cancelReplacement(s, next, orSomebody(e.User)+" took the order back: "+orNoReason(e.Message))
		c.acceptNamed(e.Reply, s.Name, "keeps its place; Berth waits for its agent again")
	}
}

// dropHalfOrdered removes successors of nodes that are still to run: a commit ended
// between the two records, so that nobody was told of the order, or that it was taken
// back.
func (c *Core) dropHalfOrdered(cl *cluster) {
	for _, s := range cl.list() {
		if old := c.slots[s.Replaces]; old != nil && old.Want == state.WantRun && s.Want == state.WantRun && !launched(s) {
			c.why("%s is dropped: the order by which it was to replace %s is not on record", s.ID, old.ID)
			c.remove(s)
		}
	}
}

// launched reports whether a successor has a place, or may have had one that its
// record does not know: from then on it may be in the cluster. One whose launch came
// to nothing holds nothing, and is as good as never launched.
func launched(s *slot) bool { return s.Bind != nil || s.live() || restoredUnbound(s) }

// cancelReplacement puts a node back into its place; the successor has never been
// anywhere.
func (c *Core) cancelReplacement(s, next *slot, why string) {
	c.remove(next)
	s.Want, s.Replacement, s.safeSeen = state.WantRun, nil, 0
	c.touch(s)
	c.lookOwners[s.Owner] = true
	c.publishSlot("NodeReplaceCancelled", s, "it is not replaced after all, and keeps its volume: %s", why)
}
