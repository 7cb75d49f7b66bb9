package arch

import (
	"fmt"
	"slices"
	"strings"
)

// adapters stand between the core and one outside system each. They know
// neither the loop that drives the core nor the wiring, nor one another.
var adapters = []string{"scheduler/mesos", "scheduler/elastic", "scheduler/state/zkstore", "scheduler/state/memstore",
	"scheduler/leader", "scheduler/sparkmetrics", "api/server", "api/client"}

// within: p is the folder or in it.
func within(p, folder string) bool { return p == folder || strings.HasPrefix(p, folder+"/") }

// layers: dependencies point inwards.
func layers(files []source) []string {
	var found []string
	for _, s := range files {
		if !s.isGo() {
			continue
		}
		for _, i := range s.imports() {
			in, ok := i.internal()
			if !ok {
				continue
			}
			if why := outward(s, in); why != "" {
				found = append(found, fmt.Sprintf("%s: %s imports %s: %s", s.at(i.spec), s.pkg(), in, why))
			}
		}
	}
	return found
}

// outward says why a file may not import a package of the project.
func outward(s source, in string) string {
	from := s.pkg()
	inTest := within(from, "test") || s.isTest()
	switch {
	case within(in, "cmd") && !within(from, "cmd"):
		return "commands are for people"
	case within(in, "test") && !inTest:
		return "only tests and commands under test/ use test code"
	case in == "scheduler/app" && from != in && !within(from, "cmd") && !inTest:
		return "only commands and tests put the whole together"
	case in == "scheduler/runner" && from != in && from != "scheduler/app" && !inTest:
		return "only the wiring drives the core"
	case within(from, "api") && within(in, "scheduler") && !inTest:
		return "the API knows the scheduler through its own ports"
	}
	if inTest {
		return ""
	}
	for _, a := range adapters {
		if !slices.Contains(adapters, from) || from == a {
			continue
		}
		if in == a {
			return "adapters do not know one another"
		}
	}
	return ""
}

// mesosLibraries: of mesos-go the product uses messages, framing and codecs; its
// clients, calls and extras have traps of their own. Test rigs are free.
func mesosLibraries(files []source) []string {
	var found []string
	for _, s := range files {
		if !s.isGo() || s.isTest() || within(s.pkg(), "test") {
			continue
		}
		for _, i := range s.imports() {
			if within(i.path, "github.com/mesos/mesos-go") && !slices.Contains(mesosMessages, i.path) && !slices.Contains(mesosWire, i.path) {
				found = append(found, fmt.Sprintf("%s: %s is more than messages, framing and codecs", s.at(i.spec), i.path))
			}
		}
	}
	return found
}
