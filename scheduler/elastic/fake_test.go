package elastic

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// fake answers like one node of a cluster, from the files of testdata/VERSION:
// answers that real nodes of that version gave, reduced to what is asked for
// and completed to three nodes. Like real nodes from 5.x on it refuses
// parameters that it does not know.
type fake struct {
	*httptest.Server
	version string
	dir     string
	hits    atomic.Int64
	conns   atomic.Int64

	mu       sync.Mutex
	override map[string]http.HandlerFunc // by name of a part
}

// known parameters of each part.
var known = map[string]string{
	"health":   "master_timeout timeout wait_for_events",
	"state":    "master_timeout filter_path",
	"metadata": "master_timeout filter_path",
	"nodes":    "timeout filter_path",
	"settings": "expand_wildcards",
	"cat":      "format h master_timeout",

	"unassigned": "master_timeout filter_path ignore_unavailable",
	"info":       "",
	"flush":      "",

	"settings of the cluster": "flat_settings master_timeout timeout include_defaults",
	"allocation rules":        "expand_wildcards",
	"cat allocation":          "format h bytes master_timeout",
	"explain":                 "",
	"voters":                  "timeout node_names wait_for_removal",
}

func part(path string) string {
	switch {
	case path == "/_cluster/health":
		return "health"
	case path == "/_cluster/state/metadata":
		return "metadata"
	case strings.HasPrefix(path, "/_cluster/state/master_node,nodes"):
		return "state"
	case path == "/_cluster/state/routing_table/b":
		return "unassigned"
	case path == "/_nodes/http":
		return "nodes"
	case path == "/_all/_settings/index.number_of_replicas,index.auto_expand_replicas,index.store.type":
		return "settings"
	case path == "/_all/_settings/index.auto_expand_replicas,index.routing.allocation.*":
		return "allocation rules"
	case path == "/_cat/allocation":
		return "cat allocation"
	case path == "/_cluster/allocation/explain":
		return "explain"
	case strings.HasPrefix(path, "/_cluster/voting_config_exclusions"):
		return "voters"
	case path == "/_cat/shards":
		return "cat"
	case path == "/":
		return "info"
	case path == "/_cluster/settings":
		return "settings of the cluster"
	case path == "/_flush", path == "/_flush/synced":
		return "flush"
	}
	return ""
}

func newFake(t testing.TB, dir, version string) *fake {
	t.Helper()
	f := &fake{version: version, dir: dir, override: map[string]http.HandlerFunc{}}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			f.conns.Add(1)
		}
	}
	f.Start()
	t.Cleanup(f.Close)
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.hits.Add(1)
	if mustIdentify(f.version) {
		w.Header().Set(productHeader, "Elasticsearch")
	}
	name := part(r.URL.Path)
	for p := range r.URL.Query() {
		if f.dir == "5.6" && name == "settings of the cluster" && r.Method == http.MethodGet && p == "master_timeout" || !strings.Contains(" "+known[name]+" ", " "+p+" ") {
			http.Error(w, `{"error":"unrecognized parameter `+p+`","status":400}`, http.StatusBadRequest)
			return
		}
	}
	f.mu.Lock()
	override := f.override[name]
	f.mu.Unlock()
	if override != nil {
		override(w, r)
		return
	}
	body, err := f.read(name)
	if err != nil {
		http.Error(w, `{"error":"no handler for `+r.URL.Path+`","status":400}`, http.StatusBadRequest)
		return
	}
	if name == "state" && !strings.HasSuffix(r.URL.Path, ",routing_table") {
		var state map[string]any
		_ = json.Unmarshal(body, &state)
		delete(state, "routing_table")
		body, _ = json.Marshal(state)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// on replaces the answer of one part.
func (f *fake) on(name string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.override[name] = h
}

// says replaces the answer of one part by a status and a body.
func (f *fake) says(name string, status int, body string) {
	f.on(name, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

func (f *fake) read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join("testdata", f.dir, name+".json"))
}

// file is the recorded answer, for changing it.
func (f *fake) file(t *testing.T, name string) string {
	b, err := f.read(name)
	require.NoError(t, err)
	return string(b)
}

func (f *fake) request(full bool) observe.Request {
	return observe.Request{Cluster: "demo", Version: f.version, Endpoints: []string{f.URL}, Seq: 42, Kind: observe.KindObserve, Full: full}
}

func newAdapter(t *testing.T, o Options) *Adapter {
	a := New(o)
	t.Cleanup(a.Close)
	return a
}

func failureOf(t *testing.T, err error) *observe.Failure {
	t.Helper()
	var f *observe.Failure
	require.ErrorAs(t, err, &f)
	return f
}
