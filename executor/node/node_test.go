package node

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/host"
	"github.com/berthdata/berth/executor/node/nodetest"
	"github.com/berthdata/berth/executor/process"
	"github.com/berthdata/berth/executor/workload"
)

func TestMain(m *testing.M) {
	nodetest.Main()
	if err := process.AdoptOrphans(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

var quick = pace{joining: 10 * time.Millisecond, joined: 10 * time.Millisecond, misses: 3}

// fixture is one node on a stand-in for Elasticsearch.
type fixture struct {
	t       *testing.T
	sandbox string
	volume  string
	launch  executor.Launch
	node    *Node

	mu       sync.Mutex
	statuses []workload.Status
	exit     chan workload.Exit
}

func newFixture(t *testing.T, mode nodetest.Mode) *fixture {
	f := &fixture{t: t, sandbox: openTempDir(t), exit: make(chan workload.Exit, 1)}
	f.volume = filepath.Join(f.sandbox, "volume")
	require.NoError(t, os.Mkdir(f.volume, 0o755))
	f.launch = launchFor(t, "8.19.21", nodetest.Home(t, openTempDir(t), "8.19.21", mode))
	return f
}

func (f *fixture) start() *fixture {
	f.node = newNode(f.launch, workload.Env{Sandbox: f.sandbox, Log: zaptest.NewLogger(f.t)}, quick)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.exit <- f.node.Run(ctx, func(s workload.Status) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.statuses = append(f.statuses, s)
		})
	}()
	f.t.Cleanup(func() { cancel(); <-done })
	return f
}

func (f *fixture) last() workload.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.statuses) == 0 {
		return workload.Status{}
	}
	return f.statuses[len(f.statuses)-1]
}

func (f *fixture) phase(want string) workload.Status {
	f.t.Helper()
	require.Eventually(f.t, func() bool { return f.last().Report.Phase == want }, 15*time.Second, 2*time.Millisecond, "phase %s", want)
	return f.last()
}

func (f *fixture) ended() workload.Exit {
	f.t.Helper()
	select {
	case x := <-f.exit:
		if p := f.node.once.Process(); p != nil {
			assert.ErrorIs(f.t, syscall.Kill(-p.Pid(), 0), syscall.ESRCH, "the whole group is gone")
		}
		return x
	case <-time.After(20 * time.Second):
		f.t.Fatal("did not end")
		return workload.Exit{}
	}
}

func (f *fixture) data() string { return filepath.Join(f.volume, host.DataDir) }

func TestNodeJoinsAndStops(t *testing.T) {
	f := newFixture(t, nodetest.Good).start()
	s := f.phase(executor.PhaseJoined)
	assert.True(t, s.Healthy)
	assert.Equal(t, executor.Report{Phase: executor.PhaseJoined, ClusterUUID: nodetest.UUID, NodeID: nodetest.NodeID}, s.Report)

	f.node.Stop(10 * time.Second)
	x := f.ended()
	assert.Equal(t, executor.PhaseExited, x.Report.Phase)
	assert.Zero(t, x.Report.ExitCode)
	assert.Empty(t, x.Report.Cause, "whoever is asked to stop needs no reason")
	assert.Equal(t, executor.PhaseStarting, f.statuses[0].Report.Phase)
	assert.False(t, f.statuses[0].Healthy)
	assert.Equal(t, executor.PhaseStopping, f.last().Report.Phase)

	log, err := os.ReadFile(filepath.Join(f.sandbox, logFile))
	require.NoError(t, err)
	assert.Contains(t, string(log), "with descriptors "+host.LockFile, "the node inherits the volume's lock")
	if os.Geteuid() == 0 {
		assert.Contains(t, string(log), "started as uid 65534")
	}
	mark, err := os.ReadFile(filepath.Join(f.volume, host.MarkerFile))
	require.NoError(t, err)
	assert.JSONEq(t, `{"version":1,"cluster":"it","node":"it-data-0","clusterUUID":"fake-uuid"}`, string(mark))
}

func TestNodeIsWatchedAfterItJoined(t *testing.T) {
	f := newFixture(t, nodetest.Good).start()
	f.phase(executor.PhaseJoined)
	nodetest.SetState(t, f.data(), nodetest.NoMaster)
	assert.False(t, f.phase(executor.PhaseAnswering).Healthy)
	assert.Contains(t, f.last().Message, "no master")
	nodetest.SetState(t, f.data(), nodetest.Joined)
	assert.True(t, f.phase(executor.PhaseJoined).Healthy)
	nodetest.SetState(t, f.data(), nodetest.Locked)
	assert.Contains(t, f.phase(executor.PhaseAnswering).Message, "credentials")
	f.node.Stop(5 * time.Second)
	f.ended()
}

