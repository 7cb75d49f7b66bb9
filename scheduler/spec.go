package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

// specPut accepts or refuses a spec. A refused one changes nothing.
func (c *Core) specPut(e SpecPut) {
	accepted, problem := c.putSpec(e)
	c.reply(e.Reply, accepted, problem)
}

func (c *Core) putSpec(e SpecPut) (*v1.Accepted, *v1.Problem) {
	spec := e.Cluster
	if spec.Spec.Role == "" {
		spec.Spec.Role = c.cfg.Roles[0]
	}
	if fields := c.checkSurroundings(spec); len(fields) > 0 {
		return nil, v1.ProblemSpecInvalid(fields)
	}
	old := c.clusters[spec.Name]
	if problem := checkPresent(spec.Name, old, e.IfGeneration); problem != nil {
		return nil, problem
	}
	if old == nil {
		if e.DryRun {
			out := &v1.Accepted{Name: spec.Name, Changed: true, DryRun: true, Message: fmt.Sprintf("would create %d nodes", spec.Spec.TotalNodes())}
			out.Placements, out.Reserves = c.preview(spec, nil)
			return out, nil
		}
		return c.create(spec, e), nil
	}
	if v1.SameSpec(old.Spec.Spec, spec.Spec) && maps.Equal(old.Spec.Labels, spec.Labels) {
		return &v1.Accepted{Name: spec.Name, Generation: old.Generation, PlanID: plan.ID(spec.Name, old.Generation), Message: "nothing to change"}, nil
	}
	if fields := c.refusals(old, spec); len(fields) > 0 {
		p := v1.NewProblem(422, v1.CodeSpecUnsupported, "the change cannot be carried out", "cluster "+spec.Name+" was left as it is")
		p.Fields = fields
		return nil, p
	}
	if e.DryRun {
		changes := v1.Diff(old.Spec.Spec, spec.Spec)
		out := &v1.Accepted{
			Name: spec.Name, Generation: old.Generation, Changed: true, DryRun: true,
			Changes: changes, Message: describeChanges(changes),
		}
		out.Placements, out.Reserves = c.preview(spec, old)
		return out, nil
	}
	return c.update(old, spec, e), nil
}

// checkSurroundings checks what only the scheduler knows: its roles and its
// catalogue of versions.
func (c *Core) checkSurroundings(spec v1.Cluster) []v1.FieldError {
	fields := c.checkRole(spec.Spec.Role)
	if _, ok := c.cfg.Catalogue[spec.Spec.Version]; !ok {
		fields = append(fields, v1.FieldError{Field: "spec.version", Message: fmt.Sprintf("version %s is not in this Berth's catalogue; it has %s", spec.Spec.Version, versionsOf(c.cfg.Catalogue))})
	}
	return fields
}

// checkRole checks that a role is one of the framework's.
func (c *Core) checkRole(role string) []v1.FieldError {
	if slices.Contains(c.cfg.Roles, role) {
		return nil
	}
	return []v1.FieldError{{Field: "spec.role", Message: fmt.Sprintf("%q is not a role of this Berth; it has %s", role, strings.Join(c.cfg.Roles, ", "))}}
}

// versionsOf lists the versions of a catalogue.
func versionsOf[T any](catalogue map[string]T) string {
	if len(catalogue) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(catalogue)), ", ")
}

func checkPresent(name string, old *cluster, ifGeneration *int64) *v1.Problem {
	have := int64(0)
	if old != nil {
		have = old.Generation
		if old.Deletion != nil {
			return v1.ProblemConflict("cluster is being deleted", fmt.Sprintf("cluster %s has been ordered deleted and is still stopping; apply again once it is gone", name))
		}
	}
	if ifGeneration != nil && *ifGeneration != have {
		return v1.ProblemGenerationMismatch("cluster", name, *ifGeneration, have)
	}
	return nil
}

// create makes a cluster's record; its slots follow when the step settles.
func (c *Core) create(spec v1.Cluster, e SpecPut) *v1.Accepted {
	cl := newCluster(state.Cluster{
		Spec: spec, Generation: 1, Incarnation: c.incarnation(),
		InitialMasters: plan.Masters(spec),
		CreatedAt:      c.now, UpdatedAt: c.now, UpdatedBy: e.User, Message: clip(e.Message),
	})
	c.clusters[spec.Name] = cl
	c.touchCluster(cl)
	c.publish("ClusterAccepted", spec.Name, "", "generation 1 accepted: %d nodes of Elasticsearch %s", spec.Spec.TotalNodes(), spec.Spec.Version)
	return &v1.Accepted{Name: spec.Name, Generation: 1, PlanID: plan.ID(spec.Name, 1), Changed: true}
}

func (c *Core) update(cl *cluster, spec v1.Cluster, e SpecPut) *v1.Accepted {
	changes := v1.Diff(cl.Spec.Spec, spec.Spec)
	text := describeChanges(changes)
	c.stamp(cl)
	cl.Spec = spec
	cl.Generation++
	cl.UpdatedAt, cl.UpdatedBy, cl.Message = c.now, e.User, clip(e.Message)
	if cl.ClusterUUID == "" && !cl.everStarted() {
		// Nothing has bootstrapped yet, so a corrected spec may still name
		// other masters; once a node ran, the list never varies.
		cl.InitialMasters = plan.Masters(spec)
	}
	c.touchCluster(cl)
	c.publish("ClusterAccepted", spec.Name, "", "generation %d accepted: %s", cl.Generation, text)
	return &v1.Accepted{Name: spec.Name, Generation: cl.Generation, PlanID: plan.ID(spec.Name, cl.Generation), Changed: true, Changes: changes, Message: text}
}

