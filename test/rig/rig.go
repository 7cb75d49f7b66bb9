package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// maxTempDir keeps paths below it within the 107 bytes of a unix socket
	// address and within what old tools accept.
	maxTempDir = 40
	// stopWait bounds one component's orderly stop in Close.
	stopWait = 20 * time.Second
)

// Rig owns a temporary directory, leased ports and processes. Close stops every
// process that was started through the rig, and what those left behind, and
// nothing else.
//
// A rig whose program dies without Close (panic, test timeout, kill -9) still
// takes its processes with it: each one is tied to the program's life by the
// kernel. The methods may be called from several goroutines.
type Rig struct {
	dir     string
	keep    bool
	spawner *spawner

	mu     sync.Mutex
	closed bool
	procs  []*Process
	leases []*Ports
	stops  []stop
}

type stop struct {
	what string
	run  func(context.Context) error
}

// Option changes how New makes a rig.
type Option func(*Rig)

// Keep leaves the directory in place at Close, for a person to read the logs.
// Environment BERTH_TEST_KEEP=1 does the same for every rig.
func Keep() Option { return func(r *Rig) { r.keep = true } }

// New makes a rig in a fresh directory whose name begins with "berth-" and
// name. Other users may traverse and read the directory: Elasticsearch must not
// run as root and needs to reach its files.
func New(name string, opts ...Option) (*Rig, error) {
	base := os.TempDir()
	if len(base) > maxTempDir {
		base = "/tmp"
	}
	dir, err := os.MkdirTemp(base, "berth-"+name+"-")
	if err != nil {
		return nil, fmt.Errorf("rig %s: make its directory: %w", name, err)
	}
	// Sandboxes are found by their path in /proc, where symbolic links are
	// already resolved.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, fmt.Errorf("rig %s: resolve its directory: %w", name, err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, fmt.Errorf("rig %s: open its directory to other users: %w", name, err)
	}
	r := &Rig{dir: dir, keep: os.Getenv("BERTH_TEST_KEEP") == "1", spawner: newSpawner()}
	for _, o := range opts {
		o(r)
	}
	return r, nil
}

// Dir is the rig's directory.
func (r *Rig) Dir() string { return r.dir }

// Mkdir makes a directory below the rig's own, readable by every user, and
// returns its path.
func (r *Rig) Mkdir(elem ...string) (string, error) {
	dir := filepath.Join(append([]string{r.dir}, elem...)...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	return dir, nil
}

// OnClose registers an orderly stop of a component, run at Close in reverse
// order of registration and before what is left is killed. run gets a context
// of 20 s.
func (r *Rig) OnClose(what string, run func(context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stops = append(r.stops, stop{what, run})
}

// Lease leases n free ports until Close; see LeasePorts.
func (r *Rig) Lease(n int) (*Ports, error) {
	p, err := LeasePorts(n)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		p.Release()
		return nil, errors.New("rig: lease ports: the rig is closed")
	}
	r.leases = append(r.leases, p)
	return p, nil
}

// Close stops everything in order, kills what is left, releases the ports and
// removes the directory. It reports components that could not be stopped in
// order and processes that are still there. A second Close does nothing.
func (r *Rig) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	stops, procs, leases := r.stops, r.procs, r.leases
	r.mu.Unlock()

	var errs []error
	for i := len(stops) - 1; i >= 0; i-- {
		ctx, cancel := context.WithTimeout(context.Background(), stopWait)
		if err := stops[i].run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", stops[i].what, err))
		}
		cancel()
	}
	for _, p := range procs {
		if err := p.killGroup(); err != nil {
			errs = append(errs, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	if err := KillStrays(ctx, r.dir); err != nil {
		errs = append(errs, err)
	}
	r.spawner.close()
	for _, l := range leases {
		l.Release()
	}
	if !r.keep {
		if err := os.RemoveAll(r.dir); err != nil {
			errs = append(errs, fmt.Errorf("remove the rig's directory: %w", err))
		}
	}
	return errors.Join(errs...)
}

// BaseEnv is this program's environment without what would change the systems
// under test: Mesos reads every MESOS_* and LIBPROCESS_* variable as a flag, and
// the JVM prints a line per JAVA option variable.
func BaseEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "MESOS_"), strings.HasPrefix(name, "LIBPROCESS_"),
			strings.HasPrefix(name, "ES_"), strings.HasPrefix(name, "BERTH_"):
		case name == "JAVA_TOOL_OPTIONS", name == "_JAVA_OPTIONS", name == "JDK_JAVA_OPTIONS", name == "JAVA_OPTS":
		default:
			env = append(env, kv)
		}
	}
	return env
}
