package conformance

import mesos "github.com/mesos/mesos-go/api/v1/lib"

// need is what a slot of the scenarios reserves; its disk is made a volume.
func need(label string) []mesos.Resource {
	return reserved(label, scalar("cpus", 1), scalar("mem", 256), scalar("disk", 512), ports(31000, 31001))
}

// hold is need with the volume made.
func hold(label string) []mesos.Resource {
	return append(reserved(label, scalar("cpus", 1), scalar("mem", 256), ports(31000, 31001)), volume(label, 512))
}

// settle makes a reservation with a volume on a machine.
func (s *script) settle(label, machine string) {
	s.t.Helper()
	s.accept(s.offered(machine), reserve("r-"+label, need(label)...), create("c-"+label, volume(label, 512)))
	s.await("operation r-"+label+" FINISHED", "operation c-"+label+" FINISHED")
}

var operationScenarios = []scenario{
	{"volume-life", "A reservation and a volume are made and used in one ACCEPT, kept when the task ends, and given back.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.accept(s.offered("a"), reserve("r1", need("s1")...), create("c1", volume("s1", 512)), launch(s.task("t1", "a", hold("s1")...)))
		s.await("operation r1 FINISHED", "operation c1 FINISHED", "task t1 STARTING", "task t1 RUNNING")
		s.offered("a")
		s.kill("t1", s.ids["a"])
		s.await("task t1 KILLED", "failure of executor t1")
		s.accept(s.offered("a"), launch(s.task("t2", "a", hold("s1")...)))
		s.runs("t2")
		s.tell("t2", "a", fail)
		s.await("task t2 FAILED", "failure of executor t2")
		s.accept(s.offered("a"), destroy("d1", volume("s1", 512)), unreserve("u1", need("s1")...))
		s.await("operation d1 FINISHED", "operation u1 FINISHED")
		s.offered("a")
	}},
	{"reserve-too-much", "RESERVE of more than is offered is refused.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.accept(s.offered("a"), reserve("r1", reserved("s1", scalar("cpus", 5))...))
		s.await("operation r1 ERROR")
		s.offered("a")
	}},
	{"reserve-twice", "Two reservations with one label are one; with another label they are two (Mesos rule 30).", func(s *script) {
		s.machines("a")
		s.subscribe()
		cpu := scalar("cpus", 1)
		s.accept(s.offered("a"), reserve("r1", reserved("s1", cpu)...), reserve("r2", reserved("s1", cpu)...), reserve("r3", reserved("s2", cpu)...))
		s.await("operation r1 FINISHED", "operation r2 FINISHED", "operation r3 FINISHED")
		s.offered("a")
	}},
	{"reserve-for-another-role", "RESERVE for a role that the offer is not for, or by another principal, is refused (Mesos rule 29).", func(s *script) {
		s.machines("a")
		s.subscribe()
		foreign := reserved("s1", scalar("cpus", 1))
		foreign[0].Reservations[0].Principal = ptr("somebody")
		s.accept(s.offered("a"), reserve("r1", reservedFor("other", "s1", scalar("cpus", 1))...), reserve("r2", foreign...))
		s.await("operation r1 ERROR", "operation r2 ERROR")
		s.offered("a")
	}},
	{"create-refused", "CREATE needs reserved disk of that size, and an id that the role does not use on the agent (Mesos rule 32).", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.settle("s1", "a")
		again := volume("s1", 512)
		again.Reservations = reserved("s2", scalar("disk", 1))[0].Reservations
		s.accept(s.offered("a"),
			create("c1", volume("s3", 512)),
			reserve("r2", reserved("s2", scalar("disk", 512))...),
			create("c2", volume("s2", 513)),
			create("c3", again),
		)
		s.await("operation c1 ERROR", "operation r2 FINISHED", "operation c2 ERROR", "operation c3 ERROR")
		s.offered("a")
	}},
	{"partial-accept", "A CREATE that is refused leaves the RESERVE before it done, and the LAUNCH after it without its volume (Mesos rule 28).", func(s *script) {
		s.machines("a")
		s.subscribe()
		bad := volume("s1", 512)
		bad.Disk.Volume.Mode = mesos.RO.Enum()
		s.accept(s.offered("a"), reserve("r1", need("s1")...), create("c1", bad), launch(s.task("t1", "a", hold("s1")...)))
		s.await("operation r1 FINISHED", "operation c1 ERROR", "task t1 ERROR")
		s.offered("a")
	}},
	{"unreserve-under-volume", "UNRESERVE is refused while a volume stands on the reservation (Mesos rule 31).", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.settle("s1", "a")
		s.accept(s.offered("a"), unreserve("u1", need("s1")...), unreserve("u2", hold("s1")...))
		s.await("operation u1 ERROR", "operation u2 ERROR")
		s.offered("a")
	}},
	{"destroy-in-use", "DESTROY of a volume and UNRESERVE of what a task uses are refused (Mesos rule 31).", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.settle("s1", "a")
		s.accept(s.offered("a"), launch(s.task("t1", "a", hold("s1")...)))
		s.runs("t1")
		s.accept(s.offered("a"), destroy("d1", volume("s1", 512)), unreserve("u1", reserved("s1", scalar("cpus", 1))...))
		s.await("operation d1 ERROR", "operation u1 ERROR")
		s.kill("t1", s.ids["a"])
		s.await("task t1 KILLED", "failure of executor t1")
		s.offered("a")
	}},
	{"destroy-unknown", "DESTROY and UNRESERVE of what is not there are refused.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.accept(s.offered("a"), destroy("d1", volume("s1", 512)), unreserve("u1", need("s1")...))
		s.await("operation d1 ERROR", "operation u1 ERROR")
		s.offered("a")
	}},
	{"operation-id-twice", "Nobody minds that two operations have one id.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.silent = true
		s.accept(s.offered("a"), reserve("r1", reserved("s1", scalar("cpus", 1))...))
		s.await("operation r1 FINISHED")
		s.accept(s.offered("a"), reserve("r1", reserved("s2", scalar("cpus", 1))...))
		s.await("operation r1 FINISHED")
		s.offered("a")
	}},
	{"operation-never-arrives", "An operation and a launch that an agent did not get before it died are dropped when it is back.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.settle("s1", "a")
		held := s.offered("a")
		s.partition("a")
		s.accept(held, reserve("r1", reserved("s2", scalar("cpus", 1))...), launch(s.task("t1", "a", hold("s1")...)))
		s.stopAgent("a")
		s.startAgent("a")
		s.await("operation r1 DROPPED", "task t1 DROPPED")
		s.offered("a")
	}},
	{"operation-pending-unreachable", "An operation and a launch on their way to an agent that is given up are unreachable; when it is back without them, the master knows neither.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.settle("s1", "a")
		held := s.offered("a")
		s.partition("a")
		s.accept(held, reserve("r1", reserved("s2", scalar("cpus", 1))...), launch(s.task("t1", "a", hold("s1")...)))
		s.await("operation r1 UNREACHABLE", "task t1 UNREACHABLE", "failure of a")
		s.stopAgent("a")
		s.startAgent("a")
		s.back("a")
		clear(s.used)
		s.offered("a")
		s.reconcile([2]string{"t1", s.ids["a"]})
		s.await("task t1 GONE")
		s.reconcileOperation("r1", s.ids["a"])
		s.await("operation r1 UNKNOWN")
		s.accept(s.offered("a"), launch(s.task("t1", "a", hold("s1")...)))
		s.runs("t1")
	}},
	{"operation-pending-gone", "An operation and a launch on their way to an agent that is declared gone are gone with it.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.settle("s1", "a")
		held := s.offered("a")
		s.partition("a")
		s.accept(held, reserve("r1", reserved("s2", scalar("cpus", 1))...), launch(s.task("t1", "a", hold("s1")...)))
		s.markGone("a")
		s.await("operation r1 GONE_BY_OPERATOR", "task t1 GONE_BY_OPERATOR", "failure of a")
	}},
	{"operation-feedback-unreachable", "Feedback that was not acknowledged is repeated when its agent is back after it was given up, also with a reboot.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.silent = true
		s.accept(s.offered("a"), reserve("r1", reserved("s1", scalar("cpus", 1))...))
		s.await("operation r1 FINISHED")
		s.powerOff("a")
		s.await("operation r1 UNREACHABLE", "failure of a")
		s.reconcileOperation("r1", s.ids["a"])
		s.await("operation r1 UNREACHABLE")
		s.startAgent("a")
		s.silent = false
		s.await("operation r1 FINISHED again")
		s.offered("a")
	}},
	{"operation-feedback-new-id", "Feedback that was not acknowledged is lost with the agent's id.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.run("t1", "a")
		s.silent = true
		s.accept(s.offered("a"), reserve("r1", reserved("s1", scalar("cpus", 1))...))
		s.await("operation r1 FINISHED")
		s.tell("t1", "a", fail)
		s.await("task t1 FAILED", "failure of executor t1")
		s.stopAgent("a")
		s.forgetID("a")
		s.startAgent("a")
		s.await("task t1 LOST", "failure of a")
		s.back("a")
		s.offered("a")
		s.reconcileOperation("r1", s.agentNamed("a"))
		s.await("operation r1 UNKNOWN")
	}},
	{"operation-feedback-repeats", "Feedback of operations is repeated when the agent comes back, until it is acknowledged.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.silent = true
		s.accept(s.offered("a"), reserve("r1", reserved("s1", scalar("cpus", 1))...))
		s.await("operation r1 FINISHED")
		s.stopAgent("a")
		s.startAgent("a")
		s.silent = false
		s.await("operation r1 FINISHED again")
		s.offered("a")
	}},
	{"operation-reconcile", "What the master says of operations: their state while they are not acknowledged, else that it does not know (Mesos rule 37).", func(s *script) {
		s.machines("a", "b")
		s.subscribe()
		s.silent = true
		s.accept(s.offered("a"), reserve("r1", reserved("s1", scalar("cpus", 1))...))
		s.await("operation r1 FINISHED")
		s.reconcileOperation("r1", s.ids["a"])
		s.await("operation r1 FINISHED")
		s.reconcileOperation("r1", "")
		s.await("operation r1 FINISHED")
		s.reconcileOperation("r2", s.ids["a"])
		s.await("operation r2 UNKNOWN")
		s.reconcileOperation("r2", "")
		s.await("operation r2 UNKNOWN")
		s.reconcileOperation("r2", "no-such-agent")
		s.await("operation r2 UNKNOWN")
		s.stopAgent("b")
		s.await("failure of b")
		s.reconcileOperation("r2", s.ids["b"])
		s.await("operation r2 UNREACHABLE")
		s.markGone("b")
		s.reconcileOperation("r2", s.ids["b"])
		s.await("operation r2 GONE_BY_OPERATOR")
	}},
	{"operator-interferes", "An operator destroys a volume and frees a reservation: offers are taken back, and show it afterwards.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.settle("s1", "a")
		held := s.offered("a")
		s.step("an operator destroys the volume")
		s.c.Destroy("a", volume("s1", 512))
		s.takenBack(held)
		held = s.offered("a")
		s.step("an operator frees the reservation")
		s.c.Unreserve("a", need("s1")...)
		s.takenBack(held)
		s.offered("a")
	}},
}
