package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/elastic"
	"github.com/berthdata/berth/scheduler/mesos"
	"github.com/berthdata/berth/scheduler/runner"
	"github.com/berthdata/berth/scheduler/sparkhub"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/scheduler/state/backup"
)

// leadership is one term: a core, its runner and its driver.
type leadership struct {
	runner  *runner.Runner
	drivers *sparkhub.Hub
	epoch   int64
}

// lead loads the state and works until ctx ends, the lease ends, or Mesos
// refuses for good.
func (a *App) lead(ctx context.Context, lease state.Lease) error {
	defer func() {
		// Resigning at once makes a planned hand-over quick.
		if err := lease.Resign(); err != nil && !errors.Is(err, state.ErrFenced) {
			a.log.Warn("the lease could not be given back and will run out", zap.Error(err))
		}
	}()
	a.log.Info("leading", zap.Int64("epoch", lease.Epoch()))
	records, err := lease.Store().Load(ctx)
	if err != nil {
		return fmt.Errorf("loading the state: %w", err)
	}
	if err := backup.CheckFinished(records); err != nil {
		return err
	}
	key, first, err := tokenKey(records)
	if err != nil {
		return err
	}
	core, err := scheduler.New(scheduler.Config{
		Epoch: lease.Epoch(), Roles: a.o.Roles, Principal: a.o.Principal, MachineAttribute: a.o.MachineAttribute,
		Catalogue: a.catalogue, SparkCatalogue: a.spark.catalogue, SparkSchedulers: a.spark.schedulers, SparkTLS: a.spark.tls,
		ExecutorURL: a.advertise, TokenKey: key, TaskUser: a.o.TaskUser, NodeUser: a.o.NodeUser, SparkUser: a.o.SparkUser,
		KillGrace: a.o.KillGrace, Retention: a.o.Retention,
	}, records)
	if err != nil {
		return err
	}
	// Only now that all of it can be read is anything written.
	if len(first) > 0 {
		if err := lease.Store().Commit(ctx, first); err != nil {
			return fmt.Errorf("storing the executors' key: %w", err)
		}
	}
	a.log.Info("state loaded", zap.Int("records", len(records)), zap.String("framework", core.FrameworkID()))
	driver, err := a.driver()
	if err != nil {
		return err
	}
	observer := elastic.New(elastic.Options{Logger: a.log.Named("elastic")})
	defer observer.Close()
	drivers := sparkhub.New(lease.Epoch(), time.Now)
	r := runner.New(runner.Options{
		Core: core, Lease: lease, Mesos: driver, Elastic: observer, Agents: agents{driver.Operator()},
		Events: a.hub, Spark: drivers, Log: a.log.Named("runner"), Hooks: a.metrics.runnerHooks(),
	})
	a.hub.Resume(lease.Epoch() << 32)
	a.artifacts.key.Store(&key)
	a.leading.Store(&leadership{runner: r, drivers: drivers, epoch: lease.Epoch()})
	defer a.leading.Store(nil)

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		drivers.Run(gctx, r)
		return nil
	})
	if len(a.spark.catalogue) > 0 {
		g.Go(func() error {
			a.sparkMetrics.Run(gctx)
			return nil
		})
	}
	g.Go(func() error {
		if err := r.Run(gctx); err != nil {
			return err
		}
		return gctx.Err()
	})
	g.Go(func() error {
		err := driver.Run(gctx, a.frameworkID(gctx, core.FrameworkID(), r), func(ev mesos.Event) { r.MesosEvent(gctx, ev) })
		if err == nil {
			err = gctx.Err()
		}
		return err
	})
	err = g.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// frameworkID tells the driver which id to subscribe with. It reads the core in
// its own goroutine; before the runner takes questions the loaded id is right.
func (a *App) frameworkID(ctx context.Context, loaded string, r *runner.Runner) func() string {
	return func() string {
		id := loaded
		if id != "" {
			return id
		}
		if err := r.Query(ctx, func(c *scheduler.Core) { id = c.FrameworkID() }); err != nil {
			return loaded
		}
		return id
	}
}

func (a *App) driver() (*mesos.Driver, error) {
	info, err := mesos.BuildFrameworkInfo(mesos.FrameworkOptions{
		User: a.o.FrameworkUser, Name: a.o.FrameworkName, Principal: a.o.Principal, Roles: a.o.Roles,
		WebUIURL: a.advertise, FailoverTimeout: a.o.FailoverTimeout,
	})
	if err != nil {
		return nil, err
	}
	return mesos.New(mesos.Config{
		Masters: a.o.Masters, Framework: info, Principal: a.o.Principal, SecretFile: a.o.SecretFile,
		Hooks: a.metrics.mesosHooks(),
	}, a.log.Named("mesos"))
}

// agents adapts the driver's operator API to the core's view.
type agents struct{ operator *mesos.Operator }

// Operate frees what an approved repair names.
func (a agents) Operate(ctx context.Context, call scheduler.OperatorCall) error {
	if len(call.Destroy) > 0 {
		return a.operator.DestroyVolumes(ctx, call.AgentID, call.Destroy)
	}
	return a.operator.UnreserveResources(ctx, call.AgentID, call.Unreserve)
}

func (a agents) Observe(ctx context.Context) ([]scheduler.AgentObservation, error) {
	list, err := a.operator.GetAgents(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]scheduler.AgentObservation, 0, len(list))
	for i := range list {
		ag := &list[i]
		address := ag.IP
		if address == "" {
			address = ag.Hostname
		}
		out = append(out, scheduler.AgentObservation{
			ID: ag.ID, Hostname: ag.Hostname, Address: address, Attributes: ag.Attributes,
			Registered: ag.Registered, Active: ag.Active && !ag.Deactivated, Draining: ag.Drain != nil,
			// An agent that an operator deactivated or drains is not active either.
			Disconnected: ag.Registered && !ag.Active && !ag.Deactivated && ag.Drain == nil,
			Total:        ag.Total, Used: ag.Allocated,
		})
	}
	return out, nil
}
