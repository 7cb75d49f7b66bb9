package v1

import (
	"fmt"
	"regexp"
	"strconv"
)

// Version is an Elasticsearch version.
type Version struct{ Major, Minor, Patch int }

var versionPattern = regexp.MustCompile(`^(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})$`)

// SupportedMajors are the major versions of Elasticsearch that Berth runs.
var SupportedMajors = []int{2, 5, 6, 7, 8, 9}

// ParseVersion reads an exact version, such as "8.19.21".
func ParseVersion(s string) (Version, error) {
	m := versionPattern.FindStringSubmatch(s)
	if m == nil {
		return Version{}, fmt.Errorf("%q is no exact version: write three numbers, such as \"8.19.21\"", clip(s))
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // the pattern admits at most three digits
	}
	return Version{n[0], n[1], n[2]}, nil
}

// AtLeast reports whether v is major.minor or newer.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// String writes the version as Elasticsearch does.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Node roles, by today's names.
const (
	RoleMaster              = "master"
	RoleData                = "data"
	RoleDataContent         = "data_content"
	RoleDataHot             = "data_hot"
	RoleDataWarm            = "data_warm"
	RoleDataCold            = "data_cold"
	RoleDataFrozen          = "data_frozen"
	RoleIngest              = "ingest"
	RoleML                  = "ml"
	RoleRemoteClusterClient = "remote_cluster_client"
	RoleTransform           = "transform"
)

// roleSince is the first version (major, minor) whose nodes can be given or
// denied a role, from Elasticsearch's release notes: data tiers came in 7.10,
// the frozen tier in 7.12, transform and remote_cluster_client became roles in
// 7.7 and 7.9, machine learning is in the default distribution since 6.3,
// ingest nodes came with 5.0.
var roleSince = []struct {
	role         string
	major, minor int
}{
	{RoleMaster, 0, 0}, {RoleData, 0, 0},
	{RoleDataContent, 7, 10}, {RoleDataHot, 7, 10}, {RoleDataWarm, 7, 10}, {RoleDataCold, 7, 10},
	{RoleDataFrozen, 7, 12},
	{RoleIngest, 5, 0}, {RoleML, 6, 3}, {RoleRemoteClusterClient, 7, 9}, {RoleTransform, 7, 7},
}

// KnownRoles lists every role's name.
func KnownRoles() []string {
	names := make([]string, len(roleSince))
	for i, r := range roleSince {
		names[i] = r.role
	}
	return names
}

// RoleSupported says whether nodes of version v can have a role; if not, why.
func RoleSupported(role string, v Version) (ok bool, why string) {
	for _, r := range roleSince {
		if r.role != role {
			continue
		}
		if v.AtLeast(r.major, r.minor) {
			return true, ""
		}
		return false, fmt.Sprintf("the role %s exists from Elasticsearch %d.%d on, not in %s", role, r.major, r.minor, v)
	}
	return false, fmt.Sprintf("%q is no role: it must be one of %s", clip(role), listOf(KnownRoles()))
}

// DefaultRoles are the roles of a node set that names none: master, data and
// ingest; before 5.0, which has no ingest nodes, master and data.
func DefaultRoles(v Version) []string {
	if v.AtLeast(5, 0) {
		return []string{RoleMaster, RoleData, RoleIngest}
	}
	return []string{RoleMaster, RoleData}
}
