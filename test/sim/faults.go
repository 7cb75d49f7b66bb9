package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"github.com/berthdata/berth/test/mesosmodel"
)

// faults carries items out.
type faults struct {
	w           *World
	rescindTill time.Time
	quota       int
	// armed are items that wait for their moment.
	armed []Item
	// copies counts the hosts with a copy of another's disks.
	copies int
}

// due carries an item out, or has it wait for its moment.
func (w *World) due(it Item) {
	if it.On != "" && !w.quiet {
		w.faults.armed = append(w.faults.armed, it)
		return
	}
	w.do(it, "")
}

// meet says that a moment has come, on an agent. One item that waits for it
// happens: at once, within some messages, or a little later.
func (w *World) meet(m moment, agentID string) {
	f := w.faults
	i := slices.IndexFunc(f.armed, func(it Item) bool { return it.On == m })
	if i < 0 || w.quiet {
		return
	}
	it := f.armed[i]
	f.armed = slices.Delete(f.armed, i, i+1)
	r := source(it.Seed, 8)
	soon := []time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond, 4 * time.Second}[r.IntN(4)]
	if soon == 0 || it.Kind == "call lost" {
		w.do(it, agentID)
		return
	}
	w.after(between(r, 0, soon), func() { w.do(it, agentID) })
}

// do carries out one item, on an agent if it has come to one. What it needs to
// draw, it draws from its own source.
func (w *World) do(it Item, agentID string) {
	if w.quiet {
		return
	}
	w.tracef("ITEM %s", it)
	w.item = it.N
	r := source(it.Seed, 6)
	f := w.faults
	until := w.now.Add(it.For)
	switch it.Kind {
	case "put":
		w.client.put(r)
	case "delete":
		w.client.remove(r)
	case "destroy":
		w.client.volume(reqDestroy, r)
	case "restore":
		w.client.volume(reqRestore, r)
	case "others reserve":
		w.others.reserve(r)
	case "others leave":
		w.others.leave(r)
	case "repair":
		w.others.repair(r)
	case "crash":
		f.crash(r)
	case "pause":
		if w.leader != nil {
			w.leader.pause(time.Second + it.For)
		}
	case "session expires":
		f.expire(r)
	case "call lost":
		w.net.dropNext = true
	case "connection lost":
		w.model.DropConnection()
	case "store slow":
		w.store.slowUntil = until
	case "store away":
		w.store.downUntil = until
	case "store answers lost":
		w.store.lossyUntil = until
	case "calls lost":
		w.net.lossUntil = until
	case "calls late":
		w.net.lateUntil = until
	case "events jitter":
		w.net.jitterUntil = until
	case "operator API away":
		w.net.blindUntil = until
	case "rescind":
		w.model.Rescind(1)
	case "rescind often":
		f.rescindTill = until
		f.rescind()
	case "create refused":
		f.knob(it.For, &w.model.Knobs().RefuseCreate, 0.3+0.7*r.Float64())
	case "reserve refused":
		f.knob(it.For, &w.model.Knobs().RefuseReserve, 0.3+0.7*r.Float64())
	case "messages lost":
		f.knob(it.For, &w.model.Knobs().LoseMessages, 0.8)
	case "quota":
		f.limit(it.For, r)
	case "master fails":
		w.model.FailMaster()
	case "master fails, agents slow":
		w.model.Knobs().Slow = it.For
		w.model.FailMaster()
		w.after(time.Minute, func() { w.model.Knobs().Slow = 0 })
	case "node crashes always":
		f.container(r, "", func(c *mesosmodel.Container) { f.crashLoop(c, it.For) })
	case "node crashes":
		f.container(r, agentID, func(c *mesosmodel.Container) { w.model.Crash(c, "exit code 137") })
	case "executor lost":
		f.container(r, agentID, func(c *mesosmodel.Container) { w.model.LoseExecutor(c, 9) })
	case "Elasticsearch late":
		w.nodes.lateUntil = until
	case "Elasticsearch wrong":
		w.nodes.wrongUntil = until
	case "Elasticsearch mute":
		w.nodes.muteUntil = until
	default:
		f.machine(it, r, agentID)
	}
}

