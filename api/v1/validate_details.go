package v1

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Operators of a constraint.
const (
	OpEQ        = "EQ"
	OpNEQ       = "NEQ"
	OpIN        = "IN"
	OpNOTIN     = "NOTIN"
	OpLIKE      = "LIKE"
	OpUNLIKE    = "UNLIKE"
	OpLT        = "LT"
	OpLE        = "LE"
	OpGT        = "GT"
	OpGE        = "GE"
	OpEXISTS    = "EXISTS"
	OpNOTEXISTS = "NOTEXISTS"
)

// operators gives each operator its smallest and largest number of values.
var operators = []struct {
	name        string
	least, most int
}{
	{OpEQ, 1, 1}, {OpNEQ, 1, 1}, {OpIN, 1, MaxValues}, {OpNOTIN, 1, MaxValues},
	{OpLIKE, 1, 1}, {OpUNLIKE, 1, 1},
	{OpLT, 1, 1}, {OpLE, 1, 1}, {OpGT, 1, 1}, {OpGE, 1, 1},
	{OpEXISTS, 0, 0}, {OpNOTEXISTS, 0, 0},
}

// Operators lists every operator's name.
func Operators() []string {
	names := make([]string, len(operators))
	for i, o := range operators {
		names[i] = o.name
	}
	return names
}

func (w *validator) attribute(field, name string) {
	switch {
	case name == "":
		w.add(field, "is missing: name an attribute of the agents, such as \"rack\"")
	case len(name) > maxAttributeName || !attributePattern.MatchString(name):
		w.add(field, "%q is no attribute's name: letters, digits, and _ . / - are allowed", clip(name))
	}
}

func (w *validator) constraints(path string, list []Constraint) {
	if len(list) > MaxConstraints {
		w.add(path, "has %d constraints, at most %d are allowed", len(list), MaxConstraints)
		return
	}
	for i, c := range list {
		at := index(path, i)
		w.attribute(at+".attribute", c.Attribute)
		w.operator(at, c)
	}
}

func (w *validator) operator(path string, c Constraint) {
	for _, o := range operators {
		if o.name != c.Operator {
			continue
		}
		if n := len(c.Values); n < o.least || n > o.most {
			w.add(path+".values", "%s needs %s, not %d", o.name, arity(o.least, o.most), n)
			return
		}
		for i, value := range c.Values {
			if why := wrongOperand(o.name, value); why != "" {
				w.add(index(path+".values", i), "%s", why)
			}
		}
		return
	}
	hint := ""
	if upper := strings.ToUpper(c.Operator); upper != c.Operator && slices.Contains(Operators(), upper) {
		hint = fmt.Sprintf(", did you mean %q?", upper)
	}
	w.add(path+".operator", "%q must be one of %s%s", clip(c.Operator), listOf(Operators()), hint)
}

