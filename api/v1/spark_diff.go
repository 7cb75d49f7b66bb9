package v1

import (
	"fmt"
	"maps"
	"slices"
)

// SameSpark reports whether two specs want the same, as SameSpec does.
func SameSpark(a, b SparkSpec) bool { return len(DiffSpark(a, b)) == 0 }

// DiffSpark names every field that differs, in the order of the spec; defaults
// are filled in and sizes compared by bytes. Values that look secret are
// redacted, and are named when they differ all the same. Change.Leaf is the
// field as in the spec, without the name of a property or variable.
func DiffSpark(from, to SparkSpec) []Change {
	from, to = from.Clone(), to.Clone()
	from.SetDefaults()
	to.SetDefaults()
	a, b := from.Redact(), to.Redact()
	var d differ
	d.field("", "version", from.Version, to.Version)
	d.field("", "role", from.Role, to.Role)
	d.field("", "appResource", from.AppResource, to.AppResource)
	d.field("", "mainClass", from.MainClass, to.MainClass)
	d.hidden("args", list(from.Args), list(to.Args), list(a.Args), list(b.Args))
	d.field("", "jars", list(from.Jars), list(to.Jars))
	d.field("", "files", list(from.Files), list(to.Files))
	d.field("", "pyFiles", list(from.PyFiles), list(to.PyFiles))
	d.field("", "uris", list(from.URIs), list(to.URIs))
	d.field("", "cacheUris", from.CacheURIs, to.CacheURIs)
	d.named("properties", from.Properties, to.Properties, a.Properties, b.Properties)
	d.named("environment", from.Environment, to.Environment, a.Environment, b.Environment)

	x, y := from.Driver, to.Driver
	d.field("", "driver.cpus", x.CPUs, y.CPUs)
	d.size("", "driver.memory", x.Memory, y.Memory)
	d.size("", "driver.memoryOverhead", x.MemoryOverhead, y.MemoryOverhead)
	d.field("", "driver.constraints", list(x.Constraints), list(y.Constraints))
	optional(&d, "driver.supervise", x.Supervise, y.Supervise)
	if x.Checkpoint != nil && y.Checkpoint != nil {
		d.size("", "driver.checkpoint.size", x.Checkpoint.Size, y.Checkpoint.Size)
		d.field("", "driver.checkpoint.type", x.Checkpoint.Type, y.Checkpoint.Type)
	} else {
		optional(&d, "driver.checkpoint", x.Checkpoint, y.Checkpoint)
	}

	e, f := from.Executors, to.Executors
	optional(&d, "executors.count", e.Count, f.Count)
	optional(&d, "executors.min", e.Min, f.Min)
	optional(&d, "executors.max", e.Max, f.Max)
	d.field("", "executors.cores", e.Cores, f.Cores)
	d.size("", "executors.memory", e.Memory, f.Memory)
	d.size("", "executors.memoryOverhead", e.MemoryOverhead, f.MemoryOverhead)
	d.field("", "executors.constraints", list(e.Constraints), list(f.Constraints))
	d.field("", "executors.spread", e.Spread, f.Spread)
	d.field("", "executors.maxPerHost", e.MaxPerHost, f.MaxPerHost)
	return d.changes
}

// list makes absent and empty the same.
func list[T any](items []T) []T { return append([]T{}, items...) }

// hidden notes a field that differs by what may be shown of it.
func (d *differ) hidden(leaf string, from, to, shownFrom, shownTo any) {
	if asJSON(from) != asJSON(to) {
		d.changes = append(d.changes, Change{Field: leaf, Leaf: leaf, From: asJSON(shownFrom), To: asJSON(shownTo)})
	}
}

// named compares properties or variables one by one.
func (d *differ) named(leaf string, from, to, shownFrom, shownTo map[string]string) {
	all := maps.Clone(from)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, to)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		was, before := from[name]
		is, after := to[name]
		if before == after && was == is {
			continue
		}
		c := Change{Field: fmt.Sprintf("%s[%q]", leaf, name), Leaf: leaf}
		if before {
			c.From = asJSON(shownFrom[name])
		}
		if after {
			c.To = asJSON(shownTo[name])
		}
		d.changes = append(d.changes, c)
	}
}

// optional compares fields that may be absent.
func optional[T any](d *differ, leaf string, from, to *T) {
	c := Change{Field: leaf, Leaf: leaf}
	if from != nil {
		c.From = asJSON(from)
	}
	if to != nil {
		c.To = asJSON(to)
	}
	if c.From != c.To {
		d.changes = append(d.changes, c)
	}
}
