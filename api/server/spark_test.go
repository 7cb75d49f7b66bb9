package server_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/server"
	"github.com/berthdata/berth/api/server/apitest"
	v1 "github.com/berthdata/berth/api/v1"
)

const wordcount = "/v1/spark/wordcount"

func TestPutSpark(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Validation.Roles = []string{"data"} })
	r := h.do("PUT", wordcount+"?dryRun=true", application, server.HeaderMessage, "why")
	require.Equal(t, 200, r.status, string(r.body))
	require.Empty(t, r.header.Get("ETag"))
	r = h.do("PUT", wordcount, application)
	require.Equal(t, 202, r.status, string(r.body))
	require.Equal(t, `"1"`, r.header.Get("ETag"))
	require.Equal(t, v1.Accepted{Name: "wordcount", Generation: 1, Changed: true}, decode[v1.Accepted](t, r))
	require.Equal(t, 200, h.do("PUT", wordcount, application).status, "unchanged")
	view, err := h.fake.SparkApplication(t.Context(), "wordcount")
	require.NoError(t, err)
	require.Equal(t, "data", view.Spec.Role, "the scheduler's first")
	require.Equal(t, "512mb", view.Spec.Driver.MemoryOverhead)
	require.Equal(t, "hidden", view.Spec.Properties["spark.ssl.keyPassword"])
	require.Equal(t, apitest.Call{Method: "PutSpark", Name: "wordcount", Options: server.PutOptions{DryRun: true, Message: "why", User: "anonymous"}}, h.fake.Calls()[0])

	changed := strings.Replace(application, "hidden", "other", 1)
	h.problem(h.do("PUT", wordcount, changed, "If-Match", `"7"`), 412, v1.CodeGenerationMismatch)
	a := decode[v1.Accepted](t, h.do("PUT", wordcount, changed, "If-Match", `"1"`))
	require.Equal(t, []v1.Change{{Field: `properties["spark.ssl.keyPassword"]`, Leaf: "properties", From: `"` + v1.Redacted + `"`, To: `"` + v1.Redacted + `"`}}, a.Changes)
	yaml := "name: wordcount\nspec: {version: 3.5.9, appResource: hdfs:///x.py}\n"
	require.Equal(t, 202, h.do("PUT", wordcount, yaml, "Content-Type", "application/yaml").status)
}

func TestWrongSparkChangesNothing(t *testing.T) {
	h := start(t, nil)
	put := func(path, doc string, status int, code string) v1.Problem {
		t.Helper()
		return h.problem(h.do("PUT", path, doc), status, code)
	}
	p := put("/v1/spark/other", application, 422, v1.CodeSpecInvalid)
	require.Equal(t, "name", p.Fields[0].Field)
	p = put(wordcount, strings.Replace(application, `"min":1`, `"min":9`, 1), 422, v1.CodeSpecInvalid)
	require.Equal(t, "the application's spec is not valid", p.Title)
	require.Equal(t, "spec.executors.min", p.Fields[0].Field)
	put(wordcount, strings.Replace(application, `"min"`, `"least"`, 1), 400, v1.CodeBodyInvalid)
	put(wordcount, strings.Replace(application, "hidden", v1.Redacted, 1), 422, v1.CodeSpecInvalid)
	const submission = "driver-20240506070809-abc123"
	p = put("/v1/spark/"+submission, strings.Replace(application, `"wordcount"`, `"`+submission+`"`, 1), 422, v1.CodeSpecInvalid)
	require.Contains(t, p.Fields[0].Message, "submission")
	put("/v1/spark/apps", strings.Replace(application, `"wordcount"`, `"apps"`, 1), 422, v1.CodeSpecInvalid)
	require.Empty(t, h.fake.Calls())
}

