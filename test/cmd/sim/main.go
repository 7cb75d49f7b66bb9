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
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

// many plays a range; the first failure ends it unless keepOn is set.
func many(first, last uint64, shrink int, keepOn bool) int {
	fmt.Printf("seeds %d-%d\n", first, last)
	began := time.Now()
	var next atomic.Uint64
	next.Store(first)
	var stop atomic.Bool
	var steps, played atomic.Int64
	var mu sync.Mutex
	var failed []sim.Result
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for !stop.Load() {
				seed := next.Add(1) - 1
				if seed > last || seed < first {
					return
				}
				r := sim.Run(seed, sim.Options{})
				played.Add(1)
				steps.Add(int64(r.Steps))
				if r.Violation == nil {
					continue
				}
				mu.Lock()
				failed = append(failed, r)
				if keepOn {
					fmt.Printf("seed %d: %v\n", seed, r.Violation)
				}
				mu.Unlock()
				stop.Store(!keepOn)
			}
		})
	}
	workers.Wait()
	took := time.Since(began)
	fmt.Printf("%d seeds, %d failed, %d steps of the core, %v: %.1f seeds/s\n",
		played.Load(), len(failed), steps.Load(), took.Round(time.Millisecond), float64(played.Load())/took.Seconds())
	if len(failed) == 0 {
		return 0
	}
	if !keepOn {
		fmt.Println(sim.Report(failed[0], shrink))
	}
	return 1
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
