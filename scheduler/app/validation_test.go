package app

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/executor/render"
)

// judge validates a spec with one node set, as this Berth's API does.
func judge(t testing.TB, o Options) func(change func(*v1.ClusterSpec, *v1.NodeSet)) *v1.Problem {
	t.Helper()
	a := &App{o: o, log: zap.NewNop()}
	var err error
	a.catalogue, err = o.catalogue()
	require.NoError(t, err)
	v := a.validation()
	return func(change func(*v1.ClusterSpec, *v1.NodeSet)) *v1.Problem {
		c := v1.Cluster{Name: "logs", Spec: v1.ClusterSpec{Version: "8.19.21", NodeSets: []v1.NodeSet{{
			Name: "es", Count: 3, Resources: v1.NodeResources{CPUs: 1, Memory: "4gb"}, Storage: v1.Storage{Size: "1gb"},
		}}}}
		change(&c.Spec, &c.Spec.NodeSets[0])
		c.SetDefaults()
		return c.Validate(v)
	}
}

// A spec with a setting that the executor would refuse must fail at the API,
// where somebody reads the answer, and not on the agent.
func TestReservedSettingsAreRefused(t *testing.T) {
	try := judge(t, options(t))
	config := func(name string) *v1.Problem {
		return try(func(_ *v1.ClusterSpec, n *v1.NodeSet) { n.Config = map[string]any{name: "x"} })
	}
	reserved := render.ReservedSettings()
	require.NotEmpty(t, reserved)
	for _, name := range reserved {
		for _, spelling := range []string{name, name + ".0", name + ".a.b"} {
			p := config(spelling)
			require.NotNil(t, p, spelling)
			require.Equal(t, v1.CodeSpecInvalid, p.Code)
			require.Len(t, p.Fields, 1)
			assert.Contains(t, p.Fields[0].Field, spelling)
			assert.Contains(t, p.Fields[0].Message, "Berth sets")
		}
		assert.Nil(t, config(name+"x"), "only whole names are reserved")
	}
	assert.Nil(t, config("indices.memory.index_buffer_size"))
}

// What the API accepts, rendering a node's files accepts too.
func TestAcceptedSettingsCanBeRendered(t *testing.T) {
	try := judge(t, options(t))
	reserved := render.ReservedSettings()
	names := append(reserved, "_a", "a.*.b", "a")
	good := []string{"action.auto_create_index", "thread_pool.write.queue_size", "indices.memory.index_buffer_size"}
	value := rapid.OneOf(
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.Float64(), func(f float64) any { return f }),
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.SliceOfN(rapid.String(), 0, 3), func(list []string) any {
			out := []any{}
			for _, s := range list {
				out = append(out, s)
			}
			return out
		}),
	)
	name := rapid.OneOf(rapid.SampledFrom(names), rapid.SampledFrom(good), rapid.SampledFrom(good),
		rapid.Map(rapid.SampledFrom(reserved), func(r string) string { return r + ".0" }),
		rapid.StringMatching(`[A-Za-z0-9_*+-]{1,4}(\.[a-z0-9_*+-]{1,4}){0,2}`))
	option := rapid.OneOf(
		rapid.Map(rapid.StringMatching(`[ -~]{0,12}`), func(s string) string { return "-" + s }),
		rapid.Map(rapid.StringMatching(`[a-zA-Z]{1,12}`), func(s string) string { return "-XX:+" + s }),
		rapid.SampledFrom([]string{"-Xmx1g", "-XX:MaxRAMPercentage=50", "-XX:InitialRAMPercentage=1", "-Djava.io.tmpdir=/x", "-Des.path.conf=/x", "-XX:+UseZGC"}),
	)
	accepted := 0
	rapid.Check(t, func(rt *rapid.T) {
		config := rapid.MapOfN(name, value, 0, 2).Draw(rt, "config")
		javaOptions := rapid.SliceOfN(option, 0, 2).Draw(rt, "javaOptions")
		if p := try(func(_ *v1.ClusterSpec, n *v1.NodeSet) { n.Config, n.JavaOptions = config, javaOptions }); p != nil {
			return
		}
		if len(config)+len(javaOptions) > 0 {
			accepted++
		}
		require.NoError(rt, render.CheckConfig(config))
		require.NoError(rt, render.CheckJavaOptions(javaOptions))
	})
	require.Nil(t, try(func(_ *v1.ClusterSpec, n *v1.NodeSet) {
		n.Config, n.JavaOptions = map[string]any{"thread_pool.write.queue_size": 500.0}, []string{"-XX:+UseZGC"}
	}), "such draws are accepted")
	if !testing.Short() { // 20 short draws may all be refused, one time in a hundred
		require.NotZero(t, accepted, "the draws must reach the rendering")
	}
}

func TestSpecsAreJudgedByWhatThisBerthOffers(t *testing.T) {
	o := options(t)
	o.Roles = []string{"data", "logs"}
	try := judge(t, o)
	require.Nil(t, try(func(s *v1.ClusterSpec, _ *v1.NodeSet) { s.Role = "logs" }))
	p := try(func(s *v1.ClusterSpec, _ *v1.NodeSet) { s.Role, s.Version = "other", "8.19.20" })
	require.NotNil(t, p)
	require.Equal(t, "spec.version", p.Fields[0].Field)
	require.Contains(t, p.Fields[0].Message, "--elasticsearch")
	require.Equal(t, "spec.role", p.Fields[1].Field)
}
