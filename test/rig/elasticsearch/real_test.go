package elasticsearch_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/test/rig/elasticsearch"
	"github.com/berthdata/berth/test/rig/rigtest"
	"github.com/berthdata/berth/test/rig/setup"
)

func TestClusterSurvivesAKilledNode(t *testing.T) {
	assets := rigtest.Need(t, setup.Want{Elasticsearch: []string{setup.DefaultElasticsearch}})
	r := rigtest.New(t)
	ctx := rigtest.Context(t, 3*time.Minute)
	began := time.Now()
	es, err := elasticsearch.Start(r, assets.Elasticsearch[setup.DefaultElasticsearch], elasticsearch.Options{
		Java: []string{"-XX:TieredStopAtLevel=1", "-XX:-AlwaysPreTouch"},
	})
	require.NoError(t, err)
	require.NoError(t, es.WaitGreen(ctx))
	t.Logf("three nodes were green after %s", time.Since(began).Round(100*time.Millisecond))

	root := get(t, es.Nodes()[0].URL()+"/")
	assert.Contains(t, root, `"number" : "`+setup.DefaultElasticsearch+`"`)
	assert.Contains(t, root, `"cluster_name" : "es"`)
	put(t, es.Nodes()[0].URL()+"/docs/_doc/1?refresh=true&wait_for_active_shards=all", `{"n":1}`)

	n := es.Nodes()[1]
	require.NoError(t, n.Kill9(ctx))
	assert.False(t, n.Process().Running())
	require.NoError(t, es.WaitYellow(ctx), "two of three nodes")
	require.NoError(t, n.Start())
	require.NoError(t, es.WaitGreen(ctx))
	assert.Contains(t, get(t, n.URL()+"/docs/_doc/1"), `"n":1`)
}

func get(t *testing.T, url string) string {
	t.Helper()
	return do(t, http.MethodGet, url, "")
}

func put(t *testing.T, url, body string) {
	t.Helper()
	do(t, http.MethodPut, url, body)
}

func do(t *testing.T, method, url, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Less(t, resp.StatusCode, 300, "%s %s: %s", method, url, b)
	return string(b)
}
