package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler"
)

// client is everybody who asks Berth for something. It remembers what it was
// told, so that nothing that was acknowledged can be taken back unseen.
type client struct {
	w     *World
	known map[string]*belief
	seq   int
	// ordered are the volumes whose destruction was asked for and not taken back
	// with an acknowledged answer, each with the number of the request.
	ordered map[string]int
	// restored are the numbers of the newest requests to keep a volume.
	restored map[string]int
	// kills are the unknown tasks that were ordered killed and not taken back with
	// an acknowledged answer; spared those that were taken back.
	kills, spared map[string]int
}

// belief is what the client knows of one cluster name.
type belief struct {
	// acked is the newest acknowledged spec, nil before one and after an
	// acknowledged deletion.
	acked      *v1.Cluster
	generation int64
	// seq is the newest request that was acknowledged; was is the spec before acked.
	seq int
	was *v1.Cluster
	// open are requests without an answer: each may have happened.
	open []*request
}

type requestKind int

const (
	reqPut requestKind = iota
	reqDelete
	reqDestroy
	reqRestore
	reqKill
	reqSpare
	reqRepair
)

type request struct {
	seq    int // requests are numbered in the order of asking
	kind   requestKind
	name   string // cluster, volume or repair
	spec   v1.Cluster
	retain time.Duration
	then   func(scheduler.Reply) // of a repair: what its answer leads to
}

func (r *request) String() string {
	text := r.name
	for _, set := range r.spec.Spec.NodeSets {
		text += fmt.Sprintf(" %s=%d", set.Name, set.Count)
	}
	if n := r.spec.Spec.Replicas; n != nil {
		text += fmt.Sprintf(" replicas=%d", *n)
	}
	return text
}

func newClient(w *World) *client {
	return &client{w: w, known: map[string]*belief{}, ordered: map[string]int{}, restored: map[string]int{}, kills: map[string]int{}, spared: map[string]int{}}
}

// put creates or changes a cluster.
func (c *client) put(r *rand.Rand) {
	name := c.w.shape.names[r.IntN(len(c.w.shape.names))]
	b := c.belief(name)
	spec := c.w.shape.spec(name, r)
	if b.acked != nil {
		spec = c.w.shape.change(*b.acked, r)
	}
	if p := spec.Validate(v1.Validation{}); p != nil {
		return // the API refuses it before the core sees it
	}
	req := &request{kind: reqPut, name: name, spec: spec}
	c.ask(req, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.SpecPut{Reply: id, Cluster: spec, User: "somebody"}
	})
}

func (c *client) remove(r *rand.Rand) {
	name := c.w.shape.names[r.IntN(len(c.w.shape.names))]
	retain := time.Duration(r.Int64N(int64(c.w.shape.retainMost)))
	c.ask(&request{kind: reqDelete, name: name, retain: retain}, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.SpecDeleted{Reply: id, Name: name, RetainFor: retain, User: "somebody"}
	})
}

// volume orders a volume destroyed, or takes that back; now and then one that
// is in use.
func (c *client) volume(kind requestKind, r *rand.Rand) {
	p := c.w.leader
	if p == nil || p.core == nil {
		return
	}
	var ids []string
	for _, v := range p.core.Volumes(c.w.now, scheduler.VolumeFilter{}).Volumes {
		wanted := v.Class == "retained" || v.Class == "missing"
		if kind == reqRestore {
			wanted = v.DestroyAt != nil
		}
		if wanted || r.IntN(20) == 0 {
			ids = append(ids, v.ID)
		}
	}
	if len(ids) == 0 {
		return
	}
	id := ids[r.IntN(len(ids))]
	req := &request{kind: kind, name: id}
	c.ask(req, func(reply scheduler.ReplyID) scheduler.Event {
		if kind == reqDestroy {
			return scheduler.VolumeDestroyOrdered{Reply: reply, ID: id, User: "somebody"}
		}
		return scheduler.VolumeRestored{Reply: reply, ID: id, User: "somebody"}
	})
	if kind == reqDestroy {
		c.ordered[id] = req.seq
	} else {
		c.restored[id] = req.seq
	}
}

func (c *client) belief(name string) *belief {
	b := c.known[name]
	if b == nil {
		b = &belief{}
		c.known[name] = b
	}
	return b
}

// reached is whom a request gets to: the leader, or now and then one who was it and
// does not know better.
func (c *client) reached() *process {
	if c.w.chance.IntN(3) == 0 {
		for _, p := range c.w.procs {
			if !p.dead && p != c.w.leader {
				return p
			}
		}
	}
	return c.w.leader
}

// grow asks for more nodes of some cluster.
func (c *client) grow(r *rand.Rand) {
	for _, name := range sorted(c.known) {
		acked := c.known[name].acked
		if acked == nil || r.IntN(2) == 0 {
			continue
		}
		spec := *acked
		spec.Spec = spec.Spec.Clone()
		spec.Spec.NodeSets[r.IntN(len(spec.Spec.NodeSets))].Count++
		c.apply(c.w.leader, spec)
		return
	}
}

