package volumes

import (
	"cmp"
	"maps"
	"slices"
)

// RecordState is what the records want of a slot's reservation.
type RecordState string

// The states of a record.
const (
	StateOwned      RecordState = "owned"      // a slot uses it, or will
	StateRetained   RecordState = "retained"   // kept after its slot was deleted
	StateDestroying RecordState = "destroying" // an explicit order to destroy it
)

// Record is what is durably known of one slot's reservation.
type Record struct {
	Label         string
	AgentID       string // where it was last known; "" = nowhere yet
	PersistenceID string
	// Created says that the volume was created: from then on its absence is a
	// finding.
	Created bool
	Cluster string
	Node    string
	State   RecordState
}

// Class is what an Entry is.
type Class string

// The classes. Owned, retained and destroying follow the record.
const (
	ClassOwned      Class = "owned"
	ClassRetained   Class = "retained"
	ClassDestroying Class = "destroying"
	// ClassOrphan: a label of ours that no record explains at this place. It
	// may be released only once all records are loaded and only on an order.
	ClassOrphan Class = "orphan"
	// ClassForeign: not ours to touch: no label of ours, another principal, or
	// another volume under our label.
	ClassForeign Class = "foreign"
	// ClassMissing: a full observation of its agent that is newer than the
	// record does not show it, or shows it without its volume.
	ClassMissing Class = "missing"
)

// Entry is one line of the ledger: a record, a holding, or both.
type Entry struct {
	Class  Class
	Record Record // zero for orphan and foreign
	// AgentID is where the holding was seen, or else where the record has it.
	AgentID string
	// Seen says whether Holding was observed. An entry that is neither seen
	// nor missing is in use, or its agent was not yet observed in full.
	Seen    bool
	Holding Holding
}

// Moved says that the holding was seen on another agent id than the record's:
// the agent came back under a new id (Mesos rule 48).
func (e Entry) Moved() bool {
	return e.Seen && e.Record.AgentID != "" && e.AgentID != e.Record.AgentID
}

// Ledger compares what the records say with what the agents show.
type Ledger struct {
	records map[string]recorded
	agents  map[string]*observed
	// changes counts what came in, to tell which is newer.
	changes int
}

// recorded is a record, and when it last changed.
type recorded struct {
	Record
	at int
}

// observed is what one agent has shown, and when it last showed everything; 0
// is never.
type observed struct {
	held   []Holding
	fullAt int
}

// NewLedger makes an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{records: map[string]recorded{}, agents: map[string]*observed{}}
}

// Put adds or replaces the record of a label. A record that is new or changed
// is not missing before its agent is observed in full again.
func (l *Ledger) Put(r Record) {
	if old, ok := l.records[r.Label]; ok && old.Record == r {
		return
	}
	l.changes++
	l.records[r.Label] = recorded{Record: r, at: l.changes}
}

// Remove drops the record of a label: once it was released, or it never came
// to be.
func (l *Ledger) Remove(label string) { delete(l.records, label) }

// Record is the record of a label.
func (l *Ledger) Record(label string) (Record, bool) {
	r, ok := l.records[label]
	return r.Record, ok
}

// Observe takes in what an agent shows. A full observation (the operator API's
// view of the agent: offered, used and unused), asked for after the last Put,
// replaces what was known of it. Any other (an offer) only adds: what it does
// not show may be in another offer or in use.
func (l *Ledger) Observe(agentID string, held []Holding, full bool) {
	if full {
		l.changes++
		l.agents[agentID] = &observed{held: slices.Clone(held), fullAt: l.changes}
		return
	}
	o := l.agents[agentID]
	if o == nil {
		o = &observed{}
		l.agents[agentID] = o
	}
	for _, h := range held {
		i := slices.IndexFunc(o.held, func(k Holding) bool {
			return k.Label == h.Label && k.Foreign == h.Foreign && k.Principal == h.Principal
		})
		switch {
		case i < 0:
			o.held = append(o.held, h)
		case h.shows(o.held[i]):
			o.held[i] = h
		}
	}
}

// shows says that h shows no less than k.
func (h Holding) shows(k Holding) bool {
	return h.CPU >= k.CPU && h.Mem >= k.Mem && h.Disk >= k.Disk && len(h.Ports) >= len(k.Ports) &&
		(k.Volume == nil || h.PersistenceID == k.PersistenceID)
}

// Released notes that an agent's holding of a label is gone, by the feedback of
// UNRESERVE. keptVolume leaves its disk.
func (l *Ledger) Released(agentID, label string, keptVolume bool) {
	o := l.agents[agentID]
	if o == nil {
		return
	}
	for i := range o.held {
		if h := &o.held[i]; h.Label == label && !h.Foreign {
			if keptVolume {
				*h = h.disksOnly()
				return
			}
			o.held = slices.Delete(o.held, i, i+1)
			return
		}
	}
}

func (h Holding) disksOnly() Holding {
	kept := Holding{Label: h.Label, Principal: h.Principal}
	for _, r := range h.Resources {
		if r.Name == nameDisk {
			kept.Resources = append(kept.Resources, r)
		}
	}
	kept.sum()
	return kept
}

// Forget drops what was observed of an agent that is gone. It says nothing of
// its volumes: they may come back under another agent id.
func (l *Ledger) Forget(agentID string) { delete(l.agents, agentID) }

// Classify lists every record and every holding once, by label and agent.
func (l *Ledger) Classify() []Entry {
	// Where each label was seen.
	seen := map[string][]Entry{}
	var entries []Entry
	for _, agent := range slices.Sorted(maps.Keys(l.agents)) {
		for _, h := range l.agents[agent].held {
			e := Entry{AgentID: agent, Seen: true, Holding: h}
			r, known := l.records[h.Label]
			switch {
			case h.Foreign:
				e.Class = ClassForeign
			case !known:
				e.Class = ClassOrphan
			case h.Volume != nil && h.PersistenceID != r.PersistenceID:
				// Nobody's order names that volume, so nothing may destroy it.
				e.Class = ClassForeign
			default:
				seen[h.Label] = append(seen[h.Label], e)
				continue
			}
			entries = append(entries, e)
		}
	}
	for label, r := range l.records {
		entries = l.settle(entries, r, seen[label])
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.label(), b.label()), cmp.Compare(a.AgentID, b.AgentID),
			cmp.Compare(a.Class, b.Class), cmp.Compare(a.Holding.Principal, b.Holding.Principal))
	})
	return entries
}

func (e Entry) label() string { return cmp.Or(e.Record.Label, e.Holding.Label) }

// settle adds a record with its one place among those where its label was seen;
// the others are orphans.
func (l *Ledger) settle(entries []Entry, r recorded, seen []Entry) []Entry {
	// A holding that shows the volume, if there is to be one, is the place;
	// on the record's agent rather than elsewhere.
	at := -1
	for i, e := range seen {
		if (!r.Created || e.Holding.Volume != nil) && (at < 0 || e.AgentID == r.AgentID) {
			at = i
		}
	}
	settled := Entry{Class: Class(r.State), Record: r.Record, AgentID: r.AgentID}
	if at < 0 {
		if o := l.agents[r.AgentID]; o != nil && o.fullAt > r.at {
			settled.Class = ClassMissing
		}
		// What is left of it on its own agent still belongs to it.
		at = slices.IndexFunc(seen, func(e Entry) bool { return e.AgentID == r.AgentID })
	}
	for i, e := range seen {
		if i == at {
			settled.AgentID, settled.Seen, settled.Holding = e.AgentID, true, e.Holding
			continue
		}
		e.Class = ClassOrphan
		entries = append(entries, e)
	}
	return append(entries, settled)
}
