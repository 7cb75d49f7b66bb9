package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/berthdata/berth/api/server"
	"github.com/berthdata/berth/api/server/apitest"
	v1 "github.com/berthdata/berth/api/v1"
)

const specYAML = `# a comment
---
name: logs
spec:
  version: 8.19.21
  nodeSets:
  - {name: es, count: 3, resources: {cpus: 1, memory: 1gb}, storage: {size: 1gb}}
`

func TestPutHandsOverACompleteSpec(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Validation.Roles = []string{"data", "logs"} })
	var got v1.Cluster
	h.fake.Hook = nil
	r := h.do("PUT", "/v1/clusters/logs", specYAML, "Content-Type", "application/yaml; charset=utf-8", server.HeaderMessage, "why")
	require.Equal(t, 202, r.status, string(r.body))
	require.Equal(t, `"1"`, r.header.Get("ETag"))
	accepted := decode[v1.Accepted](t, r)
	require.Equal(t, v1.Accepted{Name: "logs", Generation: 1, PlanID: "plan-1", Changed: true}, accepted)
	calls := h.fake.Calls()
	require.Equal(t, server.PutOptions{Message: "why", User: "anonymous"}, calls[0].Options)

	view := decode[v1.ClusterView](t, h.do("GET", "/v1/clusters/logs", ""))
	got = view.Cluster
	require.Equal(t, "data", got.Spec.Role, "the first Mesos role is the default")
	require.Equal(t, []string{"master", "data", "ingest"}, *got.Spec.NodeSets[0].Roles)
	require.Equal(t, `"1"`, h.do("GET", "/v1/clusters/logs", "").header.Get("ETag"))
}

