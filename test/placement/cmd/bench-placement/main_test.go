package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheLastLineIsOneJSONObject(t *testing.T) {
	dir := t.TempDir()
	out, save := filepath.Join(dir, "p.tsv"), filepath.Join(dir, "w.json")
	var text bytes.Buffer
	require.NoError(t, run(&text, "w-100", out, save))
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &got))
	for _, key := range []string{"placements_per_s", "p99_us", "heap_peak_mb", "hosts_used"} {
		assert.Positive(t, got[key], key)
	}
	assert.Equal(t, "w-100", got["workload"])
	assert.EqualValues(t, 500, got["placed"])
	assert.EqualValues(t, 0, got["violations"])
	assert.InDelta(t, 1, got["spread_ratio"], .1, "small racks cannot always be even")
	placed, err := os.ReadFile(out)
	require.NoError(t, err)
	assert.Equal(t, 500, bytes.Count(placed, []byte("\n")))

	text.Reset()
	require.NoError(t, run(&text, save, "", ""), "the saved workload is one")
	assert.Contains(t, text.String(), `"workload":"w-100","placed":500`)
	require.Error(t, run(&text, filepath.Join(dir, "none"), "", ""))
}
