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
)

func TestClusterSurvivesAKilledNode(t *testing.T) {
	rigtest.EachElasticsearch(t, survivesAKilledNode)
}

func survivesAKilledNode(t *testing.T, home elasticsearch.Home) {
	r := rigtest.New(t)
	ctx := rigtest.Context(t, 3*time.Minute)
	began := time.Now()
	es, err := elasticsearch.Start(r, home, elasticsearch.Options{
		Java: []string{"-XX:TieredStopAtLevel=1", "-XX:-AlwaysPreTouch"},
	})
	require.NoError(t, err)
	require.NoError(t, es.WaitGreen(ctx))
	t.Logf("three nodes were green after %s", time.Since(began).Round(100*time.Millisecond))

	root := get(t, es.Nodes()[0].URL()+"/")
	assert.Contains(t, root, `"number" : "`+home.Version+`"`)
	assert.Contains(t, root, `"cluster_name" : "es"`)
	doc := "/docs/_doc/1"
	if home.Major < 7 {
		doc = "/docs/doc/1" // mapping types, whose names had no underscore
	}
	put(t, es.Nodes()[0].URL()+doc+"?refresh=true", `{"n":1}`)
	require.NoError(t, es.WaitGreen(ctx), "the replica has the document too")

	n := es.Nodes()[1]
	require.NoError(t, n.Kill9(ctx))
	assert.False(t, n.Process().Running())
	require.NoError(t, es.WaitYellow(ctx), "two of three nodes")
	require.NoError(t, n.Start())
	require.NoError(t, es.WaitGreen(ctx))
	assert.Contains(t, get(t, n.URL()+doc), `"n":1`)
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
