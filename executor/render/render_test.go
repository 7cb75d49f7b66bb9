package render

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/berthdata/berth/executor"
)

var update = flag.Bool("update", false, "write the golden files")

// jvmFile has one line of each sort that distributions' jvm.options hold.
const jvmFile = `
## comment
-Xms1g
8-13:-XX:+UseConcMarkSweepGC
14-:-XX:+UseG1GC
-Djava.io.tmpdir=${ES_TMPDIR}
20-:--add-modules=jdk.incubator.vector
-XX:+HeapDumpOnOutOfMemoryError
9-:-XX:+ExitOnOutOfMemoryError
-XX:HeapDumpPath=data
-XX:ErrorFile=logs/hs_err_pid%p.log
8:-Xloggc:logs/gc.log
9-:-Xlog:gc*,gc+age=trace,safepoint:file=logs/gc.log:utctime,pid,tags:filecount=32,filesize=64m
-Dspecial=1
`

func input(version string) Input {
	java := 17
	if strings.HasPrefix(version, "9") {
		java = 25
	}
	return Input{
		Node: &executor.Elasticsearch{
			Version: version, ClusterName: "sec-events", NodeName: "sec-events-data-0",
			Roles: []string{"master", "data", "ingest"}, Address: "10.0.0.7", HTTPPort: 31000, TransportPort: 31001,
			SeedHosts: []string{"10.0.0.7:31001", "10.0.0.8:31001"}, InitialMasters: []string{"sec-events-data-0", "sec-events-data-1"},
			MasterCount: 3, Attributes: map[string]string{"host": "h7", "rack": "r1"}, AwarenessAttributes: []string{"host"},
			MilliCPUs: 2500, MemoryMiB: 4096,
			Config:      map[string]any{"indices.recovery.max_bytes_per_sec": "80mb", "path.repo": []any{"/mnt/a", "/mnt/b"}},
			JavaOptions: []string{"-XX:-AlwaysPreTouch"}, TimeZone: "Europe/Zurich",
		},
		Paths: Paths{Home: "/s", Config: "/s/config", Logs: "/s/logs", Tmp: "/s/tmp", Data: "/v/1/data"},
		Distribution: Distribution{
			Home: "/opt/elasticsearch-" + version, JavaHome: "/usr/lib/jvm/java-17", JavaMajor: java,
			JVMOptions: jvmFile, Security: true, HeaderWarnings: true,
		},
		Host: Host{Processors: 8, MaxMapCount: 262144},
	}
}

// describe is everything that Render decides, as one text.
func describe(out Output) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(out.Files)) {
		fmt.Fprintf(&b, "--- %s\n%s", name, out.Files[name])
	}
	fmt.Fprintf(&b, "--- env\n%s\n--- command\n%s\n", strings.Join(out.Env, "\n"), strings.Join(append([]string{out.Path}, out.Args...), "\n"))
	return b.String()
}

func TestGolden(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Input)
	}{
		{"2.4.6", func(in *Input) { in.Distribution.Security = false }},
		{"5.6.16", func(in *Input) { in.Distribution.Security = false }},
		{"6.8.23", func(in *Input) { in.Distribution.MachineLearning = true }},
		{"7.3.2", func(*Input) {}},
		{"7.17.29", func(*Input) {}},
		{"8.19.21", func(*Input) {}},
		{"9.5.3", func(*Input) {}},
		{"8.19.21-bundled-java-low-map-count", func(in *Input) {
			in.Distribution.JavaHome, in.Distribution.BundledJava = in.Distribution.Home+"/jdk", true
			in.Host.MaxMapCount = 65530
		}},
		{"2.4.6-java-8", func(in *Input) { in.Distribution.Security, in.Distribution.JavaMajor = false, 8 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			version, _, _ := strings.Cut(tc.name, "-")
			in := input(version)
			tc.change(&in)
			out, err := Render(in)
			require.NoError(t, err)
			file := filepath.Join("testdata", tc.name+".golden")
			got := describe(out)
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), got)
			var parsed map[string]any
			require.NoError(t, sigsyaml.Unmarshal([]byte(out.Files["elasticsearch.yml"]), &parsed), "YAML that parsers read")
			assert.Equal(t, "sec-events", parsed["cluster.name"])
		})
	}
}

func yml(t *testing.T, in Input) map[string]any {
	t.Helper()
	out, err := Render(in)
	require.NoError(t, err)
	var m map[string]any
	require.NoError(t, sigsyaml.Unmarshal([]byte(out.Files["elasticsearch.yml"]), &m))
	return m
}

