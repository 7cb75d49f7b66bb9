package server

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	v1 "github.com/berthdata/berth/api/v1"
)

// drain reads what is there now.
func drain(sub Subscription) (ids []int64, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		e, err := sub.Next(ctx)
		if errors.Is(err, context.Canceled) {
			return ids, nil
		}
		if err != nil {
			return ids, err
		}
		ids = append(ids, e.ID)
	}
}

func hubWith(history int, ids ...int64) *EventHub {
	h := NewEventHub(history)
	for _, id := range ids {
		h.Publish(v1.Event{ID: id})
	}
	return h
}

func TestHubSubscribe(t *testing.T) {
	tests := []struct {
		name  string
		hub   *EventHub
		after int64
		want  []int64
		gone  bool
	}{
		{"all", hubWith(10, 1, 2, 3), 0, []int64{1, 2, 3}, false},
		{"all that are kept", hubWith(2, 1, 2, 3), 0, []int64{2, 3}, false},
		{"behind an id", hubWith(10, 1, 2, 3), 2, []int64{3}, false},
		{"behind the last", hubWith(10, 1, 2, 3), 3, nil, false},
		{"new ones only", hubWith(10, 1, 2, 3), LatestOnly, nil, false},
		{"between ids", hubWith(10, 10, 20, 30), 15, []int64{20, 30}, false},
		{"just evicted", hubWith(2, 1, 2, 3), 1, []int64{2, 3}, false},
		{"too old", hubWith(2, 1, 2, 3, 4), 1, nil, true},
		{"before a late beginning", hubWith(10, 100, 101), 50, nil, true},
		{"just before a late beginning", hubWith(10, 100, 101), 99, []int64{100, 101}, false},
		{"from the future", hubWith(10, 1, 2, 3), 4, nil, true},
		{"of another history", hubWith(10), 4, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sub, err := tt.hub.Subscribe(context.Background(), tt.after)
			if tt.gone {
				var gone *HistoryGoneError
				require.ErrorAs(t, err, &gone)
				require.Equal(t, tt.after, gone.After)
				return
			}
			require.NoError(t, err)
			got, err := drain(sub)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestHubIgnoresRepetitions(t *testing.T) {
	h := hubWith(10, 1, 2, 2, 1, 3, 3)
	sub, err := h.Subscribe(context.Background(), 0)
	require.NoError(t, err)
	got, err := drain(sub)
	require.NoError(t, err)
	require.Equal(t, []int64{1, 2, 3}, got)

	sub, err = hubWith(2, 1, 2, 2, 2).Subscribe(context.Background(), 0)
	require.NoError(t, err)
	got, err = drain(sub)
	require.NoError(t, err)
	require.Equal(t, []int64{1, 2}, got, "a repetition pushes nothing out")
}

func TestLimiterForgetsClients(t *testing.T) {
	c := newClientLimiter(Limits{Rate: 1, Burst: 1, Clients: 3})
	for i := range 100 {
		require.True(t, c.allow(strconv.Itoa(i)))
	}
	require.Len(t, c.buckets, 3)
	require.Equal(t, 3, c.recent.Len())
	require.False(t, c.allow("99"), "the latest are remembered")
}

func TestHubResumesAnEarlierLeadersIDs(t *testing.T) {
	h := NewEventHub(10)
	h.Resume(40)
	_, err := h.Subscribe(context.Background(), 39)
	require.Error(t, err, "event 40 was published by someone else")
	sub, err := h.Subscribe(context.Background(), 40)
	require.NoError(t, err)
	h.Publish(v1.Event{ID: 40})
	h.Publish(v1.Event{ID: 41})
	h.Resume(90)
	h.Publish(v1.Event{ID: 42})
	got, err := drain(sub)
	require.NoError(t, err)
	require.Equal(t, []int64{41, 42}, got)
}

// Readers of a hub without events get the first one, whatever its id.
func TestHubFirstEventOfAnyID(t *testing.T) {
	for _, after := range []int64{0, LatestOnly} {
		h := NewEventHub(2)
		sub, err := h.Subscribe(context.Background(), after)
		require.NoError(t, err)
		h.Publish(v1.Event{ID: 5000})
		got, err := drain(sub)
		require.NoError(t, err)
		require.Equal(t, []int64{5000}, got)
	}
}

func TestHubCutsOffSlowReaders(t *testing.T) {
	h := hubWith(3)
	slow, err := h.Subscribe(context.Background(), 0)
	require.NoError(t, err)
	for id := int64(1); id <= 3; id++ {
		h.Publish(v1.Event{ID: id})
	}
	_, err = slow.Next(context.Background())
	require.NoError(t, err)
	h.Publish(v1.Event{ID: 4})
	got, err := drain(slow)
	require.NoError(t, err, "1 was read, 2 to 4 are kept: nothing is lost")
	require.Equal(t, []int64{2, 3, 4}, got)
	for id := int64(5); id <= 8; id++ {
		h.Publish(v1.Event{ID: id})
	}
	_, err = drain(slow)
	require.ErrorIs(t, err, ErrSlowConsumer)
}

func TestHubClose(t *testing.T) {
	h := hubWith(3, 1, 2)
	sub, err := h.Subscribe(context.Background(), 1)
	require.NoError(t, err)
	h.Close()
	h.Close()
	h.Publish(v1.Event{ID: 3})
	e, err := sub.Next(context.Background())
	require.NoError(t, err, "what is kept is still read")
	require.EqualValues(t, 2, e.ID)
	_, err = sub.Next(context.Background())
	require.ErrorIs(t, err, ErrHubClosed)
}

// Whatever is published and read in whatever order: a reader gets rising ids
// without a gap, or is told that it was overtaken.
func TestHubProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		history := rapid.IntRange(1, 8).Draw(t, "history")
		h := NewEventHub(history)
		var published []int64
		type reader struct {
			sub  Subscription
			want []int64 // what it is still owed
		}
		var readers []*reader
		next := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				next += rapid.Int64Range(1, 3).Draw(t, "step")
				h.Publish(v1.Event{ID: next})
				published = append(published, next)
				for _, r := range readers {
					r.want = append(r.want, next)
				}
			},
			"subscribe": func(t *rapid.T) {
				if len(readers) >= 8 {
					t.Skip("enough readers")
				}
				kept := published[max(0, len(published)-history):]
				sub, err := h.Subscribe(context.Background(), 0)
				require.NoError(t, err)
				readers = append(readers, &reader{sub, append([]int64{}, kept...)})
			},
			"read": func(t *rapid.T) {
				if len(readers) == 0 {
					t.Skip("no reader")
				}
				i := rapid.IntRange(0, len(readers)-1).Draw(t, "reader")
				r := readers[i]
				got, err := drain(r.sub)
				if len(r.want) > history {
					require.ErrorIs(t, err, ErrSlowConsumer)
					require.Empty(t, got)
					readers = append(readers[:i], readers[i+1:]...)
					return
				}
				require.NoError(t, err)
				require.Equal(t, len(r.want), len(got))
				require.ElementsMatch(t, r.want, got)
				r.want = nil
			},
		})
	})
}

