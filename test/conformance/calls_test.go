package conformance

import (
	"cmp"
	"os"
	"slices"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/volumes"
)

// shape is what every machine has, in Mesos' form and as messages.
const shape = "cpus:4;mem:4096;disk:10000;ports:[31000-31099]"

func shapeResources() []mesos.Resource {
	return []mesos.Resource{scalar("cpus", 4), scalar("mem", 4096), scalar("disk", 10000), ports(31000, 31099)}
}

func scalar(name string, v float64) mesos.Resource {
	return mesos.Resource{Name: name, Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}}
}

func ports(begin, end uint64) mesos.Resource {
	return mesos.Resource{Name: "ports", Type: mesos.RANGES.Enum(), Ranges: &mesos.Value_Ranges{
		Range: []mesos.Value_Range{{Begin: begin, End: end}}}}
}

// share is what most tasks use.
func share() []mesos.Resource {
	return []mesos.Resource{scalar("cpus", 1), scalar("mem", 256), ports(31000, 31001)}
}

// reserved are resources with a reservation for our role, labelled.
func reserved(label string, rs ...mesos.Resource) []mesos.Resource {
	return reservedFor(role, label, rs...)
}

func reservedFor(role, label string, rs ...mesos.Resource) []mesos.Resource {
	rs = slices.Clone(rs)
	for i := range rs {
		rs[i].Reservations = []mesos.Resource_ReservationInfo{{
			Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: &role, Principal: ptr(principal),
			Labels: &mesos.Labels{Labels: []mesos.Label{{Key: volumes.LabelKey, Value: &label}}},
		}}
	}
	return rs
}

// volume is a volume of reserved disk.
func volume(label string, size float64) mesos.Resource {
	v := reserved(label, scalar("disk", size))[0]
	v.Disk = &mesos.Resource_DiskInfo{
		Persistence: &mesos.Resource_DiskInfo_Persistence{ID: label, Principal: ptr(principal)},
		Volume:      &mesos.Volume{ContainerPath: "data", Mode: mesos.RW.Enum()},
	}
	return v
}

func ptr[T any](v T) *T { return &v }

func reserve(id string, rs ...mesos.Resource) mesos.Offer_Operation { return volumes.ReserveOp(id, rs) }
func unreserve(id string, rs ...mesos.Resource) mesos.Offer_Operation {
	return volumes.UnreserveOp(id, rs)
}
func create(id string, rs ...mesos.Resource) mesos.Offer_Operation  { return volumes.CreateOp(id, rs) }
func destroy(id string, rs ...mesos.Resource) mesos.Offer_Operation { return volumes.DestroyOp(id, rs) }

// task is a task on a machine, with Berth's own executor.
func (s *script) task(id, machine string, rs ...mesos.Resource) mesos.TaskInfo {
	self, err := os.Executable()
	require.NoError(s.t, err)
	info, err := executor.BuildTask(executor.TaskOptions{
		TaskID: id, Name: id, FrameworkID: *s.info.ID, AgentID: mesos.AgentID{Value: s.ids[machine]}, Resources: rs,
		Launch: executor.Launch{Version: executor.LaunchVersion, Kind: kind, GraceSeconds: 1}, ExecutorPath: self,
	})
	require.NoError(s.t, err)
	info.Executor.Command.Environment = &mesos.Environment{Variables: []mesos.Environment_Variable{{Name: beExecutor, Value: ptr("1")}}}
	return info
}

func launch(tasks ...mesos.TaskInfo) mesos.Offer_Operation { return volumes.LaunchOp(tasks...) }

// ours gives a call our framework id.
func (s *script) ours(c *sched.Call) *sched.Call {
	c.FrameworkID = s.info.ID
	return c
}

// call makes a call and writes down what the master answers.
func (s *script) call(what string, c *sched.Call) {
	s.step("%s", what)
	s.answered(s.c.Call(s.stream, s.ours(c)))
}

// accept answers offers with operations; what they leave is offered again at
// once.
func (s *script) accept(offers []mesos.Offer, ops ...mesos.Offer_Operation) {
	s.t.Helper()
	what := make([]string, 0, len(ops))
	for i := range ops {
		what = append(what, ops[i].Type.String()+" "+s.opName(&ops[i]))
	}
	s.call("accept with "+cmp.Or(strings.Join(what, ", "), "nothing"), &sched.Call{Type: sched.Call_ACCEPT, Accept: &sched.Call_Accept{
		OfferIDs: s.consume(offers), Operations: ops, Filters: refuse(0),
	}})
}

