package v1

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// valid is a cluster that every test changes in one place.
func valid() Cluster {
	c := Cluster{Name: "logs", Spec: ClusterSpec{Version: "8.19.21", NodeSets: []NodeSet{
		{Name: "es", Count: 3, Resources: NodeResources{CPUs: 1, Memory: "4gb"}, Storage: Storage{Size: "50gb"}},
	}}}
	c.SetDefaults()
	return c
}

func roles(r ...string) *[]string { return &r }

func TestValidate(t *testing.T) {
	const set = "spec.nodeSets[0]"
	long := strings.Repeat("a", 2000)
	tests := []struct {
		name    string
		change  func(c *Cluster, n *NodeSet)
		field   string // "" = valid
		message string
	}{
		{"as it is", func(*Cluster, *NodeSet) {}, "", ""},

		{"name missing", func(c *Cluster, _ *NodeSet) { c.Name = "" }, "name", "is missing"},
		{"name upper case", func(c *Cluster, _ *NodeSet) { c.Name = "Logs" }, "name", "DNS label"},
		{"name with a dot", func(c *Cluster, _ *NodeSet) { c.Name = "a.b" }, "name", "DNS label"},
		{"name ends with hyphen", func(c *Cluster, _ *NodeSet) { c.Name = "a-" }, "name", "DNS label"},
		{"name begins with digit", func(c *Cluster, _ *NodeSet) { c.Name = "1a" }, "name", "DNS label"},
		{"name with line feed", func(c *Cluster, _ *NodeSet) { c.Name = "a\n" }, "name", "DNS label"},
		{"longest name", func(c *Cluster, _ *NodeSet) { c.Name = long[:40] }, "", ""},
		{"name too long", func(c *Cluster, _ *NodeSet) { c.Name = long[:41] }, "name", "41 characters"},
		{"label", func(c *Cluster, _ *NodeSet) { c.Labels = map[string]string{"team.example/owner": "a b"} }, "", ""},
		{"label's name", func(c *Cluster, _ *NodeSet) { c.Labels = map[string]string{"-x": ""} }, "labels.-x", "label's name"},
		{"label's value", func(c *Cluster, _ *NodeSet) { c.Labels = map[string]string{"x": "a\nb"} }, "labels.x", "label's value"},

		{"version missing", func(c *Cluster, _ *NodeSet) { c.Spec.Version = "" }, "spec.version", "is missing"},
		{"version short", func(c *Cluster, _ *NodeSet) { c.Spec.Version = "8.19" }, "spec.version", "exact version"},
		{"version with zero", func(c *Cluster, _ *NodeSet) { c.Spec.Version = "8.019.1" }, "spec.version", "exact version"},
		{"version snapshot", func(c *Cluster, _ *NodeSet) { c.Spec.Version = "8.19.1-SNAPSHOT" }, "spec.version", "exact version"},
		{"major 1", func(c *Cluster, _ *NodeSet) { c.Spec.Version = "1.7.6" }, "spec.version", "2, 5, 6, 7, 8, 9"},
		{"major 3", func(c *Cluster, _ *NodeSet) { c.Spec.Version = "3.0.0" }, "spec.version", "2, 5, 6, 7, 8, 9"},
		{"major 10", func(c *Cluster, _ *NodeSet) { c.Spec.Version = "10.0.0" }, "spec.version", "not supported"},
		{"major 9", func(c *Cluster, _ *NodeSet) { c.Spec.Version = "9.0.0" }, "", ""},

		{"no replica is judged later", func(c *Cluster, _ *NodeSet) { *c.Spec.Replicas = 0 }, "", ""},
		{"negative replicas", func(c *Cluster, _ *NodeSet) { *c.Spec.Replicas = -1 }, "spec.replicas", "from 0 to 100"},
		{"too many replicas", func(c *Cluster, _ *NodeSet) { *c.Spec.Replicas = 101 }, "spec.replicas", "from 0 to 100"},
		{"role", func(c *Cluster, _ *NodeSet) { c.Spec.Role = "data/es_1" }, "", ""},
		{"role star", func(c *Cluster, _ *NodeSet) { c.Spec.Role = "*" }, "spec.role", "no Mesos role"},
		{"role with ..", func(c *Cluster, _ *NodeSet) { c.Spec.Role = "a/../b" }, "spec.role", "no Mesos role"},
		{"role with hyphen", func(c *Cluster, _ *NodeSet) { c.Spec.Role = "a/-b" }, "spec.role", "no Mesos role"},
		{"role ends with slash", func(c *Cluster, _ *NodeSet) { c.Spec.Role = "a/" }, "spec.role", "no Mesos role"},

		{"no sets", func(c *Cluster, _ *NodeSet) { c.Spec.NodeSets = nil }, "spec.nodeSets", "at least one node set"},
		{"set's name", func(_ *Cluster, n *NodeSet) { n.Name = "ES" }, set + ".name", "DNS label"},
		{"set's name too long", func(_ *Cluster, n *NodeSet) { n.Name = long[:21] }, set + ".name", "21 characters"},
		{"two sets of one name", func(c *Cluster, n *NodeSet) { c.Spec.NodeSets = append(c.Spec.NodeSets, *n) }, "spec.nodeSets[1].name", "name of spec.nodeSets[0] already"},
		{"count 0", func(_ *Cluster, n *NodeSet) { n.Count = 0 }, set + ".count", "from 1 to 1000"},
		{"count 1000", func(_ *Cluster, n *NodeSet) { n.Count = 1000 }, "", ""},
		{"count 1001", func(_ *Cluster, n *NodeSet) { n.Count = 1001 }, set + ".count", "from 1 to 1000"},
		{"too many nodes", func(c *Cluster, n *NodeSet) {
			n.Count = 1000
			for i := range 2 {
				more := *n
				more.Name = fmt.Sprint("more", i)
				c.Spec.NodeSets = append(c.Spec.NodeSets, more)
			}
		}, "spec.nodeSets", "wants 3000 nodes in all"},

		{"coordinating only needs a master elsewhere", func(_ *Cluster, n *NodeSet) { n.Roles = roles() }, "spec.nodeSets", "no node is master-eligible"},
		{"data only", func(_ *Cluster, n *NodeSet) { n.Roles = roles("data") }, "spec.nodeSets", "no node is master-eligible"},
		{"even number of masters", func(_ *Cluster, n *NodeSet) { n.Count = 4 }, "", ""},
		{"unknown role", func(_ *Cluster, n *NodeSet) { n.Roles = roles("master", "boss") }, set + ".roles[1]", "must be one of master, data"},
		{"role twice", func(_ *Cluster, n *NodeSet) { n.Roles = roles("master", "master") }, set + ".roles[1]", "given twice"},
		{"all roles", func(_ *Cluster, n *NodeSet) { r := KnownRoles(); n.Roles = &r }, "", ""},
		{"tier before 7.10", func(c *Cluster, n *NodeSet) { c.Spec.Version = "7.9.3"; n.Roles = roles("master", "data_hot") }, set + ".roles[1]", "from Elasticsearch 7.10 on, not in 7.9.3"},
		{"frozen in 7.12", func(c *Cluster, n *NodeSet) { c.Spec.Version = "7.12.0"; n.Roles = roles("master", "data_frozen") }, "", ""},
		{"ingest in 2.x", func(c *Cluster, n *NodeSet) { c.Spec.Version = "2.4.6"; n.Roles = roles("master", "ingest") }, set + ".roles[1]", "5.0"},

		{"cpus 0", func(_ *Cluster, n *NodeSet) { n.Resources.CPUs = 0 }, set + ".resources.cpus", "above 0"},
		{"cpus negative", func(_ *Cluster, n *NodeSet) { n.Resources.CPUs = -1 }, set + ".resources.cpus", "above 0"},
		{"cpus NaN", func(_ *Cluster, n *NodeSet) { n.Resources.CPUs = math.NaN() }, set + ".resources.cpus", "above 0"},
		{"cpus infinite", func(_ *Cluster, n *NodeSet) { n.Resources.CPUs = math.Inf(1) }, set + ".resources.cpus", "at most 1024"},
		{"cpus three decimals", func(_ *Cluster, n *NodeSet) { n.Resources.CPUs = 0.001 }, "", ""},
		{"cpus four decimals", func(_ *Cluster, n *NodeSet) { n.Resources.CPUs = 1.0005 }, set + ".resources.cpus", "three decimals"},
		{"cpus 1024", func(_ *Cluster, n *NodeSet) { n.Resources.CPUs = 1023.999 }, "", ""},
		{"memory missing", func(_ *Cluster, n *NodeSet) { n.Resources.Memory = "" }, set + ".resources.memory", "missing"},
		{"memory small", func(_ *Cluster, n *NodeSet) { n.Resources.Memory = "255mb" }, set + ".resources.memory", "at least 256mb"},
		{"memory smallest", func(_ *Cluster, n *NodeSet) { n.Resources.Memory = "256mb" }, "", ""},
		{"memory fraction", func(_ *Cluster, n *NodeSet) { n.Resources.Memory = "500001kb" }, set + ".resources.memory", "whole number of mb"},
		{"memory large", func(_ *Cluster, n *NodeSet) { n.Resources.Memory = "17tb" }, set + ".resources.memory", "at most 16tb"},
		{"heap", func(_ *Cluster, n *NodeSet) { n.Resources.Heap = "2gb" }, "", ""},
		{"heap is all", func(_ *Cluster, n *NodeSet) { n.Resources.Heap = "4gb" }, set + ".resources.heap", "leaves nothing"},
		{"heap of nonsense", func(_ *Cluster, n *NodeSet) { n.Resources.Heap = "50%" }, set + ".resources.heap", "no size"},
		{"heap tiny", func(_ *Cluster, n *NodeSet) { n.Resources.Heap = "1mb" }, set + ".resources.heap", "at least 64mb"},
		{"storage missing", func(_ *Cluster, n *NodeSet) { n.Storage.Size = "" }, set + ".storage.size", "missing"},
		{"storage 0", func(_ *Cluster, n *NodeSet) { n.Storage.Size = "0gb" }, set + ".storage.size", "at least 1mb"},
		{"storage type", func(_ *Cluster, n *NodeSet) { n.Storage.Type = "ssd" }, set + ".storage.type", "root, path, mount"},

		{"spread", func(_ *Cluster, n *NodeSet) { n.Spread = "rack" }, "", ""},
		{"spread of nonsense", func(_ *Cluster, n *NodeSet) { n.Spread = "a b" }, set + ".spread", "no attribute's name"},
		{"zone", func(_ *Cluster, n *NodeSet) { n.TimeZone = "America/Argentina/Buenos_Aires" }, "", ""},
		{"zone with dots", func(_ *Cluster, n *NodeSet) { n.TimeZone = "../etc/passwd" }, set + ".timeZone", "IANA"},
		{"zone with blank", func(_ *Cluster, n *NodeSet) { n.TimeZone = "UTC -Dx=y" }, set + ".timeZone", "IANA"},

		{"setting", func(_ *Cluster, n *NodeSet) {
			n.Config = map[string]any{"indices.query.bool.max_clause_count": 2048.0, "a": []any{"x", true}}
		}, "", ""},
		{"setting reserved", func(_ *Cluster, n *NodeSet) { n.Config = map[string]any{"path.data": "/x"} }, set + `.config["path.data"]`, "the volume's path"},
		{"setting's name", func(_ *Cluster, n *NodeSet) { n.Config = map[string]any{"a b": 1.0} }, set + `.config["a b"]`, "no setting's name"},
		{"setting's name injects", func(_ *Cluster, n *NodeSet) { n.Config = map[string]any{"a: 1\npath.data": 1.0} }, set + `.config["a: 1\npath.data"]`, "no setting's name"},
		{"setting nested", func(_ *Cluster, n *NodeSet) { n.Config = map[string]any{"path": map[string]any{"data": "/x"}} }, set + `.config["path"]`, "whole dotted name"},
		{"setting nested in list", func(_ *Cluster, n *NodeSet) { n.Config = map[string]any{"a": []any{map[string]any{}}} }, set + `.config["a"]`, "whole dotted name"},
		{"setting list in list", func(_ *Cluster, n *NodeSet) { n.Config = map[string]any{"a": []any{[]any{}}} }, set + `.config["a"]`, "cannot nest"},
		{"setting with control", func(_ *Cluster, n *NodeSet) { n.Config = map[string]any{"a": "x\ny"} }, set + `.config["a"]`, "control characters"},
		{"setting long", func(_ *Cluster, n *NodeSet) { n.Config = map[string]any{"a": long} }, set + `.config["a"]`, "at most 1024"},
		{"setting nil", func(_ *Cluster, n *NodeSet) { n.Config = map[string]any{"a": nil} }, set + `.config["a"]`, "must be a string"},

		{"option", func(_ *Cluster, n *NodeSet) { n.JavaOptions = []string{"-XX:+UseZGC", "-Dx=y"} }, "", ""},
		{"option heap", func(_ *Cluster, n *NodeSet) { n.JavaOptions = []string{"-ea", "-Xmx4g"} }, set + ".javaOptions[1]", "set resources.heap"},
		{"option initial heap", func(_ *Cluster, n *NodeSet) { n.JavaOptions = []string{"-Xms4g"} }, set + ".javaOptions[0]", "set resources.heap"},
		{"option RAM percentage", func(_ *Cluster, n *NodeSet) { n.JavaOptions = []string{"-XX:MaxRAMPercentage=90"} }, set + ".javaOptions[0]", "set resources.heap"},
		{"option zone", func(_ *Cluster, n *NodeSet) { n.JavaOptions = []string{"-Duser.timezone=X"} }, set + ".javaOptions[0]", "set timeZone"},
		{"option paths", func(_ *Cluster, n *NodeSet) { n.JavaOptions = []string{"-Des.path.conf=/x"} }, set + ".javaOptions[0]", "paths"},
		{"option with blank", func(_ *Cluster, n *NodeSet) { n.JavaOptions = []string{"-Dx=y -Xmx4g"} }, set + ".javaOptions[0]", "without blanks"},
		{"option with line feed", func(_ *Cluster, n *NodeSet) { n.JavaOptions = []string{"-Dx=y\n-Xmx4g"} }, set + ".javaOptions[0]", "without blanks"},
		{"option with quotes", func(_ *Cluster, n *NodeSet) { n.JavaOptions = []string{`-Dx="y"`} }, set + ".javaOptions[0]", "quotes"},
		{"option file", func(_ *Cluster, n *NodeSet) { n.JavaOptions = []string{"@/etc/x"} }, set + ".javaOptions[0]", "begin with a hyphen"},
		{"option class path", func(_ *Cluster, n *NodeSet) { n.JavaOptions = []string{"-cp"} }, set + ".javaOptions[0]", "what the JVM runs"},
	}
	v := Validation{ReservedSetting: func(name string) (bool, string) { return name == "path.data", "the volume's path" }}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			tt.change(&c, &c.Spec.NodeSets[0])
			p := c.Validate(v)
			if tt.field == "" {
				require.Nil(t, p)
				return
			}
			require.NotNil(t, p)
			require.Equal(t, 422, p.Status)
			require.Equal(t, CodeSpecInvalid, p.Code)
			require.Equal(t, []string{tt.field}, names(p), "%v", p)
			require.Contains(t, p.Fields[0].Message, tt.message)
		})
	}
}

