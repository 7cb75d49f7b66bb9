package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	// As the executor does. Without it orphans are left to whatever is init here.
	if err := AdoptOrphans(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if script := os.Getenv("BERTH_TEST_PARENT_OF"); script != "" {
		parentOf(script)
		return
	}
	os.Exit(m.Run())
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func shell(t *testing.T, ctx context.Context, script string) (*Process, *buffer) {
	t.Helper()
	log := new(buffer)
	p, err := Start(ctx, Command{Path: "/bin/bash", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: t.TempDir(), Log: log})
	require.NoError(t, err)
	return p, log
}

func wait(t *testing.T, p *Process) Exit {
	t.Helper()
	select {
	case <-p.Done():
		assertGone(t, p.Pid())
		return p.Exit()
	case <-time.After(20 * time.Second):
		_ = syscall.Kill(-p.Pid(), syscall.SIGKILL)
		t.Fatal("the group did not end")
		return Exit{}
	}
}

func assertGone(t *testing.T, group int) {
	t.Helper()
	assert.ErrorIs(t, syscall.Kill(-group, 0), syscall.ESRCH, "nothing of the group is left")
}

// says waits until the output holds a text.
func says(t *testing.T, log *buffer, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(log.String(), text) }, 10*time.Second, 5*time.Millisecond, "output %q", log)
}

func TestExitCode(t *testing.T) {
	p, log := shell(t, t.Context(), "echo out; echo err >&2; exit 7")
	e := wait(t, p)
	assert.Equal(t, 7, e.Code)
	assert.Empty(t, e.Signal)
	assert.False(t, e.Forced)
	assert.Equal(t, "out\nerr\n", log.String())
	assert.Equal(t, []string{"out", "err"}, p.Tail().Lines())
	assert.Equal(t, "exited with code 7", e.String())
}

func TestSignalIsNamed(t *testing.T) {
	p, _ := shell(t, t.Context(), "kill -ABRT $$")
	e := wait(t, p)
	assert.Equal(t, "SIGABRT", e.Signal)
	assert.Equal(t, -1, e.Code)
	assert.Equal(t, "was ended by SIGABRT", e.String())
}

func TestStopIsGraceful(t *testing.T) {
	p, log := shell(t, t.Context(), `trap 'echo bye; exit 0' TERM; echo up; while :; do read -t 1 <> <(:); done`)
	says(t, log, "up")
	p.Stop(10 * time.Second)
	e := wait(t, p)
	assert.Equal(t, 0, e.Code)
	assert.False(t, e.Forced)
	assert.Contains(t, log.String(), "bye")
}

func TestStopReachesChildren(t *testing.T) {
	p, log := shell(t, t.Context(), `trap 'wait; exit 3' TERM; bash -c 'trap "echo child; exit 0" TERM; echo up; while :; do read -t 1 <> <(:); done' & wait`)
	says(t, log, "up")
	p.Stop(10 * time.Second)
	assert.Equal(t, 3, wait(t, p).Code)
	assert.Contains(t, log.String(), "child")
}

func TestStubbornIsKilledAfterGrace(t *testing.T) {
	p, log := shell(t, t.Context(), `trap '' TERM; sleep 1000 & echo up; while :; do wait; done`)
	says(t, log, "up")
	begin := time.Now()
	p.Stop(300 * time.Millisecond)
	e := wait(t, p)
	assert.Equal(t, "SIGKILL", e.Signal)
	assert.True(t, e.Forced)
	assert.GreaterOrEqual(t, time.Since(begin), 300*time.Millisecond)
}

func TestStopCanOnlyShorten(t *testing.T) {
	p, log := shell(t, t.Context(), `trap '' TERM; echo up; while :; do read -t 1 <> <(:); done`)
	says(t, log, "up")
	p.Stop(time.Hour)
	p.Stop(2 * time.Hour)
	select {
	case <-p.Done():
		t.Fatal("ended before its time")
	default:
	}
	p.Stop(0)
	assert.True(t, wait(t, p).Forced)
	p.Stop(0) // after the end: nothing to do, nobody to hit
}

