package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/state"
)

const (
	// campaignWithin bounds the campaign: nobody led when it began, so that only
	// somebody who came at the same moment can make it wait.
	campaignWithin = 30 * time.Second
	// chunk is how many records are committed between two words of progress.
	chunk = 1000
	// commitTries bounds the repeats of a commit whose outcome is unknown.
	commitTries = 6
)

// ErrNotConfirmed: Order.Confirm does not name what would be written over.
var ErrNotConfirmed = errors.New("not confirmed")

// Order is what a person asks of Restore.
type Order struct {
	Backup *Backup
	// Root names the place of the state for people: ZooKeeper's path, or the
	// directory.
	Root string
	// Confirm is Root or, unless another framework's state is there, the
	// backup's framework id.
	Confirm string
	// Replace allows to write over a state that is not empty.
	Replace bool
	Now     time.Time
	// Check says what keeps this build from starting on the records.
	Check func(map[state.Key][]byte) error
	// Progress is told of each step in plain words.
	Progress func(string)
}

// Result is what a restore did.
type Result struct {
	Framework string `json:"framework"`
	// Epoch of the leadership under which it was written.
	Epoch int64 `json:"epoch"`
	// Records is how many there are now, Written how many of them were not there
	// before as they are, Removed how many others are gone.
	Records int `json:"records"`
	Written int `json:"written"`
	Removed int `json:"removed"`
	// TakenBack are the volumes whose order to destroy was taken back.
	TakenBack []string `json:"takenBack"`
	// KillsTakenBack are the unknown tasks whose order to kill was taken back.
	KillsTakenBack []string `json:"killsTakenBack"`
	// RepairsTakenBack are the approved repairs whose open steps were.
	RepairsTakenBack []string `json:"repairsTakenBack"`
}

// Restore writes the records of a backup, made safe to go on from by
// scheduler.Restored, in place of what is there. It leads meanwhile: a Berth that
// starts waits, and one that comes back from a pause is fenced.
//
// It refuses while somebody leads. From the first change to the last a record
// stands among the others for which every Berth refuses to start (ErrUnfinished);
// when the restore is interrupted, repeating the order finishes it.
func Restore(ctx context.Context, elector state.Elector, o Order) (Result, error) {
	if err := o.Check(o.Backup.Values); err != nil {
		return Result{}, fmt.Errorf("this build cannot read the backup's records: %w", err)
	}
	if o.Confirm != o.Root && (o.Confirm != o.Backup.Framework || o.Confirm == "") {
		return Result{}, o.unconfirmed("the backup is that of framework id " + orNone(o.Backup.Framework))
	}
	if err := nobodyLeads(ctx, elector); err != nil {
		return Result{}, err
	}
	lease, err := campaign(ctx, elector)
	if err != nil {
		return Result{}, err
	}
	o.say("leading with epoch %d: no Berth can start or write meanwhile", lease.Epoch())
	r := restore{Order: o, store: lease.Store()}
	result, err := r.run(ctx)
	result.Epoch = lease.Epoch()
	if handover := lease.Resign(); handover != nil && err == nil {
		o.say("leadership could not be given back and runs out with the session: %v", handover)
	}
	return result, err
}

