package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"

	"github.com/berthdata/berth/api/server"
	"github.com/berthdata/berth/api/server/apitest"
)

// spec is a valid cluster called logs.
const spec = `{"name":"logs","spec":{"version":"8.19.21","nodeSets":[{"name":"es","count":3,
"resources":{"cpus":1,"memory":"1gb"},"storage":{"size":"1gb"}}]}}`

// application is a valid Spark application called wordcount.
const application = `{"name":"wordcount","spec":{"version":"3.5.9","appResource":"https://files.example/wordcount.jar","mainClass":"example.WordCount",
"properties":{"spark.ssl.keyPassword":"hidden"},"executors":{"min":1,"max":4}}}`

// example is a body that a route takes for something called name.
func example(method, path, name string) string {
	const attempt = `"protocol":1,"attemptId":1`
	for suffix, body := range map[string]string{
		"PUT /v1/clusters/" + name:                    strings.Replace(spec, `"logs"`, strconv.Quote(name), 1),
		"PUT /v1/spark/" + name:                       strings.Replace(application, `"wordcount"`, strconv.Quote(name), 1),
		"PUT /v1/spark/" + name + "/scale":            `{"count":3}`,
		"POST /v1/spark/apps":                         `{` + attempt + `,"appId":"` + name + `","driverHost":"h","driverPort":7078,"driverUrl":"spark://CoarseGrainedScheduler@h:7078"}`,
		"PUT /v1/spark/apps/" + name + "/target":      `{` + attempt + `,"generation":1,"profiles":[{"id":0,"total":2,"cores":1,"memoryMiB":1024}]}`,
		"POST /v1/spark/apps/" + name + "/kill":       `{` + attempt + `,"executorIds":["4","7"]}`,
		"POST /v1/spark/apps/" + name + "/sync":       `{` + attempt + `,"epoch":1,"after":3,"waitMs":1,"registeredExecutors":["4"]}`,
		"POST /v1/spark/apps/" + name + "/unregister": `{` + attempt + `,"state":"FINISHED"}`,
		"POST /v1/submissions/create":                 submitted,
	} {
		if method+" "+path == suffix {
			return body
		}
	}
	return ""
}

// harness is a server over a fake scheduler, on a port of loopback.
type harness struct {
	t    *testing.T
	fake *apitest.Fake
	hub  *server.EventHub
	url  string
	http *http.Client
}

func start(t *testing.T, change func(*server.Options)) *harness {
	t.Helper()
	h := &harness{t: t, fake: &apitest.Fake{}, hub: server.NewEventHub(100)}
	opts := server.Options{Commands: h.fake, Queries: h.fake, Events: h.hub, Artifacts: h.fake, Spark: h.fake.Spark()}
	if change != nil {
		change(&opts)
	}
	s, err := server.New(opts)
	require.NoError(t, err)
	ts := httptest.NewServer(s.Handler())
	t.Cleanup(ts.Close)
	t.Cleanup(ts.CloseClientConnections)
	h.url, h.http = ts.URL, ts.Client()
	h.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return h
}

type response struct {
	status int
	header http.Header
	body   []byte
}

func (h *harness) request(method, path, body string, headers ...string) *http.Request {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, bytes.NewReader([]byte(body)))
	require.NoError(h.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

func (h *harness) do(method, path, body string, headers ...string) response {
	h.t.Helper()
	res, err := h.http.Do(h.request(method, path, body, headers...))
	require.NoError(h.t, err)
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	require.NoError(h.t, err)
	return response{res.StatusCode, res.Header, content}
}

// problemSchema is what the server's own document says of every error.
var problemSchema = sync.OnceValues(func() (*openapi3.Schema, error) {
	fake := &apitest.Fake{}
	s, err := server.New(server.Options{Commands: fake, Queries: fake, Events: server.NewEventHub(1)})
	if err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	doc, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	if err != nil {
		return nil, err
	}
	schema, ok := doc.Components.Schemas["Problem"]
	if !ok {
		return nil, errors.New("the document describes no Problem")
	}
	return schema.Value, nil
})

// problem demands a problem document with status and code that follows the
// API's own description, and returns it.
func (h *harness) problem(r response, status int, code string) v1.Problem {
	h.t.Helper()
	require.Equal(h.t, status, r.status, string(r.body))
	require.Equal(h.t, "application/problem+json", r.header.Get("Content-Type"))
	schema, err := problemSchema()
	require.NoError(h.t, err)
	var value any
	require.NoError(h.t, json.Unmarshal(r.body, &value))
	require.NoError(h.t, schema.VisitJSON(value), string(r.body))
	var p v1.Problem
	require.NoError(h.t, json.Unmarshal(r.body, &p))
	require.Equal(h.t, code, p.Code, string(r.body))
	require.Equal(h.t, status, p.Status)
	require.NotEmpty(h.t, p.Title)
	return p
}

func decode[T any](t *testing.T, r response) T {
	t.Helper()
	var v T
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&v), string(r.body))
	return v
}
