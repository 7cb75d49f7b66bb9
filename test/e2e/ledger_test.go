package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"testing"
	"time"

	mesosgo "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/master/calls"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/documents"
	"github.com/berthdata/berth/test/rig/mesos"
)

// reservation is what somebody makes by the operator API.
type reservation struct {
	principal, label string
	cpus, disk       float64
	volume           string // of all the disk
	refine           string // a role below Berth's, on top
}

const berthRole, berthPrincipal = "berth", "berth"

// makeReservation reserves on an agent as an operator or another framework would.
func (w *world) makeReservation(agent *mesos.Agent, r reservation) {
	w.t.Helper()
	id, err := w.mesos.AgentID(w.ctx, agent)
	require.NoError(w.t, err)
	info := mesosgo.Resource_ReservationInfo{Type: mesosgo.Resource_ReservationInfo_DYNAMIC.Enum(), Role: new(berthRole), Principal: &r.principal}
	if r.label != "" {
		info.Labels = &mesosgo.Labels{Labels: []mesosgo.Label{{Key: "berth.slot", Value: &r.label}}}
	}
	stack := []mesosgo.Resource_ReservationInfo{info}
	scalar := func(name string, v float64) mesosgo.Resource {
		return mesosgo.Resource{Name: name, Type: mesosgo.SCALAR.Enum(), Scalar: &mesosgo.Value_Scalar{Value: v}, Reservations: stack}
	}
	reserve := func() []mesosgo.Resource {
		var rs []mesosgo.Resource
		if r.cpus > 0 {
			rs = append(rs, scalar("cpus", r.cpus))
		}
		if r.disk > 0 {
			rs = append(rs, scalar("disk", r.disk))
		}
		_, err := w.mesos.Call(w.ctx, calls.ReserveResources(id, rs...))
		require.NoError(w.t, err)
		return rs
	}
	rs := reserve()
	if r.refine != "" {
		stack = append(stack, mesosgo.Resource_ReservationInfo{Type: info.Type, Role: &r.refine, Principal: new("ops")})
		reserve()
	}
	if r.volume != "" {
		v := rs[len(rs)-1]
		v.Disk = &mesosgo.Resource_DiskInfo{
			Persistence: &mesosgo.Resource_DiskInfo_Persistence{ID: r.volume, Principal: &r.principal},
			Volume:      &mesosgo.Volume{ContainerPath: "data", Mode: mesosgo.RW.Enum()},
		}
		_, err = w.mesos.Call(w.ctx, calls.CreateVolumes(id, v))
		require.NoError(w.t, err)
	}
}

// ledger reads the ledger after asking the master.
func (w *world) ledger(classes ...string) v1.VolumeList {
	w.t.Helper()
	list, err := w.berth.Volumes(w.ctx, client.VolumeQuery{Classes: classes, Fresh: true})
	require.NoError(w.t, err)
	assert.True(w.t, list.Witness.Fresh)
	return list
}

// entry is the one entry of the ledger that satisfies a condition.
func (w *world) entry(what string, ok func(v1.VolumeView) bool) v1.VolumeView {
	w.t.Helper()
	var found []v1.VolumeView
	list := w.ledger()
	for _, v := range list.Volumes {
		if ok(v) {
			found = append(found, v)
		}
	}
	require.Len(w.t, found, 1, "%s in %+v", what, list.Volumes)
	return found[0]
}