func (o *Order) say(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

func (o *Order) unconfirmed(why string) error {
	return fmt.Errorf("%w: %s; the state to be written over is that of %s: confirm with its name", ErrNotConfirmed, why, o.Root)
}

func orNone(id string) string {
	if id == "" {
		return "none"
	}
	return id
}

func nobodyLeads(ctx context.Context, elector state.Elector) error {
	leader, err := elector.Leader(ctx)
	if err != nil {
		return err
	}
	if leader != "" {
		return fmt.Errorf("a Berth leads: %s: stop every Berth first; one that has crashed is forgotten when its session has run out", leader)
	}
	return nil
}

func campaign(ctx context.Context, elector state.Elector) (state.Lease, error) {
	// Without an address, since nobody can be redirected here.
	bounded, cancel := context.WithTimeout(ctx, campaignWithin)
	defer cancel()
	lease, err := elector.Campaign(bounded, "")
	if err == nil {
		return lease, nil
	}
	if ctx.Err() == nil {
		err = errors.Join(nobodyLeads(ctx, elector), err)
	}
	return nil, fmt.Errorf("leadership, which keeps others from writing, could not be had: %w", err)
}

// restore is a Restore under a lease.
type restore struct {
	Order
	store state.Store
	// begun: the state is half restored, or may be.
	begun bool
}

func (r *restore) run(ctx context.Context) (Result, error) {
	present, err := r.store.Load(ctx)
	if err != nil {
		return Result{}, err
	}
	if err := r.permitted(present); err != nil {
		return Result{}, err
	}
	restored, err := scheduler.Restored(r.Backup.Values, r.Now.Unix())
	if err != nil {
		return Result{}, err
	}
	want := restored.Records
	mark, err := unfinishedRecord.Encode(unfinishedName, unfinished{Began: r.Now.UTC(), Taken: r.Backup.Time, SHA256: r.Backup.SHA256})
	if err != nil {
		return Result{}, err
	}
	result := Result{Framework: r.Backup.Framework, Records: len(want), TakenBack: append([]string{}, restored.TakenBack...), KillsTakenBack: append([]string{}, restored.KillsTakenBack...),
		RepairsTakenBack: append([]string{}, restored.RepairsTakenBack...)}
	writes := difference(present, want, mark.Key)
	for _, w := range writes {
		if w.Value == nil {
			result.Removed++
		} else {
			result.Written++
		}
	}
	err = r.write(ctx, mark, writes, want)
	if r.begun {
		return Result{}, fmt.Errorf("%w\nThe restore is not finished, and no Berth will start on a state like this: repeat the same command", err)
	}
	return result, err
}

// permitted says why what is there may not be written over.
func (r *restore) permitted(present map[state.Key][]byte) error {
	if len(present) == 0 {
		return nil
	}
	u, err := findUnfinished(present)
	if err == nil && u != nil && u.SHA256 == r.Backup.SHA256 {
		r.say("going on with the restore that was begun %s", u.Began.Format(time.RFC3339))
		return nil
	}
	there, err := scheduler.StoredFrameworkID(present)
	if err != nil {
		there = "that cannot be read"
	}
	if !r.Replace {
		return fmt.Errorf("the state at %s is not empty: %d records, framework id %s. To write over it, take a backup of it and add --replace",
			r.Root, len(present), orNone(there))
	}
	if r.Confirm != r.Root && r.Confirm != there {
		return r.unconfirmed("the records there are those of another framework id: " + orNone(there))
	}
	return nil
}

// difference is what turns present into want, removals first; the mark is left out.
func difference(present, want map[state.Key][]byte, mark state.Key) []state.Write {
	var writes []state.Write
	for _, key := range slices.Sorted(maps.Keys(present)) {
		if _, keep := want[key]; !keep && key != mark {
			writes = append(writes, state.Write{Key: key})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if old, found := present[key]; !found || !bytes.Equal(old, want[key]) {
			writes = append(writes, state.Write{Key: key, Value: want[key]})
		}
	}
	return writes
}

func (r *restore) write(ctx context.Context, mark state.Write, writes []state.Write, want map[state.Key][]byte) error {
	err := r.commit(ctx, mark)
	if errors.Is(err, state.ErrFenced) {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	r.begun = true
	if err != nil {
		return err
	}
	done := 0
	for part := range slices.Chunk(writes, chunk) {
		if err := r.commit(ctx, part...); err != nil {
			return fmt.Errorf("after %d of %d changes: %w", done, len(writes), err)
		}
		done += len(part)
		r.say("%d of %d changes made", done, len(writes))
	}
	if err := r.compare(ctx, mark, want); err != nil {
		return err
	}
	if err := r.commit(ctx, state.Write{Key: mark.Key}); err != nil {
		return err
	}
	r.begun = false
	return nil
}

// compare reads everything back.
func (r *restore) compare(ctx context.Context, mark state.Write, want map[state.Key][]byte) error {
	got, err := r.store.Load(ctx)
	if err != nil {
		return fmt.Errorf("reading back: %w", err)
	}
	if !bytes.Equal(got[mark.Key], mark.Value) {
		return fmt.Errorf("reading back: %s is not as it was written", mark.Key)
	}
	delete(got, mark.Key)
	if wrong := difference(got, want, mark.Key); len(wrong) > 0 {
		return fmt.Errorf("reading back: %d records are not as they were written, the first is %s", len(wrong), wrong[0].Key)
	}
	r.say("%d records read back and compared", len(want))
	return nil
}

// commit repeats what may or may not have been written: all writes are absolute.
func (r *restore) commit(ctx context.Context, writes ...state.Write) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 5*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := r.store.Commit(ctx, writes)
		if err != nil && !errors.Is(err, state.ErrUnavailable) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(commitTries))
	return err
}
