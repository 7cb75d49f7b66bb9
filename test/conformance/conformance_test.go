package conformance

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var record = flag.Bool("record", false, "write what the real Mesos did into testdata")

func TestMain(m *testing.M) {
	if os.Getenv(beExecutor) != "" {
		os.Exit(runExecutor())
	}
	flag.Parse()
	// Scenarios wait much more than they work.
	if err := flag.Set("test.parallel", fmt.Sprint(max(4, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// scenario is a script, with what it shows in a sentence.
type scenario struct {
	name, shows string
	play        func(s *script)
}

func scenarios() []scenario {
	var all []scenario
	for _, some := range [][]scenario{offerScenarios, operationScenarios, taskScenarios, agentScenarios, frameworkScenarios} {
		all = append(all, some...)
	}
	return all
}

func (sc scenario) file() string { return filepath.Join("testdata", sc.name+".txt") }

func (sc scenario) run(t *testing.T, c cluster) string {
	s := newScript(t, c)
	sc.play(s)
	return "# " + sc.shows + "\n" + s.end()
}

func (sc scenario) recorded(t *testing.T) string {
	b, err := os.ReadFile(sc.file())
	require.NoError(t, err, "record it with -run TestMesos -record")
	return string(b)
}

// TestMesos plays the scenarios on a real Mesos.
func TestMesos(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			got := sc.run(t, newReal(t, patient[sc.name]))
			if *record {
				require.NoError(t, os.WriteFile(sc.file(), []byte(got), 0o644))
			}
			assert.Equal(t, sc.recorded(t), got)
		})
	}
}

// TestModel plays them on the model, with several seeds: chance must not matter.
func TestModel(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			for seed := range uint64(20) {
				if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
					assert.Equal(t, sc.recorded(t), sc.run(t, newModel(t, seed)))
				}) {
					return
				}
			}
		})
	}
}

// TestRecordsAreScenarios: no record outlives its scenario.
func TestRecordsAreScenarios(t *testing.T) {
	files, err := os.ReadDir("testdata")
	require.NoError(t, err)
	var want, got []string
	for _, sc := range scenarios() {
		want = append(want, sc.name)
	}
	for _, f := range files {
		got = append(got, strings.TrimSuffix(f.Name(), ".txt"))
	}
	assert.ElementsMatch(t, want, got)
}
