package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
)

// The phases of an application, as v1.SparkPhases explains them.
const (
	sparkPending  = "Pending"
	sparkStarting = "Starting"
	sparkRunning  = "Running"
	sparkBackoff  = "Backoff"
	sparkDetached = "Detached"
	sparkStopping = "Stopping"
)

func (c *Core) phaseOf(a *application) string {
	d := a.driver()
	live := d != nil && d.live()
	switch {
	case a.End != nil:
		return a.End.State
	case a.Kill != nil, live && a.unregistered() != nil:
		return sparkStopping
	case live && d.Task.State == state.TaskUnreachable:
		return sparkDetached
	case live && a.Context != nil:
		return sparkRunning
	case live:
		return sparkStarting
	case d != nil && d.Failures > 0:
		return sparkBackoff
	}
	return sparkPending
}

// headcount counts an application's executors.
type headcount struct{ asked, wanted, running, pending, draining, unreachable int }

func (a *application) headcount() headcount {
	var n headcount
	if a.Context != nil && a.Context.Target != nil {
		for _, p := range a.Context.Target.Profiles {
			n.asked += p.Total
		}
		n.running = len(a.Context.Adopted)
	}
	for _, p := range a.wanted() {
		n.wanted += p.Total
	}
	for _, s := range a.list() {
		switch {
		case s.Kind != kindSparkExecutor:
		case s.Want != state.WantRun || s.Executor.Decommission != nil:
			if s.live() {
				n.draining++
			}
		case s.live() && s.Task.State == state.TaskUnreachable:
			n.unreachable++
		case s.live() && s.Task.State == state.TaskRunning:
			n.running++
		default:
			n.pending++
		}
	}
	return n
}

// judgeApplication sets an application's conditions and its phase.
func (c *Core) judgeApplication(a *application) {
	a.phase = c.phaseOf(a)
	c.judgeDriver(a)
	c.judgeExecutors(a)
	c.judgeSafety(a)
}

func (c *Core) setSparkCondition(a *application, typ, status, reason, format string, args ...any) {
	noteCondition(a.conditions, c.now, typ, status, reason, fmt.Sprintf(format, args...))
}

// judgeDriver says how the driver is.
func (c *Core) judgeDriver(a *application) {
	d := a.driver()
	switch a.phase {
	case sparkRunning:
		c.setSparkCondition(a, "DriverRunning", "True", "Registered", "")
	case sparkStarting:
		c.setSparkCondition(a, "DriverRunning", "False", "NotRegistered", "attempt %d was launched on %s and has not registered yet", a.Attempt, d.hostname())
	case sparkDetached:
		c.setSparkCondition(a, "DriverRunning", "Unknown", "Unreachable", "agent %s (%s) of attempt %d cannot be reached: it is waited for, since another attempt beside it could do harm", d.hostname(), d.Task.AgentID, a.Attempt)
	case sparkBackoff:
		c.setSparkCondition(a, "DriverRunning", "False", "Failed", "%d attempts failed in a row, the last one: %s", d.Failures, d.LastFailure)
	case sparkPending:
		c.setSparkCondition(a, "DriverRunning", "False", "WaitingForOffers", "the driver has no place yet: see explain")
	case sparkStopping:
		c.setSparkCondition(a, "DriverRunning", "False", "Stopping", "%s", a.stopping())
	default:
		c.setSparkCondition(a, "DriverRunning", "False", a.phase, "%s", a.End.Message)
	}
	if a.Context == nil {
		c.setSparkCondition(a, "DriverHeard", "Unknown", "NotRegistered", "")
	} else if a.silentSince.IsZero() {
		c.setSparkCondition(a, "DriverHeard", "True", "Calling", "")
	} else {
		c.setSparkCondition(a, "DriverHeard", "False", "Silent", "the driver's last call came at %s: it may hang, or not reach Berth; it is left alone", a.silentSince.UTC().Format("2006-01-02 15:04:05 MST"))
	}
	if a.running() && a.AttemptGeneration < a.Generation {
		c.setSparkCondition(a, "SpecCurrent", "False", "DriverOlder", "the driver runs since generation %d, the spec is at %d: it follows with its next attempt", a.AttemptGeneration, a.Generation)
	} else {
		c.setSparkCondition(a, "SpecCurrent", "True", "Current", "")
	}
}

