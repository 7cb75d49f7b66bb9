package scheduler

import (
	"errors"
	"maps"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/placement"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// FuzzRecords: whatever is stored under whatever key, of every kind, the core
// refuses it with an error that says which remedy applies, or works with it.
func FuzzRecords(f *testing.F) {
	base := threeNodes(f)
	seen := map[string]int{}
	for key, value := range base {
		if seen[key.Kind()]++; seen[key.Kind()] <= 2 {
			f.Add(string(key), value)
		}
	}
	for _, w := range oddRecords(f) {
		f.Add(string(w.Key), w.Value)
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		one := map[state.Key][]byte{state.Key(key): value}
		if err := CheckRecords(one); err != nil {
			told := errors.Is(err, state.ErrDamaged) || errors.Is(err, state.ErrNewerSchema) || errors.Is(err, state.ErrBadKey) || errors.Is(err, errUnknownKind)
			require.True(t, told, "%v", err)
			_, err := New(benchConfig(), one)
			require.Error(t, err, "what a restore refuses, no Berth starts on")
			return
		}
		out, err := Restored(one, 1<<31)
		require.NoError(t, err, "what the check accepts can be restored")
		require.NoError(t, CheckRecords(out.Records))
		records := maps.Clone(base)
		records[state.Key(key)] = value
		c, err := New(benchConfig(), records)
		require.NoError(t, err, "what the check accepts can be started on")
		live(c)
	})
}

// threeNodes are the records of one small cluster that runs: what is beside the
// record in question must not cost the time of trying many.
func threeNodes(tb testing.TB) map[state.Key][]byte {
	const nodes = 3
	records := running(tb, 20)
	for key, value := range records {
		switch key.Kind() {
		case state.KindCluster:
			cl, err := state.Clusters.Decode(key, value)
			require.NoError(tb, err)
			cl.Spec.Spec.NodeSets[0].Count = nodes
			w, err := state.Clusters.Encode(key.Name(), cl)
			require.NoError(tb, err)
			records[key] = w.Value
		case state.KindSlot:
			s, err := state.Slots.Decode(key, value)
			require.NoError(tb, err)
			if s.Ordinal >= nodes {
				delete(records, key)
			}
		}
	}
	return records
}

