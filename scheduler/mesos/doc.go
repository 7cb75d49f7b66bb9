// Package mesos is the driver: it keeps one subscription to the leading Mesos
// master over the v1 scheduler HTTP API, delivers what the master says as
// ordered events, and sends calls in order. It decides nothing: what to accept,
// acknowledge or reconcile is the core's business.
//
//	        Enqueue(stream, call)                 Handler(Event)
//	                │                                   ▲
//	┌───────────────▼─────────────┐   ┌─────────────────┴───────────────┐
//	│ sender: one goroutine, one  │   │ Run: one goroutine delivers all │
//	│ bounded queue per stream    │──▶│ events; watchdog and backoff    │
//	└───────────────┬─────────────┘   └─────────────────▲───────────────┘
//	                │ POST, Mesos-Stream-Id             │ RecordIO frames
//	                ▼                                   │
//	          leading master  ──────────────────────────┘
//
// The order of events is fixed: Subscribed, any number of Received and
// CallFailed, then Disconnected, then a CallFailed for every call of that
// subscription which had not been answered, then perhaps the next Subscribed.
// A call is bound to the subscription it was made for and never leaves on
// another one.
//
// Only message structs and codecs come from mesos-go: its client caps event
// frames at 4 MiB, knows no heartbeat watchdog and misreads a stale stream id.
// "Mesos rule N" in comments names a rule of the v1 API; they are collected in
// docs/mesos-rules.md.
package mesos
