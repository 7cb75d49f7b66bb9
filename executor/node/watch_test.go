package node

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/process"
)

var (
	silent   = observation{problem: "does not answer"}
	noMaster = observation{answers: true, nodeID: "n", problem: "has no master"}
	joined   = observation{answers: true, joined: true, nodeID: "n", uuid: "u"}
	unnamed  = observation{answers: true, joined: true, nodeID: "n"}
)

func TestTracker(t *testing.T) {
	const up, down = true, false
	type change struct {
		at      int
		phase   string
		healthy bool
	}
	for _, tc := range []struct {
		name string
		seen []observation
		want []change
	}{
		{"on its way up", []observation{silent, silent, noMaster, noMaster, joined, joined},
			[]change{{2, executor.PhaseAnswering, down}, {4, executor.PhaseJoined, up}}},
		{"straight up", []observation{silent, joined}, []change{{1, executor.PhaseJoined, up}}},
		{"a hiccup is no news", []observation{joined, silent, noMaster, joined, silent, silent, joined}, []change{{0, executor.PhaseJoined, up}}},
		{"lost its master", []observation{joined, noMaster, noMaster, noMaster, noMaster, joined},
			[]change{{0, executor.PhaseJoined, up}, {3, executor.PhaseAnswering, down}, {5, executor.PhaseJoined, up}}},
		{"fell silent", []observation{joined, silent, silent, silent, silent, noMaster, silent, joined},
			[]change{{0, executor.PhaseJoined, up}, {3, executor.PhaseSilent, down}, {5, executor.PhaseAnswering, down}, {6, executor.PhaseSilent, down}, {7, executor.PhaseJoined, up}}},
		{"the uuid comes later", []observation{unnamed, unnamed, joined, joined},
			[]change{{0, executor.PhaseJoined, up}, {2, executor.PhaseJoined, up}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := tracker{misses: 3, phase: executor.PhaseStarting}
			var got []change
			for i, o := range tc.seen {
				if s, changed := tr.next(o); changed {
					got = append(got, change{i, s.Report.Phase, s.Healthy})
				}
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

// Health is a level, not a stream: no two reports in a row say the same, and
// healthy means joined.
func TestTrackerReportsChangesOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr := tracker{misses: rapid.IntRange(1, 4).Draw(t, "misses"), phase: executor.PhaseStarting}
		last := executor.Report{Phase: executor.PhaseStarting}
		for _, o := range rapid.SliceOf(rapid.SampledFrom([]observation{silent, noMaster, joined})).Draw(t, "seen") {
			s, changed := tr.next(o)
			if !changed {
				continue
			}
			require.NotEqual(t, last, s.Report)
			require.Equal(t, s.Report.Phase == executor.PhaseJoined, s.Healthy)
			last = s.Report
		}
	})
}

func TestLikelyCause(t *testing.T) {
	for _, tc := range []struct{ name, log, says string }{
		{"port", "[ERROR][o.e.b.Bootstrap] Exception\norg.elasticsearch.http.BindHttpException: Failed to bind to 127.0.0.1:9200\n\tat a.b\nCaused by: java.net.BindException: Address already in use", "could not be bound: org.elasticsearch.http.BindHttpException: Failed to bind to 127.0.0.1:9200"},
		{"heap", "java.lang.OutOfMemoryError: Java heap space\n[ERROR] fatal error", "give the node more memory"},
		{"lock", "java.lang.IllegalStateException: failed to obtain node locks, tried [/d]; maybe these locations are not writable", "another process uses"},
		{"checks", "ERROR: [1] bootstrap checks failed\n[1]: max virtual memory areas vm.max_map_count [65530] is too low", "max_map_count"},
		{"checks of 8", "bootstrap check failure [1] of [2]: max file descriptors [1024] is too low", "max file descriptors"},
		{"permission", "java.nio.file.AccessDeniedException: /data/nodes", "may not use a file"},
		{"disk", "java.io.IOException: No space left on device\njava.lang.IllegalStateException: x", "disk is full"},
		{"option", "Unrecognized VM option 'UseParNewGC'\nError: Could not create the Java Virtual Machine.", "refuses one of its options"},
		{"value", "java.lang.IllegalArgumentException: Failed to parse value [many] for setting [thread_pool.write.queue_size]\n\tat org.elasticsearch.x\nERROR: Elasticsearch died while starting up, with exit code 1", "[thread_pool.write.queue_size]"},
		{"setting", "java.lang.IllegalArgumentException: unknown setting [foo.bar] please check", "foo.bar"},
		{"downgrade", "java.lang.IllegalStateException: cannot downgrade a node from version [8.0.0] to version [7.17.0]", "incompatible version"},
		{"nested only", "x\nCaused by: java.io.IOException: error=13, Permission denied", "error=13"},
		{"anything", "[2020][ERROR][o.e.b.Bootstrap] something", "something"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cause := process.LikelyCause(causes, strings.Split(tc.log, "\n"), process.Exit{Code: 1})
			assert.Contains(t, cause, tc.says)
			assert.NotContains(t, cause, "\n", "one line")
		})
	}
	assert.Empty(t, process.LikelyCause(causes, []string{"[INFO] started"}, process.Exit{Code: 1}))
	assert.Contains(t, process.LikelyCause(causes, nil, process.Exit{Signal: "SIGKILL"}), "memory limit")
	assert.Empty(t, process.LikelyCause(causes, nil, process.Exit{Signal: "SIGKILL", Forced: true}), "that was us")
}

func TestEpitaphIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.StringN(0, 3000, -1))).Draw(t, "lines")
		exit := process.Exit{Code: 1}
		cause := process.LikelyCause(causes, lines, exit)
		m := process.Epitaph("n", exit, cause, lines)
		require.LessOrEqual(t, len(m), process.MessageSize)
		require.LessOrEqual(t, len(cause), process.CauseSize)
		require.True(t, utf8.ValidString(m))
	})
	m := process.Epitaph("node c-data-0", process.Exit{Code: 78}, "why", []string{"a", "b"})
	assert.Equal(t, "node c-data-0 exited with code 78 after 0.0 s: why\nlast lines of its log:\na\nb", m)
}
