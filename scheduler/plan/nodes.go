// Package plan compares what a spec wants with what there is. It is pure: facts
// come in, nodes, changes and plans come out.
package plan

import (
	"slices"
	"strconv"
	"strings"

	v1 "github.com/berthdata/berth/api/v1"
)

// Place is where in a spec a node belongs.
type Place struct {
	Set     string
	Ordinal int
}

// Node is one node that a spec wants.
type Node struct {
	// Name is that of the place: CLUSTER-SET-ORDINAL, such as "logs-data-3". A node
	// that took the place of another one has a name of its own: ReplacementName.
	Name string
	Place
}

// NodeName is the stable name of a node.
func NodeName(cluster, set string, ordinal int) string {
	return cluster + "-" + set + "-" + strconv.Itoa(ordinal)
}

// ReplacementName is the name of a node that takes another one's place: the
// place's, "-r", and a number that is never given twice, such as "logs-data-3-r17".
// Elasticsearch tells the two apart by it, whatever becomes of the former one; and
// since a place's own name ends in a plain number, no two nodes share a name.
func ReplacementName(place string, number int64) string {
	return place + "-r" + strconv.FormatInt(number, 10)
}

// SetOf reads "CLUSTER-SET" from a node's name, of either form.
func SetOf(node string) (set string, ok bool) {
	if i := strings.LastIndexByte(node, '-'); i > 0 && isNumber(strings.TrimPrefix(node[i+1:], "r")) {
		if node[i+1] == 'r' {
			node = node[:i]
			i = strings.LastIndexByte(node, '-')
		}
		if i > 0 && isNumber(node[i+1:]) {
			return node[:i], true
		}
	}
	return "", false
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// Nodes lists the nodes that a cluster wants, in the order of its node sets.
func Nodes(c v1.Cluster) []Node {
	nodes := make([]Node, 0, c.Spec.TotalNodes())
	for _, set := range c.Spec.NodeSets {
		for i := range set.Count {
			nodes = append(nodes, Node{Name: NodeName(c.Name, set.Name, i), Place: Place{Set: set.Name, Ordinal: i}})
		}
	}
	return nodes
}

// Wants reports whether a cluster wants a node in a place.
func Wants(c v1.Cluster, p Place) bool {
	set, ok := Set(c.Spec, p.Set)
	return ok && p.Ordinal < set.Count
}

// DefaultRoles are the roles of a node set that names none.
var DefaultRoles = []string{"master", "data", "ingest"}

// Roles are the Elasticsearch roles of a node set; empty: coordinating only.
func Roles(set v1.NodeSet) []string {
	if set.Roles == nil {
		return DefaultRoles
	}
	return *set.Roles
}

// MasterEligible reports whether the nodes of a set may be elected master.
func MasterEligible(set v1.NodeSet) bool { return slices.Contains(Roles(set), "master") }

// HoldsData reports whether shards can be on the nodes of a set.
func HoldsData(set v1.NodeSet) bool {
	return slices.ContainsFunc(Roles(set), func(r string) bool { return r == v1.RoleData || strings.HasPrefix(r, v1.RoleData+"_") })
}

// Masters names the master-eligible nodes that a cluster wants.
func Masters(c v1.Cluster) []string {
	var names []string
	for _, set := range c.Spec.NodeSets {
		if MasterEligible(set) {
			for i := range set.Count {
				names = append(names, NodeName(c.Name, set.Name, i))
			}
		}
	}
	return names
}

// Replicas is the r of the host rule that the spec declares.
func Replicas(spec v1.ClusterSpec) int {
	if spec.Replicas == nil {
		return 1
	}
	return *spec.Replicas
}

// MastersPerMachine is how many of n voting masters one machine may hold so that
// losing it never loses their majority. A single master has no such place, so
// the rule does not bind it.
func MastersPerMachine(n int) int { return max(1, (n-1)/2) }

// Set finds a node set by name.
func Set(spec v1.ClusterSpec, name string) (v1.NodeSet, bool) {
	i := slices.IndexFunc(spec.NodeSets, func(s v1.NodeSet) bool { return s.Name == name })
	if i < 0 {
		return v1.NodeSet{}, false
	}
	return spec.NodeSets[i], true
}
