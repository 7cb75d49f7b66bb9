package volumes_test

import (
	"slices"
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/volumes"
)

func withVolume(label, id string) []mesos.Resource {
	return []mesos.Resource{scalar("cpus", 1, reserved(label)), scalar("disk", 10, reserved(label), volume(id))}
}

func view(agent string, rs ...mesos.Resource) volumes.View {
	return volumes.View{AgentID: agent, Held: volumes.Inventory([]string{role}, principal, rs)}
}

// lines are entries in short form.
func lines(entries []volumes.Entry) []string {
	out := []string{}
	for _, e := range entries {
		s := string(e.Class) + " " + e.Record.Label
		if e.Record.Label == "" {
			s = string(e.Class) + " " + e.Holding.Label
		} else if e.Seen {
			s += " seen"
		}
		s += " @" + e.AgentID
		if e.Moved() {
			s += " moved"
		}
		if e.Confirmed() {
			s += " confirmed"
		}
		out = append(out, s)
	}
	return out
}

func TestClassify(t *testing.T) {
	owned := volumes.Record{
		Label: "s", AgentID: "a1", PersistenceID: "s-v", Reserved: true, Created: true,
		CPU: volumes.Units(1), State: volumes.StateOwned, Settled: true,
	}
	with := func(change func(*volumes.Record)) *volumes.Record {
		r := owned
		change(&r)
		return &r
	}
	fresh := with(func(r *volumes.Record) { r.Created = false })
	retained := with(func(r *volumes.Record) { r.State, r.Reserved = volumes.StateRetained, false })
	destroying := with(func(r *volumes.Record) { r.State = volumes.StateDestroying })
	lost := with(func(r *volumes.Record) { r.State = volumes.StateLost })
	changed := with(func(r *volumes.Record) { r.Settled = false })
	missed := with(func(r *volumes.Record) { r.Settled, r.Missed = false, true })
	nowhere := with(func(r *volumes.Record) { r.AgentID, r.Reserved, r.Created = "", false, false })
	unsure := with(func(r *volumes.Record) { r.Reserved, r.Created = false, false })
	cpus := []mesos.Resource{scalar("cpus", 1, reserved("s"))}
	volume1 := withVolume("s", "s-v")
	away := func(agent string, rs ...mesos.Resource) volumes.View {
		v := view(agent, rs...)
		v.Unknown = "the master has lost its connection to it"
		return v
	}
	views := func(vs ...volumes.View) []volumes.View { return vs }
	for _, c := range []struct {
		name   string
		record *volumes.Record
		views  []volumes.View
		want   []string
	}{
		{"nothing", nil, nil, []string{}},
		{"owned", &owned, views(view("a1", volume1...)), []string{"owned s seen @a1 confirmed"}},
		{"retained", retained, views(view("a1", volume1...)), []string{"retained s seen @a1 confirmed"}},
		{"retained: only its volume is to be there", retained, views(view("a1", volume1[1:]...)), []string{"retained s seen @a1 confirmed"}},
		{"destroying", destroying, views(view("a1", volume1...)), []string{"destroying s seen @a1 confirmed"}},
		{"lost with its agent", lost, nil, []string{"missing s @a1"}},
		{"its agent has no view", &owned, views(view("a2")), []string{"unknown s @a1"}},
		{"its agent is not back", &owned, views(away("a1")), []string{"unknown s @a1"}},
		{"its agent is away, and was seen with it", &owned, views(away("a1", volume1...)), []string{"owned s seen @a1"}},
		{"its agent is away, and was seen with a part", &owned, views(away("a1", cpus...)), []string{"unknown s seen @a1"}},
		{"not there", &owned, views(view("a1")), []string{"missing s @a1"}},
		{"not there, and the record is newer", changed, views(view("a1")), []string{"owned s @a1"}},
		{"not there, and the record is newer, but it was missed before", missed, views(view("a1")), []string{"missing s @a1"}},
		{"missed before, and there", missed, views(view("a1", volume1...)), []string{"owned s seen @a1"}},
		{"missed before, and its agent is away", missed, views(away("a1")), []string{"unknown s @a1"}},
		{"there, and the record is newer", changed, views(view("a1", volume1...)), []string{"owned s seen @a1"}},
		{"a record without a place", nowhere, views(view("a1")), []string{"owned s @"}},
		{"a record without a place, and its reservation", nowhere, views(view("a1", cpus...)), []string{"owned s seen @a1"}},
		{"nothing surely made", unsure, views(view("a1")), []string{"owned s @a1"}},
		{"without its volume", &owned, views(view("a1", cpus...)), []string{"missing s seen @a1"}},
		{"without its cpus", &owned, views(view("a1", volume1[1:]...)), []string{"missing s seen @a1"}},
		{"without a volume that was never made", fresh, views(view("a1", cpus...)), []string{"owned s seen @a1 confirmed"}},
		{"under a new agent id", &owned, views(view("a1"), view("a2", volume1...)), []string{"owned s seen @a2 moved"}},
		{"under a new agent id, the old one is gone", &owned, views(view("a2", volume1...)), []string{"owned s seen @a2 moved"}},
		{"left over elsewhere", &owned, views(view("a1", volume1...), view("a2", cpus...)), []string{"owned s seen @a1 confirmed", "orphan s @a2"}},
		{"left over elsewhere, and its own agent is away", &owned, views(away("a1", volume1...), view("a2", cpus...)), []string{"owned s seen @a1", "unknown s @a2"}},
		{"left over elsewhere, and the record is newer", changed, views(view("a1", volume1...), view("a2", cpus...)), []string{"owned s seen @a1", "unknown s @a2"}},
		{"volume twice: the record's agent", &owned, views(view("a0", volume1...), view("a1", volume1...)), []string{"orphan s @a0", "owned s seen @a1 confirmed"}},
		{"a part elsewhere does not stand for the volume", &owned, views(view("a1"), view("a2", cpus...)), []string{"missing s @a1", "orphan s @a2"}},
		{"unknown label", nil, views(view("a1", withVolume("x", "x-v")...)), []string{"orphan x @a1"}},
		{"unknown label on an agent that is away", nil, views(away("a1", withVolume("x", "x-v")...)), []string{"unknown x @a1"}},
		{"another volume under our label", &owned, views(view("a1", withVolume("s", "strange")...)), []string{"missing s @a1", "foreign s @a1"}},
		{"no label", nil, views(view("a1", withVolume("", "x")...)), []string{"foreign  @a1"}},
		{"no label on an agent that is away", nil, views(away("a1", withVolume("", "x")...)), []string{"foreign  @a1"}},
		{"another principal", &owned, views(view("a1", append(slices.Clone(volume1), scalar("cpus", 1, reservedFor(role, "x", "s")))...)), []string{"foreign s @a1", "owned s seen @a1 confirmed"}},
		{"our label refined by another", &owned, views(view("a1", append(slices.Clone(volume1), scalar("cpus", 1, reserved("s"), reservedFor(role+"/sub", "x", "")))...)), []string{"foreign  @a1", "owned s seen @a1 confirmed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var records []volumes.Record
			if c.record != nil {
				records = append(records, *c.record)
			}
			entries := volumes.Classify(records, c.views, "the master does not show it")
			assert.ElementsMatch(t, c.want, lines(entries))
			for _, e := range entries {
				if e.Class == volumes.ClassMissing || e.Class == volumes.ClassOrphan || e.Class == volumes.ClassForeign || e.Class == volumes.ClassUnknown {
					assert.NotEmpty(t, e.Why, "%s without a reason", e.Class)
				}
			}
		})
	}
}

