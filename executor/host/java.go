package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// JavaDirs is where distributions of Linux install their Java.
const JavaDirs = "/usr/lib/jvm/*"

// maxSmallFile bounds what ReadSmall reads.
const maxSmallFile = 1 << 20

// PickJava returns the oldest Java in range, which is the one nearest to what
// the version was tested with; seen tells what was found.
func PickJava(pattern string, oldest, newest int) (home string, major int, seen string) {
	dirs, _ := filepath.Glob(pattern)
	var found []string
	for _, dir := range dirs {
		// Links such as default-java may be pointed elsewhere while a node runs.
		if info, err := os.Lstat(dir); err != nil || info.Mode()&os.ModeSymlink != 0 {
			continue
		}
		m, err := JavaMajor(dir)
		if err != nil {
			continue
		}
		found = append(found, fmt.Sprintf("%d (%s)", m, dir))
		if m >= oldest && (newest == 0 || m <= newest) && (home == "" || m < major) {
			home, major = dir, m
		}
	}
	if len(found) == 0 {
		return home, major, "none"
	}
	return home, major, strings.Join(found, ", ")
}

var javaVersion = regexp.MustCompile(`(?:^JAVA_VERSION=|version )"(?:1\.)?([0-9]+)`)

// JavaMajor reads the feature version from the "release" file that every JDK
// since 7 has, and asks the java itself only where a package left it out.
func JavaMajor(home string) (int, error) {
	java := filepath.Join(home, "bin", "java")
	if info, err := os.Stat(java); err != nil {
		return 0, err
	} else if info.Mode()&0o111 == 0 {
		return 0, fmt.Errorf("%s is not executable", java)
	}
	release, err := ReadSmall(filepath.Join(home, "release"))
	if err == nil {
		for line := range strings.Lines(release) {
			if m := javaVersion.FindStringSubmatch(line); m != nil {
				return strconv.Atoi(m[1])
			}
		}
	}
	out, err := exec.Command(java, "-version").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s -version: %w", java, err)
	}
	m := javaVersion.FindStringSubmatch(string(out))
	if m == nil {
		return 0, fmt.Errorf("%s -version names no version", java)
	}
	return strconv.Atoi(m[1])
}

// ReadSmall reads a file of at most 1 MiB, of a distribution or of /proc.
func ReadSmall(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSmallFile+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > maxSmallFile {
		return "", errors.New(path + " is larger than 1 MiB")
	}
	return string(data), nil
}
