package elastic

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// shardCopy is one copy of a shard. Of a copy that is on its way, node is where
// it is read from now and target where it will be; node is "" when unassigned.
type shardCopy struct {
	index   string
	shard   int
	primary bool
	state   string
	node    string // node id
	target  string // node id
}

var shardStates = []string{"STARTED", "RELOCATING", "INITIALIZING", "UNASSIGNED"}

// check refuses copies that cannot be, rather than guess at what they mean.
func (c shardCopy) check(what string) error {
	switch {
	case !slices.Contains(shardStates, c.state):
		return fail(observe.Unreadable, "%s: shard %s[%d] is in the unknown state %q", what, c.index, c.shard, c.state)
	case (c.state == "UNASSIGNED") != (c.node == ""):
		return fail(observe.Unreadable, "%s: shard %s[%d] is %s on node %q", what, c.index, c.shard, c.state, c.node)
	case (c.state == "RELOCATING") != (c.target != ""):
		return fail(observe.Unreadable, "%s: shard %s[%d] is %s with the target %q", what, c.index, c.shard, c.state, c.target)
	}
	return nil
}

// routedCopy is a copy as the routing table shows it.
type routedCopy struct {
	State      string `json:"state"`
	Primary    *bool  `json:"primary"`
	Node       string `json:"node"`
	Relocating string `json:"relocating_node"`
}

func (r routedCopy) shardCopy(index, shard string) (shardCopy, error) {
	const what = "_cluster/state"
	n, err := strconv.Atoi(shard)
	if err != nil || r.Primary == nil {
		return shardCopy{}, fail(observe.Unreadable, "%s: shard %q of index %s is not a number or has no primary flag", what, shard, index)
	}
	c := shardCopy{index: index, shard: n, primary: *r.Primary, state: r.State, node: r.Node, target: r.Relocating}
	return c, c.check(what)
}

// decodeCatShards reads the rows of _cat/shards?h=index,shard,prirep,state,id,node.
func decodeCatShards(body []byte) ([]shardCopy, error) {
	const what = "_cat/shards"
	var rows []struct {
		Index  string `json:"index"`
		Shard  string `json:"shard"`
		Prirep string `json:"prirep"`
		State  string `json:"state"`
		ID     string `json:"id"`
		Node   string `json:"node"`
	}
	if err := decode(what, body, &rows); err != nil {
		return nil, err
	}
	if rows == nil {
		return nil, fail(observe.Unreadable, "%s: the answer is null", what)
	}
	copies := make([]shardCopy, 0, len(rows))
	for _, r := range rows {
		n, err := strconv.Atoi(r.Shard)
		if err != nil || r.Index == "" || (r.Prirep != "p" && r.Prirep != "r") {
			return nil, fail(observe.Unreadable, "%s: unreadable row: index %q shard %q prirep %q", what, r.Index, r.Shard, r.Prirep)
		}
		c := shardCopy{index: r.Index, shard: n, primary: r.Prirep == "p", state: r.State, node: r.ID}
		if r.State == "RELOCATING" {
			if c.target, err = relocationTarget(r.Node); err != nil {
				return nil, err
			}
		}
		if err := c.check(what); err != nil {
			return nil, err
		}
		copies = append(copies, c)
	}
	return copies, nil
}

// relocationTarget is the id in a relocating row's node column, which reads
// "from -> 10.0.0.2 TARGET-ID to". A node's name may have blanks and arrows.
func relocationTarget(column string) (string, error) {
	if i := strings.LastIndex(column, " -> "); i >= 0 {
		if f := strings.Fields(column[i+len(" -> "):]); len(f) >= 3 {
			return f[1], nil
		}
	}
	return "", fail(observe.Unreadable, "_cat/shards: a relocating row's node column reads %q, expected \"from -> ip id to\"", column)
}

// sharedHosts lists shards with several copies on one machine, those with all
// of their copies there first. A copy under way counts on both machines: it
// can be lost on the old one, and will be on the new one.
func sharedHosts(copies []shardCopy, nodes []observe.Node) ([]observe.SharedShard, int) {
	host := make(map[string]string, len(nodes))
	for _, n := range nodes {
		if h := n.Attributes[observe.HostAttribute]; h != "" {
			host[n.ID] = h
		}
	}
	type shard struct {
		index string
		shard int
	}
	assigned := map[shard]int{}
	onHost := map[shard]map[string]int{}
	for _, c := range copies {
		if c.node == "" {
			continue
		}
		s := shard{c.index, c.shard}
		assigned[s]++
		if onHost[s] == nil {
			onHost[s] = map[string]int{}
		}
		from, to := host[c.node], host[c.target]
		if from != "" {
			onHost[s][from]++
		}
		if to != "" && to != from {
			onHost[s][to]++
		}
	}
	var shared []observe.SharedShard
	for s, hosts := range onHost {
		for h, n := range hosts {
			if n > 1 {
				shared = append(shared, observe.SharedShard{Index: s.index, Shard: s.shard, Host: h, OnHost: n, Copies: assigned[s]})
			}
		}
	}
	slices.SortFunc(shared, func(a, b observe.SharedShard) int {
		return cmp.Or(
			cmp.Compare(a.Copies-a.OnHost, b.Copies-b.OnHost),
			cmp.Compare(a.Index, b.Index), cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Host, b.Host))
	})
	return shared[:min(len(shared), observe.MaxSharedHost)], len(shared)
}
