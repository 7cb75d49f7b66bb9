package v1

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wordcount is an application that every test changes in one place.
func wordcount() SparkApplication {
	a := SparkApplication{Name: "wordcount", Spec: SparkSpec{
		Version: "3.5.9", AppResource: "https://files.example/wordcount.jar", MainClass: "example.WordCount",
	}}
	a.SetDefaults()
	return a
}

func set[V any](name string, value V) map[string]V { return map[string]V{name: value} }

func number(n int) *int { return &n }

func TestSparkDefaults(t *testing.T) {
	a := wordcount()
	s := a.Spec
	assert.Equal(t, SparkDriver{CPUs: 1, Memory: "1gb", MemoryOverhead: "512mb"}, s.Driver)
	assert.Equal(t, SparkExecutors{Count: number(2), Cores: 1, Memory: "1gb", MemoryOverhead: "384mb"}, s.Executors)
	require.Nil(t, a.Validate(Validation{}))

	a = wordcount()
	a.Spec.Driver = SparkDriver{Memory: "16gb", Supervise: &SparkSupervise{}, Checkpoint: &Storage{Size: "5gb"}}
	a.Spec.Executors = SparkExecutors{Min: number(1), Max: number(9), Memory: "16385mb"}
	a.SetDefaults()
	assert.Equal(t, "1639mb", a.Spec.Driver.MemoryOverhead, "a tenth, rounded up")
	assert.Equal(t, "1639mb", a.Spec.Executors.MemoryOverhead)
	assert.Equal(t, &SparkSupervise{MaxBackoffSeconds: 60, MaxFailures: 10, StableSeconds: 600}, a.Spec.Driver.Supervise)
	assert.Equal(t, "root", a.Spec.Driver.Checkpoint.Type)
	assert.Nil(t, a.Spec.Executors.Count)
	before := a.Spec.Clone()
	a.SetDefaults()
	assert.Equal(t, before, a.Spec, "idempotent")
	require.Nil(t, a.Validate(Validation{}))

	least, most := a.Spec.Executors.Bounds()
	assert.Equal(t, []int{1, 9}, []int{least, most})
	least, most = s.Executors.Bounds()
	assert.Equal(t, []int{2, 2}, []int{least, most})
}

func TestSparkDriverProperties(t *testing.T) {
	a := wordcount()
	a.Spec.Executors = SparkExecutors{Min: number(3), Max: number(9), Cores: 4, Memory: "2gb"}
	a.Spec.Properties = map[string]string{"spark.app.name": "Word count", "spark.x": "y"}
	a.SetDefaults()
	assert.Equal(t, map[string]string{
		"spark.app.name": "Word count", "spark.x": "y",
		"spark.sql.streaming.metricsEnabled": "true", "spark.metrics.namespace": "wordcount",
		"spark.driver.memory": "1024m", "spark.driver.memoryOverhead": "512m",
		"spark.executor.memory": "2048m", "spark.executor.memoryOverhead": "384m",
		"spark.executor.cores": "4", "spark.executor.instances": "3",
	}, a.DriverProperties())
	a.Spec.Properties["spark.dynamicAllocation.enabled"] = "true"
	assert.NotContains(t, a.DriverProperties(), "spark.executor.instances", "Spark would start with more than its minimum")
}

