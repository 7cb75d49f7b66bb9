package v1

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// TestExamples: what the documentation shows can be applied as it stands.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../docs/examples/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			doc, err := os.ReadFile(file)
			require.NoError(t, err)
			doc, err = yaml.YAMLToJSONStrict(doc) // as the API does
			require.NoError(t, err)
			if strings.HasPrefix(filepath.Base(file), "spark-") {
				a, p := DecodeSparkApplication(doc)
				require.Nil(t, p)
				a.SetDefaults()
				require.Nil(t, a.Validate(Validation{}))
				return
			}
			c, p := DecodeCluster(doc)
			require.Nil(t, p)
			c.SetDefaults()
			require.Nil(t, c.Validate(Validation{}))
		})
	}
}
