package server_test

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/server"
	"github.com/berthdata/berth/api/server/apitest"
	v1 "github.com/berthdata/berth/api/v1"
)

func loadDocument(t *testing.T) *openapi3.T {
	t.Helper()
	h := start(t, nil)
	doc, err := openapi3.NewLoader().LoadFromData(h.do("GET", "/openapi.json", "").body)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(context.Background()))
	return doc
}

func TestDocumentIsValidInBothSpellings(t *testing.T) {
	h := start(t, nil)
	asJSON, err := openapi3.NewLoader().LoadFromData(h.do("GET", "/openapi.json", "").body)
	require.NoError(t, err)
	asYAML, err := openapi3.NewLoader().LoadFromData(h.do("GET", "/openapi.yaml", "").body)
	require.NoError(t, err)
	a, err := asJSON.MarshalJSON()
	require.NoError(t, err)
	b, err := asYAML.MarshalJSON()
	require.NoError(t, err)
	require.JSONEq(t, string(a), string(b))
}

func TestDocumentAndRoutesAreTheSame(t *testing.T) {
	doc := loadDocument(t)
	var documented []string
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			documented = append(documented, method+" "+path)
			var query []string
			for _, p := range slices.Concat(item.Parameters, op.Parameters) {
				if p.Value.In == openapi3.ParameterInQuery {
					query = append(query, p.Value.Name)
				}
			}
			public := op.Security != nil && len(*op.Security) == 0
			assert.Equal(t, server.RouteFacts(method, path), server.Facts{Query: sorted(query), Public: public}, "%s %s", method, path)
		}
	}
	assert.ElementsMatch(t, server.RoutePatterns(), documented)
}

func sorted(s []string) []string {
	s = append([]string{}, s...)
	slices.Sort(s)
	return s
}

// The document's lists of roles and operators are those of validation.
func TestDocumentNamesTheSameWords(t *testing.T) {
	doc := loadDocument(t)
	words := func(schema string, property string) []string {
		p := doc.Components.Schemas[schema].Value.Properties[property].Value
		if p.Items != nil {
			p = p.Items.Value
		}
		var out []string
		for _, e := range p.Enum {
			out = append(out, e.(string))
		}
		return out
	}
	assert.ElementsMatch(t, v1.KnownRoles(), words("NodeSet", "roles"))
	assert.ElementsMatch(t, v1.Operators(), words("Constraint", "operator"))
	assert.ElementsMatch(t, v1.ClusterPhases, words("ClusterStatus", "phase"))
	assert.ElementsMatch(t, v1.NodeStates, words("NodeView", "state"))
	assert.ElementsMatch(t, v1.VolumeClasses, words("VolumeView", "class"))
	assert.ElementsMatch(t, v1.RepairStates, words("RepairView", "state"))
	assert.ElementsMatch(t, v1.RepairStepStates, words("RepairStepView", "state"))
	assert.ElementsMatch(t, v1.RepairActions, words("RepairStepView", "action"))
}

// check sends a request and validates it, and what is answered, against the
// document.
func check(t *testing.T, router routers.Router, h *harness, status int, method, path, body string, headers ...string) {
	t.Helper()
	req := h.request(method, path, body, headers...)
	route, params, err := router.FindRoute(req)
	require.NoError(t, err, "%s %s", method, path)
	options := &openapi3filter.Options{
		AuthenticationFunc:    openapi3filter.NoopAuthenticationFunc,
		IncludeResponseStatus: true,
		MultiError:            true,
	}
	input := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: options}
	if status < 400 {
		require.NoError(t, openapi3filter.ValidateRequest(t.Context(), input), "%s %s", method, path)
	}
	res, err := h.http.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, status, res.StatusCode, "%s %s: %s", method, path, content)
	answer := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: res.StatusCode, Header: res.Header, Options: options}
	answer.SetBodyBytes(content)
	require.NoError(t, openapi3filter.ValidateResponse(t.Context(), answer), "%s %s: %s", method, path, content)
}

