package scenario

import (
	"fmt"
	"maps"
	"slices"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

// check looks at the model after each step: what must hold at every instant.
func (w *world) check() {
	for _, wrong := range w.m.wrong {
		w.fatal("%s", wrong)
	}
	w.checkTasks()
	w.checkReservations()
}

// checkTasks: the host rule, and one task a slot, by what may run: also on
// agents that are cut off.
func (w *world) checkTasks() {
	perSlot, perName := map[string]string{}, map[string]string{}
	perMachine := map[[2]string]int{}
	for id, t := range w.m.tasks {
		if !live(t.state) {
			continue
		}
		slot := slotOf(id)
		if other, two := perSlot[slot]; two {
			w.fatal("%s and %s live at the same time", other, id)
		}
		perSlot[slot] = id
		at := [2]string{clusterOf(t.info), t.agent.hostname}
		if perMachine[at]++; perMachine[at] > replicas {
			w.fatal("machine %s holds %d nodes of cluster %s, with %d replicas", at[1], perMachine[at], at[0], replicas)
		}
		s, ok := w.slot(slot)
		if !ok {
			w.fatal("no record explains task %s", id)
		}
		name := fmt.Sprintf("%s of %d", s.Name, s.OwnerIncarnation)
		if other, two := perName[name]; two {
			w.fatal("%s and %s live under one node name", other, id)
		}
		perName[name] = id
	}
}

func clusterOf(info mesos.TaskInfo) string {
	for _, l := range info.Labels.GetLabels() {
		if l.Key == "berth.cluster" {
			return l.GetValue()
		}
	}
	return ""
}

// held sums what is reserved by agent and label.
func (w *world) held() map[string]map[string]map[string]int64 {
	out := map[string]map[string]map[string]int64{}
	for id, a := range w.m.agents {
		for k, n := range a.total.count {
			r := a.total.kind[k]
			slot := label(r)
			if slot == "" {
				continue
			}
			if out[slot] == nil {
				out[slot] = map[string]map[string]int64{}
			}
			if out[slot][id] == nil {
				out[slot][id] = map[string]int64{}
			}
			name := r.Name
			if r.Disk.GetPersistence() != nil {
				name = "volume"
			}
			out[slot][id][name] += n
		}
	}
	return out
}

// checkReservations: each is on record, in one place, and no larger than needed.
func (w *world) checkReservations() {
	for slot, agents := range w.held() {
		s, ok := w.slot(slot)
		if !ok {
			w.fatal("no record explains what is reserved for %s on %v", slot, slices.Sorted(maps.Keys(agents)))
		}
		if len(agents) > 1 {
			w.fatal("%s has reservations on %v", slot, slices.Sorted(maps.Keys(agents)))
		}
		for id, n := range agents {
			if n["cpus"] > int64(s.Need.CPU) || n["mem"] > int64(s.Need.Mem) || n["disk"]+n["volume"] > int64(s.Need.Disk) || n["ports"] > int64(s.Need.Ports) {
				w.fatal("%s needs %+v and has reserved %v on %s", slot, s.Need, n, id)
			}
		}
	}
}

// checkCall: what leaves is on record.
func (w *world) checkCall(c *sched.Call) {
	for _, op := range c.GetAccept().GetOperations() {
		switch op.Type {
		case mesos.Offer_Operation_LAUNCH:
			for _, info := range op.Launch.TaskInfos {
				s, ok := w.slot(slotOf(info.TaskID.Value))
				if !ok || s.Task == nil || s.Task.ID != info.TaskID.Value {
					w.fatal("task %s leaves without a record (Mesos rule 39)", info.TaskID.Value)
				}
			}
		case mesos.Offer_Operation_DESTROY:
			for _, v := range op.Destroy.Volumes {
				s, ok := w.slot(v.Disk.Persistence.ID)
				switch {
				case !ok || s.Order == nil:
					w.fatal("volume %s is to be destroyed, and nobody ordered it", v.Disk.Persistence.ID)
				case s.RetainUntil.After(w.now):
					w.fatal("volume %s is to be destroyed before its time", v.Disk.Persistence.ID)
				}
			}
		}
	}
	if k := c.GetKill(); k != nil {
		id := k.TaskID.Value
		s, ok := w.slot(slotOf(id))
		switch {
		case !ok || s.Task == nil || lifeOf(id) > s.Task.Life:
			w.fatal("unknown task %s is killed", id)
		case lifeOf(id) == s.Task.Life && s.Want == state.WantRun && !w.ended[id]:
			w.fatal("task %s is wanted, and killed", id)
		}
	}
}

// endedTasks are the newest lives that have ended on record. One that shows up
// again is killed even when its slot is to run: the next life owns the slot, and
// may be under way already (Mesos rule 42).
func (w *world) endedTasks() map[string]bool {
	out := map[string]bool{}
	for _, s := range w.slots() {
		if s.Task != nil && s.Task.State == state.TaskEnded {
			out[s.Task.ID] = true
		}
	}
	return out
}

// checkAcknowledged: an update with a uuid is acknowledged in the decision that
// took it, once, and nothing else is.
func (w *world) checkAcknowledged(ev scheduler.Event, calls []*sched.Call) {
	want := ""
	switch e := ev.(type) {
	case scheduler.TaskUpdated:
		want = string(e.Status.UUID)
	case scheduler.OperationUpdated:
		if u := e.Status.GetUUID(); u != nil {
			want = string(u.Value)
		}
	}
	for _, c := range calls {
		got := ""
		switch c.Type {
		case sched.Call_ACKNOWLEDGE:
			got = string(c.Acknowledge.UUID)
		case sched.Call_ACKNOWLEDGE_OPERATION_STATUS:
			got = string(c.AcknowledgeOperationStatus.UUID)
		default:
			continue
		}
		if got != want {
			w.fatal("%q is acknowledged, not %q", got, want)
		}
		want = ""
	}
	if want != "" {
		w.fatal("update %q is not acknowledged", want)
	}
}

// checkReply: what a user is told is durable.
func (w *world) checkReply(ev scheduler.Event, r scheduler.Reply) {
	if (r.Accepted == nil) == (r.Problem == nil) {
		w.fatal("a reply has both or none of its parts")
	}
	if e, ok := ev.(scheduler.NodeReplaceOrdered); ok && r.Accepted != nil {
		replaced := false
		for _, s := range w.slots() {
			replaced = replaced || s.Name == e.Node && s.Owner == e.Cluster && s.Want != state.WantRun && s.Replacement != nil
		}
		if !replaced {
			w.fatal("%s is to be replaced, which is not durable", e.Node)
		}
	}
	put, ok := ev.(scheduler.SpecPut)
	if !ok || r.Accepted == nil {
		return
	}
	cl, ok := w.clusters()[put.Cluster.Name]
	if !ok || cl.Generation != r.Accepted.Generation || cl.Spec.Spec.TotalNodes() != put.Cluster.Spec.TotalNodes() {
		w.fatal("cluster %s was accepted at generation %d, which is not durable", put.Cluster.Name, r.Accepted.Generation)
	}
}

// unfinished says what is not as it is wanted; "" when all is.
func (w *world) unfinished() string {
	wanted := map[string]string{} // cluster, set and ordinal → node name
	for name, cl := range w.clusters() {
		if cl.Deletion != nil {
			return "cluster " + name + " is still being deleted"
		}
		for _, n := range plan.Nodes(cl.Spec) {
			wanted[placeOf(name, n.Set, n.Ordinal)] = n.Name
		}
		if view, problem := w.core.Cluster(name); problem != nil || view.Status.Phase != "Ready" {
			return "cluster " + name + " is " + view.Status.Phase
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.m.tasks)) {
		t := w.m.tasks[id]
		if !live(t.state) {
			continue
		}
		s, ok := w.slot(slotOf(id))
		switch {
		case !ok || s.Want != state.WantRun:
			return "task " + id + " runs, and is not wanted"
		case !t.healthy:
			return "task " + id + " is not healthy"
		case s.Task.ID != id || s.Bind.AgentID != t.agent.id:
			return "task " + id + " runs elsewhere than on record"
		}
		delete(wanted, placeOf(s.Owner, s.Set, s.Ordinal))
	}
	for _, name := range wanted {
		return "node " + name + " does not run"
	}
	return w.unfinishedSlots()
}

func placeOf(cluster, set string, ordinal int) string {
	return fmt.Sprintf("%s %s %d", cluster, set, ordinal)
}

// unfinishedSlots compares the records with what the agents hold.
func (w *world) unfinishedSlots() string {
	held := w.held()
	for id, s := range w.slots() {
		n := map[string]int64{}
		if s.Bind != nil {
			n = held[id][s.Bind.AgentID]
		}
		switch s.Want {
		case state.WantRun:
			if n["cpus"] != int64(s.Need.CPU) || n["mem"] != int64(s.Need.Mem) || n["volume"] != int64(s.Need.Disk) || n["ports"] != int64(s.Need.Ports) {
				return "slot " + id + " does not hold what it needs"
			}
			if _, ok := w.clusters()[s.Owner]; !ok {
				return "slot " + id + " has no cluster"
			}
		case state.WantRetain:
			if n["volume"] != int64(s.Need.Disk) || len(n) != 1 {
				return "slot " + id + " is retained, and does not hold just its volume"
			}
			if s.Order != nil {
				return "slot " + id + " was ordered destroyed"
			}
		case state.WantReplaced:
			return "slot " + id + " is replaced, and nothing is said of its old node"
		case state.WantDestroy:
			return "slot " + id + " is to be destroyed"
		}
	}
	return ""
}
