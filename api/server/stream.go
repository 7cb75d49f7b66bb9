package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
)

// streamEvents answers GET /v1/events as server-sent events (WHATWG HTML, 9.2).
// Each event is "id: N" and "data: {…}". A silent stream sends a comment, and
// the id it has come to, so that a resume after a long silence finds its place.
// A stream that Berth ends by itself closes with one "event: problem".
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) error {
	after, err := startOfStream(r)
	if err != nil {
		return err
	}
	follow, err := boolParameter(r, "follow", true)
	if err != nil {
		return err
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "5")
		return v1.NewProblem(http.StatusServiceUnavailable, v1.CodeStreamsExhausted, "too many event streams",
			fmt.Sprintf("%d are open already, and no more are allowed", cap(s.streams)))
	}
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if stop, ok := r.Context().Value(stopKey{}).(context.Context); ok {
		defer context.AfterFunc(stop, cancel)()
	}
	sub, err := s.opts.Events.Subscribe(ctx, after)
	if err != nil {
		return historyProblem(err)
	}
	stream := eventStream{w: w, control: http.NewResponseController(w), timeout: s.limits.WriteTimeout}
	// The request has been read; its read deadline would end the stream.
	_ = stream.control.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil // who asks for the header only must not hold a stream
	}
	// The id at once: whoever is cut off before the first event has a place.
	if err := stream.send(fmt.Sprintf(": berth events\nretry: 2000\nid: %d\n\n", sub.Position())); err != nil {
		return nil // the client has gone
	}
	p := pump{sub: sub, stream: &stream, cluster: r.URL.Query().Get("cluster"), follow: follow, keepAlive: s.limits.KeepAlive}
	p.run(ctx)
	return nil
}

// pump copies events from a subscription to a stream.
type pump struct {
	sub       Subscription
	stream    *eventStream
	cluster   string // "" for all
	follow    bool   // false: end with the last event that is kept
	keepAlive time.Duration
}

// run ends when the client leaves, the server stops, or the source ends the
// subscription.
func (p *pump) run(ctx context.Context) {
	patience := p.keepAlive
	if !p.follow {
		patience = 0 // Next still hands out what is kept
	}
	sent := time.Now()
	for {
		wait, cancel := context.WithTimeout(ctx, patience)
		e, err := p.sub.Next(wait)
		cancel()
		var text string
		switch {
		case err == nil && p.cluster != "" && e.Cluster != p.cluster:
			if time.Since(sent) < p.keepAlive {
				continue
			}
			text = p.comment()
		case err == nil:
			text, err = formatEvent(e)
		case ctx.Err() != nil:
			return
		case errors.Is(err, context.DeadlineExceeded):
			text = p.comment()
			if p.follow {
				err = nil
			}
		case errors.Is(err, ErrSlowConsumer):
			text = formatProblem(v1.NewProblem(http.StatusGone, v1.CodeEventsGone, "the stream was cut off", err.Error()))
		default:
			text = formatProblem(v1.ProblemUnavailable("the event stream has ended: connect again"))
		}
		if sendErr := p.stream.send(text); sendErr != nil || err != nil {
			return
		}
		sent = time.Now()
	}
}

// comment carries an id without data: that moves the client's place and shows
// nothing.
func (p *pump) comment() string {
	return fmt.Sprintf(": keep-alive\nid: %d\n\n", p.sub.Position())
}

func startOfStream(r *http.Request) (int64, error) {
	field, text := "?after", r.URL.Query().Get("after")
	// A browser that reconnects repeats the first URL: the header is newer.
	if header := r.Header.Get("Last-Event-ID"); header != "" {
		field, text = "Last-Event-ID", header
	}
	switch text {
	case "":
		return 0, nil
	case "latest":
		return LatestOnly, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, wrongParameter(field, "must be an event's id, 0 for all that are kept, or \"latest\" for new ones only")
	}
	return n, nil
}

func historyProblem(err error) error {
	var gone *HistoryGoneError
	if errors.As(err, &gone) {
		return v1.NewProblem(http.StatusGone, v1.CodeEventsGone, "the history does not reach back that far", err.Error())
	}
	return err
}

func formatEvent(e v1.Event) (string, error) {
	data, err := json.Marshal(e) // one line: JSON has no raw line breaks
	return fmt.Sprintf("id: %d\ndata: %s\n\n", e.ID, data), err
}

func formatProblem(p *v1.Problem) string {
	data, err := json.Marshal(p)
	if err != nil {
		data = []byte("{}")
	}
	return "event: problem\ndata: " + strings.TrimSpace(string(data)) + "\n\n"
}

// eventStream writes with a deadline each time, so that a reader who has
// stopped reading is cut off instead of holding the stream.
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func (s *eventStream) send(text string) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(s.timeout))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
