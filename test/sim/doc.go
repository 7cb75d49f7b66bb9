// Package sim runs the real scheduler core against a model of everything around
// it, under a virtual clock: one seed decides the shapes of machines and
// clusters, what users ask for, what breaks and when, and every delay.
//
//	clients ──▶ process (the real scheduler.Core, a modelled runner)
//	              │ writes            │ calls, after the writes are durable
//	              ▼                   ▼
//	            store            mesosmodel.Model ── nodes (a model of Elasticsearch)
//	              ▲                   ▲
//	              └──── checkers ─────┘   look at the store and at the model, never at the core
//
// A run has two phases: in the first one faults happen and the safety checkers
// watch; then everything heals, and within a budget of time the cluster must
// become exactly what the last durable specs ask for, with nothing left over.
//
// A run is a pure function of its seed and its schedule of items. When it fails,
// items are left out as long as it still fails in the same way (Shrink).
package sim
