package volumes_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/berthdata/berth/volumes"
)

func TestFromFloatRoundsToThreeDecimals(t *testing.T) {
	for _, c := range []struct {
		in   float64
		want volumes.Amount
		text string
	}{
		{0, 0, "0"},
		{1, 1000, "1"},
		{1.5, 1500, "1.5"},
		{0.1 + 0.2, 300, "0.3"},
		{0.0004, 0, "0"},
		{0.0005, 1, "0.001"},
		{100, 100_000, "100"},
		{-2.25, -2250, "-2.25"},
		{1e300, math.MaxInt64, ""},
		{-1e300, math.MinInt64, ""},
		{math.Inf(1), math.MaxInt64, ""},
		{math.NaN(), 0, "0"},
	} {
		got := volumes.FromFloat(c.in)
		assert.Equal(t, c.want, got, "%v", c.in)
		if c.text != "" {
			assert.Equal(t, c.text, got.String())
		}
	}
}

func TestAmountSurvivesTheWayThroughAMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Up to a billion units: 1 PiB of disk in MiB.
		a := volumes.Amount(rapid.Int64Range(-1e12, 1e12).Draw(t, "amount"))
		if got := volumes.FromFloat(a.Float()); got != a {
			t.Fatalf("%d became %d", a, got)
		}
	})
}

func TestSizeClassGroupsByPowersOfTwo(t *testing.T) {
	assert.Equal(t, 0, volumes.SizeClass(0))
	assert.Equal(t, volumes.SizeClass(volumes.Units(1024)), volumes.SizeClass(volumes.Units(2047)))
	assert.Less(t, volumes.SizeClass(volumes.Units(1023)), volumes.SizeClass(volumes.Units(1024)))
	assert.Equal(t, 0, volumes.SizeClass(-5))
}
