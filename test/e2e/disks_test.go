package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/client"
	"github.com/berthdata/berth/test/rig/mesos"
)

// mountPoint makes a file system of its own, which an agent insists on for a
// MOUNT disk; "" for an ordinary user, who cannot.
func mountPoint(w *world) string {
	dir, err := w.rig.Mkdir("disks", "mount")
	require.NoError(w.t, err)
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		w.t.Logf("no MOUNT disk in this run: mounting needs root: %v", err)
		return ""
	}
	// Detached: what is below it may be in use until the rig is closed.
	w.t.Cleanup(func() { assert.NoError(w.t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// TestDisks: volumes on a PATH disk, of which a part is taken, and on a MOUNT
// disk, which is taken whole; and a node that wants more disk than there is.
func TestDisks(t *testing.T) {
	w := newWorld(t, 4*time.Minute, mesos.Options{Agents: []mesos.AgentOptions{{Resources: "cpus:0.1;mem:64;disk:64"}}})
	ports, err := w.rig.Lease(8)
	require.NoError(t, err)
	path, err := w.rig.Mkdir("disks", "path")
	require.NoError(t, err)
	mount := mountPoint(w)
	scalar := func(name string, v float64, disk map[string]any) map[string]any {
		r := map[string]any{"name": name, "type": "SCALAR", "scalar": map[string]any{"value": v}}
		if disk != nil {
			r["disk"] = map[string]any{"source": disk}
		}
		return r
	}
	offered := []any{
		scalar("cpus", 4, nil), scalar("mem", 4096, nil), scalar("disk", 2048, nil),
		scalar("disk", 8192, map[string]any{"type": "PATH", "path": map[string]any{"root": path}}),
		map[string]any{"name": "ports", "type": "RANGES", "ranges": map[string]any{
			"range": []any{map[string]any{"begin": ports.First, "end": ports.Last}},
		}},
	}
	sizes := map[string]float64{"path": 1024} // of the volumes, MiB
	if mount != "" {
		sizes["mount"] = 3000
		offered = append(offered, scalar("disk", 3000, map[string]any{"type": "MOUNT", "mount": map[string]any{"root": mount}}))
	}
	resources, err := json.Marshal(offered)
	require.NoError(t, err)
	_, err = w.mesos.AddAgent(mesos.AgentOptions{Name: "disks", Resources: string(resources)})
	require.NoError(t, err)
	require.NoError(t, w.mesos.WaitAgents(w.ctx, 2))

	for kind := range sizes {
		name := "on-" + kind
		_, err := w.berth.Apply(w.ctx, name, strings.Replace(spec(name, 1), "storage: {size: 1gb}", fmt.Sprintf("storage: {size: 1gb, type: %s}", kind), 1))
		require.NoError(t, err)
	}
	_, err = w.berth.Apply(w.ctx, "too-big", strings.Replace(spec("too-big", 1), "size: 1gb", "size: 9gb", 1))
	require.NoError(t, err)
	for kind, size := range sizes {
		name := "on-" + kind
		_, err := w.berth.WaitPhase(w.ctx, name, "Ready")
		require.NoError(t, err)
		volumes, err := w.berth.Volumes(w.ctx, client.VolumeQuery{})
		require.NoError(t, err)
		found := false
		for _, v := range volumes.Volumes {
			if v.Cluster == name {
				found = true
				assert.Equal(t, size, v.SizeMiB, kind)
			}
		}
		assert.True(t, found, kind)
	}
	explained, err := w.berth.Explain(w.ctx, "too-big")
	require.NoError(t, err)
	require.Len(t, explained.Nodes, 1)
	assert.Equal(t, 0, explained.Nodes[0].Fitting)
	assert.Contains(t, fmt.Sprint(explained.Nodes[0].Reasons), "disk")
	assert.Contains(t, explained.Nodes[0].SmallestChange, "less")
}
