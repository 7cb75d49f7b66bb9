package mesosmodel

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// offer is one outstanding offer.
type offer struct {
	id, agentID, role string
	has               bag
}

// allocate offers what is free to the roles that are not suppressed and whose
// filters let it through (Mesos rules 17, 18, 22).
func (m *Model) allocate() {
	ms := m.master
	if ms == nil || m.stream == "" || m.waitsForQuota() {
		return
	}
	if !slices.ContainsFunc(m.framework.roles, func(role string) bool { return !ms.suppressed[role] }) {
		return
	}
	var offers []mesos.Offer
	for _, id := range ms.ids() {
		a := ms.agents[id]
		if !a.registered || !a.connected || m.registry.deactivated[id] {
			continue
		}
		free := m.freeOn(a)
		if free.empty() {
			continue
		}
		a.filters = slices.DeleteFunc(a.filters, func(f filter) bool { return !f.until.After(m.now) })
		for _, role := range m.rolesInTurn() {
			if ms.suppressed[role] {
				continue
			}
			part := m.partFor(role, free)
			if !useful(part) || slices.ContainsFunc(a.filters, func(f filter) bool { return f.role == role && f.has.contains(part) }) {
				continue
			}
			free.subtract(part)
			for _, has := range m.split(part) {
				offers = append(offers, m.offer(a, role, has))
			}
		}
	}
	if len(offers) == 0 {
		return
	}
	m.rand.Shuffle(len(offers), func(i, j int) { offers[i], offers[j] = offers[j], offers[i] })
	// The master puts what it allocated into one event or into several.
	for len(offers) > 0 {
		n := len(offers)
		if m.chance(0.3) {
			n = 1 + m.rand.IntN(n)
		}
		m.send(&sched.Event{Type: sched.Event_OFFERS, Offers: &sched.Event_Offers{Offers: offers[:n:n]}})
		offers = offers[n:]
	}
}

// useful says whether a framework that asks for anything useful is offered this:
// single ports are not (Mesos rule 24).
func useful(b bag) bool {
	return b.sum("cpus") >= 10 || b.sum("mem") >= 32*1000 || b.sum("disk") >= 1000
}

// waitsForQuota: after a failover with limits, nothing is offered until most
// agents are back (Mesos rule 52).
func (m *Model) waitsForQuota() bool {
	ms := m.master
	if len(m.quota) == 0 || ms.known == 0 || m.now.Sub(ms.elected) > reregisterTimeout {
		return false
	}
	back := 0
	for _, a := range ms.agents {
		if a.registered {
			back++
		}
	}
	return back*5 < ms.known*4
}

func (m *Model) rolesInTurn() []string {
	if len(m.framework.roles) < 2 || m.chance(0.5) {
		return m.framework.roles
	}
	roles := slices.Clone(m.framework.roles)
	slices.Reverse(roles)
	return roles
}

// freeOn is what neither tasks nor offers hold.
func (m *Model) freeOn(a *masterAgent) bag {
	free := a.total.clone()
	for _, t := range m.master.tasks { // a difference: the order does not matter
		if t.agentID == a.id && !t.terminal {
			free.subtract(t.used)
		}
	}
	for _, e := range m.master.executors {
		if e.agentID == a.id {
			free.subtract(e.used)
		}
	}
	for _, o := range m.master.offers {
		if o.agentID == a.id {
			free.subtract(o.has)
		}
	}
	return free
}

// partFor is what a role may have of what is free: its own reservations, and
// unreserved resources within its quota (Mesos rule 51).
func (m *Model) partFor(role string, free bag) bag {
	head := m.headroom(role)
	part := bag{}
	for _, k := range sortedKeys(free) {
		p := free[k]
		switch reservedFor(p.like) {
		case role:
			part[k] = p
		case "":
			if left, limited := head[p.like.Name]; limited {
				if left < p.milli {
					if left <= 0 || isMount(p.like) {
						continue
					}
					p.milli = left
				}
				head[p.like.Name] -= p.milli
			}
			part[k] = p
		}
	}
	return part
}

// headroom is what a role's quota leaves, nil without one.
func (m *Model) headroom(role string) map[string]int64 {
	limits := m.quota[role]
	if limits == nil {
		return nil
	}
	head := maps.Clone(limits)
	take := func(b bag, reservation string) {
		for _, p := range b {
			if _, limited := limits[p.like.Name]; limited && reservedFor(p.like) == reservation {
				head[p.like.Name] -= p.milli
			}
		}
	}
	for _, a := range m.master.agents {
		take(a.total, role)
	}
	for _, o := range m.master.offers {
		if o.role == role {
			take(o.has, "")
		}
	}
	for id, e := range m.master.executors {
		if e.role == role {
			take(e.used, "")
			if t := m.master.tasks[id]; t != nil && !t.terminal {
				take(t.used, "")
			}
		}
	}
	return head
}

