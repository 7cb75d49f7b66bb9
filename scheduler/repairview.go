package scheduler

import (
	"fmt"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
)

// Repairs lists the repairs on record, oldest first.
func (c *Core) Repairs() v1.RepairList {
	out := v1.RepairList{Repairs: []v1.RepairView{}}
	for _, id := range c.repairOrder() {
		out.Repairs = append(out.Repairs, repairView(c.repairs[id]))
	}
	return out
}

// Repair returns one repair, or a not-found problem.
func (c *Core) Repair(id string) (v1.RepairView, *v1.Problem) {
	r := c.repairs[id]
	if r == nil {
		return v1.RepairView{}, v1.ProblemNotFound("repair", id)
	}
	return repairView(r), nil
}

func repairView(r *state.Repair) v1.RepairView {
	v := v1.RepairView{
		ID: r.ID, State: "Planned", Fingerprint: r.Fingerprint, WitnessAt: r.WitnessAt, Retention: v1.FormatDuration(r.Retention),
		Planned: orderView(r.Planned), Steps: make([]v1.RepairStepView, 0, len(r.Steps)), Left: []v1.RepairLeft{}, LeftOut: r.LeftOut,
	}
	if r.Approved != nil {
		o := orderView(*r.Approved)
		v.Approved, v.State = &o, "Running"
	}
	if !r.EndedAt.IsZero() {
		at := r.EndedAt
		v.EndedAt, v.State = &at, "Done"
	}
	if r.Cancelled != nil {
		o := orderView(*r.Cancelled)
		v.Cancelled, v.State = &o, "Cancelled"
	}
	for i := range r.Steps {
		v.Steps = append(v.Steps, stepView(i, &r.Steps[i]))
	}
	for _, l := range r.Left {
		v.Left = append(v.Left, v1.RepairLeft(l))
	}
	return v
}

func orderView(o state.Order) v1.OrderView {
	return v1.OrderView{At: o.At, User: o.User, Message: o.Message}
}

func stepView(i int, st *state.RepairStep) v1.RepairStepView {
	v := v1.RepairStepView{
		Step: i + 1, Action: string(st.Action), Finding: st.Finding, Class: st.Class, AgentID: st.AgentID, Hostname: st.Hostname,
		Role: st.Role, Principal: st.Principal, Cluster: st.Owner, Node: st.Node, Touches: touches(st),
		State: string(st.State), Since: st.Since, Message: st.Message,
	}
	if !st.State.Ended() && st.Refusal != "" {
		v.Message += fmt.Sprintf(" (%d of %d tries came to nothing; the last: %s)", st.Refusals, repairTries, st.Refusal)
	}
	for _, l := range st.Labels {
		v.Labels = append(v.Labels, v1.Label(l))
	}
	for _, p := range st.Extent.Volumes {
		v.Volumes = append(v.Volumes, v1.PersistentVolume{ID: p.ID, SizeMiB: p.Size.Float()})
	}
	if !st.State.Ended() && !st.NotBefore.IsZero() {
		at := st.NotBefore
		v.NotBefore = &at
	}
	return v
}

// touches says what a step does, in words.
func touches(st *state.RepairStep) string {
	switch st.Action {
	case state.RepairOrder:
		return "orders volume " + st.Finding + " destroyed: " + st.Extent.String()
	case state.RepairRecreate:
		return "makes volume " + st.Finding + " anew, on which no node was ever healthy"
	case state.RepairReserve:
		return "reserves anew what is missing beside: " + st.Extent.String()
	}
	return st.Extent.String()
}

// underRepair says which approved repair deals with which finding, and until when
// it keeps it.
func (c *Core) underRepair() map[string]keptBy {
	out := map[string]keptBy{}
	for _, id := range c.repairOrder() {
		r := c.repairs[id]
		if !active(r) {
			continue
		}
		for i := range r.Steps {
			st := &r.Steps[i]
			if st.State.Ended() {
				continue
			}
			k := keptBy{repair: id}
			if st.Action == state.RepairDestroy {
				k.until = st.NotBefore
			}
			out[st.Finding] = k
		}
	}
	return out
}

type keptBy struct {
	repair string
	until  time.Time
}