func TestRoles(t *testing.T) {
	for _, tc := range []struct {
		version string
		roles   []string
		want    map[string]any
	}{
		{"8.19.21", []string{"data_hot", "data_frozen"}, map[string]any{"node.roles": []any{"data_hot", "data_frozen"}}},
		{"8.19.21", nil, map[string]any{"node.roles": []any{}}},
		{"7.11.0", []string{"data_hot", "data_frozen", "data"}, map[string]any{"node.roles": []any{"data_hot", "data"}}},
		{"7.9.0", []string{"data_hot", "data_warm"}, map[string]any{"node.roles": []any{"data"}}},
		{"7.8.1", []string{"data_hot"}, map[string]any{"node.master": false, "node.data": true, "node.ingest": false, "node.roles": nil}},
		{"7.4.0", []string{"master", "voting_only"}, map[string]any{"node.master": true, "node.voting_only": true, "node.data": false}},
		{"5.6.16", []string{"ingest"}, map[string]any{"node.master": false, "node.data": false, "node.ingest": true, "node.ml": nil}},
		{"2.4.6", []string{"master"}, map[string]any{"node.master": true, "node.data": false, "node.ingest": nil}},
	} {
		t.Run(fmt.Sprint(tc.version, tc.roles), func(t *testing.T) {
			in := input(tc.version)
			in.Node.Roles = tc.roles
			got := yml(t, in)
			for name, want := range tc.want {
				assert.Equal(t, want, got[name], name)
			}
		})
	}
}

func TestDiscovery(t *testing.T) {
	in := input("8.19.21")
	in.Node.Roles = []string{"data"}
	assert.NotContains(t, yml(t, in), "cluster.initial_master_nodes", "only a master-eligible node bootstraps")
	in.Node.Roles, in.Node.InitialMasters = []string{"master"}, nil
	assert.NotContains(t, yml(t, in), "cluster.initial_master_nodes", "the cluster has formed")

	for masters, quorum := range map[int]float64{1: 1, 2: 2, 3: 2, 4: 3, 5: 3} {
		in := input("6.8.23")
		in.Node.MasterCount = masters
		assert.Equal(t, quorum, yml(t, in)["discovery.zen.minimum_master_nodes"], "%d masters", masters)
	}
}

func TestSeeds(t *testing.T) {
	for _, version := range []string{"6.8.23", "7.3.2", "9.5.3"} {
		out, err := Render(input(version))
		require.NoError(t, err)
		assert.Equal(t, "10.0.0.7:31001\n10.0.0.8:31001\n", out.Files[SeedsFile], version)
		assert.NotContains(t, out.Files["elasticsearch.yml"], "10.0.0.8", "what cannot change is not where it could")
	}
	out, err := Render(input("6.7.2"))
	require.NoError(t, err)
	assert.NotContains(t, out.Files, SeedsFile)
	assert.Contains(t, out.Files["elasticsearch.yml"], `discovery.zen.ping.unicast.hosts: ["10.0.0.7:31001","10.0.0.8:31001"]`)
}

func TestSecurity(t *testing.T) {
	in := input("8.19.21")
	assert.Equal(t, false, yml(t, in)["xpack.security.enabled"])
	in.Distribution.Security = false
	assert.NotContains(t, yml(t, in), "xpack.security.enabled", "unknown to a distribution without the module")
	in.Distribution.Security = true
	in.Node.Config = map[string]any{"xpack": map[string]any{"security": map[string]any{"enabled": true}}}
	assert.Equal(t, true, yml(t, in)["xpack.security.enabled"], "the spec decides")
	in.Node.Config = map[string]any{"xpack.security.transport.ssl.enabled": true}
	assert.NotContains(t, yml(t, in), "xpack.security.enabled", "whoever configures it decides all of it")
}

func TestAllowMmap(t *testing.T) {
	in := input("8.19.21")
	in.Host.MaxMapCount = 65530
	assert.Equal(t, false, yml(t, in)["node.store.allow_mmap"])
	in.Node.Address = "127.0.0.1"
	assert.NotContains(t, yml(t, in), "node.store.allow_mmap", "only a warning on loopback")
	in.Node.Address = "10.0.0.7"
	in.Node.Config = map[string]any{"node.store.allow_mmap": true}
	assert.Equal(t, true, yml(t, in)["node.store.allow_mmap"])
}

func TestRenderRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, says string
		change     func(*Input)
	}{
		{"unknown major", "supported", func(in *Input) { in.Node.Version = "10.0.0" }},
		{"version 3", "supported", func(in *Input) { in.Node.Version = "3.0.0" }},
		{"half a version", "form", func(in *Input) { in.Node.Version = "8.19" }},
		{"reserved setting", "cluster.name", func(in *Input) { in.Node.Config = map[string]any{"cluster.name": "x"} }},
		{"reserved, nested", "path.data", func(in *Input) {
			in.Node.Config = map[string]any{"path": map[string]any{"data": []any{"/"}}}
		}},
		{"reserved list item", "path.data", func(in *Input) { in.Node.Config = map[string]any{"path.data.0": "/"} }},
		{"an attribute twice", "node.attr.rack", func(in *Input) { in.Node.Config = map[string]any{"node.attr.rack": "r2"} }},
		{"null", "must be", func(in *Input) { in.Node.Config = map[string]any{"x": nil} }},
		{"list of lists", "must be", func(in *Input) { in.Node.Config = map[string]any{"x": []any{[]any{1}}} }},
		{"no number", "not a number", func(in *Input) { in.Node.Config = map[string]any{"x": math.NaN()} }},
		{"no name", "not the name", func(in *Input) { in.Node.Config = map[string]any{"a: b\nc": 1} }},
		{"twice", "twice", func(in *Input) {
			in.Node.Config = map[string]any{"a.b": 1, "a": map[string]any{"b": 2}}
		}},
		{"heap by option", "resources.heap", func(in *Input) { in.Node.JavaOptions = []string{"-Xmx1g"} }},
		{"tmpdir", "Berth sets", func(in *Input) { in.Node.JavaOptions = []string{"-Djava.io.tmpdir=/tmp"} }},
		{"a blank", "blanks", func(in *Input) { in.Node.JavaOptions = []string{"-Da=b c"} }},
		{"a newline", "blanks", func(in *Input) { in.Node.JavaOptions = []string{"-Da=b\n-Xmx1g"} }},
		{"a program", "begin with -", func(in *Input) { in.Node.JavaOptions = []string{"rm"} }},
		{"a bad zone", "time zone", func(in *Input) { in.Node.TimeZone = "UTC -Dx=y" }},
		{"little memory", "heap", func(in *Input) { in.Node.MemoryMiB = 128 }},
		{"unknown awareness", "awareness", func(in *Input) { in.Node.AwarenessAttributes = []string{"zone"} }},
		{"attribute name", "attribute", func(in *Input) { in.Node.Attributes["a b"] = "c" }},
		{"attribute hides a setting", "node.master", func(in *Input) {
			in.Node.Version = "2.4.6"
			in.Node.Attributes["master"] = "x"
		}},
		{"a sandbox with a blank", "work directory", func(in *Input) { in.Paths.Logs = "/a b/logs" }},
		{"a sandbox with a colon", "work directory", func(in *Input) { in.Paths.Tmp = "/a:b/tmp" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := input("8.19.21")
			tc.change(&in)
			_, err := Render(in)
			require.ErrorContains(t, err, tc.says)
		})
	}
}

func TestHeap(t *testing.T) {
	for _, tc := range []struct {
		memory, heap, want int64
		roles              []string
	}{
		{4096, 0, 2048, []string{"data"}},
		{4096, 0, 2048, nil},
		{1024, 0, 512, []string{"data"}},
		{1000, 0, 400, []string{"data"}},
		{200, 0, 128, []string{"data"}},
		{128 << 10, 0, 31 << 10, []string{"data"}},
		{1000, 0, 600, []string{"master"}},
		{4096, 0, 2457, []string{"master", "voting_only"}},
		{4096, 0, 2048, []string{"master", "data"}},
		{4096, 1000, 1000, []string{"data"}},
	} {
		e := &executor.Elasticsearch{MemoryMiB: tc.memory, HeapMiB: tc.heap, Roles: tc.roles}
		assert.Equal(t, tc.want, Heap(e), "%+v", tc)
	}
}

func TestProcessors(t *testing.T) {
	for _, tc := range []struct {
		milli    int64
		host     int
		parallel string
		conc     string
	}{
		{100, 8, "1", "1"}, {1000, 8, "1", "1"}, {1001, 8, "2", "1"}, {4000, 8, "4", "2"}, {16000, 8, "8", "4"}, {16000, 0, "16", "8"},
	} {
		in := input("8.19.21")
		in.Node.MilliCPUs, in.Host.Processors = tc.milli, tc.host
		out, err := Render(in)
		require.NoError(t, err)
		assert.Contains(t, out.Files["jvm.options"], "-XX:ParallelGCThreads="+tc.parallel+"\n")
		assert.Contains(t, out.Files["jvm.options"], "-XX:ConcGCThreads="+tc.conc+"\n")
		assert.Contains(t, out.Files["elasticsearch.yml"], "node.processors: "+tc.parallel+"\n")
	}
}

