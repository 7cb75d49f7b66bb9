package sim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// maxStory is how many lines of a failing run a report shows.
const maxStory = 100

// Report describes a failed run for people: the seed, what was broken, the
// schedule without everything that does not matter and what each item came to,
// and the story of the slots in question. Shrinking plays at most budget runs.
func Report(failed Result, budget int) string {
	small := Shrink(failed, budget)
	numbers := numbers(small.Items)
	traced := Run(small.Seed, Options{Only: numbers, Trace: true})
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d broke %v\n", failed.Seed, failed.Violation)
	fmt.Fprintf(&b, "%d of %d items are enough to break %v\n", len(small.Items), len(failed.Items), small.Violation)
	for _, it := range traced.Items {
		fmt.Fprintf(&b, "  %s%s\n", it, strings.Join(traced.Details[it.N], ""))
	}
	lines, about := story(traced)
	fmt.Fprintf(&b, "the story of %s:\n%s\n", about, strings.Join(lines, "\n"))
	text := strings.ReplaceAll(strings.Trim(fmt.Sprint(numbers), "[]"), " ", ",")
	fmt.Fprintf(&b, "replay: make sim SEED=%d ITEMS=%s", failed.Seed, text)
	return b.String()
}

var (
	// slotName is how slots are called, such as logs-data-0.7.
	slotName = regexp.MustCompile(`\b[a-z]+(-[a-z0-9]+)+\.\d+\b`)
	// turning are lines that concern every slot; noise never matters to a reader.
	turning = regexp.MustCompile(`ITEM|FAULTS END|VIOLATION|ENCORE|process \d+|master: (fails|elected|agent)|nodes: .* forms`)
	noise   = regexp.MustCompile(`DECLINE|REVIVE|SUPPRESS|p\d+ (offers|observed |TimerFired|scheduler\.TimerFired|\d+ agents observed)|revive:`)
)

// story picks the lines that a reader needs: those of the slots that the
// violation names, and what turned everything; or else the end without noise.
func story(r Result) (lines []string, about string) {
	slots := map[string]bool{}
	if r.Violation != nil {
		for _, name := range slotName.FindAllString(r.Violation.Message, 6) {
			slots[name] = true
		}
	}
	for _, line := range r.Trace {
		keep := !noise.MatchString(line)
		if len(slots) > 0 && !turning.MatchString(line) {
			keep = false
			for _, name := range sorted(slots) {
				keep = keep || strings.Contains(line, name)
			}
		}
		if keep {
			lines = append(lines, line)
		}
	}
	if n := len(lines); n > maxStory {
		// How it began says more than its middle.
		lines = slices.Concat(lines[:maxStory/3], []string{fmt.Sprintf("           … %d lines …", n-maxStory)}, lines[n-2*maxStory/3:])
	}
	if len(slots) == 0 {
		return lines, "everything"
	}
	return lines, strings.Join(sorted(slots), ", ")
}
