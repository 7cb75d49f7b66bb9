package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/agent/agenttest"
	"github.com/berthdata/berth/executor/node/nodetest"
)

// beExecutor makes the test binary the program under test.
const beExecutor = "BERTH_TEST_BE_EXECUTOR"

func TestMain(m *testing.M) {
	nodetest.Main()
	if os.Getenv(beExecutor) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const taskID = agenttest.ExecutorID

// world is an agent, a sandbox with a volume, and a distribution.
type world struct {
	t       *testing.T
	agent   *agenttest.Agent
	sandbox string
	launch  executor.Launch
}

func newWorld(t *testing.T, mode nodetest.Mode) *world {
	w := &world{t: t, agent: agenttest.New(t), sandbox: openTempDir(t)}
	require.NoError(t, os.Mkdir(filepath.Join(w.sandbox, "volume"), 0o755))
	ports := freePorts(t)
	w.launch = executor.Launch{
		Version: executor.LaunchVersion, Kind: executor.KindElasticsearch, TaskID: taskID, User: "nobody", GraceSeconds: 2,
		Elasticsearch: &executor.Elasticsearch{
			Version: "8.19.21", ClusterName: "it", NodeName: "it-data-0", Home: nodetest.Home(t, openTempDir(t), "8.19.21", mode),
			Roles: []string{"data"}, Address: "127.0.0.1", HTTPPort: ports[0], TransportPort: ports[1],
			Attributes: map[string]string{"host": "h"}, MilliCPUs: 1000, MemoryMiB: 1024, DataPath: "volume",
		},
	}
	return w
}

// execute starts an executor process under the agent and launches the task.
func (w *world) execute() *exec.Cmd {
	w.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), beExecutor+"=1")
	for name, value := range w.agent.Env(w.sandbox) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	known := w.agent.Subscriptions()
	log := new(bytes.Buffer)
	cmd.Stderr, cmd.Dir = log, w.sandbox
	require.NoError(w.t, cmd.Start())
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if w.t.Failed() {
			w.t.Log(log)
		}
	})
	data, err := w.launch.Encode()
	require.NoError(w.t, err)
	w.agent.WaitSubscription(known + 1)
	w.agent.Launch(taskID, data)
	return cmd
}

// joined waits for the n-th report of a joined node and returns the node's pid.
func (w *world) joined(n int) int {
	w.t.Helper()
	var pid int
	w.agent.Wait("a joined node", func(updates []mesos.TaskStatus) bool {
		seen := 0
		for i := range updates {
			r, err := executor.DecodeReport(updates[i].Data)
			require.NoError(w.t, err)
			if text, ok := strings.CutPrefix(updates[i].GetMessage(), "process "); ok {
				pid, err = strconv.Atoi(strings.Fields(text)[0])
				require.NoError(w.t, err)
			}
			if r.Phase == executor.PhaseJoined {
				seen++
			}
		}
		return seen >= n
	})
	return pid
}

func (w *world) gone(pid int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		// Whose parent is gone may stay a zombie where nobody is init.
		return err != nil || strings.Contains(string(stat), ") Z ")
	}, 10*time.Second, 5*time.Millisecond, "process %d", pid)
}

func TestExecutorRunsANode(t *testing.T) {
	w := newWorld(t, nodetest.Stubborn)
	cmd := w.execute()
	pid := w.joined(1)
	w.agent.Kill(taskID, 100*time.Millisecond)
	assert.Contains(t, w.agent.WaitUpdate(taskID, mesos.TASK_KILLED).GetMessage(), "grace period")
	require.NoError(t, cmd.Wait(), "it leaves when the end is acknowledged")
	assert.ErrorIs(t, syscall.Kill(-pid, 0), syscall.ESRCH)
	// The stand-in's own child stayed in its group, and is gone with it.
	out, err := os.ReadFile(filepath.Join(w.sandbox, "elasticsearch.log"))
	require.NoError(t, err)
	assert.NotContains(t, string(out), agenttest.Token, "the node knows nothing of the agent")
}

func TestExecutorReportsAFailure(t *testing.T) {
	w := newWorld(t, nodetest.BindFail)
	cmd := w.execute()
	s := w.agent.WaitUpdate(taskID, mesos.TASK_FAILED)
	assert.Contains(t, s.GetMessage(), "Address already in use")
	r, err := executor.DecodeReport(s.Data)
	require.NoError(t, err)
	assert.Equal(t, 1, r.ExitCode)
	assert.NoError(t, cmd.Wait(), "a failed task is no failed executor")
}

func TestNodeOutlivesTheAgent(t *testing.T) {
	w := newWorld(t, nodetest.Good)
	w.execute()
	pid := w.joined(1)
	w.agent.Down()
	w.agent.Up()
	w.agent.WaitSubscription(2)
	assert.NoError(t, syscall.Kill(pid, 0))
	assert.Len(t, w.agent.Updates(), 3, "starting, started, joined: nothing new")
}

// A killed executor takes its node along, and the volume is free again.
func TestNodeDiesWithTheExecutor(t *testing.T) {
	w := newWorld(t, nodetest.Good)
	first := w.execute()
	pid := w.joined(1)
	require.NoError(t, first.Process.Kill())
	_ = first.Wait()
	w.gone(pid)

	w.execute()
	assert.NotEqual(t, pid, w.joined(2))
}

func TestExecutorWithoutAnAgent(t *testing.T) {
	for name, says := range map[string]string{"": "not started by a Mesos agent", "nonsense": "unknown argument"} {
		var args []string
		if name != "" {
			args = append(args, name)
		}
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = []string{beExecutor + "=1"}
		out, err := cmd.CombinedOutput()
		assert.Error(t, err)
		assert.Contains(t, string(out), says)
	}
}

func TestRenderCommand(t *testing.T) {
	w := newWorld(t, nodetest.Good)
	data, err := w.launch.Encode()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "launch.json")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	before, err := os.ReadDir(w.sandbox)
	require.NoError(t, err)

	var out bytes.Buffer
	require.NoError(t, renderCommand([]string{"--launch", file, "--sandbox", w.sandbox}, &out))
	for _, says := range []string{`cluster.name: "it"`, "-Xmx512m", "ES_PATH_CONF=" + w.sandbox + "/config", "/bin/elasticsearch"} {
		assert.Contains(t, out.String(), says)
	}
	after, err := os.ReadDir(w.sandbox)
	require.NoError(t, err)
	assert.Len(t, after, len(before), "nothing is written")

	assert.ErrorContains(t, renderCommand(nil, &out), "--launch")
	assert.Error(t, renderCommand([]string{"--launch", file + ".none"}, &out))
}

// openTempDir is a temporary folder that every user can enter.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

func freePorts(t *testing.T) (ports [2]int) {
	t.Helper()
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}
