package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Item is one thing that a schedule has happen: a request of a user, or a fault.
type Item struct {
	// At is when, since the start.
	At time.Duration
	// Kind names what; see kinds.
	Kind string
	// For is how long it lasts, where that means something.
	For time.Duration
	// Seed decides the details, so that items do not depend on each other.
	Seed uint64
}

func (i Item) String() string {
	if i.For == 0 {
		return fmt.Sprintf("%8.1fs %s", i.At.Seconds(), i.Kind)
	}
	return fmt.Sprintf("%8.1fs %s for %v", i.At.Seconds(), i.Kind, i.For.Round(100*time.Millisecond))
}

// kind is how often an item comes in a schedule that has it, at most, and how
// long it lasts, at most.
type kind struct {
	name string
	most int
	long time.Duration
	// user marks what users ask for: every schedule has it.
	user bool
}

var kinds = []kind{
	{name: "put", most: 14, user: true},
	{name: "delete", most: 3, user: true},
	{name: "destroy", most: 6, user: true},
	{name: "restore", most: 3, user: true},

	{name: "crash", most: 6},
	{name: "pause", most: 4, long: 40 * time.Second},
	{name: "connection lost", most: 4},
	{name: "store slow", most: 3, long: 2 * time.Minute},
	{name: "store away", most: 3, long: time.Minute},
	{name: "store answers lost", most: 3, long: 2 * time.Minute},
	{name: "calls lost", most: 4, long: 2 * time.Minute},
	{name: "events jitter", most: 4, long: 3 * time.Minute},
	{name: "operator API away", most: 2, long: 3 * time.Minute},
	{name: "rescind", most: 10},
	{name: "rescind often", most: 3, long: 2 * time.Minute},
	{name: "create refused", most: 3, long: 3 * time.Minute},
	{name: "reserve refused", most: 2, long: 2 * time.Minute},
	{name: "quota", most: 2, long: 5 * time.Minute},
	{name: "agent restarts", most: 6, long: 3 * time.Minute},
	{name: "agent reboots", most: 4, long: 3 * time.Minute},
	{name: "agent forgets its id", most: 4, long: 3 * time.Minute},
	{name: "agent partitioned", most: 4, long: 4 * time.Minute},
	{name: "agent declared gone", most: 2},
	{name: "agent drained", most: 3, long: 4 * time.Minute},
	{name: "maintenance", most: 2, long: 5 * time.Minute},
	{name: "master fails", most: 3},
	{name: "master fails, agents slow", most: 1, long: 12 * time.Minute},
	{name: "node crashes", most: 8},
	{name: "node crashes always", most: 2, long: 4 * time.Minute},
	{name: "strange task", most: 2},
	{name: "messages lost", most: 2, long: 4 * time.Minute},
	{name: "Elasticsearch late", most: 2, long: 3 * time.Minute},
	{name: "Elasticsearch wrong", most: 2, long: 3 * time.Minute},
	{name: "Elasticsearch mute", most: 2, long: 3 * time.Minute},
}

// schedule draws what happens. Each seed has only some kinds of faults, some of
// them often: a mix of everything would hide what two of them do together.
func schedule(r *rand.Rand, s shape) []Item {
	var items []Item
	faulty := []float64{0, 0.1, 0.3, 0.6}[r.IntN(4)]
	for _, k := range kinds {
		if !k.user && r.Float64() >= faulty {
			continue
		}
		n := 1 + r.IntN(k.most)
		for range n {
			it := Item{At: time.Duration(r.Int64N(int64(s.faultsFor))), Kind: k.name, Seed: r.Uint64()}
			if k.long > 0 {
				it.For = time.Duration(r.Int64N(int64(k.long)))
			}
			items = append(items, it)
		}
	}
	// Something is there from the beginning.
	for range 1 + r.IntN(2) {
		items = append(items, Item{At: time.Duration(r.Int64N(int64(20 * time.Second))), Kind: "put", Seed: r.Uint64()})
	}
	slices.SortStableFunc(items, func(a, b Item) int { return int(a.At - b.At) })
	return items
}

// Kinds lists the kinds of items that a schedule may have.
func Kinds() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}
