package v1

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of the driver protocol (docs/spark-protocol.md).
const (
	MaxSparkExecutorIDs = 10_000
	MaxSparkProfiles    = 256
	MaxSparkWaitMs      = 30_000
	MaxSparkProfileMiB  = 1 << 24
	// MaxSparkTemplate bounds what a registration says of executors and
	// properties, in bytes: it is stored beside the spec.
	MaxSparkTemplate = 128 << 10

	maxSparkEntries = 1024
	maxSparkOption  = 32 << 10
	maxSparkPath    = 4 << 10
	maxSparkHost    = 255
	maxSparkAddress = 512
)

var (
	sparkAppID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	hostInURL  = regexp.MustCompile(`^spark://CoarseGrainedScheduler@[^@/\s]+:[0-9]+$`)
)

// SparkAppID reports whether an application id can be one.
func SparkAppID(id string) bool { return sparkAppID.MatchString(id) }

// driverCheck judges one document of a driver.
type driverCheck struct{ fieldErrors }

// problem is what is wrong, as 400: the driver is refused, or the call is
// logged and not repeated.
func (c *driverCheck) problem() *Problem {
	if len(c.list) == 0 {
		return nil
	}
	p := NewProblem(400, CodeBodyInvalid, "the driver's document is not as the protocol has it", "nothing was changed")
	p.Fields = c.bounded()
	return p
}

func (c *driverCheck) attempt(protocol int, attempt int64) *Problem {
	if protocol != SparkProtocol {
		return ProblemSparkProtocol(protocol)
	}
	if attempt < 1 || attempt > math.MaxInt32 {
		c.add("attemptId", "must be from 1 to %d, not %d", math.MaxInt32, attempt)
	}
	return nil
}

func (c *driverCheck) text(field, value string, most int) {
	// The driver counts characters, not bytes.
	if n := utf8.RuneCountInString(value); n > most {
		c.add(field, "has %d characters, at most %d are allowed", n, most)
	}
	if strings.ContainsRune(value, 0) {
		c.add(field, "contains a NUL character")
	}
}

func (c *driverCheck) texts(field string, list []string, most int) (bytes int) {
	if len(list) > maxSparkEntries {
		c.add(field, "has %d entries, at most %d are allowed", len(list), maxSparkEntries)
		return 0
	}
	for i, s := range list {
		c.text(index(field, i), s, most)
		bytes += len(s)
	}
	return bytes
}

func (c *driverCheck) textMap(field string, m map[string]string) (bytes int) {
	if len(m) > maxSparkEntries {
		c.add(field, "has %d entries, at most %d are allowed", len(m), maxSparkEntries)
		return 0
	}
	for _, name := range sortedKeys(m) {
		c.text(fmt.Sprintf("%s[%q]", field, clip(name)), m[name], maxSparkOption)
		bytes += len(name) + len(m[name])
	}
	return bytes
}

func (c *driverCheck) number(field string, n, least, most int64) {
	if n < least || n > most {
		c.add(field, "must be from %d to %d, not %d", least, most, n)
	}
}

// ids are executors'.
func (c *driverCheck) ids(field string, ids []string) {
	if len(ids) > MaxSparkExecutorIDs {
		c.add(field, "has %d entries, at most %d are allowed", len(ids), MaxSparkExecutorIDs)
		return
	}
	for i, id := range ids {
		if n, err := strconv.ParseInt(id, 10, 64); err != nil || n < 1 || strconv.FormatInt(n, 10) != id {
			c.add(index(field, i), "%q is no executor's id: a whole number from 1 on", clip(id))
		}
	}
}

// Check judges a registration by the protocol's bounds.
func (r SparkRegistration) Check() *Problem {
	var c driverCheck
	if p := c.attempt(r.Protocol, r.AttemptID); p != nil {
		return p
	}
	if !SparkAppID(r.AppID) {
		c.add("appId", "%q is no application id", clip(r.AppID))
	}
	c.text("sparkVersion", r.SparkVersion, 64)
	c.text("scalaVersion", r.ScalaVersion, 64)
	c.text("javaVersion", r.JavaVersion, 64)
	c.text("pluginVersion", r.PluginVersion, 128)
	c.text("appName", r.AppName, MaxTextLength)
	c.text("user", r.User, 255)
	c.text("driverTaskId", r.DriverTaskID, 255)
	c.text("driverHost", r.DriverHost, maxSparkHost)
	if r.DriverHost == "" {
		c.add("driverHost", "is missing")
	}
	c.number("driverPort", int64(r.DriverPort), 1, 65535)
	if len(r.DriverURL) > maxSparkAddress || !hostInURL.MatchString(r.DriverURL) {
		c.add("driverUrl", "%q is no address of a driver: spark://CoarseGrainedScheduler@HOST:PORT", clip(r.DriverURL))
	}
	c.text("uiUrl", r.UIURL, maxSparkAddress)
	c.number("maxExecutorId", r.MaxExecutorID, 0, math.MaxInt64)

	stored := c.texts("executor.javaOptions", r.Executor.JavaOptions, maxSparkOption)
	stored += c.texts("executor.classPath", r.Executor.ClassPath, maxSparkPath)
	stored += c.texts("executor.libraryPath", r.Executor.LibraryPath, maxSparkPath)
	stored += c.textMap("executor.env", r.Executor.Environment)
	stored += c.textMap("properties", r.Properties)
	stored += c.texts("withheld", r.Withheld, maxSparkOption)
	if stored > MaxSparkTemplate {
		c.add("executor", "with properties has %d bytes in all, at most %d are stored", stored, MaxSparkTemplate)
	}
	c.ids("registeredExecutors", r.RegisteredExecutors)
	c.ids("killing", r.Killing)
	c.ids("draining", r.Draining)
	if r.Target != nil {
		c.target("target.", *r.Target)
	}
	return c.problem()
}

