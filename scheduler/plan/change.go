package plan

import (
	"fmt"

	v1 "github.com/berthdata/berth/api/v1"
)

// Refusal is one change of a spec that cannot be carried out on what runs.
type Refusal struct {
	Field  string // JSON path in the new spec
	Reason string
}

// Refusals lists the changes from old to new that would need a running node to
// be moved or rebuilt: those want drains and are refused rather than done without
// them. bound tells how many nodes of a set hold a reservation, the highest of
// their ordinals plus one, so that a spec which has found no place yet can still
// be corrected; versions are those of the running nodes, which in an upgrade may
// be two.
//
// Always allowed: more nodes, new node sets, labels, constraints or spread, which
// steer only placements to come, and what a rolling restart brings to a node, see
// Fingerprint.
func Refusals(old, new v1.Cluster, bound func(set string) int, versions []string) []Refusal {
	var out []Refusal
	refuse := func(field, format string, args ...any) {
		out = append(out, Refusal{Field: field, Reason: fmt.Sprintf(format, args...)})
	}
	running := 0
	for _, set := range old.Spec.NodeSets {
		running += bound(set.Name)
	}
	if running > 0 {
		for _, v := range versions {
			if err := UpgradePath(v, new.Spec.Version); err != nil {
				refuse("spec.version", "%v", err)
				break
			}
		}
		if old.Spec.Role != new.Spec.Role {
			refuse("spec.role", "the placed nodes are reserved for role %q; a reservation cannot change its role", old.Spec.Role)
		}
	}
	for _, was := range old.Spec.NodeSets {
		n := bound(was.Name)
		if n == 0 {
			continue
		}
		if set, ok := Set(new.Spec, was.Name); !ok {
			refuse("spec.nodeSets", "node set %q is missing, but has placed nodes (up to %s): removing them needs a drain, which is not available",
				was.Name, NodeName(old.Name, was.Name, n-1))
		} else if set.Count < n {
			refuse(fieldOf(new, was.Name, "count"), "%d is less than the %d placed nodes: removing a node needs a drain, which is not available", set.Count, n)
		}
	}
	// v1.Diff knows which differences mean something: "1gb" is "1024mb".
	for _, ch := range v1.Diff(old.Spec, new.Spec) {
		if ch.NodeSet != "" && ch.Leaf != "" && rebuilds(ch.Leaf) && bound(ch.NodeSet) > 0 {
			refuse(fieldOf(new, ch.NodeSet, ch.Leaf), "changing it needs another reservation or volume for %d placed nodes, which is not available", bound(ch.NodeSet))
		}
	}
	return out
}

// rebuilds reports whether a change of a node set's field needs another
// reservation or volume, or, as the roles may, leaves data behind.
func rebuilds(leaf string) bool {
	switch leaf {
	case "roles", "resources.cpus", "resources.memory", "storage.size", "storage.type":
		return true
	}
	return false
}

// fieldOf is the JSON path of a node set's field in a spec.
func fieldOf(c v1.Cluster, set, leaf string) string {
	for i := range c.Spec.NodeSets {
		if c.Spec.NodeSets[i].Name == set {
			return fmt.Sprintf("spec.nodeSets[%d].%s", i, leaf)
		}
	}
	return "spec.nodeSets"
}
