// Package fetcher stands in for the mesos-fetcher program, which the agent runs
// to bring the URIs of a command into its sandbox.
//
// It knows http, https and file URIs, plain paths, executables, archives (tar,
// tar.gz, tar.bz2, zip), the agent's cache, and hands the sandbox to the task's
// user. It does not know xz archives, hdfs, ftp or docker URIs.
package fetcher

import (
	"archive/tar"
	"archive/zip"
	"compress/bzip2"
	"compress/gzip"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Source is this package's own source, by which a build of the program is known
// to be up to date.
//
//go:embed fetcher.go
var Source embed.FS

// fetchTimeout bounds one download.
const fetchTimeout = 5 * time.Minute

// Info is what the agent asks for, as JSON in MESOS_FETCHER_INFO.
type Info struct {
	Sandbox string `json:"sandbox_directory"`
	Cache   string `json:"cache_directory"`
	// User owns the sandbox afterwards; "" leaves the owner alone.
	User  string `json:"user"`
	Items []Item `json:"items"`
}

// Item is one URI and how the agent's cache takes part.
type Item struct {
	URI struct {
		Value      string `json:"value"`
		Executable bool   `json:"executable"`
		// Extract is true when absent.
		Extract    *bool  `json:"extract"`
		OutputFile string `json:"output_file"`
	} `json:"uri"`
	// Action is BYPASS_CACHE (also when absent), DOWNLOAD_AND_CACHE or
	// RETRIEVE_FROM_CACHE.
	Action    string `json:"action"`
	CacheFile string `json:"cache_filename"`
}

// Parse reads the value of MESOS_FETCHER_INFO.
func Parse(s string) (Info, error) {
	var info Info
	if err := json.Unmarshal([]byte(s), &info); err != nil {
		return Info{}, fmt.Errorf("MESOS_FETCHER_INFO: %w", err)
	}
	if info.Sandbox == "" {
		return Info{}, errors.New("MESOS_FETCHER_INFO: no sandbox_directory")
	}
	return info, nil
}

// Run fetches every item into the sandbox, in order, and stops at the first
// that fails.
func Run(info Info, log io.Writer) error {
	sandbox, err := os.OpenRoot(info.Sandbox)
	if err != nil {
		return err
	}
	defer sandbox.Close()
	for _, it := range info.Items {
		if err := fetch(sandbox, info.Cache, it); err != nil {
			return fmt.Errorf("fetch %s: %w", it.URI.Value, err)
		}
		fmt.Fprintf(log, "fetched %s\n", it.URI.Value)
	}
	if info.User == "" || os.Geteuid() != 0 {
		return nil
	}
	return handOver(info.Sandbox, info.User)
}

func fetch(sandbox *os.Root, cacheDir string, it Item) error {
	name := it.URI.OutputFile
	if name == "" {
		p := it.URI.Value
		if u, err := url.Parse(p); err == nil && u.Scheme != "" {
			p = u.Path
		}
		if name = path.Base(p); name == "." || name == "/" {
			return errors.New("the URI has no file name: give output_file")
		}
	}
	if dir := path.Dir(name); dir != "." {
		if err := sandbox.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	src, err := open(cacheDir, it)
	if err != nil {
		return err
	}
	defer src.Close()
	mode := fs.FileMode(0o644)
	if it.URI.Executable {
		mode = 0o755
	}
	if err := write(sandbox, name, src, mode); err != nil {
		return err
	}
	if it.URI.Executable || it.URI.Extract != nil && !*it.URI.Extract {
		return nil
	}
	return extract(sandbox, name)
}

// open opens an item's bytes at their source or in the agent's cache.
func open(cacheDir string, it Item) (io.ReadCloser, error) {
	switch it.Action {
	case "", "BYPASS_CACHE":
		return openURI(it.URI.Value)
	case "RETRIEVE_FROM_CACHE", "DOWNLOAD_AND_CACHE":
	default:
		return nil, fmt.Errorf("unknown cache action %q", it.Action)
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return nil, err
	}
	cache, err := os.OpenRoot(cacheDir)
	if err != nil {
		return nil, err
	}
	defer cache.Close()
	if it.Action == "DOWNLOAD_AND_CACHE" {
		src, err := openURI(it.URI.Value)
		if err != nil {
			return nil, err
		}
		defer src.Close()
		if err := write(cache, it.CacheFile, src, 0o644); err != nil {
			return nil, err
		}
	}
	return cache.Open(it.CacheFile)
}

func openURI(uri string) (io.ReadCloser, error) {
	if file, ok := strings.CutPrefix(uri, "file://"); ok {
		return os.Open(file)
	}
	if strings.HasPrefix(uri, "/") {
		return os.Open(uri)
	}
	if !strings.HasPrefix(uri, "http://") && !strings.HasPrefix(uri, "https://") {
		return nil, errors.New("only http, https and file URIs and absolute paths are known")
	}
	client := http.Client{Timeout: fetchTimeout}
	resp, err := client.Get(uri)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("the server answered %s", resp.Status)
	}
	return resp.Body, nil
}

func write(dir *os.Root, name string, src io.Reader, mode fs.FileMode) error {
	f, err := dir.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, src)
	// The umask has no say, nor has the mode of a file that was there.
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// extract unpacks name beside the other files of the sandbox if its name is
// that of an archive.
func extract(sandbox *os.Root, name string) error {
	is := func(suffixes ...string) bool {
		for _, s := range suffixes {
			if strings.HasSuffix(name, s) {
				return true
			}
		}
		return false
	}
	f, err := sandbox.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	switch {
	case is(".tar"):
		return untar(sandbox, f)
	case is(".tar.gz", ".tgz"):
		z, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		return untar(sandbox, z)
	case is(".tar.bz2", ".tbz2"):
		return untar(sandbox, bzip2.NewReader(f))
	case is(".zip"):
		st, err := f.Stat()
		if err != nil {
			return err
		}
		z, err := zip.NewReader(f, st.Size())
		if err != nil {
			return err
		}
		return unzip(sandbox, z)
	case is(".tar.xz", ".txz"):
		return errors.New("xz archives are not known to this stand-in of mesos-fetcher")
	}
	return nil
}

func untar(dir *os.Root, r io.Reader) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = dir.MkdirAll(name, 0o755)
		case tar.TypeReg:
			if err = dir.MkdirAll(path.Dir(name), 0o755); err == nil {
				err = write(dir, name, t, h.FileInfo().Mode().Perm())
			}
		case tar.TypeSymlink:
			if err = dir.MkdirAll(path.Dir(name), 0o755); err == nil {
				err = dir.Symlink(h.Linkname, name)
			}
		default:
			err = fmt.Errorf("entries of type %q are not known", h.Typeflag)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func unzip(dir *os.Root, z *zip.Reader) error {
	for _, e := range z.File {
		name := path.Clean(e.Name)
		if e.FileInfo().IsDir() {
			if err := dir.MkdirAll(name, 0o755); err != nil {
				return fmt.Errorf("%s: %w", e.Name, err)
			}
			continue
		}
		if err := dir.MkdirAll(path.Dir(name), 0o755); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		src, err := e.Open()
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		err = errors.Join(write(dir, name, src, e.Mode().Perm()), src.Close())
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	return nil
}

// handOver gives the whole sandbox to a user, as the task runs as that user.
func handOver(dir, name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return fmt.Errorf("user %s: uid %q: %w", name, u.Uid, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return fmt.Errorf("user %s: gid %q: %w", name, u.Gid, err)
	}
	return filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, uid, gid)
	})
}
