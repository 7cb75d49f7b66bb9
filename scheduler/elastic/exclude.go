package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// excludeSetting is the list of nodes, by name, on which no shard is to be
// (Elasticsearch's reference, "Cluster-level shard allocation filtering"). By name,
// since several nodes may share an address.
const excludeSetting = "cluster.routing.allocation.exclude._name"

// exclude leaves a node out of allocation and of the voting configuration, or takes
// that back, and reads back that it is so. Other entries stay.
func (r reader) exclude(ctx context.Context) (observe.Observation, error) {
	done := observe.Observation{Seq: r.req.Seq}
	x := r.req.Exclusion
	if x == nil || x.Node == "" || strings.ContainsAny(x.Node, ",*") {
		return done, fail(observe.Unreadable, "an exclusion without the name of one node")
	}
	if err := r.identify(ctx); err != nil {
		return done, err
	}
	// In this order shards begin to move only when the node has no vote to lose, and
	// a node gets its vote back before shards may come to it.
	if x.Voting {
		if err := r.excludeVoter(ctx, x); err != nil {
			return done, err
		}
	}
	if x.Allocation {
		return done, r.excludeShards(ctx, x)
	}
	return done, nil
}

func (r reader) excludeShards(ctx context.Context, x *observe.Exclusion) error {
	have, err := r.exclusions(ctx)
	if err != nil {
		return err
	}
	want := have.with(x.Node, x.Exclude)
	if want.same(have) {
		return nil
	}
	if err := r.putExclusions(ctx, have, want); err != nil {
		return err
	}
	now, err := r.exclusions(ctx)
	if err != nil {
		return err
	}
	if !now.same(want) {
		return fail(observe.Conflict, "%s was set to %q and reads %q: somebody else is changing it", excludeSetting, want.text(), now.text())
	}
	return nil
}

// exclusions are the entries of the setting on its two levels. One that is set on
// the transient level hides the persistent one.
type exclusions struct{ persistent, transient []string }

// inForce are the entries that Elasticsearch goes by.
func (e exclusions) inForce() []string {
	if len(e.transient) > 0 {
		return e.transient
	}
	return e.persistent
}

func (e exclusions) text() string { return strings.Join(e.inForce(), ",") }

func (e exclusions) same(o exclusions) bool {
	return slices.Equal(e.persistent, o.persistent) && slices.Equal(e.transient, o.transient)
}

// with adds an entry where it is in force, and to the persistent level, which
// outlives the transient one; or takes it from both.
func (e exclusions) with(name string, add bool) exclusions {
	change := func(list []string, there bool) []string {
		out := slices.DeleteFunc(slices.Clone(list), func(n string) bool { return n == name })
		switch {
		case add && there && slices.Contains(list, name):
			return list
		case add && there:
			return append(out, name)
		}
		return out
	}
	if add {
		return exclusions{change(e.persistent, true), change(e.transient, len(e.transient) > 0)}
	}
	return exclusions{change(e.persistent, false), change(e.transient, false)}
}

func (r reader) exclusions(ctx context.Context) (exclusions, error) {
	levels, err := r.clusterSettings(ctx, false)
	if err != nil {
		return exclusions{}, err
	}
	var e exclusions
	if e.persistent, err = entries(levels.Persistent); err != nil {
		return e, err
	}
	e.transient, err = entries(levels.Transient)
	return e, err
}

// entries reads the setting of one level, which is a text with commas, or a list.
func entries(level map[string]any) ([]string, error) {
	var parts []string
	switch v := level[excludeSetting].(type) {
	case nil:
		return nil, nil
	case string:
		parts = strings.Split(v, ",")
	case []any:
		for _, x := range v {
			text, ok := x.(string)
			if !ok {
				return nil, fail(observe.Unreadable, "_cluster/settings: %s is %v", excludeSetting, v)
			}
			parts = append(parts, text)
		}
	default:
		return nil, fail(observe.Unreadable, "_cluster/settings: %s is %v", excludeSetting, v)
	}
	var names []string
	for _, p := range parts {
		if p = strings.TrimSpace(p); p != "" {
			names = append(names, p)
		}
	}
	return names, nil
}

// putExclusions writes the levels that differ. An empty list is null, which 2.x
// does not take: an empty text is no filter there. It is never a comma.
func (r reader) putExclusions(ctx context.Context, have, want exclusions) error {
	value := func(names []string) any {
		switch {
		case len(names) > 0:
			return strings.Join(names, ",")
		case r.major() < 5:
			return ""
		}
		return nil
	}
	change := map[string]any{}
	if !slices.Equal(have.persistent, want.persistent) {
		change["persistent"] = map[string]any{excludeSetting: value(want.persistent)}
	}
	if !slices.Equal(have.transient, want.transient) {
		change["transient"] = map[string]any{excludeSetting: value(want.transient)}
	}
	return r.putSettings(ctx, change)
}

// putSettings changes cluster settings, by their levels.
func (r reader) putSettings(ctx context.Context, levels map[string]any) error {
	body, err := json.Marshal(levels)
	if err != nil {
		return err
	}
	_, err = r.ask(ctx, "PUT _cluster/settings", esapi.ClusterPutSettingsRequest{
		Body: bytes.NewReader(body), MasterTimeout: r.masterTimeout(), Timeout: r.masterTimeout(),
	}, smallBody)
	return err
}