// audit runs the command line and returns its exit code and output.
func (w *world) audit() (int, string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.ctx, w.binaries.Scheduler, "volumes", "audit", "--server", w.berth.URL())
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(w.t, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// repair plans, approves, and returns the id.
func (w *world) repair(o client.RepairOptions) v1.RepairView {
	w.t.Helper()
	planned, err := w.berth.PlanRepair(w.ctx, o)
	require.NoError(w.t, err)
	view, err := w.berth.Repair(w.ctx, planned.Name)
	require.NoError(w.t, err)
	_, err = w.berth.ApproveRepair(w.ctx, view.ID, view.Fingerprint, "end-to-end test")
	require.NoError(w.t, err)
	view, err = w.berth.Repair(w.ctx, planned.Name)
	require.NoError(w.t, err)
	return view
}

func (w *world) waitRepair(id, state string) v1.RepairView {
	w.t.Helper()
	var view v1.RepairView
	require.NoError(w.t, rig.Eventually(w.ctx, 200*time.Millisecond, id+" to be "+state, func(ctx context.Context) error {
		var err error
		if view, err = w.berth.Repair(ctx, id); err != nil {
			return err
		}
		if view.State != state {
			return fmt.Errorf("it is %s: %+v", view.State, view.Steps)
		}
		return nil
	}))
	return view
}

// TestLedger: what others do in Berth's role on a real Mesos, found, and put right
// by plans that a person approves; and a volume of Berth's that somebody removes.
func TestLedger(t *testing.T) {
	w := newWorld(t, 9*time.Minute, mesos.Options{}, "--mesos-principal="+berthPrincipal)
	const name, docs = "led", 300
	w.apply(name, 3)
	endpoints, err := w.berth.Endpoints(w.ctx, name)
	require.NoError(t, err)
	index, err := documents.Open(endpoints.HTTP, "docs")
	require.NoError(t, err)
	require.NoError(t, index.Create(w.ctx, 3, 1))
	require.NoError(t, index.Write(w.ctx, 0, docs))
	_, err = w.berth.WaitPhase(w.ctx, name, "Ready")
	require.NoError(t, err)
	one, two, three := w.mesos.Agent("agent1"), w.mesos.Agent("agent2"), w.mesos.Agent("agent3")

	t.Run("clean", func(t *testing.T) {
		require.NoError(t, rig.Eventually(w.ctx, 500*time.Millisecond, "both witnesses to agree", func(context.Context) error {
			if code, out := w.audit(); code != 0 {
				return fmt.Errorf("exit code %d: %s", code, out)
			}
			return nil
		}))
		list := w.ledger()
		assert.Equal(t, map[string]int{"owned": 3}, list.Summary)
		assert.Equal(t, 3, list.Confirmed)
		for _, v := range list.Volumes {
			require.NotNil(t, v.Reserved, v.ID)
			assert.Equal(t, 0.5, v.Reserved.CPUs)
			assert.Equal(t, berthPrincipal, v.Principal)
			assert.Equal(t, []v1.Label{{Key: "berth.slot", Value: v.ID}}, v.Labels)
			assert.Equal(t, []v1.PersistentVolume{{ID: v.ID, SizeMiB: 1024}}, v.PersistentVolumes)
		}
	})

	none, wait := time.Duration(0), 4*time.Second
	labelled := func(label, class string) v1.VolumeView {
		t.Helper()
		return w.entry(class+" "+label, func(v v1.VolumeView) bool { return v.ID == label && v.Class == class })
	}
	byOperatorAPI := ""
	t.Run("where no offers come", func(t *testing.T) {
		// An agent that an operator has deactivated is not offered, and what was
		// refined for another role is not offered to Berth. The repair goes on
		// while the next tests run.
		w.makeReservation(three, reservation{principal: berthPrincipal, label: "old-data-2.3", disk: 64, volume: "old-data-2.3"})
		w.makeReservation(two, reservation{principal: berthPrincipal, label: "old-data-3.4", cpus: 0.1, refine: berthRole + "/sub"})
		require.NoError(t, w.mesos.Deactivate(w.ctx, three))
		orphan := labelled("old-data-2.3", "orphan")
		refined := w.entry("a refined reservation", func(v v1.VolumeView) bool { return v.Class == "foreign" })
		assert.Equal(t, berthRole+"/sub", refined.Role)
		assert.Equal(t, two.Hostname(), refined.Hostname)
		view := w.repair(client.RepairOptions{Findings: []string{refined.Finding, orphan.Finding}, Retention: &none})
		require.Len(t, view.Steps, 2)
		byOperatorAPI = view.ID
	})

	t.Run("others in the role", func(t *testing.T) {
		w.makeReservation(one, reservation{principal: "ops", label: "theirs", cpus: 0.1, disk: 32, volume: "their-data"})
		w.makeReservation(two, reservation{principal: berthPrincipal, label: "old-data-0.1", cpus: 0.1, disk: 64, volume: "old-data-0.1"})
		w.makeReservation(one, reservation{principal: berthPrincipal, label: "old-data-1.2", cpus: 0.2})
		foreign := labelled("theirs", "foreign")
		assert.Equal(t, "ops", foreign.Principal)
		assert.Equal(t, berthRole, foreign.Role)
		assert.Equal(t, one.Hostname(), foreign.Hostname)
		assert.Equal(t, []v1.PersistentVolume{{ID: "their-data", SizeMiB: 32}}, foreign.PersistentVolumes)
		assert.Contains(t, foreign.Message, "principal ops made it")
		orphan := labelled("old-data-0.1", "orphan")
		assert.Equal(t, "old-data-0", orphan.Node)
		assert.Equal(t, two.Hostname(), orphan.Hostname)
		assert.Equal(t, []v1.PersistentVolume{{ID: "old-data-0.1", SizeMiB: 64}}, orphan.PersistentVolumes)
		require.NotNil(t, orphan.FirstSeen)
		labelled("old-data-1.2", "orphan")
		code, out := w.audit()
		assert.Equal(t, 1, code, out)

		view := w.repair(client.RepairOptions{Retention: &wait})
		require.Len(t, view.Steps, 2)
		left := map[string]bool{}
		for _, l := range view.Left {
			left[l.Finding] = true
		}
		assert.True(t, left[foreign.Finding], "what is not Berth's is left: %+v", view.Left)
		done := w.waitRepair(view.ID, "Done")
		for _, st := range done.Steps {
			assert.Equal(t, "done", st.State, "%+v", st)
			assert.Contains(t, st.Message, "by offer")
		}
		require.NotNil(t, done.Approved)
		assert.GreaterOrEqual(t, done.EndedAt.Sub(done.Approved.At), wait, "kept for its retention time")
		for _, a := range []*mesos.Agent{one, two} {
			held, err := w.mesos.Reserved(w.ctx, a)
			require.NoError(t, err)
			for _, r := range held {
				assert.NotContains(t, r.String(), "old-data-0", "on %s", a.Hostname())
				assert.NotContains(t, r.String(), "old-data-1", "on %s", a.Hostname())
			}
		}
		// Since when it is there survives a restart of Berth.
		require.NoError(t, w.berth.Stop(w.ctx))
		require.NoError(t, w.berth.Restart())
		require.NoError(t, w.berth.WaitReady(w.ctx))
		assert.Equal(t, foreign.FirstSeen, labelled("theirs", "foreign").FirstSeen)
		// By name, what is not Berth's is given back as well.
		w.waitRepair(w.repair(client.RepairOptions{Findings: []string{foreign.Finding}, Retention: &none}).ID, "Done")
	})

	t.Run("by the operator API", func(t *testing.T) {
		done := w.waitRepair(byOperatorAPI, "Done")
		for _, st := range done.Steps {
			assert.Equal(t, "done", st.State, "%+v", st)
			assert.Contains(t, st.Message, "by operator API")
		}
		require.NoError(t, w.mesos.Reactivate(w.ctx, three))
		// Under the refinement lay a reservation of Berth's own kind.
		labelled("old-data-3.4", "orphan")
		w.waitRepair(w.repair(client.RepairOptions{}).ID, "Done")
		code, out := w.audit()
		assert.Equal(t, 0, code, out)
		assert.Equal(t, map[string]int{"owned": 3}, w.ledger().Summary, "zero left")
		view, err := w.berth.WaitPhase(w.ctx, name, "Ready")
		require.NoError(t, err)
		assert.Equal(t, 3, view.Status.NodesHealthy)
		nodes, err := w.berth.Nodes(w.ctx, name)
		require.NoError(t, err)
		for _, n := range nodes {
			assert.EqualValues(t, 1, n.Life, "no node was touched: %s", n.Name)
		}
	})

	t.Run("a volume of Berth's is removed", func(t *testing.T) {
		node, err := w.berth.Node(w.ctx, name, "led-node-2")
		require.NoError(t, err)
		agent := w.mesos.Agent(node.Hostname)
		require.NotNil(t, agent)
		require.NoError(t, w.berth.Stop(w.ctx))
		require.NoError(t, agent.PowerOff(w.ctx))
		require.NoError(t, agent.Start())
		info, err := w.mesos.WaitAgent(w.ctx, agent)
		require.NoError(t, err)
		volumes, err := w.mesos.Volumes(w.ctx, agent)
		require.NoError(t, err)
		require.Len(t, volumes, 1)
		require.NoError(t, rig.Eventually(w.ctx, 200*time.Millisecond, "the volume to be unused and destroyed", func(ctx context.Context) error {
			_, err := w.mesos.Call(ctx, calls.DestroyVolumes(*info.AgentInfo.ID, inOneFormat(volumes[0])))
			return err
		}))
		require.NoError(t, w.berth.Restart())
		require.NoError(t, w.berth.WaitReady(w.ctx))
		require.NoError(t, rig.Eventually(w.ctx, 500*time.Millisecond, "the volume to be missed", func(ctx context.Context) error {
			view, err := w.berth.Cluster(ctx, name)
			if err != nil {
				return err
			}
			for _, c := range view.Status.Conditions {
				if c.Type == "VolumesPresent" && c.Status == "False" {
					return nil
				}
			}
			return fmt.Errorf("%+v", view.Status.Conditions)
		}))
		missing := w.entry("missing", func(v v1.VolumeView) bool { return v.Class == "missing" })
		assert.Equal(t, node.VolumeID, missing.ID)
		assert.Contains(t, missing.Message, "its volume is not there")
		code, out := w.audit()
		assert.Equal(t, 1, code, out)

		// No plan replaces data by an empty volume.
		_, err = w.berth.PlanRepair(w.ctx, client.RepairOptions{Findings: []string{missing.Finding}})
		require.ErrorContains(t, err, "data was on the volume")
		// Nor does Berth by itself, though its reservation is offered all the time.
		require.NoError(t, rig.Hold(w.ctx, 8*time.Second, 500*time.Millisecond, "no volume is made anew", func(ctx context.Context) error {
			volumes, err := w.mesos.Volumes(ctx, agent)
			if err != nil {
				return err
			}
			if len(volumes) > 0 {
				return fmt.Errorf("agent %s has %v", agent.Hostname(), volumes)
			}
			return nil
		}))
		after, err := w.berth.Node(w.ctx, name, "led-node-2")
		require.NoError(t, err)
		assert.Equal(t, node.VolumeID, after.VolumeID)
		assert.NotEqual(t, "Healthy", after.State)
		// The other nodes have every document.
		endpoints, err := w.berth.Endpoints(w.ctx, name)
		require.NoError(t, err)
		require.Len(t, endpoints.HTTP, 2)
		rest, err := documents.Open(endpoints.HTTP, "docs")
		require.NoError(t, err)
		count, err := rest.Count(w.ctx)
		require.NoError(t, err)
		assert.Equal(t, docs, count)

		// By order another node takes its place: there is no fourth machine, and
		// on its own one what was still reserved for it is given back.
		require.NoError(t, rig.Eventually(w.ctx, 500*time.Millisecond, "the node to be replaced by order", func(ctx context.Context) error {
			_, err := w.berth.ReplaceNode(ctx, name, "led-node-2", client.ReplaceOptions{Message: "end-to-end test"})
			return err // until Elasticsearch has told of every shard
		}))
		_, err = w.berth.WaitPhase(w.ctx, name, "Ready")
		require.NoError(t, err)
		require.NoError(t, rig.Eventually(w.ctx, 500*time.Millisecond, "both witnesses to agree", func(context.Context) error {
			if code, out := w.audit(); code != 0 {
				return fmt.Errorf("exit code %d: %s", code, out)
			}
			return nil
		}))
		assert.Equal(t, map[string]int{"owned": 3}, w.ledger().Summary, "zero left")
		endpoints, err = w.berth.Endpoints(w.ctx, name)
		require.NoError(t, err)
		require.Len(t, endpoints.HTTP, 3)
		all, err := documents.Open(endpoints.HTTP, "docs")
		require.NoError(t, err)
		count, err = all.Count(w.ctx)
		require.NoError(t, err)
		assert.Equal(t, docs, count)
	})
}

// inOneFormat drops the old reservation fields, which the operator API fills beside
// the new ones and refuses together with them.
func inOneFormat(r mesosgo.Resource) mesosgo.Resource {
	r.Role, r.Reservation, r.AllocationInfo = nil, nil, nil
	return r
}
