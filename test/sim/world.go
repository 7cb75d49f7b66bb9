package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/berthdata/berth/test/mesosmodel"
)

// Options of a run.
type Options struct {
	// Only keeps these items of the seed's schedule, by number; nil = all.
	Only []int
	// Trace keeps every line of what happens in Result.Trace.
	Trace bool
}

// Violation is what a checker found.
type Violation struct {
	// Checker is the name of the rule; Message what happened.
	Checker, Message string
	// At is the virtual time since the start.
	At time.Duration
}

func (v *Violation) String() string { return fmt.Sprintf("%s at %v: %s", v.Checker, v.At, v.Message) }

// Result is what one run showed.
type Result struct {
	Seed      uint64
	Items     []Item
	Violation *Violation
	// Virtual is how much time went by in the model; Steps of the core.
	Virtual time.Duration
	Steps   int
	// Launches, Crashes and Converged tell how much happened.
	Launches, Leaders int
	Healed            time.Duration // from the end of faults to convergence
	Trace             []string
	// Details say what each item came to, by its number; only with a trace.
	Details map[int][]string
	// Digest sums up everything that was decided: equal runs have equal ones.
	Digest uint64
}

// World is one run.
type World struct {
	seed  uint64
	start time.Time
	now   time.Time
	queue queue
	// chance is the run's source; items have sources of their own, so that one
	// that is left out does not change what another one does.
	chance *rand.Rand
	shape  shape

	model  *mesosmodel.Model
	store  *store
	nodes  *nodes
	checks *checks
	client *client
	net    *network
	faults *faults
	others *others

	procs  []*process
	leader *process
	quiet  bool // faults are over
	spares int  // hosts that were added since
	item   int  // the number of the item under way

	keep   bool
	lines  []string
	digest uint64
	result Result
}

// maxTrace bounds the lines that a trace keeps.
const maxTrace = 200_000

// maxMoments bounds a run: more happenings than any sane run has.
const maxMoments = 3_000_000

// Run plays one seed.
func Run(seed uint64, o Options) Result {
	w := newWorld(seed, o)
	w.play()
	w.result.Virtual = w.now.Sub(w.start)
	w.result.Trace = w.lines
	w.result.Digest = w.digest
	return w.result
}

func newWorld(seed uint64, o Options) *World {
	w := &World{
		seed: seed, start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		chance: source(seed, 1), keep: o.Trace, digest: 14695981039346656037,
	}
	w.now = w.start
	w.result.Seed = seed
	w.shape = newShape(source(seed, 2))
	w.result.Items = schedule(source(seed, 3), w.shape)
	if o.Only != nil {
		w.result.Items = slices.DeleteFunc(w.result.Items, func(it Item) bool { return !slices.Contains(o.Only, it.N) })
	}
	w.store = newStore(w)
	w.nodes = newNodes(w)
	w.checks = newChecks(w)
	w.client = newClient(w)
	w.net = newNetwork(w)
	w.faults = &faults{w: w}
	w.others = newOthers(w)
	hooks := mesosmodel.Hooks{Launched: w.checks.launched, Destroyed: w.checks.destroyed, Applied: w.checks.applied}
	if w.keep {
		hooks.Trace = w.tracef
	}
	w.model = mesosmodel.New(
		mesosmodel.Config{Principal: principal, Split: w.shape.split},
		w.start, source(seed, 4), w.nodes, hooks)
	for _, h := range w.shape.hosts {
		w.model.AddMachine(h.name, h.address, h.attributes, h.resources)
	}
	for _, it := range w.result.Items {
		if !it.Encore {
			w.queue.add(w.start.Add(it.At), func() { w.due(it) })
		}
	}
	w.elect(0)
	return w
}

// source is a stream of chance of its own.
func source(seed, purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, purpose)) }

// play runs both phases.
func (w *World) play() {
	w.until(w.start.Add(w.shape.faultsFor), nil)
	if w.result.Violation != nil {
		return
	}
	w.heal()
	healed := w.now
	if good := w.converge(); !good.IsZero() {
		w.result.Healed = good.Sub(healed)
	}
	for _, it := range w.result.Items {
		if it.Encore && w.result.Violation == nil {
			w.tracef("ENCORE")
			w.quiet = false
			w.do(it, "")
			w.quiet = true
			w.until(w.now.Add(it.For), nil)
			w.converge()
		}
	}
}

