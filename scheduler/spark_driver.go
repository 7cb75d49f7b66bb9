package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/placement"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// sparkDriver is the workload of drivers. Only one driver of an application is
// active: the next attempt is launched when the one before has surely ended, and
// calls that name another attempt than the newest are refused.
type sparkDriver struct{ core *Core }

func (w sparkDriver) owner(s *slot) owner { return sparkOwner(w.core, s) }

// sparkOwner is the application of that name, as an owner: nil when there is none.
func sparkOwner(c *Core, s *slot) owner {
	if a := c.apps[s.Owner]; a != nil {
		return a
	}
	return nil
}

func (w sparkDriver) application(s *slot) (*application, error) { return sparkApplication(w.core, s) }

func sparkApplication(c *Core, s *slot) (*application, error) {
	if a := c.applicationOf(s); a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("application %s of %s is gone", s.Owner, s.ID)
}

func (w sparkDriver) request(s *slot) (placement.Request, error) {
	a, err := w.application(s)
	if err != nil {
		return placement.Request{}, err
	}
	return w.core.sparkRequest(s, w.groups(s), a.Spec.Spec.Driver.Constraints, w.core.avoided(s))
}

// sparkRequest is what drivers and executors have in common.
func (c *Core) sparkRequest(s *slot, groups []string, constraints []v1.Constraint, avoid []string) (placement.Request, error) {
	req := placement.Request{Slot: s.Name, Identity: s.Identity, Need: s.Need, Groups: groups}
	if len(avoid) > 0 {
		constraints = append(slices.Clone(constraints), v1.Constraint{Attribute: "hostname", Operator: "NOTIN", Values: avoid})
	}
	for _, k := range constraints {
		compiled, err := placement.CompileConstraint(k.Attribute, k.Operator, k.Values)
		if err != nil {
			return placement.Request{}, fmt.Errorf("%s: %w", s.Set, err)
		}
		req.Constraints = append(req.Constraints, compiled)
	}
	return req, nil
}

func (w sparkDriver) groups(s *slot) []string { return []string{"driver/" + s.Owner} }

func (w sparkDriver) answers() string { return "runs" }

func (w sparkDriver) stableAfter(s *slot) time.Duration {
	if a := w.core.applicationOf(s); a != nil && a.Spec.Spec.Driver.Supervise != nil {
		return time.Duration(a.Spec.Spec.Driver.Supervise.StableSeconds) * time.Second
	}
	return stableAfter
}

// launching makes the life that was just bound the application's newest attempt.
func (w sparkDriver) launching(s *slot) {
	a := w.core.applicationOf(s)
	if a == nil {
		return
	}
	a.Attempt, a.NextAttempt, a.Recorded = a.NextAttempt, a.NextAttempt+1, false
	a.AttemptGeneration, a.AttemptVersion = a.Generation, a.Spec.Spec.Version
	a.Context, a.registered, a.silentSince = nil, nil, time.Time{}
	w.core.touchApplication(a)
}

// settleDriver sees to it that there is a slot for the driver, and that it stops
// by order.
func (c *Core) settleDriver(a *application) {
	d := a.driver()
	if a.Kill != nil {
		if d != nil && d.Want == state.WantRun {
			d.Want, d.RetainUntil = state.WantRetain, c.now.Add(c.cfg.Retention)
			c.touch(d)
		}
		return
	}
	need := driverNeed(a.Spec.Spec)
	switch {
	case d == nil && !need.Ephemeral && a.retained() != nil && a.retained().Order == nil:
		d = a.retained()
		d.Want, d.RetainUntil = state.WantRun, time.Time{}
		d.Failures, d.LastFailure, d.NotBefore = 0, "", time.Time{}
		need.Disk, need.DiskType = d.Need.Disk, d.Need.DiskType
		d.Need = need
		c.touch(d)
	case d == nil:
		c.newSparkSlot(a, kindSparkDriver, setDriver, a.Spec.Name+"-driver", need)
	case d.Bind == nil && !d.live() && (d.Need != need || d.Identity.Role != a.Spec.Spec.Role):
		// What a slot without a place asks for follows the spec.
		d.Need, d.Identity.Role = need, a.Spec.Spec.Role
		c.touch(d)
	}
}