func TestSparkValidate(t *testing.T) {
	type change = func(a *SparkApplication, s *SparkSpec)
	long := strings.Repeat("a", 70_000)
	p := func(name, value string) change {
		return func(_ *SparkApplication, s *SparkSpec) { s.Properties = set(name, value) }
	}
	tests := []struct {
		name    string
		change  change
		field   string // "" = valid
		message string
	}{
		{"name missing", func(a *SparkApplication, _ *SparkSpec) { a.Name = "" }, "name", "is missing"},
		{"name", func(a *SparkApplication, _ *SparkSpec) { a.Name = "Word_Count" }, "name", "DNS label"},
		{"name too long", func(a *SparkApplication, _ *SparkSpec) { a.Name = long[:41] }, "name", "41 characters"},
		{"reserved name", func(a *SparkApplication, _ *SparkSpec) { a.Name = "apps" }, "name", "reserved"},
		{"label", func(a *SparkApplication, _ *SparkSpec) { a.Labels = set("-x", "") }, "labels.-x", "label's name"},
		{"version missing", func(_ *SparkApplication, s *SparkSpec) { s.Version = "" }, "spec.version", "is missing"},
		{"version short", func(_ *SparkApplication, s *SparkSpec) { s.Version = "3.5" }, "spec.version", "three numbers"},
		{"version 4", func(_ *SparkApplication, s *SparkSpec) { s.Version = "4.3.0" }, "", ""},
		{"version 3.4", func(_ *SparkApplication, s *SparkSpec) { s.Version = "3.4.4" }, "spec.version", "3.5 or 4.x"},
		{"version 5", func(_ *SparkApplication, s *SparkSpec) { s.Version = "5.5.0" }, "spec.version", "3.5 or 4.x"},
		{"role", func(_ *SparkApplication, s *SparkSpec) { s.Role = "*" }, "spec.role", "no Mesos role"},

		{"no resource", func(_ *SparkApplication, s *SparkSpec) { s.AppResource = "" }, "spec.appResource", "is missing"},
		{"relative resource", func(_ *SparkApplication, s *SparkSpec) { s.AppResource = "target/x.jar" }, "spec.appResource", "no URI"},
		{"two resources", func(_ *SparkApplication, s *SparkSpec) { s.AppResource = "http://a/x.jar,http://b/y.jar" }, "spec.appResource", "no URI"},
		{"path", func(_ *SparkApplication, s *SparkSpec) { s.AppResource = "/opt/jobs/x.jar" }, "", ""},
		{"local", func(_ *SparkApplication, s *SparkSpec) { s.AppResource = "local:/opt/jobs/x.jar" }, "", ""},
		{"password in a URI", func(_ *SparkApplication, s *SparkSpec) { s.AppResource = "ftp://me:pw@host/x.jar" }, "spec.appResource", "password"},
		{"user in a URI", func(_ *SparkApplication, s *SparkSpec) { s.AppResource = "abfss://box@account.example/x.jar" }, "", ""},
		{"internal", func(_ *SparkApplication, s *SparkSpec) { s.AppResource = SparkInternal }, "", ""},
		{"internal without class", func(_ *SparkApplication, s *SparkSpec) { s.AppResource, s.MainClass = SparkInternal, "" }, "spec.mainClass", "is missing"},
		{"python", func(_ *SparkApplication, s *SparkSpec) { s.AppResource, s.MainClass = "hdfs:///jobs/x.py", "" }, "", ""},
		{"python with class", func(_ *SparkApplication, s *SparkSpec) { s.AppResource = "hdfs:///jobs/x.py" }, "spec.mainClass", "has none"},
		{"jar without class", func(_ *SparkApplication, s *SparkSpec) { s.MainClass = "" }, "", ""},
		{"class", func(_ *SparkApplication, s *SparkSpec) { s.MainClass = "a.b-c" }, "spec.mainClass", "no class's name"},
		{"inner class", func(_ *SparkApplication, s *SparkSpec) { s.MainClass = "a.B$C" }, "", ""},

		{"argument", func(_ *SparkApplication, s *SparkSpec) { s.Args = []string{"a \"b\"\n", ""} }, "", ""},
		{"NUL argument", func(_ *SparkApplication, s *SparkSpec) { s.Args = []string{"a", "b\x00"} }, "spec.args[1]", "NUL"},
		{"long argument", func(_ *SparkApplication, s *SparkSpec) { s.Args = []string{long} }, "spec.args[0]", "70000 bytes"},
		{"many arguments", func(_ *SparkApplication, s *SparkSpec) { s.Args = make([]string, 1001) }, "spec.args", "1001 arguments"},
		{"all together too long", func(_ *SparkApplication, s *SparkSpec) {
			s.Args = strings.Split(strings.Repeat(long[:30_000]+" ", 9), " ")
		}, "spec", "at most 262144"},
		{"jar", func(_ *SparkApplication, s *SparkSpec) { s.Jars = []string{"http://a/x.jar", "y.jar"} }, "spec.jars[1]", "no URI"},
		{"file", func(_ *SparkApplication, s *SparkSpec) { s.Files = []string{"http://a/x y"} }, "spec.files[0]", "no URI"},
		{"file with a name", func(_ *SparkApplication, s *SparkSpec) { s.Files = []string{"http://a/x#log4j.properties"} }, "", ""},
		{"py-file", func(_ *SparkApplication, s *SparkSpec) { s.PyFiles = []string{""} }, "spec.pyFiles[0]", "is empty"},
		{"uri", func(_ *SparkApplication, s *SparkSpec) { s.URIs = []string{"a b"} }, "spec.uris[0]", "no URI"},
		{"many files", func(_ *SparkApplication, s *SparkSpec) { s.Files = make([]string, 501) }, "spec.files", "501 entries"},

		{"property", p("spark.hadoop.fs.s3a.endpoint", "x=y\n z"), "", ""},
		{"no property of Spark", p("hive.x", "1"), `spec.properties["hive.x"]`, "begins with"},
		{"property that is a field", p("spark.executor.cores", "2"), `spec.properties["spark.executor.cores"]`, "write executors.cores"},
		{"property below one", p("spark.mesos.driverEnv.X", "2"), `spec.properties["spark.mesos.driverEnv.X"]`, "write environment"},
		{"docker image", p("spark.mesos.executor.docker.image", "x"), `spec.properties["spark.mesos.executor.docker.image"]`, "without images"},
		{"master", p("spark.master", "local"), `spec.properties["spark.master"]`, "Berth starts the driver"},
		{"redacted property", p("spark.x.password", Redacted), `spec.properties["spark.x.password"]`, "write the real one"},
		{"dynamic allocation", p("spark.dynamicAllocation.enabled", "yes"), `spec.properties["spark.dynamicAllocation.enabled"]`, `"true" or "false"`},
		{"variable", func(_ *SparkApplication, s *SparkSpec) { s.Environment = set("PYSPARK_PYTHON", "python3") }, "", ""},
		{"variable's name", func(_ *SparkApplication, s *SparkSpec) { s.Environment = set("A-B", "") }, `spec.environment["A-B"]`, "no variable's name"},
		{"own variable", func(_ *SparkApplication, s *SparkSpec) { s.Environment = set("SPARK_HOME", "/x") }, `spec.environment["SPARK_HOME"]`, "catalogue"},
		{"own variables", func(_ *SparkApplication, s *SparkSpec) { s.Environment = set("BERTH_SPARK_TOKEN", "x") }, `spec.environment["BERTH_SPARK_TOKEN"]`, "who it is"},

		{"cpus", func(_ *SparkApplication, s *SparkSpec) { s.Driver.CPUs = 0.1234 }, "spec.driver.cpus", "three decimals"},
		{"driver memory", func(_ *SparkApplication, s *SparkSpec) { s.Driver.Memory = "400mb" }, "spec.driver.memory", "at least 512mb"},
		{"driver memory's unit", func(_ *SparkApplication, s *SparkSpec) { s.Driver.Memory = "1g" }, "spec.driver.memory", "no size"},
		{"overhead", func(_ *SparkApplication, s *SparkSpec) { s.Driver.MemoryOverhead = "1mb" }, "spec.driver.memoryOverhead", "at least 64mb"},
		{"constraint", func(_ *SparkApplication, s *SparkSpec) {
			s.Driver.Constraints = []Constraint{{Attribute: "colo", Operator: "EQ"}}
		}, "spec.driver.constraints[0].values", "exactly one value"},
		{"back-off", func(_ *SparkApplication, s *SparkSpec) {
			s.Driver.Supervise = &SparkSupervise{MaxBackoffSeconds: -1, MaxFailures: -1, StableSeconds: 1}
		}, "spec.driver.supervise.maxBackoffSeconds", "from 1"},
		{"failures", func(_ *SparkApplication, s *SparkSpec) {
			s.Driver.Supervise = &SparkSupervise{MaxBackoffSeconds: 1, MaxFailures: -2, StableSeconds: 1}
		}, "spec.driver.supervise.maxFailures", "from -1"},
		{"stable", func(_ *SparkApplication, s *SparkSpec) {
			s.Driver.Supervise = &SparkSupervise{MaxBackoffSeconds: 1, MaxFailures: 1, StableSeconds: -1}
		}, "spec.driver.supervise.stableSeconds", "from 1"},
		{"checkpoint", func(_ *SparkApplication, s *SparkSpec) { s.Driver.Checkpoint = &Storage{Size: "1gb", Type: "x"} }, "spec.driver.checkpoint.type", "one of"},
		{"checkpoint with a write-ahead log", func(_ *SparkApplication, s *SparkSpec) {
			s.Driver.Checkpoint, s.Properties = &Storage{Size: "1gb"}, set(walProperty, "true")
		}, "spec.driver.checkpoint", "shared storage"},
		{"write-ahead log elsewhere", p(walProperty, "true"), "", ""},
		{"checkpoint with a state store", func(_ *SparkApplication, s *SparkSpec) {
			s.Driver.Checkpoint, s.Properties = &Storage{Size: "1gb"}, set("spark.sql.streaming.stateStore.providerClass", "x")
		}, "spec.driver.checkpoint", "state of a query"},

		{"count and max", func(_ *SparkApplication, s *SparkSpec) { s.Executors.Max = number(3) }, "spec.executors", "either count"},
		{"no max", func(_ *SparkApplication, s *SparkSpec) { s.Executors.Count, s.Executors.Min = nil, number(3) }, "spec.executors.max", "min needs max"},
		{"no min", func(_ *SparkApplication, s *SparkSpec) { s.Executors.Count, s.Executors.Max = nil, number(3) }, "spec.executors.min", "max needs min"},
		{"min above max", func(_ *SparkApplication, s *SparkSpec) {
			s.Executors.Count, s.Executors.Min, s.Executors.Max = nil, number(4), number(3)
		}, "spec.executors.min", "more than max"},
		{"none at all", func(_ *SparkApplication, s *SparkSpec) {
			s.Executors.Count, s.Executors.Min, s.Executors.Max = nil, number(0), number(0)
		}, "spec.executors.max", "from 1"},
		{"count", func(_ *SparkApplication, s *SparkSpec) { s.Executors.Count = number(10_001) }, "spec.executors.count", "from 0 to 10000"},
		{"no executor", func(_ *SparkApplication, s *SparkSpec) { s.Executors.Count = number(0) }, "", ""},
		{"cores", func(_ *SparkApplication, s *SparkSpec) { s.Executors.Cores = -1 }, "spec.executors.cores", "from 1"},
		{"executor memory", func(_ *SparkApplication, s *SparkSpec) { s.Executors.Memory = "511mb" }, "spec.executors.memory", "at least 512mb"},
		{"executor overhead", func(_ *SparkApplication, s *SparkSpec) { s.Executors.MemoryOverhead = "x" }, "spec.executors.memoryOverhead", "no size"},
		{"executor constraint", func(_ *SparkApplication, s *SparkSpec) {
			s.Executors.Constraints = []Constraint{{Attribute: "colo", Operator: "XX"}}
		}, "spec.executors.constraints[0].operator", "must be one of"},
		{"spread", func(_ *SparkApplication, s *SparkSpec) { s.Executors.Spread = "-" }, "spec.executors.spread", "no attribute"},
		{"per host", func(_ *SparkApplication, s *SparkSpec) { s.Executors.MaxPerHost = -1 }, "spec.executors.maxPerHost", "from 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := wordcount()
			tt.change(&a, &a.Spec)
			a.SetDefaults()
			problem := a.Validate(Validation{})
			if tt.field == "" {
				require.Nil(t, problem)
				return
			}
			require.NotNil(t, problem)
			require.Equal(t, 422, problem.Status)
			require.Contains(t, fields(problem), tt.field, "%v", problem)
			require.Contains(t, fields(problem)[tt.field], tt.message)
			require.Len(t, problem.Fields, 1, "one mistake, one message: %v", problem)
		})
	}
}

