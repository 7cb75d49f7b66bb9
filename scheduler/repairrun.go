package scheduler

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// How an approved repair is carried out. A step that frees a reservation waits for
// an offer that shows it, so that nothing uses it, and goes by the master's operator
// API when none comes. What it did is decided by a later view of the agent and by
// nothing else, so that a step that was sent twice, or whose answer was lost with a
// leader, ends the same. Before anything is sent the target is judged again.

// repairKey marks a repair's key on the agenda and among those that want an offer,
// apart from slot ids.
const repairKey = "repair/"

// The ways of a step.
const (
	byOffer    = "offer"
	byOperator = "operator API"
)

// startStep begins an approved step.
func (c *Core) startStep(r *state.Repair, i int) {
	st := &r.Steps[i]
	st.Since = c.now
	switch st.Action {
	case state.RepairDestroy:
		st.State, st.NotBefore = state.StepKept, c.now.Add(r.Retention)
	case state.RepairOrder:
		s := c.slots[st.Finding]
		s.Order = &state.Order{At: c.now, User: r.Approved.User, Message: clip(r.ID + ": " + orNoReason(r.Approved.Message))}
		c.touch(s)
		c.publish("VolumeDestroyOrdered", s.Owner, s.Name, "%s ordered volume %s destroyed by %s, not before %s", orSomebody(r.Approved.User), s.ID, r.ID, s.RetainUntil.UTC().Format("2006-01-02 15:04 MST"))
		c.endStep(r, i, state.StepDone, "its destruction is ordered: berth volumes restore "+s.ID+" takes that back")
	case state.RepairRecreate, state.RepairReserve:
		c.restore(c.slots[st.Finding], st.Action)
		c.endStep(r, i, state.StepDone, "the node goes on with the next offer that fits")
	default:
		st.State = state.StepReady
	}
}

// restore lets a slot make anew what is missing, by the ways that it has anyway.
func (c *Core) restore(s *slot, action state.RepairAction) {
	b := s.Bind
	held, reserved, _ := c.held.find(b.AgentID, s.ID)
	whole := reserved && s.shownWhole(&held)
	switch {
	case action == state.RepairReserve && b.Volume == state.KnownYes:
		// The volume keeps it there; the rest is topped up from what is free.
		b.Reserved = state.KnownNo
	case whole:
		b.Volume = state.KnownNo
	case reserved:
		// A part is left, and no volume that binds it: it is given back first.
		b.Volume, b.CreateFailures = state.KnownNo, createTries
	default:
		b.Reserved, b.Volume = state.KnownNo, state.KnownNo
	}
	c.why("%s: a person approved that it is made anew: reserved %s, volume %s", s.ID, b.Reserved, b.Volume)
	c.touch(s)
}

// endStep ends a step and says so.
func (c *Core) endStep(r *state.Repair, i int, how state.RepairState, message string) {
	st := &r.Steps[i]
	st.State, st.Since, st.Message = how, c.now, clipTo(message, maxRepairText)
	st.DestroyOp, st.UnreserveOp, st.Call = "", "", ""
	c.touchRepair(r)
	c.publish("RepairStep", st.Owner, st.Node, "%s, step %d (%s %s on %s): %s: %s", r.ID, i+1, st.Action, nameOf(st), orAgent(st), how, st.Message)
}

// nameOf is what a person knows a target by: its label, if it has one.
func nameOf(st *state.RepairStep) string { return cmp.Or(st.Label, st.Finding) }

func orAgent(st *state.RepairStep) string {
	if st.Hostname == "" {
		return st.AgentID
	}
	return st.Hostname
}

// settleRepairs looks at every repair that was touched or is due.
func (c *Core) settleRepairs() {
	for _, id := range c.repairOrder() {
		if c.lookRepairs[id] {
			c.settleRepair(c.repairs[id])
		}
	}
	clear(c.lookRepairs)
}

