package v1

import (
	"maps"
	"slices"
	"strconv"
)

// Defaults of an application's spec.
const (
	DefaultSparkCPUs       = 1
	DefaultSparkCores      = 1
	DefaultSparkMemory     = "1gb"
	DefaultSparkExecutors  = 2 // as Spark on YARN and on Kubernetes
	DefaultSparkBackoff    = 60
	DefaultSparkFailures   = 10
	DefaultSparkStable     = 600
	MinDriverOverheadMiB   = 512 // drivers were measured above Spark's own 384
	MinExecutorOverheadMiB = 384
	overheadDivisor        = 10 // Spark's memoryOverheadFactor of 0.10
)

// SetDefaults fills in what the application's document leaves out, so that the
// stored spec says everything. It is idempotent. Spec.Role is not filled in: its
// default is the scheduler's own.
func (a *SparkApplication) SetDefaults() { a.Spec.SetDefaults() }

// SetDefaults fills in what the spec leaves out. An overhead is derived from a
// memory that can be read; Validate names one that cannot.
func (s *SparkSpec) SetDefaults() {
	d, e := &s.Driver, &s.Executors
	setDefault(&d.CPUs, DefaultSparkCPUs)
	setDefault(&d.Memory, DefaultSparkMemory)
	setDefault(&d.MemoryOverhead, overhead(d.Memory, MinDriverOverheadMiB))
	if v := d.Supervise; v != nil {
		setDefault(&v.MaxBackoffSeconds, DefaultSparkBackoff)
		setDefault(&v.MaxFailures, DefaultSparkFailures)
		setDefault(&v.StableSeconds, DefaultSparkStable)
	}
	if d.Checkpoint != nil {
		setDefault(&d.Checkpoint.Type, DefaultStorageType)
	}
	if e.Count == nil && e.Min == nil && e.Max == nil {
		n := DefaultSparkExecutors
		e.Count = &n
	}
	setDefault(&e.Cores, DefaultSparkCores)
	setDefault(&e.Memory, DefaultSparkMemory)
	setDefault(&e.MemoryOverhead, overhead(e.Memory, MinExecutorOverheadMiB))
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// overhead is a tenth of the heap, rounded up, or least; "" when the heap cannot
// be read.
func overhead(heap string, least int64) string {
	mib, err := ParseMiB(heap)
	if err != nil {
		return ""
	}
	return FormatSize(max((mib+overheadDivisor-1)/overheadDivisor, least) * MiB)
}

// Bounds are the least and the most executors that the spec allows; both are the
// count where that is fixed. Defaults must be set.
func (e SparkExecutors) Bounds() (least, most int) {
	if e.Count != nil {
		return *e.Count, *e.Count
	}
	if e.Min != nil {
		least = *e.Min
	}
	if e.Max != nil {
		most = *e.Max
	}
	return least, most
}

// Clone returns a copy that shares nothing with the spec.
func (s SparkSpec) Clone() SparkSpec {
	s.Args = slices.Clone(s.Args)
	s.Jars = slices.Clone(s.Jars)
	s.Files = slices.Clone(s.Files)
	s.PyFiles = slices.Clone(s.PyFiles)
	s.URIs = slices.Clone(s.URIs)
	s.Properties = maps.Clone(s.Properties)
	s.Environment = maps.Clone(s.Environment)
	s.Driver.Constraints = cloneConstraints(s.Driver.Constraints)
	s.Driver.Supervise = clonePointer(s.Driver.Supervise)
	s.Driver.Checkpoint = clonePointer(s.Driver.Checkpoint)
	s.Executors.Constraints = cloneConstraints(s.Executors.Constraints)
	s.Executors.Count = clonePointer(s.Executors.Count)
	s.Executors.Min = clonePointer(s.Executors.Min)
	s.Executors.Max = clonePointer(s.Executors.Max)
	return s
}

func clonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

func cloneConstraints(list []Constraint) []Constraint {
	list = slices.Clone(list)
	for i := range list {
		list[i].Values = slices.Clone(list[i].Values)
	}
	return list
}

// DynamicAllocation reports whether Spark itself decides how many executors the
// application has.
func (s SparkSpec) DynamicAllocation() bool {
	return s.Properties["spark.dynamicAllocation.enabled"] == "true"
}

// DriverProperties are Spark's properties for the driver: the spec's own, those
// that its fields stand for, and defaults without which Berth's view of the
// application is blind. Master, ports, paths and files are the launching side's.
// Defaults must be set and the spec be valid.
func (a SparkApplication) DriverProperties() map[string]string {
	s := a.Spec
	p := map[string]string{
		"spark.app.name": a.Name,
		// Without them a Structured Streaming query reports no metrics, and its
		// series change their names with each attempt.
		"spark.sql.streaming.metricsEnabled": "true",
		"spark.metrics.namespace":            a.Name,
	}
	maps.Copy(p, s.Properties)
	p["spark.driver.memory"] = sparkSize(s.Driver.Memory)
	p["spark.driver.memoryOverhead"] = sparkSize(s.Driver.MemoryOverhead)
	p["spark.executor.memory"] = sparkSize(s.Executors.Memory)
	p["spark.executor.memoryOverhead"] = sparkSize(s.Executors.MemoryOverhead)
	p["spark.executor.cores"] = strconv.Itoa(s.Executors.Cores)
	if !s.DynamicAllocation() {
		least, _ := s.Executors.Bounds()
		p["spark.executor.instances"] = strconv.Itoa(least)
	}
	return p
}

// sparkSize writes a size as Spark reads it.
func sparkSize(size string) string {
	mib, err := ParseMiB(size)
	if err != nil {
		return size // not valid: Validate has said so
	}
	return strconv.FormatInt(mib, 10) + "m"
}
