// Command mutate checks the simulator itself: it breaks a copy of the scheduler in
// one known way after another and plays seeds until a checker notices. A mutation
// that no seed notices is a hole in the simulator; the exit code is then 1.
//
//	go run ./test/cmd/sim/mutate [-seeds 1000] [-only text]
//
// It prints the table of docs/reliability.md.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	seeds := flag.Int("seeds", 1000, "how many seeds a mutation may survive")
	only := flag.String("only", "", "only mutations whose name has this text")
	flag.Parse()
	missed, err := run(*seeds, *only)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if missed > 0 {
		fmt.Printf("\n%d mutations were not noticed\n", missed)
		os.Exit(1)
	}
}

func run(seeds int, only string) (missed int, err error) {
	root, err := moduleRoot()
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "berth-mutate-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := copyModule(root, dir); err != nil {
		return 0, err
	}
	fmt.Println("| broken on purpose | noticed by | after seeds |\n|---|---|---|")
	for _, m := range mutations {
		if !strings.Contains(m.name, only) {
			continue
		}
		checker, after, err := m.play(dir, seeds)
		if err != nil {
			return missed, fmt.Errorf("%s: %w", m.name, err)
		}
		if checker == "" {
			missed++
			checker = "**nothing**"
		}
		fmt.Printf("| %s | %s | %s |\n", m.name, checker, after)
	}
	return missed, nil
}

// play applies the mutation to the copy, plays seeds, and takes it back.
func (m mutation) play(dir string, seeds int) (checker, after string, err error) {
	began := time.Now()
	defer func() { fmt.Fprintf(os.Stderr, "%s: %v\n", m.name, time.Since(began).Round(time.Second)) }()
	for _, e := range m.edits {
		path := filepath.Join(dir, filepath.FromSlash(e.file))
		was, err := os.ReadFile(path)
		if err != nil {
			return "", "", err
		}
		defer os.WriteFile(path, was, 0o600) //nolint:errcheck // the copy is thrown away
		now, err := e.apply(string(was))
		if err != nil {
			return "", "", err
		}
		if err := os.WriteFile(path, []byte(now), 0o600); err != nil {
			return "", "", err
		}
	}
	bin := filepath.Join(dir, "simulator")
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "./test/cmd/sim")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("the mutated module does not build: %w\n%s", err, out)
	}
	out, err := exec.Command(bin, "-seeds", fmt.Sprintf("1-%d", seeds), "-shrink", "0").CombinedOutput()
	if err == nil {
		return "", fmt.Sprint(seeds), nil
	}
	return verdict(out)
}

var (
	brokeLine  = regexp.MustCompile(`(?m)^seed \d+ broke (.+?) at `)
	playedLine = regexp.MustCompile(`(?m)^(\d+) seeds, `)
)

// verdict reads what the simulator printed. A core that panics is noticed too.
func verdict(out []byte) (checker, after string, err error) {
	if bytes.Contains(out, []byte("panic:")) {
		return "panic", "–", nil
	}
	broke, played := brokeLine.FindSubmatch(out), playedLine.FindAllSubmatch(out, -1)
	if broke == nil || played == nil {
		return "", "", fmt.Errorf("the simulator failed in an unknown way:\n%s", out)
	}
	return string(broke[1]), string(played[len(played)-1][1]), nil // the last: those before it tell of progress
}

// apply replaces the one place that an edit is about.
func (e edit) apply(text string) (string, error) {
	if n := strings.Count(text, e.old); n != 1 {
		return "", fmt.Errorf("%s: the text to replace occurs %d times, not once: bring the mutation up to date:\n%s", e.file, n, e.old)
	}
	return strings.Replace(text, e.old, e.new, 1), nil
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// needed are the folders that the simulator is built from.
var needed = []string{"api/v1", "executor", "placement", "scheduler", "volumes", "test/sim", "test/mesosmodel", "test/cmd/sim"}

// copyModule copies go.mod and the Go files of the needed folders.
func copyModule(root, dir string) error {
	for _, f := range []string{"go.mod", "go.sum"} {
		if err := copyFile(filepath.Join(root, f), filepath.Join(dir, f)); err != nil {
			return err
		}
	}
	for _, folder := range needed {
		err := filepath.WalkDir(filepath.Join(root, folder), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
				return err
			}
			rel, err := filepath.Rel(root, p)
			if err != nil {
				return err
			}
			return copyFile(p, filepath.Join(dir, rel))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}
