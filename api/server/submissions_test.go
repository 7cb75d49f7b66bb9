package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/server"
	"github.com/berthdata/berth/api/server/apitest"
	"github.com/berthdata/berth/api/submission"
	v1 "github.com/berthdata/berth/api/v1"
)

const submitted = `{"action":"CreateSubmissionRequest","appResource":"https://files.example/job.jar","mainClass":"example.Job",
"appArgs":["a b","\"'\\","--x=$HOME"],"clientSparkVersion":"3.5.9","environmentVariables":{"SPARK_SCALA_VERSION":"2.12"},
"sparkProperties":{"spark.app.name":"Job","spark.master":"spark://h:1","spark.mesos.principal":"p"}}`

// submit demands an answer of the protocol and returns it.
func submit(t *testing.T, h *harness, status int, action, method, path, body string, headers ...string) submission.Response {
	t.Helper()
	r := h.do(method, path, body, headers...)
	require.Equal(t, status, r.status, string(r.body))
	require.Equal(t, "application/json", r.header.Get("Content-Type"))
	var a submission.Response
	require.NoError(t, json.Unmarshal(r.body, &a))
	require.Equal(t, action, a.Action, string(r.body))
	require.Equal(t, "4.3.0", a.ServerSparkVersion, "clients demand one")
	if action != submission.ErrorResponse {
		require.NotNil(t, a.Success, "clients demand it")
	}
	return a
}

// run submits and returns the submission's id.
func run(t *testing.T, h *harness) string {
	t.Helper()
	a := submit(t, h, 200, "CreateSubmissionResponse", "POST", "/v1/submissions/create", submitted)
	require.True(t, *a.Success)
	require.Regexp(t, v1.SparkSubmissionName, a.SubmissionID)
	return a.SubmissionID
}

