package mesosmodel

import (
	"fmt"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// framework is the one framework, as it last subscribed.
type framework struct {
	id       string
	roles    []string
	failover time.Duration
	// absent numbers the times that it went away.
	absent int
}

// FrameworkID is the newest id that the master has assigned.
func (m *Model) FrameworkID() string { return m.framework.id }

// Subscribe opens a subscription; without an id it registers a new framework. The
// newest subscription wins (Mesos rule 2). What the master refuses comes as an
// event on the stream, which then ends. The call fails while there is no master.
func (m *Model) Subscribe(info *mesos.FrameworkInfo) (stream string, err error) {
	if m.master == nil {
		return "", fmt.Errorf("503: the master has not finished its recovery")
	}
	id := info.ID.GetValue()
	if why := m.unwelcome(id, info.Roles); why != "" {
		stream = fmt.Sprintf("stream-%d", m.number())
		m.out = append(m.out, Delivery{Stream: stream, Event: errorEvent(why)}, Delivery{Stream: stream, Closed: why})
		return stream, nil
	}
	if m.stream != "" {
		m.send(errorEvent("Framework failed over"))
		m.closeStream("Framework failed over")
	}
	m.rescindAll()
	if id == "" {
		id = fmt.Sprintf("framework-%d", m.number())
	}
	m.framework = framework{
		id: id, roles: slices.Clone(info.Roles), absent: m.framework.absent + 1,
		failover: time.Duration(info.GetFailoverTimeout() * float64(time.Second)),
	}
	m.stream = fmt.Sprintf("stream-%d", m.number())
	m.master.suppressed = map[string]bool{}
	for _, a := range m.master.agents {
		a.filters = nil
	}
	m.trace("master: %s subscribed as %s", m.stream, id)
	m.send(&sched.Event{Type: sched.Event_SUBSCRIBED, Subscribed: &sched.Event_Subscribed{
		FrameworkID: &mesos.FrameworkID{Value: id},
	}})
	return m.stream, nil
}

func errorEvent(why string) *sched.Event {
	return &sched.Event{Type: sched.Event_ERROR, Error: &sched.Event_Error{Message: why}}
}

// unwelcome says why a framework may not subscribe (Mesos rules 10 and 13).
func (m *Model) unwelcome(id string, roles []string) string {
	if m.master.removed[id] {
		return "Framework has been removed"
	}
	for i, role := range roles {
		if slices.Contains(roles[:i], role) {
			return fmt.Sprintf("'FrameworkInfo.roles' contains duplicate items: { %s }", role)
		}
	}
	return ""
}

// Unsubscribe is what the master sees when a connection breaks.
func (m *Model) Unsubscribe(stream string) {
	if stream == "" || stream != m.stream {
		return
	}
	m.closeStream("the connection broke")
	m.rescindAll()
	if m.framework.failover == 0 {
		return // not told: for ever
	}
	m.framework.absent++
	n, ms := m.framework.absent, m.master
	m.after(m.framework.failover, func() {
		if m.framework.absent == n && m.master == ms {
			m.removeFramework()
		}
	})
}

// DropConnection breaks the subscription from outside.
func (m *Model) DropConnection() { m.Unsubscribe(m.stream) }

// Connected says whether a subscription is open.
func (m *Model) Connected(stream string) bool { return stream != "" && stream == m.stream }

// Teardown removes a framework, as an operator does.
func (m *Model) Teardown(id string) {
	if m.master == nil || id != m.framework.id {
		return
	}
	m.closeStream("the framework was torn down")
	m.removeFramework()
}

// removeFramework forgets the framework for ever: its tasks are shut down
// without a word, its reservations and volumes stay (Mesos rules 9 and 10).
func (m *Model) removeFramework() {
	ms, id := m.master, m.framework.id
	m.trace("master: framework %s is removed", id)
	ms.removed[id] = true
	m.rescindAll()
	for _, agentID := range ms.ids() {
		m.down(agentID, func(a *agent) { m.shutdownFramework(a, id) })
	}
	ms.tasks, ms.executors, ms.lost = map[string]*masterTask{}, map[string]*masterExecutor{}, map[string]lostTask{}
}

// shutdownFramework ends what a framework runs on an agent.
func (m *Model) shutdownFramework(a *agent, id string) {
	for _, taskID := range sortedKeys(a.tasks) {
		t := a.tasks[taskID]
		if t.info.GetExecutor().GetFrameworkID().GetValue() != id {
			continue
		}
		if t.c != nil {
			m.vanish(t.c)
		}
		delete(a.tasks, taskID)
		delete(a.executors, taskID)
	}
}

// send gives an event to the subscription, if there is one.
func (m *Model) send(ev *sched.Event) {
	if m.stream != "" {
		m.out = append(m.out, Delivery{Stream: m.stream, Event: ev})
	}
}

func (m *Model) closeStream(why string) {
	if m.stream != "" {
		m.out = append(m.out, Delivery{Stream: m.stream, Closed: why})
		m.stream = ""
	}
}
