package elastic

import (
	"cmp"
	"maps"
	"slices"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// soleMachines lists the machines whose loss would lose shards: those that hold
// every started copy of one. Copies on members named in away, and on what is no
// member, count as lost already; a relocating copy is whole where it is read from.
// Shards without a started copy left are not listed (see lostShards), nor are those
// of mounted snapshots, whose data are in the repository. A member without the
// attribute "host" counts as a machine of its own.
func soleMachines(copies []shardCopy, nodes []observe.Node, settings indexSettings, away []string) []observe.SoleMachine {
	members := make(map[string]observe.Node, len(nodes))
	for _, n := range nodes {
		members[n.ID] = n
	}
	shards := map[shardKey]*holders{}
	for _, c := range copies {
		if c.state != "STARTED" && c.state != "RELOCATING" || settings[c.index] {
			continue
		}
		n, member := members[c.node]
		if !member || slices.Contains(away, n.Name) {
			continue
		}
		m := machine{host: n.Attributes[observe.HostAttribute]}
		if m.host == "" {
			m.node = n.Name
		}
		key := shardKey{c.index, c.shard}
		h := shards[key]
		if h == nil {
			h = &holders{on: m}
			shards[key] = h
		}
		h.elsewhere = h.elsewhere || h.on != m
		h.names = append(h.names, n.Name)
	}
	sole := map[machine]*soleMachine{}
	for _, key := range slices.SortedFunc(maps.Keys(shards), shardKey.compare) {
		h := shards[key]
		if h.elsewhere {
			continue
		}
		m := sole[h.on]
		if m == nil {
			m = &soleMachine{SoleMachine: observe.SoleMachine{Host: h.on.host}}
			sole[h.on] = m
		}
		m.add(key, h.names)
	}
	var out []observe.SoleMachine
	for _, m := range sole {
		out = append(out, m.SoleMachine)
	}
	slices.SortFunc(out, func(a, b observe.SoleMachine) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), slices.Compare(a.Nodes, b.Nodes))
	})
	return out
}

// machine is one by its host attribute, or one node without it.
type machine struct{ host, node string }

// holders are the members that hold a started copy of a shard.
type holders struct {
	on        machine
	elsewhere bool // not all of them are on it
	names     []string
}

// soleMachine is one under construction; last is the index of its newest shard.
type soleMachine struct {
	observe.SoleMachine
	last string
}

// add counts a shard of which no other machine has a started copy. Shards come in
// the order of their indices.
func (m *soleMachine) add(key shardKey, names []string) {
	m.Nodes = append(m.Nodes, names...)
	slices.Sort(m.Nodes)
	m.Nodes = slices.Compact(m.Nodes)
	m.ShardTotal++
	if m.IndexTotal == 0 || m.last != key.index {
		m.last = key.index
		if m.IndexTotal++; m.IndexTotal <= observe.MaxSoleIndices {
			m.Indices = append(m.Indices, observe.SoleIndex{Index: key.index})
		}
	}
	if m.IndexTotal > observe.MaxSoleIndices {
		return
	}
	x := &m.Indices[len(m.Indices)-1]
	if x.ShardCount++; len(x.Shards) < observe.MaxAtRiskShards {
		x.Shards = append(x.Shards, key.shard)
	}
}
