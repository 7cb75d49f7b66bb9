package submission_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/submission"
	v1 "github.com/berthdata/berth/api/v1"
)

// sent is what spark-submit 3.5.9 with mesos:// sends, shortened.
const sent = `{
  "action" : "CreateSubmissionRequest",
  "appArgs" : [ "a b", "say \"hi\"", "it's", "" ],
  "appResource" : "https://files.example/job.jar",
  "clientSparkVersion" : "3.5.9",
  "environmentVariables" : { "SPARK_ENV_LOADED" : "1", "SPARK_SCALA_VERSION" : "2.12", "MESOS_NATIVE_JAVA_LIBRARY" : "/x.so" },
  "mainClass" : "example.Job",
  "sparkProperties" : {
    "spark.app.name" : "Job", "spark.app.submitTime" : "1700000000000",
    "spark.jars" : "https://files.example/job.jar,https://files.example/lib.jar",
    "spark.master" : "mesos://h:1", "spark.submit.deployMode" : "cluster", "spark.driver.supervise" : "false"
  }
}`

var installation = submission.Installation{Versions: []string{"3.5.8", "3.5.9", "3.5.10", "4.3.0"}}

func request(properties map[string]string) submission.Request {
	return submission.Request{AppResource: "https://files.example/job.jar", MainClass: "example.Job", ClientSparkVersion: "3.5.9", SparkProperties: properties}
}

func TestDecode(t *testing.T) {
	r, unknown, err := submission.Decode([]byte(sent))
	require.NoError(t, err)
	require.Empty(t, unknown)
	require.Equal(t, []string{"a b", `say "hi"`, "it's", ""}, r.AppArgs)
	a, notes, p := r.Application("driver-1", installation)
	require.Nil(t, p)
	require.Empty(t, notes)
	require.Equal(t, v1.SparkApplication{Name: "driver-1", Spec: v1.SparkSpec{
		Version: "3.5.9", AppResource: "https://files.example/job.jar", MainClass: "example.Job",
		Args: []string{"a b", `say "hi"`, "it's", ""}, Jars: []string{"https://files.example/lib.jar"},
		Properties:  map[string]string{"spark.app.name": "Job", "spark.app.submitTime": "1700000000000"},
		Environment: map[string]string{"SPARK_SCALA_VERSION": "2.12"},
	}}, a)
	a.SetDefaults()
	require.Nil(t, a.Validate(v1.Validation{}))

	encoded, err := r.Encode()
	require.NoError(t, err)
	again, _, err := submission.Decode(encoded)
	require.NoError(t, err)
	require.Equal(t, r, again)
}

func TestDecodeIsLenientWhereSparkIs(t *testing.T) {
	r, unknown, err := submission.Decode([]byte(`{"action":"CreateSubmissionRequest","appResource":"x.py","future":{"a":[1]},"Another":1,
		"mainClass":null,"appArgs":[1,true,null,"s"],"sparkProperties":{"spark.driver.cores":2,"spark.driver.supervise":true,"spark.gone":null}}`))
	require.NoError(t, err)
	require.Equal(t, []string{"Another", "future"}, unknown)
	require.Equal(t, submission.Request{AppResource: "x.py", AppArgs: []string{"1", "true", "", "s"},
		SparkProperties: map[string]string{"spark.driver.cores": "2", "spark.driver.supervise": "true"}}, r)
}

func TestDecodeRefuses(t *testing.T) {
	for doc, want := range map[string]string{
		``:                                     "not a JSON object",
		`null`:                                 "not a JSON object",
		`[]`:                                   "not a JSON object",
		`{"action":"CreateSubmissionRequest"`:  "not a JSON object",
		`{} {}`:                                "after the JSON object",
		`{"appResource":"x"}`:                  "action is missing",
		`{"action":"SubmitThis"}`:              `type "SubmitThis"`,
		`{"action":"CreateSubmissionRequest"}`: "appResource is missing",
		`{"action":"CreateSubmissionRequest","appResource":["x"]}`:                                      "appResource: must be a string",
		`{"action":"CreateSubmissionRequest","appResource":"x","appArgs":"y"}`:                          "appArgs: must be a list",
		`{"action":"CreateSubmissionRequest","appResource":"x","appArgs":[{}]}`:                         "entry 0 must be a string",
		`{"action":"CreateSubmissionRequest","appResource":"x","sparkProperties":[]}`:                   "must be an object",
		`{"action":"CreateSubmissionRequest","appResource":"x","environmentVariables":{"A":{"b":"c"}}}`: `"A" must be a string`,
	} {
		_, _, err := submission.Decode([]byte(doc))
		assert.ErrorContains(t, err, want, doc)
	}
}

