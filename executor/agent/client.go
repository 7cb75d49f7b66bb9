package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	mesosexec "github.com/mesos/mesos-go/api/v1/lib/executor"
)

const (
	// maxFrame bounds one event. The largest is SUBSCRIBED or LAUNCH, with
	// infos of some KiB and a launch document of at most 256 KiB.
	maxFrame    = 8 << 20
	maxError    = 1 << 10 // of an error's body
	callTimeout = 5 * time.Second
	// Protobuf and not JSON: it is the smaller code, and bytes stay bytes.
	contentType = "application/x-protobuf"
)

// client makes the calls of the v1 executor API.
type client struct {
	config Config
	http   *http.Client
}

func newClient(c Config) *client {
	return &client{config: c, http: &http.Client{
		// No proxy: the agent is on this machine. No client timeout: the
		// subscription's answer never ends.
		Transport: &http.Transport{ResponseHeaderTimeout: callTimeout, MaxIdleConns: 2, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the agent redirects, which an agent never does")
		},
	}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

func (c *client) post(ctx context.Context, call *mesosexec.Call, want int) (*http.Response, error) {
	call.FrameworkID.Value, call.ExecutorID.Value = c.config.FrameworkID, c.config.ExecutorID
	body, err := call.Marshal()
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", call.Type, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.config.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", call.Type, err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", contentType)
	if c.config.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.config.Token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", call.Type, err)
	}
	if res.StatusCode != want {
		text, _ := io.ReadAll(io.LimitReader(res.Body, maxError))
		_ = res.Body.Close()
		return nil, fmt.Errorf("%s: the agent answers %s: %s", call.Type, res.Status, strings.TrimSpace(string(text)))
	}
	return res, nil
}

// subscribe opens the stream of events; ctx ends it.
func (c *client) subscribe(ctx context.Context, tasks []mesos.TaskInfo, updates []mesosexec.Call_Update) (*stream, error) {
	res, err := c.post(ctx, &mesosexec.Call{
		Type:      mesosexec.Call_SUBSCRIBE,
		Subscribe: &mesosexec.Call_Subscribe{UnacknowledgedTasks: tasks, UnacknowledgedUpdates: updates},
	}, http.StatusOK)
	if err != nil {
		return nil, err
	}
	return &stream{body: res.Body, frames: frames{r: bufio.NewReader(res.Body), max: maxFrame}}, nil
}

// update sends one status. An error leaves open whether it arrived.
func (c *client) update(ctx context.Context, s mesos.TaskStatus) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := c.post(ctx, &mesosexec.Call{Type: mesosexec.Call_UPDATE, Update: &mesosexec.Call_Update{Status: s}}, http.StatusAccepted)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// stream is one subscription.
type stream struct {
	body   io.Closer
	frames frames
}

func (s *stream) close() { _ = s.body.Close() }

// next waits for the next event.
func (s *stream) next() (*mesosexec.Event, error) {
	frame, err := s.frames.next()
	if err != nil {
		return nil, err
	}
	e := new(mesosexec.Event)
	if err := e.Unmarshal(frame); err != nil {
		return nil, fmt.Errorf("event of %d bytes: %w", len(frame), err)
	}
	return e, nil
}

// frames reads recordio: a length in decimal digits, a newline, that many
// bytes. The library's reader allocates half of its bound at once and takes
// lengths above 2^63 for negative ones; this one does neither.
type frames struct {
	r   *bufio.Reader
	max uint64
}

func (f frames) next() ([]byte, error) {
	const maxDigits = 20 // of a 64-bit number
	var digits []byte
	for {
		b, err := f.r.ReadByte()
		switch {
		case err == io.EOF && len(digits) > 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case b != '\n':
			if digits = append(digits, b); len(digits) > maxDigits {
				return nil, fmt.Errorf("recordio: %q... is no length", digits)
			}
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(digits)), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("recordio: %q is no length", digits)
		}
		if n > f.max {
			return nil, fmt.Errorf("recordio: a frame of %d bytes, at most %d are taken", n, f.max)
		}
		if n == 0 {
			digits = digits[:0]
			continue
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(f.r, frame); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("recordio: frame of %d bytes: %w", n, err)
		}
		return frame, nil
	}
}
