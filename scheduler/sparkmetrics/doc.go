// Package sparkmetrics asks running Spark drivers how their streams do, by their
// own REST API, and keeps the answers for Berth's API and for Prometheus. It
// stands outside the core: a driver that does not answer holds nothing.
package sparkmetrics
