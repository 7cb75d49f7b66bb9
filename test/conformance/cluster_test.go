package conformance

import (
	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/berthdata/berth/test/mesosmodel"
)

// cluster is a Mesos with one master, to which machines can be added and which
// can be hurt. Machines are named; each is a host with one agent at a time. What
// cannot be done fails the test.
type cluster interface {
	// Subscribe opens a subscription as soon as a master takes it; the error is
	// any other answer than 200 or "not now". Unsubscribe breaks it, as a
	// scheduler that dies.
	Subscribe(info *mesos.FrameworkInfo) (stream string, err error)
	Unsubscribe(stream string)
	// Call sends a call of a subscription; the error is any answer but 202.
	Call(stream string, c *sched.Call) error
	// Next waits for the next delivery of any subscription; ok is false when
	// none came within the patience.
	Next(p patience) (d mesosmodel.Delivery, ok bool)

	// AddMachine starts a machine with an agent of the standard shape.
	AddMachine(name string)
	// AgentID waits until a machine's agent is registered and active, and
	// returns its id.
	AgentID(name string) string
	// StopAgent ends the agent process alone, PowerOff everything on the
	// machine. ForgetID makes an agent that does not run come back under a new
	// id. StartAgent starts it again.
	StopAgent(name string)
	PowerOff(name string)
	ForgetID(name string)
	StartAgent(name string)
	// Partition cuts a machine off the master, Rejoin ends that.
	Partition(name string)
	Rejoin(name string)
	// FailMaster ends the master, and one that knows only the registry follows.
	FailMaster()

	// What an operator can do.
	Drain(name string)
	Reactivate(name string)
	MarkGone(agentID string)
	SetQuota(role string, limits map[string]float64)
	Maintain(name string)
	Teardown(frameworkID string)
	Destroy(name string, volumes ...mesos.Resource)
	Unreserve(name string, rs ...mesos.Resource)
	// Total is what a machine's agent has in the operator's view.
	Total(name string) []mesos.Resource
}

// patience is how long one waits for an event.
type patience int

const (
	// enough for what must come.
	enough patience = iota
	// brief is for what must not come: several rounds of the allocator.
	brief
	// moment is for what is on its way to arrive, such as acknowledgements.
	moment
	// lapse is longer than what a task does later takes.
	lapse
)
