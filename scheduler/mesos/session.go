package mesos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	mesosv1 "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"go.uber.org/zap"
)

// session is one subscription and the sender of its calls.
type session struct {
	d           *Driver
	base        *url.URL
	streamID    string
	frameworkID string
	auth        *credentials

	queue  chan *scheduler.Call
	failed chan CallFailed // sender → serve
	broken chan error      // why the subscription must end; holds the first
	// unanswered is what the sender could not hand to serve any more. Read it
	// only after run has returned.
	unanswered []CallFailed
}

func newSession(d *Driver, base *url.URL, stream, frameworkID string, auth *credentials) *session {
	return &session{
		d: d, base: base, streamID: stream, frameworkID: frameworkID, auth: auth,
		queue:  make(chan *scheduler.Call, d.cfg.QueueLimit),
		failed: make(chan CallFailed),
		broken: make(chan error, 1),
	}
}

// run sends queued calls one after the other: the next leaves when the master
// has received the last, which keeps them in order (Mesos rule 6).
func (s *session) run(ctx context.Context) {
	for {
		var call *scheduler.Call
		select {
		case call = <-s.queue:
		case <-ctx.Done():
			return
		}
		uncertain, err := s.send(ctx, call)
		if err == nil {
			s.d.log.Debug("call sent", described(call))
			continue
		}
		s.d.log.Warn("call failed", described(call), zap.Bool("uncertain", uncertain), zap.Error(err))
		failure := CallFailed{StreamID: s.streamID, Call: call, Err: err, Uncertain: uncertain}
		if errors.Is(err, ErrStale) {
			s.unanswered = append(s.unanswered, failure)
			s.giveUp(err)
			return
		}
		select {
		case s.failed <- failure:
		case <-ctx.Done():
			s.unanswered = append(s.unanswered, failure)
			return
		}
	}
}

// described names call in a log line, at no cost if that level is off.
func described(call *scheduler.Call) zap.Field {
	return zap.Stringer("call", describer{call})
}

type describer struct{ *scheduler.Call }

func (d describer) String() string { return Describe(d.Call) }

// giveUp makes serve end the subscription.
func (s *session) giveUp(err error) {
	select {
	case s.broken <- err:
	default:
	}
}

// returnCalls gives back what was never answered and what was never sent, in
// order. The sender must have ended and the driver must have closed s.
func (s *session) returnCalls(reason error, handle Handler) {
	for _, failure := range s.unanswered {
		handle(failure)
	}
	for {
		select {
		case call := <-s.queue:
			handle(CallFailed{StreamID: s.streamID, Call: call,
				Err: fmt.Errorf("%w: %s was still waiting when the subscription ended: %v", ErrNotSubscribed, call.Type, reason)})
		default:
			return
		}
	}
}

// send makes one call. uncertain: the master may have received it although err
// is not nil.
func (s *session) send(ctx context.Context, call *scheduler.Call) (uncertain bool, err error) {
	began := time.Now()
	if s.d.cfg.Hooks.Call != nil {
		defer func() { s.d.cfg.Hooks.Call(call.Type.String(), time.Since(began), err) }()
	}
	named := *call
	named.FrameworkID = &mesosv1.FrameworkID{Value: s.frameworkID}
	body, err := encode(s.d.codec, &named)
	if err != nil {
		return false, fmt.Errorf("%w: %s cannot be encoded: %w", ErrRejected, call.Type, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.d.cfg.CallTimeout,
		fmt.Errorf("no answer within %s", s.d.cfg.CallTimeout))
	defer cancel()
	resp, sent, err := s.d.post(ctx, request{base: s.base, path: schedulerPath, stream: s.streamID, auth: s.auth, body: body})
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return sent, fmt.Errorf("%w: %s to %s: %w", ErrUnavailable, call.Type, s.base, err)
	}
	answer := text(resp)
	switch resp.StatusCode {
	case http.StatusAccepted, http.StatusOK:
		return false, nil
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		// It broke on the way, nobody knows where.
		uncertain = true
	}
	return uncertain, statusError(call.Type.String(), s.base.String(), resp.StatusCode, answer)
}
