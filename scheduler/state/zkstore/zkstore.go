// Package zkstore keeps Berth's state in ZooKeeper and elects the leader there.
//
// Layout below the root (default /berth); every value is readable with zkCli:
//
//	/berth/epoch                        decimal epoch of the newest leader; its znode version is the fence
//	/berth/commit                       epoch of the last commit; its znode version numbers the commits
//	/berth/election/_c_<id>-c-<seq>     one ephemeral znode per candidate: {"advertise":"http://…"}
//	/berth/state/<kind>/<bucket>/<name> one znode per entity (Mesos rule 56)
//
// The bucket is two hex digits, FNV-1a of the name modulo 64. ZooKeeper answers a
// listing with all names in one reply of at most 1 MiB (jute.maxbuffer): 20,000
// names of 30 bytes come to 600 KiB, so a flat parent would fail not far above
// the size that Berth is meant for; 64 buckets move that limit beyond a million.
//
// Each commit is one Multi (or several, if it exceeds ZooKeeper's limits) that
// checks the version of the epoch znode and sets the commit znode at the version
// that this leader expects. The first makes a deposed leader's write fail as a
// whole (Mesos rule 57). The second makes a Multi whose answer was lost, and which
// may still be on its way, fail once any later commit has been made.
//
// Access: with Options.Auth every znode is created for that digest identity alone.
// Without it the znodes are open to everyone who reaches ZooKeeper, who then can
// also take Berth's place: use it on closed networks only. ACLs of znodes that
// exist already are not changed.
package zkstore

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/zap"

	"github.com/berthdata/berth/scheduler/state"
)

const (
	defaultRoot           = "/berth"
	defaultSessionTimeout = 20 * time.Second
	minSessionTimeout     = 500 * time.Millisecond
	defaultPort           = "2181"
	buckets               = 64
)

// Options says where ZooKeeper is and how to talk to it.
type Options struct {
	// Servers is "host:port,host:port/chroot"; the port is 2181 if left out.
	Servers string
	// Root is the path below the chroot; default /berth.
	Root string
	// SessionTimeout is asked of the server, which clamps it to 2–20 of its
	// ticks; default 20 s. A crashed leader is replaced after this time; a
	// leader that cannot reach ZooKeeper steps down after two thirds of it.
	SessionTimeout time.Duration
	// Auth is "user:password" for ZooKeeper's digest scheme, "" for none. It
	// comes from a file or the environment, never from argv.
	Auth string
	// Log defaults to none.
	Log *zap.Logger
}

// target is a validated Options.
type target struct {
	servers []string
	layout  layout
	timeout time.Duration
	auth    string
	acl     []zk.ACL
	log     *zap.Logger
}

func (o Options) target() (*target, error) {
	hosts, chroot, _ := strings.Cut(o.Servers, "/")
	t := &target{timeout: o.SessionTimeout, auth: o.Auth, log: o.Log, acl: zk.WorldACL(zk.PermAll)}
	for _, host := range strings.Split(hosts, ",") {
		host = strings.TrimSpace(host)
		if host == "" {
			return nil, fmt.Errorf("zookeeper servers %q: want host:port,host:port/path, one host is empty", o.Servers)
		}
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), defaultPort)
			if _, _, err := net.SplitHostPort(host); err != nil {
				return nil, fmt.Errorf("zookeeper servers %q: %w", o.Servers, err)
			}
		}
		t.servers = append(t.servers, host)
	}
	root := o.Root
	if root == "" {
		root = defaultRoot
	}
	t.layout.root = strings.TrimSuffix("/"+strings.Trim(chroot, "/"), "/") + "/" + strings.Trim(root, "/")
	for _, part := range strings.Split(t.layout.root[1:], "/") {
		if part == "" || part == "." || part == ".." {
			return nil, fmt.Errorf("zookeeper path %q: empty or relative element", t.layout.root)
		}
	}
	switch {
	case t.timeout == 0:
		t.timeout = defaultSessionTimeout
	case t.timeout < minSessionTimeout:
		return nil, fmt.Errorf("zookeeper session timeout %v: the least is %v", t.timeout, minSessionTimeout)
	}
	if t.auth != "" {
		if user, password, ok := strings.Cut(t.auth, ":"); !ok || user == "" || password == "" {
			return nil, errors.New("zookeeper credentials: want user:password")
		}
		t.acl = zk.AuthACL(zk.PermAll)
	}
	if t.log == nil {
		t.log = zap.NewNop()
	}
	return t, nil
}

// layout builds the paths of the package comment.
type layout struct{ root string }

func (l layout) epoch() string    { return l.root + "/epoch" }
func (l layout) commit() string   { return l.root + "/commit" }
func (l layout) election() string { return l.root + "/election" }
func (l layout) state() string    { return l.root + "/state" }

// node returns the path of the key's znode and of its two parents.
func (l layout) node(key state.Key) (kind, bucket, node string) {
	kind = l.state() + "/" + key.Kind()
	bucket = kind + "/" + bucketOf(key.Name())
	return kind, bucket, bucket + "/" + key.Name()
}

// key is the reverse of node: the key of a kind's znode at this path. A znode that
// is not where Berth would have put it is an error.
func (l layout) key(kind, path string) (state.Key, error) {
	key, err := state.MakeKey(kind, path[strings.LastIndexByte(path, '/')+1:])
	if err != nil {
		return "", fmt.Errorf("zookeeper: %s is none of Berth's znodes, remove it: %w", path, err)
	}
	if _, _, want := l.node(key); want != path {
		return "", fmt.Errorf("zookeeper: %s is in the wrong place: move it to %s", path, want)
	}
	return key, nil
}

func bucketOf(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // a hash never fails
	return fmt.Sprintf("%02x", h.Sum32()%buckets)
}

// unavailable says whether the error leaves the outcome open: the request may or
// may not have been carried out, now or a little later.
func unavailable(err error) bool {
	for _, definite := range []error{
		zk.ErrNoNode, zk.ErrNodeExists, zk.ErrBadVersion, zk.ErrNotEmpty, zk.ErrNoAuth,
		zk.ErrAuthFailed, zk.ErrInvalidACL, zk.ErrBadArguments, zk.ErrInvalidPath,
		zk.ErrNoChildrenForEphemerals, zk.ErrShortBuffer,
	} {
		if errors.Is(err, definite) {
			return false
		}
	}
	return err != nil
}

// explain turns a ZooKeeper error about a path into one for people, and wraps
// state.ErrUnavailable where it applies.
func explain(doing, path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, state.ErrUnavailable):
		return fmt.Errorf("zookeeper: %s %s: %w", doing, path, err)
	case errors.Is(err, zk.ErrNoAuth), errors.Is(err, zk.ErrAuthFailed):
		return fmt.Errorf("zookeeper: %s %s: access refused: start Berth with the credentials that created the znode: %w",
			doing, path, err)
	case unavailable(err):
		return fmt.Errorf("zookeeper: %s %s: %w: %w", doing, path, state.ErrUnavailable, err)
	}
	return fmt.Errorf("zookeeper: %s %s: %w", doing, path, err)
}