func TestInventoryShowsWhatBerthWouldNotUse(t *testing.T) {
	provider := func(r *mesos.Resource) { r.ProviderID = &mesos.ResourceProviderID{Value: "csi"} }
	roles := []string{role, "web"}
	for _, c := range []struct {
		name string
		r    mesos.Resource
		why  string // of a foreign one
		ours bool
		left bool // not listed at all
	}{
		{"ours", scalar("cpus", 1, reserved("s")), "", true, false},
		{"ours in the second role", scalar("cpus", 1, reservedFor("web", principal, "s")), "", true, false},
		{"ours, refined from our ancestor's", scalar("cpus", 1, static("db"), reserved("s")), "", true, false},
		{"unreserved", scalar("cpus", 1), "", false, true},
		{"our ancestor's", scalar("cpus", 1, reservedFor("db", "ops", "")), "", false, true},
		{"another role's", scalar("cpus", 1, reservedFor("mail", principal, "s")), "", false, true},
		{"the agent's own configuration", scalar("cpus", 1, static(role)), "", false, true},
		{"no label", scalar("cpus", 1, reserved("")), "no label berth.slot", false, false},
		{"another principal", scalar("cpus", 1, reservedFor(role, "ops", "s")), "principal ops made it", false, false},
		{"no principal", scalar("cpus", 1, reservedFor(role, "", "s")), "somebody without a principal made it", false, false},
		{"refined by another", scalar("cpus", 1, reserved("s"), reservedFor(role+"/x", "ops", "")), "refined for role " + role + "/x by principal ops", false, false},
		{"a volume on the agent's own configuration", scalar("disk", 1, static(role), volume("v")), "statically", false, false},
		{"of a resource provider", scalar("disk", 1, reserved("s"), provider), "resource provider", false, false},
		{"a shared volume", scalar("disk", 1, reserved("s"), volume("v"), func(r *mesos.Resource) { r.Shared = &mesos.Resource_SharedInfo{} }), "shared", false, false},
		{"a resource that Berth has no use for", scalar("gpus", 1, reserved("s")), "", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := volumes.Inventory(roles, principal, []mesos.Resource{c.r})
			if c.left {
				assert.Empty(t, got)
				return
			}
			require.Len(t, got, 1)
			assert.Equal(t, c.ours, !got[0].Foreign)
			assert.Contains(t, got[0].Why, c.why)
			assert.Equal(t, c.r.Reservations[len(c.r.Reservations)-1].GetRole(), got[0].Role)
			assert.Equal(t, c.r.ProviderID != nil, got[0].Providers())
		})
	}
}

