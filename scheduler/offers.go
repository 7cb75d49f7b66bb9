package scheduler

import (
	"cmp"
	"maps"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/placement"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// batch is every offer of one agent to one role in one event: what may be
// combined in one ACCEPT (Mesos rule 19).
type batch struct {
	agent  *agent
	role   string
	pool   *volumes.Pool
	offers []mesos.Offer
	// ops and tasks are what this step does with it; LAUNCH comes last.
	ops   []mesos.Offer_Operation
	tasks []mesos.TaskInfo
	// waits: a slot's reservation is here in part; the rest is still in use.
	waits bool
}

// placed is a slot that found its place in this step.
type placed struct {
	slot  *slot
	batch *batch
	grant volumes.Grant
}

// offersReceived uses or declines every offer in the same step: an offer is
// never held, so it is never used twice (Mesos rule 17) and never blocks others
// (rule 25).
func (c *Core) offersReceived(offers []mesos.Offer) {
	if !c.connected {
		return // of a subscription that is gone: void (Mesos rule 26)
	}
	batches := c.batches(offers)
	for _, b := range batches {
		c.recognise(b.agent, slices.Clone(b.pool.Held()), time.Time{})
	}
	// What the offers taught may have changed what is wanted.
	c.settleWanting()
	for _, b := range batches {
		c.releaseIn(b)
		c.freeIn(b)
	}
	c.place(batches)
	c.answer(batches)
}

// batches groups offers by agent and role, in an order that does not depend on
// the event's.
func (c *Core) batches(offers []mesos.Offer) []*batch {
	type key struct{ agent, role string }
	groups := map[key][]mesos.Offer{}
	for _, o := range offers {
		k := key{o.AgentID.Value, o.AllocationInfo.GetRole()}
		groups[k] = append(groups[k], o)
	}
	var batches []*batch
	for _, k := range slices.SortedFunc(maps.Keys(groups), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.agent, b.agent), cmp.Compare(a.role, b.role))
	}) {
		group := groups[k]
		pool, err := volumes.NewPool(k.role, c.cfg.Principal, group)
		if err != nil {
			c.why("offers of agent %s cannot be read and are declined: %v", k.agent, err)
			c.decline(group, busyRefuse)
			continue
		}
		batches = append(batches, &batch{agent: c.learn(&group[0]), role: k.role, pool: pool, offers: group})
	}
	return batches
}

// settleWanting looks at every slot that the offers touched before they are
// used, so that the placing below works on what is known now.
func (c *Core) settleWanting() {
	for _, id := range slices.Sorted(maps.Keys(c.look)) {
		if s := c.slots[id]; s != nil {
			c.settleSlot(s)
		}
	}
}

// releaseIn frees what is not wanted any more of the slots in one batch: a
// volume only by an explicit order, always before its reservation (Mesos rule 31).
func (c *Core) releaseIn(b *batch) {
	for _, h := range slices.Clone(b.pool.Held()) {
		s := c.slots[h.Label]
		if h.Foreign || s == nil || s.live() || s.Release != nil || s.Bind == nil || s.Bind.AgentID != b.agent.id {
			continue
		}
		// A retained slot keeps its volume; where none was made there is
		// nothing to keep, and a bare disk must not stay reserved.
		keep := s.Want == state.WantRetain && (h.Volume != nil || s.Bind.Volume != state.KnownNo)
		if s.Want != state.WantRetain && s.Want != state.WantDestroy && !c.givesBack(s) {
			continue
		}
		if keep && h.Volume == nil && s.Bind.Volume == state.KnownUnsure {
			continue // whether there is a volume to keep decides what goes
		}
		destroy, unreserve := volumes.Release(h, keep)
		if len(destroy) > 0 && (s.Want != state.WantDestroy || s.Order == nil) {
			// Cannot happen; if it did, data would go without an order.
			c.why("refused to destroy the volume of %s: there is no order", s.ID)
			continue
		}
		if len(destroy) > 0 && !c.recovered() {
			c.why("volume %s is not destroyed before all tasks have answered: %d have not", s.ID, len(c.unheard))
			continue
		}
		if len(destroy)+len(unreserve) == 0 {
			if s.Bind.Reserved == state.KnownYes {
				// This offer shows only the volume: whether the rest was
				// given back or is in use is for the master's view to say.
				s.Bind.Reserved = state.KnownUnsure
				c.touch(s)
			}
			continue
		}
		c.release(b, s, h, destroy, unreserve)
	}
}

