package scheduler

import (
	"fmt"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/placement"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

// kindElasticsearch is the workload kind of Elasticsearch nodes.
const kindElasticsearch = executor.KindElasticsearch

// hostAttribute is the node attribute that names the machine; shard awareness
// over it keeps two copies of a shard off one machine, which the host rule's
// number alone does not.
const hostAttribute = "host"

// elasticsearch is the workload of Elasticsearch nodes.
type elasticsearch struct{ core *Core }

func (w elasticsearch) owner(s *slot) owner {
	if cl := w.core.clusters[s.Owner]; cl != nil {
		return cl
	}
	return nil
}

func (w elasticsearch) answers() string { return "answers and has joined" }

// launching: what a node is started with it need not be told again.
func (w elasticsearch) launching(s *slot) {
	if cl := w.core.clusters[s.Owner]; cl != nil {
		s.seeds, s.seedsAt = strings.Join(cl.seedHosts(), ","), w.core.now
	}
}

func (w elasticsearch) stableAfter(*slot) time.Duration { return stableAfter }

func (w elasticsearch) ended(*slot, mesos.TaskStatus, bool) bool { return false }

func (w elasticsearch) lost(*slot) {}

// setOf finds a slot's cluster and node set.
func (w elasticsearch) setOf(s *slot) (*cluster, v1.NodeSet, error) {
	cl := w.core.clusters[s.Owner]
	if cl == nil || cl.Incarnation != s.OwnerIncarnation {
		return nil, v1.NodeSet{}, fmt.Errorf("cluster %s of %s is gone", s.Owner, s.ID)
	}
	set, ok := plan.Set(cl.Spec.Spec, s.Set)
	if !ok {
		return nil, v1.NodeSet{}, fmt.Errorf("cluster %s has no node set %s", s.Owner, s.Set)
	}
	return cl, set, nil
}

// request holds the rules of placement: the set's constraints, the host rule
// (nodes of one cluster per machine ≤ replicas), and no machine with a majority
// of the voting masters.
func (w elasticsearch) request(s *slot) (placement.Request, error) {
	cl, set, err := w.setOf(s)
	if err != nil {
		return placement.Request{}, err
	}
	return w.requestIn(cl, set, s)
}

// requestIn is the request of a slot in a cluster as it is, or as it would be.
func (w elasticsearch) requestIn(cl *cluster, set v1.NodeSet, s *slot) (placement.Request, error) {
	req := placement.Request{Slot: s.Name, Identity: s.Identity, Need: s.Need, Groups: groupsIn(cl, set)}
	req.Limits = append(req.Limits, placement.Limit{Name: "host rule", Group: groupCluster(cl), Max: cl.hostLimit()})
	if plan.MasterEligible(set) {
		masters := len(plan.Masters(cl.Spec))
		req.Limits = append(req.Limits, placement.Limit{Name: "masters' majority", Group: groupMasters(cl), Max: plan.MastersPerMachine(masters)})
	}
	if set.Spread != "" {
		req.Spread = &placement.Spread{Group: groupSet(cl, set.Name), Attribute: set.Spread}
	}
	for _, k := range set.Constraints {
		compiled, err := placement.CompileConstraint(k.Attribute, k.Operator, k.Values)
		if err != nil {
			return placement.Request{}, fmt.Errorf("node set %s: %w", set.Name, err)
		}
		req.Constraints = append(req.Constraints, compiled)
	}
	for _, k := range w.core.keepAway(s) {
		compiled, err := placement.CompileConstraint(k.Attribute, k.Operator, k.Values)
		if err != nil {
			return placement.Request{}, err
		}
		req.Constraints = append(req.Constraints, compiled)
	}
	return req, nil
}

// hostLimit is how many nodes of the cluster one machine may hold: the smallest
// replica count that is promised or lives. An index without replicas cannot be
// protected by any placement, so it raises a condition and does not keep the
// cluster from growing.
func (cl *cluster) hostLimit() int {
	r := plan.Replicas(cl.Spec.Spec)
	if live := cl.lastFull; live.Full && live.MinReplicas >= 0 && live.MinReplicas < r {
		return max(1, live.MinReplicas)
	}
	return r
}

func (w elasticsearch) groups(s *slot) []string {
	cl, set, err := w.setOf(s)
	if err != nil {
		return nil
	}
	return groupsIn(cl, set)
}

// groupsIn are what a node of a set counts in.
func groupsIn(cl *cluster, set v1.NodeSet) []string {
	groups := []string{groupCluster(cl), groupSet(cl, set.Name)}
	if plan.MasterEligible(set) {
		groups = append(groups, groupMasters(cl))
	}
	return groups
}

func groupCluster(cl *cluster) string { return "cluster/" + cl.Spec.Name }
func groupMasters(cl *cluster) string { return "masters/" + cl.Spec.Name }
func groupSet(cl *cluster, set string) string {
	return "set/" + cl.Spec.Name + "/" + set
}

// task builds the node's task.
func (w elasticsearch) task(s *slot, resources []mesos.Resource) (mesos.TaskInfo, error) {
	cl, set, err := w.setOf(s)
	if err != nil {
		return mesos.TaskInfo{}, err
	}
	version := cl.Spec.Spec.Version
	dist, ok := w.core.cfg.Catalogue[version]
	if !ok {
		return mesos.TaskInfo{}, fmt.Errorf("version %s is not in the catalogue any more", version)
	}
	if len(s.Bind.Ports) < portsPerNode {
		return mesos.TaskInfo{}, fmt.Errorf("%s holds %d ports, a node needs %d", s.ID, len(s.Bind.Ports), portsPerNode)
	}
	taskID := s.Task.ID
	o := executor.TaskOptions{
		TaskID: taskID, Name: s.Name,
		FrameworkID: mesos.FrameworkID{Value: w.core.framework.ID},
		AgentID:     mesos.AgentID{Value: s.Bind.AgentID},
		Resources:   resources,
		User:        w.core.cfg.TaskUser,
		ExecutorURI: w.core.executorURL(taskID),
		Labels:      map[string]string{"berth.cluster": s.Owner, "berth.node": s.Name},
		Launch: executor.Launch{
			Version: executor.LaunchVersion, Kind: kindElasticsearch, TaskID: taskID,
			User:          w.core.cfg.NodeUser,
			GraceSeconds:  int(w.core.cfg.KillGrace / time.Second),
			Elasticsearch: w.node(cl, set, s, dist),
		},
	}
	if dist.URI != "" {
		o.Artifacts = []executor.Artifact{{URI: dist.URI, Extract: true, Cache: true}}
	}
	return executor.BuildTask(o)
}

func (w elasticsearch) node(cl *cluster, set v1.NodeSet, s *slot, dist Distribution) *executor.Elasticsearch {
	heap, _ := v1.ParseMiB(orZero(set.Resources.Heap))
	attributes := map[string]string{hostAttribute: s.Bind.Machine}
	awareness := []string{hostAttribute}
	if v, ok := s.Bind.Attributes[set.Spread]; ok && set.Spread != "" && set.Spread != hostAttribute && set.Spread != "hostname" {
		attributes[set.Spread] = v
	}
	n := &executor.Elasticsearch{
		Version: cl.Spec.Spec.Version, ClusterName: cl.Spec.Name, NodeName: s.Name,
		Roles: plan.Roles(set), Home: dist.Home, JavaHome: dist.JavaHome,
		Address:  s.Bind.Address,
		HTTPPort: int(s.Bind.Ports[portHTTP]), TransportPort: int(s.Bind.Ports[portTransport]),
		SeedHosts: cl.seedHosts(), ClusterUUID: cl.ClusterUUID, MasterCount: len(plan.Masters(cl.Spec)),
		Attributes: attributes, AwarenessAttributes: awareness,
		MilliCPUs: int64(s.Need.CPU), MemoryMiB: int64(s.Need.Mem / 1000), HeapMiB: heap,
		DataPath: s.Identity.ContainerPath, Config: set.Config, JavaOptions: set.JavaOptions, TimeZone: set.TimeZone,
	}
	if cl.ClusterUUID == "" && plan.MasterEligible(set) {
		n.InitialMasters = cl.InitialMasters
	}
	return n
}

func orZero(size string) string {
	if size == "" {
		return "0b"
	}
	return size
}

// seedHosts are the transport addresses of the placed master-eligible nodes.
func (cl *cluster) seedHosts() []string {
	var seeds []string
	masters := cl.masterEligible()
	for _, s := range cl.list() {
		if masters[s.Set] && s.Want == state.WantRun && s.Bind != nil && len(s.Bind.Ports) == portsPerNode {
			seeds = append(seeds, s.transport())
		}
	}
	return seeds
}

// executorURL is where one task's agent fetches the executor; the token in it
// opens nothing else.
func (c *Core) executorURL(taskID string) string { return c.artifactURL(taskID, "berth-executor") }

func (c *Core) artifactURL(taskID, file string) string {
	return strings.TrimSuffix(c.cfg.ExecutorURL, "/") + "/v1/artifacts/" + taskID + "/" +
		executor.Token(c.cfg.TokenKey, taskID) + "/" + file
}
