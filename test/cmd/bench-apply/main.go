// Command bench-apply measures the time from apply to a green cluster of three
// nodes, and beside it the time that the same three nodes take when they are
// started by hand on the same machine, in turn: hand, Berth, hand, Berth, …
// Its last line is one JSON object.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/berthdata/berth/test/rig/elasticsearch"
	"github.com/berthdata/berth/test/rig/setup"
	"github.com/berthdata/berth/test/stage"
)

// java are the options that both sides give every node.
var java = []string{"-XX:TieredStopAtLevel=1"}

const heap = "256m"

func main() {
	rounds := flag.Int("rounds", 3, "how many pairs are measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *rounds)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-apply:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(rounds)*4*time.Minute+5*time.Minute)
	defer cancel()
	say := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	st, err := stage.Open(ctx, "bench-apply", setup.All(), say, os.Stdout)
	defer func() { err = errors.Join(err, st.Close()) }()
	if err != nil {
		return err
	}
	var hands, berths, ratios []float64
	for i := range rounds {
		hand, err := byHand(ctx, st, i)
		if err != nil {
			return fmt.Errorf("by hand: %w", err)
		}
		with, err := byBerth(ctx, st, i)
		if err != nil {
			return fmt.Errorf("by Berth: %w", err)
		}
		say("round %d: by hand %.1f s, by Berth %.1f s, ratio %.2f", i+1, hand.Seconds(), with.Seconds(), with.Seconds()/hand.Seconds())
		hands, berths = append(hands, hand.Seconds()), append(berths, with.Seconds())
		ratios = append(ratios, with.Seconds()/hand.Seconds())
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"rounds": rounds, "by_hand_s": median(hands), "by_berth_s": median(berths), "ratio": median(ratios),
	})
}

// byHand starts three nodes with plain command lines, all at once.
func byHand(ctx context.Context, st *stage.Stage, round int) (time.Duration, error) {
	began := time.Now()
	c, err := elasticsearch.Start(st.Rig, st.Assets.Elasticsearch[setup.DefaultElasticsearch], elasticsearch.Options{
		Name: fmt.Sprintf("hand%d", round), Heap: heap, Java: java,
	})
	if err != nil {
		return 0, err
	}
	if err := c.WaitGreen(ctx); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, c.Stop(ctx)
}

// byBerth applies the same cluster and waits until Berth calls it ready.
func byBerth(ctx context.Context, st *stage.Stage, round int) (time.Duration, error) {
	name := fmt.Sprintf("bench%d", round)
	spec := fmt.Sprintf(`
name: %s
spec:
  version: %s
  nodeSets:
    - name: node
      count: 3
      resources: {cpus: 2, memory: 1gb, heap: 256mb}
      storage: {size: 1gb}
      javaOptions: [%q]
`, name, setup.DefaultElasticsearch, java[0])
	began := time.Now()
	if _, err := st.Berth.Apply(ctx, name, spec); err != nil {
		return 0, err
	}
	if _, err := st.Berth.WaitPhase(ctx, name, "Ready"); err != nil {
		return 0, err
	}
	took := time.Since(began)
	none := time.Duration(0)
	if _, err := st.Berth.DeleteCluster(ctx, name, &none, "bench"); err != nil {
		return 0, err
	}
	return took, st.Berth.WaitGone(ctx, name)
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}
