package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/berthdata/berth/api/client"
	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler"
)

// options are enough to start a Berth that finds no Mesos.
func options(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "berth-executor")
	require.NoError(t, os.WriteFile(binary, []byte("the executor"), 0o755))
	o := Defaults()
	o.Listen, o.Masters, o.DevDir, o.ExecutorPath = "127.0.0.1:0", "http://127.0.0.1:1", filepath.Join(dir, "state"), binary
	o.FrameworkUser = "nobody"
	o.Elasticsearch = []string{"8.19.21=home=/opt/es,javaHome=/opt/java"}
	return o
}

func TestOptionsSayWhatIsMissing(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Options)
		says   string
	}{
		"no masters":        {func(o *Options) { o.Masters = "" }, "--mesos:"},
		"no store":          {func(o *Options) { o.DevDir = "" }, "--zookeeper or --dev"},
		"two stores":        {func(o *Options) { o.ZooKeeper = "zk:2181" }, "--zookeeper or --dev"},
		"certificate alone": {func(o *Options) { o.TLSCert = "c" }, "--tls-key"},
		"secret alone":      {func(o *Options) { o.SecretFile = "s" }, "--mesos-principal"},
		"no role":           {func(o *Options) { o.Roles = nil }, "--mesos-roles"},
		"short failover":    {func(o *Options) { o.FailoverTimeout = time.Hour }, "less than a week"},
		"no executor":       {func(o *Options) { o.ExecutorPath = "/none" }, "--executor"},
		"open API":          {func(o *Options) { o.Listen = "0.0.0.0:0" }, "tokens"},
		"bad catalogue":     {func(o *Options) { o.Elasticsearch = []string{"8.19.21"} }, "VERSION=home="},
		"nowhere":           {func(o *Options) { o.Elasticsearch = []string{"8.19.21=javaHome=/x"} }, "exactly one of home and uri"},
		"twice":             {func(o *Options) { o.Elasticsearch = []string{"8.19.21=home=/a", "8.19.21=home=/b"} }, "twice"},
		"unknown key":       {func(o *Options) { o.Elasticsearch = []string{"8.19.21=hoem=/a"} }, `"hoem"`},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			tc.change(&o)
			_, err := New(o, zaptest.NewLogger(t))
			require.Error(t, err)
			assert.Contains(t, err.Error(), tc.says)
		})
	}
}

func TestCatalogue(t *testing.T) {
	o := Options{Elasticsearch: []string{"8.19.21=home=/opt/es,javaHome=/opt/java", "7.17.29=uri=https://files/es.tar.gz"}}
	got, err := o.catalogue()
	require.NoError(t, err)
	assert.Equal(t, map[string]scheduler.Distribution{
		"8.19.21": {Home: "/opt/es", JavaHome: "/opt/java"}, "7.17.29": {URI: "https://files/es.tar.gz"},
	}, got)
}

// start runs a Berth until the test ends.
func start(t *testing.T, o Options) (*App, *client.Client) {
	t.Helper()
	a, err := New(o, zaptest.NewLogger(t))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	c, err := client.New(client.Options{Server: "http://" + a.Addr()})
	require.NoError(t, err)
	return a, c
}

// leads waits until a Berth leads.
func leads(t *testing.T, a *App) {
	t.Helper()
	require.Eventually(t, func() bool { return a.leading.Load() != nil }, 10*time.Second, 5*time.Millisecond)
}

