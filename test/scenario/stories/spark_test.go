package stories

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/state"
)

// sparkEvent makes the event of a command about Spark applications; nil when the
// API refuses what is asked for.
func (w *world) sparkEvent(d *datadriven.TestData) (ev scheduler.Event, known bool) {
	name := func() string { return names(d)[0] }
	switch d.Cmd {
	case "spark-put": // spark-put [if-generation=N dry-run user=U] and a spec
		return w.sparkPut(d), true
	case "spark-kill": // spark-kill NAME
		return scheduler.SparkKilled{Reply: 1, Name: name(), User: value(d, "user", "ann"), Message: value(d, "message", "")}, true
	case "spark-remove": // spark-remove NAME
		return scheduler.SparkRemoved{Reply: 1, Name: name(), User: "ann"}, true
	case "spark-scale": // spark-scale NAME [min=N max=M]: without, the spec's bounds
		e := scheduler.SparkScaled{Reply: 1, Name: name(), User: value(d, "user", "ann")}
		if d.HasArg("min") {
			least, most := int(number(w.t, d, "min", 0)), int(number(w.t, d, "max", 0))
			e.Min, e.Max = &least, &most
		}
		return e, true
	case "driver-registers": // driver-registers APPID attempt=N [port=P generation=G total=T registered=1,2 killing=3 highest=N java=-Dx withheld=env:X]
		r := v1.SparkRegistration{
			Protocol: 1, AppID: name(), AttemptID: w.attempt(d), SparkVersion: "3.5.9", User: "spark", DriverHost: "h1",
			DriverURL: "spark://CoarseGrainedScheduler@h1:" + value(d, "port", "40001"), UIURL: "http://h1:4040",
			RegisteredExecutors: words(d, "registered"), Killing: words(d, "killing"), MaxExecutorID: int64(number(w.t, d, "highest", 0)),
			Executor: v1.SparkExecutorTemplate{JavaOptions: words(d, "java")}, Withheld: words(d, "withheld"),
		}
		if d.HasArg("generation") {
			t := w.target(d)
			r.Target = &t
		}
		return scheduler.SparkDriverRegistered{Reply: 1, Registration: r}, true
	case "driver-wants": // driver-wants APPID attempt=N generation=G total=T [cores=C memory=MiB exclude=h1 profiles=0:2,1:3]
		return scheduler.SparkTargetSet{Reply: 1, AppID: name(), Target: w.target(d)}, true
	case "driver-kills": // driver-kills APPID attempt=N ids=1,2
		return scheduler.SparkExecutorsKilled{Reply: 1, AppID: name(), Kill: v1.SparkKill{Protocol: 1, AttemptID: w.attempt(d), ExecutorIDs: words(d, "ids")}}, true
	case "driver-unregisters": // driver-unregisters APPID attempt=N state=FINISHED
		return scheduler.SparkUnregistered{Reply: 1, AppID: name(), Unregister: v1.SparkUnregister{
			Protocol: 1, AttemptID: w.attempt(d), State: value(d, "state", "FINISHED"), Message: value(d, "message", ""),
		}}, true
	case "driver-syncs": // driver-syncs APPID attempt=N [registered=1,2 killing=3 highest=N restate]
		return scheduler.SparkSynced{Reply: 1, AppID: name(), Restate: d.HasArg("restate"), Sync: v1.SparkSync{
			Protocol: 1, AttemptID: w.attempt(d), RegisteredExecutors: words(d, "registered"), Killing: words(d, "killing"), MaxExecutorID: int64(number(w.t, d, "highest", 0)),
		}}, true
	case "driver-silent": // driver-silent APPID attempt=N [ago=1m]: without, it is heard again
		e := scheduler.SparkHeartbeat{AppID: name(), Attempt: w.attempt(d)}
		if d.HasArg("ago") {
			ago, err := time.ParseDuration(value(d, "ago", ""))
			require.NoError(w.t, err)
			e.SilentSince = w.now.Add(-ago)
		}
		return e, true
	}
	return nil, false
}

func words(d *datadriven.TestData, key string) []string {
	if text := value(d, key, ""); text != "" {
		return strings.Split(text, ",")
	}
	return nil
}

func (w *world) attempt(d *datadriven.TestData) int64 { return int64(number(w.t, d, "attempt", 1)) }

func (w *world) target(d *datadriven.TestData) v1.SparkTarget {
	t := v1.SparkTarget{
		Protocol: 1, AttemptID: w.attempt(d), Generation: int64(number(w.t, d, "generation", 1)), ExcludedNodes: words(d, "exclude"),
	}
	add := func(id, total int) {
		t.Profiles = append(t.Profiles, v1.SparkProfile{
			ID: id, Total: total, Cores: int(number(w.t, d, "cores", 1)), MemoryMiB: int64(number(w.t, d, "memory", 1024)), MemoryOverheadMiB: 384,
		})
	}
	for _, p := range words(d, "profiles") {
		id, total, _ := strings.Cut(p, ":")
		add(w.whole(id), w.whole(total))
	}
	if d.HasArg("total") {
		add(0, int(number(w.t, d, "total", 0)))
	}
	if gpus := value(d, "gpus", ""); gpus != "" {
		t.Profiles[0].Resources = map[string]int64{"gpu": int64(w.whole(gpus))}
	}
	return t
}

func (w *world) whole(text string) int {
	n, err := strconv.Atoi(text)
	require.NoError(w.t, err)
	return n
}

