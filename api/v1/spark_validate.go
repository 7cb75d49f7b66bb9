package v1

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of an application's spec.
const (
	MaxSparkName       = 40
	MaxSparkExecutors  = 10_000 // docs/spark-protocol.md
	MaxSparkArgs       = 1000
	MaxSparkURIs       = 500 // in each of jars, files, pyFiles, uris
	MaxSparkProperties = 1000
	MaxSparkVariables  = 500
	MaxSparkText       = 32 << 10 // one argument, value, URI
	// MaxSparkSpec bounds the spec as JSON, in bytes: a record of it fits the
	// state store with room for what Berth keeps beside it.
	MaxSparkSpec       = 256 << 10
	MinSparkMemoryMiB  = 512 // below about 450 MiB of heap Spark refuses to start
	MinSparkOverhead   = 64
	MaxSparkBackoff    = 24 * 3600
	MaxSparkFailures   = 1000
	MaxSparkStable     = 7 * 24 * 3600
	maxSparkNameLength = 255 // of a property or variable
)

// SparkSubmissionName is how the names of submissions look: driver-, the time,
// and a random part. Nothing else is called so.
var SparkSubmissionName = regexp.MustCompile(`^driver-[0-9]{14}-[a-z0-9]{6}$`)

// ReservedSparkNames cannot be names of applications: they are parts of paths.
var ReservedSparkNames = []string{"apps"}

var (
	propertyPattern = regexp.MustCompile(`^spark\.[A-Za-z0-9_][A-Za-z0-9_.*/:@-]*$`)
	variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	classPattern    = regexp.MustCompile(`^[\pL_$][\pL\pN_$]*(\.[\pL_$][\pL\pN_$]*)*$`)
)

// SparkInternal is the AppResource of a class that is on the driver's class path.
const SparkInternal = "spark-internal"

// ProblemSparkInvalid is the answer to an application's spec with values that
// are not allowed.
func ProblemSparkInvalid(fields []FieldError) *Problem {
	p := NewProblem(422, CodeSpecInvalid, "the application's spec is not valid", "nothing was changed")
	p.Fields = fields
	return p
}

// Validate checks an application whose defaults are set. It answers nil, or one
// problem (422) that names every wrong field.
func (a *SparkApplication) Validate(v Validation) *Problem {
	w := validator{Validation: v}
	w.spark(a)
	if len(w.errs.list) > 0 {
		return ProblemSparkInvalid(w.errs.bounded())
	}
	return nil
}

func (w *validator) spark(a *SparkApplication) {
	w.dnsLabel("name", a.Name, MaxSparkName)
	if slices.Contains(ReservedSparkNames, a.Name) {
		w.add("name", "%q is reserved", a.Name)
	}
	w.labels(a.Labels)
	s := &a.Spec
	if size := len(asJSON(s)); size > MaxSparkSpec {
		w.add("spec", "has %d bytes as JSON, at most %d are stored: put long arguments into a file that the job reads", size, MaxSparkSpec)
		return
	}
	w.sparkVersion(s.Version)
	w.mesosRole(s.Role)
	w.program(s)
	w.args("spec.args", s.Args)
	w.uris("spec.jars", s.Jars)
	w.uris("spec.files", s.Files)
	w.uris("spec.pyFiles", s.PyFiles)
	w.uris("spec.uris", s.URIs)
	w.properties(s.Properties)
	w.environment(s.Environment)
	w.sparkDriver(s)
	w.executors(&s.Executors)
}

func (w *validator) sparkVersion(version string) {
	const field = "spec.version"
	m := versionPattern.FindStringSubmatch(version)
	switch {
	case version == "":
		w.add(field, "is missing: write an exact version, such as \"3.5.9\"")
	case m == nil:
		w.add(field, "%q is no exact version: write three numbers, such as \"3.5.9\"", clip(version))
	case m[1] != "4" && !(m[1] == "3" && m[2] == "5"): // the backend is built for these
		w.add(field, "Spark %s is not supported: it must be 3.5 or 4.x", clip(version))
	case w.SparkVersionAvailable != nil:
		if ok, why := w.SparkVersionAvailable(version); !ok {
			w.add(field, "%s", why)
		}
	}
}

