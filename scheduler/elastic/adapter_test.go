package elastic

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s after %v", what, patience)
		panic("unreachable")
	}
}

// TestRotation: every request starts at another node, and one that is down
// costs no observation.
func TestRotation(t *testing.T) {
	fakes := []*fake{newFake(t, "8.19", "8.19.21"), newFake(t, "8.19", "8.19.21"), newFake(t, "8.19", "8.19.21")}
	req := fakes[0].request(false)
	req.Endpoints = nil
	for _, f := range fakes {
		req.Endpoints = append(req.Endpoints, f.URL)
	}
	hits := func() (n []int64) {
		for _, f := range fakes {
			n = append(n, f.hits.Swap(0))
		}
		return n
	}
	a := newAdapter(t, Options{})
	for want := range 4 {
		_, err := a.Do(context.Background(), req)
		require.NoError(t, err)
		expected := []int64{0, 0, 0}
		expected[want%3] = 2 // health and state
		assert.Equal(t, expected, hits())
	}
	fakes[1].Close()
	_, err := a.Do(context.Background(), req) // begins at the one that is down
	require.NoError(t, err)
	assert.Equal(t, []int64{0, 0, 2}, hits())
	_, err = a.Do(context.Background(), req)
	require.NoError(t, err)
	assert.Equal(t, []int64{2, 0, 0}, hits())
}

// TestOneEndpointPerObservation: the parts of an observation are of one node;
// what a node told before it failed is not mixed with another's answers.
func TestOneEndpointPerObservation(t *testing.T) {
	bad, good := newFake(t, "8.19", "8.19.21"), newFake(t, "8.19", "8.19.21")
	bad.says("health", 200, strings.Replace(bad.file(t, "health"), `"yellow"`, `"green"`, 1))
	bad.says("settings", 500, "")
	req := bad.request(true)
	req.Endpoints = []string{bad.URL, good.URL}
	o, err := newAdapter(t, Options{}).Do(context.Background(), req)
	require.NoError(t, err)
	assert.Equal(t, "yellow", o.Health)
}

// TestBudget: nodes that hang do not add up, and the next request goes on
// where this one had to stop.
func TestBudget(t *testing.T) {
	var req observe.Request
	hanging := make([]*fake, 12)
	for i := range hanging {
		hanging[i] = newFake(t, "8.19", "8.19.21")
		hanging[i].on("health", hang)
		req.Endpoints = append(req.Endpoints, hanging[i].URL)
	}
	req.Cluster, req.Version, req.Kind = "demo", "8.19.21", observe.KindObserve
	const timeout = 100 * time.Millisecond
	a := newAdapter(t, Options{HTTPTimeout: timeout})
	tried := 0
	for range 2 {
		start := time.Now()
		_, err := a.Do(context.Background(), req)
		assert.Equal(t, observe.Timeout, failureOf(t, err).Class)
		assert.Less(t, time.Since(start), 6*timeout, "12 hanging nodes, a budget of 3")
		n := 0
		for _, f := range hanging {
			n += int(f.hits.Swap(0))
		}
		assert.GreaterOrEqual(t, n, 2)
		assert.LessOrEqual(t, n, budget+1)
		tried += n
		assert.Equal(t, tried, a.clusters["demo"].next)
	}
}

// TestOneRequestPerCluster: a second request waits for its turn, and can give
// up on it; another cluster is not held up.
func TestOneRequestPerCluster(t *testing.T) {
	slow, other := newFake(t, "8.19", "8.19.21"), newFake(t, "8.19", "8.19.21")
	entered, leave := make(chan struct{}, 2), make(chan struct{})
	slow.on("health", func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-leave
		_, _ = w.Write([]byte(slow.file(t, "health")))
	})
	a := newAdapter(t, Options{MaxConcurrent: 2})
	first := make(chan error, 1)
	go func() { _, err := a.Do(context.Background(), slow.request(false)); first <- err }()
	receive(t, entered, "first request")

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := a.Do(ctx, slow.request(false))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Contains(t, err.Error(), "previous request")
	assert.EqualValues(t, 1, slow.hits.Load())

	// The one that waited took no slot of the two from other clusters. (They
	// have other names; the fake's is always demo, so this one is refused.)
	req := other.request(false)
	req.Cluster = "other"
	_, err = a.Do(context.Background(), req)
	assert.Equal(t, observe.Unreadable, failureOf(t, err).Class)

	close(leave)
	require.NoError(t, receive(t, first, "end of the first request"))
	_, err = a.Do(context.Background(), slow.request(false))
	require.NoError(t, err)
}

