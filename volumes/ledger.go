package volumes

import (
	"cmp"
	"slices"
)

// RecordState is what the records want of a slot's reservation.
type RecordState string

// The states of a record.
const (
	StateOwned      RecordState = "owned"      // a slot uses it, or will
	StateRetained   RecordState = "retained"   // kept after its slot was deleted
	StateReplaced   RecordState = "replaced"   // kept after another slot took its place
	StateDestroying RecordState = "destroying" // an explicit order to destroy it
	StateLost       RecordState = "lost"       // its agent was declared gone
)

// Record is what is durably known of one slot's reservation: the first witness.
type Record struct {
	Label         string
	AgentID       string // where it was last known; "" = nowhere yet
	PersistenceID string
	// Reserved and Created say that the reservation and the volume surely were
	// made: from then on their absence is a finding.
	Reserved, Created bool
	// CPU, Mem and Ports are what the reservation has beside its disk.
	CPU, Mem Amount
	Ports    int
	State    RecordState
	// Settled: the view was asked for well after the record last changed, and no
	// operation is under way. Otherwise what it does not show proves nothing.
	Settled bool
	// Missed: an earlier view that could tell has shown that something is missing,
	// and none has shown it since.
	Missed bool
}

// View is what the master shows of one agent: the second witness.
type View struct {
	AgentID string
	Held    []Reserved
	// Unknown says why Held may not be what the agent holds; "" when it is.
	Unknown string
}

// Class is what an Entry is.
type Class string

// The classes. Owned, retained, replaced and destroying follow the record.
const (
	ClassOwned      Class = "owned"
	ClassRetained   Class = "retained"
	ClassReplaced   Class = "replaced"
	ClassDestroying Class = "destroying"
	// ClassOrphan: a label of ours that no record explains at this place. It
	// may be released only once all records are loaded and only on an order.
	ClassOrphan Class = "orphan"
	// ClassForeign: not ours to touch: no label of ours, another principal, or
	// another volume under our label.
	ClassForeign Class = "foreign"
	// ClassMissing: a view of its agent that is newer than the record does not
	// show it, or shows it without its volume or with less than is on record.
	ClassMissing Class = "missing"
	// ClassUnknown: the witness cannot tell; not knowing is neither "gone" nor
	// "too much".
	ClassUnknown Class = "unknown"
)

// Entry is one line of the ledger: a record, a reservation, or both.
type Entry struct {
	Class Class
	// Record is zero for what no record explains.
	Record Record
	// AgentID is where the reservation was seen, or else where the record has it.
	AgentID string
	// Seen says whether Holding was observed.
	Seen    bool
	Holding Reserved
	// Why says why the class is what it is; "" when both witnesses agree.
	Why string
}

// Moved says that the reservation was seen on another agent id than the
// record's: the agent came back under a new id (Mesos rule 48).
func (e Entry) Moved() bool {
	return e.Seen && e.Record.AgentID != "" && e.AgentID != e.Record.AgentID
}

// Confirmed says that a view newer than the record shows all that is on record.
func (e Entry) Confirmed() bool {
	return e.Seen && e.Why == "" && e.Record.Settled
}

