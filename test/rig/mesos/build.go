package mesos

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/elf"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"sort"
	"strings"

	"github.com/berthdata/berth/test/rig/mesos/fetcher"
	"github.com/berthdata/berth/test/rig/pip"
)

// Version is the version of Mesos that Build makes.
const Version = "1.11.0"

// archive is the package that Mesos is taken from. pip itself cannot download
// it: it refuses this kind of file.
var archive = pip.File{
	Project:  "mesos-scheduler",
	Name:     "mesos.scheduler-1.11.0.linux-x86_64.tar.gz",
	SHA256:   "1d376f20bca6d05ee8b90c1c123a452b28753497ccc2f1c80ea3ac94c12e8f6e",
	MaxBytes: 64 << 20,
}

//go:embed native
var native embed.FS

const (
	library = "_scheduler.so"
	stub    = "libmesosstub.so"
	// maxLibrary bounds what is unpacked from the archive.
	maxLibrary = 512 << 20
)

// stubbed are the libraries that the library asks for by name and the stub
// stands in for.
var stubbed = []string{
	"libssl.so.1.0.0", "libcrypto.so.1.0.0", "libcurl.so.4",
	"libsvn_delta-1.so.1", "libsvn_subr-1.so.1", "libapr-1.so.0",
}

// Install is a built Mesos.
type Install struct {
	// Dir holds bin/mesosd, the agent's helpers beside it, and lib.
	Dir string
}

func (i Install) bin() string    { return filepath.Join(i.Dir, "bin") }
func (i Install) mesosd() string { return filepath.Join(i.bin(), "mesosd") }

// Locate finds Mesos in the cache folder, or tells that it is not built there
// from the present sources.
func Locate(cache string) (Install, bool) {
	i := Install{Dir: filepath.Join(cache, "mesos-"+Version+"-"+fingerprint())}
	st, err := os.Stat(i.mesosd())
	return i, err == nil && st.Mode().IsRegular()
}