func (s *script) opName(op *mesos.Offer_Operation) string {
	if op.Type != mesos.Offer_Operation_LAUNCH {
		return op.GetID().GetValue()
	}
	var ids []string
	for _, t := range op.Launch.TaskInfos {
		ids = append(ids, t.TaskID.Value)
		s.used[t.TaskID.Value] = usage{machine: strings.Split(s.agent(&t.AgentID), "(")[0], resources: taken(&t)}
	}
	return strings.Join(ids, " ")
}

func taken(t *mesos.TaskInfo) []mesos.Resource {
	if t.Executor == nil {
		return t.Resources
	}
	return append(slices.Clone(t.Resources), t.Executor.Resources...)
}

// consume: an offer that was answered is none any more.
func (s *script) consume(offers []mesos.Offer) []mesos.OfferID {
	ids := make([]mesos.OfferID, 0, len(offers))
	for _, o := range offers {
		ids = append(ids, o.ID)
		delete(s.offers, o.ID.Value)
	}
	return ids
}

func refuse(d time.Duration) *mesos.Filters { return &mesos.Filters{RefuseSeconds: ptr(d.Seconds())} }

func (s *script) decline(offers []mesos.Offer, d time.Duration) {
	s.call("decline for "+d.String(), &sched.Call{Type: sched.Call_DECLINE, Decline: &sched.Call_Decline{
		OfferIDs: s.consume(offers), Filters: refuse(d),
	}})
}

func (s *script) revive(roles ...string) {
	s.call(strings.TrimSpace("revive "+strings.Join(roles, " ")), &sched.Call{Type: sched.Call_REVIVE, Revive: &sched.Call_Revive{Roles: roles}})
}

func (s *script) suppress(roles ...string) {
	s.call(strings.TrimSpace("suppress "+strings.Join(roles, " ")), &sched.Call{Type: sched.Call_SUPPRESS, Suppress: &sched.Call_Suppress{Roles: roles}})
}

func (s *script) kill(task, agentID string) {
	k := &sched.Call_Kill{TaskID: mesos.TaskID{Value: task}}
	what := "kill " + task
	if agentID != "" {
		k.AgentID = &mesos.AgentID{Value: agentID}
		what += " on " + s.agent(k.AgentID)
	}
	s.call(what, &sched.Call{Type: sched.Call_KILL, Kill: k})
}

// reconcile asks for tasks, each by its id and the id of its agent, or "".
func (s *script) reconcile(tasks ...[2]string) {
	r := &sched.Call_Reconcile{}
	what := "reconcile"
	for _, t := range tasks {
		one := sched.Call_Reconcile_Task{TaskID: mesos.TaskID{Value: t[0]}}
		what += " " + t[0]
		if t[1] != "" {
			one.AgentID = &mesos.AgentID{Value: t[1]}
			what += " on " + s.agent(one.AgentID)
		}
		r.Tasks = append(r.Tasks, one)
	}
	s.call(what, &sched.Call{Type: sched.Call_RECONCILE, Reconcile: r})
}

// reconcileOperation asks for an operation.
func (s *script) reconcileOperation(id, agentID string) {
	o := sched.Call_ReconcileOperations_Operation{OperationID: mesos.OperationID{Value: id}}
	what := "reconcile operation " + id
	if agentID != "" {
		o.AgentID = &mesos.AgentID{Value: agentID}
		what += " on " + s.agent(o.AgentID)
	}
	s.call(what, &sched.Call{Type: sched.Call_RECONCILE_OPERATIONS, ReconcileOperations: &sched.Call_ReconcileOperations{
		Operations: []sched.Call_ReconcileOperations_Operation{o},
	}})
}

// tell orders a running task about, by MESSAGE.
func (s *script) tell(task, machine, what string) {
	s.call("tell "+task+" to "+what, &sched.Call{Type: sched.Call_MESSAGE, Message: &sched.Call_Message{
		AgentID: mesos.AgentID{Value: s.ids[machine]}, ExecutorID: mesos.ExecutorID{Value: task}, Data: order(what),
	}})
}

// run launches a task on what a machine offers, and waits until it runs.
func (s *script) run(task, machine string) {
	s.t.Helper()
	s.accept(s.offered(machine), launch(s.task(task, machine, share()...)))
	s.runs(task)
}

func (s *script) runs(task string) {
	s.t.Helper()
	s.await("task "+task+" STARTING", "task "+task+" RUNNING")
}
