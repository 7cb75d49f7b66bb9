package submission

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/berthdata/berth/api/v1"
)

// Installation is what a request is read against.
type Installation struct {
	// Versions of Spark that the scheduler's catalogue has.
	Versions []string
	// Defaults are properties that a submission gets where it does not set them:
	// what Spark's dispatcher has as spark.mesos.dispatcher.driverDefault.*.
	Defaults map[string]string
}

// defaultPrefix marks a default among properties.
const defaultPrefix = "spark.mesos.dispatcher.driverDefault."

// Application makes a request the spec of an application called name. Defaults
// of the spec are not set, and values are checked as far as they must be read.
// Notes tell the client's user what has no effect here, or another one than
// with Spark's own servers. Fields of the problem are names of properties.
func (r Request) Application(name string, in Installation) (v1.SparkApplication, []string, *v1.Problem) {
	m := mapping{props: maps.Clone(r.SparkProperties), app: v1.SparkApplication{Name: name}}
	if m.props == nil {
		m.props = map[string]string{}
	}
	m.defaults(in.Defaults)
	s := &m.app.Spec
	s.AppResource, s.MainClass = r.AppResource, r.MainClass
	s.Args = r.AppArgs
	m.version(r.ClientSparkVersion, in.Versions)
	m.environment(r.EnvironmentVariables)
	m.files()
	m.labels()
	m.driver()
	m.executors()
	m.take("spark.mesos.role", func(v string) error { s.Role = v; return nil })
	m.rest()
	if len(m.errs) > 0 {
		return v1.SparkApplication{}, nil, v1.ProblemSparkInvalid(m.errs)
	}
	return m.app, m.notes, nil
}

// mapping takes one property after the other, so that none is forgotten: what is
// left at the end is the application's own.
type mapping struct {
	props map[string]string
	app   v1.SparkApplication
	notes []string
	errs  []v1.FieldError
}

func (m *mapping) note(format string, args ...any) {
	m.notes = append(m.notes, fmt.Sprintf(format, args...))
}

func (m *mapping) wrong(property string, err error) {
	if len(m.errs) < v1.MaxFieldErrors {
		m.errs = append(m.errs, v1.FieldError{Field: property, Message: err.Error()})
	}
}

// take removes a property and hands its value on; absent and empty are the same.
func (m *mapping) take(property string, use func(value string) error) bool {
	value, given := m.props[property]
	delete(m.props, property)
	if !given || value == "" {
		return false
	}
	if err := use(value); err != nil {
		m.wrong(property, err)
	}
	return true
}

// defaults fills in what the submission does not say; its own defaults win over
// the installation's.
func (m *mapping) defaults(installed map[string]string) {
	all := maps.Clone(installed)
	if all == nil {
		all = map[string]string{}
	}
	for _, name := range slices.Sorted(maps.Keys(m.props)) {
		if stem, isDefault := strings.CutPrefix(name, defaultPrefix); isDefault {
			all[stem] = m.props[name]
			delete(m.props, name)
		}
	}
	for name, value := range all {
		if _, given := m.props[name]; !given {
			m.props[name] = value
		}
	}
}

// version chooses the client's own version, or else the newest of its line: the
// driver's program was built against that line. A client that names none gets
// the only one there is.
func (m *mapping) version(client string, have []string) {
	s := &m.app.Spec
	if client == "" && len(have) == 1 {
		s.Version = have[0]
		return
	}
	if slices.Contains(have, client) {
		s.Version = client
		return
	}
	line := func(version string) string {
		parts := strings.SplitN(version, ".", 3)
		return strings.Join(parts[:min(len(parts), 2)], ".")
	}
	best := ""
	for _, v := range have {
		if client != "" && line(v) == line(client) && newer(v, best) {
			best = v
		}
	}
	switch {
	case best != "":
		s.Version = best
		m.note("the client is Spark %s, the application runs on %s", short(client), best)
	case len(have) == 0:
		m.wrong("clientSparkVersion", fmt.Errorf("this Berth has no Spark distribution: the scheduler's --spark names them"))
	default:
		m.wrong("clientSparkVersion", fmt.Errorf("version %q of Spark is not in this Berth's catalogue, nor another one of its line; it has %s",
			short(client), strings.Join(have, ", ")))
	}
}

