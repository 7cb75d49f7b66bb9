package stories

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/state"
)

// print writes a decision, a line for each part. Questions to Elasticsearch and
// to the operator API are left out unless asked for: they come all the time.
func (w *world) print(out *strings.Builder, d scheduler.Decision, questions bool) {
	line := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	for _, wr := range d.Writes {
		if wr.Key.Kind() == state.KindAudit {
			continue // comes with every order: see the command audit
		}
		line("write %s", w.writeText(wr))
	}
	for _, c := range d.Calls {
		line("call %s", callText(c))
	}
	for _, n := range d.Spark {
		line("tell %s", noticeText(n))
	}
	for _, o := range d.Operate {
		line("operator API %s on %s: %s", o.ID, o.AgentID, operateText(o))
	}
	for _, r := range d.Replies {
		line("reply %s", replyText(r))
	}
	for _, e := range d.Published {
		line("event %s %s: %s", e.Type, strings.Trim(e.Cluster+e.Application+"/"+e.Node, "/"), e.Message)
	}
	for _, q := range d.Elastic {
		if q.Kind == observe.KindAllocation {
			line("asks %s for allocation %q (owned: %t, flush: %t)", q.Cluster, q.Allocation, q.Owned, q.Flush)
		}
	}
	if !questions {
		return
	}
	for _, q := range d.Elastic {
		line("asks %s, question %d, full %t: %s", q.Cluster, q.Seq, q.Full, strings.Join(q.Endpoints, " "))
	}
	if d.ObserveAgents {
		line("asks for the agents")
	}
}

func (w *world) writeText(wr state.Write) string {
	if wr.Value == nil {
		return string(wr.Key) + " removed"
	}
	kind, _, err := wr.Key.Split()
	if err != nil {
		return err.Error()
	}
	var text string
	switch kind {
	case state.KindFramework:
		var f state.Framework
		f, err = frameworks.Decode(wr.Key, wr.Value)
		text = fmt.Sprintf("id %s, next incarnation %d", f.ID, f.NextIncarnation)
	case state.KindCluster:
		var c state.Cluster
		c, err = clusters.Decode(wr.Key, wr.Value)
		text = clusterText(c)
	case state.KindRepair:
		var r state.Repair
		r, err = repairs.Decode(wr.Key, wr.Value)
		text = w.repairText(r)
	case state.KindFindings:
		var f state.Findings
		f, err = findings.Decode(wr.Key, wr.Value)
		text = w.findingsText(f)
	case state.KindApplication:
		var a state.Application
		a, err = state.Applications.Decode(wr.Key, wr.Value)
		text = applicationText(a)
	case state.KindSlot:
		var s state.Slot
		s, err = slots.Decode(wr.Key, wr.Value)
		text = w.slotText(s)
	case state.KindKill:
		var k state.Kill
		k, err = kills.Decode(wr.Key, wr.Value)
		text = fmt.Sprintf("task %s on %s, ordered by %s at %s: %s", k.TaskID, k.AgentID, k.Order.User, w.at(k.Order.At), k.Order.Message)
	}
	if err != nil {
		text = err.Error()
	}
	return fmt.Sprintf("%s: %s", wr.Key, text)
}

func clusterText(c state.Cluster) string {
	text := fmt.Sprintf("generation %d, reached %d, masters %v", c.Generation, c.ObservedGeneration, c.InitialMasters)
	if c.ClusterUUID != "" {
		text += ", uuid " + c.ClusterUUID
	}
	if c.Deletion != nil {
		text += ", to be deleted"
	}
	if r := c.Restart; r != nil {
		text += fmt.Sprintf(", restart %s of %d", r.ID, r.Total)
		if r.Slot != "" {
			text += fmt.Sprintf(": %s after life %d, %s", r.Slot, r.Life, r.Step)
		}
		for _, note := range []struct {
			is   bool
			text string
		}{{r.Restricted, "restricted"}, {r.Paused, "paused"}, {r.Halted != "", "halted"}, {r.Cancelled, "cancelled"}} {
			if note.is {
				text += ", " + note.text
			}
		}
	}
	return text
}

