package volumes

import (
	"slices"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// Take carves what the slot still misses out of the pool, and gives what it
// holds already with it; both leave the pool. It changes nothing and answers
// false when Fit is not OK. Nothing is ever reserved beyond the need, except
// that a MOUNT disk is taken whole: over-reservation under one label would be
// invisible later (Mesos rule 30).
func (p *Pool) Take(id Identity, need Need) (Grant, bool) {
	if fit := p.Fit(id, need); !fit.OK() {
		return Grant{}, false
	}
	if need.Ephemeral {
		return p.lend(need), true
	}
	c := carving{pool: p, top: reservation(id)}
	c.reserve = make([]mesos.Resource, 0, 4)
	if own := p.find(id.Label); own != nil {
		c.own = *own
		p.held = slices.DeleteFunc(slices.Clone(p.held), func(h Holding) bool { return h.Label == id.Label && !h.Foreign })
	}
	c.scalars(nameCPUs, need.CPU-c.own.CPU)
	c.scalars(nameMem, need.Mem-c.own.Mem)
	c.ports(need.Ports - len(c.own.Ports))
	volume := c.volume(id, need)
	p.total()
	return c.grant(volume), true
}

// lend carves what an ephemeral need runs on, as it is offered. What cannot be
// reserved goes first: nobody else has a use for it.
func (p *Pool) lend(need Need) Grant {
	g := Grant{Offers: p.offers}
	var cut []portRange
	for _, stacks := range [][]stack{p.asIs, p.stacks} {
		for i := range stacks {
			s := &stacks[i]
			for _, part := range []struct {
				name       string
				have, want *Amount
			}{{nameCPUs, &s.cpus, &need.CPU}, {nameMem, &s.mem, &need.Mem}} {
				if n := min(*part.have, *part.want); n > 0 {
					*part.have -= n
					*part.want -= n
					g.Task = append(g.Task, scalar(part.name, n, s.under))
				}
			}
			if taken, rest := cutPorts(s.ports, need.Ports); len(taken) > 0 {
				s.ports = rest
				need.Ports -= countPorts(taken)
				cut = append(cut, taken...)
				g.Task = append(g.Task, portsOf(taken, s.under))
			}
		}
	}
	if len(cut) > 0 {
		g.Ports = listPorts(nil, cut)
		slices.Sort(g.Ports)
	}
	p.total()
	return g
}

// carving is one Take under way.
type carving struct {
	pool    *Pool
	top     mesos.Resource_ReservationInfo
	stacks  [][]mesos.Resource_ReservationInfo // per pool stack: under + top, made when first used
	own     Holding
	reserve []mesos.Resource
	cut     []portRange
	create  bool
}

// reservation is ours, on top of any stack (Mesos rules 29 and 30).
func reservation(id Identity) mesos.Resource_ReservationInfo {
	r := mesos.Resource_ReservationInfo{
		Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(),
		Role: &id.Role,
		Labels: &mesos.Labels{Labels: []mesos.Label{
			{Key: LabelKey, Value: &id.Label},
		}},
	}
	if id.Principal != "" {
		r.Principal = &id.Principal
	}
	return r
}

// stackFor is pool stack i with our reservation on top.
func (c *carving) stackFor(i int) []mesos.Resource_ReservationInfo {
	if c.stacks == nil {
		c.stacks = make([][]mesos.Resource_ReservationInfo, len(c.pool.stacks))
	}
	if c.stacks[i] == nil {
		under := c.pool.stacks[i].under
		c.stacks[i] = append(slices.Clip(under), c.top)
	}
	return c.stacks[i]
}

func (c *carving) scalars(name string, want Amount) {
	for i := range c.pool.stacks {
		if want <= 0 {
			return
		}
		from := &c.pool.stacks[i].cpus
		if name == nameMem {
			from = &c.pool.stacks[i].mem
		}
		part := min(*from, want)
		if part <= 0 {
			continue
		}
		*from -= part
		want -= part
		c.reserve = append(c.reserve, scalar(name, part, c.stackFor(i)))
	}
}

func (c *carving) ports(want int) {
	for i := range c.pool.stacks {
		if want <= 0 {
			return
		}
		s := &c.pool.stacks[i]
		cut, rest := cutPorts(s.ports, want)
		if len(cut) == 0 {
			continue
		}
		s.ports = rest
		want -= countPorts(cut)
		c.cut = append(c.cut, cut...)
		c.reserve = append(c.reserve, portsOf(cut, c.stackFor(i)))
	}
}

// volume finds or carves the slot's disk; nil when it needs none.
func (c *carving) volume(id Identity, need Need) *mesos.Resource {
	switch {
	case c.own.Volume != nil:
		return c.own.Volume
	case need.Disk == 0:
		return nil
	case c.own.Disk > 0:
		// RESERVE succeeded before, CREATE did not (Mesos rule 28).
		d := *c.own.disk()
		if miss, _ := c.pool.topUp(&c.own, need); miss > 0 {
			_, free := c.pool.sameDisk(&c.own)
			free.size -= miss
			c.reserve = append(c.reserve, diskOf(miss, free.source, d.Reservations))
			d.Scalar = &mesos.Value_Scalar{Value: (c.own.Disk + miss).Float()}
		}
		return c.onDisk(d, id)
	default:
		i, j := c.pool.smallest(need)
		s := &c.pool.stacks[i]
		size, source := need.Disk, s.disks[j].source
		if s.disks[j].kind == DiskMount {
			// All or nothing (Mesos rule 33).
			size = s.disks[j].size
			s.disks = append(slices.Clone(s.disks[:j]), s.disks[j+1:]...)
		} else {
			s.disks[j].size -= size
		}
		d := diskOf(size, source, c.stackFor(i))
		c.reserve = append(c.reserve, d)
		return c.onDisk(d, id)
	}
}

// smallest finds the smallest disk that is large enough: large ones are kept
// for those who need them. Fit has made sure that there is one.
func (p *Pool) smallest(need Need) (stackAt, diskAt int) {
	best := Amount(-1)
	for i := range p.stacks {
		for j := range p.stacks[i].disks {
			d := &p.stacks[i].disks[j]
			if d.kind == kindOf(need) && d.size >= need.Disk && (best < 0 || d.size < best) {
				best, stackAt, diskAt = d.size, i, j
			}
		}
	}
	return stackAt, diskAt
}

// onDisk turns a reserved disk into the volume that CREATE makes of it: a
// relative container path, read-write, no host path (Mesos rule 32).
func (c *carving) onDisk(d mesos.Resource, id Identity) *mesos.Resource {
	c.create = true
	info := &mesos.Resource_DiskInfo{
		Persistence: &mesos.Resource_DiskInfo_Persistence{ID: id.PersistenceID},
		Volume:      &mesos.Volume{ContainerPath: id.ContainerPath, Mode: mesos.RW.Enum()},
	}
	if d.Disk != nil {
		info.Source = d.Disk.Source
	}
	if id.Principal != "" {
		info.Persistence.Principal = &id.Principal
	}
	d.Disk = info
	return &d
}

func diskOf(size Amount, source *mesos.Resource_DiskInfo_Source, stack []mesos.Resource_ReservationInfo) mesos.Resource {
	r := scalar(nameDisk, size, stack)
	if source != nil {
		r.Disk = &mesos.Resource_DiskInfo{Source: source}
	}
	return r
}

// grant puts the parts together: what is held and what will be reserved, with
// the bare disk replaced by the volume.
func (c *carving) grant(volume *mesos.Resource) Grant {
	g := Grant{Reserve: c.reserve, Offers: c.pool.offers}
	task := make([]mesos.Resource, 0, len(c.own.Resources)+len(c.reserve))
	for _, rs := range [][]mesos.Resource{c.own.Resources, c.reserve} {
		for i := range rs {
			switch {
			case c.create && rs[i].Name == nameDisk && !isVolume(&rs[i]):
				// It becomes the volume.
			case len(c.own.Resources) == 0:
				task = append(task, rs[i])
			default:
				task = merge(task, rs[i])
			}
		}
	}
	if c.create {
		g.Create = []mesos.Resource{*volume}
		task = append(task, *volume)
	}
	if volume != nil {
		g.Disk = scalarOf(volume)
	}
	g.Task = task
	if len(c.own.Ports) > 0 || len(c.cut) > 0 {
		g.Ports = listPorts(slices.Clone(c.own.Ports), c.cut)
		slices.Sort(g.Ports)
	}
	return g
}
