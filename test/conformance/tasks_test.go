package conformance

import (
	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

var taskScenarios = []scenario{
	{"task-life", "A task starts, runs, says that it is healthy, and is killed.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.run("t1", "a")
		s.tell("t1", "a", beHealthy)
		s.await("task t1 RUNNING")
		s.offered("a")
		s.kill("t1", s.ids["a"])
		s.await("task t1 KILLED", "failure of executor t1")
		s.offered("a")
	}},
	{"task-fails", "A task that ends by itself has failed.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.run("t1", "a")
		s.tell("t1", "a", fail)
		s.await("task t1 FAILED", "failure of executor t1")
		s.offered("a")
	}},
	{"executor-lost", "An executor that dies takes its task along; the agent says so.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.run("t1", "a")
		s.tell("t1", "a", crash)
		s.await("task t1 FAILED", "failure of executor t1")
		s.offered("a")
	}},
	{"kill-unknown", "A KILL of a task that nobody knows is answered as a reconciliation of it (Mesos rule 46).", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.kill("t1", s.ids["a"])
		s.await("task t1 GONE")
		s.kill("t1", "no-such-agent")
		s.await("task t1 UNKNOWN")
		s.kill("t1", "")
		s.await("task t1 UNKNOWN")
	}},
	{"kill-ended", "A KILL of a task whose end is not acknowledged changes nothing; after that nobody knows it.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.run("t1", "a")
		s.silent = true
		s.tell("t1", "a", fail)
		s.await("task t1 FAILED", "failure of executor t1")
		s.kill("t1", s.ids["a"])
		s.silence()
		s.acknowledgeAll()
		s.silence()
		s.kill("t1", s.ids["a"])
		s.await("task t1 GONE")
	}},
	{"task-invalid", "Tasks that the master does not take are in error, each by itself.", func(s *script) {
		s.machines("a", "b")
		s.subscribe()
		slash := s.task("t/1", "a", share()...)
		large := s.task("t2", "a", scalar("cpus", 5), scalar("mem", 256))
		elsewhere := s.task("t3", "b", share()...)
		idle := s.task("t4", "a", share()...)
		idle.Executor = nil
		missing := s.task("t5", "a", hold("s1")...)
		s.accept(s.offered("a"), launch(slash, large, elsewhere, idle, missing, s.task("t6", "a", share()...)))
		clear(s.used)
		s.await("task t/1 ERROR", "task t2 ERROR", "task t3 ERROR", "task t4 ERROR", "task t5 ERROR", "task t6 STARTING", "task t6 RUNNING")
	}},
	{"launch-with-operation-id", "LAUNCH takes no operation id (Mesos rule 34).", func(s *script) {
		s.machines("a")
		s.subscribe()
		op := launch(s.task("t1", "a", share()...))
		op.ID = &mesos.OperationID{Value: "l1"}
		s.accept(s.offered("a"), op)
		s.await("task t1 ERROR")
		s.offered("a")
	}},
	{"task-id-twice", "A task id is taken as long as the master knows the task.", func(s *script) {
		s.machines("a", "b")
		s.subscribe()
		s.run("t1", "a")
		s.accept(s.offered("b"), launch(s.task("t1", "b", share()...)))
		s.await("task t1 ERROR")
		clear(s.used)
		s.offered("b")
	}},
	{"updates-in-order", "Updates are sent one by one, each when the one before it is acknowledged, and again when the agent comes back.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.silent = true
		s.accept(s.offered("a"), launch(s.task("t1", "a", share()...)))
		s.await("task t1 STARTING")
		s.silence()
		s.reconcile([2]string{"t1", s.ids["a"]})
		s.await("task t1 STARTING")
		s.stopAgent("a")
		s.startAgent("a")
		s.await("task t1 STARTING again")
		s.acknowledgeAll()
		s.await("task t1 RUNNING")
	}},
	{"end-not-acknowledged", "The end of a task is repeated by a reconciliation until it is acknowledged.", func(s *script) {
		s.machines("a")
		s.subscribe()
		s.run("t1", "a")
		s.silent = true
		s.tell("t1", "a", fail)
		s.await("task t1 FAILED", "failure of executor t1")
		s.offered("a")
		s.reconcile([2]string{"t1", s.ids["a"]})
		s.await("task t1 FAILED")
		s.reconcile()
		s.await("task t1 FAILED")
		s.acknowledgeAll()
		s.silence()
		s.reconcile([2]string{"t1", s.ids["a"]})
		s.await("task t1 GONE")
	}},
	{"reconcile", "What the master says of tasks that it knows and that it does not (Mesos rules 44 to 46).", func(s *script) {
		s.machines("a", "b")
		s.subscribe()
		s.run("t1", "a")
		s.run("t2", "b")
		s.reconcile([2]string{"t1", s.ids["a"]})
		s.await("task t1 RUNNING")
		s.reconcile([2]string{"t1", ""})
		s.await("task t1 RUNNING")
		s.reconcile([2]string{"t9", s.ids["a"]}, [2]string{"t8", "no-such-agent"}, [2]string{"t7", ""})
		s.await("task t9 GONE", "task t8 UNKNOWN", "task t7 UNKNOWN")
		s.reconcile()
		s.await("task t1 RUNNING", "task t2 RUNNING")
		s.stopAgent("b")
		s.await("task t2 UNREACHABLE", "failure of b")
		s.reconcile([2]string{"t2", s.ids["b"]})
		s.await("task t2 UNREACHABLE")
		s.reconcile([2]string{"t2", ""})
		s.await("task t2 UNKNOWN")
		s.reconcile([2]string{"t9", s.ids["b"]})
		s.await("task t9 UNREACHABLE")
		s.reconcile()
		s.await("task t1 RUNNING")
		s.silence()
		s.markGone("b")
		s.await("task t2 GONE_BY_OPERATOR")
		s.reconcile([2]string{"t2", s.ids["b"]}, [2]string{"t9", s.ids["b"]})
		s.await("task t2 GONE_BY_OPERATOR", "task t9 GONE_BY_OPERATOR")
		s.reconcile()
		s.await("task t1 RUNNING")
	}},
}
