package backup_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/app"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/scheduler/state/backup"
	"github.com/berthdata/berth/scheduler/state/memstore"
	"github.com/berthdata/berth/scheduler/state/zkstore"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

// store is one place of a state; each elector is another process.
type store struct {
	name    string
	elector func() app.State
}

// eachStore runs a test on every kind of store, each empty.
func eachStore(t *testing.T, test func(t *testing.T, s *store)) {
	closing := func(t *testing.T, e app.State, err error) app.State {
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, e.Close()) })
		return e
	}
	t.Run("memory", func(t *testing.T) {
		m := memstore.NewMemory()
		test(t, &store{"memory", func() app.State { return closing(t, m.NewElector(), nil) }})
	})
	t.Run("directory", func(t *testing.T) {
		o := app.Options{DevDir: t.TempDir()}
		test(t, &store{"directory", func() app.State {
			e, err := o.OpenState(zap.NewNop())
			return closing(t, e, err)
		}})
	})
	t.Run("zookeeper", func(t *testing.T) {
		server := zookeeper.Run(t, zookeeper.Options{})
		test(t, &store{"zookeeper", func() app.State {
			e, err := zkstore.New(zkstore.Options{Servers: server.Addr})
			return closing(t, e, err)
		}})
	})
}

func order(b *backup.Backup) backup.Order {
	return backup.Order{Backup: b, Root: "/berth", Confirm: "/berth", Now: epoch, Check: app.CheckRecords}
}

func records(t *testing.T, s *store) map[state.Key][]byte {
	t.Helper()
	values, _, err := s.elector().Snapshot(t.Context())
	require.NoError(t, err)
	return values
}

func backupOf(t *testing.T, writes []state.Write) *backup.Backup {
	t.Helper()
	e := memory(t)
	filled(t, e, writes)
	return take(t, e)
}

func TestRoundTrip(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store) {
		filled(t, s.elector(), good(t, 2500))
		b := take(t, s.elector())
		require.Equal(t, asMap(good(t, 2500)), b.Values)
		require.Equal(t, int64(1), b.Epoch)

		// The state moves on, and is put back.
		lease, err := s.elector().Campaign(t.Context(), "http://next.example")
		require.NoError(t, err)
		require.NoError(t, lease.Store().Commit(t.Context(), []state.Write{
			{Key: "slots/logs-data-7.9"}, good(t, 2600)[2599], {Key: "quotas/newer", Value: []byte("x")},
		}))
		require.NoError(t, lease.Resign())
		o := order(b)
		o.Confirm, o.Replace = frameworkID, true
		var said []string
		o.Progress = func(s string) { said = append(said, s) }
		result, err := backup.Restore(t.Context(), s.elector(), o)
		require.NoError(t, err)
		assert.Equal(t, int64(3), result.Epoch)
		assert.Equal(t, 2503, result.Records)
		assert.Equal(t, 2, result.Removed)
		assert.Equal(t, 2501, result.Written, "every slot and the framework are numbered anew, cluster and key are there")
		assert.Contains(t, strings.Join(said, "\n"), "2503 records read back and compared")

		want, err := scheduler.Restored(b.Values, epoch.Unix())
		require.NoError(t, err)
		require.Equal(t, want.Records, records(t, s))

		// A Berth can lead at once, and start on it.
		next, err := s.elector().Campaign(t.Context(), "http://again.example")
		require.NoError(t, err)
		values, err := next.Store().Load(t.Context())
		require.NoError(t, err)
		require.NoError(t, app.CheckRecords(values))
		require.NoError(t, backup.CheckFinished(values))

		// And the same again, a second later, into what is there: numbers rise.
		require.NoError(t, next.Resign())
		o.Now = epoch.Add(1e9)
		_, err = backup.Restore(t.Context(), s.elector(), o)
		require.NoError(t, err)
		f, err := frameworks.Decode("framework/berth", records(t, s)["framework/berth"])
		require.NoError(t, err)
		assert.Equal(t, state.Framework{ID: frameworkID, NextIncarnation: epoch.Unix() + 1}, f)
	})
}

func TestRestoreIntoAnEmptyStore(t *testing.T) {
	b := backupOf(t, good(t, 3))
	eachStore(t, func(t *testing.T, s *store) {
		o := order(b)
		o.Confirm = frameworkID
		result, err := backup.Restore(t.Context(), s.elector(), o)
		require.NoError(t, err)
		assert.Equal(t, backup.Result{Framework: frameworkID, Epoch: 1, Records: 6, Written: 6, TakenBack: []string{}, KillsTakenBack: []string{}, RepairsTakenBack: []string{}}, result)
		require.NoError(t, app.CheckRecords(records(t, s)))
	})
}

func TestOrdersToDestroyAreTold(t *testing.T) {
	w, err := slots.Encode("old-0.9", state.Slot{ID: "old-0.9", Kind: "elasticsearch", Want: state.WantRetain, Order: &state.Order{User: "mia"}})
	require.NoError(t, err)
	e := memory(t)
	result, err := backup.Restore(t.Context(), e, order(backupOf(t, append(good(t, 1), w))))
	require.NoError(t, err)
	assert.Equal(t, []string{"old-0.9"}, result.TakenBack)
}

