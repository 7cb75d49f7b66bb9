package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/state"
)

// process is one scheduler: the real core with a modelled runner and driver. It
// keeps the order rule of scheduler.Decision, and can die between any two steps.
type process struct {
	w     *World
	n     int
	epoch int64
	core  *scheduler.Core

	dead, paused bool
	// notices counts down to when a fenced process sees that it leads no more;
	// negative: it has no reason to look.
	notices int

	stream string // of the driver's subscription, "" without
	// loopStream is the subscription that the core was last told of.
	loopStream string
	told       told
	inbox      []scheduler.Event
	decisions  []decided
	rest       []decided // of a group that is durable: its effects are not all out
	committing bool
	timer      int64
	crash      *crashPlan

	// answered are the offers that it has accepted or declined.
	answered map[string]bool
	events   int64 // the newest id of an event that left

	asking  bool // a question to the operator API is under way
	reply   scheduler.ReplyID
	replies map[scheduler.ReplyID]*request

	minute      time.Time // of the two counters below
	steps, sent int
}

// decided is a decision with the subscription under which it was made.
type decided struct {
	scheduler.Decision
	stream string
}

// crashPlan says where a process dies: after n more passes of a point.
type crashPlan struct {
	point crashPoint
	n     int
}

type crashPoint string

const (
	crashStep    crashPoint = "after a step, before its commit"
	crashCommit  crashPoint = "while committing"
	crashEffects crashPoint = "after the commit, before or between the effects"
)

// The runner's bounds.
const (
	maxDecisions = 1024
	maxGroup     = 256
	// maxSteps and maxCalls are more than a sane core needs in a minute.
	maxSteps = 20_000
	maxCalls = 6_000
)

// elect starts a new leader after d, once the former one's lease has ended.
func (w *World) elect(d time.Duration) {
	w.after(d, func() {
		if w.leader != nil {
			return
		}
		p := &process{w: w, n: len(w.procs) + 1, epoch: w.store.lead(), notices: -1, replies: map[scheduler.ReplyID]*request{}, answered: map[string]bool{}}
		w.procs = append(w.procs, p)
		w.leader = p
		w.result.Leaders++
		w.tracef("process %d leads with epoch %d", p.n, p.epoch)
		p.load()
	})
}

func (p *process) load() {
	p.w.store.load(func(records map[state.Key][]byte, ok bool) {
		switch {
		case p.dead:
		case !ok:
			p.w.after(time.Second, p.load)
		default:
			p.begin(records)
		}
	})
}

func (p *process) begin(records map[state.Key][]byte) {
	core, err := scheduler.New(scheduler.Config{
		Epoch: p.epoch, Roles: p.w.shape.roles, Principal: principal, MachineAttribute: p.w.shape.machineAttribute,
		Catalogue:   map[string]scheduler.Distribution{version: {Home: "/opt/elasticsearch"}},
		ExecutorURL: "http://berth", TokenKey: []byte("key"), KillGrace: time.Second,
	}, records)
	if err != nil {
		p.w.fail("load", "what was durable cannot be loaded: %v", err)
		return
	}
	p.core = core
	p.post(scheduler.TimerFired{})
	p.subscribe()
}

// subscribe opens a subscription, again and again.
func (p *process) subscribe() {
	if p.dead || p.stream != "" {
		return
	}
	if p.paused {
		p.w.after(time.Second, p.subscribe)
		return
	}
	if p.w.leader != p {
		// The driver belongs to the term of leadership, and ends with it.
		p.stepDown("it leads no more")
		return
	}
	id := p.core.FrameworkID()
	if id == "" && p.w.store.framework.ID != "" {
		p.w.fail("framework id", "process %d subscribes anew although %s is durable", p.n, p.w.store.framework.ID)
	}
	info := &mesos.FrameworkInfo{Roles: p.w.shape.roles}
	if id != "" {
		info.ID = &mesos.FrameworkID{Value: id}
	}
	stream, err := p.w.model.Subscribe(info)
	if err != nil {
		p.w.after(between(p.w.chance, 300*time.Millisecond, 3*time.Second), p.subscribe)
		return
	}
	p.stream = stream
	p.w.net.streams[stream] = p
}

