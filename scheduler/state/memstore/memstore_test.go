package memstore

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/state/statetest"
)

func TestMemoryConforms(t *testing.T) {
	statetest.Run(t, func(*testing.T) *statetest.Backend {
		m := NewMemory()
		return &statetest.Backend{
			Usurp: func(*testing.T) { m.Usurp() },
			Candidate: func(t *testing.T) *statetest.Candidate {
				e := m.NewElector()
				t.Cleanup(func() { require.NoError(t, e.Close()) })
				return &statetest.Candidate{
					Elector:    e,
					Expire:     func(*testing.T) { m.Expire() },
					LoseAnswer: func(*testing.T) { m.LoseAnswer() },
					Outage: func(*testing.T) func() {
						m.SetAway(true)
						return func() { m.SetAway(false) }
					},
				}
			},
		}
	})
}

func TestDirConforms(t *testing.T) {
	statetest.Run(t, func(t *testing.T) *statetest.Backend {
		path := t.TempDir()
		return &statetest.Backend{
			Usurp: func(t *testing.T) {
				d := &dir{path: path}
				last, err := d.readLeader()
				require.NoError(t, err)
				require.NoError(t, d.replace("leader.json", leaderFile{Epoch: last.Epoch + 1}))
			},
			Candidate: func(t *testing.T) *statetest.Candidate {
				e, err := Open(path)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, e.Close()) })
				return &statetest.Candidate{Elector: e}
			},
		}
	})
}
