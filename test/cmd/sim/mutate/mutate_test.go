package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A mutation that does not apply any more checks nothing.
func TestEveryMutationApplies(t *testing.T) {
	require.GreaterOrEqual(t, len(mutations), 20)
	names := map[string]bool{}
	for _, m := range mutations {
		assert.False(t, names[m.name], "%s is there twice", m.name)
		names[m.name] = true
		for _, e := range m.edits {
			text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", filepath.FromSlash(e.file)))
			require.NoError(t, err)
			changed, err := e.apply(string(text))
			assert.NoError(t, err, m.name)
			assert.NotEqual(t, string(text), changed, m.name)
		}
	}
}

func TestVerdict(t *testing.T) {
	checker, after, err := verdict([]byte("7 seeds, 0 failed, 5 steps\n12 seeds, 1 failed, 9 steps\nseed 11 broke masters' majority at 3m1s: two\n"))
	require.NoError(t, err)
	assert.Equal(t, "masters' majority", checker)
	assert.Equal(t, "12", after)
	_, _, err = verdict([]byte("killed"))
	assert.Error(t, err)
}
