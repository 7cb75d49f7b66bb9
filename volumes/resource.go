package volumes

import (
	"math/bits"
	"slices"
	"strconv"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// The names of the Mesos resources that Berth uses.
const (
	nameCPUs  = "cpus"
	nameMem   = "mem"
	nameDisk  = "disk"
	namePorts = "ports"
)

// use is what a pool can do with an offered resource.
type use int

const (
	useNot  use = iota // nothing; the reason says why
	useFree            // reserve it
	useHeld            // it is reserved for our role already
	useAsIs            // a task may run on it, but it cannot be reserved
)

// judge says what a pool for role can do with r, and why not.
func judge(r *mesos.Resource, role string) (use, string) {
	switch {
	case r.ProviderID != nil:
		return useNot, "it comes from a resource provider (CSI), not from the agent itself"
	case r.Revocable != nil:
		return useNot, "it is revocable: Mesos may take it away at any time"
	case r.Shared != nil:
		return useNot, "it is a shared volume"
	case r.Reservation != nil || (r.Role != nil && *r.Role != "*"):
		return useNot, "it is in the format from before reservation refinement"
	case r.Name == nameDisk && !usableDisk(r.Disk):
		return useNot, "it is a raw, block or profiled disk"
	}
	if len(r.Reservations) == 0 {
		return useFree, ""
	}
	top := &r.Reservations[len(r.Reservations)-1]
	switch owner := top.GetRole(); {
	case owner == role && top.GetType() == mesos.Resource_ReservationInfo_STATIC:
		// It carries no label and cannot be reserved once more for the same
		// role, so nothing could tell which slot holds it. A task that holds
		// nothing needs no label.
		return useAsIs, "it is reserved statically for exactly this role: such a reservation carries no label to tell slots apart"
	case owner == role:
		return useHeld, ""
	case strings.HasPrefix(role, owner+"/"):
		return useFree, "" // to be refined: ours goes on top of the stack (Mesos rule 15)
	default:
		return useNot, "it is reserved for role " + owner
	}
}

// usableDisk says whether a volume can be made on, or is on, a ROOT, PATH or
// MOUNT disk of the agent itself.
func usableDisk(d *mesos.Resource_DiskInfo) bool {
	if d == nil || d.Source == nil {
		return true
	}
	s := d.Source
	known := s.Type == mesos.Resource_DiskInfo_Source_PATH || s.Type == mesos.Resource_DiskInfo_Source_MOUNT
	return known && s.Profile == nil
}

// diskType is the kind of disk that a usable disk resource is on.
func diskType(d *mesos.Resource_DiskInfo) DiskType {
	switch {
	case d == nil || d.Source == nil:
		return DiskRoot
	case d.Source.Type == mesos.Resource_DiskInfo_Source_MOUNT:
		return DiskMount
	default:
		return DiskPath
	}
}

// sourceKey tells disks apart: resources of one key are one divisible disk.
func sourceKey(d *mesos.Resource_DiskInfo) string {
	if d == nil || d.Source == nil {
		return ""
	}
	s := d.Source
	key := strconv.Itoa(int(s.Type)) + "|" + s.GetID() + "|" + s.GetVendor()
	if s.Path != nil {
		key += "|" + s.Path.GetRoot()
	}
	if s.Mount != nil {
		key += "|" + s.Mount.GetRoot()
	}
	return key
}

// stackKey tells reservation stacks apart.
func stackKey(stack []mesos.Resource_ReservationInfo) string {
	if len(stack) == 0 {
		return ""
	}
	key := make([]byte, 0, 64)
	for i := range stack {
		r := &stack[i]
		key = strconv.AppendInt(key, int64(r.GetType()), 10)
		key = appendWord(key, r.GetRole())
		key = appendWord(key, r.GetPrincipal())
		if r.Labels != nil {
			for _, l := range r.Labels.Labels {
				key = appendWord(key, l.Key)
				key = appendWord(append(key, '='), l.GetValue())
			}
		}
		key = append(key, ';')
	}
	return string(key)
}

// appendWord appends text so that its end is certain; views of thousands of agents
// are compared by such keys, and quoting each would cost most of that.
func appendWord(key []byte, s string) []byte {
	if strings.ContainsAny(s, "\x00\\") {
		s = strconv.Quote(s)
	}
	return append(append(key, s...), 0)
}

// scalarOf is a scalar resource's amount.
func scalarOf(r *mesos.Resource) Amount {
	if r.Scalar == nil {
		return 0
	}
	return FromFloat(r.Scalar.Value)
}

// scalar builds a scalar resource. allocation_info stays unset in everything
// that this package builds: the master fills in the offer's own.
func scalar(name string, a Amount, stack []mesos.Resource_ReservationInfo) mesos.Resource {
	return mesos.Resource{
		Name: name, Type: mesos.SCALAR.Enum(),
		Scalar:       &mesos.Value_Scalar{Value: a.Float()},
		Reservations: stack,
	}
}

// portsOf builds a ports resource from sorted, disjoint ranges.
func portsOf(ranges []portRange, stack []mesos.Resource_ReservationInfo) mesos.Resource {
	rs := make([]mesos.Value_Range, len(ranges))
	for i, r := range ranges {
		rs[i] = mesos.Value_Range{Begin: r.first, End: r.last}
	}
	return mesos.Resource{
		Name: namePorts, Type: mesos.RANGES.Enum(),
		Ranges:       &mesos.Value_Ranges{Range: rs},
		Reservations: stack,
	}
}

// portRange holds the ports first..last.
type portRange struct{ first, last uint64 }

func (r portRange) count() int { return int(r.last-r.first) + 1 }

// maxPort is the highest port there is; offered ranges are cut to it, which
// also bounds every loop over ports.
const maxPort = 65535

// rangesOf reads a ports resource; ranges that hold no port are dropped.
func rangesOf(r *mesos.Resource) []portRange {
	if r.Ranges == nil {
		return nil
	}
	out := make([]portRange, 0, len(r.Ranges.Range))
	for _, x := range r.Ranges.Range {
		if x.Begin <= x.End && x.Begin <= maxPort {
			out = append(out, portRange{x.Begin, min(x.End, maxPort)})
		}
	}
	return out
}

// joinRanges sorts ranges and joins those that touch or overlap.
func joinRanges(rs []portRange) []portRange {
	slices.SortFunc(rs, func(a, b portRange) int { return int(a.first) - int(b.first) })
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && r.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, r.last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// countPorts is how many ports disjoint ranges hold.
func countPorts(rs []portRange) (n int) {
	for _, r := range rs {
		n += r.count()
	}
	return n
}

// cutPorts takes the n lowest ports from sorted, disjoint ranges.
func cutPorts(rs []portRange, n int) (cut, rest []portRange) {
	for len(rs) > 0 && n > 0 {
		if c := rs[0].count(); c <= n {
			cut, rs, n = append(cut, rs[0]), rs[1:], n-c
			continue
		}
		cut = append(cut, portRange{rs[0].first, rs[0].first + uint64(n) - 1})
		// The rest gets memory of its own: the caller's ranges stay as they are.
		rs = append([]portRange{{rs[0].first + uint64(n), rs[0].last}}, rs[1:]...)
		n = 0
	}
	return cut, rs
}

// listPorts lists the ports of ranges.
func listPorts(ports []uint64, rs []portRange) []uint64 {
	for _, r := range rs {
		for p := r.first; p <= r.last; p++ {
			ports = append(ports, p)
		}
	}
	return ports
}

// SizeClass groups disk sizes by powers of two, so that an order by size is not
// decided by the last MiB.
func SizeClass(a Amount) int { return bits.Len64(uint64(max(a, 0) / scale)) }
