package sim

import (
	"math/rand/v2"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/state"
)

// told is what a process was told since its subscription began: what it may do
// that cannot be undone is judged by this, and by what is durable.
type told struct {
	// before are the tasks that may have run when it began.
	before map[string]bool
	tasks  map[string]bool
}

func (w *World) toldNothing() told {
	t := told{before: map[string]bool{}, tasks: map[string]bool{}}
	for _, s := range w.store.slots {
		if s.Task != nil && s.Task.State != state.TaskEnded {
			t.before[s.Task.ID] = true
		}
	}
	return t
}

// hears notes what an event tells.
func (t *told) hears(ev scheduler.Event) {
	if e, ok := ev.(scheduler.TaskUpdated); ok && t.tasks != nil {
		t.tasks[e.Status.TaskID.Value] = true
	}
}

// awaits says whether nothing was told yet of a slot's newest task, which may run.
func (t *told) awaits(s state.Slot) bool {
	return s.Task != nil && s.Task.State != state.TaskEnded && t.before[s.Task.ID] && !t.tasks[s.Task.ID]
}

// awaited is such a task; of one owner, or of any.
func (c *checks) awaited(p *process, of *owner) string {
	for _, id := range sorted(p.told.before) {
		s, ok := c.w.store.slots[labelOf(id)]
		if ok && p.told.awaits(s) && (of == nil || *of == owner{s.Owner, s.OwnerIncarnation}) {
			return s.Task.ID
		}
	}
	return ""
}

// gate: until a subscription has told what became of the tasks, none is killed,
// no volume destroyed, and no node given a new place.
func (c *checks) gate(p *process, call *sched.Call) {
	switch call.Type {
	case sched.Call_KILL:
		id := call.GetKill().TaskID.Value
		s, ok := c.w.store.slots[labelOf(id)]
		switch {
		case !p.told.tasks[id]:
			c.w.fail("recovery gate", "%s is killed before the subscription told of it", id)
		case ok && p.told.awaits(s):
			c.w.fail("recovery gate", "%s, a former life, is killed before the subscription told of %s", id, s.Task.ID)
		}
	case sched.Call_ACCEPT:
		ops := call.GetAccept().Operations
		reserved := map[string]bool{}
		for i := range ops {
			for _, r := range ops[i].GetReserve().GetResources() {
				reserved[slotLabel(&r)] = true
			}
			for _, v := range ops[i].GetDestroy().GetVolumes() {
				if id := c.awaited(p, nil); id != "" {
					c.w.fail("recovery gate", "volume %s is destroyed before the subscription told of %s", v.Disk.Persistence.ID, id)
				}
			}
			c.newPlaces(p, &ops[i], reserved)
		}
	}
}

// newPlaces: a volume that is made together with its reservation is a new place.
func (c *checks) newPlaces(p *process, op *mesos.Offer_Operation, reserved map[string]bool) {
	for _, v := range op.GetCreate().GetVolumes() {
		s, ok := c.w.store.slots[v.Disk.Persistence.ID]
		if !ok || !reserved[s.ID] {
			continue
		}
		if id := c.awaited(p, &owner{s.Owner, s.OwnerIncarnation}); id != "" {
			c.w.fail("recovery gate", "%s is given a new place before the subscription told of %s", s.ID, id)
		}
	}
}

// unknown orders one of the unknown tasks killed, and now and then takes that back.
func (c *client) unknown(r *rand.Rand) {
	p := c.w.leader
	if p == nil || p.core == nil {
		return
	}
	list := p.core.UnknownTasks().Tasks
	if len(list) == 0 {
		return
	}
	id := list[r.IntN(len(list))].TaskID
	req := &request{kind: reqKill, name: id}
	c.ask(req, func(reply scheduler.ReplyID) scheduler.Event {
		return scheduler.TaskKillOrdered{Reply: reply, TaskID: id, User: "somebody"}
	})
	c.kills[id] = req.seq
	if r.IntN(3) > 0 {
		return
	}
	c.w.after(between(r, time.Millisecond, 2*time.Minute), func() {
		back := &request{kind: reqSpare, name: id}
		c.ask(back, func(reply scheduler.ReplyID) scheduler.Event {
			return scheduler.TaskKillWithdrawn{Reply: reply, TaskID: id, User: "somebody"}
		})
		c.spared[id] = back.seq
	})
}

// killAnswered: an order, and taking it back, is durable before its answer.
func (c *client) killAnswered(r *request, reply scheduler.Reply) {
	if reply.Problem != nil {
		return
	}
	_, durable := c.w.store.kills[r.name]
	switch {
	case r.kind == reqKill && !durable && c.spared[r.name] < r.seq && c.w.model.Runs(r.name):
		c.w.fail("durable reply", "the order to kill %s is acknowledged and not durable", r.name)
	case r.kind == reqSpare && c.kills[r.name] < r.seq:
		delete(c.kills, r.name)
		if durable {
			c.w.fail("durable reply", "%s is acknowledged as spared, the order to kill it is still durable", r.name)
		}
	}
}
