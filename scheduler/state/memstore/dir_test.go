package memstore

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/scheduler/state/statetest"
)

// leaderVariable makes the test binary a process that leads in this directory.
const leaderVariable = "BERTH_MEMSTORE_TEST_LEADER"

func TestMain(m *testing.M) {
	path := os.Getenv(leaderVariable)
	if path == "" {
		os.Exit(m.Run())
	}
	e, err := Open(path)
	if err == nil {
		var lease state.Lease
		if lease, err = e.Campaign(context.Background(), "http://child.example"); err == nil {
			err = lease.Store().Commit(context.Background(), []state.Write{{Key: "slots/a", Value: []byte(`{"by":"child"}`)}})
		}
	}
	fmt.Println("leads", err)
	select {} // until killed
}

func open(t *testing.T, path string) *Elector {
	t.Helper()
	e, err := Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

func win(t *testing.T, e *Elector) state.Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), statetest.Patience)
	defer cancel()
	lease, err := e.Campaign(ctx, "http://test.example")
	require.NoError(t, err)
	return lease
}

func TestAKilledProcessLeavesItsLockAndState(t *testing.T) {
	path := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), leaderVariable+"="+path)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	t.Cleanup(func() { _ = child.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "leads <nil>\n", line)

	e := open(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 4*lockPoll)
	defer cancel()
	_, err = e.Campaign(ctx, "http://test.example")
	require.ErrorIs(t, err, context.DeadlineExceeded, "one process leads at a time")
	leader, err := e.Leader(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "http://child.example", leader)

	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())
	leader, err = e.Leader(t.Context())
	require.NoError(t, err)
	assert.Empty(t, leader, "a dead leader is none")
	lease := win(t, e)
	assert.Equal(t, int64(2), lease.Epoch())
	values, err := lease.Store().Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, map[state.Key][]byte{"slots/a": []byte(`{"by":"child"}`)}, values)
}

func TestTheSnapshotIsReadable(t *testing.T) {
	path := t.TempDir()
	require.NoError(t, win(t, open(t, path)).Store().Commit(t.Context(), []state.Write{
		{Key: "slots/a", Value: []byte(`{"v":1,"body":{"x":"<&>"}}`)},
		{Key: "slots/b", Value: []byte{0xff}},
	}))
	data, err := os.ReadFile(filepath.Join(path, "state.json"))
	require.NoError(t, err)
	assert.Equal(t, `{
 "format": 1,
 "json": {
  "slots/a": {
   "v": 1,
   "body": {
    "x": "<&>"
   }
  }
 },
 "base64": {
  "slots/b": "/w=="
 }
}
`, string(data))
	info, err := os.Stat(filepath.Join(path, "state.json"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestDamagedFilesAreNamed(t *testing.T) {
	for name, test := range map[string]struct{ file, content, says string }{
		"cut short":   {"state.json", `{"format":1,"json":{"slots/a"`, "is damaged"},
		"other JSON":  {"state.json", `[]`, "is damaged"},
		"newer":       {"state.json", `{"format":2}`, "has format 2, this build reads 1"},
		"leader file": {"leader.json", `{`, "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			file := filepath.Join(path, test.file)
			require.NoError(t, os.WriteFile(file, []byte(test.content), 0o600))
			lease, err := open(t, path).Campaign(t.Context(), "http://test.example")
			if err == nil {
				_, err = lease.Store().Load(t.Context())
				require.Error(t, err)
				require.Error(t, lease.Store().Commit(t.Context(), []state.Write{{Key: "slots/a", Value: []byte("1")}}),
					"what cannot be read is not written over")
			}
			require.ErrorContains(t, err, test.says)
			assert.ErrorContains(t, err, file)
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, test.content, string(data))
		})
	}
}

func TestFailedWriteKeepsTheOldStateAndCanBeRepeated(t *testing.T) {
	path := t.TempDir()
	lease := win(t, open(t, path))
	require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{{Key: "slots/a", Value: []byte("1")}}))
	obstacle := filepath.Join(path, "state.json.new")
	require.NoError(t, os.Mkdir(obstacle, 0o700))
	writes := []state.Write{{Key: "slots/a", Value: []byte("2")}}
	err := lease.Store().Commit(t.Context(), writes)
	require.ErrorIs(t, err, state.ErrUnavailable)
	values, err := lease.Store().Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "1", string(values["slots/a"]))
	require.NoError(t, os.Remove(obstacle))
	require.NoError(t, lease.Store().Commit(t.Context(), writes))
}

// TestRemovedLockFile: a second process can then lead beside the first, which must
// be fenced by the epoch.
func TestRemovedLockFile(t *testing.T) {
	path := t.TempDir()
	first := win(t, open(t, path))
	require.NoError(t, first.Store().Commit(t.Context(), []state.Write{{Key: "slots/a", Value: []byte("1")}}))
	require.NoError(t, os.Remove(filepath.Join(path, "lock")))
	second := win(t, open(t, path))
	require.ErrorIs(t, first.Store().Commit(t.Context(), []state.Write{{Key: "slots/a", Value: []byte("2")}}), state.ErrFenced)
	select {
	case <-first.Done():
	case <-time.After(statetest.Patience):
		require.FailNow(t, "the fenced lease goes on")
	}
	values, err := second.Store().Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "1", string(values["slots/a"]))
}

func TestAnyValueSurvivesTheSnapshot(t *testing.T) {
	path := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.OneOf(
			rapid.SliceOfN(rapid.Byte(), 0, 20),
			rapid.SliceOfN(rapid.SampledFrom([]byte("{}[]\":,1 \\n\u2028<\n")), 0, 12),
		).Draw(rt, "value")
		d := &dir{path: path}
		require.NoError(rt, d.replace("leader.json", leaderFile{Epoch: 1}))
		require.NoError(rt, d.commit(1, []state.Write{{Key: "k/v", Value: append([]byte{}, value...)}}))
		values, err := (&dir{path: path}).load(1)
		require.NoError(rt, err)
		require.Equal(rt, append([]byte{}, value...), values["k/v"])
	})
}