// Whatever is wrong with a request, the port is never called.
func TestWrongRequestsChangeNothing(t *testing.T) {
	h := start(t, func(o *server.Options) {
		o.Validation.ReservedSetting = func(name string) (bool, string) { return name == "path.data", "it is the volume's" }
	})
	put := "/v1/clusters/logs"
	big := strings.Repeat(" ", v1.MaxDocument+1)
	tests := []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		code, field              string
	}{
		{"syntax", "PUT", put, "{", nil, 400, v1.CodeBodyMalformed, ""},
		{"unknown field", "PUT", put, strings.Replace(spec, `"count"`, `"cuont"`, 1), nil, 400, v1.CodeBodyInvalid, "spec.nodeSets[0].cuont"},
		{"wrong value", "PUT", put, strings.Replace(spec, `"1gb"},"s`, `"1g"},"s`, 1), nil, 422, v1.CodeSpecInvalid, "spec.nodeSets[0].resources.memory"},
		{"reserved setting", "PUT", put, strings.Replace(spec, `"count":3`, `"count":3,"config":{"path.data":"x"}`, 1), nil, 422, v1.CodeSpecInvalid, `spec.nodeSets[0].config["path.data"]`},
		{"name differs", "PUT", "/v1/clusters/other", spec, nil, 422, v1.CodeSpecInvalid, "name"},
		{"too large", "PUT", put, big, nil, 413, v1.CodeBodyTooLarge, ""},
		{"no type", "PUT", put, spec, []string{"Content-Type", ""}, 415, v1.CodeBodyType, ""},
		{"form", "PUT", put, spec, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, v1.CodeBodyType, ""},
		{"YAML syntax", "PUT", put, "a: [", []string{"Content-Type", "application/yaml"}, 400, v1.CodeBodyMalformed, ""},
		{"YAML doubled key", "PUT", put, "name: a\nname: b\n", []string{"Content-Type", "application/yaml"}, 400, v1.CodeBodyMalformed, ""},
		{"YAML unknown field", "PUT", put, "nme: a\n", []string{"Content-Type", "application/yaml"}, 400, v1.CodeBodyInvalid, "nme"},
		{"two YAML documents", "PUT", put, specYAML + "---\nname: b\n", []string{"Content-Type", "application/yaml"}, 400, v1.CodeBodyMalformed, ""},
		{"misspelt parameter", "PUT", put + "?dryrun=true", spec, nil, 400, v1.CodeRequestInvalid, "?dryrun"},
		{"doubled parameter", "PUT", put + "?dryRun=false&dryRun=true", spec, nil, 400, v1.CodeRequestInvalid, "?dryRun"},
		{"odd parameter", "PUT", put + "?dryRun=yes", spec, nil, 400, v1.CodeRequestInvalid, "?dryRun"},
		{"empty parameter", "PUT", put + "?dryRun=", spec, nil, 400, v1.CodeRequestInvalid, "?dryRun"},
		{"broken query", "PUT", put + "?a=%zz", spec, nil, 400, v1.CodeRequestInvalid, ""},
		{"generation", "PUT", put + "?ifGeneration=x", spec, nil, 400, v1.CodeRequestInvalid, "?ifGeneration"},
		{"negative generation", "PUT", put + "?ifGeneration=-1", spec, nil, 400, v1.CodeRequestInvalid, "?ifGeneration"},
		{"If-Match unquoted", "PUT", put, spec, []string{"If-Match", "3"}, 400, v1.CodeRequestInvalid, "If-Match"},
		{"If-Match any", "PUT", put, spec, []string{"If-Match", "*"}, 400, v1.CodeRequestInvalid, "If-Match"},
		{"If-None-Match tag", "PUT", put, spec, []string{"If-None-Match", `"3"`}, 400, v1.CodeRequestInvalid, "If-None-Match"},
		{"two locks", "PUT", put + "?ifGeneration=3", spec, []string{"If-Match", `"3"`}, 400, v1.CodeRequestInvalid, "If-Match"},
		{"two messages", "PUT", put + "?message=a", spec, []string{server.HeaderMessage, "b"}, 400, v1.CodeRequestInvalid, server.HeaderMessage},
		{"long message", "PUT", put + "?message=" + strings.Repeat("a", 1025), spec, nil, 400, v1.CodeRequestInvalid, "?message"},
		{"message of two lines", "PUT", put + "?message=a%0Ab", spec, nil, 400, v1.CodeRequestInvalid, "?message"},
		{"unconfirmed", "DELETE", put, "", nil, 400, v1.CodeConfirmMissing, ""},
		{"wrongly confirmed", "DELETE", put + "?confirm=log", "", nil, 400, v1.CodeConfirmWrong, ""},
		{"retention", "DELETE", put + "?confirm=logs&retention=1w", "", nil, 400, v1.CodeRequestInvalid, "?retention"},
		{"retention for ever", "DELETE", put + "?confirm=logs&retention=9999d", "", nil, 400, v1.CodeRequestInvalid, "?retention"},
		{"volume unconfirmed", "DELETE", "/v1/volumes/v", "", nil, 400, v1.CodeConfirmMissing, ""},
		{"volume wrongly confirmed", "DELETE", "/v1/volumes/v?confirm=w", "", nil, 400, v1.CodeConfirmWrong, ""},
		{"kill unconfirmed", "DELETE", "/v1/tasks/unknown/t", "", nil, 400, v1.CodeConfirmMissing, ""},
		{"kill wrongly confirmed", "DELETE", "/v1/tasks/unknown/t?confirm=u", "", nil, 400, v1.CodeConfirmWrong, ""},
		{"keep with a query", "POST", "/v1/tasks/unknown/t/keep?confirm=t", "", nil, 400, v1.CodeRequestInvalid, "?confirm"},
		{"class", "GET", "/v1/volumes?class=orphan,lost", "", nil, 400, v1.CodeRequestInvalid, "?class"},
		{"empty class", "GET", "/v1/volumes?class=orphan,,foreign", "", nil, 400, v1.CodeRequestInvalid, "?class"},
		{"fresh", "GET", "/v1/volumes?fresh=yes", "", nil, 400, v1.CodeRequestInvalid, "?fresh"},
		{"findings", "POST", "/v1/volumes/repairs?findings=", "", nil, 400, v1.CodeRequestInvalid, "?findings"},
		{"too many findings", "POST", "/v1/volumes/repairs?findings=" + strings.Repeat("a,", 200) + "a", "", nil, 400, v1.CodeRequestInvalid, "?findings"},
		{"retention of a repair", "POST", "/v1/volumes/repairs?retention=1w", "", nil, 400, v1.CodeRequestInvalid, "?retention"},
		{"approval of nothing in particular", "POST", "/v1/volumes/repairs/r/approve", "", nil, 400, v1.CodeConfirmMissing, ""},
		{"step", "POST", "/v1/volumes/repairs/r/cancel?step=0", "", nil, 400, v1.CodeRequestInvalid, "?step"},
		{"odd step", "POST", "/v1/volumes/repairs/r/cancel?step=first", "", nil, 400, v1.CodeRequestInvalid, "?step"},
		{"restore with a query", "POST", "/v1/volumes/v/restore?confirm=v", "", nil, 400, v1.CodeRequestInvalid, "?confirm"},
		{"method", "PATCH", put, spec, nil, 405, v1.CodeMethodNotAllowed, ""},
		{"path", "GET", "/v2/clusters", "", nil, 404, v1.CodeNotFound, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := h.problem(h.do(tt.method, tt.path, tt.body, tt.headers...), tt.status, tt.code)
			if tt.field != "" {
				require.NotEmpty(t, p.Fields)
				require.Equal(t, tt.field, p.Fields[0].Field)
			}
		})
	}
	require.Empty(t, h.fake.Calls())
	require.Equal(t, "DELETE, GET, HEAD, PUT", h.do("PATCH", put, "").header.Get("Allow"))
}

