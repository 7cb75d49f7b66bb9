// Package mesosmodel is a pure, deterministic model of a Mesos 1.11 cluster as
// one framework sees it: a master, agents with disks, dynamic reservations and
// persistent volumes, offers, operations with feedback, status updates that are
// kept until they are acknowledged, reconciliation, partitions, and machines
// that reboot or come back under another agent id. The rules are those of
// docs/mesos-rules.md; "Mesos rule N" cites one.
//
// It speaks in scheduler.Call and scheduler.Event. Time and chance are passed
// in: the same seed, calls and times give the same events. There are three
// layers, as in Mesos itself, since most trouble comes from their differences:
//
//	Machine    what is really there: disks, volumes with data, containers
//	agent      what one agent process knows and keeps on its disk
//	master     what the leading master believes, lost with each failover
//
// Messages between master and agents take time and are lost with their link, in
// order: so the operations of one ACCEPT may be applied in part (rule 28).
package mesosmodel
