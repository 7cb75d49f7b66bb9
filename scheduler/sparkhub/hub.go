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
	"slices"
	"strconv"
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
	epoch int64
	now   func() time.Time
	every time.Duration // between looks for silent drivers

	mu     sync.Mutex
	apps   map[string]*app
	held   map[string]*poll // the newest sync of each application
	closed chan struct{}
}

// app is one application as the core last told of it.
type app struct {
	scheduler.SparkStanding
	events []v1.SparkDriverEvent // rising by one
	seq    int64                 // of the newest
	// changed closes with the next change.
	changed chan struct{}
	// said is what the driver's last sync told the core.
	said string
	// heard is when the driver last called, silent whether the core was told that
	// this is long ago.
	heard  time.Time
	silent bool
}

// poll is one sync under way.
type poll struct{ end context.CancelFunc }

// New makes the hub of a term. Run must be called, or Close.
func New(epoch int64, now func() time.Time) *Hub {
	return &Hub{epoch: epoch, now: now, every: lookEvery, apps: map[string]*app{}, held: map[string]*poll{}, closed: make(chan struct{})}
}

// Notify takes what the core decided, once it is durable, in the order of its
// decisions.
func (h *Hub) Notify(notices []scheduler.SparkNotice) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range notices {
		h.take(&notices[i])
	}
}

func (h *Hub) take(n *scheduler.SparkNotice) {
	a := h.apps[n.AppID]
	if a == nil {
		a = &app{changed: make(chan struct{}), heard: h.now()}
		h.apps[n.AppID] = a
	}
	if n.Gone {
		delete(h.apps, n.AppID)
	}
	if n.Attempt != a.Attempt || !n.Registered {
		// What was to be told to another driver, or another of its contexts.
		a.events, a.said, a.silent = nil, "", false
		a.heard = h.now()
	}
	a.SparkStanding = n.SparkStanding
	for _, ev := range n.Events {
		a.seq++
		ev.Seq = a.seq
		a.events = append(a.events, ev)
	}
	if over := len(a.events) - maxEvents; over > 0 {
		a.events = a.events[over:]
	}
	close(a.changed)
	a.changed = make(chan struct{})
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
	after := s.After
	from, tell, restate := h.compare(appID, s)
	if restate {
		after = from
	}
	if tell {
		if _, err := core.Reply(ctx, func(id scheduler.ReplyID) scheduler.Event {
			return scheduler.SparkSynced{Reply: id, AppID: appID, Sync: s, Restate: restate}
		}); err != nil {
			return v1.SparkSynced{}, err
		}
		h.told(appID, s)
	}
	wait := time.NewTimer(time.Duration(s.WaitMs) * time.Millisecond)
	defer wait.Stop()
	for {
		out, changed, err := h.look(appID, s, after)
		if err != nil {
			return v1.SparkSynced{}, err
		}
		if len(out.Events) > 0 || out.Bounds.Revision != s.BoundsRevision || out.TargetGeneration < s.Generation {
			return out, nil
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
		if a := h.apps[appID]; a != nil {
			a.heard = h.now()
		}
	}
}

// compare says whether a sync tells the core something, whether what is true is to
// be told anew, and after which event that begins.
func (h *Hub) compare(appID string, s v1.SparkSync) (from int64, tell, restate bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.apps[appID]
	if a == nil || a.Attempt != s.AttemptID {
		return 0, true, s.Epoch != h.epoch
	}
	if s.Epoch == h.epoch {
		// What the driver has handled need not be kept.
		a.events = slices.DeleteFunc(a.events, func(ev v1.SparkDriverEvent) bool { return ev.Seq <= s.After })
		return a.seq, a.said != said(s) || a.silent, false
	}
	return a.seq, true, true
}

// told notes what the core was told.
func (h *Hub) told(appID string, s v1.SparkSync) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a := h.apps[appID]; a != nil && a.Attempt == s.AttemptID {
		a.said, a.silent, a.heard = said(s), false, h.now()
	}
}

// said is what of a sync the core looks at.
func said(s v1.SparkSync) string {
	var b []byte
	for _, list := range [][]string{s.RegisteredExecutors, s.Killing} {
		list = slices.Sorted(slices.Values(list))
		for _, id := range list {
			b = append(append(b, id...), ' ')
		}
		b = append(b, '/')
	}
	return string(strconv.AppendInt(b, s.MaxExecutorID, 10))
}

// look is the answer as things are now, and what closes when they change.
func (h *Hub) look(appID string, s v1.SparkSync, after int64) (v1.SparkSynced, <-chan struct{}, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.apps[appID]
	switch {
	case a == nil:
		return v1.SparkSynced{}, nil, v1.ProblemSparkUnknown(appID)
	case a.Attempt != s.AttemptID:
		return v1.SparkSynced{}, nil, v1.ProblemSparkSuperseded(appID, s.AttemptID, a.Attempt)
	case a.Over != nil:
		return v1.SparkSynced{}, nil, a.Over
	case !a.Registered:
		return v1.SparkSynced{}, nil, v1.ProblemSparkUnknown(appID)
	}
	out := v1.SparkSynced{
		Protocol: v1.SparkProtocol, Epoch: h.epoch, Events: []v1.SparkDriverEvent{}, Bounds: a.Bounds, TargetGeneration: a.TargetGeneration,
	}
	for _, ev := range a.events {
		if ev.Seq > after && len(out.Events) < maxAnswer {
			out.Events = append(out.Events, ev)
		}
	}
	return out, a.changed, nil
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

// silence lists the drivers that have become silent, or are so no more.
func (h *Hub) silence() []scheduler.SparkHeartbeat {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []scheduler.SparkHeartbeat
	now := h.now()
	for appID, a := range h.apps {
		if h.held[appID] != nil {
			a.heard = now
		}
		silent := a.Registered && a.Over == nil && now.Sub(a.heard) >= silentAfter
		if silent == a.silent {
			continue
		}
		a.silent = silent
		ev := scheduler.SparkHeartbeat{AppID: appID, Attempt: a.Attempt}
		if silent {
			ev.SilentSince = a.heard
		}
		if a.Registered && a.Over == nil {
			out = append(out, ev)
		}
	}
	return out
}
