package mesos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	mesosgo "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/encoding/codecs"
	"github.com/mesos/mesos-go/api/v1/lib/recordio"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler/calls"
)

// Subscription is the smallest client of the v1 scheduler API, independent of
// Berth's own driver: what it shows is Mesos' doing. It neither retries nor
// acknowledges.
type Subscription struct {
	url    string
	auth   Credential
	stream string
	cancel context.CancelFunc
	events chan scheduler.Event
	done   chan struct{}
	err    error // once events is closed
}

// eventBuffer is how many events may wait for their reader before the
// subscription waits for it.
const eventBuffer = 1024

// Subscribe subscribes a framework at a master, with auth unless its principal
// is "", and reads the stream until Close.
func Subscribe(ctx context.Context, master string, auth Credential, info mesosgo.FrameworkInfo) (*Subscription, error) {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Subscription{
		url: master + "/api/v1/scheduler", auth: auth, cancel: cancel,
		events: make(chan scheduler.Event, eventBuffer), done: make(chan struct{}),
	}
	call := calls.Subscribe(&info)
	call.FrameworkID = info.ID
	// Only the wait for the answer ends with ctx, not the stream.
	stop := context.AfterFunc(ctx, cancel)
	resp, err := s.send(life, call)
	stop()
	if err != nil {
		cancel()
		return nil, err
	}
	s.stream = resp.Header.Get("Mesos-Stream-Id")
	go s.read(life, resp.Body)
	return s, nil
}

func (s *Subscription) read(ctx context.Context, body io.ReadCloser) {
	defer close(s.done)
	defer close(s.events)
	defer body.Close()
	frames := recordio.NewReader(body)
	for {
		b, err := frames.ReadFrame()
		ev := scheduler.Event{}
		if err == nil {
			err = ev.Unmarshal(b)
		}
		if err != nil {
			s.err = err
			return
		}
		select {
		case s.events <- ev:
		case <-ctx.Done():
			s.err = ctx.Err()
			return
		}
	}
}

// Events are what the master sends, in order. The channel is closed when the
// stream ends; Err then says why.
func (s *Subscription) Events() <-chan scheduler.Event { return s.events }

// Err is why the stream ended, once Events is closed.
func (s *Subscription) Err() error { return s.err }

// Stream is the stream's id, which every call carries.
func (s *Subscription) Stream() string { return s.stream }

// Close ends the stream, as a scheduler that dies does, and waits for its reader.
// Events that came before it can still be read.
func (s *Subscription) Close() {
	s.cancel()
	<-s.done
}

// Call sends a call, which names its framework. An error is any answer other
// than 2xx.
func (s *Subscription) Call(ctx context.Context, c *scheduler.Call) error {
	resp, err := s.send(ctx, c)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func (s *Subscription) send(ctx context.Context, c *scheduler.Call) (*http.Response, error) {
	b, err := c.Marshal()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	media := codecs.MediaTypeProtobuf.ContentType()
	req.Header.Set("Content-Type", media)
	req.Header.Set("Accept", media)
	if s.stream != "" {
		req.Header.Set("Mesos-Stream-Id", s.stream)
	}
	if s.auth.Principal != "" {
		req.SetBasicAuth(s.auth.Principal, s.auth.Secret)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		return nil, errors.Join(fmt.Errorf("%s: %s: %s", c.Type, resp.Status, b), err, resp.Body.Close())
	}
	return resp, nil
}