func TestLeaderWithoutMesosServesAndIsNotReady(t *testing.T) {
	a, c := start(t, options(t))
	leads(t, a)
	ctx := t.Context()
	r, err := c.Readiness(ctx)
	require.NoError(t, err)
	assert.True(t, r.Leader)
	assert.False(t, r.Ready)
	assert.Contains(t, r.Checks["mesos"], "not subscribed")
	clusters, err := c.Clusters(ctx)
	require.NoError(t, err)
	assert.Empty(t, clusters)

	// A spec is accepted and durable before there is any Mesos.
	doc := "name: logs\nspec:\n  version: 8.19.21\n  nodeSets:\n  - name: node\n    count: 1\n    resources: {cpus: 1, memory: 1gb}\n    storage: {size: 1gb}\n"
	accepted, err := c.PutCluster(ctx, "logs", []byte(doc), client.TypeYAML, client.PutOptions{})
	require.NoError(t, err)
	assert.EqualValues(t, 1, accepted.Generation)
	view, err := c.Cluster(ctx, "logs")
	require.NoError(t, err)
	assert.Equal(t, "Pending", view.Status.Phase)

	resp, err := http.Get("http://" + a.Addr() + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	for _, series := range []string{"berth_leader 1", `berth_clusters{phase="Pending"} 1`, "berth_mesos_connected 0"} {
		assert.Contains(t, string(body), series)
	}
}

// Clients that are slow, stuck or silent hold connections, and never the loop.
func TestSlowClientsDoNotHoldTheLoop(t *testing.T) {
	a, c := start(t, options(t))
	leads(t, a)
	say := func(text string) {
		conn, err := net.Dial("tcp", a.Addr())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(1024))
		_, err = io.WriteString(conn, text)
		require.NoError(t, err)
	}
	for range 100 {
		say("")
		say("GET /v1/clusters HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
		say("PUT /v1/clusters/logs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/yaml\r\nContent-Length: 9000\r\n\r\nname: ")
		say("GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	}
	doc := "name: logs\nspec:\n  version: 8.19.21\n  nodeSets:\n  - name: node\n    count: %d\n    resources: {cpus: 1, memory: 1gb}\n    storage: {size: 1gb}\n"
	for i := range 20 {
		began := time.Now()
		require.NoError(t, a.leading.Load().runner.Query(t.Context(), func(*scheduler.Core) {}))
		_, err := c.PutCluster(t.Context(), "logs", fmt.Appendf(nil, doc, i+1), client.TypeYAML, client.PutOptions{})
		require.NoError(t, err)
		require.Less(t, time.Since(began), 5*time.Second)
	}
}

func TestFollowerRedirectsAndTakesOver(t *testing.T) {
	o := options(t)
	first, err := New(o, zaptest.NewLogger(t))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- first.Run(ctx) }()
	leads(t, first)
	second, c := start(t, o)

	no := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	require.Eventually(t, func() bool {
		resp, err := no.Get("http://" + second.Addr() + "/v1/clusters")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusTemporaryRedirect && resp.Header.Get("Location") == "http://"+first.Addr()+"/v1/clusters"
	}, 10*time.Second, 10*time.Millisecond, "a follower sends its callers to the leader")

	stop()
	require.NoError(t, <-done, "a planned hand-over is no error")
	leads(t, second)
	_, err = c.Clusters(t.Context())
	require.NoError(t, err)
}

func TestArtifactsNeedTheTasksToken(t *testing.T) {
	a, _ := start(t, options(t))
	leads(t, a)
	key := *a.artifacts.key.Load()
	get := func(task, token, file string) (int, string) {
		resp, err := http.Get("http://" + a.Addr() + "/v1/artifacts/" + task + "/" + token + "/" + file)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	token := executor.Token(key, "logs-n-0.1.1")
	status, body := get("logs-n-0.1.1", token, "berth-executor")
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "the executor", body)
	for _, wrong := range [][3]string{
		{"logs-n-0.1.2", token, "berth-executor"}, {"logs-n-0.1.1", "x", "berth-executor"}, {"logs-n-0.1.1", token, "passwd"},
	} {
		status, _ := get(wrong[0], wrong[1], wrong[2])
		assert.Equal(t, http.StatusNotFound, status, "%v", wrong)
	}
}

func TestExecutorKeySurvives(t *testing.T) {
	o := options(t)
	a, err := New(o, zaptest.NewLogger(t))
	require.NoError(t, err)
	run := func(a *App) []byte {
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		leads(t, a)
		key := *a.artifacts.key.Load()
		stop()
		require.NoError(t, <-done)
		return key
	}
	first := run(a)
	b, err := New(o, zaptest.NewLogger(t))
	require.NoError(t, err)
	assert.Equal(t, first, run(b), "agents of nodes launched before fetch with the old tokens")
}
