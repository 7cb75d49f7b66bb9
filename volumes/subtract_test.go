package volumes_test

import (
	"maps"
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/berthdata/berth/volumes"
)

func TestSubtract(t *testing.T) {
	for _, c := range []struct {
		name        string
		total, used []mesos.Resource
		want        string
	}{
		{"nothing used", []mesos.Resource{scalar("cpus", 4)}, nil, "cpus: 4"},
		{"a part", []mesos.Resource{scalar("cpus", 4)}, []mesos.Resource{scalar("cpus", 1.5, allocated)}, "cpus: 2.5"},
		{"all", []mesos.Resource{scalar("cpus", 4), scalar("mem", 1)}, []mesos.Resource{scalar("cpus", 4)}, "mem: 1"},
		{"more than there is", []mesos.Resource{scalar("cpus", 4)}, []mesos.Resource{scalar("cpus", 5)}, ""},
		{"what is not there", []mesos.Resource{scalar("cpus", 4)}, []mesos.Resource{scalar("gpus", 1)}, "cpus: 4"},
		{"only of the same reservation", []mesos.Resource{scalar("cpus", 4), scalar("cpus", 2, reserved("s"))},
			[]mesos.Resource{scalar("cpus", 1, reserved("s"))}, "cpus: 4\ncpus(db/search s): 1"},
		{"only of the same disk", []mesos.Resource{scalar("disk", 4), scalar("disk", 4, onPath("/p"))},
			[]mesos.Resource{scalar("disk", 1, onPath("/p"))}, "disk: 4\ndisk on /p: 3"},
		{"only the same volume", []mesos.Resource{scalar("disk", 4, reserved("s"), volume("a")), scalar("disk", 4, reserved("s"), volume("b"))},
			[]mesos.Resource{scalar("disk", 4, reserved("s"), volume("b"))}, "disk(db/search s) volume a at data: 4"},
		{"over several parts", []mesos.Resource{scalar("cpus", 1), scalar("cpus", 2)}, []mesos.Resource{scalar("cpus", 1.5)}, "cpus: 1.5"},
		{"ports", []mesos.Resource{ports(1, 9, 20, 29)}, []mesos.Resource{ports(1, 1, 4, 5, 9, 9, 20, 25)}, "ports: 2-3 6-8 26-29"},
		{"all ports", []mesos.Resource{ports(1, 9)}, []mesos.Resource{ports(1, 4, 5, 12)}, ""},
	} {
		before := text(c.total)
		requireText(t, c.name, c.want, volumes.Subtract(c.total, c.used))
		assert.Equal(t, before, text(c.total), "%s: the total stays as it was", c.name)
	}
}

// TestSubtractUndoesAdding: what is left and what was taken are the total again.
func TestSubtractUndoesAdding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAgent(t)
		whole := a.total()
		p, err := volumes.NewPool(role, principal, a.offers(t))
		must(t, err)
		if g, ok := p.Take(identity("s"), drawNeed(t)); ok {
			must(t, a.reserve(g.Reserve))
			must(t, a.create(g.Create))
			o := a.offers(t)
			left := newAgent()
			must(t, left.add(volumes.Subtract(append(o[0].Resources, o[1].Resources...), g.Task)...))
			must(t, left.add(g.Task...))
			if got := left.total(); !maps.Equal(trim(whole), trim(got)) {
				t.Fatalf("there was %v, there is %v", whole, got)
			}
		}
	})
}

// trim drops what there is none of.
func trim(m map[string]int64) map[string]int64 {
	maps.DeleteFunc(m, func(_ string, n int64) bool { return n == 0 })
	return m
}
