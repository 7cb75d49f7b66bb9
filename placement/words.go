package placement

import (
	"fmt"
	"strings"

	"github.com/berthdata/berth/volumes"
)

// The parts of the tree of reasons.
const (
	partAvailability = iota
	partConstraints
	partBinding
	partLimits
	partResources
	parts
)

var partNames = [parts][2]string{
	partAvailability: {"availability", "the agent takes no slot of this role at present"},
	partConstraints:  {"constraints", "a constraint does not hold"},
	partBinding:      {"binding", "the slot's data is elsewhere"},
	partLimits:       {"limits", "the machine holds as many as it may"},
	partResources:    {"resources", "the agent does not offer what the slot needs"},
}

func (r rejection) part() int {
	switch r.kind {
	case rejectConstraint:
		return partConstraints
	case rejectBound:
		return partBinding
	case rejectLimit:
		return partLimits
	case rejectShort:
		return partResources
	default:
		return partAvailability
	}
}

// words are a rule's name and what its rejection means.
func (t *tally) words(id ruleID) (name, why string) {
	q := t.query
	switch id.kind {
	case rejectUnavailable:
		return "unavailable", "the agent is not available"
	case rejectNothing:
		return "no offer", "the agent offers nothing at present"
	case rejectRole:
		return "role", fmt.Sprintf("what the agent offers is not for role %q", q.Identity.Role)
	case rejectConstraint:
		return q.Constraints[id.index].String(), "the constraint does not hold"
	case rejectBound:
		if len(q.home) > 0 {
			return "own volume", fmt.Sprintf("volume %s of the slot is on another agent", q.Identity.PersistenceID)
		}
		return "bound agent", "the slot is bound to agent " + q.Bound
	case rejectLimit:
		l := q.Limits[id.index]
		if l.Max <= 0 {
			return l.Name, fmt.Sprintf("it allows %d on a machine, so no machine will ever do", l.Max)
		}
		return l.Name, fmt.Sprintf("it allows %d on a machine", l.Max)
	default:
		return t.lackWords(id.lack)
	}
}

func (t *tally) lackWords(l volumes.Lack) (name, why string) {
	need := &t.query.Need
	switch l {
	case volumes.LackCPU:
		return "cpus", fmt.Sprintf("fewer than %s cores are free", need.CPU)
	case volumes.LackMem:
		return "mem", fmt.Sprintf("less than %s MiB of memory is free", need.Mem)
	case volumes.LackDisk:
		return "disk", fmt.Sprintf("no %s disk has %s MiB free in one piece", t.diskType(), need.Disk)
	case volumes.LackPorts:
		return "ports", fmt.Sprintf("fewer than %d ports are free", need.Ports)
	case volumes.LackPart:
		return "reservation", "the offers do not show all that is reserved for the slot; the rest is in use or in another offer"
	case volumes.LackVolume:
		return "volume", fmt.Sprintf("the offers do not show the slot's volume %s", t.query.Identity.PersistenceID)
	case volumes.LackOtherVolume:
		return "volume", "the slot's reservation holds a volume with another id"
	case volumes.LackReservedDisk:
		return "disk", fmt.Sprintf("the disk that is reserved for the slot cannot become a %s volume of %s MiB", t.diskType(), need.Disk)
	default:
		return "role", fmt.Sprintf("what the agent offers is not for role %q", t.query.Identity.Role)
	}
}

func (t *tally) diskType() volumes.DiskType {
	if t.query.Need.DiskType == "" {
		return volumes.DiskRoot
	}
	return t.query.Need.DiskType
}

// example names one agent and what is so about it.
func (t *tally) example(n *node, r rejection) string {
	name := n.label()
	switch r.kind {
	case rejectUnavailable:
		return fmt.Sprintf("%s (%s)", name, n.Unavailable)
	case rejectConstraint:
		attribute := t.query.Constraints[r.index].Attribute
		if v, ok := n.Attributes.Value(attribute); ok {
			return fmt.Sprintf("%s (%s=%s)", name, attribute, v)
		}
		return fmt.Sprintf("%s (no %s)", name, attribute)
	case rejectLimit:
		return fmt.Sprintf("%s (holds %d)", name, t.query.limits[r.index].machines[n.machine])
	case rejectShort:
		if r.short.Missing == 0 {
			return name
		}
		s := fmt.Sprintf("%s free", r.short.Free)
		for _, u := range n.Pool.Unused() {
			if u.Resource == lackResource[r.short.Lack] && !(u.AsIs && t.query.Need.Ephemeral) {
				s += fmt.Sprintf("; %s more not used: %s", u.Amount, u.Why)
				break
			}
		}
		return fmt.Sprintf("%s (%s)", name, s)
	default:
		return name
	}
}

var lackResource = map[volumes.Lack]string{
	volumes.LackCPU: "cpus", volumes.LackMem: "mem", volumes.LackDisk: "disk", volumes.LackPorts: "ports",
}

// label is how explanations name a node.
func (n *node) label() string {
	if n.Hostname != "" {
		return n.Hostname
	}
	return n.ID
}

