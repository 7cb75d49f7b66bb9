package state

import (
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/volumes"
)

// Framework is the one record of who Berth is towards Mesos. It must be durable
// before any event after SUBSCRIBED is handled (Mesos rule 8).
type Framework struct {
	// ID is the framework id that the master assigned (Mesos rule 11).
	ID string `json:"id"`
	// NextIncarnation numbers slots over all clusters and all time, so that a
	// label, a persistence id or a task id is never used twice.
	NextIncarnation int64 `json:"nextIncarnation"`
}

// Cluster is one accepted cluster with what Berth decided about it.
type Cluster struct {
	Spec       v1.Cluster `json:"spec"`
	Generation int64      `json:"generation"`
	// ObservedGeneration is the newest generation that was fully reached.
	ObservedGeneration int64 `json:"observedGeneration"`
	// Incarnation tells a re-created cluster from its namesake before it.
	Incarnation int64 `json:"incarnation"`
	// InitialMasters are the node names for the very first bootstrap (ES >= 7).
	// Fixed at creation, never varied, not used once ClusterUUID is recorded.
	InitialMasters []string  `json:"initialMasters,omitempty"`
	ClusterUUID    string    `json:"clusterUUID,omitempty"`
	Deletion       *Deletion `json:"deletion,omitempty"`
	// Restart is the rolling restart under way, if any.
	Restart *Restart `json:"restart,omitempty"`
	// RestartCancelled is the newest generation whose restarts were cancelled:
	// they do not begin again by themselves.
	RestartCancelled int64     `json:"restartCancelled,omitempty"`
	CreatedAt        time.Time `json:"createdAt"`
	UpdatedAt        time.Time `json:"updatedAt"`
	UpdatedBy        string    `json:"updatedBy,omitempty"`
	Message          string    `json:"message,omitempty"`
}

// Deletion is the recorded order to delete a cluster.
type Deletion struct {
	At      time.Time `json:"at"`
	User    string    `json:"user,omitempty"`
	Message string    `json:"message,omitempty"`
	// RetainUntil is until when the volumes cannot be destroyed.
	RetainUntil time.Time `json:"retainUntil"`
}

// Restart is a rolling restart under way: by order, or because the spec changed in
// what only a restart brings to a node. It ends when no node needs it any more.
type Restart struct {
	// ID names the plan.
	ID string `json:"id"`
	// Ordered: every node launched before At is restarted, or those of Nodes.
	// Otherwise those whose task was built from another spec.
	Ordered bool      `json:"ordered,omitempty"`
	Nodes   []string  `json:"nodes,omitempty"` // names; empty = all
	At      time.Time `json:"at"`
	User    string    `json:"user,omitempty"`
	Message string    `json:"message,omitempty"`
	// Total counted the nodes when it began.
	Total int `json:"total"`

	// Slot and Life are the node that is being restarted and its life before;
	// Step is how far it is. "" between two nodes.
	Slot  string      `json:"slot,omitempty"`
	Life  int64       `json:"life,omitempty"`
	Step  RestartStep `json:"step,omitempty"`
	Since time.Time   `json:"since,omitzero"` // of Step
	// Restricted: allocation is, or may be, restricted by Berth, and has to be
	// let go. Recorded before Elasticsearch is asked.
	Restricted bool `json:"restricted,omitempty"`

	// Paused, Halted and Cancelled hold the next node back. Halted says why
	// Berth did so by itself.
	Paused    bool   `json:"paused,omitempty"`
	Halted    string `json:"halted,omitempty"`
	Cancelled bool   `json:"cancelled,omitempty"`
	// Overrides set single gates aside; at most one for each gate.
	Overrides []Override `json:"overrides,omitempty"`
}

// RestartStep is how far the restart of one node is.
type RestartStep string

// The steps of one node.
const (
	RestartRestrict RestartStep = "restrict" // Elasticsearch is to restrict allocation and flush
	RestartStop     RestartStep = "stop"     // the task is to end
	RestartStart    RestartStep = "start"    // the next life is to join
	RestartRelease  RestartStep = "release"  // allocation is to be let go
)

