package scheduler

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// finding is what a person has to know of: something reserved that no record of
// ours explains, or something on record that is not there.
type finding struct {
	state.Finding
	entry volumes.Entry
	// current: the last view that can tell shows it.
	current bool
}

// findingID names an entry of the ledger for as long as it is about the same
// thing: a slot by its id, what no record explains by where it is and what it
// carries.
func findingID(e *volumes.Entry) string {
	if e.Record.Label != "" {
		return e.Record.Label
	}
	return e.Holding.ID(e.AgentID)
}

// isFinding: the classes that a person has to look at. What was lost with its
// agent was said then.
func isFinding(e *volumes.Entry) bool {
	switch e.Class {
	case volumes.ClassOrphan, volumes.ClassForeign:
		return true
	case volumes.ClassMissing:
		return e.Record.State != volumes.StateLost
	}
	return false
}

// noteFindings remembers since when each finding is there, over failovers, and
// says which are new. One that the view cannot tell of stays what it was, for a
// while: its agent is away, and not knowing is not "gone". It returns the audit.
func (c *Core) noteFindings() []volumes.Entry {
	c.forgetEnded()
	entries := c.audit(c.now)
	seen := make(map[string]bool, len(c.findings))
	told, more := 0, 0
	for i := range entries {
		e := &entries[i]
		id := findingID(e)
		if s := c.slots[e.Record.Label]; s != nil {
			c.missing(s, e)
			seen[id] = s.missing // also while its agent is away
		}
		if !isFinding(e) {
			continue
		}
		seen[id] = true
		f := c.findings[id]
		if f == nil {
			if len(c.findings) >= maxFindings {
				more++
				continue
			}
			f = c.newFinding(id, e)
			if told++; told <= maxTold {
				c.tellFinding(e)
			}
		}
		if f.entry, f.current = *e, true; !f.AwaySince.IsZero() {
			f.AwaySince, c.findingsDirty = time.Time{}, true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.findings)) {
		if f := c.findings[id]; !seen[id] {
			c.unseen(f)
		}
	}
	if told > maxTold {
		c.publish("VolumeFindings", "", "", "%d further findings are new in the ledger: see berth volumes audit", told-maxTold)
	}
	if more > 0 {
		c.why("%d findings of the ledger are not remembered: there are %d already", more, maxFindings)
	}
	return entries
}

func (c *Core) newFinding(id string, e *volumes.Entry) *finding {
	f := &finding{Finding: state.Finding{
		ID: id, Class: string(e.Class), Label: clipTo(e.Holding.Label, maxFindingText),
		AgentID: clipTo(e.AgentID, maxFindingText), Since: c.now,
	}}
	if a := c.agents[e.AgentID]; a != nil {
		f.Hostname = clipTo(a.hostname, maxFindingText)
	}
	c.findings[id], c.findingsDirty = f, true
	return f
}

// unseen ends a finding that its agent does not show any more. While the agent is
// away it is kept: it may come back with it.
func (c *Core) unseen(f *finding) {
	f.current = false
	v := c.held.view(f.AgentID)
	away := c.slots[f.ID] == nil && (v == nil || v.Unknown != "")
	switch {
	case away && f.AwaySince.IsZero():
		f.AwaySince, c.findingsDirty = c.now, true
	case away && f.AwaySince.Add(findingsKept).After(c.now):
	default:
		delete(c.findings, f.ID)
		c.findingsDirty = true
		c.why("the ledger's finding %s on agent %s is settled", f.ID, f.AgentID)
	}
}

// ledgerLine is an entry of the ledger, with its finding's id if it is one, or
// may be.
type ledgerLine struct {
	volumes.Entry
	finding string
}

// ledger is the audit with what it found earlier on agents that are away now.
func (c *Core) ledger(now time.Time) []ledgerLine {
	entries := c.audit(now)
	lines := make([]ledgerLine, len(entries))
	listed := map[string]bool{}
	for i := range entries {
		l := &lines[i]
		l.Entry = entries[i]
		if isFinding(&l.Entry) || l.Class == volumes.ClassUnknown {
			l.finding = findingID(&l.Entry)
			listed[l.finding] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.findings)) {
		f := c.findings[id]
		if listed[id] || c.slots[id] != nil || c.held.view(f.AgentID) != nil {
			continue
		}
		why := whyNotListed
		if i, listed := c.held.byAgent[f.AgentID]; listed {
			why = c.held.views[i].Unknown
		}
		l := ledgerLine{Entry: f.entry, finding: id} // the entry is zero after a failover
		l.Class, l.AgentID, l.Holding.Label = volumes.ClassUnknown, f.AgentID, f.Label
		l.Why = f.Class + " when it was last seen; now " + cmp.Or(c.witnessStale(now), why)
		lines = append(lines, l)
	}
	return lines
}

// tellFinding publishes a new finding.
func (c *Core) tellFinding(e *volumes.Entry) {
	host := e.AgentID
	if a := c.agents[e.AgentID]; a != nil {
		host = a.hostname + " (" + a.id + ")"
	}
	name := cmp.Or(e.Holding.Label, findingID(e))
	switch e.Class {
	case volumes.ClassOrphan:
		c.publish("VolumeOrphan", "", "", "%s on agent %s holds %s: %s; it is left alone until somebody approves a repair", name, host, e.Holding.Extent(), e.Why)
	case volumes.ClassForeign:
		c.publish("VolumeForeign", "", "", "%s on agent %s holds %s for role %s: %s; it is left alone", name, host, e.Holding.Extent(), e.Holding.Role, e.Why)
	case volumes.ClassMissing:
		s := c.slots[e.Record.Label]
		c.publishSlot("VolumeMissing", s, "%s on agent %s: %s; nothing is made anew in its place", s.ID, host, e.Why)
	}
}

// missing notes whether a slot's reservation or volume has gone without an
// operation of ours: somebody else removed it. It is said, and nothing is done.
// What cannot be told changes nothing.
func (c *Core) missing(s *slot, e *volumes.Entry) {
	missing, gone := s.missing, s.volumeGone
	switch {
	case e.Class == volumes.ClassMissing && e.Record.State == volumes.StateOwned:
		missing, gone = true, e.Record.Created && e.Holding.Volume == nil
	case e.Class != volumes.ClassUnknown && e.Record.Settled || s.Want != state.WantRun:
		missing, gone = false, false
	}
	if s.missing != missing || s.volumeGone != gone {
		s.missing, s.volumeGone = missing, gone
		c.lookOwner(s)
	}
}

// encodeFindings is the record of the findings.
func (c *Core) encodeFindings() (state.Write, error) {
	var r state.Findings
	for _, id := range slices.Sorted(maps.Keys(c.findings)) {
		r.Findings = append(r.Findings, c.findings[id].Finding)
	}
	return findingsRecord.Encode(findingsName, r)
}

// findingsName names the one record of the ledger's findings.
const findingsName = "findings"

// judgeVolumes says whether every volume on record was last seen where it
// should be.
func (c *Core) judgeVolumes(cl *cluster) {
	var missing []*slot
	for _, s := range cl.list() {
		if s.missing && s.Want == state.WantRun {
			missing = append(missing, s)
		}
	}
	if len(missing) == 0 {
		c.setCondition(cl, "VolumesPresent", "True", "Present", "")
		return
	}
	s := missing[0]
	c.setCondition(cl, "VolumesPresent", "False", "Missing", "%d reservations or volumes are not on their agents any more, such as %s on %s, and Berth did not remove them: "+
		"nothing is made anew where data was; find out who did it, and see berth volumes audit for what can be done", len(missing), s.ID, s.hostname())
}
