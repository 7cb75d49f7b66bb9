package elastic

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// hang keeps a request until its client gives up.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// cut writes less than it announces.
func cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "5000")
	_, _ = w.Write([]byte(`{"cluster_name":"demo",`))
}

// drop closes the connection without an answer.
func drop(w http.ResponseWriter, _ *http.Request) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		c.Close()
	}
}

// TestFailures: whatever is not a complete, credible answer is a failure of
// the right class that says what was wrong.
func TestFailures(t *testing.T) {
	const (
		masterless = `{"error":{"root_cause":[{"type":"master_not_discovered_exception","reason":null}],"type":"master_not_discovered_exception","reason":null},"status":503}`
		blocked    = `{"error":{"type":"cluster_block_exception","reason":"blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized];"},"status":503}`
	)
	replaced := func(name, old, new string) func(*testing.T, *fake) {
		return func(t *testing.T, f *fake) {
			body := f.file(t, name)
			require.Contains(t, body, old)
			f.says(name, 200, strings.ReplaceAll(body, old, new))
		}
	}
	says := func(name string, status int, body string) func(*testing.T, *fake) {
		return func(_ *testing.T, f *fake) { f.says(name, status, body) }
	}
	on := func(name string, h http.HandlerFunc) func(*testing.T, *fake) {
		return func(_ *testing.T, f *fake) { f.on(name, h) }
	}
	for _, c := range []struct {
		name  string
		spoil func(*testing.T, *fake)
		class observe.Class
		says  string
	}{
		{"down", func(_ *testing.T, f *fake) { f.Close() }, observe.Refused, "nothing listens"},
		{"drops the connection", on("health", drop), observe.Unreachable, "EOF"},
		{"hangs", on("health", hang), observe.Timeout, "no answer in time"},
		{"hangs in the body", on("state", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{`))
			w.(http.Flusher).Flush()
			hang(w, r)
		}), observe.Timeout, "reading the answer"},
		{"no credentials", says("health", 401, `{"error":"missing authentication"}`), observe.Unauthorized, "401"},
		{"not allowed", says("settings", 403, `{"error":"security_exception"}`), observe.Unauthorized, "_all/_settings answered 403"},
		{"no master", says("health", 503, masterless), observe.NoMaster, "master_not_discovered"},
		{"no master any more", says("state", 503, masterless), observe.NoMaster, "_cluster/state"},
		{"not recovered", says("state", 503, blocked), observe.NoMaster, "not recovered"},
		{"health without master", replaced("health", `"timed_out"`, `"discovered_master": false, "timed_out"`), observe.NoMaster, "no elected master"},
		{"state without master", replaced("state", `"master_node": "id1"`, `"master_node": null`), observe.NoMaster, "no elected master"},
		{"too busy", says("health", 429, `circuit_breaking_exception`), observe.Refused, "429"},
		{"unavailable", says("health", 503, `starting`), observe.Refused, "503"},
		{"gateway", says("health", 504, `upstream`), observe.Timeout, "504"},
		{"408 that is no health", says("health", 408, `{}`), observe.Timeout, "408"},

		{"cut off", on("state", cut), observe.Unreadable, "broke off"},
		{"oversized", says("settings", 200, `{"a":"`+strings.Repeat("x", 2<<20)+`"}`), observe.Unreadable, "larger than"},
		{"oversized health", says("health", 200, strings.Repeat(" ", smallBody+1)), observe.Unreadable, "larger than"},
		{"redirect", on("health", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }), observe.Unreadable, "302"},
		{"refused form", says("settings", 400, `unrecognized parameter`), observe.Unreadable, "400"},
		{"internal error", says("state", 500, `null_pointer_exception`), observe.Unreadable, "500"},
		{"HTML", says("health", 200, "<html>\nwelcome"), observe.Unreadable, "<html> welcome"},
		{"null health", says("health", 200, `null`), observe.Unreadable, "status"},
		{"empty health", says("health", 200, ``), observe.Unreadable, "JSON"},
		{"other health", says("health", 200, `{"status":"UP"}`), observe.Unreadable, "status"},
		{"unknown status", replaced("health", `"yellow"`, `"blue"`), observe.Unreadable, "status"},
		{"a count is missing", replaced("health", `"relocating_shards"`, `"moving_shards"`), observe.Unreadable, "relocating_shards"},
		{"a count is negative", replaced("health", `"relocating_shards": 1`, `"relocating_shards": -1`), observe.Unreadable, "relocating_shards"},
		{"two answers", replaced("health", `"yellow"`, `"yellow"}{`), observe.Unreadable, "JSON"},
		{"another cluster", func(t *testing.T, f *fake) {
			replaced("health", `"demo"`, `"other"`)(t, f)
			replaced("state", `"demo"`, `"other"`)(t, f)
		}, observe.Unreadable, `cluster "other" answers`},
		{"two clusters", replaced("health", `"demo"`, `"other"`), observe.Unreadable, `answers`},
		{"empty state", says("state", 200, `{}`), observe.Unreadable, "cluster_name"},
		{"master is no member", replaced("state", `"master_node": "id1"`, `"master_node": "id9"`), observe.Unreadable, "id9 is not among the 3 nodes"},
		{"node without name", replaced("state", `"name": "demo-0"`, `"name": ""`), observe.Unreadable, "id0"},
		{"unknown shard state", replaced("state", `"STARTED"`, `"FLOATING"`), observe.Unreadable, "FLOATING"},
		{"started nowhere", replaced("state", `"node": "id1"`, `"node": null`), observe.Unreadable, "STARTED on node"},
		{"relocating nowhere", replaced("state", `"relocating_node": "id2"`, `"relocating_node": null`), observe.Unreadable, "RELOCATING with the target"},
		{"no primary flag", replaced("state", `"primary"`, `"main"`), observe.Unreadable, "primary"},
		{"empty routing table", replaced("state", `"shards"`, `"pieces"`), observe.Unreadable, "4 active shards"},
		{"no replicas", replaced("settings", `"number_of_replicas"`, `"copies"`), observe.Unreadable, "number_of_replicas"},
		{"settings are an error", says("settings", 200, `{"error":{"type":"x"},"status":500}`), observe.Unreadable, "JSON"},
		{"null settings", says("settings", 200, `null`), observe.Unreadable, "null"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, "8.19", "8.19.21")
			c.spoil(t, f)
			a := newAdapter(t, Options{HTTPTimeout: 300 * time.Millisecond, MaxResponse: 1 << 20})
			o, err := a.Do(context.Background(), f.request(true))
			got := failureOf(t, err)
			assert.Equal(t, c.class, got.Class, got.Message)
			assert.Contains(t, got.Message, c.says)
			assert.Contains(t, got.Message, "cluster demo")
			assert.Contains(t, got.Message, strings.TrimPrefix(f.URL, "http://"), "names the node")
			assert.Empty(t, o, "a failure carries no half observation")
		})
	}
}

// TestNotElasticsearch: a server of 7.14 and later that does not identify
// itself is somebody else, whatever it answers.
func TestNotElasticsearch(t *testing.T) {
	f := newFake(t, "7.17", "7.10.2")
	a := newAdapter(t, Options{})
	_, err := a.Do(context.Background(), f.request(true))
	require.NoError(t, err, "an old server need not")

	req := f.request(true)
	req.Version = "7.17.29"
	_, err = a.Do(context.Background(), req)
	got := failureOf(t, err)
	assert.Equal(t, observe.Unreadable, got.Class)
	assert.Contains(t, got.Message, "does not identify itself")
}

// TestAddressGivenAway: behind one address go-elasticsearch's server is
// replaced by an old one, and by a new one again.
func TestAddressGivenAway(t *testing.T) {
	f := newFake(t, "8.19", "8.19.21")
	a := newAdapter(t, Options{})
	product := func() bool { return a.clusters["demo"].clients[0].product != nil }
	_, err := a.Do(context.Background(), f.request(false))
	require.NoError(t, err)
	require.True(t, product())

	header := func(set bool) {
		f.on("health", func(w http.ResponseWriter, _ *http.Request) {
			if !set {
				w.Header().Del(productHeader)
			}
			_, _ = w.Write([]byte(f.file(t, "health")))
		})
	}
	header(false)
	for range 2 {
		_, err = a.Do(context.Background(), f.request(false))
		got := failureOf(t, err)
		assert.Equal(t, observe.Unreadable, got.Class)
		assert.Equal(t, 1, strings.Count(got.Message, "127.0.0.1"))
		assert.False(t, product(), "found out anew")
	}
	header(true)
	_, err = a.Do(context.Background(), f.request(false))
	require.NoError(t, err)
	assert.True(t, product())

	header(false)
	_, err = a.Do(context.Background(), f.request(false))
	assert.Equal(t, 1, strings.Count(failureOf(t, err).Message, "127.0.0.1"), "one failure's message does not leak into the next")
}

func TestMustIdentify(t *testing.T) {
	for version, want := range map[string]bool{"2.4.6": false, "5.6.16": false, "6.8.23": false, "7.13.4": false, "7.14.0": true,
		"7.17.29": true, "8.0.0": true, "9.5.3": true, "10.0.0": true, "": true, "7": true, "x.y": true} {
		assert.Equal(t, want, mustIdentify(version), version)
	}
}

func TestBadRequests(t *testing.T) {
	a := newAdapter(t, Options{})
	good := observe.Request{Cluster: "demo", Version: "8.19.21", Endpoints: []string{"http://127.0.0.1:1"}, Kind: observe.KindObserve}
	for name, c := range map[string]struct {
		change func(*observe.Request)
		says   string
	}{
		"kind":        {func(r *observe.Request) { r.Kind = "destroy" }, `"destroy"`},
		"no endpoint": {func(r *observe.Request) { r.Endpoints = nil }, "no endpoint"},
		"scheme":      {func(r *observe.Request) { r.Endpoints = []string{"ftp://x"} }, "http://host:port"},
		"no scheme":   {func(r *observe.Request) { r.Endpoints = []string{"10.0.0.1:9200"} }, "endpoint 1 of 1: not a URL"},
		"credentials": {func(r *observe.Request) { r.Endpoints = []string{"http://u:p@x"} }, "without credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			req := good
			c.change(&req)
			_, err := a.Do(context.Background(), req)
			assert.Contains(t, failureOf(t, err).Message, c.says)
		})
	}
	_, err := a.Do(context.Background(), observe.Request{Cluster: "demo", Kind: observe.KindObserve, Endpoints: []string{"http://u:secret@x"}})
	assert.NotContains(t, err.Error(), "secret")
}

// TestSummary: of several endpoints the most telling failure is reported.
func TestSummary(t *testing.T) {
	down, noMaster := newFake(t, "8.19", "8.19.21"), newFake(t, "8.19", "8.19.21")
	down.Close()
	noMaster.says("health", 503, `master_not_discovered_exception`)
	req := noMaster.request(false)
	req.Endpoints = []string{down.URL, noMaster.URL}
	a := newAdapter(t, Options{})
	for range 2 {
		_, err := a.Do(context.Background(), req)
		got := failureOf(t, err)
		assert.Equal(t, observe.NoMaster, got.Class)
		assert.Contains(t, got.Message, "2 endpoints")
		assert.Contains(t, got.Message, "2 tried")
	}
}

func TestDialFailureIsUnreachable(t *testing.T) {
	err := fmt.Errorf("get: %w", &net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded})
	assert.Equal(t, observe.Unreachable, classify(err).Class)
	err = fmt.Errorf("get: %w", &net.OpError{Op: "read", Net: "tcp", Err: context.DeadlineExceeded})
	assert.Equal(t, observe.Timeout, classify(err).Class)
}
