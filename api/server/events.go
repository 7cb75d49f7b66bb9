package server

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"

	v1 "github.com/berthdata/berth/api/v1"
)

// Errors that end a subscription.
var (
	// ErrSlowConsumer: the reader fell further behind than the history reaches.
	ErrSlowConsumer = errors.New("the reader is too slow for the event stream")
	// ErrHubClosed: the hub was closed; nothing more will come.
	ErrHubClosed = errors.New("the event stream has ended")
)

// HistoryGoneError says that events after the wanted id are not kept any more,
// or that the id is from another history.
type HistoryGoneError struct {
	After, Oldest, Newest int64
}

func (e *HistoryGoneError) Error() string {
	if e.Newest == 0 {
		return fmt.Sprintf("events after id %d are not known here: no event is kept; start again without an id", e.After)
	}
	return fmt.Sprintf("events after id %d are not kept any more: the history holds ids %d to %d; start again without an id", e.After, e.Oldest, e.Newest)
}

// EventHub is an EventSource that keeps the newest events in memory. A reader
// is only a place in that history, so a slow one costs nothing and is cut off
// when the history has overtaken it. It is safe for concurrent use.
type EventHub struct {
	mu     sync.Mutex
	ring   []v1.Event
	start  int // index of the oldest event
	count  int // events kept
	newest int64
	// floor is the newest id known to exist that is not kept; a reader cannot
	// start below it. evicted is the newest id that was kept and is not any
	// more; a reader below it has been overtaken. They differ in a fresh hub,
	// whose readers wait for a first event of any id.
	floor, evicted int64
	closed         bool
	wake           chan struct{} // closed and replaced at each change
}

// NewEventHub keeps the newest history events (at least one).
func NewEventHub(history int) *EventHub {
	return &EventHub{ring: make([]v1.Event, max(history, 1)), wake: make(chan struct{})}
}

// Resume tells a fresh hub the newest id that an earlier leader published, so
// that readers who saw that one can go on without a gap. It is to be called
// before the first Publish and does nothing after it.
func (h *EventHub) Resume(newest int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count == 0 && h.newest == 0 {
		h.floor, h.newest = newest, newest
	}
}

// Publish appends an event; it never blocks. IDs are the publisher's and rise
// strictly: an event whose id is not above the newest one is a repetition (after
// a retried commit) and is ignored.
func (h *EventHub) Publish(e v1.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || e.ID <= h.newest {
		return
	}
	if h.count == 0 && h.newest == 0 {
		// Whatever came before the first event was never seen here.
		h.floor = e.ID - 1
	}
	if h.count == len(h.ring) {
		h.evicted = h.ring[h.start].ID
		h.floor = h.evicted
		h.ring[h.start] = e
		h.start = (h.start + 1) % len(h.ring)
	} else {
		h.ring[(h.start+h.count)%len(h.ring)] = e
		h.count++
	}
	h.newest = e.ID
	h.signal()
}

// Close ends every subscription once it has read what is kept.
func (h *EventHub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		h.signal()
	}
}

func (h *EventHub) signal() {
	close(h.wake)
	h.wake = make(chan struct{})
}

// Subscribe implements EventSource.
func (h *EventHub) Subscribe(_ context.Context, after int64) (Subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case after < 0:
		return &hubReader{hub: h, cursor: h.newest}, nil
	case after == 0:
		return &hubReader{hub: h, cursor: h.floor}, nil
	case after < h.floor, after > h.newest:
		oldest := int64(0)
		if h.count > 0 {
			oldest = h.ring[h.start].ID
		}
		return nil, &HistoryGoneError{After: after, Oldest: oldest, Newest: h.newest}
	}
	return &hubReader{hub: h, cursor: after}, nil
}

type hubReader struct {
	hub    *EventHub
	cursor int64 // id of the last event delivered
}

func (r *hubReader) Position() int64 { return r.cursor }

func (r *hubReader) Next(ctx context.Context) (v1.Event, error) {
	for {
		e, wait, err := r.poll()
		if err != nil {
			return v1.Event{}, err
		}
		if wait == nil {
			r.cursor = e.ID
			return e, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return v1.Event{}, ctx.Err()
		}
	}
}

// poll returns the event after the cursor, or the channel that closes when
// there may be one.
func (r *hubReader) poll() (v1.Event, <-chan struct{}, error) {
	h := r.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count > 0 && r.cursor < h.newest {
		if r.cursor < h.evicted {
			return v1.Event{}, nil, ErrSlowConsumer
		}
		i := sort.Search(h.count, func(i int) bool { return h.ring[(h.start+i)%len(h.ring)].ID > r.cursor })
		return h.ring[(h.start+i)%len(h.ring)], nil, nil
	}
	if h.closed {
		return v1.Event{}, nil, ErrHubClosed
	}
	return v1.Event{}, h.wake, nil
}
