package sim

import (
	"fmt"
	"math"
	"slices"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/test/mesosmodel"
)

// missing compares the model with what is durably wanted, and lists every
// difference: nodes that do not run, tasks and reservations too many, volumes
// that should be gone. It is empty when the world is exactly as wanted.
func (c *checks) missing() []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	st := c.w.store
	if l := c.w.leader; l == nil || l.core == nil || l.stream == "" {
		say("no leader is subscribed")
	}
	live := map[string]*mesosmodel.Container{} // by slot
	for _, h := range c.w.model.Machines() {
		if c.w.model.Gone(h.AgentID()) {
			continue
		}
		for _, x := range h.Containers() {
			live[labelOf(x.ID())] = x
		}
	}
	for _, name := range sorted(st.clusters) {
		c.cluster(st.clusters[name], live, say)
	}
	for _, label := range sorted(live) {
		if s, ok := st.slots[label]; !ok {
			say("task %s runs and no record knows it", live[label].ID())
		} else if s.Want != state.WantRun {
			say("task %s runs, its slot's want is %s", live[label].ID(), s.Want)
		}
	}
	for _, h := range c.w.model.Machines() {
		if !c.w.model.Gone(h.AgentID()) {
			c.reservations(h, say)
		}
	}
	for _, id := range sorted(st.slots) {
		c.slot(st.slots[id], say)
	}
	c.othersLeft(say)
	return out
}

// cluster: every wanted node runs once, healthy, and nothing else of it.
func (c *checks) cluster(r state.Cluster, live map[string]*mesosmodel.Container, say func(string, ...any)) {
	if r.Deletion != nil {
		say("cluster %s is still being deleted", r.Spec.Name)
		return
	}
	want := map[string]bool{} // places
	for _, set := range r.Spec.Spec.NodeSets {
		for i := range set.Count {
			want[fmt.Sprintf("%s-%s-%d", r.Spec.Name, set.Name, i)] = true
		}
	}
	hopeless := r.ClusterUUID != "" && c.w.nodes.lost(r.ClusterUUID)
	for _, s := range c.w.store.slots {
		if s.Owner != r.Spec.Name || s.OwnerIncarnation != r.Incarnation || s.Want != state.WantRun {
			continue
		}
		place := fmt.Sprintf("%s-%s-%d", s.Owner, s.Set, s.Ordinal)
		if !want[place] {
			say("slot %s is wanted by its record, and not by the spec, or twice", s.ID)
			continue
		}
		delete(want, place)
		x := live[s.ID]
		switch {
		case (x == nil || !x.Healthy) && c.apart(s.ID, r.ClusterUUID):
			// Half of the first masters were given up before the others had joined,
			// and those formed another cluster: the executor keeps them apart.
		case x == nil:
			say("node %s does not run (record: %s)", s.ID, recordText(s))
		case !x.Healthy && !hopeless:
			say("node %s runs and is not healthy", s.ID)
		case s.Task == nil || s.Task.ID != x.ID():
			say("node %s runs as %s, its record says otherwise", s.ID, x.ID())
		case s.Bind == nil || s.Bind.AgentID != x.AgentID:
			say("node %s runs on %s, its record says otherwise", s.ID, x.AgentID)
		}
	}
	for _, name := range sorted(want) {
		say("node %s has no slot", name)
	}
}

// apart says whether a slot's volume has the data of another cluster than uuid, and
// one of the two can never elect a master again: only a person can say which data
// are to go. A cluster may have formed, and been lost, before anybody knew its uuid.
func (c *checks) apart(label, uuid string) bool {
	if uuid == "" {
		return false
	}
	return slices.ContainsFunc(c.w.model.Machines(), func(h *mesosmodel.Machine) bool {
		return slices.ContainsFunc(h.Volumes(), func(v *mesosmodel.Volume) bool {
			return v.ID == label && v.Marker != "" && v.Marker != uuid && (c.w.nodes.lost(uuid) || c.w.nodes.lost(v.Marker))
		})
	})
}

func recordText(s state.Slot) string {
	text := "want " + string(s.Want)
	if s.Bind != nil {
		text += fmt.Sprintf(", on %s reserved %s volume %s ops %q %q", s.Bind.AgentID, s.Bind.Reserved, s.Bind.Volume, s.Bind.ReserveOp, s.Bind.CreateOp)
	}
	if s.Task != nil {
		text += fmt.Sprintf(", task %s %s", s.Task.ID, s.Task.State)
	}
	if s.Release != nil {
		text += fmt.Sprintf(", release %q %q", s.Release.DestroyOp, s.Release.UnreserveOp)
	}
	if s.LastFailure != "" {
		text += ", last failure " + s.LastFailure
	}
	return text
}

