package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berthdata/berth/executor"
)

// Input is everything that a node's files depend on.
type Input struct {
	Node         *executor.Elasticsearch
	Paths        Paths
	Distribution Distribution
	Host         Host
}

// Paths are absolute paths on the agent.
type Paths struct {
	Home   string // the sandbox: the node's $HOME
	Config string // where Output.Files go
	Logs   string
	Tmp    string
	Data   string // path.data, inside the volume
}

// Distribution is what was found out about the unpacked Elasticsearch and Java.
type Distribution struct {
	Home string
	// JavaHome and its feature version, 17. BundledJava says that it is the
	// distribution's own, which its scripts find by themselves.
	JavaHome    string
	JavaMajor   int
	BundledJava bool
	// JVMOptions is the content of config/jvm.options; used from 7.x on.
	JVMOptions string
	// Security, MachineLearning: the module is there. Setting a setting of a
	// module that is not there keeps a node from starting.
	Security        bool
	MachineLearning bool
	// HeaderWarnings: the logging configuration has a HeaderWarningAppender.
	HeaderWarnings bool
}

// Host is what the node must know of its machine; zero = unknown.
type Host struct {
	Processors  int
	MaxMapCount int64 // vm.max_map_count
}

// Output is what to write and what to run.
type Output struct {
	Files map[string]string // content by name, below Paths.Config
	Path  string            // the program
	Args  []string          // without the program's name
	Env   []string          // the whole environment but PATH, sorted
}

// SeedsFile holds the seed hosts of a node whose version RereadsSeeds. It may be
// replaced while the node runs.
const SeedsFile = "unicast_hosts.txt"

// RereadsSeeds says whether the version has Elasticsearch's file-based seed
// hosts provider built in; older ones read their seeds at the start only.
func (v Version) RereadsSeeds() bool { return v.AtLeast(6, 8) }

// Seeds is the content of SeedsFile: one host:port a line.
func Seeds(hosts []string) string {
	var b strings.Builder
	for _, h := range hosts {
		b.WriteString(h + "\n")
	}
	return b.String()
}

// Render makes the node's files and command. Errors name the field of the
// launch document that cannot be rendered.
func Render(in Input) (Output, error) {
	v, err := ParseVersion(in.Node.Version)
	if err != nil {
		return Output{}, err
	}
	for _, p := range []string{in.Paths.Config, in.Paths.Logs, in.Paths.Tmp} {
		if !plain(p) || strings.ContainsAny(p, ":,") {
			return Output{}, fmt.Errorf("sandbox path %q: blanks, quotes, colons and commas cannot be passed to the JVM; give the agent another work directory", p)
		}
	}
	set, err := settings(in, v)
	if err != nil {
		return Output{}, err
	}
	yml, err := yaml(set)
	if err != nil {
		return Output{}, err
	}
	opts, err := jvmOptions(in, v)
	if err != nil {
		return Output{}, err
	}
	out := Output{
		Files: map[string]string{"elasticsearch.yml": yml},
		Path:  in.Distribution.Home + "/bin/elasticsearch",
	}
	if v.RereadsSeeds() {
		out.Files[SeedsFile] = Seeds(in.Node.SeedHosts)
	}
	if v.Major >= 5 {
		out.Files["jvm.options"] = strings.Join(opts.all(), "\n") + "\n"
		out.Files["log4j2.properties"] = log4j2(v, in.Distribution)
	} else {
		out.Files["logging.yml"] = logging2
	}
	out.command(in, v, opts)
	return out, nil
}

func (out *Output) command(in Input, v Version, opts jvm) {
	set := func(name, value string) { out.Env = append(out.Env, name+"="+value) }
	set("HOME", in.Paths.Home)
	set("TMPDIR", in.Paths.Tmp)
	// The scripts' own messages and sun.jnu.encoding: names of files in UTF-8.
	set("LC_ALL", "C.UTF-8")
	if !in.Distribution.BundledJava {
		set("ES_JAVA_HOME", in.Distribution.JavaHome)
	}
	if v.Major <= 7 && !in.Distribution.BundledJava {
		set("JAVA_HOME", in.Distribution.JavaHome)
	}
	switch {
	case v.Major >= 6:
		set("ES_PATH_CONF", in.Paths.Config)
		set("ES_TMPDIR", in.Paths.Tmp)
	case v.Major == 5:
		set("ES_JVM_OPTIONS", in.Paths.Config+"/jvm.options")
		out.Args = []string{"-Epath.conf=" + in.Paths.Config}
	default:
		set("ES_HEAP_SIZE", megabytes(Heap(in.Node)))
		set("ES_GC_OPTS", strings.Join(opts.gc(), " "))
		set("ES_JAVA_OPTS", strings.Join(slices.Concat(opts.base, opts.derived, opts.user), " "))
		out.Args = []string{"--path.conf=" + in.Paths.Config}
	}
	if v.Major >= 8 {
		// The launcher stays beside the server for its whole life: it is a
		// second JVM whose only work is to pass the arguments on.
		set("CLI_JAVA_OPTS", "-Xmx32m -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=16m")
	}
	slices.Sort(out.Env)
}
