package v1

// Cluster is the declarative specification of one Elasticsearch cluster: what
// an operator applies with PUT /v1/clusters/{name}.
type Cluster struct {
	// Name is the cluster's identity in Berth and its Elasticsearch
	// cluster.name: a DNS label of at most 40 characters.
	Name string `json:"name"`
	// Labels are free key/value pairs for the operator's own use.
	Labels map[string]string `json:"labels,omitempty"`
	Spec   ClusterSpec       `json:"spec"`
}

// ClusterSpec is the wanted state of a cluster.
type ClusterSpec struct {
	// Version is the exact Elasticsearch version, such as "8.19.21". The
	// scheduler's catalogue says where its distribution is.
	Version string `json:"version"`
	// Replicas is the smallest number_of_replicas that the cluster's indices
	// will have. It is the r of the host rule: at most r nodes of this cluster
	// share one machine. Default 1. 0 makes the rule unsatisfiable.
	Replicas *int `json:"replicas,omitempty"`
	// Role is the Mesos role that the cluster's resources are reserved for;
	// one of the scheduler's own roles. Default: the scheduler's first role.
	Role     string    `json:"role,omitempty"`
	NodeSets []NodeSet `json:"nodeSets"`
}

// NodeSet is a group of nodes that share roles, resources and placement.
type NodeSet struct {
	// Name is a DNS label of at most 20 characters, unique in the cluster.
	Name  string `json:"name"`
	Count int    `json:"count"`
	// Roles are Elasticsearch node roles by today's names (master, data,
	// data_content, data_hot, data_warm, data_cold, data_frozen, ingest, ml,
	// remote_cluster_client, transform). Absent: master, data and ingest.
	// Present and empty: a coordinating-only node.
	Roles     *[]string     `json:"roles,omitempty"`
	Resources NodeResources `json:"resources"`
	// Storage is the persistent volume of each node.
	Storage Storage `json:"storage"`
	// Constraints must all hold for the agent of a node.
	Constraints []Constraint `json:"constraints,omitempty"`
	// Spread names an agent attribute (rack, zone); nodes of the set are kept
	// as even as possible over its values.
	Spread string `json:"spread,omitempty"`
	// Config are further elasticsearch.yml settings, by full dotted name.
	// Settings that Berth owns are refused.
	Config map[string]any `json:"config,omitempty"`
	// JavaOptions are appended to the JVM options that Berth derives.
	JavaOptions []string `json:"javaOptions,omitempty"`
	// TimeZone of the node's JVM, an IANA name. Default UTC.
	TimeZone string `json:"timeZone,omitempty"`
}

// NodeResources are the resources of one node.
type NodeResources struct {
	// CPUs in cores, up to three decimals.
	CPUs float64 `json:"cpus"`
	// Memory of the whole node, such as "4gb" or "512mb" (powers of 1024).
	Memory string `json:"memory"`
	// Heap overrides the derived JVM heap, such as "2gb".
	Heap string `json:"heap,omitempty"`
}

// Storage describes one persistent volume.
type Storage struct {
	// Size of the volume, such as "50gb". A MOUNT disk is taken whole: the
	// smallest one of at least this size.
	Size string `json:"size"`
	// Type is "root" (default), "path" or "mount": the kind of Mesos disk.
	Type string `json:"type,omitempty"`
}

// Constraint is one condition on an agent's attribute.
type Constraint struct {
	Attribute string `json:"attribute"`
	// Operator is one of EQ, NEQ, IN, NOTIN, LIKE, UNLIKE (RE2, whole value),
	// LT, LE, GT, GE (scalar attributes), EXISTS, NOTEXISTS.
	Operator string `json:"operator"`
	// Values: exactly one for EQ, NEQ, LIKE, UNLIKE and the comparisons, one
	// or more for IN and NOTIN, none for EXISTS and NOTEXISTS.
	Values []string `json:"values,omitempty"`
}