// oddRecords are records of every kind, in states that running ones do not have.
func oddRecords(tb testing.TB) []state.Write {
	var all []state.Write
	keep := func(w state.Write, err error) {
		require.NoError(tb, err)
		all = append(all, w)
	}
	at := benchEpoch
	spec := v1.Cluster{Name: "odd", Labels: map[string]string{"team": "a"}, Spec: v1.ClusterSpec{Version: "8.19.21", Role: "db", NodeSets: []v1.NodeSet{
		{Name: "data", Count: 2, Spread: "rack", Resources: v1.NodeResources{CPUs: 0.5, Memory: "2gb"}, Storage: v1.Storage{Size: "10gb", Type: "mount"},
			Constraints: []v1.Constraint{{Attribute: "rack", Operator: "LIKE", Values: []string{"r.*"}}}, Config: map[string]any{"a.b": []any{1, true, "x"}}},
		{Name: "master", Count: 3, Roles: &[]string{"master"}, Resources: v1.NodeResources{CPUs: 1, Memory: "1gb"}, Storage: v1.Storage{Size: "1gb"}},
	}}}
	spec.SetDefaults()
	keep(clusterRecord.Encode("odd", state.Cluster{Spec: spec, Generation: 3, ObservedGeneration: 2, Incarnation: 900, InitialMasters: []string{"odd-master-0"}, CreatedAt: at, UpdatedAt: at, UpdatedBy: "ann"}))
	keep(clusterRecord.Encode("odd", state.Cluster{Spec: spec, Generation: 3, Incarnation: 900, ClusterUUID: "U", Deletion: &state.Deletion{At: at, User: "ann", RetainUntil: at.Add(time.Hour)}}))
	slot := func(change func(*state.Slot)) {
		s := state.Slot{ID: "odd-data-0.901", Name: "odd-data-0", Kind: kindElasticsearch, Owner: "c00000", OwnerIncarnation: 1, Set: "data", Want: state.WantRun, Life: 3,
			Need: needOf(spec.Spec.NodeSets[0]), CreatedAt: at, UpdatedAt: at,
			Bind: &state.Binding{AgentID: "a1", Hostname: "h1", Machine: "h1", Address: "10.0.0.1", Ports: []uint64{31000, 31001}, Reserved: state.KnownYes, Volume: state.KnownYes, HasData: true, Since: at},
			Task: &state.Task{ID: "odd-data-0.901.3", Life: 3, AgentID: "a1", State: state.TaskEnded, LaunchedAt: at, Since: at}}
		s.Identity.Role, s.Identity.Principal, s.Identity.Label, s.Identity.PersistenceID, s.Identity.ContainerPath = "db", "berth", s.ID, s.ID, dataPath
		change(&s)
		keep(slotRecord.Encode(s.ID, s))
	}
	for _, st := range taskStates {
		slot(func(s *state.Slot) { s.Task.State, s.Task.KillOrdered = st, at })
	}
	for _, want := range wants {
		slot(func(s *state.Slot) { s.Want, s.RetainUntil, s.Order = want, at, &state.Order{At: at, User: "ann"} })
	}
	for _, k := range knowns {
		slot(func(s *state.Slot) {
			s.Bind.Reserved, s.Bind.Volume, s.Bind.ReserveOp, s.Bind.CreateOp = k, k, "odd-data-0.901.3.reserve", "odd-data-0.901.3.create"
		})
	}
	slot(func(s *state.Slot) {
		s.Bind, s.Task, s.Life, s.Failures, s.NotBefore, s.LastFailure = nil, nil, restoreGap, 3, at.Add(time.Hour), "why"
	})
	slot(func(s *state.Slot) {
		s.Want, s.Release = state.WantDestroy, &state.Release{DestroyOp: "odd-data-0.901.4.destroy", UnreserveOp: "odd-data-0.901.4.unreserve", Since: at}
	})
	slot(func(s *state.Slot) { s.Bind.Ports = nil })
	slot(func(s *state.Slot) { s.Owner, s.Set = "nobody", "none" })
	for _, id := range []string{"logs-data-0.7.3", "a:task"} {
		keep(killRecord.Encode(killName(id), state.Kill{TaskID: id, AgentID: "a1", Order: state.Order{At: at, User: "ann"}}))
	}
	for _, st := range stepStates {
		step := state.RepairStep{Action: state.RepairDestroy, Finding: "0123456789ab", Class: "orphan", AgentID: "a1", Label: "old-data-0.7", State: st, NotBefore: at, Since: at,
			Attempt: 1, DestroyOp: "repair-9.1.1.destroy", Extent: volumes.Extent{CPU: 1, Volumes: []volumes.VolumeSized{{ID: "v", Size: 2}}}}
		keep(repairRecord.Encode("repair-9", state.Repair{ID: "repair-9", Fingerprint: "f", Planned: state.Order{At: at}, Approved: &state.Order{At: at, User: "ann"}, Retention: time.Hour, Steps: []state.RepairStep{step}}))
	}
	keep(findingsRecord.Encode(findingsName, state.Findings{Findings: []state.Finding{{ID: "x", Class: "orphan", Label: "old.1", AgentID: "a1", Since: at, AwaySince: at}}}))
	keep(auditRecord.Encode(auditName(51), state.AuditPage{First: 51, Entries: []v1.AuditEntry{{ID: 51, Time: at, User: "ann", Verb: "apply", Kind: "cluster", Target: "odd"}}}))
	keep(frameworkRecord.Encode(frameworkName, state.Framework{ID: "F2", NextIncarnation: 1 << 40}))
	for _, odd := range []string{`{"v":2,"kind":"slots","body":{}}`, `{"v":1,"kind":"slots","body":{"id":"a.1"}}`, `{"v":1,"kind":"slots"`} {
		all = append(all, state.Write{Key: "slots/a.1", Value: []byte(odd)})
	}
	return append(all, state.Write{Key: "quotas/a", Value: []byte("{}")})
}