func TestValidateConstraints(t *testing.T) {
	tests := []struct {
		c       Constraint
		field   string // below the constraint; "" = valid
		message string
	}{
		{Constraint{"rack", "EQ", []string{"r1"}}, "", ""},
		{Constraint{"rack", "EQ", nil}, "values", "exactly one value, not 0"},
		{Constraint{"rack", "NEQ", []string{"a", "b"}}, "values", "exactly one value, not 2"},
		{Constraint{"rack", "EQ", []string{""}}, "values[0]", "is empty"},
		{Constraint{"rack", "IN", []string{"a", "b"}}, "", ""},
		{Constraint{"rack", "NOTIN", nil}, "values", "1 to 256 values, not 0"},
		{Constraint{"rack", "IN", make([]string, 257)}, "values", "not 257"},
		{Constraint{"rack", "LIKE", []string{"r[0-9]+"}}, "", ""},
		{Constraint{"rack", "LIKE", []string{"r[0-9"}}, "values[0]", "RE2: missing closing ]"},
		{Constraint{"rack", "UNLIKE", []string{"(?=x)"}}, "values[0]", "RE2"},
		{Constraint{"rack", "LIKE", []string{""}}, "", ""},
		{Constraint{"rack", "LIKE", []string{strings.Repeat("a", 1025)}}, "values[0]", "1025 bytes"},
		{Constraint{"gen", "GE", []string{"3"}}, "", ""},
		{Constraint{"gen", "LT", []string{"-1.5e3"}}, "", ""},
		{Constraint{"gen", "LE", []string{"three"}}, "values[0]", "no number"},
		{Constraint{"gen", "GT", []string{"NaN"}}, "values[0]", "no number"},
		{Constraint{"gen", "GT", []string{"Inf"}}, "values[0]", "no number"},
		{Constraint{"gpu", "EXISTS", nil}, "", ""},
		{Constraint{"gpu", "NOTEXISTS", []string{"x"}}, "values", "no value, not 1"},
		{Constraint{"gpu", "exists", nil}, "operator", `did you mean "EXISTS"?`},
		{Constraint{"gpu", "UNIQUE", nil}, "operator", "must be one of EQ"},
		{Constraint{"", "EXISTS", nil}, "attribute", "is missing"},
		{Constraint{"a b", "EXISTS", nil}, "attribute", "no attribute's name"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %s %.40q", tt.c.Attribute, tt.c.Operator, tt.c.Values), func(t *testing.T) {
			c := valid()
			c.Spec.NodeSets[0].Constraints = []Constraint{tt.c}
			p := c.Validate(Validation{})
			if tt.field == "" {
				require.Nil(t, p)
				return
			}
			require.NotNil(t, p)
			require.Equal(t, []string{"spec.nodeSets[0].constraints[0]." + tt.field}, names(p))
			require.Contains(t, p.Fields[0].Message, tt.message)
		})
	}
}