// newer compares versions of numbers; "" is older than all.
func newer(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		n, errN := strconv.Atoi(x[i])
		o, errO := strconv.Atoi(y[i])
		if errN != nil || errO != nil {
			return errO != nil && errN == nil
		}
		if n != o {
			return n > o
		}
	}
	return len(x) > len(y)
}

// environment keeps what is meant for the driver: clients send every SPARK_* and
// MESOS_* variable of the machine that submits.
func (m *mapping) environment(client map[string]string) {
	env := map[string]string{}
	for name, value := range client {
		if _, owned := v1.SparkOwnedVariable(name); !owned {
			env[name] = value
		}
	}
	const prefix = "spark.mesos.driverEnv."
	for _, property := range slices.Sorted(maps.Keys(m.props)) {
		name, isVariable := strings.CutPrefix(property, prefix)
		if !isVariable {
			continue
		}
		if why, owned := v1.SparkOwnedVariable(name); owned {
			m.note("%s has no effect: %s", property, why)
		} else {
			env[name] = m.props[property]
		}
		delete(m.props, property)
	}
	if len(env) > 0 {
		m.app.Spec.Environment = env
	}
}

func (m *mapping) files() {
	s := &m.app.Spec
	lists := []struct {
		property string
		to       *[]string
	}{{"spark.jars", &s.Jars}, {"spark.files", &s.Files}, {"spark.submit.pyFiles", &s.PyFiles}, {"spark.mesos.uris", &s.URIs}}
	for _, l := range lists {
		m.take(l.property, func(v string) error { *l.to = split(v); return nil })
	}
	// The client adds the application's own jar.
	s.Jars = slices.DeleteFunc(s.Jars, func(uri string) bool { return uri == s.AppResource })
	if len(s.Jars) == 0 {
		s.Jars = nil
	}
	m.take("spark.mesos.fetcherCache.enable", func(v string) (err error) { s.CacheURIs, err = boolean(v); return err })
	for _, uri := range slices.Concat([]string{s.AppResource}, s.Jars, s.Files, s.PyFiles, s.URIs) {
		if strings.HasPrefix(uri, "file:") {
			m.note("nothing is uploaded: %s and other file: paths must be on every agent", short(uri))
			break
		}
	}
}

