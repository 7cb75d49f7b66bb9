package scheduler

import (
	"maps"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/berthdata/berth/scheduler/state"
)

// reconciliation is the round of questions that follows each subscription and
// then each reconcilePeriod (Mesos rule 44): explicit for every task that may
// run, with agent ids, until all have answered or only silent agents are left,
// with back-off; then implicit. Silence is not death (rule 45): a task that does
// not answer stays what it was, and nothing is killed or released for it.
type reconciliation struct {
	waiting  map[string]*slot // by task id
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
	c.demand = demand{}
	for _, s := range c.slots {
		s.confirmed, s.askedAt, s.killedAt = false, time.Time{}, time.Time{}
		c.look[s.ID] = true
	}
	c.agentsWanted()
	c.startReconciliation()
	for _, id := range slices.Sorted(maps.Keys(c.slots)) {
		c.askOperations(c.slots[id])
	}
}

func (c *Core) disconnected(e Disconnected) {
	c.connected = false
	c.reconcile = reconciliation{}
	c.why("subscription ended: %s", e.Reason)
}

// startReconciliation lists every task that may run. Tasks whose launch may
// still be on its way are left out: an early question would be answered "gone".
func (c *Core) startReconciliation() {
	r := &c.reconcile
	*r = reconciliation{waiting: map[string]*slot{}, wait: reconcileFirst, next: c.now}
	for _, s := range c.slots {
		if s.live() && (s.Task.State != state.TaskStaging || s.Task.LaunchedAt.Before(c.subscribedAt)) {
			r.waiting[s.Task.ID] = s
		}
	}
}

func (c *Core) settleReconciliation() {
	r := &c.reconcile
	if !c.connected || r.next.IsZero() {
		return
	}
	for id, s := range r.waiting {
		if !s.live() || s.Task.ID != id {
			delete(r.waiting, id)
		}
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

// reconcileCall asks for the slots' tasks by task and agent id.
func reconcileCall(slots []*slot) *sched.Call {
	tasks := make([]sched.Call_Reconcile_Task, len(slots))
	for i, s := range slots {
		tasks[i] = sched.Call_Reconcile_Task{
			TaskID:  mesos.TaskID{Value: s.Task.ID},
			AgentID: &mesos.AgentID{Value: s.Task.AgentID},
		}
	}
	return &sched.Call{Type: sched.Call_RECONCILE, Reconcile: &sched.Call_Reconcile{Tasks: tasks}}
}

// callFailed takes back what a call that was not delivered would have done.
func (c *Core) callFailed(e CallFailed) {
	c.why("%s was not delivered: %s", e.Call.GetType(), e.Err)
	switch e.Call.GetType() {
	case sched.Call_REVIVE, sched.Call_SUPPRESS:
		c.demand = demand{}
	case sched.Call_ACCEPT:
		// It may have arrived. Ask now, not after the deadline.
		for _, op := range e.Call.GetAccept().GetOperations() {
			for _, t := range op.GetLaunch().GetTaskInfos() {
				if s, _ := c.taskSlot(t.TaskID.Value); s != nil {
					s.askedAt = time.Time{}
					c.look[s.ID] = true
				}
			}
		}
	case sched.Call_RECONCILE:
		c.reconcile.next = c.now.Add(c.reconcile.wait)
	}
	// Everything else is repeated: KILL and RECONCILE by their own clocks,
	// acknowledgements because Mesos sends the update again (Mesos rule 40).
}