func TestValidateBoundsEveryList(t *testing.T) {
	c := valid()
	n := &c.Spec.NodeSets[0]
	n.Constraints = make([]Constraint, MaxConstraints+1)
	n.JavaOptions = make([]string, MaxJavaOptions+1)
	n.Config = map[string]any{}
	for i := range MaxConfig + 1 {
		n.Config[fmt.Sprint("a", i)] = true
	}
	many := make([]string, 100)
	n.Roles = &many
	c.Labels = map[string]string{}
	for i := range MaxLabels + 1 {
		c.Labels[fmt.Sprint("a", i)] = ""
	}
	p := c.Validate(Validation{})
	got := fields(p)
	for _, f := range []string{"constraints", "javaOptions", "config", "roles"} {
		require.Contains(t, got, "spec.nodeSets[0]."+f)
	}
	require.Contains(t, got, "labels")

	c = valid()
	c.Spec.NodeSets = make([]NodeSet, MaxNodeSets+1)
	require.Equal(t, []string{"spec.nodeSets"}, names(c.Validate(Validation{})))
	c.Spec.NodeSets = make([]NodeSet, MaxNodeSets)
	require.Len(t, c.Validate(Validation{}).Fields, MaxFieldErrors)
}

func TestValidateAsksTheInstallation(t *testing.T) {
	c := valid()
	c.Spec.Role = "other"
	p := c.Validate(Validation{
		Roles:            []string{"data", "logs"},
		VersionAvailable: func(v string) (bool, string) { return v != "8.19.21", "8.19.21 is not in the catalogue" },
	})
	require.Equal(t, []string{"spec.version", "spec.role"}, names(p))
	require.Contains(t, p.Fields[0].Message, "catalogue")
	require.Contains(t, p.Fields[1].Message, "data, logs")
	c.Spec.Role = "logs"
	require.Nil(t, c.Validate(Validation{Roles: []string{"data", "logs"}}))
}

