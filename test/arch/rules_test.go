package arch

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRules feeds each rule files that break it and files that do not.
func TestRules(t *testing.T) {
	importing := func(pkg string, paths ...string) string {
		src := "package " + pkg + "\n"
		for _, p := range paths {
			src += `import _ "` + p + "\"\n"
		}
		return src
	}
	const lib = "github.com/mesos/mesos-go/api/v1/lib"
	for _, c := range []struct {
		rule, name, path, text string
		broken                 bool
	}{
		{"pure imports", "net", "volumes/x.go", importing("volumes", "net"), true},
		{"pure imports", "net/http", "scheduler/x.go", importing("scheduler", "net/http"), true},
		{"pure imports", "os/exec", "executor/render/x.go", importing("render", "os/exec"), true},
		{"pure imports", "crypto/rand", "scheduler/plan/x.go", importing("plan", "crypto/rand"), true},
		{"pure imports", "values of net", "executor/render/x.go", importing("render", "net/netip", "net/url"), false},
		{"pure imports", "an adapter", "scheduler/x.go", importing("scheduler", module+"/scheduler/elastic"), true},
		{"pure imports", "the vocabulary", "scheduler/x.go", importing("scheduler", module+"/scheduler/elastic/observe"), false},
		{"pure imports", "api/v1 is a leaf", "api/v1/x.go", importing("v1", module+"/volumes"), true},
		{"pure imports", "api/v1 and a module", "api/v1/x.go", importing("v1", "sigs.k8s.io/yaml"), true},
		{"pure imports", "volumes upwards", "volumes/x.go", importing("volumes", module+"/placement"), true},
		{"pure imports", "placement and volumes", "placement/x.go", importing("placement", module+"/volumes"), false},
		{"pure imports", "a client", "scheduler/x.go", importing("scheduler", "github.com/go-zookeeper/zk"), true},
		{"pure imports", "Mesos messages", "scheduler/x.go", importing("scheduler", lib, lib+"/scheduler", lib+"/master"), false},
		{"pure imports", "Mesos client", "scheduler/x.go", importing("scheduler", lib+"/httpcli"), true},
		{"pure imports", "Mesos calls", "scheduler/x.go", importing("scheduler", lib+"/scheduler/calls"), true},
		{"pure imports", "Mesos extras", "scheduler/x.go", importing("scheduler", lib+"/extras/scheduler/controller"), true},
		{"pure imports", "Mesos framing", "scheduler/x.go", importing("scheduler", lib+"/recordio"), true},
		{"pure imports", "dot", "scheduler/x.go", "package scheduler\nimport . \"time\"\nvar _ Duration", true},
		{"pure imports", "tests may", "volumes/x_test.go", importing("volumes", "os"), false},
		{"pure imports", "others may", "scheduler/runner/x.go", importing("runner", "os", "net"), false},

		{"pure code", "time.Now", "scheduler/x.go", "package scheduler\nimport \"time\"\nvar _ = time.Now()", true},
		{"pure code", "time.Now passed on", "scheduler/x.go", "package scheduler\nimport \"time\"\nvar clock = time.Now", true},
		{"pure code", "renamed", "scheduler/x.go", "package scheduler\nimport t \"time\"\nvar _ = t.Since(t.Time{})", true},
		{"pure code", "timer", "scheduler/plan/x.go", "package plan\nimport \"time\"\nfunc f() { <-time.After(1) }", true},
		{"pure code", "time as a value", "scheduler/x.go", "package scheduler\nimport \"time\"\nfunc f(now time.Time) time.Time { return now.Add(time.Second) }", false},
		{"pure code", "shadowed", "scheduler/x.go", "package scheduler\nimport \"time\"\nvar _ time.Time\nfunc f(time struct{ Now int }) int { return time.Now }", false},
		{"pure code", "go", "placement/x.go", "package placement\nfunc f() { go f() }", true},
		{"pure code", "global rand", "placement/x.go", "package placement\nimport \"math/rand\"\nvar _ = rand.Intn(3)", true},
		{"pure code", "global rand v2", "placement/x.go", "package placement\nimport \"math/rand/v2\"\nvar _ = rand.N(3)", true},
		{"pure code", "seeded rand", "placement/x.go", "package placement\nimport \"math/rand/v2\"\nvar _ = rand.New(rand.NewPCG(1, 2)).IntN(3)", false},
		{"pure code", "elsewhere", "scheduler/runner/x.go", "package runner\nimport \"time\"\nfunc f() { go f(); _ = time.Now() }", false},

		{"layers", "app by an adapter", "scheduler/mesos/x.go", importing("mesos", module+"/scheduler/app"), true},
		{"layers", "app by cmd", "cmd/berth/x.go", importing("main", module+"/scheduler/app"), false},
		{"layers", "app by a test", "test/e2e/x_test.go", importing("e2e", module+"/scheduler/app"), false},
		{"layers", "runner by the API", "api/server/x.go", importing("server", module+"/scheduler/runner"), true},
		{"layers", "runner by app", "scheduler/app/x.go", importing("app", module+"/scheduler/runner"), false},
		{"layers", "test code in cmd", "cmd/berth/x.go", importing("main", module+"/test/rig"), true},
		{"layers", "test code in a test", "scheduler/mesos/x_test.go", importing("mesos", module+"/test/rig"), false},
		{"layers", "test code in test/", "test/demo/x.go", importing("main", module+"/test/rig"), false},
		{"layers", "cmd by a package", "scheduler/app/x.go", importing("app", module+"/cmd/berth"), true},
		{"layers", "core by the API", "api/server/x.go", importing("server", module+"/scheduler"), true},
		{"layers", "adapter by adapter", "scheduler/elastic/x.go", importing("elastic", module+"/scheduler/mesos"), true},
		{"layers", "adapter's vocabulary", "scheduler/elastic/x.go", importing("elastic", module+"/scheduler/elastic/observe"), false},

		{"mesos libraries", "clients", "scheduler/mesos/x.go", importing("mesos", lib+"/httpcli/httpsched"), true},
		{"mesos libraries", "calls", "scheduler/mesos/x.go", importing("mesos", lib+"/scheduler/calls"), true},
		{"mesos libraries", "calls in a rig", "test/rig/x.go", importing("rig", lib+"/master/calls"), false},
		{"mesos libraries", "the old API", "scheduler/mesos/x.go", importing("mesos", "github.com/mesos/mesos-go/api/v0/scheduler"), true},
		{"mesos libraries", "framing and codecs", "scheduler/mesos/x.go", importing("mesos", lib, lib+"/recordio", lib+"/encoding/codecs"), false},

		{"package names", "util", "scheduler/util/x.go", "package util", true},
		{"package names", "folder", "scheduler/helpers/x.go", "package wiring", true},
		{"package names", "clause", "scheduler/wiring/x.go", "package common", true},
		{"package names", "a name", "scheduler/wiring/x.go", "package wiring", false},

		{"sleeps", "in a test", "volumes/x_test.go", "package volumes\nimport \"time\"\nfunc f() { time.Sleep(1) }", true},
		{"sleeps", "in code", "cmd/berth/x.go", "package main\nimport \"time\"\nvar sleep = time.Sleep", true},
		{"sleeps", "other", "cmd/berth/x.go", "package main\nimport \"time\"\nvar _ = time.NewTicker(1)", false},

		{"file length", "long", "volumes/x.go", "package volumes" + strings.Repeat("\n", maxLines+1), true},
		{"file length", "just right", "volumes/x.go", "package volumes" + strings.Repeat("\n", maxLines), false},
		{"file length", "generated", "volumes/x.go", "// Code generated by hand. DO NOT EDIT.\npackage volumes" + strings.Repeat("\n", maxLines+1), false},
		{"file length", "not Go", "docs/x.md", strings.Repeat("\n", maxLines+1), false},

		{"hosts and paths", "registry", "docs/x.md", "from https://" + strings.Join(registries[0], ".") + "/maven2", true},
		{"hosts and paths", "in Go", "test/rig/x.go", "package rig\nconst u = `" + strings.Join(registries[2], ".") + "`", true},
		{"hosts and paths", "machine path", "docs/x.md", "see " + "/wo" + "rk/main/x", true},
		{"hosts and paths", "home", "test/x.sh", "cd " + "/ho" + "me/someone/x", true},
		{"hosts and paths", "neighbour", "docs/x.md", "see .." + "/shared/facts", true},
		{"hosts and paths", "a work folder", "docs/x.md", "the agent's $dir/work/meta and var/lib/work/x", false},
		{"hosts and paths", "documentation", "docs/x.md", "https://www.elastic.co/guide and https://mesos.apache.org", false},

		{"dependencies", "not explained", "go.mod", "module x\n\nrequire (\n\texample.org/a v1.0.0\n)", true},
		{"dependencies", "not explained, one line", "go.mod", "module x\n\nrequire example.org/a v1.0.0", true},
		{"dependencies", "not required", "docs/dependencies.md", "| Module | What |\n|---|---|\n| example.org/a | x |", true},
		{"dependencies", "indirect", "go.mod", "module x\n\ngo 1.26.8\n\nrequire (\n\texample.org/a v1.0.0 // indirect\n)", false},
	} {
		t.Run(c.rule+"/"+c.name, func(t *testing.T) {
			s, err := parseSource(c.path, c.text)
			require.NoError(t, err)
			require.Contains(t, rules, c.rule)
			found := rules[c.rule]([]source{s})
			if c.broken {
				assert.NotEmpty(t, found)
			} else {
				assert.Empty(t, found)
			}
		})
	}
}