func TestProperties(t *testing.T) {
	one := func(n int) *int { return &n }
	type spec = v1.SparkSpec
	tests := []struct {
		name  string
		props map[string]string
		want  func(s *spec)
		note  string
	}{
		{"nothing", nil, func(*spec) {}, ""},
		{"driver", map[string]string{"spark.driver.cores": "1.5", "spark.driver.memory": "2g", "spark.driver.memoryOverhead": "700"},
			func(s *spec) { s.Driver = v1.SparkDriver{CPUs: 1.5, Memory: "2gb", MemoryOverhead: "700mb"} }, ""},
		{"driver's factor", map[string]string{"spark.driver.memory": "10g", "spark.driver.memoryOverheadFactor": "0.4"},
			func(s *spec) { s.Driver = v1.SparkDriver{Memory: "10gb", MemoryOverhead: "4gb"} }, ""},
		{"driver's overhead for Mesos", map[string]string{"spark.mesos.driver.memoryOverhead": "600"}, func(s *spec) { s.Driver.MemoryOverhead = "600mb" }, ""},
		{"a bare number is MiB, a kibibyte is rounded up", map[string]string{"spark.driver.memory": "1025", "spark.executor.memory": "1048577k"},
			func(s *spec) { s.Driver.Memory, s.Executors.Memory = "1025mb", "1025mb" }, ""},
		{"supervise", map[string]string{"spark.driver.supervise": "true", "spark.mesos.cluster.retry.wait.max": "120"},
			func(s *spec) { s.Driver.Supervise = &v1.SparkSupervise{MaxBackoffSeconds: 120} }, ""},
		{"retry without supervise", map[string]string{"spark.mesos.cluster.retry.wait.max": "120"}, func(*spec) {}, ""},
		{"checkpoint", map[string]string{"spark.berth.driver.checkpoint.size": "10g", "spark.berth.driver.checkpoint.type": "path"},
			func(s *spec) { s.Driver.Checkpoint = &v1.Storage{Size: "10gb", Type: "path"} }, ""},

		{"executors", map[string]string{"spark.executor.instances": "4", "spark.executor.cores": "2", "spark.executor.memory": "3g", "spark.executor.memoryOverhead": "1g"},
			func(s *spec) {
				s.Executors = v1.SparkExecutors{Count: one(4), Cores: 2, Memory: "3gb", MemoryOverhead: "1gb"}
			}, ""},
		{"cores in all", map[string]string{"spark.cores.max": "9", "spark.executor.cores": "4"}, func(s *spec) { s.Executors.Count, s.Executors.Cores = one(2), 4 }, ""},
		{"fewer cores than one has", map[string]string{"spark.cores.max": "1", "spark.executor.cores": "4"}, func(s *spec) { s.Executors.Count, s.Executors.Cores = one(1), 4 }, ""},
		{"instances win over cores", map[string]string{"spark.cores.max": "9", "spark.executor.instances": "3"}, func(s *spec) { s.Executors.Count = one(3) }, ""},
		{"overhead for Mesos", map[string]string{"spark.mesos.executor.memoryOverhead": "512"}, func(s *spec) { s.Executors.MemoryOverhead = "512mb" }, ""},
		{"dynamic", map[string]string{"spark.dynamicAllocation.enabled": "true", "spark.dynamicAllocation.minExecutors": "1", "spark.dynamicAllocation.maxExecutors": "5", "spark.dynamicAllocation.initialExecutors": "2"},
			func(s *spec) {
				s.Executors.Min, s.Executors.Max = one(1), one(5)
				s.Properties = map[string]string{"spark.dynamicAllocation.enabled": "true", "spark.dynamicAllocation.initialExecutors": "2"}
			}, ""},
		{"dynamic within cores", map[string]string{"spark.dynamicAllocation.enabled": "true", "spark.cores.max": "8", "spark.executor.cores": "2"},
			func(s *spec) {
				s.Executors.Min, s.Executors.Max, s.Executors.Cores = one(0), one(4), 2
				s.Properties = map[string]string{"spark.dynamicAllocation.enabled": "true"}
			}, ""},
		{"dynamic without limit", map[string]string{"spark.dynamicAllocation.enabled": "true", "spark.dynamicAllocation.maxExecutors": "2147483647"},
			func(s *spec) {
				s.Executors.Min, s.Executors.Max = one(0), one(v1.MaxSparkExecutors)
				s.Properties = map[string]string{"spark.dynamicAllocation.enabled": "true"}
			}, ""},
		{"placement", map[string]string{"spark.mesos.constraints": "colo:east,west;gpu;ram:16;os:linux;", "spark.mesos.driver.constraints": "colo:east",
			"spark.mesos.role": "spark", "spark.berth.executor.spread": "rack", "spark.berth.executor.maxPerHost": "2"},
			func(s *spec) {
				s.Executors.Constraints = []v1.Constraint{{Attribute: "colo", Operator: "IN", Values: []string{"east", "west"}},
					{Attribute: "gpu", Operator: "EXISTS"}, {Attribute: "ram", Operator: "GE", Values: []string{"16"}}, {Attribute: "os", Operator: "EQ", Values: []string{"linux"}}}
				s.Driver.Constraints = []v1.Constraint{{Attribute: "colo", Operator: "EQ", Values: []string{"east"}}}
				s.Role, s.Executors.Spread, s.Executors.MaxPerHost = "spark", "rack", 2
			}, ""},
		{"files", map[string]string{"spark.jars": "http://a/1.jar, http://a/2.jar,", "spark.files": "http://a/f", "spark.submit.pyFiles": "http://a/x.zip",
			"spark.mesos.uris": "http://a/conf.tgz", "spark.mesos.fetcherCache.enable": "true"},
			func(s *spec) {
				s.Jars, s.Files, s.PyFiles = []string{"http://a/1.jar", "http://a/2.jar"}, []string{"http://a/f"}, []string{"http://a/x.zip"}
				s.URIs, s.CacheURIs = []string{"http://a/conf.tgz"}, true
			}, ""},
		{"local files", map[string]string{"spark.files": "file:///etc/x"}, func(s *spec) { s.Files = []string{"file:///etc/x"} }, "nothing is uploaded: file:///etc/x"},
		{"environment", map[string]string{"spark.mesos.driverEnv.TZ": "UTC"}, func(s *spec) { s.Environment = map[string]string{"TZ": "UTC"} }, ""},
		{"own environment", map[string]string{"spark.mesos.driverEnv.SPARK_HOME": "/x"}, func(*spec) {}, "spark.mesos.driverEnv.SPARK_HOME has no effect: the scheduler's catalogue"},
		{"defaults of the submission", map[string]string{"spark.mesos.dispatcher.driverDefault.spark.driver.memory": "3g", "spark.mesos.dispatcher.driverDefault.spark.x": "1", "spark.x": "2"},
			func(s *spec) { s.Driver.Memory, s.Properties = "3gb", map[string]string{"spark.x": "2"} }, ""},
		{"principal", map[string]string{"spark.mesos.principal": "p", "spark.mesos.secret": "s"}, func(*spec) {}, "spark.mesos.principal has no effect: Berth registers"},
		{"coarse", map[string]string{"spark.mesos.coarse": "true"}, func(*spec) {}, "spark.mesos.coarse has no effect"},
		{"of the dispatcher", map[string]string{"spark.mesos.dispatcher.historyServer.url": "x", "spark.mesos.maxDrivers": "3"}, func(*spec) {}, "historyServer.url has no effect"},
		{"extra cores", map[string]string{"spark.mesos.extra.cores": "1"}, func(*spec) {}, "write executors.cores"},
		{"home", map[string]string{"spark.mesos.executor.home": "/opt/spark"}, func(*spec) {}, "catalogue"},
		{"no GPUs", map[string]string{"spark.mesos.gpus.max": "0"}, func(*spec) {}, "spark.mesos.gpus.max has no effect"},
		{"unknown of Mesos", map[string]string{"spark.mesos.rejectOfferDuration": "1s"},
			func(s *spec) { s.Properties = map[string]string{"spark.mesos.rejectOfferDuration": "1s"} }, "Berth does not know it"},
		{"not Spark's", map[string]string{"hive.x": "1"}, func(*spec) {}, "hive.x has no effect"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := v1.SparkSpec{Version: "3.5.9", AppResource: "https://files.example/job.jar", MainClass: "example.Job"}
			tt.want(&want)
			a, notes, p := request(tt.props).Application("driver-1", installation)
			require.Nil(t, p)
			require.Equal(t, want, a.Spec)
			if tt.note == "" {
				require.Empty(t, notes)
			} else {
				require.Contains(t, strings.Join(notes, "\n"), tt.note)
			}
			a.SetDefaults()
			require.Nil(t, a.Validate(v1.Validation{}))
		})
	}
}

