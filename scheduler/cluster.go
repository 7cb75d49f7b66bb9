package scheduler

import (
	"fmt"
	"slices"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// The phases of a cluster.
const (
	phasePending   = "Pending"
	phaseDeploying = "Deploying"
	phaseReady     = "Ready"
	phaseDegraded  = "Degraded"
	phaseDeleting  = "Deleting"
)

// settleCluster brings a cluster's slots in line with its spec, judges its
// phase and conditions, and asks Elasticsearch when it is time to.
func (c *Core) settleCluster(cl *cluster) {
	if cl.Deletion != nil {
		c.settleDeletion(cl)
		return
	}
	c.settleSlots(cl)
	c.settleRestart(cl)
	next := earliest(c.settleObservation(cl), c.settleSeeds(cl))
	c.lookAtReplaced(cl)
	c.judge(cl)
	c.agenda.set(clusterKey+cl.Spec.Name, next)
}

// settleSlots makes the slots that the spec wants and lets go of those that it
// does not: only such as hold nothing, see plan.Refusals.
func (c *Core) settleSlots(cl *cluster) {
	c.dropHalfOrdered(cl)
	have := cl.wanted()
	for _, n := range plan.Nodes(cl.Spec) {
		s := have[n.Place]
		delete(have, n.Place)
		if s == nil {
			s = c.newSlot(cl, n)
		}
		if s.Bind != nil || s.live() {
			continue
		}
		// What a slot without a place asks for follows the spec.
		set, _ := plan.Set(cl.Spec.Spec, n.Set)
		if need := needOf(set); s.Need != need || s.Identity.Role != cl.Spec.Spec.Role {
			s.Need, s.Identity.Role = need, cl.Spec.Spec.Role
			c.touch(s)
		}
	}
	for _, s := range cl.list() {
		if have[s.place()] == s && s.Bind == nil && !s.live() {
			c.remove(s)
		}
	}
}

// place is where in its owner's spec the slot belongs.
func (s *slot) place() plan.Place { return plan.Place{Set: s.Set, Ordinal: s.Ordinal} }

// wanted are the slots that are to run, by their places.
func (cl *cluster) wanted() map[plan.Place]*slot {
	have := make(map[plan.Place]*slot, len(cl.slots))
	for _, s := range cl.list() {
		if s.Want == state.WantRun {
			have[s.place()] = s
		}
	}
	return have
}

func (c *Core) newSlot(cl *cluster, n plan.Node) *slot {
	number := c.incarnation()
	name, former := n.Name, cl.former(n.Place)
	if former != nil && !cl.bootstraps(former) {
		// Elasticsearch and its operators must never take it for the node that was
		// there, whose volume may come back.
		name = plan.ReplacementName(n.Name, number)
	}
	id := fmt.Sprintf("%s.%d", name, number)
	s := &slot{Slot: state.Slot{
		ID: id, Name: name, Kind: kindElasticsearch,
		Owner: cl.Spec.Name, OwnerIncarnation: cl.Incarnation,
		Set: n.Set, Ordinal: n.Ordinal, Want: state.WantRun,
		Identity: volumes.Identity{
			Role: cl.Spec.Spec.Role, Principal: c.cfg.Principal,
			Label: id, PersistenceID: id, ContainerPath: dataPath,
		},
		CreatedAt: c.now,
	}}
	if former != nil {
		s.Replaces = former.ID
	}
	c.slots[id] = s
	cl.add(s)
	c.touch(s)
	return s
}

// former is the newest slot that had a place and does not run in it any more.
func (cl *cluster) former(p plan.Place) *slot {
	var newest *slot
	for _, s := range cl.list() {
		if s.place() == p && s.Want != state.WantRun && (newest == nil || s.CreatedAt.After(newest.CreatedAt)) {
			newest = s
		}
	}
	return newest
}

// bootstraps reports whether a cluster that has not formed yet waits for a node by
// its name. A successor of that one takes the name too: Elasticsearch would wait
// for it for ever, and there is no data that could be taken for another's.
func (cl *cluster) bootstraps(s *slot) bool {
	return cl.ClusterUUID == "" && slices.Contains(cl.InitialMasters, s.Name)
}

// dataPath is where a slot's volume appears in the sandbox.
const dataPath = "data"

// needOf are the resources of one node of a set. Sizes were validated.
func needOf(set v1.NodeSet) volumes.Need {
	mem, _ := v1.ParseMiB(set.Resources.Memory)
	disk, _ := v1.ParseMiB(set.Storage.Size)
	return volumes.Need{
		CPU: volumes.FromFloat(set.Resources.CPUs), Mem: volumes.Units(mem),
		Disk: volumes.Units(disk), DiskType: diskTypeOf(set.Storage), Ports: portsPerNode,
	}
}

func diskTypeOf(s v1.Storage) volumes.DiskType {
	switch s.Type {
	case v1.StoragePath:
		return volumes.DiskPath
	case v1.StorageMount:
		return volumes.DiskMount
	}
	return volumes.DiskRoot
}

// settleDeletion stops a cluster's nodes and lets its record go once none runs.
func (c *Core) settleDeletion(cl *cluster) {
	stopping := 0
	for _, s := range cl.list() {
		if s.Want == state.WantRun || s.Want == state.WantReplaced {
			s.Want, s.RetainUntil = state.WantRetain, later(s.RetainUntil, cl.Deletion.RetainUntil)
			c.touch(s)
		}
		if s.live() {
			stopping++
		}
	}
	cl.phase = phaseDeleting
	c.agenda.set(clusterKey+cl.Spec.Name, time.Time{})
	if stopping > 0 {
		return
	}
	c.publish("ClusterDeleted", cl.Spec.Name, "", "every node has stopped; the volumes are kept at least until %s", cl.Deletion.RetainUntil.UTC().Format("2006-01-02 15:04 MST"))
	delete(c.clusters, cl.Spec.Name)
	delete(c.changedOwners, cl.Spec.Name)
	c.removed[state.Key(state.KindCluster+"/"+cl.Spec.Name)] = true
}

// clusterFormed records Elasticsearch's id of the cluster; from then on no node
// is started with initial masters again.
func (c *Core) clusterFormed(name string, incarnation int64, uuid string) {
	cl := c.clusters[name]
	if cl == nil || cl.Incarnation != incarnation || noUUID(uuid) || cl.ClusterUUID == uuid {
		return
	}
	if cl.foreign(uuid) {
		if cl.conditions["ClusterIdentity"].Status != "False" {
			c.publish("ForeignCluster", name, "", "a node reports cluster uuid %s, but this cluster formed as %s: look at its nodes before anything else", uuid, cl.ClusterUUID)
		}
		c.setCondition(cl, "ClusterIdentity", "False", "ForeignUUID",
			"a node reports cluster uuid %s, but this cluster formed as %s: two clusters may have formed; look at its nodes before anything else", uuid, cl.ClusterUUID)
		return
	}
	cl.ClusterUUID = uuid
	cl.UpdatedAt = c.now
	c.touchCluster(cl)
	c.publish("ClusterFormed", name, "", "Elasticsearch formed the cluster with uuid %s", uuid)
}

// noUUID reports whether Elasticsearch's answer names no cluster yet.
func noUUID(uuid string) bool { return uuid == "" || uuid == "_na_" }

// foreign reports whether a uuid is that of another cluster than the one that
// was formed here.
func (cl *cluster) foreign(uuid string) bool {
	return cl.ClusterUUID != "" && !noUUID(uuid) && uuid != cl.ClusterUUID
}

// census counts a cluster's wanted nodes.
type census struct{ wanted, placed, running, healthy, unreachable, missing int }

func (cl *cluster) census() census {
	var n census
	for _, s := range cl.slots {
		if s.Want != state.WantRun {
			continue
		}
		n.wanted++
		if s.Bind != nil {
			n.placed++
		}
		if s.isMissing() || s.volumeRemoved() {
			n.missing++
		}
		if s.Task == nil {
			continue
		}
		switch {
		case s.healthy():
			n.running++
			n.healthy++
		case s.Task.State == state.TaskRunning:
			n.running++
		case s.Task.State == state.TaskUnreachable:
			n.unreachable++
		}
	}
	return n
}

// judge sets a cluster's conditions and its phase.
func (c *Core) judge(cl *cluster) {
	n := cl.census()
	if missing := n.wanted - n.placed; missing > 0 {
		c.setCondition(cl, "NodesPlaced", "False", "WaitingForOffers", "%d of %d nodes have no place yet: see explain", missing, n.wanted)
	} else {
		c.setCondition(cl, "NodesPlaced", "True", "AllPlaced", "")
	}
	switch {
	case n.unreachable > 0:
		c.setCondition(cl, "NodesHealthy", "False", "Unreachable", "%d nodes are on agents that cannot be reached: nothing is replaced or destroyed for that; %s", n.unreachable, c.awayHint(cl))
	case n.missing > 0:
		c.setCondition(cl, "NodesHealthy", "False", "Missing", "%d nodes have ended, and their agents or volumes are not there: nothing is replaced or destroyed for that; %s", n.missing, c.awayHint(cl))
	case n.healthy < n.wanted:
		c.setCondition(cl, "NodesHealthy", "False", "NotAllJoined", "%d of %d nodes answer and have joined", n.healthy, n.wanted)
	default:
		c.setCondition(cl, "NodesHealthy", "True", "AllJoined", "")
	}
	c.judgeHostRule(cl)
	c.judgeVolumes(cl)
	c.judgeReplacements(cl)
	c.judgeElastic(cl)
	c.judgePhase(cl, n, c.judgeRestart(cl))
}

// judgeHostRule compares the rule's r with what lives: the number in the spec is
// a promise, the indices' own number_of_replicas is what counts.
func (c *Core) judgeHostRule(cl *cluster) {
	r := plan.Replicas(cl.Spec.Spec)
	full := cl.lastFull
	switch {
	case r == 0:
		c.setCondition(cl, "HostRule", "False", "NoReplicas", "spec.replicas is 0: losing any host would lose data, so no node is placed")
	case full.Full && full.MinReplicas >= 0 && full.MinReplicas < r:
		c.setCondition(cl, "HostRule", "False", "TooFewReplicas", "index %s has %d replicas, the spec promises %d: losing a host may lose its shards; raise its number_of_replicas", full.MinReplicasIndex, full.MinReplicas, r)
	case full.SharedHostTotal > 0:
		sh := full.SharedHost[0]
		c.setCondition(cl, "HostRule", "False", "SharedHost", "%d shards have several copies on one host, such as %s[%d] on %s", full.SharedHostTotal, sh.Index, sh.Shard, sh.Host)
	default:
		c.setCondition(cl, "HostRule", "True", "Kept", "at most %d nodes per machine", r)
	}
}

func (c *Core) judgeElastic(cl *cluster) {
	switch {
	case cl.observedAt.IsZero():
		c.setCondition(cl, "ElasticsearchHealthy", "Unknown", "NotObserved", "%s", cl.observeErr)
	case cl.observeErr != "":
		c.setCondition(cl, "ElasticsearchHealthy", "Unknown", "NoAnswer", "last answer %s; since then: %s", cl.observedAt.UTC().Format(time.RFC3339), cl.observeErr)
	case cl.observation.Health == "green":
		c.setCondition(cl, "ElasticsearchHealthy", "True", "Green", "")
	default:
		o := cl.observation
		c.setCondition(cl, "ElasticsearchHealthy", "False", titleHealth(o.Health), "%d shards unassigned, %d initializing, %d relocating", o.Unassigned, o.Initializing, o.Relocating)
	}
}

func titleHealth(h string) string {
	return map[string]string{"yellow": "Yellow", "red": "Red"}[h]
}

// green reports whether Elasticsearch itself says that all is well, with every
// wanted node a member.
func (cl *cluster) green(wanted int) bool {
	o := cl.observation
	return !cl.observedAt.IsZero() && cl.observeErr == "" && o.Health == "green" && len(o.Nodes) >= wanted
}

// judgePhase sets the phase; current: no node needs a restart.
func (c *Core) judgePhase(cl *cluster, n census, current bool) {
	ready := n.wanted > 0 && n.healthy == n.wanted && cl.green(n.wanted)
	if ready && current && cl.ObservedGeneration < cl.Generation {
		cl.ObservedGeneration = cl.Generation
		c.touchCluster(cl)
		c.publish("PlanComplete", cl.Spec.Name, "", "generation %d is reached: %d nodes, green", cl.Generation, n.wanted)
	}
	was := cl.phase
	switch {
	case ready:
		cl.phase = phaseReady
	case was == phaseReady && n.healthy == n.wanted && cl.silent(c.now):
		// A question or two without an answer is no news.
	case cl.ObservedGeneration == cl.Generation:
		cl.phase = phaseDegraded
	case n.placed == 0:
		cl.phase = phasePending
	default:
		cl.phase = phaseDeploying
	}
	if was == cl.phase {
		return
	}
	switch {
	case cl.phase == phaseReady:
		c.publish("ClusterReady", cl.Spec.Name, "", "%d nodes, green", n.wanted)
	case cl.phase == phaseDegraded && was == phaseReady:
		c.publish("ClusterDegraded", cl.Spec.Name, "", "%d of %d nodes are healthy, Elasticsearch says %s", n.healthy, n.wanted, cl.health())
	}
}

// silent reports whether Elasticsearch has only just stopped answering.
func (cl *cluster) silent(now time.Time) bool {
	return cl.observeErr != "" && now.Before(cl.observedAt.Add(observeTrusted))
}

// health is Elasticsearch's last word, or unknown.
func (cl *cluster) health() string {
	if cl.observedAt.IsZero() || cl.observeErr != "" {
		return "unknown"
	}
	return cl.observation.Health
}

func (c *Core) setCondition(cl *cluster, typ, status, reason, format string, args ...any) {
	noteCondition(cl.conditions, c.now, typ, status, reason, fmt.Sprintf(format, args...))
}

// noteCondition sets a condition; one that only changes its message keeps its age.
func noteCondition(all map[string]v1.Condition, now time.Time, typ, status, reason, message string) {
	since := now
	if old, ok := all[typ]; ok && old.Status == status && old.Reason == reason {
		since = old.Since
	}
	all[typ] = v1.Condition{Type: typ, Status: status, Reason: reason, Message: message, Since: since}
}

// earliest is the first of two times; the zero time is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// later is the second of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
