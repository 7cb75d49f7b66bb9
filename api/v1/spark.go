package v1

// SparkApplication is the declarative specification of one Spark application:
// what an operator applies with PUT /v1/spark/{name}, and what a submission of
// spark-submit becomes.
type SparkApplication struct {
	// Name is the application's identity in Berth: a DNS label of at most 40
	// characters. A submission's name is its submission id.
	Name string `json:"name"`
	// Labels are free key/value pairs for the operator's own use.
	Labels map[string]string `json:"labels,omitempty"`
	Spec   SparkSpec         `json:"spec"`
}

// SparkSpec is the wanted state of an application.
type SparkSpec struct {
	// Version is the exact Spark version, such as "3.5.9". The scheduler's
	// catalogue says where its distribution is.
	Version string `json:"version"`
	// Role is the Mesos role whose resources the application uses; one of the
	// scheduler's own. Default: the scheduler's first role.
	Role string `json:"role,omitempty"`
	// AppResource is the application's jar or .py file: a URI that the agent's
	// fetcher reads, local:/path for a file that every agent has, or
	// spark-internal for a class on the driver's class path.
	AppResource string `json:"appResource"`
	// MainClass of a jar; empty for Python.
	MainClass string   `json:"mainClass,omitempty"`
	Args      []string `json:"args,omitempty"`
	// Jars, Files and PyFiles are URIs, as spark.jars, spark.files and
	// spark.submit.pyFiles.
	Jars    []string `json:"jars,omitempty"`
	Files   []string `json:"files,omitempty"`
	PyFiles []string `json:"pyFiles,omitempty"`
	// URIs are fetched into the sandboxes of the driver and of every executor;
	// archives are unpacked there. CacheURIs lets agents keep what they fetched
	// for the application.
	URIs      []string `json:"uris,omitempty"`
	CacheURIs bool     `json:"cacheUris,omitempty"`
	// Properties are Spark's configuration, by full name. Properties that Berth
	// owns are refused here and dropped from submissions.
	Properties map[string]string `json:"properties,omitempty"`
	// Environment of the driver.
	Environment map[string]string `json:"environment,omitempty"`
	Driver      SparkDriver       `json:"driver,omitzero"`
	Executors   SparkExecutors    `json:"executors,omitzero"`
}

// SparkDriver describes the driver.
type SparkDriver struct {
	// CPUs in cores, up to three decimals. Default 1.
	CPUs float64 `json:"cpus,omitempty"`
	// Memory is the heap, such as "1gb". Default 1gb.
	Memory string `json:"memory,omitempty"`
	// MemoryOverhead on top of the heap. Default: a tenth of it, at least 512mb.
	MemoryOverhead string       `json:"memoryOverhead,omitempty"`
	Constraints    []Constraint `json:"constraints,omitempty"`
	// Supervise starts the next attempt when one fails.
	Supervise *SparkSupervise `json:"supervise,omitempty"`
	// Checkpoint is a persistent volume of the driver's, which binds its later
	// attempts to the same agent. Absent: none.
	Checkpoint *Storage `json:"checkpoint,omitempty"`
}

// SparkSupervise is the policy for a driver that fails. Attempts follow each
// other after 1 s, 2 s, 4 s … up to MaxBackoffSeconds.
type SparkSupervise struct {
	// MaxBackoffSeconds between two attempts. Default 60.
	MaxBackoffSeconds int `json:"maxBackoffSeconds,omitempty"`
	// MaxFailures in a row, each within StableSeconds of its start, open the
	// circuit breaker: the application is then Failed and waits for a person.
	// Default 10; 0 takes the default, -1 never opens it.
	MaxFailures int `json:"maxFailures,omitempty"`
	// StableSeconds is how long a driver runs before its failures are forgotten.
	// Default 600.
	StableSeconds int `json:"stableSeconds,omitempty"`
}

// SparkExecutors describes the executors of the default resource profile.
type SparkExecutors struct {
	// Count is the fixed number of executors; or Min and Max bound what the
	// driver asks for (dynamic allocation). Either Count, or Min and Max.
	Count *int `json:"count,omitempty"`
	Min   *int `json:"min,omitempty"`
	Max   *int `json:"max,omitempty"`
	// Cores per executor: task slots, and cpus of the Mesos task. Default 1.
	Cores int `json:"cores,omitempty"`
	// Memory is the heap, such as "2gb". Default 1gb.
	Memory string `json:"memory,omitempty"`
	// MemoryOverhead on top of the heap. Default: a tenth of it, at least 384mb.
	MemoryOverhead string       `json:"memoryOverhead,omitempty"`
	Constraints    []Constraint `json:"constraints,omitempty"`
	// Spread names an agent attribute over whose values executors are kept even.
	Spread string `json:"spread,omitempty"`
	// MaxPerHost executors of the application on one machine. 0: no limit.
	MaxPerHost int `json:"maxPerHost,omitempty"`
}

// SparkScaling is PUT /v1/spark/{name}/scale: how many executors an operator
// wants. Either Count, or Min and Max.
type SparkScaling struct {
	Count *int `json:"count,omitempty"`
	Min   *int `json:"min,omitempty"`
	Max   *int `json:"max,omitempty"`
}
