package scheduler

import (
	"fmt"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
)

// volumeDestroyOrdered records the explicit order to destroy a retained volume.
// It is carried out once the retention time is over, and can be taken back until
// then: destroying is always two steps, and no timer does it alone.
func (c *Core) volumeDestroyOrdered(e VolumeDestroyOrdered) {
	s := c.slots[e.ID]
	switch {
	case s == nil:
		c.refuse(e.Reply, v1.ProblemNotFound("volume", e.ID))
	case s.Want == state.WantRun:
		c.refuse(e.Reply, v1.ProblemConflict("volume is in use", fmt.Sprintf("volume %s belongs to node %s of cluster %s: delete the cluster first", s.ID, s.Name, s.Owner)))
	case s.Want == state.WantReplaced:
		c.refuse(e.Reply, v1.ProblemConflict("volume may be used again", fmt.Sprintf("node %s of cluster %s is being replaced, and its former node may still come back to volume %s: destroy it once that has ended. If its machine is lost for good, declare agent %s (%s) gone in Mesos", s.Name, s.Owner, s.ID, s.hostname(), s.Bind.AgentID)))
	case s.live():
		c.refuse(e.Reply, v1.ProblemConflict("volume may be in use", fmt.Sprintf("task %s may still run on volume %s (%s)", s.Task.ID, s.ID, s.Task.State)))
	case s.Want == state.WantNothing:
		// The agent is gone for good: there is nothing to destroy but the record.
		c.remove(s)
		c.accept(e.Reply, s, "the agent is gone; the record is removed")
	default:
		if s.Order == nil {
			s.Order = &state.Order{At: c.now, User: e.User, Message: clip(e.Message)}
			c.touch(s)
			c.publishSlot("VolumeDestroyOrdered", s, "%s ordered volume %s destroyed, not before %s", orSomebody(e.User), s.ID, s.RetainUntil.UTC().Format("2006-01-02 15:04 MST"))
		}
		if !s.RetainUntil.After(c.now) {
			c.accept(e.Reply, s, "its retention time is over: it is destroyed with the next offer of its agent")
			return
		}
		c.accept(e.Reply, s, fmt.Sprintf("will be destroyed after %s; until then the order can be taken back", s.RetainUntil.UTC().Format("2006-01-02 15:04 MST")))
	}
}

// volumeRestored takes an order to destroy back while it is not under way.
func (c *Core) volumeRestored(e VolumeRestored) {
	s := c.slots[e.ID]
	switch {
	case s == nil:
		c.refuse(e.Reply, v1.ProblemNotFound("volume", e.ID))
	case s.Order == nil:
		c.accept(e.Reply, s, "there was no order to destroy it")
	case destroying(&s.Slot):
		c.refuse(e.Reply, v1.ProblemConflict("too late", fmt.Sprintf("volume %s is being destroyed already", s.ID)))
	default:
		s.Order, s.Want = nil, state.WantRetain
		c.touch(s)
		c.publishSlot("VolumeRestored", s, "%s took the order to destroy volume %s back", orSomebody(e.User), s.ID)
		c.accept(e.Reply, s, "the volume is kept")
	}
}

// destroying: the order to destroy cannot be taken back any more.
func destroying(s *state.Slot) bool {
	return s.Want == state.WantDestroy && (s.Release != nil || s.Bind != nil && s.Bind.Volume != state.KnownYes)
}

// reply answers a user's request with one of the two.
func (c *Core) reply(id ReplyID, accepted *v1.Accepted, problem *v1.Problem) {
	c.out.Replies = append(c.out.Replies, Reply{ID: id, Accepted: accepted, Problem: problem})
}

func (c *Core) refuse(id ReplyID, p *v1.Problem) { c.reply(id, nil, p) }

func (c *Core) accept(id ReplyID, s *slot, message string) { c.acceptNamed(id, s.ID, message) }

func (c *Core) acceptNamed(id ReplyID, name, message string) {
	c.reply(id, &v1.Accepted{Name: name, Changed: true, Message: message}, nil)
}
