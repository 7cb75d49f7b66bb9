package scheduler

import (
	"cmp"
	"maps"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/placement"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// sparkExecutor is the workload of executors. Each lives once: when it ends its
// slot goes, and what is wanted still gets a new slot with the next executor id.
type sparkExecutor struct{ core *Core }

func (w sparkExecutor) owner(s *slot) owner { return sparkOwner(w.core, s) }

func (w sparkExecutor) request(s *slot) (placement.Request, error) {
	a, err := sparkApplication(w.core, s)
	if err != nil {
		return placement.Request{}, err
	}
	e := a.Spec.Spec.Executors
	req, err := w.core.sparkRequest(s, w.groups(s), e.Constraints, w.core.avoidedBy(a))
	if err != nil {
		return req, err
	}
	if e.MaxPerHost > 0 {
		req.Limits = append(req.Limits, placement.Limit{Name: "executors per host", Group: groupExecutors(s.Owner), Max: e.MaxPerHost})
	}
	if e.Spread != "" {
		req.Spread = &placement.Spread{Group: groupExecutors(s.Owner), Attribute: e.Spread}
	}
	return req, nil
}

func (w sparkExecutor) groups(s *slot) []string { return []string{groupExecutors(s.Owner)} }

func groupExecutors(application string) string { return "executors/" + application }

func (w sparkExecutor) answers() string { return "runs" }

func (w sparkExecutor) stableAfter(*slot) time.Duration { return stableAfter }

func (w sparkExecutor) launching(*slot) {}

func (w sparkExecutor) lost(*slot) {} // it holds nothing

// avoidedBy are the hosts that an application's executors keep away from: those
// where they failed again and again of late, and those that Spark excludes.
func (c *Core) avoidedBy(a *application) []string {
	hosts := map[string]bool{}
	for host := range a.avoid {
		hosts[host] = true
	}
	if a.Context != nil && a.Context.Target != nil {
		// Spark names hosts as executors do, by their address.
		for _, node := range a.Context.Target.ExcludedNodes {
			hosts[node] = true
		}
		for _, agent := range c.agents {
			if hosts[agent.address] {
				hosts[agent.hostname] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(hosts))
}

// executors are the slots of executors, in the order of their ids.
func (a *application) executors() []*slot {
	var list []*slot
	for _, s := range a.list() {
		if s.Kind == kindSparkExecutor {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(x, y *slot) int { return cmp.Compare(x.Executor.ID, y.Executor.ID) })
	return list
}

// settleExecutors starts and stops executors: those of a context that is over go,
// and while the driver wants more than there are, new ones come.
func (c *Core) settleExecutors(a *application, at func(time.Time)) {
	maps.DeleteFunc(a.avoid, func(_ string, until time.Time) bool { return !until.After(c.now) })
	for _, until := range a.avoid {
		at(until)
	}
	all := a.executors()
	live := all[:0:0]
	for _, s := range all {
		if s.Want != state.WantRun {
			continue
		}
		if why := c.overdue(a, s, at); why != "" {
			c.stopExecutor(s, why)
			continue
		}
		live = append(live, s)
	}
	if a.Context == nil || a.Kill != nil || a.End != nil {
		return
	}
	live = c.settleSurplus(a, live, at)
	if a.Context.Unregistered != nil {
		return
	}
	c.settleWaves(a, live, at)
	have := map[int]int{}
	for _, s := range live {
		if s.Executor.Decommission == nil {
			have[s.Executor.Profile]++
		}
	}
	wanted := a.wanted()
	profiles := map[int]v1.SparkProfile{}
	for _, p := range wanted {
		profiles[p.ID] = p
	}
	for _, id := range slices.Sorted(maps.Keys(have)) {
		if surplus := have[id] - profiles[id].Total; surplus > 0 {
			live = c.dropPending(live, id, surplus)
		}
	}
	pending := 0
	for _, s := range live {
		if s.live() {
			continue
		}
		pending++
		// What a slot without a place asks for follows the driver's word.
		if need := executorNeed(profiles[s.Executor.Profile]); s.Bind == nil && s.Need != need {
			s.Need = need
			c.touch(s)
		}
	}
	adopted := len(a.Context.Adopted)
	for i := range wanted {
		p := &wanted[i]
		missing := p.Total - have[p.ID]
		// Executors that no record explains count for the lowest profiles: the
		// default one has most of them.
		counted := min(max(missing, 0), adopted)
		adopted -= counted
		for missing -= counted; missing > 0 && pending < maxPendingExecutors; missing-- {
			if resume := a.resume(); resume.After(c.now) {
				at(resume)
				break
			}
			c.newExecutor(a, p)
			pending++
		}
	}
}

// overdue says why an executor is to end now, "" if it is not.
func (c *Core) overdue(a *application, s *slot, at func(time.Time)) string {
	switch {
	case a.End != nil:
		return "the application has ended"
	case a.Context == nil:
		return "its driver has ended"
	case s.Executor.Context != a.Context.Number:
		return "its driver's SparkContext is over"
	case !s.live() && (a.Kill != nil || a.Context.Unregistered != nil):
		return "none is started any more"
	}
	if u := a.Context.Unregistered; u != nil {
		if until := u.At.Add(leftoverExecutors); until.After(c.now) {
			at(until)
		} else {
			return "its driver's SparkContext has stopped"
		}
	}
	if d := s.Executor.Decommission; d != nil {
		if until := d.At.Add(decommissionDeadline); until.After(c.now) {
			at(until)
		} else {
			return "it was to go by itself since " + d.At.UTC().Format(time.RFC3339) + ": " + d.Why
		}
	}
	if s.live() && s.Task.State == state.TaskUnreachable && a.registered != nil && !a.registered[s.Executor.ID] {
		// Neither Mesos nor the driver reaches it. Should it come back, it is of
		// no use: its driver has given it up.
		return "its agent cannot be reached, and its driver has lost it"
	}
	return ""
}

// stopExecutor ends an executor; one that was never launched just goes.
func (c *Core) stopExecutor(s *slot, why string) {
	if !s.live() && s.Task == nil {
		c.remove(s)
		return
	}
	c.why("stop %s: %s", s.Name, why)
	s.Want, s.Executor.Stop = state.WantRetain, why
	c.touch(s)
}

// settleSurplus ends what is still above the bounds long after they were told: the
// driver, which knows who is idle, should have seen to it by itself.
func (c *Core) settleSurplus(a *application, live []*slot, at func(time.Time)) []*slot {
	most := a.bounds().Max
	active := 0
	for _, s := range live {
		if s.live() {
			active++
		}
	}
	if active <= most {
		return live
	}
	due := later(a.BoundsSince, a.Context.At).Add(decommissionDeadline)
	if due.After(c.now) {
		at(due)
		return live
	}
	order := slices.Clone(live)
	slices.SortStableFunc(order, func(x, y *slot) int {
		return cmp.Or(-plan.CompareBool(x.Executor.Decommission != nil, y.Executor.Decommission != nil), cmp.Compare(y.Executor.ID, x.Executor.ID))
	})
	gone := map[*slot]bool{}
	for _, s := range order {
		if active <= most {
			break
		}
		if s.live() {
			c.stopExecutor(s, "more executors run than the bounds allow, and the driver lets none go")
			gone[s] = true
			active--
		}
	}
	return slices.DeleteFunc(slices.Clone(live), func(s *slot) bool { return gone[s] })
}

// dropPending takes back executors of a profile that have no place yet, the newest
// first.
func (c *Core) dropPending(live []*slot, profile, n int) []*slot {
	gone := map[*slot]bool{}
	for _, s := range slices.Backward(live) {
		if n > 0 && !s.live() && s.Executor.Profile == profile {
			c.remove(s)
			gone[s] = true
			n--
		}
	}
	if len(gone) == 0 {
		return live
	}
	return slices.DeleteFunc(slices.Clone(live), func(s *slot) bool { return gone[s] })
}

// wanted are the executors that should run, by profile in the order of their ids:
// what the driver asks for, held within the bounds (docs/spark-protocol.md). Empty
// before the driver has said anything.
func (a *application) wanted() []v1.SparkProfile {
	if a.Context == nil || a.Context.Target == nil {
		return nil
	}
	list := slices.Clone(a.Context.Target.Profiles)
	slices.SortFunc(list, func(x, y v1.SparkProfile) int { return cmp.Compare(x.ID, y.ID) })
	total := 0
	for _, p := range list {
		total += p.Total
	}
	b := a.bounds()
	if missing := b.Min - total; missing > 0 {
		if len(list) == 0 || list[0].ID != 0 {
			list = append([]v1.SparkProfile{a.defaultProfile()}, list...)
		}
		list[0].Total += missing
	}
	for i := range list {
		if over := total - b.Max; over > 0 {
			cut := min(over, list[i].Total)
			list[i].Total -= cut
			total -= cut
		}
	}
	return list
}

// defaultProfile is the spec's executor, for a driver that names none.
func (a *application) defaultProfile() v1.SparkProfile {
	e := a.Spec.Spec.Executors
	return v1.SparkProfile{Cores: e.Cores, MemoryMiB: mib(e.Memory), MemoryOverheadMiB: mib(e.MemoryOverhead)}
}

// profile is the profile of an executor as the driver wants it now.
func (a *application) profile(id int) (v1.SparkProfile, bool) {
	for _, p := range a.wanted() {
		if p.ID == id {
			return p, true
		}
	}
	return v1.SparkProfile{}, false
}

func profileMemory(p v1.SparkProfile) int64 {
	return p.MemoryMiB + p.MemoryOverheadMiB + p.OffHeapMiB + p.PySparkMiB
}

func executorNeed(p v1.SparkProfile) volumes.Need {
	return volumes.Need{CPU: volumes.Units(int64(p.Cores)), Mem: volumes.Units(profileMemory(p)), Ephemeral: true}
}

func (c *Core) newExecutor(a *application, p *v1.SparkProfile) {
	id := a.NextExecutor
	a.NextExecutor++
	c.touchApplication(a)
	s := c.newSparkSlot(a, kindSparkExecutor, setExecutor, executorName(a.Spec.Name, id), executorNeed(*p))
	s.Ordinal = int(id)
	s.Executor = &state.SparkExecutor{ID: id, Profile: p.ID, Context: a.Context.Number}
}

// ended takes the end of an executor: it is told to the driver, and its slot goes.
func (w sparkExecutor) ended(s *slot, st mesos.TaskStatus, neverRan bool) bool {
	c, x := w.core, s.Executor
	a := c.applicationOf(s)
	if a == nil {
		return false
	}
	text := endText(st)
	byItself := x.Stop == "" && x.Decommission == nil && !lostWithAgent(st) && st.GetState() != mesos.TASK_KILLED
	if !neverRan || !lostLaunch(st) {
		c.tellExit(a, s, st, byItself && !neverRan)
	}
	switch {
	case neverRan && lostLaunch(st):
		a.drops.add(s.Task.LaunchedAt, c.now)
		c.publishSlot("LaunchLost", s, "%s did not start (%s): another one is started in its place", s.Task.ID, text)
	case !byItself:
		c.publishSlot("NodeStopped", s, "%s ended: %s", s.Task.ID, text)
	case st.GetState() == mesos.TASK_FINISHED:
		c.publishSlot("NodeStopped", s, "%s ended by itself", s.Task.ID)
		c.countWave(a, s, text)
	default:
		c.publishSlot("NodeFailed", s, "%s failed: %s", s.Task.ID, text)
		c.countHost(a, s)
		c.countWave(a, s, text)
	}
	s.Want = state.WantRetain // it holds nothing: the slot goes with this step
	c.lookApps[s.Owner] = true
	return true
}

// tellExit tells the driver of an executor's end. causedByApp is for processes that
// ended by themselves: Spark then counts their tasks' failures.
func (c *Core) tellExit(a *application, s *slot, st mesos.TaskStatus, causedByApp bool) {
	x := s.Executor
	if a.Context == nil || x.Context != a.Context.Number {
		return
	}
	message := endText(st)
	if x.Stop != "" {
		message = x.Stop + "; " + message
	} else if x.Decommission != nil {
		message = x.Decommission.Why + "; " + message
	}
	ev := v1.SparkDriverEvent{Type: v1.SparkExecutorExited, ExecutorID: executorID(x.ID), CausedByApp: causedByApp, Message: clip(message)}
	if report, err := executor.DecodeReport(st.Data); err == nil && report.Phase == executor.PhaseExited && report.Signal == "" {
		code := report.ExitCode
		ev.ExitCode = &code
	}
	c.notify(a, ev)
}

// countHost counts the failure of an executor for its host: one where they fail
// again and again is left out for a while.
func (c *Core) countHost(a *application, s *slot) {
	host := s.hostname()
	recent := slices.DeleteFunc(a.hosts[host], func(t time.Time) bool { return !t.Add(hostFailuresWithin).After(c.now) })
	if recent = append(recent, c.now); len(recent) >= hostFailures {
		a.avoid[host] = c.now.Add(avoidFor)
		c.publishApplication("HostAvoided", a, "%d executors failed on %s within %s: none is started there for %s", len(recent), host, hostFailuresWithin, avoidFor)
		recent = nil
	}
	a.hosts[host] = recent
	if len(recent) == 0 {
		delete(a.hosts, host)
	}
}

// countWave counts executors that end by themselves soon after their start.
func (c *Core) countWave(a *application, s *slot, text string) {
	if c.now.Sub(s.Task.LaunchedAt) >= quickFailure || !a.crashes.add(s.Task.LaunchedAt, c.now) {
		return
	}
	if a.crashes.n == crashWaves {
		c.publishApplication("ExecutorsCrashing", a, "executors end soon after their start, %d waves in a row: the next are started with growing pauses; the last one: %s", a.crashes.n, text)
	}
}

// settleWaves forgets waves: of launches that came to nothing once an executor was
// started, of crashes once one has lasted.
func (c *Core) settleWaves(a *application, live []*slot, at func(time.Time)) {
	for _, s := range live {
		if !s.live() || s.Task.State == state.TaskStaging {
			continue
		}
		if s.Task.LaunchedAt.After(a.drops.began) {
			a.drops = waves{}
		}
		if a.crashes.n == 0 || s.Task.State != state.TaskRunning || !s.Task.LaunchedAt.After(a.crashes.began) {
			continue
		}
		if lasted := s.Task.LaunchedAt.Add(stableAfter); lasted.After(c.now) {
			at(lasted)
		} else {
			a.crashes = waves{}
		}
	}
}

// decommission tells the driver that an executor is to finish its work and go. A
// substitute is started at once.
func (c *Core) decommission(a *application, s *slot, why string) {
	if s.Want != state.WantRun || !s.live() || s.Executor.Decommission != nil || a.Context == nil || s.Executor.Context != a.Context.Number {
		return
	}
	s.Executor.Decommission = &state.Decommission{At: c.now, Why: why}
	c.touch(s)
	c.publishSlot("ExecutorDecommissioned", s, "%s on %s is to finish its work and go: %s", s.Task.ID, s.hostname(), why)
	c.notify(a, decommissionEvent(s))
}

func decommissionEvent(s *slot) v1.SparkDriverEvent {
	return v1.SparkDriverEvent{Type: v1.SparkDecommission, ExecutorID: executorID(s.Executor.ID), Replace: true, Message: s.Executor.Decommission.Why}
}

// vacate decommissions the executors on an agent that its operator wants back.
func (c *Core) vacate(agentID, why string) {
	for _, id := range slices.Sorted(maps.Keys(c.slots)) {
		s := c.slots[id]
		if s.Kind != kindSparkExecutor || s.Bind == nil || s.Bind.AgentID != agentID {
			continue
		}
		if a := c.applicationOf(s); a != nil {
			c.decommission(a, s, why)
		}
	}
}
