package app

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/berthdata/berth/api/server"
	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler"
)

// sparkOptions are those of a Berth that runs applications.
func sparkOptions(t *testing.T) Options {
	t.Helper()
	o := options(t)
	o.SparkBackend = filepath.Join(t.TempDir(), "backend.jar")
	require.NoError(t, os.WriteFile(o.SparkBackend, []byte("the backend"), 0o644))
	o.Spark = []string{"3.5.9=home=/opt/spark"}
	return o
}

func TestSparkOptionsSayWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Options)
		says   string
	}{
		"bad catalogue":  {func(o *Options) { o.Spark = []string{"3.5.9"} }, `--spark "3.5.9": want VERSION=home=`},
		"no backend":     {func(o *Options) { o.SparkBackend = "/none" }, "--spark-backend"},
		"not beside it":  {func(o *Options) { o.SparkBackend = "" }, "--spark-backend"},
		"no URL":         {func(o *Options) { o.SparkSchedulers = []string{"berth:8080"} }, `--spark-schedulers "berth:8080"`},
		"a path":         {func(o *Options) { o.SparkSchedulers = []string{"http://berth/v1"} }, "without a path"},
		"http and https": {func(o *Options) { o.SparkSchedulers = []string{"http://a", "https://b"} }, "either http or https"},
		"no network":     {func(o *Options) { o.SparkSubmitters = []string{"10.0.0.1"} }, `--spark-submitters "10.0.0.1": want a network`},
		"open to nobody": {func(o *Options) { o.SparkSubmitListen = "127.0.0.1:0" }, "--spark-submitters"},
		"for nothing":    {func(o *Options) { o.SparkSubmitListen, o.Spark = "127.0.0.1:0", nil }, "no Spark applications"},
		"no address": {func(o *Options) {
			o.SparkSubmitListen, o.SparkSubmitters = "nonsense", []string{"127.0.0.0/8"}
		}, "the address for submissions"},
		"no property":      {func(o *Options) { o.SparkDefaults = []string{"driver.memory=1g"} }, `--spark-default "driver.memory=1g"`},
		"no value":         {func(o *Options) { o.SparkDefaults = []string{"spark.x"} }, "want spark.NAME=VALUE"},
		"another protocol": {func(o *Options) { o.SparkSchedulers = []string{"ftp://a"} }, "http://host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			o := sparkOptions(t)
			tc.change(&o)
			_, err := New(o, zaptest.NewLogger(t))
			require.Error(t, err)
			assert.Contains(t, err.Error(), tc.says)
		})
	}
}

func TestDriversAreToldWhereEveryBerthIs(t *testing.T) {
	for _, c := range []struct {
		given, want string
		tls         bool
	}{
		{"", "here:1", false},
		{"http://a:8080,http://b:8080/", "a:8080,b:8080", false},
		{"https://a,https://b:9", "a:443,b:9", true},
		{"http://[::1]", "[::1]:80", false},
	} {
		var s sparkSettings
		var given []string
		if c.given != "" {
			given = strings.Split(c.given, ",")
		}
		require.NoError(t, s.reach(given, "http://here:1"))
		assert.Equal(t, c.want, strings.Join(s.schedulers, ","))
		assert.Equal(t, c.tls, s.tls)
	}
}

func TestWithoutACatalogueThereIsNoSpark(t *testing.T) {
	a, _ := start(t, options(t))
	assert.Nil(t, a.sparkPorts())
}

func code(t *testing.T, err error) string {
	t.Helper()
	var p *v1.Problem
	require.ErrorAs(t, err, &p)
	return p.Code
}

