// Package realmesos tests the rig's Mesos: that it is a real one, and that
// agents and masters can be hurt in the ways that Berth's own tests need.
package realmesos

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	mesosgo "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler/calls"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/mesos"
	"github.com/berthdata/berth/test/rig/rigtest"
	"github.com/berthdata/berth/test/rig/setup"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

// start starts a master and three agents in two racks.
func start(ctx context.Context, t *testing.T, opts mesos.Options) *mesos.Cluster {
	t.Helper()
	assets := rigtest.Need(t, setup.Want{Mesos: true})
	r := rigtest.New(t)
	if opts.Agents == nil {
		opts.Agents = []mesos.AgentOptions{
			{Attributes: "rack:r1;zone:z0"},
			{Attributes: "rack:r2;zone:z1"},
			{Attributes: "rack:r1;zone:z1;disks:4"},
		}
	}
	began := time.Now()
	cl, err := mesos.Start(ctx, r, assets.Mesos, opts)
	require.NoError(t, err)
	t.Logf("master and %d agents were up after %s", len(opts.Agents), time.Since(began).Round(time.Millisecond))
	return cl
}

func anyOffer(mesosgo.Offer) bool { return true }

func TestOffersShowWhatAgentsWereGiven(t *testing.T) {
	ctx := rigtest.Context(t, time.Minute)
	cl := start(ctx, t, mesos.Options{})
	f := newFramework(cl.Master().URL())
	require.NoError(t, f.subscribe(t))

	ports := map[uint64]string{}
	attributes := map[string]string{}
	for _, a := range cl.Agents() {
		o := f.offer(ctx, t, a.Hostname(), anyOffer)
		var kv []string
		for _, at := range o.Attributes {
			value := at.GetText().GetValue()
			if at.Type == mesosgo.SCALAR {
				value = "number"
			}
			kv = append(kv, at.Name+"="+value)
		}
		attributes[a.Name()] = strings.Join(kv, " ")
		for _, res := range o.Resources {
			for _, rg := range res.GetRanges().GetRange() {
				for p := rg.Begin; p <= rg.End; p++ {
					assert.Empty(t, ports[p], "port %d is offered by two agents", p)
					ports[p] = a.Name()
				}
			}
		}
	}
	assert.Equal(t, map[string]string{
		"agent1": "rack=r1 zone=z0",
		"agent2": "rack=r2 zone=z1",
		"agent3": "rack=r1 zone=z1 disks=number",
	}, attributes)
	assert.Len(t, ports, 3*(rig.MaxPorts-1))
}

// script is a task that leaves its mark on the volume and then stays.
const script = `#!/bin/sh
until [ -d data ]; do sleep 0.05; done
id -un > data/who
exec sleep 1000
`

// scriptServer serves script.tar.gz, to be fetched and unpacked by the agent.
func scriptServer(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		z := gzip.NewWriter(w)
		tw := tar.NewWriter(z)
		err := tw.WriteHeader(&tar.Header{Name: "task.sh", Mode: 0o755, Size: int64(len(script))})
		if err == nil {
			_, err = tw.Write([]byte(script))
		}
		assert.NoError(t, err)
		assert.NoError(t, tw.Close())
		assert.NoError(t, z.Close())
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/script.tar.gz"
}

func reserved(name string, amount float64) mesosgo.Resource {
	dynamic, label, p, r := mesosgo.Resource_ReservationInfo_DYNAMIC, "slot-1", principal, role
	typ := mesosgo.SCALAR
	return mesosgo.Resource{
		Name: name, Type: &typ, Scalar: &mesosgo.Value_Scalar{Value: amount},
		Reservations: []mesosgo.Resource_ReservationInfo{{
			Type: &dynamic, Role: &r, Principal: &p,
			Labels: &mesosgo.Labels{Labels: []mesosgo.Label{{Key: "slot", Value: &label}}},
		}},
	}
}

func volume() mesosgo.Resource {
	v := reserved("disk", 100)
	p, rw := principal, mesosgo.RW
	v.Disk = &mesosgo.Resource_DiskInfo{
		Persistence: &mesosgo.Resource_DiskInfo_Persistence{ID: "volume-1", Principal: &p},
		Volume:      &mesosgo.Volume{ContainerPath: "data", Mode: &rw},
	}
	return v
}

