package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// pure are the packages without effects: equal inputs give equal outputs. Each
// one names the project's packages that it may import, which must be pure as
// well, so that purity holds for everything below it.
var pure = map[string][]string{
	"api/v1":                    {},
	"api/submission":            {"api/v1"},
	"volumes":                   {},
	"placement":                 {"volumes"},
	"executor":                  {},
	"executor/render":           {"executor"},
	"scheduler/elastic/observe": {},
	"scheduler/state":           {"api/v1", "volumes", "scheduler/elastic/observe"},
	"scheduler/plan":            {"api/v1", "volumes", "placement", "scheduler/state", "scheduler/elastic/observe"},
	"scheduler": {"api/v1", "volumes", "placement", "executor", "executor/render",
		"scheduler/plan", "scheduler/state", "scheduler/elastic/observe"},
}

// standardLibraryOnly are pure packages that need nothing else: every client
// of the API and every reader of an observation imports them.
var standardLibraryOnly = []string{"api/v1", "scheduler/elastic/observe"}

// effects are standard packages that a pure package does not import: they
// reach the outside, or draw chance that no seed controls.
var effects = []string{"net", "os", "io/fs", "io/ioutil", "syscall", "plugin", "log", "testing", "runtime",
	"crypto/rand", "crypto/tls", "hash/maphash", "path/filepath", "embed", "expvar", "database/sql", "unsafe"}

// valuesOnly are packages below an effect's name that only compute.
var valuesOnly = []string{"net/netip", "net/url"}

// mesosMessages are mesos-go's message structs and what they consist of.
var mesosMessages = below("github.com/mesos/mesos-go/api/v1/lib",
	"", "/agent", "/allocator", "/executor", "/maintenance", "/master", "/quota", "/roles", "/scheduler")

// mesosWire is what adapters may use beyond messages: framing, codecs and the
// spelling of durations.
var mesosWire = below("github.com/mesos/mesos-go/api/v1/lib",
	"/recordio", "/encoding", "/encoding/codecs", "/encoding/framing", "/encoding/json", "/encoding/proto", "/time")

// pureModules are further modules that only compute.
var pureModules = []string{"github.com/gogo/protobuf/proto", "sigs.k8s.io/yaml"}

// readsClock are the functions of package time that read or wait for a clock.
var readsClock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// seeded are the names of math/rand and math/rand/v2 that work from the
// caller's own source; all others draw from the global one.
var seeded = []string{"New", "NewSource", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "Source64", "PCG", "ChaCha8", "Zipf"}

func below(base string, suffixes ...string) []string {
	var all []string
	for _, s := range suffixes {
		all = append(all, base+s)
	}
	return all
}

// pureImports: what a pure package may import.
func pureImports(files []source) []string {
	var found []string
	for _, s := range files {
		inner, isPure := pure[s.pkg()]
		if !s.isGo() || s.isTest() || !isPure {
			continue
		}
		for _, i := range s.imports() {
			if why := impure(s.pkg(), inner, i); why != "" {
				found = append(found, fmt.Sprintf("%s: the pure package %s imports %s: %s", s.at(i.spec), s.pkg(), i.path, why))
			}
		}
	}
	return found
}

// impure says why a pure package may not have an import, "" if it may.
func impure(pkg string, inner []string, i imported) string {
	if in, ok := i.internal(); ok {
		if !slices.Contains(inner, in) {
			return fmt.Sprintf("of the project it may import only %q", inner)
		}
		return ""
	}
	if i.name == "." {
		return "a dot import hides where names come from"
	}
	first, _, _ := strings.Cut(i.path, "/")
	if strings.Contains(first, ".") {
		switch {
		case slices.Contains(standardLibraryOnly, pkg):
			return "it needs the standard library only"
		case !slices.Contains(mesosMessages, i.path) && !slices.Contains(pureModules, i.path):
			return "neither a Mesos message package nor known to be pure"
		}
		return ""
	}
	if slices.Contains(valuesOnly, i.path) {
		return ""
	}
	for _, e := range effects {
		if i.path == e || strings.HasPrefix(i.path, e+"/") {
			return "it reaches outside, or draws uncontrolled chance"
		}
	}
	return ""
}

// pureCode: no clock, no global chance, no goroutine in a pure package.
func pureCode(files []source) []string {
	var found []string
	for _, s := range files {
		if _, isPure := pure[s.pkg()]; !s.isGo() || s.isTest() || !isPure {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				found = append(found, s.at(n)+": a pure package starts no goroutine")
			}
			return true
		})
		for _, u := range s.uses("time") {
			if slices.Contains(readsClock, u.name) {
				found = append(found, fmt.Sprintf("%s: time.%s: a pure package is given the time", u.at, u.name))
			}
		}
		for _, u := range append(s.uses("math/rand"), s.uses("math/rand/v2")...) {
			if !slices.Contains(seeded, u.name) {
				found = append(found, fmt.Sprintf("%s: rand.%s: a pure package is given its source of chance", u.at, u.name))
			}
		}
	}
	return found
}

// use is one mention of a name of an imported package.
type use struct{ name, at string }

// uses finds every mention of a package's names, called or passed on. Names
// that a local variable shadows are not of the package.
func (s source) uses(pkg string) []use {
	var all []use
	for _, i := range s.imports() {
		if i.path != pkg {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == i.name && id.Obj == nil {
				all = append(all, use{sel.Sel.Name, s.at(sel)})
			}
			return true
		})
	}
	return all
}