// split breaks an agent's resources into two offers now and then.
func (m *Model) split(part bag) []bag {
	if len(part) < 2 || !m.chance(m.cfg.Split) {
		return []bag{part}
	}
	one, two := bag{}, bag{}
	for _, k := range sortedKeys(part) {
		if m.chance(0.5) {
			one[k] = part[k]
		} else {
			two[k] = part[k]
		}
	}
	if one.empty() || two.empty() {
		return []bag{part}
	}
	return []bag{one, two}
}

func (m *Model) offer(a *masterAgent, role string, has bag) mesos.Offer {
	o := &offer{id: fmt.Sprintf("offer-%d", m.number()), agentID: a.id, role: role, has: has}
	m.master.offers[o.id] = o
	h := a.machine
	return mesos.Offer{
		ID: mesos.OfferID{Value: o.id}, FrameworkID: mesos.FrameworkID{Value: m.framework.id},
		AgentID: mesos.AgentID{Value: a.id}, Hostname: h.Hostname, Attributes: h.Attributes,
		URL:            &mesos.URL{Scheme: "http", Address: mesos.Address{Hostname: &h.Hostname, IP: &h.Address, Port: 5051}},
		Resources:      has.allocated(role),
		AllocationInfo: &mesos.Resource_AllocationInfo{Role: &role},
		Unavailability: m.registry.maintenance[h.Hostname],
	}
}

// Rescind takes outstanding offers back, each with a chance of p.
func (m *Model) Rescind(p float64) {
	if m.master == nil {
		return
	}
	for _, id := range sortedKeys(m.master.offers) {
		if m.chance(p) {
			m.rescind(id)
		}
	}
}

func (m *Model) rescindAgent(agentID string) {
	for _, id := range sortedKeys(m.master.offers) {
		if m.master.offers[id].agentID == agentID {
			m.rescind(id)
		}
	}
}

func (m *Model) rescindAll() {
	if m.master == nil {
		return
	}
	for _, id := range sortedKeys(m.master.offers) {
		m.rescind(id)
	}
}

func (m *Model) rescind(id string) {
	delete(m.master.offers, id)
	m.send(&sched.Event{Type: sched.Event_RESCIND, Rescind: &sched.Event_Rescind{OfferID: mesos.OfferID{Value: id}}})
}

// take consumes the offers of an ACCEPT or DECLINE. It fails when one is not
// valid any more, or when they are not of one agent and role (Mesos rules 19, 20);
// the valid ones are then consumed all the same.
func (m *Model) take(ids []mesos.OfferID) (agentID, role string, has bag, err error) {
	has = bag{}
	for _, id := range ids {
		o := m.master.offers[id.Value]
		delete(m.master.offers, id.Value)
		switch {
		case o == nil:
			err = fmt.Errorf("offer %s is no longer valid", id.Value)
		case agentID != "" && (o.agentID != agentID || o.role != role):
			err = fmt.Errorf("offers of several agents or roles in one call")
		default:
			agentID, role = o.agentID, o.role
			has.addAll(o.has)
		}
	}
	return agentID, role, has, err
}

// decline filters what was not used (Mesos rules 17 and 18).
func (m *Model) decline(agentID, role string, has bag, f *mesos.Filters) {
	a := m.master.agents[agentID]
	if a == nil || has.empty() {
		return
	}
	refuse := 5 * time.Second
	if f != nil && f.RefuseSeconds != nil {
		refuse = time.Duration(*f.RefuseSeconds * float64(time.Second))
	}
	if refuse > 0 {
		a.filters = append(a.filters, filter{role: role, has: has, until: m.now.Add(max(allocationInterval, refuse))})
	}
}

// operation is one validated conversion on its way to an agent.
type operation struct {
	id       string
	from, to bag
}

