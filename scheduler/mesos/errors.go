package mesos

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Errors that end Run: repeating the subscription would do harm or never work.
var (
	// ErrFailedOver: another scheduler subscribed with our framework id. The
	// newest wins; re-subscribing would start a takeover fight (Mesos rule 2).
	ErrFailedOver = errors.New("another scheduler took this framework over")
	// ErrFrameworkRemoved: the master forgot the framework after a teardown or
	// after failover_timeout, and killed its tasks. Only an operator may decide
	// to register anew under another id (Mesos rule 10).
	ErrFrameworkRemoved = errors.New("the framework was removed from Mesos")
	// ErrRefused: the master refuses this framework's info: its roles,
	// principal or fields.
	ErrRefused = errors.New("framework refused by Mesos")
)

// Classes of failed calls.
var (
	// ErrNotSubscribed: there is no such subscription (any more); not sent.
	ErrNotSubscribed = errors.New("not subscribed to Mesos")
	// ErrQueueFull: Config.QueueLimit calls are waiting already; not sent.
	ErrQueueFull = errors.New("call queue is full")
	// ErrStale: the master knows another subscription, or is no leader any
	// more. The driver drops the subscription and makes a new one.
	ErrStale = errors.New("subscription is stale")
	// ErrRejected: the master found the call invalid; the text says why.
	ErrRejected = errors.New("call rejected")
	// ErrUnauthorized: principal or secret were not accepted.
	ErrUnauthorized = errors.New("not authenticated to Mesos")
	// ErrUnavailable: no connection, no answer in time, or a master that is
	// still recovering.
	ErrUnavailable = errors.New("unavailable Mesos master")
)

// maxErrorText bounds how much of a master's error text is repeated.
const maxErrorText = 1024

// fatalError turns the message of an ERROR event into the error that ends Run.
// Every ERROR does: the API says that a framework should then stop and think.
func fatalError(message string) error {
	class := ErrRefused
	switch {
	case strings.Contains(message, "Framework failed over"):
		class = ErrFailedOver
	case strings.Contains(message, "Framework has been removed"):
		class = ErrFrameworkRemoved
	}
	return fmt.Errorf("%w: the master says %q", class, clip(message))
}

func isFatal(err error) bool {
	return errors.Is(err, ErrFailedOver) || errors.Is(err, ErrFrameworkRemoved) || errors.Is(err, ErrRefused)
}

// statusError classes the answer to a call other than SUBSCRIBE.
func statusError(what, master string, status int, body string) error {
	body = clip(strings.TrimSpace(body))
	class := ErrRejected
	switch {
	case status == http.StatusUnauthorized:
		class = ErrUnauthorized
	case status == http.StatusTemporaryRedirect,
		// "Framework is not subscribed", "… not connected via HTTP".
		status == http.StatusForbidden,
		status == http.StatusBadRequest && staleText(body):
		class = ErrStale
	case status == http.StatusTooManyRequests, status >= 500:
		class = ErrUnavailable
	}
	return fmt.Errorf("%w: %s to %s was answered %d %s: %s",
		class, what, master, status, http.StatusText(status), orNone(body))
}

// staleText recognises the 400s which say that the call was fine but the
// subscription is not the master's (Mesos rule 1): a wrong stream id, and a
// framework unknown to a master that has just been elected.
func staleText(body string) bool {
	return strings.Contains(body, "stream ID") ||
		strings.Contains(body, "Mesos-Stream-Id") ||
		strings.Contains(body, "Framework cannot be found")
}

// subscribeError classes the answer to SUBSCRIBE.
func subscribeError(master string, status int, body string) error {
	body = clip(strings.TrimSpace(body))
	class := ErrUnavailable
	switch status {
	case http.StatusUnauthorized:
		class = ErrUnauthorized
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotAcceptable, http.StatusUnsupportedMediaType:
		class = ErrRefused
	}
	return fmt.Errorf("%w: SUBSCRIBE to %s was answered %d %s: %s",
		class, master, status, http.StatusText(status), orNone(body))
}

func clip(s string) string {
	if len(s) > maxErrorText {
		return strings.ToValidUTF8(s[:maxErrorText], "") + "…"
	}
	return s
}

func orNone(s string) string {
	if s == "" {
		return "(no text)"
	}
	return s
}
