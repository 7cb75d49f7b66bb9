package elastic

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

type shardKey struct {
	index string
	shard int
}

func (k shardKey) compare(o shardKey) int {
	return cmp.Or(cmp.Compare(k.index, o.index), cmp.Compare(k.shard, o.shard))
}

// lostShard is a shard without a started copy on a member that counts.
type lostShard struct {
	shardKey
	on         []string // away members with a started copy, by name
	starting   []string // members on which a copy is starting, by name
	unassigned bool     // some copy is on no node
}

// lostShards finds the shards that have no started copy when the members named
// in away are counted as lost. A relocating copy is whole where it is read from.
func lostShards(copies []shardCopy, nodes []observe.Node, away []string) []lostShard {
	name := make(map[string]string, len(nodes))
	for _, n := range nodes {
		name[n.ID] = n.Name
	}
	shards := map[shardKey]*lostShard{}
	safe := map[shardKey]bool{}
	for _, c := range copies {
		key := shardKey{c.index, c.shard}
		s := shards[key]
		if s == nil {
			s = &lostShard{shardKey: key}
			shards[key] = s
		}
		holder, member := name[c.node]
		switch started := c.state == "STARTED" || c.state == "RELOCATING"; {
		case c.node == "":
			s.unassigned = true
		case started && member && !slices.Contains(away, holder):
			safe[key] = true
		case started:
			// On a node that the state does not name any more its id must do.
			s.on = append(s.on, cmp.Or(holder, c.node))
		default:
			s.starting = append(s.starting, cmp.Or(holder, c.node))
		}
	}
	var lost []lostShard
	for key, s := range shards {
		if !safe[key] {
			lost = append(lost, *s)
		}
	}
	slices.SortFunc(lost, func(a, b lostShard) int { return a.compare(b.shardKey) })
	return lost
}

// Bounds of one question about unassigned copies: what is beyond stays unknown.
const (
	maxUnassignedIndices = 100
	maxUnassignedPath    = 3000
)

// unassignedIndices names the indices to ask about, as a path takes them.
func unassignedIndices(lost []lostShard) []string {
	var names []string
	length := 0
	for _, s := range lost {
		name := url.PathEscape(s.index)
		if !s.unassigned || len(names) > 0 && names[len(names)-1] == name {
			continue
		}
		if length += len(name) + 1; len(names) == maxUnassignedIndices || length > maxUnassignedPath {
			break
		}
		names = append(names, name)
	}
	return names
}

// unassignedCopy is what Elasticsearch says of a copy that is on no node.
type unassignedCopy struct {
	primary bool
	reason  string
	node    string // where it was when its node left, by id; "" when that is not why
}

// never are the reasons of copies that have not been on any node since their
// index or they themselves were made.
var never = []string{"INDEX_CREATED", "NEW_INDEX_RESTORED", "REPLICA_ADDED"}

func decodeUnassigned(body []byte) (map[shardKey][]unassignedCopy, error) {
	const what = "_cluster/state/routing_table"
	var s struct {
		RoutingTable struct {
			Indices map[string]struct {
				Shards map[string][]struct {
					State   string `json:"state"`
					Primary *bool  `json:"primary"`
					Info    struct {
						Reason   string `json:"reason"`
						LastNode string `json:"last_node"`
						Details  string `json:"details"`
					} `json:"unassigned_info"`
				} `json:"shards"`
			} `json:"indices"`
		} `json:"routing_table"`
	}
	if err := decode(what, body, &s); err != nil {
		return nil, err
	}
	told := map[shardKey][]unassignedCopy{}
	for index, table := range s.RoutingTable.Indices {
		for number, copies := range table.Shards {
			n, err := strconv.Atoi(number)
			if err != nil {
				return nil, fail(observe.Unreadable, "%s: shard %q of index %s is not a number", what, number, index)
			}
			key := shardKey{index, n}
			for _, c := range copies {
				if c.State != "UNASSIGNED" {
					continue
				}
				if c.Primary == nil {
					return nil, fail(observe.Unreadable, "%s: a copy of shard %s[%d] has no primary flag", what, index, n)
				}
				u := unassignedCopy{primary: *c.Primary, reason: c.Info.Reason}
				if u.reason == "NODE_LEFT" || u.reason == "NODE_RESTARTING" {
					u.node = cmp.Or(c.Info.LastNode, nodeLeft(c.Info.Details))
				}
				told[key] = append(told[key], u)
			}
		}
	}
	return told, nil
}

