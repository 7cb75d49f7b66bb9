// Package scheduler is Berth's core: a deterministic, single-writer state
// machine. Events go in one at a time, decisions come out. It does no I/O and
// has no goroutine, no clock and no randomness: the same snapshot and the same
// events always give the same decisions.
//
//	  Mesos master       ZooKeeper        Elasticsearch      REST / CLI
//	       │                 │                  │                │
//	scheduler/mesos   scheduler/state   scheduler/elastic    api/server
//	       └───────── events ▼ ─────────────────┴────────────────┘
//	                 scheduler/runner  (one goroutine owns the Core)
//	                       │  Step(now, Event) → Decision
//	                 scheduler.Core ── scheduler/plan ── placement ── volumes
//
// A caller's whole loop is:
//
//	core, err := scheduler.New(config, records)
//	for ev := range events {
//		d := core.Step(clock.Now(), ev)
//		store.Commit(ctx, d.Writes)  // durable first …
//		send(d.Calls)                // … then Mesos, Elasticsearch, the user
//		observe(d.Elastic)
//		answer(d.Replies)
//		publish(d.Published)
//		setTimer(d.Wake)
//	}
//
// The order in which a Decision's parts leave is the rule that everything else
// follows from; it is stated on Decision.
//
// A slot (state.Slot) is the generic unit: a stable name, a reservation label
// that doubles as the persistence id, and numbered lives. What runs in a slot is
// a workload's business (workload.go); Elasticsearch is the first kind.
//
// Reading order: event.go, decision.go, step.go, then one file per state
// machine: slot.go, task.go, operation.go, cluster.go, agent.go.
package scheduler
