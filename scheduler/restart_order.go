package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

// RestartOrdered asks for a rolling restart of a cluster's nodes, or of some.
type RestartOrdered struct {
	Reply         ReplyID
	Name          string
	Nodes         []string // names; empty = all
	DryRun        bool
	User, Message string
}

// PlanControlled asks to hold, go on with or end the restart under way, or to set
// one of its gates aside for a while.
type PlanControlled struct {
	Reply ReplyID
	Name  string
	Verb  PlanVerb
	// Gate and For are of PlanOverride.
	Gate          string
	For           time.Duration
	User, Message string
}

// PlanVerb is what is asked of a plan.
type PlanVerb string

// The verbs of PlanControlled.
const (
	PlanPause    PlanVerb = "pause"
	PlanResume   PlanVerb = "resume"
	PlanCancel   PlanVerb = "cancel"
	PlanOverride PlanVerb = "override"
)

func (RestartOrdered) event() {}
func (PlanControlled) event() {}

// restartOrdered records an order to restart. One that is under way must end
// first: two orders at once would leave nobody knowing which gates hold for what.
func (c *Core) restartOrdered(e RestartOrdered) {
	accepted, problem := c.orderRestart(e)
	c.reply(e.Reply, accepted, problem)
}

func (c *Core) orderRestart(e RestartOrdered) (*v1.Accepted, *v1.Problem) {
	cl, problem := c.clusterForPlan(e.Name)
	if problem != nil {
		return nil, problem
	}
	if r := cl.Restart; r != nil {
		return nil, v1.ProblemConflict("a restart is under way",
			fmt.Sprintf("%s has %d nodes left: wait for it, or cancel it first", r.ID, len(cl.toRestart())))
	}
	var names []string
	for _, s := range cl.list() {
		if s.Want == state.WantRun && s.live() && (len(e.Nodes) == 0 || slices.Contains(e.Nodes, s.Name)) {
			names = append(names, s.Name)
		}
	}
	for i, name := range e.Nodes {
		if !slices.Contains(names, name) {
			p := v1.NewProblem(422, v1.CodeSpecInvalid, "a node cannot be restarted", "nothing was changed")
			p.Fields = []v1.FieldError{{Field: fmt.Sprintf("nodes[%d]", i), Message: fmt.Sprintf("%q is no node of cluster %s that runs", name, e.Name)}}
			return nil, p
		}
	}
	accepted := &v1.Accepted{Name: e.Name, Generation: cl.Generation, Changed: len(names) > 0, DryRun: e.DryRun}
	switch {
	case len(names) == 0:
		accepted.Message = "no node runs: there is nothing to restart"
	case e.DryRun:
		accepted.Message = fmt.Sprintf("would restart %d nodes one by one, in this order: %s", len(names), strings.Join(cl.restartPreview(names), ", "))
	default:
		r := &state.Restart{
			ID: fmt.Sprintf("%s.r%d", e.Name, c.incarnation()), Ordered: true, Nodes: slices.Clone(e.Nodes),
			At: c.now, User: e.User, Message: clip(e.Message), Total: len(names), Since: c.now,
		}
		cl.Restart = r
		cl.nextAsk = c.now
		c.touchCluster(cl)
		c.publish("RestartBegun", e.Name, "", "%d nodes are restarted one by one by order of %s: %s", r.Total, orSomebody(e.User), r.Message)
		accepted.PlanID = r.ID
	}
	return accepted, nil
}

// restartPreview puts nodes into the order in which they would be restarted.
func (cl *cluster) restartPreview(names []string) []string {
	var members []plan.Member
	for _, s := range cl.list() {
		if s.Want == state.WantRun && slices.Contains(names, s.Name) {
			members = append(members, cl.member(s))
		}
	}
	plan.RestartOrder(members)
	out := make([]string, len(members))
	for i, m := range members {
		out[i] = m.Name
	}
	return out
}