// release frees what one offer shows of a slot. That may be a part, while an
// executor still uses its share or because one agent's resources came split: then
// the reservation's end stays unsure until the master's own view shows it.
func (c *Core) release(b *batch, s *slot, h volumes.Holding, destroy, unreserve []mesos.Resource) {
	s.Life++ // an attempt of its own: operation ids are used once
	attempt := s.taskID(s.Life)
	s.Release = &state.Release{Since: c.now}
	if len(destroy) > 0 {
		s.Release.DestroyOp = operationID(attempt, verbDestroy)
		b.ops = append(b.ops, volumes.DestroyOp(s.Release.DestroyOp, destroy))
	}
	if len(unreserve) > 0 {
		// Where no volume is made the bare disk is reserved as well.
		s.Release.Part = !s.shownWhole(&h) || s.Bind.Volume == state.KnownNo && h.Disk < s.Need.Disk
		s.Bind.Reserved = state.KnownYes
		if s.Release.Part {
			s.Bind.Reserved = state.KnownUnsure
		}
		s.Release.UnreserveOp = operationID(attempt, verbUnreserve)
		b.ops = append(b.ops, volumes.UnreserveOp(s.Release.UnreserveOp, unreserve))
	}
	c.why("release %s on %s: %d volumes destroyed, %d resources unreserved", s.ID, b.agent.hostname, len(destroy), len(unreserve))
	c.touch(s)
}

// givesBack reports whether a slot that should run returns its empty
// reservation, because CREATE was refused too often on that agent.
func (c *Core) givesBack(s *slot) bool {
	b := s.Bind
	if b.CreateFailures < createTries || b.Volume != state.KnownNo || b.HasData {
		return false
	}
	c.avoid(s)
	return true
}

// avoid keeps a slot away from the host it is bound to, for a while.
func (c *Core) avoid(s *slot) {
	if s.avoid == nil {
		s.avoid = map[string]time.Time{}
	}
	s.avoid[s.Bind.Hostname] = c.now.Add(avoidFor)
}

// avoided are the hosts that a slot keeps away from for now; the list decays.
func (c *Core) avoided(s *slot) []string {
	maps.DeleteFunc(s.avoid, func(_ string, until time.Time) bool { return !until.After(c.now) })
	return slices.Sorted(maps.Keys(s.avoid))
}

// keepAway are conditions on the agents for a node without a place: not the hosts
// that it avoids, and not the machine of the node that it is to replace, which may be
// back at any time.
func (c *Core) keepAway(s *slot) []v1.Constraint {
	hosts := c.avoided(s)
	var out []v1.Constraint
	if old := c.slots[s.Replaces]; old != nil && old.Want == state.WantReplaced {
		hosts = append(hosts, old.Bind.Hostname)
		if c.cfg.MachineAttribute != "" {
			out = append(out, v1.Constraint{Attribute: c.cfg.MachineAttribute, Operator: "NEQ", Values: []string{old.Bind.Machine}})
		}
	}
	if len(hosts) > 0 {
		out = append(out, v1.Constraint{Attribute: "hostname", Operator: "NOTIN", Values: hosts})
	}
	return out
}

