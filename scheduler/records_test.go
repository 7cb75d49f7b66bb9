package scheduler

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
)

func put(t require.TestingT, records map[state.Key][]byte, w state.Write, err error) {
	require.NoError(t, err)
	records[w.Key] = w.Value
}

func putSlot(t require.TestingT, records map[state.Key][]byte, s state.Slot) {
	w, err := slotRecord.Encode(s.ID, s)
	put(t, records, w, err)
}

func getSlot(t require.TestingT, records map[state.Key][]byte, id string) state.Slot {
	key := state.Key("slots/" + id)
	s, err := slotRecord.Decode(key, records[key])
	require.NoError(t, err)
	return s
}

func someRecords(t require.TestingT) map[state.Key][]byte {
	records := map[state.Key][]byte{}
	w, err := frameworkRecord.Encode(frameworkName, state.Framework{ID: "b5fb-0000", NextIncarnation: 17})
	put(t, records, w, err)
	w, err = clusterRecord.Encode("logs", state.Cluster{Spec: v1.Cluster{Name: "logs"}, Incarnation: 16})
	put(t, records, w, err)
	putSlot(t, records, state.Slot{ID: "logs-data-0.17", Name: "logs-data-0", Kind: kindElasticsearch, Owner: "logs", OwnerIncarnation: 16, Want: state.WantRun, Life: 5})
	return records
}

func TestRecordsThatNewTakesAreGood(t *testing.T) {
	records := someRecords(t)
	require.NoError(t, CheckRecords(records))
	require.NoError(t, CheckRecords(nil))
	c, err := New(Config{Roles: []string{"data"}}, records)
	require.NoError(t, err)
	id, err := StoredFrameworkID(records)
	require.NoError(t, err)
	assert.Equal(t, c.FrameworkID(), id)
	id, err = StoredFrameworkID(nil)
	require.NoError(t, err)
	assert.Empty(t, id)
}

func slotBody(fields string) string {
	return `{"v":1,"kind":"slots","body":{"id":"a.1",` + fields + `}}`
}

func TestBadRecordsAreNamed(t *testing.T) {
	for name, test := range map[string]struct {
		key, value string
		is         error
		says       string
	}{
		"newer schema":           {"slots/a.1", `{"v":99,"kind":"slots","body":{}}`, state.ErrNewerSchema, "slots/a.1"},
		"unknown kind":           {"quotas/data", `{"v":1,"kind":"quotas","body":{}}`, nil, "quotas/data: a kind of record that this build does not know"},
		"no JSON":                {"slots/a.1", `{"v":1,`, state.ErrDamaged, "slots/a.1"},
		"unknown field":          {"clusters/a", `{"v":1,"kind":"clusters","body":{"colour":"red"}}`, state.ErrDamaged, "colour"},
		"bad key":                {"slots", `{}`, state.ErrBadKey, "slots"},
		"nodes without number":   {"clusters/a", `{"v":1,"kind":"clusters","body":{"spec":{"name":"a","spec":{"nodeSets":[{"name":"x","count":99999999}]}}}}`, state.ErrDamaged, "99999999 nodes"},
		"too many in all":        {"clusters/a", `{"v":1,"kind":"clusters","body":{"spec":{"name":"a","spec":{"nodeSets":[{"name":"x","count":1500},{"name":"y","count":1500}]}}}}`, state.ErrDamaged, "3000 nodes"},
		"bad set name":           {"clusters/a", `{"v":1,"kind":"clusters","body":{"spec":{"name":"a","spec":{"nodeSets":[{"name":"x/y","count":1}]}}}}`, state.ErrDamaged, `node set "x/y"`},
		"negative nodes":         {"clusters/a", `{"v":1,"kind":"clusters","body":{"spec":{"name":"a","spec":{"nodeSets":[{"name":"x","count":-1}]}}}}`, state.ErrDamaged, "-1 nodes"},
		"unknown workload":       {"slots/a.1", slotBody(`"kind":"ships","want":"run"`), errUnknownKind, `slots/a.1: it runs "ships"`},
		"unknown want":           {"slots/a.1", slotBody(`"kind":"elasticsearch","want":"fly"`), state.ErrDamaged, `want "fly"`},
		"a task of a later life": {"slots/a.1", slotBody(`"kind":"elasticsearch","want":"run","life":1,"task":{"life":2,"state":"ended"}`), state.ErrDamaged, "lives"},
		"unknown task state":     {"slots/a.1", slotBody(`"kind":"elasticsearch","want":"run","life":1,"task":{"life":1,"state":"asleep"}`), state.ErrDamaged, `"asleep"`},
		"runs nowhere":           {"slots/a.1", slotBody(`"kind":"elasticsearch","want":"run","life":1,"task":{"life":1,"state":"running"}`), state.ErrDamaged, "no place"},
		"replaced by nothing":    {"slots/a.1", slotBody(`"kind":"elasticsearch","want":"replaced","bind":{"reserved":"yes","volume":"yes"}`), state.ErrDamaged, "by no order"},
		"replaced nowhere":       {"slots/a.1", slotBody(`"kind":"elasticsearch","want":"replaced","replacement":{"at":"2026-01-01T00:00:00Z","by":"b.1"}`), state.ErrDamaged, "no place"},
		"releases nothing":       {"slots/a.1", slotBody(`"kind":"elasticsearch","want":"retain","release":{"destroyOp":"x"}`), state.ErrDamaged, "no place"},
		"known by half":          {"slots/a.1", slotBody(`"kind":"elasticsearch","want":"run","bind":{"reserved":"perhaps","volume":"yes"}`), state.ErrDamaged, "neither yes, no nor unsure"},
		"other slot's key":       {"slots/a.1", `{"v":1,"kind":"slots","body":{"id":"b.1","kind":"elasticsearch","want":"run"}}`, state.ErrDamaged, `slots/a.1: damaged record: it is the record of "b.1"`},
		"other cluster's":        {"clusters/a", `{"v":1,"kind":"clusters","body":{"spec":{"name":"b"}}}`, state.ErrDamaged, `it is the record of "b"`},
		"other task's":           {"kills/a.1", `{"v":1,"kind":"kills","body":{"taskId":"b.1"}}`, state.ErrDamaged, `it is the record of "b.1"`},
		"second framework":       {"framework/second", `{"v":1,"kind":"framework","body":{}}`, state.ErrDamaged, "framework/second"},
		"damaged framework":      {"framework/berth", `{"v":1,"kind":"framework","body":null}`, state.ErrDamaged, "framework/berth"},
		"newer envelope too":     {"framework/berth", `{"v":9,"kind":"framework","body":{"new":1}}`, state.ErrNewerSchema, "a downgrade is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			records := someRecords(t)
			records[state.Key(test.key)] = []byte(test.value)
			err := CheckRecords(records)
			require.ErrorContains(t, err, test.says)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			_, err = New(benchConfig(), records)
			require.ErrorContains(t, err, test.says, "no Berth starts on what cannot be restored")
		})
	}
}

