package client_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/client"
	"github.com/berthdata/berth/api/server"
	"github.com/berthdata/berth/api/server/apitest"
	v1 "github.com/berthdata/berth/api/v1"
)

const spec = `{"name":"logs","spec":{"version":"8.19.21","nodeSets":[{"name":"es","count":3,
"resources":{"cpus":1,"memory":"1gb"},"storage":{"size":"1gb"}}]}}`

// real is Berth's own handler over a fake scheduler.
func real(t *testing.T, change func(*server.Options)) (http.Handler, *apitest.Fake, *server.EventHub) {
	t.Helper()
	fake, hub := &apitest.Fake{}, server.NewEventHub(100)
	o := server.Options{Commands: fake, Queries: fake, Events: hub}
	if change != nil {
		change(&o)
	}
	s, err := server.New(o)
	require.NoError(t, err)
	return s.Handler(), fake, hub
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	ts := httptest.NewServer(h)
	t.Cleanup(ts.Close)
	t.Cleanup(ts.CloseClientConnections)
	return ts.URL
}

func dial(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(o)
	require.NoError(t, err)
	return c
}

func TestEveryCall(t *testing.T) {
	h, fake, _ := real(t, nil)
	c := dial(t, client.Options{Server: serve(t, h) + "/"})
	ctx := t.Context()

	zero := int64(0)
	a, err := c.PutCluster(ctx, "logs", []byte(spec), client.TypeJSON, client.PutOptions{IfGeneration: &zero, Message: "why, & how?"})
	require.NoError(t, err)
	require.Equal(t, v1.Accepted{Name: "logs", Generation: 1, PlanID: "plan-1", Changed: true}, a)
	a, err = c.PutCluster(ctx, "logs", []byte(strings.Replace(spec, ":3", ":5", 1)), client.TypeYAML, client.PutOptions{DryRun: true})
	require.NoError(t, err)
	require.True(t, a.DryRun)

	list, err := c.Clusters(ctx)
	require.NoError(t, err)
	require.Len(t, list, 1)
	view, err := c.Cluster(ctx, "logs")
	require.NoError(t, err)
	require.Equal(t, 3, view.Spec.NodeSets[0].Count)
	nodes, err := c.Nodes(ctx, "logs")
	require.NoError(t, err)
	require.Len(t, nodes, 3)
	plan, err := c.Plan(ctx, "logs")
	require.NoError(t, err)
	require.Equal(t, "plan-1", plan.ID)
	x, err := c.Explain(ctx, "logs")
	require.NoError(t, err)
	require.Equal(t, 3, x.Nodes[0].Agents)
	certificate, err := c.Survives(ctx, "logs")
	require.NoError(t, err)
	require.Equal(t, v1.VerdictFalse, certificate.Survives)
	require.Equal(t, "events", certificate.Machines[1].Clusters[0].AtRisk[0].Index)
	certificate, err = c.Survives(ctx, "")
	require.NoError(t, err)
	require.Len(t, certificate.Machines, 2)
	e, err := c.Endpoints(ctx, "logs")
	require.NoError(t, err)
	require.Equal(t, []string{"http://10.0.0.1:31000"}, e.HTTP)
	agents, err := c.Agents(ctx)
	require.NoError(t, err)
	require.Len(t, agents, 2)
	volumes, err := c.Volumes(ctx, client.VolumeQuery{})
	require.NoError(t, err)
	require.Len(t, volumes.Volumes, 2)
	volumes, err = c.Volumes(ctx, client.VolumeQuery{Classes: []string{"retained", "orphan"}, Cluster: "logs", Fresh: true})
	require.NoError(t, err)
	require.Len(t, volumes.Volumes, 1)
	require.Equal(t, map[string]int{"owned": 1, "retained": 1}, volumes.Summary)
	repairs, err := c.Repairs(ctx)
	require.NoError(t, err)
	require.Empty(t, repairs.Repairs)
	fake.Findings = true
	wait := 36 * time.Hour
	planned, err := c.PlanRepair(ctx, client.RepairOptions{Findings: []string{"0123456789ab", "ba9876543210"}, Retained: true, Retention: &wait, Message: "space"})
	require.NoError(t, err)
	repair, err := c.Repair(ctx, planned.Name)
	require.NoError(t, err)
	require.Equal(t, "36h", repair.Retention)
	_, err = c.ApproveRepair(ctx, planned.Name, repair.Fingerprint, "seen")
	require.NoError(t, err)
	_, err = c.CancelRepair(ctx, planned.Name, 2, "no")
	require.NoError(t, err)
	keep := 90*time.Second + time.Nanosecond
	_, err = c.DestroyVolume(ctx, "logs-es-0-v1", "old")
	require.NoError(t, err)
	_, err = c.RestoreVolume(ctx, "logs-es-0-v1", "no")
	require.NoError(t, err)
	unknown, err := c.UnknownTasks(ctx)
	require.NoError(t, err)
	require.Len(t, unknown.Tasks, 2)
	require.Equal(t, 17, unknown.LeftOut)
	_, err = c.KillUnknownTask(ctx, apitest.UnknownTaskID, "moved")
	require.NoError(t, err)
	_, err = c.KeepUnknownTask(ctx, apitest.UnknownTaskID, "no")
	require.NoError(t, err)
	_, err = c.KillUnknownTask(ctx, "a:b c?", "")
	require.ErrorContains(t, err, `"a:b c?"`)
	_, err = c.RestartCluster(ctx, "logs", []string{"logs-es-0", "logs-es-1"}, false, "kernel")
	require.NoError(t, err)
	_, err = c.ControlPlan(ctx, "logs", "pause", "lunch")
	require.NoError(t, err)
	_, err = c.OverrideGate(ctx, "logs", "ClusterGreen", keep, "known")
	require.NoError(t, err)
	_, err = c.DeleteCluster(ctx, "logs", &keep, "done")
	require.NoError(t, err)

	rounded := 91 * time.Second
	require.Equal(t, []apitest.Call{
		{Method: "PutCluster", Name: "logs", Options: server.PutOptions{IfGeneration: &zero, Message: "why, & how?", User: "anonymous"}},
		{Method: "PutCluster", Name: "logs", Options: server.PutOptions{DryRun: true, User: "anonymous"}},
		{Method: "PlanRepair", Options: server.RepairOptions{Findings: []string{"0123456789ab", "ba9876543210"}, Retained: true, Retention: &wait, Message: "space", User: "anonymous"}},
		{Method: "ApproveRepair", Name: "repair-7", Options: server.ApprovalOptions{Fingerprint: "00112233aabbccdd", Message: "seen", User: "anonymous"}},
		{Method: "CancelRepair", Name: "repair-7", Options: server.CancelOptions{Step: 2, Message: "no", User: "anonymous"}},
		{Method: "DestroyVolume", Name: "logs-es-0-v1", Options: server.VolumeOptions{Confirm: "logs-es-0-v1", Message: "old", User: "anonymous"}},
		{Method: "RestoreVolume", Name: "logs-es-0-v1", Options: server.VolumeOptions{Message: "no", User: "anonymous"}},
		{Method: "KillUnknownTask", Name: apitest.UnknownTaskID, Options: server.TaskOptions{Confirm: apitest.UnknownTaskID, Message: "moved", User: "anonymous"}},
		{Method: "KeepUnknownTask", Name: apitest.UnknownTaskID, Options: server.TaskOptions{Message: "no", User: "anonymous"}},
		{Method: "KillUnknownTask", Name: "a:b c?", Options: server.TaskOptions{Confirm: "a:b c?", User: "anonymous"}},
		{Method: "RestartCluster", Name: "logs", Options: server.RestartOptions{Nodes: []string{"logs-es-0", "logs-es-1"}, Message: "kernel", User: "anonymous"}},
		{Method: "ControlPlan", Name: "logs", Options: server.PlanOptions{Verb: "pause", Message: "lunch", User: "anonymous"}},
		{Method: "ControlPlan", Name: "logs", Options: server.PlanOptions{Verb: "override", Gate: "ClusterGreen", For: rounded, Message: "known", User: "anonymous"}},
		{Method: "DeleteCluster", Name: "logs", Options: server.DeleteOptions{Confirm: "logs", Retention: &rounded, Message: "done", User: "anonymous"}},
	}, fake.Calls())
}