// converge goes on until everything is as wanted and stays so for a while, and
// returns since when; the zero time after a violation.
func (w *World) converge() time.Time {
	deadline := w.now.Add(healBudget)
	var missing []string
	good := time.Time{}
	for w.now.Before(deadline) && w.result.Violation == nil {
		w.until(w.now.Add(healEvery), nil)
		w.room()
		w.checks.silence()
		missing = w.checks.missing()
		switch {
		case len(missing) > 0:
			good = time.Time{}
		case good.IsZero():
			good = w.now
		case w.now.Sub(good) >= healStays:
			return good
		}
	}
	if w.result.Violation == nil {
		w.explain()
		w.fail("convergence", "not what the specs ask for %v after the last fault: %s", healBudget, brief(missing))
	}
	return time.Time{}
}

// explain writes into the trace why nodes have no place.
func (w *World) explain() {
	if w.leader == nil || w.leader.core == nil || !w.keep {
		return
	}
	for _, name := range sorted(w.store.clusters) {
		e, _ := w.leader.core.Explain(name)
		for _, n := range e.Nodes {
			w.tracef("explain %s: %s", n.Node, n.Summary)
		}
	}
}

const (
	// healBudget is how long everything may take after the last fault: the
	// longest back-off and two routine reconciliations are within it.
	healBudget = 50 * time.Minute
	healEvery  = 10 * time.Second
	healStays  = 40 * time.Second
)

// until lets things happen up to a time.
func (w *World) until(end time.Time, stop func() bool) {
	moments := 0
	for w.result.Violation == nil {
		at, ok := w.queue.next()
		model := w.model.Next()
		if !ok || model.Before(at) {
			at = model
		}
		if at.After(end) {
			w.now = end
			w.model.Advance(end)
			return
		}
		w.now = later(w.now, at)
		if !model.After(at) {
			w.model.Advance(w.now)
		} else {
			w.queue.pop()()
		}
		w.net.deliver()
		if moments++; moments > maxMoments {
			w.fail("bounds", "more than %d happenings before %v", maxMoments, end.Sub(w.start))
		}
		if stop != nil && stop() {
			return
		}
	}
}

func (w *World) after(d time.Duration, do func()) { w.queue.add(w.now.Add(d), do) }

// fail notes the first violation; the run ends with it.
func (w *World) fail(checker, format string, args ...any) {
	if w.result.Violation != nil {
		return
	}
	w.result.Violation = &Violation{Checker: checker, Message: fmt.Sprintf(format, args...), At: w.now.Sub(w.start)}
	w.tracef("VIOLATION %s", w.result.Violation)
}

func (w *World) tracef(format string, args ...any) {
	if !w.keep {
		return
	}
	if len(w.lines) < maxTrace {
		w.lines = append(w.lines, fmt.Sprintf("%10.3f ", w.now.Sub(w.start).Seconds())+fmt.Sprintf(format, args...))
	}
}

// detail says what the item under way comes to.
func (w *World) detail(format string, args ...any) {
	if !w.keep {
		return
	}
	text := fmt.Sprintf(format, args...)
	w.tracef("  %s", text)
	if w.result.Details == nil {
		w.result.Details = map[int][]string{}
	}
	w.result.Details[w.item] = append(w.result.Details[w.item], ": "+text)
}

// sum adds to the digest (FNV-1a).
func (w *World) sum(text string) {
	for i := range len(text) {
		w.digest = (w.digest ^ uint64(text[i])) * 1099511628211
	}
}

func between(r *rand.Rand, a, b time.Duration) time.Duration {
	return a + time.Duration(r.Int64N(int64(b-a)+1))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// brief joins the first few reasons.
func brief(all []string) string {
	const most = 6
	text := ""
	for i, s := range all {
		if i == most {
			return fmt.Sprintf("%s; and %d more", text, len(all)-most)
		}
		if i > 0 {
			text += "; "
		}
		text += s
	}
	return text
}
