package spark

import (
	"strconv"
	"strings"

	"github.com/berthdata/berth/executor"
)

// executorClass is Spark's own executor for coarse-grained schedulers.
const executorClass = "org.apache.spark.executor.CoarseGrainedExecutorBackend"

// executorProgram is the JVM of one executor, as docs/spark-protocol.md says.
func executorProgram(s *executor.Spark, l layout) program {
	e := s.Executor
	id := strconv.FormatInt(e.ID, 10)
	args := append([]string{"-Xmx" + strconv.FormatInt(s.HeapMiB, 10) + "m"}, machineOptions(s, l)...)
	placeholders := strings.NewReplacer("{{APP_ID}}", s.AppID, "{{EXECUTOR_ID}}", id)
	for _, option := range e.JavaOptions {
		args = append(args, placeholders.Replace(option))
	}
	classPath := append(append([]string{}, e.ClassPath...), l.home+"/conf", l.home+"/jars/*")
	args = append(args,
		"-cp", strings.Join(classPath, ":"),
		executorClass,
		"--driver-url", e.DriverURL,
		"--executor-id", id,
		"--bind-address", s.Address,
		"--hostname", s.Address,
		"--cores", strconv.Itoa(e.Cores),
		"--app-id", s.AppID,
		"--resourceProfileId", strconv.Itoa(e.ProfileID),
	)
	env := commonEnvironment(s, l)
	env["SPARK_EXECUTOR_DIRS"] = l.local
	if len(e.LibraryPath) > 0 {
		env["LD_LIBRARY_PATH"] = joined(":", strings.Join(e.LibraryPath, ":"), env["LD_LIBRARY_PATH"])
	}
	return program{path: l.java + "/bin/java", args: args, env: env}
}
