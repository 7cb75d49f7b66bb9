package executor

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func validLaunch() Launch {
	return Launch{
		Version: LaunchVersion, Kind: KindElasticsearch, TaskID: "sec-events-data-3.7", User: "elasticsearch", GraceSeconds: 30,
		Elasticsearch: &Elasticsearch{
			Version: "8.19.21", ClusterName: "sec-events", NodeName: "sec-events-data-3", Roles: []string{"data"},
			Address: "10.0.0.7", HTTPPort: 31000, TransportPort: 31001, SeedHosts: []string{"10.0.0.1:31001"},
			MasterCount: 3, Attributes: map[string]string{"host": "h7"}, MilliCPUs: 1900, MemoryMiB: 4064, DataPath: "data",
		},
	}
}

func scalar(name string, v float64) mesos.Resource {
	return mesos.Resource{Name: name, Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}}
}

func reserved(r mesos.Resource, label string) mesos.Resource {
	r.AllocationInfo = &mesos.Resource_AllocationInfo{Role: ptr("berth")}
	r.Reservations = []mesos.Resource_ReservationInfo{{
		Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: ptr("berth"),
		Labels: &mesos.Labels{Labels: []mesos.Label{{Key: "berth.slot", Value: &label}}},
	}}
	return r
}

func options() TaskOptions {
	ports := mesos.Resource{Name: "ports", Type: mesos.RANGES.Enum(), Ranges: &mesos.Value_Ranges{Range: []mesos.Value_Range{{Begin: 31000, End: 31001}}}}
	return TaskOptions{
		TaskID: "sec-events-data-3.7", Name: "sec-events-data-3",
		FrameworkID: mesos.FrameworkID{Value: "f-1"}, AgentID: mesos.AgentID{Value: "a-1"},
		Resources: []mesos.Resource{
			reserved(scalar("cpus", 2), "s"), reserved(scalar("mem", 4096), "s"), reserved(scalar("disk", 50000), "s"), reserved(ports, "s"),
		},
		Launch:      validLaunch(),
		ExecutorURI: "http://berth:8080/artifacts/berth-executor?task=x&token=y",
		Artifacts:   []Artifact{{URI: "http://repo/elasticsearch-8.19.21.tar.gz", Extract: true, Cache: true}},
		User:        "root",
		Labels:      map[string]string{"berth.cluster": "sec-events", "a": "b"},
	}
}

func TestBuildTask(t *testing.T) {
	task, err := BuildTask(options())
	require.NoError(t, err)

	assert.Equal(t, "sec-events-data-3", task.Name)
	assert.Equal(t, "sec-events-data-3.7", task.TaskID.Value)
	assert.Equal(t, "a-1", task.AgentID.Value)
	assert.Nil(t, task.Command, "a task with an executor has no command of its own")

	ex := task.Executor
	assert.Equal(t, task.TaskID.Value, ex.ExecutorID.Value, "one executor for one task")
	assert.Equal(t, mesos.ExecutorInfo_CUSTOM, ex.Type)
	assert.Equal(t, "f-1", ex.FrameworkID.Value)
	assert.Equal(t, "./berth-executor", ex.Command.GetValue())
	assert.False(t, ex.Command.GetShell())
	assert.Equal(t, "root", ex.Command.GetUser())
	assert.Equal(t, int64(35*time.Second), ex.ShutdownGracePeriod.Nanoseconds)
	assert.Equal(t, int64(30*time.Second), task.KillPolicy.GracePeriod.Nanoseconds)

	require.Len(t, ex.Command.URIs, 2)
	own := ex.Command.URIs[0]
	assert.Equal(t, "berth-executor", own.GetOutputFile(), "the URL ends in a token, not in a file name")
	assert.True(t, own.GetExecutable())
	assert.False(t, own.GetExtract())
	assert.False(t, own.GetCache())
	assert.True(t, ex.Command.URIs[1].GetExtract())
	assert.True(t, ex.Command.URIs[1].GetCache())

	require.Len(t, ex.Resources, 2)
	assert.Equal(t, 0.1, ex.Resources[0].Scalar.Value)
	assert.Equal(t, 32.0, ex.Resources[1].Scalar.Value)
	assert.Equal(t, 1.9, task.Resources[0].Scalar.Value)
	assert.Equal(t, 4064.0, task.Resources[1].Scalar.Value)
	assert.Equal(t, 50000.0, task.Resources[2].Scalar.Value)
	assert.Equal(t, task.Resources[0].Reservations, ex.Resources[0].Reservations, "the share is of the same reservation")
	assert.Equal(t, "berth", ex.Resources[1].AllocationInfo.GetRole())

	assert.Equal(t, "a", task.Labels.Labels[0].Key, "labels are sorted: the same task is the same bytes")
	assert.Equal(t, uint32(31000), task.Discovery.Ports.Ports[0].Number)

	l, err := DecodeLaunch(task.Data)
	require.NoError(t, err)
	assert.Equal(t, task.TaskID.Value, l.TaskID)

	_, err = task.Marshal()
	require.NoError(t, err, "every required field is set")
}

