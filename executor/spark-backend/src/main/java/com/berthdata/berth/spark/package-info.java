/**
 * Berth as a cluster manager of Spark. {@link com.berthdata.berth.spark.BerthClusterManager} is what
 * Spark finds; {@link com.berthdata.berth.spark.BerthSchedulerBackend} is the one class that Spark's
 * scheduler talks to and the only one, besides the former and
 * {@link com.berthdata.berth.spark.DriverFacts}, that uses Spark's classes.
 * {@link com.berthdata.berth.spark.Session} speaks the protocol of docs/spark-protocol.md.
 *
 * <p>Nothing here may use a library that is not on the class path of every Spark from 3.5 on, nor an
 * API newer than Java 8.
 */
package com.berthdata.berth.spark;