func TestLabels(t *testing.T) {
	a, _, p := request(map[string]string{"spark.mesos.task.labels": `team:x,note:a\,b\:c`, "spark.mesos.driver.labels": "team:y"}).Application("d", installation)
	require.Nil(t, p)
	require.Equal(t, map[string]string{"team": "y", "note": "a,b:c"}, a.Labels)
}

func TestDefaultsOfTheInstallation(t *testing.T) {
	in := installation
	in.Defaults = map[string]string{"spark.driver.memory": "5g", "spark.x": "installed", "spark.y": "installed"}
	r := request(map[string]string{"spark.x": "own", "spark.mesos.dispatcher.driverDefault.spark.y": "submitted"})
	a, _, p := r.Application("d", in)
	require.Nil(t, p)
	require.Equal(t, "5gb", a.Spec.Driver.Memory)
	require.Equal(t, map[string]string{"spark.x": "own", "spark.y": "submitted"}, a.Spec.Properties)
	require.Len(t, r.SparkProperties, 2, "the request stays as it was")
	require.Len(t, in.Defaults, 3)
}

func TestRefusedProperties(t *testing.T) {
	for property, value := range map[string]string{
		"spark.mesos.executor.docker.image": "x", "spark.mesos.executor.docker.volumes": "/a:/b", "spark.mesos.network.name": "n",
		"spark.mesos.containerizer": "docker", "spark.mesos.coarse": "false", "spark.mesos.gpus.max": "2",
		"spark.mesos.driver.secret.names": "a", "spark.mesos.executor.secret.values": "b",
		"spark.driver.memory": "1.5g", "spark.executor.memory": "-1g", "spark.driver.cores": "0", "spark.executor.cores": "two",
		"spark.cores.max": "NaN", "spark.executor.instances": "-1", "spark.driver.supervise": "yes", "spark.mesos.constraints": ":x",
		"spark.driver.memoryOverhead": "9999999999p", "spark.mesos.task.labels": "a", "spark.mesos.fetcherCache.enable": "1",
		"spark.executor.memoryOverheadFactor": "x", "spark.mesos.cluster.retry.wait.max": "1.5",
	} {
		_, _, p := request(map[string]string{property: value}).Application("d", installation)
		if assert.NotNil(t, p, property) {
			assert.Equal(t, property, p.Fields[0].Field)
			assert.Len(t, p.Fields, 1)
		}
	}
}