func TestOneCheckNamesSeveralBadRecordsButNotAll(t *testing.T) {
	records := map[state.Key][]byte{}
	for i := range 3 {
		records[state.Key(fmt.Sprintf("slots/%02d", i))] = []byte("{}")
	}
	err := CheckRecords(records)
	for i := range 3 {
		require.ErrorContains(t, err, fmt.Sprintf("slots/%02d", i))
	}
	for i := range 50 {
		records[state.Key(fmt.Sprintf("slots/%02d", i))] = []byte("{}")
	}
	err = CheckRecords(records)
	require.ErrorContains(t, err, "slots/09")
	require.ErrorContains(t, err, "possibly more")
	require.NotContains(t, err.Error(), "slots/10")
}

func TestRestoredCountersGoOnFromTheFloor(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		records := someRecords(rt)
		life := rapid.Int64Range(1, 1<<40).Draw(rt, "life")
		next := rapid.Int64Range(0, 1<<40).Draw(rt, "next")
		floor := rapid.Int64Range(1, 1<<40).Draw(rt, "floor")
		w, err := frameworkRecord.Encode(frameworkName, state.Framework{ID: "b5fb-0000", NextIncarnation: next})
		put(rt, records, w, err)
		putSlot(rt, records, state.Slot{ID: "logs-data-0.17", Kind: kindElasticsearch, Want: state.WantRun, Life: life, Task: &state.Task{ID: "x", Life: life, State: state.TaskEnded}})
		out, err := Restored(records, floor)
		require.NoError(rt, err)
		require.NoError(rt, CheckRecords(out.Records))
		c, err := New(Config{Roles: []string{"data"}}, out.Records)
		require.NoError(rt, err)
		require.Equal(rt, "b5fb-0000", c.FrameworkID())
		require.Greater(rt, c.incarnation(), max(next, floor))
		s := c.slots["logs-data-0.17"]
		require.Equal(rt, max(life+restoreGap, floor), s.Life)
		require.Equal(rt, life, s.Task.Life, "the task that was on record is still the one on record")
	})
}

// A state without a framework record has a counter all the same.
func TestRestoredWithoutFramework(t *testing.T) {
	for _, records := range []map[state.Key][]byte{nil, {"secrets/executor": []byte("any")}} {
		out, err := Restored(records, 99)
		require.NoError(t, err)
		require.Len(t, out.Records, len(records)+1)
		f, err := frameworkRecord.Decode("framework/berth", out.Records["framework/berth"])
		require.NoError(t, err)
		assert.Equal(t, state.Framework{NextIncarnation: 99}, f)
		for key, value := range records {
			assert.Equal(t, value, out.Records[key], "what the core does not know is passed on")
		}
	}
}

