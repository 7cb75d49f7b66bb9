// Package placement runs placement workloads through the engine that the
// scheduler uses.
package placement

import (
	"fmt"
	"maps"
	"slices"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"github.com/berthdata/berth/placement"
	"github.com/berthdata/berth/test/placement/workload"
	"github.com/berthdata/berth/volumes"
)

const (
	role      = "berth"
	principal = "berth"
)

// Space makes the workload's hosts into offers and pools them, as the scheduler
// does with the offers of an event.
func Space(w *workload.Workload) (*placement.Space, error) {
	space := placement.NewSpace()
	for i := range w.Hosts {
		offer := offerOf(&w.Hosts[i])
		pool, err := volumes.NewPool(role, principal, []mesos.Offer{offer})
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", w.Hosts[i].ID, err)
		}
		space.AddNode(placement.Node{
			ID: offer.AgentID.Value, Hostname: offer.Hostname, Machine: offer.Hostname,
			Attributes: placement.AttributesOf(offer.Hostname, offer.Attributes), Pool: pool,
		})
	}
	return space, nil
}

func offerOf(h *workload.Host) mesos.Offer {
	allocation := &mesos.Resource_AllocationInfo{Role: mesosString(role)}
	scalar := func(name string, value float64) mesos.Resource {
		return mesos.Resource{
			Name: name, Type: mesos.SCALAR.Enum(), AllocationInfo: allocation,
			Scalar: &mesos.Value_Scalar{Value: value},
		}
	}
	ports := mesos.Resource{Name: "ports", Type: mesos.RANGES.Enum(), AllocationInfo: allocation, Ranges: &mesos.Value_Ranges{}}
	for _, r := range h.Ports {
		ports.Ranges.Range = append(ports.Ranges.Range, mesos.Value_Range{Begin: r[0], End: r[1]})
	}
	o := mesos.Offer{
		ID: mesos.OfferID{Value: "o-" + h.ID}, AgentID: mesos.AgentID{Value: h.ID},
		Hostname: h.ID, AllocationInfo: allocation,
		Resources: []mesos.Resource{ports, scalar("cpus", h.CPUs), scalar("mem", float64(h.Mem)), scalar("disk", float64(h.Disk))},
	}
	for _, name := range slices.Sorted(maps.Keys(h.Attributes)) {
		o.Attributes = append(o.Attributes, mesos.Attribute{
			Name: name, Type: mesos.TEXT, Text: &mesos.Value_Text{Value: h.Attributes[name]},
		})
	}
	return o
}

func mesosString(s string) *string { return &s }

// Request is what the scheduler asks for task number n of a group. The
// constraints are those of Constraints.
func Request(g *workload.Group, constraints []placement.Constraint, n int) placement.Request {
	slot := fmt.Sprintf("%s-%d", g.ID, n)
	r := placement.Request{
		Slot: slot,
		Identity: volumes.Identity{
			Role: role, Principal: principal, Label: slot, PersistenceID: slot + "-v", ContainerPath: "data",
		},
		Need: volumes.Need{
			CPU: volumes.FromFloat(g.CPUs), Mem: volumes.Units(g.Mem),
			Disk: volumes.Units(g.Disk), DiskType: volumes.DiskRoot, Ports: g.Ports,
		},
		Constraints: constraints,
		Groups:      []string{g.ID},
	}
	if g.MaxPerHost > 0 {
		r.Limits = []placement.Limit{{Name: "max per host", Group: g.ID, Max: g.MaxPerHost}}
	}
	if g.Spread != nil {
		r.Spread = &placement.Spread{Group: g.ID, Attribute: *g.Spread}
	}
	return r
}

// Constraints are a group's hard attributes.
func Constraints(g *workload.Group) ([]placement.Constraint, error) {
	var cs []placement.Constraint
	for _, name := range slices.Sorted(maps.Keys(g.Attributes)) {
		c, err := placement.CompileConstraint(name, "EQ", []string{g.Attributes[name]})
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", g.ID, err)
		}
		cs = append(cs, c)
	}
	return cs, nil
}
