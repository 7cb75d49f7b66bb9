package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// minMapCount is the vm.max_map_count that Elasticsearch's bootstrap check asks
// for once it maps its files.
const minMapCount = 262144

// settings is elasticsearch.yml: dotted names with scalars or lists of text.
func settings(in Input, v Version) (map[string]any, error) {
	e := in.Node
	s := map[string]any{
		"cluster.name": e.ClusterName,
		"node.name":    e.NodeName,
		"path.data":    in.Paths.Data,
		"path.logs":    in.Paths.Logs,
		"network.host": e.Address,
		"http.port":    e.HTTPPort,
	}
	if v.AtLeast(7, 9) {
		s["transport.port"] = e.TransportPort
	} else {
		s["transport.tcp.port"] = e.TransportPort
	}
	if v.AtLeast(7, 4) {
		s["node.processors"] = in.processors()
	} else {
		s["processors"] = in.processors()
	}
	if v.Major == 2 {
		// Its default of 50 lets a second node on the same path start empty
		// in a folder of its own, instead of failing.
		s["node.max_local_storage_nodes"] = 1
	}
	rolesInto(s, e.Roles, v, in.Distribution)
	discoveryInto(s, in, v)
	if err := attributesInto(s, in, v); err != nil {
		return nil, err
	}
	user, err := flatten(e.Config)
	if err != nil {
		return nil, err
	}
	for name, value := range user {
		if _, taken := s[name]; taken {
			return nil, fmt.Errorf("config %s: Berth sets it itself; remove it from config", name)
		}
		s[name] = value
	}
	defaultsInto(s, in, v)
	return s, nil
}

// rolesInto writes the roles by the names that the version has: node.roles from
// 7.9, one boolean for each role before.
func rolesInto(s map[string]any, roles []string, v Version, d Distribution) {
	has := func(names ...string) bool {
		return slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(names, r) })
	}
	data := slices.ContainsFunc(roles, func(r string) bool { return strings.HasPrefix(r, "data") })
	if v.AtLeast(7, 9) {
		names := []string{}
		for _, r := range roles {
			// Tiers came with 7.10, frozen with 7.12: before, a tier's node
			// is a data node.
			if tier := strings.HasPrefix(r, "data_"); tier && (!v.AtLeast(7, 10) || r == "data_frozen" && !v.AtLeast(7, 12)) {
				r = "data"
			}
			if !slices.Contains(names, r) {
				names = append(names, r)
			}
		}
		s["node.roles"] = names
		return
	}
	s["node.master"] = has("master")
	s["node.data"] = data
	if v.Major >= 5 {
		s["node.ingest"] = has("ingest")
	}
	if d.MachineLearning {
		s["node.ml"] = has("ml")
	}
	if v.AtLeast(7, 3) && d.Security && has("voting_only") {
		s["node.voting_only"] = true
	}
}

func discoveryInto(s map[string]any, in Input, v Version) {
	e := in.Node
	seeds, provider := "discovery.seed_hosts", "discovery.seed_providers"
	if v.Major < 7 {
		seeds, provider = "discovery.zen.ping.unicast.hosts", "discovery.zen.hosts_provider"
		s["discovery.zen.minimum_master_nodes"] = e.MasterCount/2 + 1
	}
	s[seeds] = notNil(e.SeedHosts)
	if v.RereadsSeeds() {
		// From a file, since Elasticsearch reads it again at each round of
		// discovery: the masters' addresses can change under a running node.
		// The empty list keeps it from trying the default ports of this host.
		s[seeds], s[provider] = []string{}, "file"
	}
	// Only a master-eligible node bootstraps, and only once: with the setting
	// left in place a node that lost its volume could found a second cluster of
	// the same name.
	if v.Major >= 7 && len(e.InitialMasters) > 0 && slices.Contains(e.Roles, "master") {
		s["cluster.initial_master_nodes"] = e.InitialMasters
	}
}

var attributeName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// takenBefore5 are the node.* settings of 2.x that an attribute must not hide:
// there both live under "node.".
var takenBefore5 = []string{"client", "data", "enable_custom_paths", "enable_lucene_segment_infos_trace", "id", "local", "master", "max_local_storage_nodes", "mode", "name", "portsfile"}

func attributesInto(s map[string]any, in Input, v Version) error {
	e := in.Node
	prefix := "node.attr."
	if v.Major < 5 {
		prefix = "node."
	}
	for name, value := range e.Attributes {
		if !attributeName.MatchString(name) {
			return fmt.Errorf("attribute %q: not a name that Elasticsearch takes", name)
		}
		if v.Major < 5 && slices.Contains(takenBefore5, name) {
			return fmt.Errorf("attribute %q: in Elasticsearch %s node.%s is a setting of its own", name, v, name)
		}
		s[prefix+name] = value
	}
	for _, a := range e.AwarenessAttributes {
		if _, ok := e.Attributes[a]; !ok {
			return fmt.Errorf("awareness attribute %q: the node has no such attribute", a)
		}
	}
	if len(e.AwarenessAttributes) > 0 {
		s["cluster.routing.allocation.awareness.attributes"] = strings.Join(e.AwarenessAttributes, ",")
	}
	return nil
}

// defaultsInto adds what a user's config may overrule.
func defaultsInto(s map[string]any, in Input, v Version) {
	configured := func(prefix string) bool {
		for name := range s {
			if name == prefix || strings.HasPrefix(name, prefix+".") {
				return true
			}
		}
		return false
	}
	// A module that is there and unconfigured would make 8.x and later invent
	// certificates and passwords of each node's own, and the nodes would not
	// find together. TLS and authentication need secrets that Berth does not
	// distribute yet, so the decision is written down: off unless the spec
	// configures it.
	if in.Distribution.Security && !configured("xpack.security") {
		s["xpack.security.enabled"] = false
	}
	// Off loopback the bootstrap check for vm.max_map_count is fatal. Where the
	// agent's kernel is not set up for mapping, reading files is slower but runs.
	if v.Major >= 7 && in.Host.MaxMapCount > 0 && in.Host.MaxMapCount < minMapCount &&
		!loopback(in.Node.Address) && !configured("node.store.allow_mmap") {
		s["node.store.allow_mmap"] = false
	}
}

func loopback(address string) bool {
	ip, err := netip.ParseAddr(address)
	return err == nil && ip.IsLoopback()
}

// yaml writes the settings sorted, one a line, values as JSON: every YAML
// parser that Elasticsearch ever used reads JSON scalars and lists.
func yaml(s map[string]any) (string, error) {
	var b strings.Builder
	b.WriteString("# Written by Berth at every start: changes are lost.\n")
	for _, name := range slices.Sorted(maps.Keys(s)) {
		var value bytes.Buffer
		enc := json.NewEncoder(&value)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s[name]); err != nil {
			return "", fmt.Errorf("config %s: %w", name, err)
		}
		b.WriteString(name + ": ")
		for _, r := range value.String() {
			// JSON leaves these as they are, YAML allows them escaped only.
			if r >= 0x7f && r <= 0x9f || r == 0xfeff || r == 0xfffe || r == 0xffff {
				fmt.Fprintf(&b, `\u%04x`, r)
				continue
			}
			b.WriteRune(r)
		}
	}
	return b.String(), nil
}

func (in Input) processors() int {
	n := int((in.Node.MilliCPUs + 999) / 1000)
	// From 8.0 a node refuses more processors than the machine has.
	if in.Host.Processors > 0 {
		n = min(n, in.Host.Processors)
	}
	return max(n, 1)
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func megabytes(n int64) string { return strconv.FormatInt(n, 10) + "m" }