// Every refusal leaves the state as it was.
func TestRefusals(t *testing.T) {
	other := good(t, 1)
	w, err := frameworks.Encode("berth", state.Framework{ID: "another", NextIncarnation: 5})
	require.NoError(t, err)
	other[0] = w
	newer := state.Write{Key: "slots/x.1", Value: []byte(`{"v":9,"kind":"slots","body":{}}`)}
	damaged := []state.Write{{Key: "framework/berth", Value: []byte("{")}}
	for name, test := range map[string]struct {
		present []state.Write
		backup  []state.Write
		change  func(*backup.Order)
		is      error
		says    string
	}{
		"not confirmed": {nil, good(t, 1), func(o *backup.Order) { o.Confirm = "" }, backup.ErrNotConfirmed, "framework id " + frameworkID},
		"wrong name":    {nil, good(t, 1), func(o *backup.Order) { o.Confirm = "logs" }, backup.ErrNotConfirmed, "/berth"},
		"no id to name": {nil, good(t, 1)[2:3], func(o *backup.Order) { o.Confirm = "none" }, backup.ErrNotConfirmed, "framework id none"},
		"not empty":     {good(t, 2), good(t, 1), func(*backup.Order) {}, nil, "not empty: 5 records, framework id " + frameworkID},
		"another framework's": {other, good(t, 1), func(o *backup.Order) { o.Replace, o.Confirm = true, frameworkID },
			backup.ErrNotConfirmed, "those of another framework id: another"},
		"unreadable": {damaged, good(t, 1), func(o *backup.Order) { o.Replace, o.Confirm = true, frameworkID },
			backup.ErrNotConfirmed, "that cannot be read"},
		"newer schema":   {nil, append(good(t, 1), newer), func(*backup.Order) {}, state.ErrNewerSchema, "slots/x.1"},
		"unknown kind":   {nil, append(good(t, 1), state.Write{Key: "quotas/x", Value: []byte("1")}), func(*backup.Order) {}, nil, "quotas/x: a kind of record that this build does not know"},
		"unknown secret": {nil, append(good(t, 1), state.Write{Key: "secrets/tls", Value: []byte("1")}), func(*backup.Order) {}, nil, "secrets/tls"},
		"newer secret":   {nil, []state.Write{{Key: "secrets/executor", Value: []byte(`{"v":2,"kind":"secrets","body":{}}`)}}, func(*backup.Order) {}, state.ErrNewerSchema, "secrets/executor"},
		"damaged record": {nil, []state.Write{{Key: "clusters/a", Value: []byte("{")}}, func(*backup.Order) {}, state.ErrDamaged, "clusters/a"},
	} {
		t.Run(name, func(t *testing.T) {
			e := memory(t)
			if test.present != nil {
				filled(t, e, test.present)
			}
			before, position, err := e.Snapshot(t.Context())
			require.NoError(t, err)
			o := order(backupOf(t, test.backup))
			test.change(&o)
			_, err = backup.Restore(t.Context(), e, o)
			require.ErrorContains(t, err, test.says)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			after, same, err := e.Snapshot(t.Context())
			require.NoError(t, err)
			assert.Equal(t, before, after)
			assert.Equal(t, position, same, "nothing was committed")
			filled(t, e, []state.Write{{Key: "slots/x", Value: []byte("1")}}) // leadership was given back
		})
	}
}

func TestARunningLeaderIsNamed(t *testing.T) {
	b := backupOf(t, good(t, 1))
	eachStore(t, func(t *testing.T, s *store) {
		lease, err := s.elector().Campaign(t.Context(), "https://berth.example:8080")
		require.NoError(t, err)
		require.NoError(t, lease.Store().Commit(t.Context(), good(t, 2)))
		o := order(b)
		o.Replace = true
		_, err = backup.Restore(t.Context(), s.elector(), o)
		require.ErrorContains(t, err, "a Berth leads: https://berth.example:8080: stop every Berth first")
		assert.Equal(t, asMap(good(t, 2)), records(t, s))
		require.NoError(t, lease.Store().Commit(t.Context(), good(t, 3)), "the leader goes on")
		require.NoError(t, lease.Resign())
	})
}

// faulty is an elector whose store fails at one commit, or shows another record
// than was written.
type faulty struct {
	state.Elector
	failAt  int // the commit that fails, from 1; 0 = none
	err     error
	carried bool      // it fails, but is carried out
	lie     state.Key // of what is read after the first commit
	arrives func()    // before the campaign

	commits int
}

type faultyLease struct {
	state.Lease
	f *faulty
}

type faultyStore struct {
	state.Store
	f *faulty
}

func (f *faulty) Campaign(ctx context.Context, advertise string) (state.Lease, error) {
	if f.arrives != nil {
		f.arrives()
	}
	l, err := f.Elector.Campaign(ctx, advertise)
	return faultyLease{l, f}, err
}

func (l faultyLease) Store() state.Store { return faultyStore{l.Lease.Store(), l.f} }