func TestDefaults(t *testing.T) {
	c := valid()
	require.Equal(t, 1, *c.Spec.Replicas)
	n := c.Spec.NodeSets[0]
	require.Equal(t, []string{"master", "data", "ingest"}, *n.Roles)
	require.Equal(t, "root", n.Storage.Type)
	require.Equal(t, "UTC", n.TimeZone)
	require.Equal(t, 3, c.Spec.MasterNodes())

	old := Cluster{Spec: ClusterSpec{Version: "2.4.6", NodeSets: make([]NodeSet, 2)}}
	old.Spec.NodeSets[1].Roles = roles()
	old.SetDefaults()
	require.Equal(t, []string{"master", "data"}, *old.Spec.NodeSets[0].Roles, "2.x has no ingest nodes")
	require.Empty(t, *old.Spec.NodeSets[1].Roles, "no roles is a coordinating-only node, not the default")
}

func TestDiff(t *testing.T) {
	from := valid().Spec
	change := func(f func(s *ClusterSpec, n *NodeSet)) []string {
		to := from.Clone()
		f(&to, &to.NodeSets[0])
		var got []string
		for _, c := range Diff(from, to) {
			got = append(got, c.String())
		}
		require.Equal(t, len(got) == 0, SameSpec(from, to))
		return got
	}
	require.Empty(t, change(func(*ClusterSpec, *NodeSet) {}))
	require.Empty(t, change(func(_ *ClusterSpec, n *NodeSet) { n.Resources.Memory = "4096mb" }), "the same size")
	require.Empty(t, change(func(_ *ClusterSpec, n *NodeSet) { n.Roles = roles("ingest", "data", "master") }), "the order of roles means nothing")
	require.Empty(t, change(func(_ *ClusterSpec, n *NodeSet) { n.Storage.Type = "" }), "defaults are filled in")
	require.Empty(t, change(func(_ *ClusterSpec, n *NodeSet) { n.Config = map[string]any{} }), "empty is absent")
	require.Equal(t, []string{`version: "8.19.21" → "9.0.0"`, "replicas: 1 → 2"},
		change(func(s *ClusterSpec, _ *NodeSet) { s.Version = "9.0.0"; *s.Replicas = 2 }))
	require.Equal(t, []string{`nodeSets[es].count: 3 → 5`, `nodeSets[es].resources.memory: "4gb" → "8gb"`, `nodeSets[es].config: {} → {"a":1}`},
		change(func(_ *ClusterSpec, n *NodeSet) {
			n.Count, n.Resources.Memory, n.Config = 5, "8gb", map[string]any{"a": 1}
		}))
	require.Equal(t, []string{`nodeSets[es].resources.heap: "" → "1gb"`}, change(func(_ *ClusterSpec, n *NodeSet) { n.Resources.Heap = "1gb" }))
	require.Equal(t, []string{`nodeSets[es].roles: ["data","ingest","master"] → []`}, change(func(_ *ClusterSpec, n *NodeSet) { n.Roles = roles() }))

	to := from.Clone()
	to.NodeSets[0].Name = "data"
	got := Diff(from, to)
	require.Len(t, got, 2)
	require.Equal(t, Change{Field: "nodeSets[data]", NodeSet: "data", To: got[0].To}, got[0])
	require.Equal(t, Change{Field: "nodeSets[es]", NodeSet: "es", From: got[1].From}, got[1])
}

func TestDiffProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := clusters().Draw(t, "a").Spec, clusters().Draw(t, "b").Spec
		there, back := Diff(a, b), Diff(b, a)
		require.Len(t, back, len(there))
		for i := range there {
			require.Equal(t, Change{there[i].Field, there[i].NodeSet, there[i].Leaf, there[i].To, there[i].From}, back[i])
		}
		require.True(t, SameSpec(a, a.Clone()))
		if len(there) == 0 {
			doc := asJSON(a)
			require.Equal(t, doc, asJSON(b))
		}
	})
}

func TestCloneSharesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := clusters().Draw(t, "a").Spec
		before := asJSON(a)
		b := a.Clone()
		require.Equal(t, a, b)
		*b.Replicas = 77
		for i := range b.NodeSets {
			n := &b.NodeSets[i]
			n.Count = 77
			*n.Roles = append((*n.Roles)[:0], "x", "y", "z")
			for j := range n.Constraints {
				n.Constraints[j].Attribute = "x"
				n.Constraints[j].Values[0] = "x"
			}
			for k := range n.Config {
				n.Config[k] = "changed"
			}
			for j := range n.JavaOptions {
				n.JavaOptions[j] = "x"
			}
		}
		require.Equal(t, before, asJSON(a))
	})
}
