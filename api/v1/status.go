package v1

import "time"

// ClusterView is a cluster as GET /v1/clusters/{name} answers it.
type ClusterView struct {
	Cluster
	// Generation rises by one with each accepted change of the spec.
	Generation int64         `json:"generation"`
	Status     ClusterStatus `json:"status"`
}

// ClusterPhases are what a cluster can be, as ClusterStatus.Phase; docs/spec.md
// says what each means. A deleted cluster is not known any more.
var ClusterPhases = []string{"Pending", "Deploying", "Ready", "Degraded", "Deleting"}

// ClusterStatus is what Berth knows of a cluster at one moment.
type ClusterStatus struct {
	// ObservedGeneration is the newest generation whose plan has completed.
	ObservedGeneration int64 `json:"observedGeneration"`
	// Phase is one of ClusterPhases.
	Phase string `json:"phase"`
	// Health is Elasticsearch's own: green, yellow, red, or unknown.
	Health string `json:"health"`
	// ClusterUUID is Elasticsearch's id of the cluster, once it formed.
	ClusterUUID  string     `json:"clusterUUID,omitempty"`
	NodesWanted  int        `json:"nodesWanted"`
	NodesRunning int        `json:"nodesRunning"`
	NodesHealthy int        `json:"nodesHealthy"`
	ObservedAt   *time.Time `json:"observedAt,omitempty"`
	// Conditions are named findings, such as HostRuleSatisfied.
	Conditions []Condition `json:"conditions"`
	// InProgress lists what is going on, one line an operation.
	InProgress []Progress `json:"inProgress"`
	CreatedAt  time.Time  `json:"createdAt"`
	UpdatedAt  time.Time  `json:"updatedAt"`
}

// Condition is one named finding about a cluster, with a stable code.
type Condition struct {
	Type    string    `json:"type"`
	Status  string    `json:"status"` // True, False or Unknown
	Reason  string    `json:"reason"` // a stable CamelCase code
	Message string    `json:"message,omitempty"`
	Since   time.Time `json:"since"`
}

// Progress is one operation under way on one node.
type Progress struct {
	Node    string    `json:"node"`
	Action  string    `json:"action"`
	Message string    `json:"message,omitempty"`
	Since   time.Time `json:"since"`
}

// NodeStates are what a node can be, as NodeView.State; docs/operations.md says
// what each means.
var NodeStates = []string{
	"Pending", "Reserving", "Launching", "Starting", "Running", "Healthy", "Backoff", "Down",
	"Unreachable", "Missing", "Replaced", "Stopping", "Retained", "Destroying", "Lost",
}

// VolumeClasses are what a volume can be, as VolumeView.Class; docs/operations.md
// says what each means.
var VolumeClasses = []string{"owned", "retained", "replaced", "destroying", "missing", "orphan", "foreign", "unknown"}

// NodeView is one node (one slot) of a cluster.
type NodeView struct {
	Name    string   `json:"name"`
	NodeSet string   `json:"nodeSet"`
	Roles   []string `json:"roles"`
	// State is one of NodeStates.
	State    string `json:"state"`
	Life     int64  `json:"life"`
	TaskID   string `json:"taskId,omitempty"`
	AgentID  string `json:"agentId,omitempty"`
	Hostname string `json:"hostname,omitempty"`
	Address  string `json:"address,omitempty"`
	// HTTPPort and TransportPort are 0 until reserved.
	HTTPPort      int    `json:"httpPort,omitempty"`
	TransportPort int    `json:"transportPort,omitempty"`
	VolumeID      string `json:"volumeId,omitempty"`
	// Replaces and ReplacedBy are the nodes before and after it in its place.
	Replaces   string `json:"replaces,omitempty"`
	ReplacedBy string `json:"replacedBy,omitempty"`
	// Failures counts failed lives since the node was last healthy.
	Failures  int        `json:"failures"`
	NextTryAt *time.Time `json:"nextTryAt,omitempty"`
	Message   string     `json:"message,omitempty"`
	Since     time.Time  `json:"since"`
}

// PlanView is the running or last plan of a cluster.
type PlanView struct {
	ID         string `json:"id"`
	Generation int64  `json:"generation"`
	// Status is InProgress, Complete, or of a rolling restart also Paused, Halted
	// (by Berth, for Message) or Cancelling.
	Status  string      `json:"status"`
	Message string      `json:"message,omitempty"`
	Phases  []PlanPhase `json:"phases"`
	// Gates are those of the next node to be restarted.
	Gates []PlanGate `json:"gates,omitempty"`
}

