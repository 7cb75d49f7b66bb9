package scheduler

import (
	"fmt"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler/state"
)

// taskUpdated takes one status update. It may repeat, be late or be of an older
// life, so everything here is idempotent; it is acknowledged only after the
// Writes of this step, by the order rule of Decision (Mesos rule 40).
func (c *Core) taskUpdated(st mesos.TaskStatus) {
	defer c.acknowledge(st)
	id := st.TaskID.Value
	s, life := c.taskSlot(id)
	switch {
	case s == nil, s.Task == nil, life > s.Task.Life:
		// A life that these records never launched is as unknown as a strange
		// slot: they are older than it, as after restoring a backup. The counter
		// of lives says nothing here: a restore raises it.
		c.unknownTask(st)
	case life != s.Task.Life:
		c.forget(c.unknown[id])
		c.otherLife(s, st)
	default:
		s.confirmed = true
		c.heard(id)
		c.look[s.ID] = true
		c.currentLife(s, st)
	}
}

// acknowledge confirms an update that has a uuid (Mesos rules 40 and 46: answers
// to reconciliation have none).
func (c *Core) acknowledge(st mesos.TaskStatus) {
	if len(st.UUID) == 0 || st.AgentID == nil {
		return
	}
	c.call(&sched.Call{Type: sched.Call_ACKNOWLEDGE, Acknowledge: &sched.Call_Acknowledge{
		AgentID: *st.AgentID, TaskID: st.TaskID, UUID: st.UUID,
	}})
}

// executorFailed waits for the task's own update, which says how it ended. An agent
// that reboots before the update is acknowledged never sends it again, so the task
// is asked for when it does not come.
func (c *Core) executorFailed(e ExecutorFailed) {
	c.why("executor %s on agent %s ended with status %d: its task's own update decides", e.ExecutorID, e.AgentID, e.Status)
	// An executor has its task's id.
	if s, life := c.taskSlot(e.ExecutorID); s != nil && s.live() && s.Task.Life == life {
		s.executorEnded = c.now
		c.look[s.ID] = true
	}
}

// otherLife takes an update of a life that is not the newest. When it still
// runs, it is killed: its successor owns the slot (Mesos rule 42). That waits until
// this subscription has told of the successor; the implicit question that follows
// then brings this update again.
func (c *Core) otherLife(s *slot, st mesos.TaskStatus) {
	if ended(st.GetState()) || unreachable(st.GetState()) || st.AgentID == nil {
		return
	}
	if s.live() && c.unheard[s.Task.ID] {
		c.why("%s, a former life of %s, came back: not killed before %s has answered", st.TaskID.Value, s.Name, s.Task.ID)
		return
	}
	c.why("kill %s: a former life of %s came back", st.TaskID.Value, s.Name)
	c.publishSlot("FormerLifeKilled", s, "task %s, a former life, came back on agent %s and is killed", st.TaskID.Value, st.AgentID.Value)
	c.call(&sched.Call{Type: sched.Call_KILL, Kill: &sched.Call_Kill{TaskID: st.TaskID, AgentID: st.AgentID}})
}

// currentLife takes an update of the newest life.
func (c *Core) currentLife(s *slot, st mesos.TaskStatus) {
	t := s.Task
	if t.State == state.TaskEnded {
		c.afterEnd(s, st)
		return
	}
	if s.askedAt.After(s.executorEnded) {
		s.executorEnded = time.Time{} // whatever the answer is
	}
	t.Message = clip(st.GetMessage())
	t.Reason = reasonOf(st)
	switch st.GetState() {
	case mesos.TASK_STAGING:
		// What the master says of a task whose agent has not answered yet.
	case mesos.TASK_STARTING, mesos.TASK_RUNNING, mesos.TASK_KILLING:
		c.taskRuns(s, st)
	case mesos.TASK_UNREACHABLE, mesos.TASK_LOST, mesos.TASK_UNKNOWN:
		// It may be running: no kill, no replacement, no volume removed.
		if t.State != state.TaskUnreachable {
			// Its health is kept: reconciliation may leave it out on return.
			c.setTask(s, state.TaskUnreachable, t.Healthy)
			c.publishSlot("NodeUnreachable", s, "agent %s (%s) cannot be reached: waiting, nothing is replaced", s.hostname(), t.AgentID)
		}
	case mesos.TASK_GONE_BY_OPERATOR:
		if s.Need.Ephemeral {
			c.taskEnded(s, st) // it held nothing that is lost with the agent
			break
		}
		c.goneByOperator(s)
	default:
		c.taskEnded(s, st)
	}
	c.touch(s)
}

