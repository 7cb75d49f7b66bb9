// Command bench-load measures how long a Berth takes from the election to the first
// decision: reading everything from a real ZooKeeper, making the core of it, and the
// core's first step. Its last line is one JSON object.
//
//	bench-load [-clusters 1000] [-nodes 20] [-rounds 5] [-most 2s]
//
// The exit code is 1 when loading (reading and making the core, the median of the
// rounds) takes longer than -most.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/scheduler/state/zkstore"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

func main() {
	o := options{}
	flag.IntVar(&o.clusters, "clusters", 1000, "how many clusters are stored")
	flag.IntVar(&o.nodes, "nodes", 20, "how many nodes each has")
	flag.IntVar(&o.rounds, "rounds", 5, "how often everything is loaded")
	flag.DurationVar(&o.most, "most", 0, "how long loading may take; 0: only measure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-load:", err)
		os.Exit(1)
	}
}

type options struct {
	clusters, nodes, rounds int
	most                    time.Duration
}

// round is what one election took.
type round struct{ campaign, read, core, step time.Duration }

func (r round) load() time.Duration { return r.read + r.core }

func run(ctx context.Context, o options) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	server, err := zookeeper.Start(ctx, zookeeper.Options{HeapMB: 768})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	writes, err := records(o.clusters, o.nodes)
	if err != nil {
		return err
	}
	size := 0
	for _, w := range writes {
		size += len(w.Value)
	}
	if err := store(ctx, server.Addr, writes); err != nil {
		return err
	}
	fmt.Printf("%d clusters, %d slots, %d records of %.1f MiB; Go %s, %d cores\n",
		o.clusters, o.clusters*o.nodes, len(writes), float64(size)/(1<<20), runtime.Version(), runtime.NumCPU())
	var rounds []round
	for i := range o.rounds {
		r, err := load(ctx, server.Addr, len(writes))
		if err != nil {
			return err
		}
		rounds = append(rounds, r)
		fmt.Printf("round %d: election %s, reading %s, core %s, first step %s; loading %s\n", i+1,
			milliseconds(r.campaign), milliseconds(r.read), milliseconds(r.core), milliseconds(r.step), milliseconds(r.load()))
	}
	took := median(rounds, round.load)
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{
		"clusters": o.clusters, "slots": o.clusters * o.nodes, "load_s": took.Seconds(),
		"read_s": median(rounds, func(r round) time.Duration { return r.read }).Seconds(),
		"core_s": median(rounds, func(r round) time.Duration { return r.core }).Seconds(),
		"step_s": median(rounds, func(r round) time.Duration { return r.step }).Seconds(),
	}); err != nil {
		return err
	}
	if o.most > 0 && took > o.most {
		return fmt.Errorf("loading took %s, more than %s", milliseconds(took), o.most)
	}
	return nil
}

// store leaves the records behind as a Berth that has stopped.
func store(ctx context.Context, servers string, writes []state.Write) (err error) {
	e, err := zkstore.New(zkstore.Options{Servers: servers})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	lease, err := e.Campaign(ctx, "http://127.0.0.1:1")
	if err != nil {
		return err
	}
	return errors.Join(lease.Store().Commit(ctx, writes), lease.Resign())
}

// load is one election, in a session of its own.
func load(ctx context.Context, servers string, want int) (r round, err error) {
	e, err := zkstore.New(zkstore.Options{Servers: servers})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	// What the round before left behind is not this one's to collect.
	runtime.GC()
	began := time.Now()
	lap := func() time.Duration {
		took := time.Since(began)
		began = time.Now()
		return took
	}
	lease, err := e.Campaign(ctx, "http://127.0.0.1:1")
	if err != nil {
		return r, err
	}
	r.campaign = lap()
	values, err := lease.Store().Load(ctx)
	if err != nil {
		return r, err
	}
	r.read = lap()
	if len(values) != want {
		return r, fmt.Errorf("%d records were read, %d were stored", len(values), want)
	}
	core, err := scheduler.New(config(lease.Epoch()), values)
	if err != nil {
		return r, err
	}
	r.core = lap()
	core.Step(time.Now(), scheduler.Subscribed{FrameworkID: core.FrameworkID()})
	r.step = lap()
	return r, lease.Resign()
}

func milliseconds(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

func median(rounds []round, of func(round) time.Duration) time.Duration {
	all := make([]time.Duration, len(rounds))
	for i, r := range rounds {
		all[i] = of(r)
	}
	slices.Sort(all)
	return all[len(all)/2]
}