// place finds a place for every slot that wants one. Slots that own a
// reservation come first, so that nobody else is put where they return to.
func (c *Core) place(batches []*batch) {
	var done []placed
	for _, role := range c.cfg.Roles {
		space := placement.NewSpace()
		at := map[string]*batch{}
		for _, b := range batches {
			if b.role != role {
				continue
			}
			at[b.agent.id] = b
			space.AddNode(placement.Node{
				ID: b.agent.id, Hostname: b.agent.hostname, Machine: b.agent.machine,
				Attributes: b.agent.attributes, Pool: b.pool, Unavailable: c.unavailable(b),
			})
		}
		if len(at) == 0 {
			continue
		}
		wanting := c.wantingSlots(role)
		c.occupy(space, wanting)
		for _, s := range wanting {
			if p, ok := c.placeSlot(space, at, s); ok {
				done = append(done, p)
			}
		}
	}
	// Tasks are built once all have their ports: nodes of one cluster that
	// start together then know each other.
	for _, p := range done {
		c.bind(p)
	}
	for _, p := range done {
		c.launch(p)
	}
}

// wantingSlots lists the slots of a role that want to run, in the order of
// placing: with a reservation before without, older clusters before younger.
// Those that would get a new place wait for the recovery gate.
func (c *Core) wantingSlots(role string) []*slot {
	var list []*slot
	awaited := map[*cluster]int{}
	for id := range c.wanting {
		s := c.slots[id]
		if s == nil || s.Want != state.WantRun || s.live() || s.Identity.Role != role || s.unsure() {
			continue
		}
		if cl, ok := c.ownerOf(s).(*cluster); s.Bind == nil && ok {
			n, counted := awaited[cl]
			if !counted {
				n = c.awaited(cl)
				awaited[cl] = n
			}
			if n > 0 {
				continue // the recovery gate
			}
		}
		list = append(list, s)
	}
	created := func(s *slot) time.Time {
		if o := c.ownerOf(s); o != nil {
			return o.created()
		}
		return s.CreatedAt
	}
	slices.SortFunc(list, func(a, b *slot) int {
		return cmp.Or(
			-plan.CompareBool(a.Bind != nil, b.Bind != nil),
			created(a).Compare(created(b)),
			cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Set, b.Set), cmp.Compare(a.Ordinal, b.Ordinal),
		)
	})
	return list
}

// unsure reports whether it is open what a former attempt left behind; the slot
// then neither stays nor goes elsewhere.
func (s *slot) unsure() bool {
	b := s.Bind
	return b != nil && (b.Reserved == state.KnownUnsure || b.Volume == state.KnownUnsure || b.ReserveOp != "" || b.CreateOp != "" || s.Release != nil)
}

// counts reports whether the slot counts for the host rule: running, starting,
// in flight, reserved but empty, unreachable or on its way out, and one whose
// replacement was ordered: it may come back in place.
func (s *slot) counts() bool {
	return s.Bind != nil && (s.Want == state.WantRun || s.Want == state.WantReplaced || s.live())
}

// occupy tells the space of every node that there is of the clusters and
// applications in question, so that the rules count them (host rule: per machine).
func (c *Core) occupy(space *placement.Space, wanting []*slot) {
	done := map[owner]bool{}
	for _, w := range wanting {
		if o := c.ownerOf(w); o != nil && !done[o] {
			done[o] = true
			c.occupyBy(space, o)
		}
	}
}

// occupyBy tells the space of what one owner has placed.
func (c *Core) occupyBy(space *placement.Space, o owner) {
	for _, s := range o.list() {
		if s.counts() {
			space.Occupy(s.Bind.Machine, placement.TextAttributes(s.Bind.Attributes), c.workloads[s.Kind].groups(s)...)
		}
	}
}

func (c *Core) placeSlot(space *placement.Space, at map[string]*batch, s *slot) (placed, bool) {
	req, err := c.requestFor(s)
	if err != nil {
		c.why("%s cannot be placed: %v", s.Name, err)
		return placed{}, false
	}
	if s.Bind != nil && at[s.Bind.AgentID] == nil {
		return placed{}, false // its agent is not among these offers
	}
	out := space.Place(req)
	if !out.Placed {
		// What the master's own view says is missing does not come by waiting.
		if b := at[req.Bound]; b != nil && c.unavailable(b) == "" && !s.missing {
			b.waits = true
		}
		return placed{}, false
	}
	return placed{slot: s, batch: at[out.NodeID], grant: out.Grant}, true
}

