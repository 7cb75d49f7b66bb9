package server

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxConnections is how many connections may be open at once: far more than
	// agents, operators and streams need, and far fewer than file descriptors.
	maxConnections = 4096
	// silentPeer is after what time a connection ends whose other side does not
	// confirm what it was sent, as after it lost its power: without it the kernel
	// goes on for a quarter of an hour.
	silentPeer = time.Minute
)

// Listen opens a TCP address for Serve: with a bound on connections, of which more
// wait in the kernel's queue, and without patience for peers that have vanished.
// For TLS wrap the result, so that what Serve sees is a TLS connection.
func Listen(address string) (net.Listener, error) { return listen(address, maxConnections) }

func listen(address string, most int) (net.Listener, error) {
	cfg := net.ListenConfig{
		Control: func(_, _ string, c syscall.RawConn) error {
			// Accepted connections take it over from their listener.
			var failed error
			err := c.Control(func(fd uintptr) {
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silentPeer.Milliseconds()))
			})
			if err == nil {
				err = failed
			}
			return err
		},
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 3},
	}
	l, err := cfg.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	return &boundedListener{Listener: l, places: make(chan struct{}, most), closed: make(chan struct{})}, nil
}

// boundedListener accepts no connection while all places are taken.
type boundedListener struct {
	net.Listener
	places chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &boundedConn{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	leave func()
}

func (c *boundedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
