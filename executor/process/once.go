package process

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// ErrStopped: it was to stop before it was started.
var ErrStopped = errors.New("it was asked to stop before it was started")

// Once starts at most one process, and none after it was told to stop: a task may
// be killed while what it needs is still being prepared.
type Once struct {
	mu      sync.Mutex
	proc    *Process
	asked   bool
	stopped chan struct{}
}

// NewOnce makes one that has neither started nor stopped.
func NewOnce() *Once { return &Once{stopped: make(chan struct{})} }

// Start starts the process, or is ErrStopped.
func (o *Once) Start(ctx context.Context, c Command) (*Process, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.asked {
		return nil, ErrStopped
	}
	proc, err := Start(ctx, c)
	if err != nil {
		return nil, err
	}
	o.proc = proc
	return proc, nil
}

// Stop asks the process to end within grace, as Process.Stop; it may be called at
// any time and more than once.
func (o *Once) Stop(grace time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.asked {
		o.asked = true
		close(o.stopped)
	}
	if o.proc != nil {
		o.proc.Stop(grace)
	}
}

// Stopped closes with the first Stop.
func (o *Once) Stopped() <-chan struct{} { return o.stopped }

// Asked reports whether Stop was called.
func (o *Once) Asked() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked
}

// Process is what was started, nil before.
func (o *Once) Process() *Process {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.proc
}

// Console output goes to one file, which rotates: at most logSizeMB times
// logBackups and the current one.
const (
	logSizeMB  = 10
	logBackups = 5
)

// Log is a file for a process's console output, below a folder that the process
// itself does not own: there a link could send a privileged executor's writes
// elsewhere. Close it after the process.
func Log(dir, name string) *lumberjack.Logger {
	return &lumberjack.Logger{Filename: filepath.Join(dir, name), MaxSize: logSizeMB, MaxBackups: logBackups}
}
