package zkstore

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

const (
	benchSlots = 20_000
	benchValue = 1 << 10
)

func benchLease(b *testing.B) (*Lease, []state.Write) {
	server := zookeeper.Run(b, zookeeper.Options{Fsync: true, HeapMB: 768})
	e, err := New(Options{Servers: server.Addr})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, e.Close()) })
	lease, err := e.Campaign(b.Context(), "http://leader.example:8080")
	require.NoError(b, err)
	var writes []state.Write
	for i := range benchSlots {
		writes = append(writes, state.Write{
			Key:   state.Key(fmt.Sprintf("slots/sec-events-%d-data-%d", i/100, i%100)),
			Value: bytes.Repeat([]byte{'x'}, benchValue),
		})
	}
	return lease.(*Lease), writes
}

// BenchmarkLoad reads 20,000 slots of 1 KiB.
func BenchmarkLoad(b *testing.B) {
	lease, writes := benchLease(b)
	require.NoError(b, lease.Store().Commit(b.Context(), writes))
	for b.Loop() {
		values, err := lease.Store().Load(b.Context())
		require.NoError(b, err)
		require.Len(b, values, benchSlots)
	}
}

// BenchmarkSnapshot reads the same without leading, session and watches included.
func BenchmarkSnapshot(b *testing.B) {
	lease, writes := benchLease(b)
	require.NoError(b, lease.Store().Commit(b.Context(), writes))
	reader, err := New(Options{Servers: lease.s.conn.Server()})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, reader.Close()) })
	for b.Loop() {
		values, _, err := reader.Snapshot(b.Context())
		require.NoError(b, err)
		require.Len(b, values, benchSlots)
	}
}

// BenchmarkCommit makes one decision of a few records durable, fsync included.
func BenchmarkCommit(b *testing.B) {
	lease, writes := benchLease(b)
	for i := 0; b.Loop(); i++ {
		require.NoError(b, lease.Store().Commit(b.Context(), writes[:5]))
	}
}

// BenchmarkCommitEverything writes 20,000 slots of 1 KiB.
func BenchmarkCommitEverything(b *testing.B) {
	lease, writes := benchLease(b)
	for b.Loop() {
		require.NoError(b, lease.Store().Commit(b.Context(), writes))
	}
}
