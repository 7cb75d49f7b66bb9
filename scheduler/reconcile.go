package scheduler

import (
	"maps"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
)

// reconciliation is the round of questions that follows each subscription and
// then each reconcilePeriod (Mesos rule 44): explicit for every task that may
// run, with agent ids, until all have answered or only silent agents are left,
// with back-off; then implicit. Silence is not death (rule 45): a task that does
// not answer stays what it was, and nothing is killed or released for it.
type reconciliation struct {
	waiting  map[string]*slot // by task id
	lostAt   time.Time        // when askLost last asked
	wait     time.Duration    // before the next round
	next     time.Time        // of the next round; zero = none
	implicit bool             // the implicit question of this round was sent
}

// answered takes a task off the list.
func (r *reconciliation) answered(taskID string) { delete(r.waiting, taskID) }

// subscribed starts everything over: offers of before are void, and nothing is
// known of any task until it is told (Mesos rules 8, 26, 44).
func (c *Core) subscribed(e Subscribed) {
	if c.framework.ID == "" {
		c.framework.ID = e.FrameworkID
		c.frameworkDirty = true
		c.why("registered as framework %s", e.FrameworkID)
		c.publish("Registered", "", "", "registered with Mesos as framework %s", e.FrameworkID)
	} else if c.framework.ID != e.FrameworkID {
		// The driver always names our id, so the master cannot answer with
		// another; if it did, every stored task would be somebody else's.
		c.why("the master answered with framework id %s instead of %s: ignored", e.FrameworkID, c.framework.ID)
		return
	}
	c.connected, c.subscribedAt = true, c.now
	c.demand, c.returned = demand{}, nil
	for _, s := range c.slots {
		s.confirmed, s.askedAt, s.killedAt, s.executorEnded = false, time.Time{}, time.Time{}, time.Time{}
		c.look[s.ID] = true
	}
	c.unknownUnheard()
	c.agentsWanted()
	c.startReconciliation()
	clear(c.unheard)
	for id := range c.reconcile.waiting {
		c.unheard[id] = true
	}
	for _, id := range slices.Sorted(maps.Keys(c.slots)) {
		c.askOperations(c.slots[id])
	}
	c.askRepairs()
}

func (c *Core) disconnected(e Disconnected) {
	c.connected = false
	c.reconcile = reconciliation{}
	for _, w := range c.waits {
		c.refuse(w.reply, v1.ProblemUnavailable("the subscription to the Mesos master ended before it could be asked"))
	}
	c.waits = nil
	c.why("subscription ended: %s", e.Reason)
}

// startReconciliation lists every task that may run. Tasks whose launch may
// still be on its way are left out: an early question would be answered "gone".
func (c *Core) startReconciliation() {
	r := &c.reconcile
	*r = reconciliation{waiting: map[string]*slot{}, lostAt: r.lostAt, wait: reconcileFirst, next: c.now}
	for _, s := range c.slots {
		if !s.live() {
			continue
		}
		launched := s.Task.LaunchedAt
		if s.Task.State != state.TaskStaging || launched.Before(c.subscribedAt) || !launched.Add(launchDeadline).After(c.now) {
			r.waiting[s.Task.ID] = s
		}
	}
	c.askBound()
	c.askUnknown()
}

// askBound asks for the ended tasks of slots that are bound to an agent: the one
// answer that counts is that an operator declared the agent gone for good, which
// nothing else would tell (Mesos rule 49). The others change nothing.
func (c *Core) askBound() {
	var ask []*slot
	for _, id := range slices.Sorted(maps.Keys(c.slots)) {
		if s := c.slots[id]; s.Task != nil && !s.live() && s.Bind != nil && s.Want != state.WantNothing {
			ask = append(ask, s)
		}
	}
	for chunk := range slices.Chunk(ask, reconcileChunk) {
		c.call(reconcileCall(chunk))
	}
}

// askLost asks, by each full view but not too often, for the nodes whose agent is
// not in it: whether an operator has declared it gone, of which the master tells
// nobody while the agent is unreachable (Mesos rule 49). Somebody is waiting for it.
func (c *Core) askLost() {
	if !c.connected || c.reconcile.lostAt.Add(askLostEvery).After(c.now) {
		return
	}
	c.reconcile.lostAt = c.now
	var ask []*slot
	for _, id := range slices.Sorted(maps.Keys(c.slots)) {
		s := c.slots[id]
		if s.Task == nil || s.Bind == nil || s.Want == state.WantNothing {
			continue
		}
		// Deleting a cluster waits for its tasks, and a node that is down for its agent.
		waits := s.Task.State == state.TaskUnreachable || !s.live() && (s.Want == state.WantRun || s.Want == state.WantReplaced)
		a := c.agents[s.Bind.AgentID]
		// The end of one that runs is told to nobody when it was not acknowledged
		// before its agent was declared gone.
		if waits && (a == nil || !a.active) || s.live() && a == nil {
			ask = append(ask, s)
		}
	}
	for chunk := range slices.Chunk(ask, reconcileChunk) {
		c.call(reconcileCall(chunk))
	}
}

