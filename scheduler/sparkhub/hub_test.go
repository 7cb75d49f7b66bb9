package sparkhub_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/sparkhub"
)

const (
	epoch    = 7
	appID    = "berth-etl-1"
	patience = 20 * time.Second
)

// core stands in for the runner: it notes what reaches it and answers with answer.
type core struct {
	mu     sync.Mutex
	syncs  []scheduler.SparkSynced
	beats  chan scheduler.SparkHeartbeat
	answer func(scheduler.SparkSynced) error
}

func (c *core) Reply(_ context.Context, ev func(scheduler.ReplyID) scheduler.Event) (scheduler.Reply, error) {
	e := ev(1).(scheduler.SparkSynced)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.syncs = append(c.syncs, e)
	if c.answer != nil {
		return scheduler.Reply{}, c.answer(e)
	}
	return scheduler.Reply{Spark: &scheduler.SparkAnswer{}}, nil
}

func (c *core) Post(ctx context.Context, ev scheduler.Event) error {
	select {
	case c.beats <- ev.(scheduler.SparkHeartbeat):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *core) reached() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.syncs)
}

// clock is a time that tests set.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type world struct {
	*sparkhub.Hub
	core  *core
	clock *clock
}

func newWorld() *world {
	c := &clock{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	h := sparkhub.New(epoch, c.now)
	h.LookEvery(time.Millisecond)
	return &world{Hub: h, core: &core{beats: make(chan scheduler.SparkHeartbeat, 100)}, clock: c}
}

var bounds = v1.SparkBounds{Revision: 3, Min: 1, Max: 5}

// standing is a driver that is registered, with events to tell.
func standing(attempt int64, ids ...int) scheduler.SparkNotice {
	n := scheduler.SparkNotice{AppID: appID, SparkStanding: scheduler.SparkStanding{Attempt: attempt, Registered: true, Bounds: bounds, TargetGeneration: 4}}
	for _, id := range ids {
		n.Events = append(n.Events, v1.SparkDriverEvent{Type: v1.SparkExecutorExited, ExecutorID: strconv.Itoa(id)})
	}
	return n
}

func (w *world) notify(n scheduler.SparkNotice) { w.Notify([]scheduler.SparkNotice{n}) }

// sync is a sync of a driver that knows everything but events, change after change.
func request(after int64, change ...func(*v1.SparkSync)) v1.SparkSync {
	s := v1.SparkSync{Protocol: 1, AttemptID: 1, Epoch: epoch, After: after, BoundsRevision: 3, Generation: 4, RegisteredExecutors: []string{"2", "1"}}
	for _, c := range change {
		c(&s)
	}
	return s
}

func waiting(d time.Duration) func(*v1.SparkSync) {
	return func(s *v1.SparkSync) { s.WaitMs = d.Milliseconds() }
}

func (w *world) sync(t *testing.T, s v1.SparkSync) v1.SparkSynced {
	t.Helper()
	out, err := w.Sync(t.Context(), w.core, appID, s)
	require.NoError(t, err)
	return out
}

func ids(out v1.SparkSynced) (list []string) {
	for _, e := range out.Events {
		list = append(list, fmt.Sprintf("%d:%s", e.Seq, e.ExecutorID))
	}
	return list
}

func TestNewsIsAnsweredAtOnce(t *testing.T) {
	w := newWorld()
	w.notify(standing(1, 5, 6))
	long := waiting(time.Hour) // whoever waits for it fails the test's deadline
	assert.Equal(t, []string{"1:5", "2:6"}, ids(w.sync(t, request(0, long))))
	assert.Equal(t, []string{"2:6"}, ids(w.sync(t, request(1, long))))
	out := w.sync(t, request(2, long, func(s *v1.SparkSync) { s.BoundsRevision = 2 }))
	assert.Equal(t, v1.SparkSynced{Protocol: 1, Epoch: epoch, Events: []v1.SparkDriverEvent{}, Bounds: bounds, TargetGeneration: 4}, out)
	out = w.sync(t, request(2, long, func(s *v1.SparkSync) { s.Generation = 5 }))
	assert.EqualValues(t, 4, out.TargetGeneration, "the driver is to send its target again")
}

func TestWithoutNewsASyncIsHeldForItsTime(t *testing.T) {
	w := newWorld()
	w.notify(standing(1))
	began := time.Now()
	assert.Empty(t, w.sync(t, request(0, waiting(50*time.Millisecond))).Events)
	assert.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
	assert.Empty(t, w.sync(t, request(0)).Events, "no time: no waiting")
}

// held starts a sync that has no news, and gives back its answer's channel.
func (w *world) held(t *testing.T, s v1.SparkSync) <-chan error {
	t.Helper()
	before := w.core.reached()
	s.MaxExecutorID = int64(before) + 100 // says something new, so that it is seen to arrive
	done := make(chan error, 1)
	go func() {
		_, err := w.Sync(t.Context(), w.core, appID, s)
		done <- err
	}()
	require.Eventually(t, func() bool { return w.core.reached() > before }, patience, time.Millisecond)
	return done
}

func answered(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatal("the sync is still held")
		return nil
	}
}

