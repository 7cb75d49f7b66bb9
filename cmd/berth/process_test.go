package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/scheduler/state/memstore"
)

// process runs berth to its end, as a process of its own: see TestMain.
func process(t *testing.T, args ...string) (code int, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), childVariable+"="+childBerth)
	var out strings.Builder
	cmd.Stderr = &out
	_ = cmd.Run() // the code says it
	require.NoError(t, ctx.Err(), "it did not end: %s", out.String())
	return cmd.ProcessState.ExitCode(), out.String()
}

// An operator who starts an older Berth by mistake reads in the last line what is
// wrong and what to do, and nothing has been changed.
func TestTheProcessRefusesADowngrade(t *testing.T) {
	dir := t.TempDir()
	data, binary := filepath.Join(dir, "state"), filepath.Join(dir, "berth-executor")
	require.NoError(t, os.WriteFile(binary, []byte("x"), 0o755))
	stored(t, data, "fw-1")
	e, err := memstore.Open(data)
	require.NoError(t, err)
	lease, err := e.Campaign(t.Context(), "http://newer")
	require.NoError(t, err)
	require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{{Key: "clusters/logs", Value: []byte(`{"v":99,"kind":"clusters","body":{"new":1}}`)}}))
	require.NoError(t, lease.Resign())
	require.NoError(t, e.Close())
	files := contents(t, data)

	code, stderr := process(t, "scheduler", "--dev", data, "--mesos", "http://127.0.0.1:1", "--executor", binary, "--listen", "127.0.0.1:0", "--log-level", "error")
	assert.Equal(t, exitFailure, code)
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	last := lines[len(lines)-1]
	for _, says := range []string{"Error: ", "clusters/logs", "written by a newer Berth", fmt.Sprintf("clusters v99, this build reads up to v%d", state.Clusters.Version), "a downgrade is refused", "start the newer version or restore a backup"} {
		assert.Contains(t, last, says)
	}
	assert.NotContains(t, stderr, "goroutine")
	assert.Equal(t, files, contents(t, data), "byte for byte")
}

// contents are the files of a state directory, but for its lock.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.Contains(e.Name(), "lock") {
			return err
		}
		text, err := os.ReadFile(path)
		out[path] = string(text)
		return err
	}))
	require.NotEmpty(t, out)
	return out
}
