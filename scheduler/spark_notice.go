package scheduler

import (
	"maps"
	"slices"
	"strconv"

	v1 "github.com/berthdata/berth/api/v1"
)

// SparkNotice tells the hub, through which drivers speak to Berth, what has changed
// for one application. Everything but Events is absolute.
type SparkNotice struct {
	AppID string
	SparkStanding
	// Events are for the driver of Attempt, in order; the hub numbers them.
	Events []v1.SparkDriverEvent
	// Gone: the application is not known any more.
	Gone bool
}

// SparkStanding is how things are for a driver.
type SparkStanding struct {
	// Attempt is the newest that was launched. Calls of others are refused.
	Attempt int64
	// Registered: a SparkContext of the attempt has registered.
	Registered bool
	Bounds     v1.SparkBounds
	// TargetGeneration is that of the target in force, 0: none.
	TargetGeneration int64
	// Over, when set, answers every call of the driver: it is to end.
	Over *v1.Problem
}

// standing is what the hub was last told of an application.
type standing struct {
	SparkStanding
	over string // Over's code and detail
	told bool
}

// notify adds an event for the application's driver to this step's notices.
func (c *Core) notify(a *application, ev v1.SparkDriverEvent) {
	c.events[a.Spec.Name] = append(c.events[a.Spec.Name], ev)
	c.lookApps[a.Spec.Name] = true
}

// standingOf is how things are for the application's driver.
func (a *application) standingOf() standing {
	st := standing{SparkStanding: SparkStanding{Attempt: a.Attempt, Bounds: a.bounds()}, told: true}
	if a.Context != nil {
		st.Registered = true
		if a.Context.Target != nil {
			st.TargetGeneration = a.Context.Target.Generation
		}
	}
	if st.Over = a.over(); st.Over != nil {
		st.over = st.Over.Code + " " + st.Over.Detail
	}
	return st
}

// over is why the application's driver is to end, nil when it is not.
func (a *application) over() *v1.Problem {
	switch {
	case a.End != nil:
		return v1.ProblemSparkEnded(a.AppID, "it has ended: "+a.End.State)
	case a.Kill != nil:
		return v1.ProblemSparkEnded(a.AppID, "it is killed by order of "+orSomebody(a.Kill.User))
	case a.Attempt > 0 && a.Recorded:
		// A driver whose task has ended cannot be the one that calls.
		p := v1.ProblemSparkSuperseded(a.AppID, a.Attempt, a.NextAttempt)
		p.Detail = "attempt " + strconv.FormatInt(a.Attempt, 10) + " of application " + strconv.Quote(a.AppID) + " has ended on record, and another one follows"
		return p
	}
	return nil
}

// settleStanding notes what the hub is to be told.
func (c *Core) settleStanding(a *application) {
	st := a.standingOf()
	was := a.told
	a.told = st
	was.Over, st.Over = nil, nil
	if was != st {
		c.standings[a.Spec.Name] = a
	}
}

// flushNotices puts this step's notices into its decision.
func (c *Core) flushNotices() {
	names := map[string]bool{}
	for name := range c.standings {
		names[name] = true
	}
	for name := range c.events {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a := c.apps[name]
		if a == nil {
			if a = c.standings[name]; a != nil {
				c.out.Spark = append(c.out.Spark, SparkNotice{AppID: a.AppID, Gone: true})
			}
			continue
		}
		c.out.Spark = append(c.out.Spark, SparkNotice{AppID: a.AppID, SparkStanding: a.standingOf().SparkStanding, Events: c.events[name]})
	}
	clear(c.standings)
	clear(c.events)
}
