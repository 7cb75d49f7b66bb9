package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/berthdata/berth/api/server"
	"github.com/berthdata/berth/api/server/apitest"
	v1 "github.com/berthdata/berth/api/v1"
)

// calls are a driver's, by method and path, for the application called x.
var calls = map[string]string{
	"POST /v1/spark/apps": "Register", "PUT /v1/spark/apps/x/target": "SetTarget", "POST /v1/spark/apps/x/kill": "KillExecutors",
	"POST /v1/spark/apps/x/sync": "Sync", "POST /v1/spark/apps/x/unregister": "Unregister",
}

func driver(h *harness, call, body string) response {
	method, path, _ := strings.Cut(call, " ")
	if body == "" {
		body = example(method, path, "x")
	}
	return h.do(method, path, body, "Authorization", "Bearer "+apitest.SparkToken)
}

func TestDriverCalls(t *testing.T) {
	h := start(t, nil)
	for call, method := range calls {
		// A newer backend says more than this Berth knows.
		m, path, _ := strings.Cut(call, " ")
		r := driver(h, call, strings.Replace(example(m, path, "x"), `"protocol":1`, `"protocol":1,"future":{"a":[1]}`, 1))
		require.Equal(t, 200, r.status, string(r.body))
		require.Contains(t, string(r.body), `"protocol":1`)
		made := h.fake.Calls()
		require.Equal(t, method, made[len(made)-1].Method)
		require.Equal(t, "x", made[len(made)-1].Name)
	}
	r := driver(h, "POST /v1/spark/apps/x/sync", "")
	require.Contains(t, string(r.body), `"events":[]`, "never null")
	made := h.fake.Calls()
	require.Equal(t, v1.SparkSync{Protocol: 1, AttemptID: 1, Epoch: 1, After: 3, WaitMs: 1, RegisteredExecutors: []string{"4"}}, made[len(made)-1].Options)
}

func TestDriverProblems(t *testing.T) {
	h := start(t, nil)
	for call := range calls {
		p := h.problem(driver(h, call, `{"protocol":7,"attemptId":1,"appId":"x"}`), 400, v1.CodeSparkProtocol)
		require.Equal(t, []int{1}, p.Supported)
		h.problem(driver(h, call, `{"protocol":1,"attemptId":0,"appId":"x"}`), 400, v1.CodeBodyInvalid)
		h.problem(driver(h, call, `{"protocol":1`), 400, v1.CodeBodyMalformed)
	}
	require.Empty(t, h.fake.Calls())
	h.problem(driver(h, "POST /v1/spark/apps", `{"appId":"x","padding":"`+strings.Repeat("x", v1.MaxDocument)+`"}`), 413, v1.CodeBodyTooLarge)
	for code, problem := range map[string]*v1.Problem{
		v1.CodeSparkUnknown: v1.ProblemSparkUnknown("x"), v1.CodeSparkSuperseded: v1.ProblemSparkSuperseded("x", 1, 2), v1.CodeSparkEnded: v1.ProblemSparkEnded("x", "killed"),
	} {
		h.fake.Hook = func(context.Context, string) error { return problem }
		h.problem(driver(h, "POST /v1/spark/apps/x/sync", ""), problem.Status, code)
	}
}

func TestDriverTokens(t *testing.T) {
	path, operator, _ := tokenFile(t)
	tokens, err := server.LoadTokens(path)
	require.NoError(t, err)
	core, logs := observer.New(zapcore.DebugLevel)
	h := start(t, func(o *server.Options) { o.Auth, o.Logger = tokens, zap.New(core) })
	for call := range calls {
		method, path, _ := strings.Cut(call, " ")
		body := example(method, path, "x")
		for _, header := range [][]string{nil, {"Authorization", "Bearer wrong"}, {"Authorization", "Basic " + apitest.SparkToken}, {"Authorization", "Bearer " + operator}} {
			h.problem(h.do(method, path, body, header...), 401, v1.CodeUnauthenticated)
		}
		require.Equal(t, 200, driver(h, call, "").status)
	}
	h.problem(h.do("GET", "/v1/spark", "", "Authorization", "Bearer "+apitest.SparkToken), 401, v1.CodeUnauthenticated)
	for _, id := range []string{"", strings.Repeat("x", 200), ".x"} {
		h.problem(driver(h, "POST /v1/spark/apps", `{"appId":"`+id+`"}`), 401, v1.CodeUnauthenticated)
	}
	for _, e := range logs.All() {
		require.NotContains(t, fmt.Sprint(e.Message, e.ContextMap()), apitest.SparkToken)
	}
	require.NotZero(t, logs.FilterField(zap.String("user", "driver x")).Len())
}

func TestDriversAreSentToTheLeader(t *testing.T) {
	h := start(t, func(o *server.Options) {
		o.LeaderRedirect = func(context.Context) (bool, string) { return false, "https://leader.example" }
	})
	r := driver(h, "POST /v1/spark/apps/x/sync", "")
	require.Equal(t, 307, r.status)
	require.Equal(t, "https://leader.example/v1/spark/apps/x/sync", r.header.Get("Location"))
}

