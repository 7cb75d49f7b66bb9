package elastic

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// leaving tells of a node that is to leave what it holds, whether it is excluded,
// and, where asked, whether the others have room. Its shards and its membership are
// of the same moment as the rest of the observation.
func (r reader) leaving(ctx context.Context, q observe.LeavingQuestion, st clusterState, copies []shardCopy) (*observe.Leaving, error) {
	l := &observe.Leaving{Node: q.Node}
	ids := map[string]bool{}
	for _, n := range st.nodes {
		if n.Name == q.Node {
			ids[n.ID] = true
			l.ID, l.EphemeralID = n.ID, n.EphemeralID
		}
	}
	l.Namesakes = len(ids)
	if l.Member = len(ids) == 1; !l.Member {
		l.ID, l.EphemeralID = "", ""
	}
	held := heldBy(copies, ids)
	l.Holds = len(held)
	for _, c := range held[:min(len(held), observe.MaxHeld)] {
		l.Some = append(l.Some, fmt.Sprintf("%s[%d]", c.index, c.shard))
	}
	have, err := r.exclusions(ctx)
	if err != nil {
		return nil, err
	}
	l.Excluded = slices.Contains(have.inForce(), q.Node)
	if atLeast(r.req.Version, 7, 0) {
		v, err := r.voters(ctx)
		if err != nil {
			return nil, err
		}
		l.VotersExcluded = v.excluded
		l.Voter = slices.ContainsFunc(v.committed, func(id string) bool { return ids[id] })
	}
	if q.Fit {
		if err := r.fit(ctx, l, q, st, copies, held); err != nil {
			return nil, err
		}
	}
	if q.Explain && len(held) > 0 {
		r.explain(ctx, l, held)
	}
	return l, nil
}

// heldBy are the copies on some nodes, on their way from them or to them, by index
// and number.
func heldBy(copies []shardCopy, ids map[string]bool) []shardCopy {
	var held []shardCopy
	for _, c := range copies {
		if ids[c.node] || ids[c.target] {
			held = append(held, c)
		}
	}
	slices.SortFunc(held, func(a, b shardCopy) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.shard, b.shard), cmp.Compare(a.node, b.node))
	})
	return held
}

// fit judges whether the nodes that stay can take what the node holds: one copy of
// a shard on each at most, within what the indices' own settings allow, and below
// the low watermark of their disks.
func (r reader) fit(ctx context.Context, l *observe.Leaving, q observe.LeavingQuestion, st clusterState, copies, held []shardCopy) error {
	var own []string
	stay := map[string]observe.Node{} // by name
	for _, n := range st.nodes {
		if n.Name == q.Node {
			own = append(own, n.Roles...)
		}
	}
	for _, n := range st.nodes {
		if n.Name != q.Node && !slices.Contains(q.Also, n.Name) && sharesData(own, n.Roles) {
			stay[n.Name] = n
		}
	}
	if len(held) == 0 && !slices.ContainsFunc(own, dataRole) {
		l.RoomKnown = true
		return nil
	}
	rules, err := r.allocationRules(ctx)
	if err != nil {
		return err
	}
	l.Misfits = misfits(q.Node, l.ID, len(stay), copies, held, rules)
	l.MisfitTotal = len(l.Misfits)
	l.Misfits = l.Misfits[:min(len(l.Misfits), observe.MaxMisfits)]
	return r.room(ctx, l, stay)
}

func dataRole(role string) bool { return role == "data" || strings.HasPrefix(role, "data_") }

// sharesData reports whether a node may hold what another one does: the plain data
// role stands for every tier.
func sharesData(of, roles []string) bool {
	return slices.ContainsFunc(roles, func(role string) bool {
		return dataRole(role) && (role == "data" || slices.Contains(of, role) || slices.Contains(of, "data"))
	})
}

// allocationRule is what of an index's settings keeps its copies to nodes.
type allocationRule struct {
	autoExpand string
	perNode    int // index.routing.allocation.total_shards_per_node; ≤ 0 = no limit
	require    map[string]string
	include    map[string]string
}

