package statetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/state"
)

func loadEmpty(t *testing.T, b *Backend) {
	_, lease := lead(t, b)
	values := load(t, lease)
	assert.NotNil(t, values)
	assert.Empty(t, values)
	require.NoError(t, lease.Store().Commit(t.Context(), nil), "a commit of nothing")
}

func commitThenLoad(t *testing.T, b *Backend) {
	_, lease := lead(t, b)
	load(t, lease)
	want := map[state.Key][]byte{
		"clusters/sec-events":         []byte(`{"v":1,"kind":"clusters","body":{"a":"<&>"}}`),
		"slots/sec-events-data-0":     []byte(`{"v":1}`),
		"slots/sec-events-data-1":     []byte("not JSON at all"),
		"slots/spaced":                []byte(`{ "v": 1 }`),
		"agents/b5fb_0a5c.x-S0":       {0, 0xff, 0xfe, '\n'},
		"agents/empty":                {},
		"framework/sec-events-data-0": []byte("the same name in another kind"),
	}
	var writes []state.Write
	for key, value := range want {
		writes = append(writes, state.Write{Key: key, Value: value})
	}
	commit(t, lease, writes...)
	assert.Equal(t, want, load(t, lease))
	want["slots/sec-events-data-0"] = []byte(`{"v":2}`)
	commit(t, lease, put("slots/sec-events-data-0", `{"v":2}`))
	assert.Equal(t, want, load(t, lease), "one key was replaced, the others stayed")
}

// commitWithoutLoad: the store must not assume that it knows what exists.
func commitWithoutLoad(t *testing.T, b *Backend) {
	_, first := lead(t, b)
	commit(t, first, put("slots/a", "1"), put("slots/b", "1"))
	require.NoError(t, first.Resign())
	_, second := lead(t, b)
	commit(t, second, put("slots/a", "2"), remove("slots/b"), put("slots/c", "2"))
	assert.Equal(t, map[state.Key][]byte{"slots/a": []byte("2"), "slots/c": []byte("2")}, load(t, second))
}

func writesApplyInOrder(t *testing.T, b *Backend) {
	_, lease := lead(t, b)
	commit(t, lease,
		put("slots/a", "1"), remove("slots/a"), put("slots/a", "2"),
		put("slots/b", "1"), put("slots/b", "2"), remove("slots/b"),
		remove("slots/c"), put("slots/c", "1"))
	assert.Equal(t, map[state.Key][]byte{"slots/a": []byte("2"), "slots/c": []byte("1")}, load(t, lease))
}

func deletes(t *testing.T, b *Backend) {
	_, lease := lead(t, b)
	commit(t, lease, put("slots/a", "1"), put("slots/b", "1"))
	commit(t, lease, remove("slots/a"), remove("slots/never-was"), remove("nokind/never-was"))
	commit(t, lease, remove("slots/a"))
	assert.Equal(t, map[state.Key][]byte{"slots/b": []byte("1")}, load(t, lease))
	commit(t, lease, put("slots/a", "again"))
	assert.Equal(t, map[state.Key][]byte{"slots/a": []byte("again"), "slots/b": []byte("1")}, load(t, lease))
}

func badWrites(t *testing.T, b *Backend) {
	_, lease := lead(t, b)
	good := put("slots/good", "1")
	for _, key := range []state.Key{"", "slots", "slots/", "/a", "slots/a/b", "slots/..", "../a", "slots/a b", "Slots/a", "slots/ü"} {
		err := lease.Store().Commit(t.Context(), []state.Write{good, {Key: key, Value: []byte("x")}})
		assert.ErrorIs(t, err, state.ErrBadKey, "key %q", key)
	}
	err := lease.Store().Commit(t.Context(), []state.Write{good, {Key: "slots/big", Value: make([]byte, state.MaxValue+1)}})
	require.ErrorIs(t, err, state.ErrTooLarge)
	assert.ErrorContains(t, err, "slots/big")
	assert.ErrorContains(t, err, fmt.Sprint(state.MaxValue+1))
	assert.Empty(t, load(t, lease), "the good write must not have been made")
}

func valueAtTheGate(t *testing.T, b *Backend) {
	_, lease := lead(t, b)
	value := bytes.Repeat([]byte("x"), state.MaxValue)
	want := map[state.Key][]byte{}
	var writes []state.Write
	for _, key := range []state.Key{"slots/a", "slots/b", "slots/c"} {
		want[key] = value
		writes = append(writes, state.Write{Key: key, Value: value})
	}
	commit(t, lease, writes...)
	assert.Equal(t, want, load(t, lease))
}

func bigBatches(t *testing.T, b *Backend) {
	_, lease := lead(t, b)
	want := map[state.Key][]byte{}
	batch := func(value func(i int) []byte) {
		var writes []state.Write
		for i := range 2000 {
			w := state.Write{Key: state.Key(fmt.Sprintf("slots/sec-events-data-%d", i)), Value: value(i)}
			if w.Value == nil {
				delete(want, w.Key)
			} else {
				want[w.Key] = w.Value
			}
			writes = append(writes, w)
		}
		commit(t, lease, writes...)
		require.Equal(t, want, load(t, lease))
	}
	batch(func(i int) []byte { return bytes.Repeat([]byte{'a' + byte(i%26)}, 1000) })
	batch(func(i int) []byte {
		if i%2 == 0 {
			return nil
		}
		return []byte("small")
	})
	batch(func(int) []byte { return []byte("again") })
}

