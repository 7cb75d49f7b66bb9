package scheduler

import (
	"cmp"
	"slices"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// VolumeFilter leaves entries out of the ledger's list.
type VolumeFilter struct {
	Classes []string // empty: all
	Cluster string   // "": of all, and of none
}

func (f VolumeFilter) passes(v *v1.VolumeView) bool {
	return (len(f.Classes) == 0 || slices.Contains(f.Classes, v.Class)) && (f.Cluster == "" || v.Cluster == f.Cluster)
}

// Volumes is the ledger for people at the time now: every reservation and volume
// that a record or an agent knows, and how good the master's word for it is.
func (c *Core) Volumes(now time.Time, f VolumeFilter) v1.VolumeList {
	out := v1.VolumeList{Volumes: []v1.VolumeView{}, Summary: map[string]int{}, Witness: c.witnessView(now)}
	owners, repairs := c.ownersByNodeSet(), c.underRepair()
	lines := c.ledger(now)
	for i := range lines {
		l := &lines[i]
		out.Summary[string(l.Class)]++
		if l.Confirmed() {
			out.Confirmed++
		}
		v := c.volumeView(l, owners)
		if k, under := repairs[v.Finding]; under && v.Finding != "" {
			v.Repair = k.repair
			if !k.until.IsZero() {
				at := k.until
				v.DestroyAt = &at
			}
		}
		if f.passes(&v) {
			out.Volumes = append(out.Volumes, v)
		}
	}
	return out
}

// maxAway bounds the agents that a witness names.
const maxAway = 100

func (c *Core) witnessView(now time.Time) v1.Witness {
	w := v1.Witness{Agents: c.held.agents, AgentsAway: len(c.held.away), Away: []v1.AwayAgent{}, Message: c.witnessStale(now)}
	w.Fresh = w.Message == ""
	if !c.observedAt.IsZero() {
		at := c.observedAt
		w.AskedAt, w.AgeSeconds = &at, int64(max(0, now.Sub(at))/time.Second)
	}
	for _, a := range c.held.away[:min(maxAway, len(c.held.away))] {
		w.Away = append(w.Away, v1.AwayAgent{ID: a.id, Hostname: a.hostname, Message: a.why})
	}
	return w
}

func (c *Core) volumeView(e *ledgerLine, owners map[string]string) v1.VolumeView {
	v := v1.VolumeView{
		ID: e.Record.Label, Class: string(e.Class), Record: string(e.Record.State), Confirmed: e.Confirmed(),
		AgentID: e.AgentID, SizeMiB: e.Holding.Disk.Float(), Message: e.Why,
	}
	if a := c.agents[e.AgentID]; a != nil {
		v.Hostname = a.hostname
	}
	if e.Seen {
		describeReserved(&v, &e.Holding)
	}
	v.Finding = e.finding
	if f := c.findings[v.Finding]; f != nil {
		at := f.Since
		v.FirstSeen = &at
		v.Hostname = cmp.Or(v.Hostname, f.Hostname)
	}
	if s := c.slots[e.Record.Label]; s != nil {
		describeSlot(&v, s)
		if cl := c.clusters[s.Owner]; cl != nil && cl.Incarnation == s.OwnerIncarnation && v.Message == "" {
			v.Message = c.replacedText(cl, s)
		}
		return v
	}
	v.ID = cmp.Or(e.Holding.Label, v.Finding)
	v.Cluster, v.Node = belongedTo(e.Holding.Label, owners)
	return v
}

// describeReserved says what is reserved, and under whose name.
func describeReserved(v *v1.VolumeView, r *volumes.Reserved) {
	v.Role, v.Principal = r.Role, r.Principal
	for i := range r.Labels {
		v.Labels = append(v.Labels, v1.Label{Key: r.Labels[i].Key, Value: r.Labels[i].GetValue()})
	}
	x := r.Extent()
	v.Reserved = &v1.ReservedView{CPUs: x.CPU.Float(), MemoryMiB: x.Mem.Float(), DiskMiB: x.Disk.Float(), Ports: x.PortsText(), Text: x.String()}
	for _, p := range x.Volumes {
		v.PersistentVolumes = append(v.PersistentVolumes, v1.PersistentVolume{ID: p.ID, SizeMiB: p.Size.Float()})
	}
}

// describeSlot says what is on record.
func describeSlot(v *v1.VolumeView, s *slot) {
	v.Cluster, v.Node = s.Owner, s.Name
	if sparkKind(s.Kind) {
		v.Cluster, v.Application = "", s.Owner
	}
	if s.Bind != nil {
		v.Hostname, v.SizeMiB = s.Bind.Hostname, s.Bind.DiskMiB.Float()
	}
	if v.Role == "" {
		v.Role, v.Principal = s.Identity.Role, s.Identity.Principal
	}
	if s.Want == state.WantNothing && s.LastFailure != "" {
		v.Message = s.LastFailure
	}
	if s.Want == state.WantRetain || s.Want == state.WantDestroy {
		at := s.RetainUntil
		v.RetainTo = &at
		if s.Order != nil {
			v.DestroyAt = &at
		}
	}
}

// ownersByNodeSet says which cluster each node set's names are of, as far as a
// record still knows it.
func (c *Core) ownersByNodeSet() map[string]string {
	owners := map[string]string{}
	for _, s := range c.slots {
		if set, ok := plan.SetOf(s.Name); ok && !sparkKind(s.Kind) {
			owners[set] = s.Owner
		}
	}
	return owners
}

// belongedTo reads a label of ours (NODE.INCARNATION): which node it
// was of, and which cluster, if that is known. A label of another form is nobody's.
func belongedTo(label string, owners map[string]string) (cluster, node string) {
	node, incarnation, found := strings.Cut(label, ".")
	set, ok := plan.SetOf(node)
	if !found || !ok || !isNumber(incarnation) {
		return "", ""
	}
	return owners[set], node
}

func isNumber(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}