func TestUsersCollectorReplacesOurs(t *testing.T) {
	for _, version := range []string{"2.4.6", "5.6.16", "6.8.23", "7.17.29", "8.19.21"} {
		in := input(version)
		in.Node.JavaOptions = []string{"-XX:+UseSerialGC"}
		out, err := Render(in)
		require.NoError(t, err)
		assert.NotContains(t, describe(out), "UseG1GC", version)
		assert.NotContains(t, describe(out), "UseConcMarkSweepGC", version)
		assert.Contains(t, describe(out), "-XX:+UseSerialGC", version)
	}
	in := input("2.4.6")
	in.Node.JavaOptions = []string{"-XX:+UseSerialGC"}
	out, err := Render(in)
	require.NoError(t, err)
	assert.Contains(t, out.Env, "ES_GC_OPTS=-XX:+UseSerialGC", "an empty one would make the script add its own")
}

func TestEarly7OnNewJava(t *testing.T) {
	in := input("7.0.1")
	in.Distribution.JVMOptions = "-XX:+UseConcMarkSweepGC\n-XX:CMSInitiatingOccupancyFraction=75\n"
	out, err := Render(in)
	require.NoError(t, err)
	assert.NotContains(t, out.Files["jvm.options"], "CMS")
	assert.Contains(t, out.Files["jvm.options"], "-XX:+UseG1GC\n")
}

// The user's options come last, so that they win.
func TestJavaOptionsComeLast(t *testing.T) {
	in := input("8.19.21")
	in.Node.JavaOptions = []string{"-Dfile.encoding=ISO-8859-1"}
	out, err := Render(in)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(out.Files["jvm.options"]), "\n")
	assert.Equal(t, "-Dfile.encoding=ISO-8859-1", lines[len(lines)-1])
}

func TestReservedSettings(t *testing.T) {
	list := ReservedSettings()
	assert.True(t, slices.IsSorted(list))
	for _, name := range list {
		assert.ErrorContains(t, CheckConfig(map[string]any{name: "x"}), name)
		assert.ErrorContains(t, CheckConfig(map[string]any{name + ".0": "x"}), name)
	}
	list[0] = "changed"
	assert.NotEqual(t, "changed", ReservedSettings()[0])
	assert.NoError(t, CheckConfig(map[string]any{"a": json.Number("1"), "b": []any{"x", true, 1.5}, "c.d": "e"}))
	err := CheckConfig(map[string]any{"node.name": "x", "path.data": "y"})
	assert.ErrorContains(t, err, "node.name")
	assert.ErrorContains(t, err, "path.data", "all of them at once")
}

// Whatever Render itself writes must be reserved, or a user's config could
// replace it without a word.
func TestEverySettingOfOursIsReserved(t *testing.T) {
	overrulable := map[string]bool{"xpack.security.enabled": true, "node.store.allow_mmap": true}
	for _, version := range []string{"2.4.6", "5.6.16", "6.8.23", "7.3.2", "7.17.29", "8.19.21", "9.5.3"} {
		in := input(version)
		in.Node.Config, in.Distribution.MachineLearning, in.Host.MaxMapCount = nil, true, 1
		in.Node.Attributes = map[string]string{"host": "h"}
		for name := range yml(t, in) {
			if !overrulable[name] && name != "node.host" {
				assert.Error(t, CheckConfig(map[string]any{name: "x"}), "%s %s", version, name)
			}
		}
	}
}

// No text that a user or an attribute brings can add a line to a file.
func TestNoInjection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := input(rapid.SampledFrom([]string{"2.4.6", "5.6.16", "6.8.23", "7.17.29", "8.19.21", "9.5.3"}).Draw(t, "version"))
		value := rapid.String().Draw(t, "value")
		in.Node.Attributes = map[string]string{"host": value}
		in.Node.Config = map[string]any{"some.setting": value}
		out, err := Render(in)
		require.NoError(t, err)
		var m map[string]any
		require.NoError(t, sigsyaml.Unmarshal([]byte(out.Files["elasticsearch.yml"]), &m))
		require.Equal(t, strings.ToValidUTF8(value, "\uFFFD"), m["some.setting"])
		require.Equal(t, "sec-events", m["cluster.name"])
	})
}