// held is what one label has reserved on one machine.
type held struct {
	cpus, mem, disk float64
	ports           uint64
	volume          string
}

// heldOn is what is reserved on a machine, by label.
func heldOn(h *mesosmodel.Machine) map[string]*held {
	byLabel := map[string]*held{}
	h.Reserved(func(r *mesos.Resource, scalar float64, ports uint64) {
		label := slotLabel(r)
		x := byLabel[label]
		if x == nil {
			x = &held{}
			byLabel[label] = x
		}
		x.add(r, scalar, ports)
	})
	return byLabel
}

// reservations: everything that is reserved is of a record, in the right
// amount, where the record says.
func (c *checks) reservations(h *mesosmodel.Machine, say func(string, ...any)) {
	byLabel := heldOn(h)
	for _, label := range sorted(byLabel) {
		x := byLabel[label]
		s, ok := c.w.store.slots[label]
		switch {
		case c.copied[label] && (!ok || s.Bind == nil || s.Bind.AgentID != h.AgentID()):
		case !ok && c.w.others.made(label): // see othersLeft
		case !ok && c.givenUp(h, label):
		case !ok:
			say("LEAK: %s has %+v reserved under %q, which no record knows", h, *x, label)
		case s.Bind == nil || s.Bind.AgentID != h.AgentID():
			say("LEAK: %s has %+v reserved under %q, whose record is bound elsewhere (%s)", h, *x, label, recordText(s))
		case s.Want == state.WantRun:
			need := held{cpus: s.Need.CPU.Float(), mem: s.Need.Mem.Float(), ports: uint64(s.Need.Ports)}
			if math.Abs(x.cpus-need.cpus) > 1e-6 || math.Abs(x.mem-need.mem) > 1e-6 || x.ports != need.ports || x.disk < s.Need.Disk.Float() {
				say("LEAK: %s has %+v reserved under %q, it needs %+v", h, *x, label, s.Need)
			}
			if s.Need.DiskType != "MOUNT" && math.Abs(x.disk-s.Need.Disk.Float()) > 1e-6 {
				say("LEAK: %s has %v disk reserved under %q, it needs %v", h, x.disk, label, s.Need.Disk)
			}
		case s.Want == state.WantRetain:
			if x.cpus+x.mem != 0 || x.ports != 0 || x.volume == "" {
				say("LEAK: %s has %+v reserved under %q, of which only a volume is to be retained", h, *x, label)
			}
		case s.Want == state.WantDestroy:
			say("LEAK: %s has %+v reserved under %q, which is to be destroyed", h, *x, label)
		}
	}
}

// givenUp: a user had the record of a lost slot removed, and the machine that an
// operator had declared gone came back all the same. What it holds is an orphan,
// which is listed for people and left alone.
func (c *checks) givenUp(h *mesosmodel.Machine, label string) bool {
	return c.w.client.ordered[label] > 0 && slices.ContainsFunc(c.w.model.IDsOf(h), c.w.model.Gone)
}

func (x *held) add(r *mesos.Resource, scalar float64, ports uint64) {
	switch r.Name {
	case "cpus":
		x.cpus += scalar
	case "mem":
		x.mem += scalar
	case "disk":
		x.disk += scalar
		if r.Disk != nil && r.Disk.Persistence != nil {
			x.volume = r.Disk.Persistence.ID
		}
	case "ports":
		x.ports += ports
	}
}

// slot: a record that nothing on any machine stands behind is as wrong as the
// other way round.
func (c *checks) slot(s state.Slot, say func(string, ...any)) {
	cl, ok := c.w.store.clusters[s.Owner]
	if s.Want == state.WantRun && (!ok || cl.Incarnation != s.OwnerIncarnation) {
		say("slot %s wants to run, its cluster is gone", s.ID)
	}
	if s.Bind != nil && s.Task != nil && c.w.model.Gone(s.Bind.AgentID) {
		if s.Want != state.WantNothing {
			say("record %s (%s) is bound to an agent that was declared gone", s.ID, recordText(s))
		}
		return
	}
	if s.Want != state.WantRetain && s.Want != state.WantDestroy {
		return
	}
	if s.Order != nil && !s.RetainUntil.After(c.w.now) {
		say("volume %s is ordered destroyed and its record is still there: %s", s.ID, recordText(s))
		return
	}
	if !c.volumeAlive(s.ID) {
		say("record %s (%s) has no volume", s.ID, recordText(s))
	}
}
