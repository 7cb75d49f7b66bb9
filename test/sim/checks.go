package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/test/mesosmodel"
	"github.com/berthdata/berth/volumes"
)

// checks are the rules that must hold at every instant. They look at the model
// and at what is durable, never at the core.
type checks struct {
	w *World
	// launches are the times at which each slot was launched last.
	launches map[string][]time.Time
	// masters are the initial masters that each slot's nodes were given last.
	masters map[string]string
	// overSince is when the master first said that a task is over which is on
	// record as one that may run.
	overSince map[string]time.Time
	// copied are the labels that two machines have, since disks were copied: only
	// a person can say which one is to go.
	copied map[string]bool
}

func newChecks(w *World) *checks {
	return &checks{
		w: w, launches: map[string][]time.Time{}, masters: map[string]string{}, overSince: map[string]time.Time{},
		copied: map[string]bool{},
	}
}

// copy is called when a machine's disks are copied.
func (c *checks) copy(h *mesosmodel.Machine) {
	for _, r := range h.Total() {
		if label := slotLabel(&r); label != "" {
			c.copied[label] = true
		}
	}
}

// maxLaunches is how often one slot may be launched within a minute: back-off
// doubles from a second, so that fewer than this many fit in.
const maxLaunches = 10

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
func (c *checks) leaves(p *process, stream string, call *sched.Call) {
	if !c.w.model.Connected(stream) {
		// A process that was stopped and woke up sends on a subscription that is
		// over: the master refuses it (Mesos rule 1).
		return
	}
	switch call.Type {
	case sched.Call_ACCEPT:
		c.offers(p, call.GetAccept().OfferIDs)
		for i := range call.GetAccept().Operations {
			c.operation(&call.GetAccept().Operations[i])
		}
	case sched.Call_DECLINE:
		c.declined(p, call.GetDecline().OfferIDs)
	case sched.Call_ACKNOWLEDGE:
		c.acknowledged(call.GetAcknowledge())
	case sched.Call_KILL:
		c.kill(p, call.GetKill().TaskID.Value)
	}
	if id := c.w.store.framework.ID; id == "" && call.Type != sched.Call_SUPPRESS {
		c.w.fail("framework id", "%s leaves process %d before the framework id is durable", call.Type, p.n)
	}
}

// offers: each is accepted once (Mesos rule 17), and never after a DECLINE.
func (c *checks) offers(p *process, ids []mesos.OfferID) {
	for _, id := range ids {
		if p.answered[id.Value] {
			c.w.fail("offer used twice", "process %d accepts offer %s, which it has answered already", p.n, id.Value)
		}
		p.answered[id.Value] = true
	}
}

