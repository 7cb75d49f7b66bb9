package executor

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func validDriver() Launch {
	return Launch{
		Version: LaunchVersion, Kind: KindSparkDriver, TaskID: "clicks-driver.7.3", GraceSeconds: 30,
		Spark: &Spark{
			Version: "3.5.9", Application: "clicks", AppID: "berth-clicks-7", AttemptID: 3, Address: "10.0.0.1",
			MilliCPUs: 900, MemoryMiB: 1504, HeapMiB: 1024,
			Driver: &SparkDriver{Schedulers: []string{"a:8080"}, Token: "t", Plugin: "backend.jar", AppResource: "a.jar"},
		},
	}
}

func validExecutor() Launch {
	l := validDriver()
	l.Kind = KindSparkExecutor
	l.Spark.Driver = nil
	l.Spark.Executor = &SparkExecutor{ID: 1, DriverURL: "spark://CoarseGrainedScheduler@10.0.0.1:4040", Cores: 1}
	return l
}

func TestSparkLaunch(t *testing.T) {
	for _, l := range []Launch{validDriver(), validExecutor()} {
		data, err := l.Encode()
		require.NoError(t, err)
		got, err := DecodeLaunch(data)
		require.NoError(t, err)
		assert.Equal(t, l, got)
	}
}

func TestSparkLaunchRefuses(t *testing.T) {
	for _, tc := range []struct {
		says   string
		launch Launch
		change func(l *Launch)
	}{
		{"field spark is missing", validDriver(), func(l *Launch) { l.Spark = nil }},
		{"spark.version is empty", validDriver(), func(l *Launch) { l.Spark.Version = "" }},
		{"spark.appId is empty", validExecutor(), func(l *Launch) { l.Spark.AppID = "" }},
		{"spark.attemptId is 0", validDriver(), func(l *Launch) { l.Spark.AttemptID = 0 }},
		{"not below memoryMiB", validDriver(), func(l *Launch) { l.Spark.HeapMiB = 1504 }},
		{"only part of a launch of kind spark-driver", validDriver(), func(l *Launch) { l.Spark.Driver = nil }},
		{"only part of a launch of kind spark-driver", validDriver(), func(l *Launch) { l.Spark.Executor = &SparkExecutor{} }},
		{"only part of a launch of kind spark-executor", validDriver(), func(l *Launch) { l.Kind = KindSparkExecutor }},
		{"schedulers is empty", validDriver(), func(l *Launch) { l.Spark.Driver.Schedulers = nil }},
		{"token is empty", validDriver(), func(l *Launch) { l.Spark.Driver.Token = "" }},
		{"not a file of the sandbox", validDriver(), func(l *Launch) { l.Spark.Driver.Plugin = "../backend.jar" }},
		{"appResource is empty", validDriver(), func(l *Launch) { l.Spark.Driver.AppResource = "" }},
		{"not a path below the sandbox", validDriver(), func(l *Launch) { l.Spark.Driver.CheckpointPath = "../x" }},
		{"executor.id is 0", validExecutor(), func(l *Launch) { l.Spark.Executor.ID = 0 }},
		{"driverUrl is empty", validExecutor(), func(l *Launch) { l.Spark.Executor.DriverURL = "" }},
		{"cores is 0", validExecutor(), func(l *Launch) { l.Spark.Executor.Cores = 0 }},
		{"profileId is -1", validExecutor(), func(l *Launch) { l.Spark.Executor.ProfileID = -1 }},
	} {
		t.Run(tc.says, func(t *testing.T) {
			tc.change(&tc.launch)
			data, err := tc.launch.Encode()
			require.NoError(t, err)
			_, err = DecodeLaunch(data)
			assert.ErrorContains(t, err, tc.says)
		})
	}
}
