package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/host"
	"github.com/berthdata/berth/executor/process"
	"github.com/berthdata/berth/executor/render"
	"github.com/berthdata/berth/executor/workload"
)

// logFile has the node's console output. It lies in the sandbox, outside the
// node's own folders.
const logFile = "elasticsearch.log"

// Node runs one Elasticsearch node once.
type Node struct {
	launch executor.Launch
	es     *executor.Elasticsearch
	env    workload.Env
	pace   pace
	once   *process.Once

	mu     sync.Mutex
	config string        // the node's config folder, once prepared
	who    host.Identity // its owner
	seeds  []string      // as last told; nil = not told
}

// New makes a Node for a launch document of kind "elasticsearch".
func New(l executor.Launch, env workload.Env) workload.Runner { return newNode(l, env, defaultPace) }

func newNode(l executor.Launch, env workload.Env, p pace) *Node {
	return &Node{launch: l, es: l.Elasticsearch, env: env, pace: p, once: process.NewOnce()}
}

var _ workload.New = New

// Stop implements workload.Runner.
func (n *Node) Stop(grace time.Duration) { n.once.Stop(grace) }

// Run implements workload.Runner.
func (n *Node) Run(ctx context.Context, emit func(workload.Status)) workload.Exit {
	begin := time.Now()
	plan, err := n.prepare(ctx)
	if plan.volume != nil {
		defer plan.volume.Release()
	}
	if err != nil {
		return workload.NotStarted(n.what(), err)
	}
	log := process.Log(n.env.Sandbox, logFile)
	defer log.Close()
	plan.command.Log = log
	proc, err := n.once.Start(ctx, plan.command)
	if err != nil {
		return workload.NotStarted(n.what(), err)
	}
	n.env.Log.Info("node started", zap.Int("pid", proc.Pid()), zap.Duration("prepared_in", time.Since(begin)))
	emit(workload.Status{
		Message: fmt.Sprintf("process %d started", proc.Pid()),
		Report:  executor.Report{Phase: executor.PhaseStarting},
	})
	n.attend(ctx, proc, plan.volume, emit)

	exit, lines := proc.Exit(), proc.Tail().Lines()
	r := executor.Report{Phase: executor.PhaseExited, ExitCode: exit.Code, Signal: exit.Signal}
	if !n.once.Asked() {
		r.Cause = process.LikelyCause(causes, lines, exit)
		return workload.Exit{Report: r, Message: process.Epitaph(n.what(), exit, r.Cause, lines)}
	}
	return workload.Exit{Report: r, Message: process.Epitaph(n.what(), exit, "", nil)}
}

// attend watches the process until its group is gone.
func (n *Node) attend(ctx context.Context, proc *process.Process, v *host.Volume, emit func(workload.Status)) {
	watching, end := context.WithCancel(ctx)
	defer end()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		n.watch(watching, v, emit)
	}()
	select {
	case <-proc.Done():
		end()
		<-watched
		return
	case <-n.once.Stopped():
	}
	end()
	<-watched
	emit(workload.Status{Message: "the node is stopping", Report: executor.Report{Phase: executor.PhaseStopping}})
	<-proc.Done()
}

func (n *Node) what() string { return "node " + n.es.NodeName }

// plan is what prepare found and made.
type plan struct {
	volume  *host.Volume
	command process.Command
}

func (n *Node) prepare(ctx context.Context) (plan, error) {
	var p plan
	who, err := host.ResolveUser(n.launch.User)
	if err != nil {
		return p, err
	}
	dist, err := inspect(n.es, n.env.Sandbox)
	if err != nil {
		return p, err
	}
	es := *n.es
	volumeDir := ""
	if es.DataPath != "" {
		// The volume is a link in the sandbox, or a mount: the node is told the
		// place itself, which some versions' file checks insist on.
		if volumeDir, err = filepath.EvalSymlinks(filepath.Join(n.env.Sandbox, es.DataPath)); err != nil {
			return p, fmt.Errorf("volume: %w", err)
		}
		p.volume, err = host.OpenVolume(ctx, volumeDir, host.Marker{Cluster: es.ClusterName, Node: es.NodeName, ClusterUUID: es.ClusterUUID})
		if err != nil {
			return p, err
		}
		p.command.Files = []*os.File{p.volume.Lock()}
		if p.volume.ClusterUUID() != "" && len(es.InitialMasters) > 0 {
			n.env.Log.Warn("the volume has been in a cluster before: initial masters are left out",
				zap.String("cluster_uuid", p.volume.ClusterUUID()))
			es.InitialMasters = nil
		}
	}
	paths := layout(&es, n.env.Sandbox, volumeDir)
	out, err := render.Render(render.Input{Node: &es, Paths: paths, Distribution: dist, Host: hostFacts()})
	if err != nil {
		return p, err
	}
	if err := prepare(paths, dist, out, who); err != nil {
		return p, err
	}
	n.mu.Lock()
	n.config, n.who = paths.Config, who
	if n.seeds != nil {
		n.writeSeeds()
	}
	n.mu.Unlock()
	host.RaiseLimits()
	p.command.Path, p.command.Args, p.command.Dir = out.Path, out.Args, paths.Home
	p.command.Env = append(out.Env, "PATH="+host.Path())
	p.command.Credential = who.Credential
	return p, nil
}

var _ workload.Listener = (*Node)(nil)

// Tell implements workload.Listener: it replaces the seed hosts, which a node
// from 6.8 on reads again whenever it looks for a master. An empty list is no
// news: it could only make the node forget whom it knows.
func (n *Node) Tell(m executor.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(m.SeedHosts) == 0 || slices.Equal(m.SeedHosts, n.seeds) {
		return
	}
	n.seeds = m.SeedHosts
	if n.config != "" {
		n.writeSeeds()
	}
}

// writeSeeds replaces the file in one step: the node may read it at any moment.
// The caller holds mu.
func (n *Node) writeSeeds() {
	if v, err := render.ParseVersion(n.es.Version); err != nil || !v.RereadsSeeds() {
		return
	}
	path := filepath.Join(n.config, render.SeedsFile)
	fresh := path + ".new"
	err := host.WriteFile(fresh, []byte(render.Seeds(n.seeds)), 0o640, n.who)
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		n.env.Log.Warn("the seed hosts could not be written; the node keeps those it has", zap.Error(err))
		return
	}
	n.env.Log.Info("seed hosts", zap.Strings("hosts", n.seeds))
}

// Preview renders what Run would write and run, for people to look at. It reads
// the distribution on this machine and writes nothing.
func Preview(l executor.Launch, sandbox string) (render.Output, error) {
	dist, err := inspect(l.Elasticsearch, sandbox)
	if err != nil {
		return render.Output{}, err
	}
	paths := layout(l.Elasticsearch, sandbox, filepath.Join(sandbox, l.Elasticsearch.DataPath))
	return render.Render(render.Input{Node: l.Elasticsearch, Paths: paths, Distribution: dist, Host: hostFacts()})
}
