package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/berthdata/berth/scheduler/state"
)

// Step takes one event at the time now and returns what follows from it. It
// never fails: what cannot be done is said in Why, in conditions and in replies.
// The times of successive steps must not go backwards.
func (c *Core) Step(now time.Time, ev Event) Decision {
	c.begin(now)
	switch e := ev.(type) {
	case Subscribed:
		c.subscribed(e)
	case Disconnected:
		c.disconnected(e)
	case OffersReceived:
		c.offersReceived(e.Offers)
	case OfferRescinded:
		// No offer is held between steps: each is used or declined in the step
		// that brings it. An ACCEPT that crosses a RESCIND comes back as
		// TASK_DROPPED and OPERATION_DROPPED (Mesos rules 20 and 21).
	case InverseOffersReceived:
		c.inverseOffers(e)
	case TaskUpdated:
		c.taskUpdated(e.Status)
	case OperationUpdated:
		c.operationUpdated(e.Status)
	case AgentFailed:
		c.agentFailed(e.AgentID)
	case ExecutorFailed:
		c.executorFailed(e)
	case CallFailed:
		c.callFailed(e)
	case AgentsObserved:
		c.agentsObserved(e)
	case ElasticObserved:
		c.elasticObserved(e)
	case TimerFired:
	case SpecPut:
		c.specPut(e)
	case SpecDeleted:
		c.specDeleted(e)
	case RestartOrdered:
		c.restartOrdered(e)
	case PlanControlled:
		c.planControlled(e)
	case VolumeDestroyOrdered:
		c.volumeDestroyOrdered(e)
	case VolumeRestored:
		c.volumeRestored(e)
	case NodeReplaceOrdered:
		c.nodeReplaceOrdered(e)
	case NodeReplaceCancelled:
		c.nodeReplaceCancelled(e)
	case TaskKillOrdered:
		c.taskKillOrdered(e)
	case TaskKillWithdrawn:
		c.taskKillWithdrawn(e)
	case WitnessAsked:
		c.witnessAsked(e)
	case RepairAsked:
		c.repairAsked(e)
	case RepairApproved:
		c.repairApproved(e)
	case RepairCancelled:
		c.repairCancelled(e)
	case OperatorAnswered:
		c.operatorAnswered(e)
	default:
		if !c.sparkEvent(ev) {
			c.why("event %T is not known to this core and was ignored", ev)
		}
	}
	c.auditOrder(ev)
	return c.settle()
}

func (c *Core) begin(now time.Time) {
	c.now = now
	c.out = Decision{}
	clear(c.changedSlots)
	clear(c.changedOwners)
	clear(c.changedApps)
	clear(c.changedKills)
	clear(c.changedRepairs)
	clear(c.removed)
	c.frameworkDirty, c.findingsDirty, c.auditLog.dirty = false, false, 0
	c.wake = time.Time{}
}

// settle is the level-triggered half of a step: whatever the event was, what
// the state now asks for is done, for everything that was touched or is due.
func (c *Core) settle() Decision {
	for _, key := range c.agenda.due(c.now) {
		if s := c.slots[key]; s != nil {
			c.look[key] = true
		} else if name, ok := strings.CutPrefix(key, clusterKey); ok {
			c.lookOwners[name] = true
		} else if name, ok := strings.CutPrefix(key, applicationKey); ok {
			c.lookApps[name] = true
		} else if id, ok := strings.CutPrefix(key, taskKey); ok && c.unknown[id] != nil {
			c.settleKill(c.unknown[id])
		} else if id, ok := strings.CutPrefix(key, repairKey); ok && c.repairs[id] != nil {
			c.lookRepairs[id] = true
		}
	}
	// Clusters make and retire slots, and slots that change may change their
	// cluster's phase: both are looked at in turn until nothing is left.
	for round := 0; len(c.look)+len(c.lookOwners)+len(c.lookApps) > 0; round++ {
		if round == maxRounds {
			c.why("still unsettled after %d rounds: going on in the next step", round)
			c.wakeAt(c.now.Add(time.Second))
			break
		}
		c.settleClusters()
		c.settleApplications()
		c.settleSlotsOf(c.look)
	}
	c.settleRepairs()
	c.flushNotices()
	c.settleReconciliation()
	c.settleReturned()
	c.settleDemand()
	c.settleAgents()
	c.auditOutcomes()
	if err := c.encode(); err != nil {
		// A record that does not fit can only come from a spec near the size
		// gate, which the API refuses; going on here would act without a record.
		panic(fmt.Sprintf("scheduler: a record cannot be written: %v", err))
	}
	c.wakeAt(c.agenda.next())
	c.out.Wake = c.wake
	return c.out
}