// post gives the core an event; it waits while the process is stopped or its
// queue of decisions is full.
func (p *process) post(ev scheduler.Event) {
	if p.dead {
		return
	}
	if len(p.inbox) > 0 || p.paused || p.core == nil || len(p.decisions) >= maxDecisions {
		p.inbox = append(p.inbox, ev)
		if len(p.inbox) > 100_000 {
			p.w.fail("bounds", "process %d has %d events waiting", p.n, len(p.inbox))
		}
		return
	}
	p.step(ev)
}

// drain works off what waited.
func (p *process) drain() {
	for len(p.inbox) > 0 && !p.dead && !p.paused && p.core != nil && len(p.decisions) < maxDecisions {
		ev := p.inbox[0]
		p.inbox = p.inbox[1:]
		p.step(ev)
	}
}

func (p *process) step(ev scheduler.Event) {
	w := p.w
	if p.fenced() {
		return
	}
	if s, ok := ev.(subscribed); ok {
		p.loopStream = s.stream
		p.told = w.toldNothing()
		ev = s.Subscribed
	}
	p.told.hears(ev)
	d := p.core.Step(w.now, ev)
	w.result.Steps++
	p.count(&p.steps, maxSteps, "steps")
	if w.keep {
		w.tracef("p%d %s", p.n, describe(ev))
		for _, why := range d.Why {
			w.tracef("p%d   %s", p.n, why)
		}
		for _, e := range d.Published {
			w.tracef("p%d   ! %s %s", p.n, e.Type, e.Message)
		}
	}
	for _, wr := range d.Writes {
		w.sum(string(wr.Key))
		w.sum(string(wr.Value))
	}
	p.setTimer(d.Wake)
	p.decisions = append(p.decisions, decided{d, p.loopStream})
	if p.dies(crashStep) {
		return
	}
	p.commit()
}

// subscribed is a Subscribed with its stream.
type subscribed struct {
	scheduler.Subscribed
	stream string
}

func (p *process) setTimer(at time.Time) {
	p.timer++
	if at.IsZero() {
		return
	}
	n := p.timer
	p.w.queue.add(later(at, p.w.now), func() {
		if p.timer == n {
			p.post(scheduler.TimerFired{})
		}
	})
}

// count bounds what a process does in a minute of virtual time.
func (p *process) count(counter *int, most int, what string) {
	if p.w.now.Sub(p.minute) >= time.Minute {
		p.minute, p.steps, p.sent = p.w.now, 0, 0
	}
	if *counter++; *counter > most {
		p.w.fail("bounds", "process %d: more than %d %s within a minute", p.n, most, what)
	}
}

// commit makes the next group of decisions durable.
func (p *process) commit() {
	if p.committing || p.dead || p.paused || len(p.decisions) == 0 {
		return
	}
	group := p.decisions[:min(len(p.decisions), maxGroup)]
	p.decisions = slices.Clone(p.decisions[len(group):])
	p.committing = true
	writes := writesOf(group)
	if len(writes) == 0 {
		p.durable(group)
		return
	}
	p.write(group, writes, 50*time.Millisecond)
}

func (p *process) write(group []decided, writes []state.Write, pause time.Duration) {
	w := p.w
	if p.crash != nil && p.crash.point == crashCommit {
		// The store may have taken it, and may not.
		if p.crash.n == 0 && w.chance.IntN(2) == 0 {
			w.store.commit(p.epoch, writes, func(error) {})
		}
		if p.dies(crashCommit) {
			return
		}
	}
	w.store.commit(p.epoch, writes, func(err error) {
		switch {
		case p.dead:
		case err == nil:
			p.durable(group)
		case errors.Is(err, state.ErrFenced):
			p.stepDown("a newer leader has written")
		default:
			w.tracef("p%d store: %v", p.n, err)
			w.after(pause, func() {
				if !p.dead {
					p.write(group, writes, min(2*pause, 2*time.Second))
				}
			})
		}
	})
}

