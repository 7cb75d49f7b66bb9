package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// reservedSettings are what Berth decides: who the node is, where it listens,
// where its data is and whom it finds. A user's value for one of them could
// join two clusters, or lose a volume.
var reservedSettings = []string{
	"cluster.initial_master_nodes",
	"cluster.name",
	"cluster.remote.connect",
	"cluster.routing.allocation.awareness.attributes",
	"discovery.seed_hosts",
	"discovery.seed_providers",
	"discovery.type",
	"discovery.zen.hosts_provider",
	"discovery.zen.minimum_master_nodes",
	"discovery.zen.ping.multicast",
	"discovery.zen.ping.unicast.hosts",
	"http.bind_host",
	"http.enabled",
	"http.host",
	"http.port",
	"http.publish_host",
	"http.publish_port",
	"network.bind_host",
	"network.host",
	"network.publish_host",
	"node.attr.host",
	"node.data",
	"node.ingest",
	"node.master",
	"node.max_local_storage_nodes",
	"node.ml",
	"node.name",
	"node.pidfile",
	"node.processors",
	"node.remote_cluster_client",
	"node.roles",
	"node.transform",
	"node.voting_only",
	"path.conf",
	"path.data",
	"path.home",
	"path.logs",
	"pidfile",
	"processors",
	"transport.bind_host",
	"transport.host",
	"transport.port",
	"transport.profiles.default",
	"transport.publish_host",
	"transport.publish_port",
	"transport.tcp.port",
}

// ReservedSettings lists the elasticsearch.yml settings that Berth owns, sorted.
// Each name stands for itself and for everything below it: "path.data" covers
// "path.data.0", by which Elasticsearch means the first item of a list.
func ReservedSettings() []string { return slices.Clone(reservedSettings) }

var settingName = regexp.MustCompile(`^[A-Za-z0-9_*+-]+(\.[A-Za-z0-9_*+-]+)*$`)

// CheckConfig says which of a user's settings cannot be taken, all of them in
// one error. Nested maps are read as dotted names.
func CheckConfig(config map[string]any) error {
	_, err := flatten(config)
	return err
}

// flatten turns nested maps into dotted names and refuses what is reserved or
// is no setting at all.
func flatten(config map[string]any) (map[string]any, error) {
	flat := map[string]any{}
	var errs []error
	var walk func(prefix string, m map[string]any)
	walk = func(prefix string, m map[string]any) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			name := prefix + k
			if sub, ok := m[k].(map[string]any); ok {
				walk(name+".", sub)
				continue
			}
			if err := checkSetting(name, m[k]); err != nil {
				errs = append(errs, err)
				continue
			}
			if _, twice := flat[name]; twice {
				errs = append(errs, fmt.Errorf("config %s: given twice", name))
			}
			flat[name] = m[k]
		}
	}
	walk("", config)
	return flat, errors.Join(errs...)
}

func checkSetting(name string, value any) error {
	if !settingName.MatchString(name) {
		return fmt.Errorf("config %q: not the name of a setting", name)
	}
	for _, r := range reservedSettings {
		if name == r || strings.HasPrefix(name, r+".") {
			return fmt.Errorf("config %s: Berth sets %s itself; remove it from config", name, r)
		}
	}
	items, isList := value.([]any)
	if !isList {
		items = []any{value}
	}
	for _, v := range items {
		switch v := v.(type) {
		case string, bool, json.Number, int, int64:
		case float64:
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("config %s: %v is not a number", name, v)
			}
		default:
			return fmt.Errorf("config %s: must be a text, a number, a boolean or a list of those", name)
		}
	}
	return nil
}

// heapOptions and ownJavaOptions are prefixes of JVM options that Berth derives
// from the node's resources and from its sandbox.
var (
	heapOptions = []string{
		"-Xms", "-Xmx", "-XX:InitialHeapSize", "-XX:MaxHeapSize", "-XX:MinHeapSize",
		"-XX:MaxRAM", "-XX:InitialRAMPercentage", "-XX:MinRAMPercentage",
	}
	ownJavaOptions = []string{"-Djava.io.tmpdir", "-Des.path."}
)

// CheckJavaOptions says which of a user's JVM options cannot be taken, all of
// them in one error.
func CheckJavaOptions(options []string) error {
	var errs []error
	for _, o := range options {
		begins := func(p string) bool { return strings.HasPrefix(o, p) }
		switch {
		case !strings.HasPrefix(o, "-"):
			errs = append(errs, fmt.Errorf("javaOptions %q: does not begin with -", o))
		case !plain(o):
			// The start scripts of most versions split options at blanks.
			errs = append(errs, fmt.Errorf("javaOptions %q: blanks, quotes and control characters cannot be passed on", o))
		case slices.ContainsFunc(heapOptions, begins):
			errs = append(errs, fmt.Errorf("javaOptions %q: the heap is set with resources.heap", o))
		case slices.ContainsFunc(ownJavaOptions, begins):
			errs = append(errs, fmt.Errorf("javaOptions %q: Berth sets this itself; remove it", o))
		}
	}
	return errors.Join(errs...)
}

// plain says whether a text passes through the start scripts unchanged.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune("\"'`\\", r)
	})
}