func TestBuildTaskKeepsItsInput(t *testing.T) {
	o := options()
	_, err := BuildTask(o)
	require.NoError(t, err)
	assert.Equal(t, options(), o)
}

func TestBuildTaskWithInstalledExecutor(t *testing.T) {
	o := options()
	o.ExecutorURI, o.ExecutorPath = "", "/usr/bin/berth-executor"
	task, err := BuildTask(o)
	require.NoError(t, err)
	assert.Equal(t, "/usr/bin/berth-executor", task.Executor.Command.GetValue())
	assert.Len(t, task.Executor.Command.URIs, 1)
}

func TestBuildTaskRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, says string
		change     func(*TaskOptions)
	}{
		{"no task id", "no task id", func(o *TaskOptions) { o.TaskID = "" }},
		{"no name", "no name", func(o *TaskOptions) { o.Name = "" }},
		{"no agent", "no agent id", func(o *TaskOptions) { o.AgentID.Value = "" }},
		{"no framework", "no framework id", func(o *TaskOptions) { o.FrameworkID.Value = "" }},
		{"no executor", "exactly one", func(o *TaskOptions) { o.ExecutorURI = "" }},
		{"two executors", "exactly one", func(o *TaskOptions) { o.ExecutorPath = "/x" }},
		{"no cpus for the executor", "no cpus", func(o *TaskOptions) { o.Resources[0] = scalar("cpus", 0.1) }},
		{"no mem for the executor", "no mem", func(o *TaskOptions) { o.Resources[1] = scalar("mem", 32) }},
		{"a bad launch", "httpPort", func(o *TaskOptions) {
			e := *o.Launch.Elasticsearch
			e.HTTPPort = 0
			o.Launch.Elasticsearch = &e
		}},
		{"too much config", "shorten", func(o *TaskOptions) {
			e := *o.Launch.Elasticsearch
			e.Config = map[string]any{"x": strings.Repeat("y", MaxLaunchBytes)}
			o.Launch.Elasticsearch = &e
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := options()
			tc.change(&o)
			_, err := BuildTask(o)
			require.ErrorContains(t, err, tc.says)
		})
	}
}

// What the slot holds is what executor and task hold together, to the
// thousandth, however it is split over reservations.
func TestSplitResourcesLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []mesos.Resource
		for i := range rapid.IntRange(1, 4).Draw(t, "parts") {
			for _, name := range []string{"cpus", "mem"} {
				all = append(all, reserved(scalar(name, float64(rapid.Int64Range(1, 5_000_000).Draw(t, name))/1000), string(rune('a'+i))))
			}
		}
		own, rest, err := splitResources(all)
		if err != nil {
			return
		}
		sum := func(name string, lists ...[]mesos.Resource) (n int64) {
			for _, l := range lists {
				for _, r := range l {
					if r.Name == name {
						n += milli(r.Scalar.Value)
					}
				}
			}
			return n
		}
		for _, name := range []string{"cpus", "mem"} {
			require.Equal(t, sum(name, all), sum(name, own, rest))
		}
		require.Equal(t, int64(ExecutorMilliCPUs), sum("cpus", own))
		require.Equal(t, int64(ExecutorMilliMem), sum("mem", own))
		for _, r := range rest {
			require.Positive(t, milli(r.Scalar.Value))
		}
	})
}

