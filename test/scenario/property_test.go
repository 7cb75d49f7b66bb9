package scenario

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"pgregory.net/rapid"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/state"
)

// replicas of every cluster here: one node of a cluster a machine.
const replicas = 1

var clusterNames = []string{"logs", "mail"}

// addAgents makes four machines, one of them with two agents.
func addAgents(m *master) {
	for i, host := range []string{"h1", "h1", "h2", "h3", "h4"} {
		id := fmt.Sprintf("a%d", i+1)
		m.agents[id] = &agent{
			id: id, hostname: host, ip: fmt.Sprintf("10.0.0.%d", i+1), connected: true, registered: true,
			total: newLedger(scalar("cpus", 6), scalar("mem", 16384), scalar("disk", 200_000), mesos.Resource{
				Name: "ports", Type: mesos.RANGES.Enum(), Ranges: &mesos.Value_Ranges{Range: []mesos.Value_Range{{Begin: 31000, End: 31020}}},
			}),
		}
	}
}

func scalar(name string, v float64) mesos.Resource {
	return mesos.Resource{Name: name, Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}}
}

// pick draws one of the items for which ok holds, by sorted key.
func pick[T any](t *rapid.T, what string, items map[string]T, ok func(T) bool) (T, bool) {
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(items)) {
		if ok(items[k]) {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		var none T
		return none, false
	}
	return items[rapid.SampledFrom(keys).Draw(t, what)], true
}

// TestEverythingInAnyOrder: whatever happens in whatever order, the checkers of
// check_test.go hold after each step, and once the faults stop everything is as
// it is wanted within a bounded number of steps.
func TestEverythingInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		addAgents(w.m)
		w.subscribe()
		w.step(scheduler.SpecPut{Reply: w.nextReply(), Cluster: spec("logs", 2, replicas)})
		for range rapid.IntRange(1, 4).Draw(t, "long") {
			t.Repeat(w.happenings())
		}
		w.calm()
		w.converge()
	})
}

