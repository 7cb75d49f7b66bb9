package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// CacheDir is the one folder that holds all downloads and what is built from
// them, made when missing: environment BERTH_CACHE; else /var/cache/berth for
// root, whose home the unprivileged user of Elasticsearch cannot read; else
// berth in $XDG_CACHE_HOME or ~/.cache.
func CacheDir() (string, error) {
	dir := os.Getenv("BERTH_CACHE")
	switch {
	case dir != "":
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("cache folder BERTH_CACHE=%s: %w", dir, err)
		}
		dir = abs
	case os.Geteuid() == 0:
		dir = "/var/cache/berth"
	default:
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder: %w: set BERTH_CACHE", err)
		}
		dir = filepath.Join(base, "berth")
	}
	// Build tools and linkers split lists at these.
	if strings.ContainsAny(dir, ":, \t\n") {
		return "", fmt.Errorf("cache folder %q: blanks, commas and colons do not work with the tools that use it: set BERTH_CACHE to another path", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w: set BERTH_CACHE to a folder that you can write", err)
	}
	return dir, nil
}

// LockCache waits until no other program installs into the cache, at most as
// long as ctx allows; waiting is called once when it has to wait. The kernel
// ends the lock with the program.
func LockCache(ctx context.Context, dir string, waiting func()) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the cache folder: %w", err)
	}
	told := false
	err = Eventually(ctx, 200*time.Millisecond, "the lock of "+dir, func(context.Context) error {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return Permanent(err)
		}
		if !told {
			told = true
			waiting()
		}
		return errors.New("another program installs into it")
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