func TestSubmission(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Validation.Roles = []string{"data", "spark"} })
	body := strings.Replace(submitted, `"mainClass"`, `"newField":{"x":1},"mainClass"`, 1)
	a := submit(t, h, 200, "CreateSubmissionResponse", "POST", "/v1/submissions/create", body)
	require.True(t, *a.Success)
	require.Equal(t, []string{"newField"}, a.UnknownFields)
	require.Contains(t, a.Message, "on Spark 3.5.9: driver of 1 cpus and 1gb heap, executors: 2 of 1 cores and 1gb heap")
	require.Contains(t, a.Message, "spark.mesos.principal has no effect")
	view, err := h.fake.SparkApplication(t.Context(), a.SubmissionID)
	require.NoError(t, err)
	require.Equal(t, []string{"a b", `"'\`, "--x=$HOME"}, view.Spec.Args)
	require.Equal(t, "data", view.Spec.Role)
	require.Equal(t, map[string]string{"spark.app.name": "Job"}, view.Spec.Properties)
	require.NotEqual(t, a.SubmissionID, run(t, h))
	none := int64(0)
	require.Equal(t, apitest.Call{Method: "PutSpark", Name: a.SubmissionID, Options: server.PutOptions{
		IfGeneration: &none, User: "anonymous", Message: "submitted by a client of Spark 3.5.9"}}, h.fake.Calls()[0])
}

func TestSubmissionErrors(t *testing.T) {
	h := start(t, nil)
	create := func(status int, body string, headers ...string) string {
		t.Helper()
		return submit(t, h, status, "ErrorResponse", "POST", "/v1/submissions/create", body, headers...).Message
	}
	require.Contains(t, create(400, `{"action":`), "not a JSON object")
	require.Contains(t, create(400, `{"action":"KillSubmissionRequest"}`), "KillSubmissionRequest")
	require.Contains(t, create(415, submitted, "Content-Type", "text/plain"), "application/json")
	require.Contains(t, create(413, `{"action":"`+strings.Repeat("x", v1.MaxDocument)+`"}`), "at most 1048576 bytes")
	require.Contains(t, create(422, strings.Replace(submitted, "3.5.9", "3.1.1", 1)), "clientSparkVersion: version \"3.1.1\" of Spark is not in this Berth's catalogue")
	require.Contains(t, create(422, strings.Replace(submitted, `"spark.app.name":"Job"`, `"spark.driver.memory":"100m"`, 1)), "spec.driver.memory: 100mb is too small")
	require.Contains(t, create(422, strings.Replace(submitted, `"spark.app.name":"Job"`, `"spark.mesos.executor.docker.image":"x"`, 1)), "spark.mesos.executor.docker.image: cannot be honoured")
	require.Contains(t, submit(t, h, 400, "ErrorResponse", "POST", "/v1/submissions/create?x=1", submitted).Message, "query parameter")
	require.Empty(t, h.fake.Calls(), "nothing was changed")

	h.fake.Hook = func(context.Context, string) error {
		return v1.ProblemConflict("too many applications wait", "1,000 are waiting")
	}
	require.Equal(t, "too many applications wait: 1,000 are waiting", create(409, submitted))
	h.fake.Hook = func(context.Context, string) error { panic("broken") }
	require.Equal(t, 500, h.do("POST", "/v1/submissions/create", submitted).status)

	for path, want := range map[string]string{
		"POST /v1/submissions/kill":     "Submission ID is missing in kill request.",
		"POST /v1/submissions/kill/":    "Submission ID is missing in kill request.",
		"GET /v1/submissions/status/":   "Submission ID is missing in status request.",
		"GET /v1/submissions":           "Missing an action",
		"POST /v1/submissions/launch/x": "Missing an action",
	} {
		method, url, _ := strings.Cut(path, " ")
		require.Contains(t, submit(t, h, 400, "ErrorResponse", method, url, "").Message, want)
	}
	r := submit(t, h, submission.StatusUnknownVersion, "ErrorResponse", "POST", "/v2/submissions/create", submitted)
	require.Equal(t, "v1", r.HighestProtocolVersion)
	require.Contains(t, r.Message, "Unknown protocol version 'v2'.")
	require.Contains(t, submit(t, h, 405, "ErrorResponse", "GET", "/v1/submissions/create", "").Message, "answers to POST")
}

func TestSubmissionTimesOutBeforeItsClient(t *testing.T) {
	require.Less(t, server.DefaultLimits().SubmissionTimeout, 10*time.Second)
	h := start(t, func(o *server.Options) { o.Limits.SubmissionTimeout = 20 * time.Millisecond })
	h.fake.Hook = func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
	require.Contains(t, submit(t, h, 504, "ErrorResponse", "POST", "/v1/submissions/create", submitted).Message, "may or may not have happened")
}

func TestSubmissionDrawsAnotherName(t *testing.T) {
	h := start(t, nil)
	taken := 2
	h.fake.Hook = func(context.Context, string) error {
		if taken--; taken >= 0 {
			return v1.ProblemGenerationMismatch("application", "driver-1", 0, 1)
		}
		return nil
	}
	run(t, h)
	taken = 3
	require.Contains(t, submit(t, h, 412, "ErrorResponse", "POST", "/v1/submissions/create", submitted).Message, "exists already")
}

func TestSubmissionStatus(t *testing.T) {
	h := start(t, nil)
	id := run(t, h)
	status := func(id string) submission.Response {
		t.Helper()
		return submit(t, h, 200, "SubmissionStatusResponse", "GET", "/v1/submissions/status/"+id, "")
	}
	for phase, state := range map[string]string{"Pending": "SUBMITTED", "Starting": "SUBMITTED", "Running": "RUNNING", "Backoff": "RELAUNCHING",
		"Detached": "UNKNOWN", "Stopping": "RUNNING", "Succeeded": "FINISHED", "Failed": "FAILED", "Killed": "KILLED"} {
		h.fake.SetSpark(id, func(v *v1.SparkView) {
			v.Status.Phase, v.Status.Message = phase, "why"
			v.Status.Driver.AgentID, v.Status.Driver.Hostname = "agent-1", "host-1"
		})
		a := status(id)
		require.True(t, *a.Success)
		require.Equal(t, submission.Response{Action: a.Action, ServerSparkVersion: "4.3.0", Success: a.Success, SubmissionID: id, DriverState: state,
			WorkerID: "agent-1", WorkerHostPort: "host-1", Message: map[bool]string{true: "why"}[phase == "Failed"]}, a)
	}
	a := status("driver-20240506070809-aaaaaa")
	require.False(t, *a.Success)
	require.Equal(t, "NOT_FOUND", a.DriverState)
	require.Equal(t, "driver-20240506070809-aaaaaa", a.SubmissionID)
}

func TestSubmissionKill(t *testing.T) {
	h := start(t, nil)
	id := run(t, h)
	kill := func(id string) submission.Response {
		t.Helper()
		a := submit(t, h, 200, "KillSubmissionResponse", "POST", "/v1/submissions/kill/"+id, "")
		require.Equal(t, id, a.SubmissionID)
		return a
	}
	require.True(t, *kill(id).Success)
	again := kill(id)
	require.False(t, *again.Success)
	require.Contains(t, again.Message, "already finished")
	require.False(t, *kill("none").Success)
}

func TestKillAllAndClear(t *testing.T) {
	h := start(t, nil)
	one, two := run(t, h), run(t, h)
	_, err := h.fake.PutSpark(t.Context(), v1.SparkApplication{Name: "applied"}, server.PutOptions{})
	require.NoError(t, err)
	h.fake.SetSpark(one, func(v *v1.SparkView) { v.Status.Phase = "Succeeded" })
	require.Contains(t, submit(t, h, 200, "KillAllSubmissionResponse", "POST", "/v1/submissions/killall", "").Message, "for 1 submissions")
	phase := func(name string) string {
		v, err := h.fake.SparkApplication(t.Context(), name)
		require.NoError(t, err)
		return v.Status.Phase
	}
	require.Equal(t, []string{"Succeeded", "Killed", "Pending"}, []string{phase(one), phase(two), phase("applied")})
	h.fake.SetSpark("applied", func(v *v1.SparkView) { v.Status.Phase = "Failed" })
	require.Contains(t, submit(t, h, 200, "ClearResponse", "POST", "/v1/submissions/clear", "").Message, "2 ended submissions")
	list, err := h.fake.SparkApplications(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1, "an application that was applied stays")

	run(t, h)
	h.fake.Hook = func(_ context.Context, method string) error {
		if method == "KillSpark" {
			return v1.ProblemUnavailable("the state store is away")
		}
		return nil
	}
	require.Contains(t, submit(t, h, 503, "ErrorResponse", "POST", "/v1/submissions/killall", "").Message, "state store")
}

func TestSubmissionsReadiness(t *testing.T) {
	h := start(t, nil)
	require.True(t, *submit(t, h, 200, "ReadyzResponse", "GET", "/v1/submissions/readyz", "").Success)
	h.fake.NotReady = "mesos"
	require.Contains(t, submit(t, h, 503, "ErrorResponse", "GET", "/v1/submissions/readyz", "").Message, "Master is not ready")
	require.Equal(t, 503, h.do("GET", "/readyz", "").status, "Berth's own is another path")
}

func TestSubmissionScopes(t *testing.T) {
	path, operator, readonly := tokenFile(t)
	tokens, err := server.LoadTokens(path)
	require.NoError(t, err)
	from := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	h := start(t, func(o *server.Options) { o.Auth, o.Spark.SubmittersFrom = tokens, from })
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	const create = "/v1/submissions/create"
	require.Contains(t, submit(t, h, 401, "ErrorResponse", "POST", create, submitted).Message, "bearer token")
	submit(t, h, 401, "ErrorResponse", "POST", create, submitted, bearer("berth_x")...)
	submit(t, h, 403, "ErrorResponse", "POST", create, submitted, bearer(readonly)...)
	id := submit(t, h, 200, "CreateSubmissionResponse", "POST", create, submitted, bearer(operator)...).SubmissionID

	// Loopback counts as one of the networks from here on.
	from[0] = netip.MustParsePrefix("127.0.0.0/8")
	submit(t, h, 200, "CreateSubmissionResponse", "POST", create, submitted)
	require.True(t, *submit(t, h, 200, "SubmissionStatusResponse", "GET", "/v1/submissions/status/"+id, "").Success)
	submit(t, h, 401, "ErrorResponse", "POST", create, submitted, bearer("berth_x")...)
	submit(t, h, 403, "ErrorResponse", "POST", create, submitted, bearer(readonly)...)
	for _, header := range [][]string{{"Origin", h.url}, {"Sec-Fetch-Site", "same-origin"}} {
		submit(t, h, 401, "ErrorResponse", "POST", create, submitted, header...)
	}
	submit(t, h, 403, "ErrorResponse", "POST", create, submitted, "Origin", "https://evil.example")
	for _, path := range []string{"/v1/submissions/killall", "/v1/submissions/clear"} {
		submit(t, h, 401, "ErrorResponse", "POST", path, "")
	}
	h.problem(h.do("GET", "/v1/clusters", ""), 401, v1.CodeUnauthenticated)

	_, err = h.fake.PutSpark(t.Context(), v1.SparkApplication{Name: "applied"}, server.PutOptions{})
	require.NoError(t, err)
	require.False(t, *submit(t, h, 200, "KillSubmissionResponse", "POST", "/v1/submissions/kill/applied", "").Success)
	require.False(t, *submit(t, h, 200, "SubmissionStatusResponse", "GET", "/v1/submissions/status/applied", "").Success)
	require.True(t, *submit(t, h, 200, "KillSubmissionResponse", "POST", "/v1/submissions/kill/applied", "", bearer(operator)...).Success)
	require.True(t, *submit(t, h, 200, "KillSubmissionResponse", "POST", "/v1/submissions/kill/"+id, "").Success)
	calls := h.fake.Calls()
	require.Equal(t, "submitter@127.0.0.1", calls[len(calls)-1].Options.(server.SparkOptions).User)
}

func TestSubmissionOnAStandby(t *testing.T) {
	leader := ""
	h := start(t, func(o *server.Options) {
		o.LeaderRedirect = func(context.Context) (bool, string) { return false, leader }
	})
	// No leader, or one that clients cannot reach: they ask the next master.
	for _, leader = range []string{"", "https://berth-2.example:8080"} {
		for path, action := range map[string]string{"POST /create": "CreateSubmissionResponse", "GET /status/x": "SubmissionStatusResponse",
			"POST /kill/x": "KillSubmissionResponse", "POST /killall": "KillAllSubmissionResponse", "POST /clear": "ClearResponse"} {
			method, url, _ := strings.Cut(path, " ")
			a := submit(t, h, 200, action, method, "/v1/submissions"+url, map[bool]string{true: submitted}[url == "/create"])
			require.False(t, *a.Success)
			require.True(t, strings.HasPrefix(a.Message, "Current state is not alive"), "clients look for that")
			if strings.HasSuffix(url, "/x") {
				require.Equal(t, "x", a.SubmissionID)
			}
		}
	}
	leader = "http://berth-2.example:8080/"
	r := h.do("POST", "/v1/submissions/create", submitted)
	require.Equal(t, 307, r.status)
	require.Equal(t, "http://berth-2.example:8080/v1/submissions/create", r.header.Get("Location"))
	require.Equal(t, 200, h.do("GET", "/v1/submissions/readyz", "").status, "it answers for itself")
}

func TestSubmissionListener(t *testing.T) {
	fake := &apitest.Fake{}
	path, _, _ := tokenFile(t)
	tokens, err := server.LoadTokens(path)
	require.NoError(t, err)
	spark := fake.Spark()
	spark.SubmittersFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	s, err := server.New(server.Options{Commands: fake, Queries: fake, Events: server.NewEventHub(1), Spark: spark, Auth: tokens})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.ServeSubmissions(ctx, ln) }()
	base := fmt.Sprintf("http://%s", ln.Addr())
	for path, want := range map[string]int{"/v1/submissions/readyz": 200, "/v1/submissions/status/x": 200, "/v1/clusters": 404, "/healthz": 404, "/v1/spark": 404} {
		res, err := http.Get(base + path)
		require.NoError(t, err)
		assert.NoError(t, res.Body.Close())
		assert.Equal(t, want, res.StatusCode, path)
	}
	stop()
	require.NoError(t, <-ended)
}

func TestSubmissionAnswersFollowTheDocument(t *testing.T) {
	h := start(t, nil)
	doc := loadDocument(t)
	doc.Servers = openapi3.Servers{{URL: h.url}}
	router, err := gorillamux.NewRouter(doc)
	require.NoError(t, err)
	ok := func(status int, method, path, body string, headers ...string) {
		t.Helper()
		check(t, router, h, status, method, path, body, headers...)
	}
	ok(200, "POST", "/v1/submissions/create", submitted)
	ok(422, "POST", "/v1/submissions/create", strings.Replace(submitted, "3.5.9", "1.0.0", 1))
	ok(415, "POST", "/v1/submissions/create", submitted, "Content-Type", "text/plain")
	id := run(t, h)
	ok(200, "GET", "/v1/submissions/status/"+id, "")
	ok(200, "GET", "/v1/submissions/status/none", "")
	ok(200, "POST", "/v1/submissions/kill/"+id, "")
	ok(200, "POST", "/v1/submissions/kill/none", "")
	ok(200, "POST", "/v1/submissions/killall", "")
	ok(200, "POST", "/v1/submissions/clear", "")
	ok(200, "GET", "/v1/submissions/readyz", "")
	h.fake.NotReady = "mesos"
	ok(503, "GET", "/v1/submissions/readyz", "")
	h.fake.Hook = func(context.Context, string) error { return v1.ProblemUnavailable("away") }
	ok(503, "POST", "/v1/submissions/create", submitted)
}