// settleSlotsOf settles the slots to be looked at, in the order of their ids.
func (c *Core) settleSlotsOf(look map[string]bool) {
	ids := slices.Sorted(maps.Keys(look))
	clear(look)
	for _, id := range ids {
		if s := c.slots[id]; s != nil {
			c.settleSlot(s)
			c.lookOwner(s)
		} else {
			c.agenda.set(id, time.Time{})
			delete(c.wanting, id)
		}
	}
}

func (c *Core) settleApplications() {
	names := slices.Sorted(maps.Keys(c.lookApps))
	clear(c.lookApps)
	for _, name := range names {
		if a := c.apps[name]; a != nil {
			c.settleApplication(a)
		} else {
			c.agenda.set(applicationKey+name, time.Time{})
		}
	}
}

func (c *Core) settleClusters() {
	names := slices.Sorted(maps.Keys(c.lookOwners))
	clear(c.lookOwners)
	for _, name := range names {
		if cl := c.clusters[name]; cl != nil {
			c.settleCluster(cl)
		} else {
			c.agenda.set(clusterKey+name, time.Time{})
		}
	}
}

// promises reports whether this step acknowledges anything. "Nothing to change" and
// "it is being deleted" are promises too, and only the store knows whether this
// leader still leads: they wait for a write as well (Mesos rule 57).
func (c *Core) promises() bool {
	return slices.ContainsFunc(c.out.Replies, func(r Reply) bool { return r.Accepted != nil && !r.Accepted.DryRun })
}

// encode turns what changed into Writes, in an order that does not depend on
// the maps' order.
func (c *Core) encode() error {
	if c.frameworkDirty {
		if err := c.encodeFramework(); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.changedOwners)) {
		w, err := clusterRecord.Encode(name, c.changedOwners[name].Cluster)
		if err != nil {
			return err
		}
		c.out.Writes = append(c.out.Writes, w)
	}
	for _, name := range slices.Sorted(maps.Keys(c.changedApps)) {
		w, err := applicationRecord.Encode(name, c.changedApps[name].Application)
		if err != nil {
			return err
		}
		c.out.Writes = append(c.out.Writes, w)
	}
	for _, id := range slices.Sorted(maps.Keys(c.changedSlots)) {
		w, err := slotRecord.Encode(id, c.changedSlots[id].Slot)
		if err != nil {
			return err
		}
		c.out.Writes = append(c.out.Writes, w)
	}
	if err := c.encodeKills(); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(c.changedRepairs)) {
		w, err := repairRecord.Encode(id, *c.repairs[id])
		if err != nil {
			return err
		}
		c.out.Writes = append(c.out.Writes, w)
	}
	if c.findingsDirty {
		w, err := c.encodeFindings()
		if err != nil {
			return err
		}
		c.out.Writes = append(c.out.Writes, w)
	}
	if err := c.encodeAudit(); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(c.removed)) {
		c.out.Writes = append(c.out.Writes, state.Write{Key: key})
	}
	if len(c.out.Writes) == 0 && c.promises() {
		return c.encodeFramework()
	}
	return nil
}

func (c *Core) encodeFramework() error {
	w, err := frameworkRecord.Encode(frameworkName, c.framework)
	if err == nil {
		c.out.Writes = append(c.out.Writes, w)
	}
	return err
}