// accept carries out the operations of one ACCEPT in order, each by itself: one
// may fail after another has worked (Mesos rule 28).
func (m *Model) accept(c *sched.Call_Accept) {
	ms := m.master
	agentID, role, has, err := m.take(c.OfferIDs)
	for i := range c.Operations {
		op := &c.Operations[i]
		if err != nil {
			m.dropped(op, err)
			continue
		}
		if op.Type == mesos.Offer_Operation_LAUNCH {
			for j := range op.GetLaunch().TaskInfos {
				m.launch(ms, agentID, role, has, op.ID, &op.GetLaunch().TaskInfos[j])
			}
			continue
		}
		conv, err := m.convert(ms, agentID, role, has, op)
		if err != nil {
			m.trace("master: %s %s is refused: %v", op.Type, op.GetID().GetValue(), err)
			m.operationError(op, err.Error())
			continue
		}
		has.subtract(conv.from)
		has.addAll(conv.to)
		m.trace("master: %s %s on %s", op.Type, conv.id, agentID)
		m.convey(ms.agents[agentID], conv)
	}
	if err == nil {
		m.decline(agentID, role, has, c.Filters)
	}
}

// convey sends an operation to its agent. The master takes the outcome for
// granted; the agent's word follows.
func (m *Model) convey(a *masterAgent, conv *operation) {
	a.total.subtract(conv.from)
	a.total.addAll(conv.to)
	if conv.id != "" {
		m.master.ops[conv.id] = &masterOp{id: conv.id, agentID: a.id, status: mesos.OperationStatus{
			OperationID: &mesos.OperationID{Value: conv.id}, State: mesos.OPERATION_PENDING, AgentID: &mesos.AgentID{Value: a.id},
		}}
	}
	m.down(a.id, func(a *agent) { m.apply(a, conv) })
}

// dropped answers an operation of an ACCEPT whose offers are not valid.
func (m *Model) dropped(op *mesos.Offer_Operation, err error) {
	m.trace("master: %s %s is dropped: %v", op.Type, op.GetID().GetValue(), err)
	if op.Type != mesos.Offer_Operation_LAUNCH {
		m.operationError(op, "Operation attempted with invalid offers: "+err.Error())
		return
	}
	for i := range op.GetLaunch().TaskInfos {
		t := &op.GetLaunch().TaskInfos[i]
		s := status(mesos.TASK_DROPPED, mesos.REASON_INVALID_OFFERS, err.Error())
		s.TaskID, s.AgentID, s.Source = t.TaskID, &mesos.AgentID{Value: t.AgentID.Value}, mesos.SOURCE_MASTER.Enum()
		m.sendStatus(s)
	}
}

// operationError is the master's own answer: without uuid and agent id, so that
// it is not acknowledged (Mesos rule 35).
func (m *Model) operationError(op *mesos.Offer_Operation, message string) {
	if op.ID != nil {
		m.sendOp(mesos.OperationStatus{OperationID: op.ID, State: mesos.OPERATION_ERROR, Message: &message})
	}
}

// convert validates one operation on what is offered.
func (m *Model) convert(ms *master, agentID, role string, has bag, op *mesos.Offer_Operation) (*operation, error) {
	conv := &operation{id: op.GetID().GetValue(), from: bag{}, to: bag{}}
	switch op.Type {
	case mesos.Offer_Operation_RESERVE:
		if m.chance(m.knobs.RefuseReserve) {
			return nil, fmt.Errorf("not authorized to reserve")
		}
		for _, r := range op.GetReserve().Resources {
			if err := m.reservable(&r, role); err != nil {
				return nil, err
			}
			b := bare(r)
			conv.from.add(&b)
			conv.to.add(&r)
		}
	case mesos.Offer_Operation_UNRESERVE:
		for _, r := range op.GetUnreserve().Resources {
			switch {
			case len(r.Reservations) == 0:
				return nil, fmt.Errorf("%s is not reserved", r.Name)
			case volumeOf(&r) != "":
				return nil, fmt.Errorf("a volume cannot be unreserved: destroy it first")
			}
			b := bare(r)
			conv.from.add(&r)
			conv.to.add(&b)
		}
	case mesos.Offer_Operation_CREATE:
		if m.chance(m.knobs.RefuseCreate) {
			return nil, fmt.Errorf("not authorized to create a volume")
		}
		for _, r := range op.GetCreate().Volumes {
			if err := m.creatable(ms.agents[agentID], &r); err != nil {
				return nil, err
			}
			u := unmade(r)
			conv.from.add(&u)
			conv.to.add(&r)
		}
	case mesos.Offer_Operation_DESTROY:
		for _, r := range op.GetDestroy().Volumes {
			if volumeOf(&r) == "" {
				return nil, fmt.Errorf("%s is not a volume", r.Name)
			}
			if m.usedOn(agentID).holds(volumeOf(&r)) {
				return nil, fmt.Errorf("volume %s is in use", volumeOf(&r))
			}
			u := unmade(r)
			conv.from.add(&r)
			conv.to.add(&u)
		}
	default:
		return nil, fmt.Errorf("%s is not modelled", op.Type)
	}
	if !has.contains(conv.from) {
		return nil, fmt.Errorf("the offer does not hold %s", conv.from)
	}
	return conv, nil
}

