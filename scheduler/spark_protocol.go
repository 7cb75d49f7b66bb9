package scheduler

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
)

// The calls of drivers' backends, as docs/spark-protocol.md has them. Each is
// absolute and may come repeatedly or late; an attempt that is not the newest
// changes nothing.

// SparkAnswer answers a driver's call.
type SparkAnswer struct {
	FrameworkID      string
	Epoch            int64
	Bounds           v1.SparkBounds
	TargetGeneration int64
}

// driverOf finds the application that a driver's call is about, or says why the
// call is refused.
func (c *Core) driverOf(appID string, attempt int64) (*application, *v1.Problem) {
	a := c.applicationByID(appID)
	switch {
	case a == nil:
		return nil, v1.ProblemSparkUnknown(appID)
	case attempt != a.Attempt:
		return nil, v1.ProblemSparkSuperseded(appID, attempt, a.Attempt)
	}
	return a, a.over()
}

// contextOf is driverOf for calls that need a registration.
func (c *Core) contextOf(appID string, attempt int64) (*application, *v1.Problem) {
	a, p := c.driverOf(appID, attempt)
	if p == nil && a.Context == nil {
		p = v1.ProblemSparkUnknown(appID)
	}
	return a, p
}

func (c *Core) answerDriver(id ReplyID, a *application) {
	st := a.standingOf()
	c.out.Replies = append(c.out.Replies, Reply{ID: id, Spark: &SparkAnswer{
		FrameworkID: c.framework.ID, Epoch: c.cfg.Epoch, Bounds: st.Bounds, TargetGeneration: st.TargetGeneration,
	}})
}

// sparkRegistered takes a driver's registration.
func (c *Core) sparkRegistered(e SparkDriverRegistered) {
	r := e.Registration
	a, p := c.driverOf(r.AppID, r.AttemptID)
	if p == nil {
		p = c.checkRegistration(a, r)
	}
	if p != nil {
		c.refuse(e.Reply, p)
		return
	}
	x := a.Context
	if x == nil || x.DriverURL != r.DriverURL || x.Unregistered != nil {
		a.Contexts++
		x = &state.SparkContext{Number: a.Contexts, Attempt: a.Attempt, At: c.now, DriverURL: r.DriverURL, Target: r.Target}
		a.Context, a.registered, a.Forgotten = x, nil, nil
		c.publishApplication("DriverRegistered", a, "the driver of attempt %d has registered: Spark %s at %s", a.Attempt, r.SparkVersion, r.DriverURL)
	} else if r.Target != nil && (x.Target == nil || r.Target.Generation > x.Target.Generation) {
		x.Target = r.Target
	}
	x.UIURL, x.User, x.SparkVersion = r.UIURL, r.User, r.SparkVersion
	x.Executor, x.Withheld = r.Executor, r.Withheld
	c.heardFrom(a)
	c.touchApplication(a)
	c.driverSees(a, r.RegisteredExecutors, r.Killing, r.MaxExecutorID)
	c.answerDriver(e.Reply, a)
}

// checkRegistration refuses what could not be carried out.
func (c *Core) checkRegistration(a *application, r v1.SparkRegistration) *v1.Problem {
	size := encodedSize(r.Executor) + encodedSize(r.Withheld)
	if size > maxTemplateBytes {
		return v1.NewProblem(422, v1.CodeSpecInvalid, "the executors' options are too large",
			fmt.Sprintf("JVM options, class path and environment of application %q's executors have %d bytes as JSON, at most %d are stored: shorten spark.executor.extraJavaOptions, extraClassPath or spark.executorEnv.*", a.AppID, size, maxTemplateBytes))
	}
	return checkTarget(a, r.Target)
}

// checkTarget refuses a target that could not be carried out.
func checkTarget(a *application, t *v1.SparkTarget) *v1.Problem {
	if t == nil {
		return nil
	}
	if size := encodedSize(t); size > maxTargetBytes {
		return v1.NewProblem(422, v1.CodeSpecInvalid, "the target is too large",
			fmt.Sprintf("the target of application %q has %d bytes as JSON, at most %d are stored: use fewer resource profiles or excluded nodes", a.AppID, size, maxTargetBytes))
	}
	for _, p := range t.Profiles {
		if len(p.Resources) > 0 {
			return v1.NewProblem(422, v1.CodeSpecUnsupported, "executors with other resources are not supported",
				fmt.Sprintf("resource profile %d of application %q asks for %v: Berth gives executors cores and memory", p.ID, a.AppID, p.Resources))
		}
	}
	return nil
}

func encodedSize(v any) int {
	b, err := json.Marshal(v)
	if err != nil {
		return 0 // such values cannot come out of a decoder
	}
	return len(b)
}

// sparkTarget takes how many executors a driver asks for.
func (c *Core) sparkTarget(e SparkTargetSet) {
	a, p := c.contextOf(e.AppID, e.Target.AttemptID)
	if p == nil {
		p = checkTarget(a, &e.Target)
	}
	if p != nil {
		c.refuse(e.Reply, p)
		return
	}
	if have := a.Context.Target; have == nil || e.Target.Generation > have.Generation {
		t := e.Target
		a.Context.Target = &t
		c.touchApplication(a)
	}
	c.answerDriver(e.Reply, a)
}

// sparkKill ends executors that a driver gives up.
func (c *Core) sparkKill(e SparkExecutorsKilled) {
	a, p := c.contextOf(e.AppID, e.Kill.AttemptID)
	if p != nil {
		c.refuse(e.Reply, p)
		return
	}
	c.driverKills(a, e.Kill.ExecutorIDs)
	c.answerDriver(e.Reply, a)
}