// wrongOperand says what is wrong with one value of an operator, "" if nothing.
func wrongOperand(op, value string) string {
	if len(value) > MaxTextLength {
		return fmt.Sprintf("has %d bytes, at most %d are allowed", len(value), MaxTextLength)
	}
	switch op {
	case OpLIKE, OpUNLIKE:
		if _, err := regexp.Compile(value); err != nil {
			return fmt.Sprintf("is no regular expression of RE2: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
	case OpLT, OpLE, OpGT, OpGE:
		f, err := strconv.ParseFloat(value, 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return fmt.Sprintf("%q is no number: %s compares with a scalar attribute", clip(value), op)
		}
	default:
		if value == "" {
			return "is empty: an attribute always has a value"
		}
	}
	return ""
}

func arity(least, most int) string {
	switch {
	case most == 0:
		return "no value"
	case least == most:
		return "exactly one value"
	default:
		return fmt.Sprintf("1 to %d values", most)
	}
}

var settingPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_*-]+)*$`)

func (w *validator) config(path string, config map[string]any) {
	if len(config) > MaxConfig {
		w.add(path, "has %d settings, at most %d are allowed", len(config), MaxConfig)
		return
	}
	for _, name := range sortedKeys(config) {
		field := fmt.Sprintf("%s[%q]", path, clip(name))
		if len(name) > 255 || !settingPattern.MatchString(name) {
			w.add(field, "is no setting's name: write the whole dotted name, such as \"indices.memory.index_buffer_size\"")
			continue
		}
		if w.ReservedSetting != nil {
			if reserved, why := w.ReservedSetting(name); reserved {
				w.add(field, "Berth sets this itself: %s", why)
				continue
			}
		}
		if why := wrongSetting(config[name], true); why != "" {
			w.add(field, "%s", why)
		}
	}
}

// wrongSetting says what is wrong with a setting's value. Nested objects are
// refused since they could hide a reserved setting, and since one setting
// would have two spellings.
func wrongSetting(value any, lists bool) string {
	switch x := value.(type) {
	case bool, int, int64:
		return ""
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return "is no finite number"
		}
		return ""
	case string:
		switch {
		case len(x) > MaxTextLength:
			return fmt.Sprintf("has %d bytes, at most %d are allowed", len(x), MaxTextLength)
		case controlPattern.MatchString(x):
			return "must not contain control characters"
		}
		return ""
	case []any:
		if !lists {
			return "lists cannot nest"
		}
		if len(x) > MaxValues {
			return fmt.Sprintf("has %d values, at most %d are allowed", len(x), MaxValues)
		}
		for _, e := range x {
			if why := wrongSetting(e, false); why != "" {
				return why
			}
		}
		return ""
	case map[string]any:
		return "is an object: write each setting by its whole dotted name"
	default:
		return "must be a string, a number, true, false, or a list of these"
	}
}

// managedJavaOptions are options that Berth derives, or has a field for.
var managedJavaOptions = []struct{ prefix, instead string }{
	{"-Xms", "set resources.heap"},
	{"-Xmx", "set resources.heap"},
	{"-XX:MaxHeapSize", "set resources.heap"},
	{"-XX:InitialHeapSize", "set resources.heap"},
	{"-XX:MinHeapSize", "set resources.heap"},
	{"-XX:MaxRAM", "set resources.heap"},
	{"-XX:MinRAM", "set resources.heap"},
	{"-XX:InitialRAM", "set resources.heap"},
	{"-Duser.timezone", "set timeZone"},
	{"-Djava.io.tmpdir", "Berth keeps it inside the sandbox"},
	{"-Des.path.", "Berth keeps the node's paths inside the sandbox and the volume"},
}

// commandJavaOptions would replace what the JVM runs.
var commandJavaOptions = []string{"-cp", "-classpath", "--class-path", "-jar", "-version", "-help", "-h", "-?"}

func (w *validator) javaOptions(path string, options []string) {
	if len(options) > MaxJavaOptions {
		w.add(path, "has %d options, at most %d are allowed", len(options), MaxJavaOptions)
		return
	}
	for i, o := range options {
		if why := wrongJavaOption(o); why != "" {
			w.add(index(path, i), "%s", why)
		}
	}
}

func wrongJavaOption(o string) string {
	switch {
	case len(o) > MaxTextLength:
		return fmt.Sprintf("has %d bytes, at most %d are allowed", len(o), MaxTextLength)
	case len(o) < 2 || o[0] != '-':
		return fmt.Sprintf("%q is no JVM option: it must begin with a hyphen", clip(o))
	case strings.ContainsAny(o, " \"'`\\") || controlPattern.MatchString(o):
		return fmt.Sprintf("%q must be one option without blanks, quotes and backslashes: Elasticsearch's start scripts would change it", clip(o))
	case slices.Contains(commandJavaOptions, o):
		return fmt.Sprintf("%q would change what the JVM runs", clip(o))
	}
	for _, m := range managedJavaOptions {
		if strings.HasPrefix(o, m.prefix) {
			return fmt.Sprintf("%q is Berth's own: %s", clip(o), m.instead)
		}
	}
	return ""
}

var timeZonePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$`)

// timeZone checks the form only: which zones exist is known to the node's JVM.
func (w *validator) timeZone(field, zone string) {
	if zone != "" && (len(zone) > 64 || !timeZonePattern.MatchString(zone)) {
		w.add(field, "%q is no IANA time zone, such as \"UTC\" or \"Europe/Berlin\"", clip(zone))
	}
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func listOf[T any](items []T) string {
	words := make([]string, len(items))
	for i, x := range items {
		words[i] = fmt.Sprint(x)
	}
	return strings.Join(words, ", ")
}
