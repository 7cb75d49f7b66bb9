package runner

import (
	"context"

	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"go.uber.org/zap"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/mesos"
)

// MesosEvent gives an event of the driver to the loop. It is the driver's
// handler: it pushes back while the queue is full.
func (r *Runner) MesosEvent(ctx context.Context, ev mesos.Event) {
	switch e := ev.(type) {
	case mesos.Subscribed:
		r.o.Log.Info("subscribed to Mesos", zap.String("framework", e.FrameworkID), zap.String("master", e.Master))
		_ = r.Post(ctx, subscribed{scheduler.Subscribed{FrameworkID: e.FrameworkID}, e.StreamID})
	case mesos.Disconnected:
		r.o.Log.Warn("subscription to Mesos ended", zap.Error(e.Reason))
		_ = r.Post(ctx, scheduler.Disconnected{Reason: e.Reason.Error()})
	case mesos.CallFailed:
		_ = r.Post(ctx, scheduler.CallFailed{Call: e.Call, Err: e.Err.Error()})
	case mesos.Received:
		for _, ce := range fromMesos(e.Event) {
			if r.Post(ctx, ce) != nil {
				return
			}
		}
	}
}

// fromMesos turns one event of the scheduler API into the core's.
func fromMesos(e *sched.Event) []scheduler.Event {
	switch e.GetType() {
	case sched.Event_OFFERS:
		return []scheduler.Event{scheduler.OffersReceived{Offers: e.GetOffers().GetOffers()}}
	case sched.Event_RESCIND:
		return []scheduler.Event{scheduler.OfferRescinded{OfferID: e.GetRescind().GetOfferID().Value}}
	case sched.Event_INVERSE_OFFERS:
		return []scheduler.Event{scheduler.InverseOffersReceived{Offers: e.GetInverseOffers().GetInverseOffers()}}
	case sched.Event_UPDATE:
		return []scheduler.Event{scheduler.TaskUpdated{Status: e.GetUpdate().GetStatus()}}
	case sched.Event_UPDATE_OPERATION_STATUS:
		return []scheduler.Event{scheduler.OperationUpdated{Status: e.GetUpdateOperationStatus().GetStatus()}}
	case sched.Event_FAILURE:
		f := e.GetFailure()
		if f.ExecutorID != nil {
			return []scheduler.Event{scheduler.ExecutorFailed{
				AgentID: f.GetAgentID().GetValue(), ExecutorID: f.ExecutorID.Value, Status: f.GetStatus(),
			}}
		}
		return []scheduler.Event{scheduler.AgentFailed{AgentID: f.GetAgentID().GetValue()}}
	}
	return nil // ERROR ends the driver's Run; MESSAGE is not used
}
