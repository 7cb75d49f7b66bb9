package main

// edit replaces one place of one file; Old must occur there exactly once.
type edit struct{ file, old, new string }

// mutation breaks the scheduler, or the rule that its surroundings keep for it,
// in one known way.
type mutation struct {
	name  string
	edits []edit
}

const (
	core  = "scheduler/"
	model = "test/sim/"
)

func one(name, file, old, new string) mutation {
	return mutation{name: name, edits: []edit{{file, old, new}}}
}

var mutations = []mutation{
	// The order rule and fencing, which the runner and the store keep.
	one("writes of an old epoch are taken", model+"store.go", "if epoch < s.epoch {", "if epoch < 0 {"),
	{"effects leave before the commit", []edit{
		{model + "process.go", "	p.write(group, writes, 50*time.Millisecond)\n", "	for _, d := range group {\n		p.effects(d)\n	}\n	p.write(nil, writes, 50*time.Millisecond)\n"},
	}},

	// What is recorded.
	one("a status is acknowledged and not recorded", core+"task.go", "		c.taskEnded(s, st)\n	}\n	c.touch(s)\n}", "		c.taskEnded(s, st)\n	}\n	delete(c.changedSlots, s.ID)\n}"),
	one("a launch is not recorded", core+"offers.go", "	s.confirmed, s.askedAt, s.killedAt, s.executorEnded = false, time.Time{}, time.Time{}, time.Time{}\n	c.touch(s)\n}", "	s.confirmed, s.askedAt, s.killedAt = false, time.Time{}, time.Time{}\n}"),
	one("a spec is accepted and not recorded", core+"spec.go", "	c.clusters[spec.Name] = cl\n	c.touchCluster(cl)\n", "	c.clusters[spec.Name] = cl\n	c.lookOwners[spec.Name] = true\n"),
	one("a changed spec is accepted and not recorded", core+"spec.go", "	c.touchCluster(cl)\n	c.publish(\"ClusterAccepted\", spec.Name, \"\", \"generation %d accepted: %s\"", "	c.lookOwners[spec.Name] = true\n	c.publish(\"ClusterAccepted\", spec.Name, \"\", \"generation %d accepted: %s\""),
	one("a deletion is acknowledged and not recorded", core+"spec.go", "		cl.UpdatedAt = c.now\n		c.touchCluster(cl)\n", "		cl.UpdatedAt = c.now\n		c.lookOwners[e.Name] = true\n"),
	one("an order to destroy is not recorded", core+"volume.go", "			s.Order = &state.Order{At: c.now, User: e.User, Message: clip(e.Message)}\n			c.touch(s)\n", "			s.Order = &state.Order{At: c.now, User: e.User, Message: clip(e.Message)}\n			c.look[s.ID] = true\n"),
	one("the framework id is not recorded", core+"reconcile.go", "		c.frameworkDirty = true\n", ""),
	one("incarnations are used again after a crash", core+"spec.go", "	c.framework.NextIncarnation++\n	c.frameworkDirty = true\n", "	c.framework.NextIncarnation++\n"),
	one("slots are not loaded", core+"core.go", "		c.slots[r.ID] = &slot{Slot: r}\n", "		_ = r\n"),
	one("that there is data on a volume is forgotten", core+"task.go", "		s.Bind.HasData = !s.Need.Ephemeral\n", ""),

	// The host rule.
	one("agent ids are counted for machines", core+"agent.go", "	return a.hostname\n}", "	return a.id\n}"),
	one("what is in flight is not counted", core+"offers.go", "return s.Bind != nil && (s.Want == state.WantRun || s.Want == state.WantReplaced || s.live())", "return s.Bind != nil && s.healthy()"),
	one("no host rule", core+"elasticsearch.go", "Group: groupCluster(cl), Max: cl.hostLimit()})", "Group: groupCluster(cl), Max: 1000})"),
	one("no limit for masters", core+"elasticsearch.go", "Max: plan.MastersPerMachine(masters)})", "Max: masters})"),
	one("fewer replicas than a machine holds nodes are accepted", core+"spec.go", "r < plan.Replicas(old.Spec.Spec) && n > r", "r < 0 && n > r"),

	// Forming clusters.
	one("initial masters vary", core+"spec.go", "if cl.ClusterUUID == \"\" && !cl.everStarted() {", "if cl.ClusterUUID == \"\" {"),
	one("nodes are not told where their masters are", core+"seeds.go", "			c.sendSeeds(s, seeds)\n", ""),

	// Offers and operations.
	one("an offer is used twice", core+"offers.go", "		if len(b.tasks) > 0 {\n			ops = append(ops, volumes.LaunchOp(b.tasks...))\n		}\n", "		if len(b.tasks) > 0 && len(ops) > 0 {\n			c.call(&sched.Call{Type: sched.Call_ACCEPT, Accept: &sched.Call_Accept{OfferIDs: b.pool.Offers(), Operations: ops}})\n			ops = nil\n		}\n		if len(b.tasks) > 0 {\n			ops = append(ops, volumes.LaunchOp(b.tasks...))\n		}\n"),
	one("offers that did not fit are kept", core+"offers.go", "	for _, d := range slices.Sorted(maps.Keys(unused)) {\n		c.decline(unused[d], d)\n	}\n", "	_ = unused\n"),
	one("offers whose answer was lost are kept", core+"reconcile.go", "	c.returned = append(c.returned, offers...)\n", ""),
	one("what is shown in part is reserved again", core+"offers.go", "need.Expect = volumes.Expect{CPU: need.CPU, Mem: need.Mem, Ports: need.Ports}", "need.Expect = volumes.Expect{}"),
	one("a bare disk that is not shown is reserved again", core+"offers.go", "need.Expect.Disk = need.Disk", "need.Expect.Disk = 0"),
	one("what is given back in part counts as all", core+"offers.go", "s.Release.Part = !s.shownWhole(&h) || s.Bind.Volume == state.KnownNo && h.Disk < s.Need.Disk\n", "s.Release.Part = !s.shownWhole(&h)\n"),
	one("a volume that is not shown is made anew", core+"offers.go", "	need.Expect.Volume = s.Bind.Volume == state.KnownYes\n", ""),
	one("a slot that is unsure is placed", core+"offers.go", "s.Identity.Role != role || s.unsure() {", "s.Identity.Role != role {"),
	one("an unknown operation is taken for done", core+"operation.go", "	case mesos.OPERATION_UNKNOWN, mesos.OPERATION_GONE_BY_OPERATOR:\n		return opUnknown", "	case mesos.OPERATION_UNKNOWN, mesos.OPERATION_GONE_BY_OPERATOR:\n		return opDone"),
	one("operations without a word are not asked for", core+"slot.go", "	c.askTask(s)\n	c.askOperations(s)\n", "	c.askTask(s)\n"),
	one("the master's view is believed at once", core+"limits.go", "	witnessLag = 5 * time.Second\n", "	witnessLag = -time.Hour\n"),
	one("the master's view decides on a release under way", core+"ledger.go", "	if s.live() || s.Release != nil {\n		return false\n	}\n	b := s.Bind\n", "	if s.live() {\n		return false\n	}\n	b := s.Bind\n"),
	one("offers decide on operations under way", core+"agent.go", "	if b.ReserveOp != \"\" || b.CreateOp != \"\" {\n", "	if false {\n"),
	one("a release without an answer waits for ever", core+"slot.go", "		at(c.askAgain(s, s.Release.Since))\n", ""),
	one("the disk of a destroyed volume stays reserved", core+"offers.go", "	if len(unreserve) > 0 {\n", "	if len(unreserve) > 0 && len(destroy) == 0 {\n"),
	one("REVIVE is not sent again", core+"demand.go", "	fresh := !again.After(c.now)\n", "	fresh := again.IsZero()\n"),

	// Destroying.
	{"volumes of deleted clusters are destroyed without an order", []edit{
		{core + "slot.go", "	if s.Want == state.WantRetain && s.Order != nil && !s.RetainUntil.After(c.now) {", "	if s.Want == state.WantRetain && s.Order == nil {\n		s.Order = &state.Order{}\n	}\n	if s.Want == state.WantRetain && s.Order != nil && !s.RetainUntil.After(c.now) {"},
	}},
	one("the retention is not kept", core+"slot.go", "s.Order != nil && !s.RetainUntil.After(c.now) {", "s.Order != nil {"),
	one("an order that was taken back stands", core+"volume.go", "		s.Order, s.Want = nil, state.WantRetain\n", ""),

	// Repairs of the ledger.
	one("the retention of a repair is not kept", core+"repairrun.go", "st.State, st.NotBefore = state.StepKept, c.now.Add(r.Retention)", "st.State, st.NotBefore = state.StepKept, c.now"),
	one("a step of a repair is sent and not recorded", core+"repairrun.go", "	c.touchRepair(r)\n	c.why(\"%s, step %d: %s %s on %s by %s%s\"", "	c.why(\"%s, step %d: %s %s on %s by %s%s\""),
	one("the approval of a repair is not recorded", core+"repair.go", "		c.startStep(r, i)\n	}\n	c.touchRepair(r)\n", "		c.startStep(r, i)\n	}\n"),
	one("a repair that was taken back goes on", core+"repair.go", "			st.State, st.Since, st.Message = state.StepCancelled, c.now, \"taken back by \"+orSomebody(e.User)\n			stopped++", "			stopped++"),
	one("repairs go on without approval", core+"repairrun.go", "		if r.Approved != nil && st.State == state.StepKept", "		if st.State == state.StepPlanned {\n			r.Approved = &r.Planned\n			c.startStep(r, i)\n		}\n		if r.Approved != nil && st.State == state.StepKept"),
	one("operations of a repair without a word are not asked for", core+"repairrun.go", "			c.askStep(st)\n			due", "			due"),
	one("what a repair freed is never looked at again", core+"repairrun.go", "		c.endStep(r, i, state.StepDone, \"the master's view shows that it is gone, by \"+st.By)", "		return"),

	// Tasks.
	one("task ids are used again", core+"slot.go", "func (s *slot) taskID(life int64) string { return fmt.Sprintf(\"%s.%d\", s.ID, life) }", "func (s *slot) taskID(life int64) string { return fmt.Sprintf(\"%s.%d\", s.ID, 1+life%2) }"),
	one("unreachable is taken for dead", core+"task.go", "	case mesos.TASK_UNREACHABLE, mesos.TASK_LOST, mesos.TASK_UNKNOWN:\n		// It may be", "	case mesos.TASK_UNREACHABLE, mesos.TASK_LOST, mesos.TASK_UNKNOWN:\n		c.setTask(s, state.TaskEnded, false)\n		s.Want = state.WantNothing\n		c.lookOwners[s.Owner] = true\n		// It may be"),
	one("unknown tasks are killed", core+"unknown.go", "	u.state, u.last, u.told, u.confirmed = st.GetState(), c.now, true, true\n", "	u.state, u.last, u.told, u.confirmed = st.GetState(), c.now, true, true\n	c.call(&sched.Call{Type: sched.Call_KILL, Kill: &sched.Call_Kill{TaskID: st.TaskID, AgentID: st.AgentID}})\n"),
	one("an order to kill an unknown task is not recorded", core+"unknown.go", "		u.order = &state.Order{At: c.now, User: e.User, Message: clip(e.Message)}\n		c.changedKills[u.id] = true\n", "		u.order = &state.Order{At: c.now, User: e.User, Message: clip(e.Message)}\n"),

	// The recovery gate.
	one("a task is killed before it was told of", core+"slot.go", "if !c.connected || !s.confirmed || t.State", "if !c.connected || t.State"),
	one("an unknown task is killed before it was told of", core+"unknown.go", "		u.confirmed, u.killedAt = false, time.Time{}\n		c.agenda.set(taskKey+u.id, time.Time{})\n", "		c.settleKill(u)\n"),
	one("a former life is killed before the newest was told of", core+"task.go", "if s.live() && c.unheard[s.Task.ID] {", "if false {"),
	one("a volume is destroyed before all tasks were told of", core+"offers.go", "if len(destroy) > 0 && !c.recovered() {", "if false {"),
	one("a node is placed anew before its cluster's tasks were told of", core+"offers.go", "				continue // the recovery gate\n", ""),

	one("a KILL is sent once", core+"slot.go", "	if s.killedAt.IsZero() || !again.After(c.now) {", "	if s.killedAt.IsZero() {"),
	one("no back-off", core+"slot.go", "	s.NotBefore = c.now.Add(backoff(s.Failures))\n", ""),
	one("launches without a word are not asked for", core+"slot.go", "	if t.State == state.TaskStaging {\n		at(c.askAgain(s, t.LaunchedAt))\n	}\n", ""),
	one("statuses are not acknowledged", core+"task.go", "	if len(st.UUID) == 0 || st.AgentID == nil {\n		return\n	}\n	c.call(", "	if len(st.UUID) >= 0 {\n		return\n	}\n	c.call("),
	one("no reconciliation", core+"reconcile.go", "			r.waiting[s.Task.ID] = s\n", ""),
	one("nobody asks whether an agent is gone for good", core+"reconcile.go", "	c.askBound()\n", ""),

	one("an acknowledgement without a change is not fenced", core+"step.go", "len(c.out.Writes) == 0 && c.promises()", "false"),

	// Machines that come back.
	one("a task whose agent is back is not asked for", core+"slot.go", "		c.askReturned(s)\n", ""),
	one("nodes on agents that are away are not asked for", core+"agent.go", "	c.askLost()\n", ""),
	one("a volume under a new agent id is not followed", core+"agent.go", "	case b.AgentID != a.id:\n		c.elsewhere(a, s, h, offered)\n", "	case b.AgentID != a.id:\n"),
	one("a node follows its volume to another machine", core+"agent.go", "	if !c.mayFollow(a, s) {\n", "	if false {\n"),
	one("a bound slot takes another agent's resources", "placement/query.go", "	if r.Bound != \"\" {\n", "	if r.Bound != \"\" && len(s.owners[r.Identity.Label]) == 0 {\n"),
	one("only slots that run follow their volume", core+"slot.go", "		return s.elsewhere != \"\"\n	}\n	if s.unsure() {", "		return false\n	}\n	if s.unsure() {"),
	one("the loss of an agent is not believed", core+"task.go", "	s.Want = state.WantNothing\n	c.workloads", "	c.workloads"),
}
