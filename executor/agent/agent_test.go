package agent

import (
	"context"

	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	mesosexec "github.com/mesos/mesos-go/api/v1/lib/executor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/agent/agenttest"
	"github.com/berthdata/berth/executor/workload"
)

const taskID = agenttest.ExecutorID

// runner is a workload whose life the test directs.
type runner struct {
	emit    chan workload.Status
	exit    chan workload.Exit
	graces  chan time.Duration
	told    chan executor.Message
	started chan struct{}
	// stubborn runners do not end when they are asked to.
	stubborn bool
}

func newRunner() *runner {
	return &runner{
		emit: make(chan workload.Status), exit: make(chan workload.Exit, 1), graces: make(chan time.Duration, 8),
		told: make(chan executor.Message, 8), started: make(chan struct{}),
	}
}

func (r *runner) Run(ctx context.Context, emit func(workload.Status)) workload.Exit {
	close(r.started)
	for {
		select {
		case s := <-r.emit:
			emit(s)
		case x := <-r.exit:
			return x
		case <-ctx.Done():
			return workload.Exit{Message: "killed at once", Report: executor.Report{Phase: executor.PhaseExited}}
		}
	}
}

func (r *runner) Stop(grace time.Duration) {
	r.graces <- grace
	if !r.stubborn {
		r.end("stopped")
	}
}

func (r *runner) Tell(m executor.Message) { r.told <- m }

func (r *runner) end(message string) {
	select {
	case r.exit <- workload.Exit{Message: message, Report: executor.Report{Phase: executor.PhaseExited, ExitCode: 3}}:
	default:
	}
}

// rig is an executor under a stand-in agent.
type rig struct {
	t      *testing.T
	agent  *agenttest.Agent
	runner *runner
	cancel context.CancelFunc
	done   chan error
}

func start(t *testing.T, change func(*Config), runners ...*runner) *rig {
	g := &rig{t: t, agent: agenttest.New(t), runner: newRunner(), done: make(chan error, 1)}
	if len(runners) > 0 {
		g.runner = runners[0]
	}
	env := g.agent.Env(t.TempDir())
	config, err := ConfigFromEnv(func(name string) string { return env[name] })
	require.NoError(t, err)
	if change != nil {
		change(&config)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	go func() {
		g.done <- Run(ctx, Options{
			Config: config,
			Kinds:  map[string]workload.New{"test": func(executor.Launch, workload.Env) workload.Runner { return g.runner }},
			Log:    zaptest.NewLogger(t),
		})
		close(g.done)
	}()
	t.Cleanup(func() {
		g.runner.end("test is over")
		cancel()
		g.agent.Down()
		select {
		case <-g.done:
		case <-time.After(20 * time.Second):
			t.Error("the executor did not end")
		}
	})
	return g
}

func (g *rig) launch() {
	g.t.Helper()
	data, err := executor.Launch{Version: executor.LaunchVersion, Kind: "test", TaskID: taskID, GraceSeconds: 30}.Encode()
	require.NoError(g.t, err)
	g.agent.Launch(taskID, data)
	g.agent.WaitUpdate(taskID, mesos.TASK_STARTING)
}

func (g *rig) emit(phase string, healthy bool) {
	g.runner.emit <- workload.Status{Healthy: healthy, Message: phase, Report: executor.Report{Phase: phase}}
}

func (g *rig) left() error {
	g.t.Helper()
	select {
	case err := <-g.done:
		return err
	case <-time.After(20 * time.Second):
		g.t.Fatal("the executor did not end")
		return nil
	}
}

func (g *rig) running() {
	g.t.Helper()
	select {
	case err := <-g.done:
		g.t.Fatalf("the executor ended: %v", err)
	default:
	}
}

func phases(updates []mesos.TaskStatus) (out []string) {
	for _, s := range updates {
		r, _ := executor.DecodeReport(s.Data)
		out = append(out, s.GetState().String()+" "+r.Phase)
	}
	return out
}

// Work that is done is no failure; who was asked to stop was killed all the same.
func TestFinishedWork(t *testing.T) {
	done := workload.Exit{Finished: true, Message: "done", Report: executor.Report{Phase: executor.PhaseExited}}
	for _, killed := range []bool{false, true} {
		r := newRunner()
		r.stubborn = true
		g := start(t, nil, r)
		g.launch()
		want := "TASK_FINISHED exited"
		if killed {
			g.agent.Kill(taskID, -1)
			<-r.graces
			want = "TASK_KILLED exited"
		}
		r.exit <- done
		assert.NoError(t, g.left())
		updates := phases(g.agent.Updates())
		assert.Equal(t, want, updates[len(updates)-1])
	}
}

func TestLifeOfATask(t *testing.T) {
	g := start(t, nil)
	g.launch()
	g.emit(executor.PhaseStarting, false)
	g.emit(executor.PhaseJoined, true)
	g.emit(executor.PhaseAnswering, false)
	g.runner.end("node exited")
	assert.NoError(t, g.left())

	updates := g.agent.Updates()
	assert.Equal(t, []string{"TASK_STARTING starting", "TASK_RUNNING starting", "TASK_RUNNING joined", "TASK_RUNNING answering", "TASK_FAILED exited"}, phases(updates))
	assert.Nil(t, updates[0].Healthy)
	assert.Nil(t, updates[1].Reason)
	assert.True(t, updates[2].GetHealthy())
	assert.Equal(t, mesos.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED, updates[2].GetReason())
	assert.False(t, updates[3].GetHealthy())
	assert.Equal(t, "node exited", updates[4].GetMessage())
	seen := map[string]bool{}
	for _, s := range updates {
		assert.Len(t, s.UUID, 16)
		assert.False(t, seen[string(s.UUID)], "every update has a uuid of its own")
		seen[string(s.UUID)] = true
		assert.Equal(t, mesos.SOURCE_EXECUTOR, s.GetSource())
		assert.InDelta(t, float64(time.Now().Unix()), s.GetTimestamp(), 60)
	}
}

func TestKill(t *testing.T) {
	for name, tc := range map[string]struct{ sent, want time.Duration }{
		"with a policy of its own": {7 * time.Second, 7 * time.Second},
		"with none":                {-1, 30 * time.Second},
		"at once":                  {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, nil)
			g.launch()
			g.agent.Kill("another-task", 0)
			g.agent.Kill(taskID, tc.sent)
			assert.NoError(t, g.left())
			assert.Equal(t, tc.want, <-g.runner.graces)
			g.agent.WaitUpdate(taskID, mesos.TASK_KILLED)
		})
	}
}