func (w *world) happenings() map[string]func(*rapid.T) {
	reachable := func(a *agent) bool { return a.connected && a.registered }
	some := func(f func(*rapid.T)) func(*rapid.T) {
		return func(t *rapid.T) {
			w.t = t
			f(t)
		}
	}
	// What is ordinary is drawn more often than what is not.
	goOn := some(func(t *rapid.T) {
		for range rapid.IntRange(1, 12).Draw(t, "events") {
			w.deliver(0)
		}
	})
	anyOrder := some(func(t *rapid.T) {
		w.deliver(rapid.IntRange(0, 30).Draw(t, "which"))
	})
	offers := some(func(t *rapid.T) {
		split := rapid.Bool().Draw(t, "split")
		w.m.allocate(func() bool { return split })
		w.deliver(max(0, len(w.m.out)-1)) // the newest
	})
	progress := some(func(t *rapid.T) {
		if task, ok := pick(t, "task", w.m.tasks, func(x *task) bool { return live(x.state) && x.arrived && !x.healthy }); ok {
			w.progress(task)
		}
	})
	wait := some(func(t *rapid.T) {
		w.advance(time.Duration(rapid.IntRange(1, 40_000).Draw(t, "ms")) * time.Millisecond)
	})
	return map[string]func(*rapid.T){
		"events": goOn, "more events": goOn, "an event": anyOrder, "another event": anyOrder, "offers": offers, "more offers": offers,
		"progress": progress, "more progress": progress, "wait": wait, "wait more": wait,
		"view of the agents": some(func(t *rapid.T) {
			if len(w.views) > 0 {
				i := rapid.IntRange(0, len(w.views)-1).Draw(t, "which")
				view := w.views[i]
				w.views = slices.Delete(w.views, i, i+1)
				w.step(view)
			}
		}),
		"Elasticsearch answers": some(func(*rapid.T) {
			if len(w.questions) > 0 {
				q := w.questions[0]
				w.questions = w.questions[1:]
				w.answer(q)
			}
		}),
		"failure of a call is told": some(func(*rapid.T) {
			if len(w.failed) > 0 {
				ev := w.failed[0]
				w.failed = w.failed[1:]
				w.step(ev)
			}
		}),
		"task ends": some(func(t *rapid.T) {
			task, ok := pick(t, "task", w.m.tasks, func(x *task) bool { return live(x.state) && x.arrived })
			if ok {
				task.lingers = rapid.Bool().Draw(t, "executor lingers")
				w.m.update(task, rapid.SampledFrom([]mesos.TaskState{mesos.TASK_FAILED, mesos.TASK_FINISHED}).Draw(t, "how"), false, "ended")
			}
		}),
		"executors end":          some(func(*rapid.T) { w.endExecutors() }),
		"updates are sent again": some(func(*rapid.T) { w.m.resend() }),
		"partition": some(func(t *rapid.T) {
			if a, ok := pick(t, "agent", w.m.agents, reachable); ok {
				w.m.partition(a)
			}
		}),
		"the master notices": some(func(t *rapid.T) {
			if a, ok := pick(t, "agent", w.m.agents, func(a *agent) bool { return !a.connected && a.registered }); ok {
				w.m.remove(a)
			}
		}),
		"agent comes back": some(func(t *rapid.T) {
			if a, ok := pick(t, "agent", w.m.agents, func(a *agent) bool { return !a.gone && !reachable(a) && !a.total.empty() }); ok {
				w.m.comeBack(a)
			}
		}),
		"agent comes back under a new id": some(func(t *rapid.T) {
			if a, ok := pick(t, "agent", w.m.agents, func(a *agent) bool { return !a.connected && !a.gone && !a.total.empty() }); ok {
				w.m.rename(a, fmt.Sprintf("%s'", a.id))
			}
		}),
		"an operator gives an agent up": some(func(t *rapid.T) {
			for _, a := range w.m.agents {
				if a.gone {
					return // more would leave too few machines to get done
				}
			}
			if a, ok := pick(t, "agent", w.m.agents, func(a *agent) bool { return !a.total.empty() }); ok && rapid.IntRange(0, 3).Draw(t, "rarely") == 0 {
				w.m.declareGone(a)
			}
		}),
		"master fails over": some(func(t *rapid.T) {
			if w.m.subscribed && rapid.Bool().Draw(t, "sometimes") {
				w.disconnect()
			}
		}),
		"subscribe": some(func(*rapid.T) { w.subscribe() }),
		"leader crashes": some(func(t *rapid.T) {
			w.crash = crashPoint(rapid.IntRange(1, 3).Draw(t, "where"))
		}),
		"calls get lost": some(func(t *rapid.T) {
			if rapid.Bool().Draw(t, "silently") {
				w.losing = rapid.IntRange(1, 3).Draw(t, "calls")
			} else {
				w.failing = rapid.IntRange(1, 3).Draw(t, "calls")
			}
		}),
		"calls are slow": some(func(*rapid.T) { w.slow = w.m.subscribed }),
		"calls arrive":   some(func(*rapid.T) { w.flush() }),
		"the master takes its time": some(func(t *rapid.T) {
			w.m.arrive()
			w.m.slow = rapid.Bool().Draw(t, "slow")
		}),
		"a while goes by": some(func(t *rapid.T) {
			blind := rapid.Bool().Draw(t, "without views of the agents")
			for range rapid.IntRange(1, 20).Draw(t, "rounds") {
				w.goOn(blind)
			}
		}),
		"agents refuse": some(func(t *rapid.T) {
			verb := rapid.SampledFrom([]string{"", "RESERVE", "CREATE", "DESTROY", "UNRESERVE"}).Draw(t, "verb")
			w.m.refuse = func(v string) bool { return v == verb }
		}),
		"put": some(func(t *rapid.T) {
			name := rapid.SampledFrom(clusterNames).Draw(t, "cluster")
			w.step(scheduler.SpecPut{Reply: w.nextReply(), Cluster: spec(name, rapid.IntRange(1, 3).Draw(t, "nodes"), replicas)})
		}),
		"delete": some(func(t *rapid.T) {
			retain := time.Duration(rapid.IntRange(0, 100).Draw(t, "retain")) * time.Second
			w.step(scheduler.SpecDeleted{Reply: w.nextReply(), Name: rapid.SampledFrom(clusterNames).Draw(t, "cluster"), RetainFor: retain})
		}),
		"replace a node":      some(func(t *rapid.T) { w.replace(t) }),
		"replace a lost node": some(func(t *rapid.T) { w.replaceLost(t) }),
		"destroy or restore": some(func(t *rapid.T) {
			all := w.slots()
			if len(all) == 0 {
				return
			}
			id := rapid.SampledFrom(slices.Sorted(maps.Keys(all))).Draw(t, "volume")
			if rapid.IntRange(0, 2).Draw(t, "which") == 0 {
				w.step(scheduler.VolumeRestored{Reply: w.nextReply(), ID: id})
			} else {
				w.step(scheduler.VolumeDestroyOrdered{Reply: w.nextReply(), ID: id})
			}
		}),
	}
}

