package volumes

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// Reserved is one reservation that an agent holds for a role of ours, whoever
// made it, with the volumes on it.
type Reserved struct {
	Holding
	// Role is that of the innermost reservation: ours, unless somebody refined
	// ours for a role below it.
	Role string
	// Labels are all labels of the innermost reservation.
	Labels []mesos.Label
	// Why says why it is Foreign.
	Why string
	// key tells it apart from the agent's other reservations.
	key string
}

// Inventory lists everything that an agent's resources show as set aside for one
// of the roles: dynamic reservations, also such as others have refined on top,
// and volumes on any reservation. Unlike a Pool's holdings it has what Berth would
// never use as well: what stays unseen cannot be judged. Static reservations
// without a volume are the agent's own configuration, and are left out.
//
// What Berth made is one reservation for each set of labels, whatever it was
// refined from; of others, only what Mesos itself would merge is one (Mesos rule 30).
func Inventory(roles []string, principal string, rs []mesos.Resource) []Reserved {
	var out []Reserved
	at := map[string]int{}
	for i := range rs {
		r := rs[i]
		if !concerns(&r, roles) {
			continue
		}
		r.AllocationInfo = nil
		top := &r.Reservations[len(r.Reservations)-1]
		label, _ := labelOf(top)
		why := foreign(&r, roles, principal)
		key := "ours " + stackKey(r.Reservations[len(r.Reservations)-1:])
		if why != "" {
			key = "foreign " + r.ProviderID.GetValue() + " " + stackKey(r.Reservations)
		}
		j, known := at[key]
		if !known {
			j = len(out)
			at[key] = j
			x := Reserved{Role: top.GetRole(), Why: why, key: key}
			x.Label, x.Principal, x.Foreign = label, top.GetPrincipal(), why != ""
			x.Labels = top.GetLabels().GetLabels()
			out = append(out, x)
		}
		if r.Scalar == nil && r.Name != namePorts {
			out[j].Resources = append(out[j].Resources, r) // a set, or ranges of an operator's own
			continue
		}
		out[j].Resources = merge(out[j].Resources, r)
	}
	for i := range out {
		out[i].sum()
	}
	slices.SortFunc(out, func(a, b Reserved) int { return cmp.Or(cmp.Compare(a.Label, b.Label), cmp.Compare(a.key, b.key)) })
	return out
}

// concerns says whether a resource is set aside for one of the roles.
func concerns(r *mesos.Resource, roles []string) bool {
	for i := range r.Reservations {
		v := &r.Reservations[i]
		last := i == len(r.Reservations)-1
		if slices.Contains(roles, v.GetRole()) && (v.GetType() == mesos.Resource_ReservationInfo_DYNAMIC || last && isVolume(r)) {
			return true
		}
	}
	return false
}

// foreign says why a resource that concerns us is not of our making, "" if it is.
func foreign(r *mesos.Resource, roles []string, principal string) string {
	top := &r.Reservations[len(r.Reservations)-1]
	if !slices.Contains(roles, top.GetRole()) {
		return "it was refined for role " + top.GetRole() + " by " + byPrincipal(top.GetPrincipal())
	}
	if how, why := judge(r, top.GetRole()); how != useHeld {
		return why
	}
	switch _, labelled := labelOf(top); {
	case top.GetPrincipal() != principal:
		return byPrincipal(top.GetPrincipal()) + " made it"
	case !labelled:
		return "it carries no label " + LabelKey
	}
	return ""
}

func byPrincipal(p string) string {
	if p == "" {
		return "somebody without a principal"
	}
	return "principal " + p
}

// ID names the reservation among all of all agents, for as long as its labels,
// its principal and its role stay what they are.
func (r *Reserved) ID(agentID string) string {
	sum := sha256.Sum256([]byte(agentID + "\x00" + r.key))
	return hex.EncodeToString(sum[:6])
}

// Providers says whether any of it comes from a resource provider (CSI), whose
// disks have a life of their own.
func (r *Reserved) Providers() bool {
	return slices.ContainsFunc(r.Resources, func(x mesos.Resource) bool { return x.ProviderID != nil })
}

// Undo says what to DESTROY and then to UNRESERVE so that nothing is left of the
// reservation, whoever made it, in that order: UNRESERVE fails while a volume
// exists (Mesos rule 31). What an agent's configuration reserves stays reserved.
func (r *Reserved) Undo() (destroy, unreserve []mesos.Resource) {
	destroy, unreserve = undo(r.Resources, false)
	unreserve = slices.DeleteFunc(unreserve, func(x mesos.Resource) bool {
		return x.Reservations[len(x.Reservations)-1].GetType() != mesos.Resource_ReservationInfo_DYNAMIC
	})
	return destroy, unreserve
}