// driverNeed are the resources of a driver. Sizes were validated, and defaults set.
func driverNeed(s v1.SparkSpec) volumes.Need {
	d := s.Driver
	n := volumes.Need{CPU: volumes.FromFloat(d.CPUs), Mem: volumes.Units(mib(d.Memory) + mib(d.MemoryOverhead)), Ephemeral: true}
	if d.Checkpoint != nil {
		n.Ephemeral = false
		n.Disk, n.DiskType = volumes.Units(mib(d.Checkpoint.Size)), diskTypeOf(*d.Checkpoint)
	}
	return n
}

// The states of an ended attempt.
const (
	attemptFinished = "FINISHED"
	attemptFailed   = "FAILED"
	attemptKilled   = "KILLED"
	attemptLost     = "LOST"
)

// attemptEnd is how a driver ended.
type attemptEnd struct {
	state    string
	exitCode int
	message  string
	// fault: it was the application's own, and counts for the supervision.
	fault bool
}

func (w sparkDriver) ended(s *slot, st mesos.TaskStatus, neverRan bool) bool {
	a := w.core.applicationOf(s)
	if a == nil || a.Recorded {
		return false
	}
	if s.Want == state.WantRun && neverRan && (lostLaunch(st) || s.refusedLife == s.Task.Life) {
		// No driver was started: the core tries again, which is no attempt of the
		// application's.
		a.Recorded = true
		w.core.touchApplication(a)
		return false
	}
	if s.Need.Ephemeral && neverRan && st.GetState() == mesos.TASK_FAILED && s.Bind != nil {
		w.core.avoid(s) // the agent could not start it
	}
	w.core.attemptEnded(a, s, driverEnd(a, st))
	if s.Want != state.WantRun {
		w.core.publishSlot("NodeStopped", s, "%s ended: %s", s.Task.ID, endText(st))
	}
	return true
}

// lostLaunch reports whether a task ended that was never started, through no fault
// of its own (Mesos rules 20 and 46).
func lostLaunch(st mesos.TaskStatus) bool {
	switch st.GetState() {
	case mesos.TASK_DROPPED, mesos.TASK_GONE:
		return true
	}
	return st.GetReason() == mesos.REASON_INVALID_OFFERS
}

// driverEnd reads the end of a driver from its last status and its own word.
func driverEnd(a *application, st mesos.TaskStatus) attemptEnd {
	report, _ := executor.DecodeReport(st.Data) // what cannot be read says nothing
	e := attemptEnd{state: attemptFailed, exitCode: report.ExitCode, message: endText(st), fault: true}
	switch {
	case a.Kill != nil:
		e.state, e.fault = attemptKilled, false
	case st.GetState() == mesos.TASK_FINISHED:
		e.state, e.message = attemptFinished, "the driver ended with exit code 0"
		if u := a.unregistered(); u != nil && u.State == attemptFailed {
			e.state, e.message = attemptFailed, cmp.Or(u.Message, "Spark says that the application failed")
		}
	case st.GetState() == mesos.TASK_KILLED:
		e.state, e.fault = attemptKilled, false
	case lostWithAgent(st):
		e.state, e.fault = attemptLost, false
	}
	return e
}

func (a *application) unregistered() *state.Unregistered {
	if a.Context == nil {
		return nil
	}
	return a.Context.Unregistered
}

// lostWithAgent reports whether a task ended because of its agent, not of itself.
func lostWithAgent(st mesos.TaskStatus) bool {
	switch st.GetState() {
	case mesos.TASK_DROPPED, mesos.TASK_GONE, mesos.TASK_GONE_BY_OPERATOR, mesos.TASK_LOST:
		return true
	}
	switch st.GetReason() {
	case mesos.REASON_INVALID_OFFERS, mesos.REASON_AGENT_RESTARTED, mesos.REASON_AGENT_REMOVED,
		mesos.REASON_AGENT_REMOVED_BY_OPERATOR, mesos.REASON_AGENT_DISCONNECTED, mesos.REASON_AGENT_UNKNOWN,
		mesos.REASON_AGENT_DRAINING, mesos.REASON_CONTAINER_PREEMPTED, mesos.REASON_EXECUTOR_REREGISTRATION_TIMEOUT:
		return true
	}
	return false
}