// settingLevels are flat cluster settings; Defaults only where they were asked for.
type settingLevels struct{ Persistent, Transient, Defaults map[string]any }

// clusterSettings reads them. 5.x refuses master_timeout here.
func (r reader) clusterSettings(ctx context.Context, defaults bool) (settingLevels, error) {
	flat := true
	q := esapi.ClusterGetSettingsRequest{FlatSettings: &flat}
	if r.major() != 5 {
		q.MasterTimeout = r.masterTimeout()
	}
	if defaults {
		q.IncludeDefaults = &flat
	}
	var levels settingLevels
	body, err := r.ask(ctx, "_cluster/settings", q, smallBody)
	if err != nil {
		return levels, err
	}
	if err := json.Unmarshal(body, &levels); err != nil || levels.Persistent == nil || levels.Transient == nil {
		return levels, fail(observe.Unreadable, "_cluster/settings: unknown shape: %s", excerpt(body))
	}
	return levels, nil
}

// value is a setting in force, "" where none is known.
func (l settingLevels) value(name string) string {
	for _, level := range []map[string]any{l.Transient, l.Persistent, l.Defaults} {
		if v, ok := level[name].(string); ok {
			return v
		}
	}
	return ""
}

// voters are the voting configuration and what is excluded from it.
type voters struct {
	committed []string // node ids
	excluded  []string // names
}

// voters reads both from the cluster state (7.0 and later).
func (r reader) voters(ctx context.Context) (voters, error) {
	const what = "_cluster/state/metadata"
	body, err := r.ask(ctx, what, esapi.ClusterStateRequest{
		Metric: []string{"metadata"}, MasterTimeout: r.masterTimeout(), FilterPath: []string{"metadata.cluster_coordination"},
	}, smallBody)
	if err != nil {
		return voters{}, err
	}
	var m struct {
		Metadata struct {
			Coordination *struct {
				Committed []string `json:"last_committed_config"`
				Excluded  []struct {
					ID   string `json:"node_id"`
					Name string `json:"node_name"`
				} `json:"voting_config_exclusions"`
			} `json:"cluster_coordination"`
		} `json:"metadata"`
	}
	if err := decode(what, body, &m); err != nil {
		return voters{}, err
	}
	c := m.Metadata.Coordination
	if c == nil || len(c.Committed) == 0 {
		return voters{}, fail(observe.Unreadable, "%s: no committed voting configuration: %s", what, excerpt(body))
	}
	v := voters{committed: c.Committed}
	for _, x := range c.Excluded {
		if x.Name == "" {
			x.Name = x.ID // of a node that had left when it was excluded
		}
		v.excluded = append(v.excluded, x.Name)
	}
	return v, nil
}

// excludeVoter changes the voting exclusions. They can be cleared only all
// together, so that those of others must not be there then.
func (r reader) excludeVoter(ctx context.Context, x *observe.Exclusion) error {
	have, err := r.voters(ctx)
	if err != nil {
		return err
	}
	switch there := slices.Contains(have.excluded, x.Node); {
	case there == x.Exclude:
		return nil
	case !x.Exclude && len(have.excluded) > 1:
		return fail(observe.Conflict, "voting exclusions of %s are there, and can be cleared only together with that of %s: clear them by DELETE _cluster/voting_config_exclusions?wait_for_removal=false once nobody needs them",
			strings.Join(slices.DeleteFunc(slices.Clone(have.excluded), func(n string) bool { return n == x.Node }), ", "), x.Node)
	}
	if err := r.changeVoters(ctx, x); err != nil {
		return err
	}
	now, err := r.voters(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(now.excluded, x.Node) != x.Exclude {
		return fail(observe.Conflict, "the voting exclusions read %q after they were changed for %s: somebody else is changing them", strings.Join(now.excluded, ","), x.Node)
	}
	return nil
}

// changeVoters: up to 7.7 the node is named in the path, later by a parameter
// (Elasticsearch's reference, "Voting configuration exclusions").
func (r reader) changeVoters(ctx context.Context, x *observe.Exclusion) error {
	const path = "/_cluster/voting_config_exclusions"
	method, target := http.MethodPost, path+"?timeout="+strconv.FormatInt(r.masterTimeout().Milliseconds(), 10)+"ms&node_names="+url.QueryEscape(x.Node)
	switch {
	case !x.Exclude:
		method, target = http.MethodDelete, path+"?wait_for_removal=false"
	case !atLeast(r.req.Version, 7, 8):
		target = path + "/" + url.PathEscape(x.Node) + "?timeout=" + strconv.FormatInt(r.masterTimeout().Milliseconds(), 10) + "ms"
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return err
	}
	res, err := r.ep.Perform(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := readBody(path, res.Body, smallBody)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return statusFailure(method+" "+path, res.StatusCode, body)
	}
	return nil
}

// atLeast: a version that cannot be read counts as new.
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return true
	}
	a, err1 := strconv.Atoi(parts[0])
	b, err2 := strconv.Atoi(parts[1])
	return err1 != nil || err2 != nil || a > major || a == major && b >= minor
}
