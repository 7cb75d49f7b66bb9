package stories

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/datadriven"
	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/state"
)

func (w *world) addMachine(d *datadriven.TestData) {
	id := names(d)[0]
	var begin, end uint64
	_, err := fmt.Sscanf(value(d, "ports", "31000-31099"), "%d-%d", &begin, &end)
	require.NoError(w.t, err, d.Pos)
	m := &machine{id: id, hostname: value(d, "host", "h-"+id), tasks: map[string]bag{}, executors: map[string]bag{}}
	m.free = bagOf([]mesos.Resource{
		scalar("cpus", number(w.t, d, "cpus", 4)), scalar("mem", number(w.t, d, "mem", 8192)),
		scalar("disk", number(w.t, d, "disk", 100000)), portRange(begin, end),
	})
	if rack := value(d, "rack", ""); rack != "" {
		m.attributes = []mesos.Attribute{{Name: "rack", Type: mesos.TEXT, Text: &mesos.Value_Text{Value: rack}}}
	}
	w.machines[id] = m
}

// reborn gives a machine a new agent id: its reservations and volumes stay, its
// tasks do not (Mesos rule 48).
func (w *world) reborn(d *datadriven.TestData) {
	w.let(true)
	old := w.machines[names(d)[0]]
	delete(w.machines, old.id)
	old.id = value(d, "as", "")
	for id := range maps.Clone(old.tasks) {
		old.endTask(id)
	}
	for id := range maps.Clone(old.executors) {
		old.endExecutor(id)
	}
	w.machines[old.id] = old
}

// copied adds a machine with a copy of another one's disks, as from a restored
// image: the same reservations and volumes, under a name and agent id of its own.
func (w *world) copied(d *datadriven.TestData) {
	w.let(true)
	from, id := w.machines[names(d)[0]], value(d, "as", "")
	m := &machine{copy: true, id: id, hostname: "h-" + id, attributes: from.attributes, free: bag{}, tasks: map[string]bag{}, executors: map[string]bag{}}
	m.free.add(from.free)
	for _, used := range []map[string]bag{from.tasks, from.executors} {
		for _, b := range used {
			m.free.add(b)
		}
	}
	w.machines[id] = m
}

// makeOffers offers what is free on the named agents: in one offer each, or with
// split what is reserved and what is not apart.
func (w *world) makeOffers(d *datadriven.TestData) []mesos.Offer {
	var out []mesos.Offer
	for _, name := range names(d) {
		m := w.machines[name]
		if m == nil {
			continue // an option
		}
		hidden := value(d, "hidden", "")
		all := slices.DeleteFunc(m.free.resources(role), func(r mesos.Resource) bool {
			n := len(r.Reservations) // what is reserved for another role is offered to that
			return hidden != "" && r.Name == hidden || n > 0 && r.Reservations[n-1].GetRole() != role
		})
		parts := [][]mesos.Resource{all}
		if d.HasArg("split") {
			parts = [][]mesos.Resource{nil, nil}
			for _, r := range all {
				i := 0
				if len(r.Reservations) > 0 {
					i = 1
				}
				parts[i] = append(parts[i], r)
			}
		}
		for _, rs := range parts {
			w.offerSeq++
			o := mesos.Offer{
				ID: mesos.OfferID{Value: fmt.Sprintf("o%d", w.offerSeq)}, AgentID: mesos.AgentID{Value: m.id},
				FrameworkID: mesos.FrameworkID{Value: "F1"}, Hostname: m.hostname,
				URL:        &mesos.URL{Scheme: "http", Address: mesos.Address{IP: ptr(address(m)), Port: 5051}},
				Attributes: m.attributes, Resources: rs, AllocationInfo: &mesos.Resource_AllocationInfo{Role: ptr(role)},
			}
			if in := value(d, "maintenance", ""); in != "" {
				ahead, err := time.ParseDuration(in)
				require.NoError(w.t, err)
				o.Unavailability = &mesos.Unavailability{Start: mesos.TimeInfo{Nanoseconds: w.now.Add(ahead).UnixNano()}}
			}
			w.offers[o.ID.Value] = &o
			out = append(out, o)
		}
	}
	require.NotEmpty(w.t, out, "%s: nothing is offered", d.Pos)
	return out
}

func ptr[T any](v T) *T { return &v }

// address is an agent's IP: its name, which reads better.
func address(m *machine) string { return m.hostname }

// observeAgents is the operator API's full view.
func (w *world) observeAgents(d *datadriven.TestData) scheduler.AgentsObserved {
	ago, err := time.ParseDuration(value(d, "asked", "0s"))
	require.NoError(w.t, err)
	e := scheduler.AgentsObserved{AskedAt: w.now.Add(-ago)}
	for _, id := range slices.Sorted(maps.Keys(w.machines)) {
		m := w.machines[id]
		if slices.Contains(strings.Split(value(d, "without", ""), ","), id) {
			continue
		}
		o := scheduler.AgentObservation{
			ID: id, Hostname: m.hostname, Address: address(m), Attributes: m.attributes,
			Registered: value(d, "unregistered", "") != id, Disconnected: value(d, "disconnected", "") == id,
			Active: value(d, "disconnected", "") != id, Draining: value(d, "draining", "") == id,
		}
		if o.Registered {
			o.Total, o.Used = m.total().resources(""), m.used().resources("")
		}
		e.Agents = append(e.Agents, o)
	}
	return e
}