func TestNodeInAnotherClusterIsUnhealthy(t *testing.T) {
	f := newFixture(t, nodetest.Good)
	f.start().phase(executor.PhaseJoined)
	require.NoError(t, os.WriteFile(filepath.Join(f.data(), "uuid"), []byte("other-uuid"), 0o644))
	s := f.phase(executor.PhaseAnswering)
	assert.False(t, s.Healthy)
	assert.Contains(t, s.Message, "its volume belongs to fake-uuid")
}

func TestNodeOfAnotherNameOnThePort(t *testing.T) {
	f := newFixture(t, nodetest.Good)
	require.NoError(t, os.WriteFile(filepath.Join(f.volume, host.MarkerFile), []byte(`{"version":1,"cluster":"it","node":"it-data-0"}`), 0o600))
	require.NoError(t, os.Mkdir(f.data(), 0o777))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(f.data(), 65534, 65534))
	}
	nodetest.SetState(t, f.data(), nodetest.Stranger)
	f.start()
	require.Eventually(t, func() bool { return f.last().Report.Phase == executor.PhaseStarting }, 15*time.Second, 2*time.Millisecond)
	o := newProber(f.launch.Elasticsearch)
	defer o.close()
	require.Eventually(t, func() bool { return strings.Contains(o.look(t.Context()).problem, `node "stranger"`) }, 15*time.Second, 5*time.Millisecond)
	assert.Len(t, f.statuses, 1, "another node's answer is none of ours")
	nodetest.SetState(t, f.data(), nodetest.Joined)
	f.phase(executor.PhaseJoined)
}

func TestNodeIsToldItsMasters(t *testing.T) {
	f := newFixture(t, nodetest.Good)
	seeds := func() string {
		b, err := os.ReadFile(filepath.Join(f.sandbox, "config", "unicast_hosts.txt"))
		require.NoError(t, err)
		return string(b)
	}
	f.start().phase(executor.PhaseJoined)
	require.Contains(t, seeds(), f.launch.Elasticsearch.SeedHosts[0])

	f.node.Tell(executor.Message{SeedHosts: []string{"127.0.0.1:1", "127.0.0.1:2"}})
	assert.Contains(t, seeds(), "127.0.0.1:1\n127.0.0.1:2\n")
	f.node.Tell(executor.Message{})
	assert.Contains(t, seeds(), "127.0.0.1:1\n127.0.0.1:2\n", "nothing does not replace what is known")
}

// What is told while the node is still being prepared is not lost.
func TestNodeIsToldBeforeItStarts(t *testing.T) {
	f := newFixture(t, nodetest.Good)
	f.node = newNode(f.launch, workload.Env{Sandbox: f.sandbox, Log: zaptest.NewLogger(t)}, quick)
	f.node.Tell(executor.Message{SeedHosts: []string{"127.0.0.1:9"}})
	f.node.Run(t.Context(), func(s workload.Status) { f.node.Stop(5 * time.Second) })
	b, err := os.ReadFile(filepath.Join(f.sandbox, "config", "unicast_hosts.txt"))
	require.NoError(t, err)
	assert.Contains(t, string(b), "127.0.0.1:9\n")
}

func TestStubbornNodeIsKilled(t *testing.T) {
	f := newFixture(t, nodetest.Stubborn).start()
	f.phase(executor.PhaseJoined)
	f.node.Stop(200 * time.Millisecond)
	x := f.ended()
	assert.Equal(t, "SIGKILL", x.Report.Signal)
	assert.Contains(t, x.Message, "grace period")
}

func TestFailingNodeSaysWhy(t *testing.T) {
	for mode, want := range map[nodetest.Mode]struct {
		code int
		says string
	}{
		nodetest.BindFail: {1, "Failed to bind to 127.0.0.1:1"},
		nodetest.Checks:   {78, "bootstrap checks refuse this machine"},
	} {
		t.Run(string(mode), func(t *testing.T) {
			x := newFixture(t, mode).start().ended()
			assert.Equal(t, want.code, x.Report.ExitCode)
			assert.Contains(t, x.Report.Cause, want.says)
			assert.Contains(t, x.Message, "last lines of its log")
		})
	}
}

func TestKilledNodeSaysSo(t *testing.T) {
	f := newFixture(t, nodetest.Good).start()
	f.phase(executor.PhaseJoined)
	require.NoError(t, syscall.Kill(f.node.once.Process().Pid(), syscall.SIGKILL))
	x := f.ended()
	assert.Equal(t, "SIGKILL", x.Report.Signal)
	assert.Contains(t, x.Report.Cause, "memory limit")
}

func TestStopBeforeTheStart(t *testing.T) {
	f := newFixture(t, nodetest.Good)
	f.node = newNode(f.launch, workload.Env{Sandbox: f.sandbox, Log: zaptest.NewLogger(t)}, quick)
	f.node.Stop(time.Second)
	x := f.node.Run(t.Context(), func(workload.Status) { t.Error("nothing started") })
	assert.Contains(t, x.Message, "before it was started")
}

