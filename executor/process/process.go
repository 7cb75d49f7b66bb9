// Package process runs a command in a process group of its own and answers for
// all of that group: it is over only when nothing of it is left.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds on the end of a group.
const (
	// reapWithin is how long processes may take to vanish after SIGKILL; only
	// one that hangs in the kernel needs more than a moment.
	reapWithin = 10 * time.Second
	// drainWithin is how long the rest of the output may take after that; it
	// does not end by itself when a process left the group and kept the pipe.
	drainWithin = 2 * time.Second
	reapEvery   = 5 * time.Millisecond
)

// Command is what to run.
type Command struct {
	Path string
	Args []string // without the program's name
	Env  []string // the whole environment
	Dir  string
	// Credential changes the user; nil = as this process.
	Credential *syscall.Credential
	// Files are inherited from descriptor 3 on. Start does not close them.
	Files []*os.File
	// Log takes everything from stdout and stderr. Its errors are ignored: a
	// full disk must not block the process on its own output.
	Log io.Writer
}

// Exit is how a group ended.
type Exit struct {
	Code   int    // of the leader; -1 when a signal ended it
	Signal string // "SIGKILL"; "" when it exited
	Lived  time.Duration
	Forced bool // SIGKILL was sent because the grace period was over
	// Left is set when processes of the group were still there at the end of
	// all patience.
	Left bool
}

func (e Exit) String() string {
	if e.Signal != "" {
		return "was ended by " + e.Signal
	}
	return fmt.Sprintf("exited with code %d", e.Code)
}

// Process is a running group.
type Process struct {
	pid  int
	tail *Tail
	done chan struct{}
	exit Exit // valid once done is closed

	mu       sync.Mutex
	reaped   bool // the leader: its pid may belong to another by now
	stopping bool
	forced   bool
	deadline time.Time
	changed  chan struct{} // 1 deep: deadline or stopping changed
}

// AdoptOrphans makes this process the parent of everything that its children
// leave behind, so that it can wait for all of a group; and keeps those in the
// process tree that the agent kills if this process dies.
func AdoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the parent of orphans: %w", err)
	}
	return nil
}

// Start runs the command. The group gets SIGKILL when ctx ends.
func Start(ctx context.Context, c Command) (*Process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe for the output: %w", err)
	}
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.ExtraFiles = c.Dir, c.Files
	cmd.Env = append([]string{}, c.Env...) // nil would pass on the agent's secrets
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{
		// A group, not a session: the agent's launcher finds what to kill by
		// session, and the node must stay in it.
		Setpgid: true,
		// The leader does not outlive this process, even if the agent is away.
		Pdeathsig:  syscall.SIGKILL,
		Credential: c.Credential,
	}
	p := &Process{tail: newTail(), done: make(chan struct{}), changed: make(chan struct{}, 1)}
	started := make(chan error, 1)
	go p.run(ctx, cmd, r, c.Log, started)
	err = <-started
	_ = w.Close() // the group's copies are what keeps the pipe open
	if err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	return p, nil
}

// Pid is the leader's, and the group's id.
func (p *Process) Pid() int { return p.pid }

// Done closes when nothing of the group is left.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit is how it ended. Call it after Done has closed.
func (p *Process) Exit() Exit { return p.exit }

// Tail holds the last lines of output.
func (p *Process) Tail() *Tail { return p.tail }

// Stop sends SIGTERM to the group, and SIGKILL after grace. Called again, it
// can only shorten the time.
func (p *Process) Stop(grace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	end := time.Now().Add(max(grace, 0))
	if p.stopping && !end.Before(p.deadline) {
		return
	}
	first := !p.stopping
	p.stopping, p.deadline = true, end
	if first && grace > 0 {
		p.signal(syscall.SIGTERM)
	}
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// signal goes to the whole group, unless the leader is reaped: from then on the
// number may be a stranger's. Call with mu held.
func (p *Process) signal(s syscall.Signal) {
	if !p.reaped {
		_ = syscall.Kill(-p.pid, s)
	}
}

// run owns the process. It keeps its thread: the kernel sends Pdeathsig when
// the thread that started the child ends, not the process.
func (p *Process) run(ctx context.Context, cmd *exec.Cmd, r *os.File, log io.Writer, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	// Waiting is done here by group, so the library's handle is not needed.
	_ = cmd.Process.Release()
	started <- nil

	drained := make(chan struct{})
	go func() {
		defer close(drained)
		drain(r, log, p.tail)
	}()
	ended := make(chan struct{})
	enforced := make(chan struct{})
	go func() {
		defer close(enforced)
		p.enforce(ctx, ended)
	}()

	awaitLeader(p.pid)
	close(ended)
	<-enforced
	status, left := p.reap()
	p.exit = Exit{Code: status.ExitStatus(), Lived: time.Since(begin), Left: left, Forced: p.forced}
	if status.Signaled() {
		p.exit.Signal = unix.SignalName(status.Signal())
	}
	select {
	case <-drained:
	case <-time.After(drainWithin):
	}
	_ = r.Close()
	<-drained
	close(p.done)
}

// enforce sends SIGKILL at the deadline of Stop or at the end of ctx.
func (p *Process) enforce(ctx context.Context, ended <-chan struct{}) {
	var due <-chan time.Time
	for {
		select {
		case <-ended:
			return
		case <-p.changed:
			p.mu.Lock()
			due = time.After(time.Until(p.deadline))
			p.mu.Unlock()
			continue
		case <-due:
		case <-ctx.Done():
		}
		p.mu.Lock()
		p.forced = true
		p.signal(syscall.SIGKILL)
		p.mu.Unlock()
		return
	}
}

// awaitLeader returns when the leader has ended, but leaves it unreaped: until
// then its number, which is the group's, cannot be given to anyone else.
func awaitLeader(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// reap kills what the leader left behind and waits until the group is empty. It
// returns the leader's status.
func (p *Process) reap() (status syscall.WaitStatus, left bool) {
	p.mu.Lock()
	p.signal(syscall.SIGKILL)
	p.reaped = true
	p.mu.Unlock()
	tick := time.NewTicker(reapEvery)
	defer tick.Stop()
	for end := time.Now().Add(reapWithin); ; <-tick.C {
		for {
			var s syscall.WaitStatus
			pid, err := syscall.Wait4(-p.pid, &s, syscall.WNOHANG, nil)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if err != nil || pid == 0 {
				break
			}
			if pid == p.pid {
				status = s
			}
		}
		// Signal 0 only asks: members that are not our children have to be
		// waited for by their parents.
		if errors.Is(syscall.Kill(-p.pid, 0), syscall.ESRCH) {
			return status, false
		}
		if time.Now().After(end) {
			return status, true
		}
	}
}
