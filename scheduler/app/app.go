package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/berthdata/berth/api/server"
	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor/render"
	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/sparkmetrics"
	"github.com/berthdata/berth/scheduler/state"
)

// eventHistory is how many events the stream can be resumed over.
const eventHistory = 10_000

// App is one Berth.
type App struct {
	o        Options
	log      *zap.Logger
	listener net.Listener
	// submitListener is for Spark's submission protocol alone; nil without one.
	submitListener net.Listener
	sparkMetrics   *sparkmetrics.Poller
	advertise      string
	catalogue      map[string]scheduler.Distribution
	spark          sparkSettings
	state          State
	registry       *prometheus.Registry
	metrics        *metrics
	hub            *server.EventHub
	server         *server.Server
	artifacts      *artifacts
	tokens         *server.Tokens // nil without a tokens file

	// leading is the leadership under way, nil on a follower.
	leading atomic.Pointer[leadership]
}

// New checks the options and binds the API's address. Nothing else is touched
// before Run.
func New(o Options, log *zap.Logger) (*App, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	a := &App{o: o, log: log, hub: server.NewEventHub(eventHistory), registry: prometheus.NewRegistry()}
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.metrics = newMetrics(a.registry, a)
	var err error
	if a.catalogue, err = o.catalogue(); err != nil {
		return nil, err
	}
	path, err := o.executorPath()
	if err != nil {
		return nil, err
	}
	if a.spark, err = o.spark(); err != nil {
		return nil, err
	}
	a.artifacts = &artifacts{paths: map[string]string{executorFile: path}}
	if a.spark.backend != "" {
		a.artifacts.paths[scheduler.SparkBackend] = a.spark.backend
	}
	if a.state, err = o.OpenState(log); err != nil {
		return nil, err
	}
	a.sparkMetrics = sparkmetrics.New(front{a}.SparkApplications, 0)
	if len(a.spark.catalogue) > 0 {
		a.registry.MustRegister(a.sparkMetrics)
	}
	if err := a.buildServer(); err != nil {
		return nil, err
	}
	if err := a.listen(); err != nil {
		return nil, err
	}
	if err := a.spark.reach(o.SparkSchedulers, a.advertise); err != nil {
		return nil, errors.Join(err, a.listener.Close())
	}
	if o.SparkSubmitListen != "" {
		if a.submitListener, err = server.Listen(o.SparkSubmitListen); err != nil {
			return nil, errors.Join(fmt.Errorf("the address for submissions: %w", err), a.listener.Close())
		}
	}
	return a, nil
}

func (a *App) buildServer() error {
	var auth server.Authenticator = server.Anonymous{}
	if a.o.TokensFile != "" {
		tokens, err := server.LoadTokens(a.o.TokensFile)
		if err != nil {
			return err
		}
		auth, a.tokens = tokens, tokens
	}
	if err := server.CheckExposure(a.o.Listen, a.o.TokensFile != "", a.o.Insecure); err != nil {
		return err
	}
	var err error
	a.server, err = server.New(server.Options{
		Commands: front{a}, Queries: front{a}, Spark: a.sparkPorts(), Events: a.hub, Artifacts: a.artifacts,
		Validation: a.validation(), Auth: auth, Insecure: a.o.Insecure, LeaderRedirect: a.redirect,
		Logger: a.log.Named("api"), Registry: a.registry,
		Metrics: promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}),
	})
	return err
}

// validation judges specs by what this Berth offers.
func (a *App) validation() v1.Validation {
	reserved := render.ReservedSettings()
	return v1.Validation{
		Roles: a.o.Roles,
		ReservedSetting: func(name string) (bool, string) {
			for _, r := range reserved {
				if name == r || strings.HasPrefix(name, r+".") {
					return true, "Berth sets it from the rest of the spec"
				}
			}
			return false, ""
		},
		VersionAvailable: func(version string) (bool, string) {
			_, ok := a.catalogue[version]
			return ok, "it is not in this Berth's catalogue (--elasticsearch)"
		},
		SparkVersionAvailable: func(version string) (bool, string) {
			_, ok := a.spark.catalogue[version]
			return ok, "it is not in this Berth's catalogue (--spark)"
		},
	}
}

func (a *App) listen() error {
	l, err := server.Listen(a.o.Listen)
	if err != nil {
		return fmt.Errorf("the API's address: %w", err)
	}
	scheme := "http"
	if a.o.TLSCert != "" {
		cfg, err := server.LoadTLS(a.o.TLSCert, a.o.TLSKey)
		if err != nil {
			return errors.Join(err, l.Close())
		}
		l, scheme = tls.NewListener(l, cfg), "https"
	}
	a.listener = l
	a.advertise = a.o.Advertise
	if a.advertise == "" {
		a.advertise = scheme + "://" + l.Addr().String()
	}
	return nil
}

// ReloadTokens reads the tokens file again. When that fails, the tokens stay as
// they were.
func (a *App) ReloadTokens() error {
	if a.tokens == nil {
		return nil
	}
	return a.tokens.Reload()
}

// Addr is the address that the API listens on.
func (a *App) Addr() string { return a.listener.Addr().String() }

// SubmitAddr is the address for submissions alone, "" without one.
func (a *App) SubmitAddr() string {
	if a.submitListener == nil {
		return ""
	}
	return a.submitListener.Addr().String()
}

// Run serves the API, campaigns and leads, term after term, until ctx ends: a
// planned hand-over that returns nil, after which nodes go on running and the
// framework stays registered. It returns an error when another term would do
// harm or never work: Mesos refused this framework for good, or the state cannot
// be read by this build.
func (a *App) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	defer a.hub.Close()
	g.Go(func() error { return a.server.Serve(ctx, a.listener) })
	if a.submitListener != nil {
		g.Go(func() error { return a.server.ServeSubmissions(ctx, a.submitListener) })
	}
	g.Go(func() error {
		defer a.state.Close()
		err := a.checkState(ctx)
		if err == nil {
			err = a.terms(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	return g.Wait()
}

// terms campaigns and leads again and again. Each term starts from what is
// durable, with a new core: nothing of a lost term is carried over.
func (a *App) terms(ctx context.Context) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 10*time.Second
	for {
		a.log.Info("waiting for leadership", zap.String("advertise", a.advertise))
		began := time.Now()
		err := a.term(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, state.ErrFenced) && !errors.Is(err, state.ErrUnavailable) {
			return err
		}
		if time.Since(began) > a.o.SessionTimeout {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		a.log.Warn("leadership ended: campaigning again", zap.Duration("in", wait), zap.Error(err))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func (a *App) term(ctx context.Context) error {
	lease, err := a.state.Campaign(ctx, a.advertise)
	if err != nil {
		return fmt.Errorf("campaigning for leadership: %w", err)
	}
	return a.lead(ctx, lease)
}

// redirect tells the API's callers who leads.
func (a *App) redirect(ctx context.Context) (leading bool, leaderURL string) {
	if a.leading.Load() != nil {
		return true, ""
	}
	url, err := a.state.Leader(ctx)
	if err != nil || url == a.advertise {
		return false, ""
	}
	return false, url
}
