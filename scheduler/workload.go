package scheduler

import (
	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"github.com/berthdata/berth/placement"
)

// workload is what a kind of slot must know about itself. The core's state
// machines are the same for every kind; only this differs.
type workload interface {
	// request says where a slot without a place may go.
	request(s *slot) (placement.Request, error)
	// groups are the placement groups that a placed slot counts in.
	groups(s *slot) []string
	// task builds the TaskInfo of the slot's newest life, on what it holds.
	task(s *slot, resources []mesos.Resource) (mesos.TaskInfo, error)
}
