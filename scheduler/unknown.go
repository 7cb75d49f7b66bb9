package scheduler

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

// unknownTask is a task of our framework that no record explains. It is in
// quarantine: listed, asked about, and never killed but by the recorded order of
// a person, since a wrong or old state must not cost a running node.
type unknownTask struct {
	id, agentID string
	state       mesos.TaskState
	// told: Mesos has spoken of it to this leader; false for one that is known
	// only from a recorded order. first and last are when, or that of the order.
	told        bool
	first, last time.Time
	// order to kill it; durable, as state.Kill.
	order *state.Order
	// confirmed: told since the subscription. killedAt: KILL was last sent.
	confirmed bool
	killedAt  time.Time
}

// taskKey marks an unknown task's key on the agenda, apart from slot ids.
const taskKey = "task/"

// unknownTask takes an update of a task that no record explains.
func (c *Core) unknownTask(st mesos.TaskStatus) {
	id := st.TaskID.Value
	u := c.unknown[id]
	switch {
	case ended(st.GetState()):
		c.unknownEnded(u, st)
		return
	case st.GetState() == mesos.TASK_UNKNOWN && (u == nil || u.order == nil):
		// Not even Mesos knows it. Should it come back, it is told of again.
		c.forget(u)
		return
	case u == nil:
		if u = c.quarantine(st); u == nil {
			return
		}
	}
	if agent := st.GetAgentID().GetValue(); agent != "" {
		u.agentID = agent
	}
	u.state, u.last, u.told, u.confirmed = st.GetState(), c.now, true, true
	c.settleKill(u)
}

// quarantine adds a task to the list, or returns nil when that is full.
func (c *Core) quarantine(st mesos.TaskStatus) *unknownTask {
	id := st.TaskID.Value
	switch n := len(c.unknown); {
	case n >= maxUnknown:
		c.why("task %s is unknown to the state, like %d others: not even counted, and not killed", id, n)
		return nil
	case n < maxUnknownListed:
		c.publish("UnknownTask", "", "", "task %s runs on agent %s, but no record of Berth explains it: left alone", id, st.GetAgentID().GetValue())
	case n == maxUnknownListed:
		c.publish("UnknownTask", "", "", "more than %d tasks run that no record explains, %s is the next: from here on they are only counted. Is this the right state?", n, id)
	}
	c.why("task %s is unknown to the state: quarantined, not killed", id)
	u := &unknownTask{id: id, first: c.now}
	c.unknown[id] = u
	return u
}

func (c *Core) unknownEnded(u *unknownTask, st mesos.TaskStatus) {
	if u == nil {
		return
	}
	c.publish("UnknownTaskEnded", "", "", "task %s on agent %s, which no record explains, has ended: %s", u.id, u.agentID, endText(st))
	c.forget(u)
}

// forget takes a task off the list, its order with it; nil is allowed.
func (c *Core) forget(u *unknownTask) {
	if u == nil {
		return
	}
	delete(c.unknown, u.id)
	c.agenda.set(taskKey+u.id, time.Time{})
	if u.order != nil {
		c.changedKills[u.id] = true
	}
}

// settleKill kills a task that a person ordered killed, once this subscription
// has told of it, and again until it has ended (Mesos rule 43).
func (c *Core) settleKill(u *unknownTask) {
	if u.order == nil || !c.connected || !u.confirmed || unreachable(u.state) {
		c.agenda.set(taskKey+u.id, time.Time{})
		return
	}
	if u.killedAt.IsZero() || !u.killedAt.Add(killRepeat).After(c.now) {
		u.killedAt = c.now
		kill := &sched.Call_Kill{TaskID: mesos.TaskID{Value: u.id}}
		if u.agentID != "" {
			kill.AgentID = &mesos.AgentID{Value: u.agentID}
		}
		c.call(&sched.Call{Type: sched.Call_KILL, Kill: kill})
		c.why("kill %s: no record explains it, and %s ordered it killed", u.id, orSomebody(u.order.User))
	}
	c.agenda.set(taskKey+u.id, u.killedAt.Add(killRepeat))
}

// unknownUnheard starts over with a new subscription: nothing is killed before it
// has told of the task.
func (c *Core) unknownUnheard() {
	for _, u := range c.unknown {
		u.confirmed, u.killedAt = false, time.Time{}
		c.agenda.set(taskKey+u.id, time.Time{})
	}
}

// askUnknown asks for the tasks in quarantine by name: an implicit question is
// answered for those that run, but not for those that have ended unseen.
func (c *Core) askUnknown() {
	ids := slices.Sorted(maps.Keys(c.unknown))
	for chunk := range slices.Chunk(ids, reconcileChunk) {
		tasks := make([]sched.Call_Reconcile_Task, len(chunk))
		for i, id := range chunk {
			tasks[i].TaskID = mesos.TaskID{Value: id}
			if agent := c.unknown[id].agentID; agent != "" {
				tasks[i].AgentID = &mesos.AgentID{Value: agent}
			}
		}
		c.call(&sched.Call{Type: sched.Call_RECONCILE, Reconcile: &sched.Call_Reconcile{Tasks: tasks}})
	}
}