func (c *Core) settleReconciliation() {
	r := &c.reconcile
	if !c.connected || r.next.IsZero() {
		return
	}
	if !r.next.After(c.now) {
		if r.implicit {
			c.startReconciliation()
		}
		c.askWaiting()
	}
	if len(r.waiting) == 0 && !r.implicit {
		c.call(&sched.Call{Type: sched.Call_RECONCILE, Reconcile: &sched.Call_Reconcile{}})
		r.implicit = true
		r.next = c.now.Add(reconcilePeriod)
		c.why("every task has answered: asking implicitly for unknown ones")
	}
	c.wakeAt(r.next)
}

func (c *Core) askWaiting() {
	r := &c.reconcile
	if len(r.waiting) == 0 {
		return
	}
	ids := slices.Sorted(maps.Keys(r.waiting))
	for chunk := range slices.Chunk(ids, reconcileChunk) {
		ask := make([]*slot, len(chunk))
		for i, id := range chunk {
			ask[i] = r.waiting[id]
		}
		c.call(reconcileCall(ask))
	}
	c.why("explicit reconciliation of %d tasks", len(ids))
	r.next = c.now.Add(r.wait)
	r.wait = min(2*r.wait, reconcileMost)
}

// reconcileCall asks for the slots' tasks by task id and the agent that they, or
// what they left behind, are bound to.
func reconcileCall(slots []*slot) *sched.Call {
	tasks := make([]sched.Call_Reconcile_Task, len(slots))
	for i, s := range slots {
		agentID := s.Task.AgentID
		if !s.live() {
			agentID = s.Bind.AgentID
		}
		tasks[i] = sched.Call_Reconcile_Task{
			TaskID:  mesos.TaskID{Value: s.Task.ID},
			AgentID: &mesos.AgentID{Value: agentID},
		}
	}
	return &sched.Call{Type: sched.Call_RECONCILE, Reconcile: &sched.Call_Reconcile{Tasks: tasks}}
}

// callFailed takes back what a call that was not delivered would have done.
func (c *Core) callFailed(e CallFailed) {
	c.why("%s was not delivered: %s", e.Call.GetType(), e.Err)
	switch e.Call.GetType() {
	case sched.Call_REVIVE, sched.Call_SUPPRESS:
		c.demand = demand{notBefore: c.now.Add(reviveEvery)}
	case sched.Call_ACCEPT:
		// It may have arrived: its tasks and operations are asked for after
		// their deadline, when it surely is not under way any more.
		c.giveBack(e.Call.GetAccept().GetOfferIDs())
	case sched.Call_DECLINE:
		c.giveBack(e.Call.GetDecline().GetOfferIDs())
	case sched.Call_RECONCILE:
		c.reconcile.next = c.now.Add(c.reconcile.wait)
	}
	// Everything else is repeated: KILL and RECONCILE by their own clocks,
	// acknowledgements because Mesos sends the update again (Mesos rule 40).
}

// giveBack notes offers that the master may still hold for us, to be declined
// again: otherwise they block others for as long as the subscription lasts
// (Mesos rule 25). A late ACCEPT of a declined offer does nothing (rule 20).
func (c *Core) giveBack(offers []mesos.OfferID) {
	if !c.connected {
		return // void
	}
	if len(c.returned) == 0 {
		c.returnAt = c.now.Add(reviveEvery)
	}
	if room := maxReturned - len(c.returned); len(offers) > room {
		offers = offers[:room]
	}
	c.returned = append(c.returned, offers...)
}

func (c *Core) settleReturned() {
	if !c.connected || len(c.returned) == 0 {
		return
	}
	if c.returnAt.After(c.now) {
		c.wakeAt(c.returnAt)
		return
	}
	c.call(&sched.Call{Type: sched.Call_DECLINE, Decline: &sched.Call_Decline{OfferIDs: c.returned, Filters: refuseFor(busyRefuse)}})
	c.returned = nil
}