func TestDriversAreLimited(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Limits.Rate, o.Limits.Burst = 0.001, 3 })
	guess := func() response {
		return h.do("POST", "/v1/spark/apps/x/kill", `{}`, "Authorization", "Bearer guess")
	}
	for range 3 {
		require.Equal(t, 401, guess().status)
	}
	h.problem(guess(), 429, v1.CodeRateLimited)
	h.problem(driver(h, "POST /v1/spark/apps", ""), 429, v1.CodeRateLimited)
	for range 3 {
		require.Equal(t, 200, driver(h, "POST /v1/spark/apps/x/kill", "").status, "a driver that is known has its own share")
	}
	h.problem(driver(h, "POST /v1/spark/apps/x/kill", ""), 429, v1.CodeRateLimited)
}

// TestHeldSyncs: as many as the limit are held, and a driver that goes away
// gives its place back.
func TestHeldSyncs(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Limits.Syncs = 2 })
	var held atomic.Int32
	entered := make(chan struct{}, 8)
	left := make(chan struct{}, 8)
	h.fake.Hook = func(ctx context.Context, method string) error {
		if method != "Sync" {
			return nil
		}
		held.Add(1)
		entered <- struct{}{}
		<-ctx.Done()
		held.Add(-1)
		left <- struct{}{}
		return ctx.Err()
	}
	const call = `{"protocol":1,"attemptId":1,"waitMs":30000}`
	hold := func() context.CancelFunc {
		ctx, cancel := context.WithCancel(t.Context())
		req := h.request("POST", "/v1/spark/apps/x/sync", call, "Authorization", "Bearer "+apitest.SparkToken).WithContext(ctx)
		go func() {
			res, err := h.http.Do(req)
			if err == nil {
				_ = res.Body.Close()
			}
		}()
		<-entered
		return cancel
	}
	one, two := hold(), hold()
	defer two()
	r := driver(h, "POST /v1/spark/apps/x/sync", call)
	h.problem(r, 503, v1.CodeStreamsExhausted)
	require.Equal(t, "5", r.header.Get("Retry-After"))
	require.Equal(t, 200, driver(h, "POST /v1/spark/apps/x/kill", "").status, "held calls hold nothing else")
	one()
	<-left
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		req := h.request("POST", "/v1/spark/apps/x/sync", call, "Authorization", "Bearer "+apitest.SparkToken).WithContext(ctx)
		res, err := h.http.Do(req)
		if err == nil {
			_ = res.Body.Close()
			return false
		}
		select {
		case <-entered:
			return true
		case <-time.After(time.Second):
			return false
		}
	}, 10*time.Second, 5*time.Millisecond)
}

// TestSyncEndsWithItsTime: the port has a little longer than the driver wants to
// wait, and no more.
func TestSyncEndsWithItsTime(t *testing.T) {
	h := start(t, nil)
	h.fake.Hook = func(ctx context.Context, _ string) error {
		deadline, ok := ctx.Deadline()
		require.True(t, ok)
		require.WithinDuration(t, time.Now().Add(time.Second+5*time.Second), deadline, 2*time.Second)
		return context.DeadlineExceeded
	}
	h.problem(driver(h, "POST /v1/spark/apps/x/sync", `{"protocol":1,"attemptId":1,"waitMs":1000}`), 504, v1.CodeTimeout)
	h.problem(driver(h, "POST /v1/spark/apps/x/sync", `{"protocol":1,"attemptId":1,"waitMs":30001}`), 400, v1.CodeBodyInvalid)
}

// TestSyncEndsWithTheServer: a Berth that ends tells held drivers at once to ask
// another one.
func TestSyncEndsWithTheServer(t *testing.T) {
	fake := &apitest.Fake{}
	entered := make(chan struct{})
	fake.Hook = func(ctx context.Context, _ string) error { close(entered); <-ctx.Done(); return ctx.Err() }
	s, err := server.New(server.Options{Commands: fake, Queries: fake, Events: server.NewEventHub(1), Spark: fake.Spark()})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	answer := make(chan v1.Problem, 1)
	go func() {
		req, err := http.NewRequest("POST", "http://"+ln.Addr().String()+"/v1/spark/apps/x/sync", bytes.NewReader([]byte(`{"protocol":1,"attemptId":1,"waitMs":30000}`)))
		if err != nil {
			return
		}
		req.Header.Set("Authorization", "Bearer "+apitest.SparkToken)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		var p v1.Problem
		_ = json.Unmarshal(body, &p)
		answer <- p
	}()
	<-entered
	began := time.Now()
	stop()
	p := <-answer
	require.Equal(t, v1.CodeNotLeader, p.Code)
	require.Less(t, time.Since(began), 5*time.Second)
	require.NoError(t, <-ended)
}
