// Package agenttest is a stand-in for a Mesos agent in tests of executors: the
// executor API with its stream of events, restarts and refusals.
package agenttest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	mesosexec "github.com/mesos/mesos-go/api/v1/lib/executor"
	"github.com/stretchr/testify/require"
)

// What the stand-in gives its executor.
const (
	FrameworkID = "framework-1"
	ExecutorID  = "it-data-0.1"
	Token       = "executor-secret"
)

// Subscription is what one SUBSCRIBE call repeated.
type Subscription struct {
	Tasks   []string
	Updates []mesos.TaskStatus
}

// Agent is the stand-in.
type Agent struct {
	t      testing.TB
	server *httptest.Server

	mu            sync.Mutex
	changed       chan struct{} // closed and replaced at every change
	down          bool
	silent        bool // acknowledges nothing
	refuse        bool // refuses updates
	subscriptions []Subscription
	updates       []mesos.TaskStatus // in the order of arrival, each once
	calls         int                // of UPDATE
	knocks        int                // SUBSCRIBE calls that were refused while down
	stream        *stream
}

type stream struct {
	events chan []byte
	end    chan struct{}
	once   sync.Once
}

func (s *stream) close() { s.once.Do(func() { close(s.end) }) }

// New starts an agent that lives as long as the test.
func New(t testing.TB) *Agent {
	a := &Agent{t: t, changed: make(chan struct{})}
	a.server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(func() {
		a.Down()
		a.server.Close()
	})
	return a
}

// Env is the environment of an executor in a sandbox.
func (a *Agent) Env(sandbox string) map[string]string {
	return map[string]string{
		"MESOS_AGENT_ENDPOINT":                 strings.TrimPrefix(a.server.URL, "http://"),
		"MESOS_SLAVE_PID":                      "slave(7)@" + strings.TrimPrefix(a.server.URL, "http://"),
		"MESOS_FRAMEWORK_ID":                   FrameworkID,
		"MESOS_EXECUTOR_ID":                    ExecutorID,
		"MESOS_EXECUTOR_AUTHENTICATION_TOKEN":  Token,
		"MESOS_SANDBOX":                        sandbox,
		"MESOS_CHECKPOINT":                     "1",
		"MESOS_RECOVERY_TIMEOUT":               "15mins",
		"MESOS_SUBSCRIPTION_BACKOFF_MAX":       "2secs",
		"MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "5secs",
	}
}

// Down drops the connection and refuses new ones until Up.
func (a *Agent) Down() { a.set(func() { a.down = true }); a.Drop() }

// Up ends Down.
func (a *Agent) Up() { a.set(func() { a.down = false }) }

// WaitKnock waits until the executor tries to subscribe while the agent is down:
// by then it knows that the agent was away.
func (a *Agent) WaitKnock() {
	a.t.Helper()
	before := 0
	a.set(func() { before = a.knocks })
	a.wait("the executor to come back", func() bool { return a.knocks > before })
}

// Drop ends the present subscription.
func (a *Agent) Drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stream != nil {
		a.stream.close()
		a.stream = nil
	}
}

// Silent stops or starts the acknowledgements.
func (a *Agent) Silent(on bool) { a.set(func() { a.silent = on }) }

// RefuseUpdates makes UPDATE calls fail, or work again.
func (a *Agent) RefuseUpdates(on bool) { a.set(func() { a.refuse = on }) }

func (a *Agent) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
	close(a.changed)
	a.changed = make(chan struct{})
}

// Send sends an event on the present subscription, for which it waits.
func (a *Agent) Send(e *mesosexec.Event) {
	a.t.Helper()
	data, err := e.Marshal()
	require.NoError(a.t, err)
	a.SendBytes([]byte(fmt.Sprintf("%d\n%s", len(data), data)))
}

// SendBytes sends what may be no event at all.
func (a *Agent) SendBytes(b []byte) {
	a.t.Helper()
	var s *stream
	a.wait("a subscription", func() bool { s = a.stream; return s != nil })
	select {
	case s.events <- b:
	case <-s.end:
		a.t.Fatal("the subscription ended before the event was sent")
	case <-time.After(10 * time.Second):
		a.t.Fatal("the executor does not read its events")
	}
}

// Launch sends LAUNCH.
func (a *Agent) Launch(id string, data []byte) {
	a.t.Helper()
	a.Send(&mesosexec.Event{Type: mesosexec.Event_LAUNCH, Launch: &mesosexec.Event_Launch{Task: Task(id, data)}})
}

// Kill sends KILL; a negative grace sends no policy.
func (a *Agent) Kill(id string, grace time.Duration) {
	a.t.Helper()
	k := &mesosexec.Event_Kill{TaskID: mesos.TaskID{Value: id}}
	if grace >= 0 {
		k.KillPolicy = &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: int64(grace)}}
	}
	a.Send(&mesosexec.Event{Type: mesosexec.Event_KILL, Kill: k})
}

// Task is a task of this agent.
func Task(id string, data []byte) mesos.TaskInfo {
	return mesos.TaskInfo{Name: id, TaskID: mesos.TaskID{Value: id}, AgentID: mesos.AgentID{Value: "agent-1"}, Data: data}
}