func (s faultyStore) Commit(ctx context.Context, writes []state.Write) error {
	s.f.commits++
	if s.f.commits == s.f.failAt {
		if s.f.carried {
			if err := s.Store.Commit(ctx, writes); err != nil {
				return err
			}
		}
		return s.f.err
	}
	return s.Store.Commit(ctx, writes)
}

func (s faultyStore) Load(ctx context.Context) (map[state.Key][]byte, error) {
	values, err := s.Store.Load(ctx)
	if s.f.commits > 0 && s.f.lie != "" {
		values[s.f.lie] = []byte("another")
	}
	return values, err
}

// TestInterruptedRestore: it fails at each of its commits in turn. The state is
// then one on which nobody starts, and the same order finishes it.
func TestInterruptedRestore(t *testing.T) {
	const size = 2500 // the mark, three parts, the mark's removal
	errPower := errors.New("the power went")
	b, second := backupOf(t, good(t, size)), backupOf(t, good(t, size+1))
	want, err := scheduler.Restored(b.Values, epoch.Unix())
	require.NoError(t, err)
	eachStore(t, func(t *testing.T, s *store) {
		for failAt := 2; failAt <= 5; failAt++ {
			for _, carried := range []bool{false, true} {
				lease, err := s.elector().Campaign(t.Context(), "")
				require.NoError(t, err)
				var clean []state.Write
				for key := range records(t, s) {
					clean = append(clean, state.Write{Key: key})
				}
				require.NoError(t, lease.Store().Commit(t.Context(), clean))
				require.NoError(t, lease.Resign())

				_, err = backup.Restore(t.Context(), &faulty{Elector: s.elector(), failAt: failAt, err: errPower, carried: carried}, order(b))
				require.ErrorIs(t, err, errPower)
				require.ErrorContains(t, err, "repeat the same command")
				half := records(t, s)
				if failAt == 5 && carried {
					require.Equal(t, want.Records, half, "only its answer was lost")
					continue
				}
				require.ErrorIs(t, backup.CheckFinished(half), backup.ErrUnfinished)
				require.Error(t, app.CheckRecords(half), "a build that does not know the mark refuses it too")
				_, err = backup.Take(t.Context(), s.elector(), epoch, "v1")
				require.ErrorIs(t, err, backup.ErrUnfinished)
				_, err = backup.Restore(t.Context(), s.elector(), order(second))
				require.ErrorContains(t, err, "not empty", "another backup is another order")

				_, err = backup.Restore(t.Context(), s.elector(), order(b))
				require.NoError(t, err)
				require.Equal(t, want.Records, records(t, s))
			}
		}
	})
}

func TestAnUnknownOutcomeIsRepeated(t *testing.T) {
	b := backupOf(t, good(t, 1500))
	for failAt := 1; failAt <= 4; failAt++ {
		for _, carried := range []bool{false, true} {
			e := memory(t)
			_, err := backup.Restore(t.Context(), &faulty{Elector: e, failAt: failAt, carried: carried,
				err: fmt.Errorf("%w: no answer", state.ErrUnavailable)}, order(b))
			require.NoError(t, err, "commit %d", failAt)
			values, _, err := e.Snapshot(t.Context())
			require.NoError(t, err)
			assert.Len(t, values, 1503)
			assert.NoError(t, app.CheckRecords(values))
		}
	}
}

func TestFencedBeforeTheFirstChange(t *testing.T) {
	e := memory(t)
	_, err := backup.Restore(t.Context(), &faulty{Elector: e, failAt: 1, err: state.ErrFenced}, order(backupOf(t, good(t, 1))))
	require.ErrorIs(t, err, state.ErrFenced)
	require.ErrorContains(t, err, "nothing was changed")
	require.NotContains(t, err.Error(), "repeat")
}

func TestWhatIsReadBackIsCompared(t *testing.T) {
	b := backupOf(t, good(t, 2))
	for _, lie := range []state.Key{"slots/logs-data-1.3", "slots/stray", "restore/unfinished"} {
		e := memory(t)
		_, err := backup.Restore(t.Context(), &faulty{Elector: e, lie: lie}, order(b))
		require.ErrorContains(t, err, "reading back")
		require.ErrorContains(t, err, string(lie))
		values, _, err := e.Snapshot(t.Context())
		require.NoError(t, err)
		require.ErrorIs(t, backup.CheckFinished(values), backup.ErrUnfinished)
	}
}

// A Berth that comes up between the look and the campaign is not written over.
func TestABerthThatComesUpMeanwhile(t *testing.T) {
	m := memstore.NewMemory()
	other := m.NewElector()
	defer other.Close()
	ctx, cancel := context.WithCancel(t.Context())
	mine := &faulty{Elector: m.NewElector(), arrives: func() {
		_, err := other.Campaign(t.Context(), "http://quick.example")
		require.NoError(t, err)
		cancel()
	}}
	defer mine.Close()
	_, err := backup.Restore(ctx, mine, order(backupOf(t, good(t, 1))))
	require.ErrorContains(t, err, "leadership, which keeps others from writing, could not be had")
	values, _, err := other.Snapshot(t.Context())
	require.NoError(t, err)
	assert.Empty(t, values)
}
