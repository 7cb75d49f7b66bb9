package scheduler

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// A repair puts right what the ledger found. It is a plan: made from one audit,
// recorded, and carried out only after a person has approved exactly this plan.
// From then on each step is judged again before anything is sent, and skipped when
// its target is not what was approved: repairrun.go.

// repairPrefix begins the ids of repairs; no slot's id can begin so and go on with
// a number and a dot.
const repairPrefix = "repair-"

// repairAsked makes a plan from the present audit. It changes nothing else.
func (c *Core) repairAsked(e RepairAsked) {
	if why := c.witnessStale(c.now); why != "" {
		c.refuse(e.Reply, v1.ProblemUnavailable("a repair is planned from a fresh audit only: "+why))
		return
	}
	p := planning{core: c, named: map[string]bool{}, now: c.now}
	for _, id := range e.Findings {
		p.named[id] = true
	}
	problem := p.plan(e.Retained)
	if problem == nil {
		problem = c.roomForRepair()
	}
	if problem != nil {
		c.refuse(e.Reply, problem)
		return
	}
	retention := c.cfg.Retention
	if e.Retention != nil {
		retention = *e.Retention
	}
	r := &state.Repair{
		ID: repairPrefix + strconv.FormatInt(c.incarnation(), 10), WitnessAt: c.observedAt, Retention: retention,
		Planned: state.Order{At: c.now, User: e.User, Message: clipTo(e.Message, maxRepairText)},
		Steps:   p.steps, Left: p.left, LeftOut: p.leftOut,
	}
	r.Fingerprint = fingerprint(r)
	c.repairs[r.ID] = r
	c.touchRepair(r)
	c.publish("RepairPlanned", "", "", "%s planned %s: %d steps; nothing is done before it is approved", orSomebody(e.User), r.ID, len(r.Steps))
	c.acceptNamed(e.Reply, r.ID, fmt.Sprintf("%d steps; nothing is done before it is approved with its fingerprint %s", len(r.Steps), r.Fingerprint))
}

// planning is a plan in the making.
type planning struct {
	core    *Core
	now     time.Time
	named   map[string]bool // what a person named; empty: what may be planned unnamed
	steps   []state.RepairStep
	left    []state.RepairLeft
	leftOut int
}

// plan judges each finding. Without names it deals with orphans and with what is
// missing; what others own, and volumes that are kept, only when a person asks for
// it.
func (p *planning) plan(retained bool) *v1.Problem {
	lines := p.core.ledger(p.now)
	owners := p.core.ownersByNodeSet()
	known := map[string]bool{}
	for i := range lines {
		l := &lines[i]
		id := cmp.Or(l.finding, l.Record.Label)
		known[id] = true
		switch {
		case len(p.named) > 0 && !p.named[id]:
			continue
		case len(p.named) > 0:
		case l.Class == volumes.ClassRetained && retained && p.core.slots[id].Order == nil && !p.core.slots[id].RetainUntil.After(p.now):
		case l.Class == volumes.ClassForeign:
			p.leave(id, l.Class, "it is not Berth's: it is repaired only when it is named")
			continue
		case l.Class != volumes.ClassOrphan && l.Class != volumes.ClassMissing && l.Class != volumes.ClassUnknown:
			continue
		}
		step, why := p.step(l, id)
		if why == "" && len(p.steps) == maxRepairSteps {
			why = "there is no room for it in this plan: plan again once this one is done"
		}
		if why != "" {
			p.leave(id, l.Class, why)
			continue
		}
		if step.Node == "" {
			step.Owner, step.Node = belongedTo(step.Label, owners)
		}
		p.steps = append(p.steps, step)
	}
	for _, id := range slices.Sorted(maps.Keys(p.named)) {
		if !known[id] {
			return v1.ProblemNotFound("finding", id)
		}
	}
	switch {
	case len(p.named) > 0 && len(p.left) > 0:
		// What a person named is planned, or nothing is.
		return v1.ProblemConflict("cannot be repaired", p.left[0].Finding+": "+p.left[0].Message)
	case len(p.steps) == 0 && len(p.left) > 0:
		return v1.ProblemConflict("nothing can be repaired", fmt.Sprintf("%d findings cannot be repaired, such as %s: %s", len(p.left)+p.leftOut, p.left[0].Finding, p.left[0].Message))
	case len(p.steps) == 0:
		return v1.ProblemConflict("nothing to repair", "the ledger has no findings that a repair deals with")
	}
	return nil
}