// versions are the Elasticsearch versions of the nodes that run, or that have data
// and ran last with them, sorted: a node that is down has written all the same.
func (cl *cluster) versions() []string {
	var list []string
	for _, s := range cl.list() {
		if !s.live() && (s.Task == nil || s.Bind == nil || !s.Bind.HasData) {
			continue
		}
		v := s.Task.Version
		if v == "" {
			v = cl.Spec.Spec.Version
		}
		if !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	slices.Sort(list)
	return list
}

// everStarted reports whether any node of the cluster was ever launched.
func (cl *cluster) everStarted() bool {
	for _, s := range cl.slots {
		if s.Life > 0 {
			return true
		}
	}
	return false
}

func describeChanges(changes []v1.Change) string {
	if len(changes) == 0 {
		return "labels changed"
	}
	parts := make([]string, 0, len(changes))
	for _, ch := range changes {
		parts = append(parts, ch.String())
	}
	return clip(strings.Join(parts, "; "))
}

// refusals lists the changes that would have to touch what is already placed.
func (c *Core) refusals(old *cluster, spec v1.Cluster) []v1.FieldError {
	var fields []v1.FieldError
	for _, r := range plan.Refusals(old.Spec, spec, old.boundNodes, old.versions()) {
		fields = append(fields, v1.FieldError{Field: r.Field, Message: r.Reason})
	}
	if old.ClusterUUID == "" && old.everStarted() {
		// Nodes that wait for these names cannot be told others: the cluster
		// would never form.
		wanted := plan.Masters(spec)
		for _, name := range old.InitialMasters {
			if !slices.Contains(wanted, name) {
				fields = append(fields, v1.FieldError{Field: "spec.nodeSets", Message: fmt.Sprintf("master-eligible node %s is missing, with which the cluster is forming: apply again once it has formed, or delete the cluster", name)})
				break
			}
		}
	}
	r, masters := plan.Replicas(spec.Spec), len(plan.Masters(spec))
	all, voting := old.perMachine(nil), old.perMachine(old.masterEligible())
	for _, machine := range slices.Sorted(maps.Keys(all)) {
		if n := all[machine]; r < plan.Replicas(old.Spec.Spec) && n > r {
			fields = append(fields, v1.FieldError{Field: "spec.replicas", Message: fmt.Sprintf("machine %s holds %d nodes of this cluster; with %d replicas the host rule allows %d", machine, n, r, r)})
			break
		}
	}
	// Fewer masters, none of them placed, still lower what one machine may hold.
	for _, machine := range slices.Sorted(maps.Keys(voting)) {
		if n, most := voting[machine], plan.MastersPerMachine(masters); masters < len(plan.Masters(old.Spec)) && n > most {
			fields = append(fields, v1.FieldError{Field: "spec.nodeSets", Message: fmt.Sprintf("machine %s holds %d master-eligible nodes of this cluster; of %d masters one machine may hold %d, or losing it loses their majority", machine, n, masters, most)})
			break
		}
	}
	return fields
}

// masterEligible are the node sets whose nodes may be elected master.
func (cl *cluster) masterEligible() map[string]bool {
	sets := map[string]bool{}
	for _, set := range cl.Spec.Spec.NodeSets {
		sets[set.Name] = plan.MasterEligible(set)
	}
	return sets
}

// boundNodes is the highest ordinal of a set that holds anything, plus one.
func (cl *cluster) boundNodes(set string) int {
	n := 0
	for _, s := range cl.slots {
		if s.Set == set && (s.Want == state.WantRun || s.Want == state.WantReplaced) && (s.Bind != nil || s.live()) {
			n = max(n, s.Ordinal+1)
		}
	}
	return n
}

// perMachine counts the cluster's nodes by machine, as the host rule does: those
// of the given node sets, or all.
func (cl *cluster) perMachine(sets map[string]bool) map[string]int {
	count := map[string]int{}
	for _, s := range cl.slots {
		if s.counts() && (sets == nil || sets[s.Set]) {
			count[s.Bind.Machine]++
		}
	}
	return count
}

// specDeleted records the order to delete a cluster. Nothing is destroyed by it:
// the nodes stop, cores, memory and ports are given back, and the volumes stay.
func (c *Core) specDeleted(e SpecDeleted) {
	cl := c.clusters[e.Name]
	if cl == nil {
		c.refuse(e.Reply, v1.ProblemNotFound("cluster", e.Name))
		return
	}
	if cl.Deletion == nil {
		cl.Deletion = &state.Deletion{At: c.now, User: e.User, Message: clip(e.Message), RetainUntil: c.now.Add(e.RetainFor)}
		cl.UpdatedAt = c.now
		c.touchCluster(cl)
		c.publish("ClusterDeleting", e.Name, "", "deletion ordered by %s; volumes are kept at least until %s", orSomebody(e.User), cl.Deletion.RetainUntil.UTC().Format("2006-01-02 15:04 MST"))
	}
	c.reply(e.Reply, &v1.Accepted{
		Name: e.Name, Generation: cl.Generation, Changed: true,
		Message: fmt.Sprintf("stopping; volumes are kept: see GET /v1/volumes, and destroy them there after %s", cl.Deletion.RetainUntil.UTC().Format("2006-01-02 15:04 MST")),
	}, nil)
}

// incarnation draws the next number of the counter that never repeats.
func (c *Core) incarnation() int64 {
	c.framework.NextIncarnation++
	c.frameworkDirty = true
	return c.framework.NextIncarnation
}
