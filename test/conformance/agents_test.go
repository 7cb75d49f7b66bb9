package conformance

func (s *script) partition(name string) {
	s.arrived()
	s.step("%s is cut off", name)
	s.c.Partition(name)
}

func (s *script) rejoin(name string) {
	s.step("%s is reachable again", name)
	s.c.Rejoin(name)
}

func (s *script) powerOff(name string) {
	s.arrived()
	s.step("%s loses power", name)
	s.c.PowerOff(name)
}

func (s *script) forgetID(name string) {
	s.step("the agent of %s forgets its id", name)
	s.c.ForgetID(name)
}

func (s *script) markGone(name string) {
	s.step("%s is declared gone", name)
	s.c.MarkGone(s.ids[name])
}

func (s *script) drain(name string) {
	s.step("%s is drained", name)
	s.c.Drain(name)
}

func (s *script) reactivate(name string) {
	s.step("%s is reactivated", name)
	s.c.Reactivate(name)
}

func (s *script) failMaster() {
	s.arrived()
	s.step("the master dies, and another follows")
	s.c.FailMaster()
	s.await("closed")
	clear(s.offers)
}

// placed has a task with a volume on a machine.
func (s *script) placed(task, label, machine string) {
	s.t.Helper()
	s.settle(label, machine)
	s.accept(s.offered(machine), launch(s.task(task, machine, hold(label)...)))
	s.runs(task)
}

// patient are the scenarios for which a master must not give an agent up that is
// away for some seconds.
var patient = map[string]bool{"end-while-agent-away": true, "executor-lost-while-agent-away": true, "agent-away": true}

