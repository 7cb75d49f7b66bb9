package zkstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-zookeeper/zk"
	"golang.org/x/sync/errgroup"

	"github.com/berthdata/berth/scheduler/state"
)

const (
	// snapshotRounds bounds how often what changed meanwhile is read again. A
	// round that finds nothing created or removed is one round trip, so that this
	// many in vain mean a leader that commits faster than ZooKeeper is read.
	snapshotRounds = 500
	// snapshotAttempts bounds the sessions of one snapshot.
	snapshotAttempts = 3
)

// depthEntity is how deep entities are below layout.state: kind, bucket, name.
const depthEntity = 3

// Snapshot is described at state.Snapshotter. It uses a session of its own.
//
// Every znode is read with a watch. ZooKeeper tells a session of a change to what
// it watches before it answers anything from after that change, and applies a
// Multi as a whole between two reads. So when the last of a round's answers is here
// and no watch has fired, everything that was read, in this round or before, stood
// so together when that answer was given. What has fired is read again, round by
// round: under a leader that commits all the time, reading everything between two
// of its commits would never succeed. The commit znode is one of those read.
func (e *Elector) Snapshot(ctx context.Context) (map[state.Key][]byte, state.Position, error) {
	ctx, release, err := e.enter(ctx)
	if err != nil {
		return nil, state.Position{}, err
	}
	defer release()
	for attempt := 1; ; attempt++ {
		sn := &snapshot{layout: e.t.layout, fired: map[string]bool{}, listed: map[string]bool{}, values: map[string]entity{}}
		values, position, err := sn.take(ctx, e.t)
		// A broken connection: the client sets watches again on the next, but
		// answers may come before their events. Begin anew.
		connected := sn.s != nil
		if !connected || !errors.Is(err, state.ErrUnavailable) || ctx.Err() != nil || attempt == snapshotAttempts {
			return values, position, err
		}
	}
}

// snapshot is one attempt.
type snapshot struct {
	s      *session
	layout layout

	events sync.Mutex
	fired  map[string]bool // paths whose watch has fired since they were read
	up     bool            // there was a connection
	cut    bool            // and it was lost: events may have been missed

	tree   sync.Mutex      // of the maps, which a round fills from several goroutines
	listed map[string]bool // parents
	values map[string]entity
	commit znode // without stat when there is none
}

type entity struct {
	key   state.Key
	value []byte
}

// event is the session's watch.
func (sn *snapshot) event(ev zk.Event) {
	sn.events.Lock()
	defer sn.events.Unlock()
	switch ev.Type {
	case zk.EventNodeCreated, zk.EventNodeDeleted, zk.EventNodeDataChanged, zk.EventNodeChildrenChanged:
		sn.fired[ev.Path] = true
	case zk.EventSession:
		switch ev.State {
		case zk.StateHasSession:
			sn.up = true
		case zk.StateDisconnected, zk.StateExpired:
			sn.cut = sn.up
		}
	default:
		sn.cut = sn.up
	}
}

// takeFired returns the paths to read again.
func (sn *snapshot) takeFired() ([]string, error) {
	sn.events.Lock()
	defer sn.events.Unlock()
	if sn.cut {
		return nil, fmt.Errorf("zookeeper: %w: the connection was lost while reading %s", state.ErrUnavailable, sn.layout.state())
	}
	paths := slices.Collect(maps.Keys(sn.fired))
	clear(sn.fired)
	return paths, nil
}

func (sn *snapshot) take(ctx context.Context, t *target) (map[state.Key][]byte, state.Position, error) {
	s, err := dialWatching(ctx, t, sn.event)
	if err != nil {
		return nil, state.Position{}, err
	}
	defer s.close()
	sn.s = s
	// The server may be a follower that lags behind. Opening a session brings it
	// up to date, but not where the ensemble has local sessions.
	if err := s.sync(ctx, sn.layout.root); err != nil {
		return nil, state.Position{}, explain("synchronise", sn.layout.root, err)
	}
	changed := []string{sn.layout.commit(), sn.layout.state()}
	for range snapshotRounds {
		if err := sn.read(ctx, changed); err != nil {
			return nil, state.Position{}, err
		}
		if changed, err = sn.takeFired(); err != nil {
			return nil, state.Position{}, err
		}
		if len(changed) == 0 {
			position, err := sn.position()
			return sn.result(), position, err
		}
	}
	return nil, state.Position{}, fmt.Errorf("zookeeper: %s changed faster than it could be read, %d times: try again when the leader has less to do",
		sn.layout.state(), snapshotRounds)
}

