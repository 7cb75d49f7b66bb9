package mesos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berthdata/berth/test/rig"
)

const (
	// every is how often the rig asks a process that offers no event.
	every = 50 * time.Millisecond
	// masterGrace and agentGrace bound an orderly stop.
	masterGrace = 5 * time.Second
	agentGrace  = 15 * time.Second
)

// Cluster is a running Mesos. Its methods may be called from several
// goroutines; those of one Master or Agent from one at a time.
type Cluster struct {
	rig     *rig.Rig
	install Install
	opts    Options
	client  *http.Client

	mu      sync.Mutex
	masters []*Master
	agents  []*Agent
}

// Start starts masters and agents and waits until a master leads and every
// agent is registered. The cluster stops with the rig, agents first and with
// their executors.
func Start(ctx context.Context, r *rig.Rig, install Install, opts Options) (*Cluster, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	c := &Cluster{rig: r, install: install, opts: opts, client: &http.Client{Timeout: 10 * time.Second}}
	r.OnClose("mesos", c.Stop)
	if err := c.startMasters(); err != nil {
		return nil, err
	}
	// Agents find a master that comes up later, so they start at once.
	for _, a := range opts.Agents {
		if _, err := c.AddAgent(a); err != nil {
			return nil, err
		}
	}
	if _, err := c.WaitLeader(ctx); err != nil {
		return nil, err
	}
	if len(opts.ZooKeeper) > 0 {
		if err := c.waitReplicas(ctx); err != nil {
			return nil, err
		}
	}
	return c, c.WaitAgents(ctx, len(opts.Agents))
}

// MasterURL is what a framework is told to find the leading master: zk://… or
// the host:port of the only master.
func (c *Cluster) MasterURL() string {
	if len(c.opts.ZooKeeper) > 0 {
		return "zk://" + strings.Join(c.opts.ZooKeeper, ",") + "/mesos"
	}
	return c.Master().Addr()
}

// Master is the first master, the only one without ZooKeeper.
func (c *Cluster) Master() *Master { return c.Masters()[0] }

// Masters are all masters, running or not.
func (c *Cluster) Masters() []*Master {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.masters)
}

// Agents are all agents, running or not, in the order of their start.
func (c *Cluster) Agents() []*Agent {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.agents)
}

// Agent is the agent of a name or a hostname; nil if there is none.
func (c *Cluster) Agent(name string) *Agent {
	for _, a := range c.Agents() {
		if a.opts.Name == name || a.opts.Hostname == name {
			return a
		}
	}
	return nil
}

// AddAgent starts one more agent, without waiting for its registration.
func (c *Cluster) AddAgent(o AgentOptions) (*Agent, error) {
	c.mu.Lock()
	o.complete(len(c.agents) + 1)
	c.mu.Unlock()
	if c.Agent(o.Name) != nil {
		return nil, fmt.Errorf("mesos: there is an agent %s already", o.Name)
	}
	ports, err := c.rig.Lease(rig.MaxPorts)
	if err != nil {
		return nil, fmt.Errorf("mesos agent %s: %w", o.Name, err)
	}
	port, err := ports.Take()
	if err != nil {
		return nil, err
	}
	o.Resources = withPorts(o.Resources, ports.First+1, ports.Last)
	dir, err := c.rig.Mkdir(o.Name)
	if err != nil {
		return nil, err
	}
	a := &Agent{daemon: daemon{cluster: c, name: o.Name, port: port}, opts: o, dir: dir}
	a.args = a.flags
	if err := a.start(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.agents = append(c.agents, a)
	return a, nil
}

func (c *Cluster) startMasters() error {
	ports, err := c.rig.Lease(c.opts.Masters)
	if err != nil {
		return fmt.Errorf("mesos masters: %w", err)
	}
	flags, err := c.masterFlags()
	if err != nil {
		return err
	}
	for i := range c.opts.Masters {
		name := "master"
		if c.opts.Masters > 1 {
			name = fmt.Sprintf("master%d", i+1)
		}
		port, err := ports.Take()
		if err != nil {
			return err
		}
		dir, err := c.rig.Mkdir(name)
		if err != nil {
			return err
		}
		m := &Master{daemon{cluster: c, name: name, port: port}}
		m.args = func() []string {
			return slices.Concat([]string{"master", "--ip=127.0.0.1", fmt.Sprintf("--port=%d", port), "--work_dir=" + dir},
				flags, c.opts.MasterFlags)
		}
		c.masters = append(c.masters, m)
		if err := m.start(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) masterFlags() ([]string, error) {
	o := c.opts
	flags := []string{
		"--hostname=127.0.0.1",
		// The registry on disk is what makes agents known after a restart.
		"--registry=replicated_log",
		"--allocation_interval=" + duration(o.AllocationInterval),
		"--agent_ping_timeout=" + duration(o.PingTimeout),
		fmt.Sprintf("--max_agent_ping_timeouts=%d", o.PingCount),
	}
	if len(o.ZooKeeper) > 0 {
		flags = append(flags, "--zk="+c.MasterURL(), fmt.Sprintf("--quorum=%d", o.Masters/2+1))
	}
	if len(o.Credentials) > 0 {
		b, err := json.Marshal(map[string]any{"credentials": o.Credentials})
		if err != nil {
			return nil, err
		}
		file := filepath.Join(c.rig.Dir(), "credentials.json")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			return nil, fmt.Errorf("mesos credentials: %w", err)
		}
		flags = append(flags, "--authenticate_http_frameworks", "--http_framework_authenticators=basic", "--credentials="+file)
	}
	if o.ACLs != "" {
		flags = append(flags, "--acls="+o.ACLs)
	}
	return flags, nil
}

// Stop stops agents and their executors, then the masters. Agents that do not
// run have nothing to say: the rig kills their tasks at Close.
func (c *Cluster) Stop(ctx context.Context) error {
	agents := c.Agents()
	errs := make([]error, len(agents))
	var wg sync.WaitGroup
	for i, a := range agents {
		if !a.Running() {
			continue
		}
		wg.Go(func() { errs[i] = errors.Join(a.resumeIfPaused(), a.Leave(ctx)) })
	}
	wg.Wait()
	for _, m := range c.Masters() {
		if m.Running() {
			errs = append(errs, m.resumeIfPaused(), m.Terminate(ctx))
		}
	}
	return errors.Join(errs...)
}
