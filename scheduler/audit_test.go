package scheduler

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
)

// Every event that carries a user is an order, and the audit log knows how to enter
// it; asking for the plan of a repair alone changes nothing.
func TestEveryOrderIsAudited(t *testing.T) {
	source := orderOfSource(t)
	found := 0
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(tree, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			fields, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			has := map[string]bool{}
			for _, f := range fields.Fields.List {
				for _, name := range f.Names {
					has[name.Name] = true
				}
			}
			if has["Reply"] && has["User"] && spec.Name.Name != "RepairAsked" {
				found++
				assert.True(t, source[spec.Name.Name], "%s is an order that orderOf does not know", spec.Name.Name)
			}
			return true
		})
	}
	assert.GreaterOrEqual(t, found, 16)
}

// orderOfSource are the types that orderOf tells apart.
func orderOfSource(t *testing.T) map[string]bool {
	tree, err := parser.ParseFile(token.NewFileSet(), "audit.go", nil, 0)
	require.NoError(t, err)
	known := map[string]bool{}
	ast.Inspect(tree, func(n ast.Node) bool {
		if clause, ok := n.(*ast.CaseClause); ok {
			for _, x := range clause.List {
				if name, ok := x.(*ast.Ident); ok {
					known[name.Name] = true
				}
			}
		}
		return true
	})
	return known
}

// auditCore is a core with an audit log of n entries, and what is durable of it.
func auditCore(t *testing.T, n int) (*Core, map[state.Key][]byte) {
	t.Helper()
	c, err := New(benchConfig(), nil)
	require.NoError(t, err)
	records := map[state.Key][]byte{}
	for i := range n {
		c.begin(benchEpoch.Add(time.Duration(i) * time.Minute))
		c.enter(v1.AuditEntry{
			User: []string{"ann", "bob"}[i%2], Verb: "apply", Kind: "cluster", Target: fmt.Sprintf("c%d", i%10), Message: strings.Repeat("m", 2*maxAuditText),
		})
		for _, w := range c.settle().Writes {
			if w.Value == nil {
				delete(records, w.Key)
			} else {
				records[w.Key] = w.Value
			}
		}
	}
	return c, records
}

func TestTheAuditLogIsBounded(t *testing.T) {
	const kept = state.AuditPageSize * state.MaxAuditPages
	c, records := auditCore(t, kept+state.AuditPageSize+1)
	assert.Len(t, records, state.MaxAuditPages, "what is dropped is dropped from the store as well")
	for key, value := range records {
		assert.Less(t, len(value), 200_000, "%s", key)
	}
	again, err := New(benchConfig(), records)
	require.NoError(t, err)
	for name, x := range map[string]*Core{"before": c, "after a failover": again} {
		var all []v1.AuditEntry
		filter := AuditFilter{}
		for {
			list := x.Audit(filter)
			assert.LessOrEqual(t, len(list.Entries), v1.MaxAuditListed)
			assert.Equal(t, int64(2*state.AuditPageSize+1), list.Oldest)
			all = append(all, list.Entries...)
			if !list.More {
				break
			}
			filter.Before = all[len(all)-1].ID
		}
		require.Len(t, all, kept-state.AuditPageSize+1, name)
		for i, e := range all {
			require.Equal(t, int64(kept+state.AuditPageSize+1-i), e.ID, name)
			require.LessOrEqual(t, len(e.Message), maxAuditText+len("…"), name)
		}
	}
	again.begin(benchEpoch.Add(time.Hour))
	again.enter(v1.AuditEntry{Target: "next"})
	assert.Equal(t, int64(kept+state.AuditPageSize+2), again.Audit(AuditFilter{Most: 1}).Entries[0].ID, "ids go on")
}

func TestAuditFilters(t *testing.T) {
	c, _ := auditCore(t, 120)
	count := func(f AuditFilter) int { return len(c.Audit(f).Entries) }
	at := func(minutes int) time.Time { return benchEpoch.Add(time.Duration(minutes) * time.Minute) }
	assert.Equal(t, 120, count(AuditFilter{}))
	assert.Equal(t, 60, count(AuditFilter{User: "ann"}))
	assert.Equal(t, 12, count(AuditFilter{Target: "c3"}))
	assert.Zero(t, count(AuditFilter{Target: "c3", User: "ann"}))
	assert.Zero(t, count(AuditFilter{Verb: "delete"}))
	assert.Zero(t, count(AuditFilter{Kind: "volume"}))
	assert.Equal(t, 20, count(AuditFilter{Since: at(100)}))
	assert.Equal(t, 10, count(AuditFilter{Since: at(100), Until: at(110)}))
	assert.Equal(t, 9, count(AuditFilter{Before: 10}))
	list := c.Audit(AuditFilter{Most: 7})
	assert.Len(t, list.Entries, 7)
	assert.True(t, list.More)
	assert.Equal(t, int64(120), list.Entries[0].ID)
	assert.False(t, c.Audit(AuditFilter{Before: 8, Most: 7}).More)
}

func TestDamagedAuditPages(t *testing.T) {
	entry := func(id int64) v1.AuditEntry { return v1.AuditEntry{ID: id} }
	for name, k := range map[string]struct {
		record string
		page   state.AuditPage
		says   string
	}{
		"another name": {"000000000002", state.AuditPage{First: 1, Entries: []v1.AuditEntry{entry(1)}}, "it is the record of"},
		"empty":        {"000000000001", state.AuditPage{First: 1}, "a page of 0 entries"},
		"a gap":        {"000000000001", state.AuditPage{First: 1, Entries: []v1.AuditEntry{entry(1), entry(3)}}, "entry 1 has the id 3"},
		"none yet":     {"000000000000", state.AuditPage{Entries: []v1.AuditEntry{entry(0)}}, "entry 0 has the id 0"},
		"too long":     {"000000000001", state.AuditPage{First: 1, Entries: make([]v1.AuditEntry, state.AuditPageSize+1)}, "a page of 51 entries"},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := auditRecord.Encode(k.record, k.page)
			require.NoError(t, err)
			_, err = New(benchConfig(), map[state.Key][]byte{w.Key: w.Value})
			require.ErrorContains(t, err, k.says)
			require.ErrorContains(t, CheckRecords(map[state.Key][]byte{w.Key: w.Value}), k.says)
		})
	}
}
