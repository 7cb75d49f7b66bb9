package node

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/render"
	"github.com/berthdata/berth/executor/workload"
)

// TestRealElasticsearch starts real nodes, from the distribution folders named
// in BERTH_TEST_ES_HOME (separated by colons, each called elasticsearch-VERSION).
// As root the node runs as nobody, who must be able to read them.
func TestRealElasticsearch(t *testing.T) {
	homes := os.Getenv("BERTH_TEST_ES_HOME")
	if homes == "" {
		t.Skip("BERTH_TEST_ES_HOME names no distribution")
	}
	for _, home := range filepath.SplitList(homes) {
		version := strings.TrimPrefix(filepath.Base(home), "elasticsearch-")
		t.Run(version, func(t *testing.T) { realNode(t, home, version) })
	}
}

func realNode(t *testing.T, home, version string) {
	sandbox := openTempDir(t)
	require.NoError(t, os.Mkdir(filepath.Join(sandbox, "volume"), 0o755))
	l := launchFor(t, version, home)
	l.GraceSeconds = 30
	l.Elasticsearch.JavaHome = os.Getenv("BERTH_TEST_JAVA_HOME")

	first := runReal(t, l, sandbox)
	joined := first.statuses[len(first.statuses)-2]
	t.Logf("joined after %s: %+v", first.joinedIn.Round(time.Millisecond), joined.Report)
	assert.True(t, joined.Healthy)
	assert.NotEmpty(t, joined.Report.NodeID)
	assert.NotEmpty(t, joined.Report.ClusterUUID)
	assert.Equal(t, executor.PhaseExited, first.exit.Report.Phase)
	assert.NotContains(t, first.exit.Message, "grace period", "SIGTERM was enough")
	assert.NoFileExists(t, filepath.Join(home, "logs", "gc.log"), "nothing is written below the distribution")

	// The second life is on the same volume, in a sandbox of its own, and must
	// come back to the same cluster, without founding one.
	next := openTempDir(t)
	require.NoError(t, os.Symlink(filepath.Join(sandbox, "volume"), filepath.Join(next, "volume")))
	l.TaskID = "it-data-0.2"
	l.Elasticsearch.ClusterUUID = joined.Report.ClusterUUID
	second := runReal(t, l, next)
	again := second.statuses[len(second.statuses)-2]
	t.Logf("joined again after %s", second.joinedIn.Round(time.Millisecond))
	assert.Equal(t, joined.Report.ClusterUUID, again.Report.ClusterUUID)
	yml, err := os.ReadFile(filepath.Join(next, "config", "elasticsearch.yml"))
	require.NoError(t, err)
	assert.NotContains(t, string(yml), "initial_master_nodes")
	log, err := os.ReadFile(filepath.Join(next, logFile))
	require.NoError(t, err)
	assert.Contains(t, string(log), "started", "the console is in the log")
}

