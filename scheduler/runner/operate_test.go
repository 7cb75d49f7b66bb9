package runner_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	lib "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/runner"
)

// orphan is a view of one agent with a reservation that no record explains.
func orphan(asked time.Time) scheduler.AgentsObserved {
	role, principal, key, label := "db", "berth", "berth.slot", "old-data-0.7"
	return scheduler.AgentsObserved{AskedAt: asked, Agents: []scheduler.AgentObservation{{
		ID: "a1", Hostname: "h1", Registered: true, Active: true, Total: []lib.Resource{{
			Name: "cpus", Type: lib.SCALAR.Enum(), Scalar: &lib.Value_Scalar{Value: 1},
			Reservations: []lib.Resource_ReservationInfo{{
				Type: lib.Resource_ReservationInfo_DYNAMIC.Enum(), Role: &role, Principal: &principal,
				Labels: &lib.Labels{Labels: []lib.Label{{Key: key, Value: &label}}},
			}},
		}},
	}}}
}

// A call of the operator API leaves after the record of its try is durable, and its
// answer comes back to the core.
func TestOperatorCallsAreRecordedAndAnswered(t *testing.T) {
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	r := start(t, func(o *outside, opts *runner.Options) {
		opts.Now, o.agents = now, orphan(now()).Agents
		o.onOperate = func(call scheduler.OperatorCall) {
			assert.Equal(t, "a1", call.AgentID)
			assert.Len(t, call.Unreserve, 1)
			assert.Contains(t, string(o.records(t)["repairs/repair-1"]), `"`+call.ID+`"`, "sent without a durable record")
		}
	})
	r.subscribe()
	require.NoError(t, r.Post(r.ctx, orphan(now())))
	planned, err := r.Ask(r.ctx, func(id scheduler.ReplyID) scheduler.Event { return scheduler.RepairAsked{Reply: id} })
	require.NoError(t, err)
	var fingerprint string
	require.NoError(t, r.Query(r.ctx, func(c *scheduler.Core) {
		view, _ := c.Repair(planned.Name)
		fingerprint = view.Fingerprint
	}))
	_, err = r.Ask(r.ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.RepairApproved{Reply: id, ID: planned.Name, Fingerprint: fingerprint}
	})
	require.NoError(t, err)
	// No offer comes for longer than a step waits for one.
	ahead.Store(int64(2 * time.Minute))
	require.NoError(t, r.Post(r.ctx, orphan(now())))
	r.waitFor("operate " + planned.Name + ".1.1")
	// Its answer lets the core wait for a view instead.
	require.Eventually(t, func() bool {
		record := string(r.records()["repairs/repair-1"])
		return strings.Contains(record, `"sent"`) && !strings.Contains(record, `"call"`)
	}, patience, 5*time.Millisecond)
}