func (w *world) slotText(s state.Slot) string {
	text := "want " + string(s.Want)
	if t := s.Task; t != nil {
		text += fmt.Sprintf(", life %d %s", t.Life, t.State)
		if t.Healthy {
			text += " healthy"
		}
	}
	if b := s.Bind; b != nil {
		text += fmt.Sprintf(", on %s reserved %s, volume %s", b.AgentID, b.Reserved, b.Volume)
		var ops []string
		for _, op := range []string{b.ReserveOp, b.CreateOp} {
			if op != "" {
				ops = append(ops, op)
			}
		}
		if len(ops) > 0 {
			text += ", open " + strings.Join(ops, " ")
		}
		if b.CreateFailures > 0 {
			text += fmt.Sprintf(", %d CREATEs refused", b.CreateFailures)
		}
	}
	if r := s.Release; r != nil {
		text += strings.TrimRight(", releasing "+strings.TrimSpace(r.DestroyOp+" "+r.UnreserveOp), " ")
	}
	if s.Failures > 0 {
		text += fmt.Sprintf(", %d failures", s.Failures)
	}
	if s.NotBefore.After(w.now) {
		text += ", not before " + w.at(s.NotBefore)
	}
	if s.Order != nil {
		text += ", ordered destroyed"
	}
	if x := s.Executor; x != nil && x.Stop != "" {
		text += ", stopped: " + x.Stop
	} else if x != nil && x.Decommission != nil {
		text += ", decommissioned"
	}
	if s.Replaces != "" {
		text += ", replaces " + s.Replaces
	}
	if r := s.Replacement; r != nil {
		text += fmt.Sprintf(", replaced by %s on order of %s (%s)", r.By, r.User, r.Message)
		if len(r.DataLoss) > 0 {
			text += fmt.Sprintf(", loss of %v accepted", r.DataLoss)
		}
	}
	return text
}

// at writes a time as that since the scenario began.
func (w *world) at(t time.Time) string { return t.Sub(epoch).String() }

func callText(c *sched.Call) string {
	text := c.GetType().String()
	switch c.GetType() {
	case sched.Call_ACCEPT:
		text += " " + offerIDs(c.Accept.OfferIDs)
		for i := range c.Accept.Operations {
			text += "\n  " + operationText(&c.Accept.Operations[i])
		}
		text += "\n  refuse " + refuseText(c.Accept.Filters)
	case sched.Call_DECLINE:
		text += " " + offerIDs(c.Decline.OfferIDs) + " refuse " + refuseText(c.Decline.Filters)
	case sched.Call_ACKNOWLEDGE:
		text += fmt.Sprintf(" %s of %s", c.Acknowledge.UUID, c.Acknowledge.TaskID.Value)
	case sched.Call_ACKNOWLEDGE_OPERATION_STATUS:
		text += fmt.Sprintf(" %s of %s", c.AcknowledgeOperationStatus.UUID, c.AcknowledgeOperationStatus.OperationID.Value)
	case sched.Call_KILL:
		text += fmt.Sprintf(" %s on %s", c.Kill.TaskID.Value, c.Kill.AgentID.GetValue())
	case sched.Call_RECONCILE:
		if len(c.Reconcile.Tasks) == 0 {
			text += " implicitly"
		}
		for _, t := range c.Reconcile.Tasks {
			text += fmt.Sprintf(" %s on %s", t.TaskID.Value, t.AgentID.GetValue())
		}
	case sched.Call_RECONCILE_OPERATIONS:
		for _, o := range c.ReconcileOperations.Operations {
			text += fmt.Sprintf(" %s on %s", o.OperationID.Value, o.AgentID.GetValue())
		}
	case sched.Call_MESSAGE:
		m, err := executor.DecodeMessage(c.Message.Data)
		text += fmt.Sprintf(" to %s on %s: seeds %v", c.Message.ExecutorID.Value, c.Message.AgentID.Value, m.SeedHosts)
		if err != nil {
			text += " " + err.Error()
		}
	}
	return text
}