// TestRealSeedsChange starts a data node that knows no master, and tells it of
// one while it runs.
func TestRealSeedsChange(t *testing.T) {
	homes := os.Getenv("BERTH_TEST_ES_HOME")
	if homes == "" {
		t.Skip("BERTH_TEST_ES_HOME names no distribution")
	}
	for _, home := range filepath.SplitList(homes) {
		version := strings.TrimPrefix(filepath.Base(home), "elasticsearch-")
		if v, err := render.ParseVersion(version); err != nil || !v.RereadsSeeds() {
			continue
		}
		t.Run(version, func(t *testing.T) {
			start := func(name string, roles []string, seeds ...string) (*Node, <-chan executor.Report) {
				sandbox := openTempDir(t)
				require.NoError(t, os.Mkdir(filepath.Join(sandbox, "volume"), 0o755))
				l := launchFor(t, version, home)
				l.Elasticsearch.JavaHome = os.Getenv("BERTH_TEST_JAVA_HOME")
				l.Elasticsearch.NodeName, l.Elasticsearch.Roles, l.Elasticsearch.SeedHosts = name, roles, seeds
				l.Elasticsearch.InitialMasters = []string{"it-master-0"}
				n := newNode(l, workload.Env{Sandbox: sandbox, Log: zaptest.NewLogger(t)}, defaultPace)
				reports := make(chan executor.Report, 64)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					x := n.Run(context.Background(), func(s workload.Status) { reports <- s.Report })
					t.Log(x.Message)
				}()
				t.Cleanup(func() { n.Stop(10 * time.Second); <-ended })
				return n, reports
			}
			await := func(reports <-chan executor.Report, phase string) {
				t.Helper()
				deadline := time.After(2 * time.Minute)
				for {
					select {
					case r := <-reports:
						if r.Phase == phase {
							return
						}
					case <-deadline:
						t.Fatalf("never %s", phase)
					}
				}
			}
			master, up := start("it-master-0", []string{"master"})
			await(up, executor.PhaseJoined)
			unused := freePorts(t, 1)[0]
			data, seen := start("it-data-0", []string{"data"}, net.JoinHostPort("127.0.0.1", strconv.Itoa(unused)))
			// Its HTTP port opens without a master only after 30 s of trying.
			await(seen, executor.PhaseAnswering)
			begin := time.Now()
			data.Tell(executor.Message{SeedHosts: []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(master.es.TransportPort))}})
			await(seen, executor.PhaseJoined)
			t.Logf("joined %s after it was told", time.Since(begin).Round(time.Millisecond))
		})
	}
}

type realRun struct {
	statuses []workload.Status
	joinedIn time.Duration
	exit     workload.Exit
}

// runReal runs until the node joined, stops it, and waits for the end.
func runReal(t *testing.T, l executor.Launch, sandbox string) realRun {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	n := newNode(l, workload.Env{Sandbox: sandbox, Log: zaptest.NewLogger(t)}, defaultPace)
	var r realRun
	begin := time.Now()
	r.exit = n.Run(ctx, func(s workload.Status) {
		r.statuses = append(r.statuses, s)
		if s.Report.Phase == executor.PhaseJoined && s.Report.ClusterUUID != "" && r.joinedIn == 0 {
			r.joinedIn = time.Since(begin)
			n.Stop(time.Duration(l.GraceSeconds) * time.Second)
		}
	})
	require.NotZero(t, r.joinedIn, "did not join: %s", r.exit.Message)
	require.GreaterOrEqual(t, len(r.statuses), 3, "starting, joined, stopping")
	return r
}

// openTempDir is a temporary folder that every user can enter.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; strings.HasPrefix(filepath.Base(filepath.Dir(d)), "Test"); d = filepath.Dir(d) {
		require.NoError(t, os.Chmod(filepath.Dir(d), 0o755))
	}
	return dir
}

// freePorts asks the kernel.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

func launchFor(t *testing.T, version, home string) executor.Launch {
	ports := freePorts(t, 2)
	return executor.Launch{
		Version: executor.LaunchVersion, Kind: executor.KindElasticsearch, TaskID: "it-data-0.1", User: "nobody", GraceSeconds: 5,
		Elasticsearch: &executor.Elasticsearch{
			Version: version, ClusterName: "it", NodeName: "it-data-0", Home: home,
			Roles: []string{"master", "data", "ingest"}, Address: "127.0.0.1", HTTPPort: ports[0], TransportPort: ports[1],
			SeedHosts: []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[1]))}, InitialMasters: []string{"it-data-0"}, MasterCount: 1,
			Attributes: map[string]string{"host": "a1", "rack": "r1"}, AwarenessAttributes: []string{"host"},
			MilliCPUs: 1500, MemoryMiB: 1024, HeapMiB: 256, DataPath: "volume",
			Config:      map[string]any{"cluster.routing.allocation.disk.threshold_enabled": false},
			JavaOptions: []string{"-XX:TieredStopAtLevel=1"},
		},
	}
}
