package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crashVariable makes TestMain a program that starts a process in a rig, prints
// its pid and dies without Close.
const crashVariable = "RIG_TEST_CRASH"

func TestMain(m *testing.M) {
	if os.Getenv(crashVariable) == "1" {
		r, err := New("crash")
		if err != nil {
			panic(err)
		}
		p, err := r.Start(Command{Name: "sleep", Path: "/bin/sleep", Args: []string{"1000"}})
		if err != nil {
			panic(err)
		}
		fmt.Println(p.PID(), r.Dir())
		panic("on purpose")
	}
	os.Exit(m.Run())
}

func newRig(t *testing.T) *Rig {
	t.Helper()
	r, err := New("unit")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	return r
}

func sh(t *testing.T, r *Rig, name, script string) *Process {
	t.Helper()
	p, err := r.Start(Command{Name: name, Path: "/bin/sh", Args: []string{"-c", script}})
	require.NoError(t, err)
	return p
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// printed waits for a file with content.
func printed(t *testing.T, path string) string {
	t.Helper()
	var b []byte
	require.NoError(t, Eventually(deadline(t), 5*time.Millisecond, path, func(context.Context) error {
		var err error
		if b, err = os.ReadFile(path); err == nil && !strings.HasSuffix(string(b), "\n") {
			err = errors.New("incomplete")
		}
		return err
	}))
	return strings.TrimSpace(string(b))
}

// running tells whether a pid is a process that is not a zombie.
func running(pid int) bool {
	st, ok := readStat(pid)
	return ok && st.state != 'Z'
}

func TestEventually(t *testing.T) {
	t.Run("asks at once", func(t *testing.T) {
		require.NoError(t, Eventually(t.Context(), time.Hour, "it", func(context.Context) error { return nil }))
	})
	t.Run("asks again", func(t *testing.T) {
		n := 0
		require.NoError(t, Eventually(t.Context(), time.Millisecond, "it", func(context.Context) error {
			if n++; n < 3 {
				return errors.New("not yet")
			}
			return nil
		}))
		assert.Equal(t, 3, n)
	})
	t.Run("tells the last reason at the deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		err := Eventually(ctx, time.Millisecond, "green", func(ctx context.Context) error {
			if ctx.Err() != nil {
				return errors.New("cut off")
			}
			return errors.New("still yellow")
		})
		assert.ErrorContains(t, err, "wait for green")
		assert.ErrorContains(t, err, "still yellow")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("gives up on a permanent error", func(t *testing.T) {
		cause := errors.New("it died")
		err := Eventually(t.Context(), time.Hour, "it", func(context.Context) error { return Permanent(cause) })
		assert.ErrorIs(t, err, cause)
	})
}

func TestLeasesDoNotOverlap(t *testing.T) {
	low, high, err := ephemeralRange()
	require.NoError(t, err)
	seen := map[int]bool{}
	for range 5 {
		p, err := LeasePorts(MaxPorts)
		require.NoError(t, err)
		t.Cleanup(p.Release)
		for range MaxPorts {
			port, err := p.Take()
			require.NoError(t, err)
			assert.False(t, seen[port], "port %d is leased twice", port)
			assert.True(t, port < low || port > high, "port %d is in the ephemeral range %d-%d", port, low, high)
			seen[port] = true
		}
		_, err = p.Take()
		assert.ErrorContains(t, err, "are taken")
	}
}

func TestLeaseAvoidsAPortInUse(t *testing.T) {
	p, err := LeasePorts(2)
	require.NoError(t, err)
	busy, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Last)))
	require.NoError(t, err, "a leased port can be used")
	defer busy.Close()
	first := p.First
	assert.Nil(t, tryLease(first-1, 2), "the guard is held")
	p.Release()
	assert.Nil(t, tryLease(first-1, 2), "one of its ports is in use")
	again := tryLease(first-1, 1)
	require.NotNil(t, again)
	again.Release()
}