func TestOptimisticLock(t *testing.T) {
	h := start(t, nil)
	put := "/v1/clusters/logs"
	h.problem(h.do("PUT", put, spec, "If-Match", `"3"`), 412, v1.CodeGenerationMismatch)
	require.Equal(t, 202, h.do("PUT", put, spec, "If-None-Match", "*").status)
	h.problem(h.do("PUT", put, spec, "If-None-Match", "*"), 412, v1.CodeGenerationMismatch)
	require.Equal(t, 200, h.do("PUT", put+"?ifGeneration=1", spec).status)
	bigger := strings.Replace(spec, `"count":3`, `"count":5`, 1)
	r := h.do("PUT", put, bigger, "If-Match", `"1"`)
	require.Equal(t, 202, r.status)
	require.Equal(t, `"2"`, r.header.Get("ETag"))
	require.Equal(t, "nodeSets[es].count", decode[v1.Accepted](t, r).Changes[0].Field)
}

func TestDryRun(t *testing.T) {
	h := start(t, nil)
	a := decode[v1.Accepted](t, h.do("PUT", "/v1/clusters/logs?dryRun=true", spec))
	require.True(t, a.DryRun && a.Changed)
	require.Equal(t, 404, h.do("GET", "/v1/clusters/logs", "").status)
	require.True(t, h.fake.Calls()[0].Options.(server.PutOptions).DryRun)
}

func TestDeleteAndVolumes(t *testing.T) {
	h := start(t, nil)
	h.do("PUT", "/v1/clusters/logs", spec)
	require.Equal(t, 202, h.do("DELETE", "/v1/clusters/logs?confirm=logs&retention=0s&message=gone", "").status)
	require.Equal(t, 202, h.do("DELETE", "/v1/volumes/logs-es-0-v1?confirm=logs-es-0-v1", "", server.HeaderMessage, "old").status)
	require.Equal(t, 202, h.do("POST", "/v1/volumes/logs-es-0-v1/restore?message=no", "").status)
	zero := time.Duration(0)
	require.Equal(t, []apitest.Call{
		{Method: "DeleteCluster", Name: "logs", Options: server.DeleteOptions{Confirm: "logs", Retention: &zero, Message: "gone", User: "anonymous"}},
		{Method: "DestroyVolume", Name: "logs-es-0-v1", Options: server.VolumeOptions{Confirm: "logs-es-0-v1", Message: "old", User: "anonymous"}},
		{Method: "RestoreVolume", Name: "logs-es-0-v1", Options: server.VolumeOptions{Message: "no", User: "anonymous"}},
	}, h.fake.Calls()[1:])
}