// launch reserves, creates a volume and launches script on it in one ACCEPT,
// and returns the path of the file that it writes.
func launch(ctx context.Context, t *testing.T, f *framework, a *mesos.Agent) string {
	t.Helper()
	o := f.offer(ctx, t, a.Hostname(), anyOffer)
	uri, shell, command := scriptServer(t), true, "./task.sh"
	executor := &mesosgo.ExecutorInfo{
		Type: mesosgo.ExecutorInfo_CUSTOM, ExecutorID: mesosgo.ExecutorID{Value: "executor-1"}, FrameworkID: f.info.ID,
		Command:   &mesosgo.CommandInfo{Shell: &shell, Value: &command, URIs: []mesosgo.CommandInfo_URI{{Value: uri}}},
		Resources: []mesosgo.Resource{reserved("cpus", 0.1), reserved("mem", 32)},
	}
	task := mesosgo.TaskInfo{
		Name: "task-1", TaskID: mesosgo.TaskID{Value: "task-1"}, AgentID: o.AgentID, Executor: executor,
		Resources: []mesosgo.Resource{reserved("cpus", 0.4), reserved("mem", 96), volume()},
	}
	require.NoError(t, f.call(ctx, calls.Accept(calls.OfferOperations{
		calls.OpReserve(reserved("cpus", 0.5), reserved("mem", 128), reserved("disk", 100)),
		calls.OpCreate(volume()),
		calls.OpLaunch(task),
	}.WithOffers(o.ID))))
	file := filepath.Join(a.WorkDir(), "volumes", "roles", role, "volume-1", "who")
	require.NoError(t, rig.Eventually(ctx, 50*time.Millisecond, "the task's mark on its volume", func(context.Context) error {
		b, err := os.ReadFile(file)
		if err == nil && len(b) == 0 {
			err = os.ErrNotExist
		}
		return err
	}))
	return file
}

func holdsVolume(o mesosgo.Offer) bool {
	for _, r := range o.Resources {
		if r.GetDisk().GetPersistence().GetID() == "volume-1" && r.Reservations[0].Labels.Labels[0].GetValue() == "slot-1" {
			return true
		}
	}
	return false
}

func TestReservationAndVolumeOutliveTheAgent(t *testing.T) {
	ctx := rigtest.Context(t, 2*time.Minute)
	cl := start(ctx, t, mesos.Options{Agents: []mesos.AgentOptions{{}}})
	a := cl.Agent("agent1")
	f := newFramework(cl.Master().URL())
	require.NoError(t, f.subscribe(t))
	file := launch(ctx, t, f, a)
	id, err := cl.AgentID(ctx, a)
	require.NoError(t, err)

	// A crash of the agent alone: the same id, and the task's process stays.
	before, err := rig.Strays(a.WorkDir())
	require.NoError(t, err)
	require.NotEmpty(t, before, "the task has a process")
	require.NoError(t, a.Kill9(ctx))
	after, err := rig.Strays(a.WorkDir())
	require.NoError(t, err)
	assert.ElementsMatch(t, before, after)
	require.NoError(t, a.Start())
	assert.Equal(t, id.Value, waitID(ctx, t, cl, a, ""))

	f.wait(ctx, t, "the task's end", func() bool { return f.status["task-1"].State != nil && terminal(*f.status["task-1"].State) })
	f.offer(ctx, t, a.Hostname(), holdsVolume)

	// Back under a new id, the machine still has both, and the data.
	require.NoError(t, a.Kill9(ctx))
	require.NoError(t, a.ForgetID(ctx))
	require.NoError(t, a.Start())
	fresh := waitID(ctx, t, cl, a, id.Value)
	o := f.offer(ctx, t, a.Hostname(), func(o mesosgo.Offer) bool { return o.AgentID.Value == fresh && holdsVolume(o) })
	assert.NotEmpty(t, o.Resources)
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	want := "nobody"
	if os.Geteuid() != 0 { // then the agent cannot switch
		me, err := user.Current()
		require.NoError(t, err)
		want = me.Username
	}
	assert.Equal(t, want+"\n", string(b))
	volumes, err := cl.Volumes(ctx, a)
	require.NoError(t, err)
	assert.Len(t, volumes, 1)
}

func TestLossOfPowerEndsTheTasksAndKeepsTheID(t *testing.T) {
	ctx := rigtest.Context(t, time.Minute)
	cl := start(ctx, t, mesos.Options{Agents: []mesos.AgentOptions{{}}})
	a := cl.Agent("agent1")
	f := newFramework(cl.Master().URL())
	require.NoError(t, f.subscribe(t))
	launch(ctx, t, f, a)
	id, err := cl.AgentID(ctx, a)
	require.NoError(t, err)
	running, err := rig.Strays(a.WorkDir())
	require.NoError(t, err)
	require.NotEmpty(t, running)

	require.NoError(t, a.PowerOff(ctx))
	left, err := rig.Strays(a.WorkDir())
	require.NoError(t, err)
	assert.Empty(t, left)

	require.NoError(t, a.Start())
	assert.Equal(t, id.Value, waitID(ctx, t, cl, a, ""))
	f.wait(ctx, t, "the task's end", func() bool { return f.status["task-1"].State != nil && terminal(*f.status["task-1"].State) })
	f.offer(ctx, t, a.Hostname(), holdsVolume)
}

// waitID waits until the agent is active under an id other than not.
func waitID(ctx context.Context, t *testing.T, cl *mesos.Cluster, a *mesos.Agent, not string) string {
	t.Helper()
	id := ""
	require.NoError(t, rig.Eventually(ctx, 50*time.Millisecond, a.Name()+" to be back", func(ctx context.Context) error {
		info, err := cl.WaitAgent(ctx, a)
		if err != nil {
			return err
		}
		if id = info.AgentInfo.ID.Value; id == not {
			return os.ErrExist
		}
		return nil
	}))
	return id
}