// Check judges a target by the protocol's bounds.
func (t SparkTarget) Check() *Problem {
	var c driverCheck
	if p := c.attempt(t.Protocol, t.AttemptID); p != nil {
		return p
	}
	c.target("", t)
	return c.problem()
}

func (c *driverCheck) target(path string, t SparkTarget) {
	c.number(path+"generation", t.Generation, 1, math.MaxInt64)
	if len(t.ExcludedNodes) > MaxSparkExecutorIDs {
		c.add(path+"excludedNodes", "has %d entries, at most %d are allowed", len(t.ExcludedNodes), MaxSparkExecutorIDs)
	} else {
		for i, host := range t.ExcludedNodes {
			c.text(index(path+"excludedNodes", i), host, maxSparkHost)
		}
	}
	if len(t.Profiles) > MaxSparkProfiles {
		c.add(path+"profiles", "has %d entries, at most %d are allowed", len(t.Profiles), MaxSparkProfiles)
		return
	}
	seen := map[int]bool{}
	for i, p := range t.Profiles {
		at := index(path+"profiles", i)
		if seen[p.ID] {
			c.add(at+".id", "%d is given twice", p.ID)
		}
		seen[p.ID] = true
		c.number(at+".id", int64(p.ID), 0, math.MaxInt32)
		c.number(at+".total", int64(p.Total), 0, MaxSparkExecutors)
		c.number(at+".cores", int64(p.Cores), 1, MaxCPUs)
		c.number(at+".memoryMiB", p.MemoryMiB, 1, MaxSparkProfileMiB)
		c.number(at+".memoryOverheadMiB", p.MemoryOverheadMiB, 0, MaxSparkProfileMiB)
		c.number(at+".offHeapMiB", p.OffHeapMiB, 0, MaxSparkProfileMiB)
		c.number(at+".pysparkMiB", p.PySparkMiB, 0, MaxSparkProfileMiB)
		if len(p.Resources) > 64 {
			c.add(at+".resources", "has %d entries, at most 64 are allowed", len(p.Resources))
			continue
		}
		for _, name := range sortedKeys(p.Resources) {
			c.number(join(at+".resources", name), p.Resources[name], 1, math.MaxInt64)
		}
	}
}

// Check judges a kill by the protocol's bounds.
func (k SparkKill) Check() *Problem {
	var c driverCheck
	if p := c.attempt(k.Protocol, k.AttemptID); p != nil {
		return p
	}
	c.ids("executorIds", k.ExecutorIDs)
	return c.problem()
}

// Check judges an unregistration by the protocol's bounds.
func (u SparkUnregister) Check() *Problem {
	var c driverCheck
	if p := c.attempt(u.Protocol, u.AttemptID); p != nil {
		return p
	}
	if u.State != "FINISHED" && u.State != "FAILED" {
		c.add("state", "%q must be FINISHED or FAILED", clip(u.State))
	}
	c.text("message", u.Message, 4096)
	return c.problem()
}

// Check judges a sync by the protocol's bounds.
func (s SparkSync) Check() *Problem {
	var c driverCheck
	if p := c.attempt(s.Protocol, s.AttemptID); p != nil {
		return p
	}
	c.number("epoch", s.Epoch, 0, math.MaxInt64)
	c.number("after", s.After, 0, math.MaxInt64)
	c.number("waitMs", s.WaitMs, 0, MaxSparkWaitMs)
	c.number("generation", s.Generation, 0, math.MaxInt64)
	c.number("maxExecutorId", s.MaxExecutorID, 0, math.MaxInt64)
	c.ids("registeredExecutors", s.RegisteredExecutors)
	c.ids("killing", s.Killing)
	c.ids("draining", s.Draining)
	return c.problem()
}
