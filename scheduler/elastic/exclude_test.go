package elastic

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// master is what a server keeps of exclusions, as it keeps it.
type master struct {
	persistent, transient string // JSON of the exclusion by name; "" = unset
	voting                []string
	puts                  int
	deaf                  bool // takes a change and does nothing
	deafToVotes           bool
}

func (m *master) serve(t *testing.T, f *fake) {
	f.on("settings of the cluster", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			m.puts++
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			var change map[string]map[string]json.RawMessage
			assert.NoError(t, json.Unmarshal(body, &change))
			for level, values := range change {
				v := string(values[excludeSetting])
				assert.NotContains(t, v, `","`, "never a comma alone")
				assert.False(t, v == "null" && f.dir == "2.4", "2.x does not take null")
				if v == "null" || v == `""` {
					v = ""
				}
				switch {
				case m.deaf:
				case level == "persistent":
					m.persistent = v
				case level == "transient":
					m.transient = v
				}
			}
		}
		level := func(v string) string {
			if v == "" {
				return "{}"
			}
			return fmt.Sprintf(`{%q:%s}`, excludeSetting, v)
		}
		fmt.Fprintf(w, `{"persistent":%s,"transient":%s}`, level(m.persistent), level(m.transient))
	})
	f.on("metadata", func(w http.ResponseWriter, _ *http.Request) {
		var x []string
		for _, n := range m.voting {
			x = append(x, fmt.Sprintf(`{"node_id":"i","node_name":%q}`, n))
		}
		fmt.Fprintf(w, `{"metadata":{"cluster_coordination":{"term":3,"last_committed_config":["id0","id1"],"voting_config_exclusions":[%s]}}}`, strings.Join(x, ","))
	})
	f.on("voters", func(w http.ResponseWriter, r *http.Request) {
		m.puts++
		switch {
		case m.deafToVotes:
		case r.Method == http.MethodDelete:
			assert.Equal(t, "false", r.URL.Query().Get("wait_for_removal"))
			m.voting = nil
		case f.version == "7.4.0":
			m.voting = append(m.voting, strings.TrimPrefix(r.URL.Path, "/_cluster/voting_config_exclusions/"))
		default:
			m.voting = append(m.voting, r.URL.Query().Get("node_names"))
		}
	})
}

func exclude(f *fake, x observe.Exclusion) observe.Request {
	req := f.request(false)
	req.Kind, req.Exclusion = observe.KindExclude, &x
	return req
}

// TestExclude: set, again, and taken back, on every version; what others have set
// stays, in its order.
func TestExclude(t *testing.T) {
	for _, v := range versions {
		for name, s := range map[string]struct{ was, with master }{
			"none":          {master{}, master{persistent: `"n1"`}},
			"others":        {master{persistent: `"rack7-*,x"`}, master{persistent: `"rack7-*,x,n1"`}},
			"list of texts": {master{persistent: `["a","b"]`}, master{persistent: `"a,b,n1"`}},
			"transient":     {master{transient: `"t"`}, master{persistent: `"n1"`, transient: `"t,n1"`}},
			"both":          {master{persistent: `"p"`, transient: `"t"`}, master{persistent: `"p,n1"`, transient: `"t,n1"`}},
		} {
			t.Run(v.dir+"/"+name, func(t *testing.T) {
				f := newFake(t, v.dir, v.version)
				m := s.was
				m.serve(t, f)
				a := newAdapter(t, Options{})
				for range 2 { // the answer to the first request may have been lost
					o, err := a.Do(context.Background(), exclude(f, observe.Exclusion{Node: "n1", Exclude: true, Allocation: true}))
					require.NoError(t, err)
					assert.Equal(t, observe.Observation{Seq: 42}, o)
					assert.Equal(t, s.with.persistent, m.persistent)
					assert.Equal(t, s.with.transient, m.transient)
				}
				assert.Equal(t, 1, m.puts, "again is no change")
				for range 2 {
					_, err := a.Do(context.Background(), exclude(f, observe.Exclusion{Node: "n1", Allocation: true}))
					require.NoError(t, err)
				}
				assert.Equal(t, 2, m.puts)
				text := func(v string) string { return strings.NewReplacer("[", "", "]", "", `"`, "").Replace(v) }
				assert.Equal(t, text(s.was.persistent), text(m.persistent), "as it was")
				assert.Equal(t, text(s.was.transient), text(m.transient))
			})
		}
	}
}