func (a *application) stopping() string {
	if a.Kill == nil {
		return "the SparkContext has stopped, Spark says " + a.unregistered().State
	}
	text := "by order of " + orSomebody(a.Kill.User)
	if d := a.driver(); d != nil && d.live() && d.Task.State == state.TaskUnreachable {
		text += "; its agent " + d.hostname() + " cannot be reached, and nothing is known of it"
	}
	return text
}

// judgeExecutors says whether the executors that are wanted run.
func (c *Core) judgeExecutors(a *application) {
	n := a.headcount()
	switch {
	case a.End != nil:
		c.setSparkCondition(a, "ExecutorsRunning", "False", a.End.State, "")
	case a.Context == nil || a.Context.Target == nil:
		c.setSparkCondition(a, "ExecutorsRunning", "Unknown", "NoTarget", "the driver has not said how many it wants")
	case n.running >= n.wanted:
		c.setSparkCondition(a, "ExecutorsRunning", "True", "AllRunning", "")
	case n.unreachable > 0:
		c.setSparkCondition(a, "ExecutorsRunning", "False", "Unreachable", "%d of %d run, %d are on agents that cannot be reached", n.running, n.wanted, n.unreachable)
	default:
		c.setSparkCondition(a, "ExecutorsRunning", "False", "NotAllRunning", "%d of %d run: see explain", n.running, n.wanted)
	}
	switch {
	case a.End == nil && a.crashes.n >= crashWaves:
		c.setSparkCondition(a, "ExecutorsStable", "False", "Crashing", "executors ended soon after their start, %d waves in a row: the next start %s; see their logs", a.crashes.n, inText(a.resume().Sub(c.now)))
	case len(a.avoid) > 0:
		c.setSparkCondition(a, "ExecutorsStable", "False", "HostsAvoided", "they failed again and again on %s: none is started there for a while", strings.Join(slices.Sorted(maps.Keys(a.avoid)), ", "))
	default:
		c.setSparkCondition(a, "ExecutorsStable", "True", "Stable", "")
	}
	if missing := a.unsupplied(); len(missing) > 0 {
		c.setSparkCondition(a, "ExecutorOptions", "False", "SecretsWithheld", "executors start without %s: arguments are seen by every user of a machine; give them by spark.executorEnv.* or a file", strings.Join(missing[:min(len(missing), 5)], ", "))
	} else {
		c.setSparkCondition(a, "ExecutorOptions", "True", "Complete", "")
	}
}

// judgeSafety warns of settings that may lose data, which a look from outside
// cannot decide: whether the program reads by receivers, or keeps state.
func (c *Core) judgeSafety(a *application) {
	spec := a.Spec.Spec
	b := a.bounds()
	shrinks := b.Min < b.Max || a.Scale != nil || spec.DynamicAllocation()
	switch {
	case shrinks && spec.Properties["spark.streaming.receiver.writeAheadLog.enable"] != "true":
		c.setSparkCondition(a, "ScaleDownSafe", "Unknown", "NoWriteAheadLog", "if the application reads by receivers (DStreams), an executor that goes takes what it had received with it: set spark.streaming.receiver.writeAheadLog.enable and a checkpoint directory on shared storage")
	default:
		c.setSparkCondition(a, "ScaleDownSafe", "True", "Safe", "")
	}
	if spec.Driver.Checkpoint != nil {
		c.setSparkCondition(a, "CheckpointShared", "False", "OnTheDriversAgent", "the checkpoint volume is on the driver's agent: what executors write, such as the state of a Structured Streaming query, needs a directory on shared storage")
	} else {
		delete(a.conditions, "CheckpointShared")
	}
}

// Applications lists every application, those of the history too, by name.
func (c *Core) Applications() []v1.SparkView {
	out := make([]v1.SparkView, 0, len(c.apps))
	for _, name := range slices.Sorted(maps.Keys(c.apps)) {
		out = append(out, c.applicationView(c.apps[name]))
	}
	return out
}

