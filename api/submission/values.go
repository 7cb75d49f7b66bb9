package submission

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/berthdata/berth/api/v1"
)

func boolean(v string) (bool, error) {
	switch strings.ToLower(v) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%q must be true or false", short(v))
}

// whole reads a number without fraction; clients write cores as 4 or 4.0.
func whole(v string) (int, error) {
	f, err := number(v)
	if err != nil {
		return 0, err
	}
	if f != math.Trunc(f) || f < 0 || f > math.MaxInt32 {
		return 0, fmt.Errorf("%q must be a whole number", short(v))
	}
	return int(f), nil
}

func number(v string) (float64, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%q must be a number", short(v))
	}
	return f, nil
}

// cores are a driver's, which may have fractions.
func cores(v string) (float64, error) {
	f, err := number(v)
	if err == nil && f <= 0 {
		err = fmt.Errorf("%q must be above 0", short(v))
	}
	return f, err
}

// sizeUnits are those of Spark's sizes, in bytes: one letter, or two with b.
var sizeUnits = map[string]int64{"b": 1, "k": v1.KiB, "kb": v1.KiB, "m": v1.MiB, "mb": v1.MiB, "g": v1.GiB, "gb": v1.GiB,
	"t": v1.TiB, "tb": v1.TiB, "p": 1024 * v1.TiB, "pb": 1024 * v1.TiB, "": v1.MiB}

// size reads a size as Spark writes it, such as 2g; a bare number is MiB, as in
// spark.driver.memory and the overheads. It is rounded up to whole MiB.
func size(v string) (text string, mib int64, err error) {
	s := strings.ToLower(strings.TrimSpace(v))
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz")
	unit, known := sizeUnits[s[len(digits):]]
	n, errN := strconv.ParseInt(digits, 10, 64)
	switch {
	case errN != nil || !known || n < 0:
		return "", 0, fmt.Errorf("%q is no size of Spark, such as 512m or 2g", short(v))
	case n > (math.MaxInt64-v1.MiB)/unit:
		return "", 0, fmt.Errorf("%q is too large", short(v))
	}
	mib = (n*unit + v1.MiB - 1) / v1.MiB
	return v1.FormatSize(mib * v1.MiB), mib, nil
}

// constraints reads Spark's "attribute:value,value;attribute". Without a value
// the attribute must be there; a number is the least of a scalar attribute; of
// texts the attribute must be one.
func constraints(v string) ([]v1.Constraint, error) {
	var list []v1.Constraint
	for part := range strings.SplitSeq(v, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		attribute, text, _ := strings.Cut(part, ":")
		c := v1.Constraint{Attribute: strings.TrimSpace(attribute), Values: split(text)}
		if c.Attribute == "" {
			return nil, fmt.Errorf("%q names no attribute", short(part))
		}
		least, scalar := smallest(c.Values)
		switch {
		case len(c.Values) == 0:
			c.Operator = v1.OpEXISTS
		case scalar:
			c.Operator, c.Values = v1.OpGE, []string{least}
		case len(c.Values) == 1:
			c.Operator = v1.OpEQ
		default:
			c.Operator = v1.OpIN
		}
		list = append(list, c)
	}
	return list, nil
}

// smallest is the least of values that are all numbers.
func smallest(values []string) (string, bool) {
	for _, v := range values {
		if _, err := number(v); err != nil {
			return "", false
		}
	}
	if len(values) == 0 {
		return "", false
	}
	return slices.MinFunc(values, func(a, b string) int {
		x, _ := number(a)
		y, _ := number(b)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}), true
}

// labels reads "key:value,key:value"; a backslash keeps a comma or colon.
func labels(v string) (map[string]string, error) {
	out := map[string]string{}
	for _, pair := range unescapedSplit(v, ',') {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		parts := unescapedSplit(pair, ':')
		if len(parts) != 2 {
			return nil, errors.New("labels are written key:value,key:value")
		}
		unescape := strings.NewReplacer(`\,`, ",", `\:`, ":")
		out[strings.TrimSpace(unescape.Replace(parts[0]))] = unescape.Replace(parts[1])
	}
	return out, nil
}

func unescapedSplit(s string, separator byte) []string {
	var parts []string
	start := 0
	for i := range len(s) {
		if s[i] == separator && (i == 0 || s[i-1] != '\\') {
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