func (p *planning) leave(id string, class volumes.Class, why string) {
	if len(p.left) == maxRepairLeft {
		p.leftOut++
		return
	}
	p.left = append(p.left, state.RepairLeft{Finding: id, Class: string(class), Message: clipTo(why, maxRepairText)})
}

// step is what can be done about one line of the ledger, or why nothing can.
func (p *planning) step(l *ledgerLine, id string) (state.RepairStep, string) {
	c := p.core
	st := state.RepairStep{
		Finding: id, Class: string(l.Class), AgentID: l.AgentID, Label: cmp.Or(l.Record.Label, l.Holding.Label),
		Role: l.Holding.Role, Principal: l.Holding.Principal, Extent: l.Holding.Extent(), State: state.StepPlanned, Since: p.now,
	}
	if a := c.agents[l.AgentID]; a != nil {
		st.Hostname = a.hostname
	}
	for _, label := range l.Holding.Labels[:min(len(l.Holding.Labels), maxRepairLabels)] {
		st.Labels = append(st.Labels, state.RepairLabel{Key: clipTo(label.Key, maxFindingText), Value: clipTo(label.GetValue(), maxFindingText)})
	}
	if other := c.repairOf(id); other != "" {
		return st, other + " deals with it already"
	}
	var why string
	switch l.Class {
	case volumes.ClassOrphan, volumes.ClassForeign:
		why = c.releasable(l, &st)
	case volumes.ClassMissing:
		why = c.restorable(l, &st)
	case volumes.ClassRetained:
		st.Action = state.RepairOrder
		if c.slots[id].Order != nil {
			why = "its destruction is ordered already"
		}
	case volumes.ClassUnknown:
		why = l.Why
	default:
		why = "it is " + string(l.Class) + ": there is nothing to repair"
	}
	if raw, err := json.Marshal(st); why == "" && (err != nil || len(raw) > maxRepairStep) {
		why = "it holds too much for one step of a plan: have those who made it give it back"
	}
	return st, why
}

// releasable judges a reservation that is to be given back.
func (c *Core) releasable(l *ledgerLine, st *state.RepairStep) string {
	switch v := c.held.view(l.AgentID); {
	case v == nil:
		return whyNotListed
	case v.Unknown != "":
		return v.Unknown
	case l.Holding.Providers():
		return "it is of a resource provider (CSI), whose disks Berth does not manage"
	}
	if used := c.inUse(l.AgentID, st.Finding, st.Extent); used != "" {
		return used
	}
	st.Action = state.RepairUnreserve
	if len(st.Extent.Volumes) > 0 {
		st.Action = state.RepairDestroy
	}
	return ""
}

// inUse says what of a reservation tasks use, by the master's last view; "" when
// nothing.
func (c *Core) inUse(agentID, finding string, whole volumes.Extent) string {
	free := c.unused(agentID, finding)
	if free == nil {
		return "tasks use it"
	}
	if used := whole.Beyond(free.Extent()); used != "" {
		return "tasks use a part of it: " + used
	}
	return ""
}

// unused is what of a reservation no task uses, by the master's last view; nil when
// there is none.
func (c *Core) unused(agentID, finding string) *volumes.Reserved {
	a := c.agents[agentID]
	if a == nil {
		return nil
	}
	for _, r := range volumes.Inventory(c.cfg.Roles, c.cfg.Principal, a.free) {
		if r.ID(agentID) == finding {
			return &r
		}
	}
	return nil
}

// restorable judges a slot of which something is missing. Where data was on what is
// missing, nothing is made anew in its place: an empty volume would look like one
// that has lost nothing.
func (c *Core) restorable(l *ledgerLine, st *state.RepairStep) string {
	s := c.slots[l.Record.Label]
	st.Owner, st.Node, st.Role, st.Principal = s.Owner, s.Name, s.Identity.Role, s.Identity.Principal
	switch {
	case s.Want == state.WantNothing:
		return "its agent was declared gone: berth volumes destroy " + s.ID + " removes the record"
	case s.Want != state.WantRun:
		return "its record ends by itself"
	case s.live():
		return "its task may run: " + s.Task.ID
	case s.unsure():
		return "an operation on it is under way"
	case s.Bind.Volume == state.KnownYes && l.Holding.Volume == nil && s.Bind.HasData:
		return "data was on the volume, so that none is made anew in its place. Once it is known who removed it, berth cluster replace " + s.Owner + " " + s.Name + " has its shards rebuilt by a new node"
	case s.Bind.Volume == state.KnownYes && l.Holding.Volume == nil:
		st.Action = state.RepairRecreate
	default:
		st.Action = state.RepairReserve
	}
	return ""
}

