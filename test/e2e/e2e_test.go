// Package e2e runs Berth on real Mesos, real ZooKeeper and real Elasticsearch.
package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/berth"
	"github.com/berthdata/berth/test/rig/mesos"
	"github.com/berthdata/berth/test/rig/rigtest"
	"github.com/berthdata/berth/test/rig/setup"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

// spec is a cluster of count nodes, one replica, small enough for any machine.
func spec(name string, count int) string {
	return fmt.Sprintf(`
name: %s
spec:
  version: %s
  replicas: 1
  nodeSets:
    - name: node
      count: %d
      spread: rack
      resources: {cpus: 0.5, memory: 1gb, heap: 256mb}
      storage: {size: 1gb}
      javaOptions: ["-XX:TieredStopAtLevel=1", "-XX:-AlwaysPreTouch"]
`, name, setup.DefaultElasticsearch, count)
}

// world is everything that a test runs against.
type world struct {
	t     *testing.T
	ctx   context.Context
	rig   *rig.Rig
	zk    *zookeeper.Server
	mesos *mesos.Cluster
	berth *berth.Berth
	// binaries are Berth's own programs, for the command line.
	binaries berth.Binaries
}

// threeAgents differ by rack and zone.
var threeAgents = []mesos.AgentOptions{
	{Attributes: "rack:r1;zone:z1"}, {Attributes: "rack:r2;zone:z2"}, {Attributes: "rack:r3;zone:z1"},
}

// newWorld starts ZooKeeper, Mesos and Berth, this with further flags; limit bounds
// the whole test.
func newWorld(t *testing.T, limit time.Duration, o mesos.Options, flags ...string) *world {
	t.Helper()
	return newWorldOf(t, limit, o, setup.All(), flags...)
}

// newWorldOf has the systems that are wanted, and Berth all their versions.
func newWorldOf(t *testing.T, limit time.Duration, o mesos.Options, want setup.Want, flags ...string) *world {
	t.Helper()
	assets := rigtest.Need(t, want)
	w := &world{t: t, ctx: rigtest.Context(t, limit), rig: rigtest.New(t), zk: zookeeper.Run(t, zookeeper.Options{})}
	var err error
	if o.Agents == nil {
		o.Agents = threeAgents
	}
	w.mesos, err = mesos.Start(w.ctx, w.rig, assets.Mesos, o)
	require.NoError(t, err)
	bin, err := w.rig.Mkdir("bin")
	require.NoError(t, err)
	w.binaries, err = berth.Build(w.ctx, bin)
	require.NoError(t, err)
	w.berth, err = berth.Start(w.rig, berth.Options{
		Binaries: w.binaries, Mesos: w.mesos.MasterURL(), ZooKeeper: w.zk.Addr, Elasticsearch: assets.Elasticsearch, Flags: flags,
	})
	require.NoError(t, err)
	require.NoError(t, w.berth.WaitReady(w.ctx))
	return w
}

// apply applies a spec and waits until the cluster is ready.
func (w *world) apply(name string, count int) v1.ClusterView {
	w.t.Helper()
	_, err := w.berth.Apply(w.ctx, name, spec(name, count))
	require.NoError(w.t, err)
	view, err := w.berth.WaitPhase(w.ctx, name, "Ready")
	require.NoError(w.t, err)
	return view
}
