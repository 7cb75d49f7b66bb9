package sim

import (
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/test/mesosmodel"
)

// network carries calls, events and questions between processes and the
// master, and loses, repeats and delays them when a fault says so.
type network struct {
	w       *World
	streams map[string]*process
	// sent and received keep each subscription's messages in order.
	sent, received map[string]time.Time

	jitterUntil, lossUntil, lateUntil, blindUntil time.Time
	// dropNext: the next call is lost.
	dropNext bool
}

// heal ends every trouble.
func (n *network) heal() {
	n.jitterUntil, n.lossUntil, n.lateUntil, n.blindUntil = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	n.dropNext = false
}

func newNetwork(w *World) *network {
	return &network{w: w, streams: map[string]*process{}, sent: map[string]time.Time{}, received: map[string]time.Time{}}
}

func (n *network) latency() time.Duration {
	return between(n.w.chance, time.Millisecond, 30*time.Millisecond)
}

// deliver takes what the master has said since the last time.
func (n *network) deliver() {
	for _, d := range n.w.model.Take() {
		p := n.streams[d.Stream]
		if p == nil || p.dead {
			continue
		}
		switch {
		case d.Event == nil:
		case d.Event.Type == sched.Event_UPDATE:
			n.w.meet(onStatus, d.Event.GetUpdate().Status.GetAgentID().GetValue())
		case d.Event.Type == sched.Event_UPDATE_OPERATION_STATUS:
			n.w.meet(onOperation, d.Event.GetUpdateOperationStatus().Status.GetAgentID().GetValue())
		}
		at := n.w.now.Add(n.latency())
		if d.Event != nil && d.Event.Type != sched.Event_SUBSCRIBED && n.w.now.Before(n.jitterUntil) {
			// Late, out of order, and now and then twice.
			if n.w.chance.IntN(4) == 0 && d.Event.Type == sched.Event_UPDATE {
				n.w.queue.add(at.Add(between(n.w.chance, 0, 20*time.Second)), func() { n.receive(p, d) })
			}
			at = at.Add(between(n.w.chance, 0, 3*time.Second))
			at = later(at, n.received[d.Stream])
			n.w.queue.add(at, func() { n.receive(p, d) })
			continue
		}
		at = later(at, n.received[d.Stream])
		n.w.queue.add(at, func() { n.receive(p, d) })
		n.received[d.Stream] = at
	}
}

// receive is the driver's handler.
func (n *network) receive(p *process, d mesosmodel.Delivery) {
	if p.dead || p.stream != d.Stream {
		return
	}
	if d.Closed != "" {
		p.stream = ""
		p.post(scheduler.Disconnected{Reason: d.Closed})
		n.w.after(between(n.w.chance, 100*time.Millisecond, 3*time.Second), p.subscribe)
		return
	}
	switch e := d.Event; e.Type {
	case sched.Event_SUBSCRIBED:
		p.post(subscribed{scheduler.Subscribed{FrameworkID: e.GetSubscribed().GetFrameworkID().Value}, d.Stream})
	case sched.Event_OFFERS:
		p.post(scheduler.OffersReceived{Offers: e.GetOffers().GetOffers()})
	case sched.Event_RESCIND:
		p.post(scheduler.OfferRescinded{OfferID: e.GetRescind().GetOfferID().Value})
	case sched.Event_INVERSE_OFFERS:
		p.post(scheduler.InverseOffersReceived{Offers: e.GetInverseOffers().GetInverseOffers()})
	case sched.Event_UPDATE:
		p.post(scheduler.TaskUpdated{Status: e.GetUpdate().GetStatus()})
	case sched.Event_UPDATE_OPERATION_STATUS:
		p.post(scheduler.OperationUpdated{Status: e.GetUpdateOperationStatus().GetStatus()})
	case sched.Event_FAILURE:
		f := e.GetFailure()
		if f.ExecutorID != nil {
			p.post(scheduler.ExecutorFailed{AgentID: f.GetAgentID().GetValue(), ExecutorID: f.ExecutorID.Value, Status: f.GetStatus()})
			return
		}
		p.post(scheduler.AgentFailed{AgentID: f.GetAgentID().GetValue()})
	case sched.Event_ERROR:
		if p.paused {
			p.notices = 0
			return
		}
		p.stepDown("ERROR: " + e.GetError().GetMessage())
	}
}

