package scheduler

import (
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/placement"
)

// workload is what a kind of slot must know about itself. The core's state
// machines are the same for every kind; only this differs.
type workload interface {
	// owner is what the slot belongs to, nil when that is gone.
	owner(s *slot) owner
	// request says where a slot without a place may go.
	request(s *slot) (placement.Request, error)
	// groups are the placement groups that a placed slot counts in.
	groups(s *slot) []string
	// launching is told of a new life before its task is built; all that start
	// together have their places by then.
	launching(s *slot)
	// task builds the TaskInfo of the slot's newest life, on what it holds.
	task(s *slot, resources []mesos.Resource) (mesos.TaskInfo, error)
	// answers says what it means that a task of the kind is healthy, for people.
	answers() string
	// stableAfter is how long a task must have been healthy for its slot's failures
	// to be forgotten.
	stableAfter(s *slot) time.Duration
	// ended takes the end of the newest life, whose task is on record as ended
	// already. Answering false leaves the rest to the core: try again in place.
	ended(s *slot, st mesos.TaskStatus, neverRan bool) bool
	// lost is told that a person declared the agent gone that holds the slot's
	// volume: the slot is given up.
	lost(s *slot)
}

// owner is what slots belong to: a cluster, or an application.
type owner interface {
	// list is all slots by id, not to be changed.
	list() []*slot
	add(s *slot)
	drop(s *slot)
	incarnation() int64
	created() time.Time
	generation() int64
}

// ownerOf is what a slot belongs to, nil when that is gone. Namesakes that come
// after it are not told apart here.
func (c *Core) ownerOf(s *slot) owner { return c.workloads[s.Kind].owner(s) }

// lookOwner has the owner of a slot looked at in this step.
func (c *Core) lookOwner(s *slot) {
	if sparkKind(s.Kind) {
		c.lookApps[s.Owner] = true
		return
	}
	c.lookOwners[s.Owner] = true
}

// publishSlot publishes an event about a slot of whatever kind.
func (c *Core) publishSlot(typ string, s *slot, format string, args ...any) {
	ev := v1.Event{Type: typ, Node: s.Name}
	if sparkKind(s.Kind) {
		ev.Application = s.Owner
	} else {
		ev.Cluster = s.Owner
	}
	c.emit(ev, format, args...)
}
