package scheduler

import (
	"fmt"
	"maps"
	"strings"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler/state"
)

// sparkPut accepts or refuses an application's spec. A refused one changes nothing.
func (c *Core) sparkPut(e SparkPut) {
	accepted, problem := c.putSpark(e)
	c.reply(e.Reply, accepted, problem)
}

func (c *Core) putSpark(e SparkPut) (*v1.Accepted, *v1.Problem) {
	spec := e.Application
	if spec.Spec.Role == "" {
		spec.Spec.Role = c.cfg.Roles[0]
	}
	if fields := c.checkSparkSurroundings(spec); len(fields) > 0 {
		return nil, v1.ProblemSparkInvalid(fields)
	}
	a := c.apps[spec.Name]
	if problem := checkApplication(spec.Name, a, e.IfGeneration); problem != nil {
		return nil, problem
	}
	if a == nil {
		if n := c.waitingApplications(); n >= maxWaitingApplications {
			return nil, v1.ProblemUnavailable(fmt.Sprintf("%d applications wait for a place already, and no more are taken: see berth spark list", n))
		}
		if e.DryRun {
			return &v1.Accepted{Name: spec.Name, Changed: true, DryRun: true, Message: "would start an application"}, nil
		}
		return c.createApplication(spec, e), nil
	}
	changes := v1.DiffSpark(a.Spec.Spec, spec.Spec)
	labels := !maps.Equal(a.Spec.Labels, spec.Labels)
	out := &v1.Accepted{Name: spec.Name, Generation: a.Generation, Changes: changes, DryRun: e.DryRun}
	if len(changes) == 0 && !labels {
		out.Message, out.DryRun = "nothing to change", false
		if a.End != nil {
			out.Message = fmt.Sprintf("nothing to change: it has ended (%s); change the spec, be it a label, to start it again", a.End.State)
		}
		return out, nil
	}
	if problem := c.refuseChange(a, spec, changes); problem != nil {
		return nil, problem
	}
	out.Changed = true
	out.Message = a.effectOf(changes)
	if !e.DryRun {
		c.updateApplication(a, spec, e, out)
	}
	return out, nil
}

// checkSparkSurroundings checks what only the scheduler knows: its roles, its
// catalogue, and what Mesos takes as a launch document.
func (c *Core) checkSparkSurroundings(spec v1.SparkApplication) []v1.FieldError {
	fields := c.checkRole(spec.Spec.Role)
	dist, ok := c.cfg.SparkCatalogue[spec.Spec.Version]
	if !ok {
		return append(fields, v1.FieldError{Field: "spec.version", Message: fmt.Sprintf("Spark %s is not in this Berth's catalogue; it has %s", spec.Spec.Version, versionsOf(c.cfg.SparkCatalogue))})
	}
	d := c.driverDocument(newApplication(state.Application{Spec: spec, Attempt: 1}), "", state.Binding{}, driverNeed(spec.Spec), dist)
	if raw, err := (executor.Launch{Spark: d}).Encode(); err == nil && len(raw) > maxDriverDocument {
		fields = append(fields, v1.FieldError{Field: "spec", Message: fmt.Sprintf("makes a launch document of %d bytes, at most %d are allowed: put long arguments and properties into a file that the job reads", len(raw), maxDriverDocument)})
	}
	return fields
}

func checkApplication(name string, a *application, ifGeneration *int64) *v1.Problem {
	have := int64(0)
	if a != nil {
		have = a.Generation
		if a.Kill != nil && a.End == nil {
			return v1.ProblemConflict("application is being killed", fmt.Sprintf("application %s has been ordered killed and is still stopping; apply again once it has ended", name))
		}
	}
	if ifGeneration != nil && *ifGeneration != have {
		return v1.ProblemGenerationMismatch("application", name, *ifGeneration, have)
	}
	return nil
}

// waitingApplications counts those whose driver was never launched.
func (c *Core) waitingApplications() int {
	n := 0
	for _, a := range c.apps {
		if a.End == nil && a.Attempt == 0 {
			n++
		}
	}
	return n
}

