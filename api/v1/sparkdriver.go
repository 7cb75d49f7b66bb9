package v1

// The documents of the protocol between a Spark driver's backend plugin and
// Berth: docs/spark-protocol.md is the contract, with bounds and meanings.
// Unknown fields are ignored in both directions, so that an old plugin and a
// new Berth understand each other. Every call names its attempt; a lower one
// than was launched or registered is refused with 409.

// SparkProtocol is the version of the protocol that this build speaks.
const SparkProtocol = 1

// SparkRegistration is POST /v1/spark/apps: a driver's backend has started, or
// states everything anew after a 404. Idempotent per application and attempt.
type SparkRegistration struct {
	Protocol  int    `json:"protocol"`
	AppID     string `json:"appId"`
	AttemptID int64  `json:"attemptId"`
	AppName   string `json:"appName"`
	// The versions and the user are for people and for refusals.
	SparkVersion  string `json:"sparkVersion"`
	ScalaVersion  string `json:"scalaVersion,omitempty"`
	JavaVersion   string `json:"javaVersion,omitempty"`
	PluginVersion string `json:"pluginVersion,omitempty"`
	User          string `json:"user,omitempty"`
	DriverTaskID  string `json:"driverTaskId"`
	DriverHost    string `json:"driverHost"`
	DriverPort    int    `json:"driverPort"`
	// DriverURL is what executors connect to: spark://CoarseGrainedScheduler@host:port.
	// Another one in the same attempt is another SparkContext of the driver's
	// program: executors of the one before are of no use.
	DriverURL string `json:"driverUrl"`
	UIURL     string `json:"uiUrl,omitempty"`
	// StartedAtMs is the SparkContext's start, in ms since 1970.
	StartedAtMs int64                 `json:"startedAtMs,omitempty"`
	Executor    SparkExecutorTemplate `json:"executor"`
	// Properties are spark.mesos.* and others that scheduling reads; no secrets.
	Properties map[string]string `json:"properties,omitempty"`
	// Withheld names what looks like a secret and was therefore left out of
	// Executor and Properties: property names, -Dname, env:NAME. Their values
	// are to be taken from the submission.
	Withheld []string `json:"withheld,omitempty"`
	// Target in force; nil before the driver has one.
	Target *SparkTarget `json:"target,omitempty"`
	// RegisteredExecutors are the ids of those that the driver is connected to.
	RegisteredExecutors []string `json:"registeredExecutors"`
	// Killing are those that Spark wants gone and that have not ended.
	Killing []string `json:"killing,omitempty"`
	// Draining are those that Spark is decommissioning: they go by themselves
	// and do not count for the target.
	Draining []string `json:"draining,omitempty"`
	// MaxExecutorID is the highest executor id that the driver has seen; ids are
	// never used again.
	MaxExecutorID int64 `json:"maxExecutorId"`
}

// SparkExecutorTemplate is how the driver wants its executors started.
type SparkExecutorTemplate struct {
	// JavaOptions are arguments of the JVM, in order: start-up, default, extra.
	// {{APP_ID}} and {{EXECUTOR_ID}} in them are to be replaced.
	JavaOptions []string `json:"javaOptions,omitempty"`
	// ClassPath comes before Spark's own jars, LibraryPath before the agent's.
	ClassPath   []string          `json:"classPath,omitempty"`
	LibraryPath []string          `json:"libraryPath,omitempty"`
	Environment map[string]string `json:"env,omitempty"`
}

// SparkRegistered answers a registration.
type SparkRegistered struct {
	Protocol    int    `json:"protocol"`
	AppID       string `json:"appId"`
	FrameworkID string `json:"frameworkId"`
	// Epoch is the leadership's; events are numbered within it.
	Epoch int64 `json:"epoch"`
	// Bounds in force and the generation of the target that is held; 0: none.
	Bounds           SparkBounds `json:"bounds"`
	TargetGeneration int64       `json:"targetGeneration"`
}

