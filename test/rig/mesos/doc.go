// Package mesos builds and runs a real Apache Mesos 1.11.0: masters and agents,
// each its own process, for tests and the demo.
//
// The build takes libmesos out of the Python package mesos.scheduler, which
// carries all of it, and puts a small program around it (folder native). What
// is missing from that package is the agent's fetcher, for which package
// fetcher stands in, the command and default executors, TLS, CSI and the web
// interface.
package mesos
