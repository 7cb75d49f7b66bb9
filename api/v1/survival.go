package v1

import "time"

// The verdicts of a certificate.
const (
	VerdictTrue    = "True"
	VerdictFalse   = "False"
	VerdictUnknown = "Unknown"
)

// Reasons of ClusterLoss; docs/operations.md says what each means.
const (
	// LossData: shards have their only started copies on the machine.
	LossData = "DataLost"
	// LossQuorum: without the machine fewer than a majority of the masters are healthy.
	LossQuorum = "QuorumLost"
	// LossAlready: shards have no started copy as it is; whether the machine has one
	// that could still be started is not known.
	LossAlready = "AlreadyAtRisk"
	// LossUnseen: Elasticsearch has not said where its shards are, not lately, or not
	// since something changed.
	LossUnseen = "NotObserved"
)

// LossReasons are all of them.
var LossReasons = []string{LossData, LossQuorum, LossAlready, LossUnseen}

// Certificate says what the loss of each single machine would do, by what is known
// now. Not knowing is Unknown, never True.
type Certificate struct {
	// Survives says whether the loss of any one of Machines would lose neither data
	// nor a quorum: True, False or Unknown.
	Survives string `json:"survives"`
	// Machines are those with nodes, by name.
	Machines []MachineLoss `json:"machines"`
}

// MachineLoss is what the loss of one machine, with all agents on it, would do.
type MachineLoss struct {
	// Machine is what the host rule counts by.
	Machine  string        `json:"machine"`
	Survives string        `json:"survives"`
	Clusters []ClusterLoss `json:"clusters"`
}

// ClusterLoss is what it would do to one cluster.
type ClusterLoss struct {
	Cluster string `json:"cluster"`
	// Nodes are those on the machine.
	Nodes    []string `json:"nodes"`
	Survives string   `json:"survives"`
	// Reasons are of LossReasons, none when Survives is True; Message says them for
	// people.
	Reasons []string `json:"reasons"`
	Message string   `json:"message,omitempty"`
	// Masters are those on the machine, MastersElsewhere the healthy ones elsewhere,
	// MastersNeeded a majority of all.
	Masters          int `json:"masters"`
	MastersElsewhere int `json:"mastersElsewhere"`
	MastersNeeded    int `json:"mastersNeeded"`
	// AtRisk are the first 20 indices with shards that only this machine has;
	// IndicesAtRisk and ShardsAtRisk count all.
	AtRisk        []IndexAtRisk `json:"atRisk,omitempty"`
	IndicesAtRisk int           `json:"indicesAtRisk"`
	ShardsAtRisk  int           `json:"shardsAtRisk"`
	// ObservedAt is when Elasticsearch said where its shards are.
	ObservedAt *time.Time `json:"observedAt,omitempty"`
}
