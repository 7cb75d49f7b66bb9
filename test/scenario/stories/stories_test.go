// Package stories runs the core through stories that are written down in
// testdata: what comes in, and every record, call, reply and event that follows.
// The master in them does what the core's calls say, so an operation that Mesos
// would refuse fails the test, and so does whatever must never happen in any
// story: see the checks of world. Run with -rewrite to write the answers anew,
// and read the difference against the rules.
package stories

import (
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/elastic/observe"
)

func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			w := newWorld(t)
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				w.t = t
				out := w.run(d)
				if out == "" {
					return "nothing\n"
				}
				return out
			})
			w.let(true)
		})
	}
}

// run carries one command out and writes what followed.
func (w *world) run(d *datadriven.TestData) string {
	var out strings.Builder
	show := func(ev scheduler.Event) {
		w.print(&out, w.step(ev), d.HasArg("questions"))
	}
	switch d.Cmd {
	case "machine": // machine AGENT host=H [cpus= mem= disk= ports=N-M rack=R]: another agent
		w.addMachine(d)
		return "ok\n"
	case "reborn": // reborn AGENT as=ID: the machine comes back under a new agent id, without tasks
		w.reborn(d)
		return "ok\n"
	case "copied": // copied AGENT as=ID: another machine has a copy of the agent's disks
		w.copied(d)
		return "ok\n"
	case "subscribe":
		show(scheduler.Subscribed{FrameworkID: value(d, "framework", "F1")})
	case "disconnect":
		w.let(true)
		clear(w.offers)
		show(scheduler.Disconnected{Reason: "the connection broke"})
	case "put": // put [if-generation=N dry-run user=U] and a spec
		w.put(d, &out, show)
	case "offer": // offer AGENT… [lost] [refuse=create|reserve] [split] [hidden=disk] [maintenance=2h]
		w.let(true)
		w.lost = d.HasArg("lost")
		w.refused = map[string]mesos.Offer_Operation_Type{
			"create": mesos.Offer_Operation_CREATE, "reserve": mesos.Offer_Operation_RESERVE,
			"destroy": mesos.Offer_Operation_DESTROY, "unreserve": mesos.Offer_Operation_UNRESERVE,
		}[value(d, "refuse", "")]
		d := w.core.Step(w.now, scheduler.OffersReceived{Offers: w.makeOffers(d)})
		w.last, w.wake = &d, d.Wake
		for _, q := range d.Elastic {
			w.asked[q.Cluster] = q
		}
		w.checkDestroys(d)
		w.print(&out, d, false)
	case "rescind": // rescind OFFER
		w.let(true)
		delete(w.offers, names(d)[0])
		show(scheduler.OfferRescinded{OfferID: names(d)[0]})
	case "inverse-offer": // inverse-offer AGENT [in=2h]
		in, err := time.ParseDuration(value(d, "in", "0s"))
		require.NoError(w.t, err)
		show(scheduler.InverseOffersReceived{Offers: []mesos.InverseOffer{{
			OfferID: mesos.OfferID{Value: "i1"}, AgentID: &mesos.AgentID{Value: names(d)[0]},
			Unavailability: mesos.Unavailability{Start: mesos.TimeInfo{Nanoseconds: w.now.Add(in).UnixNano()}}}}})
	case "status": // status STATE TASK… [agent=A no-uuid healthy unhealthy executor-stays reason= message= uuid= exit=N signal=S]
		for _, st := range w.statuses(d) {
			show(scheduler.TaskUpdated{Status: st})
		}
	case "executor-ended": // executor-ended TASK
		w.let(true)
		for _, m := range w.machines {
			m.endExecutor(names(d)[0])
		}
		return "ok\n"
	case "operation": // operation STATE ID… [no-uuid message=]
		for _, st := range w.operations(d) {
			show(scheduler.OperationUpdated{Status: st})
		}
	case "agent-failed":
		show(scheduler.AgentFailed{AgentID: names(d)[0]})
	case "executor-failed":
		show(scheduler.ExecutorFailed{AgentID: names(d)[0], ExecutorID: names(d)[1], Status: 1})
	case "agents": // agents [without=A unregistered=A disconnected=A draining=A asked=5s]
		w.let(true)
		show(w.observeAgents(d))
	case "repair": // repair plan [FINDING… retained retain=1h] | approve ID [fingerprint=F] | cancel ID [step=N]
		show(w.repair(d))
	case "operator": // operator [TAKEN|refused|unanswered]: the newest call of the operator API is answered
		w.operator(d, &out, show)
	case "meddle": // meddle reserve|destroy|unreserve AGENT: what somebody else does there
		w.meddle(d)
		return "ok\n"
	case "elastic": // elastic CLUSTER [health=green uuid=U nodes=N|NAME,… replicas=R master=NODE at-risk=INDEX error=CLASS stale behind] and lines at risk
		show(w.observation(d))
	case "advance": // advance 5s [brief]: brief leaves out what is only asked again
		span, err := time.ParseDuration(names(d)[0])
		require.NoError(w.t, err, d.Pos)
		w.advance(span, d.HasArg("brief"), &out)
	case "crash": // crash [unsent|lost]: after all left; after the writes; before them
		switch {
		case d.HasArg("lost"):
			w.last = nil
		case d.HasArg("unsent"):
			w.let(false)
		default:
			w.let(true)
		}
		w.last = nil
		w.now = w.now.Add(time.Second) // an election takes its time
		w.start()
		return fmt.Sprintf("started with %d records\n", count(w.durable))
	case "retention": // retention DURATION: the scheduler's default, from its next start on
		d, err := time.ParseDuration(names(d)[0])
		require.NoError(w.t, err)
		w.retention = d
		return "ok\n"
	case "lose-state": // all records are lost; what the agents hold is not
		w.let(true)
		clear(w.durable)
		w.now = w.now.Add(time.Second)
		w.start()
		return "started with nothing\n"
	case "call-failed": // call-failed TYPE: the newest call of a type did not surely arrive
		w.let(true)
		for _, c := range w.calls {
			if c.GetType().String() == names(d)[0] {
				for _, id := range append(c.GetAccept().GetOfferIDs(), c.GetDecline().GetOfferIDs()...) {
					w.failed[id.Value] = true
				}
				show(scheduler.CallFailed{Call: c, Err: "the connection broke"})
				return out.String()
			}
		}
		w.t.Fatalf("%s: no such call was sent last", d.Pos)
	case "delete": // delete CLUSTER [retain=48h]
		retain, err := time.ParseDuration(value(d, "retain", "168h"))
		require.NoError(w.t, err)
		show(scheduler.SpecDeleted{Reply: 1, Name: names(d)[0], RetainFor: retain, User: value(d, "user", "ann")})
	case "restart": // restart CLUSTER [nodes=A,B dry-run]
		e := scheduler.RestartOrdered{Reply: 1, Name: names(d)[0], DryRun: d.HasArg("dry-run"), User: "ann", Message: "why"}
		if nodes := value(d, "nodes", ""); nodes != "" {
			e.Nodes = strings.Split(nodes, ",")
		}
		show(e)
	case "plan": // plan VERB CLUSTER [gate=G]
		show(scheduler.PlanControlled{
			Reply: 1, Verb: scheduler.PlanVerb(names(d)[0]), Name: names(d)[1], Gate: value(d, "gate", ""), For: time.Hour, User: "ann", Message: "why",
		})
	case "destroy":
		show(scheduler.VolumeDestroyOrdered{Reply: 1, ID: names(d)[0], User: "ann"})
	case "restore":
		show(scheduler.VolumeRestored{Reply: 1, ID: names(d)[0], User: "ann"})
	case "replace": // replace CLUSTER NODE [dry-run user=U message=M loss=INDEX,…]
		loss, _ := d.Arg("loss")
		show(scheduler.NodeReplaceOrdered{Reply: 1, Cluster: names(d)[0], Node: names(d)[1], AcceptDataLoss: loss.Vals, DryRun: d.HasArg("dry-run"),
			User: value(d, "user", "ann"), Message: value(d, "message", "")})
	case "cancel-replace": // cancel-replace CLUSTER NODE
		show(scheduler.NodeReplaceCancelled{Reply: 1, Cluster: names(d)[0], Node: names(d)[1], User: "ann"})
	case "kill": // kill TASK [user=U] [message=M]: orders an unknown task killed
		show(scheduler.TaskKillOrdered{Reply: 1, TaskID: names(d)[0], User: value(d, "user", "ann"), Message: value(d, "message", "")})
	case "spare": // spare TASK: takes that back
		show(scheduler.TaskKillWithdrawn{Reply: 1, TaskID: names(d)[0], User: value(d, "user", "ann")})
	case "backup": // remembers the records
		w.let(true)
		w.kept = maps.Clone(w.durable)
		return fmt.Sprintf("kept %d records\n", count(w.kept))
	case "restore-backup": // everything since is forgotten
		return w.restoreBackup()
	case "view":
		w.view(d, &out)
	case "records":
		w.let(true)
		w.records(&out)
	default:
		ev, known := w.sparkEvent(d)
		require.True(w.t, known, "%s: unknown command %q", d.Pos, d.Cmd)
		if ev == nil {
			return w.refusedSpark
		}
		show(ev)
	}
	return out.String()
}