// replace orders any node replaced, or takes that back.
func (w *world) replace(t *rapid.T) {
	if s, ok := pick(t, "node", w.slots(), func(state.Slot) bool { return true }); ok {
		w.step(scheduler.NodeReplaceOrdered{Reply: w.nextReply(), Cluster: s.Owner, Node: s.Name})
		if rapid.IntRange(0, 3).Draw(t, "takes it back") == 0 {
			w.step(scheduler.NodeReplaceCancelled{Reply: w.nextReply(), Cluster: s.Owner, Node: s.Name})
		}
	}
}

// replaceLost cuts a machine off for as long as it takes to be allowed to replace its
// node, and does it; what comes back does so with everything else.
func (w *world) replaceLost(t *rapid.T) {
	s, ok := pick(t, "lost", w.slots(), func(s state.Slot) bool { return s.Want == state.WantRun && s.Bind != nil })
	if !ok {
		return
	}
	a := w.m.agents[s.Bind.AgentID]
	if a == nil || !a.connected || !a.registered {
		return
	}
	w.m.partition(a)
	w.m.remove(a)
	for range rapid.IntRange(1, 60).Draw(t, "rounds") {
		w.goOn(false)
	}
	w.step(scheduler.NodeReplaceOrdered{Reply: w.nextReply(), Cluster: s.Owner, Node: s.Name})
	for range rapid.IntRange(0, 10).Draw(t, "rounds after") {
		w.goOn(false)
	}
}

func (w *world) endExecutors() {
	for _, t := range w.m.tasks {
		t.lingers = false
	}
}

// calm ends all faults: whoever can come back does, and nothing gets lost.
func (w *world) calm() {
	w.note("calm")
	w.crash, w.losing, w.failing = noCrash, 0, 0
	w.m.refuse = func(string) bool { return false }
	if w.broken && w.m.subscribed {
		w.disconnect()
	}
	w.flush()
	w.m.arrive()
	w.m.slow = false
	w.subscribe()
	for _, id := range slices.Sorted(maps.Keys(w.m.agents)) {
		if a := w.m.agents[id]; !a.gone && !a.total.empty() && !(a.connected && a.registered) {
			w.m.comeBack(a)
		}
	}
}

// The bounds of converging: the longest waits are avoidFor (10 min) after
// refused CREATEs, the back-off (5 min) and the round of reconciliation (15 min).
const (
	calmTime  = 45 * time.Minute
	calmSteps = 20_000
)

func (w *world) converge() {
	until := w.now.Add(calmTime)
	stable := 0
	for step := 0; ; step++ {
		missing := w.unfinished()
		if missing == "" {
			// It must stay so.
			if stable++; stable > 50 {
				return
			}
		} else if stable = 0; w.now.After(until) || step > calmSteps {
			w.fatal("after %s and %d steps: %s", calmTime, step, missing)
		}
		if w.now.After(until.Add(-calmTime / 2)) {
			w.giveUpOldIDs()
		}
		w.endExecutors()
		w.goOn(false)
	}
}

// giveUpOldIDs is an operator who cleans up: agent ids whose machines have come
// back under others never come back. What was under way to them is known by that.
func (w *world) giveUpOldIDs() {
	for _, id := range slices.Sorted(maps.Keys(w.m.agents)) {
		if a := w.m.agents[id]; !a.gone && !a.registered && a.total.empty() {
			w.m.declareGone(a)
		}
	}
}

// goOn is one round of a world without new faults; blind: the operator API does
// not answer yet.
func (w *world) goOn(blind bool) {
	for _, id := range slices.Sorted(maps.Keys(w.m.tasks)) {
		if t := w.m.tasks[id]; live(t.state) && t.arrived {
			w.progress(t)
		}
	}
	w.m.resend()
	w.m.allocate(func() bool { return false })
	for range 1000 {
		if !w.deliver(0) {
			break
		}
	}
	for len(w.failed) > 0 {
		ev := w.failed[0]
		w.failed = w.failed[1:]
		w.step(ev)
	}
	for len(w.questions) > 0 {
		q := w.questions[0]
		w.questions = w.questions[1:]
		w.answer(q)
	}
	for len(w.views) > 0 && !blind {
		view := w.views[0]
		w.views = w.views[1:]
		w.step(view)
	}
	w.advance(time.Second)
}
