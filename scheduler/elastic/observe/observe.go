// Package observe is the vocabulary between the pure core and Elasticsearch:
// what is asked of a cluster and what was seen. It has no client in it, so the
// core can import it; package elastic is the adapter that answers.
//
// Every answer is about one moment and carries the Seq of its request, so that
// the core can tell a fresh answer from one that was asked before a change.
package observe

import "time"

// Kind says what is asked of a cluster.
type Kind string

// The kinds of Request.
const (
	// KindObserve reads and changes nothing.
	KindObserve Kind = "observe"
	// KindAllocation sets cluster.routing.allocation.enable, or clears it.
	KindAllocation Kind = "allocation"
)

// AllocationPrimaries lets Elasticsearch allocate primaries only: the replicas of
// a node that is being restarted then wait for it instead of being built anew
// elsewhere.
const AllocationPrimaries = "primaries"

// Request asks one thing of one cluster.
type Request struct {
	// Cluster is the Elasticsearch cluster.name. An answer from a cluster of
	// another name (a port that was given away) is refused.
	Cluster string
	// Version is the lowest version that a node of the cluster may have, such
	// as "6.8.23". It decides one thing only: from 7.14 a node must identify
	// itself as Elasticsearch, and whoever does not is refused.
	Version string
	// Endpoints are the base URLs of the nodes, "http://10.0.0.1:9200".
	Endpoints []string
	// Seq is the caller's number of this request, returned in the answer.
	Seq  int64
	Kind Kind
	// Full adds shards, replica counts and the audit of hosts to health and
	// nodes. It costs the master one more read of its routing table, so it is
	// for every half minute, not for every second.
	Full bool
	// Allocation is what KindAllocation sets: AllocationPrimaries, or "" for
	// Elasticsearch's default. Owned: the setting may be at AllocationPrimaries
	// by an earlier request of the caller's. Any other restriction is somebody
	// else's and is left alone: the answer is then a Failure of class Conflict.
	Allocation string
	Owned      bool
	// Flush has the indices' translogs written down before Allocation is set, so
	// that a restarted node recovers from its own files. It is tried only.
	Flush bool
	// Away are names of nodes that the caller counts as lost, whether or not
	// they are still members: a shard whose only started copies are on them is
	// at risk.
	Away []string
	// Leaving asks what a node still holds; Exclusion is what KindExclude changes.
	Leaving   *LeavingQuestion
	Exclusion *Exclusion
}

// Observation is a readable, complete answer. Whatever could not be read
// completely is a Failure instead. Of another kind than KindObserve it has only
// Seq and At, and says that the change was read back.
type Observation struct {
	// Seq is the request's.
	Seq int64
	// At is when the answer came; the caller sets it.
	At time.Time
	// Full is the request's: without it the fields below "Full only" are unset
	// (MinReplicas is then -1).
	Full bool

	// ClusterUUID is "" until the cluster has formed.
	ClusterUUID string
	ClusterName string
	// Health is green, yellow or red.
	Health string
	// TimedOut: the master did not work off its queue in time, so the counts
	// may be behind. A full observation waits for the queue; another does not.
	TimedOut bool
	// Nodes are the members of the cluster by the elected master's own state,
	// sorted by name.
	Nodes []Node

	// Shard copies, over all indices. Active includes relocating ones;
	// DelayedUnassigned are those of Unassigned that wait for their node.
	ActiveShards      int
	Relocating        int
	Initializing      int
	Unassigned        int
	DelayedUnassigned int
	// InFlightFetch and Pending are shard fetches and cluster-state changes
	// that the master has not finished.
	InFlightFetch int
	Pending       int

	// Full only.

	// Indices counts all indices: open, closed and hidden.
	Indices int
	// MinReplicas is the lowest number_of_replicas over all indices, and
	// MinReplicasIndex one index that has it; -1 and "" when no index counts.
	// An index with auto_expand_replicas counts with its upper bound, because
	// its present number only mirrors how many nodes there are now. A mounted
	// searchable snapshot does not count: its data is in the repository.
	MinReplicas      int
	MinReplicasIndex string
	// SharedHost are shards with two or more copies on one value of the node
	// attribute "host", worst first, at most MaxSharedHost of them;
	// SharedHostTotal counts all. Nodes without the attribute cannot be judged.
	SharedHost      []SharedShard
	SharedHostTotal int
	// Sole are the machines that hold every started copy of some shard, by Host:
	// whoever loses one of them loses shards. Copies on members that are Away count
	// as lost already, and shards without a started copy left are in AtRisk.
	Sole []SoleMachine
	// Away is the request's.
	Away []string
	// AtRisk are shards without a started copy on a member that is not Away,
	// by index, at most MaxAtRisk groups of them; AtRiskTotal counts all groups.
	// An index without data cannot be at risk: one whose shards never started,
	// and a mounted searchable snapshot.
	AtRisk      []AtRisk
	AtRiskTotal int
	// Leaving answers Request.Leaving.
	Leaving *Leaving
}