// SparkBounds are what the operator lets an application have: executors of all
// profiles together.
type SparkBounds struct {
	// Revision rises with each change; 0: there are no bounds.
	Revision int64 `json:"revision"`
	Min      int   `json:"min"`
	Max      int   `json:"max"`
}

// SparkTarget is PUT /v1/spark/apps/{appId}/target: how many executors of each
// resource profile Spark asks for, before the operator's bounds. Absolute; a
// lower total kills nothing.
type SparkTarget struct {
	Protocol  int   `json:"protocol"`
	AttemptID int64 `json:"attemptId"`
	// Generation rises with each change in one attempt, also over registrations;
	// older ones are ignored.
	Generation        int64          `json:"generation"`
	Profiles          []SparkProfile `json:"profiles"`
	ExcludedNodes     []string       `json:"excludedNodes,omitempty"`
	DynamicAllocation bool           `json:"dynamicAllocation"`
}

// SparkTargeted answers a target with the generation that is held now.
type SparkTargeted struct {
	Protocol         int   `json:"protocol"`
	TargetGeneration int64 `json:"targetGeneration"`
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
// Each sync repeats those that have not ended.
type SparkKill struct {
	Protocol    int      `json:"protocol"`
	AttemptID   int64    `json:"attemptId"`
	ExecutorIDs []string `json:"executorIds"`
}

// SparkUnregister is POST /v1/spark/apps/{appId}/unregister: the driver ends by
// itself, so that executors that leave are not replaced.
type SparkUnregister struct {
	Protocol  int    `json:"protocol"`
	AttemptID int64  `json:"attemptId"`
	State     string `json:"state"` // FINISHED or FAILED, as far as Spark knows
	Message   string `json:"message,omitempty"`
}

// SparkDone answers kill and unregister.
type SparkDone struct {
	Protocol int `json:"protocol"`
}

// SparkSync is POST /v1/spark/apps/{appId}/sync: heartbeat and long poll in one.
type SparkSync struct {
	Protocol  int   `json:"protocol"`
	AttemptID int64 `json:"attemptId"`
	// Epoch and After are of the last answer; what comes after is wanted. Epoch
	// 0, or one that is not the server's: what is still true is restated.
	Epoch  int64 `json:"epoch"`
	After  int64 `json:"after"`
	WaitMs int64 `json:"waitMs"`
	// BoundsRevision and Generation are the driver's bounds and newest target:
	// other bounds, or an older target at the server, are news.
	BoundsRevision      int64    `json:"boundsRevision"`
	Generation          int64    `json:"generation"`
	RegisteredExecutors []string `json:"registeredExecutors"`
	Killing             []string `json:"killing,omitempty"`
	Draining            []string `json:"draining,omitempty"`
	MaxExecutorID       int64    `json:"maxExecutorId"`
}

// SparkSynced answers SparkSync.
type SparkSynced struct {
	Protocol int   `json:"protocol"`
	Epoch    int64 `json:"epoch"`
	// Events rise in Seq, all above After when Epoch is the request's.
	Events []SparkDriverEvent `json:"events"`
	Bounds SparkBounds        `json:"bounds"`
	// TargetGeneration below the driver's makes it send its target again.
	TargetGeneration int64 `json:"targetGeneration"`
}

// The types of SparkDriverEvent.
const (
	SparkExecutorExited = "EXECUTOR_EXITED"
	SparkDecommission   = "DECOMMISSION"
)

// SparkDriverEvent is something that a driver must hear of, in order of Seq.
type SparkDriverEvent struct {
	Seq        int64  `json:"seq"`
	Type       string `json:"type"`
	ExecutorID string `json:"executorId,omitempty"`
	// ExitCode; nil: not known.
	ExitCode *int `json:"exitCode,omitempty"`
	// CausedByApp is false when the machine, the agent or Berth ended the
	// executor: Spark then does not count the tasks' failures.
	CausedByApp bool `json:"causedByApp"`
	// Replace: a decommissioned executor is to have a substitute.
	Replace bool   `json:"replace,omitempty"`
	Message string `json:"message,omitempty"`
}