// allocationRules reads those of all indices.
func (r reader) allocationRules(ctx context.Context) (map[string]allocationRule, error) {
	const what = "_all/_settings (allocation)"
	body, err := r.ask(ctx, what, esapi.IndicesGetSettingsRequest{
		Index: []string{"_all"}, Name: allocationSettings, ExpandWildcards: "all",
	}, r.maxResponse)
	if err != nil {
		return nil, err
	}
	var indices map[string]struct {
		Settings struct {
			Index struct {
				AutoExpand string `json:"auto_expand_replicas"`
				Routing    struct {
					Allocation struct {
						PerNode any            `json:"total_shards_per_node"`
						Require map[string]any `json:"require"`
						Include map[string]any `json:"include"`
					} `json:"allocation"`
				} `json:"routing"`
			} `json:"index"`
		} `json:"settings"`
	}
	if err := decode(what, body, &indices); err != nil {
		return nil, err
	}
	texts := func(m map[string]any) map[string]string {
		out := map[string]string{}
		for k, v := range m {
			if text, ok := v.(string); ok {
				out[k] = text
			}
		}
		return out
	}
	rules := map[string]allocationRule{}
	for name, i := range indices {
		a := i.Settings.Index.Routing.Allocation
		rule := allocationRule{autoExpand: i.Settings.Index.AutoExpand, require: texts(a.Require), include: texts(a.Include)}
		if text, ok := a.PerNode.(string); ok {
			if rule.perNode, err = strconv.Atoi(text); err != nil {
				return nil, fail(observe.Unreadable, "%s: index %s has total_shards_per_node %q", what, name, text)
			}
		}
		rules[name] = rule
	}
	return rules, nil
}

var allocationSettings = []string{"index.auto_expand_replicas", "index.routing.allocation.*"}

// misfits are the indices with a copy on the node that n other nodes cannot take.
func misfits(node, id string, n int, copies, held []shardCopy, rules map[string]allocationRule) []observe.Misfit {
	most, all := map[shardKey]int{}, map[string]int{}
	for _, c := range copies {
		most[shardKey{c.index, c.shard}]++
		all[c.index]++
	}
	need := map[string]int{}
	for _, c := range held {
		need[c.index] = max(need[c.index], most[shardKey{c.index, c.shard}])
	}
	var list []observe.Misfit
	for _, index := range slices.Sorted(maps.Keys(need)) {
		rule := rules[index]
		_, expands, _ := strings.Cut(rule.autoExpand, "-")
		switch pinned := rule.pins(node, id); {
		case pinned != "":
			list = append(list, observe.Misfit{Index: index, Reason: pinned + " ties it to the node"})
		case need[index] > n && expands == "":
			list = append(list, observe.Misfit{Index: index, Reason: fmt.Sprintf("it has %d copies of a shard, and %d nodes that may hold them stay: lower its number_of_replicas, or add nodes", need[index], n)})
		case n == 0:
			list = append(list, observe.Misfit{Index: index, Reason: "no node that may hold it stays"})
		case rule.perNode > 0 && all[index] > rule.perNode*n:
			list = append(list, observe.Misfit{Index: index, Reason: fmt.Sprintf("it has %d copies of shards, and index.routing.allocation.total_shards_per_node allows %d on each of the %d nodes that stay", all[index], rule.perNode, n)})
		}
	}
	return list
}

// pins names the setting that ties an index to this one node, by name or id.
func (a allocationRule) pins(node, id string) string {
	for _, filter := range []struct {
		kind string
		of   map[string]string
	}{{"require", a.require}, {"include", a.include}} {
		if filter.of["_name"] == node || id != "" && filter.of["_id"] == id {
			return "index.routing.allocation." + filter.kind
		}
	}
	return ""
}

// room compares what the node has in shards with what the disks of those that stay
// can take. Several nodes on one machine whose disks are of one size are taken to
// share it.
func (r reader) room(ctx context.Context, l *observe.Leaving, stay map[string]observe.Node) error {
	mark, err := r.lowWatermark(ctx)
	if err != nil {
		return err
	}
	if l.NoThreshold = mark.off; l.NoThreshold {
		return nil
	}
	const what = "_cat/allocation"
	body, err := r.ask(ctx, what, esapi.CatAllocationRequest{
		Format: "json", Bytes: "b", H: []string{"node", "disk.indices", "disk.avail", "disk.total"}, MasterTimeout: r.masterTimeout(),
	}, smallBody)
	if err != nil {
		return err
	}
	var rows []struct {
		Node    string  `json:"node"`
		Indices *string `json:"disk.indices"`
		Avail   *string `json:"disk.avail"`
		Total   *string `json:"disk.total"`
	}
	if err := decode(what, body, &rows); err != nil {
		return err
	}
	number := func(s *string) (int64, bool) {
		if s == nil {
			return 0, false
		}
		n, err := strconv.ParseInt(*s, 10, 64)
		return n, err == nil && n >= 0
	}
	type disk struct {
		host  string
		total int64
	}
	free := map[disk]int64{}
	told, ownTold := 0, false
	for _, row := range rows {
		if row.Node == l.Node {
			l.Bytes, ownTold = number(row.Indices)
			continue
		}
		n, stays := stay[row.Node]
		if !stays {
			continue
		}
		avail, ok1 := number(row.Avail)
		total, ok2 := number(row.Total)
		if !ok1 || !ok2 || total == 0 {
			continue
		}
		told++
		d := disk{cmp.Or(n.Attributes[observe.HostAttribute], row.Node), total}
		can := max(0, avail-mark.keeps(total))
		if before, seen := free[d]; !seen || can < before {
			free[d] = can
		}
	}
	for _, can := range free {
		l.Room += can
	}
	l.RoomKnown = ownTold && told == len(stay)
	return nil
}

