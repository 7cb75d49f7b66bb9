package sim

// Shrink leaves out items of a failing run as long as the same checker still
// fails, and returns the shorter run. It plays at most budget runs.
func Shrink(failed Result, budget int) Result {
	best := failed
	for size := max(1, len(best.Items)/2); budget > 0; {
		smaller := false
		for i := 0; i < len(best.Items) && budget > 0; {
			end := min(i+size, len(best.Items))
			budget--
			got := Run(best.Seed, Options{Only: append(numbers(best.Items[:i]), numbers(best.Items[end:])...)})
			if got.Violation != nil && got.Violation.Checker == failed.Violation.Checker {
				best, smaller = got, true
				continue
			}
			i = end
		}
		switch {
		case size > 1:
			size /= 2
		case !smaller:
			return best
		}
	}
	return best
}

// numbers is the items by number, never nil.
func numbers(items []Item) []int {
	out := make([]int, len(items))
	for i, it := range items {
		out[i] = it.N
	}
	return out
}
