package sim

import (
	"fmt"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/test/mesosmodel"
)

// checks are the rules that must hold at every instant. They look at the model
// and at what is durable, never at the core.
type checks struct {
	w *World
	// starts are the times at which each slot's last processes started.
	starts map[string][]time.Time
	// copied are the labels that two machines have, since disks were copied: only
	// a person can say which one is to go.
	copied map[string]bool
}

func newChecks(w *World) *checks {
	return &checks{w: w, starts: map[string][]time.Time{}, copied: map[string]bool{}}
}

// copy is called when a machine's disks are copied.
func (c *checks) copy(h *mesosmodel.Machine) {
	for _, r := range h.Total() {
		if label := slotLabel(&r); label != "" {
			c.copied[label] = true
		}
	}
}

// maxStarts is how often one slot may start within a minute: back-off doubles
// from a second, so that fewer than this many fit in.
const maxStarts = 10

// written is called after each durable change.
func (c *checks) written(key state.Key) {
	s := c.w.store
	switch key.Kind() {
	case state.KindCluster:
		c.w.client.durable(key.Name())
		if r, ok := s.clusters[key.Name()]; ok {
			c.rules(owner{key.Name(), r.Incarnation})
		}
	}
	// One record for each slot that ever held something, and the clusters: a
	// history without end would show here.
	const most = 3000
	if len(s.data) > most {
		c.w.fail("bounds", "%d durable records", len(s.data))
	}
}

// leaves is called when a call leaves a process: everything that it rests on
// must be durable by then.
func (c *checks) leaves(p *process, call *sched.Call) {
	switch call.Type {
	case sched.Call_ACCEPT:
		for i := range call.GetAccept().Operations {
			c.operation(&call.GetAccept().Operations[i])
		}
	case sched.Call_ACKNOWLEDGE:
		c.acknowledged(call.GetAcknowledge())
	case sched.Call_KILL:
		if c.w.model.Connected(p.stream) { // of another subscription it does nothing
			c.kill(call.GetKill().TaskID.Value)
		}
	}
	if id := c.w.store.framework.ID; id == "" && call.Type != sched.Call_SUPPRESS {
		c.w.fail("framework id", "%s leaves process %d before the framework id is durable", call.Type, p.n)
	}
}

// operation: no reservation, volume or task without a durable record before it
// (Mesos rule 39).
func (c *checks) operation(op *mesos.Offer_Operation) {
	for _, r := range op.GetReserve().GetResources() {
		c.explained("RESERVE", slotLabel(&r))
	}
	for _, r := range op.GetCreate().GetVolumes() {
		c.explained("CREATE", slotLabel(&r))
	}
	for _, r := range op.GetDestroy().GetVolumes() {
		c.ordered("DESTROY", r.Disk.Persistence.ID)
	}
	for _, t := range op.GetLaunch().GetTaskInfos() {
		id := t.TaskID.Value
		s, ok := c.w.store.slots[labelOf(id)]
		switch {
		case !ok:
			c.w.fail("write before call", "LAUNCH %s: no slot is durable for it", id)
		case s.Task == nil || s.Task.ID != id:
			c.w.fail("write before call", "LAUNCH %s: the durable slot knows another task", id)
		case s.Bind == nil || s.Bind.AgentID != t.AgentID.Value:
			c.w.fail("write before call", "LAUNCH %s: the durable slot is not bound to agent %s", id, t.AgentID.Value)
		}
	}
}

func (c *checks) explained(what, label string) {
	if s, ok := c.w.store.slots[label]; !ok || s.Bind == nil {
		c.w.fail("write before call", "%s for %q: no bound slot is durable for it", what, label)
	}
}

// ordered: a volume is destroyed only by an order that is durable, that a user
// gave and did not take back, and after its retention.
func (c *checks) ordered(what, id string) {
	s, ok := c.w.store.slots[id]
	switch {
	case !ok:
		c.w.fail("destroy without order", "%s of volume %s, of which no record is durable", what, id)
	case s.Order == nil || s.Want != state.WantDestroy:
		c.w.fail("destroy without order", "%s of volume %s: its durable record has want %s and order %v", what, id, s.Want, s.Order)
	case c.w.client.ordered[id] == 0:
		c.w.fail("destroy without order", "%s of volume %s, which no user ordered or one took back", what, id)
	case s.RetainUntil.After(c.w.now):
		c.w.fail("destroy without order", "%s of volume %s before its retention ends", what, id)
	}
}

