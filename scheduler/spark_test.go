package scheduler

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/scheduler/state"
)

var sparkEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func sparkCore(t require.TestingT, records map[state.Key][]byte) *Core {
	c, err := New(Config{
		Epoch: 1, Roles: []string{"db"}, Principal: "berth", TokenKey: []byte("key"), ExecutorURL: "http://berth:8080/", SparkUser: "spark",
		SparkCatalogue:  map[string]Distribution{"3.5.9": {URI: "https://files/spark-3.5.9.tgz", JavaHome: "/opt/java"}},
		SparkSchedulers: []string{"a:8080", "b:8080"}, SparkTLS: true, KillGrace: time.Minute,
	}, records)
	require.NoError(t, err)
	return c
}

func sparkSpec(name string, change ...func(*v1.SparkSpec)) v1.SparkApplication {
	a := v1.SparkApplication{Name: name, Spec: v1.SparkSpec{Version: "3.5.9", AppResource: "https://files/etl.jar", MainClass: "Etl"}}
	for _, c := range change {
		c(&a.Spec)
	}
	a.SetDefaults()
	return a
}

// keeps applies what a step decided to records.
func keeps(records map[state.Key][]byte, d Decision) {
	for _, w := range d.Writes {
		if w.Value == nil {
			delete(records, w.Key)
		} else {
			records[w.Key] = w.Value
		}
	}
}

func replyOf(t require.TestingT, d Decision) Reply {
	require.Len(t, d.Replies, 1)
	return d.Replies[0]
}

func TestWaitingApplicationsAreBounded(t *testing.T) {
	c := sparkCore(t, nil)
	for i := range maxWaitingApplications {
		r := replyOf(t, c.Step(sparkEpoch, SparkPut{Reply: 1, Application: sparkSpec(fmt.Sprintf("app-%d", i))}))
		require.Nil(t, r.Problem)
	}
	put := func(name string) Reply {
		return replyOf(t, c.Step(sparkEpoch, SparkPut{Reply: 1, Application: sparkSpec(name)}))
	}
	r := put("one-more")
	require.NotNil(t, r.Problem)
	assert.Equal(t, v1.CodeUnavailable, r.Problem.Code)
	assert.Contains(t, r.Problem.Detail, "1000 applications wait")
	_, p := c.Application("one-more")
	require.NotNil(t, p)
	// One that has ended does not wait.
	require.Nil(t, replyOf(t, c.Step(sparkEpoch, SparkKilled{Reply: 1, Name: "app-7"})).Problem)
	require.Nil(t, put("one-more").Problem)
}

func TestTheHistoryIsBounded(t *testing.T) {
	c, records := sparkCore(t, nil), map[state.Key][]byte{}
	now := sparkEpoch
	step := func(ev Event) Decision {
		now = now.Add(time.Second)
		d := c.Step(now, ev)
		keeps(records, d)
		return d
	}
	var gone []string
	for i := range maxEndedApplications + 5 {
		name := fmt.Sprintf("app-%d", i)
		step(SparkPut{Reply: 1, Application: sparkSpec(name)})
		for _, n := range step(SparkKilled{Reply: 1, Name: name}).Spark {
			if n.Gone {
				gone = append(gone, n.AppID)
			}
		}
	}
	assert.Len(t, c.Applications(), maxEndedApplications)
	_, p := c.Application("app-4")
	assert.NotNil(t, p, "the first to end goes first")
	_, p = c.Application("app-5")
	assert.Nil(t, p)
	assert.Len(t, gone, 5, "the hub forgets them, too")
	assert.Len(t, sparkCore(t, records).Applications(), maxEndedApplications, "and so does the store")
	maps.DeleteFunc(records, func(key state.Key, _ []byte) bool { return key.Kind() == state.KindAudit })
	assert.Len(t, records, maxEndedApplications+1)
}

