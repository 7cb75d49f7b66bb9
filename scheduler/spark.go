package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// A Spark application is one slot for its driver, whose lives are the attempts, and
// a slot for each executor, which lives once. Executors hold nothing between their
// lives, and neither does a driver without a checkpoint volume: see
// volumes.Need.Ephemeral.
//
//	spark_put.go       what users order
//	spark_driver.go    the driver's slot: attempts, supervision, the end
//	spark_executor.go  the executors' slots: how many, where, which go
//	spark_protocol.go  the driver's calls (docs/spark-protocol.md)
//	spark_notice.go    what drivers are told
//	spark_launch.go    launch documents
//	spark_view.go      what users see

// The kinds of the slots of an application.
const (
	kindSparkDriver   = executor.KindSparkDriver
	kindSparkExecutor = executor.KindSparkExecutor
)

func sparkKind(kind string) bool { return kind == kindSparkDriver || kind == kindSparkExecutor }

// The sets of an application's slots, in the order of placing.
const (
	setDriver   = "driver"
	setExecutor = "executor"
)

// The states of an ended application.
const (
	endSucceeded = "Succeeded"
	endFailed    = "Failed"
	endKilled    = "Killed"
)

// application is a state.Application with what is known only while this process
// lives.
type application struct {
	state.Application
	roster

	// registered are the executors that the driver was last said to be connected
	// to; nil before it has told this leader.
	registered map[int64]bool
	// silentSince is since when the driver's heartbeat is overdue; zero: it is not.
	silentSince time.Time

	// crashes are waves of executors that ended by themselves soon after their
	// start, drops such whose launch came to nothing.
	crashes, drops waves
	// hosts are failures of executors by hostname, avoid those that are kept
	// away from, each until a time.
	hosts map[string][]time.Time
	avoid map[string]time.Time

	conditions map[string]v1.Condition
	phase      string
	told       standing // what the driver's hub was last told
}

// waves counts what goes wrong with executors again and again. Those that were
// started together are one wave; after the first, pauses grow.
type waves struct {
	n int
	// began is when the newest was noticed: who was launched before is of it.
	began, resume time.Time
}

// add counts one that was launched at a time, unless it is of a wave that was.
func (w *waves) add(launched, now time.Time) (counted bool) {
	if !launched.After(w.began) {
		return false
	}
	w.n++
	w.began = now
	if w.n > 1 {
		w.resume = now.Add(backoff(w.n - 1))
	}
	return true
}

// resume is before when no executor is started.
func (a *application) resume() time.Time { return later(a.crashes.resume, a.drops.resume) }

func newApplication(r state.Application) *application {
	return &application{
		Application: r, roster: newRoster(), conditions: map[string]v1.Condition{},
		hosts: map[string][]time.Time{}, avoid: map[string]time.Time{},
	}
}

func (a *application) incarnation() int64 { return a.Incarnation }
func (a *application) created() time.Time { return a.CreatedAt }
func (a *application) generation() int64  { return a.Generation }

// applicationKey marks an application's key on the agenda, apart from slot ids.
const applicationKey = "application/"

// applicationOf finds the application of a slot, nil when it is gone.
func (c *Core) applicationOf(s *slot) *application {
	a := c.apps[s.Owner]
	if a == nil || a.Incarnation != s.OwnerIncarnation {
		return nil
	}
	return a
}

// applicationByID finds the application of Spark's application id, nil when there
// is none.
func (c *Core) applicationByID(appID string) *application { return c.apps[c.appIDs[appID]] }

// touchApplication marks an application's record as changed.
func (c *Core) touchApplication(a *application) {
	a.UpdatedAt = c.now
	c.changedApps[a.Spec.Name] = a
	c.lookApps[a.Spec.Name] = true
}

// publishApplication publishes an event about an application as a whole.
func (c *Core) publishApplication(typ string, a *application, format string, args ...any) {
	c.emit(v1.Event{Type: typ, Application: a.Spec.Name}, format, args...)
}

// driver is the slot that the application's driver runs on, or is to run on: nil
// when there is none.
func (a *application) driver() *slot {
	var found *slot
	for _, s := range a.list() {
		if s.Kind == kindSparkDriver && (s.live() || s.Want == state.WantRun && found == nil) {
			found = s
		}
	}
	return found
}

// retained is the slot that keeps the checkpoint volume of a driver that was
// stopped, nil when there is none.
func (a *application) retained() *slot {
	for _, s := range a.list() {
		if s.Kind == kindSparkDriver && s.Want == state.WantRetain && !s.live() && s.Bind != nil {
			return s
		}
	}
	return nil
}