func TestKillPolicyOfTheTask(t *testing.T) {
	g := start(t, nil)
	data, err := executor.Launch{Version: executor.LaunchVersion, Kind: "test", TaskID: taskID, GraceSeconds: 30}.Encode()
	require.NoError(t, err)
	task := agenttest.Task(taskID, data)
	task.KillPolicy = &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: int64(11 * time.Second)}}
	g.agent.Send(&mesosexec.Event{Type: mesosexec.Event_LAUNCH, Launch: &mesosexec.Event_Launch{Task: task}})
	g.agent.Kill(taskID, -1)
	assert.Equal(t, 11*time.Second, <-g.runner.graces)
}

func TestSecondKillShortens(t *testing.T) {
	r := newRunner()
	r.stubborn = true
	g := start(t, nil, r)
	g.launch()
	g.agent.Kill(taskID, -1)
	g.agent.Kill(taskID, 0)
	assert.Equal(t, 30*time.Second, <-r.graces)
	assert.Equal(t, time.Duration(0), <-r.graces)
	r.end("killed")
	assert.NoError(t, g.left())
}

func TestShutdown(t *testing.T) {
	g := start(t, nil)
	g.launch()
	g.agent.Send(&mesosexec.Event{Type: mesosexec.Event_SHUTDOWN})
	assert.Equal(t, 3*time.Second, <-g.runner.graces, "it is over before the agent's 5 s are")
	assert.NoError(t, g.left())
	g.agent.WaitUpdate(taskID, mesos.TASK_KILLED)
}

func TestShutdownWithoutATask(t *testing.T) {
	g := start(t, nil)
	g.agent.Send(&mesosexec.Event{Type: mesosexec.Event_SHUTDOWN})
	assert.NoError(t, g.left())
}

func TestShutdownIsBounded(t *testing.T) {
	r := newRunner()
	r.stubborn = true
	g := start(t, func(c *Config) { c.ShutdownGrace = 200 * time.Millisecond }, r)
	g.launch()
	g.agent.Send(&mesosexec.Event{Type: mesosexec.Event_SHUTDOWN})
	assert.NoError(t, g.left(), "the runner is killed when patience ends")
}

func TestSignalEndsTheTaskGracefully(t *testing.T) {
	g := start(t, nil)
	g.launch()
	g.cancel()
	assert.NoError(t, g.left())
	assert.Equal(t, 30*time.Second, <-g.runner.graces)
	g.agent.WaitUpdate(taskID, mesos.TASK_KILLED)
}

