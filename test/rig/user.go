package rig

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// User is another user to run a process as; only root can.
type User struct {
	Name     string
	UID, GID int
}

// Unprivileged is the user for programs that refuse to run as root: nobody when
// the caller is root, and nil, the caller itself, otherwise.
func Unprivileged() (*User, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("find an unprivileged user: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, fmt.Errorf("user nobody: uid %q: %w", u.Uid, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, fmt.Errorf("user nobody: gid %q: %w", u.Gid, err)
	}
	return &User{Name: u.Username, UID: uid, GID: gid}, nil
}

func (u *User) credential() *syscall.Credential {
	return &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}
}
