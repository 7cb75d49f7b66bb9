package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/volumes"
)

// SparkBackend is the file name of the backend that drivers are given: what the
// scheduler serves, and what a launch document names.
const SparkBackend = "berth-spark-backend.jar"

// task builds the driver's task.
func (w sparkDriver) task(s *slot, resources []mesos.Resource) (mesos.TaskInfo, error) {
	c := w.core
	a, err := w.application(s)
	if err != nil {
		return mesos.TaskInfo{}, err
	}
	dist, ok := c.cfg.SparkCatalogue[a.Spec.Spec.Version]
	if !ok {
		return mesos.TaskInfo{}, fmt.Errorf("version %s is not in Spark's catalogue any more", a.Spec.Spec.Version)
	}
	o := c.sparkTask(a, s, resources, dist, c.driverDocument(a, s.Task.ID, *s.Bind, s.Need, dist))
	o.Artifacts = append(o.Artifacts, executor.Artifact{URI: c.artifactURL(s.Task.ID, SparkBackend)})
	return executor.BuildTask(o)
}

// task builds an executor's task.
func (w sparkExecutor) task(s *slot, resources []mesos.Resource) (mesos.TaskInfo, error) {
	c := w.core
	a, err := sparkApplication(c, s)
	if err != nil {
		return mesos.TaskInfo{}, err
	}
	if a.Context == nil || s.Executor.Context != a.Context.Number {
		return mesos.TaskInfo{}, fmt.Errorf("the SparkContext of executor %d is over", s.Executor.ID)
	}
	// The driver's version, which a changed spec does not change before its next attempt.
	dist, ok := c.cfg.SparkCatalogue[a.AttemptVersion]
	if !ok {
		return mesos.TaskInfo{}, fmt.Errorf("version %s is not in Spark's catalogue any more", a.AttemptVersion)
	}
	p, ok := a.profile(s.Executor.Profile)
	if !ok {
		return mesos.TaskInfo{}, fmt.Errorf("the driver has no resource profile %d any more", s.Executor.Profile)
	}
	x := a.Context
	doc := &executor.Spark{
		Version: a.AttemptVersion, Home: dist.Home, JavaHome: dist.JavaHome,
		Application: a.Spec.Name, AppID: a.AppID, AttemptID: a.Attempt, Address: s.Bind.Address,
		MilliCPUs: int64(s.Need.CPU), MemoryMiB: int64(s.Need.Mem / 1000), HeapMiB: p.MemoryMiB,
		Environment: a.executorEnvironment(),
		Executor: &executor.SparkExecutor{
			ID: s.Executor.ID, DriverURL: x.DriverURL, Cores: p.Cores, ProfileID: p.ID,
			JavaOptions: x.Executor.JavaOptions, ClassPath: x.Executor.ClassPath, LibraryPath: x.Executor.LibraryPath,
		},
	}
	return executor.BuildTask(c.sparkTask(a, s, resources, dist, doc))
}

// sparkTask is what the tasks of drivers and executors have in common.
func (c *Core) sparkTask(a *application, s *slot, resources []mesos.Resource, dist Distribution, doc *executor.Spark) executor.TaskOptions {
	o := executor.TaskOptions{
		TaskID: s.Task.ID, Name: s.Name,
		FrameworkID: mesos.FrameworkID{Value: c.framework.ID}, AgentID: mesos.AgentID{Value: s.Bind.AgentID},
		Resources: resources, User: c.cfg.TaskUser, ExecutorURI: c.executorURL(s.Task.ID),
		Labels: map[string]string{"berth.application": a.Spec.Name, "berth.node": s.Name},
		Launch: executor.Launch{
			Version: executor.LaunchVersion, Kind: s.Kind, TaskID: s.Task.ID, User: c.cfg.SparkUser,
			GraceSeconds: int(c.cfg.KillGrace / time.Second), Spark: doc,
		},
	}
	if dist.URI != "" {
		o.Artifacts = append(o.Artifacts, executor.Artifact{URI: dist.URI, Extract: true, Cache: true})
	}
	for _, uri := range a.Spec.Spec.URIs {
		o.Artifacts = append(o.Artifacts, executor.Artifact{URI: uri, Extract: true, Cache: a.Spec.Spec.CacheURIs})
	}
	return o
}

// driverDocument is what a driver's executor is told.
func (c *Core) driverDocument(a *application, taskID string, b state.Binding, need volumes.Need, dist Distribution) *executor.Spark {
	spec := a.Spec.Spec
	d := &executor.SparkDriver{
		Schedulers: c.cfg.SparkSchedulers, TLS: c.cfg.SparkTLS, Token: executor.Token(c.cfg.TokenKey, a.AppID), Plugin: SparkBackend,
		AppResource: spec.AppResource, MainClass: spec.MainClass, Args: spec.Args,
		Jars: spec.Jars, Files: spec.Files, PyFiles: spec.PyFiles, Properties: driverProperties(a),
	}
	if !need.Ephemeral {
		d.CheckpointPath = checkpointPath
	}
	return &executor.Spark{
		Version: spec.Version, Home: dist.Home, JavaHome: dist.JavaHome,
		Application: a.Spec.Name, AppID: a.AppID, AttemptID: a.Attempt, Address: b.Address,
		MilliCPUs: int64(need.CPU), MemoryMiB: int64(need.Mem / 1000), HeapMiB: mib(spec.Driver.Memory),
		Environment: spec.Environment, Driver: d,
	}
}

// driverDefaults let executors hand over what they have when they are to go. One
// with a receiver would never end by itself, so Spark ends it before Berth does.
var driverDefaults = map[string]string{
	"spark.decommission.enabled":                   "true",
	"spark.storage.decommission.enabled":           "true",
	"spark.executor.decommission.forceKillTimeout": fmt.Sprintf("%ds", int((decommissionDeadline-time.Minute)/time.Second)),
}

func driverProperties(a *application) map[string]string {
	p := maps.Clone(driverDefaults)
	maps.Copy(p, a.Spec.DriverProperties())
	return p
}

// authSecret is the property of Spark's shared secret; executors get it by this
// variable, which is Spark's own.
const (
	authSecret         = "spark.authenticate.secret"
	authSecretVariable = "_SPARK_AUTH_SECRET"
	executorEnvPrefix  = "spark.executorEnv."
)

// executorEnvironment is the environment of the application's executors: what the
// driver gave, and what it withheld as secret and the spec has.
func (a *application) executorEnvironment() map[string]string {
	x := a.Context
	env := maps.Clone(x.Executor.Environment)
	if env == nil {
		env = map[string]string{}
	}
	env["SPARK_USER"] = cmp.Or(x.User, env["SPARK_USER"])
	if env["SPARK_USER"] == "" {
		delete(env, "SPARK_USER")
	}
	properties := a.Spec.Spec.Properties
	for _, name := range x.Withheld {
		if variable, ok := strings.CutPrefix(name, "env:"); ok {
			if value, given := properties[executorEnvPrefix+variable]; given {
				env[variable] = value
			}
		}
	}
	if secret := properties[authSecret]; secret != "" && properties["spark.authenticate"] == "true" {
		env[authSecretVariable] = secret
	}
	return env
}

// unsupplied are the JVM arguments that the driver withheld as secret. Executors
// start without them: arguments are seen by every user of their machine.
func (a *application) unsupplied() []string {
	var out []string
	if a.Context != nil {
		for _, name := range a.Context.Withheld {
			if strings.HasPrefix(name, "-D") && name != "-D"+authSecret {
				out = append(out, name)
			}
		}
	}
	return out
}
