package spark

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"pgregory.net/rapid"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/host"
	"github.com/berthdata/berth/executor/process"
	"github.com/berthdata/berth/executor/workload"
)

func TestMain(m *testing.M) {
	if err := process.AdoptOrphans(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const secret = "t0ken-0f-the-app"

// fixture is a process on a stand-in for Spark and Java: shell scripts that
// write down how they were started and do what their behaviour says, which calls
// ready when it may be acted on.
type fixture struct {
	t             *testing.T
	home, jvms    string
	sandbox, seen string
	launch        executor.Launch
}

// tell is what the stand-ins write down. Java's own reading of the files is the
// same open of /proc/self/fd/N as cat's.
const tell = `
env | sort > "$SEEN/env"
for a in "$@"; do printf '%s\n' "$a"; done > "$SEEN/args"
[ -n "$BERTH_SPARK_TOKEN_FILE" ] && stat -Lc '%a %u' "$BERTH_SPARK_TOKEN_FILE" > "$SEEN/mode" && cat "$BERTH_SPARK_TOKEN_FILE" > "$SEEN/token"
while [ $# -gt 0 ]; do [ "$1" = --properties-file ] && cat "$2" > "$SEEN/properties"; shift; done
ready() { echo started > "$SEEN/done"; }
`

func newFixture(t *testing.T, behaviour string) *fixture {
	f := &fixture{t: t, home: openTempDir(t), jvms: openTempDir(t), sandbox: openTempDir(t), seen: openTempDir(t)}
	require.NoError(t, os.Chmod(f.seen, 0o777))
	script := "#!/bin/sh\nSEEN=" + f.seen + tell + behaviour + "\n"
	f.file(filepath.Join(f.home, "jars", "spark-core_2.12-3.5.9.jar"), "", 0o644)
	f.file(filepath.Join(f.home, "bin", "spark-submit"), script, 0o755)
	f.file(filepath.Join(f.jvms, "jdk-17", "bin", "java"), script, 0o755)
	f.file(filepath.Join(f.jvms, "jdk-17", "release"), `JAVA_VERSION="17.0.9"`, 0o644)
	f.launch = executor.Launch{
		Version: executor.LaunchVersion, Kind: executor.KindSparkDriver, TaskID: "clicks-driver.7.3", User: "nobody", GraceSeconds: 2,
		Spark: &executor.Spark{
			Version: "3.5.9", Home: f.home, Application: "clicks", AppID: "berth-clicks-7", AttemptID: 3,
			Address: "127.0.0.1", MilliCPUs: 1500, MemoryMiB: 1536, HeapMiB: 1024,
			Environment: map[string]string{"TEAM": "ads", "SPARK_HOME": "/elsewhere", "BERTH_SPARK_APP_ID": "forged", "MESOS_TASK_ID": "forged", "SPARK_ENV_LOADED": "1"},
			Driver: &executor.SparkDriver{
				Schedulers: []string{"a:8080", "b:8080"}, Token: secret, Plugin: "berth-spark-backend.jar",
				AppResource: "https://repo/clicks.jar", MainClass: "ads.Clicks", Args: []string{"two words", `quo"te`, "", "--class"},
				Jars: []string{"https://repo/a.jar", "https://repo/b.jar"},
				Properties: map[string]string{
					"spark.app.id": "old", "spark.master": "mesos://old:5050", "spark.driver.host": "old", "spark.driver.memory": "64g",
					"spark.hadoop.secret.key": "s3cr3t", "spark.driver.extraClassPath": "/opt/x.jar", "spark.driver.defaultJavaOptions": "-Dx=1",
				},
			},
		},
	}
	return f
}

func (f *fixture) asExecutor() *fixture {
	f.launch.Kind = executor.KindSparkExecutor
	f.launch.Spark.Driver = nil
	f.launch.Spark.Executor = &executor.SparkExecutor{
		ID: 12, DriverURL: "spark://CoarseGrainedScheduler@127.0.0.1:4040", Cores: 2, ProfileID: 1,
		JavaOptions: []string{"-Dspark.driver.port=4040", "-Xlog:gc:{{APP_ID}}-{{EXECUTOR_ID}}.log"},
		ClassPath:   []string{"/opt/first.jar"}, LibraryPath: []string{"/opt/native"},
	}
	return f
}

func (f *fixture) file(path, content string, mode os.FileMode) {
	f.t.Helper()
	require.NoError(f.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(f.t, os.WriteFile(path, []byte(content), mode))
	require.NoError(f.t, os.Chmod(path, mode))
}

func (f *fixture) read(name string) string {
	f.t.Helper()
	data, err := os.ReadFile(filepath.Join(f.seen, name))
	require.NoError(f.t, err)
	return string(data)
}

// run runs it to its end; once it is ready, act.
func (f *fixture) run(act func(p *Process, kill func())) (statuses []workload.Status, exit workload.Exit) {
	f.t.Helper()
	p := newProcess(f.launch, workload.Env{Sandbox: f.sandbox, Log: zaptest.NewLogger(f.t)}, filepath.Join(f.jvms, "*"))
	ctx, kill := context.WithCancel(f.t.Context())
	defer kill()
	ended := make(chan workload.Exit, 1)
	go func() {
		ended <- p.Run(ctx, func(s workload.Status) { statuses = append(statuses, s) })
	}()
	if act != nil {
		require.Eventually(f.t, func() bool {
			_, err := os.Stat(filepath.Join(f.seen, "done"))
			return err == nil
		}, 15*time.Second, 2*time.Millisecond)
		act(p, kill)
	}
	select {
	case exit = <-ended:
	case <-time.After(20 * time.Second):
		require.FailNow(f.t, "it does not end")
	}
	return statuses, exit
}

func TestDriver(t *testing.T) {
	f := newFixture(t, "")
	statuses, exit := f.run(nil)
	require.True(t, exit.Finished, exit.Message)
	assert.Equal(t, executor.Report{Phase: executor.PhaseExited}, exit.Report)
	require.NotEmpty(t, statuses)
	assert.True(t, statuses[0].Healthy)

	args := strings.Split(strings.TrimSuffix(f.read("args"), "\n"), "\n")
	assert.Equal(t, []string{
		"--master", "spark-berth://a:8080,b:8080", "--deploy-mode", "client", "--properties-file", "/proc/self/fd/4",
		"--class", "ads.Clicks", "https://repo/clicks.jar", "two words", `quo"te`, "", "--class",
	}, args)
	env := f.read("env")
	for _, has := range []string{
		"BERTH_SPARK_APP_ID=berth-clicks-7\n", "BERTH_SPARK_ATTEMPT_ID=3\n", "BERTH_SPARK_URLS=http://a:8080,http://b:8080\n",
		"MESOS_TASK_ID=clicks-driver.7.3\n", "TEAM=ads\n", "SPARK_HOME=" + f.home + "\n", "SPARK_LOCAL_IP=127.0.0.1\n",
		"SPARK_LOCAL_DIRS=" + f.sandbox + "/local\n", "JAVA_HOME=" + f.jvms + "/jdk-17\n",
	} {
		assert.Contains(t, env, has)
	}
	assert.NotContains(t, env, "SPARK_ENV_LOADED")
	assert.Equal(t, secret, f.read("token"))
	properties := f.read("properties")
	for _, has := range []string{
		"spark.driver.host=127.0.0.1\n", "spark.driver.memory=1024m\n", "spark.driver.cores=2\n", "spark.hadoop.secret.key=s3cr3t\n",
		"spark.driver.extraClassPath=" + f.sandbox + "/berth-spark-backend.jar:/opt/x.jar\n", "spark.jars=https://repo/a.jar,https://repo/b.jar\n",
		"spark.driver.defaultJavaOptions=-XX:ActiveProcessorCount=2 -Djava.io.tmpdir=" + f.sandbox + "/tmp -Dx=1\n", "spark.ui.port=0\n",
	} {
		assert.Contains(t, properties, has)
	}
	for _, not := range []string{"spark.app.id", "spark.master", "=old"} {
		assert.NotContains(t, properties, not)
	}
}

// Whoever may read the sandbox or see the process list learns nothing.
func TestSecretsStayInMemory(t *testing.T) {
	f := newFixture(t, "echo to the log")
	_, exit := f.run(nil)
	require.True(t, exit.Finished, exit.Message)
	want := "600 " + uidOf(t, "nobody")
	if os.Geteuid() != 0 {
		want = "600 " + uidOf(t, "")
	}
	assert.Equal(t, want+"\n", f.read("mode"))
	for _, hidden := range []string{secret, "s3cr3t"} {
		assert.NotContains(t, f.read("args"), hidden)
		assert.NotContains(t, f.read("env"), hidden)
		require.NoError(t, filepath.WalkDir(f.sandbox, func(path string, e os.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			assert.NotContains(t, string(data), hidden, path)
			return err
		}))
	}
}

func TestExecutor(t *testing.T) {
	f := newFixture(t, "").asExecutor()
	_, exit := f.run(nil)
	require.True(t, exit.Finished, exit.Message)
	args := strings.Split(strings.TrimSuffix(f.read("args"), "\n"), "\n")
	assert.Equal(t, []string{
		"-Xmx1024m", "-XX:ActiveProcessorCount=2", "-Djava.io.tmpdir=" + f.sandbox + "/tmp",
		"-Dspark.driver.port=4040", "-Xlog:gc:berth-clicks-7-12.log",
		"-cp", "/opt/first.jar:" + f.home + "/conf:" + f.home + "/jars/*", executorClass,
		"--driver-url", "spark://CoarseGrainedScheduler@127.0.0.1:4040", "--executor-id", "12",
		"--bind-address", "127.0.0.1", "--hostname", "127.0.0.1", "--cores", "2", "--app-id", "berth-clicks-7", "--resourceProfileId", "1",
	}, args)
	assert.Contains(t, f.read("env"), "LD_LIBRARY_PATH=/opt/native\n")
	assert.NotContains(t, f.read("env"), "BERTH_SPARK", "an executor has no business with Berth")
}

func TestEnds(t *testing.T) {
	for _, tc := range []struct {
		name, behaviour string
		act             func(p *Process, kill func())
		finished        bool
		code            int
		signal, says    string
	}{
		{name: "a failure", behaviour: "echo 'Exception in thread \"main\" java.lang.ClassNotFoundException: ads.Clicks' >&2; exit 101", code: 101, says: "a class is missing"},
		{name: "a crash", behaviour: "kill -9 $$", code: -1, signal: "SIGKILL", says: "memory limit"},
		{name: "stopped", behaviour: "trap 'exit 143' TERM; ready; while :; do sleep 0.05; done", act: func(p *Process, _ func()) { p.Stop(10 * time.Second) }, code: 143, says: "exited with code 143"},
		{name: "stopped, and it has done its work", behaviour: "trap 'exit 0' TERM; ready; while :; do sleep 0.05; done", act: func(p *Process, _ func()) { p.Stop(10 * time.Second) }, finished: true, says: "exited with code 0"},
		{name: "stubborn", behaviour: "trap '' TERM; ready; while :; do sleep 0.05; done", act: func(p *Process, _ func()) { p.Stop(20 * time.Millisecond) }, code: -1, signal: "SIGKILL", says: "grace period"},
		{name: "abandoned", behaviour: "ready; exec sleep 600", act: func(_ *Process, kill func()) { kill() }, code: -1, signal: "SIGKILL", says: "SIGKILL"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, exit := newFixture(t, tc.behaviour).run(tc.act)
			assert.Equal(t, tc.finished, exit.Finished, exit.Message)
			assert.Equal(t, tc.code, exit.Report.ExitCode)
			assert.Equal(t, tc.signal, exit.Report.Signal)
			assert.Contains(t, exit.Message, tc.says)
			assert.Contains(t, exit.Message, "driver of clicks, attempt 3")
		})
	}
}

func TestWhatCannotStart(t *testing.T) {
	for _, tc := range []struct {
		name, says string
		change     func(f *fixture)
	}{
		{"no distribution", "no Spark at", func(f *fixture) { f.launch.Spark.Home = "/nowhere" }},
		{"another version", "not version 3.5.8", func(f *fixture) { f.launch.Spark.Version = "3.5.8" }},
		{"a version that is not supported", "3.x and 4.x are supported", func(f *fixture) { f.launch.Spark.Version = "2.4.8" }},
		{"no archive", "did not unpack", func(f *fixture) { f.launch.Spark.Home = "" }},
		{"no Java", "no Java for Spark 3.5.9", func(f *fixture) { f.jvms = "/nowhere" }},
		{"no volume", "checkpoint volume", func(f *fixture) { f.launch.Spark.Driver.CheckpointPath = "checkpoint" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, "")
			tc.change(f)
			statuses, exit := f.run(nil)
			assert.False(t, exit.Finished)
			assert.Contains(t, exit.Message, tc.says)
			assert.Empty(t, statuses)
			assert.NoFileExists(t, filepath.Join(f.seen, "args"))
		})
	}
}

// The volume is the application's alone, at one path for every attempt, and a
// second driver does not get it while one lives.
func TestCheckpointVolume(t *testing.T) {
	f := newFixture(t, "trap 'exit 0' TERM; ready; while :; do sleep 0.05; done")
	volume := openTempDir(t)
	f.launch.Spark.Driver.CheckpointPath = "checkpoint"
	require.NoError(t, os.Symlink(volume, filepath.Join(f.sandbox, "checkpoint")))
	_, exit := f.run(func(p *Process, _ func()) {
		_, err := host.OpenVolume(t.Context(), volume, host.Marker{Kind: executor.KindSparkDriver, Cluster: "clicks", Node: "clicks"})
		assert.ErrorIs(t, err, host.ErrVolumeBusy)
		p.Stop(10 * time.Second)
	})
	require.True(t, exit.Finished, exit.Message)
	assert.Contains(t, f.read("env"), "BERTH_SPARK_CHECKPOINT_DIR="+volume+"/data\n")
	assert.Contains(t, f.read("properties"), "spark.berth.checkpointDir=file://"+volume+"/data\n")
	assert.Equal(t, secret, f.read("token"), "the lock's descriptor comes first")

	f.launch.Spark.Application = "other"
	_, exit = f.run(nil)
	assert.Contains(t, exit.Message, "belongs to node clicks of cluster clicks")
}

func TestDistributionFromAnArchive(t *testing.T) {
	f := newFixture(t, "")
	f.launch.Spark.Home = ""
	require.NoError(t, os.CopyFS(filepath.Join(f.sandbox, "spark-3.5.9-bin-hadoop3"), os.DirFS(f.home)))
	require.NoError(t, os.Chmod(filepath.Join(f.sandbox, "spark-3.5.9-bin-hadoop3", "bin", "spark-submit"), 0o755))
	_, exit := f.run(nil)
	assert.True(t, exit.Finished, exit.Message)
}

// What is encoded is read back by the rules of java.util.Properties.
func TestProperties(t *testing.T) {
	assert.Equal(t, "a\\ b\\=c=\\ x y\\\\z\\n\\u00E9\n", encodeProperties(map[string]string{"a b=c": " x y\\z\né"}))
	assert.Equal(t, "k=\\uD83D\\uDE00\n", encodeProperties(map[string]string{"k": "😀"}))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r < 0xd800 || r > 0xffff && r <= 0x10ffff }))
		p := rapid.MapOf(text.Filter(func(s string) bool { return s != "" }), text).Draw(t, "properties")
		require.Equal(t, p, decodeProperties(t, encodeProperties(p)))
	})
}

func uidOf(t *testing.T, user string) string {
	t.Helper()
	args := []string{"-u"}
	if user != "" {
		args = append(args, user)
	}
	out, err := exec.Command("id", args...).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// openTempDir is a temporary folder that every user can enter.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

// decodeProperties follows the specification of java.util.Properties.load for
// lines that do not continue.
func decodeProperties(t require.TestingT, text string) map[string]string {
	p := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value := split(lines.Text())
		p[unescape(t, name)] = unescape(t, strings.TrimLeft(value, " \t\f"))
	}
	require.NoError(t, lines.Err())
	return p
}

func split(line string) (name, value string) {
	escaped := false
	for i, r := range line {
		if !escaped && (r == '=' || r == ':' || r == ' ') {
			return line[:i], line[i+1:]
		}
		escaped = !escaped && r == '\\'
	}
	return line, ""
}
