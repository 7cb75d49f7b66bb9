package elastic

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/elasticsearch"
	"github.com/berthdata/berth/test/rig/rigtest"
)

// TestShardsAtRisk: what real clusters answer about shards whose only copy is on
// a node that is counted as lost, while it is a member and after it has left.
func TestShardsAtRisk(t *testing.T) {
	rigtest.EachElasticsearch(t, shardsAtRisk)
}

func shardsAtRisk(t *testing.T, home elasticsearch.Home) {
	r, ctx := rigtest.New(t), rigtest.Context(t, 3*time.Minute)
	es, err := elasticsearch.Start(r, home, elasticsearch.Options{
		Java: []string{"-XX:TieredStopAtLevel=1", "-XX:-AlwaysPreTouch"},
		Nodes: []elasticsearch.NodeOptions{
			{Name: "a", Roles: []string{"master"}}, {Name: "b", Roles: []string{"data"}}, {Name: "c", Roles: []string{"data"}},
		},
	})
	require.NoError(t, err)
	require.NoError(t, es.WaitGreen(ctx))
	url := es.Nodes()[0].URL()
	on := func(node string) string { return fmt.Sprintf(`,"index.routing.allocation.include._name":"%s"`, node) }
	create := func(index string, shards, replicas int, more string) {
		// Short, since the one without a place would be waited for.
		put(t, url+"/"+index+"?timeout=2s", fmt.Sprintf(`{"settings":{"index.number_of_shards":%d,"index.number_of_replicas":%d%s}}`, shards, replicas, more))
	}
	create("safe", 2, 1, "")
	create("only-c", 3, 0, on("c"))
	create("only-b", 1, 0, on("b"))
	create("homeless", 1, 0, on("nobody"))
	create("shut", 1, 1, "")

	a := newAdapter(t, Options{HTTPTimeout: 10 * time.Second})
	request := observe.Request{Cluster: "es", Version: home.Version, Endpoints: []string{url}, Kind: observe.KindObserve, Full: true}
	// until waits for an observation with the wanted groups and returns the ids of nodes.
	until := func(what string, away []string, want func(ids map[string]string) []observe.AtRisk) map[string]string {
		t.Helper()
		request.Away = away
		ids := map[string]string{}
		began := time.Now()
		defer func() { t.Logf("%s after %s", what, time.Since(began).Round(time.Millisecond)) }()
		require.NoError(t, rig.Eventually(ctx, 200*time.Millisecond, what, func(ctx context.Context) error {
			o, err := a.Do(ctx, request)
			if err != nil {
				return err
			}
			for _, n := range o.Nodes {
				ids[n.Name] = n.ID
			}
			if !assert.ObjectsAreEqual(want(ids), o.AtRisk) || o.AtRiskTotal != len(o.AtRisk) || !slices.Equal(o.Away, away) {
				return fmt.Errorf("at risk: %+v, health %s", o.AtRisk, o.Health)
			}
			return nil
		}))
		return ids
	}
	group := func(index string, shards ...int) observe.AtRisk {
		return observe.AtRisk{Index: index, Shards: shards, ShardCount: len(shards)}
	}
	until("nothing at risk, though an index that never started is red", nil, func(map[string]string) []observe.AtRisk { return nil })
	member := group("only-c", 0, 1, 2)
	member.On = []string{"c"}
	ids := until("what is on a member that counts as lost", []string{"c"}, func(map[string]string) []observe.AtRisk { return []observe.AtRisk{member} })
	request.Away = nil

	post(t, url+"/shut/_close")
	if closed := (observe.AtRisk{Index: "shut", Unknown: true, Reason: "not shown"}); home.Major < 7 {
		until("a closed index that is not shown", nil, func(map[string]string) []observe.AtRisk { return []observe.AtRisk{closed} })
	}
	post(t, url+"/shut/_open")
	require.NoError(t, rig.Eventually(ctx, 200*time.Millisecond, "every copy but one that has no place", func(ctx context.Context) error {
		o, err := a.Do(ctx, request)
		if err == nil && (len(o.AtRisk) > 0 || o.Unassigned != 1 || o.Initializing > 0) {
			err = fmt.Errorf("%d unassigned, at risk: %+v", o.Unassigned, o.AtRisk)
		}
		return err
	}))

	require.NoError(t, es.Nodes()[2].Kill9(ctx))
	until("what was on a node that has left", []string{"c"}, func(map[string]string) []observe.AtRisk {
		g := group("only-c", 0, 1, 2)
		g.Left, g.Reason = []string{ids["c"]}, "NODE_LEFT"
		return []observe.AtRisk{g}
	})
	until("the same and what is on a member", []string{"b", "c"}, func(map[string]string) []observe.AtRisk {
		b, c := group("only-b", 0), group("only-c", 0, 1, 2)
		b.On, c.Left, c.Reason = []string{"b"}, []string{ids["c"]}, "NODE_LEFT"
		shut, safe := group("shut", 0), group("safe", 0, 1)
		for _, g := range []*observe.AtRisk{&shut, &safe} {
			// Its replica was on c, which has left.
			g.On, g.Left = []string{"b"}, []string{ids["c"]}
		}
		return []observe.AtRisk{b, c, safe, shut}
	})

	require.NoError(t, es.Nodes()[2].Start())
	until("the node is back", nil, func(map[string]string) []observe.AtRisk { return nil })
}

func put(t *testing.T, url, body string) { t.Helper(); send(t, http.MethodPut, url, body) }
func post(t *testing.T, url string)      { t.Helper(); send(t, http.MethodPost, url, "") }
func send(t *testing.T, method, url, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Less(t, resp.StatusCode, 300, "%s %s: %s", method, url, answer)
}
