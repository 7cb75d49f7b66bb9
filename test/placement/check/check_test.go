package check_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/test/placement/check"
)

// Two hosts, each with room for exactly two tasks of group g in every respect;
// r2 is the rack of h2 alone. fits has no rule and needs next to nothing.
const sample = `{"name":"x","hosts":[
	{"id":"h1","cpus":0.6,"mem":200,"disk":20,"ports":[[1,2],[9,10]],"attributes":{"rack":"r1","class":"data"}},
	{"id":"h2","cpus":0.6,"mem":200,"disk":20,"ports":[[1,4]],"attributes":{"rack":"r2","class":"data"}}],
"groups":[
	{"id":"g","count":4,"cpus":0.3,"mem":100,"disk":10,"ports":2,"attributes":{"class":"data"},"maxPerHost":2,"spread":"rack"},
	{"id":"cpu","count":9,"cpus":0.1,"mem":0,"disk":0,"ports":0,"attributes":{},"maxPerHost":0,"spread":null},
	{"id":"mem","count":9,"cpus":0,"mem":1,"disk":0,"ports":0,"attributes":{},"maxPerHost":0,"spread":null},
	{"id":"disk","count":9,"cpus":0,"mem":0,"disk":1,"ports":0,"attributes":{},"maxPerHost":0,"spread":null},
	{"id":"port","count":9,"cpus":0,"mem":0,"disk":0,"ports":1,"attributes":{},"maxPerHost":0,"spread":null},
	{"id":"r1","count":9,"cpus":0,"mem":0,"disk":0,"ports":0,"attributes":{"rack":"r1"},"maxPerHost":0,"spread":null},
	{"id":"one","count":2,"cpus":0,"mem":0,"disk":0,"ports":0,"attributes":{},"maxPerHost":1,"spread":null}]}`

func TestCheckFindsEachKindOfViolation(t *testing.T) {
	full := "g h1\ng h1\ng h2\ng h2\n"
	for _, c := range []struct {
		name, placement string
		violations      map[string]int
		hosts           int
		spread          float64
	}{
		{"nothing placed", "", map[string]int{}, 0, 0},
		{"full to the brim", full, map[string]int{}, 2, 1},
		{"one cpu too many", full + "cpu h1\n", map[string]int{"over-cpus": 1}, 2, 1},
		{"one MiB too many", full + "mem h2\n", map[string]int{"over-mem": 1}, 2, 1},
		{"one MiB of disk too many", full + "disk h2\n", map[string]int{"over-disk": 1}, 2, 1},
		{"one port too many", full + "port h1\n", map[string]int{"over-ports": 1}, 2, 1},
		{"wrong rack", "r1 h1\nr1 h2\nr1 h2\n", map[string]int{"attribute": 2}, 2, 0},
		{"two on a host", "one h1\none h1\n", map[string]int{"max-per-host": 1}, 1, 0},
		{"more than wanted", "one h1\none h2\none h1\n", map[string]int{"max-per-host": 1, "too-many": 1}, 2, 0},
		{"no such host or group", "g h9\nq h1\nrubbish\n", map[string]int{"unknown": 3}, 0, 0},
		{"uneven", "g h1\ng h1\n", map[string]int{}, 1, 2},
		{"even as can be", "g h1\ng h1\ng h2\n", map[string]int{}, 2, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := check.Check(strings.NewReader(sample), strings.NewReader(strings.ReplaceAll(c.placement, " ", "\t")))
			require.NoError(t, err)
			assert.Equal(t, c.violations, v.Violations)
			assert.Equal(t, c.hosts, v.HostsUsed)
			assert.InDelta(t, c.spread, v.SpreadRatio, 1e-9)
			assert.Equal(t, 4+5*9+2, v.Wanted)
			assert.Equal(t, strings.Count(c.placement, "\n")-v.Violations["unknown"], v.Placed)
			n := 0
			for _, k := range c.violations {
				n += k
			}
			assert.Equal(t, n, v.Total())
		})
	}
}

func TestCheckRefusesWhatIsNoWorkload(t *testing.T) {
	_, err := check.Check(strings.NewReader("{"), strings.NewReader(""))
	require.ErrorContains(t, err, "workload:")
}
