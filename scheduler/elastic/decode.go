package elastic

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// unset is what Elasticsearch writes for a uuid that is not there yet.
const unset = "_na_"

// decode reads JSON into v. Fields that an answer must have are pointers, so
// that an absent one is told from a zero: an answer of an unknown shape must
// not pass for "0 relocating".
func decode(what string, body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return fail(observe.Unreadable, "%s: not the expected JSON: %v: %s", what, err, excerpt(body))
	}
	return nil
}

type healthBody struct {
	ClusterName       string `json:"cluster_name"`
	Status            string `json:"status"`
	TimedOut          *bool  `json:"timed_out"`
	DiscoveredMaster  *bool  `json:"discovered_master"`
	ActiveShards      *int   `json:"active_shards"`
	Relocating        *int   `json:"relocating_shards"`
	Initializing      *int   `json:"initializing_shards"`
	Unassigned        *int   `json:"unassigned_shards"`
	DelayedUnassigned *int   `json:"delayed_unassigned_shards"`
	InFlightFetch     *int   `json:"number_of_in_flight_fetch"`
	Pending           *int   `json:"number_of_pending_tasks"`
}

// isHealth tells an answer that came with a failing status from an error.
func isHealth(body []byte) bool {
	var h healthBody
	return json.Unmarshal(body, &h) == nil && h.ClusterName != "" && h.TimedOut != nil
}

func decodeHealth(body []byte, o *observe.Observation) error {
	const what = "_cluster/health"
	var h healthBody
	if err := decode(what, body, &h); err != nil {
		return err
	}
	if h.DiscoveredMaster != nil && !*h.DiscoveredMaster {
		return fail(observe.NoMaster, "%s: the node knows no elected master", what)
	}
	if h.ClusterName == "" || h.TimedOut == nil || !slices.Contains([]string{"green", "yellow", "red"}, h.Status) {
		return fail(observe.Unreadable, "%s: no cluster_name, timed_out or known status: %s", what, excerpt(body))
	}
	o.ClusterName, o.Health, o.TimedOut = h.ClusterName, h.Status, *h.TimedOut
	for _, n := range []struct {
		name string
		from *int
		to   *int
	}{
		{"active_shards", h.ActiveShards, &o.ActiveShards},
		{"relocating_shards", h.Relocating, &o.Relocating},
		{"initializing_shards", h.Initializing, &o.Initializing},
		{"unassigned_shards", h.Unassigned, &o.Unassigned},
		{"delayed_unassigned_shards", h.DelayedUnassigned, &o.DelayedUnassigned},
		{"number_of_in_flight_fetch", h.InFlightFetch, &o.InFlightFetch},
		{"number_of_pending_tasks", h.Pending, &o.Pending},
	} {
		if n.from == nil || *n.from < 0 {
			return fail(observe.Unreadable, "%s: no usable %s: %s", what, n.name, excerpt(body))
		}
		*n.to = *n.from
	}
	return nil
}

type stateBody struct {
	ClusterName string  `json:"cluster_name"`
	ClusterUUID string  `json:"cluster_uuid"`
	MasterNode  *string `json:"master_node"`
	Nodes       map[string]struct {
		Name        string            `json:"name"`
		EphemeralID string            `json:"ephemeral_id"`
		Address     string            `json:"transport_address"`
		Attributes  map[string]string `json:"attributes"`
		Roles       *[]string         `json:"roles"`
		Version     string            `json:"version"`
	} `json:"nodes"`
	RoutingTable *struct {
		Indices map[string]struct {
			Shards map[string][]routedCopy `json:"shards"`
		} `json:"indices"`
	} `json:"routing_table"`
}