func TestAnswersFollowTheDocument(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := start(t, func(o *server.Options) {
		o.Registry = registry
		o.Metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	})
	h.fake.Files = map[[3]string][]byte{{"task", "secret", "berth-executor"}: []byte("binary")}
	doc := loadDocument(t)
	doc.Servers = openapi3.Servers{{URL: h.url}}
	router, err := gorillamux.NewRouter(doc)
	require.NoError(t, err)
	ok := func(status int, method, path, body string, headers ...string) {
		t.Helper()
		check(t, router, h, status, method, path, body, headers...)
	}

	ok(200, "GET", "/v1/clusters", "")
	ok(202, "PUT", "/v1/clusters/logs", spec, "X-Berth-Message", "first")
	ok(200, "PUT", "/v1/clusters/logs", spec)
	ok(200, "PUT", "/v1/clusters/logs?dryRun=true", strings.Replace(spec, `"count":3`, `"count":5`, 1))
	ok(412, "PUT", "/v1/clusters/logs?ifGeneration=9", spec)
	ok(422, "PUT", "/v1/clusters/logs", strings.Replace(spec, `"count":3`, `"count":0`, 1))
	ok(400, "PUT", "/v1/clusters/logs", `{"nome":1}`)
	ok(415, "PUT", "/v1/clusters/logs", spec, "Content-Type", "text/plain")
	ok(200, "GET", "/v1/clusters", "")
	ok(200, "GET", "/v1/clusters/logs", "")
	ok(404, "GET", "/v1/clusters/none", "")
	for _, what := range []string{"status", "nodes", "plan", "explain", "survives", "endpoints"} {
		ok(200, "GET", "/v1/clusters/logs/"+what, "")
		ok(404, "GET", "/v1/clusters/none/"+what, "")
	}
	ok(200, "GET", "/v1/survives", "")
	ok(200, "GET", "/v1/audit", "")
	ok(200, "GET", "/v1/audit?target=shop&since=2024-01-01T00:00:00Z&limit=1", "")
	for _, wrong := range []string{"verb=burn", "kind=house", "since=yesterday", "before=0", "limit=501", "limit=x"} {
		ok(400, "GET", "/v1/audit?"+wrong, "")
	}
	ok(409, "POST", "/v1/clusters/logs/plan/pause", "")
	ok(200, "POST", "/v1/clusters/logs/restart?dryRun=true", "")
	ok(202, "POST", "/v1/clusters/logs/restart?nodes=logs-es-0,logs-es-1&message=why", "")
	ok(200, "GET", "/v1/clusters/logs/plan", "")
	ok(409, "POST", "/v1/clusters/logs/restart", "")
	ok(400, "POST", "/v1/clusters/logs/plan/override?gate=ClusterGreen&for=2h", "")
	ok(202, "POST", "/v1/clusters/logs/plan/override?gate=ClusterGreen&for=2h&message=why", "")
	ok(202, "POST", "/v1/clusters/logs/plan/cancel", "")
	ok(404, "POST", "/v1/clusters/logs/plan/stop", "")
	ok(404, "POST", "/v1/clusters/none/restart", "")
	ok(400, "DELETE", "/v1/clusters/logs", "")
	ok(202, "DELETE", "/v1/clusters/logs?confirm=logs&retention=7d", "")
	ok(200, "GET", "/v1/agents", "")
	ok(200, "GET", "/v1/volumes", "")
	ok(400, "DELETE", "/v1/volumes/logs-es-0-v1", "")
	ok(202, "DELETE", "/v1/volumes/logs-es-0-v1?confirm=logs-es-0-v1", "")
	ok(202, "POST", "/v1/volumes/logs-es-0-v1/restore", "")
	ok(404, "POST", "/v1/volumes/none/restore", "")
	ok(200, "GET", "/v1/tasks/unknown", "")
	ok(400, "DELETE", "/v1/tasks/unknown/"+apitest.UnknownTaskID, "")
	ok(202, "DELETE", "/v1/tasks/unknown/"+apitest.UnknownTaskID+"?confirm="+apitest.UnknownTaskID, "")
	ok(202, "POST", "/v1/tasks/unknown/"+apitest.UnknownTaskID+"/keep", "")
	ok(404, "POST", "/v1/tasks/unknown/none/keep", "")
	ok(200, "GET", "/v1/volumes?class=orphan,foreign&cluster=logs&fresh=true", "")
	ok(200, "GET", "/v1/volumes/repairs", "")
	ok(409, "POST", "/v1/volumes/repairs", "")
	h.fake.Findings = true
	ok(200, "GET", "/v1/volumes", "")
	ok(404, "POST", "/v1/volumes/repairs?findings=nothing", "")
	ok(201, "POST", "/v1/volumes/repairs?findings=0123456789ab&retained=true&retention=36h&message=space", "")
	ok(200, "GET", "/v1/volumes/repairs", "")
	ok(200, "GET", "/v1/volumes/repairs/repair-7", "")
	ok(404, "GET", "/v1/volumes/repairs/repair-8", "")
	ok(409, "POST", "/v1/volumes/repairs/repair-7/approve?fingerprint=0", "")
	ok(400, "POST", "/v1/volumes/repairs/repair-7/approve", "")
	ok(202, "POST", "/v1/volumes/repairs/repair-7/approve?fingerprint=00112233aabbccdd", "")
	ok(200, "GET", "/v1/volumes/repairs/repair-7", "")
	ok(202, "POST", "/v1/volumes/repairs/repair-7/cancel?step=2", "")
	ok(202, "POST", "/v1/volumes/repairs/repair-7/cancel", "")
	ok(404, "POST", "/v1/volumes/repairs/repair-8/cancel", "")
	ok(410, "GET", "/v1/events?after=7", "")
	ok(400, "GET", "/v1/events", "", "Last-Event-ID", "x")
	ok(200, "GET", "/v1/artifacts/task/secret/berth-executor", "")
	ok(404, "GET", "/v1/artifacts/task/guess/berth-executor", "")
	ok(200, "GET", "/healthz", "")
	ok(200, "GET", "/readyz", "")
	ok(200, "GET", "/metrics", "")
	ok(200, "GET", "/openapi.json", "")
	ok(200, "GET", "/openapi.yaml", "")

	h.fake.NotReady = "waiting for the agents"
	ok(503, "GET", "/readyz", "")
	h.fake.Hook = func(context.Context, string) error { return io.ErrUnexpectedEOF }
	ok(500, "GET", "/v1/agents", "")
}

