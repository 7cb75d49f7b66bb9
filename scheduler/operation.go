package scheduler

import (
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"github.com/berthdata/berth/scheduler/state"
)

// The verbs in operation ids: a slot's id, the number of the attempt, a verb,
// such as "logs-data-0.7.3.reserve".
const (
	verbReserve   = "reserve"
	verbCreate    = "create"
	verbDestroy   = "destroy"
	verbUnreserve = "unreserve"
)

func operationID(attempt, verb string) string { return attempt + "." + verb }

// operationUpdated takes the feedback of one operation. Updates without uuid or
// agent id are the master's validation errors: found by our own id and never
// acknowledged (Mesos rule 35); the others are acknowledged with the agent id of
// this very event (rule 36).
func (c *Core) operationUpdated(st mesos.OperationStatus) {
	if st.UUID != nil && st.AgentID != nil && st.OperationID != nil {
		defer c.call(&sched.Call{
			Type: sched.Call_ACKNOWLEDGE_OPERATION_STATUS,
			AcknowledgeOperationStatus: &sched.Call_AcknowledgeOperationStatus{
				AgentID: st.AgentID, UUID: st.UUID.Value, OperationID: *st.OperationID,
			},
		})
	}
	id := st.GetOperationID().GetValue()
	i := strings.LastIndexByte(id, '.')
	if i < 0 {
		c.why("operation %q is not one of ours", id)
		return
	}
	if r, step := c.stepOf(id[:i]); r != nil {
		c.stepUpdated(r, step, id, st)
		return
	}
	s, _ := c.taskSlot(id[:i])
	if s == nil || s.Bind == nil {
		c.why("operation %s ended as %s, but its slot is not known any more", id, st.State)
		return
	}
	outcome := outcomeOf(st.State)
	if outcome == opPending {
		return
	}
	switch {
	case id == s.Bind.ReserveOp:
		c.reserveAnswered(s, outcome, st)
	case id == s.Bind.CreateOp:
		c.createAnswered(s, outcome, st)
	case s.Release != nil && (id == s.Release.DestroyOp || id == s.Release.UnreserveOp):
		c.releaseAnswered(s, id, outcome, st)
	default:
		return // repeated
	}
	c.touch(s)
}

// opOutcome is what an operation's state says about its effect.
type opOutcome int

const (
	opPending opOutcome = iota // not decided, or it cannot be known yet
	opDone
	opRefused // surely without effect
	opUnknown // Mesos does not know it
)

// outcomeOf classifies. UNREACHABLE, RECOVERING and PENDING are neither success
// nor failure; UNKNOWN and GONE_BY_OPERATOR are not success (Mesos rule 37).
func outcomeOf(st mesos.OperationState) opOutcome {
	switch st {
	case mesos.OPERATION_FINISHED:
		return opDone
	case mesos.OPERATION_FAILED, mesos.OPERATION_ERROR, mesos.OPERATION_DROPPED:
		return opRefused
	case mesos.OPERATION_UNKNOWN, mesos.OPERATION_GONE_BY_OPERATOR:
		return opUnknown
	default:
		return opPending
	}
}

func (c *Core) reserveAnswered(s *slot, outcome opOutcome, st mesos.OperationStatus) {
	b := s.Bind
	b.ReserveOp = ""
	switch outcome {
	case opDone:
		b.Reserved, s.reserveRefusals = state.KnownYes, 0
	case opRefused:
		// The rest of the same ACCEPT cannot have worked without it.
		b.Reserved, b.CreateOp = state.KnownNo, ""
		if b.Volume != state.KnownYes {
			b.Volume = state.KnownNo
		}
		c.operationFailed(s, verbReserve, st)
	case opUnknown:
		b.Reserved = state.KnownUnsure
		c.agentsWanted()
	}
}

func (c *Core) createAnswered(s *slot, outcome opOutcome, st mesos.OperationStatus) {
	b := s.Bind
	b.CreateOp = ""
	switch outcome {
	case opDone:
		b.Reserved, b.Volume, b.CreateFailures = state.KnownYes, state.KnownYes, 0
	case opRefused:
		if b.Volume != state.KnownYes {
			b.Volume = state.KnownNo
		}
		if !staleOffer(st) {
			b.CreateFailures++
		}
		c.operationFailed(s, verbCreate, st)
	case opUnknown:
		b.Volume = state.KnownUnsure
		c.agentsWanted()
	}
}

