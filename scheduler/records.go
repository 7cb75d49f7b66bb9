package scheduler

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

// maxRecordErrors bounds what one check reports.
const maxRecordErrors = 10

// CheckRecords says what would keep New from going on with the records, record
// by record (ten at most), or nil.
func CheckRecords(records map[state.Key][]byte) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if err := checkRecord(key, records[key]); err != nil {
			errs = append(errs, err)
		}
		if len(errs) == maxRecordErrors {
			errs = append(errs, errors.New("and possibly more"))
			break
		}
	}
	return errors.Join(errs...)
}

func checkRecord(key state.Key, raw []byte) error { return empty(Config{}).load(key, raw) }

// checkName: a record says what its key says.
func checkName(key state.Key, name string) error {
	if key.Name() != name {
		return fmt.Errorf("%s: %w: it is the record of %q", key, state.ErrDamaged, name)
	}
	return nil
}

// checkCluster finds nodes that no spec may have: so many that making slots for
// them would take for ever, or with names under which no slot can be stored.
func checkCluster(key state.Key, c *state.Cluster) error {
	all := 0
	for _, set := range c.Spec.Spec.NodeSets {
		if set.Count < 0 || set.Count > v1.MaxClusterNodes {
			return fmt.Errorf("%s: %w: node set %q has %d nodes", key, state.ErrDamaged, set.Name, set.Count)
		}
		if _, err := slotRecord.Key(plan.NodeName(c.Spec.Name, set.Name, set.Count) + ".1"); err != nil {
			return fmt.Errorf("%s: %w: node set %q: %w", key, state.ErrDamaged, set.Name, err)
		}
		all += set.Count
	}
	if all > v1.MaxClusterNodes {
		return fmt.Errorf("%s: %w: it has %d nodes, at most %d are allowed", key, state.ErrDamaged, all, v1.MaxClusterNodes)
	}
	return nil
}

// checkSlot finds what no core ever wrote, and what would lead one astray.
func (c *Core) checkSlot(key state.Key, s *state.Slot) error {
	damaged := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w: %s", key, state.ErrDamaged, fmt.Sprintf(format, args...))
	}
	t, b := s.Task, s.Bind
	switch {
	case c.workloads[s.Kind] == nil:
		return fmt.Errorf("%s: it runs %q: %w: a downgrade is refused", key, s.Kind, errUnknownKind)
	case !slices.Contains(wants, s.Want):
		return damaged("want %q is not known", s.Want)
	case s.Life < 0, t != nil && (t.Life < 1 || t.Life > s.Life):
		return damaged("its lives are not numbered upwards")
	case t != nil && !slices.Contains(taskStates, t.State):
		return damaged("its task's state %q is not known", t.State)
	case t != nil && t.State != state.TaskEnded && b == nil:
		return damaged("its task may run, but it has no place")
	case s.Want == state.WantReplaced && (s.Replacement == nil || b == nil):
		return damaged("it is replaced, but by no order, or it has no place")
	case s.Release != nil && b == nil:
		return damaged("something is being released, but it has no place")
	case b != nil && !(slices.Contains(knowns, b.Reserved) && slices.Contains(knowns, b.Volume)):
		return damaged("what is known of its place is neither yes, no nor unsure")
	case (s.Kind == kindSparkExecutor) != (s.Executor != nil):
		return damaged("it runs %q and says of an executor what only such a slot has, or the other way round", s.Kind)
	}
	return nil
}

// checkApplicationRecord says what contradicts itself in an application's record.
func checkApplicationRecord(key state.Key, a *state.Application) error {
	switch {
	case a.AppID == "":
		return fmt.Errorf("%s: %w: it has no application id", key, state.ErrDamaged)
	case a.Attempt < 0, a.NextAttempt <= a.Attempt, a.NextExecutor < 1:
		return fmt.Errorf("%s: %w: its attempts and executors are not numbered upwards", key, state.ErrDamaged)
	}
	return nil
}

// checkRepair finds plans that no core ever made.
func checkRepair(key state.Key, r *state.Repair) error {
	if len(r.Steps) > maxRepairSteps || r.Retention < 0 {
		return fmt.Errorf("%s: %w: it has %d steps and a retention of %s", key, state.ErrDamaged, len(r.Steps), r.Retention)
	}
	for i := range r.Steps {
		st := &r.Steps[i]
		open := st.State == state.StepKept || st.State == state.StepReady || st.State == state.StepSent
		if !slices.Contains(stepActions, st.Action) || !slices.Contains(stepStates, st.State) || open && r.Approved == nil {
			return fmt.Errorf("%s: %w: its step %d is to %q and %q, approved: %t", key, state.ErrDamaged, i+1, st.Action, st.State, r.Approved != nil)
		}
	}
	return nil
}

var (
	stepActions = []state.RepairAction{state.RepairUnreserve, state.RepairDestroy, state.RepairOrder, state.RepairRecreate, state.RepairReserve}
	stepStates  = []state.RepairState{state.StepPlanned, state.StepKept, state.StepReady, state.StepSent, state.StepDone, state.StepSkipped, state.StepFailed, state.StepCancelled}

	wants      = []state.Want{state.WantRun, state.WantRetain, state.WantReplaced, state.WantDestroy, state.WantNothing}
	taskStates = []state.TaskState{state.TaskStaging, state.TaskStarting, state.TaskRunning, state.TaskUnreachable, state.TaskEnded}
	knowns     = []state.Known{state.KnownNo, state.KnownYes, state.KnownUnsure}
)