// taskKillOrdered records the explicit order to kill a task in quarantine.
func (c *Core) taskKillOrdered(e TaskKillOrdered) {
	u := c.unknown[e.TaskID]
	switch {
	case u == nil:
		c.refuse(e.Reply, c.notUnknown(e.TaskID))
	case u.order != nil:
		c.acceptNamed(e.Reply, u.id, fmt.Sprintf("was ordered already, by %s at %s", orSomebody(u.order.User), u.order.At.UTC().Format(time.RFC3339)))
	case c.killOrders() >= maxKillOrders:
		c.refuse(e.Reply, v1.ProblemConflict("too many orders", fmt.Sprintf(
			"%d unknown tasks are ordered killed and have not ended yet. So many unknown tasks mean a wrong state rather than wrong tasks: see berth restore", maxKillOrders)))
	default:
		u.order = &state.Order{At: c.now, User: e.User, Message: clip(e.Message)}
		c.changedKills[u.id] = true
		c.publish("UnknownTaskKillOrdered", "", "", "%s ordered task %s on agent %s killed, which no record explains: %s", orSomebody(u.order.User), u.id, u.agentID, orNoReason(u.order.Message))
		c.settleKill(u)
		message := "it is killed"
		if u.killedAt.IsZero() {
			message = "it is killed as soon as Mesos tells of it again; until then the order can be taken back"
		}
		c.acceptNamed(e.Reply, u.id, message)
	}
}

// taskKillWithdrawn takes such an order back.
func (c *Core) taskKillWithdrawn(e TaskKillWithdrawn) {
	u := c.unknown[e.TaskID]
	switch {
	case u == nil:
		c.refuse(e.Reply, c.notUnknown(e.TaskID))
	case u.order == nil:
		c.acceptNamed(e.Reply, u.id, "there was no order to kill it")
	default:
		message := "the task is left alone"
		if !u.killedAt.IsZero() {
			message = "no KILL is sent any more; the one that was sent may still end it"
		}
		c.changedKills[u.id] = true
		u.order = nil
		if !u.told {
			delete(c.unknown, u.id)
		}
		c.agenda.set(taskKey+u.id, time.Time{})
		c.publish("UnknownTaskKillTakenBack", "", "", "%s took the order to kill task %s back", orSomebody(e.User), u.id)
		c.acceptNamed(e.Reply, u.id, message)
	}
}

// notUnknown says why a task cannot be ordered killed.
func (c *Core) notUnknown(id string) *v1.Problem {
	s, life := c.taskSlot(id)
	if s == nil || s.Task == nil || life > s.Task.Life {
		return v1.ProblemNotFound("unknown task", id)
	}
	return v1.ProblemConflict("the task is not unknown", fmt.Sprintf(
		"task %s is life %d of node %s of %s, which Berth looks after: change or delete the cluster instead", id, life, s.Name, s.Owner))
}

func (c *Core) killOrders() int {
	n := 0
	for _, u := range c.unknown {
		if u.order != nil {
			n++
		}
	}
	return n
}

// UnknownTasks lists the tasks in quarantine, those with an order to kill first.
func (c *Core) UnknownTasks() v1.UnknownTaskList {
	all := slices.SortedFunc(maps.Values(c.unknown), func(a, b *unknownTask) int {
		return cmp.Or(-plan.CompareBool(a.order != nil, b.order != nil), a.first.Compare(b.first), cmp.Compare(a.id, b.id))
	})
	listed := all[:min(len(all), maxUnknownListed)]
	out := v1.UnknownTaskList{Tasks: make([]v1.UnknownTask, 0, len(listed)), LeftOut: len(all) - len(listed)}
	for _, u := range listed {
		v := v1.UnknownTask{TaskID: u.id, AgentID: u.agentID, FirstSeen: u.first, LastSeen: u.last, Message: c.unexplained(u.id)}
		if u.told {
			v.State = u.state.String()
		}
		if a := c.agents[u.agentID]; a != nil {
			v.Hostname = a.hostname
		}
		if u.order != nil {
			v.KillOrder = &v1.OrderView{At: u.order.At, User: u.order.User, Message: u.order.Message}
		}
		out.Tasks = append(out.Tasks, v)
	}
	return out
}

// unexplained says what the records have instead of a task.
func (c *Core) unexplained(id string) string {
	s, _ := c.taskSlot(id)
	switch {
	case s == nil:
		return "no record has a node that this could be"
	case s.Task == nil:
		return fmt.Sprintf("node %s of %s is on record, but no life of it: the records are older than the task, as after restoring a backup", s.Name, s.Owner)
	}
	return fmt.Sprintf("node %s of %s is on record up to life %d: the records are older than the task, as after restoring a backup", s.Name, s.Owner, s.Task.Life)
}

// killName is the name of the record with the order to kill a task: its id, or a
// checksum of ids that no key takes. Other users of our framework id may have any.
func killName(taskID string) string {
	if _, err := state.MakeKey(state.KindKill, taskID); err == nil {
		return taskID
	}
	sum := sha256.Sum256([]byte(taskID))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// encodeKills writes the orders that changed.
func (c *Core) encodeKills() error {
	for _, id := range slices.Sorted(maps.Keys(c.changedKills)) {
		w, err := killRecord.Delete(killName(id))
		if u := c.unknown[id]; u != nil && u.order != nil {
			w, err = killRecord.Encode(killName(id), state.Kill{TaskID: id, AgentID: u.agentID, Order: *u.order})
		}
		if err != nil {
			return err
		}
		c.out.Writes = append(c.out.Writes, w)
	}
	return nil
}

func orNoReason(message string) string {
	if message == "" {
		return "no reason given"
	}
	return message
}
