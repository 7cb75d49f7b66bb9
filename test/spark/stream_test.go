package spark

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/berth"
	sparkrig "github.com/berthdata/berth/test/rig/spark"
	"github.com/berthdata/berth/test/rig/sparkjob"
)

// full reports whether what takes long is to be run too: make test-spark.
func full() bool { return os.Getenv("BERTH_TEST_SPARK") == "full" }

// stream is a streaming job that runs, and its input.
type stream struct {
	*world
	name    string
	numbers *sparkjob.Numbers
	stop    func() error
	highest int64 // executor id that was seen
}

// newStream starts a streaming job, and input that goes on.
func newStream(w *world, version string) *stream {
	w.t.Helper()
	s := &stream{world: w, name: "count"}
	var err error
	s.numbers, err = sparkjob.NewNumbers(w.rig, "numbers")
	require.NoError(w.t, err)
	began := time.Now()
	_, err = w.berth.ApplySpark(w.ctx, s.name, sparkjob.Streaming(s.name, version, w.program("count.py"), s.numbers))
	require.NoError(w.t, err)
	_, err = w.berth.WaitExecutors(w.ctx, s.name, 1, 1)
	require.NoError(w.t, err)
	s.took("applied: driver and executor run", began)
	require.NoError(w.t, s.numbers.Write(10))
	s.counts("applied: the first numbers are counted", began)
	s.stop = s.numbers.Keep(w.ctx, 10, 250*time.Millisecond)
	w.t.Cleanup(func() { assert.NoError(w.t, s.stop()) })
	return s
}

func (s *stream) took(what string, since time.Time) {
	s.t.Helper()
	s.t.Logf("%-60s %5.1f s", what, time.Since(since).Seconds())
}

// counts waits until a batch has everything that was written by now.
func (s *stream) counts(what string, since time.Time) {
	s.t.Helper()
	require.NoError(s.t, s.numbers.WaitSeen(s.ctx), what)
	s.took(what, since)
}

// saw remembers the ids of executors.
func (s *stream) saw(v v1.SparkView) v1.SparkView {
	s.highest = max(s.highest, slices.Max(ids(v)))
	return v
}

// ids are the ids of the executors.
func ids(v v1.SparkView) []int64 {
	var out []int64
	for _, x := range v.Status.List {
		out = append(out, x.ExecutorID)
	}
	slices.Sort(out)
	return out
}

// scale orders a number of executors and waits until so many run.
func (s *stream) scale(attempt int64, n int) v1.SparkView {
	s.t.Helper()
	began := time.Now()
	_, err := s.berth.ScaleSpark(s.ctx, s.name, v1.SparkScaling{Count: &n}, "test")
	require.NoError(s.t, err)
	view, err := s.berth.WaitExecutors(s.ctx, s.name, attempt, n)
	require.NoError(s.t, err)
	s.took(fmt.Sprintf("scaled to %d: so many run and are connected", n), began)
	s.counts(fmt.Sprintf("scaled to %d: everything is counted", n), began)
	return s.saw(view)
}