// costOf weighs how much it takes to lift a rejection, so that the smallest
// change is found: a need is changed by its missing share; waiting for an agent
// is easier than adding a machine, and that easier than giving up a rule.
func (t *tally) costOf(r rejection) float64 {
	need := &t.query.Need
	switch r.kind {
	case rejectUnavailable, rejectNothing:
		return 0.3
	case rejectConstraint:
		return 0.75
	case rejectLimit:
		if t.query.Limits[r.index].Max <= 0 {
			return 3
		}
		return 0.5
	case rejectShort:
		switch r.short.Lack {
		case volumes.LackCPU:
			return share(r.short.Missing, need.CPU)
		case volumes.LackMem:
			return share(r.short.Missing, need.Mem)
		case volumes.LackDisk:
			return share(r.short.Missing, need.Disk)
		case volumes.LackPorts:
			return share(r.short.Missing, volumes.Units(int64(need.Ports)))
		case volumes.LackPart, volumes.LackVolume:
			return 0.3
		}
	}
	return 2
}

// smallestChange words what the nearest node takes.
func (t *tally) smallestChange() string {
	if t.nearest == nil {
		return fmt.Sprintf("an agent must be offered to role %q", t.query.Identity.Role)
	}
	var less, rest []string
	for _, r := range t.broken {
		if r.kind == rejectShort && r.short.Missing > 0 {
			less = append(less, t.changeOf(r))
			continue
		}
		rest = append(rest, t.changeOf(r))
	}
	if len(less) > 0 {
		rest = append(rest, fmt.Sprintf("%s (would fit on %s)", strings.Join(less, " and "), t.nearest.label()))
	}
	return strings.Join(rest, ", and ")
}

// changeOf words what lifts one rejection.
func (t *tally) changeOf(r rejection) string {
	w, q := t.rows[r.id()], t.query
	switch r.kind {
	case rejectUnavailable:
		return fmt.Sprintf("%s becoming available again (%s)", t.nearest.label(), t.nearest.Unavailable)
	case rejectNothing:
		return fmt.Sprintf("an offer from %s", t.nearest.label())
	case rejectRole:
		return fmt.Sprintf("offers for role %q", q.Identity.Role)
	case rejectConstraint:
		c := &q.Constraints[r.index]
		s := fmt.Sprintf("1 more agent for which %s holds, or giving up that constraint", c)
		if c.Operator == "EQ" {
			s = fmt.Sprintf("1 more agent with attribute %s=%s, or giving up constraint %s", c.Attribute, c.Values[0], c)
		}
		if len(t.broken) == 1 {
			s += fmt.Sprintf(" (%s would fit then)", count(w.alone, "agent"))
		}
		return s
	case rejectLimit:
		l := q.Limits[r.index]
		if l.Max <= 0 {
			return fmt.Sprintf("a %s that allows at least 1 on a machine: it allows %d", l.Name, l.Max)
		}
		if len(t.broken) > 1 {
			return fmt.Sprintf("1 more machine (%s: at most %d on a machine)", l.Name, l.Max)
		}
		return fmt.Sprintf("1 more machine: %s allows %d on a machine, and %s", l.Name, l.Max, full(len(w.machines)))
	case rejectBound:
		if len(q.home) > 0 {
			return "room on the agent that holds the slot's volume"
		}
		return "agent " + q.Bound + " offering its resources"
	default:
		return t.lessOf(r.short)
	}
}

func full(machines int) string {
	if machines == 1 {
		return "the only machine that otherwise fits holds as many"
	}
	return fmt.Sprintf("all %d machines that otherwise fit hold as many", machines)
}

func (t *tally) lessOf(s volumes.Shortfall) string {
	switch s.Lack {
	case volumes.LackCPU:
		return fmt.Sprintf("cpus %s cores less", s.Missing)
	case volumes.LackMem:
		return fmt.Sprintf("memory %s MiB less", s.Missing)
	case volumes.LackDisk:
		if s.Free == 0 {
			return fmt.Sprintf("a %s disk of at least %s MiB", t.diskType(), t.query.Need.Disk)
		}
		return fmt.Sprintf("disk %s MiB less", s.Missing)
	case volumes.LackPorts:
		return fmt.Sprintf("ports: %s less", s.Missing)
	case volumes.LackPart:
		return fmt.Sprintf("the rest of the slot's reservation offered by %s", t.nearest.label())
	case volumes.LackVolume:
		return fmt.Sprintf("volume %s offered by %s", t.query.Identity.PersistenceID, t.nearest.label())
	default:
		return fmt.Sprintf("the slot's old reservation on %s released", t.nearest.label())
	}
}

// summary is the explanation in one sentence.
func (t *tally) summary(e Explanation) string {
	switch {
	case e.Agents == 0:
		return fmt.Sprintf("%s has no place: no agent is known", e.Slot)
	case e.Fitting > 0:
		return fmt.Sprintf("%s fits on %d of %s", e.Slot, e.Fitting, count(e.Agents, "agent"))
	}
	var why []string
	for _, r := range e.Reasons {
		for _, c := range r.Children {
			why = append(why, fmt.Sprintf("%s (%d)", c.Name, c.Agents))
		}
	}
	return fmt.Sprintf("%s has no place on %s: %s", e.Slot, count(e.Agents, "agent"), strings.Join(why, ", "))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