func TestEndOfContextKills(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, log := shell(t, ctx, `trap '' TERM; echo up; while :; do read -t 1 <> <(:); done`)
	says(t, log, "up")
	cancel()
	assert.Equal(t, "SIGKILL", wait(t, p).Signal)
}

// A leader that dies leaves nothing behind, not even what ignores SIGTERM.
func TestOrphansAreKilledAndReaped(t *testing.T) {
	p, log := shell(t, t.Context(), `bash -c 'trap "" TERM; sleep 1000 & echo child $$; wait' & while ! [ -e go ]; do read -t 0.01 <> <(:); done; exit 1`)
	says(t, log, "child")
	var child int
	_, err := fmt.Sscanf(log.String(), "child %d", &child)
	require.NoError(t, err)
	dir, err := os.Readlink("/proc/" + strconv.Itoa(p.Pid()) + "/cwd")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	assert.Equal(t, 1, wait(t, p).Code)
	assert.ErrorIs(t, syscall.Kill(child, 0), syscall.ESRCH, "not even a zombie")
}

func TestStartFails(t *testing.T) {
	_, err := Start(t.Context(), Command{Path: "/no/such/program", Log: new(buffer)})
	require.ErrorContains(t, err, "/no/such/program")
}

func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "secret")
	log := new(buffer)
	p, err := Start(t.Context(), Command{Path: "/usr/bin/env", Dir: "/", Log: log})
	require.NoError(t, err)
	wait(t, p)
	assert.NotContains(t, log.String(), "secret")
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// A log that cannot be written must not stop the process at a full pipe.
func TestFullDiskDoesNotBlock(t *testing.T) {
	p, err := Start(t.Context(), Command{Path: "/bin/bash", Args: []string{"-c", "head -c 1000000 /dev/zero; echo; echo end"}, Dir: "/", Log: failing{}})
	require.NoError(t, err)
	assert.Equal(t, 0, wait(t, p).Code)
	lines := p.Tail().Lines()
	assert.Equal(t, "end", lines[len(lines)-1])
}

func TestTailIsBounded(t *testing.T) {
	tail := newTail()
	for i := range tailLines * 3 {
		tail.write([]byte(strconv.Itoa(i) + "\n"))
	}
	tail.write(bytes.Repeat([]byte("x"), 10*tailLineSize))
	tail.write([]byte("y\nlast"))
	lines := tail.Lines()
	require.Len(t, lines, tailLines+1)
	assert.Equal(t, strconv.Itoa(tailLines*2+1), lines[0])
	assert.Equal(t, strconv.Itoa(tailLines*3-1), lines[tailLines-2])
	assert.Equal(t, strings.Repeat("x", tailLineSize), lines[tailLines-1])
	assert.Equal(t, "last", lines[tailLines])
}

// parentOf is an executor that starts a script and waits to be killed.
func parentOf(script string) {
	_, err := Start(context.Background(), Command{Path: "/bin/bash", Args: []string{"-c", script}, Dir: "/", Env: []string{"PATH=/usr/bin:/bin"}, Log: os.Stdout})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	select {}
}

// The kernel ends the leader when the executor is killed, with no agent about.
func TestLeaderDiesWithTheExecutor(t *testing.T) {
	parent := exec.Command(os.Args[0])
	log := new(buffer)
	parent.Env = append(os.Environ(), "BERTH_TEST_PARENT_OF=echo leader $$ .; trap '' TERM; while :; do read -t 1 <> <(:); done")
	parent.Stdout = log
	require.NoError(t, parent.Start())
	says(t, log, " .")
	var leader int
	_, err := fmt.Sscanf(log.String(), "leader %d", &leader)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(leader, 0))
	require.NoError(t, parent.Process.Kill())
	require.Eventually(t, func() bool {
		// It is this process's orphan now.
		_, _ = syscall.Wait4(leader, nil, syscall.WNOHANG, nil)
		return errors.Is(syscall.Kill(leader, 0), syscall.ESRCH)
	}, 10*time.Second, 5*time.Millisecond)
	_ = parent.Wait()
}
