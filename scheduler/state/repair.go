package state

import (
	"time"

	"github.com/berthdata/berth/volumes"
)

// Repair is a plan to put right what the ledger found, step by step. Nothing of it
// is done before a person has approved exactly this plan.
type Repair struct {
	// ID is "repair-" and a number that is never used twice.
	ID string `json:"id"`
	// Fingerprint sums up all that the plan would do; approval names it.
	Fingerprint string `json:"fingerprint"`
	// WitnessAt is when the master was asked for the view that it was made from.
	WitnessAt time.Time `json:"witnessAt"`
	// Retention is how long volumes are kept after the approval.
	Retention time.Duration `json:"retention"`
	Planned   Order         `json:"planned"`
	Approved  *Order        `json:"approved,omitempty"`
	Cancelled *Order        `json:"cancelled,omitempty"`
	EndedAt   time.Time     `json:"endedAt,omitzero"`
	Steps     []RepairStep  `json:"steps"`
	// Left are findings that the plan does not deal with, LeftOut how many more.
	Left    []RepairLeft `json:"left,omitempty"`
	LeftOut int          `json:"leftOut,omitempty"`
}

// RepairAction is what a step does.
type RepairAction string

// The actions.
const (
	// RepairUnreserve gives a reservation without a volume back.
	RepairUnreserve RepairAction = "unreserve"
	// RepairDestroy destroys the volumes of a reservation and gives it back, after
	// the retention time.
	RepairDestroy RepairAction = "destroy"
	// RepairOrder orders a kept volume of a deleted cluster destroyed, as a person
	// can for each by itself.
	RepairOrder RepairAction = "order"
	// RepairRecreate makes a missing volume anew on which no node was ever healthy.
	RepairRecreate RepairAction = "recreate"
	// RepairReserve reserves anew what is missing of a slot's reservation beside
	// its volume.
	RepairReserve RepairAction = "reserve"
)

// RepairState is how far a step is.
type RepairState string

// The states of a step; from done on nothing happens any more.
const (
	StepPlanned   RepairState = "planned"   // waits for approval
	StepKept      RepairState = "kept"      // approved; in its retention time
	StepReady     RepairState = "ready"     // to be done
	StepSent      RepairState = "sent"      // operations are under way, or not confirmed yet
	StepDone      RepairState = "done"      // the master's view confirms it
	StepSkipped   RepairState = "skipped"   // its target is not what was approved
	StepFailed    RepairState = "failed"    // Mesos refused it again and again
	StepCancelled RepairState = "cancelled" // taken back in time
)

// Ended reports whether nothing happens to a step any more.
func (s RepairState) Ended() bool {
	switch s {
	case StepDone, StepSkipped, StepFailed, StepCancelled:
		return true
	}
	return false
}

// RepairStep is one thing that a repair does to one reservation.
type RepairStep struct {
	Action RepairAction `json:"action"`
	// Finding names the target, Class is what it was when it was planned.
	Finding   string        `json:"finding"`
	Class     string        `json:"class"`
	AgentID   string        `json:"agentId"`
	Hostname  string        `json:"hostname,omitempty"`
	Role      string        `json:"role,omitempty"`
	Principal string        `json:"principal,omitempty"`
	Labels    []RepairLabel `json:"labels,omitempty"`
	// Label is the slot's that it carries; Owner and Node what it was of, if known.
	Label string `json:"label,omitempty"`
	Owner string `json:"owner,omitempty"`
	Node  string `json:"node,omitempty"`
	// Extent is what is touched at most: what the person was shown.
	Extent volumes.Extent `json:"extent"`

	State RepairState `json:"state"`
	// NotBefore is the end of the retention, or of a pause after a refusal.
	NotBefore time.Time `json:"notBefore,omitzero"`
	Since     time.Time `json:"since"` // of State
	// Attempt numbers tries for their operation ids; Refusals counts those in a
	// row that came to nothing.
	Attempt  int `json:"attempt,omitempty"`
	Refusals int `json:"refusals,omitempty"`
	// Destroyed: its volumes are gone; what is left is to be given back.
	Destroyed bool `json:"destroyed,omitempty"`
	// By is the way of the last try: "offer" or "operator API". The operations, or
	// the call, that are unanswered.
	By          string `json:"by,omitempty"`
	DestroyOp   string `json:"destroyOp,omitempty"`
	UnreserveOp string `json:"unreserveOp,omitempty"`
	Call        string `json:"call,omitempty"`
	// Refusal is what Mesos said of the last try that came to nothing.
	Refusal string `json:"refusal,omitempty"`
	// Message says what holds the step, or how it ended.
	Message string `json:"message,omitempty"`
}

// RepairLabel is one label of a reservation.
type RepairLabel struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
}

// RepairLeft is a finding that a repair does not deal with, and why.
type RepairLeft struct {
	Finding string `json:"finding"`
	Class   string `json:"class"`
	Message string `json:"message"`
}
