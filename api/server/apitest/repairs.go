package apitest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/berthdata/berth/api/server"
	v1 "github.com/berthdata/berth/api/v1"
)

// PlanRepair implements server.Commands: there is one plan, of what Findings shows.
func (f *Fake) PlanRepair(ctx context.Context, o server.RepairOptions) (v1.Accepted, error) {
	if err := f.enter(ctx, "PlanRepair"); err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{"PlanRepair", "", o})
	for _, id := range o.Findings {
		if !slices.Contains([]string{"0123456789ab", "ba9876543210"}, id) {
			return v1.Accepted{}, v1.ProblemNotFound("finding", id)
		}
	}
	if !f.Findings {
		return v1.Accepted{}, v1.ProblemConflict("nothing to repair", "the ledger has no findings that a repair deals with")
	}
	retention := 7 * 24 * time.Hour
	if o.Retention != nil {
		retention = *o.Retention
	}
	f.repair = &v1.RepairView{
		ID: "repair-7", State: "Planned", Fingerprint: "00112233aabbccdd", WitnessAt: Epoch, Retention: v1.FormatDuration(retention),
		Planned: v1.OrderView{At: Epoch, User: o.User, Message: o.Message},
		Steps: []v1.RepairStepView{
			{Step: 1, Action: "destroy", Finding: "0123456789ab", Class: "orphan", AgentID: "agent-2", Hostname: "host-2", Role: "data", Principal: "berth",
				Labels: []v1.Label{{Key: "berth.slot", Value: "old-es-0.7"}}, Node: "old-es-0", Touches: "disk 512 (volume old-es-0.7)",
				Volumes: []v1.PersistentVolume{{ID: "old-es-0.7", SizeMiB: 512}}, State: "planned", Since: Epoch},
			{Step: 2, Action: "unreserve", Finding: "cafecafecafe", Class: "orphan", AgentID: "agent-1", Hostname: "host-1", Role: "data", Principal: "berth",
				Touches: "cpus 1", State: "planned", Since: Epoch},
		},
		Left: []v1.RepairLeft{{Finding: "ba9876543210", Class: "foreign", Message: "it is not Berth's: it is repaired only when it is named"}},
	}
	return v1.Accepted{Name: f.repair.ID, Changed: true, Message: "2 steps; nothing is done before it is approved with its fingerprint " + f.repair.Fingerprint}, nil
}

// ApproveRepair implements server.Commands.
func (f *Fake) ApproveRepair(ctx context.Context, id string, o server.ApprovalOptions) (v1.Accepted, error) {
	if err := f.enter(ctx, "ApproveRepair"); err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{"ApproveRepair", id, o})
	switch {
	case f.repair == nil || f.repair.ID != id:
		return v1.Accepted{}, v1.ProblemNotFound("repair", id)
	case f.repair.Fingerprint != o.Fingerprint:
		return v1.Accepted{}, v1.ProblemConflict("not the plan that is on record", fmt.Sprintf("%s has the fingerprint %s, not %s: look at it again", id, f.repair.Fingerprint, o.Fingerprint))
	}
	keep := Epoch.Add(7 * 24 * time.Hour)
	f.repair.State, f.repair.Approved = "Running", &v1.OrderView{At: Epoch, User: o.User, Message: o.Message}
	f.repair.Steps[0].State, f.repair.Steps[0].NotBefore = "kept", &keep
	f.repair.Steps[1].State, f.repair.Steps[1].Message = "ready", "waits for an offer of its agent"
	return v1.Accepted{Name: id, Changed: true, Message: "1 kept, 1 ready"}, nil
}

// CancelRepair implements server.Commands.
func (f *Fake) CancelRepair(ctx context.Context, id string, o server.CancelOptions) (v1.Accepted, error) {
	if err := f.enter(ctx, "CancelRepair"); err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{"CancelRepair", id, o})
	if f.repair == nil || f.repair.ID != id {
		return v1.Accepted{}, v1.ProblemNotFound("repair", id)
	}
	for i := range f.repair.Steps {
		if st := &f.repair.Steps[i]; o.Step == 0 || o.Step == st.Step {
			st.State, st.NotBefore, st.Message = "cancelled", nil, "taken back by "+o.User
		}
	}
	if o.Step == 0 {
		end := Epoch
		f.repair.State, f.repair.EndedAt, f.repair.Cancelled = "Cancelled", &end, &v1.OrderView{At: Epoch, User: o.User, Message: o.Message}
		return v1.Accepted{Name: id, Changed: true, Message: "2 steps are taken back"}, nil
	}
	return v1.Accepted{Name: id, Changed: true, Message: "1 steps are taken back"}, nil
}

// Repairs implements server.Queries.
func (f *Fake) Repairs(ctx context.Context) (v1.RepairList, error) {
	if err := f.enter(ctx, "Repairs"); err != nil {
		return v1.RepairList{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list := v1.RepairList{Repairs: []v1.RepairView{}}
	if f.repair != nil {
		list.Repairs = append(list.Repairs, *f.repair)
	}
	return list, nil
}

// Repair implements server.Queries.
func (f *Fake) Repair(ctx context.Context, id string) (v1.RepairView, error) {
	if err := f.enter(ctx, "Repair"); err != nil {
		return v1.RepairView{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.repair == nil || f.repair.ID != id {
		return v1.RepairView{}, v1.ProblemNotFound("repair", id)
	}
	return *f.repair, nil
}
