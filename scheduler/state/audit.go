package state

import v1 "github.com/berthdata/berth/api/v1"

// Bounds of the audit log: what is older than the newest pages is dropped.
const (
	AuditPageSize = 50
	MaxAuditPages = 40
)

// AuditPage are consecutive entries of the audit log. Only the newest page is
// written, and once it is full not again.
type AuditPage struct {
	// First is the id of the first entry, by which the record is named.
	First   int64           `json:"first"`
	Entries []v1.AuditEntry `json:"entries"`
}