// refuseChange names the changes that would have to touch what the driver holds, or
// its executors, while it runs.
func (c *Core) refuseChange(a *application, spec v1.SparkApplication, changes []v1.Change) *v1.Problem {
	if a.End != nil {
		s := a.retained()
		switch {
		case s == nil || spec.Spec.Driver.Checkpoint == nil:
		case s.Identity.Role != spec.Spec.Role:
			return v1.ProblemConflict("checkpoint volume is of another role", fmt.Sprintf("volume %s of application %s is reserved for role %q: keep that role, or remove the application to start it anew", s.ID, spec.Name, s.Identity.Role))
		case s.Order != nil:
			return v1.ProblemConflict("checkpoint volume is to be destroyed", fmt.Sprintf("volume %s of application %s is ordered destroyed: take that back (berth volumes restore %s), or remove the application to start it anew", s.ID, spec.Name, s.ID))
		case !s.releasedButVolume():
			return v1.ProblemConflict("application is still stopping", fmt.Sprintf("what application %s had reserved beside its checkpoint volume on %s is still being given back; apply again in a moment", spec.Name, s.hostname()))
		}
		return nil
	}
	d := a.driver()
	if d == nil || d.Bind == nil {
		return nil
	}
	var fields []v1.FieldError
	for _, ch := range changes {
		held := ch.Leaf == "role" || strings.HasPrefix(ch.Leaf, "driver.checkpoint")
		if !d.Need.Ephemeral {
			held = held || ch.Leaf == "driver.cpus" || ch.Leaf == "driver.memory" || ch.Leaf == "driver.memoryOverhead"
		}
		if held {
			fields = append(fields, v1.FieldError{Field: "spec." + ch.Field, Message: "cannot change while the driver holds its place: kill the application, and apply this once it has ended"})
		}
	}
	if len(fields) == 0 {
		return nil
	}
	p := v1.NewProblem(422, v1.CodeSpecUnsupported, "the change cannot be carried out", "application "+spec.Name+" was left as it is")
	p.Fields = fields
	return p
}

// effectOf says when a change takes effect.
func (a *application) effectOf(changes []v1.Change) string {
	if a.End != nil {
		return fmt.Sprintf("starts it again; it has ended (%s)", a.End.State)
	}
	if a.running() && !atOnce(changes) {
		return "what the driver was started with changes with its next attempt"
	}
	return ""
}

// atOnce reports whether changes are all of such fields as Berth itself goes by.
func atOnce(changes []v1.Change) bool {
	for _, ch := range changes {
		switch ch.Leaf {
		case "executors.count", "executors.min", "executors.max", "executors.constraints", "executors.spread", "executors.maxPerHost",
			"driver.supervise", "driver.constraints":
		default:
			return false
		}
	}
	return true
}

// createApplication makes an application's record; its slots follow when the step
// settles.
func (c *Core) createApplication(spec v1.SparkApplication, e SparkPut) *v1.Accepted {
	n := c.incarnation()
	a := newApplication(state.Application{
		Spec: spec, Generation: 1, Incarnation: n, AppID: fmt.Sprintf("berth-%s-%d", spec.Name, n),
		NextAttempt: 1, NextExecutor: 1, BoundsRevision: 1, BoundsSince: c.now,
		CreatedAt: c.now, UpdatedBy: e.User, Message: clip(e.Message),
	})
	c.apps[spec.Name] = a
	c.appIDs[a.AppID] = spec.Name
	c.touchApplication(a)
	c.publishApplication("ApplicationAccepted", a, "generation 1 accepted: Spark %s, application id %s", spec.Spec.Version, a.AppID)
	return &v1.Accepted{Name: spec.Name, Generation: 1, Changed: true}
}

// updateApplication stores a changed spec, and starts an application again that has
// ended: under the same application id, on the same checkpoint volume.
func (c *Core) updateApplication(a *application, spec v1.SparkApplication, e SparkPut, out *v1.Accepted) {
	was := a.bounds()
	least, most := a.Spec.Spec.Executors.Bounds()
	a.Spec = spec
	if a.AttemptGeneration == a.Generation && atOnce(out.Changes) {
		a.AttemptGeneration++
	}
	a.Generation++
	a.UpdatedBy, a.Message = e.User, clip(e.Message)
	if l, m := spec.Spec.Executors.Bounds(); l != least || m != most {
		a.Scale = nil // the newer word counts
	}
	if a.End != nil {
		a.End, a.Kill = nil, nil
		a.crashes, a.drops = waves{}, waves{}
	}
	c.rebound(a, was)
	c.touchApplication(a)
	out.Generation = a.Generation
	c.publishApplication("ApplicationAccepted", a, "generation %d accepted: %s", a.Generation, describeChanges(out.Changes))
}

