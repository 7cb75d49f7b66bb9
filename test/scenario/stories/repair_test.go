package stories

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/datadriven"
	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/state"
)

// repair is what a person asks of repairs.
func (w *world) repair(d *datadriven.TestData) scheduler.Event {
	args := names(d)
	user, message := value(d, "user", "ann"), value(d, "message", "")
	switch args[0] {
	case "plan":
		e := scheduler.RepairAsked{Reply: 1, Retained: d.HasArg("retained"), User: user, Message: message}
		for _, a := range args[1:] {
			if a != "retained" {
				e.Findings = append(e.Findings, a)
			}
		}
		if text := value(d, "retain", ""); text != "" {
			retain, err := time.ParseDuration(text)
			require.NoError(w.t, err, d.Pos)
			e.Retention = &retain
		}
		return e
	case "approve":
		fingerprint := value(d, "fingerprint", "")
		if r, ok := w.repairRecord(args[1]); ok && fingerprint == "" {
			fingerprint = r.Fingerprint
		}
		return scheduler.RepairApproved{Reply: 1, ID: args[1], Fingerprint: fingerprint, User: user, Message: message}
	case "cancel":
		return scheduler.RepairCancelled{Reply: 1, ID: args[1], Step: int(number(w.t, d, "step", 0)), User: user, Message: message}
	}
	w.t.Fatalf("%s: unknown %q", d.Pos, args[0])
	return nil
}

func (w *world) repairRecord(id string) (state.Repair, bool) {
	w.let(true)
	key := state.Key(state.KindRepair + "/" + id)
	raw, ok := w.durable[key]
	if !ok {
		return state.Repair{}, false
	}
	r, err := repairs.Decode(key, raw)
	require.NoError(w.t, err)
	return r, true
}

// operator answers the oldest call of the operator API: as it was taken and done,
// as taken without reaching the agent, as refused, or not at all.
func (w *world) operator(d *datadriven.TestData, out *strings.Builder, show func(scheduler.Event)) {
	w.let(true)
	if len(w.operated) == 0 {
		out.WriteString("nothing was asked of the operator API\n")
		return
	}
	o := w.operated[0]
	w.operated = w.operated[1:]
	answer := scheduler.OperatorAnswered{ID: o.ID}
	switch names(d)[0] {
	case "taken":
		w.operate(o)
	case "lost":
	case "refused":
		answer.Err = "409 Conflict: the resources are in use"
	case "unanswered":
		w.operate(o)
		return
	default:
		w.t.Fatalf("%s: unknown answer", d.Pos)
	}
	show(answer)
}

// operate does what a call of the operator API asks for.
func (w *world) operate(o scheduler.OperatorCall) {
	m := w.machines[o.AgentID]
	if len(o.Destroy) > 0 {
		require.NoError(w.t, m.turn(o.Destroy, unmade, true))
	}
	if len(o.Unreserve) > 0 {
		require.NoError(w.t, m.turn(o.Unreserve, unreserved, true))
	}
}

// approved says whether a durable, approved repair names a volume and its retention
// is over.
func (w *world) approved(v mesos.Resource) bool {
	for _, key := range slices.Sorted(maps.Keys(w.durable)) {
		if key.Kind() != state.KindRepair {
			continue
		}
		r, err := repairs.Decode(key, w.durable[key])
		require.NoError(w.t, err)
		for _, st := range r.Steps {
			for _, named := range st.Extent.Volumes {
				if named.ID == v.Disk.Persistence.ID && r.Approved != nil && !st.State.Ended() && st.Action == state.RepairDestroy &&
					!r.Approved.At.Add(r.Retention).After(w.now) {
					return true
				}
			}
		}
	}
	return false
}

func operateText(o scheduler.OperatorCall) string {
	if len(o.Destroy) > 0 {
		return "DESTROY_VOLUMES " + resourcesText(o.Destroy)
	}
	return "UNRESERVE_RESOURCES " + resourcesText(o.Unreserve)
}

func (w *world) repairText(r state.Repair) string {
	text := "planned by " + r.Planned.User
	if r.Approved != nil {
		text += ", approved by " + r.Approved.User
	}
	if r.Cancelled != nil {
		text += ", cancelled by " + r.Cancelled.User
	}
	if !r.EndedAt.IsZero() {
		text += ", ended"
	}
	for i, st := range r.Steps {
		text += fmt.Sprintf("\n  %d: %s %s on %s: %s", i+1, st.Action, st.Finding, st.AgentID, st.State)
		if st.NotBefore.After(w.now) {
			text += " not before " + w.at(st.NotBefore)
		}
		if ops := strings.TrimSpace(st.DestroyOp + " " + st.UnreserveOp + " " + st.Call); ops != "" {
			text += ", open " + ops
		}
		if st.Message != "" {
			text += ": " + st.Message
		}
		if st.Refusal != "" {
			text += " (" + st.Refusal + ")"
		}
	}
	return text
}

// viewRepair prints what a person is shown of a repair.
func (w *world) viewRepair(v v1.RepairView, line func(string, ...any)) {
	line("%s: %s, fingerprint %s, retention %s", v.ID, v.State, v.Fingerprint, v.Retention)
	for _, st := range v.Steps {
		line("  %d %s %s (%s) on %s, %s of %s: %s", st.Step, st.Action, st.Finding, st.Class, st.Hostname, st.Node, st.Cluster, st.Touches)
		line("    %s", strings.TrimRight(st.State+": "+st.Message, ": "))
	}
	for _, l := range v.Left {
		line("  left: %s (%s): %s", l.Finding, l.Class, l.Message)
	}
	if v.LeftOut > 0 {
		line("  and %d more are left", v.LeftOut)
	}
}