// Many readers wait while one publishes: each gets everything, none hangs.
func TestHubWakesEveryReader(t *testing.T) {
	const events, readers = 500, 16
	h := NewEventHub(events)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range readers {
		sub, err := h.Subscribe(ctx, 0)
		require.NoError(t, err)
		wg.Go(func() {
			for want := int64(1); want <= events; want++ {
				e, err := sub.Next(ctx)
				if !assert.NoError(t, err) || !assert.Equal(t, want, e.ID) {
					return
				}
			}
		})
	}
	for id := int64(1); id <= events; id++ {
		h.Publish(v1.Event{ID: id})
	}
	wg.Wait()
}

func TestSecondYAMLDocument(t *testing.T) {
	for doc, want := range map[string]bool{
		"":                          false,
		"a: 1\n":                    false,
		"---\na: 1\n":               false,
		"# c\n%YAML 1.1\n---\na: 1": false,
		"a: 1\n---\n":               true,
		"a: 1\r\n---\r\nb: 2":       true,
		"---\na: 1\n--- # x\nb: 2":  true,
		"--- {a: 1}\n--- {b: 2}":    true,
		"a: 1\n...\n":               false,
		"a: 1\n...\n# end\n":        false,
		"a: 1\n...\nb: 2":           true,
		"a: |\n  ---\n  text\n":     false,
		"a: ---x\n":                 false,
		"---a: 1\n":                 false,
	} {
		require.Equal(t, want, holdsSecondDocument([]byte(doc)), "%q", doc)
	}
}