// sparkUnregistered takes a driver's word that its SparkContext stops.
func (c *Core) sparkUnregistered(e SparkUnregistered) {
	a, p := c.contextOf(e.AppID, e.Unregister.AttemptID)
	if p != nil {
		c.refuse(e.Reply, p)
		return
	}
	if a.Context.Unregistered == nil {
		a.Context.Unregistered = &state.Unregistered{State: e.Unregister.State, Message: clip(e.Unregister.Message), At: c.now}
		c.touchApplication(a)
		c.publishApplication("DriverUnregistered", a, "the SparkContext of attempt %d stops, Spark says %s", a.Attempt, e.Unregister.State)
	}
	c.answerDriver(e.Reply, a)
}

// sparkSynced takes what a driver sees of its executors. A driver that knows no
// events of this leadership is told again what is still true.
func (c *Core) sparkSynced(e SparkSynced) {
	a, p := c.contextOf(e.AppID, e.Sync.AttemptID)
	if p != nil {
		c.refuse(e.Reply, p)
		return
	}
	c.heardFrom(a)
	ended := c.driverSees(a, e.Sync.RegisteredExecutors, e.Sync.Killing, e.Sync.MaxExecutorID)
	if e.Restate {
		c.restate(a, ended)
	}
	c.lookApps[a.Spec.Name] = true
	c.answerDriver(e.Reply, a)
}

// restate tells a driver again of executors that have ended and of those that are
// to go. How the former ended is not known any more, so it is not held against the
// application.
func (c *Core) restate(a *application, ended []int64) {
	for _, id := range ended {
		c.notify(a, v1.SparkDriverEvent{Type: v1.SparkExecutorExited, ExecutorID: executorID(id), Message: "it has ended; how was told before, or is not known"})
	}
	for _, s := range a.executors() {
		if s.Want == state.WantRun && s.Executor.Decommission != nil && s.Executor.Context == a.Context.Number {
			c.notify(a, decommissionEvent(s))
		}
	}
}

// driverSees takes the executors that a driver is connected to and those that it
// wants gone, and answers with the ids among them that have surely ended. Ids that
// were never given out are of executors that no record explains: they are adopted.
func (c *Core) driverSees(a *application, registered, killing []string, highest int64) []int64 {
	known := map[int64]bool{}
	for _, s := range a.executors() {
		known[s.Executor.ID] = true
	}
	adopted := map[int64]bool{}
	for _, id := range a.Context.Adopted {
		adopted[id] = true
	}
	var ended, adopt []int64
	a.registered = make(map[int64]bool, len(registered))
	for _, text := range append(slices.Clone(registered), killing...) {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || known[id] || id <= 0 || id > maxExecutorID {
			continue
		}
		known[id] = true // once
		switch {
		case adopted[id] || id >= a.NextExecutor || a.forgotten(id):
			if slices.Contains(registered, text) {
				adopt = append(adopt, id)
			}
		default:
			ended = append(ended, id)
		}
	}
	for _, text := range registered {
		if id, err := strconv.ParseInt(text, 10, 64); err == nil {
			a.registered[id] = true
		}
	}
	slices.Sort(adopt)
	slices.Sort(ended)
	adopt = adopt[:min(len(adopt), maxAdopted)]
	next := max(a.NextExecutor, min(highest, maxExecutorID)+1)
	if len(adopt) > 0 {
		next = max(next, adopt[len(adopt)-1]+1)
	}
	if next != a.NextExecutor || !slices.Equal(adopt, a.Context.Adopted) {
		if len(adopt) > len(a.Context.Adopted) {
			c.publishApplication("ExecutorsAdopted", a, "%d executors of the driver are on no record: they count, and Berth does not stop them", len(adopt))
		}
		a.NextExecutor, a.Context.Adopted = next, adopt
		c.touchApplication(a)
	}
	c.driverKills(a, killing)
	return ended
}

// forgotten reports whether an executor id may be of an executor that was started
// after the backup that the application's record comes from.
func (a *application) forgotten(id int64) bool {
	return a.Forgotten != nil && id >= a.Forgotten.From && id < a.Forgotten.To
}

// driverKills ends the executors that a driver gives up. Whether they are replaced
// follows from the target alone.
func (c *Core) driverKills(a *application, ids []string) {
	if len(ids) == 0 {
		return
	}
	gone := make(map[string]bool, len(ids))
	for _, id := range ids {
		gone[id] = true
	}
	for _, s := range a.executors() {
		if gone[executorID(s.Executor.ID)] && s.Want == state.WantRun {
			c.stopExecutor(s, "its driver gave it up")
		}
	}
	c.lookApps[a.Spec.Name] = true
}

// sparkHeartbeat takes the hub's word on whether a driver is heard of.
func (c *Core) sparkHeartbeat(e SparkHeartbeat) {
	a, p := c.contextOf(e.AppID, e.Attempt)
	if p != nil {
		return
	}
	if e.SilentSince.IsZero() {
		c.heardFrom(a)
		return
	}
	if a.silentSince.IsZero() {
		c.publishApplication("DriverSilent", a, "the driver of attempt %d has not called since %s: it is left alone", a.Attempt, e.SilentSince.UTC().Format(time.RFC3339))
	}
	a.silentSince = e.SilentSince
	c.lookApps[a.Spec.Name] = true
}

func (c *Core) heardFrom(a *application) {
	if !a.silentSince.IsZero() {
		a.silentSince = time.Time{}
		c.publishApplication("DriverHeard", a, "the driver of attempt %d calls again", a.Attempt)
	}
	c.lookApps[a.Spec.Name] = true
}

func executorID(id int64) string { return strconv.FormatInt(id, 10) }