// writesOf merges the writes of a group: the last of a key counts.
func writesOf(group []decided) []state.Write {
	last := map[state.Key]int{}
	var all []state.Write
	for _, d := range group {
		for _, wr := range d.Writes {
			last[wr.Key] = len(all)
			all = append(all, wr)
		}
	}
	merged := all[:0]
	for i, wr := range all {
		if last[wr.Key] == i {
			merged = append(merged, wr)
		}
	}
	return merged
}

// durable lets the effects of a group out, in order.
func (p *process) durable(group []decided) {
	if p.paused {
		// Stopped between the answer of the store and the effects.
		p.w.after(time.Second, func() {
			if !p.dead {
				p.durable(group)
			}
		})
		return
	}
	for i, d := range group {
		p.rest = group[i:]
		if p.fenced() || p.dies(crashEffects) {
			return
		}
		if !p.effects(d) {
			return
		}
	}
	p.rest, p.committing = nil, false
	p.drain()
	p.commit()
}

// removes says whether what has just been committed with the decision whose effects
// are let out, by it or by a later one, removes a slot's record.
func (p *process) removes(label string) bool {
	return slices.ContainsFunc(p.rest, func(d decided) bool {
		return slices.ContainsFunc(d.Writes, func(wr state.Write) bool {
			return wr.Value == nil && wr.Key.Kind() == state.KindSlot && wr.Key.Name() == label
		})
	})
}

func (p *process) effects(d decided) bool {
	for _, call := range d.Calls {
		if p.dies(crashEffects) {
			return false
		}
		p.count(&p.sent, maxCalls, "calls")
		p.w.checks.leaves(p, d.stream, call)
		if d.stream == p.loopStream {
			p.w.checks.gate(p, call)
		}
		p.w.net.call(p, d.stream, call)
	}
	for _, e := range d.Published {
		if e.ID <= p.events || e.ID>>32 != p.epoch {
			p.w.fail("events", "process %d with epoch %d sends event %d after %d", p.n, p.epoch, e.ID, p.events)
		}
		p.events = e.ID
	}
	for _, q := range d.Elastic {
		p.w.nodes.ask(p, q)
	}
	if d.ObserveAgents && !p.asking {
		p.asking = true
		p.w.net.askAgents(p)
	}
	for _, call := range d.Operate {
		if p.dies(crashEffects) {
			return false
		}
		p.w.checks.touches("the operator API", call.Destroy, call.Unreserve)
		p.w.net.operate(p, call)
	}
	for _, reply := range d.Replies {
		if p.dies(crashEffects) {
			return false
		}
		if r := p.replies[reply.ID]; r != nil {
			delete(p.replies, reply.ID)
			p.w.client.answered(r, reply)
		}
	}
	return true
}

// dies says whether the process ends here, by the plan of a fault.
func (p *process) dies(point crashPoint) bool {
	if p.dead {
		return true
	}
	if p.crash == nil || p.crash.point != point {
		return false
	}
	if p.crash.n--; p.crash.n >= 0 {
		return false
	}
	p.end("crashes " + string(point))
	return true
}

// fenced says whether a process whose lease has ended sees it now.
func (p *process) fenced() bool {
	if p.notices < 0 {
		return p.dead
	}
	if p.notices--; p.notices < 0 {
		p.stepDown("its lease has ended")
	}
	return p.dead
}

func (p *process) stepDown(why string) { p.end("steps down: " + why) }