// decodeState reads members, master and shard copies. told is false when the
// roles or version of a node are not in the state.
func decodeState(body []byte) (st clusterState, told bool, err error) {
	const what = "_cluster/state"
	var s stateBody
	if err := decode(what, body, &s); err != nil {
		return st, false, err
	}
	if s.ClusterName == "" {
		return st, false, fail(observe.Unreadable, "%s: no cluster_name: %s", what, excerpt(body))
	}
	if s.MasterNode == nil || *s.MasterNode == "" {
		return st, false, fail(observe.NoMaster, "%s: the node knows no elected master", what)
	}
	st.name = s.ClusterName
	if s.ClusterUUID != unset {
		st.uuid = s.ClusterUUID
	}
	told = true
	for id, n := range s.Nodes {
		if n.Name == "" || n.Address == "" {
			return st, false, fail(observe.Unreadable, "%s: node %s has no name or transport_address", what, id)
		}
		node := observe.Node{ID: id, EphemeralID: n.EphemeralID, Name: n.Name, Address: n.Address,
			Attributes: n.Attributes, Version: n.Version, Master: id == *s.MasterNode}
		if n.Roles != nil {
			node.Roles = slices.Sorted(slices.Values(*n.Roles))
		}
		told = told && n.Roles != nil && n.Version != ""
		st.nodes = append(st.nodes, node)
	}
	if !slices.ContainsFunc(st.nodes, func(n observe.Node) bool { return n.Master }) {
		return st, false, fail(observe.Unreadable, "%s: the elected master %s is not among the %d nodes", what, *s.MasterNode, len(st.nodes))
	}
	slices.SortFunc(st.nodes, func(a, b observe.Node) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	if s.RoutingTable == nil {
		return st, told, nil
	}
	st.routing = true
	for index, table := range s.RoutingTable.Indices {
		for shard, routed := range table.Shards {
			for _, rc := range routed {
				c, err := rc.shardCopy(index, shard)
				if err != nil {
					return st, false, err
				}
				st.copies = append(st.copies, c)
			}
		}
	}
	return st, told, nil
}

// decodeNodeInfo fills in what the members say of themselves.
func decodeNodeInfo(body []byte, nodes []observe.Node) error {
	const what = "_nodes"
	var info struct {
		Nodes map[string]struct {
			Version string    `json:"version"`
			Roles   *[]string `json:"roles"`
		} `json:"nodes"`
	}
	if err := decode(what, body, &info); err != nil {
		return err
	}
	if len(info.Nodes) == 0 {
		return fail(observe.Unreadable, "%s: names no node: %s", what, excerpt(body))
	}
	for i := range nodes {
		n := &nodes[i]
		told, ok := info.Nodes[n.ID]
		if !ok {
			continue
		}
		if told.Version == "" {
			return fail(observe.Unreadable, "%s: node %s has no version", what, n.Name)
		}
		n.Version = told.Version
		switch {
		case told.Roles != nil:
			n.Roles = slices.Sorted(slices.Values(*told.Roles))
		case n.EphemeralID == "":
			n.Roles = rolesOfAttributes(n.Attributes)
		}
	}
	return nil
}

// rolesOfAttributes: before 5.0, which brought roles and ephemeral ids, a node
// has both roles unless an attribute says otherwise.
func rolesOfAttributes(attributes map[string]string) []string {
	var roles []string
	for _, role := range []string{"data", "master"} {
		if attributes[role] != "false" && attributes["client"] != "true" {
			roles = append(roles, role)
		}
	}
	return roles
}

// decodeInfo reads the uuid from the greeting of a server; found is false when
// the greeting has none.
func decodeInfo(body []byte) (uuid string, found bool, err error) {
	var info struct {
		ClusterName string  `json:"cluster_name"`
		ClusterUUID *string `json:"cluster_uuid"`
	}
	if err := decode("GET /", body, &info); err != nil {
		return "", false, err
	}
	switch {
	case info.ClusterName == "":
		return "", false, fail(observe.Unreadable, "GET /: no cluster_name: %s", excerpt(body))
	case info.ClusterUUID == nil:
		return "", false, nil
	case *info.ClusterUUID == unset:
		return "", true, nil
	}
	return *info.ClusterUUID, true, nil
}

func decodeUUID(body []byte) (string, error) {
	const what = "_cluster/state/metadata"
	var m struct {
		Metadata struct {
			ClusterUUID *string `json:"cluster_uuid"`
		} `json:"metadata"`
	}
	if err := decode(what, body, &m); err != nil {
		return "", err
	}
	switch {
	case m.Metadata.ClusterUUID == nil || *m.Metadata.ClusterUUID == "":
		return "", fail(observe.Unreadable, "%s: no cluster_uuid: %s", what, excerpt(body))
	case *m.Metadata.ClusterUUID == unset:
		return "", nil
	}
	return *m.Metadata.ClusterUUID, nil
}

// replicaSettings are what decodeReplicas needs of an index.
var replicaSettings = []string{"index.number_of_replicas", "index.auto_expand_replicas", "index.store.type"}

// indexSettings says of each index, by name, whether it is a mounted searchable
// snapshot, whose data is in its repository.
type indexSettings map[string]bool

// decodeReplicas finds the index with the fewest replicas; of several the
// first by name, so that equal clusters give equal observations.
func decodeReplicas(body []byte, o *observe.Observation) (indexSettings, error) {
	const what = "_all/_settings"
	var indices map[string]struct {
		Settings struct {
			Index struct {
				Replicas   string `json:"number_of_replicas"`
				AutoExpand string `json:"auto_expand_replicas"`
				Store      struct {
					Type string `json:"type"`
				} `json:"store"`
			} `json:"index"`
		} `json:"settings"`
	}
	if err := decode(what, body, &indices); err != nil {
		return nil, err
	}
	if indices == nil {
		return nil, fail(observe.Unreadable, "%s: the answer is null", what)
	}
	o.Indices = len(indices)
	all := indexSettings{}
	for name, i := range indices {
		index := i.Settings.Index
		n, err := strconv.Atoi(index.Replicas)
		if err != nil || n < 0 {
			return nil, fail(observe.Unreadable, "%s: index %s has no usable number_of_replicas: %q", what, name, index.Replicas)
		}
		all[name] = index.Store.Type == "snapshot"
		if all[name] {
			continue
		}
		if bound, unbounded, ok := autoExpand(index.AutoExpand); unbounded {
			continue
		} else if ok {
			n = bound
		}
		if o.MinReplicas < 0 || n < o.MinReplicas || n == o.MinReplicas && name < o.MinReplicasIndex {
			o.MinReplicas, o.MinReplicasIndex = n, name
		}
	}
	return all, nil
}

// autoExpand reads "0-1", "1-all" and "false". Of what it cannot read, ok is
// false and the present number of replicas counts.
func autoExpand(s string) (bound int, unbounded, ok bool) {
	_, upper, found := strings.Cut(s, "-")
	if !found {
		return 0, false, false
	}
	if upper == "all" {
		return 0, true, true
	}
	bound, err := strconv.Atoi(upper)
	return bound, false, err == nil && bound >= 0
}