// reservable checks a resource of RESERVE (Mesos rule 29).
func (m *Model) reservable(r *mesos.Resource, role string) error {
	if len(r.Reservations) == 0 {
		return fmt.Errorf("%s has no reservation to make", r.Name)
	}
	top := &r.Reservations[len(r.Reservations)-1]
	switch {
	case top.GetType() != mesos.Resource_ReservationInfo_DYNAMIC:
		return fmt.Errorf("only dynamic reservations can be made")
	case top.GetRole() != role:
		return fmt.Errorf("reservation for role %q of an offer to role %q", top.GetRole(), role)
	case top.GetPrincipal() != m.cfg.Principal:
		return fmt.Errorf("principal %q is not the framework's", top.GetPrincipal())
	case volumeOf(r) != "":
		return fmt.Errorf("a volume cannot be reserved")
	}
	return nil
}

// creatable checks a volume of CREATE (Mesos rule 32).
func (m *Model) creatable(a *masterAgent, r *mesos.Resource) error {
	id := volumeOf(r)
	switch {
	case id == "" || r.Name != "disk":
		return fmt.Errorf("a volume needs disk and a persistence id")
	case reservedFor(r) == "":
		return fmt.Errorf("volume %s is on unreserved disk", id)
	case r.Disk.Volume == nil || r.Disk.Volume.HostPath != nil || strings.HasPrefix(r.Disk.Volume.ContainerPath, "/"):
		return fmt.Errorf("volume %s needs a relative container path and no host path", id)
	case r.Disk.Volume.Mode.String() != mesos.RW.String():
		return fmt.Errorf("volume %s must be read-write", id)
	case r.Disk.Persistence.GetPrincipal() != m.cfg.Principal:
		return fmt.Errorf("volume %s has principal %q", id, r.Disk.Persistence.GetPrincipal())
	case a.total.holds(id):
		return fmt.Errorf("persistence id %s is in use on the agent", id)
	}
	return nil
}

// launch validates and starts one task of a LAUNCH.
func (m *Model) launch(ms *master, agentID, role string, has bag, opID *mesos.OperationID, t *mesos.TaskInfo) {
	id := t.TaskID.Value
	used, own := bagOf(t.Resources), bagOf(t.GetExecutor().GetResources())
	both := used.clone()
	both.addAll(own)
	why := ""
	switch {
	case opID != nil:
		why = "LAUNCH takes no operation id" // Mesos rule 34
	case id == "" || strings.Contains(id, "/"):
		why = "the task id is not valid"
	case ms.tasks[id] != nil || ms.lost[id].agentID != "":
		why = "the task id is in use"
	case t.AgentID.Value != agentID:
		why = "the task names another agent than the offer"
	case t.Executor == nil || t.Executor.GetFrameworkID().GetValue() != m.framework.id:
		why = "the executor is missing or names another framework"
	case !has.contains(both):
		why = "the task uses more than is offered: " + both.String()
	}
	if why != "" {
		m.trace("master: LAUNCH %s is refused: %s", id, why)
		s := status(mesos.TASK_ERROR, mesos.REASON_TASK_INVALID, why)
		s.TaskID, s.AgentID, s.Source = t.TaskID, &mesos.AgentID{Value: t.AgentID.Value}, mesos.SOURCE_MASTER.Enum()
		m.sendStatus(s)
		return
	}
	if m.hooks.Launched != nil {
		m.hooks.Launched(agentID, t)
	}
	m.trace("master: LAUNCH %s on %s", id, agentID)
	has.subtract(both)
	s := status(mesos.TASK_STAGING, 0, "")
	s.TaskID, s.AgentID, s.ExecutorID = t.TaskID, &mesos.AgentID{Value: agentID}, &t.Executor.ExecutorID
	ms.tasks[id] = &masterTask{id: id, agentID: agentID, info: *t, used: used, status: s}
	ms.executors[id] = &masterExecutor{agentID: agentID, role: role, used: own}
	info := *t
	m.down(agentID, func(a *agent) { m.runTask(a, role, info) })
}
