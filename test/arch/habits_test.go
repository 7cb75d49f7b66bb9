package arch

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxLines is how long a file may be, generated ones aside.
const maxLines = 600

// vague are package names that say nothing.
var vague = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base"}

// packageNames: no package is named for nothing.
func packageNames(files []source) []string {
	var found []string
	for _, s := range files {
		if s.isGo() && (slices.Contains(vague, strings.TrimSuffix(s.ast.Name.Name, "_test")) || slices.Contains(vague, path.Base(s.pkg()))) {
			found = append(found, fmt.Sprintf("%s: package %s: name it for what it holds", s.path, s.ast.Name.Name))
		}
	}
	return found
}

// sleeps: nothing waits for a length of time; waits are for events, with a
// deadline.
func sleeps(files []source) []string {
	var found []string
	for _, s := range files {
		if !s.isGo() {
			continue
		}
		for _, u := range s.uses("time") {
			if u.name == "Sleep" {
				found = append(found, u.at+": time.Sleep: wait for the event itself, with a deadline")
			}
		}
	}
	return found
}

// fileLength: a file is small enough to hold in the head.
func fileLength(files []source) []string {
	var found []string
	for _, s := range files {
		if n := strings.Count(s.text, "\n"); s.isGo() && !s.isGenerated() && n > maxLines {
			found = append(found, fmt.Sprintf("%s: %d lines, more than %d", s.path, n, maxLines))
		}
	}
	return found
}

// registries are download hosts. Clients of registries are configured where
// they run; a project that names a host breaks behind a mirror. The names are
// in parts, so that this file does not name them either.
var registries = [][]string{
	{"repo1", "maven", "org"}, {"repo", "maven", "apache", "org"}, {"pypi", "org"}, {"files", "pythonhosted", "org"},
	{"proxy", "golang", "org"}, {"sum", "golang", "org"}, {"registry", "npmjs", "org"}, {"artifacts", "elastic", "co"},
	{"deb", "debian", "org"}, {"static", "crates", "io"}, {"registry-1", "docker", "io"}, {"docker", "elastic", "co"},
	{"ghcr", "io"}, {"quay", "io"},
}

// ownFolders are folders that only one machine has, when a path starts there.
var ownFolders = []string{"work", "root", "home"}

// neighbours are folders beside the project.
var neighbours = []string{"../" + "shared", "/tmp/" + "probe", "/tmp/" + "brief"}

// hostsAndPaths: no file depends on one registry host or one machine.
func hostsAndPaths(files []source) []string {
	var found []string
	for _, s := range files {
		for n, line := range strings.Split(s.text, "\n") {
			if what := foreign(line); what != "" {
				found = append(found, fmt.Sprintf("%s:%d: names %q", s.path, n+1, what))
			}
		}
	}
	return found
}

// foreign is the registry host or machine's path in a line, "" if none.
func foreign(line string) string {
	for _, parts := range registries {
		if host := strings.Join(parts, "."); strings.Contains(line, host) {
			return host
		}
	}
	for _, n := range neighbours {
		if strings.Contains(line, n) {
			return n
		}
	}
	for _, f := range ownFolders {
		folder := "/" + f + "/"
		for rest := line; ; {
			before, after, ok := strings.Cut(rest, folder)
			if !ok {
				break
			}
			// Not the middle of a longer path, such as $dir or var before it.
			if before == "" && len(rest) == len(line) || before != "" && strings.ContainsAny(before[len(before)-1:], " \t\"'`=(:,[") {
				return folder
			}
			rest = after
		}
	}
	return ""
}