// running reports whether the driver runs or may run.
func (a *application) running() bool {
	d := a.driver()
	return d != nil && d.live()
}

// settleApplication brings an application's slots in line with what is wanted of
// it, judges it and notes what its driver is to be told.
func (c *Core) settleApplication(a *application) {
	var next time.Time
	at := func(t time.Time) { next = earliest(next, t) }
	c.settleAttempt(a)
	if a.Kill != nil && a.End == nil && !a.running() {
		c.endApplication(a, endKilled, "killed by "+orSomebody(a.Kill.User))
	}
	if a.End == nil {
		c.settleDriver(a)
	}
	c.settleExecutors(a, at)
	if a.End != nil {
		c.settleEnded(a)
	}
	c.judgeApplication(a)
	c.settleStanding(a)
	c.agenda.set(applicationKey+a.Spec.Name, next)
}

// endApplication records how an application ended.
func (c *Core) endApplication(a *application, how, message string) {
	a.End = &state.End{State: how, Message: clip(message), At: c.now}
	a.Context, a.registered = nil, nil
	c.touchApplication(a)
	c.publishApplication("ApplicationEnded", a, "%s: %s", how, a.End.Message)
	c.boundHistory()
}

// settleEnded lets go of what an ended application still has. A checkpoint volume
// is kept: the application may be started again, and only an order destroys data.
func (c *Core) settleEnded(a *application) {
	for _, s := range a.list() {
		if s.Kind == kindSparkDriver && s.Want == state.WantRun {
			s.Want, s.RetainUntil = state.WantRetain, c.now.Add(c.cfg.Retention)
			c.touch(s)
		}
	}
}

// boundHistory removes the applications that ended first, beyond what is kept. One
// with a checkpoint volume, or with tasks that may run, stays.
func (c *Core) boundHistory() {
	var ended []*application
	for _, name := range slices.Sorted(maps.Keys(c.apps)) {
		if a := c.apps[name]; a.End != nil {
			ended = append(ended, a)
		}
	}
	if len(ended) <= maxEndedApplications {
		return
	}
	slices.SortStableFunc(ended, func(a, b *application) int { return a.End.At.Compare(b.End.At) })
	for _, a := range ended[:len(ended)-maxEndedApplications] {
		if len(a.slots) == 0 {
			c.removeApplication(a)
		}
	}
}

// removeApplication deletes an application's record in this step.
func (c *Core) removeApplication(a *application) {
	name := a.Spec.Name
	c.standings[name] = a
	delete(c.apps, name)
	delete(c.appIDs, a.AppID)
	delete(c.changedApps, name)
	c.agenda.set(applicationKey+name, time.Time{})
	c.removed[state.Key(state.KindApplication+"/"+name)] = true
}

// bounds are the least and most executors that the application may have.
func (a *application) bounds() v1.SparkBounds {
	b := v1.SparkBounds{Revision: a.BoundsRevision}
	b.Min, b.Max = a.Spec.Spec.Executors.Bounds()
	if a.Scale != nil {
		b.Min, b.Max = a.Scale.Min, a.Scale.Max
	}
	return b
}

// rebound has the bounds told anew when they are not what they were.
func (c *Core) rebound(a *application, was v1.SparkBounds) {
	if is := a.bounds(); is.Min != was.Min || is.Max != was.Max {
		a.BoundsRevision++
		a.BoundsSince = c.now
	}
}

// mib reads a size of a spec that was validated.
func mib(size string) int64 {
	n, _ := v1.ParseMiB(size)
	return n
}

// executorName is the name of the slot of an executor.
func executorName(application string, id int64) string {
	return application + "-exec-" + strconv.FormatInt(id, 10)
}

// newSparkSlot makes a slot of an application.
func (c *Core) newSparkSlot(a *application, kind, set, name string, need volumes.Need) *slot {
	id := fmt.Sprintf("%s.%d", name, c.incarnation())
	s := &slot{Slot: state.Slot{
		ID: id, Name: name, Kind: kind, Owner: a.Spec.Name, OwnerIncarnation: a.Incarnation, Set: set, Want: state.WantRun,
		Identity: volumes.Identity{
			Role: a.Spec.Spec.Role, Principal: c.cfg.Principal, Label: id, PersistenceID: id, ContainerPath: checkpointPath,
		},
		Need: need, CreatedAt: c.now,
	}}
	c.slots[id] = s
	a.add(s)
	c.touch(s)
	return s
}

// checkpointPath is where a driver's volume appears in the sandbox.
const checkpointPath = "checkpoint"
