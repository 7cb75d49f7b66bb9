package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/berthdata/berth/api/server"
	v1 "github.com/berthdata/berth/api/v1"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// impatient are limits that end everything slow within a fraction of a second.
var impatient = server.Limits{
	RequestTimeout: 100 * time.Millisecond, HeaderTimeout: 200 * time.Millisecond, ReadTimeout: 400 * time.Millisecond,
	IdleTimeout: 300 * time.Millisecond, WriteTimeout: 200 * time.Millisecond, KeepAlive: 50 * time.Millisecond, Streams: 4,
}

// serving is a Server on a real port, with a bound on its connections.
func serving(t *testing.T, connections int, change func(*server.Options)) *harness {
	t.Helper()
	h := start(t, nil)
	opts := server.Options{Commands: h.fake, Queries: h.fake, Events: h.hub, Limits: impatient}
	if change != nil {
		change(&opts)
	}
	s, err := server.New(opts)
	require.NoError(t, err)
	ln, err := server.ListenBounded("127.0.0.1:0", connections)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		select {
		case <-ended: // an error where a test leaves an answer unread
		case <-time.After(patience):
			t.Error("Serve did not end")
		}
	})
	h.url = "http://" + ln.Addr().String()
	// Connections that are not kept do not take places that the test counts.
	h.http = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	return h
}

// raw is a client that speaks TCP, and HTTP only as far as the test says.
func (h *harness) raw(text string) net.Conn {
	h.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	require.NoError(h.t, err)
	h.t.Cleanup(func() { conn.Close() })
	_, err = io.WriteString(conn, text)
	require.NoError(h.t, err)
	return conn
}

// drip sends a byte now and then until the server has had enough, and returns what
// it answered and how long that took.
func drip(t *testing.T, conn net.Conn, one string) (string, time.Duration) {
	t.Helper()
	began := time.Now()
	require.NoError(t, conn.SetDeadline(began.Add(patience)))
	answer := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(conn)
		answer <- string(all)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case text := <-answer:
			return text, time.Since(began)
		case <-tick.C:
			_, _ = io.WriteString(conn, one) // fails once the server has closed
		}
	}
}