// TestStream: a streaming job that is scaled, and whose parts are killed one after
// the other. Whatever happens, each number is noted exactly once.
func TestStream(t *testing.T) {
	w := newWorld(t, 9*time.Minute, 2, "3.5.9")
	s := newStream(w, "3.5.9")
	up := s.scale(1, 3)
	hosts := map[string]bool{}
	for _, x := range up.Status.List {
		hosts[x.Hostname] = true
	}
	assert.Len(t, hosts, 3, "one per host")
	s.shows()

	before := up
	if full() {
		before = s.executorDies(up)
	}

	// Berth's leader dies: nothing is touched, and the next one knows everything.
	began := time.Now()
	require.NoError(t, w.berth.Process().Kill9(w.ctx))
	dead := w.berth
	w.berth = w.leader(dead)
	s.took(fmt.Sprintf("leader kill -9 (session %s): the next one leads", session), began)
	after, err := w.berth.WaitExecutors(w.ctx, s.name, 1, 3)
	require.NoError(t, err)
	s.took("leader kill -9: the driver has called the next one", began)
	s.counts("leader kill -9: everything is counted", began)
	assert.Equal(t, ids(before), ids(after), "the executors are adopted")
	assert.Equal(t, before.Status.Driver.TaskID, after.Status.Driver.TaskID)
	assert.Equal(t, 3, after.Status.Scale.Wanted, "the operator's number survives")
	require.NoError(t, dead.Restart())

	down := after
	if full() {
		down = s.scale(1, 1)
		assert.Subset(t, ids(after), ids(down), "one of those that were there is left")
	}

	again := s.driverDies(down)
	if full() {
		s.drains()
	}

	require.NoError(t, s.stop())
	require.NoError(t, s.numbers.WaitSeen(w.ctx))
	require.NoError(t, s.numbers.Check())
	batches, err := s.numbers.Batches()
	require.NoError(t, err)
	attempts := map[int64]int{}
	for _, b := range batches {
		assert.Equal(t, again.Status.AppID, b.Application, "Spark has Berth's id")
		attempts[b.Attempt]++
	}
	assert.Len(t, attempts, 2, "both attempts have counted")
	t.Logf("%d numbers in %d batches of attempts %v, each exactly once", s.numbers.Written(), len(batches), attempts)
	s.killed()
}

// TestStreamOnTheNewestSpark: the same job on the other line, scaled and with its
// driver killed.
func TestStreamOnTheNewestSpark(t *testing.T) {
	version := sparkrig.Versions[len(sparkrig.Versions)-1]
	if !full() {
		t.Skip("only in make test-spark")
	}
	w := newWorld(t, 6*time.Minute, 1, version)
	s := newStream(w, version)
	before := s.scale(1, 2)
	s.driverDies(before)
	require.NoError(t, s.stop())
	require.NoError(t, s.numbers.WaitSeen(w.ctx))
	require.NoError(t, s.numbers.Check())
	s.killed()
}

// driverDies kills the driver: the next attempt goes on in place on the checkpoint,
// with as many executors.
func (s *stream) driverDies(before v1.SparkView) v1.SparkView {
	s.t.Helper()
	was := before.Status
	began := time.Now()
	_, err := berth.KillSparkDriver(s.rig.Dir(), was.Driver.Name)
	require.NoError(s.t, err)
	again, err := s.berth.WaitSpark(s.ctx, s.name, "in the next attempt", func(st v1.SparkStatus) bool {
		return st.Attempt == was.Attempt+1 && st.Phase == "Running"
	})
	require.NoError(s.t, err)
	s.took("driver kill -9: the next attempt is registered", began)
	again, err = s.berth.WaitExecutors(s.ctx, s.name, was.Attempt+1, len(was.List))
	require.NoError(s.t, err)
	s.took("driver kill -9: its executors are connected", began)
	s.counts("driver kill -9: everything is counted", began)
	assert.Equal(s.t, was.AppID, again.Status.AppID)
	assert.Equal(s.t, was.Driver.AgentID, again.Status.Driver.AgentID, "in place")
	assert.Greater(s.t, ids(again)[0], s.highest, "executor ids are never used twice")
	require.Len(s.t, again.Status.Attempts, int(was.Attempt))
	assert.Equal(s.t, "FAILED", again.Status.Attempts[0].State)
	return s.saw(again)
}

// shows demands the driver's UI and what its stream does, through Berth.
func (s *stream) shows() {
	s.t.Helper()
	get := func(path string) ([]byte, error) {
		req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.berth.URL()+"/v1/spark/"+s.name+path, nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", resp.Status, body)
		}
		return body, err
	}
	page, err := get("/ui/executors/")
	require.NoError(s.t, err)
	assert.Contains(s.t, string(page), "<title>count - Executors")
	assert.Contains(s.t, string(page), "/v1/spark/count/ui/static/", "it finds its parts through Berth")
	require.NoError(s.t, rig.Eventually(s.ctx, 500*time.Millisecond, "the stream's metrics", func(context.Context) error {
		body, err := get("/metrics")
		if err != nil {
			return err
		}
		var m v1.SparkMetrics
		if err := json.Unmarshal(body, &m); err != nil {
			return err
		}
		if len(m.Streams) != 1 || m.Streams[0].Kind != v1.SparkStructured || m.Streams[0].InputRate <= 0 || m.Executors.Running != 3 {
			return fmt.Errorf("they are %s", body)
		}
		return nil
	}))
}

