package sparkjob

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/test/rig/rigtest"
)

func (n *Numbers) note(t *testing.T, b Batch) {
	t.Helper()
	doc, err := json.Marshal(b)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(n.Ledger, fmt.Sprintf("batch-%06d.json", b.Batch)), doc, 0o644))
}

// TestCheck: what is lost, repeated or made up is found.
func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		second     []int
	}{
		{"exactly once", "", []int{4, 3}},
		{"one is lost", "the first that is missing is 3", []int{4}},
		{"one is doubled", "1 is in batch 0 and in batch 1", []int{3, 4, 1}},
		{"one is doubled in its batch", "3 is in batch 1 and in batch 1", []int{3, 3, 4}},
		{"one is made up", "7, which was not written", []int{3, 4, 7}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, err := NewNumbers(rigtest.New(t), "numbers")
			require.NoError(t, err)
			require.NoError(t, n.Write(2))
			require.NoError(t, n.Write(3))
			n.note(t, Batch{Batch: 0, Numbers: []int{0, 1, 2}})
			n.note(t, Batch{Batch: 1, Numbers: tt.second})
			err = n.Check()
			if tt.says == "" {
				require.NoError(t, err)
				require.NoError(t, n.WaitSeen(t.Context()))
				return
			}
			assert.ErrorContains(t, err, tt.says)
		})
	}
}

func TestKeep(t *testing.T) {
	n, err := NewNumbers(rigtest.New(t), "numbers")
	require.NoError(t, err)
	stop := n.Keep(t.Context(), 2, time.Millisecond)
	require.Eventually(t, func() bool { return n.Written() >= 6 }, 10*time.Second, time.Millisecond)
	require.NoError(t, stop())
	files, err := filepath.Glob(filepath.Join(n.Input, "*.txt"))
	require.NoError(t, err)
	assert.Len(t, files, n.Written()/2, "it has stopped")
	require.NoError(t, stop(), "again")
}
