package placement_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/encoding/framing"
	"github.com/mesos/mesos-go/api/v1/lib/recordio"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler/calls"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	rigmesos "github.com/berthdata/berth/test/rig/mesos"
	"github.com/berthdata/berth/test/rig/rigtest"
	"github.com/berthdata/berth/test/rig/setup"
	"github.com/berthdata/berth/volumes"
)

const (
	grantRole      = "lab/search"
	grantPrincipal = "berth"
)

// client is a framework of one role that does one thing at a time.
type client struct {
	t      *testing.T
	ctx    context.Context
	url    string
	stream string
	id     *mesos.FrameworkID
	frames framing.Reader
	offers []mesos.Offer // not pooled yet
}

func subscribe(ctx context.Context, t *testing.T, masterURL string) *client {
	c := &client{t: t, ctx: ctx, url: masterURL + "/api/v1/scheduler"}
	principal, failover := grantPrincipal, 60.0
	info := &mesos.FrameworkInfo{Name: "grants", User: "nobody", Roles: []string{grantRole}, Principal: &principal, FailoverTimeout: &failover}
	for _, k := range []mesos.FrameworkInfo_Capability_Type{
		mesos.FrameworkInfo_Capability_MULTI_ROLE, mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT,
	} {
		info.Capabilities = append(info.Capabilities, mesos.FrameworkInfo_Capability{Type: k})
	}
	resp := c.post(calls.Subscribe(info))
	t.Cleanup(func() { _ = resp.Body.Close() })
	c.stream = resp.Header.Get("Mesos-Stream-Id")
	c.frames = recordio.NewReader(resp.Body)
	e := c.next("subscription", func(e *scheduler.Event) bool { return e.GetType() == scheduler.Event_SUBSCRIBED })
	c.id = e.GetSubscribed().FrameworkID
	return c
}

