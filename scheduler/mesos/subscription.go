package mesos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	mesosv1 "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"go.uber.org/zap"
)

const (
	// defaultHeartbeat is Mesos' own default.
	defaultHeartbeat = 15 * time.Second
	// maxHeartbeat: a longer interval than this is taken for nonsense, since
	// the watchdog would never bark.
	maxHeartbeat = 10 * time.Minute
	// missedHeartbeats end a subscription (Mesos rule 4).
	missedHeartbeats = 5
)

// frame is what the reader found: a decoded event or the end of the stream.
type frame struct {
	event *scheduler.Event
	size  int
	err   error
}

// subscribe makes one subscription at base and serves it to its end. It returns
// how long it lived after SUBSCRIBED and why it ended; never a nil error.
func (d *Driver) subscribe(ctx context.Context, base *url.URL, changed <-chan struct{},
	frameworkID func() string, handle Handler) (time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(d.cfg.SubscribeTimeout, func() {
		cancel(fmt.Errorf("%w: %s did not subscribe us within %s", ErrUnavailable, base, d.cfg.SubscribeTimeout))
	})
	defer late.Stop()

	resp, s, err := d.connect(ctx, base, frameworkID)
	if err != nil {
		return 0, d.connectFailed(ctx, err)
	}
	defer resp.Body.Close()

	var goroutines sync.WaitGroup
	frames := make(chan frame)
	bytes := &countingReader{in: resp.Body}
	goroutines.Go(func() { d.read(ctx, bytes, frames) })
	// Ends the reader before the body is closed under it.
	defer func() {
		cancel(nil)
		goroutines.Wait()
	}()

	first, err := d.awaitSubscribed(ctx, s, frames, handle)
	if err != nil {
		return 0, d.connectFailed(ctx, err)
	}
	late.Stop()
	began := time.Now()
	d.leader.prefer(s.base)
	d.open(s)
	goroutines.Go(func() { s.run(ctx) })
	d.log.Info("subscribed to Mesos", zap.String("framework", s.frameworkID),
		zap.String("master", first.Master), zap.Duration("heartbeat", first.HeartbeatInterval))
	if d.cfg.Hooks.Subscribed != nil {
		d.cfg.Hooks.Subscribed()
	}
	handle(first)

	reason := s.serve(ctx, frames, bytes, changed, first.HeartbeatInterval, handle)

	d.close(s)
	cancel(nil)
	goroutines.Wait()
	if d.cfg.Hooks.Disconnected != nil {
		d.cfg.Hooks.Disconnected()
	}
	handle(Disconnected{StreamID: s.streamID, Reason: reason})
	s.returnCalls(reason, handle)
	return time.Since(began), reason
}

func (d *Driver) connectFailed(ctx context.Context, err error) error {
	// The cause says more than "context canceled".
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && !isFatal(err) {
		err = cause
	}
	if d.cfg.Hooks.ConnectFailed != nil {
		d.cfg.Hooks.ConnectFailed(err)
	}
	return err
}

// connect sends SUBSCRIBE, following redirects to the leader, until a master
// answers with a stream.
func (d *Driver) connect(ctx context.Context, base *url.URL, frameworkID func() string) (*http.Response, *session, error) {
	id, err := d.identity(frameworkID())
	if err != nil {
		return nil, nil, err
	}
	body, err := d.subscribeCall(id)
	if err != nil {
		return nil, nil, err
	}
	auth, err := d.credentials()
	if err != nil {
		return nil, nil, err
	}
	for range maxRedirects + 1 {
		resp, _, err := d.post(ctx, request{base: base, path: schedulerPath, auth: auth, body: body})
		if err != nil {
			return nil, nil, fmt.Errorf("%w: SUBSCRIBE: %w", ErrUnavailable, err)
		}
		switch resp.StatusCode {
		case http.StatusOK:
			stream := resp.Header.Get(streamHeader)
			if stream == "" {
				resp.Body.Close()
				return nil, nil, fmt.Errorf("%w: %s answered SUBSCRIBE without %s; is it a Mesos master?", ErrUnavailable, base, streamHeader)
			}
			return resp, newSession(d, base, stream, id, auth), nil
		case http.StatusTemporaryRedirect:
			text(resp)
			if base, err = redirect(base, resp); err != nil {
				return nil, nil, err
			}
		default:
			return nil, nil, subscribeError(base.String(), resp.StatusCode, text(resp))
		}
	}
	return nil, nil, fmt.Errorf("%w: masters redirected %d times, the last to %s; they do not agree on a leader", ErrUnavailable, maxRedirects, base)
}

func (d *Driver) subscribeCall(id string) ([]byte, error) {
	info := *d.cfg.Framework
	call := &scheduler.Call{
		Type:      scheduler.Call_SUBSCRIBE,
		Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: &info},
	}
	if id != "" {
		// Mesos wants the same id in both places.
		info.ID = &mesosv1.FrameworkID{Value: id}
		call.FrameworkID = info.ID
	}
	return encode(d.codec, call)
}

