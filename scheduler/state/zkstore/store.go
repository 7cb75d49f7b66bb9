package zkstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sync/errgroup"

	"github.com/berthdata/berth/scheduler/state"
)

const (
	// maxBatchBytes keeps a Multi below ZooKeeper's jute.maxbuffer of 1 MiB,
	// and above one value at the gate.
	maxBatchBytes = 768 << 10
	maxBatchOps   = 1000
	// opBytes is the cost of one operation in a Multi beyond path and value:
	// headers, flags and the ACL of a create.
	opBytes = 96
	// commitAttempts bounds the repeats after the store's picture of what
	// exists proved stale, which takes an outage or somebody else's hands.
	commitAttempts = 4
)

// Store is the state under one lease. See state.Store for the contract.
type Store struct {
	s      *session
	layout layout
	acl    []zk.ACL
	epoch  int64
	// fence is the version of the epoch znode that this leader wrote.
	fence int32
	// done closes when the lease ends; end ends it from here.
	done <-chan struct{}
	end  func(cause error)

	// loaded: present is complete, apart from unsure.
	loaded bool
	// present holds the paths of the existing znodes: entities and parents.
	present map[string]bool
	// unsure holds the paths whose last change has an unknown outcome.
	unsure map[string]bool
	// commitVersion is that of the commit znode; valid if commitKnown.
	commitVersion int32
	commitKnown   bool
}

func newStore(s *session, t *target, epoch int64, fence int32, done <-chan struct{}, end func(error)) *Store {
	return &Store{s: s, layout: t.layout, acl: t.acl, epoch: epoch, fence: fence, done: done, end: end,
		present: map[string]bool{}, unsure: map[string]bool{}}
}

// Close does nothing: the session belongs to the lease.
func (st *Store) Close() error { return nil }

// Load reads everything, pipelined. A znode that is not where Berth would have
// put it is an error: skipping it could lose a record that somebody restored.
func (st *Store) Load(ctx context.Context) (map[state.Key][]byte, error) {
	ctx, cancel := st.whileLeading(ctx)
	defer cancel()
	st.loaded = false
	l := &loading{st: st, paths: map[string]bool{}, values: map[state.Key][]byte{}}
	if err := l.run(ctx); err != nil {
		return nil, err
	}
	if err := st.checkFence(ctx); err != nil {
		return nil, err
	}
	if err := st.readCommitVersion(ctx); err != nil {
		return nil, err
	}
	st.present, st.unsure, st.loaded = l.paths, map[string]bool{}, true
	return l.values, nil
}

// loading collects one Load; its maps are filled by several goroutines.
type loading struct {
	st     *Store
	mu     sync.Mutex
	paths  map[string]bool
	values map[state.Key][]byte
}

