package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Files at the top of a volume that say who holds it and whose it is.
const (
	LockFile   = ".berth.lock"
	MarkerFile = ".berth.json"
)

// DataDir is the folder of a volume that the workload owns. Its data is below
// it, so that it can neither remove nor replace the two guards beside it.
const DataDir = "data"

const (
	markerVersion = 1
	markerSize    = 4 << 10 // bound of what is read
	lockWithin    = 5 * time.Second
	lockEvery     = 50 * time.Millisecond
)

// ErrVolumeBusy: another process holds the volume.
var ErrVolumeBusy = errors.New("the volume is in use")

// Marker says whose data a volume holds.
type Marker struct {
	Version int `json:"version"`
	// Kind of the workload; "" = an Elasticsearch node. Cluster is the owner's
	// name, Node the slot's, ClusterUUID the owner's own id once it is known.
	Kind        string `json:"kind,omitempty"`
	Cluster     string `json:"cluster"`
	Node        string `json:"node"`
	ClusterUUID string `json:"clusterUUID,omitempty"`
}

// Volume is a volume that this process holds.
type Volume struct {
	dir  string
	lock *os.File
	mark Marker
}

// OpenVolume locks the volume and checks that it is the node's, or empty. It
// waits a moment for the lock: after the executor was killed, the node that it
// left is still being killed when the next one starts.
func OpenVolume(ctx context.Context, dir string, want Marker) (*Volume, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("volume %s is not there: the agent did not mount it", dir)
	case err != nil:
		return nil, fmt.Errorf("volume: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("volume %s is not a directory", dir)
	}
	path := filepath.Join(dir, LockFile)
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("volume lock: %w", err)
	}
	v := &Volume{dir: dir, lock: lock}
	if err := v.acquire(ctx); err != nil {
		v.Release()
		return nil, err
	}
	if err := v.claim(want); err != nil {
		v.Release()
		return nil, err
	}
	return v, nil
}

func (v *Volume) acquire(ctx context.Context) error {
	tick := time.NewTicker(lockEvery)
	defer tick.Stop()
	for end := time.Now().Add(lockWithin); ; {
		err := unix.Flock(int(v.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("lock volume %s: %w", v.dir, err)
		case time.Now().After(end):
			return fmt.Errorf("%w: another node on this agent still holds %s; two nodes must never share a volume, so this one does not start", ErrVolumeBusy, v.dir)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// claim reads whose the volume is, and makes an empty one ours. Whatever is
// unclear is refused: no data is worth a guess.
func (v *Volume) claim(want Marker) error {
	path := filepath.Join(v.dir, MarkerFile)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		if err := v.empty(); err != nil {
			return err
		}
		v.mark = Marker{Version: markerVersion, Kind: want.Kind, Cluster: want.Cluster, Node: want.Node}
		return v.writeMarker()
	}
	if err != nil {
		return fmt.Errorf("volume marker: %w", err)
	}
	defer f.Close()
	buf := make([]byte, markerSize)
	n, err := f.Read(buf)
	if err != nil {
		return fmt.Errorf("read volume marker %s: %w", path, err)
	}
	if err := json.Unmarshal(buf[:n], &v.mark); err != nil {
		return fmt.Errorf("volume marker %s cannot be read: %w", path, err)
	}
	switch m := v.mark; {
	case m.Version != markerVersion:
		return fmt.Errorf("volume marker %s has version %d, this executor knows %d", path, m.Version, markerVersion)
	case m.Kind != want.Kind || m.Cluster != want.Cluster || m.Node != want.Node:
		return fmt.Errorf("volume %s belongs to node %s of cluster %s, not to node %s of cluster %s: refused",
			v.dir, m.Node, m.Cluster, want.Node, want.Cluster)
	case want.ClusterUUID != "" && m.ClusterUUID != "" && m.ClusterUUID != want.ClusterUUID:
		return fmt.Errorf("volume %s holds data of an earlier cluster %s (uuid %s, now %s): refused; remove the volume if that data is not needed",
			v.dir, m.Cluster, m.ClusterUUID, want.ClusterUUID)
	}
	return nil
}

// empty fails when an unmarked volume holds anything that a fresh one does not.
func (v *Volume) empty() error {
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return fmt.Errorf("volume: %w", err)
	}
	for _, e := range entries {
		// A marker that was being written when its writer died marks nothing.
		if n := e.Name(); n != LockFile && n != "lost+found" && !strings.HasPrefix(n, MarkerFile+".") {
			return fmt.Errorf("volume %s holds %q but no %s that says whose it is: refused", v.dir, n, MarkerFile)
		}
	}
	return nil
}

// writeMarker replaces the marker whole: a crash leaves the old or the new one.
func (v *Volume) writeMarker() error {
	data, err := json.Marshal(v.mark)
	if err != nil {
		return fmt.Errorf("volume marker: %w", err)
	}
	f, err := os.CreateTemp(v.dir, MarkerFile+".")
	if err != nil {
		return fmt.Errorf("volume marker: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(v.dir, MarkerFile))
	}
	if err == nil {
		err = syncDir(v.dir)
	}
	if err != nil {
		return fmt.Errorf("volume marker: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Remember records the cluster's uuid once the node has joined it. A different
// uuid on record is an error and stays: it is the evidence.
func (v *Volume) Remember(uuid string) error {
	if v.mark.ClusterUUID == uuid {
		return nil
	}
	if v.mark.ClusterUUID != "" {
		return fmt.Errorf("the node is in a cluster with uuid %s, but its volume belongs to %s", uuid, v.mark.ClusterUUID)
	}
	next := *v
	next.mark.ClusterUUID = uuid
	if err := next.writeMarker(); err != nil {
		return err
	}
	v.mark = next.mark
	return nil
}

// Lock is the open file that holds the lock. A process that inherits it keeps
// the volume until it is gone, whatever becomes of this process.
func (v *Volume) Lock() *os.File { return v.lock }

// ClusterUUID is what the volume remembers of its owner's id, or "".
func (v *Volume) ClusterUUID() string { return v.mark.ClusterUUID }

// Release gives up this process's hold. The lock goes when the node, which
// inherited it, is gone too.
func (v *Volume) Release() { _ = v.lock.Close() }