// restoreBackup starts a core from the records of the backup, as berth restore
// leaves them.
func (w *world) restoreBackup() string {
	w.let(true)
	r, err := scheduler.Restored(w.kept, 1000)
	require.NoError(w.t, err)
	w.durable = r.Records
	w.now = w.now.Add(time.Second)
	w.start()
	return fmt.Sprintf("started with %d records, orders taken back: %v, %v\n", count(w.durable), r.TakenBack, r.KillsTakenBack)
}

// names are the arguments without a value.
func names(d *datadriven.TestData) []string {
	var out []string
	for _, a := range d.CmdArgs {
		if len(a.Vals) == 0 {
			out = append(out, a.Key)
		}
	}
	return out
}

func value(d *datadriven.TestData, key, otherwise string) string {
	if a, ok := d.Arg(key); ok && len(a.Vals) > 0 {
		return strings.Join(a.Vals, ",")
	}
	return otherwise
}

func number(t *testing.T, d *datadriven.TestData, key string, otherwise float64) float64 {
	n, err := strconv.ParseFloat(value(d, key, fmt.Sprint(otherwise)), 64)
	require.NoError(t, err, "%s: %s", d.Pos, key)
	return n
}

func (w *world) put(d *datadriven.TestData, out *strings.Builder, show func(scheduler.Event)) {
	doc, err := yaml.YAMLToJSON([]byte(d.Input))
	require.NoError(w.t, err, d.Pos)
	spec, problem := v1.DecodeCluster(doc)
	if problem == nil {
		spec.SetDefaults()
		problem = spec.Validate(v1.Validation{})
	}
	if problem != nil {
		fmt.Fprintf(out, "the API refuses: %s\n", problemText(problem))
		return
	}
	e := scheduler.SpecPut{Reply: 1, Cluster: spec, DryRun: d.HasArg("dry-run"), User: value(d, "user", "ann")}
	if d.HasArg("if-generation") {
		g := int64(number(w.t, d, "if-generation", 0))
		e.IfGeneration = &g
	}
	show(e)
}

