package conformance

import (
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

var frameworkScenarios = []scenario{
	{"failover", "The newest subscription of a framework id wins; the old one hears so and can call no more (Mesos rules 2 and 3).", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		held := s.offered("a")
		old := s.stream
		s.subscribing()
		s.await("old stream error", "old stream closed", "subscribed")
		s.step("the old one revives")
		s.answered(s.c.Call(old, s.ours(&sched.Call{Type: sched.Call_REVIVE, Revive: &sched.Call_Revive{}})))
		s.offered("a")
		s.accept(held, launch(s.task("t2", "a", share()...)))
		s.await("task t2 DROPPED")
		s.reconcile([2]string{"t1", s.ids["a"]})
		s.await("task t1 RUNNING")
	}},
	{"away", "Tasks of a framework that is away go on, and what they say meanwhile is heard afterwards.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.unsubscribe()
		s.drain("a")
		s.silence()
		s.subscribe()
		s.await("task t1 KILLED")
	}},
	{"master-failover", "A new master learns from the agents what there is; tasks go on.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.failMaster()
		s.subscribe()
		s.back("a")
		s.offered("a")
		s.reconcile([2]string{"t1", s.ids["a"]}, [2]string{"t9", s.ids["a"]})
		s.await("task t1 RUNNING", "task t9 GONE")
		s.tell("t1", "a", beHealthy)
		s.await("task t1 RUNNING")
	}},
	{"master-failover-agent-away", "A new master says nothing of tasks on an agent that is not back yet, and knows no operations (Mesos rules 37 and 45).", func(s *script) {
		s.machines("a", "b")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.stopAgent("a")
		s.failMaster()
		s.subscribe()
		s.reconcile([2]string{"t1", s.ids["a"]})
		s.silence()
		s.reconcile([2]string{"t1", ""})
		s.silence()
		s.reconcile([2]string{"t2", "no-such-agent"})
		s.await("task t2 UNKNOWN")
		s.kill("t1", s.ids["a"])
		s.silence()
		s.reconcileOperation("r1", s.ids["a"])
		s.await("operation r1 RECOVERING")
		s.startAgent("a")
		s.back("a")
		s.reconcile([2]string{"t1", s.ids["a"]})
		s.await("task t1 RUNNING")
	}},
	{"master-failover-feedback", "Updates and feedback that were not acknowledged are repeated to the next master's subscription.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.run("t1", "a")
		s.silent = true
		s.accept(s.offered("a"), reserve("r1", reserved("s1", scalar("cpus", 1))...))
		s.await("operation r1 FINISHED")
		s.tell("t1", "a", fail)
		s.await("task t1 FAILED", "failure of executor t1")
		s.failMaster()
		s.silent = false
		s.subscribe()
		s.await("operation r1 FINISHED again", "task t1 FAILED again")
		s.offered("a")
	}},
	{"failover-timeout", "A framework that is away for longer than its failover timeout is removed for ever, with its tasks; its reservations stay (Mesos rules 9 and 10).", func(s *script) {
		s.machines("a")
		s.framework(role)
		s.info.FailoverTimeout = ptr(1.0)
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.unsubscribe()
		s.removed()
		s.subscribing()
		s.await("error", "closed")
		s.info.ID = nil
		s.subscribe()
		s.reconcile([2]string{"t1", s.ids["a"]})
		s.await("task t1 GONE")
		clear(s.used)
		s.offered("a")
	}},
	{"teardown", "A framework that an operator tears down hears so, and is not taken again.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.step("an operator tears the framework down")
		s.c.Teardown(s.info.ID.Value)
		s.await("closed")
		clear(s.offers)
		s.subscribing()
		s.await("error", "closed")
	}},
	{"unknown-framework-id", "A framework id that this master never gave out is taken.", func(s *script) {
		s.machines("a")
		s.framework(role)
		s.info.ID = &mesos.FrameworkID{Value: "an-id-of-old"}
		s.subscribe()
		s.offered("a")
	}},
	{"roles-changed", "A framework that comes back for another role is not offered what is reserved for the one before (Mesos rule 53).", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.settle("s1", "a")
		s.unsubscribe()
		s.framework("other")
		s.subscribe()
		s.offeredTo("other", "a", totals([]mesos.Resource{scalar("cpus", 3), scalar("mem", 4096-256), scalar("disk", 10000-512), ports(31002, 31099)}))
		s.unsubscribe()
		s.framework(role)
		s.subscribe()
		s.offered("a")
	}},
	{"two-roles", "Each role of a framework is offered its own reservations alone, and an offer is for one role.", func(s *script) {
		s.machines("a")
		s.framework(role, "other")
		s.subscribe()
		s.suppress("other")
		s.reviveUntilOffered("a")
		s.settle("s1", "a")
		held := s.offered("a")
		s.suppress(role)
		s.revive("other")
		s.decline(held, 0)
		other := s.offeredTo("other", "a", totals([]mesos.Resource{scalar("cpus", 3), scalar("mem", 4096-256), scalar("disk", 10000-512), ports(31002, 31099)}))
		s.accept(other, reserve("r1", reservedFor(role, "s2", scalar("cpus", 1))...), reserve("r2", reservedFor("other", "s2", scalar("cpus", 1))...))
		s.await("operation r1 ERROR", "operation r2 FINISHED")
		s.offeredTo("other", "a", totals([]mesos.Resource{scalar("cpus", 3), scalar("mem", 4096-256), scalar("disk", 10000-512), ports(31002, 31099)}))
	}},
	{"role-twice", "A framework that names a role twice is refused by an event (Mesos rule 13).", func(s *script) {
		s.framework(role)
		s.info.Roles = []string{role, role}
		s.subscribing()
		s.await("error", "closed")
	}},
	{"quota", "A role is offered no more than its quota leaves, in which tasks and reservations count, also those that no task uses (Mesos rule 51).", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.settle("s1", "a")
		held := s.offered("a")
		s.quota(map[string]float64{"cpus": 2, "mem": 1024})
		s.decline(held, time.Second)
		left := totals([]mesos.Resource{scalar("cpus", 2), scalar("mem", 1024), scalar("disk", 10000), ports(31000, 31099)})
		s.accept(s.offeredTo(role, "a", left), launch(s.task("t1", "a", hold("s1")...)))
		s.runs("t1")
		left = totals([]mesos.Resource{scalar("cpus", 1), scalar("mem", 1024-256), scalar("disk", 10000-512), ports(31002, 31099)})
		s.accept(s.offeredTo(role, "a", left), launch(s.task("t2", "a", scalar("cpus", 1), scalar("mem", 256))))
		s.runs("t2")
		left = totals([]mesos.Resource{scalar("mem", 1024-512), scalar("disk", 10000-512), ports(31002, 31099)})
		s.offeredTo(role, "a", left)
	}},
	{"quota-takes-offers-back", "A quota takes back the offers that go beyond it.", func(s *script) {
		s.machines("a")
		s.subscribe()
		held := s.offered("a")
		s.quota(map[string]float64{"cpus": 1})
		s.takenBack(held)
		s.accept(s.offeredTo(role, "a", totals([]mesos.Resource{scalar("cpus", 1), scalar("mem", 4096), scalar("disk", 10000), ports(31000, 31099)})),
			reserve("r1", reserved("s1", scalar("cpus", 2))...))
		s.await("operation r1 ERROR")
	}},
}

func (s *script) quota(limits map[string]float64) {
	s.step("the quota of %s is set", role)
	s.c.SetQuota(role, limits)
}

// removed waits until the failover timeout of one second is over.
func (s *script) removed() {
	s.step("the failover timeout passes")
	s.silence()
}

// reviveUntilOffered asks for everything for our role, which another role may
// have been offered first.
func (s *script) reviveUntilOffered(machine string) {
	for {
		for _, r := range s.info.Roles {
			if r == role {
				continue
			}
			if offers, _ := s.outstanding(r, machine); len(offers) > 0 {
				s.consumeQuietly(offers)
			}
		}
		if offers, _ := s.outstanding(role, machine); len(offers) > 0 {
			return
		}
		s.so(s.pump(enough), "%s is not offered to %s", machine, role)
	}
}

func (s *script) consumeQuietly(offers []mesos.Offer) {
	s.answered(s.c.Call(s.stream, s.ours(&sched.Call{Type: sched.Call_DECLINE, Decline: &sched.Call_Decline{OfferIDs: s.consume(offers), Filters: refuse(never)}})))
}
