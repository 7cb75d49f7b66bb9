// Package spark runs one Spark driver or executor on a Mesos agent.
//
// A driver is spark-submit in client mode with Berth's scheduler backend on its
// class path; an executor is Spark's own CoarseGrainedExecutorBackend, started as
// the backend said at its registration (docs/spark-protocol.md).
//
// Secrets never touch the sandbox, which the agent serves to whoever may read it:
// the application's properties and its token are files in memory that only the
// driver's processes inherit.
package spark
