package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a/a_test.go":          "package a\n\nfunc FuzzOne(f *testing.F) {\n}\n\nfunc FuzzTwo(f *testing.F) {}\nfunc fuzzThree(f *testing.F) {}\n",
		"a/a.go":               "package a\n\nfunc FuzzNot(f *testing.F) {}\n",
		"a/testdata/b_test.go": "package b\n\nfunc FuzzNeither(f *testing.F) {}\n",
		".git/c_test.go":       "package c\n\nfunc FuzzHidden(f *testing.F) {}\n",
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	t.Chdir(dir)
	all, err := find(".")
	require.NoError(t, err)
	assert.Equal(t, []target{{"a", "FuzzOne"}, {"a", "FuzzTwo"}}, all)
}

// The targets fit into the time that CI has for them.
func TestTargetsOfTheProject(t *testing.T) {
	all, err := find("../../..")
	require.NoError(t, err)
	assert.Greater(t, len(all), 10)
	assert.LessOrEqual(t, len(all), 24, "at 20 s each, fuzzing would take more than eight minutes: let targets that share a decoder be one")
}

func TestShare(t *testing.T) {
	assert.Equal(t, 20*time.Second, share(20*time.Second, 0, 100))
	assert.Equal(t, 20*time.Second, share(20*time.Second, 5*time.Minute, 15))
	assert.Equal(t, 10*time.Second, share(20*time.Second, 5*time.Minute, 30))
}

func TestResult(t *testing.T) {
	assert.Equal(t, "34060 inputs, 5 new of 9 interesting", result("fuzz: elapsed: 3s, execs: 1 (1/sec), new interesting: 0 (total: 4)\nfuzz: elapsed: 5s, execs: 34060 (11958/sec), new interesting: 5 (total: 9)\nPASS\n"))
	assert.Equal(t, "no inputs were tried", result("PASS"))
}
