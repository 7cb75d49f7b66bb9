// Command sim plays seeds of the simulator.
//
//	sim -seed 7 [-trace] [-items 3,9]   one seed; with -trace everything that happens in it,
//	                                    with -items only these items of its schedule
//	sim -seeds 1-2000                   many, on all cores; prints seeds per second
//	sim -fresh 2000                     as many, from a first one that the clock gives
//
// The exit code is 1 when a seed fails. A failing seed is printed with the
// checker that it broke, a shrunk schedule and the end of its trace.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/berthdata/berth/test/sim"
)

func main() {
	seed := flag.Uint64("seed", 0, "play this one seed")
	seeds := flag.String("seeds", "", "play these seeds, such as 1-2000")
	fresh := flag.Uint64("fresh", 0, "play this many seeds that nobody has played before")
	items := flag.String("items", "", "with -seed: keep only these items of its schedule, by number")
	trace := flag.Bool("trace", false, "with -seed: print everything that happens")
	shrink := flag.Int("shrink", 150, "how many runs the shrinking of a failure may take")
	keepOn := flag.Bool("k", false, "with -seeds: go on after failures, one line each")
	flag.Parse()
	if os.Getenv("GOGC") == "" {
		// A run's live heap is small and its garbage is large: collecting at the
		// default pace would take a third of the time.
		debug.SetGCPercent(800)
	}
	switch {
	case *seeds != "":
		first, last, err := parseRange(*seeds)
		exitIf(err)
		os.Exit(many(first, last, *shrink, *keepOn))
	case *fresh != 0:
		// Nanoseconds: two runs at a time do not share seeds.
		first := uint64(time.Now().UnixNano())
		os.Exit(many(first, first+*fresh-1, *shrink, *keepOn))
	case *seed != 0:
		only, err := parseItems(*items)
		exitIf(err)
		os.Exit(one(*seed, only, *trace, *shrink))
	default:
		flag.Usage()
		os.Exit(2)
	}
}

func exitIf(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func one(seed uint64, only []int, trace bool, shrink int) int {
	r := sim.Run(seed, sim.Options{Only: only, Trace: trace})
	if trace {
		fmt.Println(strings.Join(r.Trace, "\n"))
	}
	if r.Violation != nil {
		fmt.Println(sim.Report(r, shrink))
		return 1
	}
	fmt.Printf("seed %d is fine: %d items, %d steps of the core, %d leaders, %d launches, %v of virtual time, converged %v after the faults\n",
		seed, len(r.Items), r.Steps, r.Leaders, r.Launches, r.Virtual.Round(time.Second), r.Healed)
	return 0
}

// progressEvery is how often a long run says how far it is.
const progressEvery = 30 * time.Second

// batch is a run of many seeds.
type batch struct {
	last          uint64
	began         time.Time
	next          atomic.Uint64
	played, steps atomic.Int64
	failed        atomic.Int64
	said          atomic.Int64 // progress, in units of progressEvery
	first         atomic.Pointer[sim.Result]
}

// many plays a range; the first failure ends it unless keepOn is set, and an
// interrupt ends it early.
func many(first, last uint64, shrink int, keepOn bool) int {
	fmt.Printf("seeds %d-%d\n", first, last)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &batch{last: last, began: time.Now()}
	b.next.Store(first)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() { b.work(ctx, keepOn) })
	}
	workers.Wait()
	fmt.Println(b)
	if b.failed.Load() == 0 {
		return 0
	}
	if !keepOn {
		fmt.Println(sim.Report(*b.first.Load(), shrink))
	}
	return 1
}

func (b *batch) work(ctx context.Context, keepOn bool) {
	for ctx.Err() == nil && (keepOn || b.failed.Load() == 0) {
		seed := b.next.Add(1) - 1
		if seed > b.last {
			return
		}
		r := sim.Run(seed, sim.Options{})
		b.played.Add(1)
		b.steps.Add(int64(r.Steps))
		if r.Violation != nil {
			b.failed.Add(1)
			b.first.CompareAndSwap(nil, &r)
			if keepOn {
				fmt.Printf("seed %d: %v\n", seed, r.Violation)
			}
		}
		if said, now := b.said.Load(), int64(time.Since(b.began)/progressEvery); now > said && b.said.CompareAndSwap(said, now) {
			fmt.Println(b)
		}
	}
}

func (b *batch) String() string {
	took := time.Since(b.began)
	return fmt.Sprintf("%d seeds, %d failed, %d steps of the core, %v: %.1f seeds/s",
		b.played.Load(), b.failed.Load(), b.steps.Load(), took.Round(time.Millisecond), float64(b.played.Load())/took.Seconds())
}

func parseRange(text string) (first, last uint64, err error) {
	from, to, ok := strings.Cut(text, "-")
	if !ok {
		to = from
	}
	if first, err = strconv.ParseUint(from, 10, 64); err == nil {
		last, err = strconv.ParseUint(to, 10, 64)
	}
	if err != nil || last < first {
		return 0, 0, fmt.Errorf("-seeds %q: want a range such as 1-2000", text)
	}
	return first, last, nil
}

// parseItems reads numbers of items; nil is all of them.
func parseItems(text string) ([]int, error) {
	if text == "" {
		return nil, nil
	}
	only := []int{}
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("-items %q: want numbers such as 3,9,12", text)
		}
		only = append(only, n)
	}
	return only, nil
}
