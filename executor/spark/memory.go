package spark

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/berthdata/berth/executor/host"
)

// memoryFile makes a file that exists in memory only, owned by who and readable
// by nobody else. Processes that inherit it open it by the path that inherited
// says; it is gone with the last of them.
func memoryFile(name, content string, who host.Identity) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("file in memory for %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.WriteString(content)
	err = errors.Join(err, f.Chmod(0o600))
	if who.Credential != nil {
		err = errors.Join(err, f.Chown(who.UID, who.GID))
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("file in memory for %s: %w", name, err)
	}
	return f, nil
}

// inherited is the path by which a process opens the n-th file that it inherits
// beyond its standard ones, as process.Command.Files counts.
func inherited(n int) string { return fmt.Sprintf("/proc/self/fd/%d", 3+n) }
