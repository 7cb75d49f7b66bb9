package volumes_test

import (
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/volumes"
)

// holdings are what a pool of these resources shows.
func holdings(t *testing.T, rs ...mesos.Resource) []volumes.Holding {
	t.Helper()
	return pool(t, rs...).Held()
}

func withVolume(label, id string) []mesos.Resource {
	return []mesos.Resource{scalar("cpus", 1, reserved(label)), scalar("disk", 10, reserved(label), volume(id))}
}

// lines are a ledger's entries in short form.
func lines(l *volumes.Ledger) []string {
	out := []string{}
	for _, e := range l.Classify() {
		s := string(e.Class) + " " + e.Record.Label + e.Holding.Label + " @" + e.AgentID
		if e.Record.Label != "" && e.Seen {
			s = string(e.Class) + " " + e.Record.Label + " seen @" + e.AgentID
		}
		if e.Moved() {
			s += " moved"
		}
		out = append(out, s)
	}
	return out
}

func TestLedgerClassifies(t *testing.T) {
	owned := volumes.Record{Label: "s", AgentID: "a1", PersistenceID: "s-v", Created: true, State: volumes.StateOwned}
	retained, destroying, fresh, nowhere := owned, owned, owned, owned
	retained.State, destroying.State = volumes.StateRetained, volumes.StateDestroying
	fresh.Created = false
	nowhere.AgentID = ""
	cpus := []mesos.Resource{scalar("cpus", 1, reserved("s"))}
	type seen struct {
		agent string
		rs    []mesos.Resource
		full  bool
	}
	for _, c := range []struct {
		name   string
		record *volumes.Record
		seen   []seen
		want   []string
	}{
		{"nothing", nil, nil, []string{}},
		{"owned", &owned, []seen{{"a1", withVolume("s", "s-v"), false}}, []string{"owned s seen @a1"}},
		{"retained", &retained, []seen{{"a1", withVolume("s", "s-v"), true}}, []string{"retained s seen @a1"}},
		{"destroying", &destroying, []seen{{"a1", withVolume("s", "s-v"), false}}, []string{"destroying s seen @a1"}},
		{"not yet observed", &owned, nil, []string{"owned s @a1"}},
		{"absence in an offer means nothing", &owned, []seen{{"a1", nil, false}}, []string{"owned s @a1"}},
		{"absence in a full observation", &owned, []seen{{"a1", nil, true}}, []string{"missing s @a1"}},
		{"absence on another agent means nothing", &owned, []seen{{"a2", nil, true}}, []string{"owned s @a1"}},
		{"absence of a record without an agent means nothing", &nowhere, []seen{{"a1", nil, true}}, []string{"owned s @"}},
		{"only a part in an offer", &owned, []seen{{"a1", cpus, false}}, []string{"owned s seen @a1"}},
		{"all without its volume", &owned, []seen{{"a1", cpus, true}}, []string{"missing s seen @a1"}},
		{"a volume that was never created is not missing", &fresh, []seen{{"a1", cpus, true}}, []string{"owned s seen @a1"}},
		{"under a new agent id", &owned, []seen{{"a1", nil, true}, {"a2", withVolume("s", "s-v"), false}}, []string{"owned s seen @a2 moved"}},
		{"left over on another agent", &owned, []seen{{"a1", withVolume("s", "s-v"), false}, {"a2", cpus, false}}, []string{"owned s seen @a1", "orphan s @a2"}},
		{"volume twice: the record's agent", &owned, []seen{{"a0", withVolume("s", "s-v"), false}, {"a1", withVolume("s", "s-v"), false}}, []string{"orphan s @a0", "owned s seen @a1"}},
		{"a part elsewhere does not stand for the volume", &owned, []seen{{"a2", cpus, false}}, []string{"owned s @a1", "orphan s @a2"}},
		{"unknown label", nil, []seen{{"a1", withVolume("x", "x-v"), false}}, []string{"orphan x @a1"}},
		{"another volume under our label", &owned, []seen{{"a1", withVolume("s", "strange"), false}}, []string{"owned s @a1", "foreign s @a1"}},
		{"no label", nil, []seen{{"a1", withVolume("", "x"), false}}, []string{"foreign  @a1"}},
		{"another principal", &owned, []seen{{"a1", []mesos.Resource{scalar("cpus", 1, reservedFor(role, "x", "s"))}, false}}, []string{"owned s @a1", "foreign s @a1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := volumes.NewLedger()
			if c.record != nil {
				l.Put(*c.record)
			}
			for _, s := range c.seen {
				l.Observe(s.agent, holdings(t, s.rs...), s.full)
			}
			assert.ElementsMatch(t, c.want, lines(l))
		})
	}
}

func TestLedgerMissingNeedsAnObservationNewerThanTheRecord(t *testing.T) {
	l := volumes.NewLedger()
	r := volumes.Record{Label: "s", AgentID: "a1", PersistenceID: "s-v", State: volumes.StateOwned}
	l.Observe("a1", nil, true)
	l.Put(r)
	assert.Equal(t, []string{"owned s @a1"}, lines(l), "it may have been reserved since")
	l.Observe("a1", nil, true)
	l.Put(r)
	assert.Equal(t, []string{"missing s @a1"}, lines(l), "an equal record is no news")
	r.Created = true
	l.Put(r)
	assert.Equal(t, []string{"owned s @a1"}, lines(l))
	l.Observe("a1", nil, true)
	l.Forget("a1")
	assert.Equal(t, []string{"owned s @a1"}, lines(l), "an agent that is gone proves nothing")
}

func TestLedgerOffersOnlyAdd(t *testing.T) {
	l := volumes.NewLedger()
	l.Put(volumes.Record{Label: "s", AgentID: "a1", PersistenceID: "s-v", Created: true, State: volumes.StateOwned})
	l.Observe("a1", holdings(t, withVolume("s", "s-v")...), true)
	l.Observe("a1", holdings(t, scalar("cpus", 5, reserved("s"))), false)
	require.Len(t, l.Classify(), 1)
	assert.NotNil(t, l.Classify()[0].Holding.Volume, "an offer without the volume hides nothing")
	l.Observe("a1", holdings(t, append(withVolume("s", "s-v"), scalar("mem", 5, reserved("s")))...), false)
	assert.Equal(t, volumes.Units(5), l.Classify()[0].Holding.Mem, "one that shows more is news")
}

func TestLedgerFollowsReleases(t *testing.T) {
	l := volumes.NewLedger()
	r := volumes.Record{Label: "s", AgentID: "a1", PersistenceID: "s-v", Created: true, State: volumes.StateDestroying}
	l.Put(r)
	l.Observe("a1", holdings(t, append(withVolume("s", "s-v"), withVolume("t", "t-v")...)...), true)
	l.Released("a1", "s", true)
	e := l.Classify()[0]
	assert.Zero(t, e.Holding.CPU)
	assert.Equal(t, "s-v", e.Holding.PersistenceID)
	l.Released("a1", "s", false)
	l.Released("a9", "s", false)
	got, ok := l.Record("s")
	require.True(t, ok)
	assert.Equal(t, r, got)
	l.Remove("s")
	assert.Equal(t, []string{"orphan t @a1"}, lines(l))
}
