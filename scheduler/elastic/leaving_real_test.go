package elastic

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/elasticsearch"
	"github.com/berthdata/berth/test/rig/rigtest"
)

// TestNodeLeaves: a real node with the only copy of an index is drained, by the rules
// that the core goes by, and killed; every document is still there.
func TestNodeLeaves(t *testing.T) {
	rigtest.EachElasticsearch(t, nodeLeaves)
}

// leaver is a node that is to leave, and what was seen of it.
type leaver struct {
	t    *testing.T
	ctx  context.Context
	a    *Adapter
	req  observe.Request
	node string
	vote bool
}

func (l leaver) look(fit, explain bool) (observe.Observation, error) {
	req := l.req
	req.Kind, req.Full, req.Away = observe.KindObserve, true, []string{l.node}
	req.Leaving = &observe.LeavingQuestion{Node: l.node, Fit: fit, Explain: explain}
	return l.a.Do(l.ctx, req)
}

func (l leaver) exclude(out bool) {
	l.t.Helper()
	req := l.req
	req.Kind, req.Exclusion = observe.KindExclude, &observe.Exclusion{Node: l.node, Exclude: out, Allocation: true, Voting: l.vote}
	require.NoError(l.t, rig.Eventually(l.ctx, 200*time.Millisecond, "exclusion is "+fmt.Sprint(out), func(context.Context) error {
		_, err := l.a.Do(l.ctx, req)
		return err
	}))
}

// facts are what the core makes of an answer, but for what it knows of the others.
func (l leaver) facts(o observe.Observation, others int) plan.DrainFacts {
	f := plan.DrainFacts{
		RestartFacts: plan.RestartFacts{
			Candidate: plan.Member{Name: l.node, Healthy: true, Master: l.vote}, Others: make([]plan.Member, others),
			Seen: true, Health: o.Health, TimedOut: o.TimedOut, Members: len(o.Nodes),
			Initializing: o.Initializing, Relocating: o.Relocating, Fetching: o.InFlightFetch, Unassigned: o.Unassigned, RiskSeen: true,
		},
		Leaving: o.Leaving,
	}
	for _, r := range o.AtRisk {
		f.AtRisk = append(f.AtRisk, r.Index)
	}
	return f
}

func nodeLeaves(t *testing.T, home elasticsearch.Home) {
	r, ctx := rigtest.New(t), rigtest.Context(t, 3*time.Minute)
	both := []string{"master", "data"}
	es, err := elasticsearch.Start(r, home, elasticsearch.Options{
		Java:  []string{"-XX:TieredStopAtLevel=1", "-XX:-AlwaysPreTouch"},
		Nodes: []elasticsearch.NodeOptions{{Name: "a", Roles: both}, {Name: "b", Roles: both}, {Name: "c", Roles: both}},
	})
	require.NoError(t, err)
	require.NoError(t, es.WaitGreen(ctx))
	url := es.Nodes()[0].URL()
	l := leaver{t, ctx, newAdapter(t, Options{HTTPTimeout: 10 * time.Second}), observe.Request{Cluster: "es", Version: home.Version, Endpoints: []string{url}}, "c", home.Major >= 7}
	require.NoError(t, rig.Eventually(ctx, 200*time.Millisecond, "what room there is", func(context.Context) error {
		o, err := l.look(true, false)
		if err == nil && !o.Leaving.RoomKnown {
			err = fmt.Errorf("%+v", o.Leaving)
		}
		return err
	}))
	// This machine's disk may be as full as it likes.
	put(t, url+"/_cluster/settings", `{"persistent":{"cluster.routing.allocation.disk.threshold_enabled":false}}`)
	put(t, url+"/logs", `{"settings":{"index.number_of_shards":3,"index.number_of_replicas":0}}`)
	kind := "_doc"
	if home.Major < 6 {
		kind = "line"
	}
	const documents = 60
	for i := range documents {
		put(t, fmt.Sprintf("%s/logs/%s/%d", url, kind, i), `{"n":1}`)
	}
	put(t, url+"/_cluster/settings", fmt.Sprintf(`{"persistent":{%q:"theirs"}}`, excludeSetting))

	o, err := l.look(true, false)
	require.NoError(t, err)
	was := plan.Process{ID: o.Leaving.ID, EphemeralID: o.Leaving.EphemeralID}
	require.NotEmpty(t, was.ID)
	assert.True(t, o.Leaving.Member)
	require.Positive(t, o.Leaving.Holds, "it has a shard")
	assert.Empty(t, o.Leaving.Misfits)
	assert.True(t, o.Leaving.NoThreshold)
	assert.Equal(t, l.vote, o.Leaving.Voter)
	drained, why := l.facts(o, 2).Drained(was, false)
	assert.False(t, drained)
	assert.Contains(t, why, "exclusion")

	l.exclude(true)
	require.NoError(t, rig.Eventually(ctx, 200*time.Millisecond, "drained", func(context.Context) error {
		o, err := l.look(false, true)
		if err != nil {
			return err
		}
		if ok, why := l.facts(o, 2).Drained(was, false); !ok {
			return fmt.Errorf("%s (%s %s %s)", why, o.Leaving.Stuck, o.Leaving.Decider, o.Leaving.Explanation)
		}
		return nil
	}))
	require.NoError(t, es.Nodes()[2].Kill9(ctx))
	require.NoError(t, rig.Eventually(ctx, 200*time.Millisecond, "it has left", func(context.Context) error {
		o, err := l.look(false, false)
		if err == nil && (o.Leaving.Member || len(o.Nodes) != 2) {
			err = fmt.Errorf("%d members", len(o.Nodes))
		}
		if err == nil {
			ok, _ := l.facts(o, 2).Drained(was, true)
			assert.False(t, ok, "a node that is away is never one that holds nothing")
		}
		return err
	}))
	l.exclude(false)

	post(t, url+"/logs/_refresh")
	assert.Equal(t, documents, countDocuments(t, url))
	levels, err := (reader{ep: l.a.clusters["es"].clients[0], timeout: 10 * time.Second, req: l.req}).exclusions(ctx)
	require.NoError(t, err)
	assert.Equal(t, exclusions{persistent: []string{"theirs"}}, levels, "what others have set is as it was")

	// A copy that has nowhere to go: the index does not fit, and Elasticsearch says why.
	put(t, url+"/logs/_settings", `{"index.number_of_replicas":1}`)
	require.NoError(t, es.WaitGreen(ctx))
	l.node = "b"
	o, err = l.look(true, false)
	require.NoError(t, err)
	require.Len(t, o.Leaving.Misfits, 1)
	assert.Contains(t, o.Leaving.Misfits[0].Reason, "2 copies of a shard, and 1 nodes")
	l.vote = false
	l.exclude(true)
	if home.Major >= 5 {
		require.NoError(t, rig.Eventually(ctx, 200*time.Millisecond, "an explanation", func(context.Context) error {
			o, err := l.look(false, true)
			if err == nil && o.Leaving.Decider != "same_shard" {
				err = fmt.Errorf("decider %q: %s", o.Leaving.Decider, o.Leaving.Explanation)
			}
			return err
		}))
	}
	l.exclude(false)
}

func countDocuments(t *testing.T, url string) int {
	t.Helper()
	res, err := http.Get(url + "/logs/_count")
	require.NoError(t, err)
	defer res.Body.Close()
	var answer struct{ Count int }
	require.NoError(t, json.NewDecoder(res.Body).Decode(&answer))
	return answer.Count
}
