package scheduler

import (
	"fmt"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// strangers is a core that has been told of n tasks that no record explains.
func strangers(t *testing.T, n int) (*Core, time.Time) {
	t.Helper()
	c, err := New(benchConfig(), nil)
	require.NoError(t, err)
	now := benchEpoch
	c.Step(now, Subscribed{FrameworkID: "F1"})
	for i := range n {
		tell(c, now, i, mesos.TASK_RUNNING)
	}
	return c, now
}

func tell(c *Core, now time.Time, i int, st mesos.TaskState) Decision {
	return c.Step(now, TaskUpdated{Status: mesos.TaskStatus{
		TaskID: mesos.TaskID{Value: stranger(i)}, AgentID: &mesos.AgentID{Value: "S1"}, State: &st,
	}})
}

func stranger(i int) string { return fmt.Sprintf("stranger-%06d.1.1", i) }

func kill(c *Core, now time.Time, i int) Decision {
	return c.Step(now, TaskKillOrdered{Reply: 1, TaskID: stranger(i), User: "ann"})
}

func TestTheListOfUnknownTasksIsBounded(t *testing.T) {
	const more = 250
	c, now := strangers(t, maxUnknownListed+more)
	list := c.UnknownTasks()
	assert.Len(t, list.Tasks, maxUnknownListed)
	assert.Equal(t, more, list.LeftOut)
	assert.Equal(t, maxUnknownListed+more, c.Stats().UnknownTasks)

	// One that is not listed can be ordered killed, and is listed then.
	last := maxUnknownListed + more - 1
	d := kill(c, now, last)
	require.NotNil(t, d.Replies[0].Accepted)
	require.Len(t, d.Writes, 2, "the order, and its entry in the audit log")
	assert.Equal(t, stranger(last), c.UnknownTasks().Tasks[0].TaskID)
	assert.Equal(t, more, c.UnknownTasks().LeftOut)

	// What ends makes room.
	for i := range more {
		tell(c, now, i, mesos.TASK_FINISHED)
	}
	assert.Zero(t, c.UnknownTasks().LeftOut)
	assert.Len(t, c.UnknownTasks().Tasks, maxUnknownListed)
}

func TestUnknownTasksAreToldUpToABound(t *testing.T) {
	c, now := strangers(t, 0)
	told, last := 0, ""
	for i := range maxUnknownListed + 50 {
		for _, e := range tell(c, now, i, mesos.TASK_RUNNING).Published {
			require.Equal(t, "UnknownTask", e.Type)
			told, last = told+1, e.Message
		}
	}
	assert.Equal(t, maxUnknownListed+1, told, "each of the first, then once that there are more")
	assert.Contains(t, last, "only counted")
}

func TestMoreUnknownTasksThanAreCounted(t *testing.T) {
	c, now := strangers(t, maxUnknown)
	d := tell(c, now, maxUnknown, mesos.TASK_RUNNING)
	assert.Empty(t, d.Published)
	assert.Equal(t, maxUnknown, c.Stats().UnknownTasks)
	require.NotNil(t, kill(c, now, maxUnknown).Replies[0].Problem, "one that is not even counted")
	asked := 0
	d = c.Step(now.Add(time.Minute), Subscribed{FrameworkID: "F1"})
	for _, call := range d.Calls {
		if n := len(call.GetReconcile().GetTasks()); call.GetType() == sched.Call_RECONCILE {
			require.LessOrEqual(t, n, reconcileChunk)
			asked += n
		}
	}
	assert.Equal(t, maxUnknown, asked, "all in quarantine are asked about by name")
}

func TestOrdersToKillAreBounded(t *testing.T) {
	c, now := strangers(t, maxKillOrders+1)
	for i := range maxKillOrders {
		require.NotNil(t, kill(c, now, i).Replies[0].Accepted)
	}
	d := kill(c, now, maxKillOrders)
	require.NotNil(t, d.Replies[0].Problem)
	assert.Contains(t, d.Replies[0].Problem.Detail, "wrong state")
	assert.Empty(t, d.Writes)
	assert.Empty(t, d.Calls)

	tell(c, now, 0, mesos.TASK_KILLED)
	require.NotNil(t, kill(c, now, maxKillOrders).Replies[0].Accepted, "one has ended")
}
