package spark

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/test/rig/berth"
	sparkrig "github.com/berthdata/berth/test/rig/spark"
	"github.com/berthdata/berth/test/rig/sparkjob"
)

var created = regexp.MustCompile(`Submission successfully created as (driver-\d{14}-[a-z0-9]{6})`)

// small keeps the JVMs of a job small and their start short.
var small = []string{
	"--conf", "spark.master.rest.enabled=true", "--driver-memory", "512m", "--executor-memory", "512m",
	"--conf", "spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=1", "--conf", "spark.executor.extraJavaOptions=-XX:TieredStopAtLevel=1",
}

// TestPi: batch jobs in Java, submitted with spark-submit as their users do; they
// run as tasks of Mesos, and their ends are the real ones.
func TestPi(t *testing.T) {
	versions := sparkrig.Versions
	if !full() {
		versions = versions[:1]
	}
	w := newWorld(t, 8*time.Minute, 1, versions...)
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			name := w.pi(version, "spark", "20")
			view, err := w.berth.WaitSpark(w.ctx, name, "over", ended)
			require.NoError(t, err)
			assert.Equal(t, "Succeeded", view.Status.Phase, view.Status.Message)
			require.Len(t, view.Status.Attempts, 1)
			attempt := view.Status.Attempts[0]
			assert.Equal(t, "FINISHED", attempt.State)
			assert.EqualValues(t, 1, attempt.Attempt)
			sandbox, err := berth.Sandbox(w.rig.Dir(), attempt.TaskID)
			require.NoError(t, err)
			log, err := os.ReadFile(filepath.Join(sandbox, "driver.log"))
			require.NoError(t, err)
			assert.Contains(t, string(log), "Pi is roughly 3.14")
			w.nothingLeft()
			assert.Contains(t, w.submit(version, "spark", "--status", name), `"driverState" : "FINISHED"`)
		})
	}
	if !full() {
		return
	}
	t.Run("a job that fails", func(t *testing.T) {
		version := versions[0]
		name := w.pi(version, "mesos", "4", "fail")
		view, err := w.berth.WaitSpark(w.ctx, name, "over", ended)
		require.NoError(t, err)
		assert.Equal(t, "Failed", view.Status.Phase)
		assert.Contains(t, view.Status.Message, "exited with code 1")
		assert.Contains(t, w.submit(version, "mesos", "--status", name), `"driverState" : "FAILED"`)
		w.nothingLeft()
	})
}

// pi submits the job, and returns the submission's id.
func (w *world) pi(version, scheme string, args ...string) string {
	w.t.Helper()
	jar := "pi-" + version + ".jar"
	require.NoError(w.t, sparkjob.Compile(w.ctx, w.homes[version], filepath.Join("testdata", "Pi.java"), filepath.Join(w.programs, jar)))
	out := w.submit(version, scheme, slices.Concat(
		[]string{"--deploy-mode", "cluster", "--class", "Pi", "--conf", "spark.executor.instances=2"}, small,
		[]string{w.repository + "/" + jar}, args)...)
	m := created.FindStringSubmatch(out)
	require.NotNil(w.t, m, out)
	return m[1]
}
