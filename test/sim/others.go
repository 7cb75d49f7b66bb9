package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/test/mesosmodel"
)

// others are other frameworks and operators in the scheduler's role: they reserve
// and make volumes there, under their own principal or with a label like one of
// Berth's that no record explains. And the person who has orphans repaired.
type others struct {
	w   *World
	seq int
	// theirs are what others hold under another principal, by machine and label:
	// nobody else may touch it. orphans are labels like Berth's.
	theirs  map[string]*theirs
	orphans map[string]bool
	// asked are the numbers of requests to approve and to take a repair back.
	approved, cancelled map[string]int
}

type theirs struct {
	on *mesosmodel.Machine
	rs []mesos.Resource
}

func newOthers(w *World) *others {
	return &others{w: w, theirs: map[string]*theirs{}, orphans: map[string]bool{}, approved: map[string]int{}, cancelled: map[string]int{}}
}

// their principal is nobody's that Berth knows.
const (
	theirPrincipal = "ops"
	theirPrefix    = "theirs-"
)

// reserve has somebody reserve a little on a machine.
func (o *others) reserve(r *rand.Rand) {
	h := o.machine(r)
	o.seq++
	label, owner := fmt.Sprintf("%s%d", theirPrefix, o.seq), theirPrincipal
	if r.IntN(2) == 0 {
		label, owner = fmt.Sprintf("old-data-%d.%d", r.IntN(3), 1_000_000+o.seq), principal
	}
	role := o.w.shape.roles[r.IntN(len(o.w.shape.roles))]
	key := "berth.slot"
	stack := []mesos.Resource_ReservationInfo{{
		Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: &role, Principal: &owner,
		Labels: &mesos.Labels{Labels: []mesos.Label{{Key: key, Value: &label}}},
	}}
	scalar := func(name string, v float64) mesos.Resource {
		return mesos.Resource{Name: name, Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}, Reservations: stack}
	}
	rs := []mesos.Resource{scalar("cpus", 0.1)}
	if r.IntN(2) == 0 {
		v := scalar("disk", 16)
		v.Disk = &mesos.Resource_DiskInfo{
			Persistence: &mesos.Resource_DiskInfo_Persistence{ID: label, Principal: &owner},
			Volume:      &mesos.Volume{ContainerPath: "data", Mode: mesos.RW.Enum()},
		}
		rs = append(rs, v)
	}
	if !o.w.model.Others(h, rs) {
		return
	}
	o.w.detail("%s: %s of %s", h, label, owner)
	if owner == principal {
		o.orphans[label] = true
	} else {
		o.theirs[label] = &theirs{on: h, rs: rs}
	}
}

// leave has somebody give back what is theirs.
func (o *others) leave(r *rand.Rand) {
	if len(o.theirs) == 0 {
		return
	}
	labels := sorted(o.theirs)
	label := labels[r.IntN(len(labels))]
	if x := o.theirs[label]; o.w.model.OthersLeave(x.on, x.rs) {
		o.w.detail("%s: %s", x.on, label)
		delete(o.theirs, label)
	}
}

// made: the label is of others' making, not of a slot.
func (o *others) made(label string) bool {
	return o.orphans[label] || strings.HasPrefix(label, theirPrefix)
}

func (o *others) machine(r *rand.Rand) *mesosmodel.Machine {
	all := o.w.model.Machines()
	return all[r.IntN(len(all))]
}

// repair has a person plan what to do about orphans, and approve it; now and then it
// is taken back.
func (o *others) repair(r *rand.Rand) {
	var named []string
	for _, v := range o.found() {
		if r.IntN(3) > 0 {
			named = append(named, v)
		}
	}
	retention := time.Duration(r.Int64N(int64(3 * time.Minute)))
	undo, forget := r.IntN(4) == 0, r.IntN(4) == 0
	o.plan(named, retention, func(id, fingerprint string) {
		if forget {
			return // a plan that nobody approves
		}
		o.approve(id, fingerprint)
		if undo {
			o.w.after(between(r, 0, 2*time.Minute), func() { o.cancel(id) })
		}
	})
}

// found are the orphans of others' making that the leader's ledger shows.
func (o *others) found() []string {
	p := o.w.leader
	if p == nil || p.core == nil {
		return nil
	}
	var ids []string
	for _, v := range p.core.Volumes(o.w.now, scheduler.VolumeFilter{Classes: []string{"orphan"}}).Volumes {
		if o.orphans[v.ID] && v.Repair == "" {
			ids = append(ids, v.Finding)
		}
	}
	return ids
}

