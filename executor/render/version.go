package render

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Version is an Elasticsearch version.
type Version struct{ Major, Minor, Patch int }

// The major versions that Render knows.
const (
	oldestMajor = 2
	newestMajor = 9
)

// ParseVersion reads an exact version, "8.19.21". Versions that Render does not
// know (below 2, above 9, and 3 and 4, which never existed) are an error.
func ParseVersion(s string) (Version, error) {
	number, _, _ := strings.Cut(s, "-") // 8.0.0-rc1 is configured like 8.0.0
	parts := strings.Split(number, ".")
	if len(parts) != 3 {
		return Version{}, fmt.Errorf("version %q is not of the form 8.19.21", s)
	}
	var n [3]int
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return Version{}, fmt.Errorf("version %q is not of the form 8.19.21", s)
		}
		n[i] = int(v)
	}
	v := Version{n[0], n[1], n[2]}
	if v.Major < oldestMajor || v.Major > newestMajor || v.Major == 3 || v.Major == 4 {
		return Version{}, fmt.Errorf("version %s: Elasticsearch 2.x and 5.x to 9.x are supported", s)
	}
	return v, nil
}

// AtLeast compares with a major.minor version.
func (v Version) AtLeast(major, minor int) bool {
	return cmp.Or(cmp.Compare(v.Major, major), cmp.Compare(v.Minor, minor)) >= 0
}

// JavaRange is the range of Java feature versions that a node of this version
// is started with when the operator names no Java: 17 is what all lines up to 8
// run on, 9 needs 21. Java 24 removed the security manager, without which the
// lines before 8.19 refuse to start.
func (v Version) JavaRange() (oldest, newest int) {
	switch {
	case v.Major >= 9:
		return 21, 0
	case v.AtLeast(8, 19):
		return 17, 0
	}
	return 17, 23
}

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }
