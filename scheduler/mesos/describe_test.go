package mesos

import (
	"fmt"
	"testing"

	mesosv1 "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/stretchr/testify/assert"
)

func TestDescribe(t *testing.T) {
	disk := mesosv1.Resource{Name: "disk", Scalar: &mesosv1.Value_Scalar{Value: 64},
		Reservations: []mesosv1.Resource_ReservationInfo{{Labels: &mesosv1.Labels{Labels: []mesosv1.Label{{Key: "k", Value: ptr("hidden")}}}}},
		Disk:         &mesosv1.Resource_DiskInfo{Persistence: &mesosv1.Resource_DiskInfo_Persistence{ID: "vol"}}}
	ports := mesosv1.Resource{Name: "ports", Ranges: &mesosv1.Value_Ranges{Range: []mesosv1.Value_Range{{Begin: 1, End: 2}}}}
	task := mesosv1.TaskInfo{TaskID: mesosv1.TaskID{Value: "t.1"}, Data: []byte("hidden"), Resources: []mesosv1.Resource{disk, ports},
		Executor: &mesosv1.ExecutorInfo{Command: &mesosv1.CommandInfo{Value: ptr("hidden"), Environment: &mesosv1.Environment{
			Variables: []mesosv1.Environment_Variable{{Name: "TOKEN", Value: ptr("hidden")}}}}}}
	agent, id := mesosv1.AgentID{Value: "S1"}, mesosv1.OperationID{Value: "op"}
	many := make([]mesosv1.OfferID, 20)
	for i := range many {
		many[i].Value = fmt.Sprint("o", i)
	}
	resources := []mesosv1.Resource{disk}
	for want, call := range map[string]*scheduler.Call{
		"no call": nil,
		"ACCEPT offers o1: RESERVE op (disk 64), CREATE vol (disk 64), LAUNCH t.1 (disk 64, ports 1-2), DESTROY vol (disk 64), UNRESERVE (disk 64), refuse 5s": {
			Type: scheduler.Call_ACCEPT, Accept: &scheduler.Call_Accept{
				OfferIDs: []mesosv1.OfferID{{Value: "o1"}}, Filters: &mesosv1.Filters{RefuseSeconds: ptr(5.0)},
				Operations: []mesosv1.Offer_Operation{
					{Type: mesosv1.Offer_Operation_RESERVE, ID: &id, Reserve: &mesosv1.Offer_Operation_Reserve{Resources: resources}},
					{Type: mesosv1.Offer_Operation_CREATE, Create: &mesosv1.Offer_Operation_Create{Volumes: resources}},
					{Type: mesosv1.Offer_Operation_LAUNCH, Launch: &mesosv1.Offer_Operation_Launch{TaskInfos: []mesosv1.TaskInfo{task}}},
					{Type: mesosv1.Offer_Operation_DESTROY, Destroy: &mesosv1.Offer_Operation_Destroy{Volumes: resources}},
					{Type: mesosv1.Offer_Operation_UNRESERVE, Unreserve: &mesosv1.Offer_Operation_Unreserve{Resources: resources}},
				}}},
		"DECLINE offers o0, o1, o2, o3, o4, o5, o6, o7, and 12 more": {Type: scheduler.Call_DECLINE, Decline: &scheduler.Call_Decline{OfferIDs: many}},
		"KILL task t on agent ": kill("t"),
		"REVIVE all roles":      {Type: scheduler.Call_REVIVE},
		"SUPPRESS roles a, b":   {Type: scheduler.Call_SUPPRESS, Suppress: &scheduler.Call_Suppress{Roles: []string{"a", "b"}}},
		"ACKNOWLEDGE task t on agent S1, uuid ff": {Type: scheduler.Call_ACKNOWLEDGE, Acknowledge: &scheduler.Call_Acknowledge{
			AgentID: agent, TaskID: mesosv1.TaskID{Value: "t"}, UUID: []byte{0xff}}},
		"ACKNOWLEDGE_OPERATION_STATUS operation op on agent S1, uuid 01": {Type: scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS,
			AcknowledgeOperationStatus: &scheduler.Call_AcknowledgeOperationStatus{AgentID: &agent, OperationID: id, UUID: []byte{1}}},
		"RECONCILE all tasks": {Type: scheduler.Call_RECONCILE, Reconcile: &scheduler.Call_Reconcile{}},
		"RECONCILE tasks t": {Type: scheduler.Call_RECONCILE, Reconcile: &scheduler.Call_Reconcile{
			Tasks: []scheduler.Call_Reconcile_Task{{TaskID: mesosv1.TaskID{Value: "t"}}}}},
		"RECONCILE_OPERATIONS all operations": {Type: scheduler.Call_RECONCILE_OPERATIONS},
		"RECONCILE_OPERATIONS op": {Type: scheduler.Call_RECONCILE_OPERATIONS, ReconcileOperations: &scheduler.Call_ReconcileOperations{
			Operations: []scheduler.Call_ReconcileOperations_Operation{{OperationID: id}}}},
		"MESSAGE to executor e on agent S1, 6 bytes": {Type: scheduler.Call_MESSAGE, Message: &scheduler.Call_Message{
			AgentID: agent, ExecutorID: mesosv1.ExecutorID{Value: "e"}, Data: []byte("hidden")}},
		"SHUTDOWN executor e on agent S1": {Type: scheduler.Call_SHUTDOWN, Shutdown: &scheduler.Call_Shutdown{
			AgentID: agent, ExecutorID: mesosv1.ExecutorID{Value: "e"}}},
		"ACCEPT_INVERSE_OFFERS offers o": {Type: scheduler.Call_ACCEPT_INVERSE_OFFERS, AcceptInverseOffers: &scheduler.Call_AcceptInverseOffers{
			InverseOfferIDs: []mesosv1.OfferID{{Value: "o"}}}},
		"DECLINE_INVERSE_OFFERS offers none": {Type: scheduler.Call_DECLINE_INVERSE_OFFERS},
		"TEARDOWN":                           {Type: scheduler.Call_TEARDOWN},
	} {
		got := Describe(call)
		assert.Equal(t, want, got)
		assert.NotContains(t, got, "hidden")
	}
	// Every type, with no message in it, is described without a panic.
	for value := range scheduler.Call_Type_name {
		assert.NotEmpty(t, Describe(&scheduler.Call{Type: scheduler.Call_Type(value)}))
	}
}
