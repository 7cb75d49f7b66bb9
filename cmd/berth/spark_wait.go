package main

import (
	"context"
	"fmt"
	"time"

	"github.com/berthdata/berth/api/client"
	"github.com/berthdata/berth/api/submission"
	v1 "github.com/berthdata/berth/api/v1"
)

// sparkWaiter watches one application and shows what changes.
type sparkWaiter struct {
	poller
	client *client.Client
	name   string
	last   string // the application's last line
}

func (e *environment) sparkWaiter(c *client.Client, name string, timeout time.Duration) *sparkWaiter {
	return &sparkWaiter{poller: e.poller("application "+name, timeout), client: c, name: name}
}

// untilRunning ends when the driver runs, or has done so already.
func (w *sparkWaiter) untilRunning(ctx context.Context) error {
	return w.until(ctx, "running", func(s v1.SparkStatus) (bool, error) {
		if s.Phase == "Failed" || s.Phase == "Killed" {
			return false, fmt.Errorf("application %s is not running: %s %s", w.name, s.Phase, oneLine(s.Message))
		}
		return s.Phase == "Running" || s.Phase == "Succeeded", nil
	})
}

// untilEnded ends when the application has ended, and returns how.
func (w *sparkWaiter) untilEnded(ctx context.Context) (phase string, err error) {
	err = w.until(ctx, "over", func(s v1.SparkStatus) (bool, error) {
		phase = s.Phase
		return submission.Ended(s.Phase), nil
	})
	return phase, err
}

func (w *sparkWaiter) until(ctx context.Context, what string, done func(v1.SparkStatus) (bool, error)) error {
	return w.poll(ctx, what, func(ctx context.Context) (bool, error, error) {
		view, err := w.client.SparkApplication(ctx, w.name)
		if err != nil {
			return false, nil, err
		}
		w.show(view.Status)
		ended, stop := done(view.Status)
		return ended, stop, nil
	}, w.explain)
}

func (w *sparkWaiter) show(s v1.SparkStatus) {
	text := fmt.Sprintf("%s, attempt %d", s.Phase, s.Attempt)
	if s.Driver.Hostname != "" {
		text += " on " + s.Driver.Hostname
	}
	text += fmt.Sprintf(", %d of %d executors", s.Scale.Running, s.Scale.Wanted)
	if s.Message != "" {
		text += ": " + oneLine(s.Message)
	}
	if text != w.last {
		w.last = text
		w.line("application %s: %s", w.name, text)
	}
}

// explain shows, when a wait has ended in vain, what has no place.
func (w *sparkWaiter) explain(ctx context.Context) {
	if x, err := w.client.ExplainSpark(ctx, w.name); err == nil {
		w.noPlace(x)
	}
}
