package scenario

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/berthdata/berth/scheduler"
)

// master is a small model of a Mesos master and its agents. It does what Mesos
// does with calls and puts the answers into out. What a correct framework never
// does is collected in wrong.
type master struct {
	framework  string
	role       string
	now        time.Time
	subscribed bool
	suppressed bool
	agents     map[string]*agent
	tasks      map[string]*task
	ops        map[string]*operation // whose updates are not acknowledged
	opsSeen    map[string]bool
	offers     map[string]*offer
	out        []scheduler.Event
	wrong      []string
	// slow: ACCEPTs whose offers were taken wait for their authorisation.
	slow    bool
	waiting []*pending
	// destroyed is told of each volume that is destroyed.
	destroyed func(id string)
	// refuse decides whether an agent refuses an operation.
	refuse func(verb string) bool
	serial int
}

type agent struct {
	id, hostname, ip string
	total            *ledger
	// connected: messages get through. registered: the master counts it in.
	connected, registered, gone bool
	filter                      time.Time
	filtered                    *ledger
}

type task struct {
	info    mesos.TaskInfo
	agent   *agent
	state   mesos.TaskState
	healthy bool
	data    []byte
	// arrived: the agent has got it. lingers: its executor outlives it.
	arrived, lingers bool
	updates          []mesos.TaskStatus // not acknowledged, oldest first
}

type operation struct {
	status mesos.OperationStatus
	agent  *agent
}

type offer struct {
	id        string
	agent     *agent
	resources []mesos.Resource
}

func newMaster(role string) *master {
	return &master{
		framework: "fw-1", role: role,
		agents: map[string]*agent{}, tasks: map[string]*task{},
		ops: map[string]*operation{}, opsSeen: map[string]bool{}, offers: map[string]*offer{},
	}
}

func (m *master) emit(ev scheduler.Event) {
	if m.subscribed {
		m.out = append(m.out, ev)
	}
}

func (m *master) fail(format string, args ...any) {
	m.wrong = append(m.wrong, fmt.Sprintf(format, args...))
}

func (m *master) uuid() []byte {
	m.serial++
	return fmt.Appendf(nil, "uuid-%d", m.serial)
}

func live(s mesos.TaskState) bool {
	switch s {
	case mesos.TASK_STAGING, mesos.TASK_STARTING, mesos.TASK_RUNNING, mesos.TASK_KILLING:
		return true
	}
	return false
}

// used is what tasks and executors occupy on an agent.
func (m *master) used(a *agent) []mesos.Resource {
	var rs []mesos.Resource
	for _, t := range m.tasksOn(a) {
		if live(t.state) {
			rs = append(rs, t.info.Resources...)
		}
		if live(t.state) || t.lingers {
			rs = append(rs, t.info.Executor.Resources...)
		}
	}
	return rs
}

func (m *master) free(a *agent) *ledger {
	l := a.total.clone()
	l.takeOff(m.used(a)...)
	for _, o := range m.offers {
		if o.agent == a {
			l.takeOff(o.resources...)
		}
	}
	for _, p := range m.waiting {
		if p.at == a && p.invalid == nil {
			l.takeOff(p.have.list()...)
		}
	}
	return l
}

func (m *master) subscribe() scheduler.Event {
	m.subscribed, m.suppressed, m.out = true, false, nil
	clear(m.offers)
	for _, a := range m.agents {
		a.filter = time.Time{}
	}
	return scheduler.Subscribed{FrameworkID: m.framework}
}

// makeOffer offers a part of what is free on an agent, in one offer; nil when
// there is nothing.
func (m *master) makeOffer(a *agent, keep func(mesos.Resource) bool) *mesos.Offer {
	rs := slices.DeleteFunc(m.free(a).list(), func(r mesos.Resource) bool { return !keep(r) })
	if len(rs) == 0 {
		return nil
	}
	m.serial++
	o := &offer{id: fmt.Sprintf("o%d", m.serial), agent: a, resources: rs}
	m.offers[o.id] = o
	return &mesos.Offer{
		ID: mesos.OfferID{Value: o.id}, AgentID: mesos.AgentID{Value: a.id}, Hostname: a.hostname,
		FrameworkID:    mesos.FrameworkID{Value: m.framework},
		AllocationInfo: &mesos.Resource_AllocationInfo{Role: &m.role}, Resources: rs,
		URL: &mesos.URL{Scheme: "http", Address: mesos.Address{IP: &a.ip, Port: 5051}},
	}
}

