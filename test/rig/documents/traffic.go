package documents

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// Traffic is what a driver of an index counted.
type Traffic struct {
	// Written are acknowledged writes, each of a document of its own.
	Written, FailedWrites int
	Searches              int
	// Repeated searches were between their two phases on a node when it was stopped:
	// an application asks once more, and so does the driver.
	Repeated       int
	FailedSearches []error // bounded
}

// maxFailures bounds the errors that are kept of one driver.
const maxFailures = 20

// Driver writes and searches an index without pause, as an application would:
// through a client that knows every node and goes on to the next one.
type Driver struct {
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	traffic Traffic
}

// Drive starts to write documents with the ids first, first+1, … and to search.
// A write that failed may have happened, so its id is written again.
func (x *Index) Drive(ctx context.Context, first int) *Driver {
	ctx, stop := context.WithCancel(ctx)
	d := &Driver{stop: stop}
	d.running.Go(func() {
		for id := first; ctx.Err() == nil; {
			err := x.Write(ctx, id, 1)
			if ctx.Err() != nil && err != nil {
				return // cut off by the end
			}
			d.mu.Lock()
			if err == nil {
				d.traffic.Written++
				id++
			} else {
				d.traffic.FailedWrites++
			}
			d.mu.Unlock()
		}
	})
	d.running.Go(func() {
		for ctx.Err() == nil {
			err := x.search(ctx)
			repeated := errors.Is(err, errContextLost)
			if repeated {
				err = x.search(ctx)
			}
			if ctx.Err() != nil {
				return
			}
			d.mu.Lock()
			d.traffic.Searches++
			if repeated {
				d.traffic.Repeated++
			}
			if err != nil && len(d.traffic.FailedSearches) < maxFailures {
				d.traffic.FailedSearches = append(d.traffic.FailedSearches, err)
			}
			d.mu.Unlock()
		}
	})
	return d
}

// Stop ends the driver and returns what it counted. The write under way may or
// may not have happened: it is not counted.
func (d *Driver) Stop() Traffic {
	d.stop()
	d.running.Wait()
	return d.traffic
}

// search demands an answer of every shard.
func (x *Index) search(ctx context.Context) error {
	allow := false
	r, err := x.client.Search(x.client.Search.WithContext(ctx), x.client.Search.WithIndex(x.name),
		x.client.Search.WithAllowPartialSearchResults(allow),
		x.client.Search.WithBody(strings.NewReader(`{"size":1,"query":{"match":{"text":"document"}}}`)))
	return read(r, err, nil)
}

func (t Traffic) String() string {
	return fmt.Sprintf("%d writes, %d of them failed; %d searches, %d of them repeated, %d failed",
		t.Written+t.FailedWrites, t.FailedWrites, t.Searches, t.Repeated, len(t.FailedSearches))
}
