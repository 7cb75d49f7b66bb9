package backup

import (
	"errors"
	"fmt"
	"time"

	"github.com/berthdata/berth/scheduler/state"
)

// ErrUnfinished: a restore is under way, or was interrupted. The state is neither
// the old nor the new one; only repeating the restore makes it whole.
var ErrUnfinished = errors.New("a restore has not been finished")

// unfinishedRecord stands among the records from before the first change of a
// restore until after the last. Builds that do not know it refuse its kind.
var unfinishedRecord = state.Kind[unfinished]{Name: "restore", Version: 1}

const unfinishedName = "unfinished"

type unfinished struct {
	Began time.Time `json:"began"`
	// Taken is the time of the backup, SHA256 its checksum.
	Taken  time.Time `json:"taken"`
	SHA256 string    `json:"sha256"`
}

// findUnfinished returns nil when no restore is under way.
func findUnfinished(values map[state.Key][]byte) (*unfinished, error) {
	key, err := unfinishedRecord.Key(unfinishedName)
	if err != nil {
		return nil, err
	}
	raw, found := values[key]
	if !found {
		return nil, nil
	}
	u, err := unfinishedRecord.Decode(key, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnfinished, err)
	}
	return &u, nil
}

// CheckFinished returns ErrUnfinished, with what to do, when the records are half
// restored. Nobody may decide anything on them then.
func CheckFinished(values map[state.Key][]byte) error {
	u, err := findUnfinished(values)
	if err != nil || u == nil {
		return err
	}
	return fmt.Errorf("%w: that of the backup of %s, begun %s, was interrupted or is under way: repeat \"berth restore\" with that file",
		ErrUnfinished, u.Taken.UTC().Format(time.RFC3339), u.Began.UTC().Format(time.RFC3339))
}
