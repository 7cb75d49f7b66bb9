package conformance

import (
	"fmt"
	"slices"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/berthdata/berth/test/mesosmodel"
)

// line is one event in words: the head says what it is about and is what a
// scenario waits for; the rest is held against the record.
type line struct{ head, rest string }

func (l line) String() string {
	if l.rest == "" {
		return l.head
	}
	return l.head + ": " + l.rest
}

// about is what the line's event is about: events about different things come
// in no fixed order.
func (l line) about() string {
	words := strings.Fields(strings.TrimSuffix(l.head, again))
	return strings.Join(words[:len(words)-1], " ")
}

// words turns ids into the names that a trace uses.
type words struct {
	agents     map[string]string // agent id → machine, or machine(n) for its n-th id
	frameworks map[string]string
	seen       map[string]bool // uuids of updates
}

// again marks what the agent has said before: it repeats updates until they are
// acknowledged, and how often is chance.
const again = " again"

func (w *words) repeated(uuid []byte) string {
	if len(uuid) > 0 && w.seen[string(uuid)] {
		return again
	}
	w.seen[string(uuid)] = true
	return ""
}

func (w *words) agent(id *mesos.AgentID) string {
	switch {
	case id == nil:
		return ""
	case w.agents[id.Value] != "":
		return w.agents[id.Value]
	}
	return "unknown agent"
}

// describe puts an event into words; "" is one that a trace leaves out.
func (w *words) describe(ev *sched.Event) line {
	switch ev.Type {
	case sched.Event_SUBSCRIBED:
		return line{head: "subscribed", rest: w.framework(ev.Subscribed.FrameworkID.GetValue())}
	case sched.Event_UPDATE:
		return w.status(&ev.Update.Status)
	case sched.Event_UPDATE_OPERATION_STATUS:
		return w.operation(&ev.UpdateOperationStatus.Status)
	case sched.Event_FAILURE:
		return w.failure(ev.Failure)
	case sched.Event_ERROR:
		return line{head: "error", rest: ev.Error.Message}
	case sched.Event_INVERSE_OFFERS:
		var on []string
		for _, o := range ev.InverseOffers.InverseOffers {
			on = append(on, w.agent(o.AgentID))
		}
		return line{head: "inverse offer", rest: "of " + strings.Join(on, ", ")}
	case sched.Event_OFFERS, sched.Event_RESCIND, sched.Event_HEARTBEAT, sched.Event_RESCIND_INVERSE_OFFER:
		return line{}
	}
	return line{head: strings.ToLower(ev.Type.String())}
}

func (w *words) framework(id string) string {
	if w.frameworks[id] == "" {
		w.frameworks[id] = fmt.Sprintf("F%d", len(w.frameworks)+1)
	}
	return w.frameworks[id]
}

func (w *words) status(s *mesos.TaskStatus) line {
	var parts []string
	if s.Source != nil {
		parts = append(parts, "by the "+strings.ToLower(strings.TrimPrefix(s.Source.String(), "SOURCE_")))
	}
	if s.Reason != nil {
		parts = append(parts, strings.TrimPrefix(s.Reason.String(), "REASON_"))
	}
	if on := w.agent(s.AgentID); on != "" {
		parts = append(parts, "on "+on)
	}
	if s.ExecutorID != nil {
		parts = append(parts, "executor "+s.ExecutorID.Value)
	}
	if s.Healthy != nil {
		parts = append(parts, map[bool]string{true: "healthy", false: "not healthy"}[*s.Healthy])
	}
	if s.UUID != nil {
		parts = append(parts, "uuid")
	}
	return line{
		head: fmt.Sprintf("task %s %s%s", s.TaskID.Value, strings.TrimPrefix(s.GetState().String(), "TASK_"), w.repeated(s.UUID)),
		rest: strings.Join(parts, ", "),
	}
}

func (w *words) operation(s *mesos.OperationStatus) line {
	var parts []string
	if on := w.agent(s.AgentID); on != "" {
		parts = append(parts, "on "+on)
	}
	if s.UUID != nil {
		parts = append(parts, "uuid")
	}
	// The one message that Berth reads: nothing else tells it from a refusal.
	if strings.HasPrefix(s.GetMessage(), "Operation attempted with invalid offers") {
		parts = append(parts, "its offers are not valid")
	}
	return line{
		head: fmt.Sprintf("operation %s %s%s", s.GetOperationID().GetValue(), strings.TrimPrefix(s.State.String(), "OPERATION_"), w.repeated(s.GetUUID().GetValue())),
		rest: strings.Join(parts, ", "),
	}
}

func (w *words) failure(f *sched.Event_Failure) line {
	if f.ExecutorID == nil {
		return line{head: "failure of " + w.agent(f.AgentID)}
	}
	l := line{head: "failure of executor " + f.ExecutorID.Value, rest: "on " + w.agent(f.AgentID)}
	if f.Status != nil {
		l.rest += fmt.Sprintf(", status %d", *f.Status)
	}
	return l
}

// resources says what there is, each kind once.
func resources(rs []mesos.Resource) string {
	var out []string
	for _, r := range mesosmodel.Merge(rs) {
		out = append(out, resource(&r))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func resource(r *mesos.Resource) string {
	var b strings.Builder
	b.WriteString(r.Name)
	if r.Ranges != nil {
		for _, x := range r.Ranges.Range {
			fmt.Fprintf(&b, " %d-%d", x.Begin, x.End)
		}
	} else {
		fmt.Fprintf(&b, " %g", r.GetScalar().GetValue())
	}
	if p := r.GetDisk().GetPersistence(); p != nil {
		b.WriteString(" as volume " + p.ID)
	}
	for i := range r.Reservations {
		v := &r.Reservations[i]
		b.WriteString(" for " + v.GetRole())
		for _, l := range v.GetLabels().GetLabels() {
			b.WriteString("/" + l.GetValue())
		}
		if v.GetType() != mesos.Resource_ReservationInfo_DYNAMIC {
			b.WriteString(" statically")
		}
		if v.GetPrincipal() != principal {
			b.WriteString(" by " + v.GetPrincipal())
		}
	}
	return b.String()
}
