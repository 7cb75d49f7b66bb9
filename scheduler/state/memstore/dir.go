package memstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/berthdata/berth/scheduler/state"
)

// lockPoll is how often a waiting process tries for the lock: flock has no event
// that could be given up when a context ends.
const lockPoll = 50 * time.Millisecond

const snapshotFormat = 1

// dir is a directory with three files:
//
//	lock         held with flock by the leader; the kernel frees it when the process ends
//	leader.json  {"epoch":3,"advertise":"http://…"}, written by each new leader
//	state.json   every entity, written anew by each commit
//
// One snapshot rather than a log of changes: a commit costs as much as the whole
// state, which is small where --dev is meant for, and there is nothing to compact
// or to repair. Files are replaced by rename after fsync, so a crash leaves the old
// or the new one.
type dir struct {
	path string

	mu     sync.Mutex
	epoch  int64 // of the values; 0 before the first load
	values map[state.Key][]byte
}

// Open returns an elector on the directory, which is made if missing (mode 0700).
// Processes that open the same directory exclude each other; it must be on a local
// file system.
func Open(path string) (*Elector, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return newElector(&dir{path: path}), nil
}

type leaderFile struct {
	Epoch     int64  `json:"epoch"`
	Advertise string `json:"advertise"`
}

// snapshot is state.json. Values that are JSON stand in it as they are, for
// whoever reads it.
type snapshot struct {
	Format int                           `json:"format"`
	JSON   map[state.Key]json.RawMessage `json:"json"`
	Base64 map[state.Key][]byte          `json:"base64"`
}

func (d *dir) file(name string) string { return filepath.Join(d.path, name) }

func (d *dir) acquire(ctx context.Context, advertise string) (term, error) {
	lock, err := os.OpenFile(d.file("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return term{}, fmt.Errorf("state directory: %w", err)
	}
	t, err := d.lead(ctx, lock, advertise)
	if err != nil {
		return term{}, errors.Join(err, lock.Close())
	}
	return t, nil
}

func (d *dir) lead(ctx context.Context, lock *os.File, advertise string) (term, error) {
	retry := time.NewTicker(lockPoll)
	defer retry.Stop()
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return term{}, fmt.Errorf("lock %s: %w", lock.Name(), err)
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return term{}, fmt.Errorf("campaign for %s ended before it was won: %w", d.path, context.Cause(ctx))
		}
	}
	last, err := d.readLeader()
	if err != nil {
		return term{}, err
	}
	next := leaderFile{Epoch: last.Epoch + 1, Advertise: advertise}
	if err := d.replace("leader.json", next); err != nil {
		return term{}, err
	}
	// Closing the file frees the lock.
	return term{epoch: next.Epoch, release: lock.Close}, nil
}

// readLeader returns the zero value when nobody has led yet.
func (d *dir) readLeader() (leaderFile, error) {
	var l leaderFile
	err := d.read("leader.json", &l)
	return l, err
}

// read leaves v alone when the file does not exist.
func (d *dir) read(name string, v any) error {
	data, err := os.ReadFile(d.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("state directory: %w: %w", state.ErrUnavailable, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("state directory: %s is damaged, restore a copy or remove %s to start anew: %w",
			d.file(name), d.path, err)
	}
	return nil
}

// replace writes the file durably, or leaves the old one.
func (d *dir) replace(name string, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("state directory: encode %s: %w", name, err)
	}
	if err := writeDurably(d.path, name, buf.Bytes()); err != nil {
		return fmt.Errorf("state directory: write %s: %w: %w", name, state.ErrUnavailable, err)
	}
	return nil
}

func writeDurably(dirPath, name string, data []byte) error {
	path := filepath.Join(dirPath, name)
	temp := path + ".new"
	file, err := os.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	parent, err := os.Open(dirPath)
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// current checks the fence and returns the values under this epoch. The lock alone
// would do, were it not for someone removing the lock file under a running leader.
func (d *dir) current(epoch int64) (map[state.Key][]byte, error) {
	leader, err := d.readLeader()
	if err != nil {
		return nil, err
	}
	if err := fence(epoch, leader.Epoch); err != nil {
		return nil, err
	}
	if d.epoch == epoch {
		return d.values, nil
	}
	values, err := d.readState()
	if err != nil {
		return nil, err
	}
	d.epoch, d.values = epoch, values
	return values, nil
}

// readState returns what state.json holds, nothing when it does not exist.
func (d *dir) readState() (map[state.Key][]byte, error) {
	snap := snapshot{Format: snapshotFormat}
	if err := d.read("state.json", &snap); err != nil {
		return nil, err
	}
	if snap.Format != snapshotFormat {
		return nil, fmt.Errorf("state directory: %s has format %d, this build reads %d: %w",
			d.file("state.json"), snap.Format, snapshotFormat, state.ErrNewerSchema)
	}
	values := make(map[state.Key][]byte, len(snap.JSON)+len(snap.Base64))
	for key, value := range snap.JSON {
		var compact bytes.Buffer
		if err := json.Compact(&compact, value); err != nil {
			return nil, fmt.Errorf("state directory: %s: %w", key, err)
		}
		values[key] = compact.Bytes()
	}
	for key, value := range snap.Base64 {
		if value == nil {
			value = []byte{}
		}
		values[key] = value
	}
	return values, nil
}

// snapshot reads the file that the latest commit put in place as a whole. Commits
// are not numbered, and the epoch is that of the newest leader.
func (d *dir) snapshot() (map[state.Key][]byte, state.Position, error) {
	values, err := d.readState()
	if err != nil {
		return nil, state.Position{}, err
	}
	leader, err := d.readLeader()
	return values, state.Position{Epoch: leader.Epoch}, err
}

func (d *dir) load(epoch int64) (map[state.Key][]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	values, err := d.current(epoch)
	return clone(values), err
}

func (d *dir) commit(epoch int64, writes []state.Write) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	values, err := d.current(epoch)
	if err != nil {
		return err
	}
	next := clone(values)
	apply(next, writes)
	snap := snapshot{Format: snapshotFormat, JSON: map[state.Key]json.RawMessage{}, Base64: map[state.Key][]byte{}}
	for key, value := range next {
		if compactJSON(value) {
			snap.JSON[key] = value
		} else {
			snap.Base64[key] = value
		}
	}
	if err := d.replace("state.json", snap); err != nil {
		return err
	}
	d.values = next
	return nil
}

// compactJSON says whether the value survives being indented and compacted again.
func compactJSON(value []byte) bool {
	var compact bytes.Buffer
	return utf8.Valid(value) && json.Compact(&compact, value) == nil && bytes.Equal(compact.Bytes(), value)
}

// leader looks whether the lock is held. Its shared lock, held for an instant, can
// at most cost a campaign one more attempt.
func (d *dir) leader() (string, error) {
	lock, err := os.Open(d.file("lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("state directory: %w: %w", state.ErrUnavailable, err)
	}
	defer lock.Close()
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil {
		return "", nil // closing frees it
	}
	l, err := d.readLeader()
	return l.Advertise, err
}
