package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
)

// orphaned is a view of agents a0, a1, … with one orphan each, of as many volumes.
func orphaned(asked time.Time, agents, volumesEach int) AgentsObserved {
	e := AgentsObserved{AskedAt: asked}
	for i := range agents {
		label := fmt.Sprintf("old-data-%d.7", i)
		stack := []mesos.Resource_ReservationInfo{{
			Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: new("db"), Principal: new("berth"),
			Labels: &mesos.Labels{Labels: []mesos.Label{{Key: "berth.slot", Value: &label}}},
		}}
		o := AgentObservation{ID: fmt.Sprintf("a%d", i), Hostname: fmt.Sprintf("h%d", i), Registered: true, Active: true}
		o.Total = append(o.Total, mesos.Resource{Name: "cpus", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: 1}, Reservations: stack})
		for j := range volumesEach {
			o.Total = append(o.Total, mesos.Resource{
				Name: "disk", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: 10}, Reservations: stack,
				Disk: &mesos.Resource_DiskInfo{Persistence: &mesos.Resource_DiskInfo_Persistence{ID: fmt.Sprintf("volume-%d-%d", i, j)}},
			})
		}
		e.Agents = append(e.Agents, o)
	}
	return e
}

// ledgerCore is a subscribed core that has seen a view.
func ledgerCore(t *testing.T, e AgentsObserved) *Core {
	t.Helper()
	c, err := New(benchConfig(), nil)
	require.NoError(t, err)
	c.Step(e.AskedAt, Subscribed{FrameworkID: "F1"})
	c.Step(e.AskedAt, e)
	return c
}

func reply(t *testing.T, d Decision) (string, *v1.Problem) {
	t.Helper()
	require.Len(t, d.Replies, 1)
	if p := d.Replies[0].Problem; p != nil {
		return "", p
	}
	return d.Replies[0].Accepted.Name, nil
}

// A plan has a bounded number of steps, of bounded size, and its record fits.
func TestPlansAreBounded(t *testing.T) {
	c := ledgerCore(t, orphaned(benchEpoch, maxRepairSteps+maxRepairLeft+7, 20))
	d := c.Step(benchEpoch, RepairAsked{Reply: 1, Message: strings.Repeat("x", 5000)})
	id, p := reply(t, d)
	require.Nil(t, p)
	view, p := c.Repair(id)
	require.Nil(t, p)
	assert.Len(t, view.Steps, maxRepairSteps)
	assert.Len(t, view.Left, maxRepairLeft)
	assert.Equal(t, 7, view.LeftOut)
	assert.Contains(t, view.Left[0].Message, "no room")
	for _, w := range d.Writes {
		assert.Less(t, len(w.Value), state.MaxValue, w.Key)
	}

	// What is too much for one step is left, and refused when it is named.
	c = ledgerCore(t, orphaned(benchEpoch, 1, 500))
	_, p = reply(t, c.Step(benchEpoch, RepairAsked{Reply: 1}))
	require.NotNil(t, p)
	assert.Contains(t, p.Detail, "too much for one step")
}

// Repairs on record are bounded: the oldest that has ended goes first, then the
// oldest that nobody approved; those under way stay.
func TestRepairsAreBounded(t *testing.T) {
	c := ledgerCore(t, orphaned(benchEpoch, maxRepairs+2, 0))
	findings := c.repairable(t)
	plan := func(i int) (string, *v1.Problem) {
		return reply(t, c.Step(benchEpoch, RepairAsked{Reply: 1, Findings: []string{findings[i]}}))
	}
	approve := func(id string) {
		view, p := c.Repair(id)
		require.Nil(t, p)
		_, p = reply(t, c.Step(benchEpoch, RepairApproved{Reply: 1, ID: id, Fingerprint: view.Fingerprint}))
		require.Nil(t, p)
	}
	var ids []string
	for i := range maxRepairs {
		id, p := plan(i)
		require.Nil(t, p)
		ids = append(ids, id)
	}
	approve(ids[0])
	_, p := reply(t, c.Step(benchEpoch, RepairCancelled{Reply: 1, ID: ids[5]}))
	require.Nil(t, p)
	gone := func(id string) bool { _, p := c.Repair(id); return p != nil }

	_, p = plan(maxRepairs)
	require.Nil(t, p)
	assert.True(t, gone(ids[5]), "it had ended")
	_, p = plan(maxRepairs + 1)
	require.Nil(t, p)
	assert.False(t, gone(ids[0]), "it is under way")
	assert.True(t, gone(ids[1]), "nobody approved it")
	assert.Len(t, c.Repairs().Repairs, maxRepairs)

	for _, r := range c.Repairs().Repairs {
		if r.Approved == nil {
			approve(r.ID)
		}
	}
	_, p = plan(1)
	require.NotNil(t, p, "all are under way")
	assert.Contains(t, p.Detail, "are under way")
}