func TestOneTaskOnly(t *testing.T) {
	g := start(t, nil)
	g.launch()
	g.agent.Launch("another-task", []byte(`{}`))
	s := g.agent.WaitUpdate("another-task", mesos.TASK_ERROR)
	assert.Contains(t, s.GetMessage(), "one task")

	// The same task again is no second one, and no reason to end the first.
	data, err := executor.Launch{Version: executor.LaunchVersion, Kind: "test", TaskID: taskID}.Encode()
	require.NoError(t, err)
	g.agent.Launch(taskID, data)
	g.agent.Send(&mesosexec.Event{Type: mesosexec.Event_MESSAGE, Message: &mesosexec.Event_Message{Data: []byte(`{"seedHosts":["a:1"]}`)}})
	<-g.runner.told // so the launch before it was handled
	g.emit(executor.PhaseJoined, true)
	g.agent.WaitUpdate(taskID, mesos.TASK_RUNNING)
	assert.Len(t, g.agent.Updates(), 3, "starting, the other's error, joined")
}

func TestGroupsAreRefused(t *testing.T) {
	g := start(t, nil)
	group := mesos.TaskGroupInfo{Tasks: []mesos.TaskInfo{agenttest.Task("a", nil), agenttest.Task("b", nil)}}
	g.agent.Send(&mesosexec.Event{Type: mesosexec.Event_LAUNCH_GROUP, LaunchGroup: &mesosexec.Event_LaunchGroup{TaskGroup: group}})
	for _, id := range []string{"a", "b"} {
		assert.Contains(t, g.agent.WaitUpdate(id, mesos.TASK_ERROR).GetMessage(), "no task groups")
	}
	g.launch()
}

func TestBadLaunchDocuments(t *testing.T) {
	for says, data := range map[string]string{
		"version is 99":  `{"version":99,"kind":"test","taskId":"it-data-0.1"}`,
		"unknown field":  `{"version":1,"kind":"test","taskId":"it-data-0.1","new":1}`,
		"does not run":   `{"version":1,"kind":"spark","taskId":"it-data-0.1","graceSeconds":0}`,
		"but the task":   `{"version":1,"kind":"test","taskId":"other","graceSeconds":0}`,
		"launch documen": ``,
	} {
		g := start(t, nil)
		g.agent.Launch(taskID, []byte(data))
		s := g.agent.WaitUpdate(taskID, mesos.TASK_ERROR)
		assert.Contains(t, s.GetMessage(), says)
		assert.Equal(t, mesos.REASON_TASK_INVALID, s.GetReason())
		assert.NoError(t, g.left())
	}
}

// With checkpoints the task goes on while the agent is away, and the next
// subscription repeats what was not acknowledged, in order.
func TestAgentRestart(t *testing.T) {
	g := start(t, nil)
	g.launch()
	g.emit(executor.PhaseStarting, false)
	g.agent.Wait("running", func(u []mesos.TaskStatus) bool { return len(u) == 2 })
	g.agent.Down()
	g.agent.WaitKnock()
	g.emit(executor.PhaseJoined, true)
	g.emit(executor.PhaseAnswering, false)
	g.running()
	g.agent.Up()
	sub := g.agent.WaitSubscription(2)
	got := phases(sub.Updates)
	require.GreaterOrEqual(t, len(got), 2)
	assert.Equal(t, []string{"TASK_RUNNING joined", "TASK_RUNNING answering"}, got[len(got)-2:])
	g.runner.end("over")
	assert.NoError(t, g.left())
	assert.Equal(t, []string{"TASK_STARTING starting", "TASK_RUNNING starting", "TASK_RUNNING joined", "TASK_RUNNING answering", "TASK_FAILED exited"}, phases(g.agent.Updates()))
	assert.Equal(t, 3, g.agent.UpdateCalls(), "what the subscription repeated is not sent besides")
	assert.Empty(t, g.runner.graces, "nobody stopped it")
}

// Until an update of it is acknowledged, the task itself is repeated too.
func TestUnacknowledgedTaskIsRepeated(t *testing.T) {
	g := start(t, nil)
	g.agent.Silent(true)
	g.launch()
	g.agent.Drop()
	sub := g.agent.WaitSubscription(2)
	assert.Equal(t, []string{taskID}, sub.Tasks)
	require.Len(t, sub.Updates, 1)
	assert.Equal(t, g.agent.Updates()[0].UUID, sub.Updates[0].UUID, "the same update, not a new one")

	g.agent.Silent(false)
	g.agent.Drop()
	g.agent.WaitSubscription(3)
	g.emit(executor.PhaseJoined, true)
	g.agent.Wait("joined", func(u []mesos.TaskStatus) bool { return len(u) == 2 })
	// Subscription 3 acknowledged the first update before it took the second.
	g.agent.Drop()
	assert.Empty(t, g.agent.WaitSubscription(4).Tasks)
}