func TestSlowHeaders(t *testing.T) {
	h := serving(t, 100, nil)
	conn := h.raw("GET /v1/agents HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
	_, took := drip(t, conn, "x")
	assert.GreaterOrEqual(t, took, impatient.HeaderTimeout-50*time.Millisecond)
	assert.Less(t, took, patience)
}

func TestEndlessHeaders(t *testing.T) {
	h := serving(t, 100, nil)
	conn := h.raw("GET /v1/agents HTTP/1.1\r\nHost: 127.0.0.1\r\n")
	go func() {
		for {
			if _, err := io.WriteString(conn, "X-More: "+strings.Repeat("x", 8000)+"\r\n"); err != nil {
				return
			}
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, res.StatusCode)
}

func TestSlowBody(t *testing.T) {
	h := serving(t, 100, nil)
	conn := h.raw("PUT /v1/clusters/logs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
	answer, took := drip(t, conn, " ")
	assert.Less(t, took, patience)
	assert.True(t, answer == "" || strings.Contains(answer, " 400 "), answer)
	assert.Empty(t, h.fake.Calls(), "nothing was changed")
}

// A body without end is read up to the limit and no further.
func TestEndlessBody(t *testing.T) {
	h := serving(t, 100, func(o *server.Options) { o.Limits.ReadTimeout = patience })
	conn := h.raw("PUT /v1/clusters/logs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
	var sent atomic.Int64
	go func() {
		chunk := fmt.Sprintf("10000\r\n%s\r\n", strings.Repeat(" ", 0x10000))
		for {
			n, err := io.WriteString(conn, chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	assert.True(t, res.Close)
	assert.Less(t, sent.Load(), int64(16*v1.MaxDocument), "what is behind the limit is not read")
	assert.Empty(t, h.fake.Calls())
}

// A client that asks for much and reads nothing holds one connection, for as long
// as an answer may take.
func TestAnswerThatNobodyReads(t *testing.T) {
	h := serving(t, 1, nil)
	list := make([]v1.ClusterView, 2000)
	for i := range list {
		list[i].Name = strings.Repeat("x", 10_000)
	}
	h.fake.Views = list
	conn := h.raw("")
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(1024))
	_, err := io.WriteString(conn, "GET /v1/clusters HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	require.NoError(t, err)
	// The only place is free again once the server has given that one up.
	assert.Equal(t, 200, h.do("GET", "/healthz", "").status)
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	h := serving(t, 1, nil)
	conn := h.raw("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.Equal(t, 200, h.do("GET", "/healthz", "").status)
	_, err = conn.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
}

// While others hold what they can, whoever behaves is answered at once.
func TestSlowClientsHoldNobodyUp(t *testing.T) {
	slow := server.Limits{HeaderTimeout: patience, ReadTimeout: patience, IdleTimeout: patience, WriteTimeout: patience, Streams: 8, Rate: 1e6, Burst: 1e6}
	h := serving(t, 1000, func(o *server.Options) { o.Limits = slow })
	for range 100 {
		h.raw("GET /v1/agents HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
		h.raw("PUT /v1/clusters/logs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
		h.raw("") // nothing at all
	}
	for range 8 {
		conn := h.raw("")
		require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(1024))
		_, err := io.WriteString(conn, "GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		require.NoError(t, err)
	}
	big := strings.Repeat("x", 64<<10)
	for i := range 50 {
		h.hub.Publish(v1.Event{ID: int64(i + 1), Message: big}) // nobody reads them
		began := time.Now()
		require.Equal(t, 200, h.do("GET", "/v1/agents", "").status)
		status := h.do("PUT", "/v1/clusters/logs", spec).status
		require.True(t, status == 200 || status == 202, status)
		require.Less(t, time.Since(began), 5*time.Second)
	}
	h.problem(h.do("GET", "/v1/events", ""), 503, v1.CodeStreamsExhausted)
}

func TestConnectionsAreBounded(t *testing.T) {
	const most = 3
	h := serving(t, most, func(o *server.Options) { o.Limits.HeaderTimeout = 5 * time.Second })
	var first []net.Conn
	for range most {
		first = append(first, h.raw("GET "))
	}
	waiting := h.raw("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
	require.NoError(t, waiting.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	_, err := waiting.Read(make([]byte, 1))
	require.Error(t, err, "all places are taken")
	require.NoError(t, first[0].Close())
	require.NoError(t, waiting.SetReadDeadline(time.Now().Add(patience)))
	res, err := http.ReadResponse(bufio.NewReader(waiting), nil)
	require.NoError(t, err, "one is free again")
	require.NoError(t, res.Body.Close())
	assert.Equal(t, 200, res.StatusCode)
}

// vanish ends a connection as the loss of power does: no word is sent. What the
// server sends from then on is answered by a machine that knows nothing of it.
func vanish(t *testing.T, conn net.Conn) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	var failed error
	require.NoError(t, raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_REPAIR, 1)
	}))
	if failed != nil {
		t.Skipf("a connection that vanishes needs CAP_NET_ADMIN: %v", failed)
	}
	require.NoError(t, conn.Close())
}

func TestPeerThatVanishes(t *testing.T) {
	for name, text := range map[string]string{
		"in an event stream": "GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"in its headers":     "GET /v1/agents HTTP/1.1\r\nX-Half: ",
		"in its body":        "PUT /v1/clusters/logs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		"before a word":      "",
	} {
		t.Run(name, func(t *testing.T) {
			h := serving(t, 1, func(o *server.Options) { o.Limits.Streams = 1 })
			conn := h.raw(text)
			if strings.Contains(text, "events") {
				_, err := conn.Read(make([]byte, 1)) // the stream is open
				require.NoError(t, err)
			}
			vanish(t, conn)
			assert.Equal(t, 200, h.do("GET", "/healthz", "").status, "its place is free again")
			s := h.open("/v1/events")
			require.NotNil(t, s.block(), "and so is the stream's")
			assert.Empty(t, h.fake.Calls())
		})
	}
}

// Nothing answers for a peer behind a broken network, so the kernel must give up.
func TestSilentPeersAreGivenUp(t *testing.T) {
	ln, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	conn, err := ln.Accept()
	require.NoError(t, err)
	defer conn.Close()
	raw, err := server.Inner(conn).(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	option := func(level, name int) (value int) {
		require.NoError(t, raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, name) }))
		require.NoError(t, err)
		return value
	}
	assert.Equal(t, 60_000, option(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT))
	assert.Equal(t, 1, option(unix.SOL_SOCKET, unix.SO_KEEPALIVE))
	assert.LessOrEqual(t, option(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)+option(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)*option(unix.IPPROTO_TCP, unix.TCP_KEEPCNT), 60)
}

func TestListenerThatIsClosed(t *testing.T) {
	ln, err := server.ListenBounded("127.0.0.1:0", 1)
	require.NoError(t, err)
	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	accepted, err := ln.Accept()
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		_, err := ln.Accept() // waits for a place
		ended <- err
	}()
	require.NoError(t, ln.Close())
	assert.ErrorIs(t, <-ended, net.ErrClosed)
	require.NoError(t, accepted.Close())
	assert.Error(t, accepted.Close(), "twice, but its place was given back once")
	_, err = server.Listen("256.0.0.1:0")
	require.Error(t, err)
}
