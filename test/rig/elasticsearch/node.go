package elasticsearch

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/berthdata/berth/test/rig"
)

// legacyJVM are the JVM options of versions before 7, whose own file has flags
// that today's Java does not know.
var legacyJVM = []string{
	"-XX:+UseG1GC", "-Djava.awt.headless=true", "-Dfile.encoding=UTF-8", "-Djna.nosys=true",
	"-Dio.netty.noUnsafe=true", "-Dio.netty.noKeySetOptimization=true", "-Dio.netty.recycler.maxCapacityPerThread=0",
	"-Dlog4j.shutdownHookEnabled=false", "-Dlog4j2.disable.jmx=true", "-Djava.locale.providers=COMPAT",
	"-Djava.security.manager=allow",
}

// gcLog matches options that log collections, in the forms of Java 8 and 9.
var gcLog = regexp.MustCompile(`gc\.log|-Xloggc|PrintGC|UseGCLogFileRotation|NumberOfGCLogFiles|GCLogFileSize`)

// nodeFiles is what a node's files are made from.
type nodeFiles struct {
	home      Home
	dir       string // config, data, logs and tmp below it
	cluster   string
	name      string
	roles     []string
	http      int
	transport int
	seeds     []string // host:port of every master-eligible node
	masters   []string // names of the same
	heap      string
	java      []string // further JVM options
	settings  []string // further lines of elasticsearch.yml
	user      *rig.User
}

// write makes the node's directories and files, owned by its user.
func (n nodeFiles) write() error {
	for _, d := range []string{"config", "data", "logs", "tmp"} {
		if err := os.MkdirAll(filepath.Join(n.dir, d), 0o755); err != nil {
			return err
		}
	}
	config := filepath.Join(n.dir, "config")
	files, err := os.ReadDir(filepath.Join(n.home.Dir, "config"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if !f.Type().IsRegular() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(n.home.Dir, "config", f.Name()))
		if err != nil {
			return err
		}
		if f.Name() == "jvm.options" {
			b = []byte(n.jvmOptions(string(b)))
		}
		if err := os.WriteFile(filepath.Join(config, f.Name()), b, 0o644); err != nil {
			return err
		}
	}
	if n.home.Major == 5 || n.home.Major == 6 {
		if err := os.WriteFile(filepath.Join(config, "jvm.options"), []byte(strings.Join(n.legacyOptions(), "\n")+"\n"), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(config, "elasticsearch.yml"), []byte(n.yml()), 0o644); err != nil {
		return err
	}
	if n.user == nil {
		return nil
	}
	return filepath.WalkDir(n.dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, n.user.UID, n.user.GID)
	})
}

