package rigtest

import (
	"os"
	"strings"
	"testing"

	"github.com/berthdata/berth/test/rig/elasticsearch"
	"github.com/berthdata/berth/test/rig/setup"
)

// versionsVariable names versions, separated by commas, to test instead of the
// default one; they must be installed.
const versionsVariable = "BERTH_TEST_ELASTICSEARCH"

// EachElasticsearch runs a test against each version that is asked for: the default
// one, unless BERTH_TEST_ELASTICSEARCH names others.
func EachElasticsearch(t *testing.T, test func(t *testing.T, home elasticsearch.Home)) {
	t.Helper()
	versions := []string{setup.DefaultElasticsearch}
	if v := os.Getenv(versionsVariable); v != "" {
		versions = strings.Split(v, ",")
	}
	for _, v := range versions {
		t.Run(v, func(t *testing.T) {
			test(t, Need(t, setup.Want{Elasticsearch: []string{v}}).Elasticsearch[v])
		})
	}
}
