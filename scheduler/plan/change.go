package plan

import (
	"fmt"
	"reflect"

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
	for i, was := range old.Spec.NodeSets {
		n := bound(was.Name)
		if n == 0 {
			continue
		}
		set, ok := Set(new.Spec, was.Name)
		if !ok {
			refuse("spec.nodeSets", "node set %q is missing, but has placed nodes (up to %s): removing them needs a drain, which is not available",
				was.Name, NodeName(old.Name, was.Name, n-1))
			continue
		}
		at := fmt.Sprintf("spec.nodeSets[%d]", i)
		for j := range new.Spec.NodeSets {
			if new.Spec.NodeSets[j].Name == was.Name {
				at = fmt.Sprintf("spec.nodeSets[%d]", j)
			}
		}
		if set.Count < n {
			refuse(at+".count", "%d is less than the %d placed nodes: removing a node needs a drain, which is not available", set.Count, n)
		}
		for _, f := range []struct {
			name     string
			was, now any
		}{
			{"roles", Roles(was), Roles(set)},
			{"resources", was.Resources, set.Resources},
			{"storage", was.Storage, set.Storage},
			{"config", was.Config, set.Config},
			{"javaOptions", was.JavaOptions, set.JavaOptions},
			{"timeZone", was.TimeZone, set.TimeZone},
		} {
			if !same(f.was, f.now) {
				refuse(at+"."+f.name, "changing it needs a restart of %d placed nodes through gates, which is not available", n)
			}
		}
	}
	return out
}

// same compares values, taking an absent list or map for an empty one.
func same(a, b any) bool {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	if k := va.Kind(); (k == reflect.Slice || k == reflect.Map) && va.Len() == 0 && vb.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a, b)
}
