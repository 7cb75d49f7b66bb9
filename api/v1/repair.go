package v1

import "time"

// RepairStates are what a repair can be, as RepairView.State; docs/operations.md
// says what each means.
var RepairStates = []string{"Planned", "Running", "Done", "Cancelled"}

// RepairStepStates are what a step can be, as RepairStepView.State.
var RepairStepStates = []string{"planned", "kept", "ready", "sent", "done", "skipped", "failed", "cancelled"}

// RepairActions are what a step does, as RepairStepView.Action.
var RepairActions = []string{"unreserve", "destroy", "order", "recreate", "reserve"}

// RepairView is one repair: a plan to put right what the ledger found.
type RepairView struct {
	ID string `json:"id"`
	// State is one of RepairStates.
	State string `json:"state"`
	// Fingerprint sums up all that it does; approval names it.
	Fingerprint string `json:"fingerprint"`
	// WitnessAt is when the master was asked for the view that it was made from.
	WitnessAt time.Time `json:"witnessAt"`
	// Retention is how long volumes are kept after the approval, such as "7d".
	Retention string           `json:"retention"`
	Planned   OrderView        `json:"planned"`
	Approved  *OrderView       `json:"approved,omitempty"`
	Cancelled *OrderView       `json:"cancelled,omitempty"`
	EndedAt   *time.Time       `json:"endedAt,omitempty"`
	Steps     []RepairStepView `json:"steps"`
	// Left are findings that it does not deal with, LeftOut how many more.
	Left    []RepairLeft `json:"left"`
	LeftOut int          `json:"leftOut,omitempty"`
}

// RepairStepView is what a repair does to one reservation.
type RepairStepView struct {
	// Step numbers the steps from 1.
	Step int `json:"step"`
	// Action is one of RepairActions.
	Action    string  `json:"action"`
	Finding   string  `json:"finding"`
	Class     string  `json:"class"`
	AgentID   string  `json:"agentId"`
	Hostname  string  `json:"hostname,omitempty"`
	Role      string  `json:"role,omitempty"`
	Principal string  `json:"principal,omitempty"`
	Labels    []Label `json:"labels,omitempty"`
	Cluster   string  `json:"cluster,omitempty"`
	Node      string  `json:"node,omitempty"`
	// Touches is all that it may touch; Volumes are the volumes among it.
	Touches string             `json:"touches"`
	Volumes []PersistentVolume `json:"volumes,omitempty"`
	// State is one of RepairStepStates, Since when it came into it.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// NotBefore is until when it is kept, or when the next try is.
	NotBefore *time.Time `json:"notBefore,omitempty"`
	Message   string     `json:"message,omitempty"`
}

// RepairLeft is a finding that a repair does not deal with, and why.
type RepairLeft struct {
	Finding string `json:"finding"`
	Class   string `json:"class"`
	Message string `json:"message"`
}

// RepairList answers GET /v1/volumes/repairs, oldest first.
type RepairList struct {
	Repairs []RepairView `json:"repairs"`
}
