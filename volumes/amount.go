package volumes

import (
	"math"
	"strconv"
	"strings"
)

// scale is how many Amounts make one unit.
const scale = 1000

// FromFloat is f units, rounded to the three decimals that Mesos keeps of a
// scalar. Values that no Amount can hold, and NaN, become the nearest one it
// can (NaN: 0).
func FromFloat(f float64) Amount {
	switch v := math.Round(f * scale); {
	case math.IsNaN(v):
		return 0
	case v >= math.MaxInt64:
		return math.MaxInt64
	case v <= math.MinInt64:
		return math.MinInt64
	default:
		return Amount(v)
	}
}

// Units is n whole units.
func Units(n int64) Amount { return Amount(n * scale) }

// Float is the amount in units, as Mesos messages carry it.
func (a Amount) Float() float64 { return float64(a) / scale }

// String writes the amount in units with at most three decimals: "1.5", "512".
func (a Amount) String() string {
	s := strconv.FormatFloat(a.Float(), 'f', 3, 64)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}
