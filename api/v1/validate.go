package v1

import (
	"math"
	"regexp"
	"slices"
	"strings"
)

// Limits of a spec.
const (
	MaxClusterName   = 40
	MaxNodeSetName   = 20
	MaxNodeCount     = 1000 // nodes of one set
	MaxClusterNodes  = 2000
	MaxNodeSets      = 50
	MaxReplicas      = 100
	MaxLabels        = 64
	MaxConstraints   = 32
	MaxValues        = 256
	MaxConfig        = 500
	MaxJavaOptions   = 64
	MaxTextLength    = 1024 // one value of config, one regular expression, …
	MaxCPUs          = 1024
	MinMemoryMiB     = 256
	MinHeapMiB       = 64
	MaxMemoryMiB     = 16 << 20  // 16 TiB
	MaxStorageMiB    = 256 << 20 // 256 TiB
	maxAttributeName = 128
)

// Validation is what validating needs to know besides the spec. The zero value
// checks everything that does not depend on the installation.
type Validation struct {
	// ReservedSetting says whether Berth itself owns an elasticsearch.yml
	// setting and, if so, why it cannot be given. Nil: none is reserved.
	ReservedSetting func(name string) (reserved bool, why string)
	// Roles are the scheduler's Mesos roles. Empty: any role will do.
	Roles []string
	// VersionAvailable says whether the catalogue has a version and, if not,
	// what to do. Nil: every supported version is available.
	VersionAvailable func(version string) (ok bool, why string)
	// SparkVersionAvailable is the same for Spark.
	SparkVersionAvailable func(version string) (ok bool, why string)
}