func TestReplaceNode(t *testing.T) {
	h := start(t, nil)
	const path = "/v1/clusters/logs/nodes/" + apitest.AwayNode + "/replace"
	p := h.problem(h.do("POST", path, ""), 409, v1.CodeDataAtRisk)
	require.Equal(t, []v1.IndexAtRisk{{Index: apitest.OnlyCopy, Shards: []int{0, 3}, ShardCount: 2, Reason: "only on " + apitest.AwayNode}}, p.AtRisk)
	h.problem(h.do("POST", "/v1/clusters/logs/nodes/logs-es-0/replace", ""), 409, v1.CodeConflict)
	const accept = `{"acceptDataLoss":["` + apitest.OnlyCopy + `"]}`
	r := h.do("POST", path+"?dryRun=true", accept)
	require.Equal(t, 200, r.status)
	require.True(t, decode[v1.Accepted](t, r).DryRun)
	r = h.do("POST", path+"?message=burnt", accept)
	require.Equal(t, 202, r.status)
	require.Equal(t, apitest.AwayNode+"-r7", decode[v1.Accepted](t, r).Successor)
	require.Equal(t, 202, h.do("DELETE", path, "", server.HeaderMessage, "found it").status)
	const name = "logs/" + apitest.AwayNode
	require.Equal(t, []apitest.Call{
		{Method: "ReplaceNode", Name: name, Options: server.ReplaceOptions{AcceptDataLoss: []string{apitest.OnlyCopy}, DryRun: true, User: "anonymous"}},
		{Method: "ReplaceNode", Name: name, Options: server.ReplaceOptions{AcceptDataLoss: []string{apitest.OnlyCopy}, Message: "burnt", User: "anonymous"}},
		{Method: "CancelReplacement", Name: name, Options: server.ReplaceOptions{Message: "found it", User: "anonymous"}},
	}, h.fake.Calls()[2:])

	for body, code := range map[string]string{
		`{`: v1.CodeBodyMalformed, `[]`: v1.CodeBodyInvalid, `{"acceptDataloss":[]}`: v1.CodeBodyInvalid, `{"acceptDataLoss":"x"}`: v1.CodeBodyInvalid,
		`{"acceptDataLoss":["logs-*"]}`: v1.CodeBodyInvalid, `{"acceptDataLoss":[""]}`: v1.CodeBodyInvalid, `{"acceptDataLoss":["a","a"]}`: v1.CodeBodyInvalid,
		`{"acceptDataLoss":["` + strings.Repeat("x", v1.MaxIndexName+1) + `"]}`: v1.CodeBodyInvalid,
	} {
		h.problem(h.do("POST", path, body), 400, code)
	}
	h.problem(h.do("POST", path, accept, "Content-Type", "text/plain"), 415, v1.CodeBodyType)
	h.problem(h.do("POST", path+"?dryrun=true", ""), 400, v1.CodeRequestInvalid)
	require.Len(t, h.fake.Calls(), 5, "what is wrong does not get through")
}

func TestUnknownTasks(t *testing.T) {
	h := start(t, nil)
	list := decode[v1.UnknownTaskList](t, h.do("GET", "/v1/tasks/unknown", ""))
	require.Len(t, list.Tasks, 2)
	require.Equal(t, "ann", list.Tasks[0].KillOrder.User)
	require.Nil(t, list.Tasks[1].KillOrder)
	path := "/v1/tasks/unknown/" + apitest.UnknownTaskID
	require.Equal(t, 202, h.do("DELETE", path+"?confirm="+apitest.UnknownTaskID+"&message=moved", "").status)
	require.Equal(t, 202, h.do("POST", path+"/keep", "", server.HeaderMessage, "no").status)
	require.Equal(t, []apitest.Call{
		{Method: "KillUnknownTask", Name: apitest.UnknownTaskID, Options: server.TaskOptions{Confirm: apitest.UnknownTaskID, Message: "moved", User: "anonymous"}},
		{Method: "KeepUnknownTask", Name: apitest.UnknownTaskID, Options: server.TaskOptions{Message: "no", User: "anonymous"}},
	}, h.fake.Calls())
}

