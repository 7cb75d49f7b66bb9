package spark

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/test/rig/berth"
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
	w := newWorld(t, 6*time.Minute, 1, "3.5.9")
	const version = "3.5.9"
	jar := filepath.Join(w.programs, "pi.jar")
	require.NoError(t, sparkjob.Compile(w.ctx, w.homes[version], filepath.Join("testdata", "Pi.java"), jar))
	submit := func(scheme string, args ...string) string {
		t.Helper()
		out := w.submit(version, scheme, append(append([]string{"--deploy-mode", "cluster", "--class", "Pi", "--conf", "spark.executor.instances=2"}, small...), args...)...)
		m := created.FindStringSubmatch(out)
		require.NotNil(t, m, out)
		return m[1]
	}

	name := submit("spark", w.repository+"/pi.jar", "20")
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

	if !full() {
		return
	}
	name = submit("mesos", w.repository+"/pi.jar", "4", "fail")
	view, err = w.berth.WaitSpark(w.ctx, name, "over", ended)
	require.NoError(t, err)
	assert.Equal(t, "Failed", view.Status.Phase)
	assert.Contains(t, view.Status.Message, "exited with code 1")
	assert.Contains(t, w.submit(version, "mesos", "--status", name), `"driverState" : "FAILED"`)
	w.nothingLeft()
}