// allocate offers what is free and not filtered, of each agent in one offer or,
// where split says so, in two.
func (m *master) allocate(split func() bool) {
	if !m.subscribed || m.suppressed {
		return
	}
	var offers []mesos.Offer
	for _, id := range slices.Sorted(maps.Keys(m.agents)) {
		a := m.agents[id]
		if !a.registered || !a.connected || a.filter.After(m.now) && a.filtered.clone().remove(m.free(a).list()...) == nil {
			continue // contained in what was refused (Mesos rule 18)
		}
		picks := []func(mesos.Resource) bool{func(mesos.Resource) bool { return true }}
		if split() {
			picks = []func(mesos.Resource) bool{
				func(r mesos.Resource) bool { return r.Name == "cpus" || r.Name == "ports" },
				func(r mesos.Resource) bool { return r.Name != "cpus" && r.Name != "ports" },
			}
		}
		for _, keep := range picks {
			if o := m.makeOffer(a, keep); o != nil {
				offers = append(offers, *o)
			}
		}
	}
	if len(offers) > 0 {
		m.emit(scheduler.OffersReceived{Offers: offers})
	}
}

// observe is the operator API's view of this moment.
func (m *master) observe() scheduler.AgentsObserved {
	view := scheduler.AgentsObserved{AskedAt: m.now}
	for _, id := range slices.Sorted(maps.Keys(m.agents)) {
		a := m.agents[id]
		if a.gone || !a.connected && !a.registered {
			continue
		}
		view.Agents = append(view.Agents, scheduler.AgentObservation{
			ID: a.id, Hostname: a.hostname, Address: a.ip, Registered: a.registered, Active: a.registered,
			Total: a.total.list(), Used: m.used(a),
		})
	}
	return view
}

// call carries out one call.
func (m *master) call(c *sched.Call) {
	if !m.subscribed {
		m.fail("%s was sent without a subscription", c.Type)
		return
	}
	switch c.Type {
	case sched.Call_ACCEPT:
		m.accept(c.Accept)
	case sched.Call_DECLINE:
		for _, id := range c.Decline.OfferIDs {
			if o := m.offers[id.Value]; o != nil {
				delete(m.offers, id.Value)
				m.refused(o.agent, c.Decline.Filters)
			}
		}
	case sched.Call_KILL:
		m.kill(c.Kill)
	case sched.Call_ACKNOWLEDGE:
		m.acknowledge(c.Acknowledge)
	case sched.Call_ACKNOWLEDGE_OPERATION_STATUS:
		m.acknowledgeOperation(c.AcknowledgeOperationStatus)
	case sched.Call_RECONCILE:
		m.reconcile(c.Reconcile)
	case sched.Call_RECONCILE_OPERATIONS:
		m.reconcileOperations(c.ReconcileOperations)
	case sched.Call_SUPPRESS:
		m.suppressed = true
	case sched.Call_REVIVE:
		m.suppressed = false
		for _, a := range m.agents {
			a.filter = time.Time{}
		}
	case sched.Call_MESSAGE:
	default:
		m.fail("%s is not a call that Berth makes", c.Type)
	}
}

func (m *master) refused(a *agent, f *mesos.Filters) {
	a.filter = m.now.Add(time.Duration(f.GetRefuseSeconds() * float64(time.Second)))
	a.filtered = m.free(a)
}

// pending is an ACCEPT between its arrival and its operations.
type pending struct {
	call    *sched.Call_Accept
	at      *agent
	have    *ledger
	invalid error
}

// accept takes the offers of an ACCEPT at once; its operations may wait.
func (m *master) accept(c *sched.Call_Accept) {
	have := newLedger()
	var at *agent
	var invalid error
	for _, id := range c.OfferIDs {
		o := m.offers[id.Value]
		switch {
		case o == nil:
			invalid = fmt.Errorf("offer %s is no longer valid", id.Value)
		case at != nil && at != o.agent:
			m.fail("ACCEPT combines offers of agents %s and %s (Mesos rule 19)", at.id, o.agent.id)
		default:
			at = o.agent
			have.add(o.resources...)
		}
		delete(m.offers, id.Value)
	}
	m.waiting = append(m.waiting, &pending{c, at, have, invalid})
	if !m.slow {
		m.arrive()
	}
}

func (m *master) arrive() {
	waiting := m.waiting
	m.waiting = nil
	for _, p := range waiting {
		m.carryOut(p.call, p.at, p.have, p.invalid)
	}
}

