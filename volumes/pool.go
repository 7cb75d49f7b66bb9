package volumes

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// Pool is what one agent offers to one role: what can still be reserved, and
// what is reserved for us, by label. Take subtracts from it. A Pool is owned by
// one goroutine; the messages that it was made from are never changed.
type Pool struct {
	role, principal string
	offers          []mesos.OfferID
	stacks          []stack
	// asIs are the stacks that tasks may run on and that cannot be reserved.
	asIs   []stack
	held   []Holding
	unused []Unused
	free   Free
}

// stack is what is free under one reservation stack: no reservation at all, or
// one for an ancestor of our role that ours will refine.
type stack struct {
	under []mesos.Resource_ReservationInfo
	key   string
	cpus  Amount
	mem   Amount
	disks []disk
	ports []portRange
}

// disk is a free disk, or what is left of it.
type disk struct {
	kind   DiskType
	key    string
	source *mesos.Resource_DiskInfo_Source
	size   Amount
}

// Free is what a pool has left to reserve, in total.
type Free struct {
	CPU   Amount
	Mem   Amount
	Ports int
	// Root, Path and Mount are the largest volume that each kind of disk has
	// room for; Disk is the room on all disks together.
	Root, Path, Mount, Disk Amount
	// AsIs is what only an ephemeral need can use besides the above.
	AsIs AsIs
}

// AsIs is what a task may run on and that cannot be reserved.
type AsIs struct {
	CPU, Mem Amount
	Ports    int
}

// Unused is something that was offered and that Berth will not use.
type Unused struct {
	Resource string // "disk"
	Amount   Amount // ports: how many
	Why      string
	// AsIs says that an ephemeral need can use it all the same.
	AsIs bool
}

// NewPool pools all offers of one agent for one role, which is what one ACCEPT
// may combine (Mesos rule 19). It fails when the offers are of several agents
// or of another role, and when there are none.
func NewPool(role, principal string, offers []mesos.Offer) (*Pool, error) {
	if len(offers) == 0 {
		return nil, errors.New("a pool needs at least one offer")
	}
	p := &Pool{role: role, principal: principal, offers: make([]mesos.OfferID, 0, len(offers))}
	for i := range offers {
		o := &offers[i]
		if o.AgentID != offers[0].AgentID {
			return nil, fmt.Errorf("offer %s is of agent %s, offer %s of agent %s: a pool takes the offers of one agent",
				o.ID.Value, o.AgentID.Value, offers[0].ID.Value, offers[0].AgentID.Value)
		}
		if got := o.AllocationInfo.GetRole(); o.AllocationInfo != nil && got != role {
			return nil, fmt.Errorf("offer %s of agent %s is allocated to role %q, the pool is for role %q",
				o.ID.Value, o.AgentID.Value, got, role)
		}
		p.offers = append(p.offers, o.ID)
		if err := p.add(o.Resources); err != nil {
			return nil, fmt.Errorf("offer %s of agent %s: %w", o.ID.Value, o.AgentID.Value, err)
		}
	}
	p.finish()
	return p, nil
}

// NewPoolFromResources pools resources that are known from elsewhere, such as
// an agent's unallocated resources in the operator API: to explain, not to
// accept, as there is no offer. Resources allocated to another role fail.
func NewPoolFromResources(role, principal string, resources []mesos.Resource) (*Pool, error) {
	p := &Pool{role: role, principal: principal}
	if err := p.add(resources); err != nil {
		return nil, err
	}
	p.finish()
	return p, nil
}

func (p *Pool) add(resources []mesos.Resource) error {
	for i := range resources {
		r := &resources[i]
		if got := r.AllocationInfo.GetRole(); r.AllocationInfo != nil && got != p.role {
			return fmt.Errorf("resource %s is allocated to role %q, the pool is for role %q", r.Name, got, p.role)
		}
		switch r.Name {
		case nameCPUs, nameMem, nameDisk, namePorts:
		default:
			continue // gpus, network bandwidth, an operator's own: nothing needs them
		}
		switch how, why := judge(r, p.role); how {
		case useFree:
			addFree(stackOf(&p.stacks, r.Reservations), r)
		case useHeld:
			p.held = observe(p.held, *r, p.principal)
		case useNot, useAsIs:
			amount := scalarOf(r)
			if r.Name == namePorts {
				amount = Units(int64(countPorts(rangesOf(r))))
			}
			p.unused = append(p.unused, Unused{Resource: r.Name, Amount: amount, Why: why, AsIs: how == useAsIs})
			if how == useAsIs {
				addFree(stackOf(&p.asIs, r.Reservations), r)
			}
		}
	}
	return nil
}

