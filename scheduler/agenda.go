package scheduler

import (
	"container/heap"
	"time"
)

// agenda says when each slot and cluster next needs a look, so that a step
// costs by what is due, not by how much there is.
type agenda struct {
	heap  agendaHeap
	items map[string]*agendaItem
}

type agendaItem struct {
	key   string
	at    time.Time
	index int
}

func newAgenda() *agenda { return &agenda{items: map[string]*agendaItem{}} }

// set puts key at a time, or takes it off with the zero time.
func (a *agenda) set(key string, at time.Time) {
	it := a.items[key]
	switch {
	case it == nil && at.IsZero():
	case it == nil:
		it = &agendaItem{key: key, at: at}
		a.items[key] = it
		heap.Push(&a.heap, it)
	case at.IsZero():
		heap.Remove(&a.heap, it.index)
		delete(a.items, key)
	case !it.at.Equal(at):
		it.at = at
		heap.Fix(&a.heap, it.index)
	}
}

// due takes off and returns the keys whose time has come, earliest first and
// then by key.
func (a *agenda) due(now time.Time) []string {
	var keys []string
	for len(a.heap) > 0 && !a.heap[0].at.After(now) {
		it := heap.Pop(&a.heap).(*agendaItem)
		delete(a.items, it.key)
		keys = append(keys, it.key)
	}
	return keys
}

// next is the earliest time on the agenda, or the zero time.
func (a *agenda) next() time.Time {
	if len(a.heap) == 0 {
		return time.Time{}
	}
	return a.heap[0].at
}

// agendaHeap implements heap.Interface over (at, key).
type agendaHeap []*agendaItem

func (h agendaHeap) Len() int { return len(h) }
func (h agendaHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].key < h[j].key
}
func (h agendaHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *agendaHeap) Push(x any) {
	it := x.(*agendaItem)
	it.index = len(*h)
	*h = append(*h, it)
}
func (h *agendaHeap) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return it
}