// requestFor is the request of a slot. One that holds a reservation goes back to
// it and nowhere else: it is counted already, and its data decides where.
func (c *Core) requestFor(s *slot) (placement.Request, error) {
	if s.Bind == nil {
		return c.workloads[s.Kind].request(s)
	}
	need := s.Need
	if s.Bind.Reserved == state.KnownYes {
		need.Expect = volumes.Expect{CPU: need.CPU, Mem: need.Mem, Ports: need.Ports}
		if s.Bind.Volume == state.KnownNo {
			need.Expect.Disk = need.Disk // reserved, and its CREATE was refused
		}
	}
	need.Expect.Volume = s.Bind.Volume == state.KnownYes
	return placement.Request{Slot: s.Name, Identity: s.Identity, Need: need, Bound: s.Bind.AgentID}, nil
}

// bind records the next life of a slot on the place it was given. The record is
// written before the ACCEPT leaves (Mesos rule 39).
func (c *Core) bind(p placed) {
	s, g := p.slot, p.grant
	s.Life++
	if s.Bind == nil {
		s.Bind = c.binding(p.batch.agent)
		s.Bind.Reserved, s.Bind.Volume = state.KnownNo, state.KnownNo
	}
	b := s.Bind
	b.Ports, b.DiskMiB, b.Since, b.Address = g.Ports, g.Disk, c.now, p.batch.agent.address
	nodeID := "" // Elasticsearch keeps it on the volume
	if s.Task != nil {
		nodeID = s.Task.NodeID
	}
	s.Task = &state.Task{
		ID: s.taskID(s.Life), Life: s.Life, AgentID: b.AgentID, State: state.TaskStaging,
		LaunchedAt: c.now, Since: c.now, Generation: c.generation(s), NodeID: nodeID,
	}
	if cl := c.clusters[s.Owner]; cl != nil {
		s.Task.Fingerprint, s.Task.Version = cl.fingerprint(s.Set), cl.Spec.Spec.Version
	}
	s.confirmed, s.askedAt, s.killedAt, s.executorEnded = false, time.Time{}, time.Time{}, time.Time{}
	c.touch(s)
}

// launch builds a bound slot's task and the operations that it still needs.
func (c *Core) launch(p placed) {
	s, g, b, life := p.slot, p.grant, p.slot.Bind, p.slot.Task.ID
	c.workloads[s.Kind].launching(s)
	task, err := c.workloads[s.Kind].task(s, g.Task)
	if err != nil {
		c.setTask(s, state.TaskEnded, false)
		c.failed(s, "its task cannot be built: "+err.Error())
		c.publishSlot("NodeFailed", s, "%s cannot be built: %v", life, err)
		return
	}
	if len(g.Reserve) > 0 {
		b.Reserved, b.ReserveOp = state.KnownUnsure, operationID(life, verbReserve)
		p.batch.ops = append(p.batch.ops, volumes.ReserveOp(b.ReserveOp, g.Reserve))
	}
	if len(g.Create) > 0 {
		b.Volume, b.CreateOp = state.KnownUnsure, operationID(life, verbCreate)
		p.batch.ops = append(p.batch.ops, volumes.CreateOp(b.CreateOp, g.Create))
	}
	p.batch.tasks = append(p.batch.tasks, task)
	c.publishSlot("NodeLaunching", s, "launching %s on %s (reserve: %t, create volume: %t)", life, b.Hostname, len(g.Reserve) > 0, len(g.Create) > 0)
	c.why("launch %s on %s", life, b.Hostname)
}

func (c *Core) generation(s *slot) int64 {
	if o := c.ownerOf(s); o != nil {
		return o.generation()
	}
	return 0
}