// repairOf names the approved repair that deals with a finding, "" for none.
func (c *Core) repairOf(finding string) string {
	for _, id := range c.repairOrder() {
		r := c.repairs[id]
		if !active(r) {
			continue
		}
		for i := range r.Steps {
			if r.Steps[i].Finding == finding && !r.Steps[i].State.Ended() {
				return id
			}
		}
	}
	return ""
}

// active: a repair that is being carried out.
func active(r *state.Repair) bool { return r.Approved != nil && r.EndedAt.IsZero() }

// repairOrder lists the ids of all repairs, oldest first.
func (c *Core) repairOrder() []string {
	return slices.SortedFunc(maps.Keys(c.repairs), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
}

// roomForRepair drops what is not needed any more: the oldest repair that has
// ended, or else the oldest that nobody approved.
func (c *Core) roomForRepair() *v1.Problem {
	ids := c.repairOrder()
	for len(c.repairs) >= maxRepairs {
		i := slices.IndexFunc(ids, func(id string) bool { r := c.repairs[id]; return r != nil && !r.EndedAt.IsZero() })
		if i < 0 {
			i = slices.IndexFunc(ids, func(id string) bool { r := c.repairs[id]; return r != nil && r.Approved == nil })
		}
		if i < 0 {
			return v1.ProblemConflict("too many repairs", fmt.Sprintf("%d repairs are under way: wait for one to end, or cancel one", maxRepairs))
		}
		c.dropRepair(ids[i])
	}
	return nil
}

func (c *Core) dropRepair(id string) {
	delete(c.repairs, id)
	delete(c.changedRepairs, id)
	delete(c.wanting, repairKey+id)
	c.agenda.set(repairKey+id, time.Time{})
	c.removed[state.Key(state.KindRepair+"/"+id)] = true
}

// touchRepair marks a repair as changed.
func (c *Core) touchRepair(r *state.Repair) {
	c.changedRepairs[r.ID] = true
	c.lookRepairs[r.ID] = true
}

// fingerprint sums up all that a repair would do: what it touches, how, and after
// how long.
func fingerprint(r *state.Repair) string {
	type step struct {
		Action  state.RepairAction
		Finding string
		AgentID string
		Label   string
		Extent  volumes.Extent
	}
	plan := struct {
		Retention time.Duration
		Steps     []step
	}{Retention: r.Retention}
	for i := range r.Steps {
		st := &r.Steps[i]
		plan.Steps = append(plan.Steps, step{st.Action, st.Finding, st.AgentID, st.Label, st.Extent})
	}
	raw, err := json.Marshal(plan)
	if err != nil {
		panic(fmt.Sprintf("scheduler: a plan cannot be encoded: %v", err)) // of integers and strings
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// repairApproved starts a repair, if it is still exactly what the person has seen.
func (c *Core) repairApproved(e RepairApproved) {
	r := c.repairs[e.ID]
	switch {
	case r == nil:
		c.refuse(e.Reply, v1.ProblemNotFound("repair", e.ID))
		return
	case e.Fingerprint != r.Fingerprint:
		c.refuse(e.Reply, v1.ProblemConflict("not the plan that is on record", fmt.Sprintf("%s has the fingerprint %s, not %s: look at it again", r.ID, r.Fingerprint, e.Fingerprint)))
		return
	case r.Cancelled != nil:
		c.refuse(e.Reply, v1.ProblemConflict("the repair was cancelled", fmt.Sprintf("%s was cancelled by %s: plan again", r.ID, orSomebody(r.Cancelled.User))))
		return
	case r.Approved != nil:
		c.acceptNamed(e.Reply, r.ID, fmt.Sprintf("was approved already, by %s at %s", orSomebody(r.Approved.User), r.Approved.At.UTC().Format(time.RFC3339)))
		return
	}
	if why := c.witnessStale(c.now); why != "" {
		c.refuse(e.Reply, v1.ProblemUnavailable("a repair is approved on a fresh audit only: "+why))
		return
	}
	if changed := c.changedSince(r); changed != "" {
		c.refuse(e.Reply, v1.ProblemConflict("changed since it was planned", "nothing is done; plan again: "+changed))
		return
	}
	r.Approved = &state.Order{At: c.now, User: e.User, Message: clipTo(e.Message, maxRepairText)}
	c.publish("RepairApproved", "", "", "%s approved %s (%s): %s", orSomebody(e.User), r.ID, r.Fingerprint, orNoReason(e.Message))
	for i := range r.Steps {
		c.startStep(r, i)
	}
	c.touchRepair(r)
	c.agentsWanted()
	c.acceptNamed(e.Reply, r.ID, repairSummary(r))
}

// changedSince says what of a plan is not any more as it was planned.
func (c *Core) changedSince(r *state.Repair) string {
	p := planning{core: c, now: c.now, named: map[string]bool{}}
	for i := range r.Steps {
		p.named[r.Steps[i].Finding] = true
	}
	lines := map[string]*ledgerLine{}
	all := c.ledger(c.now)
	for i := range all {
		lines[cmp.Or(all[i].finding, all[i].Record.Label)] = &all[i]
	}
	var changed []string
	for i := range r.Steps {
		was := &r.Steps[i]
		l := lines[was.Finding]
		if l == nil {
			changed = append(changed, nameOf(was)+" is not there any more")
			continue
		}
		now, why := p.step(l, was.Finding)
		switch {
		case why != "":
			changed = append(changed, nameOf(was)+": "+why)
		case now.Action != was.Action || now.AgentID != was.AgentID:
			changed = append(changed, fmt.Sprintf("%s: the step would be to %s it on agent %s", nameOf(was), now.Action, now.AgentID))
		case now.Extent.Beyond(was.Extent) != "" || was.Extent.Beyond(now.Extent) != "":
			changed = append(changed, fmt.Sprintf("%s holds %s, not %s", nameOf(was), now.Extent, was.Extent))
		}
	}
	const most = 5
	if n := len(changed); n > most {
		changed = append(changed[:most], fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(changed, "; ")
}

// repairCancelled takes a plan, or what of it has not begun, back.
func (c *Core) repairCancelled(e RepairCancelled) {
	r := c.repairs[e.ID]
	switch {
	case r == nil:
		c.refuse(e.Reply, v1.ProblemNotFound("repair", e.ID))
		return
	case e.Step < 0 || e.Step > len(r.Steps):
		c.refuse(e.Reply, v1.ProblemNotFound("step of "+r.ID, strconv.Itoa(e.Step)))
		return
	case !r.EndedAt.IsZero():
		c.refuse(e.Reply, v1.ProblemConflict("too late", r.ID+" has ended: "+repairSummary(r)))
		return
	case e.Step > 0 && r.Approved == nil:
		c.refuse(e.Reply, v1.ProblemConflict("not approved yet", r.ID+" can be cancelled as a whole, or planned again without that step"))
		return
	}
	stopped, late := 0, 0
	for i := range r.Steps {
		st := &r.Steps[i]
		switch {
		case e.Step > 0 && i != e.Step-1 || st.State.Ended():
		case st.State == state.StepSent:
			late++
		default:
			st.State, st.Since, st.Message = state.StepCancelled, c.now, "taken back by "+orSomebody(e.User)
			stopped++
		}
	}
	if stopped == 0 {
		c.refuse(e.Reply, v1.ProblemConflict("too late", fmt.Sprintf("nothing of it can be taken back any more: %s", repairSummary(r))))
		return
	}
	if e.Step == 0 {
		r.Cancelled = &state.Order{At: c.now, User: e.User, Message: clipTo(e.Message, maxRepairText)}
	}
	c.publish("RepairCancelled", "", "", "%s took %d steps of %s back: %s", orSomebody(e.User), stopped, r.ID, orNoReason(e.Message))
	c.touchRepair(r)
	message := fmt.Sprintf("%d steps are taken back", stopped)
	if late > 0 {
		message += fmt.Sprintf("; %d are under way and are finished", late)
	}
	c.acceptNamed(e.Reply, r.ID, message)
}

// repairSummary counts a repair's steps by state.
func repairSummary(r *state.Repair) string {
	count := map[state.RepairState]int{}
	for i := range r.Steps {
		count[r.Steps[i].State]++
	}
	var parts []string
	for _, st := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d %s", count[st], st))
	}
	return strings.Join(parts, ", ")
}
