// Package rig runs real systems for tests, benchmarks and the demo: processes
// in a temporary directory, on leased ports, that are all gone when the rig is
// closed.
//
// The systems are in the packages below it (mesos, zookeeper, elasticsearch);
// package setup installs what they need.
package rig
