package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	v1 "github.com/berthdata/berth/api/v1"
)

// Options make a Server. Commands, Queries and Events are needed; the rest has
// defaults.
type Options struct {
	Commands  Commands
	Queries   Queries
	Events    EventSource
	Artifacts Artifacts // nil: every artifact is unknown
	// Spark; nil: this Berth runs no Spark applications.
	Spark *Spark

	// Validation judges specs. Its first Mesos role is given to specs that
	// name none.
	Validation v1.Validation

	Auth Authenticator // nil: Anonymous
	// Insecure lets anonymous callers use any Host header. It is the
	// operator's word that everybody on the network may do everything.
	Insecure bool
	// LeaderRedirect; nil: this Berth always leads.
	LeaderRedirect LeaderRedirect

	Logger   *zap.Logger           // nil: silent
	Registry prometheus.Registerer // nil: a private one
	Metrics  http.Handler          // what /metrics answers; nil: 404
	Limits   Limits
}

// Limits bound what callers can hold. Zero values mean the defaults, which
// DefaultLimits names.
type Limits struct {
	// RequestTimeout bounds a call of a port.
	RequestTimeout time.Duration
	// SubmissionTimeout is the same for Spark's submission protocol, whose clients
	// give up after 10 s, and whose users then submit again.
	SubmissionTimeout time.Duration
	// HeaderTimeout, ReadTimeout and IdleTimeout are those of net/http.
	HeaderTimeout, ReadTimeout, IdleTimeout time.Duration
	// WriteTimeout bounds one answer; for streams and files, each write.
	WriteTimeout time.Duration
	// ShutdownTimeout bounds how long Serve waits for answers under way.
	ShutdownTimeout time.Duration
	// KeepAlive is how often a silent event stream sends a comment.
	KeepAlive time.Duration
	// Streams is how many event streams may be open at once.
	Streams int
	// Syncs is how many calls of Spark drivers may be held at once.
	Syncs int
	// UIs is how many requests to drivers' UIs may be under way.
	UIs int
	// Rate and Burst bound the requests per second of one client: one token,
	// or one address where there are none. Clients is how many are remembered.
	Rate    float64
	Burst   int
	Clients int
}

// DefaultLimits are generous: they stop accidents, not use.
func DefaultLimits() Limits {
	return Limits{
		RequestTimeout: 30 * time.Second, SubmissionTimeout: 8 * time.Second,
		HeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		WriteTimeout: 30 * time.Second, ShutdownTimeout: 10 * time.Second,
		KeepAlive: 15 * time.Second, Streams: 256, Syncs: 4096, UIs: 256,
		Rate: 100, Burst: 400, Clients: 10_000,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	setIfZero(&l.RequestTimeout, d.RequestTimeout)
	setIfZero(&l.SubmissionTimeout, d.SubmissionTimeout)
	setIfZero(&l.HeaderTimeout, d.HeaderTimeout)
	setIfZero(&l.ReadTimeout, d.ReadTimeout)
	setIfZero(&l.IdleTimeout, d.IdleTimeout)
	setIfZero(&l.WriteTimeout, d.WriteTimeout)
	setIfZero(&l.ShutdownTimeout, d.ShutdownTimeout)
	setIfZero(&l.KeepAlive, d.KeepAlive)
	setIfZero(&l.Streams, d.Streams)
	setIfZero(&l.Syncs, d.Syncs)
	setIfZero(&l.UIs, d.UIs)
	setIfZero(&l.Rate, d.Rate)
	setIfZero(&l.Burst, d.Burst)
	setIfZero(&l.Clients, d.Clients)
	return l
}

func setIfZero[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Server answers the API on any number of listeners.
type Server struct {
	opts    Options
	limits  Limits
	log     *zap.Logger
	metrics *metrics
	clients *clientLimiter
	streams chan struct{} // one element an open event stream
	syncs   chan struct{} // one element a held call of a driver
	uis     chan struct{} // one element a request to a driver's UI

	toDrivers *http.Transport
	origin    *http.CrossOriginProtection
	doc       document
	handler   http.Handler
}

// New builds a server. It fails when a port is missing or the metrics are
// registered already.
func New(o Options) (*Server, error) {
	if o.Commands == nil || o.Queries == nil || o.Events == nil {
		return nil, errors.New("api/server: Commands, Queries and Events are needed")
	}
	if o.Spark != nil && (o.Spark.Commands == nil || o.Spark.Queries == nil || o.Spark.Drivers == nil) {
		return nil, errors.New("api/server: Spark needs Commands, Queries and Drivers")
	}
	if o.Auth == nil {
		o.Auth = Anonymous{}
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	s := &Server{
		opts: o, limits: o.Limits.withDefaults(), log: o.Logger,
		origin: http.NewCrossOriginProtection(),
	}
	s.clients = newClientLimiter(s.limits)
	s.streams = make(chan struct{}, s.limits.Streams)
	s.uis = make(chan struct{}, s.limits.UIs)
	s.toDrivers = driverTransport()
	s.syncs = make(chan struct{}, s.limits.Syncs)
	var err error
	if s.metrics, err = newMetrics(o.Registry); err != nil {
		return nil, fmt.Errorf("api/server: metrics: %w", err)
	}
	if s.doc, err = loadDocument(); err != nil {
		return nil, fmt.Errorf("api/server: OpenAPI document: %w", err)
	}
	s.handler = s.buildHandler(s.routes())
	return s, nil
}

// Handler is the whole API, to be embedded in another server or a test.
func (s *Server) Handler() http.Handler { return s.handler }

// stopKey carries the context of Serve to event streams: it ends before the
// requests' own contexts do, so that streams end at once and changes under way
// are still answered.
type stopKey struct{}

// Serve answers on ln until ctx ends; then it closes ln, ends event streams,
// and waits for other answers under way, at most Limits.ShutdownTimeout. For
// TLS, wrap ln with tls.NewListener and LoadTLS's configuration.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	return s.serve(ctx, ln, s.handler)
}

// ServeSubmissions answers nothing but Spark's submission protocol on ln, as
// Serve does: spark-submit speaks HTTP without TLS only. Options.Spark is needed.
func (s *Server) ServeSubmissions(ctx context.Context, ln net.Listener) error {
	return s.serve(ctx, ln, s.buildHandler(s.submissionRoutes()))
}

func (s *Server) serve(ctx context.Context, ln net.Listener, handler http.Handler) error {
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: s.limits.HeaderTimeout,
		ReadTimeout:       s.limits.ReadTimeout,
		IdleTimeout:       s.limits.IdleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          zap.NewStdLog(s.log.Named("http")),
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.Background(), stopKey{}, ctx)
		},
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		return fmt.Errorf("API on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.ShutdownTimeout)
	defer cancel()
	err := srv.Shutdown(grace)
	if err != nil {
		_ = srv.Close() // what is still open has had its time
	}
	<-ended
	if err != nil {
		return fmt.Errorf("API on %s: answers were cut off at the end: %w", ln.Addr(), err)
	}
	return nil
}
