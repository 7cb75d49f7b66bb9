package v1

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const minimal = `{"name":"logs","spec":{"version":"8.19.21","nodeSets":[
{"name":"es","count":3,"resources":{"cpus":1.5,"memory":"1gb"},"storage":{"size":"10gb"}}]}}`

func TestDecodeCluster(t *testing.T) {
	c, p := DecodeCluster([]byte(minimal))
	require.Nil(t, p)
	require.Equal(t, Cluster{Name: "logs", Spec: ClusterSpec{Version: "8.19.21", NodeSets: []NodeSet{{
		Name: "es", Count: 3, Resources: NodeResources{CPUs: 1.5, Memory: "1gb"}, Storage: Storage{Size: "10gb"},
	}}}}, c)
}

// with replaces one text of the minimal document.
func with(old, new string) string {
	if !strings.Contains(minimal, old) {
		panic("the minimal document has no " + old)
	}
	return strings.Replace(minimal, old, new, 1)
}

func TestDecodeNamesTheField(t *testing.T) {
	tests := []struct{ name, doc, field, message string }{
		{"unknown at the top", with(`"name":"logs"`, `"name":"logs","kind":"x"`), "kind", "unknown field"},
		{"unknown deep", with(`"size":"10gb"`, `"size":"10gb","class":"ssd"`), "spec.nodeSets[0].storage.class", "unknown field"},
		{"case counts", with(`"count":3`, `"Count":3`), "spec.nodeSets[0].Count", `did you mean "count"?`},
		{"underscore", with(`"nodeSets"`, `"node_sets"`), "spec.node_sets", `did you mean "nodeSets"?`},
		{"one letter", with(`"memory"`, `"memry"`), "spec.nodeSets[0].resources.memry", `did you mean "memory"?`},
		{"missing", with(`"count":3,`, ``), "spec.nodeSets[0].count", "is missing"},
		{"number for string", with(`"8.19.21"`, `8.19`), "spec.version", `write it in quotes, "8.19"`},
		{"true for string", with(`"8.19.21"`, `true`), "spec.version", "not true or false"},
		{"string for integer", with(`"count":3`, `"count":"3"`), "spec.nodeSets[0].count", "must be a whole number, not a string"},
		{"fraction for integer", with(`"count":3`, `"count":3.5`), "spec.nodeSets[0].count", "whole number in range, not 3.5"},
		{"integer too large", with(`"count":3`, `"count":99999999999999999999`), "spec.nodeSets[0].count", "in range"},
		{"float too large", with(`"cpus":1.5`, `"cpus":1e999`), "spec.nodeSets[0].resources.cpus", "in range"},
		{"list for object", with(`{"size":"10gb"}`, `[]`), "spec.nodeSets[0].storage", "must be an object, not a list"},
		{"string for list", with(`"count":3`, `"count":3,"roles":"data"`), "spec.nodeSets[0].roles", "must be a list, not a string"},
		{"null", with(`"1gb"`, `null`), "spec.nodeSets[0].resources.memory", "null is no value"},
		{"null for a pointer", with(`"count":3`, `"count":3,"roles":null`), "spec.nodeSets[0].roles", "null is no value"},
		{"doubled", with(`"count":3`, `"count":3,"count":4`), "spec.nodeSets[0].count", "given twice"},
		{"doubled setting", with(`"count":3`, `"count":3,"config":{"a.b":1,"a.b":2}`), `spec.nodeSets[0].config["a.b"]`, "given twice"},
		{"null setting", with(`"count":3`, `"count":3,"config":{"a.b":null}`), `spec.nodeSets[0].config["a.b"]`, "null is no value"},
		{"lossy setting", with(`"count":3`, `"count":3,"config":{"a.b":9007199254740993}`), `spec.nodeSets[0].config["a.b"]`, "would lose digits"},
		{"lossy negative setting", with(`"count":3`, `"count":3,"config":{"a":[-9007199254740993]}`), `spec.nodeSets[0].config.a[0]`, "would lose digits"},
		{"huge setting", with(`"count":3`, `"count":3,"config":{"a":1e999}`), `spec.nodeSets[0].config.a`, "out of range"},
		{"label", with(`"name":"logs"`, `"name":"logs","labels":{"a/b.c":7}`), `labels["a/b.c"]`, "must be a string"},
		{"role in a list", with(`"count":3`, `"count":3,"roles":["data",3]`), "spec.nodeSets[0].roles[1]", "must be a string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, p := DecodeCluster([]byte(tt.doc))
			require.NotNil(t, p)
			require.Equal(t, 400, p.Status)
			require.Equal(t, CodeBodyInvalid, p.Code)
			require.Contains(t, fields(p), tt.field)
			require.Contains(t, fields(p)[tt.field], tt.message)
		})
	}
}

