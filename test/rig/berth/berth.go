// Package berth builds this project's own programs and runs its scheduler as a
// process of a rig, for end-to-end tests, benchmarks and the demo.
package berth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/elasticsearch"
	"github.com/berthdata/berth/test/rig/spark"
)

// Binaries are the two programs.
type Binaries struct{ Scheduler, Executor string }

// Build compiles both programs into dir, the executor as a static binary.
func Build(ctx context.Context, dir string) (Binaries, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("finding the module: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", dir+string(filepath.Separator), "./cmd/berth", "./cmd/berth-executor")
	cmd.Dir = strings.TrimSpace(string(root))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return Binaries{}, fmt.Errorf("building Berth: %w\n%s", err, out)
	}
	b := Binaries{Scheduler: filepath.Join(dir, "berth"), Executor: filepath.Join(dir, "berth-executor")}
	for _, path := range []string{b.Scheduler, b.Executor} {
		// Agents serve and run these as another user.
		if err := os.Chmod(path, 0o755); err != nil {
			return Binaries{}, err
		}
	}
	return b, nil
}

// Options say how a scheduler is run.
type Options struct {
	Binaries Binaries
	// Name names the process; "" is "berth".
	Name string
	// Mesos is the masters' address, ZooKeeper the state's.
	Mesos, ZooKeeper string
	Elasticsearch    map[string]elasticsearch.Home
	// Spark are distributions, and SparkBackend the jar for their drivers: none,
	// and Berth runs no applications.
	Spark        map[string]spark.Home
	SparkBackend string
	// Port of the API; 0 leases one.
	Port int
	// SessionTimeout of ZooKeeper; 0 is Berth's default.
	SessionTimeout time.Duration
	// Flags are further flags.
	Flags []string
}

// Berth is one scheduler process with a client for it.
type Berth struct {
	*client.Client
	rig  *rig.Rig
	cmd  rig.Command
	proc *rig.Process
	url  string
}

// Start starts a scheduler, without waiting for it.
func Start(r *rig.Rig, o Options) (*Berth, error) {
	port := o.Port
	if port == 0 {
		ports, err := r.Lease(1)
		if err != nil {
			return nil, err
		}
		if port, err = ports.Take(); err != nil {
			return nil, err
		}
	}
	if o.Name == "" {
		o.Name = "berth"
	}
	args := []string{
		"scheduler", fmt.Sprintf("--listen=127.0.0.1:%d", port), "--mesos=" + o.Mesos, "--zookeeper=" + o.ZooKeeper,
		"--log-level=debug", "--kill-grace=20s",
	}
	nodeUser, err := rig.Unprivileged()
	if err != nil {
		return nil, err
	}
	if nodeUser != nil {
		args = append(args, "--mesos-user=root", "--node-user="+nodeUser.Name, "--spark-user="+nodeUser.Name)
	}
	if o.SessionTimeout > 0 {
		args = append(args, "--session-timeout="+o.SessionTimeout.String())
	}
	for _, v := range slices.Sorted(maps.Keys(o.Elasticsearch)) {
		args = append(args, fmt.Sprintf("--elasticsearch=%s=home=%s,javaHome=%s", v, o.Elasticsearch[v].Dir, o.Elasticsearch[v].Java.Home))
	}
	for _, v := range slices.Sorted(maps.Keys(o.Spark)) {
		args = append(args, fmt.Sprintf("--spark=%s=home=%s,javaHome=%s", v, o.Spark[v].Dir, o.Spark[v].Java.Home))
	}
	if o.SparkBackend != "" {
		args = append(args, "--spark-backend="+o.SparkBackend)
	}
	b := &Berth{
		rig: r, url: fmt.Sprintf("http://127.0.0.1:%d", port),
		cmd: rig.Command{Name: o.Name, Path: o.Binaries.Scheduler, Args: append(args, o.Flags...), Env: cleanEnv()},
	}
	if b.Client, err = client.New(client.Options{Server: b.url}); err != nil {
		return nil, err
	}
	return b, b.Restart()
}

// cleanEnv keeps the caller's own BERTH_ settings away from the scheduler.
func cleanEnv() []string {
	var env []string
	for _, kv := range rig.BaseEnv() {
		if !strings.HasPrefix(kv, "BERTH_") {
			env = append(env, kv)
		}
	}
	return env
}

// URL is the API's base URL.
func (b *Berth) URL() string { return b.url }