// Lists are never null, whatever the port returns.
func TestListsAreNeverNull(t *testing.T) {
	h := start(t, nil)
	require.JSONEq(t, `{"clusters":[]}`, string(h.do("GET", "/v1/clusters", "").body))
	h.do("PUT", "/v1/clusters/logs", spec)
	for _, path := range []string{"", "/status", "/nodes", "/plan", "/explain", "/endpoints"} {
		require.NotContains(t, string(h.do("GET", "/v1/clusters/logs"+path, "").body), "null", path)
	}
	require.NotContains(t, string(h.do("GET", "/v1/agents", "").body), "null")
	require.NotContains(t, string(h.do("GET", "/readyz", "").body), "null")
}

func TestErrorsOfThePorts(t *testing.T) {
	core, logs := observer.New(zapcore.ErrorLevel)
	h := start(t, func(o *server.Options) {
		o.Logger = zap.New(core)
		o.Limits.RequestTimeout = 50 * time.Millisecond
	})
	answer := func(err error) response {
		h.fake.Hook = func(ctx context.Context, _ string) error {
			if err == nil {
				<-ctx.Done()
				return fmt.Errorf("commit: %w", ctx.Err())
			}
			return err
		}
		return h.do("PUT", "/v1/clusters/logs", spec)
	}
	h.problem(answer(fmt.Errorf("wrapped: %w", v1.ProblemConflict("busy", "an operation runs"))), 409, v1.CodeConflict)
	h.problem(answer(v1.ProblemUnavailable("ZooKeeper is away")), 503, v1.CodeUnavailable)
	p := h.problem(answer(nil), 504, v1.CodeTimeout)
	require.Contains(t, p.Detail, "repeating the request is safe")
	require.Zero(t, logs.Len())

	p = h.problem(answer(errors.New("password=hunter2")), 500, v1.CodeInternal)
	require.NotContains(t, p.Detail, "hunter2", "what the caller need not know stays in the log")
	require.Equal(t, 1, logs.Len())
	h.problem(answer(&v1.Problem{Status: 200, Code: "odd", Title: "odd"}), 500, "odd")
}

func TestPanicsAreAnswered(t *testing.T) {
	core, logs := observer.New(zapcore.ErrorLevel)
	h := start(t, func(o *server.Options) { o.Logger = zap.New(core) })
	h.fake.Hook = func(context.Context, string) error { panic("secret detail") }
	p := h.problem(h.do("GET", "/v1/agents", ""), 500, v1.CodeInternal)
	require.NotContains(t, p.Detail, "secret detail")
	require.Equal(t, "secret detail", logs.All()[0].ContextMap()["panic"])
	h.fake.Hook = nil
	require.Equal(t, 200, h.do("GET", "/v1/agents", "").status, "the server goes on")
}

// A panic after half an answer must not look like a whole one.
func TestPanicInMidAnswerCutsTheConnection(t *testing.T) {
	h := start(t, func(o *server.Options) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("half ", 10_000))
			panic("late")
		})
	})
	res, err := h.http.Do(h.request("GET", "/metrics", ""))
	require.NoError(t, err)
	defer res.Body.Close()
	_, err = io.ReadAll(res.Body)
	require.Error(t, err)
}

func TestFollowers(t *testing.T) {
	leader := ""
	h := start(t, func(o *server.Options) {
		o.LeaderRedirect = func(context.Context) (bool, string) { return leader == "me", leader }
	})
	h.fake.Files = map[[3]string][]byte{{"t", "k", "f"}: []byte("x")}
	h.problem(h.do("PUT", "/v1/clusters/logs", spec), 503, v1.CodeNotLeader)
	h.problem(h.do("GET", "/v1/clusters", ""), 503, v1.CodeNotLeader)
	leader = "https://leader.example:8080/"
	r := h.do("PUT", "/v1/clusters/logs?dryRun=true", spec)
	require.Equal(t, 307, r.status)
	require.Equal(t, "https://leader.example:8080/v1/clusters/logs?dryRun=true", r.header.Get("Location"))
	require.Equal(t, 307, h.do("GET", "/v1/events", "").status)
	for _, path := range []string{"/healthz", "/readyz", "/openapi.json", "/v1/artifacts/t/k/f"} {
		require.Equal(t, 200, h.do("GET", path, "").status, "%s is a follower's own", path)
	}
	require.Empty(t, h.fake.Calls())
	leader = "me"
	require.Equal(t, 202, h.do("PUT", "/v1/clusters/logs", spec).status)
}