// Bounds of Observation.AtRisk, and of the shards that one group names.
const (
	MaxAtRisk       = 200
	MaxAtRiskShards = 50
)

// AtRisk are shards of one index that have no started copy left, and where their
// copies may be. Shards that differ in that are in groups of their own.
type AtRisk struct {
	Index string
	// Shards are their numbers, ascending, at most MaxAtRiskShards; ShardCount
	// counts all. It is 0 for an index whose shards the server does not show.
	Shards     []int
	ShardCount int
	// On are members that are Away and hold a started copy, by name; Left are
	// former members that held a copy when they left, by node id.
	On   []string
	Left []string
	// Unknown: a copy may be on a node that is not among On and Left.
	Unknown bool
	// Reason is what keeps the primary from being started, for people, such as "NODE_LEFT" (Elasticsearch's own word), "starting" or "not shown".
	Reason string
}

// MaxSoleIndices is how many indices a SoleMachine lists.
const MaxSoleIndices = 20

// SoleMachine is a machine with the only started copies of some shards.
type SoleMachine struct {
	// Host is its value of HostAttribute; "" for a node without it, which counts as
	// a machine of its own.
	Host string
	// Nodes hold these copies, by name.
	Nodes []string
	// Indices are the first MaxSoleIndices of them; IndexTotal and ShardTotal count
	// all indices and shards.
	Indices    []SoleIndex
	IndexTotal int
	ShardTotal int
}

// SoleIndex are shards of one index: the first MaxAtRiskShards, of ShardCount.
type SoleIndex struct {
	Index      string
	Shards     []int
	ShardCount int
}

// MaxSharedHost bounds Observation.SharedHost.
const MaxSharedHost = 20

// HostAttribute is the node attribute that names a node's machine.
const HostAttribute = "host"

// Node is one member of a cluster.
type Node struct {
	// ID stays over restarts on the same data; EphemeralID changes with each
	// start of the process ("" before Elasticsearch 5).
	ID          string
	EphemeralID string
	Name        string
	// Address is the transport address, "10.0.0.1:9300".
	Address string
	// Roles and Version are empty when the node is a member but did not answer
	// for itself (before 8 they are known to the node alone). No roles with a
	// Version is a coordinating-only node.
	Roles      []string
	Version    string
	Attributes map[string]string
	// Master: this is the elected master.
	Master bool
}

// SharedShard is a shard with several copies on one machine.
type SharedShard struct {
	Index string
	Shard int
	Host  string
	// OnHost of the shard's Copies are on Host or on their way there.
	// Equal numbers: losing the machine loses the shard.
	OnHost int
	Copies int
}

// Class sorts failures by what they say about the cluster.
type Class string

// The classes of failure.
const (
	// Unreachable: no connection, or it broke before an answer.
	Unreachable Class = "unreachable"
	// Refused: nothing listens there yet, or the node says that it is too busy.
	Refused Class = "refused"
	// NoMaster: the node answers and has no elected master.
	NoMaster Class = "no_master"
	// Unauthorized: credentials are missing or not enough.
	Unauthorized Class = "unauthorized"
	// Unreadable: the answer is cut off, too large, of an unknown shape, from
	// another cluster or from something that is not Elasticsearch.
	Unreadable Class = "unreadable"
	// Timeout: connected, and no answer in time.
	Timeout Class = "timeout"
	// Conflict: somebody else has set what was to be changed.
	Conflict Class = "conflict"
)

// Failure says why there is no observation. It is never evidence for anything
// about the cluster's data: callers keep what they knew and wait.
type Failure struct {
	Class Class
	// Message is for people: which node, what failed, and how the others did.
	Message string
}

// Error is the message with its class.
func (f *Failure) Error() string { return string(f.Class) + ": " + f.Message }