// end is the end of the process; what it had not made durable is gone.
func (p *process) end(how string) {
	if p.dead {
		return
	}
	w := p.w
	w.tracef("process %d %s", p.n, how)
	p.dead = true
	p.timer++
	p.core, p.inbox, p.decisions = nil, nil, nil
	if p.stream != "" {
		w.model.Unsubscribe(p.stream)
		p.stream = ""
	}
	w.client.lost(p)
	if w.leader == p {
		w.leader = nil
		w.elect(w.shape.sessionTimeout)
	}
}

// pause stops a process as SIGSTOP does; its lease ends meanwhile when the
// pause is long, and another one leads.
func (p *process) pause(d time.Duration) {
	if p.dead || p.paused {
		return
	}
	w := p.w
	w.tracef("process %d is stopped for %v", p.n, d)
	p.paused = true
	if w.leader == p && d > w.shape.sessionTimeout {
		w.after(w.shape.sessionTimeout, func() {
			if w.leader == p {
				w.tracef("process %d: its session has ended", p.n)
				w.leader = nil
				w.elect(0)
				w.client.astray(p, source(w.seed, 100+uint64(p.n)))
			}
		})
	}
	w.after(d, p.resume)
}

func (p *process) resume() {
	if p.dead || !p.paused {
		return
	}
	w := p.w
	w.tracef("process %d goes on", p.n)
	p.paused = false
	if w.leader != p {
		// It has a few more steps before it looks at its clock.
		p.notices = w.chance.IntN(8)
	}
	p.drain()
	p.commit()
}

// ask hands a user's request to the core.
func (p *process) ask(r *request, ev func(scheduler.ReplyID) scheduler.Event) {
	p.reply++
	p.replies[p.reply] = r
	p.post(ev(p.reply))
}

func describe(ev scheduler.Event) string {
	switch e := ev.(type) {
	case scheduler.TaskUpdated:
		s := e.Status
		healthy := "?"
		if s.Healthy != nil {
			healthy = fmt.Sprint(*s.Healthy)
		}
		reason := "no reason"
		if s.Reason != nil {
			reason = s.GetReason().String()
		}
		return fmt.Sprintf("task %s is %s (healthy %s, %s, uuid %t): %s", s.TaskID.Value, s.GetState(), healthy, reason, len(s.UUID) > 0, s.GetMessage())
	case scheduler.OperationUpdated:
		return fmt.Sprintf("operation %s is %s: %s", e.Status.GetOperationID().GetValue(), e.Status.State, e.Status.GetMessage())
	case scheduler.OffersReceived:
		text := "offers"
		for _, o := range e.Offers {
			text += " " + o.ID.Value + " of " + o.AgentID.Value
		}
		return text
	case scheduler.CallFailed:
		return fmt.Sprintf("call %s failed: %s", e.Call.Type, e.Err)
	case scheduler.AgentsObserved:
		return fmt.Sprintf("%d agents observed", len(e.Agents))
	case scheduler.ElasticObserved:
		return fmt.Sprintf("observed %s: %s %d nodes %s", e.Cluster, e.Observation.Health, len(e.Observation.Nodes), e.Err)
	case scheduler.SpecPut:
		return "PUT " + e.Cluster.Name
	case scheduler.SpecDeleted:
		return "DELETE " + e.Name
	default:
		return fmt.Sprintf("%T", ev)
	}
}

func callText(c *sched.Call) string {
	switch c.Type {
	case sched.Call_ACCEPT:
		text := "ACCEPT"
		for _, op := range c.GetAccept().Operations {
			text += " " + op.Type.String() + " " + op.GetID().GetValue()
			for _, t := range op.GetLaunch().GetTaskInfos() {
				text += t.TaskID.Value
			}
		}
		return text
	case sched.Call_KILL:
		return "KILL " + c.GetKill().TaskID.Value
	case sched.Call_ACKNOWLEDGE:
		return "ACKNOWLEDGE " + c.GetAcknowledge().TaskID.Value
	}
	return c.Type.String()
}