func TestReadinessIsNoError(t *testing.T) {
	h, fake, _ := real(t, nil)
	fake.NotReady = "waiting for the agents"
	c := dial(t, client.Options{Server: serve(t, h)})
	r, err := c.Readiness(t.Context())
	require.NoError(t, err)
	require.False(t, r.Ready)
	require.Equal(t, "waiting for the agents", r.Checks["mesos"])
}

func TestProblemsAreTyped(t *testing.T) {
	h, _, _ := real(t, nil)
	c := dial(t, client.Options{Server: serve(t, h)})
	_, err := c.Cluster(t.Context(), "no/such cluster?")
	var p *v1.Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, v1.CodeNotFound, p.Code)
	require.Contains(t, p.Detail, "no/such cluster?", "names are escaped in the path")
}

func TestStrangeServers(t *testing.T) {
	status, body := 200, ""
	c := dial(t, client.Options{Server: serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))})
	get := func(s int, b string) error {
		status, body = s, b
		_, err := c.Clusters(t.Context())
		return err
	}
	require.ErrorContains(t, get(200, "<html>"), "not Berth's")
	err := get(502, "<html>\n<b>Bad Gateway</b>"+strings.Repeat("x", 1000))
	require.ErrorContains(t, err, "502 Bad Gateway, which is no answer of Berth: <html> <b>Bad Gateway</b>")
	require.Less(t, len(err.Error()), 400)
	require.ErrorContains(t, get(404, `{"code":"x"}`), "no answer of Berth")

	dead := dial(t, client.Options{Server: "http://127.0.0.1:1"})
	_, err = dead.Clusters(t.Context())
	require.ErrorContains(t, err, "is it running")
	slow := dial(t, client.Options{Timeout: 20 * time.Millisecond, Server: serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}))})
	_, err = slow.Clusters(t.Context())
	require.ErrorContains(t, err, "in time")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestOptions(t *testing.T) {
	for _, s := range []string{"", "berth:8080", "ftp://x", "http://", "127.0.0.1:8080", "http://user:pass@x"} {
		_, err := client.New(client.Options{Server: s})
		require.Error(t, err, s)
		require.NotContains(t, err.Error(), "pass@")
	}
	file := filepath.Join(t.TempDir(), "x")
	_, err := client.New(client.Options{Server: "http://x", CAFile: file})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(file, []byte("no PEM"), 0o600))
	_, err = client.New(client.Options{Server: "http://x", CAFile: file})
	require.ErrorContains(t, err, "no PEM certificate")
	_, err = client.Token(file)
	require.ErrorContains(t, err, "one token and nothing else")
	require.NoError(t, os.WriteFile(file, []byte(" abc\n"), 0o600))
	token, err := client.Token(file)
	require.NoError(t, err)
	require.Equal(t, "abc", token)
}

