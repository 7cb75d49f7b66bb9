// Package sparksubmit holds Berth's side of Spark's submission protocol to
// Spark's real clients: spark-submit of both lines, against the API over a fake
// scheduler.
package sparksubmit