func (c *Core) settleRepair(r *state.Repair) {
	key := repairKey + r.ID
	var next time.Time
	at := func(t time.Time) {
		if t.After(c.now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	open, wants := 0, false
	for i := range r.Steps {
		st := &r.Steps[i]
		if r.Approved != nil && st.State == state.StepKept && !st.NotBefore.After(c.now) {
			st.State, st.Since = state.StepReady, c.now
			c.changedRepairs[r.ID] = true
			c.why("%s, step %d: the retention time of %s is over", r.ID, i+1, st.Finding)
		}
		switch st.State {
		case state.StepKept:
			at(st.NotBefore)
		case state.StepReady:
			wants = c.settleReady(r, i, at) || wants
		case state.StepSent:
			c.settleSent(r, i, at)
		}
		if !st.State.Ended() {
			open++
		}
	}
	if open == 0 && r.EndedAt.IsZero() {
		r.EndedAt = c.now
		c.changedRepairs[r.ID] = true
		c.publish("RepairDone", "", "", "%s has ended: %s", r.ID, repairSummary(r))
		c.outcome("repair", r.ID, "")
	}
	if wants {
		c.wanting[key] = true
	} else {
		delete(c.wanting, key)
	}
	c.agenda.set(key, next)
}

// mayFree says why nothing may be freed yet, "" if it may: like every destruction,
// not before all that may run has answered, and only on what this subscription's
// view shows of the agent (Mesos rules 38, 45).
func (c *Core) mayFree(st *state.RepairStep) string {
	v := c.held.view(st.AgentID)
	switch {
	case !c.recovered():
		return "tasks have not answered reconciliation yet"
	case c.witnessStale(c.now) != "":
		return c.witnessStale(c.now)
	case c.observedAt.Before(c.subscribedAt):
		return "the master has not been asked since Berth subscribed"
	case v == nil:
		return whyNotListed
	case v.Unknown != "":
		return v.Unknown
	case c.targets[st.Finding] == volumes.ClassUnknown:
		return "whether it is still what was approved cannot be told now"
	}
	return ""
}

// settleReady looks after a step that is to be done: it wants an offer, and goes by
// the operator API when none has come for long.
func (c *Core) settleReady(r *state.Repair, i int, at func(time.Time)) (wantsOffer bool) {
	st := &r.Steps[i]
	if st.NotBefore.After(c.now) {
		at(st.NotBefore)
		return false
	}
	if why := c.mayFree(st); why != "" {
		c.holdStep(r, st, "waits: "+why)
		at(c.now.Add(agentsRoutine)) // and with each view of the agents
		return false
	}
	patience := repairPatience
	if st.Destroyed && st.By == byOperator && st.Refusals == 0 {
		patience = 0 // the rest goes the same way
	}
	due := st.Since.Add(patience)
	if st.NotBefore.After(st.Since) {
		due = st.NotBefore.Add(patience)
	}
	if due.After(c.now) {
		c.holdStep(r, st, "waits for an offer of its agent")
		at(due)
		return true
	}
	return !c.freeByOperator(r, i, at)
}

func (c *Core) holdStep(r *state.Repair, st *state.RepairStep, message string) {
	if message = clipTo(message, maxRepairText); st.Message != message {
		st.Message = message
		c.changedRepairs[r.ID] = true
	}
}

// freeIn carries out the steps whose targets one batch of offers shows.
func (c *Core) freeIn(b *batch) {
	var shown []volumes.Reserved
	read := false
	for _, id := range c.repairOrder() {
		r := c.repairs[id]
		if !active(r) {
			continue
		}
		for i := range r.Steps {
			st := &r.Steps[i]
			if st.State != state.StepReady || st.AgentID != b.agent.id || st.NotBefore.After(c.now) || c.mayFree(st) != "" {
				continue
			}
			if !read {
				read = true
				for j := range b.offers {
					shown = append(shown, volumes.Inventory([]string{b.role}, c.cfg.Principal, b.offers[j].Resources)...)
				}
			}
			for j := range shown {
				if shown[j].ID(b.agent.id) == st.Finding {
					c.freeOffered(b, r, i, &shown[j])
					break
				}
			}
		}
	}
}

// freeOffered frees what one offer shows of a step's target, which may be a part.
func (c *Core) freeOffered(b *batch, r *state.Repair, i int, held *volumes.Reserved) {
	st := &r.Steps[i]
	if why := c.notApproved(st, held); why != "" {
		c.endStep(r, i, state.StepSkipped, why)
		return
	}
	destroy, unreserve := held.Undo()
	if len(destroy)+len(unreserve) == 0 {
		return
	}
	attempt := c.sendStep(r, i, byOffer, "")
	if len(destroy) > 0 {
		st.DestroyOp = operationID(attempt, verbDestroy)
		b.ops = append(b.ops, volumes.DestroyOp(st.DestroyOp, destroy))
	}
	if len(unreserve) > 0 {
		st.UnreserveOp = operationID(attempt, verbUnreserve)
		b.ops = append(b.ops, volumes.UnreserveOp(st.UnreserveOp, unreserve))
	}
}

// sendStep notes a try, before it leaves, and returns its name.
func (c *Core) sendStep(r *state.Repair, i int, by, why string) string {
	st := &r.Steps[i]
	st.Attempt++
	st.Refusal = ""
	st.State, st.Since, st.By, st.Message = state.StepSent, c.now, by, "under way by "+by+why
	c.touchRepair(r)
	c.why("%s, step %d: %s %s on %s by %s%s", r.ID, i+1, st.Action, nameOf(st), orAgent(st), by, why)
	return fmt.Sprintf("%s.%d.%d", r.ID, i+1, st.Attempt)
}

// notApproved says why a target is not what was approved, "" if it is: it belongs to
// a slot now, or holds more than the person was shown.
func (c *Core) notApproved(st *state.RepairStep, held *volumes.Reserved) string {
	if s := c.slots[held.Label]; s != nil && !held.Foreign && (s.Bind == nil || s.Bind.AgentID == st.AgentID || s.elsewhere == st.AgentID) {
		return "it is of slot " + s.ID + " now"
	}
	if more := held.Extent().Beyond(st.Extent); more != "" {
		return "it holds more than was approved: " + more
	}
	return ""
}

// freeByOperator sends a step by the master's operator API; false when it still has
// to wait.
func (c *Core) freeByOperator(r *state.Repair, i int, at func(time.Time)) bool {
	st := &r.Steps[i]
	at(c.now.Add(agentsRoutine))
	if c.observedAt.Before(st.Since) || c.now.Sub(c.observedAt) > agentsRoutine {
		c.agentsWanted() // what it would free must be what is there now
		at(c.now.Add(agentsEvery))
		return false
	}
	held := c.unused(st.AgentID, st.Finding)
	if held == nil {
		c.holdStep(r, st, "waits: tasks use it")
		return false
	}
	if why := c.notApproved(st, held); why != "" {
		c.endStep(r, i, state.StepSkipped, why)
		return true
	}
	if c.operatorCalls() >= maxOperatorCalls {
		c.holdStep(r, st, "waits for other calls to the operator API")
		at(c.now.Add(agentsEvery))
		return false
	}
	call := OperatorCall{AgentID: st.AgentID}
	if call.Destroy, call.Unreserve = held.Undo(); len(call.Destroy) > 0 {
		call.Unreserve = nil // once the view shows that the volumes are gone (Mesos rule 31)
	}
	if len(call.Destroy)+len(call.Unreserve) == 0 {
		c.holdStep(r, st, "waits: tasks use it")
		return false
	}
	call.ID = c.sendStep(r, i, byOperator, ", because no offer of its agent showed it")
	st.Call = call.ID
	c.out.Operate = append(c.out.Operate, call)
	at(c.now.Add(launchDeadline))
	return true
}

// operatorCalls counts the calls without an answer.
func (c *Core) operatorCalls() int {
	n := 0
	for _, r := range c.repairs {
		for i := range r.Steps {
			if r.Steps[i].Call != "" {
				n++
			}
		}
	}
	return n
}

// settleSent asks for what was not answered, and then for a view that shows what
// came of it.
func (c *Core) settleSent(r *state.Repair, i int, at func(time.Time)) {
	st := &r.Steps[i]
	due := st.Since.Add(launchDeadline)
	switch {
	case st.DestroyOp+st.UnreserveOp != "":
		if !due.After(c.now) && c.connected {
			c.askStep(st)
			due = c.now.Add(launchDeadline)
			st.Since = c.now
			c.changedRepairs[r.ID] = true
		}
		at(due)
	case st.Call != "" && !due.After(c.now):
		// The answer went to a leader that is gone, or never came.
		st.Call, st.Since = "", c.now
		c.changedRepairs[r.ID] = true
		fallthrough
	case st.Call == "":
		pace := agentsRoutine
		if v := c.held.view(st.AgentID); v != nil && v.Unknown == "" {
			c.agentsWanted() // an agent that is away may be so for long
			pace = agentsEvery
		}
		at(c.now.Add(pace))
	default:
		at(due)
	}
}

// askStep asks for a step's operations (Mesos rule 37).
func (c *Core) askStep(st *state.RepairStep) {
	var ops []sched.Call_ReconcileOperations_Operation
	for _, id := range []string{st.DestroyOp, st.UnreserveOp} {
		if id != "" {
			ops = append(ops, sched.Call_ReconcileOperations_Operation{
				OperationID: mesos.OperationID{Value: id}, AgentID: &mesos.AgentID{Value: st.AgentID},
			})
		}
	}
	if len(ops) > 0 {
		c.call(&sched.Call{Type: sched.Call_RECONCILE_OPERATIONS, ReconcileOperations: &sched.Call_ReconcileOperations{Operations: ops}})
	}
}

// askRepairs starts over with a new subscription.
func (c *Core) askRepairs() {
	for _, id := range c.repairOrder() {
		r := c.repairs[id]
		c.lookRepairs[id] = true
		for i := range r.Steps {
			c.askStep(&r.Steps[i])
		}
	}
}

// stepOf finds the step of an attempt's name, "repair-7.3.2".
func (c *Core) stepOf(attempt string) (*state.Repair, int) {
	id, rest, _ := strings.Cut(attempt, ".")
	step, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(step)
	r := c.repairs[id]
	if r == nil || err != nil || n < 1 || n > len(r.Steps) {
		return nil, 0
	}
	return r, n - 1
}

// stepUpdated takes the feedback of a step's operation. Whatever it says, a view of
// the agent decides.
func (c *Core) stepUpdated(r *state.Repair, i int, id string, st mesos.OperationStatus) {
	step := &r.Steps[i]
	outcome := outcomeOf(st.State)
	switch {
	case outcome == opPending:
		return
	case id == step.DestroyOp:
		step.DestroyOp = ""
	case id == step.UnreserveOp:
		step.UnreserveOp = ""
	default:
		return // repeated
	}
	if outcome != opDone {
		step.Refusal = clipTo(strings.TrimRight(st.State.String()+": "+st.GetMessage(), ": "), maxRepairText)
		c.publish("OperationFailed", step.Owner, step.Node, "%s on %s: %s", strings.ToUpper(id[strings.LastIndexByte(id, '.')+1:]), orAgent(step), step.Refusal)
	}
	step.Since = c.now
	c.touchRepair(r)
	c.agentsWanted()
}

// operatorAnswered takes the answer to a call of the operator API. 202 says that it
// was taken, not that it is done (Mesos rule 6).
func (c *Core) operatorAnswered(e OperatorAnswered) {
	r, i := c.stepOf(e.ID)
	if r == nil || r.Steps[i].Call != e.ID {
		c.why("the operator API answered %s, which nobody waits for any more", e.ID)
		return
	}
	st := &r.Steps[i]
	st.Call, st.Since = "", c.now
	if e.Err != "" {
		st.Refusal = clipTo(e.Err, maxRepairText)
		c.publish("OperationFailed", st.Owner, st.Node, "%s of %s on %s by the operator API: %s", st.Action, nameOf(st), orAgent(st), st.Refusal)
	}
	c.touchRepair(r)
	c.agentsWanted()
}

// repairsViewed judges every open step by a view of the agents: what is gone, what
// is still there, and what is not what was approved any more.
func (c *Core) repairsViewed(entries []volumes.Entry, asked time.Time) {
	clear(c.targets)
	var open []string
	labels := map[string]bool{}
	for _, id := range c.repairOrder() {
		r := c.repairs[id]
		if !active(r) {
			continue
		}
		open = append(open, id)
		for i := range r.Steps {
			labels[r.Steps[i].Label] = true
		}
	}
	if len(open) == 0 {
		return
	}
	held := map[string]*volumes.Entry{}
	for i := range entries {
		if e := &entries[i]; e.Seen && labels[e.Holding.Label] {
			id := e.Holding.ID(e.AgentID)
			held[id], c.targets[id] = e, e.Class
		}
	}
	for _, id := range open {
		r := c.repairs[id]
		c.lookRepairs[id] = true
		for i := range r.Steps {
			if st := &r.Steps[i]; !st.State.Ended() && st.DestroyOp+st.UnreserveOp+st.Call == "" {
				c.stepViewed(r, i, held[st.Finding], asked)
			}
		}
	}
}

func (c *Core) stepViewed(r *state.Repair, i int, e *volumes.Entry, asked time.Time) {
	st := &r.Steps[i]
	sent := st.State == state.StepSent
	if v := c.held.view(st.AgentID); v == nil || v.Unknown != "" || asked.Before(st.Since) || sent && asked.Before(st.Since.Add(witnessLag)) {
		return // it cannot tell, or not yet (Mesos rule 38)
	}
	switch {
	case e == nil && sent:
		c.endStep(r, i, state.StepDone, "the master's view shows that it is gone, by "+st.By)
	case e == nil:
		c.endStep(r, i, state.StepSkipped, "somebody else has removed it")
	case e.Class != volumes.ClassOrphan && e.Class != volumes.ClassForeign && e.Class != volumes.ClassUnknown:
		c.endStep(r, i, state.StepSkipped, "it is "+string(e.Class)+" now: "+e.Record.Label)
	case c.notApproved(st, &e.Holding) != "":
		c.endStep(r, i, state.StepSkipped, c.notApproved(st, &e.Holding))
	case sent:
		c.again(r, i, len(e.Holding.Extent().Volumes))
	}
}

// again tries a step once more whose target is still there, or in part.
func (c *Core) again(r *state.Repair, i, volumesLeft int) {
	st := &r.Steps[i]
	st.State, st.Since, st.Message = state.StepReady, c.now, ""
	c.touchRepair(r)
	if st.Action == state.RepairDestroy && volumesLeft == 0 && !st.Destroyed {
		st.Destroyed, st.Refusals, st.Refusal, st.NotBefore = true, 0, "", time.Time{}
		return
	}
	if st.Refusal == "" {
		st.Refusal = "its agent still showed it"
	}
	if st.Refusals++; st.Refusals >= repairTries {
		c.endStep(r, i, state.StepFailed, fmt.Sprintf("still there after %d tries; the last: %s", st.Refusals, st.Refusal))
		return
	}
	st.NotBefore = c.now.Add(backoff(st.Refusals))
}
