package sim_test

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/test/sim"
)

// TestSeeds plays BERTH_SIM_SEEDS seeds (100 when unset) from BERTH_SIM_FIRST on:
// unset, from the clock, so that each run plays others, or in a short run from 1.
// With the race detector that is slow: make test plays many more without it.
func TestSeeds(t *testing.T) {
	count, first := uint64(100), uint64(time.Now().UnixNano())
	if testing.Short() {
		count, first = 40, 1
	}
	count, first = number(t, "BERTH_SIM_SEEDS", count), number(t, "BERTH_SIM_FIRST", first)
	t.Logf("seeds %d-%d", first, first+count-1)
	var next atomic.Uint64
	next.Store(first)
	var mu sync.Mutex
	var failed *sim.Result
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				seed := next.Add(1) - 1
				mu.Lock()
				stop := failed != nil
				mu.Unlock()
				if stop || seed >= first+count {
					return
				}
				if r := sim.Run(seed, sim.Options{}); r.Violation != nil {
					mu.Lock()
					failed = &r
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	if failed != nil {
		t.Fatal(sim.Report(*failed, 60))
	}
}

func number(t *testing.T, name string, unset uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return unset
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, "%s", name)
	return n
}

// A failure that cannot be replayed is of no use: a run is a function of its
// seed and its items alone, with or without a trace.
func TestARunIsAFunctionOfItsSeed(t *testing.T) {
	for seed := uint64(1); seed <= 12; seed++ {
		one := sim.Run(seed, sim.Options{})
		two := sim.Run(seed, sim.Options{Trace: true})
		assert.Equal(t, one.Digest, two.Digest, "seed %d", seed)
		assert.Equal(t, one.Steps, two.Steps, "seed %d", seed)
		assert.Equal(t, one.Virtual, two.Virtual, "seed %d", seed)
		assert.NotEmpty(t, two.Trace)
	}
}

// What never happens cannot be found: over some seeds every kind of item comes,
// leaders change, and nodes are launched.
func TestSeedsReachEverything(t *testing.T) {
	seen := map[string]bool{}
	leaders, launches := 0, 0
	for seed := uint64(1); seed <= 30; seed++ {
		r := sim.Run(seed, sim.Options{})
		require.Nil(t, r.Violation)
		leaders += r.Leaders
		launches += r.Launches
		for _, it := range r.Items {
			seen[it.Kind] = true
		}
	}
	for _, kind := range sim.Kinds() {
		assert.True(t, seen[kind], "no %q in 30 seeds", kind)
	}
	assert.Greater(t, leaders, 40)
	assert.Greater(t, launches, 200)
}
