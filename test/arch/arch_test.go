package arch

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

// rules are all rules over the project's files.
var rules = map[string]func([]source) []string{
	"pure imports":    pureImports,
	"pure code":       pureCode,
	"layers":          layers,
	"mesos libraries": mesosLibraries,
	"package names":   packageNames,
	"sleeps":          sleeps,
	"file length":     fileLength,
	"hosts and paths": hostsAndPaths,
	"dependencies":    dependencies,
}

func TestArchitecture(t *testing.T) {
	files := project(t)
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		t.Run(name, func(t *testing.T) {
			for _, f := range rules[name](files) {
				t.Error(f)
			}
		})
	}
}

// TestPurePackagesExist keeps the table from guarding a package that was
// renamed away.
func TestPurePackagesExist(t *testing.T) {
	have := map[string]bool{}
	for _, s := range project(t) {
		if s.isGo() && !s.isTest() {
			have[s.pkg()] = true
		}
	}
	for pkg, inner := range pure {
		assert.True(t, have[pkg], "the pure package %s has no Go file", pkg)
		for _, in := range inner {
			assert.Contains(t, pure, in, "%s may import %s, which is not pure", pkg, in)
		}
	}
}