func TestMaxConcurrent(t *testing.T) {
	f := newFake(t, "8.19", "8.19.21")
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	f.on("health", func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-leave
		_, _ = w.Write([]byte(f.file(t, "health")))
	})
	a := newAdapter(t, Options{MaxConcurrent: 1})
	first := make(chan error, 1)
	go func() { _, err := a.Do(context.Background(), f.request(false)); first <- err }()
	receive(t, entered, "first request")

	req := f.request(false)
	req.Cluster = "other"
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := a.Do(ctx, req)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Contains(t, err.Error(), "free slot")
	assert.EqualValues(t, 1, f.hits.Load())
	close(leave)
	require.NoError(t, receive(t, first, "end of the first request"))
}

// TestCallerEnds: the caller's own end is no finding about the cluster.
func TestCallerEnds(t *testing.T) {
	f := newFake(t, "8.19", "8.19.21")
	ctx, cancel := context.WithCancel(context.Background())
	f.on("state", func(w http.ResponseWriter, r *http.Request) {
		cancel()
		hang(w, r)
	})
	_, err := newAdapter(t, Options{}).Do(ctx, f.request(false))
	require.ErrorIs(t, err, context.Canceled)
	var failure *observe.Failure
	assert.NotErrorAs(t, err, &failure)
}

// TestConnectionsAreKept: observations one after the other share a connection.
func TestConnectionsAreKept(t *testing.T) {
	for _, v := range versions {
		f := newFake(t, v.dir, v.version)
		a := newAdapter(t, Options{})
		for i := range 10 {
			_, err := a.Do(context.Background(), f.request(i%2 == 0))
			require.NoError(t, err)
		}
		assert.EqualValues(t, 1, f.conns.Load(), v.version)
	}
}

// TestEndpointsChange: a node that stays keeps its client, others go.
func TestEndpointsChange(t *testing.T) {
	url := func(i int) string { return fmt.Sprintf("http://127.0.0.1:%d", i) }
	c := &cluster{}
	require.NoError(t, c.use([]string{url(1), url(2), url(3)}, http.DefaultTransport))
	before := slices.Clone(c.clients)
	c.next = 2
	require.NoError(t, c.use([]string{url(3), url(4)}, http.DefaultTransport))
	require.Len(t, c.clients, 2)
	assert.Same(t, before[2], c.clients[0])
	assert.Equal(t, url(4), c.clients[1].base.String())
	assert.Less(t, c.next, 2)

	kept := slices.Clone(c.clients)
	require.Error(t, c.use([]string{url(5), "nonsense"}, http.DefaultTransport))
	assert.Equal(t, kept, c.clients, "a bad list changes nothing")
	require.NoError(t, c.use([]string{url(3), url(4)}, http.DefaultTransport))
	assert.Equal(t, kept, c.clients)
}

// TestClientCacheIsBounded: the entry unused for longest goes, one in use never.
func TestClientCacheIsBounded(t *testing.T) {
	a := newAdapter(t, Options{})
	busy := a.acquire("busy")
	for i := range maxClusters + 10 {
		a.release(a.acquire(fmt.Sprintf("c%d", i)))
	}
	assert.Len(t, a.clusters, maxClusters)
	assert.Contains(t, a.clusters, "busy")
	assert.NotContains(t, a.clusters, "c0")
	assert.Contains(t, a.clusters, fmt.Sprintf("c%d", maxClusters+9))

	a.Forget("busy")
	assert.Contains(t, a.clusters, "busy", "in use")
	a.release(busy)
	a.Forget("busy")
	assert.NotContains(t, a.clusters, "busy")
	a.Forget("never seen")
}
