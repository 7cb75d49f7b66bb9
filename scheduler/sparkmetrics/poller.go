package sparkmetrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	v1 "github.com/berthdata/berth/api/v1"
)

const (
	// Interval is how often each driver is asked.
	Interval = 15 * time.Second
	// crowd is how many drivers are asked at once, patience how long one.
	crowd    = 16
	patience = 5 * time.Second
)

// Applications lists what runs; secrets may be in it, and are not looked at.
type Applications func(ctx context.Context) ([]v1.SparkView, error)

// Poller asks drivers in turn and keeps what they last said.
type Poller struct {
	list     Applications
	interval time.Duration
	client   *http.Client
	now      func() time.Time

	mu    sync.Mutex
	known map[string]*observed // by application id
	views []v1.SparkView       // of the last round
}

// observed is what one attempt's driver has said.
type observed struct {
	attempt int64
	at      *time.Time
	err     string
	streams []v1.SparkStream
	samples samples
}

// New makes a poller that has asked nobody; 0: every Interval.
func New(list Applications, interval time.Duration) *Poller {
	if interval == 0 {
		interval = Interval
	}
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	return &Poller{
		list: list, interval: interval, now: time.Now, known: map[string]*observed{},
		client: &http.Client{
			Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 1, MaxIdleConns: 256, IdleConnTimeout: 2 * interval},
			// A driver's word leads nowhere but to itself.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Run asks again and again until ctx ends, and forgets everything then: a Berth
// that does not lead tells nothing.
func (p *Poller) Run(ctx context.Context) {
	defer p.forget()
	tick := time.NewTicker(p.interval)
	defer tick.Stop()
	for {
		p.round(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *Poller) forget() {
	p.client.CloseIdleConnections()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.views, p.known = nil, map[string]*observed{}
}

// round asks every driver that can be asked, once.
func (p *Poller) round(ctx context.Context) {
	listing, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	views, err := p.list(listing)
	if err != nil {
		return // a Berth that does not lead has no applications
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(crowd)
	running := map[string]bool{}
	for _, v := range views {
		base, err := v.Status.UIAddress()
		if err != nil {
			continue
		}
		running[v.Status.AppID] = true
		o, kept := p.observedOf(v.Status)
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			streams, err := fetcher{p.client, base, v.Status.AppID}.streams(ctx, &kept)
			p.mu.Lock()
			defer p.mu.Unlock()
			if err != nil {
				o.err = fmt.Sprintf("the driver at %s does not answer as expected: %s", base.Host, reason(err))
				return nil
			}
			at := p.now()
			o.at, o.err, o.streams, o.samples = &at, "", streams, kept
			return nil
		})
	}
	_ = g.Wait() // no member fails
	p.mu.Lock()
	defer p.mu.Unlock()
	p.views = views
	for id := range p.known {
		if !running[id] {
			delete(p.known, id)
		}
	}
}

func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %s", patience)
	}
	return err.Error()
}

// observedOf is what is known of an attempt, with a copy of its samples.
func (p *Poller) observedOf(s v1.SparkStatus) (*observed, samples) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.known[s.AppID]
	if o == nil || o.attempt != s.Attempt {
		o = &observed{attempt: s.Attempt}
		p.known[s.AppID] = o
	}
	return o, o.samples.clone()
}

// SparkMetrics implements the API's port: what is known of an application that
// the caller has just read.
func (p *Poller) SparkMetrics(v v1.SparkView) v1.SparkMetrics {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.metrics(v)
}

func (p *Poller) metrics(v v1.SparkView) v1.SparkMetrics {
	out := v1.SparkMetrics{Name: v.Name, Executors: v.Status.Scale}
	if o := p.known[v.Status.AppID]; o != nil && o.attempt == v.Status.Attempt {
		out.ObservedAt, out.Error, out.Streams = o.at, o.err, o.streams
	}
	return out
}
