package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berthdata/berth/api/server"
	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/runner"
)

// sparkSettings are what the options say of Spark.
type sparkSettings struct {
	catalogue map[string]scheduler.Distribution
	// backend is the path of the jar that drivers are given.
	backend string
	// schedulers are host:port of every Berth's API; tls, whether by https.
	schedulers []string
	tls        bool

	submitters []netip.Prefix
	defaults   map[string]string
}

// spark reads the options; without a catalogue this Berth runs no applications.
func (o *Options) spark() (sparkSettings, error) {
	var s sparkSettings
	var err error
	if s.catalogue, err = readCatalogue("--spark", o.Spark); err != nil {
		return s, err
	}
	if len(s.catalogue) == 0 {
		if o.SparkSubmitListen != "" {
			return s, errors.New("--spark-submit-listen: this Berth runs no Spark applications; name a distribution with --spark")
		}
		return s, nil
	}
	if err := s.submissions(o); err != nil {
		return s, err
	}
	if s.backend = o.SparkBackend; s.backend == "" {
		self, err := os.Executable()
		if err != nil {
			return s, fmt.Errorf("finding Spark's backend: %w; name it with --spark-backend", err)
		}
		s.backend = filepath.Join(filepath.Dir(self), scheduler.SparkBackend)
	}
	if _, err := os.Stat(s.backend); err != nil {
		return s, fmt.Errorf("the backend that Spark drivers are to fetch: %w; name it with --spark-backend", err)
	}
	return s, nil
}

// submissions reads who may submit, and what a submission gets by default.
func (s *sparkSettings) submissions(o *Options) error {
	for _, network := range o.SparkSubmitters {
		prefix, err := netip.ParsePrefix(network)
		if err != nil {
			return fmt.Errorf("--spark-submitters %q: want a network, such as 10.1.0.0/16 or 127.0.0.1/32: %w", network, err)
		}
		s.submitters = append(s.submitters, prefix.Masked())
	}
	if o.SparkSubmitListen != "" && len(s.submitters) == 0 {
		return errors.New("--spark-submit-listen: say with --spark-submitters from which networks clients submit there: they send no token")
	}
	s.defaults = map[string]string{}
	for _, property := range o.SparkDefaults {
		name, value, ok := strings.Cut(property, "=")
		if !ok || !strings.HasPrefix(name, "spark.") {
			return fmt.Errorf("--spark-default %q: want spark.NAME=VALUE", property)
		}
		s.defaults[name] = value
	}
	return nil
}

// versions are the catalogue's, the oldest first.
func (s *sparkSettings) versions() []string {
	return slices.SortedFunc(maps.Keys(s.catalogue), func(a, b string) int {
		x, errX := v1.ParseVersion(a)
		y, errY := v1.ParseVersion(b)
		if errX != nil || errY != nil {
			return strings.Compare(a, b) // no spec can name such a version
		}
		return cmp.Or(cmp.Compare(x.Major, y.Major), cmp.Compare(x.Minor, y.Minor), cmp.Compare(x.Patch, y.Patch))
	})
}

// reach sets where drivers find Berth: at every address that was given, or at this
// Berth's own.
func (s *sparkSettings) reach(addresses []string, advertise string) error {
	if len(addresses) == 0 {
		addresses = []string{advertise}
	}
	schemes := map[string]bool{}
	for _, a := range addresses {
		u, err := url.Parse(a)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
			return fmt.Errorf("--spark-schedulers %q: want http://host:port or https://host:port, without a path", a)
		}
		host := u.Host
		if u.Port() == "" {
			host += map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
		}
		s.schedulers = append(s.schedulers, host)
		schemes[u.Scheme] = true
	}
	if len(schemes) > 1 {
		return errors.New("--spark-schedulers: drivers speak either http or https, to every Berth alike")
	}
	s.tls = schemes["https"]
	return nil
}

// sparkPorts are the API's ports for applications, nil where this Berth runs none.
func (a *App) sparkPorts() *server.Spark {
	if len(a.spark.catalogue) == 0 {
		return nil
	}
	return &server.Spark{
		Commands: front{a}, Queries: front{a}, Drivers: front{a}, Metrics: a.sparkMetrics,
		Versions: a.spark.versions(), Defaults: a.spark.defaults, SubmittersFrom: a.spark.submitters, UIDomain: a.o.SparkUIDomain,
	}
}

