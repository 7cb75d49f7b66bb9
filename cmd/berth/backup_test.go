package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/scheduler/state/memstore"
)

// stored writes a framework record into a state directory, as a Berth that has
// ended leaves it.
func stored(t *testing.T, dir, id string) {
	t.Helper()
	e, err := memstore.Open(dir)
	require.NoError(t, err)
	defer e.Close()
	lease, err := e.Campaign(context.Background(), "http://127.0.0.1:1")
	require.NoError(t, err)
	w, err := state.Kind[state.Framework]{Name: state.KindFramework, Version: 1}.Encode("berth", state.Framework{ID: id, NextIncarnation: 7})
	require.NoError(t, err)
	require.NoError(t, lease.Store().Commit(context.Background(), []state.Write{w}))
	require.NoError(t, lease.Resign())
}

func TestBackupAndRestore(t *testing.T) {
	c := newCLI(t, nil)
	was, other := filepath.Join(c.dir, "state"), filepath.Join(c.dir, "other")
	file := filepath.Join(c.dir, "berth.jsonl")
	stored(t, was, "fw-1")

	r := c.run("", "backup", file, "--dev", was)
	require.Equal(t, 0, r.code, r.err)
	assert.Contains(t, r.stdout, "fw-1")
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it holds the executors' key")
	require.Equal(t, 0, c.run("", "restore", file, "--check").code)

	require.Equal(t, exitUsage, c.run("", "restore", file, "--dev", other).code, "nothing is restored without a confirmation")
	require.Equal(t, exitUsage, c.run("", "restore", file, "--dev", other, "--confirm", "fw-2").code)
	r = c.run("", "restore", file, "--dev", other, "--confirm", "fw-1")
	require.Equal(t, 0, r.code, r.err)
	assert.Contains(t, r.stdout, "restored, ")

	r = c.run("", "restore", file, "--dev", other, "--confirm", "fw-1")
	assert.Equal(t, 1, r.code, "a state that is there is not written over")
	assert.Contains(t, r.err, "--replace")

	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	raw[len(raw)-3] ^= 1
	require.NoError(t, os.WriteFile(file, raw, 0o600))
	assert.Equal(t, 1, c.run("", "restore", file, "--check").code, "a damaged file is refused")

	assert.Equal(t, 1, c.run("", "backup", file, "--dev", filepath.Join(c.dir, "none")).code, "a state that is not there is not backed up as empty")
	assert.Equal(t, exitUsage, c.run("", "backup", file).code)
}