func TestTwoNodesNeverShareAVolume(t *testing.T) {
	f := newFixture(t, nodetest.Good).start()
	f.phase(executor.PhaseJoined)

	second := newFixture(t, nodetest.Good)
	require.NoError(t, os.Remove(second.volume))
	require.NoError(t, os.Symlink(f.volume, second.volume))
	x := second.start().ended()
	assert.Contains(t, x.Message, "two nodes must never share a volume")
	assert.True(t, f.last().Healthy, "the first one goes on")
}

func TestNodeIsNotStarted(t *testing.T) {
	for _, tc := range []struct {
		name, says string
		change     func(*fixture)
	}{
		{"no distribution", "no Elasticsearch at", func(f *fixture) { f.launch.Elasticsearch.Home = "/no/such/home" }},
		{"nothing unpacked", "did not unpack to elasticsearch-8.19.21", func(f *fixture) { f.launch.Elasticsearch.Home = "" }},
		{"another version", "not version 8.19.20", func(f *fixture) { f.launch.Elasticsearch.Version = "8.19.20" }},
		{"not executable", "not executable", func(f *fixture) {
			require.NoError(f.t, os.Chmod(filepath.Join(f.launch.Elasticsearch.Home, "bin", "elasticsearch"), 0o644))
		}},
		{"no volume", "volume", func(f *fixture) { f.launch.Elasticsearch.DataPath = "elsewhere" }},
		{"no java there", "javaHome /no/java", func(f *fixture) { f.launch.Elasticsearch.JavaHome = "/no/java" }},
		{"another's volume", "belongs to", func(f *fixture) {
			require.NoError(f.t, os.WriteFile(filepath.Join(f.volume, host.MarkerFile), []byte(`{"version":1,"cluster":"x","node":"y"}`), 0o600))
		}},
		{"a reserved setting", "cluster.name", func(f *fixture) { f.launch.Elasticsearch.Config = map[string]any{"cluster.name": "x"} }},
		{"a file in the way", "in the way", func(f *fixture) {
			require.NoError(f.t, os.WriteFile(filepath.Join(f.sandbox, "logs"), nil, 0o600))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, nodetest.Good)
			tc.change(f)
			x := f.start().ended()
			assert.Contains(t, x.Message, tc.says)
			assert.NotEmpty(t, x.Report.Cause)
			assert.Equal(t, executor.PhaseExited, x.Report.Phase)
			assert.NoFileExists(t, filepath.Join(f.data(), "written"))
		})
	}
}

// asRoot are the rules that hold only where the executor may change users.
func TestRootNeverRunsTheNodeAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for user, says := range map[string]string{"": "no user is named", "root": "is root", "nobody-at-all": "not known"} {
		f := newFixture(t, nodetest.Good)
		f.launch.User = user
		assert.Contains(t, f.start().ended().Message, says)
	}
}

func TestRootGivesAwayNoMoreThanItMust(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	f := newFixture(t, nodetest.Good)
	// As agents make sandboxes: for the owner and the group only.
	require.NoError(t, os.Chmod(f.sandbox, 0o750))
	require.NoError(t, os.Chmod(f.volume, 0o700))
	f.start().phase(executor.PhaseJoined)
	uid := func(path string) int {
		info, err := os.Lstat(path)
		require.NoError(t, err)
		st, ok := info.Sys().(*syscall.Stat_t)
		require.True(t, ok)
		return int(st.Uid)
	}
	for path, want := range map[string]int{
		f.sandbox: 0, f.volume: 0, filepath.Join(f.volume, host.MarkerFile): 0, filepath.Join(f.volume, host.LockFile): 0,
		filepath.Join(f.sandbox, logFile): 0, f.data(): 65534, filepath.Join(f.sandbox, "config", "roles.yml"): 65534,
	} {
		assert.Equal(t, want, uid(path), path)
	}
}

func TestDataOfAnotherUserIsNotHandedOver(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	f := newFixture(t, nodetest.Good)
	v, err := host.OpenVolume(t.Context(), f.volume, host.Marker{Cluster: "it", Node: "it-data-0"})
	require.NoError(t, err)
	v.Release()
	require.NoError(t, os.Mkdir(f.data(), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(f.data(), "segment"), nil, 0o600))
	assert.Contains(t, f.start().ended().Message, "belongs to uid 0")
	require.NoError(t, os.Remove(filepath.Join(f.data(), "segment")))
	again := &fixture{t: t, sandbox: f.sandbox, volume: f.volume, launch: f.launch, exit: make(chan workload.Exit, 1)}
	again.start().phase(executor.PhaseJoined)
}