// expire ends the leader's session while the process goes on: another one leads
// at once, and this one sees it a little later.
func (f *faults) expire(r *rand.Rand) {
	p, w := f.w.leader, f.w
	if p == nil {
		return
	}
	w.detail("process %d: its session has ended, it does not know yet", p.n)
	p.notices = r.IntN(12)
	w.leader = nil
	w.elect(0)
	w.client.astray(p, r)
	w.after(between(r, 0, 10*time.Second), func() {
		if !p.paused {
			p.stepDown("its lease has ended")
		}
	})
}

// crash has the leader die at a drawn point.
func (f *faults) crash(r *rand.Rand) {
	if p := f.w.leader; p != nil {
		point := []crashPoint{crashStep, crashCommit, crashEffects, crashEffects}[r.IntN(4)]
		p.crash = &crashPlan{point: point, n: r.IntN(12)}
		f.w.detail("process %d will die %s (after %d more)", p.n, point, p.crash.n)
	}
}

func (f *faults) rescind() {
	if f.w.now.After(f.rescindTill) {
		return
	}
	f.w.model.Rescind(0.5)
	f.w.after(between(f.w.chance, 5*time.Millisecond, 100*time.Millisecond), f.rescind)
}

// knob turns one of the model's knobs for a while.
func (f *faults) knob(d time.Duration, knob *float64, value float64) {
	*knob = value
	f.w.after(d, func() { *knob = 0 })
}

func (f *faults) limit(d time.Duration, r *rand.Rand) {
	f.quota++
	n := f.quota
	limits := map[string]int64{
		"cpus": r.Int64N(10_000), "mem": r.Int64N(16_000_000), "disk": r.Int64N(200_000_000),
	}
	for _, role := range f.w.shape.roles {
		f.w.model.SetQuota(role, limits)
	}
	f.w.after(d, func() {
		if f.quota == n {
			f.unlimit()
		}
	})
}

// unlimit ends every quota.
func (f *faults) unlimit() {
	for _, role := range f.w.shape.roles {
		f.w.model.SetQuota(role, nil)
	}
}

func (f *faults) crashLoop(c *mesosmodel.Container, d time.Duration) {
	name := c.Task.Name
	f.w.nodes.crashing[name] = true
	f.w.model.Crash(c, "exit code 1: a setting is wrong")
	f.w.after(d, func() { delete(f.w.nodes.crashing, name) })
}

// container picks one that runs, on an agent or, with "", on any.
func (f *faults) container(r *rand.Rand, agentID string, do func(*mesosmodel.Container)) {
	var all []*mesosmodel.Container
	for _, h := range f.w.model.Machines() {
		if agentID == "" || h.AgentID() == agentID {
			all = append(all, h.Containers()...)
		}
	}
	if len(all) > 0 {
		c := all[r.IntN(len(all))]
		f.w.detail("to %s on %s", c.ID(), c.Machine)
		do(c)
	}
}

