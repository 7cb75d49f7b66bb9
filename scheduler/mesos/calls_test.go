package mesos

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCallsKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "m:5050")
		d, _ := testDriver(t, n, "m:5050", nil)
		r := start(t, d, "")
		sub := next[Subscribed](r)
		const calls = 500
		for i := range calls {
			require.NoError(t, d.Enqueue(sub.StreamID, kill(fmt.Sprint(i))))
		}
		synctest.Wait()
		seen := m.seenCalls()
		require.Len(t, seen, calls)
		for i, c := range seen {
			require.Equal(t, fmt.Sprint(i), c.call.GetKill().TaskID.Value)
		}
	})
}

// TestAnswers is the table of what a master may answer to a call.
func TestAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		status    int
		body      string
		want      error
		uncertain bool
		again     bool // a new subscription follows
	}{
		"wrong stream id":              {400, "The stream ID 'x' included in this request didn't match the stream ID currently associated with framework ID f", ErrStale, false, true},
		"no stream id":                 {400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header", ErrStale, false, true},
		"unknown to a new master":      {400, "Framework cannot be found", ErrStale, false, true},
		"not subscribed":               {403, "Framework is not subscribed", ErrStale, false, true},
		"no leader any more":           {307, "", ErrStale, false, true},
		"invalid call":                 {400, "Failed to validate scheduler::Call: Expecting 'kill' to be present", ErrRejected, false, false},
		"unsupported":                  {415, "Expecting 'Content-Type' of application/json", ErrRejected, false, false},
		"secret not accepted":          {401, "401 Unauthorized.", ErrUnauthorized, false, false},
		"recovering":                   {503, "Master has not finished recovery", ErrUnavailable, false, false},
		"too many calls":               {429, "", ErrUnavailable, false, false},
		"broken":                       {500, "boom", ErrUnavailable, true, false},
		"a proxy that lost the master": {502, "", ErrUnavailable, true, false},
		"a proxy that waited too long": {504, "", ErrUnavailable, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				m := n.master(t, "m:5050")
				both := make(chan struct{}) // the answer comes once both calls wait
				m.onCall = func(c *scheduler.Call) (int, string) {
					<-both
					if c.GetKill().TaskID.Value == "bad" {
						return tc.status, tc.body
					}
					return 0, ""
				}
				d, _ := testDriver(t, n, "m:5050", nil)
				r := start(t, d, "")
				sub := next[Subscribed](r)
				bad := kill("bad")
				require.NoError(t, d.Enqueue(sub.StreamID, bad))
				require.NoError(t, d.Enqueue(sub.StreamID, kill("after")))
				close(both)
				if tc.again {
					assert.ErrorIs(t, next[Disconnected](r).Reason, ErrStale)
				}
				failed := next[CallFailed](r)
				assert.Same(t, bad, failed.Call)
				assert.Equal(t, sub.StreamID, failed.StreamID)
				assert.ErrorIs(t, failed.Err, tc.want)
				assert.ErrorContains(t, failed.Err, "KILL to http://m:5050")
				assert.ErrorContains(t, failed.Err, tc.body)
				assert.Equal(t, tc.uncertain, failed.Uncertain)
				synctest.Wait()
				if !tc.again {
					assert.Len(t, m.seenCalls(), 2, "the next call is sent all the same")
					assert.Len(t, m.seenSubscriptions(), 1)
					return
				}
				after := next[CallFailed](r)
				assert.ErrorIs(t, after.Err, ErrNotSubscribed)
				assert.False(t, after.Uncertain)
				assert.NotEqual(t, sub.StreamID, next[Subscribed](r).StreamID)
				assert.Len(t, m.seenCalls(), 1, "a call for an ended subscription is not sent on another one")
			})
		})
	}
}

func TestUnansweredCallIsUncertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "m:5050")
		stuck := make(chan struct{})
		m.onCall = func(*scheduler.Call) (int, string) { <-stuck; return 0, "" }
		defer close(stuck)
		d, _ := testDriver(t, n, "m:5050", nil)
		r := start(t, d, "")
		sub := next[Subscribed](r)
		began := time.Now()
		require.NoError(t, d.Enqueue(sub.StreamID, kill("t")))
		failed := next[CallFailed](r)
		assert.Equal(t, DefaultCallTimeout, time.Since(began))
		assert.ErrorIs(t, failed.Err, ErrUnavailable)
		assert.ErrorContains(t, failed.Err, "no answer within 10s")
		assert.True(t, failed.Uncertain)
	})
}

func TestUnreachableMasterIsCertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.master(t, "m:5050")
		d, _ := testDriver(t, n, "m:5050", nil)
		r := start(t, d, "")
		sub := next[Subscribed](r)
		n.mu.Lock()
		delete(n.listeners, "m:5050") // the stream stays
		n.mu.Unlock()
		require.NoError(t, d.Enqueue(sub.StreamID, kill("t")))
		failed := next[CallFailed](r)
		assert.ErrorIs(t, failed.Err, ErrUnavailable)
		assert.False(t, failed.Uncertain, "no connection, so surely not delivered")
	})
}

// TestQueue: the queue is bounded, and the end of a subscription returns every
// call of it, the one under way first.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "m:5050")
		stuck := make(chan struct{})
		m.onCall = func(*scheduler.Call) (int, string) { <-stuck; return 0, "" }
		d, _ := testDriver(t, n, "m:5050", func(c *Config) {
			c.QueueLimit = 3
			c.CallTimeout = time.Hour
		})
		r := start(t, d, "")
		sub := next[Subscribed](r)
		require.NoError(t, d.Enqueue(sub.StreamID, kill("0")))
		synctest.Wait() // 0 is under way
		for i := 1; i <= 3; i++ {
			require.NoError(t, d.Enqueue(sub.StreamID, kill(fmt.Sprint(i))))
		}
		assert.Equal(t, 3, d.Queued())
		err := d.Enqueue(sub.StreamID, kill("4"))
		require.ErrorIs(t, err, ErrQueueFull)
		assert.ErrorContains(t, err, "3 calls wait")

		close((<-m.streams).end)
		gone := next[Disconnected](r)
		assert.Equal(t, sub.StreamID, gone.StreamID)
		assert.Zero(t, d.Queued())
		require.ErrorIs(t, d.Enqueue(sub.StreamID, kill("5")), ErrNotSubscribed)
		for i := range 4 {
			failed := next[CallFailed](r)
			assert.Equal(t, fmt.Sprint(i), failed.Call.GetKill().TaskID.Value)
			assert.Equal(t, i == 0, failed.Uncertain)
		}
		close(stuck)
		again := next[Subscribed](r)
		require.ErrorIs(t, d.Enqueue(sub.StreamID, kill("6")), ErrNotSubscribed, "made for the old subscription")
		require.NoError(t, d.Enqueue(again.StreamID, kill("7")))
	})
}

func TestCallsThatAreNeverTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.master(t, "m:5050")
		d, _ := testDriver(t, n, "m:5050", nil)
		assert.ErrorIs(t, d.Enqueue("", kill("t")), ErrNotSubscribed, "Mesos rule 3")
		assert.ErrorIs(t, d.Send(t.Context(), kill("t")), ErrNotSubscribed)
		sub := next[Subscribed](start(t, d, ""))
		for _, call := range []*scheduler.Call{nil, {}, {Type: scheduler.Call_SUBSCRIBE}} {
			assert.ErrorIs(t, d.Enqueue(sub.StreamID, call), ErrRejected)
			assert.ErrorIs(t, d.Send(t.Context(), call), ErrRejected)
		}
	})
}

func TestSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := n.master(t, "m:5050")
		status := make(chan int, 10)
		m.onCall = func(*scheduler.Call) (int, string) { return <-status, "" }
		d, _ := testDriver(t, n, "m:5050", nil)
		r := start(t, d, "")
		next[Subscribed](r)
		status <- http.StatusAccepted
		require.NoError(t, d.Send(t.Context(), &scheduler.Call{Type: scheduler.Call_TEARDOWN}))
		assert.Equal(t, "framework-1", m.seenCalls()[0].call.FrameworkID.GetValue())

		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		assert.ErrorIs(t, d.Send(cancelled, kill("t")), ErrUnavailable)

		status <- http.StatusForbidden
		require.ErrorIs(t, d.Send(t.Context(), kill("t")), ErrStale)
		assert.ErrorIs(t, next[Disconnected](r).Reason, ErrStale)
		next[Subscribed](r)
	})
}