// statuses makes an update for each task and lets the agents' resources follow.
func (w *world) statuses(d *datadriven.TestData) []mesos.TaskStatus {
	w.let(true)
	args := names(d)
	st, ok := mesos.TaskState_value["TASK_"+args[0]]
	require.True(w.t, ok, "%s: state %s", d.Pos, args[0])
	var out []mesos.TaskStatus
	for _, id := range args[1:] {
		if !strings.Contains(id, ".") {
			continue // an option
		}
		s := mesos.TaskStatus{
			TaskID: mesos.TaskID{Value: id}, State: mesos.TaskState(st).Enum(),
			AgentID: &mesos.AgentID{Value: value(d, "agent", w.agentOf(id))},
		}
		if m := value(d, "message", ""); m != "" {
			s.Message = &m
		}
		if r := value(d, "reason", ""); r != "" {
			n, known := mesos.TaskStatus_Reason_value["REASON_"+r]
			require.True(w.t, known, "%s: reason %s", d.Pos, r)
			s.Reason = mesos.TaskStatus_Reason(n).Enum()
		}
		if d.HasArg("healthy") || d.HasArg("unhealthy") {
			healthy := d.HasArg("healthy")
			s.Healthy = &healthy
		}
		if uuid := value(d, "uuid", ""); uuid != "" {
			data, err := executor.Report{Phase: executor.PhaseJoined, ClusterUUID: uuid, NodeID: value(d, "node", "")}.Encode()
			require.NoError(w.t, err)
			s.Data = data
		}
		if d.HasArg("exit") || d.HasArg("signal") {
			r := executor.Report{Phase: executor.PhaseExited, ExitCode: int(number(w.t, d, "exit", 0)), Signal: value(d, "signal", "")}
			data, err := r.Encode()
			require.NoError(w.t, err)
			s.Data = data
		}
		if !d.HasArg("no-uuid") {
			w.uuidSeq++
			s.UUID = fmt.Appendf(nil, "u%d", w.uuidSeq)
		}
		switch mesos.TaskState(st) {
		case mesos.TASK_FINISHED, mesos.TASK_FAILED, mesos.TASK_KILLED, mesos.TASK_ERROR, mesos.TASK_DROPPED, mesos.TASK_GONE:
			for _, m := range w.machines {
				m.endTask(id)
				if !d.HasArg("executor-stays") {
					m.endExecutor(id)
				}
			}
		}
		out = append(out, s)
	}
	require.NotEmpty(w.t, out, "%s: no task", d.Pos)
	return out
}