// Application returns one application, or a not-found problem.
func (c *Core) Application(name string) (v1.SparkView, *v1.Problem) {
	a := c.apps[name]
	if a == nil {
		return v1.SparkView{}, v1.ProblemNotFound("application", name)
	}
	return c.applicationView(a), nil
}

func (c *Core) applicationView(a *application) v1.SparkView {
	n, b := a.headcount(), a.bounds()
	spec := a.Spec
	spec.Spec = a.Spec.Spec.Clone()
	spec.Labels = maps.Clone(a.Spec.Labels)
	v := v1.SparkView{
		SparkApplication: spec, Generation: a.Generation,
		Status: v1.SparkStatus{
			Phase: a.phase, AppID: a.AppID, Attempt: a.Attempt,
			Driver: v1.SparkTaskView{State: "Pending", Since: a.CreatedAt}, List: []v1.SparkTaskView{},
			Scale:    v1.SparkScaleView{Min: b.Min, Max: b.Max, Asked: n.asked, Wanted: n.wanted, Running: n.running, Pending: n.pending, Draining: n.draining},
			Attempts: slices.Clone(a.Attempts), Conditions: []v1.Condition{},
			CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt,
		},
	}
	if d := firstSlot(a.driver(), a.retained()); d != nil {
		v.Status.Driver = sparkTaskView(d)
		v.Status.Driver.Registered = a.Context != nil && d.live()
	}
	for _, s := range a.executors() {
		t := sparkTaskView(s)
		t.Registered = a.registered[s.Executor.ID]
		v.Status.List = append(v.Status.List, t)
	}
	if a.Context != nil {
		v.Status.UIURL = a.Context.UIURL
	}
	if a.End != nil {
		at := a.End.At
		v.Status.EndedAt, v.Status.Message = &at, a.End.Message
		if v.Status.Driver.Name == "" {
			v.Status.Driver = v1.SparkTaskView{State: "Down", Since: at}
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(a.conditions)) {
		v.Status.Conditions = append(v.Status.Conditions, a.conditions[typ])
	}
	return v
}

// firstSlot is the first slot that there is.
func firstSlot(list ...*slot) *slot {
	for _, s := range list {
		if s != nil {
			return s
		}
	}
	return nil
}

func sparkTaskView(s *slot) v1.SparkTaskView {
	t := v1.SparkTaskView{Name: s.Name, State: s.display(), Failures: s.Failures, Message: s.message(), Since: s.since()}
	if s.Executor != nil {
		t.ExecutorID = s.Executor.ID
		switch {
		case s.Executor.Stop != "":
			t.Message = s.Executor.Stop
		case s.Executor.Decommission != nil:
			t.Message = "is to finish its work and go: " + s.Executor.Decommission.Why
		}
	}
	if s.Task != nil {
		t.TaskID = s.Task.ID
	}
	if s.Bind != nil {
		t.AgentID, t.Hostname, t.Address = s.Bind.AgentID, s.Bind.Hostname, s.Bind.Address
	}
	return t
}

// ExplainApplication says why the driver or executors of an application have no
// place, as Explain does for clusters.
func (c *Core) ExplainApplication(name string) (v1.Explanation, *v1.Problem) {
	a := c.apps[name]
	if a == nil {
		return v1.Explanation{}, v1.ProblemNotFound("application", name)
	}
	out := v1.Explanation{Cluster: name, Nodes: []v1.NodeExplanation{}}
	space := c.wholeSpace(a, a.Spec.Spec.Role)
	if d := a.driver(); d != nil && !d.live() {
		out.Nodes = append(out.Nodes, c.explainSlot(space, d))
	}
	for _, s := range a.executors() {
		if !s.live() && s.Want == state.WantRun {
			out.Nodes = append(out.Nodes, c.explainSlot(space, s))
		}
	}
	if resume := a.resume(); resume.After(c.now) && a.Context != nil && a.End == nil {
		out.Nodes = append(out.Nodes, v1.NodeExplanation{
			Node: executorName(name, a.NextExecutor), Reasons: []v1.ReasonNode{},
			Summary: fmt.Sprintf("executors ended soon after their start, or were not started, again and again: the next start %s", inText(resume.Sub(c.now))),
		})
	}
	return out, nil
}