// Override sets one gate aside for one plan until a time.
type Override struct {
	Gate   string    `json:"gate"`
	User   string    `json:"user,omitempty"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
}

// Want is what should become of a slot.
type Want string

// The wants of a slot. Only Destroy removes data, and only with an Order.
const (
	WantRun     Want = "run"     // a task should run on it
	WantRetain  Want = "retain"  // no task; the volume is kept, the rest released
	WantDestroy Want = "destroy" // volume and reservation are to be removed
	// WantReplaced: another slot takes its place, by Replacement. Its task, should
	// it still run, is left alone until that has joined; its volume is kept.
	WantReplaced Want = "replaced"
	// WantNothing: the agent that held the slot is gone for good (declared by
	// an operator); the record stays so that the loss is listed.
	WantNothing Want = "nothing"
)

// Slot is one stable place of a workload: a name, a reservation with a label of
// its own, a persistent volume, and a row of numbered lives (tasks). A slot with
// an ephemeral need holds nothing between its lives.
type Slot struct {
	// ID is Name "." Incarnation: the reservation's label and the volume's
	// persistence id. Task ids are ID "." life.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Kind is the workload kind, "elasticsearch".
	Kind string `json:"kind"`
	// Owner is the name of the cluster or application; OwnerIncarnation its
	// incarnation.
	Owner            string `json:"owner"`
	OwnerIncarnation int64  `json:"ownerIncarnation"`
	// Set and Ordinal place the slot in the owner's spec.
	Set     string `json:"set"`
	Ordinal int    `json:"ordinal"`

	Want     Want             `json:"want"`
	Identity volumes.Identity `json:"identity"`
	// Need is what was asked for; fixed once Bind is set.
	Need volumes.Need `json:"need"`

	// Life is the number of the newest task; 0 = none yet.
	Life int64    `json:"life"`
	Bind *Binding `json:"bind,omitempty"`
	Task *Task    `json:"task,omitempty"`
	// Release is the operation that is freeing the slot, if any.
	Release *Release `json:"release,omitempty"`

	// Failures counts failed lives in a row; NotBefore is when the next may start.
	Failures    int       `json:"failures,omitempty"`
	NotBefore   time.Time `json:"notBefore,omitzero"`
	LastFailure string    `json:"lastFailure,omitempty"`

	// Replaces is the id of the slot whose place it has taken, if any; Replacement
	// is the order by which another slot takes its own.
	Replaces    string       `json:"replaces,omitempty"`
	Replacement *Replacement `json:"replacement,omitempty"`

	// RetainUntil guards the volume; Order is the explicit order to destroy it.
	RetainUntil time.Time `json:"retainUntil,omitzero"`
	Order       *Order    `json:"order,omitempty"`

	// Executor is what only the slot of a Spark executor has.
	Executor *SparkExecutor `json:"executor,omitempty"`

	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// Known says how sure Berth is that something exists on an agent.
type Known string

// The three states of knowledge. Not knowing is not "gone".
const (
	KnownNo     Known = "no"
	KnownYes    Known = "yes"
	KnownUnsure Known = "unsure"
)

// Binding ties a slot to the agent that holds its reservation.
type Binding struct {
	AgentID string `json:"agentId"`
	// Hostname of the agent; Machine is what the host rule counts by.
	Hostname string `json:"hostname"`
	Machine  string `json:"machine"`
	// Address is the agent's IP that nodes publish.
	Address string `json:"address"`
	// SpreadValue is the agent's value of the set's spread attribute.
	Attributes map[string]string `json:"attributes,omitempty"`
	Ports      []uint64          `json:"ports,omitempty"`
	// Reserved and Volume say what is known to exist there.
	Reserved Known `json:"reserved"`
	Volume   Known `json:"volume"`
	// ReserveOp and CreateOp are the operation ids still unanswered.
	ReserveOp string `json:"reserveOp,omitempty"`
	CreateOp  string `json:"createOp,omitempty"`
	// CreateFailures counts CREATEs refused on this agent in a row.
	CreateFailures int            `json:"createFailures,omitempty"`
	DiskMiB        volumes.Amount `json:"disk"`
	// HasData is true once a node ran healthy on the volume.
	HasData bool      `json:"hasData,omitempty"`
	Since   time.Time `json:"since"`
}

// TaskState is the state of a slot's newest task, after Mesos' own.
type TaskState string

// The states of a task.
const (
	TaskStaging     TaskState = "staging"     // ACCEPT decided, no word yet
	TaskStarting    TaskState = "starting"    // the executor has it
	TaskRunning     TaskState = "running"     // the process runs
	TaskUnreachable TaskState = "unreachable" // the agent cannot be reached: may run
	TaskEnded       TaskState = "ended"       // surely not running
)

// Task is one life of a slot.
type Task struct {
	ID      string    `json:"id"`
	Life    int64     `json:"life"`
	AgentID string    `json:"agentId"`
	State   TaskState `json:"state"`
	Healthy bool      `json:"healthy,omitempty"`
	// Mesos' own words of the last update.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// KillOrdered is when Berth first asked Mesos to kill it.
	KillOrdered  time.Time `json:"killOrdered,omitzero"`
	LaunchedAt   time.Time `json:"launchedAt"`
	HealthySince time.Time `json:"healthySince,omitzero"`
	Since        time.Time `json:"since"`
	NodeID       string    `json:"nodeId,omitempty"`
	// Generation of the spec that the task was built from, and what of it only a
	// restart brings to a node; Version is Elasticsearch's. Both are "" for tasks
	// of builds that did not record them.
	Generation  int64  `json:"generation"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Version     string `json:"version,omitempty"`
}

