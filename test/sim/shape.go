package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	v1 "github.com/berthdata/berth/api/v1"
)

const (
	principal = "berth"
	version   = "8.19.21"
)

// shape is what a seed's world looks like before anything happens.
type shape struct {
	roles     []string
	hosts     []host
	split     float64
	faultsFor time.Duration
	// machineAttribute is set when several agents share a machine.
	machineAttribute string
	names            []string // of clusters
	path, mount      bool     // such disks exist
	sessionTimeout   time.Duration
	retainMost       time.Duration
}

// host is one agent to be.
type host struct {
	name, address string
	attributes    []mesos.Attribute
	resources     []mesos.Resource
}

func newShape(r *rand.Rand) shape {
	s := shape{
		roles:          []string{"data"},
		split:          []float64{0, 0.1, 0.6}[r.IntN(3)],
		faultsFor:      time.Duration(5+r.IntN(20)) * time.Minute,
		path:           r.IntN(2) == 0,
		mount:          r.IntN(2) == 0,
		sessionTimeout: time.Duration(2+r.IntN(9)) * time.Second,
		retainMost:     time.Duration(1+r.IntN(300)) * time.Second,
	}
	if r.IntN(4) == 0 {
		s.roles = append(s.roles, "search")
	}
	if r.IntN(4) == 0 {
		s.machineAttribute = "machine"
	}
	for i := range 1 + r.IntN(3) {
		s.names = append(s.names, []string{"logs", "events", "shop"}[i])
	}
	for i := range 2 + r.IntN(7) {
		machine := fmt.Sprintf("m%d", i)
		if s.machineAttribute != "" && i > 0 && r.IntN(3) == 0 {
			machine = fmt.Sprintf("m%d", i-1)
		}
		s.hosts = append(s.hosts, s.host(i, machine, 2+r.Int64N(14), 4+r.Int64N(28), r))
	}
	return s
}

// spares are hosts that are added when faults are over, so that every spec can
// be satisfied: rooms enough, each on a machine of its own.
func (s shape) spares(n int, r *rand.Rand) []host {
	var out []host
	for i := range n {
		h := s.host(100+i, fmt.Sprintf("m%d", 100+i), 32, 128, r)
		h.attributes[0].Text = &mesos.Value_Text{Value: "r9"} // no constraint excludes it
		out = append(out, h)
	}
	return out
}

func (s shape) host(i int, machine string, cpus, memGB int64, r *rand.Rand) host {
	h := host{
		name: fmt.Sprintf("host%d", i), address: fmt.Sprintf("10.0.%d.%d", i/200, i%200+1),
		attributes: []mesos.Attribute{text("rack", fmt.Sprintf("r%d", i%3)), text("machine", machine)},
	}
	disk := func(size int64, source *mesos.Resource_DiskInfo_Source) mesos.Resource {
		d := scalar("disk", float64(size))
		if source != nil {
			d.Disk = &mesos.Resource_DiskInfo{Source: source}
		}
		return d
	}
	h.resources = []mesos.Resource{
		scalar("cpus", float64(cpus)), scalar("mem", float64(memGB<<10)), disk(200<<10, nil),
		{Name: "ports", Type: mesos.RANGES.Enum(), Ranges: &mesos.Value_Ranges{Range: []mesos.Value_Range{{Begin: 31000, End: 31000 + uint64(8+r.IntN(200))}}}},
	}
	if s.path {
		root := "/path"
		h.resources = append(h.resources, disk(100<<10, &mesos.Resource_DiskInfo_Source{
			Type: mesos.Resource_DiskInfo_Source_PATH, Path: &mesos.Resource_DiskInfo_Source_Path{Root: &root},
		}))
	}
	if s.mount {
		for j := range 1 + r.IntN(3) {
			root := fmt.Sprintf("/mount%d", j)
			h.resources = append(h.resources, disk(int64(20+10*j)<<10, &mesos.Resource_DiskInfo_Source{
				Type: mesos.Resource_DiskInfo_Source_MOUNT, Mount: &mesos.Resource_DiskInfo_Source_Mount{Root: &root},
			}))
		}
	}
	return h
}

