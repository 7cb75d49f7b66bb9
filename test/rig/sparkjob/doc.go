// Package sparkjob has what Spark jobs of tests and the demo need: a place to
// fetch their programs from, input, and a ledger of what they did with it.
package sparkjob
