package mesosmodel

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// bag is a sum of resources, by kind. It is the model's own arithmetic, on
// purpose not that of the scheduler.
type bag map[string]piece

// piece is an amount of one kind of resource: everything that Mesos would merge.
type piece struct {
	like  *mesos.Resource // without amount and allocation; shared, never changed
	milli int64           // scalars
	ports portSet         // ranges
}

// portSet holds sorted, disjoint, non-touching ranges.
type portSet []mesos.Value_Range

// kindOf is what two resources must have in common to be one piece.
func kindOf(r *mesos.Resource) string {
	var b strings.Builder
	b.WriteString(r.Name)
	if r.Disk != nil && r.Disk.Source != nil {
		s := r.Disk.Source
		b.WriteString("|" + s.Type.String())
		if s.Path != nil {
			b.WriteString(s.Path.GetRoot())
		}
		if s.Mount != nil {
			b.WriteString(s.Mount.GetRoot())
		}
	}
	for i := range r.Reservations {
		v := &r.Reservations[i]
		b.WriteString("|" + v.GetType().String() + "," + v.GetRole() + "," + v.GetPrincipal())
		for _, l := range v.GetLabels().GetLabels() {
			b.WriteString("," + l.Key + "=" + l.GetValue())
		}
	}
	if id := volumeOf(r); id != "" {
		b.WriteString("|volume " + id)
	}
	return b.String()
}

// volumeOf is the persistence id of a volume, "" for anything else.
func volumeOf(r *mesos.Resource) string {
	if r.Disk == nil || r.Disk.Persistence == nil {
		return ""
	}
	return r.Disk.Persistence.ID
}

func isMount(r *mesos.Resource) bool {
	return r.Disk != nil && r.Disk.Source != nil && r.Disk.Source.Type == mesos.Resource_DiskInfo_Source_MOUNT
}

// reservedFor is the role that a resource is reserved for, "" for none.
func reservedFor(r *mesos.Resource) string {
	if n := len(r.Reservations); n > 0 {
		return r.Reservations[n-1].GetRole()
	}
	return ""
}

// bare is a resource without its innermost reservation, as before RESERVE.
func bare(r mesos.Resource) mesos.Resource {
	r.Reservations = slices.Clone(r.Reservations[:len(r.Reservations)-1])
	if len(r.Reservations) == 0 {
		r.Reservations = nil
	}
	return r
}

// unmade is the disk that a volume was made of, as before CREATE.
func unmade(r mesos.Resource) mesos.Resource {
	source := r.Disk.Source
	r.Disk = nil
	if source != nil {
		r.Disk = &mesos.Resource_DiskInfo{Source: source}
	}
	return r
}

func bagOf(rs []mesos.Resource) bag {
	b := bag{}
	for i := range rs {
		b.add(&rs[i])
	}
	return b
}

func milliOf(r *mesos.Resource) int64 {
	if r.Scalar == nil {
		return 0
	}
	return int64(math.Round(r.Scalar.Value * 1000))
}

func (b bag) add(r *mesos.Resource) {
	k := kindOf(r)
	p, ok := b[k]
	if !ok {
		like := *r
		like.AllocationInfo, like.Scalar, like.Ranges = nil, nil, nil
		p.like = &like
	}
	p.milli += milliOf(r)
	if r.Ranges != nil {
		p.ports = p.ports.union(r.Ranges.Range)
	}
	b[k] = p
}

func (b bag) addAll(o bag) {
	for k, p := range o {
		q, ok := b[k]
		if !ok {
			q.like = p.like
		}
		q.milli += p.milli
		q.ports = q.ports.union(p.ports)
		b[k] = q
	}
}

// contains says whether o can be taken out of b; a MOUNT disk only whole
// (Mesos rule 33).
func (b bag) contains(o bag) bool {
	for k, p := range o {
		q, ok := b[k]
		if !ok || q.milli < p.milli || !q.ports.contains(p.ports) {
			return false
		}
		if isMount(p.like) && q.milli != p.milli {
			return false
		}
	}
	return true
}