// PlanGate is one condition that must hold before a node is touched.
type PlanGate struct {
	Name string `json:"name"`
	Node string `json:"node"`
	Open bool   `json:"open"`
	// Overridden: a person has set the gate aside for this plan.
	Overridden bool `json:"overridden,omitempty"`
	// Message says why it is not open, and what would open it.
	Message string `json:"message,omitempty"`
}

// PlanPhase is a group of steps that may run together.
type PlanPhase struct {
	Name   string     `json:"name"`
	Status string     `json:"status"` // Pending, InProgress, Complete
	Steps  []PlanStep `json:"steps"`
}

// PlanStep is what happens to one node.
type PlanStep struct {
	Node   string `json:"node"`
	Action string `json:"action"`
	Status string `json:"status"`
	// Waiting names the gate or missing thing that holds the step.
	Waiting string `json:"waiting,omitempty"`
}

// Explanation says, for each node that has no place, why.
type Explanation struct {
	Cluster string            `json:"cluster"`
	Nodes   []NodeExplanation `json:"nodes"`
}

// NodeExplanation is the answer for one unplaced node.
type NodeExplanation struct {
	Node string `json:"node"`
	// Summary is one sentence for people.
	Summary string `json:"summary"`
	// Agents is how many agents were judged, Fitting how many would do.
	Agents  int `json:"agents"`
	Fitting int `json:"fitting"`
	// Reasons is a tree: a rejection, how many agents it holds for, children.
	Reasons []ReasonNode `json:"reasons"`
	// SmallestChange is the least change that would make the node fit.
	SmallestChange string `json:"smallestChange,omitempty"`
}

// ReasonNode is one node of a tree of rejections.
type ReasonNode struct {
	Name     string       `json:"name"`
	Reason   string       `json:"reason"`
	Agents   int          `json:"agents"`
	Examples []string     `json:"examples,omitempty"`
	Children []ReasonNode `json:"children,omitempty"`
}

// Endpoints are the addresses at which a cluster's nodes answer.
type Endpoints struct {
	Cluster   string   `json:"cluster"`
	HTTP      []string `json:"http"`
	Transport []string `json:"transport"`
}

// AgentView is one Mesos agent as Berth last saw it.
type AgentView struct {
	ID         string            `json:"id"`
	Hostname   string            `json:"hostname"`
	Machine    string            `json:"machine"`
	Attributes map[string]string `json:"attributes"`
	Active     bool              `json:"active"`
	// Free is what the agent could still reserve for Berth, when last seen.
	Free  ResourceView `json:"free"`
	Nodes []string     `json:"nodes"`
	Seen  time.Time    `json:"seen"`
}

// ResourceView are amounts: cores, and MiB.
type ResourceView struct {
	CPUs      float64 `json:"cpus"`
	MemoryMiB float64 `json:"memoryMiB"`
	DiskMiB   float64 `json:"diskMiB"`
	Ports     int     `json:"ports"`
}

// VolumeView is one line of the ledger: a reservation with its volumes for one of
// our roles, that a record or an agent knows.
type VolumeView struct {
	// ID is the slot's id; of what no record explains its label, or else Finding.
	ID string `json:"id"`
	// Class is one of VolumeClasses; Message says why, where the records and the
	// master do not simply agree.
	Class   string `json:"class"`
	Message string `json:"message,omitempty"`
	// Record is what is wanted by the record: owned, retained, destroying, or
	// lost with its agent; "" when there is none.
	Record string `json:"record,omitempty"`
	// Confirmed: the master was asked after the record last changed, and shows
	// all of it.
	Confirmed bool `json:"confirmed"`
	// Finding names what a repair can deal with; FirstSeen is since when it is there.
	Finding   string     `json:"finding,omitempty"`
	FirstSeen *time.Time `json:"firstSeen,omitempty"`
	// Cluster and Node are what it belongs to, or belonged to as far as is known.
	// Application is the Spark application that owns it, in place of Cluster.
	Cluster     string `json:"cluster,omitempty"`
	Application string `json:"application,omitempty"`
	Node        string `json:"node,omitempty"`
	AgentID     string `json:"agentId"`
	Hostname    string `json:"hostname,omitempty"`
	// Role, Principal and Labels are those of the innermost reservation.
	Role      string  `json:"role,omitempty"`
	Principal string  `json:"principal,omitempty"`
	Labels    []Label `json:"labels,omitempty"`
	// Reserved and PersistentVolumes are what the master shows.
	Reserved          *ReservedView      `json:"reserved,omitempty"`
	PersistentVolumes []PersistentVolume `json:"persistentVolumes,omitempty"`
	// SizeMiB is the disk's.
	SizeMiB   float64    `json:"sizeMiB"`
	RetainTo  *time.Time `json:"retainTo,omitempty"`
	DestroyAt *time.Time `json:"destroyAt,omitempty"`
	// Repair is the approved repair that deals with it.
	Repair string `json:"repair,omitempty"`
}

