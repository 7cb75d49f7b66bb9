package zkstore

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy stands between one client and ZooKeeper and does what networks do.
type proxy struct {
	t        *testing.T
	listener net.Listener
	target   string

	mu     sync.Mutex
	cond   *sync.Cond
	closed bool
	away   bool // connections are cut and refused
	frozen bool // connections stay, nothing passes
	// loseReply and loseRequest drop the next large frame in that direction and
	// cut its connection.
	loseReply, loseRequest bool
	conns                  map[net.Conn]bool
	running                sync.WaitGroup
}

// largeFrame tells commits of the tests from proofs, pings and handshakes.
const largeFrame = 1000

func newProxy(t *testing.T, target string) *proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{t: t, listener: listener, target: target, conns: map[net.Conn]bool{}}
	p.cond = sync.NewCond(&p.mu)
	p.running.Go(p.accept)
	t.Cleanup(func() {
		p.set(func() { p.closed, p.away = true, true })
		_ = listener.Close()
		p.running.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// set changes the proxy's mind; going away cuts what is connected.
func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	if p.away {
		for conn := range p.conns {
			_ = conn.Close()
		}
	}
	p.cond.Broadcast()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		if p.away {
			_ = client.Close()
			_ = server.Close()
		} else {
			p.conns[client], p.conns[server] = true, true
			p.running.Go(func() { p.relay(server, client, &p.loseRequest) })
			p.running.Go(func() { p.relay(client, server, &p.loseReply) })
		}
		p.mu.Unlock()
	}
}

// relay passes frames (a big-endian length, then as many bytes) until either end
// closes.
func (p *proxy) relay(to, from net.Conn, lose *bool) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, to)
		delete(p.conns, from)
	}()
	for {
		head := make([]byte, 4)
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		frame := append(head, make([]byte, binary.BigEndian.Uint32(head))...)
		if _, err := io.ReadFull(from, frame[4:]); err != nil {
			return
		}
		if !p.pass(len(frame), lose) {
			return
		}
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

// pass waits while the proxy is frozen and says whether the frame goes on.
func (p *proxy) pass(size int, lose *bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.frozen && !p.closed && !p.away {
		p.cond.Wait()
	}
	if *lose && size > largeFrame {
		*lose = false
		return false
	}
	return true
}