func TestWithoutCheckpointTheTaskEndsWithTheAgent(t *testing.T) {
	g := start(t, func(c *Config) { c.Checkpoint = false })
	g.launch()
	g.agent.Down()
	assert.NoError(t, g.left())
	assert.Equal(t, 30*time.Second, <-g.runner.graces)
}

func TestAgentThatNeverComesBack(t *testing.T) {
	g := start(t, func(c *Config) { c.RecoveryTimeout = 300 * time.Millisecond })
	g.launch()
	begin := time.Now()
	g.agent.Down()
	assert.NoError(t, g.left())
	assert.GreaterOrEqual(t, time.Since(begin), 300*time.Millisecond)
	assert.Equal(t, 30*time.Second, <-g.runner.graces)
}

func TestAgentThatWasNeverThere(t *testing.T) {
	g := start(t, func(c *Config) {
		c.URL = "http://127.0.0.1:1/slave(1)/api/v1/executor"
		c.RecoveryTimeout = time.Second
	})
	assert.ErrorContains(t, g.left(), "could not be reached")
}

// The end of a task waits for an agent that is away.
func TestTaskEndsWhileTheAgentIsAway(t *testing.T) {
	g := start(t, nil)
	g.launch()
	g.agent.Down()
	g.agent.WaitKnock()
	g.runner.end("died alone")
	g.agent.WaitKnock()
	g.running()
	g.agent.Up()
	assert.NoError(t, g.left())
	assert.Equal(t, "died alone", g.agent.WaitUpdate(taskID, mesos.TASK_FAILED).GetMessage())
}

// Whoever ends the executor by a signal while the agent is away does not wait
// for the agent.
func TestSignalAfterTheEndOfTheTask(t *testing.T) {
	g := start(t, nil)
	g.launch()
	g.agent.Down()
	g.runner.end("died alone")
	g.running()
	g.cancel()
	assert.NoError(t, g.left())
}

func TestUnacknowledgedEndIsBounded(t *testing.T) {
	g := start(t, func(c *Config) { c.Checkpoint, c.ShutdownGrace = false, 300*time.Millisecond })
	g.launch()
	g.agent.Silent(true)
	g.runner.end("over")
	assert.NoError(t, g.left())
}

// An update that is not taken ends the subscription, so that nothing overtakes it.
func TestRefusedUpdateIsRepeated(t *testing.T) {
	g := start(t, nil)
	g.launch()
	g.agent.RefuseUpdates(true)
	g.emit(executor.PhaseStarting, false)
	g.emit(executor.PhaseJoined, true)
	g.agent.WaitSubscription(2)
	g.agent.RefuseUpdates(false)
	g.agent.Wait("both", func(u []mesos.TaskStatus) bool { return len(u) == 3 })
	assert.Equal(t, []string{"TASK_STARTING starting", "TASK_RUNNING starting", "TASK_RUNNING joined"}, phases(g.agent.Updates()))
}

func TestNoiseOnTheStream(t *testing.T) {
	for name, noise := range map[string]string{
		"no length":        "hello\n",
		"an absurd length": "18446744073709551615\n",
		"a negative one":   "-1\n",
		"no protobuf":      "3\n\xff\xff\xff",
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, nil)
			g.launch()
			g.agent.SendBytes([]byte(noise))
			g.agent.WaitSubscription(2)
			g.emit(executor.PhaseJoined, true)
			g.agent.Wait("joined", func(u []mesos.TaskStatus) bool { return len(u) == 2 })
		})
	}
}

func TestOtherEvents(t *testing.T) {
	g := start(t, nil)
	g.agent.Send(&mesosexec.Event{Type: mesosexec.Event_HEARTBEAT})
	g.agent.Send(&mesosexec.Event{Type: mesosexec.Event_UNKNOWN})
	g.agent.Send(&mesosexec.Event{Type: mesosexec.Event_MESSAGE, Message: &mesosexec.Event_Message{Data: []byte("{}")}})
	g.launch()
	g.agent.Send(&mesosexec.Event{Type: mesosexec.Event_MESSAGE, Message: &mesosexec.Event_Message{Data: []byte("no JSON")}})
	g.agent.Send(&mesosexec.Event{Type: mesosexec.Event_MESSAGE, Message: &mesosexec.Event_Message{Data: []byte(`{"seedHosts":["a:1"]}`)}})
	assert.Equal(t, executor.Message{SeedHosts: []string{"a:1"}}, <-g.runner.told)
	g.agent.Send(&mesosexec.Event{Type: mesosexec.Event_ERROR, Error: &mesosexec.Event_Error{Message: "what?"}})
	g.agent.WaitSubscription(2)
	g.emit(executor.PhaseJoined, true)
	g.agent.Wait("joined", func(u []mesos.TaskStatus) bool { return len(u) == 2 })
}
