package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Item is one thing that a schedule has happen: a request of a user, or a fault.
type Item struct {
	// N is the item's number in its seed's schedule.
	N int
	// At is when, since the start.
	At time.Duration
	// On is what it waits for from then on; "" is nothing.
	On moment
	// Encore: it happens alone, once all has converged.
	Encore bool
	// Kind names what; see kinds.
	Kind string
	// For is how long it lasts, where that means something.
	For time.Duration
	// Seed decides the details, so that items do not depend on each other.
	Seed uint64
}

func (i Item) String() string {
	text := fmt.Sprintf("#%-3d %8.1fs  ", i.N, i.At.Seconds())
	if i.Encore {
		text = fmt.Sprintf("#%-3d afterwards  ", i.N)
	}
	if i.On != "" {
		text += fmt.Sprintf("with the next %s: ", i.On)
	}
	text += i.Kind
	if i.For != 0 {
		text += fmt.Sprintf(" for %v", i.For.Round(100*time.Millisecond))
	}
	return text
}

// moment is what an item may wait for: most of what goes wrong takes two things
// that happen within the same few milliseconds.
type moment string

const (
	onReserve     moment = "RESERVE"
	onCreate      moment = "CREATE"
	onLaunch      moment = "LAUNCH"
	onDestroy     moment = "DESTROY"
	onUnreserve   moment = "UNRESERVE"
	onKill        moment = "KILL"
	onAcknowledge moment = "ACKNOWLEDGE"
	onReconcile   moment = "RECONCILE"
	onStatus      moment = "status update"
	onOperation   moment = "operation update"
)

var moments = []moment{
	onReserve, onCreate, onLaunch, onLaunch, onDestroy, onUnreserve, onKill, onAcknowledge, onReconcile, onStatus, onOperation,
}

// kind is how often an item comes in a schedule that has it, at most, and how
// long it lasts, at most.
type kind struct {
	name string
	most int
	long time.Duration
	// user marks what users ask for: every schedule has it.
	user bool
	// sharp items may wait for a moment.
	sharp bool
}

var kinds = []kind{
	{name: "put", most: 14, user: true, sharp: true},
	{name: "delete", most: 3, user: true, sharp: true},
	{name: "destroy", most: 6, user: true},
	{name: "restore", most: 3, user: true, sharp: true},

	{name: "crash", most: 6, sharp: true},
	{name: "pause", most: 4, long: 40 * time.Second, sharp: true},
	{name: "session expires", most: 3, sharp: true},
	{name: "connection lost", most: 4, sharp: true},
	{name: "store slow", most: 3, long: 2 * time.Minute},
	{name: "store away", most: 3, long: time.Minute, sharp: true},
	{name: "store answers lost", most: 3, long: 2 * time.Minute},
	{name: "call lost", most: 6, sharp: true},
	{name: "calls lost", most: 4, long: 2 * time.Minute},
	{name: "calls late", most: 3, long: 2 * time.Minute},
	{name: "events jitter", most: 4, long: 3 * time.Minute},
	{name: "operator API away", most: 2, long: 3 * time.Minute},
	{name: "rescind", most: 10, sharp: true},
	{name: "rescind often", most: 3, long: 2 * time.Minute},
	{name: "create refused", most: 3, long: 3 * time.Minute},
	{name: "reserve refused", most: 2, long: 2 * time.Minute},
	{name: "quota", most: 2, long: 5 * time.Minute},
	{name: "agent restarts", most: 6, long: 3 * time.Minute, sharp: true},
	{name: "agent slow", most: 3, long: 2 * time.Minute},
	{name: "agent reboots", most: 4, long: 3 * time.Minute, sharp: true},
	{name: "agent forgets its id", most: 4, long: 3 * time.Minute, sharp: true},
	{name: "agent partitioned", most: 4, long: 4 * time.Minute, sharp: true},
	{name: "agent declared gone", most: 2, sharp: true},
	{name: "agent drained", most: 3, long: 4 * time.Minute, sharp: true},
	{name: "disks copied", most: 1},
	{name: "maintenance", most: 2, long: 5 * time.Minute},
	{name: "master fails", most: 3, sharp: true},
	{name: "master fails, agents slow", most: 1, long: 12 * time.Minute},
	{name: "node crashes", most: 8, sharp: true},
	{name: "node crashes always", most: 2, long: 4 * time.Minute},
	{name: "executor lost", most: 4, sharp: true},
	{name: "strange task", most: 2},
	{name: "former life", most: 6, sharp: true},
	{name: "others reserve", most: 5, sharp: true},
	{name: "others leave", most: 3},
	{name: "repair", most: 4},
	{name: "messages lost", most: 2, long: 4 * time.Minute},
	{name: "Elasticsearch late", most: 2, long: 3 * time.Minute},
	{name: "Elasticsearch wrong", most: 2, long: 3 * time.Minute},
	{name: "Elasticsearch mute", most: 2, long: 3 * time.Minute},
}

// schedule draws what happens. Each seed has only some kinds of faults, some of
// them often: a mix of everything would hide what two of them do together.
func schedule(r *rand.Rand, s shape) []Item {
	var items []Item
	faulty := []float64{0.03, 0.1, 0.3, 0.6}[r.IntN(4)]
	sharp := []float64{0, 0.3, 0.8}[r.IntN(3)]
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
			if k.sharp && r.Float64() < sharp {
				it.On = moments[r.IntN(len(moments))]
			}
			items = append(items, it)
		}
	}
	// Something is there from the beginning, and may be changed while it starts.
	for range 1 + r.IntN(3) {
		items = append(items, Item{At: time.Duration(r.Int64N(int64(30 * time.Second))), Kind: "put", Seed: r.Uint64()})
	}
	slices.SortStableFunc(items, func(a, b Item) int { return int(a.At - b.At) })
	items = append(items, encore(r)...)
	for i := range items {
		items[i].N = i
	}
	return items
}

// encores are what may happen alone at the end. In the noise of everything else
// nothing shows that one of these is not looked after by itself.
var encores = []kind{
	{name: "agent forgets its id", long: 3 * time.Minute},
	{name: "agent forgets its id", long: 20 * time.Second},
	{name: "agent reboots", long: 3 * time.Minute},
	{name: "agent partitioned", long: 3 * time.Minute},
	{name: "agent drained", long: 3 * time.Minute},
	{name: "master fails"},
	{name: "crash"},
	{name: "executor lost"},
	{name: "delete"},
	{name: "destroy"},
}

func encore(r *rand.Rand) []Item {
	var items []Item
	for range r.IntN(4) {
		k := encores[r.IntN(len(encores))]
		it := Item{Kind: k.name, Encore: true, Seed: r.Uint64()}
		if k.long > 0 {
			it.For = time.Duration(r.Int64N(int64(k.long)))
		}
		items = append(items, it)
	}
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
