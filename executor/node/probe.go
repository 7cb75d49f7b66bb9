package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/berthdata/berth/executor"
)

const (
	probeTimeout = 5 * time.Second
	maxAnswer    = 1 << 20 // bound of an answer's body; real ones are below 1 KiB
)

// observation is what one look at the node's HTTP port saw.
type observation struct {
	answers bool
	joined  bool // has a master, and is who it should be
	uuid    string
	nodeID  string
	problem string // why not joined, for people
}

// prober looks at one node over HTTP. It asks the node for its own copy of the
// cluster state, so that a hundred nodes' executors cost the master nothing.
type prober struct {
	base    string
	cluster string
	node    string
	client  *http.Client

	nodeID string // once the node was found to be ours
	uuid   string // once known
}

func newProber(e *executor.Elasticsearch) *prober {
	return &prober{
		base:    "http://" + net.JoinHostPort(e.Address, strconv.Itoa(e.HTTPPort)),
		cluster: e.ClusterName,
		node:    e.NodeName,
		// No proxy: the node is on this very machine.
		client: &http.Client{Timeout: probeTimeout, Transport: &http.Transport{MaxIdleConns: 1, IdleConnTimeout: time.Minute}},
	}
}

func (p *prober) close() { p.client.CloseIdleConnections() }

// look is cheap enough for every 200 ms, and the same from 2.x to 9.x.
func (p *prober) look(ctx context.Context) observation {
	if p.nodeID == "" {
		if o := p.identify(ctx); o.problem != "" {
			return o
		}
	}
	var state struct {
		ClusterName string `json:"cluster_name"`
		ClusterUUID string `json:"cluster_uuid"`
		MasterNode  string `json:"master_node"`
	}
	if o := p.get(ctx, "/_cluster/state/master_node?local=true&filter_path=cluster_name,cluster_uuid,master_node", &state); o.problem != "" {
		return o
	}
	o := observation{answers: true, nodeID: p.nodeID}
	switch {
	case state.ClusterName != p.cluster:
		o.problem = fmt.Sprintf("answers as a node of cluster %q", state.ClusterName)
		return o
	case state.MasterNode == "":
		o.problem = "has no master"
		return o
	}
	o.joined = true
	if formed(state.ClusterUUID) {
		p.uuid = state.ClusterUUID
	}
	if p.uuid == "" {
		p.askUUID(ctx)
	}
	o.uuid = p.uuid
	return o
}

// identify makes sure that what answers on the port is our node: another
// process may have taken the port before it.
func (p *prober) identify(ctx context.Context) observation {
	var local struct {
		ClusterName string `json:"cluster_name"`
		Nodes       map[string]struct {
			Name string `json:"name"`
		} `json:"nodes"`
	}
	if o := p.get(ctx, "/_nodes/_local/http?filter_path=cluster_name,nodes.*.name", &local); o.problem != "" {
		return o
	}
	for id, n := range local.Nodes {
		if len(local.Nodes) == 1 && n.Name == p.node && local.ClusterName == p.cluster {
			p.nodeID = id
			return observation{}
		}
		return observation{problem: fmt.Sprintf("its port is answered by node %q of cluster %q", n.Name, local.ClusterName)}
	}
	return observation{answers: true, problem: "does not say who it is yet"}
}

// askUUID is for the versions (below 6.4) that do not name it beside the
// master. They all have GET /, which some later distributions lack.
func (p *prober) askUUID(ctx context.Context) {
	var root struct {
		ClusterUUID string `json:"cluster_uuid"`
	}
	if o := p.get(ctx, "/", &root); o.problem == "" && formed(root.ClusterUUID) {
		p.uuid = root.ClusterUUID
	}
}

// formed tells a real uuid from what a node says before its cluster has one.
func formed(uuid string) bool { return uuid != "" && uuid != "_na_" }

// get reads one JSON answer. The observation's problem is empty on success.
func (p *prober) get(ctx context.Context, path string, into any) observation {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return observation{problem: err.Error()}
	}
	res, err := p.client.Do(req)
	if err != nil {
		return observation{problem: "does not answer: " + err.Error()}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case err != nil:
		return observation{problem: "broke off its answer: " + err.Error()}
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return observation{answers: true, problem: "wants credentials, which the executor does not have"}
	case res.StatusCode != http.StatusOK:
		return observation{answers: true, problem: "answers " + res.Status}
	}
	if err := json.Unmarshal(body, into); err != nil {
		return observation{answers: true, problem: "answers something that is not JSON"}
	}
	return observation{}
}