// Updates are all updates so far, each once.
func (a *Agent) Updates() []mesos.TaskStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]mesos.TaskStatus{}, a.updates...)
}

// WaitUpdate waits for an update of a task in a state and returns it.
func (a *Agent) WaitUpdate(id string, state mesos.TaskState) *mesos.TaskStatus {
	a.t.Helper()
	var found mesos.TaskStatus
	a.wait(fmt.Sprintf("%s of %s", state, id), func() bool {
		for _, s := range a.updates {
			if s.TaskID.Value == id && s.GetState() == state {
				found = s
				return true
			}
		}
		return false
	})
	return &found
}

// WaitSubscription waits for the n-th subscription, from 1, and returns it.
func (a *Agent) WaitSubscription(n int) Subscription {
	a.t.Helper()
	a.wait(fmt.Sprintf("subscription %d", n), func() bool { return len(a.subscriptions) >= n && a.stream != nil })
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.subscriptions[n-1]
}

// UpdateCalls is how many UPDATE calls were taken: what came with a SUBSCRIBE
// call is not counted.
func (a *Agent) UpdateCalls() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls
}

// Subscriptions is how many there were.
func (a *Agent) Subscriptions() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.subscriptions)
}

// Wait waits until the updates so far satisfy a condition.
func (a *Agent) Wait(what string, ok func(updates []mesos.TaskStatus) bool) {
	a.t.Helper()
	a.wait(what, func() bool { return ok(a.updates) })
}

func (a *Agent) wait(what string, ok func() bool) {
	a.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		a.mu.Lock()
		done, changed := ok(), a.changed
		a.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			a.t.Fatalf("the agent waited in vain for %s", what)
		}
	}
}

func (a *Agent) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	call := new(mesosexec.Call)
	a.mu.Lock()
	down, refuse := a.down, a.refuse
	a.mu.Unlock()
	switch {
	case down:
		if call.Unmarshal(body) == nil && call.Type == mesosexec.Call_SUBSCRIBE {
			a.set(func() { a.knocks++ })
		}
		http.Error(w, "Agent has not finished recovery", http.StatusServiceUnavailable)
	case r.URL.Path != "/slave(7)/api/v1/executor":
		http.Error(w, "no such process: "+r.URL.Path, http.StatusNotFound)
	case r.Header.Get("Authorization") != "Bearer "+Token:
		http.Error(w, "who are you?", http.StatusUnauthorized)
	case r.Header.Get("Content-Type") != "application/x-protobuf" || call.Unmarshal(body) != nil:
		http.Error(w, "not understood", http.StatusBadRequest)
	case call.FrameworkID.Value != FrameworkID || call.ExecutorID.Value != ExecutorID:
		http.Error(w, "unknown executor", http.StatusBadRequest)
	case call.Type == mesosexec.Call_SUBSCRIBE:
		a.subscribe(w, r, call.Subscribe)
	case call.Type == mesosexec.Call_UPDATE && refuse:
		http.Error(w, "not now", http.StatusServiceUnavailable)
	case call.Type == mesosexec.Call_UPDATE:
		w.WriteHeader(http.StatusAccepted)
		a.set(func() { a.calls++ })
		a.receive(call.Update.Status)
	default:
		http.Error(w, "not understood", http.StatusBadRequest)
	}
}

func (a *Agent) subscribe(w http.ResponseWriter, r *http.Request, sub *mesosexec.Call_Subscribe) {
	s := &stream{events: make(chan []byte, 64), end: make(chan struct{})}
	record := Subscription{}
	for _, t := range sub.UnacknowledgedTasks {
		record.Tasks = append(record.Tasks, t.TaskID.Value)
	}
	for _, u := range sub.UnacknowledgedUpdates {
		record.Updates = append(record.Updates, u.Status)
	}
	w.WriteHeader(http.StatusOK)
	flusher, _ := w.(http.Flusher)
	flusher.Flush()
	a.set(func() {
		if a.stream != nil {
			a.stream.close()
		}
		a.stream = s
		a.subscriptions = append(a.subscriptions, record)
	})
	defer func() {
		s.close()
		a.set(func() {
			if a.stream == s {
				a.stream = nil
			}
		})
	}()
	for _, u := range record.Updates {
		a.receive(u)
	}
	for {
		select {
		case b := <-s.events:
			if _, err := w.Write(b); err != nil {
				return
			}
			flusher.Flush()
		case <-s.end:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// receive keeps an update, as an agent does, by its uuid, and acknowledges it.
func (a *Agent) receive(s mesos.TaskStatus) {
	a.set(func() {
		for _, u := range a.updates {
			if string(u.UUID) == string(s.UUID) {
				return
			}
		}
		a.updates = append(a.updates, s)
	})
	a.mu.Lock()
	stream, silent := a.stream, a.silent
	a.mu.Unlock()
	if silent || stream == nil {
		return
	}
	e := &mesosexec.Event{Type: mesosexec.Event_ACKNOWLEDGED, Acknowledged: &mesosexec.Event_Acknowledged{TaskID: s.TaskID, UUID: s.UUID}}
	data, err := e.Marshal()
	if err != nil {
		a.t.Error(err)
		return
	}
	select {
	case stream.events <- []byte(fmt.Sprintf("%d\n%s", len(data), data)):
	case <-stream.end:
	}
}
