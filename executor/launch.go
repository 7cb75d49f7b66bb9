// Package executor holds what the scheduler and the agent-side executor agree
// on: the launch document that travels in TaskInfo.data, and the report that
// travels back in TaskStatus.data.
package executor

import "encoding/json"

// LaunchVersion is the newest version of Launch that this build reads.
const LaunchVersion = 1

// Launch says what the executor runs. It is JSON in TaskInfo.data. Paths on the
// agent are unknown to the scheduler: the executor renders files from this.
type Launch struct {
	Version int    `json:"version"` // LaunchVersion
	Kind    string `json:"kind"`    // KindElasticsearch, KindSparkDriver, KindSparkExecutor
	TaskID  string `json:"taskId"`
	// User is who the node runs as when the executor itself runs as root.
	User string `json:"user,omitempty"`
	// GraceSeconds between SIGTERM and SIGKILL of the process group.
	GraceSeconds  int            `json:"graceSeconds"`
	Elasticsearch *Elasticsearch `json:"elasticsearch,omitempty"`
	Spark         *Spark         `json:"spark,omitempty"`
}

// Elasticsearch is one node.
type Elasticsearch struct {
	Version     string   `json:"version"`     // exact, "8.19.21"
	ClusterName string   `json:"clusterName"` //
	NodeName    string   `json:"nodeName"`    // stable slot name
	Roles       []string `json:"roles"`       // today's names; empty = coordinating only
	// Home is a distribution on the agent; "" = unpacked from a fetched URI
	// in the sandbox as elasticsearch-VERSION.
	Home string `json:"home,omitempty"`
	// JavaHome on the agent; "" = the distribution's own jdk, else found.
	JavaHome string `json:"javaHome,omitempty"`
	// Address is the agent's IP that the node binds and publishes.
	Address       string `json:"address"`
	HTTPPort      int    `json:"httpPort"`
	TransportPort int    `json:"transportPort"`
	// SeedHosts are host:transportPort of the cluster's master-eligible nodes.
	SeedHosts []string `json:"seedHosts"`
	// ClusterUUID is the cluster's recorded uuid; "" until it has formed. A
	// volume that remembers another uuid is refused.
	ClusterUUID string `json:"clusterUUID,omitempty"`
	// InitialMasters are set only until the cluster has formed once (>= 7).
	InitialMasters []string `json:"initialMasters,omitempty"`
	// MasterCount is how many master-eligible nodes there are, for
	// discovery.zen.minimum_master_nodes (<= 6).
	MasterCount int `json:"masterCount"`
	// Attributes become node.attr.* (node.* before 5.x); "host" is always one.
	Attributes map[string]string `json:"attributes"`
	// AwarenessAttributes for cluster.routing.allocation.awareness.attributes.
	AwarenessAttributes []string `json:"awarenessAttributes,omitempty"`
	// CPUs in thousandths of a core; MemoryMiB of the whole task; HeapMiB of
	// the JVM (0 = derive from MemoryMiB and Roles).
	MilliCPUs int64 `json:"milliCPUs"`
	MemoryMiB int64 `json:"memoryMiB"`
	HeapMiB   int64 `json:"heapMiB,omitempty"`
	// DataPath is the persistent volume's path in the sandbox; "" only for a
	// node that holds neither shards nor cluster state.
	DataPath    string         `json:"dataPath"`
	Config      map[string]any `json:"config,omitempty"`
	JavaOptions []string       `json:"javaOptions,omitempty"`
	TimeZone    string         `json:"timeZone,omitempty"`
}

// Report is what a node's status updates carry in TaskStatus.data.
type Report struct {
	// Phase is one of the Phase constants.
	Phase       string `json:"phase"`
	ClusterUUID string `json:"clusterUUID,omitempty"`
	NodeID      string `json:"nodeId,omitempty"`
	// ExitCode and Signal of the node's process, once exited.
	ExitCode int    `json:"exitCode,omitempty"`
	Signal   string `json:"signal,omitempty"`
	// Cause is the likely reason in one line, from the end of the node's log.
	Cause string `json:"cause,omitempty"`
}

// Encode writes the launch document for TaskInfo.data.
func (l Launch) Encode() ([]byte, error) { return json.Marshal(l) }