// What drivers and users say is kept only as far as the record has room for it.
func TestWhatIsTooLargeIsRefused(t *testing.T) {
	c, _, a := runningApplication(t)
	long := strings.Repeat("x", 32<<10)
	for name, ev := range map[string]Event{
		"options": SparkDriverRegistered{Registration: v1.SparkRegistration{AppID: a.AppID, AttemptID: 1, DriverURL: "x",
			Executor: v1.SparkExecutorTemplate{JavaOptions: []string{long, long, long}}}},
		"target": SparkTargetSet{AppID: a.AppID, Target: v1.SparkTarget{AttemptID: 1, Generation: 9, ExcludedNodes: []string{long, long, long}}},
		"spec": SparkPut{Application: sparkSpec("other", func(s *v1.SparkSpec) {
			s.Args = []string{long, long, long, long, long, long, long, long}
		})},
	} {
		d := c.Step(sparkEpoch, ev)
		p := replyOf(t, d).Problem
		require.NotNil(t, p, name)
		assert.Equal(t, 422, p.Status, name)
		assert.Empty(t, d.Writes, "%s: a refusal changes nothing", name)
	}
	// The largest of everything together fits the record.
	almost := func(n int) string { return strings.Repeat("x", n-2000) }
	spec := sparkSpec("etl", func(s *v1.SparkSpec) { s.Args = []string{almost(maxDriverDocument)} })
	require.Nil(t, replyOf(t, c.Step(sparkEpoch, SparkPut{Application: spec})).Problem)
	require.Nil(t, replyOf(t, c.Step(sparkEpoch, SparkDriverRegistered{Registration: v1.SparkRegistration{AppID: a.AppID, AttemptID: 1, DriverURL: "x",
		Executor: v1.SparkExecutorTemplate{JavaOptions: []string{almost(maxTemplateBytes)}}}})).Problem)
	require.Nil(t, replyOf(t, c.Step(sparkEpoch, SparkTargetSet{AppID: a.AppID, Target: v1.SparkTarget{AttemptID: 1, Generation: 9, ExcludedNodes: []string{almost(maxTargetBytes)}}})).Problem)
	for len(a.Attempts) < maxAttempts {
		a.Attempts = append(a.Attempts, v1.SparkAttempt{Message: strings.Repeat("x", maxAttemptMessage)})
	}
	for i := range maxAdopted {
		a.Context.Adopted = append(a.Context.Adopted, int64(maxExecutorID-i))
	}
	_, err := state.Applications.Encode("etl", a.Application)
	require.NoError(t, err)
}

// runningApplication is one whose driver runs and has registered for two executors.
func runningApplication(t require.TestingT, change ...func(*v1.SparkSpec)) (*Core, Decision, *application) {
	c := sparkCore(t, nil)
	c.Step(sparkEpoch, Subscribed{FrameworkID: "F"})
	require.Nil(t, replyOf(t, c.Step(sparkEpoch, SparkPut{Reply: 1, Application: sparkSpec("etl", change...)})).Problem)
	d := c.Step(sparkEpoch, OffersReceived{Offers: []mesos.Offer{sparkOffer("a1")}})
	a := c.apps["etl"]
	require.EqualValues(t, 1, a.Attempt)
	r := v1.SparkRegistration{
		AppID: a.AppID, AttemptID: 1, DriverURL: "spark://d", User: "bob",
		Executor: v1.SparkExecutorTemplate{JavaOptions: []string{"-Da={{EXECUTOR_ID}}"}, ClassPath: []string{"x.jar"}, LibraryPath: []string{"/lib"}, Environment: map[string]string{"E": "1"}},
		Withheld: []string{"env:DB_PASSWORD", "env:NOWHERE", "-Ddb.password", "spark.authenticate.secret", "-Dspark.authenticate.secret"},
		Target:   &v1.SparkTarget{AttemptID: 1, Generation: 1, Profiles: []v1.SparkProfile{{Total: 2, Cores: 2, MemoryMiB: 1000, MemoryOverheadMiB: 384, OffHeapMiB: 100, PySparkMiB: 16}}},
	}
	require.Nil(t, replyOf(t, c.Step(sparkEpoch, SparkDriverRegistered{Registration: r})).Problem)
	return c, d, a
}

func sparkOffer(agent string) mesos.Offer {
	role, ip := "db", "10.0.0.1"
	scalar := func(name string, v float64) mesos.Resource {
		return mesos.Resource{Name: name, Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}, AllocationInfo: &mesos.Resource_AllocationInfo{Role: &role}}
	}
	return mesos.Offer{
		ID: mesos.OfferID{Value: "o-" + agent}, AgentID: mesos.AgentID{Value: agent}, Hostname: agent, AllocationInfo: &mesos.Resource_AllocationInfo{Role: &role},
		URL: &mesos.URL{Address: mesos.Address{IP: &ip}}, Resources: []mesos.Resource{scalar("cpus", 8), scalar("mem", 16384)},
	}
}