// Label is one label of a reservation; keys may repeat.
type Label struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
}

// ReservedView is how much is reserved.
type ReservedView struct {
	CPUs      float64 `json:"cpus"`
	MemoryMiB float64 `json:"memoryMiB"`
	DiskMiB   float64 `json:"diskMiB"` // with the volumes'
	// Ports are ranges, "31000-31001,31005".
	Ports string `json:"ports,omitempty"`
	// Text says all of it for people.
	Text string `json:"text"`
}

// PersistentVolume is a volume by its persistence id.
type PersistentVolume struct {
	ID      string  `json:"id"`
	SizeMiB float64 `json:"sizeMiB"`
}

// Witness says how good the master's word is that the ledger compares with.
type Witness struct {
	// AskedAt is when the master was asked for what is compared; nil: not yet.
	AskedAt    *time.Time `json:"askedAt,omitempty"`
	AgeSeconds int64      `json:"ageSeconds"`
	// Fresh: it is believed. Message says why not.
	Fresh   bool   `json:"fresh"`
	Message string `json:"message,omitempty"`
	// Agents is how many agents the master listed, AgentsAway of how many of
	// these it cannot tell what they hold; Away are the first 100.
	Agents     int         `json:"agents"`
	AgentsAway int         `json:"agentsAway"`
	Away       []AwayAgent `json:"away"`
}

// AwayAgent is an agent of which the master cannot tell what it holds.
type AwayAgent struct {
	ID       string `json:"id"`
	Hostname string `json:"hostname,omitempty"`
	Message  string `json:"message"`
}

// Accepted answers a change that goes on after the answer (HTTP 202).
type Accepted struct {
	Name       string `json:"name"`
	Generation int64  `json:"generation"`
	PlanID     string `json:"planId,omitempty"`
	// Changed is false when the spec was already the wanted one.
	Changed bool   `json:"changed"`
	Message string `json:"message,omitempty"`
	// Successor is the node that takes the place of the one named.
	Successor string `json:"successor,omitempty"`
	// DryRun is true when nothing was stored: this is what would happen.
	DryRun bool `json:"dryRun,omitempty"`
	// Changes are the fields that differ from the spec before.
	Changes []Change `json:"changes,omitempty"`
	// Placements, of a dry run, are where nodes without a place would go if it were
	// done now, and Reserves what they would reserve in all.
	Placements []Placement   `json:"placements,omitempty"`
	Reserves   *ResourceView `json:"reserves,omitempty"`
}

// Placement is where a node would go: an agent, or why there is none for it.
type Placement struct {
	Node     string `json:"node"`
	NodeSet  string `json:"nodeSet"`
	AgentID  string `json:"agentId,omitempty"`
	Hostname string `json:"hostname,omitempty"`
	Problem  string `json:"problem,omitempty"`
}

// Event is one entry of the event stream; ID rises strictly.
type Event struct {
	ID      int64     `json:"id"`
	Time    time.Time `json:"time"`
	Type    string    `json:"type"`
	Cluster string    `json:"cluster,omitempty"`
	// Application is the Spark application that it is about, in place of Cluster.
	Application string `json:"application,omitempty"`
	Node        string `json:"node,omitempty"`
	Message     string `json:"message"`
}

// Readiness says whether this Berth can act, and if not, what it waits for.
type Readiness struct {
	Ready  bool   `json:"ready"`
	Leader bool   `json:"leader"`
	Phase  string `json:"phase"`
	// Checks name each condition of readiness and its state.
	Checks      map[string]string `json:"checks"`
	FrameworkID string            `json:"frameworkId,omitempty"`
	Version     string            `json:"version"`
}

// ClusterList answers GET /v1/clusters, by name.
type ClusterList struct {
	Clusters []ClusterView `json:"clusters"`
}

// NodeList answers GET /v1/clusters/{name}/nodes, by name.
type NodeList struct {
	Nodes []NodeView `json:"nodes"`
}

// AgentList answers GET /v1/agents.
type AgentList struct {
	Agents []AgentView `json:"agents"`
}

// VolumeList answers GET /v1/volumes.
type VolumeList struct {
	Volumes []VolumeView `json:"volumes"`
	// Summary counts all entries by class, also those that the request filtered
	// out; Confirmed of how many the two witnesses agree.
	Summary   map[string]int `json:"summary"`
	Confirmed int            `json:"confirmed"`
	Witness   Witness        `json:"witness"`
}