func manyKeys(t *testing.T, b *Backend) {
	_, lease := lead(t, b)
	var writes []state.Write
	for i := range 5000 {
		writes = append(writes, put(fmt.Sprintf("slots/a-cluster-with-a-rather-long-name-%05d", i), fmt.Sprint(i)))
	}
	commit(t, lease, writes...)
	require.NoError(t, lease.Resign())
	_, next := lead(t, b)
	values := load(t, next)
	require.Len(t, values, len(writes))
	for _, w := range writes {
		require.Equal(t, w.Value, values[w.Key])
	}
}

func randomCommits(t *testing.T, b *Backend) {
	const seed, commits, keys = 7, 60, 40
	random := rand.New(rand.NewSource(seed))
	_, lease := lead(t, b)
	want := map[state.Key][]byte{}
	for n := range commits {
		var writes []state.Write
		for range random.Intn(12) {
			w := state.Write{Key: state.Key(fmt.Sprintf("kind-%d/%d", random.Intn(3), random.Intn(keys)))}
			if random.Intn(3) > 0 {
				w.Value = []byte(fmt.Sprint(random.Int()))
				want[w.Key] = w.Value
			} else {
				delete(want, w.Key)
			}
			writes = append(writes, w)
		}
		commit(t, lease, writes...)
		if n%20 == 19 {
			require.NoError(t, lease.Resign())
			_, lease = lead(t, b)
		}
		if n%5 == 4 {
			require.Equal(t, want, load(t, lease), "after commit %d of seed %d", n, seed)
		}
	}
}

func outage(t *testing.T, b *Backend) {
	c, lease := lead(t, b)
	if c.Outage == nil {
		t.Skip("this backend cannot be away")
	}
	commit(t, lease, put("slots/a", "1"))
	heal := c.Outage(t)
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	err := lease.Store().Commit(ctx, []state.Write{put("slots/a", "2"), put("slots/b", "2")})
	require.ErrorIs(t, err, state.ErrUnavailable)
	_, err = lease.Store().Load(ctx)
	require.ErrorIs(t, err, state.ErrUnavailable)
	requireHeld(t, lease)
	heal()
	repeat(t, lease, put("slots/a", "2"), put("slots/b", "2"))
	assert.Equal(t, map[state.Key][]byte{"slots/a": []byte("2"), "slots/b": []byte("2")}, load(t, lease))
	requireHeld(t, lease)
}

// repeat commits until the backend is back, as a leader does.
func repeat(t *testing.T, lease state.Lease, writes ...state.Write) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := lease.Store().Commit(ctx, writes)
		if err == nil {
			return
		}
		require.ErrorIs(t, err, state.ErrUnavailable)
		select {
		case <-again.C:
		case <-ctx.Done():
			require.NoError(t, err, "the backend did not come back")
		}
	}
}

// mixed returns writes that fail when carried out twice by a store that does not
// look again: creations, deletions, changes.
func mixed() (before, writes []state.Write, want map[state.Key][]byte) {
	want = map[state.Key][]byte{}
	for i := range 60 {
		key := state.Key(fmt.Sprintf("slots/%d", i))
		value := bytes.Repeat([]byte{'a' + byte(i%26)}, 100)
		switch i % 3 {
		case 0:
			before = append(before, state.Write{Key: key, Value: []byte("old")})
			writes = append(writes, state.Write{Key: key})
		case 1:
			before = append(before, state.Write{Key: key, Value: []byte("old")})
			writes = append(writes, state.Write{Key: key, Value: value})
			want[key] = value
		case 2:
			writes = append(writes, state.Write{Key: key, Value: value})
			want[key] = value
		}
	}
	return before, writes, want
}

func lostAnswer(t *testing.T, b *Backend) {
	c, lease := lead(t, b)
	if c.LoseAnswer == nil {
		t.Skip("this backend cannot lose an answer")
	}
	lostThenRepeat(t, lease, c.LoseAnswer)
}

func lostRequest(t *testing.T, b *Backend) {
	c, lease := lead(t, b)
	if c.LoseRequest == nil {
		t.Skip("this backend cannot lose a request")
	}
	lostThenRepeat(t, lease, c.LoseRequest)
}

func lostThenRepeat(t *testing.T, lease state.Lease, lose func(*testing.T)) {
	before, writes, want := mixed()
	load(t, lease)
	commit(t, lease, before...)
	lose(t)
	require.ErrorIs(t, lease.Store().Commit(t.Context(), writes), state.ErrUnavailable)
	repeat(t, lease, writes...)
	assert.Equal(t, want, load(t, lease))
	commit(t, lease, remove("slots/1"), put("slots/0", "new"))
	delete(want, "slots/1")
	want["slots/0"] = []byte("new")
	assert.Equal(t, want, load(t, lease), "the store's picture is true again")
}
