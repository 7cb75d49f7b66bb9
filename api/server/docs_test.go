package server_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/server"
	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor/render"
)

const docs = "../../docs"

func requireValid(t *testing.T, doc []byte) v1.Cluster {
	t.Helper()
	c, err := server.DecodeYAML(doc)
	require.NoError(t, err)
	c.SetDefaults()
	require.Nil(t, c.Validate(v1.Validation{}))
	return c
}

func TestExamplesAreValid(t *testing.T) {
	files, err := filepath.Glob(docs + "/examples/*.yaml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 5)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			doc, err := os.ReadFile(file)
			require.NoError(t, err)
			if !strings.HasPrefix(filepath.Base(file), "spark-") {
				requireValid(t, doc)
				return
			}
			a, err := server.DecodeSparkYAML(doc)
			require.NoError(t, err)
			a.SetDefaults()
			require.Nil(t, a.Validate(v1.Validation{}))
		})
	}
}

// FuzzDecodeYAML: never a panic, always a problem document with bounds, and what
// is accepted in YAML is accepted in JSON.
func FuzzDecodeYAML(f *testing.F) {
	f.Add([]byte(specYAML))
	f.Add([]byte(spec))
	f.Add([]byte("a: &a [x]\nb: [*a, *a]\n---\n"))
	f.Add([]byte("? {a: b}\n: - !!binary aGk=\n- ~"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := server.DecodeYAML(doc)
		if err != nil {
			var p *v1.Problem
			require.ErrorAs(t, err, &p)
			require.LessOrEqual(t, len(p.Fields), v1.MaxFieldErrors)
			return
		}
		asJSON, err := json.Marshal(c)
		require.NoError(t, err)
		_, p := v1.DecodeCluster(asJSON)
		require.Nil(t, p)
	})
}

// A small document must not unfold into a large one: neither in the number of its
// nodes nor in their size.
func TestYAMLAliasesAreBounded(t *testing.T) {
	nested := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for _, c := range "bcdefghi" {
		nested += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 10), ","))
	}
	for name, bomb := range map[string]string{
		"nested":        nested,
		"a long text":   "a: &a " + strings.Repeat("x", 60_000) + "\nb: [" + strings.TrimSuffix(strings.Repeat("*a,", 12_000), ",") + "]\n",
		"a long key":    "? &a " + strings.Repeat("x", 1000) + "\n: 1\nb: [" + strings.TrimSuffix(strings.Repeat("*a,", 200_000), ",") + "]\n",
		"merged":        "a: &a {k: " + strings.Repeat("x", 60_000) + "}\nb:\n" + strings.Repeat("  - {<<: *a}\n", 12_000),
		"inside itself": "a: &a [*a, *a]\n",
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := server.DecodeYAML([]byte(bomb))
			runtime.ReadMemStats(&after)
			var p *v1.Problem
			require.ErrorAs(t, err, &p)
			require.Equal(t, v1.CodeBodyMalformed, p.Code)
			require.Contains(t, p.Detail, "aliasing")
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(512<<20), "refused before it is unfolded")
		})
	}
	few := strings.Replace(specYAML, "spec:", "labels: {a: &a team, b: *a}\nspec:", 1)
	c, err := server.DecodeYAML([]byte(few))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "team", "b": "team"}, c.Labels)
}

// What the library says of a document may be longer than the document.
func TestYAMLErrorsAreShort(t *testing.T) {
	_, err := server.DecodeYAML([]byte(strings.Repeat("a: 1\n", v1.MaxDocument/5)))
	var p *v1.Problem
	require.ErrorAs(t, err, &p)
	require.Contains(t, p.Detail, "already set")
	require.Less(t, len(p.Detail), 1100)
}

// Nesting costs neither stack nor time, in YAML nor in JSON.
func TestDeepNesting(t *testing.T) {
	for name, doc := range map[string]string{
		"lists": strings.Repeat("[", v1.MaxDocument), "maps": strings.Repeat("{a: ", v1.MaxDocument/4), "indented": strings.Repeat("- ", v1.MaxDocument/2),
		"keys": strings.Repeat("? ", v1.MaxDocument/2), "anchors": strings.Repeat("&a [*a, ", v1.MaxDocument/8),
		"closed": strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "json": strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := server.DecodeYAML([]byte(doc))
			require.Error(t, err)
			_, p := v1.DecodeCluster([]byte(doc))
			require.NotNil(t, p)
			require.Less(t, time.Since(began), 10*time.Second)
		})
	}
}