func TestExcludeVoter(t *testing.T) {
	for _, version := range []string{"7.4.0", "7.17.29", "8.19.21"} {
		t.Run(version, func(t *testing.T) {
			dir := map[bool]string{true: "8.19", false: "7.17"}[version == "8.19.21"]
			f := newFake(t, dir, version)
			m := &master{}
			m.serve(t, f)
			a := newAdapter(t, Options{})
			both := observe.Exclusion{Node: "n1", Exclude: true, Allocation: true, Voting: true}
			for range 2 {
				_, err := a.Do(context.Background(), exclude(f, both))
				require.NoError(t, err)
			}
			assert.Equal(t, []string{"n1"}, m.voting)
			assert.Equal(t, `"n1"`, m.persistent)
			assert.Equal(t, 2, m.puts)

			m.voting = []string{"n1", "theirs"}
			both.Exclude = false
			_, err := a.Do(context.Background(), exclude(f, both))
			assert.Equal(t, observe.Conflict, failureOf(t, err).Class)
			assert.ErrorContains(t, err, "voting exclusions of theirs are there")
			assert.Equal(t, []string{"n1", "theirs"}, m.voting, "nothing is cleared")

			m.voting = []string{"n1"}
			_, err = a.Do(context.Background(), exclude(f, both))
			require.NoError(t, err)
			assert.Empty(t, m.voting)
			assert.Empty(t, m.persistent)
		})
	}
}

func TestExcludeThatDoesNotHold(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(f *fake, m *master)
		class  observe.Class
	}{
		"not taken":     {func(_ *fake, m *master) { m.deaf = true }, observe.Conflict},
		"vote stays":    {func(_ *fake, m *master) { m.deafToVotes = true }, observe.Conflict},
		"unknown shape": {func(f *fake, _ *master) { f.says("settings of the cluster", 200, `{"x":1}`) }, observe.Unreadable},
		"unknown value": {func(_ *fake, m *master) { m.persistent = `{"a":1}` }, observe.Unreadable},
		"odd list":      {func(_ *fake, m *master) { m.persistent = `["a",1]` }, observe.Unreadable},
		"no coordination": {func(f *fake, _ *master) { f.says("metadata", 200, `{"metadata":{}}`) },
			observe.Unreadable},
		"voters not taken":  {func(f *fake, _ *master) { f.says("voters", 200, `{}`) }, observe.Conflict},
		"voters in time":    {func(f *fake, _ *master) { f.says("voters", 503, `{"error":"timed out"}`) }, observe.Refused},
		"no master":         {func(f *fake, _ *master) { f.says("metadata", 503, `master_not_discovered_exception`) }, observe.NoMaster},
		"answer cut off":    {func(f *fake, _ *master) { f.says("settings of the cluster", 200, `{"persistent":{`) }, observe.Unreadable},
		"another cluster's": {func(f *fake, _ *master) { f.says("health", 200, otherHealth) }, observe.Unreadable},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, "8.19", "8.19.21")
			m := &master{}
			m.serve(t, f)
			tc.change(f, m)
			_, err := newAdapter(t, Options{}).Do(context.Background(), exclude(f, observe.Exclusion{Node: "n1", Exclude: true, Allocation: true, Voting: true}))
			assert.Equal(t, tc.class, failureOf(t, err).Class, err)
		})
	}
	f := newFake(t, "8.19", "8.19.21")
	for _, node := range []string{"", "a,b", "a*"} {
		_, err := newAdapter(t, Options{}).Do(context.Background(), exclude(f, observe.Exclusion{Node: node, Exclude: true, Allocation: true}))
		assert.Equal(t, observe.Unreadable, failureOf(t, err).Class, node)
	}
	assert.Zero(t, f.hits.Load())
}

const otherHealth = `{"cluster_name":"other","status":"green","timed_out":false,"active_shards":1,"relocating_shards":0,"initializing_shards":0,"unassigned_shards":0,"delayed_unassigned_shards":0,"number_of_in_flight_fetch":0,"number_of_pending_tasks":0}`