func TestReadSpark(t *testing.T) {
	h := start(t, nil)
	require.Equal(t, `{"applications":[]}`+"\n", string(h.do("GET", "/v1/spark", "").body))
	require.Equal(t, 202, h.do("PUT", wordcount, application).status)
	h.fake.SetSpark("wordcount", func(v *v1.SparkView) {
		v.Status.Phase = "Failed"
		v.Status.List = []v1.SparkTaskView{{Name: "wordcount-exec-1", ExecutorID: 1, State: "Running", Since: apitest.Epoch}}
	})
	for _, path := range []string{"/v1/spark", wordcount, wordcount + "/executors"} {
		require.NotContains(t, string(h.do("GET", path, "").body), "hidden")
	}
	r := h.do("GET", wordcount, "")
	require.Equal(t, `"1"`, r.header.Get("ETag"))
	view := decode[v1.SparkView](t, r)
	require.Equal(t, v1.Redacted, view.Spec.Properties["spark.ssl.keyPassword"])
	stored, err := h.fake.SparkApplication(t.Context(), "wordcount")
	require.NoError(t, err)
	require.Equal(t, "hidden", stored.Spec.Properties["spark.ssl.keyPassword"], "only answers are redacted")

	list := decode[v1.SparkList](t, h.do("GET", "/v1/spark", "")).Applications
	require.Len(t, list, 1)
	require.Equal(t, v1.SparkSummary{Name: "wordcount", Version: "3.5.9", AppResource: "https://files.example/wordcount.jar", MainClass: "example.WordCount",
		Generation: 1, Phase: "Failed", AppID: "berth-wordcount-1", Scale: v1.SparkScaleView{Min: 1, Max: 4}, CreatedAt: apitest.Epoch, UpdatedAt: apitest.Epoch}, list[0])
	require.Empty(t, decode[v1.SparkList](t, h.do("GET", "/v1/spark?ended=false", "")).Applications)
	h.problem(h.do("GET", "/v1/spark?ended=maybe", ""), 400, v1.CodeRequestInvalid)

	executors := decode[v1.SparkExecutorList](t, h.do("GET", wordcount+"/executors", ""))
	require.Equal(t, int64(1), executors.Executors[0].ExecutorID)
	require.Equal(t, "wordcount-exec-2", decode[v1.Explanation](t, h.do("GET", wordcount+"/explain", "")).Nodes[0].Node)
	for _, path := range []string{"/v1/spark/none", "/v1/spark/none/executors", "/v1/spark/none/explain"} {
		h.problem(h.do("GET", path, ""), 404, v1.CodeNotFound)
	}
}

func TestKillAndForget(t *testing.T) {
	h := start(t, nil)
	require.Equal(t, 202, h.do("PUT", wordcount, application).status)
	h.problem(h.do("DELETE", wordcount, ""), 400, v1.CodeConfirmMissing)
	h.problem(h.do("DELETE", wordcount+"?confirm=x", ""), 400, v1.CodeConfirmWrong)
	h.problem(h.do("DELETE", wordcount+"?confirm=wordcount&forget=true", ""), 409, v1.CodeConflict)
	require.True(t, decode[v1.Accepted](t, h.do("DELETE", wordcount+"?confirm=wordcount&message=bye", "")).Changed)
	calls := h.fake.Calls()
	require.Equal(t, apitest.Call{Method: "KillSpark", Name: "wordcount", Options: server.SparkOptions{Message: "bye", User: "anonymous"}}, calls[len(calls)-1])
	require.False(t, decode[v1.Accepted](t, h.do("DELETE", wordcount+"?confirm=wordcount", "")).Changed, "repeating a kill does not forget")
	require.Equal(t, 200, h.do("GET", wordcount, "").status)
	require.Equal(t, 202, h.do("DELETE", wordcount+"?confirm=wordcount&forget=true", "").status)
	h.problem(h.do("GET", wordcount, ""), 404, v1.CodeNotFound)
	h.problem(h.do("DELETE", wordcount+"?confirm=wordcount", ""), 404, v1.CodeNotFound)
}

func TestScale(t *testing.T) {
	h := start(t, nil)
	require.Equal(t, 202, h.do("PUT", wordcount, application).status)
	scale := func(method, doc string, status int) (least, most int) {
		t.Helper()
		r := h.do(method, wordcount+"/scale?message=more", doc)
		require.Equal(t, status, r.status, string(r.body))
		v, err := h.fake.SparkApplication(t.Context(), "wordcount")
		require.NoError(t, err)
		return v.Status.Scale.Min, v.Status.Scale.Max
	}
	bounds := func(least, most int) []int { return []int{least, most} }
	require.Equal(t, []int{3, 3}, bounds(scale("PUT", `{"count":3}`, 202)))
	require.Equal(t, []int{3, 3}, bounds(scale("PUT", `{"count":3}`, 200)))
	require.Equal(t, []int{2, 9}, bounds(scale("PUT", `{"min":2,"max":9}`, 202)))
	require.Equal(t, []int{0, 0}, bounds(scale("PUT", `{"count":0}`, 202)))
	require.Equal(t, []int{1, 4}, bounds(scale("DELETE", "", 202)))
	for doc, field := range map[string]string{`{}`: "count", `{"count":-1}`: "count", `{"count":1,"min":1}`: "the document", `{"min":1}`: "max", `{"max":1}`: "min",
		`{"min":3,"max":2}`: "min", `{"count":10001}`: "count"} {
		p := h.problem(h.do("PUT", wordcount+"/scale", doc), 422, v1.CodeSpecInvalid)
		require.Equal(t, field, p.Fields[0].Field, doc)
	}
	h.problem(h.do("PUT", wordcount+"/scale", `{"replicas":3}`), 400, v1.CodeBodyInvalid)
	h.problem(h.do("PUT", "/v1/spark/none/scale", `{"count":3}`), 404, v1.CodeNotFound)
}

