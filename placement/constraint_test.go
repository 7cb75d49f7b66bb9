package placement_test

import (
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/placement"
)

func textAttribute(name, v string) mesos.Attribute {
	return mesos.Attribute{Name: name, Type: mesos.TEXT, Text: &mesos.Value_Text{Value: v}}
}

func scalarAttribute(name string, v float64) mesos.Attribute {
	return mesos.Attribute{Name: name, Type: mesos.SCALAR, Scalar: &mesos.Value_Scalar{Value: v}}
}

func sampleAttributes() placement.Attributes {
	return placement.AttributesOf("a1.test", []mesos.Attribute{
		textAttribute("rack", "r1"),
		textAttribute("os", "debian-12"),
		scalarAttribute("generation", 7),
		scalarAttribute("weight", 1.5),
		textAttribute("hostname", "a lie"),
		textAttribute("tag", "blue"), textAttribute("tag", "green"),
		{Name: "vlans", Type: mesos.RANGES, Ranges: &mesos.Value_Ranges{Range: []mesos.Value_Range{{Begin: 10, End: 20}, {Begin: 30, End: 30}}}},
		{Name: "kinds", Type: mesos.SET, Set: &mesos.Value_Set{Item: []string{"y", "x"}}},
		{Name: "hollow", Type: mesos.TEXT},
	})
}

func TestConstraintOperators(t *testing.T) {
	for _, c := range []struct {
		attribute, operator string
		values              []string
		want                bool
	}{
		{"rack", "EQ", []string{"r1"}, true},
		{"rack", "EQ", []string{"r2"}, false},
		{"none", "EQ", []string{"r1"}, false},
		{"generation", "EQ", []string{"7"}, true},
		{"generation", "EQ", []string{"7.0"}, true},
		{"weight", "EQ", []string{"1.50"}, true},
		{"weight", "EQ", []string{"1.501"}, false},
		{"tag", "EQ", []string{"green"}, true},
		{"vlans", "EQ", []string{"15"}, true},
		{"vlans", "EQ", []string{"25"}, false},
		{"vlans", "EQ", []string{"10.5"}, false},
		{"vlans", "EQ", []string{"[10-20, 30-30]"}, true},
		{"kinds", "EQ", []string{"x"}, true},
		{"hostname", "EQ", []string{"a1.test"}, true},
		{"hostname", "EQ", []string{"a lie"}, false},
		{"hollow", "EXISTS", nil, false},
		{"rack", "NEQ", []string{"r1"}, false},
		{"rack", "NEQ", []string{"r2"}, true},
		{"none", "NEQ", []string{"r1"}, true},
		{"tag", "NEQ", []string{"green"}, false},
		{"rack", "IN", []string{"r0", "r1"}, true},
		{"rack", "IN", []string{"r0"}, false},
		{"generation", "IN", []string{"x", "7"}, true},
		{"rack", "NOTIN", []string{"r0", "r1"}, false},
		{"rack", "NOTIN", []string{"r0"}, true},
		{"none", "NOTIN", []string{"r0"}, true},
		{"os", "LIKE", []string{"debian-1[0-9]"}, true},
		{"os", "LIKE", []string{"debian"}, false}, // the whole value
		{"os", "LIKE", []string{"ubuntu|debian-12"}, true},
		{"os", "LIKE", []string{"debian|12"}, false}, // both ends anchored
		{"none", "LIKE", []string{".*"}, false},
		{"generation", "LIKE", []string{"[0-9]"}, true},
		{"os", "UNLIKE", []string{"debian.*"}, false},
		{"os", "UNLIKE", []string{"ubuntu.*"}, true},
		{"none", "UNLIKE", []string{".*"}, true},
		{"generation", "LT", []string{"8"}, true},
		{"generation", "LT", []string{"7"}, false},
		{"generation", "LE", []string{"7"}, true},
		{"generation", "LE", []string{"6.999"}, false},
		{"generation", "GT", []string{"6.999"}, true},
		{"generation", "GT", []string{"7"}, false},
		{"generation", "GE", []string{"7"}, true},
		{"generation", "GE", []string{"7.001"}, false},
		{"rack", "GE", []string{"0"}, false}, // not a SCALAR
		{"none", "LT", []string{"1"}, false},
		{"rack", "EXISTS", nil, true},
		{"none", "EXISTS", nil, false},
		{"rack", "NOTEXISTS", nil, false},
		{"none", "NOTEXISTS", nil, true},
	} {
		k, err := placement.CompileConstraint(c.attribute, c.operator, c.values)
		require.NoError(t, err)
		assert.Equal(t, c.want, k.Holds(sampleAttributes()), k.String())
	}
}

func TestConstraintErrorsSayWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		attribute, operator string
		values              []string
		want                string
	}{
		{"", "EQ", []string{"x"}, "names no attribute"},
		{"a", "eq", []string{"x"}, `constraint a eq x: operator "eq" is unknown; it is one of EQ, NEQ,`},
		{"a", "EQ", nil, "EQ takes exactly one value, it has 0"},
		{"a", "LIKE", []string{"x", "y"}, "LIKE takes exactly one value, it has 2"},
		{"a", "IN", nil, "IN takes at least one value, it has none"},
		{"a", "EXISTS", []string{"x"}, "EXISTS takes no value, it has 1"},
		{"a", "LT", []string{"many"}, `LT compares numbers, "many" is none`},
		{"a", "GE", []string{"NaN"}, `GE compares numbers, "NaN" is none`},
		{"a", "LIKE", []string{"("}, "the pattern is no RE2 expression"},
		{"a", "UNLIKE", []string{"(?=x)"}, "the pattern is no RE2 expression"},
		{"a", "LIKE", []string{"x)|(y"}, "the pattern is no RE2 expression"},
	} {
		_, err := placement.CompileConstraint(c.attribute, c.operator, c.values)
		require.ErrorContains(t, err, c.want)
	}
}

func TestAnUncompiledConstraintNeverHolds(t *testing.T) {
	c := placement.Constraint{Attribute: "rack", Operator: "NOTEXISTS"}
	assert.False(t, c.Holds(placement.Attributes{}))
}

func TestAttributesAsText(t *testing.T) {
	a := sampleAttributes()
	assert.Equal(t, map[string]string{
		"hostname": "a1.test", "rack": "r1", "os": "debian-12", "generation": "7", "weight": "1.5",
		"tag": "blue,green", "vlans": "[10-20, 30-30]", "kinds": "x,y",
	}, a.Map())
	v, ok := a.Value("tag")
	assert.True(t, ok)
	assert.Equal(t, "blue", v, "the first, whatever the order in the offer")
	_, ok = a.Value("none")
	assert.False(t, ok)
	assert.Equal(t, map[string]string{"x": "1"}, placement.TextAttributes(map[string]string{"x": "1"}).Map())
}
