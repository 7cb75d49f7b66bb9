package placement_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	engine "github.com/berthdata/berth/placement"
	"github.com/berthdata/berth/test/placement"
	"github.com/berthdata/berth/test/placement/check"
	"github.com/berthdata/berth/test/placement/workload"
)

// place runs a workload and gives the placement's lines.
func place(t testing.TB, w *workload.Workload) (*engine.Space, []byte) {
	space, err := placement.Space(w)
	require.NoError(t, err)
	var lines bytes.Buffer
	for i := range w.Groups {
		g := &w.Groups[i]
		constraints, err := placement.Constraints(g)
		require.NoError(t, err)
		for n := range g.Count {
			if o := space.Place(placement.Request(g, constraints, n)); o.Placed {
				fmt.Fprintf(&lines, "%s\t%s\n", g.ID, o.NodeID)
			}
		}
	}
	return space, lines.Bytes()
}

func judge(t testing.TB, w *workload.Workload, lines []byte) check.Verdict {
	text, err := json.Marshal(w)
	require.NoError(t, err)
	v, err := check.Check(bytes.NewReader(text), bytes.NewReader(lines))
	require.NoError(t, err)
	return v
}

func TestEveryTaskIsPlacedWithinTheRules(t *testing.T) {
	for _, size := range [][3]int{{100, 500, 1}, {100, 500, 2}, {300, 1500, 3}, {1000, 5000, 42}, {1000, 1000, 42}} {
		w := workload.Generate("w", size[0], size[1], uint64(size[2]))
		_, lines := place(t, w)
		v := judge(t, w, lines)
		assert.Equal(t, v.Wanted, v.Placed, "%v", size)
		assert.Empty(t, v.Violations, "%v", size)
		assert.Less(t, v.SpreadRatio, 1.02, "%v", size)
		_, second := place(t, w)
		assert.Equal(t, lines, second, "placing is deterministic")
	}
}

func TestTooSmallAClusterIsFilledWithinTheRules(t *testing.T) {
	w := workload.Generate("w", 40, 3000, 5)
	space, lines := place(t, w)
	v := judge(t, w, lines)
	assert.Empty(t, v.Violations)
	assert.Less(t, v.Placed, v.Wanted)
	explained := 0
	for i := range w.Groups {
		g := &w.Groups[i]
		constraints, err := placement.Constraints(g)
		require.NoError(t, err)
		r := placement.Request(g, constraints, g.Count) // one more
		e := space.Explain(r)
		assert.Equal(t, e.Fitting > 0, space.Place(r).Placed, g.ID)
		if e.Fitting == 0 {
			assert.NotEmpty(t, e.SmallestChange, g.ID)
			explained++
		}
	}
	assert.Positive(t, explained)
}

func BenchmarkPlace(b *testing.B) {
	w := workload.Generate("w", 1000, 5000, workload.StandardSeed)
	for b.Loop() {
		place(b, w)
	}
	b.ReportMetric(float64(b.N)*5000/b.Elapsed().Seconds(), "placements/s")
}

func BenchmarkExplain(b *testing.B) {
	w := workload.Generate("w", 10000, 100, workload.StandardSeed)
	space, err := placement.Space(w)
	require.NoError(b, err)
	g := workload.Group{ID: "big", Count: 1, CPUs: 64, Mem: 1 << 20, Attributes: map[string]string{"class": "data"}}
	constraints, err := placement.Constraints(&g)
	require.NoError(b, err)
	for b.Loop() {
		if e := space.Explain(placement.Request(&g, constraints, 0)); e.Fitting != 0 {
			b.Fatal(e.Summary)
		}
	}
}
