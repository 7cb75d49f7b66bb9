package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// summary is what the output of "go test" says.
type summary struct {
	ok, without int // packages that passed, and those without tests
	failed      []failure
	slow        []timing
	tests       []string // failed ones of the package whose end is not printed yet
}

type failure struct {
	pkg, why string
	tests    []string
}

type timing struct {
	pkg  string
	took time.Duration
}

const (
	// maxTests bounds how many failed tests of a package are named, maxSlow how
	// many slow packages.
	maxTests = 10
	maxSlow  = 5
	// maxLine bounds a line of output that is looked at.
	maxLine = 1 << 20
)

// The lines of "go test" that say how a package or a test ended.
var (
	okLine     = regexp.MustCompile(`^ok\s+(\S+)\s+(\S+)`)
	failLine   = regexp.MustCompile(`^FAIL\s+(\S+)(?:\s+(.*))?$`)
	noTestLine = regexp.MustCompile(`^(?:\?\s+(\S+)\s+\[no test files\]|\s+(\S+)\s+coverage: .*)$`)
	testLine   = regexp.MustCompile(`^\s*--- FAIL: (\S+) `)
	panicLine  = regexp.MustCompile(`^(panic: .*|fatal error: .*|WARNING: DATA RACE)$`)
)

// read takes the output line by line until it ends.
func (s *summary) read(r io.Reader) error {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		s.line(strings.TrimRight(string(line), "\r\n"))
		if err == bufio.ErrBufferFull {
			continue // of a line this long the rest says nothing
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) line(text string) {
	if m := okLine.FindStringSubmatch(text); m != nil {
		s.ok++
		s.tests = nil
		if d, err := time.ParseDuration(m[2]); err == nil {
			s.slow = append(s.slow, timing{m[1], d})
		}
		return
	}
	if noTestLine.MatchString(text) {
		s.without++
		return
	}
	if m := failLine.FindStringSubmatch(text); m != nil {
		why := strings.Trim(m[2], "[]")
		if d, err := time.ParseDuration(why); err == nil {
			s.slow = append(s.slow, timing{m[1], d})
			why = ""
		}
		s.failed = append(s.failed, failure{pkg: m[1], why: why, tests: s.tests})
		s.tests = nil
		return
	}
	if m := testLine.FindStringSubmatch(text); m != nil {
		s.tests = append(s.tests, m[1])
	} else if m := panicLine.FindStringSubmatch(text); m != nil && !slices.Contains(s.tests, m[1]) {
		s.tests = append(s.tests, m[1])
	}
}

// print writes the closing lines. The last one is the verdict.
func (s *summary) print(w io.Writer, took time.Duration, passed bool) {
	fmt.Fprintln(w, "\n==== summary of the tests ====")
	slices.SortFunc(s.slow, func(a, b timing) int { return int(b.took - a.took) })
	for _, t := range s.slow[:min(len(s.slow), maxSlow)] {
		fmt.Fprintf(w, "slow    %-60s %s\n", t.pkg, t.took.Round(100*time.Millisecond))
	}
	for _, f := range s.failed {
		fmt.Fprintf(w, "FAILED  %s %s\n", f.pkg, f.why)
		for i, t := range f.tests {
			if i == maxTests {
				fmt.Fprintf(w, "          and %d more\n", len(f.tests)-maxTests)
				break
			}
			fmt.Fprintf(w, "          %s\n", t)
		}
	}
	verdict := "PASSED"
	if !passed {
		verdict = "FAILED"
	}
	fmt.Fprintf(w, "%s: %d packages ok, %d failed, %d without tests, in %s\n", verdict, s.ok, len(s.failed), s.without, took.Round(time.Second))
}