// answer sends one ACCEPT for each batch that is used and declines the others:
// for long when nothing more is wanted (Mesos rule 22).
func (c *Core) answer(batches []*batch) {
	more := c.unserved()
	refuse := idleRefuse
	if more {
		refuse = busyRefuse
	}
	unused := map[time.Duration][]mesos.Offer{}
	for _, b := range batches {
		ops := b.ops
		if len(b.tasks) > 0 {
			ops = append(ops, volumes.LaunchOp(b.tasks...))
		}
		switch {
		case len(ops) > 0:
			c.agentsWanted() // what is free there has changed
			c.call(&sched.Call{Type: sched.Call_ACCEPT, Accept: &sched.Call_Accept{
				OfferIDs: b.pool.Offers(), Operations: ops, Filters: refuseFor(refuse),
			}})
		case b.waits:
			unused[mergeRefuse] = append(unused[mergeRefuse], b.offers...)
		default:
			unused[refuse] = append(unused[refuse], b.offers...)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(unused)) {
		c.decline(unused[d], d)
	}
}

// unserved reports whether any slot still wants an offer after this step.
func (c *Core) unserved() bool {
	for id := range c.wanting {
		s := c.slots[id]
		if s != nil && s.Release == nil && (s.Task == nil || s.Task.State != state.TaskStaging || !s.Task.LaunchedAt.Equal(c.now)) {
			return true
		}
	}
	return false
}

func (c *Core) decline(offers []mesos.Offer, refuse time.Duration) {
	ids := make([]mesos.OfferID, len(offers))
	for i := range offers {
		ids[i] = offers[i].ID
	}
	c.call(&sched.Call{Type: sched.Call_DECLINE, Decline: &sched.Call_Decline{OfferIDs: ids, Filters: refuseFor(refuse)}})
}

func refuseFor(d time.Duration) *mesos.Filters {
	seconds := d.Seconds()
	return &mesos.Filters{RefuseSeconds: &seconds}
}

// maintenanceSoon is how far ahead a maintenance window keeps nodes away.
const maintenanceSoon = time.Hour

// unavailable says why an agent is not to be used now: an operator has planned
// its maintenance (Mesos rule 50).
func (c *Core) unavailable(b *batch) string {
	for i := range b.offers {
		u := b.offers[i].Unavailability
		if u == nil {
			continue
		}
		start := time.Unix(0, u.Start.Nanoseconds)
		if u.Duration != nil && !start.Add(time.Duration(u.Duration.Nanoseconds)).After(c.now) {
			continue
		}
		if !start.After(c.now.Add(maintenanceSoon)) {
			return "maintenance is planned from " + start.UTC().Format("2006-01-02 15:04 MST")
		}
	}
	return ""
}

// inverseOffers are declined as advice (Mesos rule 50): moving nodes off a host
// that is to be maintained is an operator's order, not ours to start.
func (c *Core) inverseOffers(e InverseOffersReceived) {
	ids := make([]mesos.OfferID, len(e.Offers))
	for i := range e.Offers {
		ids[i] = e.Offers[i].OfferID
		c.publish("MaintenanceRequested", "", "", "Mesos asks for agent %s back for maintenance: its nodes stay until an operator moves them", e.Offers[i].GetAgentID().GetValue())
	}
	for i := range e.Offers {
		start := time.Unix(0, e.Offers[i].Unavailability.Start.Nanoseconds)
		if !start.After(c.now.Add(maintenanceSoon)) {
			c.vacate(e.Offers[i].GetAgentID().GetValue(), "maintenance of its agent is planned from "+start.UTC().Format("2006-01-02 15:04 MST"))
		}
	}
	c.call(&sched.Call{Type: sched.Call_DECLINE_INVERSE_OFFERS, DeclineInverseOffers: &sched.Call_DeclineInverseOffers{InverseOfferIDs: ids}})
}
