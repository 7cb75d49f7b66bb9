// Package elastic answers the core's questions to Elasticsearch clusters from
// 2.x to 9.x. It is an adapter: the vocabulary is in package observe, and no
// decision is taken here.
//
// An observation is complete or it is an observe.Failure. All its parts come
// from one node, whose state is the elected master's; they are read by forms
// that the master answers from its cluster state, so that neither a large
// cluster nor a hanging member makes them slow.
package elastic

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// Defaults and bounds of Options.
const (
	defaultHTTPTimeout   = 5 * time.Second
	defaultMaxConcurrent = 8
	defaultMaxResponse   = 32 << 20
	// budget bounds one Do, in units of HTTPTimeout, however many endpoints
	// there are; the next Do goes on where it stopped.
	budget = 3
	// maxClusters bounds the cache of clients.
	maxClusters = 1024
)

// Options of New. The zero value works.
type Options struct {
	// HTTPTimeout bounds each HTTP request; 0 = 5 s. One Do takes at most
	// three times as long.
	HTTPTimeout time.Duration
	// MaxConcurrent is how many clusters are asked at once; 0 = 8.
	MaxConcurrent int
	// MaxResponse is the largest body that is read, in bytes after
	// decompression; 0 = 32 MiB, which is some 300,000 shard copies.
	MaxResponse int64
	// Logger may be nil.
	Logger *zap.Logger
	// TLS is for https endpoints; nil = the system's roots.
	TLS *tls.Config
}

// Adapter asks clusters. It is safe for concurrent use; requests to one cluster
// run one after the other.
type Adapter struct {
	timeout     time.Duration
	maxResponse int64
	log         *zap.Logger
	rt          *http.Transport
	slots       *semaphore.Weighted

	mu       sync.Mutex
	clusters map[string]*cluster
	uses     uint64
}

// cluster is what is remembered of one cluster between requests. busy is a
// lock that can be given up on: whoever put a value in owns the other fields.
type cluster struct {
	busy      chan struct{}
	endpoints []string
	clients   []*endpoint
	next      int // where the next request starts

	// Guarded by Adapter.mu.
	users   int
	lastUse uint64
}

