package scheduler

import (
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler/state"
)

// seedsRepeat is how often a node that has not joined is told the seeds again.
const seedsRepeat = 10 * time.Second

// settleSeeds tells running nodes where the master-eligible nodes are now, and
// returns when to look again. A node knows from its launch only those that had
// their places by then: nodes that were placed over several rounds of offers
// would otherwise form clusters without each other, and a node whose masters
// have moved would not find them again. MESSAGE is not reliable, so a node that
// has not joined is told again.
func (c *Core) settleSeeds(cl *cluster) time.Time {
	seeds := cl.seedHosts()
	if !c.connected || len(seeds) == 0 {
		return time.Time{}
	}
	list := strings.Join(seeds, ",")
	var next time.Time
	for _, s := range cl.list() {
		if s.Want != state.WantRun || s.Task == nil || s.Task.State != state.TaskRunning {
			continue
		}
		if s.seeds == list && s.Task.Healthy {
			continue
		}
		again := s.seedsAt.Add(seedsRepeat)
		if s.seeds != list || !again.After(c.now) {
			c.sendSeeds(s, seeds)
			s.seeds, s.seedsAt = list, c.now
			again = c.now.Add(seedsRepeat)
		}
		if next.IsZero() || again.Before(next) {
			next = again
		}
	}
	return next
}

func (c *Core) sendSeeds(s *slot, seeds []string) {
	data, err := executor.Message{SeedHosts: seeds}.Encode()
	if err != nil {
		c.why("the seeds of %s cannot be encoded: %v", s.Name, err)
		return
	}
	c.call(&sched.Call{Type: sched.Call_MESSAGE, Message: &sched.Call_Message{
		AgentID:    mesos.AgentID{Value: s.Task.AgentID},
		ExecutorID: mesos.ExecutorID{Value: s.Task.ID},
		Data:       data,
	}})
}