// split reads a list with commas.
func split(list string) []string {
	var out []string
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

func (m *mapping) labels() {
	for _, property := range []string{"spark.mesos.task.labels", "spark.mesos.driver.labels"} {
		m.take(property, func(v string) error {
			labels, err := labels(v)
			if m.app.Labels == nil && len(labels) > 0 {
				m.app.Labels = map[string]string{}
			}
			maps.Copy(m.app.Labels, labels)
			return err
		})
	}
}

func (m *mapping) driver() {
	d := &m.app.Spec.Driver
	m.take("spark.driver.cores", func(v string) (err error) { d.CPUs, err = cores(v); return err })
	heap := m.memory("spark.driver.memory", &d.Memory)
	m.overhead(&d.MemoryOverhead, heap, v1.MinDriverOverheadMiB, "spark.driver.memoryOverheadFactor",
		"spark.mesos.driver.memoryOverhead", "spark.driver.memoryOverhead")
	delete(m.props, "spark.driver.memoryOverheadFactor")
	m.take("spark.mesos.driver.constraints", func(v string) (err error) { d.Constraints, err = constraints(v); return err })
	m.take("spark.driver.supervise", func(v string) error {
		on, err := boolean(v)
		if on {
			d.Supervise = &v1.SparkSupervise{}
		}
		return err
	})
	m.take("spark.mesos.cluster.retry.wait.max", func(v string) error {
		seconds, err := whole(v)
		if d.Supervise != nil {
			d.Supervise.MaxBackoffSeconds = seconds
		}
		return err
	})
	var checkpoint v1.Storage
	if m.take("spark.berth.driver.checkpoint.size", func(v string) (err error) { checkpoint.Size, _, err = size(v); return err }) {
		d.Checkpoint = &checkpoint
	}
	m.take("spark.berth.driver.checkpoint.type", func(v string) error { checkpoint.Type = v; return nil })
}

// memory reads a heap and returns it in MiB; 0: not given, or wrong.
func (m *mapping) memory(property string, to *string) (mib int64) {
	m.take(property, func(v string) (err error) { *to, mib, err = size(v); return err })
	return mib
}

// overhead reads what a process has beside its heap: the first of the
// properties that is given, or the factor's share.
func (m *mapping) overhead(to *string, heap, least int64, factor string, properties ...string) {
	share, given := m.props[factor]
	if given {
		f, err := number(share)
		if err != nil {
			m.wrong(factor, err)
		}
		if heap == 0 {
			heap = 1024 // the default
		}
		*to = v1.FormatSize(max(int64(f*float64(heap)), least) * v1.MiB)
	}
	for _, property := range properties {
		m.take(property, func(v string) (err error) { *to, _, err = size(v); return err })
	}
}

func (m *mapping) executors() {
	e := &m.app.Spec.Executors
	heap := m.memory("spark.executor.memory", &e.Memory)
	m.overhead(&e.MemoryOverhead, heap, v1.MinExecutorOverheadMiB, "spark.executor.memoryOverheadFactor",
		"spark.mesos.executor.memoryOverhead", "spark.executor.memoryOverhead")
	m.take("spark.executor.cores", func(v string) (err error) { e.Cores, err = whole(v); return err })
	m.take("spark.mesos.constraints", func(v string) (err error) { e.Constraints, err = constraints(v); return err })
	m.take("spark.berth.executor.spread", func(v string) error { e.Spread = v; return nil })
	m.take("spark.berth.executor.maxPerHost", func(v string) (err error) { e.MaxPerHost, err = whole(v); return err })
	m.count(e)
}

// count says how many executors: the number asked for, or as many as the cores
// are enough for.
func (m *mapping) count(e *v1.SparkExecutors) {
	var instances, most, least *int
	read := func(to **int) func(string) error {
		return func(v string) error {
			n, err := whole(v)
			*to = &n
			return err
		}
	}
	m.take("spark.cores.max", func(v string) error {
		total, err := whole(v)
		n := max(1, total/max(1, e.Cores))
		instances, most = &n, &n
		return err
	})
	m.take("spark.executor.instances", read(&instances))
	m.take("spark.dynamicAllocation.minExecutors", read(&least))
	m.take("spark.dynamicAllocation.maxExecutors", func(v string) error {
		if v == strconv.Itoa(1<<31-1) { // Spark's own word for "no limit"
			return nil
		}
		return read(&most)(v)
	})
	if m.props["spark.dynamicAllocation.enabled"] != "true" {
		e.Count = instances
		return
	}
	none, all := 0, v1.MaxSparkExecutors
	if least == nil {
		least = &none
	}
	if most == nil {
		most = &all
	}
	e.Min, e.Max = least, most
}

// silent properties are set by every client, and mean nothing here.
var silent = []string{"spark.master", "spark.submit.deployMode", "spark.driver.host", "spark.mesos.maxDrivers"}

// refused properties change what a job finds around it: it would not do without.
func refused(property, value string) bool {
	switch property {
	case "spark.mesos.coarse":
		return value == "false"
	case "spark.mesos.gpus.max":
		return value != "0"
	case "spark.mesos.containerizer":
		return value != "mesos"
	}
	for _, prefix := range []string{"spark.mesos.executor.docker.", "spark.mesos.network.", "spark.mesos.driver.secret.", "spark.mesos.executor.secret."} {
		if strings.HasPrefix(property, prefix) {
			return true
		}
	}
	return false
}

// rest judges what no field stands for and keeps the rest as properties.
func (m *mapping) rest() {
	kept := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(m.props)) {
		value := m.props[name]
		why, owned := v1.SparkOwnedProperty(name)
		switch {
		case refused(name, value):
			m.wrong(name, fmt.Errorf("cannot be honoured: %s", why))
		case slices.Contains(silent, name):
		case owned:
			m.note("%s has no effect: %s", name, why)
		case !strings.HasPrefix(name, "spark."):
			m.note("%s has no effect: it is no property of Spark", short(name))
		default:
			if strings.HasPrefix(name, "spark.mesos.") {
				m.note("%s has no effect: Berth does not know it", short(name))
			}
			kept[name] = value
		}
	}
	if len(kept) > 0 {
		m.app.Spec.Properties = kept
	}
}