func TestBerthWithoutSpark(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Spark = nil })
	for _, path := range []string{"GET /v1/spark", "PUT /v1/spark/x", "POST /v1/spark/apps", "POST /v1/submissions/create"} {
		method, url, _ := strings.Cut(path, " ")
		h.problem(h.do(method, url, ""), 404, v1.CodeNotFound)
	}
	_, err := server.New(server.Options{Commands: h.fake, Queries: h.fake, Events: h.hub, Spark: &server.Spark{Commands: h.fake}})
	require.ErrorContains(t, err, "Spark needs")
}

func TestSparkAnswersFollowTheDocument(t *testing.T) {
	h := start(t, nil)
	doc := loadDocument(t)
	doc.Servers = openapi3.Servers{{URL: h.url}}
	router, err := gorillamux.NewRouter(doc)
	require.NoError(t, err)
	ok := func(status int, method, path, body string, headers ...string) {
		t.Helper()
		check(t, router, h, status, method, path, body, headers...)
	}
	ok(202, "PUT", wordcount, application)
	ok(200, "PUT", wordcount, application)
	ok(422, "PUT", wordcount, strings.Replace(application, `"min":1`, `"min":9`, 1))
	now, code := apitest.Epoch, "1"
	h.fake.SetSpark("wordcount", func(v *v1.SparkView) {
		v.Labels = map[string]string{"a": "b"}
		v.Status.EndedAt, v.Status.UIURL, v.Status.Message = &now, "http://h:4040", code
		v.Status.List = []v1.SparkTaskView{{Name: "e", ExecutorID: 1, State: "Running", TaskID: "t", AgentID: "a", Hostname: "h", Registered: true, Failures: 1, Message: "m", Since: now}}
		v.Status.Attempts = []v1.SparkAttempt{{Attempt: 1, TaskID: "t", Hostname: "h", State: "LOST", ExitCode: 1, Message: "m", StartedAt: now, EndedAt: now}}
		v.Status.Conditions = []v1.Condition{{Type: "T", Status: "True", Reason: "R", Message: "m", Since: now}}
		v.Spec.Driver.Supervise, v.Spec.Driver.Checkpoint = &v1.SparkSupervise{MaxFailures: 1}, &v1.Storage{Size: "1gb"}
	})
	ok(200, "GET", "/v1/spark", "")
	ok(200, "GET", "/v1/spark?ended=false", "")
	ok(200, "GET", wordcount, "")
	ok(404, "GET", "/v1/spark/none", "")
	ok(200, "GET", wordcount+"/executors", "")
	ok(200, "GET", wordcount+"/explain", "")
	ok(202, "PUT", wordcount+"/scale", `{"count":3}`)
	ok(422, "PUT", wordcount+"/scale", `{}`)
	ok(202, "DELETE", wordcount+"/scale", "")
	ok(400, "DELETE", wordcount, "")
	ok(202, "DELETE", wordcount+"?confirm=wordcount", "")
	ok(202, "DELETE", wordcount+"?confirm=wordcount&forget=true", "")

	token := []string{"Authorization", "Bearer " + apitest.SparkToken}
	for path, method := range map[string]string{"": "POST", "/x/target": "PUT", "/x/kill": "POST", "/x/sync": "POST", "/x/unregister": "POST"} {
		url := "/v1/spark/apps" + path
		ok(200, method, url, example(method, url, "x"), token...)
		ok(401, method, url, example(method, url, "x"))
		ok(400, method, url, `{"protocol":2,"appId":"x"}`, token...)
	}
	h.fake.Hook = func(context.Context, string) error { return v1.ProblemSparkEnded("x", "it was killed") }
	ok(410, "POST", "/v1/spark/apps/x/sync", example("POST", "/v1/spark/apps/x/sync", "x"), token...)
}

// The document's words for phases are those of the types.
func TestDocumentNamesThePhases(t *testing.T) {
	doc := loadDocument(t)
	for _, schema := range []string{"SparkStatus", "SparkSummary"} {
		var words []string
		for _, e := range doc.Components.Schemas[schema].Value.Properties["phase"].Value.Enum {
			words = append(words, e.(string))
		}
		require.ElementsMatch(t, v1.SparkPhases, words)
	}
	require.Equal(t, http.StatusGone, v1.ProblemSparkEnded("x", "y").Status)
}
