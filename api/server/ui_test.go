package server_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/server"
	"github.com/berthdata/berth/api/server/apitest"
	v1 "github.com/berthdata/berth/api/v1"
)

// withUI starts an application whose driver's UI is handler.
func withUI(t *testing.T, h *harness, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	ts := httptest.NewServer(handler)
	t.Cleanup(ts.Close)
	require.Equal(t, 202, h.do("PUT", wordcount, application).status)
	h.fake.SetSpark("wordcount", func(v *v1.SparkView) {
		v.Status.Phase, v.Status.UIURL, v.Status.Driver.Hostname = "Running", ts.URL, "127.0.0.1"
	})
	return ts
}

func TestUI(t *testing.T) {
	h := start(t, nil)
	var seen *http.Request
	target := withUI(t, h, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		for _, name := range []string{"Set-Cookie", "Access-Control-Allow-Origin", "Strict-Transport-Security", "Content-Security-Policy", "WWW-Authenticate"} {
			w.Header().Set(name, "x")
		}
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "<html>jobs</html>")
	})
	r := h.do("GET", wordcount+"/ui", "")
	require.Equal(t, 302, r.status)
	require.Equal(t, wordcount+"/ui/", r.header.Get("Location"))

	r = h.do("GET", wordcount+"/ui/jobs/a%2Fb/?id=1&x=%20y", "", "Cookie", "a=b", "X-Forwarded-Context", "/evil", "X-Berth-Message", "m", "Upgrade", "websocket", "Connection", "Upgrade")
	require.Equal(t, 200, r.status)
	require.Equal(t, "<html>jobs</html>", string(r.body))
	require.Equal(t, "/jobs/a%2Fb/", seen.URL.EscapedPath())
	require.Equal(t, "id=1&x=%20y", seen.URL.RawQuery)
	require.Equal(t, strings.TrimPrefix(target.URL, "http://"), seen.Host)
	require.Equal(t, wordcount+"/ui", seen.Header.Get("X-Forwarded-Context"))
	for _, name := range []string{"Authorization", "Cookie", "X-Berth-Message", "Upgrade"} {
		require.Empty(t, seen.Header.Get(name), name)
	}
	require.Equal(t, "text/html", r.header.Get("Content-Type"))
	require.Equal(t, []string{"max-age=60"}, r.header.Values("Cache-Control"))
	for _, name := range []string{"Set-Cookie", "Access-Control-Allow-Origin", "Strict-Transport-Security", "WWW-Authenticate"} {
		require.Empty(t, r.header.Get(name), name)
	}
	policy := r.header.Get("Content-Security-Policy")
	place := strings.TrimPrefix(h.url, "http://") + wordcount + "/ui/"
	require.Contains(t, policy, "connect-src "+place+";")
	require.Contains(t, policy, "sandbox allow-same-origin")
	require.NotContains(t, policy, "allow-popups")
	require.Equal(t, 200, h.do("HEAD", wordcount+"/ui/jobs/", "").status)
}

func TestUIRedirects(t *testing.T) {
	h := start(t, nil)
	location, asked := "", 0
	target := withUI(t, h, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Location", location)
		w.WriteHeader(http.StatusFound)
	})
	base := wordcount + "/ui"
	for told, want := range map[string]string{
		target.URL + "/jobs/?a=b":            base + "/jobs/?a=b",
		"/stages/":                           base + "/stages/",
		base + "/jobs/":                      base + "/jobs/", // Spark has put the context before it
		h.url + "/jobs/":                     base + "/jobs/",
		"../jobs/":                           "../jobs/",
		"http://169.254.169.254/latest/meta": "http://169.254.169.254/latest/meta", // the browser's business: Berth does not go there
	} {
		location, asked = told, 0
		r := h.do("GET", base+"/", "")
		require.Equal(t, 302, r.status)
		require.Equal(t, want, r.header.Get("Location"))
		require.Equal(t, 1, asked, "redirects are passed on, not followed")
	}
}

