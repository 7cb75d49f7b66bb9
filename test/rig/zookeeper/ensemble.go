package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Ensemble is three servers that tolerate the loss of one.
type Ensemble struct{ Servers []*Server }

const ensembleSize = 3

// StartEnsemble runs three servers and returns when all serve. Options.Dir must be
// empty. Call Close at the end; ctx bounds the start only.
func StartEnsemble(ctx context.Context, opts Options) (*Ensemble, error) {
	if opts.Dir != "" {
		return nil, errors.New("zookeeper ensemble: each server has a directory of its own, leave Dir empty")
	}
	for attempt := 1; ; attempt++ {
		e, err := startEnsemble(ctx, opts)
		if err == nil {
			return e, nil
		}
		_ = e.Close()
		if attempt == startAttempts || ctx.Err() != nil || !errors.Is(err, errExited) {
			return nil, err
		}
	}
}

// RunEnsemble is StartEnsemble for tests, as Run is Start.
func RunEnsemble(t testing.TB, opts Options) *Ensemble {
	t.Helper()
	Require(t)
	e, err := StartEnsemble(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// startEnsemble returns what it has started even when it fails.
func startEnsemble(ctx context.Context, opts Options) (*Ensemble, error) {
	e := &Ensemble{}
	ports, err := freePorts(3 * ensembleSize)
	if err != nil {
		return e, err
	}
	var lines strings.Builder
	for i := range ensembleSize {
		fmt.Fprintf(&lines, "server.%d=127.0.0.1:%d:%d\n", i+1, ports[3*i+1], ports[3*i+2])
	}
	for i := range ensembleSize {
		s, err := newServer(opts, ports[3*i], i+1, lines.String())
		if err != nil {
			return e, err
		}
		e.Servers = append(e.Servers, s)
		if err := s.launch(); err != nil {
			return e, err
		}
	}
	for _, s := range e.Servers {
		if err := s.awaitServing(ctx); err != nil {
			return e, err
		}
	}
	return e, nil
}

// Addrs is "host:port,host:port,host:port", the form of a client's server list.
func (e *Ensemble) Addrs() string {
	var addrs []string
	for _, s := range e.Servers {
		addrs = append(addrs, s.Addr)
	}
	return strings.Join(addrs, ",")
}

// Leader returns the server that leads the ensemble, nil if none does.
func (e *Ensemble) Leader() *Server {
	for _, s := range e.Servers {
		if mode, err := s.Mode(); err == nil && mode == "leader" {
			return s
		}
	}
	return nil
}

// Close kills all servers and removes their directories.
func (e *Ensemble) Close() error {
	var errs []error
	for _, s := range e.Servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