// acknowledged: a status is durable before it is acknowledged (Mesos rule 40).
func (c *checks) acknowledged(a *sched.Call_Acknowledge) {
	id := a.TaskID.Value
	s, ok := c.w.store.slots[labelOf(id)]
	st := c.w.model.StatusOf(a.AgentID.Value, id, a.UUID)
	if !ok || st == nil || s.Task == nil || s.Task.ID != id {
		return // of a task that no record has as its newest
	}
	text := fmt.Sprintf("%s of %s is acknowledged, durable is %s (healthy %t)", st.GetState(), id, s.Task.State, s.Task.Healthy)
	switch st.GetState() {
	case mesos.TASK_STARTING:
		if s.Task.State == state.TaskStaging {
			c.w.fail("acknowledge after write", "%s", text)
		}
	case mesos.TASK_RUNNING:
		if s.Task.State == state.TaskStaging || s.Task.State == state.TaskStarting {
			c.w.fail("acknowledge after write", "%s", text)
		}
		if st.GetHealthy() && s.Bind != nil && s.Bind.AgentID == a.AgentID.Value && !s.Bind.HasData {
			c.w.fail("acknowledge after write", "%s: that there is data on its volume is not durable", text)
		}
	default:
		if s.Task.State != state.TaskEnded {
			c.w.fail("acknowledge after write", "%s", text)
		}
	}
}

// kill: only a task of a slot that is known is ever killed, and then one that is
// not to run, has ended on record, or has a newer life; or one that a user ordered
// killed, durably.
func (c *checks) kill(id string) {
	s, ok := c.w.store.slots[labelOf(id)]
	_, ordered := c.w.store.kills[id]
	switch {
	case !ok && !ordered:
		c.w.fail("kill", "%s is killed, which no durable record knows and no durable order names", id)
	case !ok && c.w.client.kills[id] == 0:
		c.w.fail("kill", "%s is killed, which no user ordered or one took back", id)
	case s.Want == state.WantRun && s.Task != nil && s.Task.ID == id && s.Task.State != state.TaskEnded:
		c.w.fail("kill", "%s is killed, which is wanted", id)
	}
}

// launched is called when the master has taken a task.
func (c *checks) launched(agentID string, t *mesos.TaskInfo) {
	c.twice(t.TaskID.Value, t.Name, agentID)
}

// started is called when a node's process runs.
func (c *checks) started(x *mesosmodel.Container) {
	c.w.result.Launches++
	label := labelOf(x.ID())
	times := append(c.starts[label], c.w.now)
	if n := len(times); n > maxStarts {
		if c.w.now.Sub(times[n-1-maxStarts]) < time.Minute {
			c.w.fail("back-off", "%s is started for the %dth time within a minute", label, maxStarts+1)
		}
		times = times[1:]
	}
	c.starts[label] = times
	c.twice(x.ID(), x.Task.Name, x.AgentID)
	if s, ok := c.w.store.slots[labelOf(x.ID())]; ok {
		c.rules(owner{s.Owner, s.OwnerIncarnation})
	}
}

// twice: never two live tasks of one slot, or of one node's name in a cluster.
// Processes of which Mesos itself knows nothing any more do not count: agents
// that were declared gone, and orphans, which the volume's lock stops.
func (c *checks) twice(id, name, agentID string) {
	own, known := c.w.store.slots[labelOf(id)]
	for _, h := range c.w.model.Machines() {
		for _, o := range h.Containers() {
			if o.ID() == id || o.Orphan || c.w.model.Gone(o.AgentID) {
				continue
			}
			if labelOf(o.ID()) == labelOf(id) {
				c.w.fail("two of one slot", "%s on agent %s while %s lives on %s", id, agentID, o.ID(), h)
			}
			other, ok := c.w.store.slots[labelOf(o.ID())]
			if ok && known && o.Task.Name == name && other.Owner == own.Owner && other.OwnerIncarnation == own.OwnerIncarnation {
				c.w.fail("two of one name", "%s on agent %s while %s lives on %s", id, agentID, o.ID(), h)
			}
		}
	}
}

