package mesos

import (
	"fmt"
	"strings"

	mesosv1 "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// maxNamed bounds how many ids one line of Describe names.
const maxNamed = 8

// Describe returns one line about call for logs. It names ids and amounts, never
// what could hold a secret: data, environment, commands, labels.
func Describe(call *scheduler.Call) string {
	if call == nil {
		return "no call"
	}
	switch call.Type {
	case scheduler.Call_ACCEPT:
		a := call.GetAccept()
		return fmt.Sprintf("ACCEPT %s: %s%s", offers(a.GetOfferIDs()),
			list(a.GetOperations(), describeOperation), refusal(a.GetFilters()))
	case scheduler.Call_DECLINE:
		return fmt.Sprintf("DECLINE %s%s", offers(call.GetDecline().GetOfferIDs()), refusal(call.GetDecline().GetFilters()))
	case scheduler.Call_ACCEPT_INVERSE_OFFERS:
		return "ACCEPT_INVERSE_OFFERS " + offers(call.GetAcceptInverseOffers().GetInverseOfferIDs())
	case scheduler.Call_DECLINE_INVERSE_OFFERS:
		return "DECLINE_INVERSE_OFFERS " + offers(call.GetDeclineInverseOffers().GetInverseOfferIDs())
	case scheduler.Call_REVIVE:
		return roles("REVIVE", call.GetRevive().GetRoles())
	case scheduler.Call_SUPPRESS:
		return roles("SUPPRESS", call.GetSuppress().GetRoles())
	case scheduler.Call_KILL:
		k := call.GetKill()
		return fmt.Sprintf("KILL task %s on agent %s", k.GetTaskID().Value, k.GetAgentID().GetValue())
	case scheduler.Call_SHUTDOWN:
		s := call.GetShutdown()
		return fmt.Sprintf("SHUTDOWN executor %s on agent %s", s.GetExecutorID().Value, s.GetAgentID().Value)
	case scheduler.Call_ACKNOWLEDGE:
		a := call.GetAcknowledge()
		return fmt.Sprintf("ACKNOWLEDGE task %s on agent %s, uuid %x", a.GetTaskID().Value, a.GetAgentID().Value, a.GetUUID())
	case scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS:
		a := call.GetAcknowledgeOperationStatus()
		return fmt.Sprintf("ACKNOWLEDGE_OPERATION_STATUS operation %s on agent %s, uuid %x",
			a.GetOperationID().Value, a.GetAgentID().GetValue(), a.GetUUID())
	case scheduler.Call_RECONCILE:
		tasks := call.GetReconcile().GetTasks()
		if len(tasks) == 0 {
			return "RECONCILE all tasks"
		}
		return "RECONCILE tasks " + list(tasks, func(t scheduler.Call_Reconcile_Task) string { return t.TaskID.Value })
	case scheduler.Call_RECONCILE_OPERATIONS:
		operations := call.GetReconcileOperations().GetOperations()
		if len(operations) == 0 {
			return "RECONCILE_OPERATIONS all operations"
		}
		return "RECONCILE_OPERATIONS " + list(operations, func(o scheduler.Call_ReconcileOperations_Operation) string { return o.OperationID.Value })
	case scheduler.Call_MESSAGE:
		m := call.GetMessage()
		return fmt.Sprintf("MESSAGE to executor %s on agent %s, %d bytes", m.GetExecutorID().Value, m.GetAgentID().Value, len(m.GetData()))
	}
	return call.Type.String()
}

func describeOperation(o mesosv1.Offer_Operation) string {
	name := o.Type.String()
	if id := o.GetID().GetValue(); id != "" {
		name += " " + id
	}
	switch o.Type {
	case mesosv1.Offer_Operation_LAUNCH:
		return name + " " + list(o.GetLaunch().GetTaskInfos(), func(t mesosv1.TaskInfo) string {
			return t.TaskID.Value + " (" + amounts(t.Resources) + ")"
		})
	case mesosv1.Offer_Operation_RESERVE:
		return name + " (" + amounts(o.GetReserve().GetResources()) + ")"
	case mesosv1.Offer_Operation_UNRESERVE:
		return name + " (" + amounts(o.GetUnreserve().GetResources()) + ")"
	case mesosv1.Offer_Operation_CREATE:
		return name + " " + list(o.GetCreate().GetVolumes(), volume)
	case mesosv1.Offer_Operation_DESTROY:
		return name + " " + list(o.GetDestroy().GetVolumes(), volume)
	}
	return name
}

func volume(r mesosv1.Resource) string {
	return r.GetDisk().GetPersistence().GetID() + " (" + amounts([]mesosv1.Resource{r}) + ")"
}

func amounts(resources []mesosv1.Resource) string {
	return list(resources, func(r mesosv1.Resource) string {
		switch {
		case r.Scalar != nil:
			return fmt.Sprintf("%s %g", r.Name, r.Scalar.Value)
		case r.Ranges != nil:
			return r.Name + " " + list(r.Ranges.Range, func(p mesosv1.Value_Range) string {
				return fmt.Sprintf("%d-%d", p.Begin, p.End)
			})
		}
		return r.Name
	})
}

func offers(ids []mesosv1.OfferID) string {
	return "offers " + list(ids, func(id mesosv1.OfferID) string { return id.Value })
}

func roles(call string, names []string) string {
	if len(names) == 0 {
		return call + " all roles"
	}
	return call + " roles " + list(names, func(s string) string { return s })
}

func refusal(f *mesosv1.Filters) string {
	if f == nil || f.RefuseSeconds == nil {
		return ""
	}
	return fmt.Sprintf(", refuse %gs", *f.RefuseSeconds)
}

func list[T any](items []T, name func(T) string) string {
	if len(items) == 0 {
		return "none"
	}
	var names []string
	for i, item := range items {
		if i == maxNamed {
			names = append(names, fmt.Sprintf("and %d more", len(items)-maxNamed))
			break
		}
		names = append(names, name(item))
	}
	return strings.Join(names, ", ")
}