// New makes an adapter. Close ends its idle connections.
func New(o Options) *Adapter {
	if o.HTTPTimeout <= 0 {
		o.HTTPTimeout = defaultHTTPTimeout
	}
	if o.MaxConcurrent <= 0 {
		o.MaxConcurrent = defaultMaxConcurrent
	}
	if o.MaxResponse <= 0 {
		o.MaxResponse = defaultMaxResponse
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return &Adapter{
		timeout:     o.HTTPTimeout,
		maxResponse: o.MaxResponse,
		log:         o.Logger,
		slots:       semaphore.NewWeighted(int64(o.MaxConcurrent)),
		clusters:    map[string]*cluster{},
		// No proxy: nodes are reached directly, whatever the environment says.
		rt: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: min(o.HTTPTimeout, 2*time.Second), KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:        o.TLS,
			TLSHandshakeTimeout:    o.HTTPTimeout,
			MaxIdleConns:           256,
			MaxIdleConnsPerHost:    1,
			MaxConnsPerHost:        4,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// Close ends idle connections. Requests under way end by their own contexts.
func (a *Adapter) Close() { a.rt.CloseIdleConnections() }

// Forget drops what is remembered of a cluster that is gone.
func (a *Adapter) Forget(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.clusters[name]; c != nil && c.users == 0 {
		delete(a.clusters, name)
	}
}

// Do answers one request. It tries the endpoints in turn, beginning with
// another one each time, until one gives a complete answer. The error is an
// *observe.Failure, except that the caller's own ending of ctx is returned as
// that (errors.Is context.Canceled or context.DeadlineExceeded).
func (a *Adapter) Do(ctx context.Context, req observe.Request) (observe.Observation, error) {
	if !slices.Contains([]observe.Kind{observe.KindObserve, observe.KindAllocation, observe.KindExclude}, req.Kind) {
		return observe.Observation{}, fail(observe.Unreadable, "request of kind %q for cluster %s: this build does not know it", req.Kind, req.Cluster)
	}
	if len(req.Endpoints) == 0 {
		return observe.Observation{}, fail(observe.Unreachable, "cluster %s has no endpoint yet", req.Cluster)
	}
	c := a.acquire(req.Cluster)
	defer a.release(c)
	// The cluster's turn comes before the common slot: waiting for a slow
	// cluster must not take a slot from the others.
	select {
	case c.busy <- struct{}{}:
		defer func() { <-c.busy }()
	case <-ctx.Done():
		return observe.Observation{}, fmt.Errorf("cluster %s: waiting for its previous request: %w", req.Cluster, context.Cause(ctx))
	}
	if err := a.slots.Acquire(ctx, 1); err != nil {
		return observe.Observation{}, fmt.Errorf("cluster %s: waiting for a free slot: %w", req.Cluster, err)
	}
	defer a.slots.Release(1)

	if err := c.use(req.Endpoints, a.rt); err != nil {
		return observe.Observation{}, err
	}
	return a.tryAll(ctx, c, req)
}

// tryAll asks endpoint after endpoint, until one answers or the time is up.
func (a *Adapter) tryAll(ctx context.Context, c *cluster, req observe.Request) (observe.Observation, error) {
	whole, cancel := context.WithTimeout(ctx, budget*a.timeout)
	defer cancel()
	var failures []*observe.Failure
	for range c.clients {
		ep := c.clients[c.next]
		c.next = (c.next + 1) % len(c.clients)
		r := reader{ep: ep, timeout: a.timeout, maxResponse: a.maxResponse, req: req}
		obs, err := r.answer(whole)
		if err == nil {
			return obs, nil
		}
		if ctx.Err() != nil {
			return observe.Observation{}, fmt.Errorf("cluster %s: %w", req.Cluster, context.Cause(ctx))
		}
		f := classify(err)
		f.Message = ep.base.Host + ": " + f.Message
		a.log.Debug("elasticsearch endpoint failed", zap.String("cluster", req.Cluster),
			zap.String("endpoint", ep.base.Host), zap.String("class", string(f.Class)), zap.String("reason", f.Message))
		failures = append(failures, f)
		if whole.Err() != nil {
			break
		}
	}
	return observe.Observation{}, summarize(req.Cluster, failures, len(c.clients))
}

// use makes clients for the endpoints, or keeps those that it has.
func (c *cluster) use(endpoints []string, rt http.RoundTripper) error {
	if slices.Equal(c.endpoints, endpoints) {
		return nil
	}
	clients := make([]*endpoint, len(endpoints))
	for i, raw := range endpoints {
		// A node keeps its client while others come and go.
		if j := slices.Index(c.endpoints, raw); j >= 0 {
			clients[i] = c.clients[j]
			continue
		}
		ep, err := newEndpoint(raw, rt)
		if err != nil {
			return fail(observe.Unreachable, "endpoint %d of %d: %v", i+1, len(endpoints), err)
		}
		clients[i] = ep
	}
	c.endpoints, c.clients = slices.Clone(endpoints), clients
	c.next %= len(clients)
	return nil
}

// acquire finds or makes the entry of a cluster. Above maxClusters the entry
// that was unused for longest goes; one in use never does.
func (a *Adapter) acquire(name string) *cluster {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.clusters[name]
	if c == nil {
		if len(a.clusters) >= maxClusters {
			a.evict()
		}
		c = &cluster{busy: make(chan struct{}, 1)}
		a.clusters[name] = c
	}
	a.uses++
	c.users++
	c.lastUse = a.uses
	return c
}

func (a *Adapter) release(c *cluster) {
	a.mu.Lock()
	c.users--
	a.mu.Unlock()
}

func (a *Adapter) evict() {
	oldest := ""
	for name, c := range a.clusters {
		if c.users == 0 && (oldest == "" || c.lastUse < a.clusters[oldest].lastUse) {
			oldest = name
		}
	}
	delete(a.clusters, oldest)
}