// Release is DESTROY and UNRESERVE under way.
type Release struct {
	DestroyOp   string `json:"destroyOp,omitempty"`
	UnreserveOp string `json:"unreserveOp,omitempty"`
	// Part: UNRESERVE is of what one offer showed, which is not all that the slot
	// has reserved. Whatever is told of the reservation meanwhile, some of it is
	// left then.
	Part  bool      `json:"part,omitempty"`
	Since time.Time `json:"since"`
}

// Order is an explicit, recorded order of a person: to destroy a volume, to kill an
// unknown task, or to end an application.
type Order struct {
	At      time.Time `json:"at"`
	User    string    `json:"user,omitempty"`
	Message string    `json:"message,omitempty"`
}

// Replacement is the explicit, recorded order of a person that another slot takes
// the place of one whose agent is away.
type Replacement struct {
	Order
	// By is the id of the slot that took the place.
	By string `json:"by"`
	// DataLoss names the indices whose loss was accepted with the order, sorted.
	DataLoss []string `json:"dataLoss,omitempty"`
}

// Kill is the explicit, recorded order of a person to kill a task that no other
// record explains. Its name is the task id, or a checksum where no key takes that.
type Kill struct {
	TaskID  string `json:"taskId"`
	AgentID string `json:"agentId"`
	Order   Order  `json:"order"`
}

// Findings is the one record of what the ledger has found and is not settled yet,
// so that since when it is there survives a failover. It is bounded.
type Findings struct {
	Findings []Finding `json:"findings"` // by id
}

// Finding is one of them: of the slot ID, or of what no record explains.
type Finding struct {
	ID       string    `json:"id"`
	Class    string    `json:"class"`
	Label    string    `json:"label,omitempty"`
	AgentID  string    `json:"agentId"`
	Hostname string    `json:"hostname,omitempty"`
	Since    time.Time `json:"since"` // when it was first seen
	// AwaySince is since when its agent is away; zero while it is there.
	AwaySince time.Time `json:"awaySince,omitzero"`
}

// The kinds of records, one znode each.
const (
	KindFramework   = "framework"
	KindCluster     = "clusters"
	KindSlot        = "slots"
	KindApplication = "applications"
	KindKill        = "kills"
	KindFindings    = "ledger"
	KindRepair      = "repairs"
	KindAudit       = "audit"
)

// The schemas of the records.
var (
	Frameworks     = Kind[Framework]{Name: KindFramework, Version: 1}
	Clusters       = Kind[Cluster]{Name: KindCluster, Version: 1}
	Repairs        = Kind[Repair]{Name: KindRepair, Version: 1}
	LedgerFindings = Kind[Findings]{Name: KindFindings, Version: 1}
	Kills          = Kind[Kill]{Name: KindKill, Version: 1}
	AuditPages     = Kind[AuditPage]{Name: KindAudit, Version: 1}
	Applications   = Kind[Application]{Name: KindApplication, Version: 1}
	// Slots: version 2 has ephemeral needs and Executor, version 3 WantReplaced,
	// Replaces and Replacement, which older slots lack.
	Slots = Kind[Slot]{Name: KindSlot, Version: 3, Upgrade: map[int]func([]byte) ([]byte, error){1: unchanged, 2: unchanged}}
)

// unchanged upgrades a body that the newer schema reads as it is.
func unchanged(body []byte) ([]byte, error) { return body, nil }