// astray has users change a cluster, and others who still reach a former leader
// apply to it what the cluster was before.
func (c *client) astray(p *process, r *rand.Rand) {
	c.w.after(between(r, 0, 5*time.Second), func() {
		c.put(r)
		c.w.after(between(r, 0, 10*time.Second), func() {
			for _, name := range sorted(c.known) {
				if was := c.known[name].was; was != nil && !p.dead {
					c.apply(p, *was)
				}
			}
		})
	})
}

// apply sends a spec to one process.
func (c *client) apply(p *process, spec v1.Cluster) {
	if p == nil || p.core == nil || spec.Validate(v1.Validation{}) != nil {
		return
	}
	c.send(p, &request{kind: reqPut, name: spec.Name, spec: spec}, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.SpecPut{Reply: id, Cluster: spec, User: "somebody"}
	})
}

// ask sends a request; without anybody to take it, nothing happens.
func (c *client) ask(r *request, ev func(scheduler.ReplyID) scheduler.Event) {
	if p := c.reached(); p != nil && p.core != nil {
		c.send(p, r, ev)
	}
}

func (c *client) send(p *process, r *request, ev func(scheduler.ReplyID) scheduler.Event) {
	c.seq++
	r.seq = c.seq
	c.w.detail("%s", r)
	if r.kind == reqPut || r.kind == reqDelete {
		b := c.belief(r.name)
		b.open = append(b.open, r)
	}
	p.ask(r, ev)
}

// answered takes the answer of a request; it comes after the commit.
func (c *client) answered(r *request, reply scheduler.Reply) {
	w := c.w
	if reply.Problem == nil && reply.Accepted == nil || reply.Problem != nil && reply.Accepted != nil {
		w.fail("reply", "a reply to %s is neither an answer nor a problem, or both", r.name)
		return
	}
	w.tracef("client: %s is answered: %s", r.name, replyText(reply))
	switch r.kind {
	case reqPut, reqDelete:
		b := c.belief(r.name)
		b.open = slices.DeleteFunc(b.open, func(o *request) bool { return o == r })
		if reply.Problem != nil || r.seq < b.seq {
			return // or overtaken by a later one
		}
		b.seq = r.seq
		// What was asked for earlier and not answered has happened before, or
		// never will.
		b.open = slices.DeleteFunc(b.open, func(o *request) bool { return o.seq < r.seq })
		if r.kind == reqDelete {
			b.acked = nil
			if rec, ok := w.store.clusters[r.name]; ok && rec.Deletion == nil && len(b.open) == 0 {
				w.fail("durable reply", "deletion of %s is acknowledged and not durable", r.name)
			}
			return
		}
		spec := r.spec
		if b.acked != nil && !same(*b.acked, spec, w.shape.roles[0]) {
			b.was = b.acked
		}
		b.acked, b.generation = &spec, reply.Accepted.Generation
		c.durable(r.name)
	case reqDestroy:
		if rec, ok := w.store.slots[r.name]; ok && reply.Problem == nil && rec.Order == nil && c.restored[r.name] < r.seq {
			w.fail("durable reply", "the order to destroy %s is acknowledged and not durable", r.name)
		}
	case reqKill, reqSpare:
		c.killAnswered(r, reply)
	case reqRepair:
		r.then(reply)
	case reqRestore:
		if reply.Problem != nil {
			return
		}
		if c.ordered[r.name] > r.seq {
			return // ordered once more since
		}
		delete(c.ordered, r.name)
		if rec, ok := w.store.slots[r.name]; ok && rec.Order != nil {
			w.fail("durable reply", "volume %s is acknowledged as kept, its order is still durable", r.name)
		}
	}
}

func replyText(r scheduler.Reply) string {
	if r.Problem != nil {
		return fmt.Sprintf("%d %s: %s %v", r.Problem.Status, r.Problem.Title, r.Problem.Detail, r.Problem.Fields)
	}
	return fmt.Sprintf("generation %d %s", r.Accepted.Generation, r.Accepted.Message)
}

// lost: a process ended; whether its open requests happened is not known.
func (c *client) lost(p *process) {
	for _, id := range slices.Sorted(maps.Keys(p.replies)) {
		delete(p.replies, id)
	}
}

// durable checks that what was acknowledged is what is stored: the newest
// acknowledged spec, or one that was asked for later and not answered.
func (c *client) durable(name string) {
	b, rec := c.belief(name), c.w.store.clusters[name]
	if b.acked == nil {
		return
	}
	for _, o := range b.open {
		if o.kind == reqDelete {
			return // either way
		}
	}
	if rec.Deletion != nil {
		c.w.fail("acknowledged spec", "%s is being deleted, which nobody asked for", name)
		return
	}
	if rec.Generation < b.generation {
		c.w.fail("acknowledged spec", "%s has generation %d, but %d was acknowledged", name, rec.Generation, b.generation)
		return
	}
	if same(rec.Spec, *b.acked, c.w.shape.roles[0]) {
		return
	}
	for _, o := range b.open {
		if same(rec.Spec, o.spec, c.w.shape.roles[0]) {
			return
		}
	}
	c.w.fail("acknowledged spec", "what is stored of %s (generation %d) is neither what was acknowledged nor what was asked for since", name, rec.Generation)
}

func same(stored, asked v1.Cluster, role string) bool {
	if asked.Spec.Role == "" {
		asked.Spec.Role = role
	}
	return v1.SameSpec(stored.Spec, asked.Spec) && maps.Equal(stored.Labels, asked.Labels)
}