// jvmOptions are the distribution's, with the paths that are relative to the
// home, which the node cannot write, moved to its own directory.
func (n nodeFiles) jvmOptions(own string) string {
	var out strings.Builder
	for line := range strings.Lines(own) {
		switch {
		case gcLog.MatchString(line):
			continue
		case strings.Contains(line, "-XX:HeapDumpPath="):
			line = "-XX:HeapDumpPath=" + n.path("logs") + "\n"
		case strings.Contains(line, "-XX:ErrorFile="):
			line = "-XX:ErrorFile=" + n.path("logs", "hs_err_pid%p.log") + "\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

func (n nodeFiles) legacyOptions() []string {
	return append(slices.Clone(legacyJVM), "-Djava.io.tmpdir="+n.path("tmp"), "-XX:HeapDumpPath="+n.path("logs"))
}

func (n nodeFiles) yml() string {
	list := func(items []string) string { return `["` + strings.Join(items, `", "`) + `"]` }
	lines := []string{
		"cluster.name: " + n.cluster,
		"node.name: " + n.name,
		"path.data: " + n.path("data"),
		"path.logs: " + n.path("logs"),
		"network.host: 127.0.0.1",
		fmt.Sprintf("http.port: %d", n.http),
	}
	master, data := n.has("master"), n.has("data")
	switch {
	case n.home.Major >= 7:
		lines = append(lines, fmt.Sprintf("transport.port: %d", n.transport), "node.roles: "+list(n.roles), "discovery.seed_hosts: "+list(n.seeds))
		if n.hasModule("x-pack-security") {
			lines = append(lines, "xpack.security.enabled: false")
		}
		// Only for the very first formation: a node with data has a cluster.
		if master && n.empty() {
			lines = append(lines, "cluster.initial_master_nodes: "+list(n.masters))
		}
	default:
		lines = append(lines, fmt.Sprintf("transport.tcp.port: %d", n.transport),
			fmt.Sprintf("node.master: %t", master), fmt.Sprintf("node.data: %t", data),
			"discovery.zen.ping.unicast.hosts: "+list(n.seeds),
			fmt.Sprintf("discovery.zen.minimum_master_nodes: %d", len(n.masters)/2+1))
		if n.hasModule("x-pack-security") || n.hasModule("x-pack") {
			lines = append(lines, "xpack.security.enabled: false", "xpack.ml.enabled: false")
		}
	}
	return strings.Join(append(lines, n.settings...), "\n") + "\n"
}

// command is the plain command line that starts the node.
func (n nodeFiles) command() rig.Command {
	java := n.home.Java.Home
	heap := "-Xms" + n.heap + " -Xmx" + n.heap
	options := strings.Join(append([]string{heap}, n.java...), " ")
	args := []string{"-p", n.path("pid")}
	env := []string{"HOME=" + n.dir, "ES_TMPDIR=" + n.path("tmp"), "JAVA_HOME=" + java}
	switch n.home.Major {
	case 2:
		// Its own script sets heap and collector; the rest goes to JAVA_OPTS.
		env = append(env, "ES_HEAP_SIZE="+n.heap, "ES_GC_OPTS=-XX:+UseG1GC",
			"JAVA_OPTS="+strings.Join(append([]string{"-Djava.io.tmpdir=" + n.path("tmp")}, n.java...), " "))
		args = append(args, "--path.conf="+n.path("config"))
	case 5:
		env = append(env, "ES_JAVA_OPTS="+options, "ES_JVM_OPTIONS="+n.path("config", "jvm.options"))
		args = append(args, "-Epath.conf="+n.path("config"))
	case 6:
		env = append(env, "ES_JAVA_OPTS="+options, "ES_PATH_CONF="+n.path("config"))
	default:
		// The launcher of 8 and 9 is a JVM of its own, which needs little.
		env = append(env, "ES_JAVA_OPTS="+options, "ES_PATH_CONF="+n.path("config"), "ES_JAVA_HOME="+java, "CLI_JAVA_OPTS=-Xms4m -Xmx32m")
	}
	base := slices.DeleteFunc(rig.BaseEnv(), func(kv string) bool {
		return strings.HasPrefix(kv, "JAVA_HOME=") || strings.HasPrefix(kv, "HOME=")
	})
	return rig.Command{
		Name: n.name, Path: filepath.Join(n.home.Dir, "bin", "elasticsearch"), Args: args,
		Env: append(base, env...), Dir: n.dir, User: n.user,
	}
}

func (n nodeFiles) path(elem ...string) string {
	return filepath.Join(append([]string{n.dir}, elem...)...)
}

func (n nodeFiles) has(role string) bool { return slices.Contains(n.roles, role) }

func (n nodeFiles) hasModule(name string) bool {
	for _, dir := range []string{"modules", "plugins"} {
		if _, err := os.Stat(filepath.Join(n.home.Dir, dir, name)); err == nil {
			return true
		}
	}
	return false
}

// empty tells whether the node has never been part of a cluster.
func (n nodeFiles) empty() bool {
	entries, err := os.ReadDir(n.path("data"))
	return err != nil || len(entries) == 0
}
