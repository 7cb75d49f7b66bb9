package mesos

import (
	"context"
	"net/url"
	"sync"
)

// leaderSource says which master to talk to.
type leaderSource interface {
	// run watches for changes until ctx ends.
	run(ctx context.Context)
	// next returns the master to try next. It may block until one is known.
	// changed, if not nil, closes when another master leads than the one
	// returned.
	next(ctx context.Context) (base *url.URL, changed <-chan struct{}, err error)
	// prefer tells that base answered as the leader.
	prefer(base *url.URL)
	// candidates returns masters for a call beside the subscription, best
	// first; it may block like next.
	candidates(ctx context.Context) ([]*url.URL, error)
}

// urlList is a fixed list: the masters point to their leader themselves.
type urlList struct {
	urls []*url.URL

	mu        sync.Mutex
	turn      int
	preferred *url.URL
}

func (l *urlList) run(ctx context.Context) { <-ctx.Done() }

// next tries the last known leader once, then goes round the list.
func (l *urlList) next(ctx context.Context) (*url.URL, <-chan struct{}, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if u := l.preferred; u != nil {
		l.preferred = nil
		return u, nil, nil
	}
	u := l.urls[l.turn%len(l.urls)]
	l.turn = (l.turn + 1) % len(l.urls)
	return u, nil, nil
}

func (l *urlList) prefer(base *url.URL) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.preferred = base
}

func (l *urlList) candidates(context.Context) ([]*url.URL, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*url.URL
	if l.preferred != nil {
		all = append(all, l.preferred)
	}
	return append(all, l.urls...), nil
}
