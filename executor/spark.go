package executor

// The kinds of Launch that run parts of a Spark application.
const (
	KindSparkDriver   = "spark-driver"
	KindSparkExecutor = "spark-executor"
)

// Spark is one driver or executor. What both have in common stands here.
type Spark struct {
	// Version is exact, "3.5.9"; Home a distribution on the agent, "" = unpacked
	// from a fetched URI in the sandbox; JavaHome likewise, "" = found.
	Version  string `json:"version"`
	Home     string `json:"home,omitempty"`
	JavaHome string `json:"javaHome,omitempty"`
	// Application is Berth's name of it, AppID Spark's.
	Application string `json:"application"`
	AppID       string `json:"appId"`
	AttemptID   int64  `json:"attemptId"`
	// Address is the agent's IP that the process binds and publishes.
	Address string `json:"address"`
	// MilliCPUs and MemoryMiB are the whole task's, HeapMiB the JVM's.
	MilliCPUs   int64             `json:"milliCPUs"`
	MemoryMiB   int64             `json:"memoryMiB"`
	HeapMiB     int64             `json:"heapMiB"`
	Environment map[string]string `json:"environment,omitempty"`
	Driver      *SparkDriver      `json:"driver,omitempty"`
	Executor    *SparkExecutor    `json:"executor,omitempty"`
}

// SparkDriver is what only a driver has.
type SparkDriver struct {
	// Schedulers are host:port of Berth's API, tried in order.
	Schedulers []string `json:"schedulers"`
	// TLS says whether they are spoken to by https.
	TLS bool `json:"tls,omitempty"`
	// Token opens this application's calls and nothing else. It goes into a
	// file that only the driver's user reads, never into argv.
	Token string `json:"token"`
	// Plugin is the file name of the backend plugin in the sandbox.
	Plugin      string            `json:"plugin"`
	AppResource string            `json:"appResource"`
	MainClass   string            `json:"mainClass,omitempty"`
	Args        []string          `json:"args,omitempty"`
	Jars        []string          `json:"jars,omitempty"`
	Files       []string          `json:"files,omitempty"`
	PyFiles     []string          `json:"pyFiles,omitempty"`
	Properties  map[string]string `json:"properties,omitempty"`
	// CheckpointPath is the persistent volume's path in the sandbox; "" = none.
	CheckpointPath string `json:"checkpointPath,omitempty"`
}

// SparkExecutor is what only an executor has.
type SparkExecutor struct {
	// ID is Spark's executor id: an integer, never used twice in an application.
	ID        int64  `json:"id"`
	DriverURL string `json:"driverUrl"`
	Cores     int    `json:"cores"`
	ProfileID int    `json:"profileId"`
	// JavaOptions in order: start-up, default, extra. ClassPath comes before
	// Spark's own jars.
	JavaOptions []string `json:"javaOptions,omitempty"`
	ClassPath   []string `json:"classPath,omitempty"`
	LibraryPath []string `json:"libraryPath,omitempty"`
}