func TestSparkValidationAsksTheScheduler(t *testing.T) {
	a := wordcount()
	a.Spec.Role = "other"
	p := a.Validate(Validation{Roles: []string{"data"}, SparkVersionAvailable: func(v string) (bool, string) {
		return v != "3.5.9", "is not in the catalogue"
	}})
	require.NotNil(t, p)
	require.Equal(t, map[string]string{"spec.version": "is not in the catalogue",
		"spec.role": `"other" is none of this scheduler's Mesos roles: data`}, fields(p))
}

func TestSparkDecode(t *testing.T) {
	a, p := DecodeSparkApplication([]byte(`{"name":"x","spec":{"version":"3.5.9","appResource":"http://a/x.jar","executors":{"min":1,"max":2},"properties":{"spark.x":"1"}}}`))
	require.Nil(t, p)
	require.Equal(t, SparkApplication{Name: "x", Spec: SparkSpec{Version: "3.5.9", AppResource: "http://a/x.jar",
		Executors: SparkExecutors{Min: number(1), Max: number(2)}, Properties: set("spark.x", "1")}}, a)
	for doc, want := range map[string]string{
		`{"name":"x","spec":{"version":"3.5.9"}}`:                                                 "spec.appResource",
		`{"name":"x","spec":{"version":"3.5.9","appResource":"x","driver":{"cores":1}}}`:          "spec.driver.cores",
		`{"name":"x","spec":{"version":"3.5.9","appResource":"x","properties":{"spark.x":1}}}`:    `spec.properties["spark.x"]`,
		`{"name":"x","spec":{"version":"3.5.9","appResource":"x","executors":{"count":null}}}`:    "spec.executors.count",
		`{"name":"x","spec":{"version":"3.5.9","appResource":"x","executors":3}}`:                 "spec.executors",
		`{"name":"x","spec":{"version":"3.5.9","appResource":"x"},"spec":{}}`:                     "spec",
		`{"name":"x","spec":{"version":"3.5.9","appResource":"x","driver":{"checkpoint":"1gb"}}}`: "spec.driver.checkpoint",
	} {
		_, p := DecodeSparkApplication([]byte(doc))
		require.NotNil(t, p, doc)
		require.Contains(t, fields(p), want, doc)
	}
}