func fields(p *Problem) map[string]string {
	m := map[string]string{}
	for _, f := range p.Fields {
		m[f.Field] = f.Message
	}
	return m
}

func TestDecodeMalformed(t *testing.T) {
	// Inside the document's own object this is one level too many.
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	_, p := DecodeCluster([]byte(`{"spec":` + deep[1:len(deep)-1] + `}`))
	require.Equal(t, CodeBodyInvalid, p.Code, "the deepest allowed is read")
	tests := []struct{ name, doc, detail string }{
		{"empty", "", "it is empty"},
		{"blank", " \n", "it is empty"},
		{"cut off", minimal[:50], "it ends too early"},
		{"trailing", minimal + `{}`, "something after the document's end"},
		{"trailing junk", minimal + `x`, "something after the document's end"},
		{"trailing comma", "{\n\"name\":\"x\",}", "line 2"},
		{"not UTF-8", "{\"name\":\"\xff\"}", "not UTF-8"},
		{"too deep", `{"spec":` + deep + `}`, "nests deeper"},
		{"too deep in a setting", with(`"count":3`, `"config":{"a":`+deep+`}`), "nests deeper"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, p := DecodeCluster([]byte(tt.doc))
			require.NotNil(t, p)
			require.Equal(t, 400, p.Status)
			require.Equal(t, CodeBodyMalformed, p.Code)
			require.Contains(t, p.Detail, tt.detail)
		})
	}
	_, p = DecodeCluster([]byte(strings.Repeat(" ", MaxDocument+1)))
	require.Equal(t, 413, p.Status)
	require.Equal(t, CodeBodyTooLarge, p.Code)
}

func TestDecodeWrongRoots(t *testing.T) {
	for _, doc := range []string{`[]`, `"x"`, `1`, `true`, `null`} {
		_, p := DecodeCluster([]byte(doc))
		require.NotNil(t, p, doc)
		require.Equal(t, "the document", p.Fields[0].Field)
	}
}

func TestDecodeReportsEverythingUpToABound(t *testing.T) {
	_, p := DecodeCluster([]byte(`{"nam":"x","spec":{"version":8,"nodeSets":[{"name":1}]}}`))
	require.Equal(t, []string{"nam", "spec.version", "spec.nodeSets[0].name", "spec.nodeSets[0].count",
		"spec.nodeSets[0].resources", "spec.nodeSets[0].storage", "name"}, names(p))

	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf(`"x%d":1`, i))
	}
	_, p = DecodeCluster([]byte("{" + strings.Join(many, ",") + "}"))
	require.Len(t, p.Fields, MaxFieldErrors)
	require.Equal(t, "and 83 more", p.Fields[MaxFieldErrors-1].Message, "100 unknown and 2 missing, 19 shown")
}

func names(p *Problem) []string {
	var list []string
	for _, f := range p.Fields {
		list = append(list, f.Field)
	}
	return list
}