// Process is the current process, or the last one.
func (b *Berth) Process() *rig.Process { return b.proc }

// Restart starts the process again with the same arguments.
func (b *Berth) Restart() error {
	var err error
	b.proc, err = b.rig.Start(b.cmd)
	return err
}

// Stop hands over and waits for the end of the process.
func (b *Berth) Stop(ctx context.Context) error {
	return b.proc.Stop(ctx, syscall.SIGTERM, 20*time.Second)
}

// WaitReady waits until the scheduler leads, has its state and is subscribed.
func (b *Berth) WaitReady(ctx context.Context) error {
	return rig.Eventually(ctx, 50*time.Millisecond, "Berth to be ready", func(ctx context.Context) error {
		if err := b.proc.Ended(); err != nil {
			return rig.Permanent(err)
		}
		r, err := b.Readiness(ctx)
		if err != nil {
			return err
		}
		if !r.Ready {
			return fmt.Errorf("%s: %v", r.Phase, r.Checks)
		}
		return nil
	})
}

// WaitLeader waits until one of several, other than not, leads and is subscribed.
func WaitLeader(ctx context.Context, berths []*Berth, not *Berth) (*Berth, error) {
	var leader *Berth
	err := rig.Eventually(ctx, 20*time.Millisecond, "a leading Berth", func(ctx context.Context) error {
		for _, b := range berths {
			if b == not || !b.Process().Running() {
				continue
			}
			asked, cancel := context.WithTimeout(ctx, time.Second)
			r, err := b.Readiness(asked)
			cancel()
			if err == nil && r.Ready {
				leader = b
				return nil
			}
		}
		return errors.New("none leads")
	})
	return leader, err
}

// Apply sends a spec as YAML.
func (b *Berth) Apply(ctx context.Context, name, doc string) (v1.Accepted, error) {
	return b.PutCluster(ctx, name, []byte(doc), client.TypeYAML, client.PutOptions{})
}

// WaitPhase waits until a cluster is in a phase at its newest generation.
func (b *Berth) WaitPhase(ctx context.Context, name, phase string) (v1.ClusterView, error) {
	var view v1.ClusterView
	err := rig.Eventually(ctx, 100*time.Millisecond, fmt.Sprintf("cluster %s to be %s", name, phase), func(ctx context.Context) error {
		var err error
		if view, err = b.Cluster(ctx, name); err != nil {
			return err
		}
		if view.Status.Phase != phase || view.Status.ObservedGeneration != view.Generation && phase == "Ready" {
			return fmt.Errorf("it is %s (%s), %d of %d nodes healthy: %v", view.Status.Phase, view.Status.Health, view.Status.NodesHealthy, view.Status.NodesWanted, view.Status.InProgress)
		}
		return nil
	})
	return view, err
}

// WaitGone waits until a cluster's record is gone.
func (b *Berth) WaitGone(ctx context.Context, name string) error {
	return rig.Eventually(ctx, 100*time.Millisecond, "cluster "+name+" to be gone", func(ctx context.Context) error {
		view, err := b.Cluster(ctx, name)
		var p *v1.Problem
		if errors.As(err, &p) && p.Status == http.StatusNotFound {
			return nil
		}
		if err != nil {
			return err
		}
		return fmt.Errorf("it is %s: %v", view.Status.Phase, view.Status.InProgress)
	})
}

// Node finds one node of a cluster by name.
func (b *Berth) Node(ctx context.Context, cluster, name string) (v1.NodeView, error) {
	nodes, err := b.Nodes(ctx, cluster)
	if err != nil {
		return v1.NodeView{}, err
	}
	for _, n := range nodes {
		if n.Name == name {
			return n, nil
		}
	}
	return v1.NodeView{}, fmt.Errorf("cluster %s has no node %s", cluster, name)
}

// WaitNode waits until a node satisfies a condition.
func (b *Berth) WaitNode(ctx context.Context, cluster, name, what string, ok func(v1.NodeView) bool) (v1.NodeView, error) {
	var node v1.NodeView
	err := rig.Eventually(ctx, 100*time.Millisecond, fmt.Sprintf("node %s to be %s", name, what), func(ctx context.Context) error {
		var err error
		if node, err = b.Node(ctx, cluster, name); err != nil {
			return err
		}
		if !ok(node) {
			return fmt.Errorf("it is %s, life %d, %s", node.State, node.Life, node.Message)
		}
		return nil
	})
	return node, err
}