// lost: the driver's checkpoint volume is gone with its agent. Starting over with
// an empty one could lose or repeat what the application had done: a person decides.
func (w sparkDriver) lost(s *slot) {
	c := w.core
	a := c.applicationOf(s)
	if a == nil || a.End != nil {
		return
	}
	c.settleAttempt(a)
	if a.End == nil && a.Kill == nil && s.Bind != nil && s.Bind.HasData {
		c.endApplication(a, endFailed, fmt.Sprintf("its checkpoint volume is lost with agent %s (%s): apply a changed spec to start it with an empty one", s.Bind.AgentID, s.Bind.Hostname))
	}
}

// settleAttempt records the end of an attempt that no status told of: its task
// could not be built, or its slot followed its volume to another agent id.
func (c *Core) settleAttempt(a *application) {
	if a.Attempt == 0 || a.Recorded || a.running() {
		return
	}
	e := attemptEnd{state: attemptLost, message: "its agent is gone"}
	d := a.driver()
	switch {
	case d == nil || d.Task == nil:
	case d.Task.Message != "":
		e.message = d.Task.Message
	case d.LastFailure != "":
		e = attemptEnd{state: attemptFailed, message: d.LastFailure, fault: true}
		d.Failures-- // it was counted when the task could not be built
	}
	c.attemptEnded(a, d, e)
}

// attemptEnded records the end of the newest attempt and decides what follows.
func (c *Core) attemptEnded(a *application, s *slot, e attemptEnd) {
	rec := v1.SparkAttempt{Attempt: a.Attempt, State: e.state, ExitCode: e.exitCode, Message: clipTo(e.message, maxAttemptMessage), EndedAt: c.now}
	if s != nil && s.Task != nil {
		rec.TaskID, rec.StartedAt = s.Task.ID, s.Task.LaunchedAt
	}
	if s != nil && s.Bind != nil {
		rec.Hostname = s.Bind.Hostname
	}
	a.Attempts = append([]v1.SparkAttempt{rec}, a.Attempts[:min(len(a.Attempts), maxAttempts-1)]...)
	a.Recorded = true
	a.Context, a.registered, a.silentSince = nil, nil, time.Time{}
	c.touchApplication(a)
	supervise := a.Spec.Spec.Driver.Supervise
	switch {
	case a.End != nil, a.Kill != nil:
		// settleApplication ends it.
	case e.state == attemptFinished:
		c.endApplication(a, endSucceeded, e.message)
	case supervise == nil:
		c.endApplication(a, endFailed, fmt.Sprintf("attempt %d: %s; the driver is not supervised", a.Attempt, e.message))
	case !e.fault || s == nil:
		c.publishApplication("AttemptLost", a, "attempt %d ended through no fault of its own: %s; the next one follows", a.Attempt, rec.Message)
	default:
		c.attemptFailed(a, s, rec, supervise)
	}
}

// attemptFailed starts the wait for the next attempt, unless there were too many.
func (c *Core) attemptFailed(a *application, s *slot, rec v1.SparkAttempt, supervise *v1.SparkSupervise) {
	if ran := c.now.Sub(rec.StartedAt); ran >= time.Duration(supervise.StableSeconds)*time.Second {
		s.Failures = 0
	}
	s.Failures++
	s.LastFailure = rec.Message
	if supervise.MaxFailures > 0 && s.Failures >= supervise.MaxFailures {
		c.endApplication(a, endFailed, fmt.Sprintf("%d attempts failed in a row, each within %d s of its start, and no more are made: %s. Apply a changed spec to start it again", s.Failures, supervise.StableSeconds, rec.Message))
		return
	}
	wait := backoffBelow(s.Failures, time.Duration(supervise.MaxBackoffSeconds)*time.Second)
	s.NotBefore = c.now.Add(wait)
	c.touch(s)
	c.publishApplication("AttemptFailed", a, "attempt %d failed: %s; next try %s", a.Attempt, rec.Message, inText(wait))
}