// live has a core go through what may happen to it.
func live(c *Core) {
	now := benchEpoch.Add(time.Minute)
	step := func(ev Event) {
		for _, w := range c.Step(now, ev).Writes {
			if err := w.Check(); err != nil {
				panic(err)
			}
		}
		now = now.Add(10 * time.Second)
	}
	views := func() {
		for _, cl := range c.Clusters() {
			_, _ = c.Nodes(cl.Name)
			_, _ = c.Plan(cl.Name)
			_, _ = c.Explain(cl.Name)
			_, _ = c.Endpoints(cl.Name)
		}
		c.Agents()
		c.Volumes(now, VolumeFilter{})
		c.Repairs()
		c.UnknownTasks()
		c.Stats()
	}
	var tasks []mesos.TaskStatus
	var volumes []string
	for id, s := range c.slots {
		volumes = append(volumes, id)
		if s.Task != nil {
			tasks = append(tasks, mesos.TaskStatus{TaskID: mesos.TaskID{Value: s.Task.ID}, AgentID: &mesos.AgentID{Value: s.Task.AgentID}})
		}
	}
	step(TimerFired{})
	views()
	step(Subscribed{FrameworkID: c.FrameworkID()})
	for _, st := range []mesos.TaskState{mesos.TASK_RUNNING, mesos.TASK_UNREACHABLE, mesos.TASK_FAILED} {
		for _, task := range tasks {
			task.State = &st
			step(TaskUpdated{Status: task})
		}
	}
	step(AgentsObserved{AskedAt: now})
	step(orphaned(now, 3, 1))
	step(RepairAsked{Reply: 1, Retained: true})
	for _, r := range c.Repairs().Repairs {
		step(RepairApproved{Reply: 1, ID: r.ID, Fingerprint: r.Fingerprint})
		step(OperatorAnswered{ID: r.ID + ".1.1"})
		step(RepairCancelled{Reply: 1, ID: r.ID, Step: 1})
	}
	step(OffersReceived{Offers: freeOffers(40)})
	views()
	for name := range c.clusters {
		step(SpecDeleted{Name: name})
		break
	}
	for _, id := range volumes {
		step(VolumeDestroyOrdered{ID: id})
	}
	now = now.Add(24 * time.Hour)
	step(OffersReceived{Offers: freeOffers(40)})
	step(TimerFired{})
	views()
}

// FuzzConstraint: the API and the placement agree on what a constraint is, and its
// negation holds exactly where it does not.
func FuzzConstraint(f *testing.F) {
	for _, op := range v1.Operators() {
		f.Add("rack", op, "r1", "", "rack", "r1", 7.0)
	}
	negations := map[string]string{v1.OpEQ: v1.OpNEQ, v1.OpIN: v1.OpNOTIN, v1.OpLIKE: v1.OpUNLIKE, v1.OpEXISTS: v1.OpNOTEXISTS}
	f.Fuzz(func(t *testing.T, attribute, operator, first, second, name, text string, number float64) {
		var values []string
		for _, v := range []string{first, second} {
			if v != "" {
				values = append(values, v)
			}
		}
		c, err := placement.CompileConstraint(attribute, operator, values)
		spec := fuzzSpec(v1.Constraint{Attribute: attribute, Operator: operator, Values: values})
		if problem := spec.Validate(v1.Validation{}); problem == nil {
			require.NoError(t, err, "what the API accepts can be placed by")
		}
		if err != nil {
			return
		}
		agent := placement.AttributesOf("host", []mesos.Attribute{
			{Name: name, Type: mesos.TEXT, Text: &mesos.Value_Text{Value: text}},
			{Name: name, Type: mesos.SCALAR, Scalar: &mesos.Value_Scalar{Value: number}},
			{Name: name, Type: mesos.RANGES, Ranges: &mesos.Value_Ranges{Range: []mesos.Value_Range{{Begin: 1, End: 9}}}},
		})
		holds := c.Holds(agent)
		if negation := negations[operator]; negation != "" {
			not, err := placement.CompileConstraint(attribute, negation, values)
			require.NoError(t, err)
			require.NotEqual(t, holds, not.Holds(agent), "%s and %s", c, not)
			none := placement.AttributesOf("host", nil)
			require.Equal(t, attribute == placement.HostnameAttribute && c.Holds(none), c.Holds(none), "%s holds without the attribute", c)
		}
	})
}

func fuzzSpec(c v1.Constraint) v1.Cluster {
	spec := v1.Cluster{Name: "logs", Spec: v1.ClusterSpec{Version: "8.19.21", NodeSets: []v1.NodeSet{{
		Name: "data", Count: 1, Resources: v1.NodeResources{CPUs: 1, Memory: "2gb"}, Storage: v1.Storage{Size: "10gb"}, Constraints: []v1.Constraint{c},
	}}}}
	spec.SetDefaults()
	return spec
}
