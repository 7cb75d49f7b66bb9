package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/test/mesosmodel"
)

// nodes models what runs in the containers: Elasticsearch from 7 on, as far as
// forming a cluster, finding each other by seed hosts, quorums and health go.
type nodes struct {
	w       *World
	chance  *rand.Rand
	running map[*mesosmodel.Container]*node
	order   []*node
	formed  map[string]*formed // by cluster uuid
	// crashing are node names that fail whenever they start.
	crashing map[string]bool
	waiting  map[string]bool // clusters with a look on its way
	// queries to Elasticsearch go wrong in one of these ways until a time.
	wrongUntil, muteUntil, lateUntil time.Time
	lastHealth                       map[string]string
}

// node is one running process.
type node struct {
	c      *mesosmodel.Container
	doc    executor.Elasticsearch
	owner  owner
	label  string
	uuid   string // of the cluster whose state is on its volume
	seeds  []string
	joined bool
}

// formed is one Elasticsearch cluster.
type formed struct {
	uuid  string
	owner owner
	// voting are the labels of the voting master-eligible nodes.
	voting map[string]bool
}

func newNodes(w *World) *nodes {
	return &nodes{
		w: w, chance: source(w.seed, 5), running: map[*mesosmodel.Container]*node{}, formed: map[string]*formed{},
		crashing: map[string]bool{}, waiting: map[string]bool{}, lastHealth: map[string]string{},
	}
}

// labelOf is the slot of a task id.
func labelOf(taskID string) string {
	i := strings.LastIndexByte(taskID, '.')
	if i < 0 {
		return taskID
	}
	return taskID[:i]
}

func document(t *mesos.TaskInfo) (executor.Elasticsearch, error) {
	var l executor.Launch
	if err := json.Unmarshal(t.Data, &l); err != nil {
		return executor.Elasticsearch{}, fmt.Errorf("launch document: %w", err)
	}
	if l.Elasticsearch == nil {
		return executor.Elasticsearch{}, fmt.Errorf("launch document without a node")
	}
	return *l.Elasticsearch, nil
}

// Launch checks what the executor checks before it starts a node.
func (n *nodes) Launch(c *mesosmodel.Container) error {
	doc, err := document(&c.Task)
	if err != nil {
		return err
	}
	if n.crashing[doc.NodeName] {
		return fmt.Errorf("exit code 1: a setting is wrong")
	}
	if v := c.Volume(); v != nil && v.Marker != "" && doc.ClusterUUID != "" && v.Marker != doc.ClusterUUID {
		return fmt.Errorf("the volume belongs to cluster %s, not to %s", v.Marker, doc.ClusterUUID)
	}
	return nil
}

// Started adds a node.
func (n *nodes) Started(c *mesosmodel.Container) {
	doc, err := document(&c.Task)
	if err != nil {
		n.w.fail("launch", "%s: %v", c.ID(), err)
		return
	}
	x := &node{c: c, doc: doc, label: labelOf(c.ID()), seeds: doc.SeedHosts}
	if r, ok := n.w.store.slots[x.label]; ok {
		x.owner = owner{r.Owner, r.OwnerIncarnation}
	} else {
		x.owner = owner{name: doc.ClusterName}
	}
	if v := c.Volume(); v != nil {
		x.uuid = v.Marker
	} else {
		n.w.fail("launch", "%s runs without a volume", c.ID())
	}
	n.running[c] = x
	n.order = append(n.order, x)
	n.w.checks.started(c)
	n.look(doc.ClusterName)
}

// Stopped removes a node.
func (n *nodes) Stopped(c *mesosmodel.Container) {
	x := n.running[c]
	if x == nil {
		return
	}
	delete(n.running, c)
	n.order = slices.DeleteFunc(n.order, func(o *node) bool { return o == x })
	n.look(x.doc.ClusterName)
}

// Message tells a node its seed hosts anew.
func (n *nodes) Message(c *mesosmodel.Container, data []byte) {
	msg, err := executor.DecodeMessage(data)
	if err != nil {
		n.w.fail("message", "%s: %v", c.ID(), err)
		return
	}
	if x := n.running[c]; x != nil {
		x.seeds = msg.SeedHosts
		n.look(x.doc.ClusterName)
	}
}

// look has the nodes of a cluster find each other soon.
func (n *nodes) look(name string) {
	if n.waiting[name] {
		return
	}
	n.waiting[name] = true
	n.w.after(between(n.chance, 500*time.Millisecond, 4*time.Second), func() {
		n.waiting[name] = false
		n.settle(name)
	})
}

// settle forms clusters, lets nodes join, and tells who is healthy.
func (n *nodes) settle(name string) {
	var all []*node
	for _, x := range n.order {
		if x.doc.ClusterName == name {
			all = append(all, x)
		}
	}
	for _, part := range components(all) {
		n.settlePart(part)
	}
	for _, x := range all {
		elected := x.uuid != "" && n.elected(x.uuid)
		switch joined := x.joined && elected; {
		case joined && !x.c.Healthy:
			data, _ := json.Marshal(executor.Report{Phase: "healthy", ClusterUUID: x.uuid, NodeID: "id-" + x.label})
			n.w.model.Healthy(x.c, true, data, "")
		case !joined && x.c.Healthy:
			n.w.model.Healthy(x.c, false, nil, "no elected master")
		}
	}
}

