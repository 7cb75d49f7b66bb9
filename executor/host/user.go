package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// Identity is who the node runs as.
type Identity struct {
	UID, GID int
	// Credential is nil when the executor is that user already.
	Credential *syscall.Credential
}

// ResolveUser finds who the node runs as. Elasticsearch refuses to run as root,
// rightly: so do we, with a message that says what to change.
func ResolveUser(name string) (Identity, error) {
	euid := os.Geteuid()
	if euid != 0 {
		return Identity{UID: euid, GID: os.Getegid()}, nil
	}
	if name == "" {
		return Identity{}, errors.New("the executor runs as root and no user is named for the process, which must not: set the scheduler's --node-user and --spark-user")
	}
	u, err := lookup(name)
	if err != nil {
		return Identity{}, fmt.Errorf("user %q for the process is not known on this agent: %w", name, err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return Identity{}, fmt.Errorf("user %q: %w", name, err)
	}
	if uid == 0 {
		return Identity{}, fmt.Errorf("user %q is root, as which no process may run: set the scheduler's --node-user or --spark-user to another", name)
	}
	c := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	groups, err := u.GroupIds()
	if err != nil {
		return Identity{}, fmt.Errorf("groups of user %q: %w", name, err)
	}
	for _, g := range groups {
		if id, err := strconv.ParseUint(g, 10, 32); err == nil {
			c.Groups = append(c.Groups, uint32(id))
		}
	}
	return Identity{UID: uid, GID: gid, Credential: c}, nil
}

// lookup asks the system's own resolver where the account files do not know the
// name: a static binary cannot load the modules for a directory service.
func lookup(name string) (*user.User, error) {
	if u, err := user.Lookup(name); err == nil {
		return u, nil
	}
	out, err := exec.Command("getent", "passwd", "--", name).Output()
	if err != nil {
		return nil, errors.New("neither in the account files nor known to getent")
	}
	f := strings.Split(strings.TrimSpace(string(out)), ":")
	if len(f) < 6 {
		return nil, fmt.Errorf("getent answered %q", out)
	}
	return &user.User{Username: f[0], Uid: f[2], Gid: f[3], HomeDir: f[5]}, nil
}

// limits are what Elasticsearch's bootstrap checks ask for. The node inherits
// them. Only a privileged executor can go above what the agent was started with.
var limits = []struct {
	resource int
	least    uint64
}{
	{syscall.RLIMIT_NOFILE, 65535},
	{rlimitNproc, 4096},
	{syscall.RLIMIT_AS, rlimInfinity},
	{syscall.RLIMIT_FSIZE, rlimInfinity},
}

const (
	rlimitNproc  = 6 // RLIMIT_NPROC, which package syscall leaves out
	rlimInfinity = ^uint64(0)
)

// RaiseLimits does what it may: where it may not, Elasticsearch's own check
// says so by name.
func RaiseLimits() {
	for _, l := range limits {
		var r syscall.Rlimit
		if syscall.Getrlimit(l.resource, &r) != nil {
			continue
		}
		r.Cur = r.Max
		_ = syscall.Setrlimit(l.resource, &r)
		if r.Max < l.least {
			_ = syscall.Setrlimit(l.resource, &syscall.Rlimit{Cur: l.least, Max: l.least})
		}
	}
}