func launchesIn(t require.TestingT, d Decision) (out []executor.Launch, tasks []mesos.TaskInfo) {
	for _, call := range d.Calls {
		for _, op := range call.GetAccept().GetOperations() {
			for _, task := range op.GetLaunch().GetTaskInfos() {
				l, err := executor.DecodeLaunch(task.Data)
				require.NoError(t, err)
				out, tasks = append(out, l), append(tasks, task)
			}
		}
	}
	return out, tasks
}

func TestLaunchDocuments(t *testing.T) {
	c, d, a := runningApplication(t, func(s *v1.SparkSpec) {
		s.Args, s.Jars, s.URIs, s.CacheURIs = []string{"--topic", "a b"}, []string{"https://files/x.jar"}, []string{"https://files/conf.tgz"}, true
		s.Environment = map[string]string{"TZ": "UTC"}
		s.Properties = map[string]string{
			"spark.authenticate": "true", "spark.authenticate.secret": "s3cret", "spark.executorEnv.DB_PASSWORD": "pw",
			"spark.executor.decommission.forceKillTimeout": "5s",
		}
	})
	drivers, tasks := launchesIn(t, d)
	require.Len(t, drivers, 1)
	l := drivers[0]
	assert.Equal(t, executor.KindSparkDriver, l.Kind)
	assert.Equal(t, "spark", l.User)
	assert.Equal(t, 60, l.GraceSeconds)
	s := l.Spark
	assert.Equal(t, []any{"3.5.9", "", "/opt/java", "etl", a.AppID, int64(1), "10.0.0.1"}, []any{s.Version, s.Home, s.JavaHome, s.Application, s.AppID, s.AttemptID, s.Address})
	assert.Equal(t, []int64{1000, 1024 + 512, 1024}, []int64{s.MilliCPUs, s.MemoryMiB, s.HeapMiB}, "cores, and memory with at least 512 MiB beside the heap")
	assert.Equal(t, map[string]string{"TZ": "UTC"}, s.Environment)
	assert.Equal(t, []string{"a:8080", "b:8080"}, s.Driver.Schedulers)
	assert.True(t, s.Driver.TLS)
	assert.Equal(t, executor.Token([]byte("key"), a.AppID), s.Driver.Token)
	assert.Equal(t, []string{"--topic", "a b"}, s.Driver.Args)
	assert.Equal(t, []string{"https://files/x.jar"}, s.Driver.Jars)
	assert.Empty(t, s.Driver.CheckpointPath)
	assert.Equal(t, "true", s.Driver.Properties["spark.decommission.enabled"])
	assert.Equal(t, "5s", s.Driver.Properties["spark.executor.decommission.forceKillTimeout"], "the user's word counts")
	assert.Equal(t, "2", s.Driver.Properties["spark.executor.instances"])
	var uris []string
	for _, u := range tasks[0].Executor.Command.URIs {
		uris = append(uris, fmt.Sprintf("%s extract=%t cache=%t", u.Value, u.GetExtract(), u.GetCache()))
	}
	token := executor.Token([]byte("key"), "etl-driver.2.1")
	assert.Equal(t, []string{
		"http://berth:8080/v1/artifacts/etl-driver.2.1/" + token + "/berth-executor extract=false cache=false",
		"https://files/spark-3.5.9.tgz extract=true cache=true", "https://files/conf.tgz extract=true cache=true",
		"http://berth:8080/v1/artifacts/etl-driver.2.1/" + token + "/" + SparkBackend + " extract=false cache=false",
	}, uris)

	executors, tasks := launchesIn(t, c.Step(sparkEpoch, OffersReceived{Offers: []mesos.Offer{sparkOffer("a1")}}))
	require.Len(t, executors, 2)
	s = executors[1].Spark
	assert.Equal(t, []int64{2000, 1500, 1000}, []int64{s.MilliCPUs, s.MemoryMiB, s.HeapMiB})
	assert.Equal(t, &executor.SparkExecutor{ID: 2, DriverURL: "spark://d", Cores: 2, JavaOptions: []string{"-Da={{EXECUTOR_ID}}"}, ClassPath: []string{"x.jar"}, LibraryPath: []string{"/lib"}}, s.Executor)
	assert.Equal(t, map[string]string{"E": "1", "SPARK_USER": "bob", "DB_PASSWORD": "pw", "_SPARK_AUTH_SECRET": "s3cret"}, s.Environment)
	assert.Len(t, tasks[1].Executor.Command.URIs, 3, "no backend")
	v, _ := c.Application("etl")
	require.Contains(t, fmt.Sprint(v.Status.Conditions), "executors start without -Ddb.password:")
	text, err := json.Marshal(tasks)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "spark.authenticate.secret", "an executor has no use for it")
}

