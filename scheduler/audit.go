package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
)

// auditLog is who ordered what, when and why, and how it ended: the newest pages of
// it. An entry is durable with what it is about, before that is answered.
type auditLog struct {
	pages []*state.AuditPage // in order
	// dirty is the first entry of this step, 0 without one.
	dirty int64
}

// Bounds of one entry.
const (
	maxAuditChanges = 50
	maxAuditText    = 1024
	maxAuditName    = 300
	maxAuditValue   = 200
)

func auditName(first int64) string { return fmt.Sprintf("%012d", first) }

// load takes a page; they come in order.
func (l *auditLog) load(key state.Key, p state.AuditPage) error {
	if err := checkName(key, auditName(p.First)); err != nil {
		return err
	}
	damaged := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w: %s", key, state.ErrDamaged, fmt.Sprintf(format, args...))
	}
	if n := len(p.Entries); n == 0 || n > state.AuditPageSize {
		return damaged("a page of %d entries, 1 to %d are possible", n, state.AuditPageSize)
	}
	for i := range p.Entries {
		if want := p.First + int64(i); p.First < 1 || p.Entries[i].ID != want {
			return damaged("entry %d has the id %d", i, p.Entries[i].ID)
		}
	}
	if n := len(l.pages); n > 0 && p.First <= l.last() {
		return damaged("it begins before the page before it ends")
	}
	l.pages = append(l.pages, &p)
	return nil
}

// last is the id of the newest entry, 0 when there is none.
func (l *auditLog) last() int64 {
	if len(l.pages) == 0 {
		return 0
	}
	p := l.pages[len(l.pages)-1]
	return p.First + int64(len(p.Entries)) - 1
}

// enter appends an entry, and drops the oldest page beyond the bound.
func (c *Core) enter(e v1.AuditEntry) {
	l := &c.auditLog
	e.ID, e.Time = l.last()+1, c.now
	e.User, e.Target, e.Owner = clipTo(e.User, maxAuditName), clipTo(e.Target, maxAuditName), clipTo(e.Owner, maxAuditName)
	e.Detail, e.Message, e.Outcome = clipTo(e.Detail, maxAuditText), clipTo(e.Message, maxAuditText), clipTo(e.Outcome, maxAuditText)
	if n := len(l.pages); n == 0 || len(l.pages[n-1].Entries) >= state.AuditPageSize {
		l.pages = append(l.pages, &state.AuditPage{First: e.ID})
	}
	newest := l.pages[len(l.pages)-1]
	newest.Entries = append(newest.Entries, e)
	if l.dirty == 0 {
		l.dirty = e.ID
	}
	for len(l.pages) > state.MaxAuditPages {
		c.removed[state.Key(state.KindAudit+"/"+auditName(l.pages[0].First))] = true
		l.pages = slices.Delete(l.pages, 0, 1)
	}
}

// encodeAudit writes the pages that this step added to.
func (c *Core) encodeAudit() error {
	l := &c.auditLog
	for _, p := range l.pages {
		if l.dirty == 0 || p.First+int64(len(p.Entries)) <= l.dirty {
			continue
		}
		w, err := auditRecord.Encode(auditName(p.First), *p)
		if err != nil {
			return err
		}
		c.out.Writes = append(c.out.Writes, w)
	}
	return nil
}

// auditOrder enters an order that this step has accepted.
func (c *Core) auditOrder(ev Event) {
	id, e, isOrder := orderOf(ev)
	if !isOrder {
		return
	}
	for _, r := range c.out.Replies {
		a := r.Accepted
		if r.ID != id || a == nil || a.DryRun || !a.Changed {
			continue
		}
		e.Generation, e.Outcome = a.Generation, a.Message
		e.ChangesTotal = len(a.Changes)
		for _, change := range a.Changes[:min(len(a.Changes), maxAuditChanges)] {
			change.From, change.To = clipTo(change.From, maxAuditValue), clipTo(change.To, maxAuditValue)
			e.Changes = append(e.Changes, change)
		}
		if a.Successor != "" {
			e.Detail = strings.TrimPrefix(e.Detail+"; successor "+a.Successor, "; ")
		}
		c.enter(e)
	}
}

