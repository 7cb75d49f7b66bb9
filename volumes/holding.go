package volumes

import (
	"cmp"
	"slices"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// Holding is what is reserved for our role under one label, as far as the
// resources at hand show it.
type Holding struct {
	// Label is the value of LabelKey; "" when the reservation has none.
	Label string
	// Foreign says that the reservation is not ours to use or to release:
	// it has no label of ours, or another principal made it.
	Foreign   bool
	Principal string
	CPU       Amount
	Mem       Amount
	Disk      Amount // with the volume's
	Ports     []uint64
	// PersistenceID of the volume; "" when there is none.
	PersistenceID string
	// Volume is the persistent volume as Mesos shows it, nil when there is none.
	Volume *mesos.Resource
	// Resources are all of them, without allocation_info, merged where Mesos
	// would merge them. They are shared: read only.
	Resources []mesos.Resource
}

// observe adds a resource that is reserved for our role to the holdings.
func observe(held []Holding, r mesos.Resource, principal string) []Holding {
	r.AllocationInfo = nil
	top := &r.Reservations[len(r.Reservations)-1]
	label, labelled := labelOf(top)
	foreign := !labelled || top.GetPrincipal() != principal
	i := slices.IndexFunc(held, func(h Holding) bool {
		return h.Label == label && h.Principal == top.GetPrincipal() && h.Foreign == foreign
	})
	if i < 0 {
		i = len(held)
		held = append(held, Holding{Label: label, Foreign: foreign, Principal: top.GetPrincipal()})
	}
	held[i].Resources = merge(held[i].Resources, r)
	return held
}

// sum fills the amounts of h from its resources.
func (h *Holding) sum() {
	var ranges []portRange
	for i := range h.Resources {
		r := &h.Resources[i]
		switch r.Name {
		case nameCPUs:
			h.CPU += scalarOf(r)
		case nameMem:
			h.Mem += scalarOf(r)
		case namePorts:
			ranges = append(ranges, rangesOf(r)...)
		case nameDisk:
			h.Disk += scalarOf(r)
			if isVolume(r) && (h.Volume == nil || r.Disk.Persistence.ID < h.PersistenceID) {
				h.PersistenceID, h.Volume = r.Disk.Persistence.ID, r
			}
		}
	}
	h.Ports = listPorts(nil, joinRanges(ranges))
}

// disk is the reserved disk on which no volume was made yet, nil when none.
func (h *Holding) disk() *mesos.Resource {
	for i := range h.Resources {
		if r := &h.Resources[i]; r.Name == nameDisk && !isVolume(r) {
			return r
		}
	}
	return nil
}

func isVolume(r *mesos.Resource) bool { return r.Disk != nil && r.Disk.Persistence != nil }

// labelOf is our label on a reservation.
func labelOf(r *mesos.Resource_ReservationInfo) (string, bool) {
	if r.Labels == nil {
		return "", false
	}
	for _, l := range r.Labels.Labels {
		if l.Key == LabelKey && l.GetValue() != "" {
			return l.GetValue(), true
		}
	}
	return "", false
}

// merge adds r to rs as Mesos adds resources: equal kinds under an equal
// reservation become one; volumes and MOUNT disks stay what they are.
func merge(rs []mesos.Resource, r mesos.Resource) []mesos.Resource {
	if isVolume(&r) || r.Name == nameDisk && diskType(r.Disk) == DiskMount {
		return append(rs, r)
	}
	for i := range rs {
		o := &rs[i]
		if o.Name != r.Name || isVolume(o) || stackKey(o.Reservations) != stackKey(r.Reservations) {
			continue
		}
		switch {
		case r.Name == namePorts:
			*o = portsOf(joinRanges(append(rangesOf(o), rangesOf(&r)...)), o.Reservations)
			return rs
		case r.Name != nameDisk || sourceKey(o.Disk) == sourceKey(r.Disk):
			o.Scalar = &mesos.Value_Scalar{Value: (scalarOf(o) + scalarOf(&r)).Float()}
			return rs
		}
	}
	return append(rs, r)
}

// sortHoldings orders by label; a foreign one comes after ours.
func sortHoldings(held []Holding) {
	slices.SortFunc(held, func(a, b Holding) int {
		if a.Label == b.Label && a.Foreign != b.Foreign {
			if b.Foreign {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Label, b.Label), cmp.Compare(a.Principal, b.Principal))
	})
}
