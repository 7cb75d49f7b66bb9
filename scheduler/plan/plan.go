package plan

import (
	"fmt"

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
