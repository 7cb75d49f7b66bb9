package scheduler

import (
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// Event is something that happened outside the core. The set is closed.
type Event interface{ event() }

// Subscribed: the master accepted the subscription. All offers of before are
// void (Mesos rule 26) and reconciliation starts (rule 44).
type Subscribed struct{ FrameworkID string }

// Disconnected: the subscription ended; nothing can be sent until Subscribed.
type Disconnected struct{ Reason string }

// OffersReceived carries every offer of one OFFERS event.
type OffersReceived struct{ Offers []mesos.Offer }

// OfferRescinded voids one offer.
type OfferRescinded struct{ OfferID string }

// InverseOffersReceived: an operator asks for agents back (Mesos rule 50).
type InverseOffersReceived struct{ Offers []mesos.InverseOffer }

// TaskUpdated is one status update; it may repeat, be late, or out of order.
type TaskUpdated struct{ Status mesos.TaskStatus }

// OperationUpdated is the feedback of one offer operation.
type OperationUpdated struct{ Status mesos.OperationStatus }

// AgentFailed: the master removed an agent; its tasks may still run.
type AgentFailed struct{ AgentID string }

// ExecutorFailed: an executor ended. Its task's own update decides, not this.
type ExecutorFailed struct {
	AgentID, ExecutorID string
	Status              int32
}

// CallFailed: a call surely or possibly did not reach the master.
type CallFailed struct {
	Call *sched.Call
	Err  string
}

// AgentsObserved is the operator API's full view of the agents: the second
// witness beside offers (Mesos rule 55).
type AgentsObserved struct {
	// AskedAt is when the question was sent: what happened later may be missing.
	AskedAt time.Time
	Agents  []AgentObservation
}

// AgentObservation is one agent in AgentsObserved.
type AgentObservation struct {
	ID         string
	Hostname   string
	Address    string // IP
	Attributes []mesos.Attribute
	// Registered is false for an agent that has not come back since a master
	// failover: what it holds is not known then, whatever Total says.
	Registered bool
	// Disconnected: the master has lost its connection to it, so that Total is
	// what the agent last said.
	Disconnected bool
	Active       bool
	Draining     bool
	// Total includes dynamic reservations and volumes. Used is what tasks and
	// executors occupy, of every framework. Both in the reservations[] format.
	Total []mesos.Resource
	Used  []mesos.Resource
}

// ElasticObserved answers an ElasticRequest. Err is set when the answer could
// not be had or not be read: then nothing is known.
type ElasticObserved struct {
	Cluster     string
	Observation observe.Observation
	Err         string
	ErrClass    string
}

// TimerFired: the time that a Decision asked to be woken at has come.
type TimerFired struct{}

// SpecPut asks to accept a cluster's spec. The core answers through Reply.
type SpecPut struct {
	Reply   ReplyID
	Cluster v1.Cluster // validated and defaulted
	// IfGeneration, when set, is the generation that must be the present one.
	IfGeneration *int64
	DryRun       bool
	User         string
	Message      string
}

// SpecDeleted asks to delete a cluster; its volumes are kept until RetainFor.
type SpecDeleted struct {
	Reply     ReplyID
	Name      string
	RetainFor time.Duration
	User      string
	Message   string
}

// VolumeDestroyOrdered records the explicit order to destroy a retained volume.
type VolumeDestroyOrdered struct {
	Reply         ReplyID
	ID            string
	User, Message string
}

// VolumeRestored takes a destroy order back, while it has not been carried out.
type VolumeRestored struct {
	Reply         ReplyID
	ID            string
	User, Message string
}

// NodeReplaceOrdered records the explicit order that another node takes the place
// of one whose agent is away.
type NodeReplaceOrdered struct {
	Reply         ReplyID
	Cluster, Node string
	// AcceptDataLoss names exactly the indices that would lose shards with it.
	AcceptDataLoss []string
	// DryRun: say what would happen, and change nothing.
	DryRun        bool
	User, Message string
}

// NodeReplaceCancelled takes that order back, while the successor has not been
// launched.
type NodeReplaceCancelled struct {
	Reply         ReplyID
	Cluster, Node string
	User, Message string
}

// TaskKillOrdered records the explicit order to kill a task that no record
// explains; TaskKillWithdrawn takes it back.
type TaskKillOrdered struct {
	Reply         ReplyID
	TaskID        string
	User, Message string
}

// TaskKillWithdrawn takes an order to kill an unknown task back.
type TaskKillWithdrawn struct {
	Reply         ReplyID
	TaskID        string
	User, Message string
}

// WitnessAsked is answered once the master has shown its agents in answer to a
// question that was sent later: what a person has just changed is in it.
type WitnessAsked struct{ Reply ReplyID }

// RepairAsked asks for a plan of what can be put right in the ledger.
type RepairAsked struct {
	Reply ReplyID
	// Findings that a person named; none: orphans and what is missing.
	Findings []string
	// Retained: also kept volumes of deleted clusters whose retention is over.
	Retained bool
	// Retention is how long orphaned volumes are kept after the approval; nil: as
	// long as those of a deleted cluster.
	Retention     *time.Duration
	User, Message string
}

// RepairApproved approves exactly the plan that has this fingerprint.
type RepairApproved struct {
	Reply           ReplyID
	ID, Fingerprint string
	User, Message   string
}

// RepairCancelled takes a plan back, or what of it has not begun.
type RepairCancelled struct {
	Reply ReplyID
	ID    string
	// Step is the number of one step, from 1; 0: all.
	Step          int
	User, Message string
}

// OperatorAnswered answers an OperatorCall. Err is "" when the master took it.
type OperatorAnswered struct{ ID, Err string }

func (Subscribed) event()            {}
func (Disconnected) event()          {}
func (OffersReceived) event()        {}
func (OfferRescinded) event()        {}
func (InverseOffersReceived) event() {}
func (TaskUpdated) event()           {}
func (OperationUpdated) event()      {}
func (AgentFailed) event()           {}
func (ExecutorFailed) event()        {}
func (CallFailed) event()            {}
func (AgentsObserved) event()        {}
func (ElasticObserved) event()       {}
func (TimerFired) event()            {}
func (SpecPut) event()               {}
func (SpecDeleted) event()           {}
func (VolumeDestroyOrdered) event()  {}
func (VolumeRestored) event()        {}
func (NodeReplaceOrdered) event()    {}
func (NodeReplaceCancelled) event()  {}
func (TaskKillOrdered) event()       {}
func (TaskKillWithdrawn) event()     {}
func (WitnessAsked) event()          {}
func (RepairAsked) event()           {}
func (RepairApproved) event()        {}
func (RepairCancelled) event()       {}
func (OperatorAnswered) event()      {}