// invalidOffers begins the message of an operation whose ACCEPT came too late.
const invalidOffers = "Operation attempted with invalid offers"

// staleOffer reports whether an operation was refused for its offer alone. The
// master of 1.11 says ERROR, as for what it does not allow, and only the message
// tells the two apart; DROPPED is an operation that did not reach the agent (Mesos
// rule 20).
func staleOffer(st mesos.OperationStatus) bool {
	return st.State == mesos.OPERATION_DROPPED ||
		st.State == mesos.OPERATION_ERROR && strings.HasPrefix(st.GetMessage(), invalidOffers)
}

// operationFailed says what was refused. A stale offer is nobody's fault.
func (c *Core) operationFailed(s *slot, verb string, st mesos.OperationStatus) {
	text := st.State.String() + ": " + clip(st.GetMessage())
	c.publishSlot("OperationFailed", s, "%s on %s: %s", strings.ToUpper(verb), s.hostname(), text)
	c.why("%s of %s on agent %s: %s", verb, s.ID, s.Bind.AgentID, text)
	if staleOffer(st) {
		return
	}
	s.refusedLife = s.Life
	s.LastFailure = clip(strings.ToUpper(verb) + " was refused on " + s.hostname() + ": " + text)
	if verb == verbReserve {
		// Its end unbinds the slot, so the count is kept apart from the place.
		if s.reserveRefusals++; s.reserveRefusals >= reserveTries {
			c.avoid(s)
		}
	}
	if wait := c.now.Add(backoff(max(s.Bind.CreateFailures, s.reserveRefusals, 1))); wait.After(s.NotBefore) {
		s.NotBefore = wait
	}
}

func (c *Core) releaseAnswered(s *slot, id string, outcome opOutcome, st mesos.OperationStatus) {
	r, b := s.Release, s.Bind
	destroy := id == r.DestroyOp
	switch outcome {
	case opDone:
		if destroy {
			r.DestroyOp, b.Volume = "", state.KnownNo
			b.HasData = false
		} else {
			r.UnreserveOp = ""
			switch {
			case r.Part:
				// What is left is for the master's own view to say.
				b.Reserved = state.KnownUnsure
			case b.Reserved == state.KnownYes:
				b.Reserved = state.KnownNo
			}
			c.agentsWanted()
		}
	default:
		// What was refused or is unknown is seen in the next offer; the pause
		// keeps a refusal from turning into a storm.
		c.operationFailed(s, map[bool]string{true: verbDestroy, false: verbUnreserve}[destroy], st)
		if destroy {
			r.DestroyOp = ""
		} else {
			r.UnreserveOp = ""
		}
		if outcome == opUnknown {
			b.Reserved = state.KnownUnsure
			if destroy {
				b.Volume = state.KnownUnsure
			}
		}
		r.Since = c.now
		return
	}
	if r.DestroyOp == "" && r.UnreserveOp == "" {
		s.Release = nil
	}
}

// askOperations asks for the operations of a slot that have not been answered
// (Mesos rule 37).
func (c *Core) askOperations(s *slot) {
	b := s.Bind
	if b == nil {
		return
	}
	ids := []string{b.ReserveOp, b.CreateOp}
	if s.Release != nil {
		ids = append(ids, s.Release.DestroyOp, s.Release.UnreserveOp)
	}
	var ops []sched.Call_ReconcileOperations_Operation
	for _, id := range ids {
		if id != "" {
			ops = append(ops, sched.Call_ReconcileOperations_Operation{
				OperationID: mesos.OperationID{Value: id},
				AgentID:     &mesos.AgentID{Value: b.AgentID},
			})
		}
	}
	if len(ops) == 0 {
		return
	}
	c.call(&sched.Call{
		Type:                sched.Call_RECONCILE_OPERATIONS,
		ReconcileOperations: &sched.Call_ReconcileOperations{Operations: ops},
	})
}
