package volumes_test

import (
	"strings"
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/volumes"
)

const (
	role      = "db/search"
	principal = "berth"
)

func ptr[T any](v T) *T { return &v }

func scalar(name string, v float64, with ...func(*mesos.Resource)) mesos.Resource {
	return apply(mesos.Resource{Name: name, Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}}, with)
}

func ports(pairs ...uint64) mesos.Resource { return portsWith(pairs) }

func portsWith(pairs []uint64, with ...func(*mesos.Resource)) mesos.Resource {
	r := mesos.Resource{Name: "ports", Type: mesos.RANGES.Enum(), Ranges: &mesos.Value_Ranges{}}
	for i := 0; i < len(pairs); i += 2 {
		r.Ranges.Range = append(r.Ranges.Range, mesos.Value_Range{Begin: pairs[i], End: pairs[i+1]})
	}
	return apply(r, with)
}

func apply(r mesos.Resource, with []func(*mesos.Resource)) mesos.Resource {
	for _, f := range with {
		f(&r)
	}
	return r
}

func allocated(r *mesos.Resource) {
	r.AllocationInfo = &mesos.Resource_AllocationInfo{Role: ptr(role)}
}

// reserved pushes one reservation: by us, with a label ("" = none).
func reserved(label string) func(*mesos.Resource) { return reservedFor(role, principal, label) }

func reservedFor(role, principal, label string) func(*mesos.Resource) {
	return func(r *mesos.Resource) {
		i := mesos.Resource_ReservationInfo{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: ptr(role)}
		if principal != "" {
			i.Principal = ptr(principal)
		}
		if label != "" {
			i.Labels = &mesos.Labels{Labels: []mesos.Label{{Key: volumes.LabelKey, Value: ptr(label)}}}
		}
		r.Reservations = append(r.Reservations[:len(r.Reservations):len(r.Reservations)], i)
	}
}

func static(role string) func(*mesos.Resource) {
	return func(r *mesos.Resource) {
		r.Reservations = append(r.Reservations, mesos.Resource_ReservationInfo{
			Type: mesos.Resource_ReservationInfo_STATIC.Enum(), Role: ptr(role)})
	}
}

func diskInfo(r *mesos.Resource) *mesos.Resource_DiskInfo {
	if r.Disk == nil {
		r.Disk = &mesos.Resource_DiskInfo{}
	}
	return r.Disk
}

func onPath(root string) func(*mesos.Resource) {
	return func(r *mesos.Resource) {
		diskInfo(r).Source = &mesos.Resource_DiskInfo_Source{
			Type: mesos.Resource_DiskInfo_Source_PATH, Path: &mesos.Resource_DiskInfo_Source_Path{Root: ptr(root)}}
	}
}

func onMount(root string) func(*mesos.Resource) {
	return func(r *mesos.Resource) {
		diskInfo(r).Source = &mesos.Resource_DiskInfo_Source{
			Type: mesos.Resource_DiskInfo_Source_MOUNT, Mount: &mesos.Resource_DiskInfo_Source_Mount{Root: ptr(root)}}
	}
}

func volume(id string) func(*mesos.Resource) {
	return func(r *mesos.Resource) {
		diskInfo(r).Persistence = &mesos.Resource_DiskInfo_Persistence{ID: id, Principal: ptr(principal)}
		r.Disk.Volume = &mesos.Volume{ContainerPath: "data", Mode: mesos.RW.Enum()}
	}
}

func offer(id, agent string, rs ...mesos.Resource) mesos.Offer {
	return mesos.Offer{
		ID: mesos.OfferID{Value: id}, AgentID: mesos.AgentID{Value: agent},
		AllocationInfo: &mesos.Resource_AllocationInfo{Role: ptr(role)}, Resources: rs,
	}
}

func pool(t require.TestingT, rs ...mesos.Resource) *volumes.Pool {
	p, err := volumes.NewPool(role, principal, []mesos.Offer{offer("o1", "a1", rs...)})
	require.NoError(t, err)
	return p
}

func identity(label string) volumes.Identity {
	return volumes.Identity{Role: role, Principal: principal, Label: label, PersistenceID: label + "-v", ContainerPath: "data"}
}

func need(cpu, mem, disk float64, kind volumes.DiskType, ports int) volumes.Need {
	return volumes.Need{CPU: volumes.FromFloat(cpu), Mem: volumes.FromFloat(mem), Disk: volumes.FromFloat(disk), DiskType: kind, Ports: ports}
}

// text writes resources in a short form, for comparison: name, stack of
// reservations by role and label, disk and amount.
func text(rs []mesos.Resource) []string {
	out := []string{}
	for _, r := range rs {
		s := r.Name
		for _, x := range r.Reservations {
			s += "(" + x.GetRole()
			if x.Labels != nil {
				s += " " + x.Labels.Labels[0].GetValue()
			}
			s += ")"
		}
		if d := r.Disk; d != nil {
			if d.Source != nil {
				s += " on " + d.Source.GetPath().GetRoot() + d.Source.GetMount().GetRoot()
			}
			if d.Persistence != nil {
				s += " volume " + d.Persistence.ID + " at " + d.Volume.GetContainerPath()
			}
		}
		s += ":"
		if r.Scalar != nil {
			s += " " + volumes.FromFloat(r.Scalar.Value).String()
		}
		if r.Ranges != nil {
			for _, x := range r.Ranges.Range {
				s += " " + volumes.Units(int64(x.Begin)).String() + "-" + volumes.Units(int64(x.End)).String()
			}
		}
		out = append(out, s)
	}
	return out
}

// requireText compares resources by their short form.
func requireText(t *testing.T, what string, want string, got []mesos.Resource) {
	t.Helper()
	lines := []string{}
	for _, l := range strings.Split(want, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	require.Equal(t, lines, text(got), what)
}