func TestHeldSyncsEnd(t *testing.T) {
	problem := func(code string) func(t *testing.T, err error) {
		return func(t *testing.T, err error) {
			var p *v1.Problem
			require.ErrorAs(t, err, &p)
			assert.Equal(t, code, p.Code)
		}
	}
	fine := func(t *testing.T, err error) { require.NoError(t, err) }
	for name, c := range map[string]struct {
		happens func(t *testing.T, w *world)
		then    func(t *testing.T, err error)
	}{
		"by an event":          {func(_ *testing.T, w *world) { w.notify(standing(1, 9)) }, fine},
		"by a newer sync":      {func(t *testing.T, w *world) { w.sync(t, request(0)) }, fine},
		"by the end of a term": {func(_ *testing.T, w *world) { w.Close(); w.Close() }, problem(v1.CodeNotLeader)},
		"by a kill": {func(_ *testing.T, w *world) {
			n := standing(1)
			n.Over = v1.ProblemSparkEnded(appID, "killed")
			w.notify(n)
		}, problem(v1.CodeSparkEnded)},
		"by the next attempt": {func(_ *testing.T, w *world) { w.notify(standing(2)) }, problem(v1.CodeSparkSuperseded)},
		"by a registration that is gone": {func(_ *testing.T, w *world) {
			n := standing(1)
			n.Registered = false
			w.notify(n)
		}, problem(v1.CodeSparkUnknown)},
		"by the application's removal": {func(_ *testing.T, w *world) { w.notify(scheduler.SparkNotice{AppID: appID, Gone: true}) }, problem(v1.CodeSparkUnknown)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.notify(standing(1))
			done := w.held(t, request(0, waiting(time.Hour)))
			c.happens(t, w)
			c.then(t, answered(t, done))
		})
	}
}

// The core hears of a sync that says something new, and of no other.
func TestOnlyWhatIsNewReachesTheCore(t *testing.T) {
	w := newWorld()
	w.notify(standing(1))
	w.sync(t, request(0))
	w.sync(t, request(0))
	w.sync(t, request(0, func(s *v1.SparkSync) { s.RegisteredExecutors = []string{"1", "2"} })) // the same in another order
	assert.Equal(t, 1, w.core.reached())
	for i, change := range []func(*v1.SparkSync){
		func(s *v1.SparkSync) { s.RegisteredExecutors = []string{"1"} },
		func(s *v1.SparkSync) { s.Killing = []string{"1"} },
		func(s *v1.SparkSync) { s.MaxExecutorID = 9 },
		func(s *v1.SparkSync) { s.RegisteredExecutors, s.Killing = []string{}, []string{"1", "2"} },
	} {
		w.sync(t, request(0, change))
		assert.Equal(t, i+2, w.core.reached())
	}
	assert.False(t, w.core.syncs[0].Restate)
}