// executorDies kills an executor of three: another one with a new id takes its place.
func (s *stream) executorDies(up v1.SparkView) v1.SparkView {
	s.t.Helper()
	victim := up.Status.List[1]
	began := time.Now()
	_, err := berth.KillSparkExecutor(s.rig.Dir(), victim.Name)
	require.NoError(s.t, err)
	replaced, err := s.berth.WaitSpark(s.ctx, s.name, "with another executor", func(st v1.SparkStatus) bool {
		return st.Scale.Running == 3 && len(st.List) == 3 && !slices.ContainsFunc(st.List, func(x v1.SparkTaskView) bool {
			return x.ExecutorID == victim.ExecutorID || !x.Registered
		})
	})
	require.NoError(s.t, err)
	s.took("executor kill -9: another one is connected", began)
	s.counts("executor kill -9: everything is counted", began)
	assert.EqualValues(s.t, 1, replaced.Status.Attempt, "the driver is not touched")
	return s.saw(replaced)
}

// drains takes an agent with an executor away in order: another executor takes its
// place on another agent, and the driver is not touched.
func (s *stream) drains() {
	s.t.Helper()
	view := s.scale(2, 2)
	driver := view.Status.Driver
	victim := view.Status.List[0]
	if victim.AgentID == driver.AgentID {
		victim = view.Status.List[1]
	}
	began := time.Now()
	agent := s.mesos.Agent(victim.Hostname)
	require.NotNil(s.t, agent)
	require.NoError(s.t, s.mesos.Drain(s.ctx, agent, time.Minute))
	view, err := s.berth.WaitSpark(s.ctx, s.name, "away from "+victim.Hostname, func(st v1.SparkStatus) bool {
		return len(st.List) == 2 && st.Scale.Running == 2 && !slices.ContainsFunc(st.List, func(x v1.SparkTaskView) bool {
			return x.Hostname == victim.Hostname || !x.Registered
		})
	})
	require.NoError(s.t, err)
	s.took("agent drained: another executor is connected elsewhere", began)
	s.counts("agent drained: everything is counted", began)
	require.NoError(s.t, s.mesos.WaitDrained(s.ctx, agent))
	assert.Equal(s.t, driver.TaskID, view.Status.Driver.TaskID)
}

// killed kills the application by order: everything goes but the checkpoint volume.
func (s *stream) killed() {
	s.t.Helper()
	began := time.Now()
	_, err := s.berth.KillSpark(s.ctx, s.name, "end of test")
	require.NoError(s.t, err)
	view, err := s.berth.WaitSpark(s.ctx, s.name, "over", ended)
	require.NoError(s.t, err)
	s.took("killed by order: over", began)
	assert.Equal(s.t, "Killed", view.Status.Phase)
	require.NoError(s.t, s.numbers.Check())
	require.NoError(s.t, rig.Eventually(s.ctx, 100*time.Millisecond, "the end of all tasks", func(ctx context.Context) error {
		tasks, err := s.mesos.Tasks(ctx)
		if err == nil && len(tasks) > 0 {
			err = fmt.Errorf("%d run, one is %s", len(tasks), tasks[0].TaskID.Value)
		}
		return err
	}))
	volumes := 0
	for _, a := range s.mesos.Agents() {
		v, err := s.mesos.Volumes(s.ctx, a)
		require.NoError(s.t, err)
		volumes += len(v)
	}
	assert.Equal(s.t, 1, volumes, "the checkpoint's is kept: only an order destroys data")
}
