package apitest

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/berthdata/berth/api/server"
	v1 "github.com/berthdata/berth/api/v1"
)

var (
	_ server.SparkCommands = (*Fake)(nil)
	_ server.SparkQueries  = (*Fake)(nil)
	_ server.SparkDrivers  = (*Fake)(nil)
)

// Spark makes the fake a Berth that runs Spark applications.
func (f *Fake) Spark() *server.Spark {
	return &server.Spark{Commands: f, Queries: f, Drivers: f, Versions: []string{"3.5.9", "4.3.0"}}
}

// SetSpark changes an application's view as the core would.
func (f *Fake) SetSpark(name string, change func(*v1.SparkView)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.spark[name])
}

// PutSpark implements server.SparkCommands.
func (f *Fake) PutSpark(ctx context.Context, a v1.SparkApplication, o server.PutOptions) (v1.Accepted, error) {
	if err := f.enter(ctx, "PutSpark"); err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{"PutSpark", a.Name, o})
	old, generation := f.spark[a.Name], int64(0)
	out := v1.Accepted{Name: a.Name, DryRun: o.DryRun}
	if old != nil {
		generation = old.Generation
		out.Changes = v1.DiffSpark(old.Spec, a.Spec)
	}
	if o.IfGeneration != nil && *o.IfGeneration != generation {
		return v1.Accepted{}, v1.ProblemGenerationMismatch("application", a.Name, *o.IfGeneration, generation)
	}
	out.Generation, out.Changed = generation, old == nil || len(out.Changes) > 0
	if !out.Changed || o.DryRun {
		return out, nil
	}
	out.Generation++
	least, most := a.Spec.Executors.Bounds()
	if f.spark == nil {
		f.spark = map[string]*v1.SparkView{}
	}
	f.spark[a.Name] = &v1.SparkView{SparkApplication: a, Generation: out.Generation, Status: v1.SparkStatus{
		Phase: "Pending", AppID: "berth-" + a.Name + "-1", Scale: v1.SparkScaleView{Min: least, Max: most}, CreatedAt: Epoch, UpdatedAt: Epoch,
		Driver: v1.SparkTaskView{Name: a.Name + "-driver", State: "Pending", Since: Epoch},
	}}
	return out, nil
}

// application finds one and notes the order.
func (f *Fake) application(ctx context.Context, method, name string, o any) (*v1.SparkView, error) {
	if err := f.enter(ctx, method); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if o != nil {
		f.calls = append(f.calls, Call{method, name, o})
	}
	if view, ok := f.spark[name]; ok {
		return view, nil
	}
	return nil, v1.ProblemNotFound("application", name)
}

func ended(v *v1.SparkView) bool {
	return slices.Contains([]string{"Succeeded", "Failed", "Killed"}, v.Status.Phase)
}

// KillSpark implements server.SparkCommands: the application ends at once.
func (f *Fake) KillSpark(ctx context.Context, name string, o server.SparkOptions) (v1.Accepted, error) {
	view, err := f.application(ctx, "KillSpark", name, o)
	if err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := !ended(view)
	if changed {
		view.Status.Phase = "Killed"
	}
	return v1.Accepted{Name: name, Generation: view.Generation, Changed: changed}, nil
}

// ScaleOptions are those of a ScaleSpark among the calls.
type ScaleOptions struct {
	server.SparkScale
	server.SparkOptions
}

// ScaleSpark implements server.SparkCommands.
func (f *Fake) ScaleSpark(ctx context.Context, name string, s server.SparkScale, o server.SparkOptions) (v1.Accepted, error) {
	view, err := f.application(ctx, "ScaleSpark", name, ScaleOptions{s, o})
	if err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	scale := &view.Status.Scale
	least, most := view.Spec.Executors.Bounds()
	if s.Min != nil {
		least, most = *s.Min, *s.Max
	}
	changed := scale.Min != least || scale.Max != most
	scale.Min, scale.Max = least, most
	return v1.Accepted{Name: name, Generation: view.Generation, Changed: changed}, nil
}