var (
	labelPattern     = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)
	attributePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*$`)
	labelKeyPattern  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_./-]*[A-Za-z0-9])?$`)
	rolePattern      = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*$`)
	controlPattern   = regexp.MustCompile(`[\x00-\x1f\x7f]`)
)

// Validate checks a cluster whose defaults are set. It answers nil, or one
// problem (422) that names every wrong field. Replicas of 0 pass: that spec is
// accepted and shown as unsatisfiable, since a running cluster can get there.
func (c *Cluster) Validate(v Validation) *Problem {
	w := validator{Validation: v}
	w.cluster(c)
	if len(w.errs.list) > 0 {
		return ProblemSpecInvalid(w.errs.bounded())
	}
	return nil
}

type validator struct {
	Validation
	errs fieldErrors
	// version is nil when the spec's is not valid: then nothing that depends
	// on it is judged, so that one mistake is not reported many times.
	version *Version
}

func (w *validator) add(field, format string, args ...any) { w.errs.add(field, format, args...) }

func (w *validator) cluster(c *Cluster) {
	w.dnsLabel("name", c.Name, MaxClusterName)
	w.labels(c.Labels)
	s := &c.Spec
	w.checkVersion(s.Version)
	if s.Replicas != nil && (*s.Replicas < 0 || *s.Replicas > MaxReplicas) {
		w.add("spec.replicas", "must be from 0 to %d, not %d", MaxReplicas, *s.Replicas)
	}
	w.mesosRole(s.Role)

	switch {
	case len(s.NodeSets) == 0:
		w.add("spec.nodeSets", "at least one node set is needed")
		return
	case len(s.NodeSets) > MaxNodeSets:
		w.add("spec.nodeSets", "has %d node sets, at most %d are allowed", len(s.NodeSets), MaxNodeSets)
		return
	}
	seen := map[string]int{}
	// A set whose count is wrong is reported for that, not for its masters.
	rolesKnown, master := true, false
	for i := range s.NodeSets {
		n := &s.NodeSets[i]
		path := index("spec.nodeSets", i)
		if first, doubled := seen[n.Name]; doubled && n.Name != "" {
			w.add(path+".name", "%q is the name of %s already", clip(n.Name), index("spec.nodeSets", first))
		} else {
			seen[n.Name] = i
		}
		w.nodeSet(path, n)
		rolesKnown = rolesKnown && n.Roles != nil
		master = master || n.HasRole(RoleMaster)
	}
	if total := s.TotalNodes(); total > MaxClusterNodes {
		w.add("spec.nodeSets", "wants %d nodes in all, at most %d are allowed", total, MaxClusterNodes)
	}
	if rolesKnown && !master {
		w.add("spec.nodeSets", "no node is master-eligible: give at least one node set the role master")
	}
}

func (w *validator) dnsLabel(field, name string, most int) {
	switch {
	case name == "":
		w.add(field, "is missing")
	case len(name) > most:
		w.add(field, "has %d characters, at most %d are allowed", len(name), most)
	case !labelPattern.MatchString(name):
		w.add(field, "%q must be a DNS label: small letters, digits and hyphens, beginning with a letter and ending with a letter or digit", clip(name))
	}
}

func (w *validator) labels(labels map[string]string) {
	if len(labels) > MaxLabels {
		w.add("labels", "has %d entries, at most %d are allowed", len(labels), MaxLabels)
		return
	}
	for _, k := range sortedKeys(labels) {
		field := join("labels", k)
		if len(k) > 63 || !labelKeyPattern.MatchString(k) {
			w.add(field, "a label's name must be 1 to 63 letters, digits, and . _ / - in between")
		}
		if len(labels[k]) > 255 || controlPattern.MatchString(labels[k]) {
			w.add(field, "a label's value must be at most 255 bytes without control characters")
		}
	}
}

func (w *validator) checkVersion(version string) {
	if version == "" {
		w.add("spec.version", "is missing: write an exact version, such as \"8.19.21\"")
		return
	}
	v, err := ParseVersion(version)
	if err != nil {
		w.add("spec.version", "%s", err)
		return
	}
	if !slices.Contains(SupportedMajors, v.Major) {
		w.add("spec.version", "Elasticsearch %d.x is not supported: the major version must be one of %s", v.Major, listOf(SupportedMajors))
		return
	}
	w.version = &v
	if w.VersionAvailable != nil {
		if ok, why := w.VersionAvailable(version); !ok {
			w.add("spec.version", "%s", why)
		}
	}
}

// mesosRole follows the rules for role names of Mesos: hierarchical, no
// component "." or "..", not "*" (nothing can be reserved for it).
func (w *validator) mesosRole(role string) {
	const field = "spec.role"
	switch {
	case role == "":
		return
	case len(w.Roles) > 0 && !slices.Contains(w.Roles, role):
		w.add(field, "%q is none of this scheduler's Mesos roles: %s", clip(role), listOf(w.Roles))
	case len(role) > MaxTextLength || !rolePattern.MatchString(role) || badRolePath(role):
		w.add(field, "%q is no Mesos role that can hold reservations", clip(role))
	}
}

func badRolePath(role string) bool {
	for part := range strings.SplitSeq(role, "/") {
		if part == "" || part == "." || part == ".." || strings.HasPrefix(part, "-") {
			return true
		}
	}
	return false
}

func (w *validator) nodeSet(path string, n *NodeSet) {
	w.dnsLabel(path+".name", n.Name, MaxNodeSetName)
	if n.Count < 1 || n.Count > MaxNodeCount {
		w.add(path+".count", "must be from 1 to %d, not %d", MaxNodeCount, n.Count)
	}
	w.nodeRoles(path+".roles", n.Roles)
	w.resources(path+".resources", n.Resources)
	w.storage(path+".storage", n.Storage)
	w.constraints(path+".constraints", n.Constraints)
	if n.Spread != "" {
		w.attribute(path+".spread", n.Spread)
	}
	w.config(path+".config", n.Config)
	w.javaOptions(path+".javaOptions", n.JavaOptions)
	w.timeZone(path+".timeZone", n.TimeZone)
}

func (w *validator) nodeRoles(path string, roles *[]string) {
	if roles == nil {
		return
	}
	seen := map[string]bool{}
	for i, role := range *roles {
		if i >= len(roleSince) {
			w.add(path, "has %d roles, there are only %d", len(*roles), len(roleSince))
			return
		}
		if seen[role] {
			w.add(index(path, i), "the role %q is given twice", clip(role))
			continue
		}
		seen[role] = true
		version := Version{Major: math.MaxInt} // any known role
		if w.version != nil {
			version = *w.version
		}
		if ok, why := RoleSupported(role, version); !ok {
			w.add(index(path, i), "%s", why)
		}
	}
}

func (w *validator) resources(path string, r NodeResources) {
	w.cpus(path+".cpus", r.CPUs)
	memory, memoryOK := w.mib(path+".memory", r.Memory, MinMemoryMiB, MaxMemoryMiB)
	if r.Heap == "" {
		return
	}
	heap, heapOK := w.mib(path+".heap", r.Heap, MinHeapMiB, MaxMemoryMiB)
	if memoryOK && heapOK && heap >= memory {
		w.add(path+".heap", "%s leaves nothing of the node's memory (%s) for the rest of the process: take about half", clip(r.Heap), clip(r.Memory))
	}
}

func (w *validator) cpus(field string, cpus float64) {
	milli := cpus * 1000
	switch {
	case !(cpus > 0) || cpus > MaxCPUs:
		w.add(field, "must be above 0 and at most %d, not %v", MaxCPUs, cpus)
	case math.Abs(milli-math.Round(milli)) > 1e-6:
		w.add(field, "%v has more than three decimals: Mesos counts thousandths of a core", cpus)
	}
}

func (w *validator) storage(path string, s Storage) {
	w.mib(path+".size", s.Size, 1, MaxStorageMiB)
	types := []string{StorageRoot, StoragePath, StorageMount}
	if s.Type != "" && !slices.Contains(types, s.Type) {
		w.add(path+".type", "%q must be one of %s", clip(s.Type), listOf(types))
	}
}

// mib checks a size and its bounds, and returns MiB.
func (w *validator) mib(field, size string, least, most int64) (int64, bool) {
	n, err := ParseMiB(size)
	switch {
	case err != nil:
		w.add(field, "%s", err)
	case n < least:
		w.add(field, "%s is too small: at least %s is needed", clip(size), FormatSize(least*MiB))
	case n > most:
		w.add(field, "%s is too large: at most %s is allowed", clip(size), FormatSize(most*MiB))
	default:
		return n, true
	}
	return 0, false
}