// Classify compares the records with what the master shows, and lists every
// record and every reservation once, by label and agent. Labels of records are
// unique. noView says why an agent has no view, for those that have none.
func Classify(records []Record, views []View, noView string) []Entry {
	byLabel := make(map[string]*Record, len(records))
	for i := range records {
		byLabel[records[i].Label] = &records[i]
	}
	unknown := make(map[string]string, len(views))
	seen := map[string][]Entry{} // by label of a record
	entries := make([]Entry, 0, len(records))
	for i := range views {
		v := &views[i]
		unknown[v.AgentID] = v.Unknown
		for j := range v.Held {
			e := Entry{AgentID: v.AgentID, Seen: true, Holding: v.Held[j]}
			r := byLabel[e.Holding.Label]
			switch {
			case e.Holding.Foreign:
				// Its name says so, whatever the view is worth.
				e.Class, e.Why = ClassForeign, e.Holding.Why
				if v.Unknown != "" {
					e.Why += ", as last seen: " + v.Unknown
				}
			case r == nil:
				e.Class, e.Why = orphan(v, "no record explains it")
			case e.Holding.Volume != nil && e.Holding.PersistenceID != r.PersistenceID:
				// Nobody's order names that volume, so nothing may destroy it.
				e.Class, e.Why = ClassForeign, "volume "+e.Holding.PersistenceID+" is not that of slot "+r.Label
			default:
				seen[r.Label] = append(seen[r.Label], e)
				continue
			}
			entries = append(entries, e)
		}
	}
	for i := range records {
		r := &records[i]
		why, viewed := unknown[r.AgentID]
		if !viewed {
			why = noView
		}
		entries = settle(entries, *r, seen[r.Label], why)
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.label(), b.label()), cmp.Compare(a.AgentID, b.AgentID),
			cmp.Compare(a.Class, b.Class), cmp.Compare(a.Holding.key, b.Holding.key))
	})
	return entries
}

func (e Entry) label() string { return cmp.Or(e.Record.Label, e.Holding.Label) }

// orphan is the class of what no record explains, as far as its agent's view can
// be believed.
func orphan(v *View, why string) (Class, string) {
	if v.Unknown != "" {
		return ClassUnknown, why + ", but " + v.Unknown
	}
	return ClassOrphan, why
}

// settle adds a record with its one place among those where its label was seen;
// the others are orphans. unknown says why the view of the record's agent proves
// nothing.
func settle(entries []Entry, r Record, seen []Entry, unknown string) []Entry {
	// A reservation that shows the volume, if there is to be one, is the place;
	// on the record's agent rather than elsewhere.
	at := -1
	for i, e := range seen {
		if (!r.Created || e.Holding.Volume != nil) && (at < 0 || e.AgentID == r.AgentID) {
			at = i
		}
	}
	settled := Entry{Class: Class(r.State), Record: r, AgentID: r.AgentID}
	if at < 0 {
		// What is left of it on its own agent still belongs to it.
		at = slices.IndexFunc(seen, func(e Entry) bool { return e.AgentID == r.AgentID })
	}
	for i, e := range seen {
		if i == at {
			settled.AgentID, settled.Seen, settled.Holding = e.AgentID, true, e.Holding
			continue
		}
		e.Class, e.Why = ClassOrphan, "the record of its label is of agent "+r.AgentID
		if unknown != "" || !r.Settled {
			// Which of the two is the slot's own is not certain now.
			e.Class = ClassUnknown
		}
		entries = append(entries, e)
	}
	settled.judge(unknown)
	return append(entries, settled)
}

// judge decides what a record's place says of it.
func (e *Entry) judge(unknown string) {
	r := &e.Record
	lacking := ""
	switch {
	case r.State == StateLost:
		e.Class, e.Why = ClassMissing, "its agent was declared gone"
		return
	case e.Moved():
		e.Why = "seen under another agent id than on record"
		return
	case r.AgentID == "":
		e.Why = "it has no place yet"
		return
	case r.Created && (!e.Seen || e.Holding.Volume == nil):
		lacking = "its volume is not there"
	case r.Reserved && !e.Seen:
		lacking = "its reservation is not there"
	case r.Reserved && r.State == StateOwned && (e.Holding.CPU < r.CPU || e.Holding.Mem < r.Mem || len(e.Holding.Ports) < r.Ports):
		lacking = "a part of its reservation is not there: it holds " + e.Holding.Extent().String()
	}
	switch {
	case unknown != "" && (lacking != "" || !e.Seen):
		e.Class, e.Why = ClassUnknown, unknown
	case !r.Settled && !(r.Missed && lacking != "") && (lacking != "" || !e.Seen):
		e.Why = "it changed after the master was asked, or an operation is under way"
	case lacking != "":
		e.Class, e.Why = ClassMissing, lacking+", and Berth did not remove it"
	case unknown != "":
		e.Why = "as last seen: " + unknown
	}
}
