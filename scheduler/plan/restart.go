package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	v1 "github.com/berthdata/berth/api/v1"
)

// Fingerprint names what a node's process is built from in its spec. A node whose
// task has another one needs a restart to follow the spec; nothing else of a spec
// reaches a running node that way.
func Fingerprint(spec v1.ClusterSpec, set v1.NodeSet) string {
	heap, _ := v1.ParseMiB(cmp.Or(set.Resources.Heap, "0b"))
	built := struct {
		Version     string
		Heap        int64
		Config      map[string]any
		JavaOptions []string
		TimeZone    string
	}{spec.Version, heap, set.Config, set.JavaOptions, set.TimeZone}
	if len(built.Config) == 0 {
		built.Config = nil
	}
	if len(built.JavaOptions) == 0 {
		built.JavaOptions = nil
	}
	// A validated spec has nothing that JSON cannot write; maps are sorted by it.
	data, err := json.Marshal(built)
	if err != nil {
		return "unreadable: " + err.Error()
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// UpgradePath says why a rolling upgrade from one version to another is not
// possible, or nil. The steps are Elasticsearch's own (its reference, "Upgrade
// Elasticsearch"): within a major version, from 5.6 to 6.x, 6.8 to 7.x, 7.17 to
// 8.x, and 8.18 or later to 9.x. A node never opens data that a newer one wrote.
func UpgradePath(from, to string) error {
	a, err := v1.ParseVersion(from)
	if err != nil {
		return fmt.Errorf("the present version cannot be read: %w", err)
	}
	b, err := v1.ParseVersion(to)
	if err != nil {
		return err
	}
	last := map[int]v1.Version{5: {Major: 5, Minor: 6}, 6: {Major: 6, Minor: 8}, 7: {Major: 7, Minor: 17}, 8: {Major: 8, Minor: 18}}
	switch {
	case compareVersions(b, a) < 0:
		return fmt.Errorf("%s is older than %s: Elasticsearch does not open data that a newer version wrote; restore a snapshot into a new cluster instead", to, from)
	case a.Major == b.Major:
		return nil
	case a.Major == 2:
		return fmt.Errorf("from 2.x no rolling upgrade leads to %s: every node must be stopped; restore a snapshot into a new cluster instead", to)
	case b.Major > a.Major+1:
		return fmt.Errorf("%s to %s skips a major version: upgrade to %d.x first", from, to, a.Major+1)
	case !a.AtLeast(last[a.Major].Major, last[a.Major].Minor):
		return fmt.Errorf("%s to %s is no rolling upgrade: upgrade to %d.%d first", from, to, last[a.Major].Major, last[a.Major].Minor)
	}
	return nil
}

// Member is one wanted node, as restarts see it.
type Member struct {
	Name string
	// Tier orders data tiers in upgrades, see Tier; Master: may be elected;
	// Elected: is.
	Tier            int
	Master, Elected bool
	// Healthy: it answers and has joined. Joined: it did so at some time in its
	// present life, so that it may hold what nobody else has.
	Healthy, Joined bool
	Version         string
}

// Tier is the place of a node set in an upgrade: frozen, cold, warm and hot
// before the rest, since an index moves in the other direction only, and a shard
// cannot move from a newer node to an older one.
func Tier(set v1.NodeSet) int {
	roles := Roles(set)
	for i, role := range []string{v1.RoleDataFrozen, v1.RoleDataCold, v1.RoleDataWarm, v1.RoleDataHot} {
		if slices.Contains(roles, role) {
			return i
		}
	}
	return 4
}

// RestartOrder sorts nodes: those that never joined first, since they hold
// nothing and may be what is to be repaired; then those that cannot be master, by
// tier; then masters, the elected one very last, so that there is one election.
func RestartOrder(members []Member) {
	slices.SortStableFunc(members, func(a, b Member) int {
		return cmp.Or(
			CompareBool(a.Joined, b.Joined),
			CompareBool(a.Elected, b.Elected),
			CompareBool(a.Master, b.Master),
			cmp.Compare(a.Tier, b.Tier),
		)
	})
}

// CompareBool orders false before true, as cmp.Compare does for what it knows.
func CompareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// The gates of a restart, by their stable names.
const (
	// GateReconciled: every task has answered since Berth subscribed.
	GateReconciled = "Reconciled"
	// GateOthersHealthy: no other node of the cluster is away.
	GateOthersHealthy = "OthersHealthy"
	// GateClusterGreen: Elasticsearch says, freshly, that it is green and idle.
	GateClusterGreen = "ClusterGreen"
	// GateCopiesElsewhere: every shard on the node has a started copy elsewhere.
	GateCopiesElsewhere = "CopiesElsewhere"
	// GateMastersQuorum: the other masters are a majority, and all healthy.
	GateMastersQuorum = "MastersQuorum"
)

// Overridable are the gates that a person may set aside, one by one, for one plan.
var Overridable = []string{GateOthersHealthy, GateClusterGreen, GateCopiesElsewhere, GateMastersQuorum}

// RestartFacts are what the gates judge.
type RestartFacts struct {
	Candidate  Member
	Others     []Member // the other wanted nodes of the cluster
	Unanswered int      // tasks that have not answered; -1: not subscribed
	// JoinUnknown: whether the candidate, which has not joined by Mesos, is a member
	// all the same is not known. Where Elasticsearch has told, Joined says it.
	JoinUnknown bool
	// Seen: there is a readable answer that was asked for after the last change.
	// Health and the counts are of it.
	Seen                               bool
	Health                             string
	TimedOut                           bool
	Members                            int
	Initializing, Relocating, Fetching int
	Unassigned, Delayed                int
	// RiskSeen: that answer judged the shards as if the candidate were away.
	// AtRisk are those that would have no started copy then, for people.
	RiskSeen bool
	AtRisk   []string
}

// Gate is one condition of a step.
type Gate struct {
	Name    string
	Open    bool
	Message string // why it holds, and what would open it
}

// gateList are the gates of a step in the order in which they are judged.
type gateList []Gate

// add appends a gate; one that is open has nothing to say.
func (l *gateList) add(name string, open bool, format string, args ...any) {
	g := Gate{Name: name, Open: open}
	if !open {
		g.Message = fmt.Sprintf(format, args...)
	}
	*l = append(*l, g)
}

// RestartGates judges whether a node may be stopped now. A node that never joined
// in its present life, as far as that is known, passes all but the first: it holds
// nothing, and a broken configuration could not be repaired otherwise.
func RestartGates(f RestartFacts) []Gate {
	var gates gateList
	gate := gates.add
	gate(GateReconciled, f.Unanswered == 0, "%s", unanswered(f.Unanswered))
	if !f.Candidate.Joined {
		gate(GateCopiesElsewhere, !f.JoinUnknown, "whether %s has joined is not known: Mesos may tell it late, and Elasticsearch does not answer", f.Candidate.Name)
		return gates
	}
	away := ""
	masters := 0
	masterAway := ""
	for _, o := range f.Others {
		if !o.Healthy && away == "" {
			away = o.Name
		}
		if o.Master {
			masters++
			if !o.Healthy && masterAway == "" {
				masterAway = o.Name
			}
		}
	}
	gate(GateOthersHealthy, away == "", "%s does not answer or has not joined: one node at a time", away)
	green, why := f.green()
	gate(GateClusterGreen, green, "%s", why)
	switch {
	case !f.Seen || !f.RiskSeen:
		gate(GateCopiesElsewhere, false, "it is not known yet what %s holds alone", f.Candidate.Name)
	default:
		gate(GateCopiesElsewhere, len(f.AtRisk) == 0, "%s holds the only started copy of %s", f.Candidate.Name, list(f.AtRisk))
	}
	if f.Candidate.Master {
		switch {
		case masterAway != "":
			gate(GateMastersQuorum, false, "master-eligible %s is away: one at a time", masterAway)
		default:
			gate(GateMastersQuorum, masters >= 2, "the cluster has %d master-eligible nodes: without %s it has no majority and does not answer until the node is back; add masters, or override this gate to accept the interruption", masters+1, f.Candidate.Name)
		}
	}
	return gates
}

func unanswered(n int) string {
	if n < 0 {
		return "there is no subscription to Mesos"
	}
	return fmt.Sprintf("%d tasks have not answered since the subscription", n)
}

// green judges the cluster's health. In an upgrade green may never come: a
// replica of a primary on a newer node cannot go to an older one. Then yellow is
// as good as it gets, once nothing moves or is fetched any more, as long as the
// candidate is one of the older nodes; what it holds alone is another gate's.
func (f RestartFacts) green() (bool, string) {
	upgrading := slices.ContainsFunc(f.Others, func(o Member) bool { return Newer(o.Version, f.Candidate.Version) })
	switch {
	case !f.Seen:
		return false, "Elasticsearch has not said since the last change how it is"
	case f.TimedOut:
		return false, "Elasticsearch's master is behind with its work"
	case f.Members < len(f.Others)+1:
		return false, fmt.Sprintf("%d of %d nodes are members", f.Members, len(f.Others)+1)
	case f.Initializing+f.Relocating+f.Fetching > 0:
		return false, fmt.Sprintf("%d shards initialize, %d relocate, %d are being looked for", f.Initializing, f.Relocating, f.Fetching)
	case f.Health == "green":
		return true, ""
	case f.Health == "yellow" && upgrading && f.Delayed == 0:
		return true, ""
	}
	return false, fmt.Sprintf("Elasticsearch says %s: %d shards are unassigned", f.Health, f.Unassigned)
}

// Newer reports whether version a is above b.
func Newer(a, b string) bool {
	x, errX := v1.ParseVersion(a)
	y, errY := v1.ParseVersion(b)
	return errX == nil && errY == nil && compareVersions(x, y) > 0
}

func compareVersions(a, b v1.Version) int {
	return cmp.Or(cmp.Compare(a.Major, b.Major), cmp.Compare(a.Minor, b.Minor), cmp.Compare(a.Patch, b.Patch))
}

// list names a few and counts the rest.
func list(names []string) string {
	const most = 5
	text := ""
	for i, n := range names {
		if i == most {
			return fmt.Sprintf("%s and %d more", text, len(names)-most)
		}
		if i > 0 {
			text += ", "
		}
		text += n
	}
	return text
}
