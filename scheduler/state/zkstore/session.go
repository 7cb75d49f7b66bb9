package zkstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/zap"

	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/scheduler/zkwire"
)

const (
	// maxInFlight bounds the requests that wait for an answer, abandoned ones
	// included. The client pipelines them on its one connection.
	maxInFlight = 128
	// maxReply bounds one reply; the largest is a listing, which the server
	// does not hold to its own 1 MiB limit.
	maxReply = 8 << 20
	// connectSessions is how many session timeouts to wait for a connection
	// before dialling anew: the client resolves host names only when it starts.
	connectSessions = 3
)

// session is one ZooKeeper session on a connection of its own. It serves one
// campaign or observer and is closed, never revived, when the session expires.
type session struct {
	conn *zk.Conn
	// ended is the client's event channel: nothing is read from it, but it is
	// closed when the client's goroutines have ended.
	ended <-chan zk.Event
	slots chan struct{}
	// dialing ends with close; transport is the latest connection.
	dialing       context.Context
	stopDialing   context.CancelFunc
	transportLock sync.Mutex
	transport     net.Conn
	// up has an element whenever a connection was (re)established.
	up chan struct{}
	// lost is closed when the server has ended the session or refused the
	// credentials.
	lost     chan struct{}
	lostOnce sync.Once
	// negotiated is the session timeout that the server granted, in ns.
	negotiated atomic.Int64
	// watch is told of every event, nil if nobody wants to know.
	watch func(zk.Event)
}

// dial opens a session and waits until it is established.
func dial(ctx context.Context, t *target) (*session, error) { return dialWatching(ctx, t, nil) }

// dialWatching is dial with a function that is told of every event, those of
// watches included, before any answer that the server gave after the event. It
// runs on the client's goroutines and must not block.
func dialWatching(ctx context.Context, t *target, watch func(zk.Event)) (*session, error) {
	s := &session{
		watch: watch,
		slots: make(chan struct{}, maxInFlight),
		up:    make(chan struct{}, 1),
		lost:  make(chan struct{}),
	}
	s.negotiated.Store(int64(t.timeout))
	s.dialing, s.stopDialing = context.WithCancel(context.Background())
	// The callback, not the channel: the channel holds six events and drops the
	// rest without a word (Mesos rule 57).
	conn, ended, err := zk.Connect(t.servers, t.timeout,
		zk.WithDialer(s.dialer(t.timeout)),
		zk.WithEventCallback(s.event(t.log)),
		zk.WithLogger(clientLog{t.log}),
		zk.WithLogInfo(false),
		zk.WithMaxBufferSize(maxReply))
	if err != nil {
		s.stopDialing()
		return nil, fmt.Errorf("zookeeper %v: %w: %w", t.servers, state.ErrUnavailable, err)
	}
	s.conn, s.ended = conn, ended
	ctx, cancel := context.WithTimeout(ctx, connectSessions*t.timeout)
	defer cancel()
	if err := s.open(ctx, t); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) open(ctx context.Context, t *target) error {
	select {
	case <-s.up:
	case <-s.lost:
		return fmt.Errorf("zookeeper %v: %w: the session was refused", t.servers, state.ErrUnavailable)
	case <-ctx.Done():
		return fmt.Errorf("zookeeper %v: %w: no connection: %w", t.servers, state.ErrUnavailable, ctx.Err())
	}
	if t.auth == "" {
		return nil
	}
	_, err := call(ctx, s, func() (struct{}, error) {
		return struct{}{}, s.conn.AddAuth("digest", []byte(t.auth))
	})
	return explain("authenticate at", t.layout.root, err)
}

// event is the client's callback. It runs on the client's goroutines and must
// not block.
func (s *session) event(log *zap.Logger) zk.EventCallback {
	return func(ev zk.Event) {
		if s.watch != nil {
			s.watch(ev)
		}
		if ev.Type != zk.EventSession {
			return
		}
		switch ev.State {
		case zk.StateHasSession:
			log.Info("zookeeper connected", zap.String("server", ev.Server))
			select {
			case s.up <- struct{}{}:
			default:
			}
		case zk.StateDisconnected:
			log.Warn("zookeeper connection lost", zap.String("server", ev.Server))
		case zk.StateExpired, zk.StateAuthFailed:
			log.Warn("zookeeper session lost", zap.Stringer("state", ev.State))
			s.lostOnce.Do(func() { close(s.lost) })
		}
	}
}

// timeout is the session timeout that the server granted.
func (s *session) timeout() time.Duration { return time.Duration(s.negotiated.Load()) }

// close ends the session at the server, if it can be reached within three seconds,
// and with it the session's ephemeral znodes. It returns when the client's
// goroutines have ended; abandoned requests end with them.
func (s *session) close() {
	s.conn.Close()
	// A server that hangs would keep the client for longer.
	s.stopDialing()
	s.cut(s.current())
	for range s.ended {
	}
}

// current is the latest connection, nil before the first.
func (s *session) current() net.Conn {
	s.transportLock.Lock()
	defer s.transportLock.Unlock()
	return s.transport
}

// cut ends a connection if it is still the latest, not the session: the client makes
// another one.
func (s *session) cut(conn net.Conn) {
	s.transportLock.Lock()
	defer s.transportLock.Unlock()
	if conn != nil && conn == s.transport {
		_ = conn.Close()
	}
}

// elsewhereAfter carries out a request, and has the client go to another server when
// the one that it was connected to has not answered for the time given.
func (s *session) elsewhereAfter(ctx context.Context, patience time.Duration, request func(context.Context) error) error {
	asked := s.current()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := request(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		s.cut(asked)
	}
	return err
}

