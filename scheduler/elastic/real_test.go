package elastic

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// TestRealServer runs against the cluster at BERTH_TEST_ES_URL, of any version:
// a test harness that has one running sets it. It changes nothing there.
func TestRealServer(t *testing.T) {
	url := os.Getenv("BERTH_TEST_ES_URL")
	if url == "" {
		t.Skip("BERTH_TEST_ES_URL is not set")
	}
	a := New(Options{HTTPTimeout: 10 * time.Second})
	defer a.Close()
	req := observe.Request{Cluster: os.Getenv("BERTH_TEST_ES_CLUSTER"), Version: os.Getenv("BERTH_TEST_ES_VERSION"),
		Endpoints: []string{url}, Seq: 7, Kind: observe.KindObserve}
	for _, full := range []bool{false, true} {
		req.Full = full
		start := time.Now()
		o, err := a.Do(context.Background(), req)
		require.NoError(t, err)
		t.Logf("full=%v in %v: %+v", full, time.Since(start), o)
		assert.Equal(t, int64(7), o.Seq)
		assert.NotEmpty(t, o.ClusterUUID)
		assert.Contains(t, []string{"green", "yellow", "red"}, o.Health)
		masters := 0
		for _, n := range o.Nodes {
			assert.NotEmpty(t, n.ID)
			assert.NotEmpty(t, n.Address)
			assert.NotEmpty(t, n.Version)
			if n.Master {
				masters++
				assert.Contains(t, n.Roles, "master")
			}
		}
		assert.Equal(t, 1, masters)
		assert.Equal(t, mustIdentify(req.Version), a.clusters[req.Cluster].clients[0].product != nil,
			"go-elasticsearch exactly for servers that identify themselves")
		if full {
			assert.Equal(t, o.Indices == 0, o.MinReplicasIndex == "")
		}
	}

	// The two sources of the shard layout, written apart in Elasticsearch, agree.
	r := reader{ep: a.clusters[req.Cluster].clients[0], timeout: 10 * time.Second, maxResponse: 1 << 20, req: req}
	st, err := r.state(context.Background())
	require.NoError(t, err)
	if st.routing {
		cat, err := r.copies(context.Background(), clusterState{})
		require.NoError(t, err)
		assert.ElementsMatch(t, st.copies, cat)
	}

	req.Cluster = "somebody-else"
	_, err = a.Do(context.Background(), req)
	var f *observe.Failure
	require.ErrorAs(t, err, &f)
	assert.Equal(t, observe.Unreadable, f.Class)
}
