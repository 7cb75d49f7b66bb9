package sim

import (
	"fmt"
	"strings"
)

// traceTail is how many lines of a failing run a report shows.
const traceTail = 120

// Report describes a failed run for people: the seed, what was broken, the
// schedule without everything that does not matter, and how it ended. Shrinking
// plays at most budget runs.
func Report(failed Result, budget int) string {
	small := Shrink(failed, budget)
	traced := Run(small.Seed, Options{Items: small.Items, Trace: true})
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d broke %v\n", failed.Seed, failed.Violation)
	fmt.Fprintf(&b, "shrunk from %d to %d items, which break %v\n", len(failed.Items), len(small.Items), small.Violation)
	for _, it := range small.Items {
		fmt.Fprintf(&b, "  %s\n", it)
	}
	tail := traced.Trace
	if len(tail) > traceTail {
		tail = tail[len(tail)-traceTail:]
	}
	b.WriteString(strings.Join(tail, "\n"))
	fmt.Fprintf(&b, "\nreplay: go run ./test/cmd/sim -seed %d -trace", failed.Seed)
	return b.String()
}
