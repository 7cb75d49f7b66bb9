package sim

import (
	"container/heap"
	"time"
)

// queue holds what happens later, by time and then by order of asking.
type queue struct {
	items queueHeap
	seq   int64
}

type queued struct {
	at  time.Time
	seq int64
	do  func()
}

func (q *queue) add(at time.Time, do func()) {
	q.seq++
	heap.Push(&q.items, queued{at: at, seq: q.seq, do: do})
}

func (q *queue) next() (time.Time, bool) {
	if len(q.items) == 0 {
		return time.Time{}, false
	}
	return q.items[0].at, true
}

func (q *queue) pop() func() { return heap.Pop(&q.items).(queued).do }

type queueHeap []queued

func (h queueHeap) Len() int { return len(h) }
func (h queueHeap) Less(i, j int) bool {
	if c := h[i].at.Compare(h[j].at); c != 0 {
		return c < 0
	}
	return h[i].seq < h[j].seq
}
func (h queueHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *queueHeap) Push(x any)   { *h = append(*h, x.(queued)) }
func (h *queueHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = queued{}
	*h = old[:len(old)-1]
	return t
}
