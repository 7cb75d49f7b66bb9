package mesos

import (
	"time"

	mesosv1 "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// Event is what the driver tells its handler: Subscribed, Disconnected,
// Received or CallFailed.
type Event interface{ isEvent() }

// Handler receives all events, in order, from one goroutine: that of Run. It
// may block to push back (the watchdog does not count that time as silence),
// but it must return when Run's context ends.
type Handler func(Event)

// Subscribed opens a subscription. Calls may be enqueued from now on, under its
// StreamID. All offers of earlier subscriptions are void (Mesos rule 26).
type Subscribed struct {
	// FrameworkID must be durable before any later event is acted upon (Mesos
	// rule 8). The driver itself never subscribes without an id again.
	FrameworkID string
	// StreamID names this subscription; each one has a new one (Mesos rule 3).
	StreamID          string
	MasterInfo        *mesosv1.MasterInfo // nil if the master did not say
	HeartbeatInterval time.Duration
	// Master is the base URL of the leading master, "http://10.0.0.1:5050".
	Master string
}

// Disconnected ends the subscription of the last Subscribed. Unless Run
// returns, it subscribes again by itself.
type Disconnected struct {
	StreamID string
	Reason   error
}

// Received is an event of the master: every type but SUBSCRIBED and HEARTBEAT.
// An ERROR is always followed by the end of Run; it may come without a
// Subscribed before it.
type Received struct {
	StreamID string
	Event    *scheduler.Event
}

// CallFailed says that an enqueued call was not accepted by the master.
type CallFailed struct {
	StreamID string
	Call     *scheduler.Call
	// Err matches one of ErrNotSubscribed, ErrStale, ErrRejected,
	// ErrUnauthorized, ErrUnavailable.
	Err error
	// Uncertain: the call may have reached the master, only the answer is
	// missing. Otherwise it surely had no effect.
	Uncertain bool
}

func (Subscribed) isEvent()   {}
func (Disconnected) isEvent() {}
func (Received) isEvent()     {}
func (CallFailed) isEvent()   {}

// Hooks are told what happens, for metrics. Each may be nil; none may block.
// They are called from several goroutines.
type Hooks struct {
	// Subscribed and Disconnected bracket a subscription.
	Subscribed   func()
	Disconnected func()
	// ConnectFailed: an attempt to subscribe failed before SUBSCRIBED.
	ConnectFailed func(err error)
	// Event: a frame of so many bytes was read, HEARTBEAT included.
	Event func(eventType string, bytes int)
	// Call: a call was answered, or not, after that time.
	Call func(callType string, took time.Duration, err error)
}
