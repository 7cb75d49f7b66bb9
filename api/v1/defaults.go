package v1

import (
	"maps"
	"slices"
)

// Defaults of a spec.
const (
	DefaultReplicas    = 1
	DefaultStorageType = StorageRoot
	DefaultTimeZone    = "UTC"
)

// Kinds of Mesos disk for Storage.Type.
const (
	StorageRoot  = "root"
	StoragePath  = "path"
	StorageMount = "mount"
)

// SetDefaults fills in what the cluster's document leaves out, so that the
// stored spec says everything. It is idempotent. Spec.Role is not filled in:
// its default is the scheduler's own.
func (c *Cluster) SetDefaults() { c.Spec.SetDefaults() }

// SetDefaults fills in what the spec leaves out.
func (s *ClusterSpec) SetDefaults() {
	if s.Replicas == nil {
		r := DefaultReplicas
		s.Replicas = &r
	}
	version, versionErr := ParseVersion(s.Version)
	for i := range s.NodeSets {
		n := &s.NodeSets[i]
		// Without a version the roles are unknown; Validate names the version.
		if n.Roles == nil && versionErr == nil {
			roles := DefaultRoles(version)
			n.Roles = &roles
		}
		if n.Storage.Type == "" {
			n.Storage.Type = DefaultStorageType
		}
		if n.TimeZone == "" {
			n.TimeZone = DefaultTimeZone
		}
	}
}

// Clone returns a copy that shares nothing with the spec, except that values
// inside Config lists are shared: nothing changes those.
func (s ClusterSpec) Clone() ClusterSpec {
	if s.Replicas != nil {
		r := *s.Replicas
		s.Replicas = &r
	}
	s.NodeSets = slices.Clone(s.NodeSets)
	for i := range s.NodeSets {
		n := &s.NodeSets[i]
		if n.Roles != nil {
			roles := slices.Clone(*n.Roles)
			if roles == nil {
				roles = []string{}
			}
			n.Roles = &roles
		}
		n.Constraints = slices.Clone(n.Constraints)
		for j := range n.Constraints {
			n.Constraints[j].Values = slices.Clone(n.Constraints[j].Values)
		}
		n.Config = maps.Clone(n.Config)
		n.JavaOptions = slices.Clone(n.JavaOptions)
	}
	return s
}

// TotalNodes is how many nodes the spec wants.
func (s ClusterSpec) TotalNodes() int {
	total := 0
	for _, n := range s.NodeSets {
		total += n.Count
	}
	return total
}

// HasRole reports whether nodes of the set have a role. Roles must be set.
func (n NodeSet) HasRole(role string) bool {
	return n.Roles != nil && slices.Contains(*n.Roles, role)
}

// MasterNodes is how many nodes of the spec are master-eligible. Defaults must
// be set.
func (s ClusterSpec) MasterNodes() int {
	total := 0
	for _, n := range s.NodeSets {
		if n.HasRole(RoleMaster) {
			total += n.Count
		}
	}
	return total
}
