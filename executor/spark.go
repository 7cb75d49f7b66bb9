package executor

import (
	"fmt"
	"path"
)

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

func (s *Spark) validate(kind string) error {
	bad := func(field, why string) error {
		return fmt.Errorf("launch document: spark.%s %s", field, why)
	}
	for _, f := range []struct{ name, value string }{
		{"version", s.Version}, {"application", s.Application}, {"appId", s.AppID}, {"address", s.Address},
	} {
		if f.value == "" {
			return bad(f.name, "is empty")
		}
	}
	for _, f := range []struct {
		name  string
		value int64
	}{{"attemptId", s.AttemptID}, {"milliCPUs", s.MilliCPUs}, {"memoryMiB", s.MemoryMiB}, {"heapMiB", s.HeapMiB}} {
		if f.value <= 0 {
			return bad(f.name, fmt.Sprintf("is %d, not above 0", f.value))
		}
	}
	if s.HeapMiB >= s.MemoryMiB {
		return bad("heapMiB", fmt.Sprintf("is %d, not below memoryMiB (%d)", s.HeapMiB, s.MemoryMiB))
	}
	if kind == KindSparkExecutor {
		return s.validateExecutor(bad)
	}
	return s.validateDriver(bad)
}

func (s *Spark) validateDriver(bad func(field, why string) error) error {
	d := s.Driver
	switch {
	case d == nil || s.Executor != nil:
		return bad("driver", "must be the only part of a launch of kind "+KindSparkDriver)
	case len(d.Schedulers) == 0:
		return bad("driver.schedulers", "is empty")
	case d.Token == "":
		return bad("driver.token", "is empty")
	case d.Plugin == "" || d.Plugin != path.Base(d.Plugin):
		return bad("driver.plugin", fmt.Sprintf("is %q, not a file of the sandbox", d.Plugin))
	case d.AppResource == "":
		return bad("driver.appResource", "is empty")
	case d.CheckpointPath != "" && !belowSandbox(d.CheckpointPath):
		return bad("driver.checkpointPath", fmt.Sprintf("is %q, not a path below the sandbox", d.CheckpointPath))
	}
	return nil
}

func (s *Spark) validateExecutor(bad func(field, why string) error) error {
	e := s.Executor
	switch {
	case e == nil || s.Driver != nil:
		return bad("executor", "must be the only part of a launch of kind "+KindSparkExecutor)
	case e.ID <= 0:
		return bad("executor.id", fmt.Sprintf("is %d, not above 0", e.ID))
	case e.DriverURL == "":
		return bad("executor.driverUrl", "is empty")
	case e.Cores <= 0:
		return bad("executor.cores", fmt.Sprintf("is %d, not above 0", e.Cores))
	case e.ProfileID < 0:
		return bad("executor.profileId", fmt.Sprintf("is %d, below 0", e.ProfileID))
	}
	return nil
}
