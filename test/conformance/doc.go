// Package conformance holds the model of Mesos, on which the simulator stands,
// against a real Mesos 1.11.0: the same scenarios run on both, and what a
// framework sees of each must be what testdata says, which was recorded from the
// real one:
//
//	go test ./test/conformance -run TestMesos -record
//
// A scenario is a script of calls and faults. After each step it names what must
// come; anything else that comes fails it. What it saw is written down without
// what differs from run to run: ids, times, messages for people, and the order
// of events about different things, which Mesos does not promise (Mesos rule 21).
//
// Package mesosmodel's rules are the ones that hold here. Where the two differ on
// purpose, docs/reliability.md says why.
package conformance