func (o *others) plan(findings []string, retention time.Duration, then func(id, fingerprint string)) {
	if len(findings) == 0 {
		return
	}
	req := &request{kind: reqRepair, name: "a repair", then: func(reply scheduler.Reply) {
		if reply.Problem != nil {
			return
		}
		id := reply.Accepted.Name
		rec, ok := o.w.store.repairs[id]
		if !ok {
			o.w.fail("durable reply", "the plan %s is acknowledged and not durable", id)
			return
		}
		then(id, rec.Fingerprint)
	}}
	o.w.client.ask(req, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.RepairAsked{Reply: id, Findings: findings, Retention: &retention, User: "somebody"}
	})
}

func (o *others) approve(repair, fingerprint string) {
	req := &request{kind: reqRepair, name: repair, then: func(reply scheduler.Reply) {
		if rec, ok := o.w.store.repairs[repair]; ok && reply.Problem == nil && rec.Approved == nil {
			o.w.fail("durable reply", "the approval of %s is acknowledged and not durable", repair)
		}
	}}
	o.w.client.ask(req, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.RepairApproved{Reply: id, ID: repair, Fingerprint: fingerprint, User: "somebody"}
	})
	o.approved[repair] = o.w.client.seq
}

func (o *others) cancel(repair string) {
	req := &request{kind: reqRepair, name: repair, then: func(reply scheduler.Reply) {
		rec, ok := o.w.store.repairs[repair]
		if !ok || reply.Problem != nil {
			return
		}
		o.cancelled[repair] = o.w.client.seq
		for i := range rec.Steps {
			if st := rec.Steps[i].State; st == state.StepKept || st == state.StepReady || st == state.StepPlanned {
				o.w.fail("durable reply", "%s is acknowledged as taken back, its step %d is still %s", repair, i+1, st)
			}
		}
	}}
	o.w.client.ask(req, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.RepairCancelled{Reply: id, ID: repair, User: "somebody"}
	})
}

// tidy has every orphan repaired, again and again, once the faults are over.
func (o *others) tidy() {
	o.plan(o.found(), 0, o.approve)
	o.w.after(2*time.Minute, o.tidy)
}

// touches checks what a process frees: never what is others', and what no slot's
// record explains only by a step that is durable, that a person approved, and whose
// retention is over.
func (c *checks) touches(what string, destroy, unreserve []mesos.Resource) {
	for _, r := range slices.Concat(destroy, unreserve) {
		top := &r.Reservations[len(r.Reservations)-1]
		label := slotLabel(&r)
		if top.GetPrincipal() != principal {
			c.w.fail("foreign", "%s touches %s of principal %s under label %q", what, r.Name, top.GetPrincipal(), label)
			return
		}
		if c.w.others.orphans[label] {
			c.approved(what, label, false)
		}
	}
}

// approved: a repair names the label, is durable and approved, has sent that step,
// and kept it for its retention; carriedOut is asked when the agent does it.
func (c *checks) approved(what, label string, carriedOut bool) {
	why := "no repair names it"
	for _, id := range slices.Sorted(maps.Keys(c.w.store.repairs)) {
		rec := c.w.store.repairs[id]
		for i := range rec.Steps {
			st := &rec.Steps[i]
			switch {
			case st.Label != label:
			case rec.Approved == nil || c.w.others.approved[id] == 0:
				why = id + " was not approved"
			case st.State != state.StepSent && !(carriedOut && st.State == state.StepDone):
				// The master's view shows what the agent may carry out only later.
				why = fmt.Sprintf("step %d of %s is %s on record", i+1, id, st.State)
			case st.Action == state.RepairDestroy && rec.Approved.At.Add(rec.Retention).After(c.w.now):
				why = fmt.Sprintf("step %d of %s is to be kept until %v", i+1, id, rec.Approved.At.Add(rec.Retention))
			default:
				return
			}
		}
	}
	c.w.fail("unapproved repair", "%s of %q, which no record of a slot explains: %s", what, label, why)
}

// othersLeft lists what should not be as it is once the faults are over: what is
// others' and not there any more, and orphans that nobody has repaired.
func (c *checks) othersLeft(say func(string, ...any)) {
	for _, label := range sorted(c.w.others.theirs) {
		x := c.w.others.theirs[label]
		if heldOn(x.on)[label] == nil {
			say("%s of others is not on %s any more, and they did not remove it", label, x.on)
		}
	}
	for _, id := range sorted(c.w.store.repairs) {
		rec := c.w.store.repairs[id]
		for i := range rec.Steps {
			if st := &rec.Steps[i]; rec.Approved != nil && !st.State.Ended() && !c.w.model.Gone(st.AgentID) {
				say("step %d of %s is still %s: %s", i+1, id, st.State, st.Message)
			}
		}
	}
	for _, h := range c.w.model.Machines() {
		if c.w.model.Gone(h.AgentID()) {
			continue
		}
		for _, label := range sorted(heldOn(h)) {
			if c.w.others.orphans[label] {
				say("orphan %s is still on %s", label, h)
			}
		}
	}
}