func TestCAFile(t *testing.T) {
	h, _, _ := real(t, nil)
	ts := httptest.NewTLSServer(h)
	defer ts.Close()
	_, err := dial(t, client.Options{Server: ts.URL}).Agents(t.Context())
	require.ErrorContains(t, err, "certificate")
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ts.Certificate().Raw}), 0o600))
	_, err = dial(t, client.Options{Server: ts.URL, CAFile: file}).Agents(t.Context())
	require.NoError(t, err)
}

// onlyToken lets the one token in.
type onlyToken string

func (o onlyToken) Authenticate(r *http.Request) (server.Identity, error) {
	if r.Header.Get("Authorization") != "Bearer "+string(o) {
		return server.Identity{}, server.ErrBadCredentials
	}
	return server.Identity{User: "ci", Scope: server.ScopeOperator}, nil
}

func TestFollowsTheLeaderWithTokenAndBody(t *testing.T) {
	h, fake, hub := real(t, func(o *server.Options) { o.Auth = onlyToken("abc") })
	leader := serve(t, h)
	f, _, _ := real(t, func(o *server.Options) {
		o.Auth = onlyToken("abc")
		o.LeaderRedirect = func(context.Context) (bool, string) {
			// Another host as far as net/http is concerned.
			return false, strings.Replace(leader, "127.0.0.1", "localhost", 1)
		}
	})
	c := dial(t, client.Options{Server: serve(t, f), Token: "abc"})
	a, err := c.PutCluster(t.Context(), "logs", []byte(spec), client.TypeJSON, client.PutOptions{})
	require.NoError(t, err)
	require.True(t, a.Changed)
	require.Equal(t, "ci", fake.Calls()[0].Options.(server.PutOptions).User)
	hub.Publish(v1.Event{ID: 1})
	n := 0
	require.NoError(t, c.Events(t.Context(), client.EventOptions{Once: true}, func(v1.Event) error { n++; return nil }))
	require.Equal(t, 1, n)
}

func TestRefusesBadRedirects(t *testing.T) {
	var leaked atomic.Bool
	plain := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leaked.Store(r.Header.Get("Authorization") != "")
	}))
	secure := httptest.NewTLSServer(http.RedirectHandler(plain, http.StatusTemporaryRedirect))
	defer secure.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600))
	_, err := dial(t, client.Options{Server: secure.URL, CAFile: file, Token: "abc"}).Agents(t.Context())
	require.ErrorContains(t, err, "from https to http")
	require.False(t, leaked.Load(), "the token must not travel in the clear")

	var hops atomic.Int32
	loop := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hops.Add(1)
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
	}))
	_, err = dial(t, client.Options{Server: loop}).Agents(t.Context())
	require.ErrorContains(t, err, "do not agree on their leader")
	require.LessOrEqual(t, hops.Load(), int32(5))
}

