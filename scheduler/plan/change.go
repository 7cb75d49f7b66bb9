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
// be stopped, moved or rebuilt: those want gates and drains and are refused
// rather than done without them. bound tells how many nodes of a set hold a
// reservation, the highest of their ordinals plus one, so that a spec which has
// found no place yet can still be corrected.
//
// Always allowed: more nodes, new node sets, labels, and constraints or spread,
// which steer only placements to come.
func Refusals(old, new v1.Cluster, bound func(set string) int) []Refusal {
	var out []Refusal
	refuse := func(field, format string, args ...any) {
		out = append(out, Refusal{Field: field, Reason: fmt.Sprintf(format, args...)})
	}
	running := 0
	for _, set := range old.Spec.NodeSets {
		running += bound(set.Name)
	}
	if running > 0 {
		if old.Spec.Version != new.Spec.Version {
			refuse("spec.version", "changing %s to %s needs a rolling upgrade of %d placed nodes, which is not available", old.Spec.Version, new.Spec.Version, running)
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
		if ch.NodeSet != "" && ch.Leaf != "" && restarts(ch.Leaf) && bound(ch.NodeSet) > 0 {
			refuse(fieldOf(new, ch.NodeSet, ch.Leaf), "changing it needs a restart of %d placed nodes through gates, which is not available", bound(ch.NodeSet))
		}
	}
	return out
}

// restarts reports whether a change of a node set's field reaches a node only by
// a restart or a new reservation.
func restarts(leaf string) bool {
	switch leaf {
	case "count", "constraints", "spread":
		return false
	}
	return true
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