// readCommit reads the commit znode. Without one nothing was ever committed, and
// there is nothing to watch: the first commit of all may then be missed.
func (sn *snapshot) readCommit(ctx context.Context) error {
	node, err := sn.s.getW(ctx, sn.layout.commit())
	if err != nil && !errors.Is(err, zk.ErrNoNode) {
		return explain("read", sn.layout.commit(), err)
	}
	sn.commit = node
	return nil
}

func (sn *snapshot) position() (state.Position, error) {
	if sn.commit.stat == nil {
		return state.Position{}, nil
	}
	epoch, err := strconv.ParseInt(string(sn.commit.data), 10, 64)
	if err != nil {
		return state.Position{}, fmt.Errorf("zookeeper: %s holds %.100q instead of a decimal epoch", sn.layout.commit(), sn.commit.data)
	}
	return state.Position{Epoch: epoch, Commit: int64(sn.commit.stat.Version)}, nil
}

func (sn *snapshot) result() map[state.Key][]byte {
	out := make(map[state.Key][]byte, len(sn.values))
	for _, e := range sn.values {
		out[e.key] = e.value
	}
	return out
}

// read reads the paths anew, then whatever they show that is not known yet, from
// the top of the tree down.
func (sn *snapshot) read(ctx context.Context, changed []string) error {
	for len(changed) > 0 {
		var mu sync.Mutex
		var below []string
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(maxInFlight)
		for _, path := range changed {
			group.Go(func() error {
				fresh, err := sn.readOne(groupCtx, path)
				mu.Lock()
				defer mu.Unlock()
				below = append(below, fresh...)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		changed = below
	}
	return nil
}

// readOne reads one path and returns what else is to be read because of it.
func (sn *snapshot) readOne(ctx context.Context, path string) (below []string, err error) {
	if path == sn.layout.commit() {
		return nil, sn.readCommit(ctx)
	}
	if strings.Count(path[len(sn.layout.state()):], "/") == depthEntity {
		return nil, sn.get(ctx, path)
	}
	return sn.list(ctx, path)
}

// list reads the names below a parent and returns the paths that are to be read.
// What went away is told by its own watch.
func (sn *snapshot) list(ctx context.Context, path string) (fresh []string, err error) {
	names, err := sn.s.childrenW(ctx, path)
	gone := errors.Is(err, zk.ErrNoNode)
	if err != nil && !gone {
		return nil, explain("list", path, err)
	}
	sn.tree.Lock()
	defer sn.tree.Unlock()
	sn.listed[path] = !gone
	for _, name := range names {
		child := path + "/" + name
		// Not by the former names: a znode may have been gone for a moment, in
		// which it could not be read.
		if _, read := sn.values[child]; !read && !sn.listed[child] {
			fresh = append(fresh, child)
		}
	}
	return fresh, nil
}

func (sn *snapshot) get(ctx context.Context, path string) error {
	kind, _, _ := strings.Cut(path[len(sn.layout.state())+1:], "/")
	key, err := sn.layout.key(kind, path)
	if err != nil {
		return err
	}
	node, err := sn.s.getW(ctx, path)
	gone := errors.Is(err, zk.ErrNoNode)
	if err != nil && !gone {
		return explain("read", path, err)
	}
	sn.tree.Lock()
	defer sn.tree.Unlock()
	if gone {
		delete(sn.values, path) // its parent's watch tells if it comes back
		return nil
	}
	value := node.data
	if value == nil {
		value = []byte{} // nil would mean a deletion to whoever writes it back
	}
	sn.values[path] = entity{key, value}
	return nil
}
