package agent

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The ledger is bounded, keeps order, and never loses the end of its own task.
func TestLedger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := ledger{main: "own"}
		n, ended := 0, false
		add := func(task string, state mesos.TaskState) {
			n++
			l.add(mesos.TaskStatus{TaskID: mesos.TaskID{Value: task}, State: state.Enum(), UUID: []byte(fmt.Sprintf("%08d", n))})
		}
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				if !ended {
					ended = true
					add("own", mesos.TASK_FAILED)
				}
			case 1, 2:
				add("other", mesos.TASK_ERROR)
			case 3:
				if i := rapid.IntRange(0, 70).Draw(t, "which"); i < len(l.pending) && !terminal(l.pending[i].GetState()) {
					l.acknowledged("own", l.pending[i].UUID)
				}
			case 4:
				l.sent = len(l.pending)
			default:
				if !ended {
					add("own", mesos.TASK_RUNNING)
				}
			}
			require.LessOrEqual(t, len(l.pending), maxPending)
			require.LessOrEqual(t, l.sent, len(l.pending))
			if ended {
				require.False(t, l.settled(), "the end was not acknowledged, so it is still there")
			}
			for i := 1; i < len(l.pending); i++ {
				require.Less(t, string(l.pending[i-1].UUID), string(l.pending[i].UUID))
			}
		}
	})
}

func TestLedgerSettles(t *testing.T) {
	l := ledger{main: "own"}
	l.launched(mesos.TaskInfo{TaskID: mesos.TaskID{Value: "own"}})
	l.add(mesos.TaskStatus{TaskID: mesos.TaskID{Value: "own"}, State: mesos.TASK_FAILED.Enum(), UUID: []byte("1")})
	l.acknowledged("own", []byte("unknown"))
	assert.False(t, l.settled())
	assert.Empty(t, l.tasks, "the agent knows the task")
	l.acknowledged("own", []byte("1"))
	assert.True(t, l.settled())
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("3\nabc0\n2\nxy"))
	f.Add([]byte("18446744073709551615\nx"))
	f.Add([]byte("5\nab"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fr := frames{r: bufio.NewReader(bytes.NewReader(data)), max: 1 << 10}
		for total := 0; ; {
			b, err := fr.next()
			if err != nil {
				return
			}
			require.NotEmpty(t, b)
			if total += len(b); total > len(data) {
				t.Fatal("more frames than bytes")
			}
		}
	})
}

func TestFrames(t *testing.T) {
	read := func(s string) ([]string, error) {
		fr := frames{r: bufio.NewReader(bytes.NewReader([]byte(s))), max: 10}
		var out []string
		for {
			b, err := fr.next()
			if err != nil {
				return out, err
			}
			out = append(out, string(b))
		}
	}
	got, err := read("3\nabc0\n2\nxy")
	assert.Equal(t, []string{"abc", "xy"}, got)
	assert.Equal(t, io.EOF, err, "a clean end")
	for in, says := range map[string]string{
		"11\n": "at most 10", "x\n": "no length", "3\nab": "unexpected EOF", "3": "unexpected EOF", "3\n": "unexpected EOF",
		"111111111111111111111111": "no length",
	} {
		_, err := read(in)
		assert.ErrorContains(t, err, says, in)
	}
}

func TestConfigFromEnv(t *testing.T) {
	env := map[string]string{
		"MESOS_FRAMEWORK_ID": "f", "MESOS_EXECUTOR_ID": "e", "MESOS_AGENT_ENDPOINT": "10.0.0.1:5051", "MESOS_SLAVE_PID": "slave(1)@10.0.0.1:5051",
		"MESOS_DIRECTORY": "/d", "MESOS_CHECKPOINT": "1", "MESOS_RECOVERY_TIMEOUT": "1.5mins", "MESOS_SUBSCRIPTION_BACKOFF_MAX": "250ms",
		"MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "35secs", "MESOS_EXECUTOR_AUTHENTICATION_TOKEN": "t",
	}
	get := func(name string) string { return env[name] }
	c, err := ConfigFromEnv(get)
	require.NoError(t, err)
	assert.Equal(t, Config{
		URL: "http://10.0.0.1:5051/slave(1)/api/v1/executor", FrameworkID: "f", ExecutorID: "e", Token: "t", Sandbox: "/d",
		Checkpoint: true, RecoveryTimeout: 90 * time.Second, BackoffMax: 250 * time.Millisecond, ShutdownGrace: 35 * time.Second,
	}, c)

	env["MESOS_SANDBOX"], env["MESOS_CHECKPOINT"], env["LIBPROCESS_SSL_ENABLED"] = "/mnt/sandbox", "0", "true"
	c, err = ConfigFromEnv(get)
	require.NoError(t, err)
	assert.Equal(t, "/mnt/sandbox", c.Sandbox)
	assert.False(t, c.Checkpoint)
	assert.Equal(t, "https://10.0.0.1:5051/slave(1)/api/v1/executor", c.URL)

	env["MESOS_RECOVERY_TIMEOUT"], env["MESOS_SLAVE_PID"], env["MESOS_FRAMEWORK_ID"] = "soon", "x", ""
	_, err = ConfigFromEnv(get)
	for _, says := range []string{"MESOS_RECOVERY_TIMEOUT", "MESOS_SLAVE_PID", "MESOS_FRAMEWORK_ID", "Mesos agent"} {
		assert.ErrorContains(t, err, says)
	}
}