func (n *nodes) settlePart(part []*node) {
	for _, x := range part {
		x.joined = x.uuid != "" && n.elected(x.uuid)
	}
	if len(fresh(part)) > 0 && !slices.ContainsFunc(part, func(x *node) bool { return x.joined }) {
		n.bootstrap(part)
	}
	i := slices.IndexFunc(part, func(x *node) bool { return x.joined })
	if i < 0 {
		return
	}
	f := n.formed[part[i].uuid]
	for _, x := range fresh(part) {
		n.join(f, x)
	}
	n.reconfigure(f)
}

// fresh are the nodes that belong to no cluster yet.
func fresh(part []*node) []*node {
	var out []*node
	for _, x := range part {
		if x.uuid == "" {
			out = append(out, x)
		}
	}
	return out
}

// bootstrap forms a cluster when more than half of its initial masters are
// there and know each other.
func (n *nodes) bootstrap(part []*node) {
	for _, x := range fresh(part) {
		list := x.doc.InitialMasters
		if len(list) == 0 {
			continue
		}
		var there []*node
		for _, y := range fresh(part) {
			if slices.Contains(list, y.doc.NodeName) && slices.Contains(y.doc.Roles, "master") {
				there = append(there, y)
			}
		}
		if 2*len(there) <= len(list) {
			continue
		}
		f := &formed{uuid: fmt.Sprintf("uuid-%d", len(n.formed)+1), owner: x.owner, voting: map[string]bool{}}
		n.w.tracef("nodes: %s forms as %s by %d of %v", x.owner.name, f.uuid, len(there), list)
		n.w.checks.formed(f, n.formed)
		n.formed[f.uuid] = f
		for _, y := range there {
			n.join(f, y)
		}
		return
	}
}

func (n *nodes) join(f *formed, x *node) {
	n.w.tracef("nodes: %s joins %s", x.c.ID(), f.uuid)
	x.uuid, x.joined = f.uuid, true
	if v := x.c.Volume(); v != nil {
		v.Marker, v.Data = f.uuid, true
	}
	if slices.Contains(x.doc.Roles, "master") {
		f.voting[x.label] = true
	}
}

// elected says whether a majority of the voting masters runs.
func (n *nodes) elected(uuid string) bool {
	f := n.formed[uuid]
	if f == nil {
		return false
	}
	up := 0
	for _, x := range n.order {
		if x.uuid == uuid && f.voting[x.label] {
			up++
		}
	}
	return 2*up > len(f.voting)
}

// reconfigure takes voters that are away out, while at least three are left, as
// Elasticsearch shrinks its voting configuration, and takes masters that are
// back in again.
func (n *nodes) reconfigure(f *formed) {
	up := map[string]bool{}
	for _, x := range n.order {
		if x.uuid == f.uuid && slices.Contains(x.doc.Roles, "master") {
			up[x.label] = true
		}
	}
	for _, label := range sorted(up) {
		f.voting[label] = true
	}
	if len(up) < 3 {
		return
	}
	for _, label := range sorted(f.voting) {
		if !up[label] {
			delete(f.voting, label)
		}
	}
}

// lost says whether a cluster can never elect a master again: the volumes of
// half of its voters are gone, or were given up when an operator declared their
// agent gone, and are kept for people only.
func (n *nodes) lost(uuid string) bool {
	f := n.formed[uuid]
	if f == nil {
		return false
	}
	have := 0
	for label := range f.voting {
		want := n.w.store.slots[label].Want
		if (want == state.WantRun || want == state.WantReplaced) && n.w.checks.volumeAlive(label) {
			have++
		}
	}
	return 2*have <= len(f.voting)
}

// components parts nodes by who knows whom from the seed hosts.
func components(all []*node) [][]*node {
	group := make([]int, len(all))
	for i := range all {
		group[i] = i
	}
	at := map[string]int{}
	for i, x := range all {
		at[fmt.Sprintf("%s:%d", x.doc.Address, x.doc.TransportPort)] = i
	}
	join := func(a, b int) {
		from, to := group[a], group[b]
		for i := range group {
			if group[i] == from {
				group[i] = to
			}
		}
	}
	for i, x := range all {
		for _, seed := range x.seeds {
			if j, ok := at[seed]; ok {
				join(i, j)
			}
		}
		// Members of one cluster remember each other.
		for j, y := range all[:i] {
			if x.uuid != "" && x.uuid == y.uuid {
				join(i, j)
			}
		}
	}
	var parts [][]*node
	index := map[int]int{}
	for i, x := range all {
		k, ok := index[group[i]]
		if !ok {
			k = len(parts)
			index[group[i]] = k
			parts = append(parts, nil)
		}
		parts[k] = append(parts[k], x)
	}
	return parts
}
