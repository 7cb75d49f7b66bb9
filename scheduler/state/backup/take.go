package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/state"
)

// ErrEmpty: there is no state to back up.
var ErrEmpty = errors.New("there are no records")

// Take reads the state, without leading. It keeps records that this build cannot
// read as well: a backup is also taken before a damaged state is repaired. An
// unfinished restore is refused, since half a state is worth nothing.
//
// Errors: ErrEmpty, ErrUnfinished, or those of the store.
func Take(ctx context.Context, from state.Snapshotter, now time.Time, build string) (*Backup, error) {
	values, position, err := from.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if len(values) == 0 {
		return nil, ErrEmpty
	}
	if err := CheckFinished(values); err != nil {
		return nil, err
	}
	id, err := scheduler.StoredFrameworkID(values)
	if err != nil {
		id = "" // said by whoever checks the records
	}
	sha, err := sum(values)
	if err != nil {
		return nil, err
	}
	return &Backup{Values: values, Header: Header{
		Format: formatName, Version: Version, Time: now.UTC(), Build: build, Framework: id,
		Position: position, Records: len(values), SHA256: sha,
	}}, nil
}

// WriteFile writes the backup to a file that only its owner can read, durably and
// as a whole: a failure leaves what was there before.
func (b *Backup) WriteFile(path string) (err error) {
	// Replacing a link or a device by a file is never what was meant.
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", path)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	folder := filepath.Dir(path)
	temp, err := os.CreateTemp(folder, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	if err := errors.Join(b.Write(temp), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	return syncFolder(folder)
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// ReadFile is Read of a file.
func ReadFile(path string) (*Backup, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := Read(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return b, file.Close()
}
