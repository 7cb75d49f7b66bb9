package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tailBytes is how much of a log an error quotes.
const tailBytes = 4 << 10

// Command says what to run as a process of a rig.
type Command struct {
	// Name is shown in errors and names the log, NAME.log in the rig's
	// directory. Starting the same name again appends to that log.
	Name string
	Path string
	Args []string
	// Env is the whole environment; nil is BaseEnv.
	Env []string
	// Dir is the working directory; "" is the rig's directory.
	Dir string
	// User runs the process as another user; nil is the current one.
	User *User
}

// Process is a running or ended process of a rig, leader of its own session and
// process group. Standard output and error go to its log.
type Process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; read after done
}

// Start runs a command. The process lives until it ends by itself, is stopped,
// or the rig closes; ctx of the caller plays no part in its life.
func (r *Rig) Start(c Command) (*Process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fmt.Errorf("start %s: the rig is closed", c.Name)
	}
	logPath := filepath.Join(r.dir, c.Name+".log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	defer log.Close()

	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Env = c.Dir, c.Env
	if cmd.Dir == "" {
		cmd.Dir = r.dir
	}
	if cmd.Env == nil {
		cmd.Env = BaseEnv()
	}
	// The mark by which Strays knows descendants of this process.
	cmd.Env = append(slices.Clone(cmd.Env), "BERTH_RIG="+r.dir)
	cmd.Stdout, cmd.Stderr = log, log
	// A session of its own keeps the terminal's Ctrl-C away: the rig's owner
	// decides the order in which things stop.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if c.User != nil {
		cmd.SysProcAttr.Credential = c.User.credential()
	}

	p := &Process{name: c.Name, log: logPath, cmd: cmd, done: make(chan struct{})}
	if err := r.spawner.run(cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	r.procs = append(r.procs, p)
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// Name is the command's name.
func (p *Process) Name() string { return p.name }

// PID is the process id, which is also its process group and session.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is the path of the log.
func (p *Process) Log() string { return p.log }

// Done is closed when the process has ended and been reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running tells whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Ended returns nil while the process runs, and afterwards an error that says
// how it ended and quotes the end of its log. Checks of Eventually use it to
// give up early.
func (p *Process) Ended() error {
	if p.Running() {
		return nil
	}
	return fmt.Errorf("%s ended: %s; end of %s:\n%s", p.name, p.cmd.ProcessState, p.log, p.Tail())
}

// Tail is the last 4 KiB of the log.
func (p *Process) Tail() string { return Tail(p.log) }

// Tail is the last 4 KiB of a file, whole lines only, or the reason why it
// cannot be read.
func Tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	cut := false
	if st, err := f.Stat(); err == nil && st.Size() > tailBytes {
		_, err = f.Seek(-tailBytes, io.SeekEnd)
		cut = err == nil
	}
	b, err := io.ReadAll(io.LimitReader(f, tailBytes))
	if err != nil {
		return err.Error()
	}
	s := string(b)
	if cut {
		_, s, _ = strings.Cut(s, "\n")
	}
	return strings.TrimRight(s, "\n")
}

// Signal sends a signal to the process itself. A process that has ended is
// os.ErrProcessDone.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("%s: %s: %w", p.name, sig, err)
	}
	return nil
}

// Kill9 kills the process, but not its children, with SIGKILL, as a crash
// would, and waits for its end.
func (p *Process) Kill9(ctx context.Context) error {
	if err := p.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.wait(ctx)
}

// Stop sends sig and waits for the end; when grace or ctx is over first, it
// kills the process group and says so.
func (p *Process) Stop(ctx context.Context, sig syscall.Signal, grace time.Duration) error {
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := p.wait(ctx); err != nil {
		return errors.Join(fmt.Errorf("%s: did not end within %s of %s, killed", p.name, grace, sig), p.killGroup())
	}
	return nil
}

// Pause stops the process's clock (SIGSTOP): it keeps its connections and
// answers nothing, as a machine that hangs.
func (p *Process) Pause() error {
	if !p.Running() {
		return os.ErrProcessDone
	}
	return Freeze(p.PID())
}

// Resume ends Pause.
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }

func (p *Process) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: wait for its end: %w", p.name, ctx.Err())
	}
}

// killGroup kills what is left of the process group and waits for the leader.
func (p *Process) killGroup() error {
	if p.Running() {
		// The leader is not reaped yet, so its pid cannot be another's.
		if err := syscall.Kill(-p.PID(), syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("%s: kill its process group: %w", p.name, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	return p.wait(ctx)
}

// spawner starts processes from one thread that lives as long as the rig: the
// kernel ties Pdeathsig to the thread that forked, not to the program.
type spawner struct {
	calls chan func()
	once  sync.Once
}

func newSpawner() *spawner {
	s := &spawner{calls: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for f := range s.calls {
			f()
		}
	}()
	return s
}

func (s *spawner) run(f func() error) error {
	res := make(chan error, 1)
	s.calls <- func() { res <- f() }
	return <-res
}

func (s *spawner) close() { s.once.Do(func() { close(s.calls) }) }