func (f front) PutSpark(ctx context.Context, a v1.SparkApplication, o server.PutOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.SparkPut{Reply: id, Application: a, IfGeneration: o.IfGeneration, DryRun: o.DryRun, User: o.User, Message: o.Message}
	})
}

func (f front) KillSpark(ctx context.Context, name string, o server.SparkOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.SparkKilled{Reply: id, Name: name, User: o.User, Message: o.Message}
	})
}

func (f front) ScaleSpark(ctx context.Context, name string, s server.SparkScale, o server.SparkOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.SparkScaled{Reply: id, Name: name, Min: s.Min, Max: s.Max, User: o.User, Message: o.Message}
	})
}

func (f front) RemoveSpark(ctx context.Context, name string, o server.SparkOptions) (v1.Accepted, error) {
	return f.ask(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.SparkRemoved{Reply: id, Name: name, User: o.User, Message: o.Message}
	})
}

func (f front) SparkApplications(ctx context.Context) ([]v1.SparkView, error) {
	return read(ctx, f, always((*scheduler.Core).Applications))
}

func (f front) SparkApplication(ctx context.Context, name string) (v1.SparkView, error) {
	return read(ctx, f, func(c *scheduler.Core) (v1.SparkView, *v1.Problem) { return c.Application(name) })
}

func (f front) ExplainSpark(ctx context.Context, name string) (v1.Explanation, error) {
	return read(ctx, f, func(c *scheduler.Core) (v1.Explanation, *v1.Problem) { return c.ExplainApplication(name) })
}

// Admits implements server.SparkDrivers.
func (f front) Admits(appID, token string) bool {
	key := f.app.artifacts.key.Load()
	return key != nil && executor.VerifyToken(*key, appID, token)
}

// driver sends a driver's call to the core and waits until its answer is durable.
func (f front) driver(ctx context.Context, ev func(scheduler.ReplyID) scheduler.Event) (scheduler.SparkAnswer, error) {
	r, err := f.runner()
	if err != nil {
		return scheduler.SparkAnswer{}, err
	}
	reply, err := r.Reply(ctx, ev)
	if err != nil {
		return scheduler.SparkAnswer{}, stopped(err)
	}
	return *reply.Spark, nil
}

// stopped makes a driver look for the next leader: its calls may be repeated.
func stopped(err error) error {
	if errors.Is(err, runner.ErrStopped) {
		return v1.ProblemNotLeader()
	}
	return err
}

func (f front) Register(ctx context.Context, r v1.SparkRegistration) (v1.SparkRegistered, error) {
	a, err := f.driver(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.SparkDriverRegistered{Reply: id, Registration: r}
	})
	return v1.SparkRegistered{
		Protocol: v1.SparkProtocol, AppID: r.AppID, FrameworkID: a.FrameworkID, Epoch: a.Epoch, Bounds: a.Bounds, TargetGeneration: a.TargetGeneration,
	}, err
}

func (f front) SetTarget(ctx context.Context, appID string, t v1.SparkTarget) (v1.SparkTargeted, error) {
	a, err := f.driver(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.SparkTargetSet{Reply: id, AppID: appID, Target: t}
	})
	return v1.SparkTargeted{Protocol: v1.SparkProtocol, TargetGeneration: a.TargetGeneration}, err
}

func (f front) KillExecutors(ctx context.Context, appID string, k v1.SparkKill) (v1.SparkDone, error) {
	_, err := f.driver(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.SparkExecutorsKilled{Reply: id, AppID: appID, Kill: k}
	})
	return v1.SparkDone{Protocol: v1.SparkProtocol}, err
}

func (f front) Unregister(ctx context.Context, appID string, u v1.SparkUnregister) (v1.SparkDone, error) {
	_, err := f.driver(ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.SparkUnregistered{Reply: id, AppID: appID, Unregister: u}
	})
	return v1.SparkDone{Protocol: v1.SparkProtocol}, err
}

func (f front) Sync(ctx context.Context, appID string, s v1.SparkSync) (v1.SparkSynced, error) {
	l := f.app.leading.Load()
	if l == nil {
		return v1.SparkSynced{}, v1.ProblemNotLeader()
	}
	out, err := l.drivers.Sync(ctx, l.runner, appID, s)
	return out, stopped(err)
}
