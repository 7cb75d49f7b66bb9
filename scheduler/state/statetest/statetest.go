// Package statetest is the conformance suite of state stores and electors: what
// package state promises, as tests that every implementation must pass.
package statetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/state"
)

// Patience bounds every wait of the suite. It is long because tests share machines;
// nothing waits for it when all is well.
const Patience = 60 * time.Second

// Backend is one empty store under test, shared by its candidates. The faults that
// are nil cannot happen to it, and their tests are skipped.
type Backend struct {
	// Candidate makes one more process, as far as the backend can tell.
	Candidate func(t *testing.T) *Candidate
	// Usurp raises the epoch as a newer leader does, behind the present one's back.
	Usurp func(t *testing.T)
}

// Elector is all that a backend offers.
type Elector interface {
	state.Elector
	state.Snapshotter
}

// Candidate is an elector and what can happen to it alone.
type Candidate struct {
	Elector
	// Expire makes the backend give up on this candidate, which cannot be told.
	Expire func(t *testing.T)
	// Outage takes the backend away from this candidate until heal is called.
	Outage func(t *testing.T) (heal func())
	// LoseAnswer lets the next large commit be carried out, but loses the answer.
	LoseAnswer func(t *testing.T)
	// LoseRequest lets the next large commit be lost before it is carried out.
	LoseRequest func(t *testing.T)
}

// Run runs the suite. newBackend is called once per test.
func Run(t *testing.T, newBackend func(t *testing.T) *Backend) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *Backend)
	}{
		{"LoadOfAnEmptyStore", loadEmpty},
		{"CommitThenLoad", commitThenLoad},
		{"CommitWithoutLoad", commitWithoutLoad},
		{"WritesApplyInOrder", writesApplyInOrder},
		{"Delete", deletes},
		{"BadWritesWriteNothing", badWrites},
		{"ValueAtTheGate", valueAtTheGate},
		{"BigBatches", bigBatches},
		{"ManyKeys", manyKeys},
		{"RandomCommitsMatchAMap", randomCommits},
		{"EpochRisesAndStateSurvives", epochRises},
		{"ThreeCandidatesHandOver", handOver},
		{"CampaignEndsWithItsContext", campaignEnds},
		{"CloseResigns", closeResigns},
		{"ResignedLeaseWritesNothing", resignedLease},
		{"NewerEpochFences", newerEpochFences},
		{"NewerEpochStopsLoad", newerEpochStopsLoad},
		{"ExpiredSessionEndsTheLease", expiry},
		{"OutageThenReturn", outage},
		{"LostAnswerThenRepeat", lostAnswer},
		{"LostRequestThenRepeat", lostRequest},
		{"SnapshotNeedsNoLeadership", snapshotWithoutLeading},
		{"SnapshotsUnderCommitsAreConsistent", snapshotsUnderCommits},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newBackend(t)) })
	}
}

// lead campaigns with one more candidate and wins.
func lead(t *testing.T, b *Backend) (*Candidate, state.Lease) {
	t.Helper()
	c := b.Candidate(t)
	return c, campaign(t, c, "http://leader.example:8080")
}

func campaign(t *testing.T, c *Candidate, advertise string) state.Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	lease, err := c.Campaign(ctx, advertise)
	require.NoError(t, err)
	return lease
}

func commit(t *testing.T, lease state.Lease, writes ...state.Write) {
	t.Helper()
	require.NoError(t, lease.Store().Commit(t.Context(), writes))
}

func load(t *testing.T, lease state.Lease) map[state.Key][]byte {
	t.Helper()
	values, err := lease.Store().Load(t.Context())
	require.NoError(t, err)
	return values
}

func put(key, value string) state.Write {
	return state.Write{Key: state.Key(key), Value: []byte(value)}
}

func remove(key string) state.Write { return state.Write{Key: state.Key(key)} }

func awaitDone(t *testing.T, lease state.Lease) {
	t.Helper()
	select {
	case <-lease.Done():
	case <-time.After(Patience):
		require.FailNow(t, "the lease did not end")
	}
}

func requireHeld(t *testing.T, lease state.Lease) {
	t.Helper()
	select {
	case <-lease.Done():
		require.FailNow(t, "the lease has ended")
	default:
	}
}
