package state

import "context"

// Position says which commit a snapshot shows.
type Position struct {
	// Epoch is that of the leader that made the commit; 0 before the first.
	Epoch int64 `json:"epoch"`
	// Commit numbers the commits of all leaders; 0 before the first, and in
	// stores that do not number them.
	Commit int64 `json:"commit"`
}

// Snapshotter reads the state without leading, and without disturbing who leads.
type Snapshotter interface {
	// Snapshot reads everything as it stood at one moment: the values of one
	// key and of another are never from before and after the same batch of a
	// Commit. What was committed before the call is in it.
	//
	// A Commit that needed several batches may be there in part, as it may be
	// after a crash of the leader.
	//
	// Errors: ErrUnavailable, or what keeps the values from being read.
	Snapshot(ctx context.Context) (map[Key][]byte, Position, error)
}
