package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/server"
	v1 "github.com/berthdata/berth/api/v1"
)

// stream is an open event stream.
type stream struct {
	t      *testing.T
	res    *http.Response
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

func (h *harness) open(path string, headers ...string) *stream {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	h.t.Cleanup(cancel)
	res, err := h.http.Do(h.request("GET", path, "", headers...).WithContext(ctx))
	require.NoError(h.t, err)
	h.t.Cleanup(func() { res.Body.Close() })
	require.Equal(h.t, 200, res.StatusCode)
	require.Equal(h.t, "text/event-stream", res.Header.Get("Content-Type"))
	return &stream{t: h.t, res: res, lines: bufio.NewScanner(res.Body), cancel: cancel}
}

// block reads up to the next empty line: field → value; comments under "".
func (s *stream) block() map[string]string {
	s.t.Helper()
	fields := map[string]string{}
	for s.lines.Scan() {
		line := s.lines.Text()
		if line == "" {
			return fields
		}
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimPrefix(value, " ")
	}
	return nil
}

// event reads the next block that has data; nil at the stream's end.
func (s *stream) event() map[string]string {
	s.t.Helper()
	for {
		b := s.block()
		if _, has := b["data"]; has || b == nil {
			return b
		}
	}
}

func event(id int64, cluster string) v1.Event {
	return v1.Event{ID: id, Type: "NodeStarted", Cluster: cluster, Message: fmt.Sprint("event ", id)}
}

func TestStreamHistoryThenLive(t *testing.T) {
	h := start(t, nil)
	h.hub.Publish(event(1, "logs"))
	h.hub.Publish(event(2, "logs"))
	s := h.open("/v1/events")
	require.Equal(t, "1", s.event()["id"])
	require.Equal(t, "2", s.event()["id"])
	h.hub.Publish(event(5, "logs"))
	got := s.event()
	require.Equal(t, "5", got["id"])
	var e v1.Event
	require.NoError(t, json.Unmarshal([]byte(got["data"]), &e))
	require.Equal(t, event(5, "logs"), e)
}

func TestStreamResume(t *testing.T) {
	h := start(t, nil)
	for id := int64(1); id <= 3; id++ {
		h.hub.Publish(event(id, "logs"))
	}
	require.Equal(t, "3", h.open("/v1/events?after=2").event()["id"])
	require.Equal(t, "2", h.open("/v1/events?after=3", "Last-Event-ID", "1").event()["id"], "the header is newer than the URL")

	latest := h.open("/v1/events?after=latest")
	require.Equal(t, "3", latest.block()["id"], "a place to resume from before the first event")
	h.hub.Publish(event(4, "logs"))
	require.Equal(t, "4", latest.event()["id"])

	for i := int64(5); i <= 200; i++ {
		h.hub.Publish(event(i, "logs"))
	}
	p := h.problem(h.do("GET", "/v1/events?after=50", ""), 410, v1.CodeEventsGone)
	require.Contains(t, p.Detail, "101 to 200")
	h.problem(h.do("GET", "/v1/events?after=201", ""), 410, v1.CodeEventsGone)
	p = h.problem(h.do("GET", "/v1/events?after=-2", ""), 400, v1.CodeRequestInvalid)
	require.Equal(t, "?after", p.Fields[0].Field)
}

func TestStreamFilterAndKeepAlive(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Limits.KeepAlive = 20 * time.Millisecond })
	s := h.open("/v1/events?cluster=logs")
	s.block()
	h.hub.Publish(event(1, "other"))
	for { // the keep-alive moves the reader's place past what it does not see
		b := s.block()
		require.NotNil(t, b)
		require.NotContains(t, b, "data")
		if b["id"] == "1" {
			break
		}
	}
	h.hub.Publish(event(2, "logs"))
	require.Equal(t, "2", s.event()["id"])
}

func TestStreamsAreLimited(t *testing.T) {
	h := start(t, func(o *server.Options) { o.Limits.Streams = 1 })
	require.Equal(t, 200, h.do("HEAD", "/v1/events", "").status, "a header is no stream")
	first := h.open("/v1/events")
	require.NotNil(t, first.block())
	h.problem(h.do("GET", "/v1/events", ""), 503, v1.CodeStreamsExhausted)
	first.cancel()
	require.Eventually(t, func() bool {
		res, err := h.http.Do(h.request("GET", "/v1/events", ""))
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200
	}, 10*time.Second, 10*time.Millisecond, "the place of a reader who left is free again")
}

// overtaken is a source whose subscription ends with an error.
type overtaken struct{ err error }

func (o overtaken) Subscribe(context.Context, int64) (server.Subscription, error) { return o, nil }
func (o overtaken) Next(context.Context) (v1.Event, error)                        { return v1.Event{}, o.err }
func (o overtaken) Position() int64                                               { return 7 }

func TestStreamEndsWithAProblem(t *testing.T) {
	for _, c := range []struct {
		err  error
		code string
	}{{server.ErrSlowConsumer, v1.CodeEventsGone}, {server.ErrHubClosed, v1.CodeUnavailable}} {
		h := start(t, func(o *server.Options) { o.Events = overtaken{c.err} })
		s := h.open("/v1/events")
		got := s.event()
		require.Equal(t, "problem", got["event"])
		var p v1.Problem
		require.NoError(t, json.Unmarshal([]byte(got["data"]), &p))
		require.Equal(t, c.code, p.Code)
		require.Nil(t, s.event())
	}
}

// A reader who stops reading is cut off by the write deadline and gives its
// place back, while the hub goes on.
func TestStreamReaderWhoStopsReadingIsCutOff(t *testing.T) {
	h := start(t, func(o *server.Options) {
		o.Limits.WriteTimeout = 50 * time.Millisecond
		o.Limits.Streams = 1
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(1024))
	_, err = io.WriteString(conn, "GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	require.NoError(t, err)
	big := strings.Repeat("x", 256<<10)
	id := int64(0)
	require.Eventually(t, func() bool {
		for range 8 {
			id++
			h.hub.Publish(v1.Event{ID: id, Message: big})
		}
		res, err := h.http.Do(h.request("GET", "/v1/events?after=latest", ""))
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200 && id > 8
	}, 20*time.Second, 20*time.Millisecond)
}

func TestServeEndsStreamsAndOutlivesReadTimeout(t *testing.T) {
	h := start(t, nil)
	s, err := server.New(server.Options{Commands: h.fake, Queries: h.fake, Events: h.hub,
		Limits: server.Limits{ReadTimeout: 50 * time.Millisecond, KeepAlive: 30 * time.Millisecond}})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	h.url = "http://" + ln.Addr().String()

	st := h.open("/v1/events")
	for range 8 { // 8 keep-alives are several read timeouts
		require.NotNil(t, st.block(), "the stream must outlive the read timeout of its request")
	}
	h.hub.Publish(event(1, ""))
	require.Equal(t, "1", st.event()["id"])
	stop()
	require.Nil(t, st.event(), "the stream ends when the server stops")
	select {
	case err := <-ended:
		assert.NoError(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("Serve did not return")
	}
}
