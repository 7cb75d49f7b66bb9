package process

import (
	"bytes"
	"io"
	"os"
	"sync"
)

// Bounds of what Tail remembers: the lines in which a dying JVM says why.
const (
	tailLines    = 400
	tailLineSize = 2 << 10
)

// Tail keeps the last lines of the output. It is safe for concurrent use.
type Tail struct {
	mu    sync.Mutex
	lines [][]byte // a ring
	next  int
	part  []byte // of a line that has not ended
	skip  bool   // the rest of a line longer than the bound
}

func newTail() *Tail { return &Tail{lines: make([][]byte, 0, tailLines)} }

// Lines returns what is remembered, oldest first, an unfinished line last.
func (t *Tail) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]string, 0, len(t.lines)+1)
	for i := range t.lines {
		out = append(out, string(t.lines[(t.next+i)%len(t.lines)]))
	}
	if len(t.part) > 0 {
		out = append(out, string(t.part))
	}
	return out
}

func (t *Tail) write(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(b) > 0 {
		line, rest, ended := bytes.Cut(b, []byte{'\n'})
		b = rest
		if !t.skip {
			room := tailLineSize - len(t.part)
			t.part = append(t.part, line[:min(room, len(line))]...)
			t.skip = len(line) > room
		}
		if ended {
			t.push()
		}
	}
}

// push ends the line: it takes the place of the oldest one in a full ring.
func (t *Tail) push() {
	t.skip = false
	if len(t.lines) < tailLines {
		t.lines = append(t.lines, t.part)
		t.part = nil
		return
	}
	t.lines[t.next], t.part = t.part, t.lines[t.next][:0]
	t.next = (t.next + 1) % tailLines
}

// drain copies until the pipe ends or is closed under it. It never stops
// reading for a failing log: a process that cannot write its output hangs.
func drain(r *os.File, log io.Writer, tail *Tail) {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			tail.write(buf[:n])
			_, _ = log.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}
