package mesos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/berthdata/berth/test/rig"
)

// daemon is what a master and an agent have in common: a process on a port that
// can be ended and started again with the same flags and directory.
type daemon struct {
	cluster *Cluster
	name    string
	port    int
	args    func() []string

	proc   *rig.Process
	paused bool
}

func (d *daemon) start() error {
	if d.Running() {
		return fmt.Errorf("mesos %s: is running", d.name)
	}
	p, err := d.cluster.rig.Start(rig.Command{Name: d.name, Path: d.cluster.install.mesosd(), Args: d.args()})
	if err != nil {
		return fmt.Errorf("mesos: %w", err)
	}
	d.proc, d.paused = p, false
	return nil
}

// Name is the name in the rig.
func (d *daemon) Name() string { return d.name }

// Addr is host:port of the HTTP endpoints.
func (d *daemon) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(d.port)) }

// URL is the base address of the HTTP endpoints.
func (d *daemon) URL() string { return "http://" + d.Addr() }

// Running tells whether the process is there, be it paused.
func (d *daemon) Running() bool { return d.proc != nil && d.proc.Running() }

// Process is the current process, or the last one.
func (d *daemon) Process() *rig.Process { return d.proc }

// Start starts the process again on the same port and directory, without
// waiting for it to answer.
func (d *daemon) Start() error { return d.start() }

// Kill9 kills the process as a crash would. Tasks of an agent go on running.
func (d *daemon) Kill9(ctx context.Context) error { return d.proc.Kill9(ctx) }

// Terminate ends the process with SIGTERM. An agent keeps its id and its tasks
// go on running, as in an upgrade of Mesos.
func (d *daemon) Terminate(ctx context.Context) error {
	return d.proc.Stop(ctx, syscall.SIGTERM, masterGrace)
}

// Pause makes the process hang: it keeps its connections and answers nothing.
func (d *daemon) Pause() error {
	d.paused = true
	return d.proc.Pause()
}

// Resume ends Pause.
func (d *daemon) Resume() error {
	d.paused = false
	return d.proc.Resume()
}

func (d *daemon) resumeIfPaused() error {
	if !d.paused {
		return nil
	}
	return d.Resume()
}

// Master is one Mesos master.
type Master struct{ daemon }

// Agent is one Mesos agent.
type Agent struct {
	daemon
	opts AgentOptions
	dir  string
}

// Options are what the agent was last started with.
func (a *Agent) Options() AgentOptions { return a.opts }

// Hostname is the host that offers show.
func (a *Agent) Hostname() string { return a.opts.Hostname }

// WorkDir is the agent's work directory, with sandboxes and volumes in it.
func (a *Agent) WorkDir() string { return filepath.Join(a.dir, "work") }

// Configure changes the options of an agent that does not run; Start uses them.
// Mesos refuses changed attributes or resources without ForgetID or the flag
// --reconfiguration_policy=additive.
func (a *Agent) Configure(change func(*AgentOptions)) error {
	if a.Running() {
		return fmt.Errorf("mesos %s: cannot be configured while it runs", a.name)
	}
	change(&a.opts)
	return nil
}

// Leave ends the agent in order (SIGUSR1): it shuts its executors down and
// unregisters, and comes back under a new id.
func (a *Agent) Leave(ctx context.Context) error {
	return a.proc.Stop(ctx, syscall.SIGUSR1, agentGrace)
}

// PowerOff ends the agent and everything that runs below it at once, as a
// machine that loses power. Start is then the machine after its boot: the agent
// keeps its id and knows that its tasks are gone (Mesos rule 48).
func (a *Agent) PowerOff(ctx context.Context) error {
	if err := a.proc.Kill9(ctx); err != nil {
		return err
	}
	if err := rig.KillStrays(ctx, a.dir); err != nil {
		return fmt.Errorf("mesos %s: %w", a.name, err)
	}
	// By this file the agent sees that the machine was booted in between.
	boot := filepath.Join(a.WorkDir(), "meta", "boot_id")
	if _, err := os.Stat(boot); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.WriteFile(boot, []byte("another-boot"), 0o644); err != nil {
		return fmt.Errorf("mesos %s: %w", a.name, err)
	}
	return nil
}

// ForgetID makes an agent that does not run come back under a new id, with its
// dynamic reservations and persistent volumes. Tasks that survived the agent
// are killed: a new agent would not know them.
func (a *Agent) ForgetID(ctx context.Context) error {
	if a.Running() {
		return fmt.Errorf("mesos %s: its id cannot be changed while it runs", a.name)
	}
	if err := rig.KillStrays(ctx, a.dir); err != nil {
		return fmt.Errorf("mesos %s: %w", a.name, err)
	}
	latest := filepath.Join(a.WorkDir(), "meta", "slaves", "latest")
	if err := os.Remove(latest); err != nil {
		return fmt.Errorf("mesos %s: forget its id: %w", a.name, err)
	}
	return nil
}

// Wipe empties the disk of an agent that does not run: the machine was
// replaced.
func (a *Agent) Wipe(ctx context.Context) error {
	if a.Running() {
		return fmt.Errorf("mesos %s: cannot be wiped while it runs", a.name)
	}
	if err := rig.KillStrays(ctx, a.dir); err != nil {
		return fmt.Errorf("mesos %s: %w", a.name, err)
	}
	if err := os.RemoveAll(a.WorkDir()); err != nil {
		return fmt.Errorf("mesos %s: wipe: %w", a.name, err)
	}
	return nil
}

func (a *Agent) flags() []string {
	c := a.cluster
	flags := []string{"agent",
		"--master=" + c.MasterURL(), "--ip=127.0.0.1", fmt.Sprintf("--port=%d", a.port), "--hostname=" + a.opts.Hostname,
		"--resources=" + a.opts.Resources,
		"--work_dir=" + a.WorkDir(), "--runtime_dir=" + filepath.Join(a.dir, "run"), "--fetcher_cache_dir=" + filepath.Join(a.dir, "fetch"),
		"--launcher_dir=" + c.install.bin(),
		// Neither cgroups nor systemd are needed, so any user can run it.
		"--launcher=posix", "--isolation=posix/cpu,posix/mem", "--no-systemd_enable_support",
		"--registration_backoff_factor=200ms", "--recovery_timeout=1mins",
	}
	if a.opts.Attributes != "" {
		flags = append(flags, "--attributes="+a.opts.Attributes)
	}
	if os.Geteuid() != 0 {
		flags = append(flags, "--no-switch_user") // only root can
	}
	return slices.Concat(flags, c.opts.AgentFlags, a.opts.Flags)
}
