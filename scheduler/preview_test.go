package scheduler

import (
	"fmt"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	v1 "github.com/berthdata/berth/api/v1"
)

func textAttribute(name, value string) mesos.Attribute {
	return mesos.Attribute{Name: name, Type: mesos.TEXT, Text: &mesos.Value_Text{Value: value}}
}

// previewed are agents in racks, all that they have being free: as the master's view
// shows them, and as it offers them.
func previewed(t *rapid.T) (AgentsObserved, []mesos.Offer) {
	seen := AgentsObserved{AskedAt: benchEpoch.Add(time.Minute)}
	offers := freeOffers(rapid.IntRange(1, 9).Draw(t, "agents"))
	for i := range offers {
		rack := fmt.Sprintf("r%d", rapid.IntRange(0, 2).Draw(t, "rack"))
		attributes := []mesos.Attribute{textAttribute("rack", rack), textAttribute("machine", fmt.Sprintf("m%d", i))}
		offers[i].Attributes = attributes
		offers[i].Resources[0].Scalar.Value = float64(rapid.IntRange(1, 4).Draw(t, "cpus"))
		o := AgentObservation{ID: offers[i].AgentID.Value, Hostname: offers[i].Hostname, Address: "10.0.0.1", Attributes: attributes, Registered: true, Active: true}
		for _, r := range offers[i].Resources {
			r.AllocationInfo = nil
			o.Total = append(o.Total, r)
		}
		seen.Agents = append(seen.Agents, o)
	}
	return seen, offers
}

func previewSpec(t *rapid.T) v1.Cluster {
	replicas := rapid.IntRange(1, 2).Draw(t, "replicas")
	spec := v1.Cluster{Name: "logs", Spec: v1.ClusterSpec{Version: "8.19.21", Role: "db", Replicas: &replicas}}
	set := func(name string, roles ...string) {
		s := v1.NodeSet{
			Name: name, Count: rapid.IntRange(1, 4).Draw(t, name), Roles: &roles,
			Resources: v1.NodeResources{CPUs: float64(rapid.IntRange(1, 3).Draw(t, "cpus")), Memory: "2gb"}, Storage: v1.Storage{Size: "10gb"},
		}
		if rapid.Bool().Draw(t, "spread") {
			s.Spread = "rack"
		}
		if rapid.Bool().Draw(t, "constraint") {
			s.Constraints = []v1.Constraint{{Attribute: "rack", Operator: "NEQ", Values: []string{"r1"}}}
		}
		spec.Spec.NodeSets = append(spec.Spec.NodeSets, s)
	}
	set("data", "data")
	set("boss", "master") // in the spec behind the set that sorts behind it
	spec.SetDefaults()
	return spec
}

// launchedOn are the agents of the nodes that a decision launches, by name.
func launchedOn(d Decision) map[string]string {
	on := map[string]string{}
	for _, c := range d.Calls {
		for _, op := range c.GetAccept().GetOperations() {
			for _, task := range op.GetLaunch().GetTaskInfos() {
				on[task.Name] = task.AgentID.Value
			}
		}
	}
	return on
}

// What a dry run says is what happens with the same offers, for a new cluster and
// for one that grows; and asking changes nothing.
func TestPreviewIsWhatHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seen, offers := previewed(t)
		spec := previewSpec(t)
		cfg := benchConfig()
		cfg.MachineAttribute = "machine"
		c, err := New(cfg, nil)
		require.NoError(t, err)
		now := benchEpoch.Add(2 * time.Minute)
		step := func(ev Event) Decision {
			now = now.Add(time.Second)
			return c.Step(now, ev)
		}
		put := func(dry bool) *v1.Accepted {
			d := step(SpecPut{Reply: 1, Cluster: spec, DryRun: dry})
			require.Len(t, d.Replies, 1)
			require.Nil(t, d.Replies[0].Problem)
			if dry {
				for _, w := range d.Writes {
					require.Equal(t, "framework", w.Key.Kind(), "a dry run writes nothing of its own")
				}
			}
			return d.Replies[0].Accepted
		}
		agree := func(offered []mesos.Offer) {
			said, again := put(true), put(true)
			require.Equal(t, said, again)
			want := map[string]string{}
			for _, p := range said.Placements {
				if p.AgentID != "" {
					want[p.Node] = p.AgentID
				} else {
					require.NotEmpty(t, p.Problem, p.Node)
				}
			}
			put(false)
			require.Equal(t, want, launchedOn(step(OffersReceived{Offers: offered})))
		}
		step(Subscribed{FrameworkID: "F1"})
		step(seen)
		agree(offers)

		// It grows on agents that have come since, some of them on the same machines.
		more := freeOffers(len(offers) + 4)[len(offers):]
		for i := range more {
			more[i].Attributes = []mesos.Attribute{textAttribute("machine", fmt.Sprintf("m%d", rapid.IntRange(0, len(offers)+3).Draw(t, "machine")))}
			o := AgentObservation{ID: more[i].AgentID.Value, Hostname: more[i].Hostname, Address: "10.0.0.1", Attributes: more[i].Attributes, Registered: true, Active: true}
			for _, r := range more[i].Resources {
				r.AllocationInfo = nil
				o.Total = append(o.Total, r)
			}
			seen.Agents = append(seen.Agents, o)
		}
		for i := range offers { // all in use: the nodes of before fill them
			seen.Agents[i].Used = seen.Agents[i].Total
		}
		seen.AskedAt = now
		step(seen)
		spec.Spec = spec.Spec.Clone()
		spec.Spec.NodeSets[0].Count += rapid.IntRange(1, 2).Draw(t, "more")
		agree(more)
	})
}
