// Package state is what Berth keeps durably: keys, records and the Store port.
package state

import (
	"context"
	"errors"
)

// Key names one entity: "clusters/sec-events", "slots/sec-events-data-0". It is
// kind "/" name; a kind is [a-z0-9-]+, a name [A-Za-z0-9._-]+ because Mesos makes
// ids like "…-S12", each of at most 200 bytes. One key is one znode (Mesos rule 56).
type Key string

// Write is one change of one key. A nil Value deletes the key; deleting an
// absent key is not an error, so that a batch can be retried after a lost answer.
type Write struct {
	Key   Key
	Value []byte
}

// MaxValue is the hard size gate of one value in bytes (Mesos rule 56:
// ZooKeeper's limit is 1 MiB; others got stuck there).
const MaxValue = 512 << 10

// Errors that callers branch on.
var (
	// ErrFenced: a newer epoch was written, or the lease has ended: this process
	// is no leader any more. The batch that met it was not written; the only
	// answer is to stop.
	ErrFenced = errors.New("fenced: a newer leader has taken over")
	// ErrUnavailable: the store could not be reached or did not answer. The
	// writes may or may not have happened: repeat the same batch.
	ErrUnavailable = errors.New("state store unavailable")
	// ErrTooLarge: a value is above MaxValue; nothing was written.
	ErrTooLarge = errors.New("value too large")
)

// Store is durable state under one leader's epoch. Implementations are safe for
// use by one goroutine at a time.
type Store interface {
	// Load reads everything.
	Load(ctx context.Context) (map[Key][]byte, error)
	// Commit makes the writes durable in order, in as few atomic batches as
	// fit; each batch checks the epoch. A failure leaves a prefix written.
	// All writes are absolute, so repeating a Commit is always safe.
	Commit(ctx context.Context, writes []Write) error
	Close() error
}

// Lease is leadership: held from Campaign's return until Done is closed.
type Lease interface {
	// Epoch rises strictly with each leadership; it fences every write.
	Epoch() int64
	// Done closes when the lease has ended or can no longer be proven.
	// The holder must stop calling Mesos before that moment has passed
	// (Mesos rule 57), so it closes early enough: at a local deadline.
	Done() <-chan struct{}
	// Store is the state under this lease's epoch.
	Store() Store
	// Resign gives leadership up at once, for a planned hand-over.
	Resign() error
}

// Elector campaigns for leadership.
type Elector interface {
	// Campaign blocks until this process leads, or ctx ends.
	Campaign(ctx context.Context, advertise string) (Lease, error)
	// Leader returns the advertised address of the present leader, "" if none.
	Leader(ctx context.Context) (string, error)
	Close() error
}
