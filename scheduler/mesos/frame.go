package mesos

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// maxLengthDigits: 20 digits hold any 64-bit length.
const maxLengthDigits = 20

// keepBuffer is how large a frame's buffer may stay between frames: one giant
// OFFERS event must not pin its memory for ever.
const keepBuffer = 1 << 20

// frameReader reads RecordIO: decimal length, newline, that many bytes. The
// announced length is believed only as far as bytes arrive.
type frameReader struct {
	in    *bufio.Reader
	limit int
	buf   bytes.Buffer
}

func newFrameReader(in io.Reader, limit int) *frameReader {
	return &frameReader{in: bufio.NewReaderSize(in, 64<<10), limit: limit}
}

// ReadFrame returns the next frame, which stays valid until the next call.
// io.EOF means that the stream ended between frames; io.ErrUnexpectedEOF that
// it was cut inside one. It never returns an empty frame: those carry nothing.
func (r *frameReader) ReadFrame() ([]byte, error) {
	for {
		n, err := r.readLength()
		if err != nil {
			return nil, err
		}
		if n > 0 {
			return r.readBody(n)
		}
	}
}

func (r *frameReader) readLength() (int, error) {
	var n uint64
	for digits := 0; ; digits++ {
		c, err := r.in.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) && digits > 0 {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		if c == '\n' && digits > 0 {
			if n > uint64(r.limit) {
				return 0, fmt.Errorf("frame of %d bytes is above the limit of %d; raise the frame limit if the cluster is that large", n, r.limit)
			}
			return int(n), nil
		}
		if c < '0' || c > '9' || digits == maxLengthDigits {
			return 0, fmt.Errorf("stream is not RecordIO: byte %q at position %d of a frame's length", c, digits)
		}
		if n > (1<<64-1-9)/10 {
			return 0, fmt.Errorf("frame length does not fit into 64 bits; the limit is %d bytes", r.limit)
		}
		n = n*10 + uint64(c-'0')
	}
}

func (r *frameReader) readBody(n int) ([]byte, error) {
	if r.buf.Cap() > keepBuffer && n <= keepBuffer {
		r.buf = bytes.Buffer{}
	}
	r.buf.Reset()
	// CopyN grows the buffer as bytes arrive, never by the announced length.
	if got, err := io.CopyN(&r.buf, r.in, int64(n)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("after %d of %d bytes of a frame: %w", got, n, err)
	}
	return r.buf.Bytes(), nil
}

// countingReader counts bytes, so that the watchdog can tell a slow giant frame
// from silence.
type countingReader struct {
	in    io.Reader
	count atomic.Uint64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	r.count.Add(uint64(n))
	return n, err
}

// readFull fills buf or stops at the end of in.
func readFull(in io.Reader, buf []byte) (int, error) {
	n, err := io.ReadFull(in, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}