// program checks what the driver runs.
func (w *validator) program(s *SparkSpec) {
	python := strings.HasSuffix(s.AppResource, ".py")
	switch {
	case s.AppResource == "":
		w.add("spec.appResource", "is missing: name the application's jar or .py file")
	case s.AppResource == SparkInternal:
		if s.MainClass == "" {
			w.add("spec.mainClass", "is missing: %s is a class on the driver's class path", SparkInternal)
		}
	default:
		w.uri("spec.appResource", s.AppResource)
	}
	switch {
	case s.MainClass == "":
	case python:
		w.add("spec.mainClass", "a Python program has none")
	case len(s.MainClass) > MaxTextLength || !classPattern.MatchString(s.MainClass):
		w.add("spec.mainClass", "%q is no class's name", clip(s.MainClass))
	}
}

func (w *validator) args(path string, args []string) {
	if len(args) > MaxSparkArgs {
		w.add(path, "has %d arguments, at most %d are allowed", len(args), MaxSparkArgs)
		return
	}
	for i, arg := range args {
		if why := wrongText(arg); why != "" {
			w.add(index(path, i), "%s", why)
		}
	}
}

// wrongText says why a value cannot be handed to a process, "" if it can.
func wrongText(text string) string {
	switch {
	case len(text) > MaxSparkText:
		return fmt.Sprintf("has %d bytes, at most %d are allowed", len(text), MaxSparkText)
	case !utf8.ValidString(text):
		return "is not UTF-8 text"
	case strings.ContainsRune(text, 0):
		return "must not contain a NUL character"
	case strings.Contains(text, Redacted):
		return "is the redacted value of a view: write the real one"
	}
	return ""
}

func (w *validator) uris(path string, list []string) {
	if len(list) > MaxSparkURIs {
		w.add(path, "has %d entries, at most %d are allowed", len(list), MaxSparkURIs)
		return
	}
	for i, uri := range list {
		w.uri(index(path, i), uri)
	}
}

// uri checks where a file is to be read from: an absolute path (on every agent)
// or a URI. What the scheme means is known to the agent alone.
func (w *validator) uri(field, uri string) {
	if why := wrongText(uri); why != "" {
		w.add(field, "%s", why)
		return
	}
	if strings.HasPrefix(uri, "/") && !controlPattern.MatchString(uri) && !strings.ContainsAny(uri, ", ") {
		return
	}
	u, err := url.Parse(uri)
	switch {
	case uri == "":
		w.add(field, "is empty")
	case err != nil || u.Scheme == "" || strings.ContainsAny(uri, ", ") || controlPattern.MatchString(uri):
		w.add(field, "%q is no URI: write where every agent finds it, such as https://files.example/job.jar, hdfs://…, or local:/opt/job.jar", clip(uri))
	case u.User != nil && hasPassword(u):
		// Mesos shows the URIs of a task to everybody who reads its state.
		w.add(field, "carries a password, which Mesos would show in its state: give the agents access in another way")
	}
}

func hasPassword(u *url.URL) bool {
	_, has := u.User.Password()
	return has
}

func (w *validator) properties(properties map[string]string) {
	const path = "spec.properties"
	if len(properties) > MaxSparkProperties {
		w.add(path, "has %d properties, at most %d are allowed", len(properties), MaxSparkProperties)
		return
	}
	for _, name := range sortedKeys(properties) {
		field := fmt.Sprintf("%s[%q]", path, clip(name))
		switch instead, owned := SparkOwnedProperty(name); {
		case len(name) > maxSparkNameLength || !propertyPattern.MatchString(name):
			w.add(field, "is no property of Spark: its name begins with \"spark.\"")
		case owned:
			w.add(field, "cannot be set here: %s", instead)
		default:
			if why := wrongText(properties[name]); why != "" {
				w.add(field, "%s", why)
			}
		}
	}
	for _, name := range []string{"spark.dynamicAllocation.enabled", walProperty} {
		if v, given := properties[name]; given && v != "true" && v != "false" {
			w.add(fmt.Sprintf("%s[%q]", path, name), "must be \"true\" or \"false\", not %q", clip(v))
		}
	}
}

func (w *validator) environment(variables map[string]string) {
	const path = "spec.environment"
	if len(variables) > MaxSparkVariables {
		w.add(path, "has %d variables, at most %d are allowed", len(variables), MaxSparkVariables)
		return
	}
	for _, name := range sortedKeys(variables) {
		field := fmt.Sprintf("%s[%q]", path, clip(name))
		switch why, owned := SparkOwnedVariable(name); {
		case len(name) > maxSparkNameLength || !variablePattern.MatchString(name):
			w.add(field, "is no variable's name: letters, digits and _ are allowed")
		case owned:
			w.add(field, "cannot be set: %s", why)
		default:
			if why := wrongText(variables[name]); why != "" {
				w.add(field, "%s", why)
			}
		}
	}
}

