package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/berthdata/berth/test/rig"
)

const (
	every     = 100 * time.Millisecond
	stopGrace = 15 * time.Second
	maxAnswer = 16 << 20
)

// Options says what cluster Start makes. The zero value is three nodes named
// NAME-0 to NAME-2 that are master-eligible and hold data.
type Options struct {
	// Name is the cluster's name and that of its directory in the rig; "" is
	// "es".
	Name  string
	Nodes []NodeOptions
	// Heap is -Xms and -Xmx of every node; "" is 256m.
	Heap string
	// Java are further JVM options of every node, such as
	// -XX:TieredStopAtLevel=1 for a faster start.
	Java []string
	// Settings are further lines of elasticsearch.yml.
	Settings []string
}

// NodeOptions says what a node is.
type NodeOptions struct {
	// Name; "" is CLUSTER-NUMBER.
	Name string
	// Roles are "master" and "data"; none is both.
	Roles []string
	// Settings are further lines of the node's elasticsearch.yml.
	Settings []string
}

// Cluster is a running Elasticsearch cluster.
type Cluster struct {
	nodes  []*Node
	client *http.Client
}

// Node is a node of a cluster.
type Node struct {
	rig   *rig.Rig
	files nodeFiles
	proc  *rig.Process
}

// Start starts all nodes at the same moment, each as the unprivileged user, and
// returns without waiting for them; see WaitGreen. They stop with the rig.
func Start(r *rig.Rig, home Home, opts Options) (*Cluster, error) {
	if opts.Name == "" {
		opts.Name = "es"
	}
	if opts.Heap == "" {
		opts.Heap = "256m"
	}
	if len(opts.Nodes) == 0 {
		opts.Nodes = make([]NodeOptions, 3)
	}
	files, err := layOut(r, home, opts)
	if err != nil {
		return nil, fmt.Errorf("elasticsearch %s: %w", opts.Name, err)
	}
	c := &Cluster{client: &http.Client{Timeout: 30 * time.Second}}
	for _, f := range files {
		c.nodes = append(c.nodes, &Node{rig: r, files: f})
	}
	r.OnClose("elasticsearch "+opts.Name, c.Stop)
	for _, n := range c.nodes {
		if err := n.Start(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// layOut gives every node its name, ports and directory.
func layOut(r *rig.Rig, home Home, opts Options) ([]nodeFiles, error) {
	user, err := rig.Unprivileged()
	if err != nil {
		return nil, err
	}
	ports, err := r.Lease(2 * len(opts.Nodes))
	if err != nil {
		return nil, err
	}
	dir, err := r.Mkdir(opts.Name)
	if err != nil {
		return nil, err
	}
	var files []nodeFiles
	var seeds, masters []string
	for i, o := range opts.Nodes {
		f := nodeFiles{
			home: home, cluster: opts.Name, name: o.Name, roles: o.Roles, heap: opts.Heap, java: opts.Java, user: user,
			settings: append(append([]string(nil), opts.Settings...), o.Settings...),
		}
		if f.name == "" {
			f.name = fmt.Sprintf("%s-%d", opts.Name, i)
		}
		if len(f.roles) == 0 {
			f.roles = []string{"master", "data"}
		}
		f.dir = filepath.Join(dir, f.name)
		if f.http, err = ports.Take(); err != nil {
			return nil, err
		}
		if f.transport, err = ports.Take(); err != nil {
			return nil, err
		}
		if f.has("master") {
			seeds = append(seeds, net.JoinHostPort("127.0.0.1", strconv.Itoa(f.transport)))
			masters = append(masters, f.name)
		}
		files = append(files, f)
	}
	if len(masters) == 0 {
		return nil, errors.New("no node is master-eligible")
	}
	for i := range files {
		files[i].seeds, files[i].masters = seeds, masters
	}
	return files, nil
}

// Nodes are all nodes, running or not.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// URLs are the addresses of all nodes.
func (c *Cluster) URLs() []string {
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, n.URL())
	}
	return urls
}

// WaitGreen waits until the cluster has all its running nodes, is green, and
// every node answers. It gives up when a node ends.
func (c *Cluster) WaitGreen(ctx context.Context) error { return c.wait(ctx, "green") }

// WaitYellow is WaitGreen for health yellow or better.
func (c *Cluster) WaitYellow(ctx context.Context) error { return c.wait(ctx, "yellow") }

func (c *Cluster) wait(ctx context.Context, status string) error {
	var running []*Node
	for _, n := range c.nodes {
		if n.proc.Running() {
			running = append(running, n)
		}
	}
	if len(running) == 0 {
		return errors.New("elasticsearch: no node runs")
	}
	return rig.Eventually(ctx, every, "elasticsearch to be "+status, func(ctx context.Context) error {
		for _, n := range running {
			if err := n.proc.Ended(); err != nil {
				return rig.Permanent(err)
			}
		}
		path := fmt.Sprintf("/_cluster/health?wait_for_status=%s&wait_for_nodes=%d&timeout=5s", status, len(running))
		// A node joins before its HTTP interface is open, so each is asked.
		for _, n := range running {
			var h struct {
				Status   string `json:"status"`
				Nodes    int    `json:"number_of_nodes"`
				TimedOut bool   `json:"timed_out"`
			}
			if err := c.get(ctx, n, path, &h); err != nil {
				return fmt.Errorf("%s: %w", n.Name(), err)
			}
			if h.TimedOut || h.Nodes != len(running) {
				return fmt.Errorf("%s: health %s with %d of %d nodes", n.Name(), h.Status, h.Nodes, len(running))
			}
		}
		return nil
	})
}

func (c *Cluster) get(ctx context.Context, n *Node, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL()+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	// A health request that timed out says so in the body.
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusRequestTimeout {
		return fmt.Errorf("%s: %s: %s", req.URL.Path, resp.Status, b)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", req.URL.Path, err)
	}
	return nil
}

// Stop stops all nodes in order.
func (c *Cluster) Stop(ctx context.Context) error {
	errs := make([]error, len(c.nodes))
	var wg sync.WaitGroup
	for i, n := range c.nodes {
		if n.proc != nil {
			wg.Go(func() { errs[i] = n.Stop(ctx) })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Name is the node's name.
func (n *Node) Name() string { return n.files.name }

// URL is the address of the node's HTTP interface.
func (n *Node) URL() string {
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(n.files.http))
}

// Dir is the node's directory, with config, data and logs in it.
func (n *Node) Dir() string { return n.files.dir }

// Process is the node's process; with 8 and later that of the launcher, whose
// end ends the server within seconds.
func (n *Node) Process() *rig.Process { return n.proc }

// Start starts the node, for the first time or again on its data.
func (n *Node) Start() error {
	if n.proc != nil && n.proc.Running() {
		return fmt.Errorf("elasticsearch %s: is running", n.files.name)
	}
	if err := n.files.write(); err != nil {
		return fmt.Errorf("elasticsearch %s: %w", n.files.name, err)
	}
	p, err := n.rig.Start(n.files.command())
	if err != nil {
		return fmt.Errorf("elasticsearch: %w", err)
	}
	n.proc = p
	return nil
}

// Stop stops the node in order.
func (n *Node) Stop(ctx context.Context) error { return n.proc.Stop(ctx, syscall.SIGTERM, stopGrace) }

// Kill9 kills the server as a crash would and waits for the end of both it and
// the launcher.
func (n *Node) Kill9(ctx context.Context) error {
	b, err := os.ReadFile(n.files.path("pid"))
	if err != nil {
		return fmt.Errorf("elasticsearch %s: its pid is not known yet: %w", n.files.name, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return fmt.Errorf("elasticsearch %s: pid file: %w", n.files.name, err)
	}
	if n.proc.Running() {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("elasticsearch %s: kill server %d: %w", n.files.name, pid, err)
		}
	}
	return n.proc.Kill9(ctx)
}