func (w *world) sparkPut(d *datadriven.TestData) scheduler.Event {
	doc, err := yaml.YAMLToJSON([]byte(d.Input))
	require.NoError(w.t, err, d.Pos)
	a, problem := v1.DecodeSparkApplication(doc)
	if problem == nil {
		a.SetDefaults()
		problem = a.Validate(v1.Validation{})
	}
	if problem != nil {
		w.refusedSpark = fmt.Sprintf("the API refuses: %s\n", problemText(problem))
		return nil
	}
	e := scheduler.SparkPut{Reply: 1, Application: a, DryRun: d.HasArg("dry-run"), User: value(d, "user", "ann")}
	if d.HasArg("if-generation") {
		g := int64(number(w.t, d, "if-generation", 0))
		e.IfGeneration = &g
	}
	return e
}

func noticeText(n scheduler.SparkNotice) string {
	if n.Gone {
		return n.AppID + ": gone"
	}
	text := fmt.Sprintf("%s, attempt %d: registered %t, bounds %d … %d (revision %d), target %d", n.AppID, n.Attempt, n.Registered, n.Bounds.Min, n.Bounds.Max, n.Bounds.Revision, n.TargetGeneration)
	if n.Over != nil {
		text += ", over: " + problemText(n.Over)
	}
	for _, e := range n.Events {
		text += fmt.Sprintf("\n  %s %s", e.Type, e.ExecutorID)
		switch {
		case e.Type == v1.SparkDecommission:
			text += fmt.Sprintf(", replace %t", e.Replace)
		case e.ExitCode != nil:
			text += fmt.Sprintf(", exit code %d, caused by the application %t", *e.ExitCode, e.CausedByApp)
		default:
			text += fmt.Sprintf(", caused by the application %t", e.CausedByApp)
		}
		text += ": " + e.Message
	}
	return text
}

func applicationText(a state.Application) string {
	text := fmt.Sprintf("generation %d, attempt %d", a.Generation, a.Attempt)
	if a.Recorded {
		text += " ended"
	}
	text += fmt.Sprintf(", next executor %d", a.NextExecutor)
	if x := a.Context; x != nil {
		text += fmt.Sprintf(", context %d", x.Number)
		if x.Target != nil {
			text += fmt.Sprintf(", target %d of", x.Target.Generation)
			for _, p := range x.Target.Profiles {
				text += fmt.Sprintf(" %d:%d", p.ID, p.Total)
			}
		}
		if len(x.Adopted) > 0 {
			text += fmt.Sprintf(", adopted %v", x.Adopted)
		}
		if x.Unregistered != nil {
			text += ", unregistered " + x.Unregistered.State
		}
	}
	if a.Scale != nil {
		text += fmt.Sprintf(", scaled to %d … %d", a.Scale.Min, a.Scale.Max)
	}
	if a.Kill != nil {
		text += ", to be killed"
	}
	if a.End != nil {
		text += ", " + a.End.State
	}
	return text
}

// sparkText is what matters of a launch document.
func sparkText(s *executor.Spark) string {
	text := fmt.Sprintf("Spark %s, attempt %d of %s, heap %d MiB", s.Version, s.AttemptID, s.AppID, s.HeapMiB)
	if d := s.Driver; d != nil {
		text += fmt.Sprintf(", runs %s", d.AppResource)
		if d.CheckpointPath != "" {
			text += ", checkpoint at " + d.CheckpointPath
		}
	}
	if x := s.Executor; x != nil {
		text += fmt.Sprintf(", executor %d of %s, %d cores", x.ID, x.DriverURL, x.Cores)
		if len(x.JavaOptions) > 0 {
			text += fmt.Sprintf(", options %v", x.JavaOptions)
		}
	}
	return text
}

// viewSpark prints a view of applications; false: there is no such view.
func (w *world) viewSpark(what, name string, line func(string, ...any)) bool {
	switch what {
	case "spark":
		v, problem := w.core.Application(name)
		if problem != nil {
			line("%s", problemText(problem))
			return true
		}
		s := v.Status
		line("%s", strings.TrimRight(fmt.Sprintf("%s: %s, generation %d, attempt %d: %s", name, s.Phase, v.Generation, s.Attempt, s.Message), ": "))
		line("  driver %s", taskViewText(s.Driver))
		line("  executors: %d … %d, asked %d, wanted %d, running %d, pending %d, draining %d", s.Scale.Min, s.Scale.Max, s.Scale.Asked, s.Scale.Wanted, s.Scale.Running, s.Scale.Pending, s.Scale.Draining)
		for _, x := range s.List {
			line("  executor %d %s", x.ExecutorID, taskViewText(x))
		}
		for _, a := range s.Attempts {
			line("  attempt %d %s on %s: %s", a.Attempt, a.State, a.Hostname, a.Message)
		}
		for _, c := range s.Conditions {
			line("  %s %s", c.Type, strings.TrimRight(fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message), ": "))
		}
	case "applications":
		for _, v := range w.core.Applications() {
			line("%s: %s", v.Name, v.Status.Phase)
		}
	case "spark-explain":
		e, problem := w.core.ExplainApplication(name)
		require.Nil(w.t, problem)
		for _, n := range e.Nodes {
			line("%s: %d of %d agents fit: %s", n.Node, n.Fitting, n.Agents, n.Summary)
		}
	default:
		return false
	}
	return true
}

func taskViewText(t v1.SparkTaskView) string {
	text := t.State
	if t.Registered {
		text += ", registered"
	}
	if t.Hostname != "" {
		text += ", on " + t.Hostname
	}
	if t.Message != "" {
		text += ": " + t.Message
	}
	return text
}
