package scheduler

import (
	"fmt"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/berthdata/berth/scheduler/state"
)

// live reports whether the slot's newest task runs or may run. Not knowing
// counts as running.
func (s *slot) live() bool { return s.Task != nil && s.Task.State != state.TaskEnded }

// healthy reports whether the node answered and had joined when last told.
func (s *slot) healthy() bool {
	return s.Task != nil && s.Task.State == state.TaskRunning && s.Task.Healthy
}

// since is when the slot came into the state it is in.
func (s *slot) since() time.Time {
	if s.Task != nil {
		return s.Task.Since
	}
	return s.CreatedAt
}

// settleSlot does what the slot's state asks for at this time and puts the slot
// on the agenda for when it next needs a look.
func (c *Core) settleSlot(s *slot) {
	var next time.Time
	at := func(t time.Time) {
		if !t.IsZero() && t.After(c.now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	wants := false
	switch {
	case s.Want == state.WantNothing:
		// Given up for lost; what shows up under another agent id is followed.
		wants = s.elsewhere != ""
	case s.Want == state.WantReplaced:
		wants = c.settleReplaced(s, at)
	case s.live():
		wants = c.settleLive(s, at)
	case s.Want == state.WantRun:
		wants = c.settleDown(s, at)
	default:
		wants = c.settleRelease(s, at)
	}
	if wants {
		c.wanting[s.ID] = true
	} else {
		delete(c.wanting, s.ID)
	}
	c.agenda.set(s.ID, next)
}

// settleLive looks after a slot whose task runs or may run.
func (c *Core) settleLive(s *slot, at func(time.Time)) (wantsOffer bool) {
	t := s.Task
	if t.State == state.TaskStaging {
		at(c.askAgain(s, t.LaunchedAt))
	}
	if !s.executorEnded.IsZero() {
		at(c.askAgain(s, s.executorEnded))
	}
	if t.State == state.TaskUnreachable && s.Need.Ephemeral {
		return false // it holds nothing that could come back elsewhere
	}
	if t.State == state.TaskUnreachable {
		// The machine may come back under a new agent id, which the master's
		// own view shows first. An offer of the volume then says that nothing
		// is using it there, and the slot goes on in place, to run or to stop.
		c.agentsWanted()
		at(c.now.Add(agentsEvery))
		c.askReturned(s)
		return s.elsewhere != ""
	}
	if s.Want != state.WantRun || c.restarting(s) && c.mayStop(s) {
		c.kill(s, at)
		return false
	}
	if s.healthy() && s.Failures > 0 {
		stable := t.HealthySince.Add(c.workloads[s.Kind].stableAfter(s))
		if !stable.After(c.now) {
			s.Failures, s.LastFailure = 0, ""
			c.touch(s)
		}
		at(stable)
	}
	return false
}

// kill sends KILL for a task that is no longer wanted, and again until a
// terminal update confirms it (Mesos rule 43). Nothing is killed while the
// subscription is down, nor before this subscription told the task's state.
func (c *Core) kill(s *slot, at func(time.Time)) {
	t := s.Task
	if !c.connected || !s.confirmed || t.State == state.TaskUnreachable {
		return
	}
	if t.KillOrdered.IsZero() {
		t.KillOrdered = c.now
		c.touch(s)
		c.publishSlot("NodeStopping", s, "stopping %s on %s", t.ID, s.Bind.Hostname)
	}
	again := s.killedAt.Add(killRepeat)
	if s.killedAt.IsZero() || !again.After(c.now) {
		s.killedAt = c.now
		again = c.now.Add(killRepeat)
		c.call(&sched.Call{Type: sched.Call_KILL, Kill: &sched.Call_Kill{
			TaskID:  mesos.TaskID{Value: t.ID},
			AgentID: &mesos.AgentID{Value: t.AgentID},
		}})
		c.why("kill %s of %s (restart: %t)", t.ID, s.Name, s.Want == state.WantRun)
	}
	at(again)
}

// settleDown looks after a slot that should run and surely does not.
func (c *Core) settleDown(s *slot, at func(time.Time)) (wantsOffer bool) {
	b := s.Bind
	if s.Release != nil && !c.releaseOverdue(s, at) {
		return false
	}
	if restoredUnbound(s) {
		if !c.viewedWhole() || c.observedAt.Before(s.UpdatedAt) {
			c.agentsWanted()
			at(c.now.Add(agentsEvery))
			return false
		}
		c.why("%s holds nothing anywhere, and lives of it may run that its record does not know: a new slot takes its name", s.ID)
		c.remove(s)
		return false
	}
	if b != nil {
		// A reservation that surely is not there binds to nothing. While a
		// node's data may be on the volume the binding stays: fail closed.
		if b.Reserved == state.KnownNo && b.Volume != state.KnownYes {
			c.unbind(s, "nothing is reserved for it there")
		} else if b.ReserveOp != "" || b.CreateOp != "" || b.Reserved == state.KnownUnsure {
			at(c.askAgain(s, b.Since))
			return true
		}
	}
	if s.NotBefore.After(c.now) {
		at(s.NotBefore)
		return false
	}
	return true
}

// settleRelease looks after a slot whose task has ended for good: it frees what
// is reserved, and destroys the volume only by an explicit order.
func (c *Core) settleRelease(s *slot, at func(time.Time)) (wantsOffer bool) {
	if s.Bind == nil || (s.Bind.Reserved == state.KnownNo && s.Bind.Volume == state.KnownNo) {
		c.released(s)
		return false
	}
	if s.Want == state.WantRetain && s.Order != nil && !s.RetainUntil.After(c.now) {
		s.Want = state.WantDestroy
		c.touch(s)
		c.publishSlot("VolumeDestroying", s, "destroying volume %s by order of %s", s.ID, orSomebody(s.Order.User))
	}
	if s.Want == state.WantRetain && s.Order != nil {
		at(s.RetainUntil)
	}
	if s.Release != nil && !c.releaseOverdue(s, at) {
		return false
	}
	if s.Want == state.WantRetain && s.releasedButVolume() {
		// A volume that was seen under another agent id is followed there.
		return s.elsewhere != ""
	}
	if s.unsure() {
		at(c.askAgain(s, s.Bind.Since))
	}
	return true
}

// releaseOverdue reports whether the pause after a refused DESTROY or UNRESERVE is
// over. One without an answer is asked for and never taken for done or undone: the
// master's view and its offers already show what an operation will do while it is
// on its way to the agent, which may be lost (Mesos rules 37, 38).
func (c *Core) releaseOverdue(s *slot, at func(time.Time)) bool {
	again := s.Release.Since.Add(releaseDeadline)
	if again.After(c.now) {
		at(again)
		return false
	}
	if s.Release.DestroyOp != "" || s.Release.UnreserveOp != "" {
		at(c.askAgain(s, s.Release.Since))
		return false
	}
	s.Release = nil
	c.touch(s)
	return true
}

// releasedButVolume reports whether a retained slot holds only its volume.
func (s *slot) releasedButVolume() bool {
	return s.Bind.Reserved == state.KnownNo && s.Bind.Volume == state.KnownYes
}

// released ends a slot that holds nothing any more.
func (c *Core) released(s *slot) {
	c.why("%s holds nothing any more: its record is removed", s.ID)
	switch {
	case s.Bind == nil:
	case s.Order != nil:
		c.publishSlot("VolumeDestroyed", s, "volume %s on %s is destroyed", s.ID, s.Bind.Hostname)
		c.outcome("volume", s.ID, s.Owner)
	case s.Bind.HasData:
		c.publishSlot("VolumeLost", s, "volume %s is not on %s any more, and no order of Berth's destroyed it", s.ID, s.Bind.Hostname)
		c.outcome("volume", s.ID, s.Owner)
	}
	c.remove(s)
}

// unbind lets a slot without reservation look for a place again.
func (c *Core) unbind(s *slot, reason string) {
	c.why("%s is no longer bound to agent %s: %s", s.ID, s.Bind.AgentID, reason)
	s.Bind = nil
	if a := c.agents[s.elsewhere]; a != nil {
		// What it holds was seen there, as after restoring a backup that was
		// taken before the slot had moved: it goes there and nowhere else.
		s.Bind = c.binding(a)
		s.Bind.Reserved, s.Bind.Volume = state.KnownUnsure, state.KnownUnsure
		c.agentsWanted()
	}
	s.elsewhere = ""
	c.touch(s)
}

// askAgain asks explicitly for the slot's task and operations once their
// deadline has passed, and returns when to look again (Mesos rules 37, 38, 41).
func (c *Core) askAgain(s *slot, since time.Time) time.Time {
	due := since.Add(launchDeadline)
	if next := s.askedAt.Add(launchDeadline); next.After(due) {
		due = next
	}
	if due.After(c.now) || !c.connected {
		return due
	}
	s.askedAt = c.now
	c.askTask(s)
	c.askOperations(s)
	c.agentsWanted()
	return c.now.Add(launchDeadline)
}

// askReturned asks for an unreachable task whose agent is back under its id. Where
// the task has survived, the master says so by itself; where it has not, as after a
// reboot, it says so only when asked (Mesos rule 46).
func (c *Core) askReturned(s *slot) {
	a := c.agents[s.Task.AgentID]
	if !c.connected || a == nil || !a.active || !a.seen.After(s.Task.Since) || s.askedAt.Add(launchDeadline).After(c.now) {
		return
	}
	s.askedAt = c.now
	c.askTask(s)
}

func (c *Core) askTask(s *slot) {
	if !s.live() {
		return
	}
	c.why("no word of %s: asking for it explicitly", s.Task.ID)
	c.call(reconcileCall([]*slot{s}))
}

// failed notes the end of a life and sets the wait before the next one.
func (c *Core) failed(s *slot, why string) {
	s.Failures++
	s.LastFailure = clip(why)
	s.NotBefore = c.now.Add(backoff(s.Failures))
	c.touch(s)
}

// dropped notes a life that never ran through no fault of the node. The first
// such try is repeated at once, further ones in a row with back-off.
func (c *Core) dropped(s *slot) {
	s.drops++
	if s.drops > 1 {
		s.NotBefore = c.now.Add(backoff(s.drops - 1))
	}
}

// backoff is the wait after the n-th failure in a row: 1 s, doubling, 5 min at most.
func backoff(failures int) time.Duration { return backoffBelow(failures, backoffMost) }

// backoffBelow is backoff with another longest wait.
func backoffBelow(failures int, most time.Duration) time.Duration {
	d := backoffFirst
	for i := 1; i < failures && d < most; i++ {
		d *= 2
	}
	return min(d, most)
}

func (s *slot) taskID(life int64) string { return fmt.Sprintf("%s.%d", s.ID, life) }

func orSomebody(user string) string {
	if user == "" {
		return "an unnamed user"
	}
	return user
}

// inText says how long a wait is, for people.
func inText(d time.Duration) string {
	if d <= 0 {
		return "at once"
	}
	return "in " + d.Round(time.Second).String()
}