func TestLeaseRefusesSizes(t *testing.T) {
	for _, n := range []int{-1, 0, MaxPorts + 1} {
		_, err := LeasePorts(n)
		assert.ErrorContains(t, err, "a lease holds", "%d", n)
	}
}

func TestProcessEnds(t *testing.T) {
	r := newRig(t)
	p := sh(t, r, "fails", "echo the reason; exit 3")
	<-p.Done()
	assert.False(t, p.Running())
	assert.ErrorContains(t, p.Ended(), "fails ended: exit status 3")
	assert.ErrorContains(t, p.Ended(), "the reason")
	assert.ErrorIs(t, p.Signal(syscall.SIGTERM), os.ErrProcessDone)
	assert.NoError(t, p.Stop(deadline(t), syscall.SIGTERM, time.Second), "stopping what has ended is no error")
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	r := newRig(t)
	ready := filepath.Join(r.Dir(), "ready")
	p := sh(t, r, "deaf", "trap '' TERM; sleep 1000 & echo $! > "+ready+"; while :; do wait; done")
	child, err := strconv.Atoi(printed(t, ready))
	require.NoError(t, err)
	assert.ErrorContains(t, p.Stop(deadline(t), syscall.SIGTERM, 100*time.Millisecond), "did not end within")
	assert.False(t, p.Running())
	require.NoError(t, Eventually(deadline(t), 5*time.Millisecond, "the end of its child", func(context.Context) error {
		if running(child) {
			return errors.New("running")
		}
		return nil
	}))
}

func TestPauseAndResume(t *testing.T) {
	r := newRig(t)
	p := sh(t, r, "clock", "exec sleep 1000")
	state := func(want byte) {
		t.Helper()
		require.NoError(t, Eventually(deadline(t), 5*time.Millisecond, "state "+string(want), func(context.Context) error {
			if st, ok := readStat(p.PID()); !ok || st.state != want {
				return fmt.Errorf("state %q", st.state)
			}
			return nil
		}))
	}
	require.NoError(t, p.Pause())
	state('T')
	require.NoError(t, p.Resume())
	state('S')
}

func TestCloseLeavesNothingOfItsOwnAndEverythingElse(t *testing.T) {
	r, err := New("unit")
	require.NoError(t, err)
	ready := filepath.Join(r.Dir(), "ready")
	// An orphan in a session of its own, whose parent is gone: as a task of an
	// agent that crashed.
	p := sh(t, r, "parent", "setsid sleep 1000 & echo $! > "+ready+"; exit")
	orphan, err := strconv.Atoi(printed(t, ready))
	require.NoError(t, err)
	<-p.Done()
	require.Eventually(t, func() bool { return commandLine(orphan) == "sleep 1000" }, 10*time.Second, time.Millisecond, "it is executed")
	// A bystander that only works in the directory, as a person's editor.
	bystander := exec.Command("/bin/sleep", "1000")
	bystander.Env = []string{"PWD=" + r.Dir()}
	bystander.Dir = r.Dir()
	require.NoError(t, bystander.Start())
	defer func() {
		assert.NoError(t, bystander.Process.Kill())
		assert.Error(t, bystander.Wait(), "it was killed here and not before")
	}()
	strays, err := Strays(r.Dir())
	require.NoError(t, err)
	require.Len(t, strays, 1)
	assert.Equal(t, orphan, strays[0].PID)
	assert.Equal(t, "sleep 1000", strays[0].Command)

	var order []string
	for _, name := range []string{"first", "second"} {
		r.OnClose(name, func(context.Context) error { order = append(order, name); return nil })
	}
	require.NoError(t, r.Close())
	assert.Equal(t, []string{"second", "first"}, order)
	assert.False(t, running(orphan))
	assert.True(t, running(bystander.Process.Pid))
	assert.NoDirExists(t, r.Dir())
	require.NoError(t, r.Close(), "a second time")
	_, err = r.Start(Command{Name: "late", Path: "/bin/true"})
	assert.ErrorContains(t, err, "closed")
}