func addFree(s *stack, r *mesos.Resource) {
	switch r.Name {
	case nameCPUs:
		s.cpus += scalarOf(r)
	case nameMem:
		s.mem += scalarOf(r)
	case namePorts:
		s.ports = joinRanges(append(s.ports, rangesOf(r)...))
	case nameDisk:
		d := disk{kind: diskType(r.Disk), key: sourceKey(r.Disk), size: scalarOf(r)}
		if r.Disk != nil {
			d.source = r.Disk.Source
		}
		// ROOT and PATH disks are divisible, so their parts add up; a MOUNT
		// disk is one whole (Mesos rule 33).
		i := slices.IndexFunc(s.disks, func(o disk) bool { return o.kind != DiskMount && o.key == d.key })
		if i >= 0 {
			s.disks[i].size += d.size
			return
		}
		s.disks = append(s.disks, d)
	}
}

// stackOf finds or makes the stack with these reservations.
func stackOf(stacks *[]stack, under []mesos.Resource_ReservationInfo) *stack {
	key := stackKey(under)
	for i := range *stacks {
		if (*stacks)[i].key == key {
			return &(*stacks)[i]
		}
	}
	*stacks = append(*stacks, stack{under: under, key: key})
	return &(*stacks)[len(*stacks)-1]
}

// finish puts everything into an order that does not depend on the offers'.
func (p *Pool) finish() {
	// What is set aside for our ancestors is used before what everybody may
	// have: the deepest stack first.
	for _, stacks := range [][]stack{p.stacks, p.asIs} {
		slices.SortFunc(stacks, func(a, b stack) int {
			if d := len(b.under) - len(a.under); d != 0 {
				return d
			}
			return strings.Compare(a.key, b.key)
		})
	}
	for i := range p.stacks {
		slices.SortFunc(p.stacks[i].disks, func(a, b disk) int {
			if a.size != b.size {
				return int(max(-1, min(1, a.size-b.size)))
			}
			return strings.Compare(a.key, b.key)
		})
	}
	for i := range p.held {
		p.held[i].sum()
	}
	sortHoldings(p.held)
	p.total()
}

// total refreshes the sums over all stacks.
func (p *Pool) total() {
	p.free = Free{}
	f := &p.free
	for i := range p.stacks {
		s := &p.stacks[i]
		f.CPU += s.cpus
		f.Mem += s.mem
		f.Ports += countPorts(s.ports)
		for j := range s.disks {
			d := &s.disks[j]
			f.Disk += d.size
			switch d.kind {
			case DiskRoot:
				f.Root = max(f.Root, d.size)
			case DiskPath:
				f.Path = max(f.Path, d.size)
			case DiskMount:
				f.Mount = max(f.Mount, d.size)
			}
		}
	}
	for i := range p.asIs {
		s := &p.asIs[i]
		f.AsIs.CPU += s.cpus
		f.AsIs.Mem += s.mem
		f.AsIs.Ports += countPorts(s.ports)
	}
}

// Role is the role that the pool is for.
func (p *Pool) Role() string { return p.role }

// Offers are the ids of the pooled offers; empty when it was made from resources.
func (p *Pool) Offers() []mesos.OfferID { return p.offers }

// Free is what is left to reserve.
func (p *Pool) Free() Free { return p.free }

// Unused lists what was offered and will not be used, and why.
func (p *Pool) Unused() []Unused { return p.unused }

// Held lists what is reserved for our role, by label: also labels that nobody
// knows (orphans) and reservations that are not ours (Foreign). After Take, the
// holding of that slot is gone. The holdings are read only.
func (p *Pool) Held() []Holding { return p.held }

// For is what a need can use of it: an ephemeral one more than what can be reserved.
func (f Free) For(ephemeral bool) Free {
	if ephemeral {
		f.CPU, f.Mem, f.Ports = f.CPU+f.AsIs.CPU, f.Mem+f.AsIs.Mem, f.Ports+f.AsIs.Ports
	}
	return f
}

// Largest is the largest room for a volume on the kind of disk.
func (f Free) Largest(kind DiskType) Amount {
	switch kind {
	case DiskPath:
		return f.Path
	case DiskMount:
		return f.Mount
	default:
		return f.Root
	}
}

// find is the holding of our own label.
func (p *Pool) find(label string) *Holding {
	for i := range p.held {
		if h := &p.held[i]; h.Label == label && !h.Foreign {
			return h
		}
	}
	return nil
}

// HoldsVolume says whether the pool shows the slot's own persistent volume:
// label and volume id, whatever the agent is called now (Mesos rule 48).
func (p *Pool) HoldsVolume(id Identity) bool {
	h := p.find(id.Label)
	return h != nil && h.Volume != nil && h.PersistenceID == id.PersistenceID
}
