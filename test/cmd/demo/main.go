// Command demo shows Berth's main job on real parts: an Elasticsearch cluster on
// Mesos, one of its nodes killed and back in place with every document.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/berth"
	"github.com/berthdata/berth/test/rig/documents"
	"github.com/berthdata/berth/test/rig/setup"
	"github.com/berthdata/berth/test/stage"
)

const (
	specFile  = "docs/examples/three-nodes.yaml"
	documentN = 1000
	// limit bounds the demo up to its end; staying up is not counted.
	limit = 10 * time.Minute
)

func main() { stage.Demo(run) }

// show tells what happens, with the time since the start.
type show struct{ began time.Time }

func (s show) say(format string, args ...any) {
	fmt.Printf("[%5.1fs] %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

func run(ctx context.Context, check bool) (err error) {
	s := show{began: time.Now()}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	st, err := stage.Open(bounded, "demo", setup.All(), s.say, os.Stdout)
	defer func() {
		s.say("stopping what the demo started")
		err = errors.Join(err, st.Close())
	}()
	if err != nil {
		return err
	}
	if err := s.mainJob(bounded, st); err != nil {
		return err
	}
	if check {
		return nil
	}
	fmt.Printf("\nEverything stays up until Ctrl-C. Try, in another terminal:\n"+
		"  export BERTH_SERVER=%s\n  %s cluster list\n  %s cluster nodes logs\n  %s events -f\n\n",
		st.Berth.URL(), st.Binaries.Scheduler, st.Binaries.Scheduler, st.Binaries.Scheduler)
	<-ctx.Done()
	return nil
}

// mainJob is the story: apply, green, documents, kill, back in place.
func (s show) mainJob(ctx context.Context, st *stage.Stage) error {
	doc, err := os.ReadFile(specFile)
	if err != nil {
		return err
	}
	const name = "logs"
	if _, err := st.Berth.Apply(ctx, name, string(doc)); err != nil {
		return fmt.Errorf("applying %s: %w", specFile, err)
	}
	s.say("applied     %s", specFile)
	if err := s.follow(ctx, st, name); err != nil {
		return err
	}
	endpoints, err := st.Berth.Endpoints(ctx, name)
	if err != nil {
		return err
	}
	index, err := documents.Open(endpoints.HTTP, "demo")
	if err != nil {
		return err
	}
	if err := index.Create(ctx, 3, 1); err != nil {
		return fmt.Errorf("creating an index: %w", err)
	}
	if err := index.Write(ctx, 0, documentN); err != nil {
		return fmt.Errorf("writing documents: %w", err)
	}
	s.say("indexed     %d documents, 1 replica", documentN)
	if err := s.killOne(ctx, st, name); err != nil {
		return err
	}
	if _, err := st.Berth.WaitPhase(ctx, name, "Ready"); err != nil {
		return err
	}
	count, err := index.Count(ctx)
	if err != nil {
		return err
	}
	if count != documentN {
		return fmt.Errorf("%d documents are left of %d", count, documentN)
	}
	s.say("green again, every one of %d documents is there", count)
	for _, url := range endpoints.HTTP {
		fmt.Println("            " + url)
	}
	return nil
}

// killOne kills a node as a crash would and waits until it is back in place.
func (s show) killOne(ctx context.Context, st *stage.Stage, name string) error {
	nodes, err := st.Berth.Nodes(ctx, name)
	if err != nil {
		return err
	}
	victim := nodes[len(nodes)-1]
	pid, err := berth.KillNode(st.Rig.Dir(), victim.Name)
	if err != nil {
		return err
	}
	s.say("kill -9     %s (pid %d) on %s", victim.Name, pid, victim.Hostname)
	back, err := st.Berth.WaitNode(ctx, name, victim.Name, "healthy in a new life", func(n v1.NodeView) bool {
		return n.Life > victim.Life && n.State == "Healthy"
	})
	if err != nil {
		return err
	}
	if back.AgentID != victim.AgentID || back.VolumeID != victim.VolumeID || back.HTTPPort != victim.HTTPPort {
		return fmt.Errorf("%s came back on %s, volume %s, port %d; it was on %s, volume %s, port %d",
			back.Name, back.Hostname, back.VolumeID, back.HTTPPort, victim.Hostname, victim.VolumeID, victim.HTTPPort)
	}
	s.say("back        %s in place on %s: volume %s, port %d, life %d", back.Name, back.Hostname, back.VolumeID, back.HTTPPort, back.Life)
	return nil
}

// follow prints what changes until the cluster is ready.
func (s show) follow(ctx context.Context, st *stage.Stage, name string) error {
	last := map[string]string{}
	return rig.Eventually(ctx, 100*time.Millisecond, "cluster "+name+" to be green", func(ctx context.Context) error {
		nodes, err := st.Berth.Nodes(ctx, name)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if last[n.Name] != n.State {
				last[n.Name] = n.State
				s.say("            %-16s %-10s %s", n.Name, n.State, n.Hostname)
			}
		}
		view, err := st.Berth.Cluster(ctx, name)
		if err != nil {
			return err
		}
		if view.Status.Phase != "Ready" {
			return fmt.Errorf("it is %s, %s, with %d of %d nodes healthy", view.Status.Phase, view.Status.Health, view.Status.NodesHealthy, view.Status.NodesWanted)
		}
		s.say("%-11s %d nodes, one per machine", view.Status.Health, view.Status.NodesHealthy)
		return nil
	})
}