// walProperty makes receivers of a DStream job write what they got into the
// checkpoint directory before they say that they have it.
const walProperty = "spark.streaming.receiver.writeAheadLog.enable"

func (w *validator) sparkDriver(s *SparkSpec) {
	const path = "spec.driver"
	d := &s.Driver
	w.cpus(path+".cpus", d.CPUs)
	w.heap(path, d.Memory, d.MemoryOverhead)
	w.constraints(path+".constraints", d.Constraints)
	if v := d.Supervise; v != nil {
		w.between(path+".supervise.maxBackoffSeconds", v.MaxBackoffSeconds, 1, MaxSparkBackoff)
		w.between(path+".supervise.maxFailures", v.MaxFailures, -1, MaxSparkFailures)
		w.between(path+".supervise.stableSeconds", v.StableSeconds, 1, MaxSparkStable)
	}
	if d.Checkpoint == nil {
		return
	}
	w.storage(path+".checkpoint", *d.Checkpoint)
	// Executors on other machines cannot reach the driver's volume.
	if s.Properties[walProperty] == "true" {
		w.add(path+".checkpoint", "cannot be with %s: executors write that log into the checkpoint directory, which must be on shared storage then, such as HDFS", walProperty)
	}
	for _, name := range sortedKeys(s.Properties) {
		if strings.HasPrefix(name, "spark.sql.streaming.stateStore.") {
			w.add(path+".checkpoint", "cannot be with %s: executors write the state of a query into its checkpoint directory, which must be on shared storage then, such as HDFS", clip(name))
			return
		}
	}
}

// heap checks a JVM's memory and what it has beside its heap; that is derived
// where the memory is right.
func (w *validator) heap(path, memory, overhead string) {
	w.mib(path+".memory", memory, MinSparkMemoryMiB, MaxMemoryMiB)
	if overhead != "" {
		w.mib(path+".memoryOverhead", overhead, MinSparkOverhead, MaxMemoryMiB)
	}
}

func (w *validator) executors(e *SparkExecutors) {
	const path = "spec.executors"
	w.numbers(path, e.Count, e.Min, e.Max)
	w.between(path+".cores", e.Cores, 1, MaxCPUs)
	w.heap(path, e.Memory, e.MemoryOverhead)
	w.constraints(path+".constraints", e.Constraints)
	if e.Spread != "" {
		w.attribute(path+".spread", e.Spread)
	}
	w.between(path+".maxPerHost", e.MaxPerHost, 0, MaxSparkExecutors)
}

func (w *validator) between(field string, n, least, most int) {
	if n < least || n > most {
		w.add(field, "must be from %d to %d, not %d", least, most, n)
	}
}

// numbers checks how many executors are wanted.
func (w *validator) numbers(path string, count, least, most *int) {
	dot := path
	if path != "" {
		dot += "."
	}
	switch {
	case count != nil && (least != nil || most != nil):
		w.add(orDocument(path), "give either count, or min and max")
	case count != nil:
		w.between(dot+"count", *count, 0, MaxSparkExecutors)
	case least == nil && most == nil:
		w.add(dot+"count", "is missing: give count, or min and max")
	case least == nil:
		w.add(dot+"min", "is missing: max needs min")
	case most == nil:
		w.add(dot+"max", "is missing: min needs max")
	default:
		w.between(dot+"min", *least, 0, MaxSparkExecutors)
		w.between(dot+"max", *most, 1, MaxSparkExecutors)
		if *least > *most {
			w.add(dot+"min", "%d is more than max, %d", *least, *most)
		}
	}
}

// Bounds are the least and the most executors that are wanted, or what is wrong.
func (s SparkScaling) Bounds() (least, most int, p *Problem) {
	var w validator
	w.numbers("", s.Count, s.Min, s.Max)
	if len(w.errs.list) > 0 {
		return 0, 0, ProblemSparkInvalid(w.errs.bounded())
	}
	least, most = SparkExecutors{Count: s.Count, Min: s.Min, Max: s.Max}.Bounds()
	return least, most, nil
}
