package node

import (
	"io/fs"
	"os"
	"syscall"
)

func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

func chown(path string, who identity) error {
	if who.credential == nil {
		return nil
	}
	return os.Lchown(path, who.uid, who.gid)
}
