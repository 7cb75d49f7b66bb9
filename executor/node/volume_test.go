package node

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

var mine = marker{Cluster: "c", Node: "c-data-0"}

func TestVolumeIsClaimedOnce(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "lost+found"), 0o700), "a fresh file system has one")
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".berth.json.123"), []byte(`{`), 0o600), "a crash while claiming leaves one")
	v, err := openVolume(t.Context(), dir, mine)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, dataDir), 0o700))
	require.NoError(t, v.remember("u1"))
	require.NoError(t, v.remember("u1"), "again is no change")
	require.ErrorContains(t, v.remember("u2"), "belongs to u1")
	v.release()

	v, err = openVolume(t.Context(), dir, mine)
	require.NoError(t, err)
	assert.Equal(t, "u1", v.mark.ClusterUUID)
	v.release()
}

func TestVolumeOfAnotherIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name, says string
		marker     string
		want       marker
	}{
		{"another cluster", "belongs to node c-data-0 of cluster other", `{"version":1,"cluster":"other","node":"c-data-0"}`, mine},
		{"another node", "belongs to node c-data-1", `{"version":1,"cluster":"c","node":"c-data-1"}`, mine},
		{"another life of the cluster", "earlier cluster", `{"version":1,"cluster":"c","node":"c-data-0","clusterUUID":"u1"}`, marker{Cluster: "c", Node: "c-data-0", ClusterUUID: "u2"}},
		{"a newer marker", "version 2", `{"version":2,"cluster":"c","node":"c-data-0"}`, mine},
		{"a damaged marker", "cannot be read", `{"version":`, mine},
		{"an empty marker", "read", ``, mine},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, markerFile), []byte(tc.marker), 0o600))
			_, err := openVolume(t.Context(), dir, tc.want)
			require.ErrorContains(t, err, tc.says)
			after, err := os.ReadFile(filepath.Join(dir, markerFile))
			require.NoError(t, err)
			assert.Equal(t, tc.marker, string(after), "refused means untouched")
		})
	}
}

func TestVolumeWithUnmarkedDataIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "nodes"), 0o700))
	_, err := openVolume(t.Context(), dir, mine)
	require.ErrorContains(t, err, `"nodes"`)
	assert.NoFileExists(t, filepath.Join(dir, markerFile))
}

func TestVolumeLinksAreNotFollowed(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "target")
	for _, name := range []string{markerFile, lockFile} {
		dir := t.TempDir()
		require.NoError(t, os.Symlink(outside, filepath.Join(dir, name)))
		_, err := openVolume(t.Context(), dir, mine)
		require.Error(t, err)
		assert.NoFileExists(t, outside)
	}
}

func TestVolumeIsNotThere(t *testing.T) {
	_, err := openVolume(t.Context(), filepath.Join(t.TempDir(), "v"), mine)
	require.ErrorContains(t, err, "did not mount")
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = openVolume(t.Context(), file, mine)
	require.ErrorContains(t, err, "not a directory")
}

// The lock is the node's as well: while a process that inherited it lives, the
// executor's own end does not free the volume.
func TestVolumeLockLivesInTheChild(t *testing.T) {
	dir := t.TempDir()
	v, err := openVolume(t.Context(), dir, mine)
	require.NoError(t, err)
	child := exec.Command("sleep", "1000")
	child.ExtraFiles = []*os.File{v.lock}
	require.NoError(t, child.Start())
	v.release()

	_, err = openVolume(t.Context(), dir, mine)
	require.ErrorIs(t, err, errVolumeBusy)

	// A node that is just being killed is waited for.
	timer := time.AfterFunc(200*time.Millisecond, func() { _ = child.Process.Signal(syscall.SIGKILL) })
	defer timer.Stop()
	v, err = openVolume(t.Context(), dir, mine)
	require.NoError(t, err)
	v.release()
	_ = child.Wait()
}
