package elastic

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// smallBody bounds answers whose size does not grow with the number of shards
// or indices: health, members, the cluster's id.
const smallBody = 4 << 20

// reader makes one observation through one endpoint.
type reader struct {
	ep          *endpoint
	timeout     time.Duration
	maxResponse int64
	req         observe.Request
}

// answer does what the request's kind asks for.
func (r reader) answer(ctx context.Context) (observe.Observation, error) {
	switch r.req.Kind {
	case observe.KindAllocation:
		return r.allocate(ctx)
	case observe.KindExclude:
		return r.exclude(ctx)
	}
	return r.observe(ctx)
}

// observe reads the parts in the order in which they become useless without
// one another: no health, no observation.
func (r reader) observe(ctx context.Context) (observe.Observation, error) {
	o := observe.Observation{Seq: r.req.Seq, Full: r.req.Full, MinReplicas: -1}
	if err := r.health(ctx, &o); err != nil {
		return o, err
	}
	st, err := r.state(ctx)
	if err != nil {
		return o, err
	}
	if st.name != r.req.Cluster || st.name != o.ClusterName {
		return o, r.foreign(st.name)
	}
	o.ClusterUUID, o.Nodes = st.uuid, st.nodes
	if !r.req.Full {
		return o, nil
	}
	settings, err := r.replicas(ctx, &o)
	if err != nil {
		return o, err
	}
	copies, err := r.copies(ctx, st)
	if err != nil {
		return o, err
	}
	if len(copies) == 0 && o.ActiveShards > 0 {
		return o, fail(observe.Unreadable, "health counts %d active shards, the routing table shows none", o.ActiveShards)
	}
	o.SharedHost, o.SharedHostTotal = sharedHosts(copies, st.nodes)
	o.Sole = soleMachines(copies, st.nodes, settings, r.req.Away)
	lost := lostShards(copies, st.nodes, r.req.Away)
	o.Away = r.req.Away
	o.AtRisk, o.AtRiskTotal = atRisk(lost, settings, copies, r.unassigned(ctx, lost))
	if r.req.Leaving != nil {
		o.Leaving, err = r.leaving(ctx, *r.req.Leaving, st, copies)
	}
	return o, err
}

// unassigned asks why copies of shards without a started one are unassigned, and
// where they were last. It costs a request, and only while the cluster is red.
// Without an answer nothing is known of them, which is all that follows from it.
func (r reader) unassigned(ctx context.Context, lost []lostShard) map[shardKey][]unassignedCopy {
	names := unassignedIndices(lost)
	if len(names) == 0 {
		return nil
	}
	q := esapi.ClusterStateRequest{
		Metric: []string{"routing_table"}, Index: names, MasterTimeout: r.masterTimeout(),
		IgnoreUnavailable: esapi.BoolPtr(true),
		FilterPath: []string{"routing_table.indices.*.shards.*.state", "routing_table.indices.*.shards.*.primary",
			"routing_table.indices.*.shards.*.unassigned_info.reason", "routing_table.indices.*.shards.*.unassigned_info.last_node",
			"routing_table.indices.*.shards.*.unassigned_info.details"},
	}
	body, err := r.ask(ctx, "_cluster/state/routing_table", q, r.maxResponse)
	if err != nil {
		return nil
	}
	told, err := decodeUnassigned(body)
	if err != nil {
		return nil
	}
	return told
}

func (r reader) foreign(name string) error {
	return fail(observe.Unreadable, "cluster %q answers where %q was expected; its address was probably given to another node", name, r.req.Cluster)
}

// identify asks who answers, before anything is changed there.
func (r reader) identify(ctx context.Context) error {
	var o observe.Observation
	if err := r.health(ctx, &o); err != nil {
		return err
	}
	if o.ClusterName != r.req.Cluster {
		return r.foreign(o.ClusterName)
	}
	return nil
}

// masterTimeout keeps the server's own waiting below ours, so that a cluster
// without a master says so instead of running into our timeout. Two waits may
// follow one another in one request.
func (r reader) masterTimeout() time.Duration { return max(r.timeout/3, time.Millisecond) }

// health reads _cluster/health. A full observation asks the master to work off
// its queue first (wait_for_events=languid), so that the counts are current.
func (r reader) health(ctx context.Context, o *observe.Observation) error {
	q := esapi.ClusterHealthRequest{MasterTimeout: r.masterTimeout(), Timeout: r.masterTimeout()}
	if r.req.Full {
		q.WaitForEvents = "languid"
	}
	// Up to 7.x, and in 8.x by a setting, "timed out" comes as 408 with a
	// complete answer.
	body, err := r.ask(ctx, "_cluster/health", q, smallBody, http.StatusRequestTimeout)
	if err != nil {
		return err
	}
	return decodeHealth(body, o)
}

// clusterState is what one _cluster/state told.
type clusterState struct {
	name    string
	uuid    string
	nodes   []observe.Node
	copies  []shardCopy
	routing bool // the answer had a routing table
}

