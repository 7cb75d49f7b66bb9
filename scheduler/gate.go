package scheduler

import "fmt"

// The recovery gate. A core that has just been loaded, or has just subscribed
// again, knows what was durable and not what has become of it since. Until it has
// been told, it does nothing that could not be undone:
//
//   - New refuses records that it cannot read as a whole, so that nothing is ever
//     decided on half a state or on one of a newer schema.
//   - A task is killed only after this subscription told its own state (kill), a
//     former life only after it told that of the newest one (otherLife), and a
//     task that no record explains only by a recorded order (settleKill).
//   - A volume is destroyed only after every task that may run has answered
//     (recovered), however long ago its destruction was ordered.
//   - A node is given a new place, be it the successor of a lost one, only after
//     every task of its own cluster has answered (awaited). One that goes back to
//     its own reservation needs no gate: its own end is on record.
//   - After a restore, a node that had no place at the time of the backup may have
//     found one since: it waits for a full view of the agents, is bound to where its
//     label is found, and otherwise takes a label of its own (restoredUnbound).
//
// Silence keeps the gate shut: while agents recover, nobody answers for their
// tasks (Mesos rule 45). It ends: the master gives up on agents that do not come
// back, within ten minutes (rule 47), and answers UNREACHABLE, after which nothing
// is known of the task, but nothing more will be.

// heard takes a task's word, or its end: the gate waits for it no more.
func (c *Core) heard(taskID string) {
	c.reconcile.answered(taskID)
	delete(c.unheard, taskID)
}

// recovered reports whether every task that may run has answered since the
// subscription.
func (c *Core) recovered() bool { return c.connected && len(c.unheard) == 0 }

// awaited counts the tasks of a cluster that have not answered since the
// subscription.
func (c *Core) awaited(cl *cluster) int {
	if len(c.unheard) == 0 {
		return 0
	}
	n := 0
	for _, s := range cl.slots {
		if s.live() && c.unheard[s.Task.ID] {
			n++
		}
	}
	return n
}

// awaitedText says what nodes without a place wait for besides an offer, "" if
// nothing.
func (c *Core) awaitedText(cl *cluster) string {
	if n := c.awaited(cl); n > 0 {
		return fmt.Sprintf("the answers of %d tasks of this cluster to reconciliation: nothing is placed anew before", n)
	}
	return ""
}

// restoredUnbound reports whether a slot had no place when the backup was taken that
// it comes from, and has not had one since: it may have had one in between.
func restoredUnbound(s *slot) bool {
	last := int64(0)
	if s.Task != nil {
		last = s.Task.Life
	}
	return s.Bind == nil && s.Life-last >= restoreGap
}

// viewedWhole reports whether a view of all agents was asked for since the
// subscription that left none of them out.
func (c *Core) viewedWhole() bool {
	return c.connected && c.held.whole && !c.observedAt.Before(c.subscribedAt)
}