func terminal(s mesosgo.TaskState) bool {
	switch s {
	case mesosgo.TASK_STAGING, mesosgo.TASK_STARTING, mesosgo.TASK_RUNNING, mesosgo.TASK_UNREACHABLE:
		return false
	}
	return true
}

func TestTasksOfAKilledAgentEndWithTheRig(t *testing.T) {
	ctx := rigtest.Context(t, time.Minute)
	assets := rigtest.Need(t, setup.Want{Mesos: true})
	r, err := rig.New("test")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	cl, err := mesos.Start(ctx, r, assets.Mesos, mesos.Options{Agents: []mesos.AgentOptions{{}}})
	require.NoError(t, err)
	f := newFramework(cl.Master().URL())
	require.NoError(t, f.subscribe(t))
	launch(ctx, t, f, cl.Agent("agent1"))
	require.NoError(t, cl.Agent("agent1").Kill9(ctx))
	left, err := rig.Strays(r.Dir())
	require.NoError(t, err)
	require.NotEmpty(t, left)

	require.NoError(t, r.Close())
	for _, s := range left {
		// A process that init has not reaped yet has no command line any more.
		cmdline, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.PID), "cmdline"))
		assert.True(t, err != nil || len(cmdline) == 0, "%v is still there", s)
	}
	assert.NoDirExists(t, r.Dir())
}

func TestMasterComesBackWithItsAgents(t *testing.T) {
	ctx := rigtest.Context(t, 2*time.Minute)
	cl := start(ctx, t, mesos.Options{})
	ids := map[string]string{}
	for _, a := range cl.Agents() {
		id, err := cl.AgentID(ctx, a)
		require.NoError(t, err)
		ids[a.Name()] = id.Value
	}
	require.NoError(t, cl.Master().Kill9(ctx))
	require.NoError(t, cl.Master().Start())
	began := time.Now()
	require.NoError(t, cl.WaitAgents(ctx, 3))
	t.Logf("agents were back after %s", time.Since(began).Round(time.Millisecond))
	for _, a := range cl.Agents() {
		id, err := cl.AgentID(ctx, a)
		require.NoError(t, err)
		assert.Equal(t, ids[a.Name()], id.Value)
	}
}

func TestPausedAgentBecomesUnreachableAndReturns(t *testing.T) {
	ctx := rigtest.Context(t, time.Minute)
	cl := start(ctx, t, mesos.Options{})
	a := cl.Agent("agent2")
	require.NoError(t, a.Pause())
	require.NoError(t, cl.WaitAgents(ctx, 2))
	require.NoError(t, a.Resume())
	require.NoError(t, cl.WaitAgents(ctx, 3))
}

func TestOperatorCalls(t *testing.T) {
	ctx := rigtest.Context(t, time.Minute)
	cl := start(ctx, t, mesos.Options{})
	drained, gone := cl.Agent("agent1"), cl.Agent("agent2")

	require.NoError(t, cl.Drain(ctx, drained, time.Second))
	require.NoError(t, cl.WaitDrained(ctx, drained))
	info, err := cl.AgentInfo(ctx, drained)
	require.NoError(t, err)
	assert.True(t, info.GetDeactivated())
	require.NoError(t, cl.Reactivate(ctx, drained))
	info, err = cl.AgentInfo(ctx, drained)
	require.NoError(t, err)
	assert.False(t, info.GetDeactivated())

	require.NoError(t, cl.MarkGone(ctx, gone))
	require.NoError(t, cl.WaitAgents(ctx, 2))
}

func TestFrameworksMustAuthenticate(t *testing.T) {
	ctx := rigtest.Context(t, time.Minute)
	secret := "secret of the test"
	cl := start(ctx, t, mesos.Options{
		Agents:      []mesos.AgentOptions{{}},
		Credentials: []mesos.Credential{{Principal: principal, Secret: secret}},
	})
	f := newFramework(cl.Master().URL())
	assert.ErrorContains(t, f.subscribe(t), "401")
	f.auth = mesosgo.Credential{Principal: principal, Secret: &secret}
	require.NoError(t, f.subscribe(t))
	f.offer(ctx, t, cl.Agent("agent1").Hostname(), anyOffer)
}

func TestAnotherMasterTakesOver(t *testing.T) {
	ctx := rigtest.Context(t, 2*time.Minute)
	assets := rigtest.Need(t, setup.Want{Mesos: true, ZooKeeper: true})
	zk := zookeeper.Run(t, zookeeper.Options{})
	r := rigtest.New(t)
	cl, err := mesos.Start(ctx, r, assets.Mesos, mesos.Options{
		Masters: 3, ZooKeeper: []string{zk.Addr}, Agents: []mesos.AgentOptions{{}, {}, {}},
	})
	require.NoError(t, err)
	first, err := cl.WaitLeader(ctx)
	require.NoError(t, err)
	require.NoError(t, first.Kill9(ctx))
	began := time.Now()
	require.NoError(t, cl.WaitAgents(ctx, 3))
	second, err := cl.WaitLeader(ctx)
	require.NoError(t, err)
	t.Logf("agents were with the new leader after %s", time.Since(began).Round(time.Millisecond))
	assert.NotEqual(t, first.Name(), second.Name())
}