// Every name that a spec cannot have as a property is taken from a submission:
// as a field, with a word to the user, or refused.
func TestOwnedPropertiesAreAnswered(t *testing.T) {
	values := map[string]string{"spark.submit.deployMode": "cluster"}
	plausible := []string{"1", "true", "2g", "colo:east", "http://a/b", "root"}
	for _, name := range v1.SparkOwnedProperties() {
		if strings.HasSuffix(name, ".") {
			name += "spark_x"
		}
		answered := false
		for _, value := range append([]string{values[name]}, plausible...) {
			a, _, p := request(map[string]string{name: value}).Application("d", installation)
			if p != nil {
				continue
			}
			a.SetDefaults()
			invalid := a.Validate(v1.Validation{})
			require.NotContains(t, a.Spec.Properties, name)
			answered = answered || invalid == nil
		}
		_, _, p := request(map[string]string{name: "false"}).Application("d", installation)
		require.True(t, answered || p != nil, name)
	}
}

func TestVersions(t *testing.T) {
	for client, want := range map[string]string{"3.5.9": "3.5.9", "3.5.1": "3.5.10", "4.3.1": "4.3.0", "4.2.0": "", "": "", "3": ""} {
		r := request(nil)
		r.ClientSparkVersion = client
		a, notes, p := r.Application("d", installation)
		if want == "" {
			require.NotNil(t, p, client)
			require.Contains(t, p.Error(), "3.5.8, 3.5.9, 3.5.10, 4.3.0")
			continue
		}
		require.Nil(t, p, client)
		require.Equal(t, want, a.Spec.Version)
		require.Equal(t, client != want, len(notes) == 1)
	}
	a, _, p := submission.Request{AppResource: "local:/x.py"}.Application("d", submission.Installation{Versions: []string{"4.3.0"}})
	require.Nil(t, p)
	require.Equal(t, "4.3.0", a.Spec.Version, "there is no other")
	_, _, p = request(nil).Application("d", submission.Installation{})
	require.NotNil(t, p)
	require.Contains(t, p.Error(), "no Spark distribution")
}