// afterEnd takes an update of a life that has ended on record. Most are late or
// repeated; but an operator may declare the agent gone that a slot without a task
// is bound to, and a life that was given up may turn out to run (Mesos rule 42).
func (c *Core) afterEnd(s *slot, st mesos.TaskStatus) {
	switch b := s.Bind; {
	case st.GetState() != mesos.TASK_GONE_BY_OPERATOR:
		if st.GetHealthy() && b != nil && st.GetAgentID().GetValue() == b.AgentID && !b.HasData {
			// Reconciliation told of the end before the agent told of this.
			b.HasData = true
			c.touch(s)
		}
		c.otherLife(s, st)
	case b != nil && !s.Need.Ephemeral && s.Want != state.WantNothing && st.GetAgentID().GetValue() == b.AgentID:
		c.goneByOperator(s)
		c.touch(s)
	}
}

func (c *Core) taskRuns(s *slot, st mesos.TaskStatus) {
	t := s.Task
	report, err := executor.DecodeReport(st.Data)
	if err != nil {
		// It changes nothing: the state alone counts.
		c.why("the report of %s cannot be read: %v", t.ID, err)
	}
	was, wasHealthy := t.State, t.Healthy
	s.drops = 0
	switch {
	case st.GetState() == mesos.TASK_STARTING && t.State != state.TaskRunning:
		c.setTask(s, state.TaskStarting, false)
	case st.GetState() != mesos.TASK_STARTING:
		healthy := st.GetHealthy()
		if st.Healthy == nil {
			healthy = wasHealthy // reconciliation's answers leave it out
		}
		c.setTask(s, state.TaskRunning, healthy)
	}
	// A task that runs has its reservation and its volume: LAUNCH used both.
	if b := s.Bind; b != nil && !s.Need.Ephemeral {
		b.Reserved, b.Volume, b.CreateFailures = state.KnownYes, state.KnownYes, 0
		b.ReserveOp, b.CreateOp = "", ""
	}
	if was == state.TaskUnreachable {
		s.elsewhere, s.killedAt, s.safeSeen = "", time.Time{}, 0
		c.publishSlot("NodeReachable", s, "%s is back on %s", t.ID, s.hostname())
	}
	if report.NodeID != "" {
		t.NodeID = report.NodeID
	}
	if t.Healthy && !wasHealthy {
		if s.Replaces != "" && !s.Bind.HasData {
			c.publishSlot("NodeReplaced", s, "it has taken the place of %s; Elasticsearch makes the copies anew that are missing", c.nameOf(s.Replaces))
		}
		s.Bind.HasData = !s.Need.Ephemeral
		c.publishSlot("NodeHealthy", s, "%s on %s %s", t.ID, s.hostname(), c.workloads[s.Kind].answers())
	} else if !t.Healthy && wasHealthy {
		c.publishSlot("NodeUnhealthy", s, "%s on %s does not answer: %s", t.ID, s.hostname(), t.Message)
	}
	if report.ClusterUUID != "" {
		c.clusterFormed(s.Owner, s.OwnerIncarnation, report.ClusterUUID)
	}
}

func (c *Core) setTask(s *slot, st state.TaskState, healthy bool) {
	t := s.Task
	if t.State != st || t.Healthy != healthy {
		t.Since = c.now
	}
	if st == state.TaskEnded {
		c.heard(t.ID)
	}
	if healthy && !t.Healthy {
		t.HealthySince = c.now
	}
	t.State, t.Healthy = st, healthy
}

