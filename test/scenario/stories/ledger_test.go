package stories

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/datadriven"
	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// meddle is somebody else's doing on an agent, by way of the operator API:
//
//	meddle reserve AGENT [label=L principal=P refine=ROLE cpus= disk= volume=ID]
//	meddle destroy AGENT volume=ID
//	meddle unreserve AGENT label=L [only=cpus]: all but volumes under a label
func (w *world) meddle(d *datadriven.TestData) {
	w.let(true)
	m := w.machines[names(d)[1]]
	switch verb := names(d)[0]; verb {
	case "reserve":
		w.meddleReserve(d, m)
	case "destroy":
		id := value(d, "volume", "")
		for kind, p := range m.free {
			if p.like.Disk.GetPersistence().GetID() == id {
				rs := bag{kind: p}.resources("")
				require.NoError(w.t, m.turn(rs, unmade, true))
				return
			}
		}
		w.t.Fatalf("%s: no volume %s is free", d.Pos, id)
	case "unreserve":
		gone := bag{}
		for kind, p := range m.free {
			if len(p.like.Reservations) > 0 && p.like.Disk.GetPersistence() == nil && labelOf(p.like) == value(d, "label", "") && strings.Contains(p.like.Name, value(d, "only", "")) {
				gone[kind] = p
			}
		}
		require.NotEmpty(w.t, gone, d.Pos)
		require.NoError(w.t, m.turn(gone.resources(""), unreserved, true))
	default:
		w.t.Fatalf("%s: nobody knows how to %s", d.Pos, verb)
	}
}

func (w *world) meddleReserve(d *datadriven.TestData, m *machine) {
	reserve := func(r mesos.Resource) mesos.Resource {
		info := mesos.Resource_ReservationInfo{
			Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: ptr(role), Principal: ptr(value(d, "principal", "ops")),
		}
		if l := value(d, "label", ""); l != "" {
			info.Labels = &mesos.Labels{Labels: []mesos.Label{{Key: volumes.LabelKey, Value: &l}}}
		}
		r.Reservations = []mesos.Resource_ReservationInfo{info}
		require.NoError(w.t, m.turn([]mesos.Resource{r}, unreserved, false), d.Pos)
		if refined := value(d, "refine", ""); refined != "" {
			info.Role, info.Labels, info.Principal = &refined, nil, ptr("ops")
			r.Reservations = append(r.Reservations, info)
			require.NoError(w.t, m.turn([]mesos.Resource{r}, unreserved, false), d.Pos)
		}
		return r
	}
	if cpus := number(w.t, d, "cpus", 0); cpus > 0 {
		reserve(scalar("cpus", cpus))
	}
	if disk := number(w.t, d, "disk", 0); disk > 0 {
		r := reserve(scalar("disk", disk))
		if id := value(d, "volume", ""); id != "" {
			r.Disk = &mesos.Resource_DiskInfo{
				Persistence: &mesos.Resource_DiskInfo_Persistence{ID: id, Principal: ptr(value(d, "principal", "ops"))},
				Volume:      &mesos.Volume{ContainerPath: "data", Mode: mesos.RW.Enum()},
			}
			require.NoError(w.t, m.turn([]mesos.Resource{r}, unmade, false), d.Pos)
		}
	}
}

func labelOf(r mesos.Resource) string {
	for i := range r.Reservations {
		for _, l := range r.Reservations[i].GetLabels().GetLabels() {
			if l.Key == volumes.LabelKey {
				return l.GetValue()
			}
		}
	}
	return ""
}

// findingsText lists what the ledger remembers.
func (w *world) findingsText(f state.Findings) string {
	parts := make([]string, len(f.Findings))
	for i, x := range f.Findings {
		parts[i] = fmt.Sprintf("%s %s on %s since %s", x.Class, x.ID, x.AgentID, w.at(x.Since))
		if !x.AwaySince.IsZero() {
			parts[i] += ", away since " + w.at(x.AwaySince)
		}
	}
	return strings.Join(parts, ", ")
}

// viewVolumes prints the ledger.
func (w *world) viewVolumes(line func(string, ...any)) {
	list := w.core.Volumes(w.now, scheduler.VolumeFilter{})
	for _, v := range list.Volumes {
		text := fmt.Sprintf("%s: %s on %s, %g MiB", v.ID, v.Class, v.AgentID, v.SizeMiB)
		if v.Class == "unknown" && v.Record != "" {
			text += ", " + v.Record + " by its record"
		}
		if v.Confirmed {
			text += ", confirmed"
		}
		if v.FirstSeen != nil {
			text += ", since " + w.at(*v.FirstSeen)
		}
		if v.Repair != "" {
			text += ", under " + v.Repair
		}
		if v.DestroyAt != nil {
			text += ", destroyed after " + w.at(*v.DestroyAt)
		}
		line("%s", strings.TrimRight(text+": "+v.Message, ": "))
	}
	if wit := list.Witness; !wit.Fresh || wit.AgentsAway > 0 {
		line("witness: fresh %t, %d of %d agents are away %s", wit.Fresh, wit.AgentsAway, wit.Agents, wit.Message)
	}
}
