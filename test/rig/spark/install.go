package spark

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/pip"
)

// Versions are the two lines that the project supports, as they are tested: the
// last of 3.5, with Scala 2.12, and the newest of 4, with Scala 2.13.
var Versions = []string{"3.5.9", "4.3.0"}

// sums pins the distributions: the source packages of pyspark, which hold
// Spark's jars, scripts and Python parts.
var sums = map[string]string{
	"3.5.9": "ea27adc39ddac9413b8951e45aa748cbed6c785971b81386efc41938f6243d93",
	"4.3.0": "e8c517948eff7088a7aa07449aa8eafa4a15a8d50319de2525a6fd26622476c6",
}

const (
	// MinJava runs both lines.
	MinJava = 17

	stampFile   = ".berth-complete"
	maxPackage  = 1 << 30
	maxUnpacked = 4 << 30
)

// Home is an installed Spark, as SPARK_HOME wants it. It is shared and not
// written by what runs on it.
type Home struct {
	Version string
	Major   int
	Dir     string
	// Java is the oldest Java on which the project runs Spark.
	Java rig.Java
}

// Submit is the path of spark-submit.
func (h Home) Submit() string { return filepath.Join(h.Dir, "bin", "spark-submit") }

// Classpath is that of an executor, without what an application adds.
func (h Home) Classpath() string {
	return filepath.Join(h.Dir, "conf") + ":" + filepath.Join(h.Dir, "jars", "*")
}

// Example is the path of one of Spark's own Python examples, such as pi.py.
func (h Home) Example(name string) string {
	return filepath.Join(h.Dir, "examples", "src", "main", "python", name)
}

// Locate finds a version in the cache folder. The error says what is missing:
// the version, or a Java that runs it.
func Locate(cache, version string) (Home, error) {
	h, err := newHome(cache, version)
	if err != nil {
		return Home{}, err
	}
	var s stamp
	b, err := os.ReadFile(filepath.Join(h.Dir, stampFile))
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil || s != newStamp(version) {
		return Home{}, fmt.Errorf("spark %s", version)
	}
	if h.Java, err = rig.FindJava(MinJava, false); err != nil {
		return Home{}, fmt.Errorf("spark %s: %w", version, err)
	}
	return h, nil
}

// stamp is written when a home is complete.
type stamp struct {
	SHA256 string `json:"sha256"`
	// Layout rises when unpacking does something else.
	Layout int `json:"layout"`
}

func newStamp(version string) stamp { return stamp{SHA256: sums[version], Layout: 1} }

func newHome(cache, version string) (Home, error) {
	if sums[version] == "" {
		return Home{}, fmt.Errorf("spark version %q: known are %s", version, strings.Join(slices.Sorted(maps.Keys(sums)), ", "))
	}
	first, _, _ := strings.Cut(version, ".")
	major, err := strconv.Atoi(first)
	if err != nil {
		return Home{}, fmt.Errorf("spark version %q: %w", version, err)
	}
	return Home{Version: version, Major: major, Dir: filepath.Join(cache, "spark-"+version)}, nil
}

// Install puts a version into the cache folder, unless it is there, from the
// package index that pip is configured to use. The caller holds the cache's
// lock.
func Install(ctx context.Context, cache, version string) (Home, error) {
	if h, err := Locate(cache, version); err == nil {
		return h, nil
	}
	h, err := newHome(cache, version)
	if err != nil {
		return Home{}, err
	}
	if err := install(ctx, h, cache); err != nil {
		return Home{}, fmt.Errorf("spark %s: %w", version, err)
	}
	return Locate(cache, version)
}

func install(ctx context.Context, h Home, cache string) error {
	tmp, err := os.MkdirTemp(cache, ".spark-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	pkg := pip.File{
		Project: "pyspark", Name: "pyspark-" + h.Version + ".tar.gz", SHA256: sums[h.Version], MaxBytes: maxPackage,
	}
	// The package is not kept: it is as large as what comes out of it.
	file := filepath.Join(tmp, pkg.Name)
	if err := pip.Fetch(ctx, pkg, file); err != nil {
		return err
	}
	dir := filepath.Join(tmp, "home")
	if err := os.MkdirAll(filepath.Join(dir, "conf"), 0o755); err != nil {
		return err
	}
	if err := unpack(ctx, file, dir); err != nil {
		return err
	}
	b, err := json.Marshal(newStamp(h.Version))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, stampFile), b, 0o644); err != nil {
		return err
	}
	if err := os.RemoveAll(h.Dir); err != nil {
		return err
	}
	return os.Rename(dir, h.Dir)
}

// folders maps those of the package to those of a Spark distribution.
var folders = []struct{ from, to string }{
	{"deps/jars/", "jars/"},
	{"deps/bin/", "bin/"},
	{"deps/sbin/", "sbin/"},
	{"deps/examples/", "examples/src/main/python/"},
	{"lib/", "python/lib/"},
	{"pyspark/", "python/pyspark/"},
}

// place is where a file of the package belongs in the home; false: nowhere.
func place(name string) (string, bool) {
	_, inside, ok := strings.Cut(path.Clean(name), "/") // the first folder has the version in its name
	if !ok || strings.HasSuffix(inside, ".cmd") {
		return "", false
	}
	for _, f := range folders {
		if rest, ok := strings.CutPrefix(inside, f.from); ok {
			return f.to + rest, true
		}
	}
	return "", false
}

// unpack unpacks the package into dir, readable by every user.
func unpack(ctx context.Context, file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	left := int64(maxUnpacked)
	t := tar.NewReader(z)
	for ctx.Err() == nil {
		e, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name, ok := place(e.Name)
		if !ok || e.Typeflag != tar.TypeReg {
			continue
		}
		if left -= e.Size; left < 0 {
			return fmt.Errorf("the package holds more than %d bytes", int64(maxUnpacked))
		}
		if err := writeFile(root, name, t); err != nil {
			return fmt.Errorf("unpack %s: %w", e.Name, err)
		}
	}
	return ctx.Err()
}

func writeFile(root *os.Root, name string, from io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if dir := path.Base(path.Dir(name)); dir == "bin" || dir == "sbin" {
		mode = 0o755
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
