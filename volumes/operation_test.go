package volumes_test

import (
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/volumes"
)

func TestOperationsCarryTheirIDExceptLaunch(t *testing.T) {
	rs := []mesos.Resource{scalar("cpus", 1)}
	for _, c := range []struct {
		op   mesos.Offer_Operation
		kind mesos.Offer_Operation_Type
		got  func(mesos.Offer_Operation) []mesos.Resource
	}{
		{volumes.ReserveOp("x", rs), mesos.Offer_Operation_RESERVE, func(o mesos.Offer_Operation) []mesos.Resource { return o.Reserve.Resources }},
		{volumes.CreateOp("x", rs), mesos.Offer_Operation_CREATE, func(o mesos.Offer_Operation) []mesos.Resource { return o.Create.Volumes }},
		{volumes.DestroyOp("x", rs), mesos.Offer_Operation_DESTROY, func(o mesos.Offer_Operation) []mesos.Resource { return o.Destroy.Volumes }},
		{volumes.UnreserveOp("x", rs), mesos.Offer_Operation_UNRESERVE, func(o mesos.Offer_Operation) []mesos.Resource { return o.Unreserve.Resources }},
	} {
		assert.Equal(t, c.kind, c.op.Type)
		assert.Equal(t, "x", c.op.ID.Value)
		assert.Equal(t, rs, c.got(c.op))
	}
	launch := volumes.LaunchOp(mesos.TaskInfo{Name: "a"}, mesos.TaskInfo{Name: "b"})
	assert.Equal(t, mesos.Offer_Operation_LAUNCH, launch.Type)
	assert.Nil(t, launch.ID, "rule 34")
	assert.Len(t, launch.Launch.TaskInfos, 2)
}

func TestRelease(t *testing.T) {
	held := pool(t,
		scalar("cpus", 1, reserved("s")), scalar("mem", 64, static("db"), reserved("s")),
		portsWith([]uint64{31000, 31001}, reserved("s")),
		scalar("disk", 20, reserved("s"), onPath("/p"), volume("s-v")), scalar("disk", 5, reserved("s"), onPath("/p")),
	).Held()
	require.Len(t, held, 1)
	destroy, unreserve := volumes.Release(held[0], false)
	requireText(t, "destroy", "disk(db/search s) on /p volume s-v at data: 20", destroy)
	requireText(t, "unreserve", `cpus(db/search s): 1
		mem(db)(db/search s): 64
		ports(db/search s): 31000-31001
		disk(db/search s) on /p: 25`, unreserve)
	destroy, unreserve = volumes.Release(held[0], true)
	assert.Empty(t, destroy, "data is kept")
	requireText(t, "unreserve", `cpus(db/search s): 1
		mem(db)(db/search s): 64
		ports(db/search s): 31000-31001`, unreserve)
}

func TestReleaseLeavesForeignReservationsAlone(t *testing.T) {
	for _, r := range []mesos.Resource{
		scalar("disk", 5, reserved(""), volume("v")), scalar("disk", 5, reservedFor(role, "x", "s"), volume("v")),
	} {
		held := pool(t, r).Held()
		require.Len(t, held, 1)
		destroy, unreserve := volumes.Release(held[0], false)
		assert.Empty(t, destroy)
		assert.Empty(t, unreserve)
	}
}