var agentScenarios = []scenario{
	{"agent-restart", "An agent that dies and is started again keeps its id, its task and the volume under it.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		held := s.offered("a")
		s.stopAgent("a")
		s.takenBack(held)
		s.startAgent("a")
		s.back("a")
		s.silence()
		s.offered("a")
		s.tell("t1", "a", beHealthy)
		s.await("task t1 RUNNING")
	}},
	{"reboot", "A machine that loses power comes back with the same agent id, its volume, and without its task (Mesos rule 48).", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.powerOff("a")
		s.startAgent("a")
		s.await("task t1 FAILED")
		s.back("a")
		s.offered("a")
	}},
	{"reboot-late", "The same, when the master has given the agent up meanwhile.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.powerOff("a")
		s.await("task t1 UNREACHABLE", "failure of a")
		s.startAgent("a")
		s.await("task t1 FAILED", "task t1 FAILED")
		s.back("a")
		s.offered("a")
	}},
	{"end-while-agent-away", "A task that ends while its agent is away says so when it is back.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.tell("t1", "a", failLater)
		s.stopAgent("a")
		s.lapse()
		// The executor may be gone before the agent is with the master again.
		s.mayHear("failure of executor t1")
		s.startAgent("a")
		s.await("task t1 FAILED")
		s.back("a")
		s.offered("a")
	}},
	{"executor-lost-while-agent-away", "An executor that dies while its agent is away is missed when it is back.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.tell("t1", "a", crashLate)
		s.stopAgent("a")
		s.lapse()
		s.startAgent("a")
		s.await("task t1 FAILED")
		s.back("a")
		s.offered("a")
	}},
	{"agent-away", "While an agent is away for a moment its task is told as it was last known, and a KILL of it waits.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.stopAgent("a")
		s.reconcile([2]string{"t1", s.ids["a"]}, [2]string{"t9", s.ids["a"]})
		s.await("task t1 RUNNING", "task t9 GONE")
		s.reconcileOperation("r-s1", s.ids["a"])
		s.await("operation r-s1 UNKNOWN")
		s.kill("t1", s.ids["a"])
		s.startAgent("a")
		s.await("task t1 KILLED", "failure of executor t1")
		s.back("a")
	}},
	{"end-not-acknowledged-unreachable", "A task whose end was not acknowledged is unreachable like others when its agent is given up, and its end is told when it is back.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.silent = true
		s.tell("t1", "a", fail)
		s.await("task t1 FAILED", "failure of executor t1")
		s.stopAgent("a")
		s.await("task t1 UNREACHABLE", "failure of a")
		s.reconcile([2]string{"t1", s.ids["a"]})
		s.await("task t1 UNREACHABLE")
		s.startAgent("a")
		s.silent = false
		s.await("task t1 FAILED", "task t1 FAILED again")
		s.back("a")
		s.offered("a")
	}},
	{"unreachable", "A task on a machine that is cut off is unreachable, and the same task runs when it is back.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		held := s.offered("a")
		s.partition("a")
		s.await("task t1 UNREACHABLE", "failure of a")
		s.takenBack(held)
		s.rejoin("a")
		s.await("task t1 RUNNING")
		s.back("a")
		s.offered("a")
		s.tell("t1", "a", beHealthy)
		s.await("task t1 RUNNING")
	}},
	{"killed-while-unreachable", "A KILL of a task that is unreachable is answered as a reconciliation, and does not kill it.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.partition("a")
		s.await("task t1 UNREACHABLE", "failure of a")
		s.kill("t1", s.ids["a"])
		s.await("task t1 UNREACHABLE")
		s.rejoin("a")
		s.await("task t1 RUNNING")
		s.back("a")
		s.silence()
	}},
	{"task-id-of-unreachable", "The id of a task that is unreachable can be used again.", func(s *script) {
		s.machines("a", "b")
		s.subscribe()
		s.run("t1", "a")
		s.partition("a")
		s.await("task t1 UNREACHABLE", "failure of a")
		s.accept(s.offered("b"), launch(s.task("t1", "b", share()...)))
		s.await("task t1 ERROR")
	}},
	{"new-id", "An agent that forgot its id registers under a new one, with the reservation and the volume; its old self is removed.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.stopAgent("a")
		s.forgetID("a")
		s.startAgent("a")
		s.await("task t1 LOST", "failure of a")
		s.back("a")
		s.offered("a")
		s.reconcile([2]string{"t1", s.agentNamed("a")})
		s.await("task t1 UNKNOWN")
	}},
	{"new-id-late", "The same, when the master has given the old one up before: its task stays unreachable.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.stopAgent("a")
		s.await("task t1 UNREACHABLE", "failure of a")
		s.forgetID("a")
		s.startAgent("a")
		s.back("a")
		clear(s.used)
		s.offered("a")
		s.silence()
		s.reconcile([2]string{"t1", s.agentNamed("a")})
		s.await("task t1 UNREACHABLE")
	}},
	{"gone", "An agent that is declared gone is shut down with its task, and its machine comes back under a new id with the volume (Mesos rule 49).", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.markGone("a")
		s.await("task t1 GONE_BY_OPERATOR", "failure of a")
		s.reconcile([2]string{"t1", s.ids["a"]})
		s.await("task t1 GONE_BY_OPERATOR")
		s.silence()
		s.forgetID("a")
		s.startAgent("a")
		s.back("a")
		s.offered("a")
	}},
	{"gone-and-started", "An agent that was declared gone is not taken again under its id.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.powerOff("a")
		s.await("task t1 UNREACHABLE", "failure of a")
		s.markGone("a")
		s.await("task t1 GONE_BY_OPERATOR")
		s.startAgent("a")
		s.noOffers()
	}},
	{"gone-while-unreachable", "An agent that is declared gone while it is away is not taken back.", func(s *script) {
		s.machines("a", "b")
		s.subscribe()
		s.placed("t1", "s1", "a")
		s.partition("a")
		s.await("task t1 UNREACHABLE", "failure of a")
		s.markGone("a")
		s.await("task t1 GONE_BY_OPERATOR")
		s.rejoin("a")
		s.silence()
		s.reconcile([2]string{"t1", s.ids["a"]})
		s.await("task t1 GONE_BY_OPERATOR")
	}},
	{"drain", "DRAIN kills the tasks of an agent and offers it no more, until it is reactivated.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		held := s.offered("a")
		s.drain("a")
		s.takenBack(held)
		s.await("task t1 KILLED", "failure of executor t1")
		s.noOffers()
		s.reactivate("a")
		s.offered("a")
	}},
	{"maintenance", "A machine that is to be maintained is asked back, and its offers say when.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.placed("t1", "s1", "a")
		held := s.offered("a")
		s.step("maintenance of a is planned")
		s.c.Maintain("a")
		s.takenBack(held)
		s.await("inverse offer")
		for _, o := range s.offered("a") {
			s.so(o.Unavailability != nil, "an offer does not say that a is unavailable soon")
		}
	}},
}

// agentNamed is the agent id of a name in the trace.
func (s *script) agentNamed(name string) string {
	for id, known := range s.agents {
		if known == name {
			return id
		}
	}
	return ""
}
