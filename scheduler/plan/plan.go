package plan

import (
	"fmt"
	"slices"

	v1 "github.com/berthdata/berth/api/v1"
)

// Fact is what is known of one wanted node.
type Fact struct {
	Node    Node
	Action  string // what is or was to be done, "deploy"
	State   string // as in v1.NodeView
	Done    bool
	Started bool
	Waiting string // the gate or missing thing that holds it
}

// The statuses of plans, phases and steps.
const (
	Pending    = "Pending"
	InProgress = "InProgress"
	Complete   = "Complete"
	// Of plans with a rolling restart: held by a person, by Berth itself after a
	// node did not come back, or ending after the node under way.
	Paused     = "Paused"
	Halted     = "Halted"
	Cancelling = "Cancelling"
)

// Build shows the plan of a generation: a phase per node set, a step per node.
// The phases of a deployment run together, since masters and data nodes can
// start at the same time; formed says whether the cluster itself is complete.
func Build(cluster v1.Cluster, generation int64, facts []Fact, formed bool) v1.PlanView {
	p := v1.PlanView{ID: ID(cluster.Name, generation), Generation: generation}
	for _, set := range cluster.Spec.NodeSets {
		phase := v1.PlanPhase{Name: "deploy " + set.Name, Steps: []v1.PlanStep{}}
		done, started := 0, 0
		for _, f := range facts {
			if f.Node.Set != set.Name {
				continue
			}
			step := v1.PlanStep{Node: f.Node.Name, Action: f.Action, Status: Pending, Waiting: f.Waiting}
			switch {
			case f.Done:
				step.Status, step.Waiting = Complete, ""
				done++
			case f.Started:
				step.Status = InProgress
				started++
			}
			phase.Steps = append(phase.Steps, step)
		}
		phase.Status = status(done, started, len(phase.Steps))
		p.Phases = append(p.Phases, phase)
	}
	form := v1.PlanPhase{Name: "form cluster", Status: Pending, Steps: []v1.PlanStep{}}
	complete := 0
	for _, ph := range p.Phases {
		if ph.Status == Complete {
			complete++
		}
	}
	if complete == len(p.Phases) {
		form.Status = InProgress
		if formed {
			form.Status = Complete
		}
	}
	p.Phases = append(p.Phases, form)
	p.Status = InProgress
	if form.Status == Complete {
		p.Status = Complete
	}
	return p
}

// ID names the plan of one generation of a cluster.
func ID(cluster string, generation int64) string { return fmt.Sprintf("%s.g%d", cluster, generation) }

func status(done, started, all int) string {
	switch {
	case done == all:
		return Complete
	case done+started > 0:
		return InProgress
	}
	return Pending
}

// RestartView is what is known of a rolling restart.
type RestartView struct {
	ID    string
	Total int
	// Left are the nodes that still need a restart, in the order of their turns.
	Left []string
	// Node and Step are what is under way, Waiting what it waits for.
	Node, Step, Waiting string
	// Candidate is whose turn is next, with its Gates and those Overridden.
	Candidate  string
	Gates      []Gate
	Overridden []string

	Paused, Cancelled bool
	Halted            string
}

// AddRestart adds a rolling restart to the plan that is shown.
func AddRestart(p *v1.PlanView, r RestartView) {
	p.ID = r.ID
	phase := v1.PlanPhase{Name: "restart nodes", Status: InProgress, Steps: []v1.PlanStep{}}
	if r.Node != "" {
		phase.Steps = append(phase.Steps, v1.PlanStep{Node: r.Node, Action: "restart: " + r.Step, Status: InProgress, Waiting: r.Waiting})
	}
	holds := ""
	for _, g := range r.Gates {
		gate := v1.PlanGate{Name: g.Name, Node: r.Candidate, Open: g.Open, Overridden: slices.Contains(r.Overridden, g.Name), Message: g.Message}
		p.Gates = append(p.Gates, gate)
		if !g.Open && !gate.Overridden && holds == "" {
			holds = g.Name + ": " + g.Message
		}
	}
	for _, name := range r.Left {
		if name == r.Node {
			continue
		}
		step := v1.PlanStep{Node: name, Action: "restart", Status: Pending}
		if name == r.Candidate {
			step.Waiting = holds
		}
		phase.Steps = append(phase.Steps, step)
	}
	p.Phases = append(p.Phases, phase)
	switch {
	case r.Halted != "":
		p.Status, p.Message = Halted, r.Halted
	case r.Cancelled:
		p.Status = Cancelling
	case r.Paused:
		p.Status = Paused
	default:
		p.Status = InProgress
	}
}
