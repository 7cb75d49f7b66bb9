package conformance

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/test/mesosmodel"
)

const (
	modelEnough = 15 * time.Minute
	modelBrief  = 8 * time.Second // 8 rounds of the allocator
	modelMoment = time.Second
)

type alarm struct {
	at time.Time
	do func()
}

// model is the model, with a clock that goes only where it is asked to.
type model struct {
	t        *testing.T
	m        *mesosmodel.Model
	now      time.Time
	queue    []mesosmodel.Delivery
	alarms   []alarm // of tasks that do something later
	machines map[string]*mesosmodel.Machine
}

func newModel(t *testing.T, seed uint64) cluster {
	c := &model{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), machines: map[string]*mesosmodel.Machine{}}
	c.m = mesosmodel.New(mesosmodel.Config{Principal: principal}, c.now, rand.New(rand.NewPCG(seed, 1)), told{c},
		mesosmodel.Hooks{Trace: func(format string, args ...any) { t.Logf(c.at()+format, args...) }})
	return c
}

func (c *model) at() string { return c.now.Format("15:04:05.000 ") }

// told is the workload of package conformance's executor.
type told struct{ c *model }

func (told) Launch(*mesosmodel.Container) error { return nil }
func (told) Started(*mesosmodel.Container)      {}
func (told) Stopped(*mesosmodel.Container)      {}

func (w told) Message(c *mesosmodel.Container, data []byte) {
	switch what := ordered(data); what {
	case beHealthy:
		w.c.m.Healthy(c, true, nil, "healthy")
	case fail:
		w.c.m.Crash(c, "fail")
	case crash:
		w.c.m.LoseExecutor(c, crashCode<<8)
	case failLater, crashLate:
		w.c.alarms = append(w.c.alarms, alarm{w.c.now.Add(later), func() { w.Message(c, order(strings.TrimSuffix(what, " later"))) }})
	}
}

// step lets the model, or a task, do what it does next, unless that is after a
// time.
func (c *model) step(until time.Time) bool {
	next := c.m.Next()
	rings := len(c.alarms) > 0 && !c.alarms[0].at.After(next)
	if rings {
		next = c.alarms[0].at
	}
	more := !next.After(until)
	if !more {
		next = until
	}
	c.now = next
	c.m.Advance(next)
	if more && rings {
		do := c.alarms[0].do
		c.alarms = c.alarms[1:]
		do()
	}
	c.queue = append(c.queue, c.m.Take()...)
	return more
}

// until lets time pass until something is so.
func (c *model) until(what string, ok func() bool) {
	c.t.Helper()
	end := c.now.Add(modelEnough)
	for !ok() {
		require.True(c.t, c.step(end), "not so after %s: %s", modelEnough, what)
	}
}

func (c *model) Subscribe(info *mesos.FrameworkInfo) (string, error) {
	stream := ""
	var refused error
	c.until("a master that takes a subscription", func() bool {
		var err error
		stream, err = c.m.Subscribe(info)
		if err != nil && !strings.HasPrefix(err.Error(), "503") {
			refused, err = err, nil
		}
		return err == nil
	})
	return stream, refused
}

func (c *model) Unsubscribe(stream string) { c.m.Unsubscribe(stream) }

func (c *model) Call(stream string, call *sched.Call) error { return c.m.Call(stream, call) }

func (c *model) Next(p patience) (mesosmodel.Delivery, bool) {
	end := c.now.Add(map[patience]time.Duration{enough: modelEnough, brief: modelBrief, moment: modelMoment, lapse: later + time.Second}[p])
	c.queue = append(c.queue, c.m.Take()...)
	for len(c.queue) == 0 {
		if !c.step(end) && len(c.queue) == 0 {
			return mesosmodel.Delivery{}, false
		}
	}
	d := c.queue[0]
	c.queue = c.queue[1:]
	return d, true
}

func (c *model) AddMachine(name string) {
	c.machines[name] = c.m.AddMachine(name+".test", "10.0.0.1", nil, shapeResources())
}

func (c *model) AgentID(name string) string {
	id := ""
	c.until("agent "+name, func() bool {
		views, _ := c.m.Agents()
		for _, v := range views {
			if v.Machine == c.machines[name] && v.Active {
				id = v.ID
			}
		}
		return id != ""
	})
	return id
}

func (c *model) StopAgent(name string) { c.m.StopAgent(c.machines[name]) }
func (c *model) PowerOff(name string)  { c.m.Reboot(c.machines[name]) }
func (c *model) ForgetID(name string)  { c.m.LoseIdentity(c.machines[name], 0) }

func (c *model) StartAgent(name string) {
	c.m.Rejoin(c.machines[name])
	c.m.NewAgent(c.machines[name]) // only after ForgetID
	c.m.StartAgent(c.machines[name])
}

func (c *model) Partition(name string)   { c.m.Partition(c.machines[name]) }
func (c *model) Rejoin(name string)      { c.m.Rejoin(c.machines[name]) }
func (c *model) FailMaster()             { c.m.FailMaster() }
func (c *model) Drain(name string)       { c.m.Drain(c.machines[name].AgentID()) }
func (c *model) Reactivate(name string)  { c.m.Reactivate(c.machines[name].AgentID()) }
func (c *model) MarkGone(agentID string) { c.m.MarkGone(agentID) }
func (c *model) Teardown(id string)      { c.m.Teardown(id) }

func (c *model) SetQuota(role string, limits map[string]float64) {
	milli := map[string]int64{}
	for name, v := range limits {
		milli[name] = int64(v * 1000)
	}
	c.m.SetQuota(role, milli)
}

func (c *model) Maintain(name string) {
	c.m.Maintain(c.machines[name], c.now.Add(time.Hour), time.Hour)
}

func (c *model) Destroy(name string, volumes ...mesos.Resource) {
	require.NoError(c.t, c.m.Destroy(c.AgentID(name), volumes...))
}

func (c *model) Unreserve(name string, rs ...mesos.Resource) {
	require.NoError(c.t, c.m.Unreserve(c.AgentID(name), rs...))
}

func (c *model) Total(name string) []mesos.Resource {
	id := c.AgentID(name)
	views, _ := c.m.Agents()
	for _, v := range views {
		if v.ID == id {
			return v.Total
		}
	}
	return nil
}
