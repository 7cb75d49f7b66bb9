// Package sparkhub stands between the long polls of Spark drivers and the core. It
// keeps what each driver is to be told, numbers it, and holds the drivers' syncs
// until there is news (docs/spark-protocol.md). A sync reaches the core only when
// it says something new; heartbeats are counted here.
//
//	core ── SparkNotice ──▶ Hub ◀── Sync ── driver
//	core ◀─ SparkSynced, SparkHeartbeat ─┘
//
// A Hub lives for one term of leadership, whose epoch numbers its events.
package sparkhub

import (
	"context"
	"sync"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler"
)

// Bounds of a hub.
const (
	// maxEvents wait for one driver: the end of every executor that a sync may
	// name, twice over. Beyond, the oldest go, and the driver asks for everything.
	maxEvents = 20_000
	// maxAnswer is how many events one answer has.
	maxAnswer = 1000
	// silentAfter is how long a driver may be quiet between its syncs, each of which
	// may be held for 30 s; lookEvery is how often that is looked at.
	silentAfter = time.Minute
	lookEvery   = 5 * time.Second
)

// Core is the runner of the term.
type Core interface {
	Reply(ctx context.Context, ev func(scheduler.ReplyID) scheduler.Event) (scheduler.Reply, error)
	Post(ctx context.Context, ev scheduler.Event) error
}

// Hub is safe for concurrent use.
type Hub struct {
	now   func() time.Time
	every time.Duration // between looks for silent drivers

	mu     sync.Mutex
	book   *Book
	held   map[string]*poll // the newest sync of each application
	closed chan struct{}
}

// poll is one sync under way.
type poll struct{ end context.CancelFunc }

// New makes the hub of a term. Run must be called, or Close.
func New(epoch int64, now func() time.Time) *Hub {
	return &Hub{now: now, every: lookEvery, book: NewBook(epoch), held: map[string]*poll{}, closed: make(chan struct{})}
}

// Notify takes what the core decided, once it is durable, in the order of its
// decisions.
func (h *Hub) Notify(notices []scheduler.SparkNotice) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	for i := range notices {
		h.book.Take(notices[i], now)
	}
}

// Close ends every held sync; further ones are answered likewise.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.closed:
	default:
		close(h.closed)
	}
}

// Sync answers a driver's long poll: at once when there is news, otherwise after
// s.WaitMs, and with what it has when ctx ends or a newer sync of the application
// comes. The error is a problem of the protocol, or the core's.
func (h *Hub) Sync(ctx context.Context, core Core, appID string, s v1.SparkSync) (v1.SparkSynced, error) {
	poll, done := h.begin(ctx, appID)
	defer done()
	h.mu.Lock()
	after, tell, restate := h.book.Compare(appID, s)
	h.mu.Unlock()
	if tell {
		if _, err := core.Reply(ctx, func(id scheduler.ReplyID) scheduler.Event {
			return scheduler.SparkSynced{Reply: id, AppID: appID, Sync: s, Restate: restate}
		}); err != nil {
			return v1.SparkSynced{}, err
		}
		h.mu.Lock()
		h.book.Told(appID, s, h.now())
		h.mu.Unlock()
	}
	wait := time.NewTimer(time.Duration(s.WaitMs) * time.Millisecond)
	defer wait.Stop()
	for {
		h.mu.Lock()
		out, news, changed, err := h.book.Look(appID, s, after)
		h.mu.Unlock()
		if err != nil || news {
			return out, err
		}
		select {
		case <-changed:
		case <-wait.C:
			return out, nil
		case <-poll.Done(): // also when ctx has ended
			return out, nil
		case <-h.closed:
			return v1.SparkSynced{}, v1.ProblemNotLeader()
		}
	}
}

// begin notes a sync as the application's newest and ends the one before it.
func (h *Hub) begin(ctx context.Context, appID string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	p := &poll{end: cancel}
	h.mu.Lock()
	defer h.mu.Unlock()
	if before := h.held[appID]; before != nil {
		before.end()
	}
	h.held[appID] = p
	return ctx, func() {
		cancel()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.held[appID] == p {
			delete(h.held, appID)
		}
		h.book.Heard(appID, h.now())
	}
}

// Run tells the core of drivers that are silent, and of those that are not any
// more, until ctx ends; then it closes the hub.
func (h *Hub) Run(ctx context.Context, core Core) {
	defer h.Close()
	tick := time.NewTicker(h.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, ev := range h.silence() {
				if core.Post(ctx, ev) != nil {
					return
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

func (h *Hub) silence() []scheduler.SparkHeartbeat {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	for appID := range h.held {
		h.book.Heard(appID, now)
	}
	return h.book.Silence(now)
}
