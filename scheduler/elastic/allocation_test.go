package elastic

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// settings is a server's cluster settings, as the server keeps them.
type settings struct {
	persistent, transient string // JSON of the value; "" = unset
	flushes               int
	deaf                  bool // takes a change and does nothing
}

func (s *settings) serve(t *testing.T, f *fake) {
	answer := func(w http.ResponseWriter) {
		level := func(v string) string {
			if v == "" {
				return "{}"
			}
			return fmt.Sprintf(`{%q:%s}`, enableSetting, v)
		}
		fmt.Fprintf(w, `{"persistent":%s,"transient":%s}`, level(s.persistent), level(s.transient))
	}
	f.on("settings of the cluster", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Equal(t, "application/json", r.Header.Get("Content-Type"), "from 6.0 on it is required")
			var change struct {
				Persistent map[string]json.RawMessage `json:"persistent"`
			}
			assert.NoError(t, json.Unmarshal(body, &change))
			assert.Len(t, change.Persistent, 1)
			v := string(change.Persistent[enableSetting])
			if v == "null" {
				assert.NotEqual(t, "2.4", f.dir, "2.x does not take null")
				v = ""
			}
			if !s.deaf {
				s.persistent = v
			}
		}
		answer(w)
	})
	f.on("flush", func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, http.MethodPost, r.Method)
		assert.Empty(t, s.persistent, "before the setting")
		s.flushes++
		w.WriteHeader(http.StatusConflict) // a synced flush that could not mark all
	})
}

func TestAllocation(t *testing.T) {
	for _, v := range versions {
		t.Run(v.dir, func(t *testing.T) {
			f := newFake(t, v.dir, v.version)
			s := &settings{}
			s.serve(t, f)
			a := newAdapter(t, Options{})
			req := f.request(false)
			req.Kind, req.Allocation, req.Flush = observe.KindAllocation, observe.AllocationPrimaries, true
			o, err := a.Do(context.Background(), req)
			require.NoError(t, err)
			assert.Equal(t, observe.Observation{Seq: 42}, o)
			assert.Equal(t, `"primaries"`, s.persistent)
			assert.Equal(t, 1, s.flushes)

			_, err = a.Do(context.Background(), req)
			assert.Equal(t, observe.Conflict, failureOf(t, err).Class, "primaries, and we say that it is not ours")
			req.Owned, req.Flush = true, false
			_, err = a.Do(context.Background(), req)
			require.NoError(t, err, "the answer to the first request may have been lost")

			req.Allocation = ""
			_, err = a.Do(context.Background(), req)
			require.NoError(t, err)
			assert.Contains(t, []string{"", `"all"`}, s.persistent)
			_, err = a.Do(context.Background(), req)
			require.NoError(t, err, "again is no change")
		})
	}
}

func TestAllocationOfSomebodyElse(t *testing.T) {
	for name, s := range map[string]settings{
		"persistent":        {persistent: `"none"`},
		"transient":         {transient: `"new_primaries"`},
		"transient as ours": {transient: `"primaries"`},
		"both":              {persistent: `"primaries"`, transient: `"NONE"`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, "8.19", "8.19.21")
			was := s
			s.serve(t, f)
			req := f.request(false)
			req.Kind, req.Owned = observe.KindAllocation, true
			for _, want := range []string{observe.AllocationPrimaries, ""} {
				req.Allocation = want
				_, err := newAdapter(t, Options{}).Do(context.Background(), req)
				assert.Equal(t, observe.Conflict, failureOf(t, err).Class)
				assert.ErrorContains(t, err, "Berth did not set it")
				assert.Equal(t, was, s, "nothing is overwritten")
			}
		})
	}
}

func TestAllocationThatDoesNotHold(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(f *fake, s *settings)
		class  observe.Class
	}{
		"not taken":     {func(_ *fake, s *settings) { s.deaf = true }, observe.Conflict},
		"unknown shape": {func(f *fake, _ *settings) { f.says("settings of the cluster", 200, `{"x":1}`) }, observe.Unreadable},
		"unknown value": {func(_ *fake, s *settings) { s.persistent = `{"a":1}` }, observe.Unreadable},
		"no master": {func(f *fake, _ *settings) {
			f.says("settings of the cluster", 503, `{"error":"master_not_discovered_exception"}`)
		}, observe.NoMaster},
		"another cluster": {func(f *fake, _ *settings) {
			f.says("health", 200, `{"cluster_name":"other","status":"green","timed_out":false,"active_shards":1,"relocating_shards":0,"initializing_shards":0,"unassigned_shards":0,"delayed_unassigned_shards":0,"number_of_in_flight_fetch":0,"number_of_pending_tasks":0}`)
		}, observe.Unreadable},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, "8.19", "8.19.21")
			s := &settings{}
			s.serve(t, f)
			tc.change(f, s)
			req := f.request(false)
			req.Kind, req.Allocation = observe.KindAllocation, observe.AllocationPrimaries
			_, err := newAdapter(t, Options{}).Do(context.Background(), req)
			assert.Equal(t, tc.class, failureOf(t, err).Class, err)
		})
	}
}
