// Package zkwire keeps, in place of the ZooKeeper client, the zxid up to which the
// client has seen the ensemble's history.
//
// github.com/go-zookeeper/zk reads that number for the watches that it sets again
// on a new connection while the goroutine that receives on this connection may
// write it already. It is a data race, and not a harmless one: a request that is
// answered first moves the number past changes that happened while the client was
// away, and a watch that is set again as of that number never tells of them.
//
// Here each connection knows from its start what was seen on those before it. The
// replies are handed to the client without their zxid, so that it never writes its
// own, and what it sends is completed: LastZxidSeen of the connect request and
// RelativeZxid of setWatches. It rests on two habits of the client: one Write is
// one packet, and a reply's zxid is used for nothing else.
package zkwire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"net"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

// The protocol: a packet is its length and as many bytes, all integers big-endian.
// Offsets count from the length on.
const (
	lengthSize = 4
	// A connect request: protocol version (4), last zxid seen (8), ...
	connectZxid = lengthSize + 4
	// Its response: protocol version (4), timeout (4), session id (8), ...
	responseSession = lengthSize + 8
	// A request: xid (4), operation (4), and for setWatches the relative zxid (8), ...
	requestOp   = lengthSize + 4
	requestZxid = lengthSize + 8
	// A reply: xid (4), zxid (8), error (4), ...
	replyXid  = lengthSize
	replyZxid = lengthSize + 4

	opSetWatches = 101
	zxidSize     = 8
)

// readBuffer holds a few dozen pipelined replies.
const readBuffer = 64 << 10

// History is what one client has seen, over all its connections. The zero value is
// that of a new client.
type History struct{ zxid atomic.Int64 }

// Dialer connects with dial. It is for one zk.Conn only, by zk.WithDialer.
func (h *History) Dialer(dial zk.Dialer) zk.Dialer {
	return func(network, address string, timeout time.Duration) (net.Conn, error) {
		conn, err := dial(network, address, timeout)
		if err != nil {
			return nil, err
		}
		return h.follow(conn), nil
	}
}

// follow starts a connection. The client has read all of the one before by then.
func (h *History) follow(conn net.Conn) *connection {
	return &connection{Conn: conn, history: h, since: h.zxid.Load(), reader: bufio.NewReaderSize(conn, readBuffer)}
}

// connection is one connection of the client. Reads come from one goroutine at a
// time, and so do writes.
type connection struct {
	net.Conn
	history *History
	since   int64 // what was seen before this connection
	greeted bool  // the connect request was written

	reader   *bufio.Reader // spares the client's two small reads for each reply
	answered bool          // the connect response was read
	left     int           // bytes of the packet that is being read
}

// Write takes one packet.
func (c *connection) Write(packet []byte) (int, error) {
	at := 0
	switch {
	case !c.greeted:
		c.greeted, at = true, connectZxid
	case len(packet) >= requestZxid && binary.BigEndian.Uint32(packet[requestOp:]) == opSetWatches:
		at = requestZxid
	}
	if at > 0 && len(packet) >= at+zxidSize {
		packet = bytes.Clone(packet) // a Writer leaves it as it is
		binary.BigEndian.PutUint64(packet[at:], uint64(c.since))
	}
	return c.Conn.Write(packet)
}

func (c *connection) Read(p []byte) (int, error) {
	if c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n, err := c.reader.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// next begins a packet: what its head tells is noted before the client has it.
func (c *connection) next() error {
	length, err := c.reader.Peek(lengthSize)
	if err != nil {
		return err
	}
	size := lengthSize + int(binary.BigEndian.Uint32(length))
	want := replyZxid + zxidSize
	if !c.answered {
		want = responseSession + zxidSize
	}
	head, err := c.reader.Peek(min(size, want))
	if err != nil {
		return err
	}
	c.left = size
	switch {
	case !c.answered:
		c.answered = true
		if len(head) == want && binary.BigEndian.Uint64(head[responseSession:]) == 0 {
			c.history.zxid.Store(0) // the session has expired: the next is a new one
		}
	case len(head) < want || int32(binary.BigEndian.Uint32(head[replyXid:])) < 0:
		// No reply, but a watch's event or the answer to a ping: the client takes
		// nothing of its zxid.
	default:
		zxid := head[replyZxid : replyZxid+zxidSize]
		if seen := int64(binary.BigEndian.Uint64(zxid)); seen > 0 {
			c.history.zxid.Store(seen)
		}
		clear(zxid) // in the buffer that the client is served from
	}
	return nil
}
