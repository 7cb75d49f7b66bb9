// Command bench-placement measures how fast the engine places a workload, and
// has an independent checker judge the result.
//
// Timed is what the scheduler does from a pending slot to its grant: making the
// request, finding the node, carving its resources, building the messages of
// RESERVE, CREATE and the task, and counting the slot; the index, which is built
// with the first placement, is part of it. Making pools of the offers comes
// before and is printed apart. All of it runs on one core.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"time"

	"github.com/berthdata/berth/test/placement"
	"github.com/berthdata/berth/test/placement/check"
	"github.com/berthdata/berth/test/placement/workload"
)

func main() {
	name := flag.String("workload", "w-10k-10k", "a workload file, or the name of a standard one (w-100 … w-10k, w-1k-1k, w-5k-5k, w-10k-10k)")
	out := flag.String("out", "", "write the placement here: lines of group, tab, host")
	save := flag.String("save", "", "write the workload here, as JSON")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	if err := run(os.Stdout, *name, *out, *save); err != nil {
		fmt.Fprintln(os.Stderr, "bench-placement:", err)
		os.Exit(1)
	}
}

// result is the last line of output.
type result struct {
	Workload       string  `json:"workload"`
	Placed         int     `json:"placed"`
	PlacementsPerS float64 `json:"placements_per_s"`
	P99Micros      float64 `json:"p99_us"`
	HeapPeakMB     float64 `json:"heap_peak_mb"`
	Violations     int     `json:"violations"`
	HostsUsed      int     `json:"hosts_used"`
	SpreadRatio    float64 `json:"spread_ratio"`
}

func run(stdout io.Writer, name, out, save string) error {
	w, err := workload.Open(name)
	if err != nil {
		return err
	}
	text, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("encode workload %s: %w", w.Name, err)
	}
	if save != "" {
		if err := os.WriteFile(save, append(text, '\n'), 0o644); err != nil {
			return fmt.Errorf("save workload %s: %w", w.Name, err)
		}
	}
	m, err := measure(w)
	if err != nil {
		return err
	}
	if out != "" {
		if err := os.WriteFile(out, m.lines.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write placement of %s: %w", w.Name, err)
		}
	}
	verdict, err := check.Check(bytes.NewReader(text), &m.lines)
	if err != nil {
		return err
	}
	slices.Sort(m.each)
	fmt.Fprintf(stdout, "workload    %s: %d hosts, %d groups, %d tasks\n", w.Name, len(w.Hosts), len(w.Groups), verdict.Wanted)
	fmt.Fprintf(stdout, "pooling     %d offers in %.1f ms\n", len(w.Hosts), m.pooling.Seconds()*1e3)
	fmt.Fprintf(stdout, "placing     %d of %d tasks in %.1f ms, p50 %.1f µs, p99 %.1f µs, slowest %.1f µs\n",
		verdict.Placed, verdict.Wanted, m.placing.Seconds()*1e3, m.quantile(.5), m.quantile(.99), m.quantile(1))
	fmt.Fprintf(stdout, "checked     violations %v, spread ratio %.3f, %d hosts used\n", verdict.Violations, verdict.SpreadRatio, verdict.HostsUsed)
	return json.NewEncoder(stdout).Encode(result{
		Workload: w.Name, Placed: verdict.Placed,
		PlacementsPerS: math.Round(float64(verdict.Placed) / m.placing.Seconds()),
		P99Micros:      round1(m.quantile(.99)), HeapPeakMB: round1(float64(m.heap) / (1 << 20)),
		Violations: verdict.Total(), HostsUsed: verdict.HostsUsed,
		SpreadRatio: math.Round(verdict.SpreadRatio*1000) / 1000,
	})
}

// measurement is one run.
type measurement struct {
	pooling, placing time.Duration
	each             []time.Duration // per task, also those not placed
	heap             uint64
	lines            bytes.Buffer
}

// heapEvery is how many tasks lie between two looks at the heap.
const heapEvery = 256

func measure(w *workload.Workload) (*measurement, error) {
	m := &measurement{}
	start := time.Now()
	space, err := placement.Space(w)
	if err != nil {
		return nil, err
	}
	m.pooling = time.Since(start)
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	start = time.Now()
	before := start
	for i := range w.Groups {
		g := &w.Groups[i]
		constraints, err := placement.Constraints(g)
		if err != nil {
			return nil, err
		}
		for n := range g.Count {
			o := space.Place(placement.Request(g, constraints, n))
			if o.Placed {
				fmt.Fprintf(&m.lines, "%s\t%s\n", g.ID, o.NodeID)
			}
			if len(m.each)%heapEvery == 0 {
				metrics.Read(heap)
				m.heap = max(m.heap, heap[0].Value.Uint64())
			}
			now := time.Now()
			m.each = append(m.each, now.Sub(before))
			before = now
		}
	}
	m.placing = time.Since(start)
	return m, nil
}

// quantile of the sorted times, in microseconds.
func (m *measurement) quantile(q float64) float64 {
	if len(m.each) == 0 {
		return 0
	}
	i := int(math.Ceil(q*float64(len(m.each)))) - 1
	return m.each[max(0, i)].Seconds() * 1e6
}

func round1(f float64) float64 { return math.Round(f*10) / 10 }
