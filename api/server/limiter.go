package server

import (
	"container/list"
	"sync"

	"golang.org/x/time/rate"
)

// clientLimiter holds one token bucket a client, for the clients seen last.
type clientLimiter struct {
	rate  rate.Limit
	burst int
	most  int

	mu      sync.Mutex
	recent  *list.List // of *clientBucket, the latest first
	buckets map[string]*list.Element
}

type clientBucket struct {
	key     string
	limiter *rate.Limiter
}

func newClientLimiter(l Limits) *clientLimiter {
	return &clientLimiter{
		rate: rate.Limit(l.Rate), burst: l.Burst, most: max(l.Clients, 1),
		recent: list.New(), buckets: map[string]*list.Element{},
	}
}

// allow takes one request from the client's bucket. A client that was forgotten
// starts with a full one.
func (c *clientLimiter) allow(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, known := c.buckets[key]; known {
		c.recent.MoveToFront(e)
		return e.Value.(*clientBucket).limiter.Allow()
	}
	if c.recent.Len() >= c.most {
		oldest := c.recent.Back()
		delete(c.buckets, c.recent.Remove(oldest).(*clientBucket).key)
	}
	b := &clientBucket{key: key, limiter: rate.NewLimiter(c.rate, c.burst)}
	c.buckets[key] = c.recent.PushFront(b)
	return b.limiter.Allow()
}
