package elastic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

func fail(class observe.Class, format string, args ...any) *observe.Failure {
	return &observe.Failure{Class: class, Message: fmt.Sprintf(format, args...)}
}

// classify sorts whatever went wrong on the way to one endpoint.
func classify(err error) *observe.Failure {
	var f *observe.Failure
	if errors.As(err, &f) {
		own := *f // the caller adds to the message
		return &own
	}
	var op *net.OpError
	dialing := errors.As(err, &op) && op.Op == "dial"
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fail(observe.Refused, "nothing listens there: %v", err)
	case dialing:
		return fail(observe.Unreachable, "cannot connect: %v", err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fail(observe.Timeout, "no answer in time: %v", err)
	}
	return fail(observe.Unreachable, "%v", err)
}

// weight orders classes by how much they say about the cluster: a node that
// answers without a master says more than two that are still starting.
var weight = map[observe.Class]int{
	observe.Conflict:     7,
	observe.Unauthorized: 6,
	observe.Unreadable:   5,
	observe.NoMaster:     4,
	observe.Timeout:      3,
	observe.Refused:      2,
	observe.Unreachable:  1,
}

// summarize makes one failure of those of all endpoints tried.
func summarize(cluster string, failures []*observe.Failure, endpoints int) *observe.Failure {
	worst := failures[0]
	for _, f := range failures[1:] {
		if weight[f.Class] > weight[worst.Class] {
			worst = f
		}
	}
	return fail(worst.Class, "cluster %s: none of %d endpoints gave an answer (%d tried); %s", cluster, endpoints, len(failures), worst.Message)
}

// statusFailure sorts an answer that is not 2xx.
func statusFailure(what string, status int, body []byte) *observe.Failure {
	class := observe.Unreadable
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		class = observe.Unauthorized
	case status == http.StatusServiceUnavailable && noMaster(body):
		class = observe.NoMaster
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		class = observe.Refused
	case status == http.StatusRequestTimeout, status == http.StatusGatewayTimeout:
		class = observe.Timeout
	}
	return fail(class, "%s answered %d: %s", what, status, excerpt(body))
}

// noMaster knows the two ways in which a node says that it has no master or
// that the master has not recovered the cluster's state yet.
func noMaster(body []byte) bool {
	return bytes.Contains(body, []byte("master_not_discovered_exception")) ||
		bytes.Contains(body, []byte("cluster_block_exception"))
}

// excerpt is the start of a body on one line, for messages.
func excerpt(b []byte) string {
	const most = 200
	tail := ""
	if len(b) > most {
		b, tail = b[:most], "…"
	}
	b = bytes.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, b)
	return string(bytes.ToValidUTF8(b, []byte("?"))) + tail
}

// readBody reads a body of at most limit bytes; a longer or cut-off one is an
// unreadable answer.
func readBody(what string, body io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		var timeout net.Error
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &timeout) && timeout.Timeout() {
			return nil, fmt.Errorf("%s: reading the answer: %w", what, err)
		}
		return nil, fail(observe.Unreadable, "%s: the answer broke off after %d bytes: %v", what, len(b), err)
	}
	if int64(len(b)) > limit {
		return nil, fail(observe.Unreadable, "%s: the answer is larger than %d bytes", what, limit)
	}
	return b, nil
}
