package mesos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	mesosv1 "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/encoding"
	"github.com/mesos/mesos-go/api/v1/lib/encoding/codecs"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// awaitDeadline is far above every time that a test expects to pass; on the
// in-memory network it costs nothing.
const awaitDeadline = time.Hour

// pass lets time pass in a test's bubble; outside of one it would wait for real.
func pass(d time.Duration) { <-time.After(d) }

// network is an in-memory one, so that a test's bubble has its own time.
type network struct {
	mu        sync.Mutex
	listeners map[string]*listener
}

func newNetwork() *network { return &network{listeners: map[string]*listener{}} }

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused by " + address)}
	if l == nil {
		return nil, refused
	}
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type listener struct {
	address string
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.address} }

// fakeMaster speaks the scheduler API. By default it accepts everything.
type fakeMaster struct {
	t       *testing.T
	address string
	server  *http.Server

	// onSubscribe, if set, answers SUBSCRIBE n (from 1) instead; false = go on.
	onSubscribe func(n int, w http.ResponseWriter, r *http.Request) bool
	// onCall, if set, answers a call; 0 = 202.
	onCall func(*scheduler.Call) (status int, body string)
	// onOperator answers POST /api/v1.
	onOperator http.HandlerFunc

	interval float64 // heartbeat_interval_seconds
	assign   string  // the framework id given, whatever was asked for
	streams  chan *stream

	mu            sync.Mutex
	subscriptions []recorded
	calls         []recorded
	connections   int
}

// recorded is a request that a fake master saw.
type recorded struct {
	call       *scheduler.Call
	header     http.Header
	connection int
	at         time.Time
}

// stream is the master's side of one subscription.
type stream struct {
	id     string
	codec  encoding.Codec
	out    chan []byte
	end    chan struct{}
	closed <-chan struct{} // the driver has gone
}

type connectionKey struct{}

func (n *network) master(t *testing.T, address string) *fakeMaster {
	t.Helper()
	m := &fakeMaster{t: t, address: address, interval: 15, streams: make(chan *stream, 100)}
	l := &listener{address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
	n.mu.Lock()
	n.listeners[address] = l
	n.mu.Unlock()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+schedulerPath, m.serveScheduler)
	mux.HandleFunc("POST "+operatorPath, func(w http.ResponseWriter, r *http.Request) { m.onOperator(w, r) })
	m.server = &http.Server{Handler: mux, ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.connections++
		return context.WithValue(ctx, connectionKey{}, m.connections)
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = m.server.Serve(l) // always ErrServerClosed
	}()
	t.Cleanup(func() {
		assert.NoError(t, m.server.Close())
		<-done
	})
	return m
}

func (m *fakeMaster) serveScheduler(w http.ResponseWriter, r *http.Request) {
	codec := codecs.ByMediaType[encoding.MediaType(r.Header.Get("Content-Type"))]
	raw, err := io.ReadAll(r.Body)
	call := new(scheduler.Call)
	if err == nil {
		err = decode(codec, raw, call)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	seen := recorded{call, r.Header.Clone(), r.Context().Value(connectionKey{}).(int), time.Now()}
	if call.Type == scheduler.Call_SUBSCRIBE {
		m.mu.Lock()
		m.subscriptions = append(m.subscriptions, seen)
		n := len(m.subscriptions)
		m.mu.Unlock()
		if m.onSubscribe == nil || !m.onSubscribe(n, w, r) {
			m.serveStream(w, r, n, codec, call)
		}
		return
	}
	m.mu.Lock()
	m.calls = append(m.calls, seen)
	m.mu.Unlock()
	status, body := http.StatusAccepted, ""
	if m.onCall != nil {
		if s, b := m.onCall(call); s != 0 {
			status, body = s, b
		}
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func (m *fakeMaster) serveStream(w http.ResponseWriter, r *http.Request, n int, codec encoding.Codec, call *scheduler.Call) {
	s := &stream{
		id: fmt.Sprintf("%s-stream-%d", m.address, n), codec: codec,
		out: make(chan []byte), end: make(chan struct{}), closed: r.Context().Done(),
	}
	w.Header().Set(streamHeader, s.id)
	w.WriteHeader(http.StatusOK)
	id := call.GetFrameworkID()
	if id == nil {
		id = &mesosv1.FrameworkID{Value: "framework-1"}
	}
	if m.assign != "" {
		id = &mesosv1.FrameworkID{Value: m.assign}
	}
	write := func(b []byte) bool {
		_, err := w.Write(b)
		w.(http.Flusher).Flush()
		return err == nil
	}
	if !write(s.frame(m.t, &scheduler.Event{Type: scheduler.Event_SUBSCRIBED, Subscribed: &scheduler.Event_Subscribed{
		FrameworkID: id, HeartbeatIntervalSeconds: &m.interval,
	}})) {
		return
	}
	m.streams <- s
	for {
		select {
		case b := <-s.out:
			if !write(b) {
				return
			}
		case <-s.end:
			panic(http.ErrAbortHandler) // as a dying master: no clean chunk end
		case <-r.Context().Done():
			return
		}
	}
}

// frame is e in RecordIO.
func (s *stream) frame(t *testing.T, e *scheduler.Event) []byte {
	raw, err := encode(s.codec, e)
	assert.NoError(t, err)
	return append(fmt.Appendf(nil, "%d\n", len(raw)), raw...)
}

// raw writes bytes; false if the driver has gone.
func (s *stream) raw(b []byte) bool {
	select {
	case s.out <- b:
		return true
	case <-s.closed:
		return false
	}
}

func (s *stream) send(t *testing.T, e *scheduler.Event) bool { return s.raw(s.frame(t, e)) }

func (m *fakeMaster) seenSubscriptions() []recorded {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]recorded(nil), m.subscriptions...)
}

func (m *fakeMaster) seenCalls() []recorded {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]recorded(nil), m.calls...)
}