// StoredFrameworkID is the framework id in the records, "" if there is none yet.
func StoredFrameworkID(records map[state.Key][]byte) (string, error) {
	key, err := frameworkRecord.Key(frameworkName)
	if err != nil {
		return "", err
	}
	raw, found := records[key]
	if !found {
		return "", nil
	}
	f, err := frameworkRecord.Decode(key, raw)
	return f.ID, err
}

// Restoration is what becomes of records that are restored from a backup.
type Restoration struct {
	Records map[state.Key][]byte
	// TakenBack are the slot ids whose order to destroy was taken back, sorted.
	TakenBack []string
	// KillsTakenBack are the unknown tasks whose order to kill was, sorted.
	KillsTakenBack []string
	// RepairsTakenBack are the approved repairs of which steps were, sorted.
	RepairsTakenBack []string
}

// restoreGap is how far a restore raises the counters of lives at least. A gap this
// wide tells that a slot was restored: otherwise numbers are used one by one, with a
// pause between attempts that launch nothing.
const restoreGap = 1_000_000

// Restored turns the records of an earlier moment into ones that are safe to go
// on from, though what was decided since then is forgotten:
//
//   - Incarnations and lives go on from floor at least, so that no label,
//     persistence id, task id or operation id that was handed out since is ever
//     handed out again. A floor that rises faster than these are used, such as
//     the time in Unix seconds, keeps apart any number of restores as well.
//   - So do the attempts and executor ids of applications. The order to kill one
//     stands: it cannot have been taken back since.
//   - Orders to destroy a volume are taken back unless DESTROY was sent already:
//     their user may have taken them back since. So are orders to kill unknown
//     tasks: which tasks are unknown is another question now. And so are the open
//     steps of repairs, whose targets were judged by what is forgotten.
//
// Kinds that the core does not know are passed on as they are.
func Restored(records map[state.Key][]byte, floor int64) (Restoration, error) {
	out := Restoration{Records: maps.Clone(records)}
	if out.Records == nil {
		out.Records = map[state.Key][]byte{}
	}
	var f state.Framework
	var err error
	frameworkKey, err := frameworkRecord.Key(frameworkName)
	if err != nil {
		return Restoration{}, err
	}
	if raw, found := records[frameworkKey]; found {
		if f, err = frameworkRecord.Decode(frameworkKey, raw); err != nil {
			return Restoration{}, err
		}
	}
	f.NextIncarnation = max(f.NextIncarnation, floor)
	w, err := frameworkRecord.Encode(frameworkName, f)
	if err != nil {
		return Restoration{}, err
	}
	out.Records[w.Key] = w.Value
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if key.Kind() == state.KindKill {
			k, err := killRecord.Decode(key, records[key])
			if err != nil {
				return Restoration{}, err
			}
			delete(out.Records, key)
			out.KillsTakenBack = append(out.KillsTakenBack, k.TaskID)
		}
		if key.Kind() == state.KindApplication {
			w, err := restoredApplication(key, records[key])
			if err != nil {
				return Restoration{}, err
			}
			out.Records[w.Key] = w.Value
		}
		if key.Kind() == state.KindRepair {
			w, taken, err := restoredRepair(key, records[key])
			if err != nil {
				return Restoration{}, err
			}
			out.Records[w.Key] = w.Value
			if taken {
				out.RepairsTakenBack = append(out.RepairsTakenBack, key.Name())
			}
		}
		if key.Kind() != state.KindSlot {
			continue
		}
		s, err := slotRecord.Decode(key, records[key])
		if err != nil {
			return Restoration{}, err
		}
		s.Life = max(s.Life+restoreGap, floor)
		if s.Order != nil && !destroying(&s) {
			s.Order = nil
			if s.Want == state.WantDestroy {
				s.Want = state.WantRetain
			}
			out.TakenBack = append(out.TakenBack, s.ID)
		}
		if w, err = slotRecord.Encode(key.Name(), s); err != nil {
			return Restoration{}, err
		}
		out.Records[w.Key] = w.Value
	}
	slices.Sort(out.KillsTakenBack)
	return out, nil
}

// restoredApplication is an application's record that is safe to go on from.
func restoredApplication(key state.Key, raw []byte) (state.Write, error) {
	a, err := applicationRecord.Decode(key, raw)
	if err != nil {
		return state.Write{}, err
	}
	if a.Forgotten == nil {
		a.Forgotten = &state.IDRange{From: a.NextExecutor}
	}
	a.NextAttempt += restoreGap
	a.NextExecutor += restoreGap
	a.Forgotten.To = a.NextExecutor
	a.Contexts += restoreGap
	a.BoundsRevision += restoreGap
	return applicationRecord.Encode(key.Name(), a)
}

// restoredRepair takes the open steps of a repair back; taken tells whether there
// were any that a person had approved.
func restoredRepair(key state.Key, raw []byte) (w state.Write, taken bool, err error) {
	r, err := repairRecord.Decode(key, raw)
	if err != nil {
		return state.Write{}, false, err
	}
	for i := range r.Steps {
		st := &r.Steps[i]
		if st.State.Ended() {
			continue
		}
		st.State, st.Message = state.StepCancelled, "taken back: a backup was restored"
		st.DestroyOp, st.UnreserveOp, st.Call = "", "", ""
		taken = taken || r.Approved != nil
	}
	w, err = repairRecord.Encode(key.Name(), r)
	return w, taken, err
}
