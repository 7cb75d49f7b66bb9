package mesos

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRedirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		follower, leader := n.master(t, "f:5050"), n.master(t, "l:5050")
		follower.onSubscribe = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			// As Mesos does: no scheme, another path.
			w.Header().Set("Location", "//l:5050/master/api/v1/scheduler")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}
		d, _ := testDriver(t, n, "f:5050", nil)
		r := start(t, d, "")
		assert.Equal(t, "http://l:5050", next[Subscribed](r).Master)
		// The next attempt begins where the leader was.
		close((<-leader.streams).end)
		next[Disconnected](r)
		next[Subscribed](r)
		assert.Len(t, follower.seenSubscriptions(), 1)
	})
}

func TestRedirectLoopEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "m:5050")
		m.onSubscribe = func(attempt int, w http.ResponseWriter, _ *http.Request) bool {
			if attempt > maxRedirects+1 {
				return false
			}
			w.Header().Set("Location", "//m:5050/")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}
		var failed []error
		d, _ := testDriver(t, n, "m:5050", func(c *Config) {
			c.Hooks.ConnectFailed = func(err error) { failed = append(failed, err) }
		})
		next[Subscribed](start(t, d, ""))
		require.Len(t, failed, 1)
		assert.ErrorContains(t, failed[0], "do not agree on a leader")
	})
}

func TestRecoveringMasterIsRetriedQuickly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "m:5050")
		m.onSubscribe = func(attempt int, w http.ResponseWriter, _ *http.Request) bool {
			if attempt > 3 {
				return false
			}
			http.Error(w, "Master has not finished recovery", http.StatusServiceUnavailable)
			return true
		}
		began := time.Now()
		d, logs := testDriver(t, n, "m:5050", nil)
		next[Subscribed](start(t, d, ""))
		// 100 + 200 + 400 ms, each up to half more.
		assert.LessOrEqual(t, time.Since(began), 1050*time.Millisecond)
		assert.Contains(t, fmt.Sprint(logs.All()[0].ContextMap()), "has not finished recovery")
	})
}

func TestBackoffGrowsToItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "m:5050")
		var down atomic.Bool
		down.Store(true)
		m.onSubscribe = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			if down.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return false
		}
		d, _ := testDriver(t, n, "m:5050", nil)
		r := start(t, d, "")
		pass(10 * time.Minute)
		synctest.Wait()
		seen := m.seenSubscriptions()
		require.Greater(t, len(seen), 10*60/15)
		require.Less(t, len(seen), 200)
		for i := 1; i < len(seen); i++ {
			assert.LessOrEqual(t, seen[i].at.Sub(seen[i-1].at), maxBackoff)
		}
		assert.Greater(t, seen[len(seen)-1].at.Sub(seen[len(seen)-2].at), 4*time.Second)

		// A subscription that lived makes the next attempts quick again; the
		// heartbeats keep it alive.
		down.Store(false)
		next[Subscribed](r)
		s := <-m.streams
		for range 10 {
			pass(15 * time.Second)
			require.True(t, s.send(t, heartbeatEvent))
		}
		close(s.end)
		next[Disconnected](r)
		ended := time.Now()
		next[Subscribed](r)
		assert.LessOrEqual(t, time.Since(ended), 150*time.Millisecond)
	})
}

func TestFlappingBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "m:5050")
		d, _ := testDriver(t, n, "m:5050", nil)
		r := start(t, d, "")
		go func() {
			for range r.events {
			}
		}()
		defer close(r.events)
		defer r.cancel()
		began := time.Now()
		for range 12 {
			close((<-m.streams).end)
		}
		assert.Greater(t, time.Since(began), 30*time.Second)
		r.cancel()
		require.NoError(t, <-r.done)
	})
}

func TestListOfMastersIsTriedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "c:5050")
		d, _ := testDriver(t, n, "a:5050,http://b:5050,c:5050", nil)
		r := start(t, d, "")
		assert.Equal(t, "http://c:5050", next[Subscribed](r).Master)
		// The last leader is tried first, but not for ever.
		n.master(t, "b:5050")
		n.mu.Lock()
		delete(n.listeners, "c:5050")
		n.mu.Unlock()
		close((<-m.streams).end)
		next[Disconnected](r)
		assert.Equal(t, "http://b:5050", next[Subscribed](r).Master)
	})
}

func TestAnotherLeaderEndsTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		first, second := n.master(t, "1.1.1.1:5050"), n.master(t, "2.2.2.2:5050")
		d, logs := testDriver(t, n, "zk://u:hidden@zk:2181/mesos", nil)
		z := d.leader.(*zkLeader)
		d.leader = electionOnly{z}
		r := start(t, d, "")
		pass(time.Minute) // nobody leads
		z.set(mustMaster(t, `{"id":"A","address":{"ip":"1.1.1.1","port":5050}}`))
		assert.Equal(t, "http://1.1.1.1:5050", next[Subscribed](r).Master)
		<-first.streams

		// The same leader again, or none, is no reason to let go.
		z.set(mustMaster(t, `{"id":"A","address":{"ip":"1.1.1.1","port":5050}}`))
		z.set(nil)
		z.set(mustMaster(t, `{"id":"A","address":{"ip":"1.1.1.1","port":5050}}`))
		synctest.Wait()
		assert.Len(t, first.seenSubscriptions(), 1)

		began := time.Now()
		z.set(mustMaster(t, `{"id":"B","address":{"ip":"2.2.2.2","port":5050}}`))
		assert.ErrorContains(t, next[Disconnected](r).Reason, "another master")
		assert.Equal(t, "http://2.2.2.2:5050", next[Subscribed](r).Master)
		assert.LessOrEqual(t, time.Since(began), 150*time.Millisecond)
		<-second.streams
		for _, entry := range logs.All() {
			assert.NotContains(t, fmt.Sprint(entry.Message, entry.ContextMap()), "hidden")
		}
	})
}

func TestAnotherLeaderIsTriedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		recovering := func(until int) func(int, http.ResponseWriter, *http.Request) bool {
			return func(attempt int, w http.ResponseWriter, _ *http.Request) bool {
				if attempt > until {
					return false
				}
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
		}
		n.master(t, "1.1.1.1:5050").onSubscribe = recovering(1000)
		n.master(t, "2.2.2.2:5050").onSubscribe = recovering(2)
		d, _ := testDriver(t, n, "zk://zk:2181/mesos", nil)
		z := d.leader.(*zkLeader)
		d.leader = electionOnly{z}
		z.set(mustMaster(t, `{"id":"A","address":{"ip":"1.1.1.1","port":5050}}`))
		r := start(t, d, "")
		pass(5 * time.Minute)
		began := time.Now()
		z.set(mustMaster(t, `{"id":"B","address":{"ip":"2.2.2.2","port":5050}}`))
		assert.Equal(t, "http://2.2.2.2:5050", next[Subscribed](r).Master)
		assert.LessOrEqual(t, time.Since(began), 750*time.Millisecond)
	})
}

type electionOnly struct{ *zkLeader }

func (electionOnly) run(ctx context.Context) { <-ctx.Done() }

func mustMaster(t *testing.T, info string) *zkMaster {
	t.Helper()
	m, err := parseMasterInfo([]byte(info), false)
	require.NoError(t, err)
	return m
}
