package sim

import (
	"fmt"
	"maps"
	"time"

	"github.com/berthdata/berth/scheduler/state"
)

// store is the durable state. What is in it is all that survives a crash.
type store struct {
	w     *World
	data  map[state.Key][]byte
	epoch int64

	// Decoded copies for the checkers, kept in step with data.
	slots     map[string]state.Slot
	kills     map[string]state.Kill // by task id
	spared    map[string]int64      // epoch that took such an order back
	repairs   map[string]state.Repair
	clusters  map[string]state.Cluster
	framework state.Framework
	// specs are the newest records of every incarnation that ever was durable.
	specs map[owner]state.Cluster

	slowUntil, downUntil, lossyUntil time.Time
}

// owner is one incarnation of a cluster.
type owner struct {
	name        string
	incarnation int64
}

var (
	frameworks = state.Frameworks
	clusters   = state.Clusters
	slots      = state.Slots
	findings   = state.LedgerFindings
	kills      = state.Kills
	repairs    = state.Repairs
)

func newStore(w *World) *store {
	return &store{
		w: w, data: map[state.Key][]byte{}, slots: map[string]state.Slot{}, kills: map[string]state.Kill{}, spared: map[string]int64{},
		repairs:  map[string]state.Repair{},
		clusters: map[string]state.Cluster{}, specs: map[owner]state.Cluster{},
	}
}

// lead starts a new epoch; every older one is fenced from now on.
func (s *store) lead() int64 { s.epoch++; return s.epoch }

// load answers later with everything, or not at all while the store is away.
func (s *store) load(done func(map[state.Key][]byte, bool)) {
	w := s.w
	w.after(s.delay(), func() {
		if w.now.Before(s.downUntil) {
			done(nil, false)
			return
		}
		done(maps.Clone(s.data), true)
	})
}

func (s *store) delay() time.Duration {
	if s.w.now.Before(s.slowUntil) {
		return between(s.w.chance, 200*time.Millisecond, 6*time.Second)
	}
	return between(s.w.chance, time.Millisecond, 10*time.Millisecond)
}

// commit makes writes durable, or not; done is told later. After an answer of
// ErrUnavailable the writes may be there in whole, in part or not at all.
func (s *store) commit(epoch int64, writes []state.Write, done func(error)) {
	w := s.w
	apply := func(n int) error {
		if epoch < s.epoch {
			return state.ErrFenced
		}
		for _, wr := range writes[:n] {
			s.write(wr)
		}
		return nil
	}
	w.after(s.delay(), func() {
		switch {
		case w.now.Before(s.downUntil):
			w.after(between(w.chance, 100*time.Millisecond, 2*time.Second), func() { done(state.ErrUnavailable) })
		case w.now.Before(s.lossyUntil) && w.chance.IntN(2) == 0:
			// Committed, in whole or in part, but the answer is lost.
			n := len(writes)
			if w.chance.IntN(3) == 0 {
				n = w.chance.IntN(len(writes) + 1)
			}
			err := apply(n)
			if err == nil {
				w.tracef("store: %d of %d writes done, the answer is lost", n, len(writes))
				err = state.ErrUnavailable
			}
			w.after(between(w.chance, 100*time.Millisecond, 2*time.Second), func() { done(err) })
		default:
			done(apply(len(writes)))
		}
	})
}

func (s *store) write(wr state.Write) {
	w := s.w
	if err := wr.Check(); err != nil {
		w.fail("record", "a record that no store takes: %v", err)
		return
	}
	if wr.Value == nil {
		delete(s.data, wr.Key)
	} else {
		s.data[wr.Key] = wr.Value
	}
	if err := s.decode(wr); err != nil {
		w.fail("record", "%v", err)
		return
	}
	w.checks.written(wr.Key)
}

func (s *store) decode(wr state.Write) error {
	kind, name := wr.Key.Kind(), wr.Key.Name()
	if wr.Value == nil {
		switch kind {
		case state.KindSlot:
			delete(s.slots, name)
			s.w.checks.removed(name)
		case state.KindRepair:
			delete(s.repairs, name)
		case state.KindKill:
			delete(s.kills, name) // the model's task ids are names that keys take
			s.spared[name] = s.epoch
		case state.KindCluster:
			delete(s.clusters, name)
		case state.KindFramework:
			return fmt.Errorf("the framework's record was removed")
		}
		return nil
	}
	switch kind {
	case state.KindFramework:
		was := s.framework
		r, err := frameworks.Decode(wr.Key, wr.Value)
		if err != nil {
			return err
		}
		s.framework = r
		if was.ID != "" && was.ID != r.ID {
			return fmt.Errorf("the durable framework id changed from %s to %s", was.ID, r.ID)
		}
		if r.NextIncarnation < was.NextIncarnation {
			return fmt.Errorf("the counter of incarnations went back from %d to %d", was.NextIncarnation, r.NextIncarnation)
		}
	case state.KindCluster:
		r, err := clusters.Decode(wr.Key, wr.Value)
		if err != nil {
			return err
		}
		s.clusters[name] = r
		s.specs[owner{name, r.Incarnation}] = r
	case state.KindSlot:
		r, err := slots.Decode(wr.Key, wr.Value)
		if err != nil {
			return err
		}
		s.slots[name] = r
	case state.KindRepair:
		r, err := repairs.Decode(wr.Key, wr.Value)
		s.repairs[name] = r
		return err
	case state.KindFindings:
		_, err := findings.Decode(wr.Key, wr.Value)
		return err
	case state.KindAudit:
		_, err := state.AuditPages.Decode(wr.Key, wr.Value)
		return err
	case state.KindKill:
		r, err := kills.Decode(wr.Key, wr.Value)
		if err != nil {
			return err
		}
		s.kills[r.TaskID] = r
		delete(s.spared, r.TaskID)
	default:
		return fmt.Errorf("%s: a kind that nobody knows", wr.Key)
	}
	return nil
}
