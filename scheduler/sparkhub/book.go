package sparkhub

import (
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler"
)

// Book is what a Hub knows: for each application how things are and what its driver
// has not heard yet. It belongs to one goroutine, or is guarded by its owner.
type Book struct {
	epoch int64
	apps  map[string]*app
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

// NewBook makes the book of a term, whose epoch numbers the events.
func NewBook(epoch int64) *Book { return &Book{epoch: epoch, apps: map[string]*app{}} }

// Take notes what the core decided.
func (b *Book) Take(n scheduler.SparkNotice, now time.Time) {
	a := b.apps[n.AppID]
	if a == nil {
		a = &app{changed: make(chan struct{}), heard: now}
		b.apps[n.AppID] = a
	}
	if n.Gone {
		delete(b.apps, n.AppID)
	}
	if n.Attempt != a.Attempt || !n.Registered {
		// What was to be told to another driver.
		a.events, a.said, a.silent, a.heard = nil, "", false, now
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

// Compare says what of a sync the core must hear, and after which event its answer
// begins. Restate: the driver knows no events of this term, or wants them all again.
func (b *Book) Compare(appID string, s v1.SparkSync) (after int64, tell, restate bool) {
	a := b.apps[appID]
	switch {
	case a == nil || a.Attempt != s.AttemptID:
		return 0, true, s.Epoch != b.epoch // the core says what is wrong with it
	case s.Epoch != b.epoch:
		return a.seq, true, true
	}
	// What the driver has handled need not be kept.
	a.events = slices.DeleteFunc(a.events, func(ev v1.SparkDriverEvent) bool { return ev.Seq <= s.After })
	return s.After, a.said != said(s) || a.silent, false
}

// Told notes that the core has heard a sync.
func (b *Book) Told(appID string, s v1.SparkSync, now time.Time) {
	if a := b.apps[appID]; a != nil && a.Attempt == s.AttemptID {
		a.said, a.silent, a.heard = said(s), false, now
	}
}

// Heard notes that a driver calls.
func (b *Book) Heard(appID string, now time.Time) {
	if a := b.apps[appID]; a != nil {
		a.heard = now
	}
}

// said is what of a sync the core looks at.
func said(s v1.SparkSync) string {
	var b strings.Builder
	for _, list := range [][]string{s.RegisteredExecutors, s.Killing} {
		for _, id := range slices.Sorted(slices.Values(list)) {
			b.WriteString(id)
			b.WriteByte(' ')
		}
		b.WriteByte('/')
	}
	b.WriteString(strconv.FormatInt(s.MaxExecutorID, 10))
	return b.String()
}

// Look is the answer to a sync as things are, whether it has news for the driver,
// and what closes when things change. The error is a problem of the protocol.
func (b *Book) Look(appID string, s v1.SparkSync, after int64) (out v1.SparkSynced, news bool, changed <-chan struct{}, err error) {
	a := b.apps[appID]
	switch {
	case a == nil:
		return out, false, nil, v1.ProblemSparkUnknown(appID)
	case a.Attempt != s.AttemptID:
		return out, false, nil, v1.ProblemSparkSuperseded(appID, s.AttemptID, a.Attempt)
	case a.Over != nil:
		return out, false, nil, a.Over
	case !a.Registered:
		return out, false, nil, v1.ProblemSparkUnknown(appID)
	}
	out = v1.SparkSynced{
		Protocol: v1.SparkProtocol, Epoch: b.epoch, Events: []v1.SparkDriverEvent{}, Bounds: a.Bounds, TargetGeneration: a.TargetGeneration,
	}
	for _, ev := range a.events {
		if ev.Seq > after && len(out.Events) < maxAnswer {
			out.Events = append(out.Events, ev)
		}
	}
	news = len(out.Events) > 0 || out.Bounds.Revision != s.BoundsRevision || out.TargetGeneration < s.Generation
	return out, news, a.changed, nil
}

// Silence lists the drivers that have become silent, or are so no more.
func (b *Book) Silence(now time.Time) []scheduler.SparkHeartbeat {
	var out []scheduler.SparkHeartbeat
	for appID, a := range b.apps {
		listens := a.Registered && a.Over == nil
		silent := listens && now.Sub(a.heard) >= silentAfter
		if silent == a.silent {
			continue
		}
		a.silent = silent
		ev := scheduler.SparkHeartbeat{AppID: appID, Attempt: a.Attempt}
		if silent {
			ev.SilentSince = a.heard
		}
		if listens {
			out = append(out, ev)
		}
	}
	slices.SortFunc(out, func(x, y scheduler.SparkHeartbeat) int { return strings.Compare(x.AppID, y.AppID) })
	return out
}
