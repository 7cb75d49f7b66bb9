package volumes_test

import (
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"github.com/berthdata/berth/volumes"
)

func benchOffer() []mesos.Offer {
	return []mesos.Offer{offer("o1", "a1", scalar("cpus", 1e6), scalar("mem", 1e9), scalar("disk", 1e9), ports(1024, 65535))}
}

func BenchmarkNewPool(b *testing.B) {
	offers := benchOffer()
	for b.Loop() {
		if _, err := volumes.NewPool(role, principal, offers); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	n := need(.001, 1, 1, volumes.DiskRoot, 0)
	id := identity("s")
	p := pool(b, benchOffer()[0].Resources...)
	for b.Loop() {
		if _, ok := p.Take(id, n); !ok {
			b.StopTimer()
			p = pool(b, benchOffer()[0].Resources...)
			b.StartTimer()
		}
	}
}

func BenchmarkFit(b *testing.B) {
	p := pool(b, benchOffer()[0].Resources...)
	id, n := identity("s"), need(1, 1, 1, volumes.DiskRoot, 2)
	for b.Loop() {
		if f := p.Fit(id, n); !f.OK() {
			b.Fatal(f)
		}
	}
}