func TestRestoredTakesOrdersToDestroyBack(t *testing.T) {
	records := someRecords(t)
	order := &state.Order{User: "mia"}
	bind := func(volume state.Known) *state.Binding {
		return &state.Binding{AgentID: "S0", Reserved: state.KnownYes, Volume: volume}
	}
	for _, s := range []state.Slot{
		{ID: "waits.1", Want: state.WantRetain, Order: order, Bind: bind(state.KnownYes)},
		{ID: "due.2", Want: state.WantDestroy, Order: order, Bind: bind(state.KnownYes)},
		{ID: "sent.3", Want: state.WantDestroy, Order: order, Bind: bind(state.KnownYes), Release: &state.Release{DestroyOp: "op"}},
		{ID: "done.4", Want: state.WantDestroy, Order: order, Bind: bind(state.KnownNo)},
		{ID: "kept.5", Want: state.WantRetain, Bind: bind(state.KnownYes)},
	} {
		s.Kind = kindElasticsearch
		putSlot(t, records, s)
	}
	before := records["slots/due.2"]
	out, err := Restored(records, 99)
	require.NoError(t, err)
	assert.Equal(t, []string{"due.2", "waits.1"}, out.TakenBack)
	for id, want := range map[string]state.Want{"waits.1": state.WantRetain, "due.2": state.WantRetain, "kept.5": state.WantRetain} {
		s := getSlot(t, out.Records, id)
		assert.Nil(t, s.Order, id)
		assert.Equal(t, want, s.Want, id)
	}
	for _, id := range []string{"sent.3", "done.4"} {
		s := getSlot(t, out.Records, id)
		assert.Equal(t, order, s.Order, id)
		assert.Equal(t, state.WantDestroy, s.Want, id)
	}
	assert.Equal(t, before, records["slots/due.2"], "the records given are not changed")
}

func TestRestoredTakesOrdersToKillBack(t *testing.T) {
	records := someRecords(t)
	for _, id := range []string{"logs-data-0.7.3", "a:task"} {
		w, err := killRecord.Encode(killName(id), state.Kill{TaskID: id, AgentID: "S0", Order: state.Order{User: "mia"}})
		put(t, records, w, err)
	}
	require.NoError(t, CheckRecords(records))
	out, err := Restored(records, 99)
	require.NoError(t, err)
	assert.Equal(t, []string{"a:task", "logs-data-0.7.3"}, out.KillsTakenBack)
	for key := range out.Records {
		assert.NotEqual(t, state.KindKill, key.Kind(), key)
	}
}

func TestRestoredTakesOpenStepsOfRepairsBack(t *testing.T) {
	records := someRecords(t)
	step := func(st state.RepairState) state.RepairStep {
		return state.RepairStep{Action: state.RepairDestroy, Finding: "f", State: st, DestroyOp: "op", Message: "before"}
	}
	for id, r := range map[string]state.Repair{
		"repair-3": {Approved: &state.Order{User: "mia"}, Steps: []state.RepairStep{step(state.StepKept), step(state.StepSent), step(state.StepDone)}},
		"repair-4": {Steps: []state.RepairStep{step(state.StepPlanned)}},
		"repair-5": {Approved: &state.Order{User: "mia"}, Steps: []state.RepairStep{step(state.StepDone)}},
	} {
		r.ID = id
		w, err := repairRecord.Encode(id, r)
		put(t, records, w, err)
	}
	w, err := findingsRecord.Encode(findingsName, state.Findings{Findings: []state.Finding{{ID: "f", AgentID: "S0"}}})
	put(t, records, w, err)
	require.NoError(t, CheckRecords(records))
	out, err := Restored(records, 99)
	require.NoError(t, err)
	assert.Equal(t, []string{"repair-3"}, out.RepairsTakenBack)
	states := map[string][]state.RepairState{}
	for _, id := range []string{"repair-3", "repair-4", "repair-5"} {
		key := state.Key("repairs/" + id)
		r, err := repairRecord.Decode(key, out.Records[key])
		require.NoError(t, err)
		for _, st := range r.Steps {
			states[id] = append(states[id], st.State)
		}
	}
	assert.Equal(t, map[string][]state.RepairState{
		"repair-3": {state.StepCancelled, state.StepCancelled, state.StepDone},
		"repair-4": {state.StepCancelled}, "repair-5": {state.StepDone},
	}, states)
	// A core goes on from there: what has no open step has ended.
	c, err := New(benchConfig(), out.Records)
	require.NoError(t, err)
	c.Step(benchEpoch, TimerFired{})
	for _, r := range c.Repairs().Repairs {
		assert.NotNil(t, r.EndedAt, r.ID)
	}
	// A record under another one's name would be doubled by its next write.
	records["repairs/repair-9"] = records["repairs/repair-3"]
	require.ErrorIs(t, CheckRecords(records), state.ErrDamaged)
}

func TestRestoredRefusesWhatItCannotRead(t *testing.T) {
	for _, key := range []state.Key{"framework/berth", "slots/a.1"} {
		_, err := Restored(map[state.Key][]byte{key: []byte("{")}, 1)
		require.ErrorIs(t, err, state.ErrDamaged)
	}
}
