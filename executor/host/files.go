package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// LetIn makes sure that the node's user can pass through a folder that stays
// its owner's: agents make sandboxes that only their owner can enter.
func LetIn(dir string, who Identity) error {
	if who.Credential == nil {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if owner(info) == who.UID || info.Mode().Perm()&0o001 != 0 {
		return nil
	}
	if err := os.Chown(dir, -1, who.GID); err != nil {
		return err
	}
	return os.Chmod(dir, info.Mode().Perm()|0o050)
}

// OwnDir makes a folder of the sandbox. One that exists already came out of a
// fetched archive or an earlier process: it is taken over, not trusted.
func OwnDir(dir string, who Identity) error {
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if info, err := os.Lstat(dir); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is in the way: not a directory", dir)
	}
	return chown(dir, who)
}

// OwnData makes path.data. Data that another user wrote is not handed over:
// changing the owner of every file is an operator's decision.
func OwnData(dir string, who Identity) error {
	err := os.Mkdir(dir, 0o750)
	if err == nil {
		return chown(dir, who)
	}
	if !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is in the way: not a directory", dir)
	}
	if owner(info) == who.UID {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	// A crash between making and giving away leaves it empty.
	if _, err := d.Readdirnames(1); err == nil {
		return fmt.Errorf("%s belongs to uid %d, but the node runs as uid %d: set the node's user back, or run chown -R %d:%d on the agent",
			dir, owner(info), who.UID, who.UID, who.GID)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return chown(dir, who)
}

// WriteFile replaces whatever is there, and never writes through a link.
func WriteFile(path string, data []byte, mode os.FileMode, who Identity) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if who.Credential != nil {
		err = errors.Join(err, f.Chown(who.UID, who.GID))
	}
	return errors.Join(err, f.Close())
}
func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

func chown(path string, who Identity) error {
	if who.Credential == nil {
		return nil
	}
	return os.Lchown(path, who.UID, who.GID)
}
