package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/client"
	"github.com/berthdata/berth/api/server"
	"github.com/berthdata/berth/api/submission"
	v1 "github.com/berthdata/berth/api/v1"
)

// childVariable makes the test's own program the command that proxy runs: what
// it holds is what the child does.
const childVariable = "BERTH_TEST_CHILD"

// childBerth lets it be berth itself, so that tests see its exit code and output.
const childBerth = "berth"

func TestMain(m *testing.M) {
	switch what := os.Getenv(childVariable); what {
	case "":
	case childBerth:
		main()
		return
	default:
		os.Exit(child(what))
	}
	os.Exit(m.Run())
}

// child does what a Spark client does with its master.
func child(what string) int {
	master := os.Getenv("MASTER")
	_, address, _ := strings.Cut(master, "://")
	get := func(path string) (int, string) {
		res, err := http.Get("http://" + path)
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	fmt.Println(os.Getenv("DEPLOY_MODE"), strings.Join(os.Args[1:], " "))
	switch what {
	case "submit", "refused":
		version := map[string]string{"submit": "3.5.9", "refused": "1.0.0"}[what]
		res, err := http.Post("http://"+address+"/v1/submissions/create", "application/json",
			strings.NewReader(`{"action":"CreateSubmissionRequest","appResource":"hdfs:///x.py","clientSparkVersion":"`+version+`"}`))
		if err != nil {
			return 9
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		fmt.Println(res.StatusCode, string(body))
	case "stranger":
		host, _, _ := strings.Cut(address, "/")
		for _, path := range []string{host + "/v1/submissions/readyz", host + "/guess/v1/submissions/readyz", address + "/v1/clusters", address + "/v1/submissions/../clusters"} {
			status, _ := get(path)
			fmt.Println(status)
		}
	case "status":
		status, body := get(address + "/v1/submissions/status/x")
		fmt.Println(status, body)
	case "fails":
		return 7
	}
	return 0
}

func TestSparkSubmit(t *testing.T) {
	c := newCLI(t, nil)
	require.NoError(t, os.WriteFile(filepath.Join(c.dir, "job.conf"), []byte("# job\nspark.x.password  secret\n\nspark.y=a \\\n  b\n! spark.z: 3\nspark.driver.memory: 3g\n"), 0o600))
	r := c.run("", "spark", "submit", "--spark-version", "3.5.9", "--class", "example.Job", "--properties-file", "$DIR/job.conf", "--conf", "spark.w=1=2",
		"--num-executors", "4", "--executor-cores", "2", "--supervise", "--jars", "hdfs:///a.jar,hdfs:///b.jar", "hdfs:///job.jar", "--class", "is the job's", "a b")
	require.Equal(t, 0, r.code, r.err)
	id := strings.TrimSpace(r.stdout)
	require.Regexp(t, v1.SparkSubmissionName, id)
	require.Contains(t, r.err, "driver of 1 cpus and 3gb heap")
	view, err := c.fake.SparkApplication(t.Context(), id)
	require.NoError(t, err)
	four := 4
	s := view.Spec
	require.Equal(t, []string{"--class", "is the job's", "a b"}, s.Args)
	require.Equal(t, "example.Job", s.MainClass)
	require.Equal(t, &four, s.Executors.Count)
	require.Equal(t, 2, s.Executors.Cores)
	require.Equal(t, []string{"hdfs:///a.jar", "hdfs:///b.jar"}, s.Jars)
	require.NotNil(t, s.Driver.Supervise)
	require.Equal(t, map[string]string{"spark.x.password": "secret", "spark.y": "a b", "spark.w": "1=2"}, s.Properties)

	for content, want := range map[string]string{"spark.x\n": "line 1 has a name and no value", "spark.x a\\\n": "nothing follows"} {
		require.NoError(t, os.WriteFile(filepath.Join(c.dir, "job.conf"), []byte(content), 0o600))
		r = c.run("", "spark", "submit", "--properties-file", "$DIR/job.conf", "hdfs:///x.py")
		require.Equal(t, exitFailure, r.code)
		require.Contains(t, r.err, want)
	}
	r = c.run("", "spark", "submit", "--spark-version", "4.3.0", "-o", "json", "hdfs:///x.py")
	require.Contains(t, r.stdout, `"action": "CreateSubmissionResponse"`)
}

func TestSparkSubmitWaits(t *testing.T) {
	for phase, code := range map[string]int{"Succeeded": 0, "Failed": exitFailure, "Killed": exitFailure} {
		c := newCLI(t, nil)
		c.fake.SparkScript = func(v *v1.SparkView, read int) {
			v.Status.Phase = "Running"
			if read > 1 {
				v.Status.Phase, v.Status.Message = phase, "exit status 1"
			}
		}
		r := c.run("", "spark", "submit", "--spark-version", "4.3.0", "--wait", "hdfs:///x.py")
		require.Equal(t, code, r.code, r.err)
		require.Contains(t, r.stdout, phase+", attempt 0")
	}
}

func TestSparkApplyWaits(t *testing.T) {
	c := newCLI(t, nil)
	require.NoError(t, os.WriteFile(filepath.Join(c.dir, "x.yaml"), []byte("name: x\nspec: {version: 3.5.9, appResource: hdfs:///x.py}\n"), 0o600))
	c.fake.SparkScript = func(v *v1.SparkView, read int) {
		v.Status.Phase = map[bool]string{true: "Starting", false: "Running"}[read == 1]
	}
	r := c.run("", "spark", "apply", "-f", "$DIR/x.yaml", "--wait")
	require.Equal(t, 0, r.code, r.err)
	require.Contains(t, r.stdout, "application x is running")
	c.fake.SparkScript = func(v *v1.SparkView, _ int) { v.Status.Phase, v.Status.Message = "Failed", "no such class" }
	r = c.run("", "spark", "apply", "-f", "$DIR/x.yaml", "--wait")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.err, "Failed no such class")
}

// proxied runs berth spark proxy with this test's program as the command.
func proxied(t *testing.T, c *cli, what string, args ...string) result {
	t.Helper()
	t.Setenv(childVariable, what)
	self, err := os.Executable()
	require.NoError(t, err)
	return c.run("", append([]string{"spark", "proxy"}, append(args, "--", self, "some", "arguments")...)...)
}

func TestSparkProxy(t *testing.T) {
	operator, line, err := server.NewToken(server.ScopeOperator, "ci")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(file, []byte(line+"\n"), 0o600))
	tokens, err := server.LoadTokens(file)
	require.NoError(t, err)
	c := newCLI(t, func(o *server.Options) { o.Auth = tokens })
	c.env["BERTH_TOKEN"] = operator

	r := proxied(t, c, "submit")
	require.Equal(t, 0, r.code, r.stdout+r.err)
	require.Contains(t, r.stdout, "cluster some arguments\n")
	require.Contains(t, r.stdout, `200 {"action":"CreateSubmissionResponse"`)
	list, err := c.fake.SparkApplications(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1)

	r = proxied(t, c, "refused", "--scheme", "mesos")
	require.Equal(t, exitFailure, r.code, "spark-submit itself would end with 0")
	require.Contains(t, r.stdout, `422 {"action":"ErrorResponse"`)
	require.Contains(t, r.err, "was not taken")
	require.Equal(t, 7, proxied(t, c, "fails").code)
	require.Equal(t, "cluster some arguments\n404\n404\n404\n404\n", proxied(t, c, "stranger").stdout, "only who knows the path, and only submissions")
	r = proxied(t, c, "status")
	require.Contains(t, r.stdout, "NOT_FOUND")
	require.Equal(t, exitFailure, r.code)

	c.server.Close()
	r = proxied(t, c, "submit")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stdout, `502 {"action":"ErrorResponse"`)
	require.Contains(t, r.stdout, "cannot reach Berth")
	require.NotContains(t, r.stdout+r.err, operator)
	require.Equal(t, exitFailure, c.run("", "spark", "proxy", "--", filepath.Join(c.dir, "nothing")).code)
}

func TestProxyBoundsWhatItTakes(t *testing.T) {
	c, err := client.New(client.Options{Server: "http://127.0.0.1:1"})
	require.NoError(t, err)
	p := newProxy(c)
	require.Len(t, p.secret, 64)
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest("POST", "/"+p.secret+"/v1/submissions/create", bytes.NewReader(make([]byte, v1.MaxDocument+1))))
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
	require.Contains(t, w.Body.String(), submission.ErrorResponse)
}

func TestSubmitArguments(t *testing.T) {
	require.Equal(t, []string{"--conf", "spark.master.rest.enabled=true", "x.jar"}, submitArguments([]string{"/opt/spark/bin/spark-submit", "x.jar"}))
	require.Equal(t, []string{"x.jar"}, submitArguments([]string{"wrapper", "x.jar"}))
}