// Only the driver that runs, at the address that Mesos gave it, is ever asked.
func TestUIOfNobody(t *testing.T) {
	h := start(t, nil)
	asked := false
	target := withUI(t, h, func(http.ResponseWriter, *http.Request) { asked = true })
	for name, change := range map[string]func(*v1.SparkView){
		"another machine": func(v *v1.SparkView) { v.Status.Driver.Hostname = "10.0.0.1" },
		"another host":    func(v *v1.SparkView) { v.Status.UIURL = "http://metadata.internal:80" },
		"user":            func(v *v1.SparkView) { v.Status.UIURL = strings.Replace(target.URL, "//", "//x@", 1) },
		"none":            func(v *v1.SparkView) { v.Status.UIURL = "" },
		"ended":           func(v *v1.SparkView) { v.Status.Phase = "Succeeded" },
		"detached":        func(v *v1.SparkView) { v.Status.Phase = "Detached" },
	} {
		h.fake.SetSpark("wordcount", func(v *v1.SparkView) {
			v.Status.Phase, v.Status.UIURL, v.Status.Driver.Hostname = "Running", target.URL, "127.0.0.1"
			change(v)
		})
		h.problem(h.do("GET", wordcount+"/ui/", ""), 409, v1.CodeConflict)
		require.False(t, asked, name)
	}
	h.problem(h.do("GET", "/v1/spark/none/ui/", ""), 404, v1.CodeNotFound)
	h.fake.SetSpark("wordcount", func(v *v1.SparkView) {
		v.Status.Phase, v.Status.UIURL, v.Status.Driver.Hostname = "Running", target.URL, "127.0.0.1"
	})
	target.Close()
	p := h.problem(h.do("GET", wordcount+"/ui/", ""), 503, v1.CodeUnavailable)
	require.Contains(t, p.Detail, "does not answer")
}

func TestUIKills(t *testing.T) {
	path, operator, readonly := tokenFile(t)
	tokens, err := server.LoadTokens(path)
	require.NoError(t, err)
	var killed atomic.Int32
	h := start(t, func(o *server.Options) { o.Auth = server.Anonymous{} })
	withUI(t, h, func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" || strings.Contains(r.URL.Path, "kill") {
			killed.Add(1)
		}
	})
	secured := start(t, func(o *server.Options) {
		o.Auth, o.Commands, o.Queries, o.Spark = tokens, h.fake, h.fake, h.fake.Spark()
	})
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	const kill = wordcount + "/ui/jobs/job/kill/?id=3"
	secured.problem(secured.do("GET", kill, "", bearer(operator)...), 405, v1.CodeMethodNotAllowed)
	require.Equal(t, 405, secured.do("HEAD", kill, "", bearer(operator)...).status)
	secured.problem(secured.do("POST", kill, "", bearer(readonly)...), 403, v1.CodeForbidden)
	secured.problem(secured.do("POST", kill, "", append(bearer(operator), "Origin", "https://evil.example")...), 403, v1.CodeHostRefused)
	secured.problem(secured.do("POST", wordcount+"/ui/jobs/", "", bearer(operator)...), 405, v1.CodeMethodNotAllowed)
	require.Zero(t, killed.Load())
	require.Equal(t, 200, secured.do("POST", kill, "", bearer(operator)...).status)
	require.Equal(t, 200, secured.do("POST", wordcount+"/ui/stages/stage/kill/?id=3", "", bearer(operator)...).status)
	require.Equal(t, int32(2), killed.Load())
}

// Browsers ask for a name and a password: the password is the token.
func TestUIInABrowser(t *testing.T) {
	path, _, readonly := tokenFile(t)
	tokens, err := server.LoadTokens(path)
	require.NoError(t, err)
	h := start(t, nil)
	var given string
	withUI(t, h, func(_ http.ResponseWriter, r *http.Request) { given = r.Header.Get("Authorization") })
	secured := start(t, func(o *server.Options) {
		o.Auth, o.Queries, o.Spark = tokens, h.fake, h.fake.Spark()
	})
	r := secured.do("GET", wordcount+"/ui/", "")
	secured.problem(r, 401, v1.CodeUnauthenticated)
	challenges := strings.Join(r.header.Values("WWW-Authenticate"), "\n")
	require.Contains(t, challenges, "Basic realm=")
	require.Contains(t, challenges, "Bearer realm=")
	basic := func(password string) []string {
		return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:"+password))}
	}
	require.Equal(t, 200, secured.do("GET", wordcount+"/ui/", "", basic(readonly)...).status)
	require.Equal(t, 200, secured.do("GET", wordcount+"/ui/", "", "Authorization", "Bearer "+readonly).status)
	require.Empty(t, given, "the driver never sees a token")
	secured.problem(secured.do("GET", wordcount+"/ui/", "", basic("berth_guess")...), 401, v1.CodeUnauthenticated)
	r = secured.do("GET", "/v1/clusters", "", basic(readonly)...)
	secured.problem(r, 401, v1.CodeUnauthenticated)
	require.NotContains(t, strings.Join(r.header.Values("WWW-Authenticate"), ""), "Basic", "only UIs: a browser must not keep credentials for the rest")
}