// What a pool holds for us is what the inventory lists as ours.
func TestInventoryAndPoolAgree(t *testing.T) {
	rs := []mesos.Resource{
		scalar("cpus", 4), scalar("cpus", 1, reserved("s")), scalar("mem", 5, static("db"), reserved("s")), portsWith([]uint64{1, 2}, reserved("s")),
		scalar("disk", 10, reserved("s"), volume("s-v")), scalar("cpus", 2, reserved("t")), scalar("cpus", 1, reserved("")),
	}
	var ours []volumes.Holding
	for _, r := range volumes.Inventory([]string{role}, principal, rs) {
		if !r.Foreign {
			ours = append(ours, r.Holding)
		}
	}
	var held []volumes.Holding
	for _, h := range pool(t, rs...).Held() {
		if !h.Foreign {
			held = append(held, h)
		}
	}
	assert.Equal(t, held, ours)
}

func TestReservedKeepsItsID(t *testing.T) {
	one := func(rs ...mesos.Resource) volumes.Reserved {
		list := volumes.Inventory([]string{role}, principal, rs)
		require.Len(t, list, 1)
		return list[0]
	}
	a := one(withVolume("s", "s-v")...)
	assert.Equal(t, a.ID("a1"), new(one(scalar("cpus", 9, reserved("s")))).ID("a1"), "whatever it holds")
	assert.NotEqual(t, a.ID("a1"), a.ID("a2"))
	assert.NotEqual(t, a.ID("a1"), new(one(withVolume("t", "s-v")...)).ID("a1"))
	assert.NotEqual(t, a.ID("a1"), new(one(scalar("cpus", 1, reservedFor(role, "ops", "s")))).ID("a1"))
	assert.Regexp(t, "^[0-9a-f]{12}$", a.ID("a1"))
}

func TestExtents(t *testing.T) {
	list := volumes.Inventory([]string{role}, principal, []mesos.Resource{
		scalar("cpus", 1.5, reserved("s")), scalar("mem", 64, reserved("s")), portsWith([]uint64{5, 6, 9, 9}, reserved("s")),
		scalar("disk", 10, reserved("s"), volume("v2")), scalar("disk", 7, reserved("s"), volume("v1")), scalar("disk", 3, reserved("s")),
		scalar("gpus", 2, reserved("s")),
	})
	require.Len(t, list, 1)
	e := list[0].Extent()
	assert.Equal(t, "cpus 1.5, mem 64, disk 20 (volume v1, volume v2), ports 5-6,9, gpus 2", e.String())
	assert.Empty(t, e.Beyond(e))
	assert.Empty(t, volumes.Extent{}.Beyond(e), "less is within")
	assert.Equal(t, "cpus 1.5 instead of 0, mem 64 instead of 0, disk 20 instead of 0, gpus 2, ports 5-6, ports 9, volume v1 of 7 MiB, volume v2 of 10 MiB", e.Beyond(volumes.Extent{}))
	for name, change := range map[string]func(*volumes.Extent){
		"cpus 1.5 instead of 1": func(o *volumes.Extent) { o.CPU = volumes.Units(1) },
		"ports 5-6":             func(o *volumes.Extent) { o.Ports = []volumes.PortRange{{First: 6, Last: 9}} },
		"volume v1 of 7 MiB": func(o *volumes.Extent) {
			o.Volumes = []volumes.VolumeSized{{ID: "v1", Size: volumes.Units(8)}, o.Volumes[1]}
		},
		"gpus 2": func(o *volumes.Extent) { o.Others = []volumes.Other{{Name: "gpus", Amount: volumes.Units(1)}} },
	} {
		o := e
		change(&o)
		assert.Equal(t, name, e.Beyond(o)[:len(name)])
	}
}

func TestUndoDestroysBeforeItUnreserves(t *testing.T) {
	undo := func(rs ...mesos.Resource) (destroy, unreserve []string) {
		list := volumes.Inventory([]string{role}, principal, rs)
		require.Len(t, list, 1)
		d, u := list[0].Undo()
		return text(d), text(u)
	}
	d, u := undo(scalar("cpus", 1, reservedFor(role, "ops", "x")), scalar("disk", 10, reservedFor(role, "ops", "x"), volume("v")))
	assert.Equal(t, []string{"disk(db/search x) volume v at data: 10"}, d, "also of others: a person names them one by one")
	assert.Equal(t, []string{"cpus(db/search x): 1", "disk(db/search x): 10"}, u)
	d, u = undo(scalar("disk", 10, static(role), volume("v")))
	assert.Len(t, d, 1)
	assert.Empty(t, u, "what an agent's configuration reserves stays")
}