// clusters draws valid clusters with defaults set.
func clusters() *rapid.Generator[Cluster] {
	return rapid.Custom(func(t *rapid.T) Cluster {
		name := rapid.StringMatching(`[a-z][a-z0-9]{0,9}`)
		size := rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf("%dmb", rapid.IntRange(MinMemoryMiB, 100_000).Draw(t, "mib"))
		})
		setting := rapid.OneOf(
			rapid.Map(rapid.Bool(), func(b bool) any { return b }),
			rapid.Map(rapid.IntRange(-1<<40, 1<<40), func(n int) any { return float64(n) }),
			rapid.Map(rapid.StringMatching(`[ -~äß]{0,20}`), func(s string) any { return s }),
			rapid.Map(rapid.SliceOfN(rapid.StringMatching(`[a-z]{0,5}`), 0, 3), func(list []string) any {
				out := []any{}
				for _, s := range list {
					out = append(out, s)
				}
				return out
			}),
		)
		var c Cluster
		c.Name = name.Draw(t, "name")
		c.Labels = rapid.MapOfN(name, rapid.StringMatching(`[ -~]{0,9}`), 0, 3).Draw(t, "labels")
		if len(c.Labels) == 0 {
			c.Labels = nil
		}
		c.Spec.Version = rapid.SampledFrom([]string{"2.4.6", "5.6.16", "6.8.23", "7.17.28", "8.19.21", "9.1.0"}).Draw(t, "version")
		replicas := rapid.IntRange(0, 3).Draw(t, "replicas")
		c.Spec.Replicas = &replicas
		for i := range rapid.IntRange(1, 4).Draw(t, "sets") {
			roles := []string{RoleMaster, RoleData}
			if i > 0 {
				roles = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{RoleMaster, RoleData}), 0, 2, rapid.ID[string]).Draw(t, "roles")
			}
			n := NodeSet{Name: fmt.Sprintf("set%d", i), Count: rapid.IntRange(1, 100).Draw(t, "count"), Roles: &roles}
			n.Resources.CPUs = float64(rapid.IntRange(1, 64_000).Draw(t, "millis")) / 1000
			n.Resources.Memory = size.Draw(t, "memory")
			n.Storage.Size = size.Draw(t, "storage")
			n.Storage.Type = rapid.SampledFrom([]string{StorageRoot, StoragePath, StorageMount}).Draw(t, "type")
			n.Spread = rapid.SampledFrom([]string{"", "rack"}).Draw(t, "spread")
			n.TimeZone = rapid.SampledFrom([]string{"UTC", "Europe/Berlin"}).Draw(t, "zone")
			n.Config = rapid.MapOfN(rapid.StringMatching(`[a-z]{1,5}\.[a-z]{1,5}`), setting, 0, 3).Draw(t, "config")
			if len(n.Config) == 0 {
				n.Config = nil
			}
			if rapid.Bool().Draw(t, "constrained") {
				n.Constraints = []Constraint{{Attribute: "disk", Operator: OpLIKE, Values: []string{"ssd|nvme"}}, {Attribute: "gen", Operator: OpGE, Values: []string{"3"}}}
				n.JavaOptions = []string{"-XX:+UseG1GC"}
			}
			c.Spec.NodeSets = append(c.Spec.NodeSets, n)
		}
		return c
	})
}

func TestValidClustersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := clusters().Draw(t, "cluster")
		if p := c.Validate(Validation{}); p != nil {
			t.Fatalf("a valid cluster is refused: %v", p)
		}
		doc, err := json.Marshal(c)
		require.NoError(t, err)
		again, p := DecodeCluster(doc)
		if p != nil {
			t.Fatalf("its own JSON is refused: %v\n%s", p, doc)
		}
		require.Equal(t, c, again)
		again.SetDefaults()
		require.Equal(t, c, again, "defaults change nothing that is set")
	})
}

// FuzzDecodeCluster: decoding never panics; what it refuses has a reason within
// the bounds; what it accepts is what encoding/json reads, and survives being
// written and read again.
func FuzzDecodeCluster(f *testing.F) {
	f.Add([]byte(minimal))
	for _, s := range []string{`{}`, `[`, `{"name":"a","name":"b"}`, `{"spec":{"nodeSets":[null]}}`, "{\"\xff\":1}", `{"name":1e400}`,
		with(`"count":3`, `"count":3,"config":{"a.b":[1,true,"x",{"y":1e300}]},"roles":[],"constraints":[{"attribute":"a","operator":"EQ"}]`)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, p := DecodeCluster(doc)
		if p != nil {
			assert.Contains(t, []int{400, 413}, p.Status)
			assert.NotEqual(t, "the document does not fit", p.Title, "the walk over the document missed what encoding/json found: %s", p.Detail)
			assert.LessOrEqual(t, len(p.Fields), MaxFieldErrors)
			if p.Code == CodeBodyInvalid {
				assert.NotEmpty(t, p.Fields)
			}
			_, err := json.Marshal(p)
			require.NoError(t, err)
			return
		}
		var plain Cluster
		require.NoError(t, json.Unmarshal(doc, &plain))
		require.Equal(t, plain, c)
		c.SetDefaults()
		_ = c.Validate(Validation{})
		_ = c.Spec.Clone()
		again, err := json.Marshal(c)
		require.NoError(t, err)
		back, p := DecodeCluster(again)
		require.Nil(t, p, "%s", again)
		require.True(t, SameSpec(c.Spec, back.Spec))
	})
}