// carryOut does the operations of one ACCEPT: in order, and not atomically (Mesos
// rule 28).
func (m *master) carryOut(c *sched.Call_Accept, at *agent, have *ledger, invalid error) {
	if invalid == nil && (!at.registered || m.agents[at.id] != at) {
		invalid = fmt.Errorf("agent %s was removed", at.id)
	}
	for _, op := range c.Operations {
		switch {
		case op.Type == mesos.Offer_Operation_LAUNCH && op.ID != nil:
			m.fail("LAUNCH carries an operation id (Mesos rule 34)")
		case op.Type == mesos.Offer_Operation_LAUNCH:
			for _, info := range op.Launch.TaskInfos {
				m.launch(at, have, info, invalid)
			}
		default:
			m.operate(at, have, op, invalid)
		}
	}
	if invalid == nil {
		m.refused(at, c.Filters)
	}
}

// operate carries out one operation on an agent and tells how it went.
func (m *master) operate(a *agent, have *ledger, op mesos.Offer_Operation, invalid error) {
	if m.opsSeen[op.ID.Value] {
		m.fail("operation id %s is used twice", op.ID.Value)
	}
	m.opsSeen[op.ID.Value] = true
	st := mesos.OperationStatus{OperationID: op.ID, State: mesos.OPERATION_FINISHED}
	err := invalid
	switch {
	case invalid != nil:
		st.State = mesos.OPERATION_DROPPED
	case !a.connected:
		return // lost on the way: nothing happens, and nobody tells
	case m.refuse(op.Type.String()):
		st.State, err = mesos.OPERATION_FAILED, errors.New("refused")
	default:
		if err = m.apply(a, have, op); err != nil {
			st.State = mesos.OPERATION_ERROR
		}
	}
	if err != nil {
		st.Message = ptr(err.Error())
	}
	if st.State == mesos.OPERATION_FINISHED || st.State == mesos.OPERATION_FAILED {
		// The master's own answers carry neither (Mesos rule 35).
		st.AgentID, st.UUID = &mesos.AgentID{Value: a.id}, &mesos.UUID{Value: m.uuid()}
		m.ops[op.ID.Value] = &operation{status: st, agent: a}
	}
	m.emit(scheduler.OperationUpdated{Status: st})
}

func ptr[T any](v T) *T { return &v }

// apply changes what an agent has.
func (m *master) apply(a *agent, have *ledger, op mesos.Offer_Operation) error {
	var from, to []mesos.Resource
	switch op.Type {
	case mesos.Offer_Operation_RESERVE:
		for _, r := range op.Reserve.Resources {
			to = append(to, r)
			r.Reservations = r.Reservations[:len(r.Reservations)-1]
			from = append(from, r)
		}
	case mesos.Offer_Operation_UNRESERVE:
		for _, r := range op.Unreserve.Resources {
			if r.Disk.GetPersistence() != nil {
				return errors.New("a volume cannot be unreserved (Mesos rule 31)")
			}
			from = append(from, r)
			r.Reservations = r.Reservations[:len(r.Reservations)-1]
			to = append(to, r)
		}
	case mesos.Offer_Operation_CREATE:
		for _, r := range op.Create.Volumes {
			to = append(to, r)
			from = append(from, bare(r))
		}
	case mesos.Offer_Operation_DESTROY:
		for _, r := range op.Destroy.Volumes {
			from = append(from, r)
			to = append(to, bare(r))
		}
	default:
		return fmt.Errorf("%s is not known", op.Type)
	}
	if err := have.remove(from...); err != nil {
		return err
	}
	if err := a.total.remove(from...); err != nil {
		return err
	}
	have.add(to...)
	a.total.add(to...)
	for _, v := range op.GetDestroy().GetVolumes() {
		m.destroyed(v.Disk.Persistence.ID)
	}
	return nil
}

func (m *master) launch(a *agent, have *ledger, info mesos.TaskInfo, invalid error) {
	if m.tasks[info.TaskID.Value] != nil {
		m.fail("task id %s is used twice", info.TaskID.Value)
		return
	}
	st := mesos.TaskStatus{TaskID: info.TaskID, AgentID: &info.AgentID, Source: mesos.SOURCE_MASTER.Enum()}
	if invalid != nil {
		st.State, st.Reason = mesos.TASK_DROPPED.Enum(), mesos.REASON_INVALID_OFFERS.Enum()
		m.emit(scheduler.TaskUpdated{Status: st})
		return
	}
	if err := have.remove(slices.Concat(info.Resources, info.Executor.Resources)...); err != nil {
		st.State, st.Reason, st.Message = mesos.TASK_ERROR.Enum(), mesos.REASON_TASK_INVALID.Enum(), ptr(err.Error())
		m.emit(scheduler.TaskUpdated{Status: st})
		return
	}
	m.tasks[info.TaskID.Value] = &task{info: info, agent: a, state: mesos.TASK_STAGING, arrived: a.connected}
}