// taskEnded takes a terminal update: the task surely does not run any more.
func (c *Core) taskEnded(s *slot, st mesos.TaskStatus) {
	t := s.Task
	neverRan := t.State == state.TaskStaging
	c.agentsWanted() // what is free there has changed
	c.setTask(s, state.TaskEnded, false)
	s.elsewhere = ""
	text := endText(st)
	if c.workloads[s.Kind].ended(s, st, neverRan) {
		return
	}
	if s.Want != state.WantRun {
		c.publishSlot("NodeStopped", s, "%s ended: %s", t.ID, text)
		return
	}
	if c.restarting(s) {
		// As ordered: no failure, and the next life may start at once.
		c.publish("NodeStopped", s.Owner, s.Name, "%s ended for its restart: %s", t.ID, text)
		c.lookOwners[s.Owner] = true
		return
	}
	switch {
	case st.GetState() == mesos.TASK_DROPPED, st.GetState() == mesos.TASK_GONE, st.GetReason() == mesos.REASON_INVALID_OFFERS:
		// The offer was stale or the agent never knew the task: nothing is
		// wrong with the node (Mesos rules 20 and 46). What became of the
		// operations of the same ACCEPT they answer for themselves; failing
		// that, the next offer or the operator API does (rule 38).
		if neverRan {
			c.dropped(s)
		}
		c.publishSlot("LaunchLost", s, "%s did not start or is gone (%s): trying again", t.ID, text)
	case neverRan && s.refusedLife == t.Life:
		// LAUNCH came with an operation that was refused; that was told already.
	default:
		c.failed(s, text)
		c.publishSlot("NodeFailed", s, "%s failed: %s; next try %s", t.ID, text, inText(s.NotBefore.Sub(c.now)))
	}
}

// goneByOperator takes the word of a person that the agent is gone for good: its
// volume counts as lost (Mesos rule 49), and a new slot takes the node's name.
func (c *Core) goneByOperator(s *slot) {
	c.setTask(s, state.TaskEnded, false)
	s.LastFailure = fmt.Sprintf("an operator declared agent %s (%s) gone: the volume on it is lost", s.Task.AgentID, s.hostname())
	c.publishSlot("NodeLost", s, "%s", s.LastFailure)
	if s.Want == state.WantRun {
		// The cluster's next look makes a successor under the same name.
		c.lookOwner(s)
	}
	s.Want = state.WantNothing
	c.workloads[s.Kind].lost(s)
}

// ended reports whether a task in this state surely does not run.
func ended(st mesos.TaskState) bool {
	switch st {
	case mesos.TASK_FINISHED, mesos.TASK_FAILED, mesos.TASK_KILLED, mesos.TASK_ERROR,
		mesos.TASK_DROPPED, mesos.TASK_GONE, mesos.TASK_GONE_BY_OPERATOR:
		return true
	}
	return false
}

// unreachable reports whether nothing certain is known of a task. LOST is among
// them: a PARTITION_AWARE framework gets it only where Mesos does not know
// either (Mesos rules 14 and 42).
func unreachable(st mesos.TaskState) bool {
	switch st {
	case mesos.TASK_UNREACHABLE, mesos.TASK_LOST, mesos.TASK_UNKNOWN:
		return true
	}
	return false
}

func (s *slot) hostname() string {
	if s.Bind == nil {
		return "no agent"
	}
	return s.Bind.Hostname
}

func reasonOf(st mesos.TaskStatus) string {
	if st.Reason == nil {
		return ""
	}
	return st.GetReason().String()
}

func endText(st mesos.TaskStatus) string {
	text := st.GetState().String()
	if r := reasonOf(st); r != "" {
		text += " (" + r + ")"
	}
	if m := st.GetMessage(); m != "" {
		text += ": " + clip(m)
	}
	return text
}