// RemoveSpark implements server.SparkCommands.
func (f *Fake) RemoveSpark(ctx context.Context, name string, o server.SparkOptions) (v1.Accepted, error) {
	view, err := f.application(ctx, "RemoveSpark", name, o)
	if err != nil {
		return v1.Accepted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !ended(view) {
		return v1.Accepted{}, v1.ProblemConflict("the application has not ended", "kill it first")
	}
	delete(f.spark, name)
	return v1.Accepted{Name: name, Generation: view.Generation, Changed: true}, nil
}

// SparkApplications implements server.SparkQueries.
func (f *Fake) SparkApplications(ctx context.Context) ([]v1.SparkView, error) {
	if err := f.enter(ctx, "SparkApplications"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []v1.SparkView
	for _, name := range slices.Sorted(maps.Keys(f.spark)) {
		list = append(list, *f.spark[name])
	}
	return list, nil
}

// SparkApplication implements server.SparkQueries.
func (f *Fake) SparkApplication(ctx context.Context, name string) (v1.SparkView, error) {
	view, err := f.application(ctx, "SparkApplication", name, nil)
	if err != nil {
		return v1.SparkView{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.SparkScript != nil {
		if f.reads == nil {
			f.reads = map[string]int{}
		}
		f.reads[name]++
		f.SparkScript(view, f.reads[name])
	}
	return *view, nil
}

// ExplainSpark implements server.SparkQueries.
func (f *Fake) ExplainSpark(ctx context.Context, name string) (v1.Explanation, error) {
	if _, err := f.application(ctx, "ExplainSpark", name, nil); err != nil {
		return v1.Explanation{}, err
	}
	return v1.Explanation{Cluster: name, Nodes: []v1.NodeExplanation{{
		Node: name + "-exec-2", Summary: "3 agents were judged, none fits", Agents: 3,
		Reasons: []v1.ReasonNode{{Name: "resources", Reason: "1408 MiB are needed", Agents: 3, Examples: []string{"host-1"}}},
	}}}, nil
}

// SparkToken opens every application's driver calls at the fake.
const SparkToken = "driver-secret"

// Admits implements server.SparkDrivers.
func (f *Fake) Admits(_, token string) bool { return token == SparkToken }

func driverCall[T any](ctx context.Context, f *Fake, method, appID string, body any, answer T) (T, error) {
	var none T
	if err := f.enter(ctx, method); err != nil {
		return none, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{method, appID, body})
	return answer, nil
}

// Register implements server.SparkDrivers.
func (f *Fake) Register(ctx context.Context, r v1.SparkRegistration) (v1.SparkRegistered, error) {
	return driverCall(ctx, f, "Register", r.AppID, r, v1.SparkRegistered{
		Protocol: v1.SparkProtocol, AppID: r.AppID, FrameworkID: "fw-1", Epoch: 1, Bounds: v1.SparkBounds{Revision: 1, Min: 1, Max: 2}})
}

// SetTarget implements server.SparkDrivers.
func (f *Fake) SetTarget(ctx context.Context, appID string, t v1.SparkTarget) (v1.SparkTargeted, error) {
	return driverCall(ctx, f, "SetTarget", appID, t, v1.SparkTargeted{Protocol: v1.SparkProtocol, TargetGeneration: t.Generation})
}

// KillExecutors implements server.SparkDrivers.
func (f *Fake) KillExecutors(ctx context.Context, appID string, k v1.SparkKill) (v1.SparkDone, error) {
	return driverCall(ctx, f, "KillExecutors", appID, k, v1.SparkDone{Protocol: v1.SparkProtocol})
}

// Unregister implements server.SparkDrivers.
func (f *Fake) Unregister(ctx context.Context, appID string, u v1.SparkUnregister) (v1.SparkDone, error) {
	return driverCall(ctx, f, "Unregister", appID, u, v1.SparkDone{Protocol: v1.SparkProtocol})
}

// Sync implements server.SparkDrivers: there is never news.
func (f *Fake) Sync(ctx context.Context, appID string, s v1.SparkSync) (v1.SparkSynced, error) {
	answer, err := driverCall(ctx, f, "Sync", appID, s, v1.SparkSynced{Protocol: v1.SparkProtocol, Epoch: 1})
	if err != nil {
		return answer, err
	}
	timer := time.NewTimer(time.Duration(s.WaitMs) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return answer, nil
}