func text(name, value string) mesos.Attribute {
	return mesos.Attribute{Name: name, Type: mesos.TEXT, Text: &mesos.Value_Text{Value: value}}
}

func scalar(name string, v float64) mesos.Resource {
	return mesos.Resource{Name: name, Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}}
}

// spec draws a new cluster.
func (s shape) spec(name string, r *rand.Rand) v1.Cluster {
	replicas := 1 + r.IntN(2)
	c := v1.Cluster{Name: name, Spec: v1.ClusterSpec{Version: version, Replicas: &replicas, Role: s.roles[r.IntN(len(s.roles))]}}
	if r.IntN(3) == 0 {
		masters := []string{"master"}
		c.Spec.NodeSets = append(c.Spec.NodeSets, s.nodeSet("master", []int{1, 3, 3, 5}[r.IntN(4)], &masters, r))
		data := []string{"data", "ingest"}
		c.Spec.NodeSets = append(c.Spec.NodeSets, s.nodeSet("data", 1+r.IntN(4), &data, r))
	} else {
		c.Spec.NodeSets = append(c.Spec.NodeSets, s.nodeSet("all", 1+r.IntN(4), nil, r))
	}
	c.SetDefaults()
	return c
}

func (s shape) nodeSet(name string, count int, roles *[]string, r *rand.Rand) v1.NodeSet {
	n := v1.NodeSet{
		Name: name, Count: count, Roles: roles,
		Resources: v1.NodeResources{CPUs: float64(5+r.IntN(10)) / 10, Memory: fmt.Sprintf("%dmb", 512+r.IntN(1536))},
		Storage:   v1.Storage{Size: fmt.Sprintf("%dgb", 1+r.IntN(20)), Type: v1.StorageRoot},
	}
	switch {
	case s.path && r.IntN(3) == 0:
		n.Storage.Type = v1.StoragePath
	case s.mount && r.IntN(3) == 0:
		n.Storage.Type = v1.StorageMount
	}
	if r.IntN(3) == 0 {
		n.Spread = "rack"
	}
	if r.IntN(4) == 0 {
		n.Constraints = []v1.Constraint{{Attribute: "rack", Operator: "NEQ", Values: []string{fmt.Sprintf("r%d", r.IntN(3))}}}
	}
	return n
}

// change draws a changed spec: some changes are right, some must be refused.
func (s shape) change(c v1.Cluster, r *rand.Rand) v1.Cluster {
	c.Spec = c.Spec.Clone()
	set := &c.Spec.NodeSets[r.IntN(len(c.Spec.NodeSets))]
	switch r.IntN(11) { // 9 and 10 apply the same once more
	case 0, 1, 2:
		if set.Count < 7 {
			set.Count += 1 + r.IntN(2)
		}
	case 3:
		set.Count = max(1, set.Count-1)
	case 4:
		c.Labels = map[string]string{"changed": fmt.Sprint(r.IntN(1000))}
	case 5:
		replicas := 1 + r.IntN(3)
		c.Spec.Replicas = &replicas
	case 6:
		if name := fmt.Sprintf("extra%d", r.IntN(2)); len(c.Spec.NodeSets) < 4 && !hasSet(c, name) {
			data := []string{"data"}
			c.Spec.NodeSets = append(c.Spec.NodeSets, s.nodeSet(name, 1+r.IntN(2), &data, r))
		}
	case 7:
		if len(c.Spec.NodeSets) > 1 {
			c.Spec.NodeSets = c.Spec.NodeSets[:len(c.Spec.NodeSets)-1]
		}
	case 8:
		set.Storage.Size = fmt.Sprintf("%dgb", 1+r.IntN(20))
		set.Resources.CPUs = float64(5+r.IntN(10)) / 10
	}
	c.SetDefaults()
	return c
}

func hasSet(c v1.Cluster, name string) bool {
	for _, set := range c.Spec.NodeSets {
		if set.Name == name {
			return true
		}
	}
	return false
}
