package plan

import (
	"fmt"
	"slices"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// The gates of a removal, beside those that a restart has too.
const (
	// GateDrainable: the node is a member, and no other answers to its name, so that
	// its shards can be moved and watched.
	GateDrainable = "Drainable"
	// GateShardsFit: every index of which it has a copy has a place for all of its
	// copies on the nodes that stay.
	GateShardsFit = "ShardsFit"
	// GateDiskFits: their disks have room below the low watermark.
	GateDiskFits = "DiskFits"
	// GateVotersKnown: nobody else has excluded voters, which could be let in again
	// only together with the node's own exclusion.
	GateVotersKnown = "VotersKnown"
)

// DrainOverridable are the gates of a removal that a person may set aside. What
// would cost data is not among them: that the node holds nothing is no gate.
var DrainOverridable = []string{GateOthersHealthy, GateClusterGreen, GateShardsFit, GateDiskFits, GateMastersQuorum}

// DrainFacts are what is known of a node that is to leave. Others are the nodes that
// run, those among them that will leave later, too; Leaving is of the same answer as
// Health and the counts. RiskSeen and AtRisk are as if the node were away.
type DrainFacts struct {
	RestartFacts
	// Staying counts the other master-eligible nodes that are to stay, StayingAway
	// names one that is away.
	Staying     int
	StayingAway string
	Leaving     *observe.Leaving
}

// DrainGates judges whether a node may begin to leave now. One that holds nothing,
// since it has never joined, passes all but the first.
func DrainGates(f DrainFacts, holdsNothing bool) []Gate {
	var gates gateList
	gate := gates.add
	gate(GateReconciled, f.Unanswered == 0, "%s", unanswered(f.Unanswered))
	if holdsNothing {
		return gates
	}
	away := ""
	for _, o := range f.Others {
		if !o.Healthy && away == "" {
			away = o.Name
		}
	}
	gate(GateOthersHealthy, away == "", "%s does not answer or has not joined: one node at a time", away)
	green, why := f.green()
	gate(GateClusterGreen, green, "%s", why)
	name, l := f.Candidate.Name, f.leaving()
	if l == nil {
		for _, g := range []string{GateDrainable, GateShardsFit, GateDiskFits} {
			gate(g, false, "Elasticsearch has not said yet what %s holds and where it could go", name)
		}
	} else {
		gate(GateDrainable, f.Candidate.Healthy && l.Member, "%s", f.notDrainable(l))
		gate(GateShardsFit, l.MisfitTotal == 0, "%s", misfitText(l))
		gate(GateDiskFits, l.NoThreshold || l.RoomKnown && l.Bytes <= l.Room, "%s", roomText(l))
	}
	if f.Candidate.Master {
		switch {
		case f.StayingAway != "":
			gate(GateMastersQuorum, false, "master-eligible %s is away: one at a time", f.StayingAway)
		default:
			gate(GateMastersQuorum, f.Staying > 0, "%s is the last master-eligible node", name)
		}
		foreign := f.foreignVoters()
		gate(GateVotersKnown, l != nil && foreign == "", "%s", foreign)
	}
	return gates
}

// leaving is what was told of this node, or nil.
func (f DrainFacts) leaving() *observe.Leaving {
	if !f.Seen || f.Leaving == nil || f.Leaving.Node != f.Candidate.Name {
		return nil
	}
	return f.Leaving
}

func (f DrainFacts) notDrainable(l *observe.Leaving) string {
	switch {
	case l.Namesakes > 1:
		return fmt.Sprintf("%d members answer to the name %s: end all but one of them", l.Namesakes, l.Node)
	case !l.Member:
		return l.Node + " is no member: its shards can be moved only once it is back; if its machine is lost, declare the agent gone in Mesos"
	}
	return l.Node + " is a member, and not healthy by its executor: wait, or see why"
}

// foreignVoters says whose voting exclusions are there besides the node's own.
func (f DrainFacts) foreignVoters() string {
	l := f.leaving()
	if l == nil {
		return "Elasticsearch has not said yet who votes"
	}
	foreign := slices.DeleteFunc(slices.Clone(l.VotersExcluded), func(n string) bool { return n == l.Node })
	if len(foreign) == 0 {
		return ""
	}
	return "voting exclusions of " + list(foreign) + " are there, and can be cleared only all together: DELETE _cluster/voting_config_exclusions?wait_for_removal=false once nobody needs them"
}

func misfitText(l *observe.Leaving) string {
	if len(l.Misfits) == 0 {
		return ""
	}
	text := fmt.Sprintf("index %s: %s", l.Misfits[0].Index, l.Misfits[0].Reason)
	if l.MisfitTotal > 1 {
		text += fmt.Sprintf(" (and %d indices more)", l.MisfitTotal-1)
	}
	return text
}

func roomText(l *observe.Leaving) string {
	if !l.RoomKnown {
		return "not every node has told how much room its disk has"
	}
	return fmt.Sprintf("%s holds %d MiB in shards, and the nodes that stay have room for %d MiB below the low watermark: free space there, or add nodes", l.Node, l.Bytes>>20, l.Room>>20)
}

// Process is one start of a node: an id stays with the data, an ephemeral id changes
// with each start of the process ("" before Elasticsearch 5).
type Process struct{ ID, EphemeralID string }

// Drained reports whether one answer says that a node holds nothing any more, or why
// it does not say so. was is the process of which it must be said: one that started
// anew may have come back empty, and then an empty node is no evidence that its
// shards are elsewhere. yellow: unassigned replicas were accepted by a person.
//
// Everything counts that an answer could be silent on: a node that is no member, a
// copy that is still on its way, a copy that is on no node at all.
func (f DrainFacts) Drained(was Process, yellow bool) (ok bool, why string) {
	no := func(format string, args ...any) (bool, string) { return false, fmt.Sprintf(format, args...) }
	l := f.leaving()
	switch {
	case l == nil:
		return no("Elasticsearch has not said yet what %s holds", f.Candidate.Name)
	case f.TimedOut:
		return no("Elasticsearch's master is behind with its work")
	case l.Namesakes > 1:
		return no("%s", f.notDrainable(l))
	case !l.Member:
		return no("%s is no member: what it held may be on its volume alone", l.Node)
	case Process{l.ID, l.EphemeralID} != was:
		return no("%s has started anew since its drain began", l.Node)
	case !l.Excluded:
		return no("the exclusion of %s is not in force", l.Node)
	case l.Holds > 0:
		return no("%s holds %d copies of shards: %s", l.Node, l.Holds, list(l.Some))
	case f.Initializing+f.Relocating+f.Fetching > 0:
		return no("%d shards initialize, %d relocate, %d are being looked for", f.Initializing, f.Relocating, f.Fetching)
	case f.Health != "green" && f.Health != "yellow", !yellow && (f.Health != "green" || f.Unassigned > 0):
		return no("Elasticsearch says %s: %d shards are unassigned", f.Health, f.Unassigned)
	case f.Members < len(f.Others)+1 && !yellow:
		return no("%d of %d nodes are members", f.Members, len(f.Others)+1)
	case !f.RiskSeen:
		return no("it is not known yet what only %s holds", l.Node)
	case len(f.AtRisk) > 0:
		return no("there is no started copy elsewhere of %s", list(f.AtRisk))
	case f.Candidate.Master && f.StayingAway != "":
		return no("master-eligible %s is away", f.StayingAway)
	case f.Candidate.Master && l.Voter:
		return no("%s still votes", l.Node)
	}
	return true, ""
}

// Fix is what helps against one of Elasticsearch's deciders that keeps a shard on a
// node which is to leave.
func Fix(decider string) string {
	switch decider {
	case "same_shard":
		return "every node that stays has a copy of it: lower its index's number_of_replicas, or add nodes"
	case "awareness":
		return "add nodes on other machines, or lower its index's number_of_replicas"
	case "disk_threshold":
		return "free disk space on the nodes that stay, or add nodes"
	case "filter":
		return "change index.routing.allocation.require, include or exclude of its index, or take other nodes out of the cluster's exclusion"
	case "shards_limit":
		return "raise total_shards_per_node of its index or of the cluster"
	case "enable", "cluster_rebalance", "rebalance_only_when_active":
		return "set cluster.routing.allocation.enable and cluster.routing.rebalance.enable back to null"
	case "throttling", "concurrent_rebalance":
		return "wait: as many shards move as may move at once"
	case "node_version":
		return "finish the upgrade first: a shard does not move to an older node"
	case "data_tier":
		return "add nodes of its tier, or change index.routing.allocation.include._tier_preference"
	case "max_retry":
		return "see why its allocation failed, then POST _cluster/reroute?retry_failed=true"
	case "":
		return "see GET _cluster/allocation/explain"
	}
	return "see GET _cluster/allocation/explain for the decider " + decider
}