// Build makes Mesos in the cache folder, unless it is there. It needs python3
// with pip for the download, g++, gcc and strip, and the go command in the
// module for the fetcher. The caller holds the cache's lock.
func Build(ctx context.Context, cache string) (Install, error) {
	install, ok := Locate(cache)
	if ok {
		return install, nil
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return Install{}, fmt.Errorf("build mesos %s: the package exists for linux/amd64 only, this is %s/%s", Version, runtime.GOOS, runtime.GOARCH)
	}
	tgz := filepath.Join(cache, "downloads", archive.Name)
	if _, err := os.Stat(tgz); errors.Is(err, fs.ErrNotExist) {
		if err := pip.Fetch(ctx, archive, tgz); err != nil {
			return Install{}, err
		}
	}
	tmp, err := os.MkdirTemp(cache, ".mesos-")
	if err != nil {
		return Install{}, fmt.Errorf("build mesos: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := build(ctx, tgz, tmp); err != nil {
		return Install{}, fmt.Errorf("build mesos %s: %w", Version, err)
	}
	if err := os.RemoveAll(install.Dir); err != nil { // an incomplete one
		return Install{}, fmt.Errorf("build mesos: %w", err)
	}
	if err := os.Rename(tmp, install.Dir); err != nil {
		return Install{}, fmt.Errorf("build mesos: %w", err)
	}
	return install, nil
}

func build(ctx context.Context, tgz, dir string) error {
	src, lib, bin := filepath.Join(dir, "src"), filepath.Join(dir, "lib"), filepath.Join(dir, "bin")
	for _, d := range []string{src, lib, bin} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	// MkdirTemp's mode keeps other users out, who run executors.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if err := writeSources(src); err != nil {
		return err
	}
	full := filepath.Join(src, library)
	if err := extractLibrary(tgz, full); err != nil {
		return err
	}
	if err := writeStub(full, src); err != nil {
		return err
	}
	steps := [][]string{
		{"strip", "--strip-unneeded", full, "-o", filepath.Join(lib, library)},
		{"gcc", "-O1", "-fPIC", "-shared", "-w", "-fno-builtin", filepath.Join(src, "stub.c"),
			"-Wl,--version-script=" + filepath.Join(src, "stub.map"), "-o", filepath.Join(lib, stub), "-ldl"},
		{"g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Wno-unused-parameter",
			filepath.Join(src, "main.cpp"), filepath.Join(src, "shared.cpp"), filepath.Join(src, "master.cpp"), filepath.Join(src, "agent.cpp"),
			"-o", filepath.Join(bin, "mesosd"), "-L" + lib, "-l:" + library, "-l:" + stub,
			"-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib", "-Wl,--allow-shlib-undefined"},
		// Stamping would fail in a checkout of another user.
		{"go", "build", "-buildvcs=false", "-o", filepath.Join(bin, "mesos-fetcher"), "github.com/berthdata/berth/test/rig/cmd/mesos-fetcher"},
	}
	for i, step := range steps {
		if i == len(steps)-2 { // the last linking step looks the libraries up
			if err := linkStubs(lib); err != nil {
				return err
			}
		}
		cmd := exec.CommandContext(ctx, step[0], step[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w:\n%s", step[0], err, out)
		}
	}
	if err := os.Symlink("mesosd", filepath.Join(bin, "mesos-containerizer")); err != nil {
		return err
	}
	return os.RemoveAll(src)
}

func writeSources(dir string) error {
	files, err := fs.ReadDir(native, "native")
	if err != nil {
		return err
	}
	for _, f := range files {
		b, err := native.ReadFile(path.Join("native", f.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name()), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func linkStubs(lib string) error {
	for _, name := range stubbed {
		if err := os.Symlink(stub, filepath.Join(lib, name)); err != nil {
			return err
		}
	}
	return nil
}

func extractLibrary(tgz, dest string) error {
	f, err := os.Open(tgz)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", tgz, err)
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err != nil {
			return fmt.Errorf("%s: no %s found: %w", tgz, library, err)
		}
		if path.Base(h.Name) != library {
			continue
		}
		out, err := os.Create(dest)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, io.LimitReader(t, maxLibrary))
		return errors.Join(err, out.Close())
	}
}

// writeStub writes stub.c and its linker version script: a definition for every
// symbol that the library wants from the stubbed libraries.
func writeStub(lib, dir string) error {
	f, err := elf.Open(lib)
	if err != nil {
		return err
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return fmt.Errorf("%s: %w", lib, err)
	}
	code, script := stubSources(symbols)
	if err := os.WriteFile(filepath.Join(dir, "stub.c"), code, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "stub.map"), script, 0o644)
}

func stubSources(symbols []elf.Symbol) (code, script []byte) {
	byVersion := map[string][]string{}
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF && isStubbed(s) {
			byVersion[s.Version] = append(byVersion[s.Version], s.Name)
		}
	}
	var versions []string
	for v := range byVersion {
		versions = append(versions, v)
	}
	sort.Strings(versions)
	var c, m bytes.Buffer
	c.WriteString("#include \"stub.h\"\n")
	for _, v := range versions {
		sort.Strings(byVersion[v])
		for _, name := range byVersion[v] {
			fmt.Fprintf(&c, "%s(%s)\n", stubMacro(name), name)
		}
		if v != "" {
			fmt.Fprintf(&m, "%s { global: %s; };\n", v, strings.Join(byVersion[v], "; "))
		}
	}
	return c.Bytes(), m.Bytes()
}

func isStubbed(s elf.Symbol) bool {
	if s.Version != "" {
		return strings.HasPrefix(s.Version, "OPENSSL_") || strings.HasPrefix(s.Version, "CURL_OPENSSL_")
	}
	for _, prefix := range []string{"Py", "_Py", "apr_", "svn_"} {
		if strings.HasPrefix(s.Name, prefix) {
			return true
		}
	}
	return false
}

func stubMacro(name string) string {
	switch name {
	case "PyExc_Exception", "PyExc_TypeError", "_Py_NoneStruct":
		return "DATA"
	case "apr_initialize", "apr_terminate": // called by static initialisers
		return "ZERO"
	}
	if strings.HasPrefix(name, "curl_") {
		return "CURL"
	}
	return "ABORT"
}

// fingerprint names what the build is made from, so that programs with other
// sources beside each other do not replace each other's Mesos.
func fingerprint() string {
	sum := sha256.New()
	io.WriteString(sum, archive.SHA256)
	for _, fsys := range []embed.FS{native, fetcher.Source} {
		err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := fsys.ReadFile(name)
			fmt.Fprintf(sum, "%s %d\n%s", name, len(b), b)
			return err
		})
		if err != nil {
			panic("embedded files cannot fail to be read: " + err.Error())
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:12]
}
