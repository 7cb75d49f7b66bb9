package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/state"
)

// ask answers a question to Elasticsearch: in time, late, wrong or never.
func (n *nodes) ask(p *process, q observe.Request) {
	w := n.w
	if w.now.Before(n.muteUntil) && n.chance.IntN(3) > 0 {
		return
	}
	w.after(between(n.chance, 5*time.Millisecond, 200*time.Millisecond), func() {
		o, err := n.observation(q)
		if w.now.Before(n.wrongUntil) && n.chance.IntN(2) == 0 {
			o, err = n.wrong(o, err)
		}
		d := time.Duration(0)
		if w.now.Before(n.lateUntil) {
			d = between(n.chance, 0, 50*time.Second)
		}
		w.after(d, func() {
			ev := scheduler.ElasticObserved{Cluster: q.Cluster, Observation: o}
			ev.Observation.Seq = q.Seq
			if err != nil {
				ev.Err, ev.ErrClass = err.Message, string(err.Class)
			}
			p.post(ev)
		})
	})
}

func (n *nodes) observation(q observe.Request) (observe.Observation, *observe.Failure) {
	o := observe.Observation{Full: q.Full, Away: q.Away, MinReplicas: -1, ClusterName: q.Cluster, Health: "green"}
	var asked *node
	for _, x := range n.order {
		if slices.Contains(q.Endpoints, fmt.Sprintf("http://%s:%d", x.doc.Address, x.doc.HTTPPort)) {
			asked = x
			if x.joined && n.elected(x.uuid) {
				break
			}
		}
	}
	switch {
	case asked == nil:
		return o, &observe.Failure{Class: observe.Unreachable, Message: "nobody answers"}
	case asked.doc.ClusterName != q.Cluster:
		return o, &observe.Failure{Class: observe.Unreadable, Message: "another cluster answers"}
	case asked.uuid == "" || !n.elected(asked.uuid):
		return o, &observe.Failure{Class: observe.NoMaster, Message: "no elected master"}
	}
	o.ClusterUUID = asked.uuid
	for _, x := range n.order {
		if x.uuid == asked.uuid && x.joined {
			o.Nodes = append(o.Nodes, observe.Node{ID: "id-" + x.label, Name: x.doc.NodeName})
		}
	}
	for _, id := range sorted(n.w.store.slots) {
		s := n.w.store.slots[id]
		if (owner{s.Owner, s.OwnerIncarnation}) == asked.owner && s.Want == state.WantRun && !slices.ContainsFunc(o.Nodes, func(m observe.Node) bool { return m.Name == s.Name }) {
			o.Health = "yellow"
		}
	}
	if q.Full {
		o.Away = q.Away
		o.MinReplicas = n.chance.IntN(4) - 1
		o.MinReplicasIndex = "index"
	}
	return o, nil
}

// wrong makes an answer useless or untrue, in ways that an adapter cannot tell
// from right ones.
func (n *nodes) wrong(o observe.Observation, err *observe.Failure) (observe.Observation, *observe.Failure) {
	switch n.chance.IntN(5) {
	case 0:
		return o, &observe.Failure{Class: observe.Unreadable, Message: "the answer is cut off"}
	case 1:
		return o, &observe.Failure{Class: observe.Timeout, Message: "no answer in time"}
	case 2:
		o.Health = []string{"green", "yellow", "red"}[n.chance.IntN(3)]
		return o, err
	case 3:
		o.Nodes = nil
		return o, err
	default:
		o.MinReplicas = 0
		return o, err
	}
}