// nodeLeft reads the id in "node_left [ID]", which every version writes, up to
// 5.x without the blank; the field last_node is there in the newest only.
func nodeLeft(details string) string {
	_, rest, found := strings.Cut(details, "node_left")
	id, opened := strings.CutPrefix(strings.TrimPrefix(rest, " "), "[")
	id, _, closed := strings.Cut(id, "]")
	if !found || !opened || !closed {
		return ""
	}
	return id
}

// atRisk groups lost shards by index and by what is known of their copies. told
// is what was said of the unassigned ones. An index that has settings and no
// shards is closed on a server before 7.2: where its copies are is not shown.
func atRisk(lost []lostShard, settings indexSettings, copies []shardCopy, told map[shardKey][]unassignedCopy) ([]observe.AtRisk, int) {
	groups := map[string]*observe.AtRisk{}
	add := func(g observe.AtRisk, shards ...int) {
		slices.Sort(g.On)
		slices.Sort(g.Left)
		g.On, g.Left = slices.Compact(g.On), slices.Compact(g.Left)
		key := fmt.Sprintf("%q %q %q %t %q", g.Index, g.On, g.Left, g.Unknown, g.Reason)
		have := groups[key]
		if have == nil {
			have = &g
			groups[key] = have
		}
		for _, n := range shards {
			if have.ShardCount++; len(have.Shards) < observe.MaxAtRiskShards {
				have.Shards = append(have.Shards, n)
			}
		}
	}
	for _, s := range lost {
		if settings[s.index] {
			continue
		}
		if g, holdsData := judgeLost(s, told[s.shardKey]); holdsData {
			add(g, s.shard)
		}
	}
	shown := map[string]bool{}
	for _, c := range copies {
		shown[c.index] = true
	}
	for _, index := range slices.Sorted(maps.Keys(settings)) {
		if !shown[index] && !settings[index] {
			add(observe.AtRisk{Index: index, Unknown: true, Reason: "not shown"})
		}
	}
	var all []observe.AtRisk
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		all = append(all, *groups[key])
	}
	slices.SortStableFunc(all, func(a, b observe.AtRisk) int { return cmp.Compare(a.Index, b.Index) })
	return all[:min(len(all), observe.MaxAtRisk)], len(all)
}

// judgeLost says where the copies of one lost shard may be. holdsData is false
// for a shard that never started: nothing can be lost with it.
func judgeLost(s lostShard, told []unassignedCopy) (g observe.AtRisk, holdsData bool) {
	g = observe.AtRisk{Index: s.index, On: s.on}
	holdsData = len(s.on) > 0 || len(s.starting) > 0 || s.unassigned && len(told) == 0
	if len(s.starting) > 0 {
		// Nobody has said yet that the copy there is whole.
		g.Unknown, g.Reason = true, "starting"
	}
	if s.unassigned && len(told) == 0 {
		g.Unknown = true
	}
	for _, c := range told {
		if c.primary {
			g.Reason = c.reason
		}
		switch {
		case c.node != "":
			g.Left = append(g.Left, c.node)
		case !slices.Contains(never, c.reason):
			g.Unknown = true
		default:
			continue
		}
		holdsData = true
	}
	if g.Reason == "" && len(s.on) == 0 {
		g.Reason = "unassigned"
	}
	return g, holdsData
}