// call sends one call. What surely or possibly did not arrive comes back as
// CallFailed; some is lost without a word, since 202 means no more than received
// (Mesos rule 6). Answers to offers are never lost in silence: a master that
// loses one has failed, and its offers with it.
func (n *network) call(p *process, stream string, c *sched.Call) {
	w := n.w
	w.sum(callText(c))
	w.tracef("p%d → %s", p.n, callText(c))
	failed := func(why string) {
		w.after(n.latency(), func() { p.post(scheduler.CallFailed{Call: c, Err: why}) })
	}
	if stream != p.stream || stream == "" {
		failed("not subscribed")
		return
	}
	for _, m := range momentsOf(c) {
		w.meet(m, n.agentOf(c))
	}
	lost, told := n.dropNext, false
	n.dropNext = false
	if lost && (c.Type == sched.Call_ACCEPT || c.Type == sched.Call_DECLINE) {
		w.model.FailMaster() // it had said 202 before it failed
	} else if !lost && w.now.Before(n.lossUntil) {
		switch w.chance.IntN(6) {
		case 0:
			lost, told = true, c.Type == sched.Call_ACCEPT || c.Type == sched.Call_DECLINE
		case 1:
			lost, told = true, true
		case 2:
			told = true
		}
	}
	if told {
		failed("no answer")
	}
	if lost {
		w.tracef("p%d   %s is lost (told: %t)", p.n, c.Type, told)
		return
	}
	at := w.now.Add(n.latency())
	if w.now.Before(n.lateUntil) {
		at = at.Add(between(w.chance, 0, 8*time.Second))
	}
	at = later(at, n.sent[stream])
	n.sent[stream] = at
	w.queue.add(at, func() {
		if err := w.model.Call(stream, c); err != nil && !told {
			failed(err.Error())
		}
	})
}

// momentsOf is what a call does, for items that wait for it.
func momentsOf(c *sched.Call) []moment {
	switch c.Type {
	case sched.Call_ACCEPT:
		var out []moment
		for i := range c.GetAccept().Operations {
			out = append(out, moment(c.GetAccept().Operations[i].Type.String()))
		}
		return out
	case sched.Call_KILL, sched.Call_ACKNOWLEDGE, sched.Call_RECONCILE:
		return []moment{moment(c.Type.String())}
	}
	return nil
}

// agentOf is the agent that a call is about, "" when it is not about one.
func (n *network) agentOf(c *sched.Call) string {
	switch c.Type {
	case sched.Call_ACCEPT:
		for i := range c.GetAccept().Operations {
			if s, ok := n.w.store.slots[slotOf(&c.GetAccept().Operations[i])]; ok && s.Bind != nil {
				return s.Bind.AgentID
			}
		}
	case sched.Call_KILL:
		return c.GetKill().GetAgentID().GetValue()
	case sched.Call_ACKNOWLEDGE:
		return c.GetAcknowledge().AgentID.Value
	case sched.Call_RECONCILE:
		if tasks := c.GetReconcile().Tasks; len(tasks) > 0 {
			return tasks[0].GetAgentID().GetValue()
		}
	}
	return ""
}

// slotOf is the slot that an operation is for.
func slotOf(op *mesos.Offer_Operation) string {
	for _, r := range slices.Concat(op.GetReserve().GetResources(), op.GetCreate().GetVolumes(), op.GetUnreserve().GetResources(), op.GetDestroy().GetVolumes()) {
		return slotLabel(&r)
	}
	for _, t := range op.GetLaunch().GetTaskInfos() {
		return labelOf(t.TaskID.Value)
	}
	return ""
}

// operate carries a call to the operator API, which may be lost on the way, as its
// answer may.
func (n *network) operate(p *process, call scheduler.OperatorCall) {
	w := n.w
	w.sum(call.ID)
	w.tracef("p%d → operator API %s on %s", p.n, call.ID, call.AgentID)
	w.after(n.latency(), func() {
		lost := w.now.Before(n.blindUntil) && w.chance.IntN(2) == 0
		answer := scheduler.OperatorAnswered{ID: call.ID}
		if lost && w.chance.IntN(2) == 0 {
			answer.Err = "no answer"
		} else if err := w.model.Operate(call.AgentID, call.Destroy, call.Unreserve); err != nil {
			answer.Err = err.Error()
		}
		if lost && w.chance.IntN(2) == 0 {
			return // nobody is told
		}
		w.after(n.latency(), func() { p.post(answer) })
	})
}

// askAgents asks the operator API: the view is of one moment, the answer later.
func (n *network) askAgents(p *process) {
	w := n.w
	asked := w.now
	w.after(n.latency(), func() {
		views, ok := w.model.Agents()
		d := n.latency()
		if w.now.Before(n.blindUntil) {
			ok = ok && w.chance.IntN(2) == 0
			d = between(w.chance, 0, 20*time.Second)
		}
		w.after(d, func() {
			p.asking = false
			if !ok {
				return
			}
			list := make([]scheduler.AgentObservation, len(views))
			for i, v := range views {
				list[i] = scheduler.AgentObservation{
					ID: v.ID, Hostname: v.Machine.Hostname, Address: v.Machine.Address, Attributes: v.Machine.Attributes,
					Registered: v.Registered, Disconnected: v.Disconnected, Active: v.Active, Draining: v.Draining, Total: v.Total, Used: v.Allocated,
				}
			}
			p.post(scheduler.AgentsObserved{AskedAt: asked, Agents: list})
		})
	})
}