// Extent is how much a reservation holds: what a person approves, and what is
// compared with it later.
type Extent struct {
	CPU     Amount        `json:"cpu,omitempty"`
	Mem     Amount        `json:"mem,omitempty"`
	Disk    Amount        `json:"disk,omitempty"` // with the volumes'
	Ports   []PortRange   `json:"ports,omitempty"`
	Volumes []VolumeSized `json:"volumes,omitempty"` // by id
	// Others are resources that Berth has no use for, such as gpus, by name.
	Others []Other `json:"others,omitempty"`
}

// PortRange holds the ports First to Last.
type PortRange struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// VolumeSized is a persistent volume by its persistence id.
type VolumeSized struct {
	ID   string `json:"id"`
	Size Amount `json:"size"` // MiB
}

// Other is an amount of another resource; of what is no scalar, one a piece.
type Other struct {
	Name   string `json:"name"`
	Amount Amount `json:"amount"`
}

// Extent sums the reservation up.
func (r *Reserved) Extent() Extent {
	e := Extent{CPU: r.CPU, Mem: r.Mem, Disk: r.Disk}
	var ranges []portRange
	for i := range r.Resources {
		switch x := &r.Resources[i]; {
		case x.Name == namePorts:
			ranges = append(ranges, rangesOf(x)...)
		case isVolume(x):
			e.Volumes = append(e.Volumes, VolumeSized{ID: x.Disk.Persistence.ID, Size: scalarOf(x)})
		case x.Name != nameCPUs && x.Name != nameMem && x.Name != nameDisk:
			e.addOther(x)
		}
	}
	for _, p := range joinRanges(ranges) {
		e.Ports = append(e.Ports, PortRange{First: p.first, Last: p.last})
	}
	slices.SortFunc(e.Volumes, func(a, b VolumeSized) int { return cmp.Compare(a.ID, b.ID) })
	return e
}

func (e *Extent) addOther(r *mesos.Resource) {
	amount := scalarOf(r)
	if r.Scalar == nil {
		amount = Units(1)
	}
	i, known := slices.BinarySearchFunc(e.Others, r.Name, func(o Other, name string) int { return cmp.Compare(o.Name, name) })
	if !known {
		e.Others = slices.Insert(e.Others, i, Other{Name: r.Name})
	}
	e.Others[i].Amount += amount
}

// Beyond says what e holds that o does not; "" when all of e is in o.
func (e Extent) Beyond(o Extent) string {
	var more []string
	for _, x := range []struct {
		name      string
		have, had Amount
	}{{nameCPUs, e.CPU, o.CPU}, {nameMem, e.Mem, o.Mem}, {nameDisk, e.Disk, o.Disk}} {
		if x.have > x.had {
			more = append(more, x.name+" "+x.have.String()+" instead of "+x.had.String())
		}
	}
	for _, x := range e.Others {
		if !slices.ContainsFunc(o.Others, func(y Other) bool { return x.Name == y.Name && x.Amount <= y.Amount }) {
			more = append(more, x.Name+" "+x.Amount.String())
		}
	}
	for _, p := range e.Ports {
		if !slices.ContainsFunc(o.Ports, func(q PortRange) bool { return q.First <= p.First && p.Last <= q.Last }) {
			more = append(more, "ports "+p.String())
		}
	}
	for _, v := range e.Volumes {
		if !slices.Contains(o.Volumes, v) {
			more = append(more, "volume "+v.ID+" of "+v.Size.String()+" MiB")
		}
	}
	return strings.Join(more, ", ")
}

func (p PortRange) String() string {
	first, last := Units(int64(p.First)).String(), Units(int64(p.Last)).String()
	if first == last {
		return first
	}
	return first + "-" + last
}

// PortsText lists the ports for people: "31000-31001,31005".
func (e Extent) PortsText() string {
	parts := make([]string, len(e.Ports))
	for i, p := range e.Ports {
		parts[i] = p.String()
	}
	return strings.Join(parts, ",")
}

// String lists everything for people, such as "cpus 1, mem 2048, disk 10240 (volume
// a.7), ports 31000-31001".
func (e Extent) String() string {
	var parts []string
	if e.CPU > 0 {
		parts = append(parts, nameCPUs+" "+e.CPU.String())
	}
	if e.Mem > 0 {
		parts = append(parts, nameMem+" "+e.Mem.String())
	}
	if e.Disk > 0 {
		text := nameDisk + " " + e.Disk.String()
		ids := make([]string, len(e.Volumes))
		for i, v := range e.Volumes {
			ids[i] = "volume " + v.ID
		}
		if len(ids) > 0 {
			text += " (" + strings.Join(ids, ", ") + ")"
		}
		parts = append(parts, text)
	}
	if len(e.Ports) > 0 {
		parts = append(parts, namePorts+" "+e.PortsText())
	}
	for _, o := range e.Others {
		parts = append(parts, o.Name+" "+o.Amount.String())
	}
	return strings.Join(parts, ", ")
}
