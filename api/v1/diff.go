package v1

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Change is one field that differs between two specs.
type Change struct {
	// Field is the whole path for people, such as "nodeSets[data].count".
	// Node sets are named, not numbered: their order means nothing.
	Field string `json:"field"`
	// NodeSet is the set's name, "" for fields of the cluster.
	NodeSet string `json:"nodeSet,omitempty"`
	// Leaf is the field within the cluster or set, such as "version",
	// "storage.size" or "config"; "" when the set itself came or went.
	Leaf string `json:"leaf,omitempty"`
	// From and To are the values as JSON, "" for absent.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// String writes the change for people.
func (c Change) String() string {
	switch {
	case c.From == "":
		return fmt.Sprintf("%s: added %s", c.Field, c.To)
	case c.To == "":
		return fmt.Sprintf("%s: removed %s", c.Field, c.From)
	default:
		return fmt.Sprintf("%s: %s → %s", c.Field, c.From, c.To)
	}
}

// SameSpec reports whether two specs want the same: defaults are filled in,
// sizes are compared by bytes ("1gb" is "1024mb"), and the order of node sets
// and roles means nothing.
func SameSpec(a, b ClusterSpec) bool { return len(Diff(a, b)) == 0 }

// Diff names every field that differs, in the order of the spec: the cluster's
// own fields, then node sets by name. It compares as SameSpec says.
func Diff(from, to ClusterSpec) []Change {
	from, to = from.Clone(), to.Clone()
	from.SetDefaults()
	to.SetDefaults()
	var d differ
	d.field("", "version", from.Version, to.Version)
	d.field("", "replicas", *from.Replicas, *to.Replicas)
	d.field("", "role", from.Role, to.Role)

	old, now := byName(from.NodeSets), byName(to.NodeSets)
	names := slices.Collect(maps.Keys(old))
	for name := range now {
		if _, both := old[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		a, was := old[name]
		b, is := now[name]
		switch {
		case was && is:
			d.nodeSet(a, b)
		case was:
			d.changes = append(d.changes, Change{Field: setPath(name), NodeSet: name, From: asJSON(a)})
		default:
			d.changes = append(d.changes, Change{Field: setPath(name), NodeSet: name, To: asJSON(b)})
		}
	}
	return d.changes
}

type differ struct{ changes []Change }

func (d *differ) nodeSet(a, b NodeSet) {
	d.field(a.Name, "count", a.Count, b.Count)
	d.field(a.Name, "roles", sortedRoles(a), sortedRoles(b))
	d.field(a.Name, "resources.cpus", a.Resources.CPUs, b.Resources.CPUs)
	d.size(a.Name, "resources.memory", a.Resources.Memory, b.Resources.Memory)
	d.size(a.Name, "resources.heap", a.Resources.Heap, b.Resources.Heap)
	d.size(a.Name, "storage.size", a.Storage.Size, b.Storage.Size)
	d.field(a.Name, "storage.type", a.Storage.Type, b.Storage.Type)
	d.field(a.Name, "constraints", constraintsOf(a), constraintsOf(b))
	d.field(a.Name, "spread", a.Spread, b.Spread)
	d.field(a.Name, "config", configOf(a), configOf(b))
	d.field(a.Name, "javaOptions", append([]string{}, a.JavaOptions...), append([]string{}, b.JavaOptions...))
	d.field(a.Name, "timeZone", a.TimeZone, b.TimeZone)
}

func (d *differ) field(set, leaf string, from, to any) {
	a, b := asJSON(from), asJSON(to)
	if a == b {
		return
	}
	path := leaf
	if set != "" {
		path = setPath(set) + "." + leaf
	}
	d.changes = append(d.changes, Change{Field: path, NodeSet: set, Leaf: leaf, From: a, To: b})
}

func (d *differ) size(set, leaf, from, to string) {
	a, errA := ParseSize(from)
	b, errB := ParseSize(to)
	if errA == nil && errB == nil && a == b {
		return
	}
	d.field(set, leaf, from, to)
}

func setPath(name string) string { return "nodeSets[" + name + "]" }

func byName(sets []NodeSet) map[string]NodeSet {
	m := make(map[string]NodeSet, len(sets))
	for _, n := range sets {
		m[n.Name] = n
	}
	return m
}

func sortedRoles(n NodeSet) []string {
	if n.Roles == nil {
		return nil
	}
	roles := append([]string{}, *n.Roles...)
	slices.Sort(roles)
	return slices.Compact(roles)
}

func constraintsOf(n NodeSet) []Constraint { return append([]Constraint{}, n.Constraints...) }

func configOf(n NodeSet) map[string]any {
	if n.Config == nil {
		return map[string]any{}
	}
	return n.Config
}

// asJSON writes a value canonically: encoding/json sorts a map's keys.
func asJSON(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		// Only NaN or infinity in a hand-made Config gets here.
		return fmt.Sprintf("%#v", v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
