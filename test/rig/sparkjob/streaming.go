package sparkjob

import "fmt"

// Streaming is the spec of a streaming job that notes numbers, with one executor
// per host and a checkpoint volume, small enough for any machine.
func Streaming(name, version, program string, n *Numbers) string {
	return fmt.Sprintf(`
name: %s
spec:
  version: %s
  appResource: %s
  args: [%s, %s]
  properties:
    spark.driver.extraJavaOptions: "-XX:TieredStopAtLevel=1"
    spark.executor.extraJavaOptions: "-XX:TieredStopAtLevel=1"
    # What is connected is seen sooner.
    spark.berth.syncWait: 2s
    spark.sql.streaming.metricsEnabled: "true"
  driver:
    cpus: 0.5
    memory: 512mb
    checkpoint: {size: 1gb}
    supervise: {}
  executors: {count: 1, memory: 512mb, maxPerHost: 1}
`, name, version, program, n.Input, n.Ledger)
}