// view prints what users are answered.
func (w *world) view(d *datadriven.TestData, out *strings.Builder) {
	args := append(names(d), "")
	name := args[1]
	line := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	switch args[0] {
	case "cluster":
		v, problem := w.core.Cluster(name)
		if problem != nil {
			line("%s", problemText(problem))
			return
		}
		s := v.Status
		line("%s: %s, %s, generation %d, reached %d, %d of %d running, %d healthy", name, s.Phase, s.Health, v.Generation, s.ObservedGeneration, s.NodesRunning, s.NodesWanted, s.NodesHealthy)
		for _, c := range s.Conditions {
			line("  %s %s", c.Type, strings.TrimRight(fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message), ": "))
		}
	case "nodes":
		nodes, problem := w.core.Nodes(name)
		require.Nil(w.t, problem)
		for _, n := range nodes {
			text := fmt.Sprintf("%s: %s, life %d", n.Name, n.State, n.Life)
			if n.AgentID != "" {
				text += fmt.Sprintf(", on %s (%s)", n.AgentID, n.Hostname)
			}
			if n.VolumeID != "" {
				text += ", volume " + n.VolumeID
			}
			if n.Message != "" {
				text += ": " + n.Message
			}
			line("%s", text)
		}
	case "plan":
		p, problem := w.core.Plan(name)
		require.Nil(w.t, problem)
		line("%s: %s", p.ID, p.Status)
		for _, ph := range p.Phases {
			line("  %s: %s", ph.Name, ph.Status)
			for _, s := range ph.Steps {
				text := fmt.Sprintf("    %s: %s %s", s.Node, s.Action, s.Status)
				if s.Waiting != "" {
					text += ", waits for " + s.Waiting
				}
				line("%s", text)
			}
		}
		for _, g := range p.Gates {
			line("  gate %s of %s: %s", g.Name, g.Node, strings.TrimRight(fmt.Sprintf("open %t, overridden %t, %s", g.Open, g.Overridden, g.Message), ", "))
		}
	case "explain":
		e, problem := w.core.Explain(name)
		require.Nil(w.t, problem)
		for _, n := range e.Nodes {
			line("%s: %d of %d agents fit: %s", n.Node, n.Fitting, n.Agents, n.Summary)
			for _, r := range n.Reasons {
				line("  %s: %s, %d agents", r.Name, r.Reason, r.Agents)
				for _, child := range r.Children {
					line("    %s: %s, %d agents such as %v", child.Name, child.Reason, child.Agents, child.Examples)
				}
			}
			if n.SmallestChange != "" {
				line("  smallest change: %s", n.SmallestChange)
			}
		}
	case "volumes":
		w.viewVolumes(line)
	case "audit":
		for _, e := range w.core.Audit(scheduler.AuditFilter{}).Entries {
			line("%s", auditText(e))
		}
	case "repair":
		v, problem := w.core.Repair(name)
		if problem != nil {
			line("%s", problemText(problem))
			return
		}
		w.viewRepair(v, line)
	case "agents":
		for _, a := range w.core.Agents() {
			line("%s (%s): active %t, nodes %v, free cpus %g, mem %g, disk %g, ports %d", a.ID, a.Hostname, a.Active, a.Nodes, a.Free.CPUs, a.Free.MemoryMiB, a.Free.DiskMiB, a.Free.Ports)
		}
	case "unknown":
		list := w.core.UnknownTasks()
		for _, u := range list.Tasks {
			text := fmt.Sprintf("%s on %s: %s, seen %s to %s, %s", u.TaskID, u.AgentID, u.State, w.at(u.FirstSeen), w.at(u.LastSeen), u.Message)
			if o := u.KillOrder; o != nil {
				text += fmt.Sprintf("; ordered killed by %s at %s: %s", o.User, w.at(o.At), o.Message)
			}
			line("%s", text)
		}
		line("%d left out", list.LeftOut)
	case "stats":
		raw, err := json.Marshal(w.core.Stats())
		require.NoError(w.t, err)
		line("%s", raw)
	case "endpoints":
		e, problem := w.core.Endpoints(name)
		require.Nil(w.t, problem)
		line("http %v, transport %v", e.HTTP, e.Transport)
	default:
		require.True(w.t, w.viewSpark(args[0], name, line), "%s: no view %q", d.Pos, args[0])
	}
}

// records prints everything that is durable but the audit log.
func (w *world) records(out *strings.Builder) {
	for _, key := range slices.Sorted(maps.Keys(w.durable)) {
		if key.Kind() == state.KindAudit {
			continue
		}
		fmt.Fprintln(out, w.writeText(state.Write{Key: key, Value: w.durable[key]}))
	}
}

func auditText(e v1.AuditEntry) string {
	text := fmt.Sprintf("%d %s %s %s", e.ID, e.Verb, e.Kind, e.Target)
	say := func(what, value string) {
		if value != "" {
			text += ", " + what + " " + value
		}
	}
	say("of", e.Owner)
	say("by", e.User)
	if e.Generation > 0 {
		text += fmt.Sprintf(", generation %d", e.Generation)
	}
	for _, change := range e.Changes {
		say("changes", change.String())
	}
	say("detail", e.Detail)
	say("because", e.Message)
	say("event", e.Event)
	if e.Outcome != "" {
		text += ": " + e.Outcome
	}
	return text
}

// count counts records without the audit log.
func count(records map[state.Key][]byte) int {
	n := 0
	for key := range records {
		if key.Kind() != state.KindAudit {
			n++
		}
	}
	return n
}
