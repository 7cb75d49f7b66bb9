package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/berth"
	"github.com/berthdata/berth/test/rig/mesos"
	"github.com/berthdata/berth/test/rig/rigtest"
	"github.com/berthdata/berth/test/rig/setup"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

// session is the ZooKeeper session timeout of the Berths below, which is when a
// crashed leader is replaced.
const session = 4 * time.Second

// trio is three Berths on three ZooKeepers and three masters.
type trio struct {
	*world
	berths []*berth.Berth
}

func newTrio(t *testing.T) *trio {
	t.Helper()
	assets := rigtest.Need(t, setup.All())
	ensemble := zookeeper.RunEnsemble(t, zookeeper.Options{Tick: 500 * time.Millisecond})
	w := &trio{world: &world{t: t, ctx: rigtest.Context(t, 7*time.Minute), rig: rigtest.New(t)}}
	var servers []string
	for _, s := range ensemble.Servers {
		servers = append(servers, s.Addr)
	}
	var err error
	w.mesos, err = mesos.Start(w.ctx, w.rig, assets.Mesos, mesos.Options{
		Agents: []mesos.AgentOptions{{Attributes: "rack:r1"}, {Attributes: "rack:r2"}}, Masters: 3, ZooKeeper: servers,
	})
	require.NoError(t, err)
	bin, err := w.rig.Mkdir("bin")
	require.NoError(t, err)
	binaries, err := berth.Build(w.ctx, bin)
	require.NoError(t, err)
	for i := range 3 {
		b, err := berth.Start(w.rig, berth.Options{
			Name: fmt.Sprintf("berth%d", i), Binaries: binaries, Mesos: w.mesos.MasterURL(), ZooKeeper: ensemble.Addrs(),
			Elasticsearch: assets.Elasticsearch, SessionTimeout: session,
		})
		require.NoError(t, err)
		w.berths = append(w.berths, b)
	}
	return w
}

// leader waits until one of the Berths other than not leads and is subscribed.
func (w *trio) leader(not *berth.Berth) *berth.Berth {
	w.t.Helper()
	leader, err := berth.WaitLeader(w.ctx, w.berths, not)
	require.NoError(w.t, err)
	return leader
}

// TestHighAvailability: leaders killed, frozen, replaced and upgraded. No node is
// touched by any of it, and the framework stays the same.
func TestHighAvailability(t *testing.T) {
	w := newTrio(t)
	const name = "ha"
	leader := w.leader(nil)
	_, err := leader.Apply(w.ctx, name, spec(name, 1))
	require.NoError(t, err)
	_, err = leader.WaitPhase(w.ctx, name, "Ready")
	require.NoError(t, err)
	node, err := leader.Node(w.ctx, name, "ha-node-0")
	require.NoError(t, err)
	ready, err := leader.Readiness(w.ctx)
	require.NoError(t, err)
	untouched := func(by *berth.Berth, when string) {
		t.Helper()
		n, err := by.WaitNode(w.ctx, name, node.Name, "healthy "+when, func(n v1.NodeView) bool { return n.State == "Healthy" })
		require.NoError(t, err)
		assert.Equal(t, node.TaskID, n.TaskID, "no node is touched "+when)
		r, err := by.Readiness(w.ctx)
		require.NoError(t, err)
		assert.Equal(t, ready.FrameworkID, r.FrameworkID, "the framework's id "+when)
	}

	t.Run("a follower sends callers to the leader", func(t *testing.T) {
		for _, b := range w.berths {
			clusters, err := b.Clusters(w.ctx)
			require.NoError(t, err, "through %s", b.URL())
			assert.Len(t, clusters, 1)
		}
		_, err := w.follower(leader).Apply(w.ctx, name, spec(name, 1))
		require.NoError(t, err, "writes too")
	})

	t.Run("planned hand-over", func(t *testing.T) {
		began := time.Now()
		require.NoError(t, leader.Stop(w.ctx))
		next := w.leader(leader)
		t.Logf("a new leader was subscribed %.0f ms after SIGTERM", time.Since(began).Seconds()*1000)
		untouched(next, "by a planned hand-over")
		require.NoError(t, leader.Restart())
		leader = next
	})

	t.Run("kill -9 of the leader", func(t *testing.T) {
		began := time.Now()
		require.NoError(t, leader.Process().Kill9(w.ctx))
		next := w.leader(leader)
		t.Logf("a new leader was subscribed %.1f s after kill -9; the session timeout is %s", time.Since(began).Seconds(), session)
		untouched(next, "by a crash of the leader")
		require.NoError(t, leader.Restart())
		leader = next
	})

	t.Run("a frozen leader wakes up", func(t *testing.T) {
		old := leader
		require.NoError(t, old.Process().Pause())
		next := w.leader(old)
		_, err := next.Apply(w.ctx, "second", spec("second", 1))
		require.NoError(t, err)
		require.NoError(t, old.Process().Resume())
		require.NoError(t, rig.Eventually(w.ctx, 50*time.Millisecond, "the old leader to follow", func(ctx context.Context) error {
			if err := old.Process().Ended(); err != nil {
				// It may also have ended: Mesos told it that it was taken over.
				return old.Restart()
			}
			no := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			resp, err := no.Get(old.URL() + "/v1/clusters")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusTemporaryRedirect {
				return fmt.Errorf("it answers %s", resp.Status)
			}
			return nil
		}))
		_, err = next.WaitPhase(w.ctx, "second", "Ready")
		require.NoError(t, err)
		untouched(next, "by a frozen leader")
		leader = next
	})

	t.Run("rolling upgrade", func(t *testing.T) {
		for _, b := range w.berths {
			if !b.Process().Running() {
				continue
			}
			require.NoError(t, b.Stop(w.ctx))
			require.NoError(t, b.Restart())
			leader = w.leader(nil)
		}
		untouched(leader, "by a rolling upgrade")
		tasks, err := w.mesos.Tasks(w.ctx)
		require.NoError(t, err)
		assert.Len(t, tasks, 2, "nothing is doubled")
	})
}

// follower is a Berth that runs and does not lead.
func (w *trio) follower(leader *berth.Berth) *berth.Berth {
	for _, b := range w.berths {
		if b != leader && b.Process().Running() {
			return b
		}
	}
	w.t.Fatal("no follower runs")
	return nil
}