func TestEventsResumeWhereTheyBroke(t *testing.T) {
	h, _, hub := real(t, nil)
	var cut atomic.Pointer[context.CancelFunc]
	var connections atomic.Int32
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := connections.Add(1)
		if n == 2 { // in the middle of a fail-over
			hub.Publish(v1.Event{ID: 4})
			hub.Publish(v1.Event{ID: 5})
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		cut.Store(&cancel)
		h.ServeHTTP(w, r.WithContext(ctx))
	}))
	c := dial(t, client.Options{Server: url})
	for id := int64(1); id <= 3; id++ {
		hub.Publish(v1.Event{ID: id, Message: fmt.Sprint(id)})
	}
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	var got []int64
	retries := 0
	enough := errors.New("enough")
	err := c.Events(ctx, client.EventOptions{MaxWait: time.Millisecond, Retry: func(error, time.Duration) { retries++ }}, func(e v1.Event) error {
		got = append(got, e.ID)
		switch e.ID {
		case 3:
			(*cut.Load())()
		case 5:
			return enough
		}
		return nil
	})
	require.ErrorIs(t, err, enough)
	require.Equal(t, []int64{1, 2, 3, 4, 5}, got, "nothing is lost, nothing comes twice")
	require.Equal(t, 2, retries)
	require.EqualValues(t, 3, connections.Load())
}

func TestEventsTellOfLostHistory(t *testing.T) {
	h, _, hub := real(t, nil)
	c := dial(t, client.Options{Server: serve(t, h)})
	hub.Publish(v1.Event{ID: 1})
	var got []int64
	lost := 0
	o := client.EventOptions{After: 99, Once: true, MaxWait: time.Millisecond, Lost: func(error) { lost++ }}
	require.NoError(t, c.Events(t.Context(), o, func(e v1.Event) error { got = append(got, e.ID); return nil }))
	require.Equal(t, []int64{1}, got)
	require.Equal(t, 1, lost)
}

func TestEventsEndings(t *testing.T) {
	h, _, hub := real(t, func(o *server.Options) { o.Auth = onlyToken("abc") })
	url := serve(t, h)
	each := func(v1.Event) error { return nil }

	err := dial(t, client.Options{Server: url}).Events(t.Context(), client.EventOptions{}, each)
	var p *v1.Problem
	require.ErrorAs(t, err, &p, "a refusal is not tried again")
	require.Equal(t, v1.CodeUnauthenticated, p.Code)

	c := dial(t, client.Options{Server: url, Token: "abc"})
	ctx, cancel := context.WithCancel(t.Context())
	hub.Publish(v1.Event{ID: 1, Cluster: "a"})
	hub.Publish(v1.Event{ID: 2, Cluster: "b"})
	var got []int64
	err = c.Events(ctx, client.EventOptions{Cluster: "b"}, func(e v1.Event) error {
		got = append(got, e.ID)
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []int64{2}, got)

	err = dial(t, client.Options{Server: "http://127.0.0.1:1"}).Events(t.Context(), client.EventOptions{Once: true}, each)
	require.ErrorContains(t, err, "is it running", "once means once")
}

// A connection that died without a word is noticed and made anew.
func TestEventsLeaveASilentStream(t *testing.T) {
	h, _, hub := real(t, nil)
	hub.Publish(v1.Event{ID: 1})
	var connections atomic.Int32
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if connections.Add(1) == 1 {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		h.ServeHTTP(w, r)
	}))
	var why error
	done := errors.New("done")
	o := client.EventOptions{MaxWait: time.Millisecond, Silence: 50 * time.Millisecond, Retry: func(err error, _ time.Duration) { why = err }}
	err := dial(t, client.Options{Server: url}).Events(t.Context(), o, func(v1.Event) error { return done })
	require.ErrorIs(t, err, done)
	require.ErrorContains(t, why, "silent for 50ms")
}

func TestEventsOfStrangeServers(t *testing.T) {
	for body, want := range map[string]string{
		"data: {\"id\":\n\n":                  "not Berth's",
		"event: problem\ndata: ?\n\n":         "cannot be read",
		"data: " + strings.Repeat("x", 2<<20): "broke",
	} {
		url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		var why error
		ctx, cancel := context.WithCancel(t.Context())
		o := client.EventOptions{MaxWait: time.Millisecond, Retry: func(err error, _ time.Duration) { why = err; cancel() }}
		err := dial(t, client.Options{Server: url}).Events(ctx, o, func(v1.Event) error { return nil })
		require.ErrorIs(t, err, context.Canceled)
		assert.ErrorContains(t, why, want)
	}
}