func TestUIHosts(t *testing.T) {
	leader := ""
	h := start(t, func(o *server.Options) {
		o.Spark.UIDomain = "ui.localhost"
		o.LeaderRedirect = func(context.Context) (bool, string) { return leader == "", leader }
	})
	var seen *http.Request
	location := ""
	target := withUI(t, h, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		if location != "" {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusFound)
		}
	})
	host := []string{"Host", "WordCount.UI.localhost:8080"}
	r := h.do("GET", "/v1/clusters?x=y", "", host...)
	require.Equal(t, 200, r.status)
	require.Equal(t, "/v1/clusters?x=y", seen.URL.RequestURI(), "everything there is the driver's")
	require.Empty(t, seen.Header.Get("X-Forwarded-Context"))
	require.Empty(t, r.header.Get("Content-Security-Policy"), "its address is its own")
	location = target.URL + "/jobs/"
	require.Equal(t, "/jobs/", h.do("GET", "/", "", host...).header.Get("Location"))
	h.problem(h.do("PUT", "/", "{}", host...), 405, v1.CodeMethodNotAllowed)
	h.problem(h.do("POST", "/jobs/", "", host...), 405, v1.CodeMethodNotAllowed)
	location = ""
	require.Equal(t, 200, h.do("POST", "/jobs/job/kill/?id=1", "", host...).status)
	require.Equal(t, "POST", seen.Method)
	h.problem(h.do("GET", "/", "", "Host", "none.ui.localhost"), 404, v1.CodeNotFound)
	h.problem(h.do("GET", "/", "", "Host", "a.b.ui.localhost"), 404, v1.CodeNotFound)
	h.problem(h.do("GET", "/", "", "Host", "wordcount.ui.localhost.evil.example"), 404, v1.CodeNotFound)
	require.Equal(t, 200, h.do("GET", "/v1/clusters", "", "Host", "127.0.0.1").status)

	leader = "https://berth-2.example/"
	r = h.do("GET", "/jobs/?a=b", "", host...)
	require.Equal(t, 307, r.status)
	require.Equal(t, "https://berth-2.example/v1/spark/wordcount/ui/jobs/", r.header.Get("Location"))
	require.Equal(t, "https://berth-2.example/v1/spark/wordcount/ui/jobs/?a=b", h.do("GET", wordcount+"/ui/jobs/?a=b", "").header.Get("Location"))
}

func TestUIIsBounded(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Limits.UIs = 1 })
	entered, leave := make(chan struct{}), make(chan struct{})
	withUI(t, h, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-leave
		}
	})
	done := make(chan response, 1)
	go func() { done <- h.do("GET", wordcount+"/ui/slow", "") }()
	<-entered
	h.problem(h.do("GET", wordcount+"/ui/", ""), 503, v1.CodeStreamsExhausted)
	require.Equal(t, 200, h.do("GET", "/v1/spark", "").status)
	close(leave)
	require.Equal(t, 200, (<-done).status)
	require.Equal(t, 200, h.do("GET", wordcount+"/ui/", "").status)
}

// metrics answers what a test says.
type metrics map[string]v1.SparkMetrics

func (m metrics) SparkMetrics(v v1.SparkView) v1.SparkMetrics { return m[v.Name] }

func TestSparkMetrics(t *testing.T) {
	at, ten, waiting := apitest.Epoch, 10.0, 2
	told := metrics{"wordcount": {Name: "wordcount", Executors: v1.SparkScaleView{Wanted: 2}, ObservedAt: &at, Error: "e", Streams: []v1.SparkStream{
		{Name: "dstreams", Kind: v1.SparkDStreams, InputRate: 1.5, BatchInterval: &ten, SchedulingDelay: &ten, BatchesWaiting: &waiting, ProcessingTime: &v1.SparkTimes{Mean: 1, P90: 2, Batches: 3}},
		{Name: "q", Kind: v1.SparkStructured, ProcessingRate: &ten}}}}
	h := start(t, func(o *server.Options) { o.Spark.Metrics = told })
	require.Equal(t, 202, h.do("PUT", wordcount, application).status)
	doc := loadDocument(t)
	doc.Servers = openapi3.Servers{{URL: h.url}}
	router, err := gorillamux.NewRouter(doc)
	require.NoError(t, err)
	check(t, router, h, 200, "GET", wordcount+"/metrics", "")
	require.Equal(t, told["wordcount"], decode[v1.SparkMetrics](t, h.do("GET", wordcount+"/metrics", "")))
	h.problem(h.do("GET", "/v1/spark/none/metrics", ""), 404, v1.CodeNotFound)

	h = start(t, nil)
	require.Equal(t, 202, h.do("PUT", wordcount, application).status)
	require.Equal(t, `{"name":"wordcount","executors":{"min":1,"max":4,"asked":0,"wanted":0,"running":0,"pending":0,"draining":0},"streams":[]}`+"\n",
		string(h.do("GET", wordcount+"/metrics", "").body), "without a poller: what the core knows")
	require.Contains(t, fmt.Sprint(server.RoutePatterns()), "GET /v1/spark/{name}/ui/{path}")
}
