package executor

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// The executor's own share of a slot's resources, in thousandths (cores, MiB).
// It is taken out of what the slot reserves, not added: a slot's reservation is
// one number that operators see and quotas count.
const (
	ExecutorMilliCPUs = 100       // 0.1 core
	ExecutorMilliMem  = 32 * 1000 // 32 MiB, the least that Mesos does not warn about
)

// executorFile is the executor's name in the sandbox, whatever its URL is.
const executorFile = "berth-executor"

// shutdownMargin is what the executor may take beyond the node's grace period
// to see the group gone and the terminal update acknowledged.
const shutdownMargin = 5 * time.Second

// TaskOptions say what BuildTask makes a TaskInfo of.
type TaskOptions struct {
	TaskID      string // a life of a slot, "sec-events-data-3.7"
	Name        string // the slot's name, "sec-events-data-3"
	FrameworkID mesos.FrameworkID
	AgentID     mesos.AgentID
	// Resources are everything the slot holds: volumes.Grant.Task. The
	// executor's share is split off here. They are not changed.
	Resources []mesos.Resource
	Launch    Launch
	// ExecutorURI is where the agent fetches berth-executor; "" = the binary
	// is at ExecutorPath on every agent.
	ExecutorURI string
	// ExecutorPath is an absolute path on the agents; used without ExecutorURI.
	ExecutorPath string
	// Artifacts are further URIs to fetch, such as the distribution archive.
	Artifacts []Artifact
	// User runs the executor on the agent; "" = the framework's user. The
	// node itself runs as Launch.User when this is root.
	User string
	// Labels of the task, for people and tools that watch Mesos.
	Labels map[string]string
}

// Artifact is a file that the agent fetches into the sandbox.
type Artifact struct {
	URI string
	// Extract unpacks an archive; Cache keeps the file in the agent's fetcher
	// cache, which is right for whatever has a version in its name.
	Extract, Cache bool
}

// BuildTask makes the TaskInfo of one life of a slot: a custom executor of its
// own, whose id is the task's id, so that one task's end is one container's end.
// Launch.TaskID is set from TaskID.
func BuildTask(o TaskOptions) (mesos.TaskInfo, error) {
	switch {
	case o.TaskID == "":
		return mesos.TaskInfo{}, errors.New("task: no task id")
	case o.Name == "":
		return mesos.TaskInfo{}, fmt.Errorf("task %s: no name", o.TaskID)
	case o.AgentID.Value == "":
		return mesos.TaskInfo{}, fmt.Errorf("task %s: no agent id", o.TaskID)
	case o.FrameworkID.Value == "":
		return mesos.TaskInfo{}, fmt.Errorf("task %s: no framework id", o.TaskID)
	case (o.ExecutorURI == "") == (o.ExecutorPath == ""):
		return mesos.TaskInfo{}, fmt.Errorf("task %s: exactly one of the executor's URI and its path on the agent must be given", o.TaskID)
	}
	o.Launch.TaskID = o.TaskID
	if err := o.Launch.Validate(); err != nil {
		return mesos.TaskInfo{}, fmt.Errorf("task %s: %w", o.TaskID, err)
	}
	data, err := o.Launch.Encode()
	if err != nil {
		return mesos.TaskInfo{}, fmt.Errorf("task %s: launch document: %w", o.TaskID, err)
	}
	if len(data) > MaxLaunchBytes {
		return mesos.TaskInfo{}, fmt.Errorf("task %s: launch document: %d bytes, at most %d are allowed: shorten config or javaOptions", o.TaskID, len(data), MaxLaunchBytes)
	}
	own, rest, err := splitResources(o.Resources)
	if err != nil {
		return mesos.TaskInfo{}, fmt.Errorf("task %s: %w", o.TaskID, err)
	}
	grace := time.Duration(o.Launch.GraceSeconds) * time.Second
	return mesos.TaskInfo{
		Name:      o.Name,
		TaskID:    mesos.TaskID{Value: o.TaskID},
		AgentID:   o.AgentID,
		Resources: rest,
		Executor: &mesos.ExecutorInfo{
			Type:                mesos.ExecutorInfo_CUSTOM,
			ExecutorID:          mesos.ExecutorID{Value: o.TaskID},
			FrameworkID:         &o.FrameworkID,
			Name:                &o.Name,
			Resources:           own,
			Command:             o.command(),
			ShutdownGracePeriod: &mesos.DurationInfo{Nanoseconds: int64(grace + shutdownMargin)},
		},
		KillPolicy: &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: int64(grace)}},
		Data:       data,
		Labels:     labels(o.Labels),
		Discovery:  discovery(o.Launch),
	}, nil
}