// A restore raises what must never be used again, and forgets what may run unseen:
// executors of after the backup are adopted, not told to have ended.
func TestRestoredApplications(t *testing.T) {
	c, _, a := runningApplication(t)
	records := map[state.Key][]byte{}
	for _, w := range []func() (state.Write, error){
		func() (state.Write, error) { return frameworkRecord.Encode(frameworkName, c.framework) },
		func() (state.Write, error) { return applicationRecord.Encode("etl", a.Application) },
		func() (state.Write, error) { return slotRecord.Encode(a.driver().ID, a.driver().Slot) },
	} {
		x, err := w()
		require.NoError(t, err)
		records[x.Key] = x.Value
	}
	for range 2 { // one restore after the other
		out, err := Restored(records, 1)
		require.NoError(t, err)
		require.NoError(t, CheckRecords(out.Records))
		records = out.Records
	}
	c = sparkCore(t, records)
	b := c.apps["etl"]
	assert.Equal(t, a.Attempt, b.Attempt, "the attempt that runs is not fenced by a restore")
	assert.Equal(t, a.NextAttempt+2*restoreGap, b.NextAttempt)
	assert.Equal(t, a.NextExecutor+2*restoreGap, b.NextExecutor)
	sync := func(registered ...string) Decision {
		return c.Step(sparkEpoch, SparkSynced{AppID: b.AppID, Restate: true, Sync: v1.SparkSync{AttemptID: 1, RegisteredExecutors: registered}})
	}
	d := sync("1", "3", "999")
	require.Len(t, d.Spark, 1)
	require.Len(t, d.Spark[0].Events, 1)
	assert.Equal(t, "1", d.Spark[0].Events[0].ExecutorID, "it was on record as given out, and is not any more")
	assert.Equal(t, []int64{3, 999}, b.Context.Adopted)
	assert.Equal(t, a.NextExecutor+2*restoreGap, b.NextExecutor)
}

// TestWantedIsWithinTheBounds compares what is made of a driver's target with the
// rules of the protocol, worked out one executor at a time.
func TestWantedIsWithinTheBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := func(name string, most int) int { return rapid.IntRange(0, most).Draw(t, name) }
		a := newApplication(state.Application{Spec: sparkSpec("etl"), Context: &state.SparkContext{Target: &v1.SparkTarget{}}})
		a.Scale = &state.Scale{Min: number("min", 6)}
		a.Scale.Max = a.Scale.Min + number("more", 6)
		want := map[int]int{}
		for id := range 4 {
			if rapid.Bool().Draw(t, "asks") {
				p := v1.SparkProfile{ID: id, Total: number("total", 5), Cores: 1, MemoryMiB: 1}
				a.Context.Target.Profiles = append([]v1.SparkProfile{p}, a.Context.Target.Profiles...)
				want[id] = p.Total
			}
		}
		asked := maps.Clone(want)
		sum := func() (n int) {
			for _, v := range want {
				n += v
			}
			return n
		}
		for sum() < a.Scale.Min {
			want[0]++
		}
		for sum() > a.Scale.Max {
			for id := range 4 {
				if want[id] > 0 {
					want[id]--
					break
				}
			}
		}
		got := map[int]int{}
		for i, p := range a.wanted() {
			if i > 0 {
				require.Greater(t, p.ID, a.wanted()[i-1].ID)
			}
			require.Positive(t, executorNeed(p).CPU)
			got[p.ID] = p.Total
		}
		maps.DeleteFunc(want, func(_, n int) bool { return n == 0 })
		maps.DeleteFunc(got, func(_, n int) bool { return n == 0 })
		require.Equal(t, want, got)
		for _, p := range a.Context.Target.Profiles {
			require.Equal(t, asked[p.ID], p.Total, "the driver's own word stays as it is")
		}
	})
}
