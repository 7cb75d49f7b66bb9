package v1

// The documents of the protocol between a Spark driver's backend plugin and
// Berth, see docs/spark-protocol.md. Unknown fields are ignored in both
// directions, so that an old plugin and a new Berth understand each other.

// SparkRegistration is POST /v1/spark/apps: a driver's backend has started, or
// states everything anew after a 404. Idempotent per application and attempt.
type SparkRegistration struct {
	AppID     string `json:"appId"`
	AttemptID int64  `json:"attemptId"`
	AppName   string `json:"appName"`
	// SparkVersion and PluginVersion are for people and for refusals.
	SparkVersion  string `json:"sparkVersion"`
	PluginVersion string `json:"pluginVersion,omitempty"`
	DriverTaskID  string `json:"driverTaskId"`
	DriverHost    string `json:"driverHost"`
	DriverPort    int    `json:"driverPort"`
	// DriverURL is what executors connect to: spark://CoarseGrainedScheduler@host:port.
	DriverURL string                `json:"driverUrl"`
	UIURL     string                `json:"uiUrl,omitempty"`
	Executor  SparkExecutorTemplate `json:"executor"`
	// Properties are spark.mesos.* and others that scheduling reads; no secrets.
	Properties map[string]string `json:"properties,omitempty"`
	// RegisteredExecutors are the ids of those that the driver is connected to.
	RegisteredExecutors []string `json:"registeredExecutors"`
	// MaxExecutorID is the highest executor id that the driver has seen; ids are
	// never used again.
	MaxExecutorID int64 `json:"maxExecutorId"`
}

// SparkExecutorTemplate is how the driver wants its executors started.
type SparkExecutorTemplate struct {
	StartupJavaOptions []string          `json:"startupJavaOpts,omitempty"`
	ExtraJavaOptions   []string          `json:"extraJavaOptions,omitempty"`
	DefaultJavaOptions []string          `json:"defaultJavaOptions,omitempty"`
	ExtraClassPath     []string          `json:"extraClassPath,omitempty"`
	ExtraLibraryPath   []string          `json:"extraLibraryPath,omitempty"`
	Environment        map[string]string `json:"env,omitempty"`
}

// SparkRegistered answers a registration.
type SparkRegistered struct {
	AppID       string `json:"appId"`
	FrameworkID string `json:"frameworkId"`
	// Epoch is the leadership's; events are numbered within it.
	Epoch int64 `json:"epoch"`
}

// SparkTarget is PUT /v1/spark/apps/{appId}/target: how many executors of each
// resource profile the driver wants. Absolute; a lower total kills nothing.
type SparkTarget struct {
	AttemptID int64 `json:"attemptId"`
	// Generation rises with each call of one attempt since it registered; older
	// ones are ignored.
	Generation        int64          `json:"generation"`
	Profiles          []SparkProfile `json:"profiles"`
	ExcludedNodes     []string       `json:"excludedNodes,omitempty"`
	DynamicAllocation bool           `json:"dynamicAllocation"`
}

// SparkProfile is one resource profile's target. Memory in MiB.
type SparkProfile struct {
	ID                int              `json:"id"`
	Total             int              `json:"total"`
	Cores             int              `json:"cores"`
	MemoryMiB         int64            `json:"memoryMiB"`
	MemoryOverheadMiB int64            `json:"memoryOverheadMiB"`
	OffHeapMiB        int64            `json:"offHeapMiB,omitempty"`
	PySparkMiB        int64            `json:"pysparkMiB,omitempty"`
	Resources         map[string]int64 `json:"resources,omitempty"` // gpu → 1
}

// SparkKill is POST /v1/spark/apps/{appId}/kill: the driver gives executors up.
type SparkKill struct {
	AttemptID   int64    `json:"attemptId"`
	ExecutorIDs []string `json:"executorIds"`
}

// SparkUnregister is POST /v1/spark/apps/{appId}/unregister: the driver ends by
// itself, so that executors that leave are not replaced.
type SparkUnregister struct {
	AttemptID int64  `json:"attemptId"`
	State     string `json:"state"` // FINISHED, FAILED or KILLED
	Message   string `json:"message,omitempty"`
}

// SparkSync is POST /v1/spark/apps/{appId}/sync: heartbeat and long poll in one.
type SparkSync struct {
	AttemptID int64 `json:"attemptId"`
	// Epoch and After are of the last answer; what comes after is wanted.
	Epoch               int64    `json:"epoch"`
	After               int64    `json:"after"`
	WaitMs              int64    `json:"waitMs"`
	RegisteredExecutors []string `json:"registeredExecutors"`
}

// SparkSynced answers SparkSync.
type SparkSynced struct {
	Epoch  int64              `json:"epoch"`
	Events []SparkDriverEvent `json:"events"`
}

// The types of SparkDriverEvent.
const (
	SparkExecutorExited = "EXECUTOR_EXITED"
	SparkDecommission   = "DECOMMISSION"
	SparkSetTotal       = "SET_TOTAL"
)

// SparkDriverEvent is something that a driver must hear of, in order of Seq.
type SparkDriverEvent struct {
	Seq        int64  `json:"seq"`
	Type       string `json:"type"`
	ExecutorID string `json:"executorId,omitempty"`
	ExitCode   int    `json:"exitCode,omitempty"`
	// CausedByApp is false when the machine, the agent or Berth ended the
	// executor: Spark then does not count the tasks' failures.
	CausedByApp bool   `json:"causedByApp,omitempty"`
	Replace     bool   `json:"replace,omitempty"`
	Total       int    `json:"total,omitempty"`
	Message     string `json:"message,omitempty"`
}
