package node

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/host"
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
		Data:   filepath.Join(volumeDir, host.DataDir),
	}
	if e.DataPath == "" {
		p.Data = filepath.Join(sandbox, "nodedata")
	}
	return p
}

// prepare makes the node's folders and files, owned by who it runs as. Nothing
// here walks through the data: a volume may hold 50 TB.
func prepare(p render.Paths, d render.Distribution, out render.Output, who host.Identity) error {
	if err := host.LetIn(p.Home, who); err != nil {
		return err
	}
	for _, dir := range []string{p.Config, p.Logs, p.Tmp} {
		if err := host.OwnDir(dir, who); err != nil {
			return err
		}
	}
	if err := host.LetIn(filepath.Dir(p.Data), who); err != nil {
		return err
	}
	if err := host.OwnData(p.Data, who); err != nil {
		return err
	}
	if err := copyConfig(filepath.Join(d.Home, "config"), p.Config, out, who); err != nil {
		return err
	}
	for name, content := range out.Files {
		if err := host.WriteFile(filepath.Join(p.Config, name), []byte(content), 0o640, who); err != nil {
			return err
		}
	}
	return nil
}

// copyConfig copies what the distribution and its plugins keep beside the files
// that Render writes: roles, dictionaries, the keystore.
func copyConfig(from, to string, out render.Output, who host.Identity) error {
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
			return host.OwnDir(target, who)
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
		return host.WriteFile(target, data, 0o640, who)
	})
}
