package conformance

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	mesosgo "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/maintenance"
	"github.com/mesos/mesos-go/api/v1/lib/master"
	"github.com/mesos/mesos-go/api/v1/lib/master/calls"
	"github.com/mesos/mesos-go/api/v1/lib/quota"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/test/mesosmodel"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/mesos"
	"github.com/berthdata/berth/test/rig/rigtest"
	"github.com/berthdata/berth/test/rig/setup"
)

const (
	realEnough = 30 * time.Second
	realBrief  = 1500 * time.Millisecond // 7 rounds of the rig's allocator
	realMoment = 500 * time.Millisecond
	realLimit  = time.Minute // of a scenario
)

// real is a real Mesos.
type real struct {
	t   *testing.T
	ctx context.Context
	c   *mesos.Cluster
	out chan mesosmodel.Delivery

	readers sync.WaitGroup
	subs    map[string]*mesos.Subscription
}

func newReal(t *testing.T, patient bool) cluster {
	ctx := rigtest.Context(t, realLimit)
	assets := rigtest.Need(t, setup.Want{Mesos: true})
	o := mesos.Options{}
	if patient {
		o.PingCount = 30
	}
	c, err := mesos.Start(ctx, rigtest.New(t), assets.Mesos, o)
	require.NoError(t, err)
	r := &real{t: t, ctx: ctx, c: c, out: make(chan mesosmodel.Delivery, 1024), subs: map[string]*mesos.Subscription{}}
	t.Cleanup(func() {
		for _, s := range r.subs {
			s.Close()
		}
		r.readers.Wait()
	})
	return r
}

func (r *real) Subscribe(info *mesosgo.FrameworkInfo) (string, error) {
	var sub *mesos.Subscription
	var refused error
	require.NoError(r.t, rig.Eventually(r.ctx, 50*time.Millisecond, "a master that takes a subscription", func(ctx context.Context) error {
		var err error
		sub, err = mesos.Subscribe(ctx, r.c.Master().URL(), mesos.Credential{}, *info)
		// 404 is a master that has not put its routes up yet.
		if err != nil && strings.Contains(err.Error(), "SUBSCRIBE: 400") {
			refused = err
			return nil
		}
		return err
	}))
	if refused != nil {
		return "", refused
	}
	r.subs[sub.Stream()] = sub
	r.readers.Go(func() {
		for ev := range sub.Events() {
			if ev.Type != sched.Event_HEARTBEAT {
				r.out <- mesosmodel.Delivery{Stream: sub.Stream(), Event: &ev}
			}
		}
		r.out <- mesosmodel.Delivery{Stream: sub.Stream(), Closed: sub.Err().Error()}
	})
	return sub.Stream(), nil
}

func (r *real) Unsubscribe(stream string) { r.subs[stream].Close() }

func (r *real) Call(stream string, c *sched.Call) error { return r.subs[stream].Call(r.ctx, c) }

func (r *real) Next(p patience) (mesosmodel.Delivery, bool) {
	timeout := time.NewTimer(map[patience]time.Duration{enough: realEnough, brief: realBrief, moment: realMoment, lapse: later + time.Second}[p])
	defer timeout.Stop()
	select {
	case d := <-r.out:
		return d, true
	case <-timeout.C:
	case <-r.ctx.Done():
	}
	return mesosmodel.Delivery{}, false
}

func (r *real) AddMachine(name string) {
	_, err := r.c.AddAgent(mesos.AgentOptions{Name: name, Resources: shape})
	require.NoError(r.t, err)
}

func (r *real) AgentID(name string) string {
	id := ""
	require.NoError(r.t, rig.Eventually(r.ctx, 50*time.Millisecond, "agent "+name, func(ctx context.Context) error {
		info, err := r.c.WaitAgent(ctx, r.agent(name))
		if err == nil {
			id = info.AgentInfo.ID.Value
		}
		return err
	}))
	return id
}

func (r *real) agent(name string) *mesos.Agent {
	a := r.c.Agent(name)
	require.NotNil(r.t, a, name)
	return a
}

func (r *real) StopAgent(name string) { require.NoError(r.t, r.agent(name).Kill9(r.ctx)) }
func (r *real) PowerOff(name string)  { require.NoError(r.t, r.agent(name).PowerOff(r.ctx)) }

func (r *real) ForgetID(name string) {
	a := r.agent(name)
	// An agent that was declared gone ends by itself.
	require.NoError(r.t, rig.Eventually(r.ctx, 50*time.Millisecond, "the end of the agent of "+name, func(context.Context) error {
		if a.Running() {
			return errors.New("it runs")
		}
		return nil
	}))
	require.NoError(r.t, a.ForgetID(r.ctx))
}

func (r *real) StartAgent(name string) { require.NoError(r.t, r.agent(name).Start()) }
func (r *real) Partition(name string)  { require.NoError(r.t, r.agent(name).Pause()) }
func (r *real) Rejoin(name string)     { require.NoError(r.t, r.agent(name).Resume()) }

func (r *real) FailMaster() {
	require.NoError(r.t, r.c.Master().Kill9(r.ctx))
	require.NoError(r.t, r.c.Master().Start())
}

func (r *real) Drain(name string) {
	require.NoError(r.t, r.c.Drain(r.ctx, r.agent(name), 5*time.Second))
}
func (r *real) Reactivate(name string) { require.NoError(r.t, r.c.Reactivate(r.ctx, r.agent(name))) }

func (r *real) MarkGone(agentID string) {
	r.operate(calls.MarkAgentGone(mesosgo.AgentID{Value: agentID}))
}

func (r *real) SetQuota(role string, limits map[string]float64) {
	q := quota.QuotaConfig{Role: role, Limits: map[string]mesosgo.Value_Scalar{}}
	for name, v := range limits {
		q.Limits[name] = mesosgo.Value_Scalar{Value: v}
	}
	r.operate(&master.Call{Type: master.Call_UPDATE_QUOTA, UpdateQuota: &master.Call_UpdateQuota{QuotaConfigs: []quota.QuotaConfig{q}}})
}

func (r *real) Maintain(name string) {
	a := r.agent(name)
	host, ip := a.Hostname(), "127.0.0.1"
	u := mesosgo.Unavailability{Start: mesosgo.TimeInfo{Nanoseconds: time.Now().Add(time.Hour).UnixNano()}}
	r.operate(calls.UpdateMaintenanceSchedule(maintenance.Schedule{Windows: []maintenance.Window{{
		MachineIDs: []mesosgo.MachineID{{Hostname: &host, IP: &ip}}, Unavailability: u,
	}}}))
}

func (r *real) Teardown(id string) { r.operate(calls.Teardown(mesosgo.FrameworkID{Value: id})) }

func (r *real) Destroy(name string, volumes ...mesosgo.Resource) {
	r.operate(calls.DestroyVolumes(mesosgo.AgentID{Value: r.AgentID(name)}, volumes...))
}

func (r *real) Unreserve(name string, rs ...mesosgo.Resource) {
	r.operate(calls.UnreserveResources(mesosgo.AgentID{Value: r.AgentID(name)}, rs...))
}

func (r *real) operate(c *master.Call) {
	r.t.Helper()
	_, err := r.c.Call(r.ctx, c)
	require.NoError(r.t, err)
}

func (r *real) Total(name string) []mesosgo.Resource {
	info, err := r.c.AgentInfo(r.ctx, r.agent(name))
	require.NoError(r.t, err)
	return info.TotalResources
}
