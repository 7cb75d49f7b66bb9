package placement

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/berthdata/berth/volumes"
)

// Constraint is one condition on an agent's attribute. Make it with
// CompileConstraint: one that was not compiled never holds.
type Constraint struct {
	Attribute string
	Operator  string
	Values    []string

	rule    *rule
	targets []target
	pattern *regexp.Regexp
	// key is equal for equal constraints.
	key string
}

// target is one value of a constraint, read once.
type target struct {
	text   string
	number volumes.Amount
	isNum  bool
}

// rule is what an operator means.
type rule struct {
	values valueCount
	// negative operators hold unless the positive one does, so they also hold
	// for an agent that lacks the attribute.
	negative bool
	numeric  bool
	match    func(c *Constraint, a *attribute) bool
}

type valueCount int

const (
	noValue valueCount = iota
	oneValue
	someValues
)

var rules = map[string]*rule{
	"EQ":        {values: oneValue, match: equalsAny},
	"NEQ":       {values: oneValue, match: equalsAny, negative: true},
	"IN":        {values: someValues, match: equalsAny},
	"NOTIN":     {values: someValues, match: equalsAny, negative: true},
	"LIKE":      {values: oneValue, match: like},
	"UNLIKE":    {values: oneValue, match: like, negative: true},
	"LT":        {values: oneValue, numeric: true, match: func(c *Constraint, a *attribute) bool { return a.number < c.targets[0].number }},
	"LE":        {values: oneValue, numeric: true, match: func(c *Constraint, a *attribute) bool { return a.number <= c.targets[0].number }},
	"GT":        {values: oneValue, numeric: true, match: func(c *Constraint, a *attribute) bool { return a.number > c.targets[0].number }},
	"GE":        {values: oneValue, numeric: true, match: func(c *Constraint, a *attribute) bool { return a.number >= c.targets[0].number }},
	"EXISTS":    {match: func(*Constraint, *attribute) bool { return true }},
	"NOTEXISTS": {match: func(*Constraint, *attribute) bool { return true }, negative: true},
}

// CompileConstraint checks and prepares a constraint. Operators are upper case:
//
//	EQ, NEQ           one value; equal as text, or as a number on a SCALAR
//	                  attribute, or inside a RANGES attribute
//	IN, NOTIN         one or more values, compared as EQ does
//	LIKE, UNLIKE      one RE2 pattern that must match the whole value
//	LT, LE, GT, GE    one number; SCALAR attributes only
//	EXISTS, NOTEXISTS no value
//
// The negative ones (NEQ, NOTIN, UNLIKE, NOTEXISTS) also hold for an agent
// without the attribute. "hostname" is the agent's hostname.
func CompileConstraint(attribute, operator string, values []string) (Constraint, error) {
	c := Constraint{Attribute: attribute, Operator: operator, Values: slices.Clone(values)}
	fail := func(format string, args ...any) (Constraint, error) {
		return Constraint{}, fmt.Errorf("constraint %s: %s", c, fmt.Sprintf(format, args...))
	}
	if attribute == "" {
		return fail("it names no attribute")
	}
	r, ok := rules[operator]
	if !ok {
		return fail("operator %q is unknown; it is one of EQ, NEQ, IN, NOTIN, LIKE, UNLIKE, LT, LE, GT, GE, EXISTS, NOTEXISTS", operator)
	}
	switch n := len(values); {
	case r.values == noValue && n != 0:
		return fail("%s takes no value, it has %d", operator, n)
	case r.values == oneValue && n != 1:
		return fail("%s takes exactly one value, it has %d", operator, n)
	case r.values == someValues && n == 0:
		return fail("%s takes at least one value, it has none", operator)
	}
	for _, v := range values {
		t := target{text: v}
		f, err := strconv.ParseFloat(v, 64)
		if t.isNum = err == nil && f == f; t.isNum {
			t.number = volumes.FromFloat(f)
		}
		if r.numeric && !t.isNum {
			return fail("%s compares numbers, %q is none", operator, v)
		}
		c.targets = append(c.targets, t)
	}
	if operator == "LIKE" || operator == "UNLIKE" {
		// Compiled alone first, so that no ")" in it reaches past the anchors.
		if _, err := regexp.Compile(values[0]); err != nil {
			return fail("the pattern is no RE2 expression: %v", err)
		}
		// (?:…) keeps an alternation inside them.
		p, err := regexp.Compile(`^(?:` + values[0] + `)$`)
		if err != nil {
			return fail("the pattern is no RE2 expression: %v", err)
		}
		c.pattern = p
	}
	c.rule = r
	parts := append([]string{attribute, operator}, values...)
	for i := range parts {
		parts[i] = strconv.Quote(parts[i])
	}
	c.key = strings.Join(parts, " ")
	return c, nil
}

// String writes the constraint as people do: "zone EQ z1", "rack IN r1,r2".
func (c Constraint) String() string {
	s := c.Attribute + " " + c.Operator
	if len(c.Values) > 0 {
		s += " " + strings.Join(c.Values, ",")
	}
	return s
}

// Holds says whether the constraint holds for an agent.
func (c *Constraint) Holds(a Attributes) bool {
	if c.rule == nil {
		return false
	}
	found := a.named(c.Attribute)
	for i := range found {
		if c.rule.numeric && !found[i].scalar {
			continue
		}
		if c.rule.match(c, &found[i]) {
			return !c.rule.negative
		}
	}
	return c.rule.negative
}

func equalsAny(c *Constraint, a *attribute) bool {
	for i := range c.targets {
		t := &c.targets[i]
		if t.text == a.text || t.isNum && a.scalar && t.number == a.number || t.isNum && inRanges(t.number, a) {
			return true
		}
	}
	return false
}

func inRanges(n volumes.Amount, a *attribute) bool {
	for _, r := range a.ranges {
		// Compared as floats: a range may end above what an Amount can hold.
		if f := n.Float(); f >= float64(r.Begin) && f <= float64(r.End) && n == volumes.Units(int64(f)) {
			return true
		}
	}
	return false
}

func like(c *Constraint, a *attribute) bool { return c.pattern.MatchString(a.text) }