// state reads the elected master's view of members and, when full, shards: one
// moment, one request. The routing table is preferred to _cat/shards because
// that asks every member for statistics, and one hanging member holds it up.
func (r reader) state(ctx context.Context) (clusterState, error) {
	q := esapi.ClusterStateRequest{
		Metric:        []string{"master_node", "nodes"},
		MasterTimeout: r.masterTimeout(),
		FilterPath: []string{"cluster_name", "cluster_uuid", "master_node", "nodes.*.name", "nodes.*.ephemeral_id",
			"nodes.*.transport_address", "nodes.*.attributes", "nodes.*.roles", "nodes.*.version"},
	}
	limit := int64(smallBody)
	if r.req.Full {
		q.Metric = append(q.Metric, "routing_table")
		for _, f := range []string{"state", "primary", "node", "relocating_node"} {
			q.FilterPath = append(q.FilterPath, "routing_table.indices.*.shards.*."+f)
		}
		limit = r.maxResponse
	}
	body, err := r.ask(ctx, "_cluster/state", q, limit)
	if err != nil {
		return clusterState{}, err
	}
	st, told, err := decodeState(body)
	if err != nil {
		return st, err
	}
	if st.name != r.req.Cluster {
		return st, r.foreign(st.name)
	}
	if !told {
		// Before 8, roles and versions are known to the members alone.
		if err := r.nodeInfo(ctx, st.nodes); err != nil {
			return st, err
		}
	}
	if st.uuid == "" {
		st.uuid, err = r.uuid(ctx)
	}
	return st, err
}

// nodeInfo asks the members for roles and versions. A member that does not
// answer within the node timeout is left without them.
func (r reader) nodeInfo(ctx context.Context, nodes []observe.Node) error {
	body, err := r.ask(ctx, "_nodes", esapi.NodesInfoRequest{
		Metric:     []string{"http"}, // some metric must be named, or all come
		Timeout:    r.masterTimeout(),
		FilterPath: []string{"nodes.*.name", "nodes.*.version", "nodes.*.roles"},
	}, smallBody)
	if err != nil {
		return err
	}
	return decodeNodeInfo(body, nodes)
}

// uuid is for servers whose state does not carry it at its top. From 2.4 on the
// greeting has it; before, only the metadata has, which the master must then
// send whole. (Limited to no index, old servers leave the uuid out of it.)
func (r reader) uuid(ctx context.Context) (string, error) {
	body, err := r.ask(ctx, "GET /", esapi.InfoRequest{}, smallBody)
	if err != nil {
		return "", err
	}
	uuid, found, err := decodeInfo(body)
	if err != nil || found {
		return uuid, err
	}
	body, err = r.ask(ctx, "_cluster/state/metadata", esapi.ClusterStateRequest{
		Metric:        []string{"metadata"},
		MasterTimeout: r.masterTimeout(),
		FilterPath:    []string{"metadata.cluster_uuid"},
	}, smallBody)
	if err != nil {
		return "", err
	}
	return decodeUUID(body)
}

// replicas reads the replica settings of all indices, from the cluster state.
// expand_wildcards=all is the one form that every version knows and that
// leaves nothing out: a closed index loses data with its hosts, too. 5.x refuses
// the form with master_timeout or flat_settings.
func (r reader) replicas(ctx context.Context, o *observe.Observation) (indexSettings, error) {
	body, err := r.ask(ctx, "_all/_settings", esapi.IndicesGetSettingsRequest{
		Index: []string{"_all"}, Name: replicaSettings, ExpandWildcards: "all",
	}, r.maxResponse)
	if err != nil {
		return nil, err
	}
	return decodeReplicas(body, o)
}

// copies are the shard copies of the state, or those of _cat/shards where the
// state has no routing table: for want of indices, or because the server does
// not show it.
func (r reader) copies(ctx context.Context, st clusterState) ([]shardCopy, error) {
	if st.routing {
		return st.copies, nil
	}
	body, err := r.ask(ctx, "_cat/shards", esapi.CatShardsRequest{
		Format: "json", H: []string{"index", "shard", "prirep", "state", "id", "node"}, MasterTimeout: r.masterTimeout(),
	}, r.maxResponse)
	if err != nil {
		return nil, err
	}
	return decodeCatShards(body)
}

// ask sends one request and reads its answer; also names further statuses
// that carry one.
func (r reader) ask(ctx context.Context, what string, q esapi.Request, limit int64, also ...int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	res, err := q.Do(ctx, r.ep)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer res.Body.Close()
	body, err := readBody(what, res.Body, limit)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK && !(slices.Contains(also, res.StatusCode) && isHealth(body)) {
		return nil, statusFailure(what, res.StatusCode, body)
	}
	if r.ep.product == nil && mustIdentify(r.req.Version) {
		return nil, fail(observe.Unreadable, "%s: the server does not identify itself as Elasticsearch (no %s header), which version %s would", what, productHeader, r.req.Version)
	}
	return body, nil
}

// mustIdentify: servers from 7.14 on send the product header. A version that
// cannot be read is held to the stricter rule.
func mustIdentify(version string) bool { return atLeast(version, 7, 14) }
