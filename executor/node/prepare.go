package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/render"
)

// maxConfigBytes bounds what is copied from a distribution's config folder.
const maxConfigBytes = 64 << 20

// layout is where the node's folders are.
func layout(e *executor.Elasticsearch, sandbox, volumeDir string) render.Paths {
	p := render.Paths{
		Home:   sandbox,
		Config: filepath.Join(sandbox, "config"),
		Logs:   filepath.Join(sandbox, "logs"),
		Tmp:    filepath.Join(sandbox, "tmp"),
		Data:   filepath.Join(volumeDir, dataDir),
	}
	if e.DataPath == "" {
		p.Data = filepath.Join(sandbox, "nodedata")
	}
	return p
}

// prepare makes the node's folders and files, owned by who it runs as. Nothing
// here walks through the data: a volume may hold 50 TB.
func prepare(p render.Paths, d render.Distribution, out render.Output, who identity) error {
	if err := letIn(p.Home, who); err != nil {
		return err
	}
	for _, dir := range []string{p.Config, p.Logs, p.Tmp} {
		if err := ownDir(dir, who); err != nil {
			return err
		}
	}
	if err := letIn(filepath.Dir(p.Data), who); err != nil {
		return err
	}
	if err := ownData(p.Data, who); err != nil {
		return err
	}
	if err := copyConfig(filepath.Join(d.Home, "config"), p.Config, out, who); err != nil {
		return err
	}
	for name, content := range out.Files {
		if err := writeFile(filepath.Join(p.Config, name), []byte(content), 0o640, who); err != nil {
			return err
		}
	}
	return nil
}

// letIn makes sure that the node's user can pass through a folder that stays
// its owner's: agents make sandboxes that only their owner can enter.
func letIn(dir string, who identity) error {
	if who.credential == nil {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if owner(info) == who.uid || info.Mode().Perm()&0o001 != 0 {
		return nil
	}
	if err := os.Chown(dir, -1, who.gid); err != nil {
		return err
	}
	return os.Chmod(dir, info.Mode().Perm()|0o050)
}

// ownDir makes a folder of the sandbox. One that exists already came out of a
// fetched archive or an earlier process: it is taken over, not trusted.
func ownDir(dir string, who identity) error {
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

// ownData makes path.data. Data that another user wrote is not handed over:
// changing the owner of every file is an operator's decision.
func ownData(dir string, who identity) error {
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
	if owner(info) == who.uid {
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
			dir, owner(info), who.uid, who.uid, who.gid)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return chown(dir, who)
}

// copyConfig copies what the distribution and its plugins keep beside the files
// that Render writes: roles, dictionaries, the keystore.
func copyConfig(from, to string, out render.Output, who identity) error {
	left := int64(maxConfigBytes)
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("copy the distribution's config: %w", err)
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case rel == ".":
			return nil
		case rel == "jvm.options.d":
			// They would overrule the heap that the scheduler derived.
			return fs.SkipDir
		case e.IsDir():
			return ownDir(target, who)
		case strings.HasSuffix(rel, ".example.yml"):
			return nil
		}
		if _, rendered := out.Files[rel]; rendered {
			return nil
		}
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		if left -= info.Size(); left < 0 {
			return fmt.Errorf("copy the distribution's config: %s holds more than %d MiB", from, maxConfigBytes>>20)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return writeFile(target, data, 0o640, who)
	})
}

// writeFile replaces whatever is there, and never writes through a link.
func writeFile(path string, data []byte, mode os.FileMode, who identity) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if who.credential != nil {
		err = errors.Join(err, f.Chown(who.uid, who.gid))
	}
	return errors.Join(err, f.Close())
}