// sparkKilled records the order to end an application.
func (c *Core) sparkKilled(e SparkKilled) {
	a := c.apps[e.Name]
	switch {
	case a == nil:
		c.refuse(e.Reply, v1.ProblemNotFound("application", e.Name))
		return
	case a.End != nil:
		c.acceptApplication(e.Reply, a, false, fmt.Sprintf("it has ended already: %s", a.End.State))
		return
	case a.Kill != nil:
		c.acceptApplication(e.Reply, a, false, "it is being killed already")
		return
	}
	a.Kill = &state.Order{At: c.now, User: e.User, Message: clip(e.Message)}
	c.touchApplication(a)
	c.publishApplication("ApplicationKilled", a, "%s ordered it killed: %s", orSomebody(e.User), orNoReason(a.Kill.Message))
	c.acceptApplication(e.Reply, a, true, "stopping")
}

// sparkScaled takes an operator's word on the number of executors, or takes it back.
func (c *Core) sparkScaled(e SparkScaled) {
	a := c.apps[e.Name]
	switch {
	case a == nil:
		c.refuse(e.Reply, v1.ProblemNotFound("application", e.Name))
		return
	case a.End != nil || a.Kill != nil:
		c.refuse(e.Reply, v1.ProblemConflict("application is not running", fmt.Sprintf("application %s has ended, or is being killed", e.Name)))
		return
	case (e.Min == nil) != (e.Max == nil), e.Min != nil && (*e.Min < 0 || *e.Max < *e.Min || *e.Max > v1.MaxSparkExecutors):
		c.refuse(e.Reply, v1.NewProblem(422, v1.CodeSpecInvalid, "not a scale", fmt.Sprintf("min and max go together, 0 ≤ min ≤ max ≤ %d", v1.MaxSparkExecutors)))
		return
	}
	was := a.bounds()
	changed := e.Min == nil && a.Scale != nil || e.Min != nil && (a.Scale == nil || a.Scale.Min != *e.Min || a.Scale.Max != *e.Max)
	if changed {
		a.Scale = nil
		if e.Min != nil {
			a.Scale = &state.Scale{Min: *e.Min, Max: *e.Max, At: c.now, User: e.User, Message: clip(e.Message)}
		}
		c.rebound(a, was)
		c.touchApplication(a)
		b := a.bounds()
		c.publishApplication("ApplicationScaled", a, "%s set the bounds to %d … %d executors (they were %d … %d): %s", orSomebody(e.User), b.Min, b.Max, was.Min, was.Max, orNoReason(clip(e.Message)))
	}
	b := a.bounds()
	c.acceptApplication(e.Reply, a, changed, fmt.Sprintf("between %d and %d executors", b.Min, b.Max))
}

// sparkRemoved takes an ended application out of the history.
func (c *Core) sparkRemoved(e SparkRemoved) {
	a := c.apps[e.Name]
	switch {
	case a == nil:
		c.refuse(e.Reply, v1.ProblemNotFound("application", e.Name))
		return
	case a.End == nil:
		c.refuse(e.Reply, v1.ProblemConflict("application has not ended", fmt.Sprintf("application %s is not ended: kill it first", e.Name)))
		return
	}
	for _, s := range a.list() {
		if s.live() {
			c.refuse(e.Reply, v1.ProblemConflict("application may still run", fmt.Sprintf("task %s of application %s may still run (%s)", s.Task.ID, e.Name, s.Task.State)))
			return
		}
	}
	message := "removed"
	if s := a.retained(); s != nil {
		message = fmt.Sprintf("removed; its checkpoint volume %s is kept: destroy it with berth volumes destroy", s.ID)
	}
	c.acceptApplication(e.Reply, a, true, message)
	c.publishApplication("ApplicationRemoved", a, "%s removed it from the history: %s", orSomebody(e.User), orNoReason(clip(e.Message)))
	c.removeApplication(a)
}

func (c *Core) acceptApplication(id ReplyID, a *application, changed bool, message string) {
	c.reply(id, &v1.Accepted{Name: a.Spec.Name, Generation: a.Generation, Changed: changed, Message: message}, nil)
}