// agentOf is where a task of ours was last recorded.
func (w *world) agentOf(task string) string {
	if s, ok := w.record(task[:strings.LastIndexByte(task, '.')]); ok && s.Task != nil {
		return s.Task.AgentID
	}
	return "a1"
}

func (w *world) operations(d *datadriven.TestData) []mesos.OperationStatus {
	w.let(true)
	args := names(d)
	st, ok := mesos.OperationState_value["OPERATION_"+args[0]]
	require.True(w.t, ok, "%s: state %s", d.Pos, args[0])
	var out []mesos.OperationStatus
	for _, id := range args[1:] {
		if !strings.Contains(id, ".") {
			continue
		}
		s := mesos.OperationStatus{State: mesos.OperationState(st), OperationID: &mesos.OperationID{Value: id}}
		if m := value(d, "message", ""); m != "" {
			s.Message = &m
		}
		if !d.HasArg("no-uuid") {
			w.uuidSeq++
			s.UUID = &mesos.UUID{Value: fmt.Appendf(nil, "u%d", w.uuidSeq)}
			s.AgentID = &mesos.AgentID{Value: value(d, "agent", "a1")}
		}
		out = append(out, s)
	}
	require.NotEmpty(w.t, out, "%s: no operation", d.Pos)
	return out
}

func (w *world) observation(d *datadriven.TestData) scheduler.ElasticObserved {
	name := names(d)[0]
	w.let(true)
	seq := w.asked[name].Seq
	if d.HasArg("stale") {
		seq--
	}
	e := scheduler.ElasticObserved{Cluster: name, Observation: observe.Observation{Seq: seq, MinReplicas: -1}}
	if class := value(d, "error", ""); class != "" {
		e.Err, e.ErrClass = "it did not work", class
		return e
	}
	o := &e.Observation
	o.At, o.ClusterName, o.ClusterUUID = w.now, name, value(d, "uuid", "U1")
	o.Health, o.Unassigned = value(d, "health", "green"), int(number(w.t, d, "unassigned", 0))
	if members := value(d, "nodes", "0"); strings.Trim(members, "0123456789") == "" {
		o.Nodes = make([]observe.Node, int(number(w.t, d, "nodes", 0)))
	} else {
		for _, name := range strings.Split(members, ",") {
			o.Nodes = append(o.Nodes, observe.Node{Name: name})
		}
	}
	if d.HasArg("replicas") {
		o.Full, o.MinReplicas, o.MinReplicasIndex = true, int(number(w.t, d, "replicas", 1)), "events"
		o.Away, o.TimedOut = w.asked[name].Away, d.HasArg("behind")
		o.AtRisk = w.atRisk(d)
		o.AtRiskTotal = len(o.AtRisk) + int(number(w.t, d, "further", 0))
	}
	if master := value(d, "master", ""); master != "" {
		o.Nodes[0] = observe.Node{Name: master, Master: true}
	}
	if index := value(d, "at-risk", ""); index != "" {
		o.AtRisk, o.AtRiskTotal = []observe.AtRisk{{Index: index, Shards: []int{0, 3}, ShardCount: 2}}, 1
	}
	return e
}

// atRisk reads lines such as "logs 0,3 on=logs-data-1 left=ID unknown reason=R".
func (w *world) atRisk(d *datadriven.TestData) []observe.AtRisk {
	var out []observe.AtRisk
	for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		r := observe.AtRisk{Index: words[0]}
		for _, word := range words[1:] {
			switch key, val, _ := strings.Cut(word, "="); key {
			case "on":
				r.On = append(r.On, val)
			case "left":
				r.Left = append(r.Left, val)
			case "unknown":
				r.Unknown = true
			case "reason":
				r.Reason = strings.ReplaceAll(val, "-", " ")
			default:
				for _, n := range strings.Split(word, ",") {
					shard, err := strconv.Atoi(n)
					require.NoError(w.t, err, "%s: %s", d.Pos, line)
					r.Shards = append(r.Shards, shard)
				}
				r.ShardCount = len(r.Shards)
			}
		}
		out = append(out, r)
	}
	return out
}
