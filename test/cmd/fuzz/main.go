// Command fuzz runs every fuzz target of the project for a while, one after the
// other, and prints a line for each.
//
//	fuzz [-time 20s] [-most 6m] [-only TEXT]
//
// The exit code is 1 when a target fails. Go leaves the input that broke it in
// testdata/fuzz of its package, where ordinary tests play it from then on: keep it.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// building is how long a target may take besides its own time: it is built with
// instrumentation, from nothing on a fresh machine.
const building = 10 * time.Minute

func main() {
	each := flag.Duration("time", 20*time.Second, "how long each target runs")
	most := flag.Duration("most", 0, "how long all may run together: each runs shorter where that would be exceeded; 0 is no bound")
	only := flag.String("only", "", "only targets whose package and name have this text")
	flag.Parse()
	targets, err := find(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
	targets = slices.DeleteFunc(targets, func(t target) bool { return !strings.Contains(t.String(), *only) })
	if len(targets) == 0 {
		fmt.Fprintln(os.Stderr, "fuzz: there is no such target here")
		os.Exit(1)
	}
	d := share(*each, *most, len(targets))
	fmt.Printf("%d fuzz targets, %s each\n", len(targets), d)
	began, failed := time.Now(), 0
	for _, t := range targets {
		out, err := t.run(d)
		if err != nil {
			failed++
			fmt.Printf("%s\nFAILED  %s: %v\n", out, t, err)
			continue
		}
		fmt.Printf("ok      %-55s %s\n", t, result(out))
	}
	verdict := "PASSED"
	if failed > 0 {
		verdict = "FAILED"
	}
	fmt.Printf("%s: %d fuzz targets ok, %d failed, in %s\n", verdict, len(targets)-failed, failed, time.Since(began).Round(time.Second))
	if failed > 0 {
		os.Exit(1)
	}
}

// share is how long each of n targets may run.
func share(each, most time.Duration, n int) time.Duration {
	if most > 0 && each*time.Duration(n) > most {
		return (most / time.Duration(n)).Round(time.Second)
	}
	return each
}

type target struct{ dir, name string }

func (t target) String() string { return t.dir + " " + t.name }

var function = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// find lists the targets below a folder, by package.
func find(root string) ([]target, error) {
	var all []target
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != root && (e.Name() == "testdata" || strings.HasPrefix(e.Name(), ".")):
			return filepath.SkipDir
		case e.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range function.FindAllSubmatch(text, -1) {
			all = append(all, target{filepath.ToSlash(filepath.Dir(path)), string(m[1])})
		}
		return nil
	})
	slices.SortFunc(all, func(a, b target) int { return strings.Compare(a.String(), b.String()) })
	return all, err
}

// run is one target; the output is all that "go test" said.
func (t target) run(d time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d+building)
	defer cancel()
	// By default a minute may go into making an interesting input smaller, of which
	// nothing would be left for finding others.
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", d.String(), "-fuzzminimizetime", "10x", "./"+t.dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("it did not end: %w", ctx.Err())
	}
	return out.String(), err
}

var progress = regexp.MustCompile(`execs: (\d+) .*new interesting: (\d+) \(total: (\d+)\)`)

// result is what the last word of a run says.
func result(out string) string {
	all := progress.FindAllStringSubmatch(out, -1)
	if len(all) == 0 {
		return "no inputs were tried"
	}
	m := all[len(all)-1]
	return fmt.Sprintf("%s inputs, %s new of %s interesting", m[1], m[2], m[3])
}