func TestArtifacts(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	h := start(t, func(o *server.Options) { o.Logger = zap.New(core) })
	h.fake.Files = map[[3]string][]byte{{"logs-es-0.1", "s3cret", "berth-executor"}: []byte("0123456789")}
	path := "/v1/artifacts/logs-es-0.1/s3cret/berth-executor"
	r := h.do("GET", path, "")
	require.Equal(t, 200, r.status)
	require.Equal(t, "0123456789", string(r.body))
	require.Equal(t, "application/octet-stream", r.header.Get("Content-Type"))
	require.Equal(t, "10", r.header.Get("Content-Length"))
	r = h.do("GET", path, "", "Range", "bytes=2-4")
	require.Equal(t, 206, r.status)
	require.Equal(t, "234", string(r.body))
	h.problem(h.do("GET", strings.Replace(path, "s3cret", "guess", 1), ""), 404, v1.CodeNotFound)
	require.NotEmpty(t, logs.All())
	for _, e := range logs.All() {
		assert.NotContains(t, fmt.Sprint(e.ContextMap()), "s3cret", "a task's token is in the log")
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := start(t, func(o *server.Options) { o.Registry = registry })
	h.do("GET", "/v1/clusters/a", "")
	h.do("GET", "/v1/clusters/b", "")
	h.do("FOO", "/v1/clusters/b", "")
	h.do("GET", "/nothing", "")
	families, err := registry.Gather()
	require.NoError(t, err)
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, label := range m.GetLabel() {
				key += " " + label.GetValue()
			}
			counts[key] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	require.Equal(t, map[string]float64{
		"berth_api_requests_total 404 GET /v1/clusters/{name}":       2,
		"berth_api_requests_total 404 GET unknown":                   1,
		"berth_api_requests_total 405 other unknown":                 1,
		"berth_api_request_duration_seconds GET /v1/clusters/{name}": 2,
		"berth_api_request_duration_seconds GET unknown":             1,
		"berth_api_request_duration_seconds other unknown":           1,
		"berth_api_event_streams":                                    0,
		"berth_api_spark_syncs":                                      0,
	}, counts)
	h.problem(h.do("GET", "/metrics", ""), 404, v1.CodeNotFound)

	_, err = server.New(server.Options{Commands: h.fake, Queries: h.fake, Events: h.hub, Registry: registry})
	require.ErrorContains(t, err, "metrics")
}

func TestRateLimitIsPerClient(t *testing.T) {
	h := start(t, func(o *server.Options) {
		o.Limits.Rate, o.Limits.Burst, o.Limits.Clients = 0.001, 3, 2
		o.Auth = byHeader{}
	})
	get := func(user string) response { return h.do("GET", "/v1/agents", "", "X-User", user) }
	for range 3 {
		require.Equal(t, 200, get("a").status)
	}
	r := get("a")
	h.problem(r, 429, v1.CodeRateLimited)
	require.Equal(t, "1", r.header.Get("Retry-After"))
	require.Equal(t, 200, get("b").status, "another client has its own share")
	require.Equal(t, 429, get("a").status)
	require.Equal(t, 200, get("c").status, "pushes b out, who was seen longest ago")
	require.Equal(t, 429, get("a").status)
	for range 3 {
		require.Equal(t, 200, h.do("GET", "/healthz", "").status, "probes have no limit")
	}
	for range 3 {
		h.problem(get(""), 401, v1.CodeUnauthenticated)
	}
	h.problem(get(""), 429, v1.CodeRateLimited)
}

// byHeader believes the header X-User.
type byHeader struct{}

func (byHeader) Authenticate(r *http.Request) (server.Identity, error) {
	if user := r.Header.Get("X-User"); user != "" {
		return server.Identity{User: user, Scope: server.ScopeOperator}, nil
	}
	return server.Identity{}, server.ErrNoCredentials
}
