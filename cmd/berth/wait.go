package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
)

// pollInterval is how often a wait looks: small against a node's start, and
// small for the server.
const pollInterval = 250 * time.Millisecond

// waiter watches one cluster and shows what changes.
type waiter struct {
	env     *environment
	client  *client.Client
	name    string
	timeout time.Duration

	began   time.Time
	cluster string            // the cluster's last line
	nodes   map[string]string // each node's last line
	trouble string            // the last failure to read
}

func (e *environment) waiter(c *client.Client, name string, timeout time.Duration) *waiter {
	return &waiter{env: e, client: c, name: name, timeout: timeout, began: e.now(), nodes: map[string]string{}}
}

// untilGreen ends when a generation is in place and the cluster is green.
func (w *waiter) untilGreen(ctx context.Context, generation int64) error {
	return w.until(ctx, "green", func(v v1.ClusterView, err error) (bool, error) {
		if isNotFound(err) || (err == nil && v.Status.Phase == "Deleting") {
			return false, fmt.Errorf("cluster %s was deleted meanwhile", w.name)
		}
		s := v.Status
		return err == nil && s.Phase == "Ready" && s.Health == "green" && s.ObservedGeneration >= generation, nil
	})
}

// untilGone ends when the cluster is no longer known.
func (w *waiter) untilGone(ctx context.Context) error {
	return w.until(ctx, "gone", func(_ v1.ClusterView, err error) (bool, error) {
		return isNotFound(err), nil
	})
}

func isNotFound(err error) bool {
	var p *v1.Problem
	return errors.As(err, &p) && p.Status == http.StatusNotFound
}

// until looks at the cluster again and again. Berth may be away for a while
// meanwhile (a fail-over, say); only a refusal ends the wait.
func (w *waiter) until(parent context.Context, what string, done func(v1.ClusterView, error) (bool, error)) error {
	ctx, cancel := context.WithTimeout(parent, w.timeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		view, err := w.client.Cluster(ctx, w.name)
		if ctx.Err() == nil {
			ended, stop := done(view, err)
			if err == nil {
				w.show(ctx, view)
			} else if !ended && stop == nil {
				stop = w.endure(err)
			}
			if stop != nil {
				return stop
			}
			if ended {
				w.line("cluster %s is %s", w.name, what)
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if parent.Err() != nil {
				return errors.New("interrupted; Berth goes on without this command")
			}
			w.explain(parent)
			return fmt.Errorf("%w after %s: cluster %s is not %s yet; Berth goes on", errTimeout, w.timeout, w.name, what)
		}
	}
}

// endure tells a passing failure once, and returns a lasting one.
func (w *waiter) endure(err error) error {
	var p *v1.Problem
	if errors.As(err, &p) && p.Status < 500 && p.Status != http.StatusTooManyRequests {
		return err
	}
	if text := oneLine(err.Error()); text != w.trouble {
		w.trouble = text
		w.line("still trying: %s", text)
	}
	return nil
}

func (w *waiter) show(ctx context.Context, v v1.ClusterView) {
	w.trouble = ""
	s := v.Status
	if text := fmt.Sprintf("%s, health %s, %d of %d nodes healthy", s.Phase, s.Health, s.NodesHealthy, s.NodesWanted); text != w.cluster {
		w.cluster = text
		w.line("cluster %s: %s", w.name, text)
	}
	nodes, err := w.client.Nodes(ctx, w.name)
	if err != nil {
		return // the next look tells, if it lasts
	}
	for _, n := range nodes {
		text := n.State
		if n.Hostname != "" {
			text += " on " + n.Hostname
		}
		if n.Message != "" {
			text += ": " + oneLine(n.Message)
		}
		if w.nodes[n.Name] != text {
			w.nodes[n.Name] = text
			w.line("node %s: %s", n.Name, text)
		}
	}
}

// explain shows, when a wait has ended in vain, which nodes have no place.
func (w *waiter) explain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	x, err := w.client.Explain(ctx, w.name)
	if err != nil {
		return // the wait's own error is what counts
	}
	for _, n := range x.Nodes {
		text := oneLine(n.Summary)
		if n.SmallestChange != "" {
			text += "; would help: " + oneLine(n.SmallestChange)
		}
		w.line("no place for %s: %s", n.Node, text)
	}
}

// line writes progress. It goes to the error stream when the output is meant
// for a program.
func (w *waiter) line(format string, args ...any) {
	out := w.env.out
	if w.env.output != outputText {
		out = w.env.err
	}
	text := strings.ReplaceAll(clean(fmt.Sprintf(format, args...)), "\n", " ")
	fmt.Fprintf(out, "%4ds  %s\n", w.env.now().Sub(w.began)/time.Second, text)
}