func TestDecodeLaunchRefuses(t *testing.T) {
	for _, tc := range []struct{ name, says, old, new string }{
		{"newer version", "version is 2", `"version":1`, `"version":2`},
		{"unknown field", "surprise", `"kind"`, `"surprise":1,"kind"`},
		{"no kind", "kind is empty", `"kind":"elasticsearch"`, `"kind":""`},
		{"no task", "taskId", `"taskId":"sec-events-data-3.7"`, `"taskId":""`},
		{"negative grace", "graceSeconds", `"graceSeconds":30`, `"graceSeconds":-1`},
		{"no name", "nodeName", `"nodeName":"sec-events-data-3"`, `"nodeName":""`},
		{"port", "httpPort", `"httpPort":31000`, `"httpPort":70000`},
		{"same ports", "same as httpPort", `"httpPort":31000`, `"httpPort":31001`},
		{"no cpu", "milliCPUs", `"milliCPUs":1900`, `"milliCPUs":0`},
		{"heap of all memory", "heapMiB", `"memoryMiB":4064`, `"memoryMiB":4064,"heapMiB":4064`},
		{"data without a volume", "needs a volume", `"dataPath":"data"`, `"dataPath":""`},
		{"outside", "dataPath", `"dataPath":"data"`, `"dataPath":"../data"`},
		{"absolute", "dataPath", `"dataPath":"data"`, `"dataPath":"/data"`},
		{"the sandbox itself", "dataPath", `"dataPath":"data"`, `"dataPath":"."`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data, err := validLaunch().Encode()
			require.NoError(t, err)
			changed := strings.Replace(string(data), tc.old, tc.new, 1)
			require.NotEqual(t, string(data), changed)
			_, err = DecodeLaunch([]byte(changed))
			require.ErrorContains(t, err, tc.says)
		})
	}
	_, err := DecodeLaunch([]byte(`{} {}`))
	require.Error(t, err)
}

func TestDecodeLaunchKeepsNumbers(t *testing.T) {
	l := validLaunch()
	l.Elasticsearch.Config = map[string]any{"x": int64(9007199254740993)}
	data, err := l.Encode()
	require.NoError(t, err)
	got, err := DecodeLaunch(data)
	require.NoError(t, err)
	assert.Equal(t, json.Number("9007199254740993"), got.Elasticsearch.Config["x"])
}

func TestReport(t *testing.T) {
	want := Report{Phase: PhaseJoined, ClusterUUID: "u", NodeID: "n"}
	data, err := want.Encode()
	require.NoError(t, err)
	got, err := DecodeReport(data)
	require.NoError(t, err)
	assert.Equal(t, want, got)

	got, err = DecodeReport(nil)
	require.NoError(t, err)
	assert.Zero(t, got)
	_, err = DecodeReport([]byte(`{"phase":"joined","later":1}`))
	assert.NoError(t, err, "a newer executor may say more")
	_, err = DecodeReport([]byte(`{`))
	assert.Error(t, err)
	_, err = DecodeReport(make([]byte, maxReportBytes+1))
	assert.Error(t, err)
}

func TestToken(t *testing.T) {
	key := []byte("k")
	token := Token(key, "a.1")
	assert.True(t, VerifyToken(key, "a.1", token))
	for name, ok := range map[string]bool{
		"another task":  VerifyToken(key, "a.2", token),
		"another key":   VerifyToken([]byte("l"), "a.1", token),
		"no key":        VerifyToken(nil, "a.1", Token(nil, "a.1")),
		"no task":       VerifyToken(key, "", Token(key, "")),
		"nothing":       VerifyToken(key, "a.1", ""),
		"cut short":     VerifyToken(key, "a.1", token[:10]),
		"no hex":        VerifyToken(key, "a.1", "zz"+token[2:]),
		"a bit flipped": VerifyToken(key, "a.1", flip(token)),
	} {
		assert.False(t, ok, name)
	}
}

func flip(hex string) string {
	if hex[0] == '0' {
		return "1" + hex[1:]
	}
	return "0" + hex[1:]
}

func FuzzDecodeLaunch(f *testing.F) {
	data, err := validLaunch().Encode()
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte(`{"version":1,"kind":"x","taskId":"y"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := DecodeLaunch(data)
		if err != nil {
			return
		}
		again, err := l.Encode()
		require.NoError(t, err)
		_, err = DecodeLaunch(again)
		require.NoError(t, err, "what was accepted once is accepted again")
	})
}

// FuzzDecodeReport: what either side may be sent while a task runs, reports and
// messages, is refused or survives being written and read again.
func FuzzDecodeReport(f *testing.F) {
	f.Add([]byte(`{"phase":"joined"}`))
	f.Add([]byte(`{"seedHosts":["10.0.0.1:9300"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := DecodeReport(data); err == nil {
			again, err := r.Encode()
			require.NoError(t, err)
			back, err := DecodeReport(again)
			if len(again) <= maxReportBytes { // escapes may have made it longer
				require.NoError(t, err)
				require.Equal(t, r, back)
			}
		}
		if m, err := DecodeMessage(data); err == nil {
			again, err := m.Encode()
			require.NoError(t, err)
			_, err = DecodeMessage(again)
			require.True(t, err == nil || len(again) > maxMessageBytes, "%v", err)
		}
	})
}