func (c *client) post(call *scheduler.Call) *http.Response {
	call.FrameworkID = c.id
	body, err := call.Marshal()
	require.NoError(c.t, err)
	req, err := http.NewRequestWithContext(c.ctx, http.MethodPost, c.url, bytes.NewReader(body))
	require.NoError(c.t, err)
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Accept", "application/x-protobuf")
	if c.stream != "" {
		req.Header.Set("Mesos-Stream-Id", c.stream)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(c.t, err)
	require.Less(c.t, resp.StatusCode, 300, resp.Status)
	return resp
}

// next reads events up to the wanted one.
func (c *client) next(what string, wanted func(*scheduler.Event) bool) *scheduler.Event {
	c.t.Helper()
	for {
		frame, err := c.frames.ReadFrame()
		require.NoError(c.t, err, "waiting for %s", what)
		e := &scheduler.Event{}
		require.NoError(c.t, e.Unmarshal(frame))
		require.NotEqual(c.t, scheduler.Event_ERROR, e.GetType(), e.GetError().GetMessage())
		if e.GetType() == scheduler.Event_OFFERS {
			c.offers = append(c.offers, e.GetOffers().Offers...)
		}
		if wanted(e) {
			return e
		}
	}
}

// pool pools what is offered, and waits for it.
func (c *client) pool() *volumes.Pool {
	c.t.Helper()
	if len(c.offers) == 0 {
		c.next("an offer", func(*scheduler.Event) bool { return len(c.offers) > 0 })
	}
	p, err := volumes.NewPool(grantRole, grantPrincipal, c.offers)
	require.NoError(c.t, err)
	c.offers = nil
	return p
}

// accept runs operations on all that is pooled and waits until each finished.
func (c *client) accept(p *volumes.Pool, ops ...mesos.Offer_Operation) {
	c.t.Helper()
	call := &scheduler.Call{Type: scheduler.Call_ACCEPT, Accept: &scheduler.Call_Accept{
		OfferIDs: p.Offers(), Operations: ops, Filters: &mesos.Filters{RefuseSeconds: new(float64)},
	}}
	_ = c.post(call).Body.Close()
	open := map[string]bool{}
	for _, op := range ops {
		open[op.ID.Value] = true
	}
	for len(open) > 0 {
		st := c.next("the end of operations", func(e *scheduler.Event) bool {
			return e.GetType() == scheduler.Event_UPDATE_OPERATION_STATUS
		}).GetUpdateOperationStatus().Status
		require.Equal(c.t, mesos.OPERATION_FINISHED, st.State, "%s: %s", st.OperationID.GetValue(), st.GetMessage())
		delete(open, st.OperationID.GetValue()) // unacknowledged ones repeat
	}
}

func slot(name string) volumes.Identity {
	return volumes.Identity{Role: grantRole, Principal: grantPrincipal, Label: name, PersistenceID: name + "-v", ContainerPath: "data"}
}

// TestMesosAcceptsTheGrants runs the operations of grants on a real agent with
// a reservation for the parent role: all finish, and the next offer shows what
// the pool said.
func TestMesosAcceptsTheGrants(t *testing.T) {
	assets := rigtest.Need(t, setup.Want{Mesos: true})
	ctx := rigtest.Context(t, time.Minute)
	const resources = "cpus:2;cpus(lab):1;mem:2048;disk:1500;ports:[31000-31009]"
	cl, err := rigmesos.Start(ctx, rigtest.New(t), assets.Mesos, rigmesos.Options{Agents: []rigmesos.AgentOptions{{Resources: resources}}})
	require.NoError(t, err)
	c := subscribe(ctx, t, cl.Master().URL())

	// Three slots in one ACCEPT: one with cpus from two stacks, a plain one, and
	// one whose CREATE does not come to be.
	p := c.pool()
	need := func(cpu float64, ports int) volumes.Need {
		return volumes.Need{CPU: volumes.FromFloat(cpu), Mem: volumes.Units(128), Disk: volumes.Units(100), DiskType: volumes.DiskRoot, Ports: ports}
	}
	refined, ok := p.Take(slot("refined"), need(1.25, 2))
	require.True(t, ok)
	plain, ok := p.Take(slot("plain"), need(.5, 1))
	require.True(t, ok)
	half, ok := p.Take(slot("half"), need(.25, 1))
	require.True(t, ok)
	free := p.Free()
	c.accept(p,
		volumes.ReserveOp("r1", refined.Reserve), volumes.CreateOp("c1", refined.Create),
		volumes.ReserveOp("r2", plain.Reserve), volumes.CreateOp("c2", plain.Create),
		volumes.ReserveOp("r3", half.Reserve))

	p = c.pool()
	assert.Equal(t, free, p.Free(), "Mesos has left what the pool had left")
	require.Len(t, p.Held(), 3)
	assert.True(t, p.HoldsVolume(slot("refined")))
	assert.True(t, p.HoldsVolume(slot("plain")))
	assert.False(t, p.HoldsVolume(slot("half")))

	// The half-made slot asks for the rest of a larger need; the refined slot
	// gives back all but its volume; the plain one gives back everything.
	more := need(.5, 2)
	more.Disk = volumes.Units(150)
	again, ok := p.Take(slot("half"), more)
	require.True(t, ok)
	assert.Equal(t, half.Ports[0], again.Ports[0], "its port stays")
	ops := []mesos.Offer_Operation{volumes.ReserveOp("r4", again.Reserve), volumes.CreateOp("c4", again.Create)}
	for _, h := range p.Held() {
		destroy, unreserve := volumes.Release(h, h.Label == "refined")
		if len(destroy) > 0 {
			ops = append(ops, volumes.DestroyOp("d-"+h.Label, destroy))
		}
		ops = append(ops, volumes.UnreserveOp("u-"+h.Label, unreserve))
	}
	require.Len(t, ops, 5)
	c.accept(p, ops...)

	p = c.pool()
	held := map[string]volumes.Holding{}
	for _, h := range p.Held() {
		held[h.Label] = h
	}
	require.Len(t, held, 2)
	assert.Equal(t, volumes.Units(150), held["half"].Disk)
	assert.Equal(t, "half-v", held["half"].PersistenceID)
	assert.Equal(t, again.Ports, held["half"].Ports)
	assert.Equal(t, "refined-v", held["refined"].PersistenceID)
	assert.Zero(t, held["refined"].CPU)
	assert.Empty(t, held["refined"].Ports)

	// Everything goes: nothing stays reserved.
	ops = nil
	for label, h := range held {
		destroy, unreserve := volumes.Release(h, false)
		ops = append(ops, volumes.DestroyOp("dd-"+label, destroy), volumes.UnreserveOp("uu-"+label, unreserve))
	}
	c.accept(p, ops...)
	p = c.pool()
	assert.Empty(t, p.Held())
	assert.Equal(t, volumes.Units(3), p.Free().CPU)
	assert.Equal(t, volumes.Units(1500), p.Free().Disk)
	assert.Equal(t, 10, p.Free().Ports)
}