// machine does something to one machine; what lasts is undone after a while.
func (f *faults) machine(it Item, r *rand.Rand, agentID string) {
	m := f.w.model
	all := m.Machines()
	h := all[r.IntN(len(all))]
	if met := m.MachineOf(agentID); met != nil {
		h = met
	}
	id := h.AgentID()
	if m.Gone(id) && it.Kind != "agent declared gone" {
		return
	}
	w := f.w
	w.detail("%s", h)
	switch it.Kind {
	case "agent restarts":
		m.StopAgent(h)
		w.after(it.For, func() { m.StartAgent(h) })
	case "agent slow":
		h.Lag = 100*time.Millisecond + it.For/10
		w.after(it.For, func() { h.Lag = 0 })
	case "disks copied":
		f.copies++
		w.checks.copy(h)
		name := fmt.Sprintf("copy%d", f.copies)
		attributes := h.Attributes // copied with the agent's configuration
		if r.IntN(2) == 0 {
			attributes = []mesos.Attribute{text("rack", "r0"), text("machine", name)}
		}
		m.CopyDisks(h, name, fmt.Sprintf("10.1.0.%d", f.copies), attributes)
	case "agent reboots":
		m.Reboot(h)
		w.after(it.For, func() { m.StartAgent(h) })
	case "agent forgets its id":
		orphans := time.Duration(0)
		if r.IntN(2) == 0 {
			orphans = time.Duration(r.Int64N(int64(2 * time.Minute)))
		}
		m.LoseIdentity(h, orphans)
		w.after(it.For, func() {
			m.NewAgent(h)
			if r.IntN(2) == 0 { // somebody wants a place while the old one's nodes wait for theirs
				w.after(between(r, 0, 3*time.Second), func() { w.client.grow(r) })
			}
		})
	case "agent partitioned":
		m.Partition(h)
		w.after(it.For, func() { m.Rejoin(h) })
	case "agent declared gone":
		// Declaring a machine gone means all the ids that it ever had.
		for _, old := range m.IDsOf(h) {
			m.MarkGone(old)
		}
	case "agent drained":
		m.Drain(id)
		w.after(it.For, func() { m.Reactivate(id) })
	case "strange task":
		m.Stray(h, "")
	case "former life":
		f.former(h, r)
		if r.IntN(2) == 0 {
			w.after(between(r, time.Second, 3*time.Minute), func() { w.client.unknown(r) })
		}
	case "maintenance":
		m.Maintain(h, w.now.Add(time.Duration(r.Int64N(int64(2*time.Hour)))), it.For+time.Second)
		w.after(it.For, func() { m.Maintain(h, time.Time{}, 0) })
	default:
		w.fail("schedule", "%q is no kind of item", it.Kind)
	}
}

// former has a life before the newest of some slot run on a machine, as one that
// was given up for dead.
func (f *faults) former(h *mesosmodel.Machine, r *rand.Rand) {
	var ids []string
	for _, label := range sorted(f.w.store.slots) {
		if s := f.w.store.slots[label]; s.Task != nil && s.Task.Life > 1 {
			ids = append(ids, fmt.Sprintf("%s.%d", label, s.Task.Life-1))
		}
	}
	if len(ids) > 0 {
		id := ids[r.IntN(len(ids))]
		f.w.detail("%s", id)
		f.w.model.Stray(h, id)
	}
}

// heal ends every fault and makes room for everything that is wanted.
func (w *World) heal() {
	w.tracef("FAULTS END")
	w.quiet = true
	m := w.model
	*m.Knobs() = mesosmodel.Knobs{}
	w.store.slowUntil, w.store.downUntil, w.store.lossyUntil = time.Time{}, time.Time{}, time.Time{}
	w.net.heal()
	w.nodes.lateUntil, w.nodes.muteUntil, w.nodes.wrongUntil = time.Time{}, time.Time{}, time.Time{}
	w.faults.rescindTill = time.Time{}
	w.faults.quota++
	w.faults.armed = nil
	w.faults.unlimit()
	clear(w.nodes.crashing)
	for _, p := range w.procs {
		p.crash = nil
		p.resume()
	}
	for _, h := range m.Machines() {
		h.Lag = 0
		m.Reactivate(h.AgentID())
		m.Maintain(h, time.Time{}, 0)
		m.Rejoin(h)
		m.StartAgent(h)
		if !m.Gone(h.AgentID()) {
			m.NewAgent(h)
		}
	}
	// Ids that a machine has dropped stay unreachable until an operator says that
	// they are gone, which is what an operator does.
	w.after(12*time.Minute, func() {
		for _, id := range m.DeadIDs() {
			m.MarkGone(id)
		}
	})
	w.room()
	w.others.tidy()
}

// room adds hosts until there are enough for everything that the specs ask for,
// whatever the hosts of the shape are like. It is called again and again: what was
// asked for in the last moments of the faults is known only later.
func (w *World) room() {
	most := 2
	for _, name := range sorted(w.store.clusters) {
		for _, set := range w.store.clusters[name].Spec.Spec.NodeSets {
			most += set.Count
		}
	}
	if most <= w.spares {
		return
	}
	w.tracef("%d hosts are added", most-w.spares)
	for _, h := range w.shape.spares(most, source(w.seed, 7))[w.spares:] {
		w.model.AddMachine(h.name, h.address, h.attributes, h.resources)
	}
	w.spares = most
}