// dialer connects for the client.
func (s *session) dialer(asked time.Duration) zk.Dialer {
	var history zkwire.History
	dial := history.Dialer(func(network, address string, timeout time.Duration) (net.Conn, error) {
		dialer := net.Dialer{Timeout: timeout}
		return dialer.DialContext(s.dialing, network, address)
	})
	return func(network, address string, timeout time.Duration) (net.Conn, error) {
		conn, err := dial(network, address, timeout)
		if err != nil {
			return nil, err
		}
		s.transportLock.Lock()
		defer s.transportLock.Unlock()
		if s.dialing.Err() != nil {
			return nil, errors.Join(s.dialing.Err(), conn.Close())
		}
		s.transport = conn
		return newGuardedConn(conn, asked, func(d time.Duration) { s.negotiated.Store(int64(d)) }), nil
	}
}

// call runs one request with a context, which the client knows nothing of. When
// ctx ends first the request is abandoned: it may still be carried out, its
// answer is dropped, and its slot is taken until the client gives it up (when
// the connection breaks, or the session is closed).
func call[T any](ctx context.Context, s *session, request func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var zero T
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return zero, noAnswer(ctx)
	}
	answers := make(chan answer, 1)
	go func() {
		defer func() { <-s.slots }()
		value, err := request()
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return zero, noAnswer(ctx)
	}
}

func noAnswer(ctx context.Context) error {
	return fmt.Errorf("%w: no answer: %w", state.ErrUnavailable, context.Cause(ctx))
}

type znode struct {
	data []byte
	stat *zk.Stat
}

func (s *session) get(ctx context.Context, path string) (znode, error) {
	return call(ctx, s, func() (znode, error) {
		data, stat, err := s.conn.Get(path)
		return znode{data, stat}, err
	})
}

func (s *session) exists(ctx context.Context, path string) (bool, error) {
	return call(ctx, s, func() (bool, error) {
		found, _, err := s.conn.Exists(path)
		return found, err
	})
}

func (s *session) children(ctx context.Context, path string) ([]string, error) {
	return call(ctx, s, func() ([]string, error) {
		names, _, err := s.conn.Children(path)
		return names, err
	})
}

// childrenW and getW also set a watch, which tells of the first change after
// the answer.
func (s *session) childrenW(ctx context.Context, path string) ([]string, error) {
	return call(ctx, s, func() ([]string, error) {
		names, _, _, err := s.conn.ChildrenW(path)
		return names, err
	})
}

func (s *session) getW(ctx context.Context, path string) (znode, error) {
	return call(ctx, s, func() (znode, error) {
		data, stat, _, err := s.conn.GetW(path)
		return znode{data, stat}, err
	})
}

// sync returns when the server that this session is connected to knows all that
// was committed before.
func (s *session) sync(ctx context.Context, path string) error {
	_, err := call(ctx, s, func() (string, error) { return s.conn.Sync(path) })
	return err
}

func (s *session) multi(ctx context.Context, ops []any) ([]zk.MultiResponse, error) {
	return call(ctx, s, func() ([]zk.MultiResponse, error) { return s.conn.Multi(ops...) })
}

// ensure creates the path and its missing parents; data goes into the last.
func (s *session) ensure(ctx context.Context, path string, data []byte, acl []zk.ACL) error {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		part, value := path[:i], []byte{}
		if i == len(path) {
			value = data
		}
		// Existing parents may be closed to us for creating: look first.
		found, err := s.exists(ctx, part)
		if err == nil && !found {
			_, err = call(ctx, s, func() (string, error) { return s.conn.Create(part, value, 0, acl) })
		}
		if err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return explain("create", part, err)
		}
	}
	return nil
}

// guardedConn gives up a silent server earlier than the client does, and reads
// from the handshake the session timeout that the server granted, which the client
// keeps to itself.
//
// The client waits 6.7 session timeouts for the handshake of a server that accepts
// connections but hangs, and 0.67 for any reply later, which is all of a lease's
// term. Here it is a third, and a half: the server answers a ping every third. A
// holder of a lease gives it up sooner, by its proofs.
type guardedConn struct {
	net.Conn
	asked   time.Duration // session timeout asked for
	granted func(time.Duration)
	head    []byte // the connect response so far
	silence time.Duration
}

func newGuardedConn(conn net.Conn, asked time.Duration, granted func(time.Duration)) *guardedConn {
	return &guardedConn{Conn: conn, asked: asked, granted: granted}
}

// handshakeHead is what of the connect response is read here: length, protocol
// version and session timeout in ms, big-endian 32-bit integers.
const handshakeHead = 12

func (c *guardedConn) SetReadDeadline(t time.Time) error {
	limit := c.silence
	if len(c.head) < handshakeHead {
		limit = max(c.asked/3, time.Second)
	}
	if latest := time.Now().Add(limit); limit > 0 && t.After(latest) {
		t = latest
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *guardedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if missing := handshakeHead - len(c.head); missing > 0 && n > 0 {
		c.head = append(c.head, p[:min(n, missing)]...)
		if len(c.head) == handshakeHead {
			// An expired session is answered with a timeout of 0.
			if ms := int32(binary.BigEndian.Uint32(c.head[8:])); ms > 0 {
				session := time.Duration(ms) * time.Millisecond
				c.silence = session / 2
				c.granted(session)
			}
		}
	}
	return n, err
}

// clientLog passes the client's own messages on; they repeat every second during
// an outage, while session.event logs each change once.
type clientLog struct{ log *zap.Logger }

func (l clientLog) Printf(format string, args ...any) {
	l.log.Debug("zookeeper client: " + fmt.Sprintf(format, args...))
}
