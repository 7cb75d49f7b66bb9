package agent

import (
	"bytes"
	"slices"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	mesosexec "github.com/mesos/mesos-go/api/v1/lib/executor"
)

// maxPending bounds the unacknowledged updates. With the agent away for its
// whole recovery timeout a node that flaps all the time makes fewer.
const maxPending = 64

// ledger is what the agent has not acknowledged, in order.
type ledger struct {
	main    string // the id of the task that this executor runs
	tasks   []mesos.TaskInfo
	pending []mesos.TaskStatus
	sent    int // pending[:sent] went out on the present subscription
}

func (l *ledger) launched(t mesos.TaskInfo) {
	if len(l.tasks) == maxPending {
		l.tasks = l.tasks[1:]
	}
	l.tasks = append(l.tasks, t)
}

// add appends an update. In a full ledger the oldest one goes that says least:
// a state that a later one has replaced, then the end of a task that was never
// ours to run. The end of our own task never goes.
func (l *ledger) add(s mesos.TaskStatus) {
	if len(l.pending) == maxPending {
		victim := slices.IndexFunc(l.pending, func(s mesos.TaskStatus) bool { return !terminal(s.GetState()) })
		if victim < 0 {
			victim = slices.IndexFunc(l.pending, func(s mesos.TaskStatus) bool { return s.TaskID.Value != l.main })
		}
		l.remove(victim)
	}
	l.pending = append(l.pending, s)
}

func (l *ledger) remove(i int) {
	l.pending = slices.Delete(l.pending, i, i+1)
	if i < l.sent {
		l.sent--
	}
}

// acknowledged forgets an update, and with the first one its task.
func (l *ledger) acknowledged(task string, uuid []byte) {
	l.tasks = slices.DeleteFunc(l.tasks, func(t mesos.TaskInfo) bool { return t.TaskID.Value == task })
	i := slices.IndexFunc(l.pending, func(s mesos.TaskStatus) bool { return bytes.Equal(s.UUID, uuid) })
	if i >= 0 {
		l.remove(i)
	}
}

// snapshot is what a SUBSCRIBE call repeats.
func (l *ledger) snapshot() (tasks []mesos.TaskInfo, updates []mesosexec.Call_Update) {
	for _, s := range l.pending {
		updates = append(updates, mesosexec.Call_Update{Status: s})
	}
	return slices.Clone(l.tasks), updates
}

// settled says that the end of our task was acknowledged: nothing is left to say.
func (l *ledger) settled() bool {
	return !slices.ContainsFunc(l.pending, func(s mesos.TaskStatus) bool { return s.TaskID.Value == l.main })
}

func terminal(s mesos.TaskState) bool {
	switch s {
	case mesos.TASK_FINISHED, mesos.TASK_FAILED, mesos.TASK_KILLED, mesos.TASK_ERROR:
		return true
	}
	return false
}