func testFramework(t *testing.T) *mesosv1.FrameworkInfo {
	t.Helper()
	info, err := BuildFrameworkInfo(FrameworkOptions{User: "nobody", Name: "berth", Principal: "berth", Roles: []string{"data"}})
	require.NoError(t, err)
	return info
}

// testDriver makes a driver on n; change may adapt its configuration. The logs
// are kept for tests of what must not be in them.
func testDriver(t *testing.T, n *network, masters string, change func(*Config)) (*Driver, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	cfg := Config{Masters: masters, Framework: testFramework(t), Dial: n.dial}
	if change != nil {
		change(&cfg)
	}
	d, err := New(cfg, zap.New(core))
	require.NoError(t, err)
	t.Cleanup(d.transport.CloseIdleConnections)
	return d, logs
}

// running is a driver whose events a test reads one by one.
type running struct {
	t      *testing.T
	within time.Duration // for each wait
	events chan Event
	done   chan error
	cancel context.CancelFunc
}

// start runs d; id is the stored framework id.
func start(t *testing.T, d *Driver, id string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{t: t, within: awaitDeadline, events: make(chan Event), done: make(chan error, 1), cancel: cancel}
	go func() {
		r.done <- d.Run(ctx, func() string { return id }, func(e Event) {
			select {
			case r.events <- e:
			case <-ctx.Done():
			}
		})
		close(r.done)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.done
	})
	return r
}

// next returns the next event, which must be an E.
func next[E Event](r *running) E {
	r.t.Helper()
	return await(r, func(e Event) bool {
		_, ok := e.(E)
		require.True(r.t, ok, "unexpected event %#v", e)
		return true
	}).(E)
}

// await returns the first E that fits, skipping other events.
func await[E Event](r *running, fits func(E) bool) E {
	r.t.Helper()
	deadline := time.NewTimer(r.within)
	defer deadline.Stop()
	for {
		select {
		case e := <-r.events:
			if e, ok := e.(E); ok && (fits == nil || fits(e)) {
				return e
			}
		case err := <-r.done:
			r.t.Fatalf("Run ended while an event was awaited: %v", err)
		case <-deadline.C:
			r.t.Fatalf("no such event within %s", r.within)
		}
	}
}

// ended returns what Run returned, skipping events.
func (r *running) ended() error {
	r.t.Helper()
	deadline := time.NewTimer(r.within)
	defer deadline.Stop()
	for {
		select {
		case <-r.events:
		case err := <-r.done:
			return err
		case <-deadline.C:
			r.t.Fatalf("Run did not end within %s", r.within)
		}
	}
}

func ofType(want scheduler.Event_Type) func(Received) bool {
	return func(r Received) bool { return r.Event.Type == want }
}

func kill(task string) *scheduler.Call {
	return &scheduler.Call{Type: scheduler.Call_KILL, Kill: &scheduler.Call_Kill{TaskID: mesosv1.TaskID{Value: task}}}
}

var heartbeatEvent = &scheduler.Event{Type: scheduler.Event_HEARTBEAT}

func rescind(offer string) *scheduler.Event {
	return &scheduler.Event{Type: scheduler.Event_RESCIND, Rescind: &scheduler.Event_Rescind{OfferID: mesosv1.OfferID{Value: offer}}}
}

func errorEvent(message string) *scheduler.Event {
	return &scheduler.Event{Type: scheduler.Event_ERROR, Error: &scheduler.Event_Error{Message: message}}
}