// read decodes frames until the stream ends or ctx does.
func (d *Driver) read(ctx context.Context, in io.Reader, out chan<- frame) {
	frames := newFrameReader(in, d.cfg.FrameLimit)
	for {
		var f frame
		raw, err := frames.ReadFrame()
		if err == nil {
			f.event, f.size = new(scheduler.Event), len(raw)
			err = decode(d.codec, raw, f.event)
			if err != nil {
				err = fmt.Errorf("event of %d bytes: %w", len(raw), err)
			}
		}
		f.err = err
		select {
		case out <- f:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// awaitSubscribed reads up to SUBSCRIBED, which is the first event unless the
// master refuses.
func (d *Driver) awaitSubscribed(ctx context.Context, s *session, frames <-chan frame, handle Handler) (Subscribed, error) {
	for {
		var f frame
		select {
		case f = <-frames:
		case <-ctx.Done():
			return Subscribed{}, ctx.Err()
		}
		if f.err != nil {
			return Subscribed{}, streamEnd(s.base, f.err)
		}
		d.sawEvent(f)
		switch f.event.Type {
		case scheduler.Event_HEARTBEAT:
		case scheduler.Event_ERROR:
			handle(Received{StreamID: s.streamID, Event: f.event})
			return Subscribed{}, fatalError(f.event.GetError().GetMessage())
		case scheduler.Event_SUBSCRIBED:
			return s.subscribed(f.event.GetSubscribed())
		default:
			return Subscribed{}, fmt.Errorf("%w: %s sent %s before SUBSCRIBED", ErrUnavailable, s.base, f.event.Type)
		}
	}
}

func (d *Driver) sawEvent(f frame) {
	if d.cfg.Hooks.Event != nil {
		d.cfg.Hooks.Event(f.event.Type.String(), f.size)
	}
}

func (s *session) subscribed(e *scheduler.Event_Subscribed) (Subscribed, error) {
	id := e.GetFrameworkID().GetValue()
	if id == "" {
		return Subscribed{}, fmt.Errorf("%w: %s sent SUBSCRIBED without a framework id", ErrUnavailable, s.base)
	}
	if s.frameworkID != "" && s.frameworkID != id {
		// Mesos rule 11: only the master assigns ids, and it keeps them.
		return Subscribed{}, fmt.Errorf("%w: subscribed as framework %q but %s calls it %q", ErrRefused, s.frameworkID, s.base, id)
	}
	s.frameworkID = id
	return Subscribed{
		FrameworkID:       id,
		StreamID:          s.streamID,
		MasterInfo:        e.GetMasterInfo(),
		HeartbeatInterval: heartbeat(e.GetHeartbeatIntervalSeconds()),
		Master:            s.base.String(),
	}, nil
}

// heartbeat takes the announced interval, or Mesos' default if it is nonsense.
func heartbeat(seconds float64) time.Duration {
	if seconds > 0 && seconds <= maxHeartbeat.Seconds() {
		return time.Duration(seconds * float64(time.Second))
	}
	return defaultHeartbeat
}

// serve delivers events until the subscription ends and returns why it did.
func (s *session) serve(ctx context.Context, frames <-chan frame, bytes *countingReader,
	changed <-chan struct{}, interval time.Duration, handle Handler) error {
	silence := missedHeartbeats * interval
	watchdog := time.NewTimer(silence)
	defer watchdog.Stop()
	seen := bytes.count.Load()
	for {
		select {
		case f := <-frames:
			if err := s.deliver(f, handle); err != nil {
				return err
			}
			seen = bytes.count.Load()
			watchdog.Reset(silence)
		case failed := <-s.failed:
			handle(failed)
		case err := <-s.broken:
			return err
		case <-watchdog.C:
			// A frame that waited while the handler was busy, or bytes of a
			// giant frame that is under way: both are life.
			select {
			case f := <-frames:
				if err := s.deliver(f, handle); err != nil {
					return err
				}
			default:
				if bytes.count.Load() == seen {
					return s.silent(silence)
				}
			}
			seen = bytes.count.Load()
			watchdog.Reset(silence)
		case <-changed:
			return fmt.Errorf("%w: another master than %s leads now", ErrStale, s.base)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *session) silent(silence time.Duration) error {
	return fmt.Errorf("%w: nothing heard from %s for %s, %d heartbeats", ErrUnavailable, s.base, silence, missedHeartbeats)
}

// deliver hands one event on; an error ends the subscription.
func (s *session) deliver(f frame, handle Handler) error {
	if f.err != nil {
		return streamEnd(s.base, f.err)
	}
	s.d.sawEvent(f)
	e := f.event
	switch e.Type {
	case scheduler.Event_HEARTBEAT:
		return nil
	case scheduler.Event_UNKNOWN:
		s.d.log.Warn("event of a type that this version does not know was ignored")
		return nil
	case scheduler.Event_SUBSCRIBED:
		return fmt.Errorf("%w: %s sent SUBSCRIBED twice", ErrUnavailable, s.base)
	}
	handle(Received{StreamID: s.streamID, Event: e})
	if e.Type == scheduler.Event_ERROR {
		return fatalError(e.GetError().GetMessage())
	}
	return nil
}

// streamEnd describes the end of a stream. A dying master cuts it anywhere.
func streamEnd(base *url.URL, err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %s ended the stream", ErrUnavailable, base)
	}
	return fmt.Errorf("%w: stream of %s: %w", ErrUnavailable, base, err)
}