func (o TaskOptions) command() *mesos.CommandInfo {
	// Arguments[0] is the process's name: without it, ps shows none.
	c := &mesos.CommandInfo{Shell: ptr(false), Value: ptr(o.ExecutorPath), Arguments: []string{executorFile}}
	if o.User != "" {
		c.User = ptr(o.User)
	}
	if o.ExecutorURI != "" {
		c.Value = ptr("./" + executorFile)
		// Never from the agent's cache: the URI holds a per-task token, and
		// after an upgrade the same path serves another binary.
		c.URIs = append(c.URIs, mesos.CommandInfo_URI{
			Value: o.ExecutorURI, Executable: ptr(true), Extract: ptr(false), Cache: ptr(false), OutputFile: ptr(executorFile),
		})
	}
	for _, a := range o.Artifacts {
		c.URIs = append(c.URIs, mesos.CommandInfo_URI{Value: a.URI, Extract: ptr(a.Extract), Cache: ptr(a.Cache)})
	}
	return c
}

// splitResources takes the executor's share of cpus and mem out of the slot's.
// A share keeps the role, reservations and allocation of what it came from, or
// the master would not find it in the offer.
func splitResources(all []mesos.Resource) (own, rest []mesos.Resource, err error) {
	rest = slices.Clone(all)
	for _, share := range []struct {
		name  string
		milli int64
	}{{"cpus", ExecutorMilliCPUs}, {"mem", ExecutorMilliMem}} {
		i := slices.IndexFunc(rest, func(r mesos.Resource) bool {
			return r.Name == share.name && r.Scalar != nil && milli(r.Scalar.Value) > share.milli
		})
		if i < 0 {
			return nil, nil, fmt.Errorf("resources: no %s above the executor's own %g: ask for more per node", share.name, float64(share.milli)/1000)
		}
		part := rest[i]
		part.Scalar = &mesos.Value_Scalar{Value: float64(share.milli) / 1000}
		own = append(own, part)
		rest[i].Scalar = &mesos.Value_Scalar{Value: float64(milli(rest[i].Scalar.Value)-share.milli) / 1000}
	}
	return own, rest, nil
}

// milli rounds to the precision at which Mesos itself compares scalars.
func milli(v float64) int64 { return int64(math.Round(v * 1000)) }

func labels(m map[string]string) *mesos.Labels {
	if len(m) == 0 {
		return nil
	}
	l := &mesos.Labels{}
	for _, k := range sortedKeys(m) {
		l.Labels = append(l.Labels, mesos.Label{Key: k, Value: ptr(m[k])})
	}
	return l
}

func discovery(l Launch) *mesos.DiscoveryInfo {
	e := l.Elasticsearch
	if e == nil {
		return nil
	}
	return &mesos.DiscoveryInfo{
		Visibility: mesos.CLUSTER,
		Name:       ptr(e.ClusterName),
		Version:    ptr(e.Version),
		Ports: &mesos.Ports{Ports: []mesos.Port{
			{Number: uint32(e.HTTPPort), Name: ptr("http"), Protocol: ptr("tcp")},
			{Number: uint32(e.TransportPort), Name: ptr("transport"), Protocol: ptr("tcp")},
		}},
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func ptr[T any](v T) *T { return &v }
