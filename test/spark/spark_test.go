// Package spark runs Spark jobs by Berth on real Mesos, real ZooKeeper and real
// Spark.
package spark

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/berth"
	"github.com/berthdata/berth/test/rig/mesos"
	"github.com/berthdata/berth/test/rig/rigtest"
	"github.com/berthdata/berth/test/rig/setup"
	sparkrig "github.com/berthdata/berth/test/rig/spark"
	"github.com/berthdata/berth/test/rig/sparkjob"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

// session is the ZooKeeper session timeout, which is when a crashed leader is
// replaced.
const session = 4 * time.Second

// world is everything that a test runs against.
type world struct {
	t     *testing.T
	ctx   context.Context
	rig   *rig.Rig
	mesos *mesos.Cluster
	// berths are the schedulers, berth the one that led first.
	berths []*berth.Berth
	berth  *berth.Berth
	homes  map[string]sparkrig.Home
	// programs is the folder of the jobs' programs, repository its URL.
	programs, repository string
}

// newWorld starts ZooKeeper, Mesos with three agents, and Berths that know versions
// of Spark.
func newWorld(t *testing.T, limit time.Duration, berths int, versions ...string) *world {
	t.Helper()
	assets := rigtest.Need(t, setup.Want{Mesos: true, ZooKeeper: true, Spark: versions})
	w := &world{t: t, ctx: rigtest.Context(t, limit), rig: rigtest.New(t), homes: assets.Spark}
	backend, err := sparkrig.Backend(w.ctx)
	if errors.Is(err, sparkrig.ErrNoBackend) && os.Getenv("BERTH_TEST_REQUIRE_REAL") != "1" {
		t.Skip(err)
	}
	require.NoError(t, err)
	zk := zookeeper.Run(t, zookeeper.Options{Tick: 500 * time.Millisecond})
	w.mesos, err = mesos.Start(w.ctx, w.rig, assets.Mesos, mesos.Options{Agents: []mesos.AgentOptions{
		{Attributes: "rack:r1"}, {Attributes: "rack:r2"}, {Attributes: "rack:r3"},
	}})
	require.NoError(t, err)
	bin, err := w.rig.Mkdir("bin")
	require.NoError(t, err)
	binaries, err := berth.Build(w.ctx, bin)
	require.NoError(t, err)
	ports, err := w.rig.Lease(berths)
	require.NoError(t, err)
	var urls []string
	options := make([]berth.Options, berths)
	for i := range options {
		port, err := ports.Take()
		require.NoError(t, err)
		urls = append(urls, fmt.Sprintf("http://127.0.0.1:%d", port))
		options[i] = berth.Options{
			Name: fmt.Sprintf("berth%d", i), Binaries: binaries, Port: port, Mesos: w.mesos.MasterURL(), ZooKeeper: zk.Addr,
			Spark: assets.Spark, SparkBackend: backend, SessionTimeout: session,
		}
	}
	for _, o := range options {
		o.Flags = []string{"--spark-schedulers=" + strings.Join(urls, ",")}
		b, err := berth.Start(w.rig, o)
		require.NoError(t, err)
		w.berths = append(w.berths, b)
	}
	w.berth = w.leader(nil)
	w.programs, err = w.rig.Mkdir("programs")
	require.NoError(t, err)
	w.repository, err = sparkjob.Serve(w.rig, w.programs)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			w.showSandboxes()
		}
	})
	return w
}

// leader waits until one of the Berths other than not leads and is subscribed.
func (w *world) leader(not *berth.Berth) *berth.Berth {
	w.t.Helper()
	leader, err := berth.WaitLeader(w.ctx, w.berths, not)
	require.NoError(w.t, err)
	return leader
}

// showSandboxes logs the end of what drivers and executors wrote.
func (w *world) showSandboxes() {
	for _, name := range []string{"driver.log", "executor.log", "stderr"} {
		logs, err := filepath.Glob(filepath.Join(w.rig.Dir(), "*", "work", "slaves", "*", "frameworks", "*", "executors", "*", "runs", "latest", name))
		if err != nil {
			w.t.Logf("find logs: %v", err)
		}
		for _, l := range logs {
			w.t.Logf("end of %s:\n%s", strings.TrimPrefix(l, w.rig.Dir()), rig.Tail(l))
		}
	}
}

// submit runs the real spark-submit in cluster mode, and returns what it printed.
func (w *world) submit(version, scheme string, args ...string) string {
	w.t.Helper()
	home := w.homes[version]
	master := scheme + "://" + strings.TrimPrefix(w.berth.URL(), "http://")
	cmd, err := home.Client(w.ctx, w.t.TempDir(), nil, append([]string{home.Submit(), "--master", master}, args...)...)
	require.NoError(w.t, err)
	out, err := cmd.CombinedOutput()
	require.NoError(w.t, err, string(out))
	return string(out)
}

// program puts a file of testdata into the repository, and returns its URL.
func (w *world) program(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(w.t, err)
	require.NoError(w.t, os.WriteFile(filepath.Join(w.programs, name), b, 0o644))
	return w.repository + "/" + name
}

// nothingLeft demands that no task of Spark's and nothing reserved is left.
func (w *world) nothingLeft() {
	w.t.Helper()
	require.NoError(w.t, rig.Eventually(w.ctx, 100*time.Millisecond, "the end of all tasks", func(ctx context.Context) error {
		tasks, err := w.mesos.Tasks(ctx)
		if err == nil && len(tasks) > 0 {
			err = fmt.Errorf("%d run, one is %s", len(tasks), tasks[0].TaskID.Value)
		}
		return err
	}))
	for _, a := range w.mesos.Agents() {
		reserved, err := w.mesos.Reserved(w.ctx, a)
		require.NoError(w.t, err)
		assert.Empty(w.t, reserved, a.Name())
	}
	require.NoError(w.t, rig.Eventually(w.ctx, 100*time.Millisecond, "the end of all processes of Spark", func(context.Context) error {
		left, err := rig.Strays(w.rig.Dir())
		for _, p := range left {
			if strings.Contains(p.Command, "java -") || strings.Contains(p.Command, "spark") {
				return fmt.Errorf("%d runs: %s", p.PID, p.Command)
			}
		}
		return err
	}))
}

func ended(s v1.SparkStatus) bool { return s.EndedAt != nil }