// clusterForPlan finds a cluster that is not being deleted.
func (c *Core) clusterForPlan(name string) (*cluster, *v1.Problem) {
	cl := c.clusters[name]
	switch {
	case cl == nil:
		return nil, v1.ProblemNotFound("cluster", name)
	case cl.Deletion != nil:
		return nil, v1.ProblemConflict("cluster is being deleted", fmt.Sprintf("cluster %s has been ordered deleted and is stopping", name))
	}
	return cl, nil
}

func (c *Core) planControlled(e PlanControlled) {
	accepted, problem := c.controlPlan(e)
	c.reply(e.Reply, accepted, problem)
}

func (c *Core) controlPlan(e PlanControlled) (*v1.Accepted, *v1.Problem) {
	cl, problem := c.clusterForPlan(e.Name)
	if problem != nil {
		return nil, problem
	}
	r := cl.Restart
	if r == nil {
		return nil, v1.ProblemConflict("no plan is under way", fmt.Sprintf("cluster %s has nothing to %s", e.Name, e.Verb))
	}
	said := ""
	switch e.Verb {
	case PlanPause:
		r.Paused = true
		said = "paused: the node under way is finished, no other is begun"
	case PlanResume:
		r.Paused, r.Halted = false, ""
		cl.nextAsk = c.now // what was said while it was paused is old
		if s := cl.slots[r.Slot]; s != nil && s.Failures > 0 {
			// Counted anew, and tried at once: whoever resumes has done something.
			s.Failures, s.NotBefore = 0, time.Time{}
			c.touch(s)
		}
		said = "resumed"
	case PlanCancel:
		r.Cancelled, r.Halted = true, ""
		said = "cancelled: the node under way is finished, the others stay as they are"
	case PlanOverride:
		if !slices.Contains(plan.Overridable, e.Gate) {
			p := v1.NewProblem(422, v1.CodeSpecInvalid, "no such gate to override", "nothing was changed")
			p.Fields = []v1.FieldError{{Field: "gate", Message: fmt.Sprintf("%q is none of %s", e.Gate, strings.Join(plan.Overridable, ", "))}}
			return nil, p
		}
		r.Overrides = slices.DeleteFunc(r.Overrides, func(o state.Override) bool { return o.Gate == e.Gate })
		o := state.Override{Gate: e.Gate, User: e.User, Reason: clip(e.Message), Until: c.now.Add(e.For)}
		r.Overrides = append(r.Overrides, o)
		said = fmt.Sprintf("gate %s is set aside until %s", o.Gate, o.Until.UTC().Format(time.RFC3339))
	}
	c.touchCluster(cl)
	c.publish("PlanControlled", e.Name, "", "%s is %s, by order of %s: %s", r.ID, said, orSomebody(e.User), clip(e.Message))
	return &v1.Accepted{Name: e.Name, Generation: cl.Generation, PlanID: r.ID, Changed: true, Message: said}, nil
}

// restartView adds the restart under way to a cluster's plan.
func (c *Core) restartView(cl *cluster, view *v1.PlanView) {
	r := cl.Restart
	if r == nil {
		return
	}
	facts := plan.RestartView{ID: r.ID, Paused: r.Paused, Cancelled: r.Cancelled, Halted: r.Halted, Gates: cl.gates, Candidate: cl.candidate}
	if s := cl.slots[r.Slot]; s != nil {
		facts.Node, facts.Step = s.Name, string(r.Step)
		facts.Waiting = cl.restartCause()
	}
	for _, s := range cl.toRestart() {
		facts.Left = append(facts.Left, s.Name)
	}
	facts.Left = cl.restartPreview(facts.Left)
	facts.Total = r.Total
	for _, o := range r.Overrides {
		if o.Until.After(c.now) {
			facts.Overridden = append(facts.Overridden, o.Gate)
		}
	}
	plan.AddRestart(view, facts)
}
