package memstore

import (
	"context"
	"fmt"
	"sync"

	"github.com/berthdata/berth/scheduler/state"
)

// Memory is state in memory, shared by the electors made from it. It can fail on
// demand in the ways in which ZooKeeper does.
type Memory struct {
	turn chan struct{} // has one element while nobody leads

	mu         sync.Mutex
	values     map[state.Key][]byte
	epoch      int64
	last       state.Position // the newest commit
	address    string
	expire     func() // ends the present term
	away       bool
	loseAnswer bool
}

// NewMemory returns an empty one.
func NewMemory() *Memory {
	m := &Memory{turn: make(chan struct{}, 1), values: map[state.Key][]byte{}, expire: func() {}}
	m.turn <- struct{}{}
	return m
}

// NewElector returns one more candidate.
func (m *Memory) NewElector() *Elector { return newElector(m) }

// SetAway makes everything but campaigns fail with state.ErrUnavailable, or stops that.
func (m *Memory) SetAway(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = away
}

// LoseAnswer makes the next commit succeed but return state.ErrUnavailable.
func (m *Memory) LoseAnswer() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loseAnswer = true
}

// Usurp raises the epoch as a newer leader does, without telling the present one.
func (m *Memory) Usurp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch++
}

// Expire ends the present leader's term as an expired session does.
func (m *Memory) Expire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
}

func (m *Memory) acquire(ctx context.Context, advertise string) (term, error) {
	select {
	case <-m.turn:
	case <-ctx.Done():
		return term{}, fmt.Errorf("campaign ended before it was won: %w", context.Cause(ctx))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch++
	m.address = advertise
	ended := make(chan struct{})
	m.expire = sync.OnceFunc(func() { close(ended) })
	return term{epoch: m.epoch, ended: ended, release: m.release}, nil
}

func (m *Memory) release() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.address, m.expire = "", func() {}
	m.turn <- struct{}{}
	return nil
}

func (m *Memory) load(epoch int64) (map[state.Key][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.reach(); err != nil {
		return nil, err
	}
	return clone(m.values), fence(epoch, m.epoch)
}

func (m *Memory) commit(epoch int64, writes []state.Write) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.reach(); err != nil {
		return err
	}
	if err := fence(epoch, m.epoch); err != nil {
		return err
	}
	apply(m.values, writes)
	m.last = state.Position{Epoch: epoch, Commit: m.last.Commit + 1}
	if m.loseAnswer {
		m.loseAnswer = false
		return fmt.Errorf("memory: %w: the answer was lost", state.ErrUnavailable)
	}
	return nil
}

func (m *Memory) snapshot() (map[state.Key][]byte, state.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.reach(); err != nil {
		return nil, state.Position{}, err
	}
	return clone(m.values), m.last, nil
}

func (m *Memory) leader() (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.address, m.reach()
}

func (m *Memory) reach() error {
	if m.away {
		return fmt.Errorf("memory: %w: set away", state.ErrUnavailable)
	}
	return nil
}
