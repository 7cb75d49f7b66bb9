package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var mine = Marker{Cluster: "c", Node: "c-data-0"}

func TestVolumeIsClaimedOnce(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "lost+found"), 0o700), "a fresh file system has one")
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".berth.json.123"), []byte(`{`), 0o600), "a crash while claiming leaves one")
	v, err := OpenVolume(t.Context(), dir, mine)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, DataDir), 0o700))
	require.NoError(t, v.Remember("u1"))
	require.NoError(t, v.Remember("u1"), "again is no change")
	require.ErrorContains(t, v.Remember("u2"), "belongs to u1")
	v.Release()

	v, err = OpenVolume(t.Context(), dir, mine)
	require.NoError(t, err)
	assert.Equal(t, "u1", v.mark.ClusterUUID)
	v.Release()
}

func TestVolumeOfAnotherIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name, says string
		marker     string
		want       Marker
	}{
		{"another cluster", "belongs to node c-data-0 of cluster other", `{"version":1,"cluster":"other","node":"c-data-0"}`, mine},
		{"another node", "belongs to node c-data-1", `{"version":1,"cluster":"c","node":"c-data-1"}`, mine},
		{"another life of the cluster", "earlier cluster", `{"version":1,"cluster":"c","node":"c-data-0","clusterUUID":"u1"}`, Marker{Cluster: "c", Node: "c-data-0", ClusterUUID: "u2"}},
		{"another kind", "belongs to node c-data-0", `{"version":1,"kind":"spark-driver","cluster":"c","node":"c-data-0"}`, mine},
		{"a newer marker", "version 2", `{"version":2,"cluster":"c","node":"c-data-0"}`, mine},
		{"a damaged marker", "cannot be read", `{"version":`, mine},
		{"an empty marker", "read", ``, mine},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, MarkerFile), []byte(tc.marker), 0o600))
			_, err := OpenVolume(t.Context(), dir, tc.want)
			require.ErrorContains(t, err, tc.says)
			after, err := os.ReadFile(filepath.Join(dir, MarkerFile))
			require.NoError(t, err)
			assert.Equal(t, tc.marker, string(after), "refused means untouched")
		})
	}
}

func TestVolumeWithUnmarkedDataIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "nodes"), 0o700))
	_, err := OpenVolume(t.Context(), dir, mine)
	require.ErrorContains(t, err, `"nodes"`)
	assert.NoFileExists(t, filepath.Join(dir, MarkerFile))
}

func TestVolumeLinksAreNotFollowed(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "target")
	for _, name := range []string{MarkerFile, LockFile} {
		dir := t.TempDir()
		require.NoError(t, os.Symlink(outside, filepath.Join(dir, name)))
		_, err := OpenVolume(t.Context(), dir, mine)
		require.Error(t, err)
		assert.NoFileExists(t, outside)
	}
}

func TestVolumeIsNotThere(t *testing.T) {
	_, err := OpenVolume(t.Context(), filepath.Join(t.TempDir(), "v"), mine)
	require.ErrorContains(t, err, "did not mount")
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = OpenVolume(t.Context(), file, mine)
	require.ErrorContains(t, err, "not a directory")
}

// The lock is the node's as well: while a process that inherited it lives, the
// executor's own end does not free the volume.
func TestVolumeLockLivesInTheChild(t *testing.T) {
	dir := t.TempDir()
	v, err := OpenVolume(t.Context(), dir, mine)
	require.NoError(t, err)
	child := exec.Command("sleep", "1000")
	child.ExtraFiles = []*os.File{v.lock}
	require.NoError(t, child.Start())
	v.Release()

	_, err = OpenVolume(t.Context(), dir, mine)
	require.ErrorIs(t, err, ErrVolumeBusy)

	// A node that is just being killed is waited for.
	timer := time.AfterFunc(200*time.Millisecond, func() { _ = child.Process.Signal(syscall.SIGKILL) })
	defer timer.Stop()
	v, err = OpenVolume(t.Context(), dir, mine)
	require.NoError(t, err)
	v.Release()
	_ = child.Wait()
}