// subtract takes o out of b, as far as it is there.
func (b bag) subtract(o bag) {
	for k, p := range o {
		q, ok := b[k]
		if !ok {
			continue
		}
		q.milli = max(0, q.milli-p.milli)
		q.ports = q.ports.minus(p.ports)
		if q.milli == 0 && len(q.ports) == 0 {
			delete(b, k)
		} else {
			b[k] = q
		}
	}
}

// sum is the amount of a resource, in thousandths, whatever it is reserved for.
func (b bag) sum(name string) int64 {
	n := int64(0)
	for _, p := range b {
		if p.like.Name == name {
			n += p.milli
		}
	}
	return n
}

func (b bag) clone() bag { return maps.Clone(b) }

func (b bag) empty() bool { return len(b) == 0 }

// resources lists the bag in Mesos' own messages, by kind.
func (b bag) resources() []mesos.Resource {
	out := make([]mesos.Resource, 0, len(b))
	for _, k := range slices.Sorted(maps.Keys(b)) {
		p := b[k]
		r := *p.like
		if p.like.Name == "ports" {
			r.Type = mesos.RANGES.Enum()
			r.Ranges = &mesos.Value_Ranges{Range: slices.Clone(p.ports)}
		} else {
			r.Type = mesos.SCALAR.Enum()
			r.Scalar = &mesos.Value_Scalar{Value: float64(p.milli) / 1000}
		}
		out = append(out, r)
	}
	return out
}

// allocated is resources with the role that they are offered to.
func (b bag) allocated(role string) []mesos.Resource {
	out := b.resources()
	for i := range out {
		out[i].AllocationInfo = &mesos.Resource_AllocationInfo{Role: &role}
	}
	return out
}

func (b bag) volumes() []string {
	var ids []string
	for _, p := range b {
		if id := volumeOf(p.like); id != "" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (b bag) String() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(b)) {
		if p := b[k]; p.like.Name == "ports" {
			parts = append(parts, k+":"+p.ports.String())
		} else {
			parts = append(parts, k+":"+strconv.FormatFloat(float64(p.milli)/1000, 'f', -1, 64))
		}
	}
	return strings.Join(parts, "; ")
}

func (s portSet) String() string {
	parts := make([]string, len(s))
	for i, r := range s {
		parts[i] = fmt.Sprintf("%d-%d", r.Begin, r.End)
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func (s portSet) union(o []mesos.Value_Range) portSet {
	if len(o) == 0 {
		return s
	}
	all := append(slices.Clone(s), o...)
	slices.SortFunc(all, func(a, b mesos.Value_Range) int { return int(a.Begin) - int(b.Begin) })
	out := all[:0]
	for _, r := range all {
		if n := len(out); n > 0 && r.Begin <= out[n-1].End+1 {
			out[n-1].End = max(out[n-1].End, r.End)
			continue
		}
		out = append(out, r)
	}
	return out
}

func (s portSet) contains(o portSet) bool {
	for _, r := range o {
		if !slices.ContainsFunc(s, func(h mesos.Value_Range) bool { return h.Begin <= r.Begin && r.End <= h.End }) {
			return false
		}
	}
	return true
}

func (s portSet) minus(o portSet) portSet {
	out := s
	for _, c := range o {
		var next portSet
		for _, r := range out {
			if c.End < r.Begin || c.Begin > r.End {
				next = append(next, r)
				continue
			}
			if r.Begin < c.Begin {
				next = append(next, mesos.Value_Range{Begin: r.Begin, End: c.Begin - 1})
			}
			if r.End > c.End {
				next = append(next, mesos.Value_Range{Begin: c.End + 1, End: r.End})
			}
		}
		out = next
	}
	return out
}

// Merge sums resources up: what Mesos would merge is one, without the role that
// it is allocated to.
func Merge(rs []mesos.Resource) []mesos.Resource { return bagOf(rs).resources() }
