package volumes

import mesos "github.com/mesos/mesos-go/api/v1/lib"

// Amount is a quantity in thousandths of a unit: 1500 is 1.5 cores, or 1.5 MiB.
// Mesos itself compares scalars at this precision, so no epsilon is needed.
type Amount int64

// DiskType is the kind of Mesos disk that a volume is made on.
type DiskType string

// The kinds of disk (Mesos "Multiple Disks"): ROOT is the agent's own work
// directory, PATH a divisible directory elsewhere, MOUNT a whole file system.
const (
	DiskRoot  DiskType = "ROOT"
	DiskPath  DiskType = "PATH"
	DiskMount DiskType = "MOUNT"
)

// Need is what one slot wants from one agent.
type Need struct {
	CPU      Amount // cores
	Mem      Amount // MiB
	Disk     Amount // MiB; 0 = no volume
	DiskType DiskType
	Ports    int // how many ports, of the agent's choosing
	// Ephemeral needs hold nothing: the task runs on what is offered as it is, and
	// nothing is left of it after its end. Disk must be 0 and Expect empty then.
	Ephemeral bool
	// Expect is what the records say the slot has reserved on the agent already.
	Expect Expect
}

// Expect is a reservation on record. One agent's resources may come in several
// offers, and a volume in use is in none: a pool that shows less than Expect
// shows only a part, and to reserve the rest anew would reserve it twice (Mesos
// rules 30, 38). The zero value expects nothing.
type Expect struct {
	CPU    Amount
	Mem    Amount
	Disk   Amount `json:",omitempty"` // bare, where no volume was created yet
	Ports  int
	Volume bool // the volume was created: it must be seen, never made anew
}

// Identity is what marks the reservation and the volume of one slot.
type Identity struct {
	Role          string // the role reserved for (Mesos rule 29)
	Principal     string // ours; "" when the framework has none
	Label         string // unique per slot (Mesos rule 30): value of the label LabelKey
	PersistenceID string // globally unique volume id (Mesos rule 32)
	ContainerPath string // relative path of the volume in the sandbox
}

// LabelKey is the reservation label that carries Identity.Label.
const LabelKey = "berth.slot"

// Grant is what Pool.Take carved for one slot: the operations that are still
// missing, in the order they must run, and what the task then runs on.
type Grant struct {
	// Reserve is what RESERVE must ask for; empty when already reserved, and for
	// an ephemeral need.
	Reserve []mesos.Resource
	// Create is the volume for CREATE; empty when it already exists.
	Create []mesos.Resource
	// Task is everything the slot holds after those operations, for the task.
	Task []mesos.Resource
	// Ports are the ports in Task, ascending.
	Ports []uint64
	// Offers are the ids of all offers of this agent and role (rule 19).
	Offers []mesos.OfferID
	// Disk is the size of the volume; above Need.Disk on a MOUNT disk.
	Disk Amount
}
