package v1

import "strings"

// owned is a property or variable that a spec cannot set, and what to do
// instead. A name that ends with a dot stands for everything below it.
type owned struct{ name, instead string }

const (
	ownIdentity  = "Berth starts the driver and says who it is"
	ownPlace     = "Berth sets it to the agent's"
	ownMesos     = "Berth registers with Mesos, once for all applications"
	ownDocker    = "Berth runs the Spark distributions of its catalogue, without images"
	ownContainer = "Berth runs tasks in the agent's own network and containerizer"
	ownDispatch  = "it is a setting of Spark's own dispatcher, in whose place Berth stands"
	ownSecret    = "Berth has no store of secrets: let the job read them from where it runs"
)

// ownedProperties have a field of the spec, or are Berth's own.
var ownedProperties = []owned{
	{"spark.master", ownIdentity},
	{"spark.submit.deployMode", ownIdentity},
	{"spark.app.id", ownIdentity},
	{"spark.app.attempt.id", ownIdentity},
	{"spark.driver.host", ownPlace + " address"},
	{"spark.driver.bindAddress", ownPlace + " address"},
	{"spark.local.dir", "Berth sets it to the sandbox"},

	{"spark.jars", "write jars"},
	{"spark.files", "write files"},
	{"spark.submit.pyFiles", "write pyFiles"},
	{"spark.driver.supervise", "write driver.supervise"},
	{"spark.driver.cores", "write driver.cpus"},
	{"spark.driver.memory", "write driver.memory"},
	{"spark.driver.memoryOverhead", "write driver.memoryOverhead"},
	{"spark.executor.cores", "write executors.cores"},
	{"spark.executor.memory", "write executors.memory"},
	{"spark.executor.memoryOverhead", "write executors.memoryOverhead"},
	{"spark.executor.instances", "write executors.count, or executors.min and max"},
	{"spark.cores.max", "write executors.count and executors.cores"},
	{"spark.dynamicAllocation.minExecutors", "write executors.min"},
	{"spark.dynamicAllocation.maxExecutors", "write executors.max"},
	{"spark.berth.driver.checkpoint.size", "write driver.checkpoint.size"},
	{"spark.berth.driver.checkpoint.type", "write driver.checkpoint.type"},
	{"spark.berth.executor.maxPerHost", "write executors.maxPerHost"},
	{"spark.berth.executor.spread", "write executors.spread"},

	{"spark.mesos.constraints", "write executors.constraints"},
	{"spark.mesos.driver.constraints", "write driver.constraints"},
	{"spark.mesos.role", "write role"},
	{"spark.mesos.uris", "write uris"},
	{"spark.mesos.fetcherCache.enable", "write cacheUris"},
	{"spark.mesos.driver.labels", "write labels"},
	{"spark.mesos.task.labels", "write labels"},
	{"spark.mesos.driverEnv.", "write environment"},
	{"spark.mesos.dispatcher.driverDefault.", "write the property itself"},
	{"spark.mesos.driver.memoryOverhead", "write driver.memoryOverhead"},
	{"spark.mesos.executor.memoryOverhead", "write executors.memoryOverhead"},
	{"spark.mesos.cluster.retry.wait.max", "write driver.supervise.maxBackoffSeconds"},

	{"spark.mesos.principal", ownMesos},
	{"spark.mesos.principal.file", ownMesos},
	{"spark.mesos.secret", ownMesos},
	{"spark.mesos.secret.file", ownMesos},
	{"spark.mesos.driver.frameworkId", ownMesos},
	{"spark.mesos.driver.failoverTimeout", ownMesos},
	{"spark.mesos.driver.webui.url", "Berth links the driver's UI itself"},
	{"spark.mesos.coarse", "an executor is one task for as long as it lives"},
	{"spark.mesos.mesosExecutor.cores", "an executor is one task for as long as it lives"},
	{"spark.mesos.extra.cores", "an executor has the cores that its task pays for: write executors.cores"},
	{"spark.mesos.gpus.max", "GPUs are asked for by Spark's own spark.executor.resource.gpu.amount"},
	{"spark.mesos.executor.home", "the scheduler's catalogue says where a Spark distribution is"},
	{"spark.mesos.maxDrivers", ownDispatch},
	{"spark.mesos.retainedDrivers", ownDispatch},
	{"spark.mesos.dispatcher.historyServer.url", ownDispatch},
	{"spark.mesos.dispatcher.webui.url", ownDispatch},
	{"spark.mesos.dispatcher.queue", ownDispatch},

	{"spark.mesos.executor.docker.", ownDocker},
	{"spark.mesos.containerizer", ownContainer},
	{"spark.mesos.network.", ownContainer},
	{"spark.mesos.driver.secret.", ownSecret},
	{"spark.mesos.executor.secret.", ownSecret},
}

// ownedVariables are what Berth or Mesos sets in a driver's environment.
var ownedVariables = []owned{
	{"SPARK_HOME", "the scheduler's catalogue says where a Spark distribution is"},
	{"JAVA_HOME", "the scheduler's catalogue says which Java a Spark version takes"},
	{"SPARK_CONF_DIR", "Berth writes the driver's configuration"},
	{"SPARK_ENV_LOADED", "it is of the machine that submitted"},
	{"SPARK_SUBMIT_OPTS", "it is of the machine that submitted"},
	{"SPARK_LOCAL_IP", ownPlace},
	{"SPARK_LOCAL_HOSTNAME", ownPlace},
	{"SPARK_PUBLIC_DNS", ownPlace},
	{"SPARK_LOCAL_DIRS", "Berth sets it to the sandbox"},
	{"SPARK_EXECUTOR_DIRS", "Berth sets it to the sandbox"},
	{"MESOS_*", "Mesos sets it"},
	{"LIBPROCESS_*", "Mesos sets it"},
	{"BERTH_*", ownIdentity},
}

func lookup(list []owned, name string) (string, bool) {
	for _, o := range list {
		stem, below := o.name, strings.HasSuffix(o.name, ".")
		if s, all := strings.CutSuffix(o.name, "*"); all {
			stem, below = s, true
		}
		if name == o.name || below && strings.HasPrefix(name, stem) && name != stem {
			return o.instead, true
		}
	}
	return "", false
}

// SparkOwnedProperty says whether a spec's properties must not hold a property,
// and what to do instead.
func SparkOwnedProperty(name string) (instead string, owned bool) {
	return lookup(ownedProperties, name)
}

// SparkOwnedVariable says whether a spec's environment must not hold a variable,
// and why.
func SparkOwnedVariable(name string) (why string, owned bool) {
	return lookup(ownedVariables, name)
}

// SparkOwnedProperties lists the names that SparkOwnedProperty knows; one that
// ends with a dot stands for everything below it.
func SparkOwnedProperties() []string { return ownedNames(ownedProperties) }

// SparkOwnedVariables lists the names that SparkOwnedVariable knows; one that
// ends with * stands for everything that begins so.
func SparkOwnedVariables() []string { return ownedNames(ownedVariables) }

func ownedNames(list []owned) []string {
	out := make([]string, len(list))
	for i, o := range list {
		out[i] = o.name
	}
	return out
}