// declined: an offer may be declined again, after an answer that was lost.
func (c *checks) declined(p *process, ids []mesos.OfferID) {
	for _, id := range ids {
		p.answered[id.Value] = true
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
		if !c.w.others.made(slotLabel(&r)) {
			c.ordered("DESTROY", r.Disk.Persistence.ID)
		}
	}
	c.touches(op.Type.String(), op.GetDestroy().GetVolumes(), op.GetUnreserve().GetResources())
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
// killed, durably. An order that the same process has just taken back still counts
// until that is answered: what it had decided before leaves with the same commit,
// and before the answer. So does a record that the same commit removes.
func (c *checks) kill(p *process, id string) {
	s, ok := c.w.store.slots[labelOf(id)]
	_, ordered := c.w.store.kills[id]
	ordered = ordered || c.w.store.spared[id] == p.epoch
	switch {
	case !ok && !ordered && p.removes(labelOf(id)):
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
	id := t.TaskID.Value
	label := labelOf(id)
	c.w.result.Launches++
	times := append(c.launches[label], c.w.now)
	if n := len(times); n > maxLaunches {
		if c.w.now.Sub(times[n-1-maxLaunches]) < time.Minute {
			c.w.fail("back-off", "%s is launched for the %dth time within a minute", label, maxLaunches+1)
		}
		times = times[1:]
	}
	c.launches[label] = times
	c.twice(id, t.Name, agentID)
	doc, err := document(t)
	if err != nil {
		c.w.fail("launch", "%s: %v", id, err)
		return
	}
	s, ok := c.w.store.slots[label]
	if !ok {
		return // told already
	}
	if doc.NodeName != s.Name || doc.ClusterName != s.Owner {
		c.w.fail("launch", "%s runs as node %s of %s, its record is node %s of %s", id, doc.NodeName, doc.ClusterName, s.Name, s.Owner)
	}
	c.initial(owner{s.Owner, s.OwnerIncarnation}, id, doc.InitialMasters)
}

// initial: every node of a cluster that may form it is given the same initial
// masters, or it may form twice. Slots without a record are lost for good.
func (c *checks) initial(o owner, id string, list []string) {
	if len(list) == 0 {
		return
	}
	text := strings.Join(list, " ")
	for _, label := range sorted(c.masters) {
		s, ok := c.w.store.slots[label]
		if ok && o == (owner{s.Owner, s.OwnerIncarnation}) && c.masters[label] != text {
			c.w.fail("initial masters", "%s is started with initial masters %s, %s before it with %s", id, text, label, c.masters[label])
		}
	}
	c.masters[labelOf(id)] = text
}

// started is called when a node's process runs.
func (c *checks) started(x *mesosmodel.Container) {
	if x.VolumeID != labelOf(x.ID()) {
		c.w.fail("volume", "%s runs on volume %q", x.ID(), x.VolumeID)
	}
	if !x.Orphan {
		c.twice(x.ID(), x.Task.Name, x.AgentID)
	}
	if s, ok := c.w.store.slots[labelOf(x.ID())]; ok {
		c.rules(owner{s.Owner, s.OwnerIncarnation})
	}
}

// applied is called when an agent has carried an operation out: no slot ever
// holds more than it needs, or anything on two machines (Mesos rule 38).
func (c *checks) applied(h *mesosmodel.Machine) {
	for label, x := range heldOn(h) {
		s, ok := c.w.store.slots[label]
		if !ok || c.copied[label] {
			continue
		}
		n := s.Need
		if x.cpus > n.CPU.Float()+1e-6 || x.mem > n.Mem.Float()+1e-6 || x.ports > uint64(n.Ports) ||
			n.DiskType != volumes.DiskMount && x.disk > n.Disk.Float()+1e-6 {
			c.w.fail("reserved twice", "%s has %+v reserved under %q, which needs %+v", h, *x, label, n)
		}
		for _, other := range c.w.model.Machines() {
			if other != h && !c.w.model.Gone(other.AgentID()) && heldOn(other)[label] != nil {
				c.w.fail("reserved twice", "%q has resources reserved on %s and on %s", label, h, other)
			}
		}
	}
}

// removed is called when a slot's record is: nothing may be left of it on any
// machine, unless its agent was declared gone, and a user then gave it up.
func (c *checks) removed(label string) {
	for _, h := range c.w.model.Machines() {
		if c.w.model.Gone(h.AgentID()) || c.copied[label] || c.givenUp(h, label) {
			continue
		}
		if x := heldOn(h)[label]; x != nil {
			c.w.fail("leak", "the record of %q is removed, and %s has %+v reserved under it", label, h, *x)
		}
	}
}

// silence: what the master has known to be over for minutes, while a leader is
// subscribed and nothing is broken, the leader asks for and learns. Of a task that
// was told to run nobody may ever say that it has ended, when its agent reboots
// before its last update is acknowledged: the routine round finds it, 15 minutes
// after the round before it, which may have waited for agents for 10.
func (c *checks) silence() {
	const soon, routine = 2 * time.Minute, 26 * time.Minute
	p := c.w.leader
	if p == nil || !c.w.model.Connected(p.stream) {
		clear(c.overSince)
		return
	}
	for id, s := range c.w.store.slots {
		over := s.Task != nil && s.Bind != nil && s.Want == state.WantRun && c.w.model.Gone(s.Bind.AgentID) ||
			s.Task != nil && s.Task.State != state.TaskEnded && c.w.model.Over(s.Task.ID, s.Task.AgentID)
		if !over {
			delete(c.overSince, id)
			continue
		}
		most := soon
		if (s.Task.State == state.TaskRunning || s.Task.State == state.TaskStarting) && !c.w.model.Gone(s.Task.AgentID) {
			most = routine
		}
		if since, ok := c.overSince[id]; !ok {
			c.overSince[id] = c.w.now
		} else if c.w.now.Sub(since) > most {
			c.w.fail("silence", "the master has known for %v that %s is over, its record says %s", c.w.now.Sub(since), s.Task.ID, s.Task.State)
		}
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

// rules: the host rule and the masters' majority, counted over what really runs or
// is reserved on each machine, whatever anybody believes.
func (c *checks) rules(o owner) {
	spec, ok := c.w.store.specs[o]
	if !ok {
		return
	}
	all, masters := map[string][]string{}, map[string][]string{}
	for _, h := range c.w.model.Machines() {
		m := c.machine(h)
		for _, label := range c.nodesOn(h, o) {
			all[m] = append(all[m], label)
			if masterSet(spec.Spec, c.w.store.slots[label].Set) {
				masters[m] = append(masters[m], label)
			}
		}
	}
	r := 1
	if spec.Spec.Spec.Replicas != nil {
		r = *spec.Spec.Spec.Replicas
	}
	for _, m := range sorted(all) {
		if len(all[m]) > r {
			c.w.fail("host rule", "machine %s has %d nodes of %s, which has %d replicas: %v", m, len(all[m]), o.name, r, all[m])
		}
	}
	n := masterCount(spec.Spec)
	most := max(1, (n-1)/2)
	for _, m := range sorted(masters) {
		if len(masters[m]) > most {
			c.w.fail("masters' majority", "machine %s has %d of the %d masters of %s: %v", m, len(masters[m]), n, o.name, masters[m])
		}
	}
}

// nodesOn are the slots of a cluster that a machine has: whose process lives there,
// or which are to run and have resources reserved there. What Mesos itself knows
// nothing of any more does not count.
func (c *checks) nodesOn(h *mesosmodel.Machine, o owner) []string {
	slots := map[string]bool{}
	for _, x := range h.Containers() {
		if s, ok := c.w.store.slots[labelOf(x.ID())]; ok && s.Owner == o.name && s.OwnerIncarnation == o.incarnation && !x.Orphan && !c.w.model.Gone(x.AgentID) {
			slots[s.ID] = true
		}
	}
	if !c.w.model.Gone(h.AgentID()) {
		h.Reserved(func(r *mesos.Resource, _ float64, _ uint64) {
			s, ok := c.w.store.slots[slotLabel(r)]
			if ok && s.Owner == o.name && s.OwnerIncarnation == o.incarnation && s.Want == state.WantRun && !c.copied[s.ID] {
				slots[s.ID] = true
			}
		})
	}
	return sorted(slots)
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
	switch what := fmt.Sprintf("destruction on %s (data: %t)", h, v.Data); {
	case strings.HasPrefix(v.ID, theirPrefix):
		c.w.fail("foreign", "%s of volume %s, which is of others", what, v.ID)
	case c.w.others.orphans[v.ID]:
		c.approved(what, v.ID, true)
	default:
		c.ordered(what, v.ID)
	}
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
