// Package stage sets up everything that a person is shown: ZooKeeper, Mesos with
// three different agents and a Berth, all as processes of one rig.
package stage

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/berth"
	"github.com/berthdata/berth/test/rig/mesos"
	"github.com/berthdata/berth/test/rig/setup"
	"github.com/berthdata/berth/test/rig/spark"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

// Stage is a running set of systems.
type Stage struct {
	Rig       *rig.Rig
	Assets    setup.Assets
	ZooKeeper *zookeeper.Server
	Mesos     *mesos.Cluster
	Berth     *berth.Berth
	Binaries  berth.Binaries
}

// Agents are three agents that differ by rack and zone.
var Agents = []mesos.AgentOptions{
	{Attributes: "rack:r1;zone:z1", Resources: "cpus:2;mem:4096;disk:20480"},
	{Attributes: "rack:r2;zone:z2", Resources: "cpus:2;mem:4096;disk:20480"},
	{Attributes: "rack:r3;zone:z1", Resources: "cpus:2;mem:4096;disk:20480"},
}

// Open starts everything and waits until Berth is ready, which runs what is wanted
// of Elasticsearch and Spark; each step is told to say. Close the stage at the end,
// whatever Open returned.
func Open(ctx context.Context, name string, want setup.Want, say func(format string, args ...any), log io.Writer) (*Stage, error) {
	s := &Stage{}
	var err error
	if s.Assets, err = setup.Prepare(ctx, want, log); err != nil {
		return s, err
	}
	var backend string
	if len(want.Spark) > 0 {
		if backend, err = spark.Backend(ctx); err != nil {
			return s, err
		}
	}
	if s.Rig, err = rig.New(name); err != nil {
		return s, err
	}
	bin, err := s.Rig.Mkdir("bin")
	if err != nil {
		return s, err
	}
	if s.Binaries, err = berth.Build(ctx, bin); err != nil {
		return s, err
	}
	// The rig's directory is gone when zookeeper is closed with it.
	os.Setenv(zookeeper.ClasspathVariable, s.Assets.ZooKeeperClasspath)
	if s.ZooKeeper, err = zookeeper.Start(ctx, zookeeper.Options{Dir: filepath.Join(s.Rig.Dir(), "zookeeper")}); err != nil {
		return s, fmt.Errorf("starting ZooKeeper: %w", err)
	}
	say("ZooKeeper   %s", s.ZooKeeper.Addr)
	if s.Mesos, err = mesos.Start(ctx, s.Rig, s.Assets.Mesos, mesos.Options{Agents: Agents}); err != nil {
		return s, fmt.Errorf("starting Mesos: %w", err)
	}
	say("Mesos       http://%s with %d agents", s.Mesos.MasterURL(), len(Agents))
	s.Berth, err = berth.Start(s.Rig, berth.Options{
		Binaries: s.Binaries, Mesos: s.Mesos.MasterURL(), ZooKeeper: s.ZooKeeper.Addr, Elasticsearch: s.Assets.Elasticsearch,
		Spark: s.Assets.Spark, SparkBackend: backend,
	})
	if err != nil {
		return s, fmt.Errorf("starting Berth: %w", err)
	}
	if err := s.Berth.WaitReady(ctx); err != nil {
		return s, err
	}
	say("Berth       %s", s.Berth.URL())
	return s, nil
}

// Close stops everything that the stage started, and nothing else.
func (s *Stage) Close() error {
	var errs []error
	if s.Rig != nil {
		if err := s.Rig.Close(); err != nil {
			errs = append(errs, err)
		}
	}
	if s.ZooKeeper != nil {
		if err := s.ZooKeeper.Close(); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("stopping: %v", errs)
	}
	return nil
}
