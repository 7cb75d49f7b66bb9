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

// poller looks at something again and again until it is as wanted.
type poller struct {
	env     *environment
	what    string // such as "cluster logs"
	timeout time.Duration
	began   time.Time
	trouble string // the last failure to read
}

func (e *environment) poller(what string, timeout time.Duration) poller {
	return poller{env: e, what: what, timeout: timeout, began: e.now()}
}

// waiter watches one cluster and shows what changes.
type waiter struct {
	poller
	client  *client.Client
	name    string
	cluster string            // the cluster's last line
	nodes   map[string]string // each node's last line
}

func (e *environment) waiter(c *client.Client, name string, timeout time.Duration) *waiter {
	return &waiter{poller: e.poller("cluster "+name, timeout), client: c, name: name, nodes: map[string]string{}}
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

func (w *waiter) until(ctx context.Context, what string, done func(v1.ClusterView, error) (bool, error)) error {
	return w.poll(ctx, what, func(ctx context.Context) (bool, error, error) {
		view, err := w.client.Cluster(ctx, w.name)
		if ctx.Err() != nil {
			return false, nil, ctx.Err()
		}
		ended, stop := done(view, err)
		if err == nil {
			w.show(ctx, view)
		}
		if ended {
			err = nil
		}
		return ended, stop, err
	}, w.explain)
}

// poll calls look until it says done, or stop with a reason, and late when the
// time is over before. Berth may be away for a while meanwhile (a fail-over,
// say): only a refusal ends the wait.
func (p *poller) poll(parent context.Context, what string, look func(context.Context) (done bool, stop, failed error), late func(context.Context)) error {
	ctx, cancel := context.WithTimeout(parent, p.timeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		done, stop, failed := look(ctx)
		if ctx.Err() == nil {
			switch {
			case stop != nil:
				return stop
			case failed != nil:
				if err := p.endure(failed); err != nil {
					return err
				}
			default:
				p.trouble = ""
			}
			if done {
				p.line("%s is %s", p.what, what)
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if parent.Err() != nil {
				return errors.New("interrupted; Berth goes on without this command")
			}
			ctx, cancel := context.WithTimeout(parent, 5*time.Second)
			defer cancel()
			late(ctx)
			return fmt.Errorf("%w after %s: %s is not %s yet; Berth goes on", errTimeout, p.timeout, p.what, what)
		}
	}
}

// endure tells a passing failure once, and returns a lasting one.
func (p *poller) endure(err error) error {
	var problem *v1.Problem
	if errors.As(err, &problem) && problem.Status < 500 && problem.Status != http.StatusTooManyRequests {
		return err
	}
	if text := oneLine(err.Error()); text != p.trouble {
		p.trouble = text
		p.line("still trying: %s", text)
	}
	return nil
}

func (w *waiter) show(ctx context.Context, v v1.ClusterView) {
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
	// If it fails: the wait's own error is what counts.
	if x, err := w.client.Explain(ctx, w.name); err == nil {
		w.noPlace(x)
	}
}

func (p *poller) noPlace(x v1.Explanation) {
	for _, n := range x.Nodes {
		text := oneLine(n.Summary)
		if n.SmallestChange != "" {
			text += "; would help: " + oneLine(n.SmallestChange)
		}
		p.line("no place for %s: %s", n.Node, text)
	}
}

// line writes progress. It goes to the error stream when the output is meant
// for a program.
func (p *poller) line(format string, args ...any) {
	out := p.env.out
	if p.env.output != outputText {
		out = p.env.err
	}
	text := strings.ReplaceAll(clean(fmt.Sprintf(format, args...)), "\n", " ")
	fmt.Fprintf(out, "%4ds  %s\n", p.env.now().Sub(p.began)/time.Second, text)
}
