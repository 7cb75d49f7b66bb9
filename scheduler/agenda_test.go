package scheduler

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The agenda behaves as a plain list of times by key.
func TestAgendaIsAList(t *testing.T) {
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		a, list := newAgenda(), map[string]time.Time{}
		key := rapid.StringMatching(`[a-f]`)
		at := rapid.Custom(func(t *rapid.T) time.Time {
			return base.Add(time.Duration(rapid.IntRange(0, 9).Draw(t, "second")) * time.Second)
		})
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				k, when := key.Draw(t, "key"), at.Draw(t, "at")
				a.set(k, when)
				list[k] = when
			},
			"take off": func(t *rapid.T) {
				k := key.Draw(t, "key")
				a.set(k, time.Time{})
				delete(list, k)
			},
			"due": func(t *rapid.T) {
				now := at.Draw(t, "now")
				var want []string
				for k, when := range list {
					if !when.After(now) {
						want = append(want, k)
					}
				}
				slices.SortFunc(want, func(x, y string) int {
					if d := list[x].Compare(list[y]); d != 0 {
						return d
					}
					return strings.Compare(x, y)
				})
				for _, k := range want {
					delete(list, k)
				}
				require.Equal(t, want, a.due(now))
			},
			"": func(t *rapid.T) {
				var first time.Time
				for _, when := range list {
					first = earliest(first, when)
				}
				require.True(t, first.Equal(a.next()), "next is %s, not %s", a.next(), first)
				require.Len(t, a.items, len(list))
				require.Len(t, a.heap, len(list))
			},
		})
	})
}