func TestStatus(t *testing.T) {
	for _, phase := range v1.SparkPhases {
		v := v1.SparkView{SparkApplication: v1.SparkApplication{Name: "d"}, Status: v1.SparkStatus{Phase: phase, Message: "exit status 1",
			Driver: v1.SparkTaskView{AgentID: "a", Hostname: "h"}}}
		r := submission.Status(v)
		assert.Equal(t, phase == "Detached", r.DriverState == "UNKNOWN", phase)
		assert.Equal(t, phase == "Failed", r.Message != "", "clients log every message as an error")
		assert.Equal(t, []string{"d", "a", "h"}, []string{r.SubmissionID, r.WorkerID, r.WorkerHostPort})
		ended := r.DriverState == "FINISHED" || r.DriverState == "FAILED" || r.DriverState == "KILLED"
		assert.Equal(t, submission.Ended(phase), ended, phase)
	}
	assert.Equal(t, "UNKNOWN", submission.DriverState("new"))
}

// FuzzDecode: never a panic; what is taken becomes a spec whose every field was
// either given or is valid, and what is encoded is read back the same.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(sent))
	f.Add([]byte(`{"action":"CreateSubmissionRequest","appResource":"x","clientSparkVersion":"3.5.9","sparkProperties":{"spark.mesos.constraints":"a:1,b;:c","spark.mesos.task.labels":"\\,:x","spark.driver.memory":"9e9"}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		r, unknown, err := submission.Decode(doc)
		if err != nil {
			return
		}
		require.NotContains(t, unknown, "action")
		encoded, err := r.Encode()
		require.NoError(t, err)
		again, none, err := submission.Decode(encoded)
		require.NoError(t, err)
		require.Empty(t, none)
		one, err := json.Marshal(again)
		require.NoError(t, err)
		two, err := json.Marshal(r)
		require.NoError(t, err)
		if len(r.AppArgs) > 0 && len(r.SparkProperties) > 0 && len(r.EnvironmentVariables) > 0 {
			require.JSONEq(t, string(two), string(one))
		}
		a, _, p := r.Application("driver-1", installation)
		if p != nil {
			require.LessOrEqual(t, len(p.Fields), v1.MaxFieldErrors)
			return
		}
		for name := range a.Spec.Properties {
			_, owned := v1.SparkOwnedProperty(name)
			require.False(t, owned, name)
		}
		a.SetDefaults()
		_ = a.Validate(v1.Validation{})
	})
}