func TestCloseReportsAFailedStop(t *testing.T) {
	r, err := New("unit", Keep())
	require.NoError(t, err)
	r.OnClose("thing", func(context.Context) error { return errors.New("stuck") })
	assert.ErrorContains(t, r.Close(), "stop thing: stuck")
	assert.DirExists(t, r.Dir(), "it was to be kept")
	require.NoError(t, os.RemoveAll(r.Dir()))
}

func TestProcessesDieWithAProgramThatCrashes(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashVariable+"=1")
	out, err := cmd.Output()
	require.Error(t, err, "it panics")
	pid, dir, ok := strings.Cut(strings.TrimSpace(string(out)), " ")
	require.True(t, ok, "%s", out)
	defer os.RemoveAll(dir)
	n, err := strconv.Atoi(pid)
	require.NoError(t, err)
	require.NoError(t, Eventually(deadline(t), 5*time.Millisecond, "the end of its process", func(context.Context) error {
		if running(n) {
			return errors.New("running")
		}
		return nil
	}))
}

func TestBaseEnvHidesWhatChangesTheSystems(t *testing.T) {
	for _, name := range []string{"MESOS_WORK_DIR", "LIBPROCESS_PORT", "ES_JAVA_OPTS", "JAVA_TOOL_OPTIONS", "BERTH_CACHE"} {
		t.Setenv(name, "x")
	}
	t.Setenv("HARMLESS", "x")
	env := strings.Join(BaseEnv(), "\n")
	assert.Contains(t, env, "HARMLESS=x")
	for _, name := range []string{"MESOS_", "LIBPROCESS_", "ES_JAVA", "JAVA_TOOL", "BERTH_"} {
		assert.NotContains(t, "\n"+env, "\n"+name)
	}
}

func TestCacheDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	t.Setenv("BERTH_CACHE", dir)
	got, err := CacheDir()
	require.NoError(t, err)
	assert.Equal(t, dir, got)
	assert.DirExists(t, dir)
	t.Setenv("BERTH_CACHE", filepath.Join(t.TempDir(), "with blank"))
	_, err = CacheDir()
	assert.ErrorContains(t, err, "BERTH_CACHE")
}

func TestLockCacheWaits(t *testing.T) {
	dir := t.TempDir()
	unlock, err := LockCache(t.Context(), dir, func() { t.Error("nobody else holds it") })
	require.NoError(t, err)
	waits := make(chan struct{})
	got := make(chan error, 1)
	go func() {
		again, err := LockCache(deadline(t), dir, func() { close(waits) })
		if err == nil {
			again()
		}
		got <- err
	}()
	<-waits
	select {
	case err := <-got:
		t.Fatalf("took a lock that is held: %v", err)
	default:
	}
	unlock()
	require.NoError(t, <-got)
}

func TestFindJava(t *testing.T) {
	home := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(home, "bin"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(home, "bin", "java"), nil, 0o755))
	for _, c := range []struct {
		release string
		major   int
	}{
		{"IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"17.0.15\"\n", 17},
		{"JAVA_VERSION=\"1.8.0_402\"\n", 8},
		{"JAVA_VERSION=\"25\"\n", 25},
		{"JAVA_VERSION=\"22-ea\"\n", 22},
		{"", 0},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(home, "release"), []byte(c.release), 0o644))
		j, err := readJava(home)
		require.NoError(t, err)
		assert.Equal(t, c.major, j.Major, c.release)
		assert.False(t, j.Compiler, "it has no javac")
	}
	_, err := FindJava(999, false)
	assert.ErrorIs(t, err, ErrNoJava)
}

func TestTail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(file, []byte("one\ntwo\n"), 0o644))
	assert.Equal(t, "one\ntwo", Tail(file))
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("0123456789\n", 1000)), 0o644))
	got := Tail(file)
	assert.LessOrEqual(t, len(got), tailBytes)
	assert.True(t, strings.HasPrefix(got, "0123456789\n"), "lines are whole")
}
