// Package submission is Spark's REST submission protocol, version v1, as
// spark-submit --deploy-mode cluster speaks it to Spark's own servers: its
// documents, and what a request becomes as an application of Berth.
//
// The protocol is read from Spark 3.5.9 and 4.3.0 (org.apache.spark.deploy.rest)
// and held to their real clients by tests.
package submission
