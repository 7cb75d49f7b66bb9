package conformance

import (
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

var offerScenarios = []scenario{
	{"subscribe", "A framework gets an id, keeps it when it comes back, and is offered what there is each time.", func(s *script) {
		s.machines("a", "b")
		s.subscribe()
		s.offered("a")
		s.offered("b")
		s.unsubscribe()
		s.subscribe()
		s.offered("a")
	}},
	{"decline", "A filter keeps what was refused away, until it ends or REVIVE clears it.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.decline(s.offered("a"), never)
		s.noOffers()
		s.revive()
		s.decline(s.offered("a"), time.Second)
		s.offered("a")
	}},
	{"decline-not-at-all", "A filter of no time is none.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.decline(s.offered("a"), 0)
		s.offered("a")
	}},
	{"suppress", "SUPPRESS stops offers to a role, and takes none back.", func(s *script) {
		s.machines("a")
		s.subscribe()
		held := s.offered("a")
		s.suppress(role)
		s.silence()
		s.accept(held, launch(s.task("t1", "a", share()...)))
		s.runs("t1")
		s.noOffers()
		s.revive(role)
		s.offered("a")
	}},
	{"suppress-all", "SUPPRESS and REVIVE without a role mean all roles.", func(s *script) {
		s.machines("a")
		s.subscribe()
		held := s.offered("a")
		s.suppress()
		s.decline(held, 0)
		s.noOffers()
		s.revive()
		s.offered("a")
	}},
	{"suppress-ends-with-the-subscription", "A new subscription is suppressed for no role, and has no filters.", func(s *script) {
		s.machines("a")
		s.subscribe()
		held := s.offered("a")
		s.suppress()
		s.decline(held, never)
		s.noOffers()
		s.unsubscribe()
		s.subscribe()
		s.offered("a")
	}},
	{"filter-of-less", "A filter does not hold an offer back that has something that was not refused (Mesos rule 18).", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.settle("s1", "a")
		s.decline(s.offered("a"), never)
		s.noOffers()
		s.step("an operator destroys the volume")
		s.c.Destroy("a", volume("s1", 512))
		s.offered("a")
	}},
	{"leftovers", "What is left beside a task is offered as long as it is useful to us (Mesos rule 24).", func(s *script) {
		s.machines("a", "b")
		s.subscribe()
		s.accept(s.offered("a"), launch(s.task("t1", "a", scalar("cpus", 4), scalar("mem", 4096))))
		s.accept(s.offered("b"), launch(s.task("t2", "b", scalar("cpus", 4), scalar("mem", 4096), scalar("disk", 10000))))
		s.await("task t1 STARTING", "task t1 RUNNING", "task t2 STARTING", "task t2 RUNNING")
		s.decline(s.offered("a"), never)
		s.noOffers()
	}},
	{"rescind", "Offers of an agent that goes away are taken back.", func(s *script) {
		s.machines("a")
		s.subscribe()
		held := s.offered("a")
		s.stopAgent("a")
		s.takenBack(held)
		s.startAgent("a")
		s.back("a")
		s.offered("a")
	}},
	{"accept-rescinded", "What is sent on an offer that was taken back is dropped.", func(s *script) {
		s.machines("a")
		s.subscribe()
		held := s.offered("a")
		s.stopAgent("a")
		s.takenBack(held)
		s.accept(held, reserve("r1", reserved("s1", share()...)...), launch(s.task("t1", "a", share()...)))
		s.await("operation r1 ERROR", "task t1 DROPPED")
	}},
	{"accept-unknown", "What is sent on an offer that never was is dropped.", func(s *script) {
		s.machines("a")
		s.subscribe()
		held := s.offered("a")
		unknown := held[:1:1]
		unknown[0].ID = mesos.OfferID{Value: "no-such-offer"}
		s.accept(unknown, reserve("r1", reserved("s1", share()...)...), launch(s.task("t1", "a", share()...)))
		s.await("operation r1 ERROR", "task t1 DROPPED")
	}},
	{"accept-twice", "An offer can be used once.", func(s *script) {
		s.machines("a")
		s.subscribe()
		held := s.offered("a")
		s.accept(held, launch(s.task("t1", "a", share()...)))
		s.runs("t1")
		s.accept(held, launch(s.task("t2", "a", share()...)))
		s.await("task t2 DROPPED")
		s.offered("a")
	}},
	{"accept-mixed", "Offers of two agents cannot be accepted together (Mesos rule 19); both are lost.", func(s *script) {
		s.machines("a", "b")
		s.subscribe()
		both := append(s.offered("a"), s.offered("b")...)
		s.accept(both, reserve("r1", reserved("s1", share()...)...), launch(s.task("t1", "a", share()...)))
		s.await("operation r1 ERROR", "task t1 DROPPED")
		s.offered("a")
		s.offered("b")
	}},
	{"decline-unknown", "A DECLINE of an offer that is no more changes nothing.", func(s *script) {
		s.machines("a")
		s.subscribe()
		held := s.offered("a")
		s.accept(held)
		s.decline(held, never)
		s.offered("a")
	}},
}

func (s *script) stopAgent(name string) {
	s.arrived()
	s.step("the agent of %s is killed", name)
	s.c.StopAgent(name)
}

func (s *script) startAgent(name string) {
	s.step("the agent of %s is started", name)
	s.c.StartAgent(name)
}