// rules: the host rule and the masters' majority, counted over what really runs
// on each machine, whatever anybody believes.
func (c *checks) rules(o owner) {
	spec, ok := c.w.store.specs[o]
	if !ok {
		return
	}
	all, masters := map[string][]string{}, map[string][]string{}
	for _, h := range c.w.model.Machines() {
		for _, x := range h.Containers() {
			s, ok := c.w.store.slots[labelOf(x.ID())]
			if !ok || x.Orphan || s.Owner != o.name || s.OwnerIncarnation != o.incarnation || c.w.model.Gone(x.AgentID) {
				continue
			}
			m := c.machine(h)
			all[m] = append(all[m], x.ID())
			if masterSet(spec.Spec, s.Set) {
				masters[m] = append(masters[m], x.ID())
			}
		}
	}
	r := 1
	if spec.Spec.Spec.Replicas != nil {
		r = *spec.Spec.Spec.Replicas
	}
	for _, m := range sorted(all) {
		if len(all[m]) > r {
			c.w.fail("host rule", "machine %s runs %d nodes of %s, which has %d replicas: %v", m, len(all[m]), o.name, r, all[m])
		}
	}
	n := masterCount(spec.Spec)
	most := max(1, (n-1)/2)
	for _, m := range sorted(masters) {
		if len(masters[m]) > most {
			c.w.fail("masters' majority", "machine %s runs %d of the %d masters of %s: %v", m, len(masters[m]), n, o.name, masters[m])
		}
	}
}

// machine is what the host rule counts by.
func (c *checks) machine(h *mesosmodel.Machine) string {
	if c.w.shape.machineAttribute == "" {
		return h.Hostname
	}
	for _, a := range h.Attributes {
		if a.Name == c.w.shape.machineAttribute {
			return a.Text.Value
		}
	}
	return h.Hostname
}

// destroyed is called when a volume and its data are really gone.
func (c *checks) destroyed(h *mesosmodel.Machine, v *mesosmodel.Volume) {
	c.ordered(fmt.Sprintf("destruction on %s (data: %t)", h, v.Data), v.ID)
	if v.Holder != nil {
		c.w.fail("destroy in use", "volume %s is destroyed while %s uses it", v.ID, v.Holder.ID())
	}
}

// formed: one incarnation of a cluster forms once, unless so many volumes were
// lost that the first one can never come back.
func (c *checks) formed(f *formed, all map[string]*formed) {
	for _, uuid := range sorted(all) {
		if old := all[uuid]; old.owner == f.owner && !c.w.nodes.lost(uuid) {
			c.w.fail("formed twice", "%s forms as %s although it formed as %s before", f.owner.name, f.uuid, uuid)
		}
	}
}

// volumeAlive says whether a volume still exists on a machine that counts.
func (c *checks) volumeAlive(label string) bool {
	return slices.ContainsFunc(c.w.model.Machines(), func(h *mesosmodel.Machine) bool {
		return !c.w.model.Gone(h.AgentID()) && slices.ContainsFunc(h.Volumes(), func(v *mesosmodel.Volume) bool { return v.ID == label })
	})
}

func masterSet(spec v1.Cluster, name string) bool {
	return slices.ContainsFunc(spec.Spec.NodeSets, func(s v1.NodeSet) bool { return s.Name == name && s.HasRole("master") })
}

func masterCount(spec v1.Cluster) int {
	n := 0
	for _, s := range spec.Spec.NodeSets {
		if s.HasRole("master") {
			n += s.Count
		}
	}
	return n
}

// slotLabel is the slot that a reservation names.
func slotLabel(r *mesos.Resource) string {
	for i := range r.Reservations {
		for _, l := range r.Reservations[i].GetLabels().GetLabels() {
			if l.Key == "berth.slot" {
				return l.GetValue()
			}
		}
	}
	return ""
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