// A driver of another numbering is told what is still true, and nothing of before.
func TestAnotherEpochIsRestated(t *testing.T) {
	w := newWorld()
	w.notify(standing(1, 1, 2))
	w.core.answer = func(e scheduler.SparkSynced) error {
		assert.True(t, e.Restate)
		w.notify(standing(1, 2))
		return nil
	}
	for _, other := range []int64{0, epoch - 1, epoch + 1} {
		out := w.sync(t, request(99, func(s *v1.SparkSync) { s.Epoch = other }))
		require.Len(t, out.Events, 1)
		assert.Equal(t, "2", out.Events[0].ExecutorID)
		assert.EqualValues(t, epoch, out.Epoch)
	}
	assert.Equal(t, 3, w.core.reached(), "each time, though the driver says the same")
}

func TestWhatTheCoreRefusesIsAnswered(t *testing.T) {
	w := newWorld()
	refusal := v1.ProblemSparkUnknown(appID)
	w.core.answer = func(scheduler.SparkSynced) error { return refusal }
	_, err := w.Sync(t.Context(), w.core, appID, request(0))
	assert.Equal(t, refusal, err)
	w.notify(standing(2))
	_, err = w.Sync(t.Context(), w.core, appID, request(0)) // of attempt 1
	assert.Equal(t, refusal, err)
	assert.Equal(t, 2, w.core.reached())
}

// Numbers rise over attempts, events of an attempt are not told to the next one.
func TestTheNextAttemptHearsOfItsOwn(t *testing.T) {
	w := newWorld()
	w.notify(standing(1, 1, 2))
	n := standing(2, 3)
	w.notify(n)
	out := w.sync(t, request(0, func(s *v1.SparkSync) { s.AttemptID = 2 }))
	assert.Equal(t, []string{"3:3"}, ids(out))
}

func TestEventsComeInPortionsAndAreBounded(t *testing.T) {
	w := newWorld()
	for i := range 21_500 {
		w.notify(standing(1, i))
	}
	out := w.sync(t, request(0))
	require.Len(t, out.Events, 1000)
	assert.EqualValues(t, 1501, out.Events[0].Seq, "the oldest are gone, and the gap says so")
	seen := out.Events[999].Seq
	for range 19 {
		out = w.sync(t, request(seen))
		require.Len(t, out.Events, 1000)
		require.Equal(t, seen+1, out.Events[0].Seq)
		seen = out.Events[999].Seq
	}
	assert.EqualValues(t, 21_500, seen)
	assert.Empty(t, w.sync(t, request(seen)).Events)
	assert.Empty(t, w.sync(t, request(0)).Events, "what was handled is forgotten")
}

// A driver that does not call is reported once, and once again when it does.
func TestSilence(t *testing.T) {
	w := newWorld()
	w.notify(standing(1))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx, w.core)
	}()
	beat := func() scheduler.SparkHeartbeat {
		t.Helper()
		select {
		case b := <-w.core.beats:
			return b
		case <-time.After(patience):
			t.Fatal("no word of the driver")
			return scheduler.SparkHeartbeat{}
		}
	}
	since := w.clock.now()
	w.clock.add(2 * time.Minute)
	assert.Equal(t, scheduler.SparkHeartbeat{AppID: appID, Attempt: 1, SilentSince: since}, beat())
	reached := w.core.reached()
	w.sync(t, request(0))
	w.sync(t, request(0))
	assert.Equal(t, reached+1, w.core.reached(), "the first call after the silence tells the core")
	cancel()
	<-ended
	assert.Empty(t, w.core.beats)
	_, err := w.Sync(t.Context(), w.core, appID, request(0, waiting(time.Hour)))
	var p *v1.Problem
	require.ErrorAs(t, err, &p)
	assert.Equal(t, v1.CodeNotLeader, p.Code)
}

// A driver whose sync is held is not silent, however long that takes.
func TestAHeldSyncIsNoSilence(t *testing.T) {
	w := newWorld()
	w.notify(standing(1))
	done := w.held(t, request(0, waiting(time.Hour)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	other := "berth-mute-2"
	mute := standing(1)
	mute.AppID = other
	w.notify(mute)
	w.clock.add(2 * time.Minute)
	go func() {
		defer close(ended)
		w.Run(ctx, w.core)
	}()
	assert.Equal(t, other, (<-w.core.beats).AppID, "one that does not sync is")
	cancel()
	<-ended
	require.Error(t, answered(t, done))
	assert.Empty(t, w.core.beats)
}