// watermark is the low one: how much of a disk must stay free for it to be given
// another shard.
type watermark struct {
	off      bool
	used     float64 // the share that may be in use; 0 where free says it
	free     int64   // bytes
	headroom int64   // the most that used may demand to be free; 0 = no bound
}

func (w watermark) keeps(total int64) int64 {
	if w.used == 0 {
		return w.free
	}
	keep := total - int64(float64(total)*w.used)
	if w.headroom > 0 {
		keep = min(keep, w.headroom)
	}
	return keep
}

// defaultLow is Elasticsearch's own default of the low watermark, in every version.
const defaultLow = "85%"

func (r reader) lowWatermark(ctx context.Context) (watermark, error) {
	const prefix = "cluster.routing.allocation.disk."
	levels, err := r.clusterSettings(ctx, r.major() >= 5)
	if err != nil {
		return watermark{}, err
	}
	if levels.value(prefix+"threshold_enabled") == "false" {
		return watermark{off: true}, nil
	}
	text := cmp.Or(levels.value(prefix+"watermark.low"), defaultLow)
	w, ok := watermark{}, false
	if share, found := strings.CutSuffix(text, "%"); found {
		percent, err := strconv.ParseFloat(share, 64)
		w.used, ok = percent/100, err == nil
	} else if ratio, err := strconv.ParseFloat(text, 64); err == nil {
		w.used, ok = ratio, true
	} else {
		w.free, ok = byteSize(text)
	}
	if !ok || w.used < 0 || w.used > 1 {
		return w, fail(observe.Unreadable, "_cluster/settings: %swatermark.low is %q", prefix, text)
	}
	if most, ok := byteSize(levels.value(prefix + "watermark.low.max_headroom")); ok {
		w.headroom = most
	}
	return w, nil
}

// byteSize reads Elasticsearch's sizes, such as "200gb"; -1 is none.
func byteSize(s string) (int64, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	shift := 0
	for i, unit := range []string{"kb", "mb", "gb", "tb", "pb"} {
		if rest, found := strings.CutSuffix(s, unit); found {
			s, shift = rest, 10*(i+1)
			break
		}
	}
	if shift == 0 {
		s = strings.TrimSuffix(s, "b")
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 {
		return 0, false
	}
	return int64(n * float64(int64(1)<<shift)), true
}

// explain asks why a copy stays where it is: first of one that nothing moves yet.
// Without an answer nothing is known, which is all that follows from it.
func (r reader) explain(ctx context.Context, l *observe.Leaving, held []shardCopy) {
	c := held[0]
	for _, x := range held {
		if x.state == "STARTED" {
			c = x
			break
		}
	}
	l.Stuck = fmt.Sprintf("%s[%d]", c.index, c.shard)
	if r.major() < 5 {
		return // it came with 5.0
	}
	question, err := json.Marshal(map[string]any{"index": c.index, "shard": c.shard, "primary": c.primary, "current_node": c.node})
	if err != nil {
		return
	}
	body, err := r.ask(ctx, "_cluster/allocation/explain", esapi.ClusterAllocationExplainRequest{Body: bytes.NewReader(question)}, smallBody)
	if err != nil {
		return
	}
	l.Decider, l.Explanation = decodeExplain(body)
}

// decodeExplain finds the decider that keeps a copy from most of the nodes, with the
// words that it has for the first of them; or what is said of the whole.
func decodeExplain(body []byte) (decider, explanation string) {
	type decision struct {
		Decider     string `json:"decider"`
		Decision    string `json:"decision"`
		Explanation string `json:"explanation"`
	}
	var e struct {
		Move  string `json:"move_explanation"`
		Nodes []struct {
			Name     string     `json:"node_name"`
			Deciders []decision `json:"deciders"`
		} `json:"node_allocation_decisions"`
	}
	if json.Unmarshal(body, &e) != nil {
		return "", ""
	}
	count, words := map[string]int{}, map[string]string{}
	for _, n := range e.Nodes {
		for _, d := range n.Deciders {
			if d.Decision != "NO" && d.Decision != "THROTTLE" {
				continue
			}
			count[d.Decider]++
			if words[d.Decider] == "" {
				words[d.Decider] = n.Name + ": " + d.Explanation
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(count)) {
		if decider == "" || count[name] > count[decider] {
			decider = name
		}
	}
	return decider, cmp.Or(words[decider], e.Move)
}
