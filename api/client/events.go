package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	v1 "github.com/berthdata/berth/api/v1"
)

// EventOptions say which events to read.
type EventOptions struct {
	// After is the id to start behind; 0: all that are kept.
	After int64
	// Latest leaves out the events that are kept already.
	Latest bool
	// Cluster, when not "", is the only cluster whose events are read.
	Cluster string
	// Once ends with the last event that is kept, and without an error, instead
	// of waiting for more.
	Once bool
	// Lost is called when events were missed because the server no longer
	// keeps them; reading goes on with the oldest kept one. Nil: not told.
	Lost func(why error)
	// Retry is called before each wait for a new connection. Nil: not told.
	Retry func(why error, wait time.Duration)
	// MaxWait is the longest wait between two connections; 0: 15 seconds.
	MaxWait time.Duration
	// Silence is how long a stream may say nothing before it counts as dead;
	// 0: one minute. The server sends a comment every 15 seconds.
	Silence time.Duration
}

// maxEvent bounds one event in bytes.
const maxEvent = 1 << 20

// Events calls each for every event until ctx ends, each fails, or the server
// refuses for good. A broken stream is taken up again where it broke, with
// back-off. It returns each's error, ctx's error, or the refusal.
func (c *Client) Events(ctx context.Context, o EventOptions, each func(v1.Event) error) error {
	place := "0"
	switch {
	case o.Latest:
		place = "latest"
	case o.After > 0:
		place = strconv.FormatInt(o.After, 10)
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 200 * time.Millisecond
	wait.MaxInterval = 15 * time.Second
	if o.MaxWait > 0 {
		wait.InitialInterval = min(wait.InitialInterval, o.MaxWait)
		wait.MaxInterval = o.MaxWait
	}
	for {
		s := eventReader{client: c, options: o, place: place, each: each}
		err := s.run(ctx)
		place = s.place
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var p *v1.Problem
		gone := errors.As(err, &p) && p.Code == v1.CodeEventsGone
		if s.stopped || (o.Once && !gone) {
			return err
		}
		if s.alive {
			wait.Reset()
		}
		switch {
		case gone:
			if o.Lost != nil {
				o.Lost(p)
			}
			place = "0"
		case p != nil && p.Status < 500 && p.Status != http.StatusTooManyRequests:
			return err
		}
		pause := wait.NextBackOff()
		if o.Retry != nil && !gone {
			o.Retry(err, pause)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// eventReader reads one stream.
type eventReader struct {
	client  *Client
	options EventOptions
	each    func(v1.Event) error
	place   string // id of the last event, or where to start
	alive   bool   // something was read
	stopped bool   // each failed
}

func (s *eventReader) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	query := url.Values{"after": {s.place}}
	if s.options.Cluster != "" {
		query.Set("cluster", s.options.Cluster)
	}
	if s.options.Once {
		query.Set("follow", "false")
	}
	req, err := s.client.request(ctx, http.MethodGet, "/v1/events", query, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	silence := s.options.Silence
	if silence == 0 {
		silence = time.Minute
	}
	watchdog := time.AfterFunc(silence, func() {
		cancel(fmt.Errorf("the event stream has been silent for %s", silence))
	})
	defer watchdog.Stop()
	res, err := s.client.http.Do(req)
	if err != nil {
		return s.client.explain(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		content, _ := io.ReadAll(io.LimitReader(res.Body, maxEvent))
		return problemOf(res, content)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxEvent)
	var b block
	for lines.Scan() {
		watchdog.Reset(silence)
		s.alive = true
		if line := lines.Text(); line != "" {
			b.add(line)
			continue
		}
		if err := s.dispatch(b); err != nil {
			return err
		}
		b = block{}
	}
	if s.options.Once && lines.Err() == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the event stream broke: %w", err)
	}
	return errors.New("the event stream ended")
}

func (s *eventReader) dispatch(b block) error {
	if b.kind == "problem" {
		var p v1.Problem
		if err := json.Unmarshal([]byte(b.data), &p); err != nil || p.Code == "" {
			return errors.New("the event stream ended with a problem that cannot be read")
		}
		return &p
	}
	if b.data != "" {
		var e v1.Event
		if err := json.Unmarshal([]byte(b.data), &e); err != nil {
			return fmt.Errorf("an event is not Berth's: %w", err)
		}
		if err := s.each(e); err != nil {
			s.stopped = true
			return err
		}
	}
	// Only now: an event counts as read once each has taken it.
	if b.id != "" {
		s.place = b.id
	}
	return nil
}

// block is what stands between two empty lines of a stream.
type block struct{ id, kind, data string }

func (b *block) add(line string) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "id":
		b.id = value
	case "event":
		b.kind = value
	case "data":
		if b.data != "" {
			b.data += "\n"
		}
		b.data += value
	}
}
