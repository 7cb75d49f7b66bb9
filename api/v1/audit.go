package v1

import "time"

// AuditKinds are what an entry of the audit log can be about.
var AuditKinds = []string{"cluster", "node", "volume", "task", "repair", "application"}

// AuditVerbs are what a person can order; the reference says what each means.
var AuditVerbs = []string{
	"apply", "delete", "restart", "pause", "resume", "cancel", "override", "replace", "cancelReplace",
	"destroy", "restore", "kill", "keep", "approve", "scale", "forget", AuditOutcome,
}

// AuditOutcome is the verb of entries that Berth makes itself: how what was ordered
// ended.
const AuditOutcome = "outcome"

// MaxAuditListed bounds one answer of the audit log.
const MaxAuditListed = 500

// AuditEntry is an order that was accepted and stored, or how one ended. Requests
// that were refused, and dry runs, changed nothing and have no entry.
type AuditEntry struct {
	// ID rises by one with each entry.
	ID   int64     `json:"id"`
	Time time.Time `json:"time"`
	// User is the name of the token, "" of an outcome.
	User string `json:"user,omitempty"`
	// Verb is one of AuditVerbs, Kind one of AuditKinds; Target is the name of what
	// it is about, and Owner the cluster or application that a node belongs to.
	Verb   string `json:"verb"`
	Kind   string `json:"kind"`
	Target string `json:"target"`
	Owner  string `json:"owner,omitempty"`
	// Generation is that of the spec since then, where the order was about one.
	Generation int64 `json:"generation,omitempty"`
	// Changes are the fields that differ, the first 50; ChangesTotal counts all.
	Changes      []Change `json:"changes,omitempty"`
	ChangesTotal int      `json:"changesTotal,omitempty"`
	// Detail says what was ordered beyond the verb, such as the nodes or the gate.
	Detail string `json:"detail,omitempty"`
	// Message is the reason that was given with the order.
	Message string `json:"message,omitempty"`
	// Outcome is what was answered, or how it ended; Event is then the type of the
	// event that said so.
	Outcome string `json:"outcome,omitempty"`
	Event   string `json:"event,omitempty"`
}

// AuditList answers GET /v1/audit, the newest entry first.
type AuditList struct {
	Entries []AuditEntry `json:"entries"`
	// More: there are older ones that match; ask again with before=ID of the last.
	More bool `json:"more"`
	// Oldest is the id of the oldest entry that is kept, 0 when there is none.
	Oldest int64 `json:"oldest"`
}