func (l *loading) run(ctx context.Context) error {
	type entity struct {
		key  state.Key
		path string
	}
	var bucketPaths []string
	kinds, err := l.list(ctx, l.st.layout.state())
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		names, err := l.list(ctx, l.st.layout.state()+"/"+kind)
		if err != nil {
			return err
		}
		for _, bucket := range names {
			bucketPaths = append(bucketPaths, kind+"/"+bucket)
		}
	}
	var mu sync.Mutex
	var entities []entity
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxInFlight)
	for _, kindBucket := range bucketPaths {
		group.Go(func() error {
			bucketPath := l.st.layout.state() + "/" + kindBucket
			names, err := l.list(groupCtx, bucketPath)
			if err != nil {
				return err
			}
			kind := state.Key(kindBucket).Kind()
			for _, name := range names {
				path := bucketPath + "/" + name
				key, err := l.st.layout.key(kind, path)
				if err != nil {
					return err
				}
				mu.Lock()
				entities = append(entities, entity{key, path})
				mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	group, groupCtx = errgroup.WithContext(ctx)
	group.SetLimit(maxInFlight)
	for _, e := range entities {
		group.Go(func() error { return l.read(groupCtx, e.key, e.path) })
	}
	return group.Wait()
}

// list returns the names below a parent and remembers that the parent exists.
func (l *loading) list(ctx context.Context, parent string) ([]string, error) {
	names, err := l.st.s.children(ctx, parent)
	if err != nil {
		return nil, explain("list", parent, err)
	}
	l.mu.Lock()
	l.paths[parent] = true
	l.mu.Unlock()
	return names, nil
}

func (l *loading) read(ctx context.Context, key state.Key, path string) error {
	node, err := l.st.s.get(ctx, path)
	if errors.Is(err, zk.ErrNoNode) {
		return nil // removed by hand since it was listed
	}
	if err != nil {
		return explain("read", path, err)
	}
	value := node.data
	if value == nil {
		value = []byte{} // nil would mean a deletion to whoever writes it back
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paths[path] = true
	l.values[key] = value
	return nil
}

// Commit is described at state.Store. Besides the errors there it returns
// state.ErrBadKey, and plain errors where ZooKeeper refuses the change itself.
func (st *Store) Commit(ctx context.Context, writes []state.Write) error {
	for _, w := range writes {
		if err := w.Check(); err != nil {
			return err
		}
	}
	ctx, cancel := st.whileLeading(ctx)
	defer cancel()
	for len(writes) > 0 {
		n, err := st.commitBatch(ctx, writes)
		if err != nil {
			return err
		}
		writes = writes[n:]
	}
	return nil
}

// commitBatch makes as many of the writes durable as fit into one Multi, and
// returns their number.
func (st *Store) commitBatch(ctx context.Context, writes []state.Write) (int, error) {
	var conflict error
	for range commitAttempts {
		select {
		case <-st.done:
			return 0, st.fenced("the lease has ended")
		default:
		}
		if err := st.resolve(ctx, writes); err != nil {
			return 0, err
		}
		b := st.build(writes)
		results, err := st.s.multi(ctx, b.ops)
		if err == nil {
			st.apply(b, results)
			return b.writes, nil
		}
		failed := firstFailure(results)
		switch {
		case unavailable(err):
			st.forget(b)
			return 0, explain("commit to", st.layout.state(), err)
		case failed == fenceOp:
			return 0, st.fenced(fmt.Sprintf("%s: %v", st.layout.epoch(), err))
		case failed >= 0 && (errors.Is(err, zk.ErrBadVersion) || errors.Is(err, zk.ErrNodeExists) || errors.Is(err, zk.ErrNoNode)):
			st.forget(b)
			conflict = explain("commit to", b.path(failed), err)
		case failed >= 0:
			return 0, explain("commit to", b.path(failed), err)
		default:
			return 0, explain("commit to", st.layout.state(), err)
		}
	}
	return 0, fmt.Errorf("gave up after %d attempts, somebody else changes znodes below %s: %w",
		commitAttempts, st.layout.root, conflict)
}

// fenceOp is the index of the epoch's check in every Multi.
const fenceOp = 0

// batch is one Multi and what it does to the picture of existing znodes.
type batch struct {
	ops    []any
	writes int
	change map[string]bool // path → exists afterwards
}

func (b *batch) path(i int) string {
	switch op := b.ops[i].(type) {
	case *zk.CreateRequest:
		return op.Path
	case *zk.SetDataRequest:
		return op.Path
	case *zk.DeleteRequest:
		return op.Path
	case *zk.CheckVersionRequest:
		return op.Path
	}
	return ""
}

// build packs writes into one Multi, in order, until a limit is reached. A first
// write always fits: a value at the gate is below maxBatchBytes.
func (st *Store) build(writes []state.Write) *batch {
	b := &batch{change: map[string]bool{}, ops: []any{
		&zk.CheckVersionRequest{Path: st.layout.epoch(), Version: st.fence},
		&zk.SetDataRequest{Path: st.layout.commit(), Data: []byte(strconv.FormatInt(st.epoch, 10)), Version: st.commitVersion},
	}}
	exists := func(path string) bool {
		if after, changed := b.change[path]; changed {
			return after
		}
		return st.present[path]
	}
	bytes := 0
	for _, w := range writes {
		kind, bucket, node := st.layout.node(w.Key)
		cost := len(w.Value) + len(kind) + len(bucket) + len(node) + 3*opBytes
		if b.writes > 0 && (bytes+cost > maxBatchBytes || len(b.ops)+3 > maxBatchOps) {
			break
		}
		bytes += cost
		b.writes++
		if w.Value == nil {
			if exists(node) {
				b.ops = append(b.ops, &zk.DeleteRequest{Path: node, Version: -1})
			}
			b.change[node] = false
			continue
		}
		for _, parent := range []string{kind, bucket} {
			if !exists(parent) {
				b.ops = append(b.ops, &zk.CreateRequest{Path: parent, Data: []byte{}, Acl: st.acl})
				b.change[parent] = true
			}
		}
		if exists(node) {
			b.ops = append(b.ops, &zk.SetDataRequest{Path: node, Data: w.Value, Version: -1})
		} else {
			b.ops = append(b.ops, &zk.CreateRequest{Path: node, Data: w.Value, Acl: st.acl})
		}
		b.change[node] = true
	}
	return b
}

// apply records that the batch was carried out.
func (st *Store) apply(b *batch, results []zk.MultiResponse) {
	for path, exists := range b.change {
		if exists {
			st.present[path] = true
		} else {
			delete(st.present, path)
		}
	}
	st.commitVersion++
	if len(results) > 1 && results[1].Stat != nil {
		st.commitVersion = results[1].Stat.Version
	}
}

// forget records that it is unknown what of the batch was carried out.
func (st *Store) forget(b *batch) {
	st.commitKnown = false
	for path := range b.change {
		st.unsure[path] = true
		delete(st.present, path)
	}
}

// resolve reads what the next batch must know: which of its znodes exist, where
// that is unknown, and the version of the commit znode.
func (st *Store) resolve(ctx context.Context, writes []state.Write) error {
	if !st.commitKnown {
		if err := st.readCommitVersion(ctx); err != nil {
			return err
		}
	}
	ask := map[string]bool{}
	for _, w := range writes[:min(len(writes), maxBatchOps)] {
		kind, bucket, node := st.layout.node(w.Key)
		for _, path := range []string{kind, bucket, node} {
			if st.unsure[path] || !st.loaded && !st.present[path] {
				ask[path] = true
			}
		}
	}
	if len(ask) == 0 {
		return nil
	}
	var mu sync.Mutex
	found := map[string]bool{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxInFlight)
	for path := range ask {
		group.Go(func() error {
			exists, err := st.s.exists(ctx, path)
			if err != nil {
				return explain("look up", path, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if exists {
				found[path] = true
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for path := range ask {
		delete(st.unsure, path)
		delete(st.present, path)
	}
	maps.Copy(st.present, found)
	return nil
}

// readCommitVersion must not see a value from before this leader's epoch was
// written; it cannot, as a session never reads older state than it has written.
func (st *Store) readCommitVersion(ctx context.Context) error {
	node, err := st.s.get(ctx, st.layout.commit())
	if err != nil {
		return explain("read", st.layout.commit(), err)
	}
	st.commitVersion, st.commitKnown = node.stat.Version, true
	return nil
}

func (st *Store) checkFence(ctx context.Context) error {
	node, err := st.s.get(ctx, st.layout.epoch())
	if err != nil && unavailable(err) {
		return explain("read", st.layout.epoch(), err)
	}
	if err != nil || node.stat.Version != st.fence {
		return st.fenced(fmt.Sprintf("%s holds %q (%v)", st.layout.epoch(), node.data, err))
	}
	return nil
}

// fenced ends the lease: this process leads no more.
func (st *Store) fenced(why string) error {
	err := fmt.Errorf("epoch %d: %w (%s)", st.epoch, state.ErrFenced, why)
	st.end(err)
	return err
}

// whileLeading ends the context when the lease ends, so that nothing waits for
// ZooKeeper beyond it.
func (st *Store) whileLeading(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	finished := make(chan struct{})
	go func() {
		select {
		case <-st.done:
			cancel(errLeaseEnded)
		case <-finished:
		}
	}()
	return ctx, sync.OnceFunc(func() { close(finished); cancel(nil) })
}

func firstFailure(results []zk.MultiResponse) int {
	for i, r := range results {
		if r.Error != nil {
			return i
		}
	}
	return -1
}
