package scheduler

import (
	"time"

	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// demand steers what the master offers: SUPPRESS when nothing is wanted, REVIVE
// when something newly is, which clears the filters of long declines; both
// rarely, since REVIVE makes the master allocate over all agents (Mesos rule 22).
type demand struct {
	suppressed bool
	// served are the wanting slots that the last REVIVE was for.
	served    map[string]bool
	revivedAt time.Time
	// notBefore holds both calls back after one was not delivered.
	notBefore time.Time
}

func (c *Core) settleDemand() {
	if !c.connected {
		return
	}
	d := &c.demand
	if d.notBefore.After(c.now) {
		c.wakeAt(d.notBefore)
		return
	}
	if len(c.wanting) == 0 {
		if !d.suppressed {
			c.call(&sched.Call{Type: sched.Call_SUPPRESS, Suppress: &sched.Call_Suppress{Roles: c.cfg.Roles}})
			*d = demand{suppressed: true, revivedAt: d.revivedAt}
		}
		return
	}
	// A REVIVE that had no effect, or was overtaken by the filter of an ACCEPT
	// under way, must not starve anybody.
	again := d.revivedAt.Add(reviveStale)
	fresh := !again.After(c.now)
	for id := range c.wanting {
		if !d.served[id] {
			fresh = true
			break
		}
	}
	for id := range d.served {
		if !c.wanting[id] {
			delete(d.served, id)
		}
	}
	if !fresh && !d.suppressed {
		c.wakeAt(again)
		return
	}
	if again := d.revivedAt.Add(reviveEvery); !d.revivedAt.IsZero() && again.After(c.now) {
		c.wakeAt(again)
		return
	}
	d.suppressed, d.revivedAt = false, c.now
	d.served = make(map[string]bool, len(c.wanting))
	for id := range c.wanting {
		d.served[id] = true
	}
	c.call(&sched.Call{Type: sched.Call_REVIVE, Revive: &sched.Call_Revive{Roles: c.cfg.Roles}})
	c.why("revive: %d slots want an offer", len(c.wanting))
}