// orderOf is what an event orders, if it is an order of a person's.
func orderOf(ev Event) (ReplyID, v1.AuditEntry, bool) {
	entry := func(verb, kind, target, user, message string) v1.AuditEntry {
		return v1.AuditEntry{Verb: verb, Kind: kind, Target: target, User: user, Message: message}
	}
	node := func(verb, cluster, name, user, message string) v1.AuditEntry {
		e := entry(verb, "node", name, user, message)
		e.Owner = cluster
		return e
	}
	switch e := ev.(type) {
	case SpecPut:
		return e.Reply, entry("apply", "cluster", e.Cluster.Name, e.User, e.Message), true
	case SpecDeleted:
		return e.Reply, entry("delete", "cluster", e.Name, e.User, e.Message), true
	case RestartOrdered:
		out := entry("restart", "cluster", e.Name, e.User, e.Message)
		out.Detail = strings.Join(e.Nodes, ", ")
		return e.Reply, out, true
	case PlanControlled:
		out := entry(string(e.Verb), "cluster", e.Name, e.User, e.Message)
		if e.Verb == PlanOverride {
			out.Detail = fmt.Sprintf("gate %s, for %s", e.Gate, e.For)
		}
		return e.Reply, out, true
	case VolumeDestroyOrdered:
		return e.Reply, entry("destroy", "volume", e.ID, e.User, e.Message), true
	case VolumeRestored:
		return e.Reply, entry("restore", "volume", e.ID, e.User, e.Message), true
	case NodeReplaceOrdered:
		out := node("replace", e.Cluster, e.Node, e.User, e.Message)
		if len(e.AcceptDataLoss) > 0 {
			out.Detail = "accepts that shards are lost of " + strings.Join(e.AcceptDataLoss, ", ")
		}
		return e.Reply, out, true
	case NodeReplaceCancelled:
		return e.Reply, node("cancelReplace", e.Cluster, e.Node, e.User, e.Message), true
	case TaskKillOrdered:
		return e.Reply, entry("kill", "task", e.TaskID, e.User, e.Message), true
	case TaskKillWithdrawn:
		return e.Reply, entry("keep", "task", e.TaskID, e.User, e.Message), true
	case RepairApproved:
		return e.Reply, entry("approve", "repair", e.ID, e.User, e.Message), true
	case RepairCancelled:
		out := entry("cancel", "repair", e.ID, e.User, e.Message)
		if e.Step > 0 {
			out.Detail = fmt.Sprintf("step %d", e.Step)
		}
		return e.Reply, out, true
	case SparkPut:
		return e.Reply, entry("apply", "application", e.Application.Name, e.User, e.Message), true
	case SparkKilled:
		return e.Reply, entry("kill", "application", e.Name, e.User, e.Message), true
	case SparkScaled:
		return e.Reply, entry("scale", "application", e.Name, e.User, e.Message), true
	case SparkRemoved:
		return e.Reply, entry("forget", "application", e.Name, e.User, e.Message), true
	}
	return 0, v1.AuditEntry{}, false
}

// outcomes are the events that say how something ended that a person ordered, or
// that something was lost which a person will look for.
var outcomes = map[string]string{
	"PlanComplete": "cluster", "ClusterDeleted": "cluster",
	"RestartComplete": "cluster", "RestartHalted": "cluster", "RestartLost": "cluster",
	"NodeReplaced": "node", "NodeLost": "node",
	"ApplicationEnded": "application",
}

// auditOutcomes enters what of this step's events is an outcome.
func (c *Core) auditOutcomes() {
	for _, ev := range c.out.Published {
		kind, ok := outcomes[ev.Type]
		if !ok {
			continue
		}
		e := v1.AuditEntry{Verb: v1.AuditOutcome, Kind: kind, Event: ev.Type, Outcome: ev.Message, Owner: ev.Cluster + ev.Application, Target: ev.Node}
		if kind == "cluster" || kind == "application" || e.Target == "" {
			e.Target, e.Owner = e.Owner, ""
		}
		c.enter(e)
	}
}

// outcome enters the event that was just published as the end of an order about
// something that events do not name.
func (c *Core) outcome(kind, target, owner string) {
	ev := c.out.Published[len(c.out.Published)-1]
	c.enter(v1.AuditEntry{Verb: v1.AuditOutcome, Kind: kind, Target: target, Owner: owner, Event: ev.Type, Outcome: ev.Message})
}

// AuditFilter says which entries are asked for: "" and zero do not filter.
type AuditFilter struct {
	User, Verb, Kind string
	// Target is the name of what an entry is about, or of what that belongs to.
	Target       string
	Since, Until time.Time
	// Before: only entries older than this id.
	Before int64
	// Most is how many are wanted, MaxAuditListed at most and by default.
	Most int
}

func (f *AuditFilter) matches(e *v1.AuditEntry) bool {
	return (f.User == "" || e.User == f.User) && (f.Verb == "" || e.Verb == f.Verb) && (f.Kind == "" || e.Kind == f.Kind) &&
		(f.Target == "" || e.Target == f.Target || e.Owner == f.Target) &&
		(f.Since.IsZero() || !e.Time.Before(f.Since)) && (f.Until.IsZero() || e.Time.Before(f.Until)) &&
		(f.Before == 0 || e.ID < f.Before)
}

// Audit lists entries of the audit log, the newest first.
func (c *Core) Audit(f AuditFilter) v1.AuditList {
	out := v1.AuditList{Entries: []v1.AuditEntry{}}
	if len(c.auditLog.pages) > 0 {
		out.Oldest = c.auditLog.pages[0].First
	}
	most := v1.MaxAuditListed
	if f.Most > 0 {
		most = min(most, f.Most)
	}
	for _, p := range slices.Backward(c.auditLog.pages) {
		for i := len(p.Entries) - 1; i >= 0; i-- {
			switch e := &p.Entries[i]; {
			case !f.matches(e):
			case len(out.Entries) == most:
				out.More = true
				return out
			default:
				copied := *e
				copied.Changes = slices.Clone(e.Changes)
				out.Entries = append(out.Entries, copied)
			}
		}
	}
	return out
}
