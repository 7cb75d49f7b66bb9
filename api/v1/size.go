package v1

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Units of size, in bytes.
const (
	KiB int64 = 1 << 10
	MiB int64 = 1 << 20
	GiB int64 = 1 << 30
	TiB int64 = 1 << 40
)

// sizeUnits are Elasticsearch's names of byte units, smallest first. "b" is the
// last letter of all others, so the suffix search below starts from the end.
var sizeUnits = []struct {
	name  string
	bytes int64
}{{"b", 1}, {"kb", KiB}, {"mb", MiB}, {"gb", GiB}, {"tb", TiB}}

// ParseSize reads a size in Elasticsearch's notation, such as "512mb" or "4gb",
// and returns bytes. Units are b, kb, mb, gb and tb in small letters, powers of
// 1024. The number is a whole number without a sign.
func ParseSize(s string) (int64, error) {
	if s == "" {
		return 0, fmt.Errorf("a size is missing, such as \"4gb\"")
	}
	for i := len(sizeUnits) - 1; i >= 0; i-- {
		u := sizeUnits[i]
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		if digits == "" || strings.Trim(digits, "0123456789") != "" {
			break
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n > math.MaxInt64/u.bytes {
			return 0, fmt.Errorf("size %q is too large", clip(s))
		}
		return n * u.bytes, nil
	}
	return 0, fmt.Errorf("%q is no size: write a whole number and one of b, kb, mb, gb, tb, such as \"4gb\" or \"1536mb\"", clip(s))
}

// ParseMiB reads a size that must be a whole number of MiB and returns MiB.
// Mesos counts memory and disk in MiB.
func ParseMiB(s string) (int64, error) {
	n, err := ParseSize(s)
	if err != nil {
		return 0, err
	}
	if n%MiB != 0 {
		return 0, fmt.Errorf("size %q is not a whole number of mb", clip(s))
	}
	return n / MiB, nil
}

// FormatSize writes bytes with the largest unit that leaves a whole number.
func FormatSize(bytes int64) string {
	for i := len(sizeUnits) - 1; i > 0; i-- {
		if u := sizeUnits[i]; bytes != 0 && bytes%u.bytes == 0 {
			return strconv.FormatInt(bytes/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(bytes, 10) + "b"
}

// ParseDuration reads a time span in Elasticsearch's notation: a whole number
// and one of s, m, h, d, such as "30s" or "7d".
func ParseDuration(s string) (time.Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	if len(s) >= 2 {
		unit, known := units[s[len(s)-1]]
		digits := s[:len(s)-1]
		if known && strings.Trim(digits, "0123456789") == "" {
			n, err := strconv.ParseInt(digits, 10, 64)
			if err != nil || n > math.MaxInt64/int64(unit) {
				return 0, fmt.Errorf("time span %q is too long", clip(s))
			}
			return time.Duration(n) * unit, nil
		}
	}
	return 0, fmt.Errorf("%q is no time span: write a whole number and one of s, m, h, d, such as \"30s\" or \"7d\"", clip(s))
}

// FormatDuration writes a time span of whole seconds as ParseDuration reads it, with
// the largest unit that leaves a whole number.
func FormatDuration(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d != 0 && d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// clip shortens text of the caller that an error quotes.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
