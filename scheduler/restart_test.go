package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

// restarting is a cluster with every node healthy and a rolling restart ordered.
func restarting(t *testing.T) *lossy {
	l := newLossy(t)
	s := l.node("logs-data-1")
	s.Task.State, s.Task.Since = state.TaskRunning, benchEpoch.Add(-time.Hour)
	for _, s := range l.cl.list() {
		s.Bind.HasData, s.Bind.Ports = true, []uint64{31000, 31001}
		s.Task.HealthySince, s.Task.LaunchedAt = s.Task.Since, s.Task.Since
		l.c.agents[s.Bind.AgentID] = &agent{id: s.Bind.AgentID, hostname: s.Bind.Hostname, active: true, seen: benchEpoch}
	}
	l.cl.Restart = &state.Restart{ID: "logs.r99", Ordered: true, At: benchEpoch, Since: benchEpoch, Total: 7}
	l.cl.nextAsk = benchEpoch
	return l
}

// ask steps the core on its own clock until it asks Elasticsearch, and says when.
func (l *lossy) ask(now time.Time) (time.Time, observe.Request) {
	for range 1000 {
		d := l.c.Step(now, TimerFired{})
		if len(d.Elastic) > 0 {
			return now, d.Elastic[0]
		}
		require.True(l.t, d.Wake.After(now), "it waits for nothing")
		now = d.Wake
	}
	require.FailNow(l.t, "it does not ask")
	return now, observe.Request{}
}

// say answers a question and returns the next, if that is due at once.
func (l *lossy) say(now time.Time, req observe.Request, health string) []observe.Request {
	o := observe.Observation{Seq: req.Seq, Full: req.Full, Away: req.Away, ClusterUUID: "U1", Health: health, MinReplicas: 1}
	if health != "green" {
		o.Unassigned = 1
	}
	for _, s := range l.cl.list() {
		o.Nodes = append(o.Nodes, observe.Node{Name: s.Name})
	}
	return l.c.Step(now, ElasticObserved{Cluster: "logs", Observation: o}).Elastic
}

// A gate may stay closed for hours: the questions, which are dear, become fewer, and
// never so few that a restart of many nodes would wait for them.
func TestAWaitingRestartAsksLessAndLess(t *testing.T) {
	l := restarting(t)
	now, last := benchEpoch, benchEpoch
	var gaps []time.Duration
	for now.Before(benchEpoch.Add(time.Hour)) {
		at, req := l.ask(now)
		gaps = append(gaps, at.Sub(last))
		assert.Equal(t, []string{l.cl.candidate}, req.Away)
		last, now = at, at.Add(time.Millisecond)
		require.Empty(t, l.say(now, req, "yellow"))
	}
	soon := gaps[2]
	assert.LessOrEqual(t, soon, 510*time.Millisecond)
	for i, gap := range gaps {
		assert.LessOrEqual(t, gap, observeWaiting+10*time.Millisecond, "question %d", i)
	}
	assert.Less(t, len(gaps), int(time.Hour/observeWaiting)+40, "questions in an hour")

	at, req := l.ask(now)
	require.Len(t, l.say(at, req, "green"), 1, "the gates are open: the next step is asked for at once")
	assert.Equal(t, state.RestartRestrict, l.cl.Restart.Step)
	l.c.restartStep(l.cl, "")
	assert.Equal(t, observeForming, l.cl.restartPace(l.c.now), "each node starts anew")
}

// Whoever resumes a plan is not kept waiting for the pace.
func TestResumeAsksAtOnce(t *testing.T) {
	l := restarting(t)
	l.cl.Restart.Paused, l.cl.Restart.Since = true, benchEpoch.Add(-time.Hour)
	at, req := l.ask(benchEpoch)
	require.Empty(t, l.say(at.Add(time.Millisecond), req, "green"))
	d := l.c.Step(at.Add(time.Second), PlanControlled{Name: "logs", Verb: PlanResume})
	require.Len(t, d.Elastic, 1)
	assert.Equal(t, []string{l.cl.candidate}, d.Elastic[0].Away)
}

// What the gates hold a restart for holds it also while Elasticsearch restricts
// allocation: an operator's leave may have ended meanwhile.
func TestSecondFailure(t *testing.T) {
	for name, k := range map[string]struct {
		change func(l *lossy, s *slot)
		want   state.RestartStep
	}{
		"all are healthy":              {func(*lossy, *slot) {}, state.RestartStop},
		"another one is away":          {func(l *lossy, _ *slot) { l.lose("logs-data-2") }, state.RestartRelease},
		"a successor has no place yet": {func(l *lossy, _ *slot) { l.lose("logs-data-2"); l.replaced("logs-data-2") }, state.RestartRelease},
		"a successor is launched":      {func(l *lossy, _ *slot) { l.retired("logs-data-2") }, state.RestartRelease},
		"a successor has joined":       {func(l *lossy, _ *slot) { l.lose("logs-data-2"); l.heal(l.replaced("logs-data-2")) }, state.RestartStop},
		"a replaced node is being stopped": {func(l *lossy, _ *slot) {
			o, _ := l.returned("logs-data-2")
			o.killedAt = benchEpoch
		}, state.RestartRelease},
		"it is to be replaced itself": {func(l *lossy, s *slot) { l.lose(s.Name); l.replaced(s.Name) }, state.RestartRelease},
		"by an operator's leave": {func(l *lossy, _ *slot) {
			l.lose("logs-data-2")
			l.replaced("logs-data-2")
			l.cl.Restart.Overrides = []state.Override{{Gate: plan.GateOthersHealthy, Until: benchEpoch.Add(time.Second)}}
		}, state.RestartStop},
		"whose leave has ended": {func(l *lossy, _ *slot) {
			l.lose("logs-data-2")
			l.replaced("logs-data-2")
			l.cl.Restart.Overrides = []state.Override{{Gate: plan.GateOthersHealthy, Until: benchEpoch}}
		}, state.RestartRelease},
	} {
		t.Run(name, func(t *testing.T) {
			l := restarting(t)
			s := l.node("logs-data-1")
			r := l.cl.Restart
			r.Slot, r.Life, r.Step, r.Restricted = s.ID, s.Life, state.RestartRestrict, true
			k.change(l, s)
			l.c.allocationAnswered(l.cl, "")
			assert.Equal(t, k.want, r.Step)
		})
	}
}