// Orders and drivers' calls reach the core and come back, though there is no Mesos.
func TestSparkPorts(t *testing.T) {
	a, _ := start(t, sparkOptions(t))
	leads(t, a)
	ctx, f := t.Context(), front{a}
	spec := v1.SparkApplication{Name: "etl", Spec: v1.SparkSpec{Version: "3.5.9", AppResource: "local:/etl.py", Driver: v1.SparkDriver{Supervise: &v1.SparkSupervise{}}}}
	spec.SetDefaults()
	accepted, err := f.PutSpark(ctx, spec, server.PutOptions{User: "ann"})
	require.NoError(t, err)
	assert.Equal(t, v1.Accepted{Name: "etl", Generation: 1, Changed: true}, accepted)
	view, err := f.SparkApplication(ctx, "etl")
	require.NoError(t, err)
	assert.Equal(t, "Pending", view.Status.Phase)
	list, err := f.SparkApplications(ctx)
	require.NoError(t, err)
	assert.Len(t, list, 1)
	e, err := f.ExplainSpark(ctx, "etl")
	require.NoError(t, err)
	require.Len(t, e.Nodes, 1)
	assert.Contains(t, e.Nodes[0].Summary, "no agent is known")
	one, two := 1, 2
	scaled, err := f.ScaleSpark(ctx, "etl", server.SparkScale{Min: &one, Max: &two}, server.SparkOptions{User: "ann"})
	require.NoError(t, err)
	assert.True(t, scaled.Changed)

	id := view.Status.AppID
	assert.True(t, f.Admits(id, executor.Token(*a.artifacts.key.Load(), id)))
	assert.False(t, f.Admits(id, executor.Token(*a.artifacts.key.Load(), id+"1")))
	assert.False(t, f.Admits(id, executor.Token([]byte("other"), id)))
	// No attempt was launched yet: whoever calls is none of ours.
	_, err = f.Register(ctx, v1.SparkRegistration{AppID: id, AttemptID: 1})
	assert.Equal(t, v1.CodeSparkSuperseded, code(t, err))
	_, err = f.SetTarget(ctx, id, v1.SparkTarget{AttemptID: 1})
	assert.Equal(t, v1.CodeSparkSuperseded, code(t, err))
	_, err = f.KillExecutors(ctx, "nobody", v1.SparkKill{AttemptID: 1})
	assert.Equal(t, v1.CodeSparkUnknown, code(t, err))
	_, err = f.Unregister(ctx, "nobody", v1.SparkUnregister{AttemptID: 1})
	assert.Equal(t, v1.CodeSparkUnknown, code(t, err))
	_, err = f.Sync(ctx, "nobody", v1.SparkSync{AttemptID: 1, WaitMs: 30_000})
	assert.Equal(t, v1.CodeSparkUnknown, code(t, err))
	_, err = f.Sync(ctx, id, v1.SparkSync{AttemptID: 1, WaitMs: 30_000})
	assert.Equal(t, v1.CodeSparkSuperseded, code(t, err))

	killed, err := f.KillSpark(ctx, "etl", server.SparkOptions{User: "ann"})
	require.NoError(t, err)
	assert.True(t, killed.Changed)
	view, err = f.SparkApplication(ctx, "etl")
	require.NoError(t, err)
	assert.Equal(t, "Killed", view.Status.Phase, "there was nothing to stop")
	_, err = f.RemoveSpark(ctx, "etl", server.SparkOptions{})
	require.NoError(t, err)
	_, err = f.SparkApplication(ctx, "etl")
	assert.Equal(t, v1.CodeNotFound, code(t, err))
}

func TestSparkOfAFollower(t *testing.T) {
	a, err := New(sparkOptions(t), zaptest.NewLogger(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.listener.Close()) })
	f := front{a}
	assert.False(t, f.Admits("x", "y"))
	_, err = f.Sync(t.Context(), "x", v1.SparkSync{})
	assert.Equal(t, v1.CodeNotLeader, code(t, err))
	_, err = f.Register(t.Context(), v1.SparkRegistration{})
	assert.Equal(t, v1.CodeNotLeader, code(t, err))
}

func TestTheBackendIsServedToDrivers(t *testing.T) {
	a, _ := start(t, sparkOptions(t))
	leads(t, a)
	token := executor.Token(*a.artifacts.key.Load(), "etl-driver.2.1")
	resp, err := http.Get("http://" + a.Addr() + "/v1/artifacts/etl-driver.2.1/" + token + "/" + scheduler.SparkBackend)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, "the backend", string(body))
}

func TestVersionsAreInOrder(t *testing.T) {
	s := sparkSettings{catalogue: map[string]scheduler.Distribution{"4.0.0": {}, "3.5.10": {}, "3.5.9": {}, "4.10.1": {}, "4.9.1": {}}}
	assert.Equal(t, []string{"3.5.9", "3.5.10", "4.0.0", "4.9.1", "4.10.1"}, s.versions())
}

// A submission reaches the core by the address of its own, without a token, with
// the installation's defaults; the API itself wants one.
func TestSubmissionsFromATrustedNetwork(t *testing.T) {
	o := sparkOptions(t)
	o.SparkSubmitters, o.SparkSubmitListen = []string{"127.0.0.1/8"}, "127.0.0.1:0"
	o.SparkDefaults = []string{"spark.eventLog.dir=hdfs:///logs", "spark.driver.memory=2g"}
	_, line, err := server.NewToken(server.ScopeOperator, "ci")
	require.NoError(t, err)
	o.TokensFile = filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(o.TokensFile, []byte(line+"\n"), 0o600))
	a, err := New(o, zaptest.NewLogger(t))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	defer func() {
		stop()
		require.NoError(t, <-ended)
	}()
	leads(t, a)
	const request = `{"action":"CreateSubmissionRequest","appResource":"hdfs:///x.py","clientSparkVersion":"3.5.9"}`
	res, err := http.Post("http://"+a.SubmitAddr()+"/v1/submissions/create", "application/json", strings.NewReader(request))
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 200, res.StatusCode, string(body))
	list, err := front{a}.SparkApplications(ctx)
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, "2gb", list[0].Spec.Driver.Memory)
	assert.Equal(t, map[string]string{"spark.eventLog.dir": "hdfs:///logs"}, list[0].Spec.Properties)
	for _, url := range []string{"http://" + a.SubmitAddr() + "/v1/spark", "http://" + a.Addr() + "/v1/spark"} {
		res, err := http.Get(url)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		assert.Contains(t, []int{401, 404}, res.StatusCode, url)
	}
}