var fence = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// The reference shows valid specs and names every code, role and operator.
func TestReferenceIsTrue(t *testing.T) {
	content, err := os.ReadFile(docs + "/spec.md")
	require.NoError(t, err)
	text := string(content)
	blocks := fence.FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, blocks)
	for _, b := range blocks {
		requireValid(t, []byte(b[1]))
	}
	codes, err := os.ReadFile("../v1/codes.go")
	require.NoError(t, err)
	listed := regexp.MustCompile(`Code\w+ += "([\w.]+)" +// (\d+)`).FindAllStringSubmatch(string(codes), -1)
	require.Greater(t, len(listed), 20)
	for _, m := range listed {
		row := regexp.MustCompile("(?m)^\\|.*`" + regexp.QuoteMeta(m[1]) + "`.*\\| " + m[2] + " \\|")
		assert.Regexp(t, row, text, "code %s with status %s", m[1], m[2])
	}
	for _, word := range append(v1.KnownRoles(), v1.Operators()...) {
		assert.Contains(t, text, "`"+word+"`")
	}
	for _, pattern := range server.RoutePatterns() {
		_, path, _ := strings.Cut(pattern, " ")
		last := path[strings.LastIndex(path, "/"):]
		if _, below, found := strings.Cut(path, "/ui/"); found {
			assert.Contains(t, text, "/ui/"+strings.TrimPrefix(below, "{path}"))
			continue
		}
		if strings.Contains(path, "/clusters/") || strings.Contains(path, "/spark/") {
			path = last // listed together
		}
		if stem, rest, found := strings.Cut(path, "/submissions"); found {
			assert.Contains(t, text, stem+"/submissions")
			path = rest // listed together
		}
		assert.True(t, strings.Contains(text, strings.TrimPrefix(path, "/v1")), "spec.md does not name %s", pattern)
	}
}

// The reference lists the settings that Berth owns: those of the executor's
// rendering, and no others.
func TestReferenceListsTheReservedSettings(t *testing.T) {
	content, err := os.ReadFile(docs + "/spec.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(content), "\n| what | settings |\n|---|---|\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n\n")
	var listed []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(section, -1) {
		listed = append(listed, m[1])
	}
	assert.ElementsMatch(t, render.ReservedSettings(), listed)
}

// The reference explains every type of event that the core publishes, and no
// others.
func TestReferenceListsTheEvents(t *testing.T) {
	files, err := filepath.Glob("../../scheduler/*.go")
	require.NoError(t, err)
	published := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`\.publish(?:Slot|Application)?\((.{0,40})`).FindAllStringSubmatch(string(source), -1) {
			typ := regexp.MustCompile(`^"(\w+)"`).FindStringSubmatch(m[1])
			require.NotNil(t, typ, "%s: a type that is no literal cannot be looked up: publish(%s", file, m[1])
			published[typ[1]] = true
		}
	}
	require.Greater(t, len(published), 20)

	content, err := os.ReadFile(docs + "/spec.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(content), "\n| type | when |\n|---|---|\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n\n")
	listed := map[string]bool{}
	for row := range strings.Lines(section) {
		for _, m := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(strings.Split(row, "|")[1], -1) {
			listed[m[1]] = true
		}
	}
	assert.Equal(t, published, listed)
}

// Every state that a node can show, phase and class is explained to operators,
// and the core shows no other state.
func TestStatesAreExplained(t *testing.T) {
	source, err := os.ReadFile("../../scheduler/view.go")
	require.NoError(t, err)
	_, display, found := strings.Cut(string(source), ") display() string {")
	require.True(t, found)
	display, _, _ = strings.Cut(display, "\n}\n")
	var shown []string
	for _, m := range regexp.MustCompile(`"(\w+)"`).FindAllStringSubmatch(display, -1) {
		shown = append(shown, m[1])
	}
	assert.ElementsMatch(t, v1.NodeStates, shown)

	operations, err := os.ReadFile(docs + "/operations.md")
	require.NoError(t, err)
	for _, state := range v1.NodeStates {
		assert.Regexp(t, `(?m)^\| ([\w, ]+, )?`+state+`(, [\w, ]+)? \|`, string(operations), "operations.md has no row for the state %s", state)
	}
	for _, reason := range v1.LossReasons {
		assert.Contains(t, string(operations), "\n| "+reason+" |")
	}
	for _, class := range v1.VolumeClasses {
		assert.Contains(t, string(operations), class)
	}
	reference, err := os.ReadFile(docs + "/spec.md")
	require.NoError(t, err)
	for _, word := range slices.Concat(v1.RepairStates, v1.RepairStepStates, v1.RepairActions) {
		assert.Contains(t, string(reference), "`"+word+"`")
	}
	for _, word := range slices.Concat(v1.AuditVerbs, v1.AuditKinds) {
		assert.Contains(t, string(reference), "`"+word+"`")
	}
	for _, phase := range v1.ClusterPhases {
		assert.Contains(t, string(reference), "`"+phase+"`:")
	}
}