// The event stream's items are checked by hand: the document's validator does
// not read event streams.
func TestStreamedEventsFollowTheDocument(t *testing.T) {
	doc := loadDocument(t)
	h := start(t, nil)
	h.hub.Publish(v1.Event{ID: 1, Type: "ClusterPut", Cluster: "logs", Message: "generation 1"})
	stream := h.open("/v1/events")
	data := stream.event()["data"]
	var value any
	require.NoError(t, json.Unmarshal([]byte(data), &value))
	require.NoError(t, doc.Components.Schemas["Event"].Value.VisitJSON(value))
}

func TestFollowerRedirectFollowsTheDocument(t *testing.T) {
	h := start(t, func(o *server.Options) {
		o.LeaderRedirect = func(context.Context) (bool, string) { return false, "http://10.0.0.9:8080" }
	})
	doc := loadDocument(t)
	doc.Servers = openapi3.Servers{{URL: h.url}}
	router, err := gorillamux.NewRouter(doc)
	require.NoError(t, err)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Responses.Value("307") == nil {
				continue
			}
			facts := server.RouteFacts(method, path)
			path := strings.NewReplacer("{name}", "logs", "{id}", "v", "{appId}", "logs", "{verb}", "pause").Replace(path)
			body := example(method, path, "logs")
			if slices.Contains(facts.Query, "confirm") {
				path += "?confirm=logs"
			}
			if strings.HasSuffix(path, "/approve") {
				path += "?fingerprint=0"
			}
			check(t, router, h, 307, method, path, body)
		}
	}
}
