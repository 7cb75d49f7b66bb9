package documents

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A search that lost its context to a node that stops is repeated, once; whatever
// else fails has failed.
func TestSearchesThatAreRepeated(t *testing.T) {
	const lost = `{"error":{"root_cause":[{"type":"search_context_missing_exception","reason":"No search context found for id [34]"}],"phase":"fetch"},"status":404}`
	for name, k := range map[string]struct {
		answers          []string // "" is a good one, as are all after the last
		repeated, failed int
	}{
		"all good":            {},
		"a context is lost":   {answers: []string{lost}, repeated: 1},
		"lost twice in a row": {answers: []string{lost, lost}, repeated: 1, failed: 1},
		"no such index":       {answers: []string{`{"error":{"type":"index_not_found_exception"},"status":404}`}, failed: 1},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, enough := context.WithCancel(t.Context())
			var searches atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Elastic-Product", "Elasticsearch")
				w.Header().Set("Content-Type", "application/json")
				if !strings.HasSuffix(r.URL.Path, "/_search") {
					fmt.Fprint(w, `{}`)
					return
				}
				n := int(searches.Add(1))
				if n > len(k.answers)+3 {
					enough()
				}
				if n <= len(k.answers) && k.answers[n-1] != "" {
					w.WriteHeader(http.StatusNotFound)
					fmt.Fprint(w, k.answers[n-1])
					return
				}
				fmt.Fprint(w, `{}`)
			}))
			defer server.Close()
			index, err := Open([]string{server.URL}, "docs")
			require.NoError(t, err)
			driver := index.Drive(ctx, 0)
			<-ctx.Done()
			traffic := driver.Stop()
			assert.Equal(t, k.repeated, traffic.Repeated)
			assert.Len(t, traffic.FailedSearches, k.failed)
			assert.GreaterOrEqual(t, traffic.Searches, 3)
		})
	}
}