// repairable lists the findings that can be repaired.
func (c *Core) repairable(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, v := range c.Volumes(benchEpoch, VolumeFilter{Classes: []string{"orphan"}}).Volumes {
		ids = append(ids, v.Finding)
	}
	return ids
}

// Calls of the operator API without an answer are bounded.
func TestOperatorCallsAreBounded(t *testing.T) {
	const agents = maxOperatorCalls + 3
	c := ledgerCore(t, orphaned(benchEpoch, agents, 0))
	id, p := reply(t, c.Step(benchEpoch, RepairAsked{Reply: 1}))
	require.Nil(t, p)
	view, _ := c.Repair(id)
	c.Step(benchEpoch, RepairApproved{Reply: 1, ID: id, Fingerprint: view.Fingerprint})
	now := benchEpoch.Add(2 * repairPatience)
	d := c.Step(now, orphaned(now, agents, 0))
	require.Len(t, d.Operate, maxOperatorCalls)
	d = c.Step(now, OperatorAnswered{ID: d.Operate[0].ID})
	require.Len(t, d.Operate, 1, "each answer makes room for the next")
	require.Empty(t, c.Step(now, OperatorAnswered{ID: "repair-9.1.1"}).Operate)
}

// Findings are remembered up to a bound, told of one by one up to another, and
// their record fits.
func TestFindingsAreBounded(t *testing.T) {
	c, err := New(benchConfig(), nil)
	require.NoError(t, err)
	c.Step(benchEpoch, Subscribed{FrameworkID: "F1"})
	e := orphaned(benchEpoch, maxFindings+50, 1)
	for i := range e.Agents {
		e.Agents[i].ID += strings.Repeat("x", 300)
		e.Agents[i].Hostname += strings.Repeat("y", 300)
	}
	d := c.Step(benchEpoch, e)
	assert.Len(t, c.findings, maxFindings)
	assert.Len(t, d.Published, maxTold+1)
	assert.Equal(t, "VolumeFindings", d.Published[maxTold].Type)
	require.Len(t, d.Writes, 1)
	assert.Less(t, len(d.Writes[0].Value), state.MaxValue)
	assert.Equal(t, maxFindings+50, c.Volumes(benchEpoch, VolumeFilter{}).Summary["orphan"], "all are listed all the same")
}

// What is given back after a view was asked for is not taken for an orphan because
// that view still shows it.
func TestViewsOlderThanTheEndOfARecord(t *testing.T) {
	c := ledgerCore(t, AgentsObserved{AskedAt: benchEpoch})
	s := &slot{Slot: state.Slot{ID: "old-data-0.7", Kind: kindElasticsearch, Owner: "old", Bind: &state.Binding{AgentID: "a0"}}}
	c.slots[s.ID] = s
	c.now = benchEpoch.Add(time.Second)
	c.remove(s)
	d := c.Step(benchEpoch.Add(2*time.Second), orphaned(benchEpoch.Add(witnessLag), 1, 1))
	assert.Empty(t, d.Published)
	assert.Empty(t, c.Volumes(benchEpoch.Add(2*time.Second), VolumeFilter{}).Volumes)
	later := benchEpoch.Add(time.Second + witnessLag)
	d = c.Step(later, orphaned(later, 1, 1))
	require.Len(t, d.Published, 1)
	assert.Equal(t, "VolumeOrphan", d.Published[0].Type)
	assert.Empty(t, c.ended, "nothing is kept that every later view knows of")
}

// A request for a fresh view is answered by one that was asked for after it, or
// refused; none waits for ever.
func TestFreshViews(t *testing.T) {
	c, err := New(benchConfig(), nil)
	require.NoError(t, err)
	_, p := reply(t, c.Step(benchEpoch, WitnessAsked{Reply: 1}))
	require.NotNil(t, p, "no master can be asked")
	c.Step(benchEpoch, Subscribed{FrameworkID: "F1"})
	now := benchEpoch.Add(10 * time.Second)
	d := c.Step(now, WitnessAsked{Reply: 2})
	assert.Empty(t, d.Replies)
	assert.True(t, d.ObserveAgents)
	assert.Empty(t, c.Step(now, AgentsObserved{AskedAt: now.Add(-time.Second)}).Replies, "asked for before")
	name, p := reply(t, c.Step(now, AgentsObserved{AskedAt: now}))
	require.Nil(t, p)
	assert.Equal(t, "witness", name)

	for i := range maxWaits {
		require.Empty(t, c.Step(now, WitnessAsked{Reply: ReplyID(i)}).Replies)
	}
	_, p = reply(t, c.Step(now, WitnessAsked{Reply: 9}))
	require.NotNil(t, p)
	assert.Empty(t, c.Step(now.Add(witnessWaits), WitnessAsked{Reply: 9}).Replies, "who asked long ago has gone")
	_, p = reply(t, c.Step(now.Add(witnessWaits), Disconnected{}))
	require.NotNil(t, p)
}