func operationText(op *mesos.Offer_Operation) string {
	text := op.Type.String()
	if op.ID != nil {
		text += " " + op.ID.Value
	}
	switch op.Type {
	case mesos.Offer_Operation_RESERVE:
		text += ": " + resourcesText(op.Reserve.Resources)
	case mesos.Offer_Operation_UNRESERVE:
		text += ": " + resourcesText(op.Unreserve.Resources)
	case mesos.Offer_Operation_CREATE:
		text += ": " + resourcesText(op.Create.Volumes)
	case mesos.Offer_Operation_DESTROY:
		text += ": " + resourcesText(op.Destroy.Volumes)
	case mesos.Offer_Operation_LAUNCH:
		for _, t := range op.Launch.TaskInfos {
			text += " " + taskText(&t)
		}
	}
	return text
}

// taskText names a task, what it runs on, and what matters of its launch
// document: whether the node may bootstrap a cluster.
func taskText(t *mesos.TaskInfo) string {
	all := append(slices.Clone(t.Resources), t.Executor.Resources...)
	text := fmt.Sprintf("%s: %s", t.TaskID.Value, resourcesText(bagOf(all).resources("")))
	l, err := executor.DecodeLaunch(t.Data)
	if err != nil {
		return text + " " + err.Error()
	}
	if l.Spark != nil {
		return text + ", " + sparkText(l.Spark)
	}
	e := l.Elasticsearch
	if len(e.InitialMasters) > 0 {
		text += fmt.Sprintf(", initial masters %v", e.InitialMasters)
	}
	if e.ClusterUUID != "" {
		text += ", joins " + e.ClusterUUID
	}
	return text
}

func resourcesText(rs []mesos.Resource) string {
	parts := make([]string, 0, len(rs))
	for i := range rs {
		r := &rs[i]
		text := r.Name + " "
		switch {
		case r.Ranges != nil:
			var ports []string
			for _, x := range r.Ranges.Range {
				ports = append(ports, fmt.Sprintf("%d-%d", x.Begin, x.End))
			}
			text += strings.Join(ports, ",")
		default:
			text += fmt.Sprint(math.Round(r.GetScalar().GetValue()*1000) / 1000)
		}
		if v := r.Disk.GetPersistence(); v != nil {
			text += " volume " + v.ID
		}
		parts = append(parts, text)
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func offerIDs(ids []mesos.OfferID) string {
	parts := make([]string, len(ids))
	for i := range ids {
		parts[i] = ids[i].Value
	}
	return strings.Join(parts, "+")
}

func refuseText(f *mesos.Filters) string {
	return time.Duration(f.GetRefuseSeconds() * float64(time.Second)).String()
}

func replyText(r scheduler.Reply) string {
	if p := r.Problem; p != nil {
		return problemText(p)
	}
	if r.Spark != nil {
		return fmt.Sprintf("to the driver: bounds %d … %d (revision %d), target %d", r.Spark.Bounds.Min, r.Spark.Bounds.Max, r.Spark.Bounds.Revision, r.Spark.TargetGeneration)
	}
	a := r.Accepted
	text := fmt.Sprintf("accepted %s, generation %d, changed %t", a.Name, a.Generation, a.Changed)
	if a.DryRun {
		text += ", dry run"
	}
	if a.Successor != "" {
		text += ", successor " + a.Successor
	}
	if a.Message != "" {
		text += ": " + a.Message
	}
	return text
}

func problemText(p *v1.Problem) string {
	text := fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail)
	for _, f := range p.Fields {
		text += fmt.Sprintf("\n  %s: %s", f.Field, f.Message)
	}
	for _, r := range p.AtRisk {
		text += "\n  " + r.String()
	}
	return text
}
