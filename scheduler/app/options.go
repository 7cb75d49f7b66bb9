// Package app wires a Berth scheduler together: the API, the election, and,
// while it leads, the core with its adapters.
package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/berthdata/berth/scheduler"
)

// Options configure a Berth. Secrets are given as files, never as values.
type Options struct {
	// Listen is the API's address; loopback unless told otherwise.
	Listen string
	// Advertise is the base URL at which agents and other Berths reach this
	// one; "" is made from the address listened on.
	Advertise       string
	TLSCert, TLSKey string
	// TokensFile holds bearer tokens; Insecure lets everybody in instead.
	TokensFile string
	Insecure   bool

	// Masters is "zk://host:port,…/path" or a list of URLs.
	Masters         string
	FrameworkName   string
	FrameworkUser   string
	Roles           []string
	Principal       string
	SecretFile      string
	FailoverTimeout time.Duration
	// MachineAttribute names an agent attribute that identifies the machine.
	MachineAttribute string

	// ZooKeeper is "host:port,host:port/chroot"; DevDir a directory instead.
	ZooKeeper      string
	ZooKeeperRoot  string
	ZooKeeperAuth  string // file with user:password
	SessionTimeout time.Duration
	DevDir         string

	// ExecutorPath is the berth-executor binary that agents are given; "" is
	// the one beside this program.
	ExecutorPath string
	// TaskUser runs executors on agents; NodeUser runs a node whose executor
	// runs as root, since Elasticsearch refuses to.
	TaskUser, NodeUser string
	KillGrace          time.Duration
	Retention          time.Duration
	// Elasticsearch is the catalogue of versions, one "VERSION=home=/path" or
	// "VERSION=uri=https://…" each, with ",javaHome=/path" where wanted.
	Elasticsearch []string
	// Spark is the same for Spark; without it this Berth runs no applications.
	Spark []string
	// SparkBackend is the jar that drivers are given; "" is the one beside this
	// program. SparkUser runs drivers and executors whose agent-side executor runs
	// as root. SparkSchedulers are the base URLs of every Berth, for drivers; none
	// is this one's own.
	SparkBackend, SparkUser string
	SparkSchedulers         []string
	// SparkSubmitters are networks whose clients submit without a token, and
	// SparkSubmitListen an address of its own for them, without TLS. SparkDefaults
	// are properties of submissions that do not set them, one "NAME=VALUE" each.
	// SparkUIDomain is the domain below which each application's UI has a name.
	SparkSubmitters   []string
	SparkSubmitListen string
	SparkDefaults     []string
	SparkUIDomain     string

	Version string
}

// Defaults are the options of a Berth that is told nothing.
func Defaults() Options {
	return Options{
		Listen: "127.0.0.1:8080", FrameworkName: "berth", Roles: []string{"berth"},
		FailoverTimeout: 3 * 7 * 24 * time.Hour, ZooKeeperRoot: "/berth", SessionTimeout: 20 * time.Second,
		KillGrace: 60 * time.Second, Retention: 7 * 24 * time.Hour, NodeUser: "elasticsearch", SparkUser: "spark",
	}
}

// check finds what is missing or contradictory, all at once.
func (o *Options) check() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Masters == "" {
		add("--mesos: where are the Mesos masters? Give zk://host:port/path or a list of URLs")
	}
	if err := o.checkState(); err != nil {
		errs = append(errs, err)
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		add("--tls-cert and --tls-key go together")
	}
	if o.SecretFile != "" && o.Principal == "" {
		add("--mesos-secret-file needs --mesos-principal")
	}
	if len(o.Roles) == 0 {
		add("--mesos-roles: at least one role is needed")
	}
	if o.FailoverTimeout < 7*24*time.Hour {
		// Mesos kills every task of a framework that is away for longer.
		add("--failover-timeout: %s is less than a week; after that time Mesos kills every node", o.FailoverTimeout)
	}
	return errors.Join(errs...)
}

// catalogue reads the list of versions of Elasticsearch.
func (o *Options) catalogue() (map[string]scheduler.Distribution, error) {
	return readCatalogue("--elasticsearch", o.Elasticsearch)
}

// readCatalogue reads a list of versions; flag is where it was given.
func readCatalogue(flag string, entries []string) (map[string]scheduler.Distribution, error) {
	out := map[string]scheduler.Distribution{}
	for _, entry := range entries {
		version, rest, ok := strings.Cut(entry, "=")
		if !ok {
			return nil, fmt.Errorf("%s %q: want VERSION=home=/path or VERSION=uri=URL", flag, entry)
		}
		var d scheduler.Distribution
		for part := range strings.SplitSeq(rest, ",") {
			key, value, _ := strings.Cut(part, "=")
			switch key {
			case "home":
				d.Home = value
			case "uri":
				d.URI = value
			case "javaHome":
				d.JavaHome = value
			default:
				return nil, fmt.Errorf("%s %q: %q is none of home, uri, javaHome", flag, entry, key)
			}
		}
		if (d.Home == "") == (d.URI == "") {
			return nil, fmt.Errorf("%s %q: exactly one of home and uri says where the distribution is", flag, entry)
		}
		if _, twice := out[version]; twice {
			return nil, fmt.Errorf("%s: version %s is given twice", flag, version)
		}
		out[version] = d
	}
	return out, nil
}

// executorPath finds the executor's binary.
func (o *Options) executorPath() (string, error) {
	path := o.ExecutorPath
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("finding the executor's binary: %w; name it with --executor", err)
		}
		path = filepath.Join(filepath.Dir(self), "berth-executor")
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the executor's binary that agents are to fetch: %w; name it with --executor", err)
	}
	return path, nil
}

// secret reads a one-line secret from a file.
func secret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(raw)), nil
}
