package volumes

// Lack is what a pool falls short of.
type Lack uint8

// What a pool can lack, in the order in which Fit lists it.
const (
	LackRole         Lack = iota // the pool is for another role
	LackPart                     // it does not show all that is reserved on record
	LackVolume                   // the slot's volume is on record and not shown
	LackOtherVolume              // the slot's label holds another volume
	LackReservedDisk             // disk reserved under the label is of no use
	LackCPU
	LackMem
	LackDisk
	LackPorts
	lacks // how many there are
)

// Shortfall is one thing that keeps a need from fitting into a pool.
type Shortfall struct {
	Lack Lack
	// Missing is how much more it takes: cores, MiB, ports; 0 where an
	// amount says nothing.
	Missing Amount
	// Free is how much there is.
	Free Amount
}

// Fit is how a need fits into a pool. It holds no pointers, so that judging
// ten thousand pools allocates nothing.
type Fit struct {
	// Own says that the pool shows resources reserved for this very slot.
	Own  bool
	n    uint8
	list [lacks]Shortfall
}

// OK says that Take would succeed.
func (f *Fit) OK() bool { return f.n == 0 }

// Shortfalls lists what is missing; empty when it fits.
func (f *Fit) Shortfalls() []Shortfall { return f.list[:f.n] }

func (f *Fit) lack(l Lack, missing, free Amount) {
	f.list[f.n] = Shortfall{Lack: l, Missing: missing, Free: free}
	f.n++
}

// Fit judges whether the pool has what the slot still misses. What is reserved
// under the slot's label counts for it already.
func (p *Pool) Fit(id Identity, need Need) Fit {
	var f Fit
	var none Holding
	h := &none
	if len(p.held) > 0 && !need.Ephemeral {
		if own := p.find(id.Label); own != nil {
			h, f.Own = own, true
		}
	}
	if id.Role != p.role {
		f.lack(LackRole, 0, 0)
	}
	if e := need.Expect; h.CPU < e.CPU || h.Mem < e.Mem || h.Disk < e.Disk || len(h.Ports) < e.Ports {
		f.lack(LackPart, 0, 0)
	}
	p.fitDisk(&f, h, id, need)
	free := p.free.For(need.Ephemeral)
	if miss := need.CPU - h.CPU; miss > free.CPU {
		f.lack(LackCPU, miss-free.CPU, free.CPU)
	}
	if miss := need.Mem - h.Mem; miss > free.Mem {
		f.lack(LackMem, miss-free.Mem, free.Mem)
	}
	if miss := need.Ports - len(h.Ports); miss > free.Ports {
		f.lack(LackPorts, Units(int64(miss-free.Ports)), Units(int64(free.Ports)))
	}
	return f
}

func (p *Pool) fitDisk(f *Fit, h *Holding, id Identity, need Need) {
	switch {
	case h.Volume != nil:
		// A slot's volume is taken at whatever size it has: the data on it is
		// worth more than the wish for another size.
		if h.PersistenceID != id.PersistenceID {
			f.lack(LackOtherVolume, 0, h.Disk)
		}
	case need.Expect.Volume:
		f.lack(LackVolume, 0, 0)
	case need.Disk == 0:
	case h.Disk > 0:
		if _, ok := p.topUp(h, need); !ok {
			f.lack(LackReservedDisk, 0, h.Disk)
		}
	default:
		if room := p.free.Largest(need.DiskType); room < need.Disk {
			f.lack(LackDisk, need.Disk-room, room)
		}
	}
}

// topUp says how much disk a reservation without a volume still misses, and
// whether it can be had: it must be one disk of the right kind, and a missing
// rest must come from the same divisible disk.
func (p *Pool) topUp(h *Holding, need Need) (Amount, bool) {
	d := h.disk()
	if d == nil || scalarOf(d) != h.Disk || diskType(d.Disk) != kindOf(need) {
		return 0, false
	}
	miss := need.Disk - h.Disk
	if miss <= 0 {
		return 0, true
	}
	_, free := p.sameDisk(h)
	return miss, free != nil && free.kind != DiskMount && free.size >= miss
}

// sameDisk is the free rest of the disk that h's disk was reserved from, and
// the stack that it lies in.
func (p *Pool) sameDisk(h *Holding) (*stack, *disk) {
	d := h.disk()
	under := stackKey(d.Reservations[:len(d.Reservations)-1])
	source := sourceKey(d.Disk)
	for i := range p.stacks {
		s := &p.stacks[i]
		if s.key != under {
			continue
		}
		for j := range s.disks {
			if s.disks[j].key == source {
				return s, &s.disks[j]
			}
		}
	}
	return nil, nil
}

// kindOf is the kind of disk that a need asks for; ROOT when it does not say.
func kindOf(need Need) DiskType {
	if need.DiskType == "" {
		return DiskRoot
	}
	return need.DiskType
}
