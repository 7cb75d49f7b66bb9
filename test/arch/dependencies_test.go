package arch

import (
	"slices"
	"strings"
)

// dependencies: docs/dependencies.md explains exactly the direct requirements
// of go.mod.
func dependencies(files []source) []string {
	var required, explained []string
	for _, s := range files {
		for _, line := range strings.Split(s.text, "\n") {
			switch s.path {
			case "go.mod":
				line = strings.TrimPrefix(strings.TrimSpace(line), "require ")
				f := strings.Fields(line)
				if len(f) == 2 && strings.HasPrefix(f[1], "v") && !strings.HasPrefix(line, "//") {
					required = append(required, f[0])
				}
			case "docs/dependencies.md":
				cells := strings.Split(line, "|")
				if len(cells) > 2 && strings.Contains(cells[1], ".") {
					explained = append(explained, strings.TrimSpace(cells[1]))
				}
			}
		}
	}
	var found []string
	for _, m := range required {
		if !slices.Contains(explained, m) {
			found = append(found, "docs/dependencies.md does not explain "+m)
		}
	}
	for _, m := range explained {
		if !slices.Contains(required, m) {
			found = append(found, "docs/dependencies.md explains "+m+", which go.mod does not require directly")
		}
	}
	return found
}