// FuzzDecodeSpark: never a panic; what is valid survives being written and read.
func FuzzDecodeSpark(f *testing.F) {
	a := wordcount()
	a.Spec.Driver.Supervise, a.Spec.Driver.Checkpoint = &SparkSupervise{}, &Storage{Size: "1gb"}
	seed, err := json.Marshal(a)
	require.NoError(f, err)
	f.Add(seed)
	f.Add([]byte(`{"name":"x","spec":{"version":"4.0.0","appResource":"local:/x.py","args":["\u0000"]}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		a, p := DecodeSparkApplication(doc)
		if p != nil {
			require.LessOrEqual(t, len(p.Fields), MaxFieldErrors)
			return
		}
		a.SetDefaults()
		if p := a.Validate(Validation{}); p != nil {
			require.LessOrEqual(t, len(p.Fields), MaxFieldErrors)
			return
		}
		again, err := json.Marshal(a)
		require.NoError(t, err)
		b, p := DecodeSparkApplication(again)
		require.Nil(t, p)
		b.SetDefaults()
		require.Nil(t, b.Validate(Validation{}))
		require.Empty(t, DiffSpark(a.Spec, b.Spec))
		_ = b.Spec.Redact()
	})
}

func TestSparkRedact(t *testing.T) {
	s := wordcount().Spec
	s.Properties = map[string]string{
		"spark.authenticate.secret":            "s1",
		"spark.authenticate.secretBitLength":   "256",
		"spark.hadoop.fs.s3a.access.key":       "s2",
		"spark.hadoop.fs.azure.account.key.x":  "s3",
		"spark.ssl.keyPassword":                "s4",
		"spark.mine.pin":                       "s5",
		"spark.redaction.regex":                "(?i)pin|geheim",
		"spark.driver.extraJavaOptions":        `-Dkafka.password=s6 -Dx=1 -Dy.token="s7 s7"`,
		"spark.kafka.url":                      "kafka://me:s8@host",
		"spark.azure.connection":               "AccountName=a;AccountKey=s9",
		"spark.blob":                           "https://x.example/y?sv=1&sig=s10",
		"spark.eventLog.dir":                   "hdfs:///logs",
		"spark.kafka.sasl.jaas.config":         "s11",
		"spark.empty.password":                 "",
		"spark.executor.extraJavaOptions":      "-XX:+UseG1GC",
		"spark.hadoop.fs.s3a.endpoint":         "https://s3.example",
		"spark.sql.streaming.minBatchesToKeep": "3",
	}
	s.Environment = map[string]string{"AWS_SECRET_ACCESS_KEY": "s12", "TZ": "UTC"}
	s.Args = []string{"--password", "s13", "--api-key=s14", "--token", "--verbose", "plain", "password=s15"}
	r := s.Redact()
	shown, err := json.Marshal(r)
	require.NoError(t, err)
	for i := 1; i <= 15; i++ {
		assert.NotContains(t, string(shown), fmt.Sprintf("s%d", i)+"\"")
	}
	assert.NotContains(t, string(shown), "s6")
	assert.NotContains(t, string(shown), "s7")
	assert.NotContains(t, string(shown), "s8")
	for name, want := range map[string]string{
		"spark.authenticate.secret": Redacted, "spark.authenticate.secretBitLength": "256", "spark.mine.pin": Redacted,
		"spark.driver.extraJavaOptions": "-Dkafka.password=" + Redacted + " -Dx=1 -Dy.token=" + Redacted,
		"spark.eventLog.dir":            "hdfs:///logs", "spark.empty.password": "", "spark.hadoop.fs.s3a.endpoint": "https://s3.example",
		"spark.executor.extraJavaOptions": "-XX:+UseG1GC",
	} {
		assert.Equal(t, want, r.Properties[name], name)
	}
	assert.Equal(t, map[string]string{"AWS_SECRET_ACCESS_KEY": Redacted, "TZ": "UTC"}, r.Environment)
	assert.Equal(t, []string{"--password", Redacted, "--api-key=" + Redacted, "--token", "--verbose", "plain", Redacted}, r.Args)
	assert.Equal(t, "s1", s.Properties["spark.authenticate.secret"], "the spec itself stays")
	assert.Equal(t, "s13", s.Args[1])
	require.NotNil(t, (&SparkApplication{Name: "x", Spec: r}).Validate(Validation{}), "a view cannot be applied unseen")
}

func TestSparkDiff(t *testing.T) {
	from := wordcount().Spec
	from.Driver.Memory, from.Driver.MemoryOverhead = "1024mb", ""
	require.Empty(t, DiffSpark(from, wordcount().Spec), "sizes are compared by bytes, defaults are filled in")
	require.True(t, SameSpark(from, wordcount().Spec))

	from.Properties = map[string]string{"spark.a": "1", "spark.password": "old", "spark.gone": "x"}
	from.Args = []string{"--token=old"}
	to := from.Clone()
	to.Version = "3.5.10"
	to.Properties = map[string]string{"spark.a": "2", "spark.password": "new", "spark.come": "y"}
	to.Args = []string{"--token=new"}
	to.Environment = set("X", "1")
	to.Driver.Supervise = &SparkSupervise{}
	to.Driver.Checkpoint = &Storage{Size: "1gb"}
	to.Executors.Count, to.Executors.Min, to.Executors.Max = nil, number(1), number(4)
	to.Executors.Constraints = []Constraint{{Attribute: "colo", Operator: "EXISTS"}}
	var lines []string
	for _, c := range DiffSpark(from, to) {
		lines = append(lines, c.String())
	}
	require.Equal(t, []string{
		`version: "3.5.9" → "3.5.10"`,
		`args: ["--token=*********(redacted)"] → ["--token=*********(redacted)"]`,
		`properties["spark.a"]: "1" → "2"`,
		`properties["spark.come"]: added "y"`,
		`properties["spark.gone"]: removed "x"`,
		`properties["spark.password"]: "*********(redacted)" → "*********(redacted)"`,
		`environment["X"]: added "1"`,
		`driver.supervise: added {"maxBackoffSeconds":60,"maxFailures":10,"stableSeconds":600}`,
		`driver.checkpoint: added {"size":"1gb","type":"root"}`,
		`executors.count: removed 2`,
		`executors.min: added 1`,
		`executors.max: added 4`,
		`executors.constraints: [] → [{"attribute":"colo","operator":"EXISTS"}]`,
	}, lines)
}

// Every field of the spec is compared.
func TestSparkDiffKnowsEveryField(t *testing.T) {
	base := wordcount().Spec
	base.Driver.Checkpoint = &Storage{Size: "1gb"}
	changes := map[string]func(s *SparkSpec){
		"version": func(s *SparkSpec) { s.Version = "x" }, "role": func(s *SparkSpec) { s.Role = "x" },
		"appResource": func(s *SparkSpec) { s.AppResource = "x" }, "mainClass": func(s *SparkSpec) { s.MainClass = "x" },
		"args": func(s *SparkSpec) { s.Args = []string{"x"} }, "jars": func(s *SparkSpec) { s.Jars = []string{"x"} },
		"files": func(s *SparkSpec) { s.Files = []string{"x"} }, "pyFiles": func(s *SparkSpec) { s.PyFiles = []string{"x"} },
		"uris": func(s *SparkSpec) { s.URIs = []string{"x"} }, "cacheUris": func(s *SparkSpec) { s.CacheURIs = true },
		"properties": func(s *SparkSpec) { s.Properties = set("x", "") }, "environment": func(s *SparkSpec) { s.Environment = set("x", "") },
		"driver.cpus": func(s *SparkSpec) { s.Driver.CPUs = 9 }, "driver.memory": func(s *SparkSpec) { s.Driver.Memory = "9gb" },
		"driver.memoryOverhead":  func(s *SparkSpec) { s.Driver.MemoryOverhead = "9gb" },
		"driver.constraints":     func(s *SparkSpec) { s.Driver.Constraints = []Constraint{{}} },
		"driver.supervise":       func(s *SparkSpec) { s.Driver.Supervise = &SparkSupervise{} },
		"driver.checkpoint.size": func(s *SparkSpec) { s.Driver.Checkpoint.Size = "9gb" },
		"driver.checkpoint.type": func(s *SparkSpec) { s.Driver.Checkpoint.Type = "path" },
		"driver.checkpoint":      func(s *SparkSpec) { s.Driver.Checkpoint = nil },
		"executors.count":        func(s *SparkSpec) { *s.Executors.Count = 9 },
		"executors.min":          func(s *SparkSpec) { s.Executors.Min = number(9) },
		"executors.max":          func(s *SparkSpec) { s.Executors.Max = number(9) },
		"executors.cores":        func(s *SparkSpec) { s.Executors.Cores = 9 }, "executors.memory": func(s *SparkSpec) { s.Executors.Memory = "9gb" },
		"executors.memoryOverhead": func(s *SparkSpec) { s.Executors.MemoryOverhead = "9gb" },
		"executors.constraints":    func(s *SparkSpec) { s.Executors.Constraints = []Constraint{{}} },
		"executors.spread":         func(s *SparkSpec) { s.Executors.Spread = "x" }, "executors.maxPerHost": func(s *SparkSpec) { s.Executors.MaxPerHost = 9 },
	}
	for leaf, change := range changes {
		to := base.Clone()
		change(&to)
		got := DiffSpark(base, to)
		require.Len(t, got, 1, leaf)
		require.Equal(t, leaf, got[0].Leaf)
		require.NotEqual(t, asJSON(base), asJSON(to), "Clone shares nothing")
	}
	// As many leaves as the types have: a new field must be compared too.
	var paths []string
	leaves("", asMap(t, fullSpark()), &paths)
	for _, p := range paths {
		require.Contains(t, changes, p, "DiffSpark does not know %s", p)
	}
	require.Len(t, paths, len(changes)-1, "driver.checkpoint is a leaf only when absent")
}

// fullSpark has every field.
func fullSpark() SparkSpec {
	c := []Constraint{{Attribute: "a", Operator: "EXISTS"}}
	return SparkSpec{Version: "x", Role: "x", AppResource: "x", MainClass: "x", Args: []string{"x"}, Jars: []string{"x"}, Files: []string{"x"},
		PyFiles: []string{"x"}, URIs: []string{"x"}, CacheURIs: true, Properties: set("x", "x"), Environment: set("x", "x"),
		Driver: SparkDriver{CPUs: 1, Memory: "x", MemoryOverhead: "x", Constraints: c, Supervise: &SparkSupervise{1, 1, 1}, Checkpoint: &Storage{"x", "x"}},
		Executors: SparkExecutors{Count: number(1), Min: number(1), Max: number(1), Cores: 1, Memory: "x", MemoryOverhead: "x",
			Constraints: c, Spread: "x", MaxPerHost: 1}}
}

func asMap(t *testing.T, v any) map[string]any {
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	var m map[string]any
	require.NoError(t, json.Unmarshal(raw, &m))
	return m
}

// leaves are the paths of fields; properties and variables count as one.
func leaves(path string, m map[string]any, out *[]string) {
	for name, v := range m {
		below, isMap := v.(map[string]any)
		if isMap && name != "properties" && name != "environment" && name != "supervise" {
			leaves(path+name+".", below, out)
			continue
		}
		*out = append(*out, path+name)
	}
}

func TestSparkOwnedNames(t *testing.T) {
	for _, name := range SparkOwnedProperties() {
		if strings.HasSuffix(name, ".") {
			name += "x"
		}
		instead, owned := SparkOwnedProperty(name)
		require.True(t, owned, name)
		require.NotEmpty(t, instead)
	}
	for _, name := range []string{"spark.app.name", "spark.mesos.network", "spark.executor.memoryOverheadFactor", "spark.mesos.rejectOfferDuration"} {
		_, owned := SparkOwnedProperty(name)
		require.False(t, owned, name)
	}
	for _, name := range SparkOwnedVariables() {
		_, owned := SparkOwnedVariable(strings.Replace(name, "*", "X", 1))
		require.True(t, owned, name)
	}
	_, owned := SparkOwnedVariable("SPARK_USER")
	require.False(t, owned)
}
