package elasticsearch

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/berthdata/berth/test/rig"
)

// sums pins the distributions that the project relies on. Other versions are
// taken as they come; their sum is recorded in the home.
var sums = map[string]string{
	"9.5.3":   "bec49f3b8d00e75c8d1cec85c35298635ec9fbd3ae80ef5aeb6bc05abdb3db2d",
	"8.19.21": "215d5f3dbf0609a149f6218a9e47b6ae2df34ebbff3c5754e35f15a5e5393c8a",
	"7.17.29": "841ee00be1a72ba8e707b5a2fb55f23fe7a4184369b4585393238b1c903eedaf",
}

const (
	// copyPlugin brings one artifact of a Maven repository into a folder.
	copyPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
	testGroup  = "org.elasticsearch.distribution.integ-test-zip"
	fullGroup  = "org.elasticsearch.distribution.zip"

	stampFile = ".berth-complete"
	module    = "berth-root-info"
	// maxUnpacked bounds a distribution's files together.
	maxUnpacked = 2 << 30
)

//go:embed rootinfo
var rootInfo embed.FS

// Home is an installed Elasticsearch: shared and not written by its nodes.
type Home struct {
	Version string
	Major   int
	Dir     string
	// Java is the oldest Java that runs it.
	Java rig.Java
}

// stamp is written when a home is complete.
type stamp struct {
	SHA256 string `json:"sha256"`
	// RootInfo names the source of the module in the home; "" if there is none.
	RootInfo string `json:"rootInfo,omitempty"`
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
	if err != nil || s.RootInfo != "" && s.RootInfo != rootInfoFingerprint() {
		return Home{}, fmt.Errorf("elasticsearch %s", version)
	}
	if h.Java, err = rig.FindJava(minJava(h.Major), false); err != nil {
		return Home{}, fmt.Errorf("elasticsearch %s: %w", version, err)
	}
	return h, nil
}

func newHome(cache, version string) (Home, error) {
	first, _, _ := strings.Cut(version, ".")
	major, err := strconv.Atoi(first)
	if err != nil || strings.Count(version, ".") != 2 || major < 2 || strings.Trim(version, "0123456789.") != "" {
		return Home{}, fmt.Errorf("elasticsearch version %q: want three numbers such as 8.19.21, from 2 on", version)
	}
	return Home{Version: version, Major: major, Dir: filepath.Join(cache, "elasticsearch-"+version)}, nil
}

func minJava(major int) int {
	if major >= 9 {
		return 21
	}
	return 17
}

// Install puts a version into the cache folder, unless it is there, from the
// Maven repository that mvn is configured to use. The caller holds the cache's
// lock.
func Install(ctx context.Context, cache, version string) (Home, error) {
	if h, err := Locate(cache, version); err == nil {
		return h, nil
	}
	h, err := newHome(cache, version)
	if err != nil {
		return Home{}, err
	}
	// Ask before the download: without it the home could not be used.
	jdk, err := rig.FindJava(minJava(h.Major), h.Major >= 8)
	if err != nil {
		return Home{}, fmt.Errorf("elasticsearch %s: %w", version, err)
	}
	tmp, err := os.MkdirTemp(cache, ".elasticsearch-")
	if err != nil {
		return Home{}, fmt.Errorf("elasticsearch %s: %w", version, err)
	}
	defer os.RemoveAll(tmp)
	if err := install(ctx, h, jdk, cache, tmp); err != nil {
		return Home{}, fmt.Errorf("elasticsearch %s: %w", version, err)
	}
	return Locate(cache, version)
}

func install(ctx context.Context, h Home, jdk rig.Java, cache, tmp string) error {
	file, err := download(ctx, h, cache, tmp)
	if err != nil {
		return err
	}
	sum, err := fileSum(file)
	if err != nil {
		return err
	}
	if want := sums[h.Version]; want != "" && sum != want {
		return fmt.Errorf("the sha256 of its zip is %s, expected %s: the file is not the one that this build knows", sum, want)
	}
	if err := unpack(file, tmp); err != nil {
		return err
	}
	dir := filepath.Join(tmp, "elasticsearch-"+h.Version)
	if err := os.MkdirAll(filepath.Join(dir, "plugins"), 0o755); err != nil {
		return err
	}
	s := stamp{SHA256: sum}
	lacks, err := lacksRoot(h, dir)
	if err != nil {
		return err
	}
	if lacks {
		if err := addRootInfo(ctx, h, jdk, dir, tmp); err != nil {
			return fmt.Errorf("add the handler of GET /: %w", err)
		}
		s.RootInfo = rootInfoFingerprint()
	}
	b, err := json.Marshal(s)
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

// download has Maven copy the zip of a version into dir. Versions up to 6 have
// the full distribution in the repository, later ones that for integration
// tests.
func download(ctx context.Context, h Home, cache, dir string) (string, error) {
	groups := []string{testGroup}
	if h.Major < 7 {
		groups = []string{fullGroup, testGroup}
	}
	var errs []error
	for _, group := range groups {
		err := run(ctx, "mvn", "-B", "-q", "-Dmaven.repo.local="+filepath.Join(cache, "m2"), copyPlugin,
			"-Dartifact="+group+":elasticsearch:"+h.Version+":zip", "-DoutputDirectory="+dir)
		if err == nil {
			return filepath.Join(dir, "elasticsearch-"+h.Version+".zip"), nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

func fileSum(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// unpack unpacks a zip into dir, readable by every user.
func unpack(file, dir string) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer z.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	left := int64(maxUnpacked)
	for _, e := range z.File {
		if e.FileInfo().IsDir() {
			if err := root.MkdirAll(path.Clean(e.Name), 0o755); err != nil {
				return err
			}
			continue
		}
		n, err := unpackFile(root, e, left)
		if err != nil {
			return fmt.Errorf("unpack %s: %w", e.Name, err)
		}
		left -= n
	}
	return nil
}

func unpackFile(root *os.Root, e *zip.File, limit int64) (int64, error) {
	if err := root.MkdirAll(path.Dir(e.Name), 0o755); err != nil {
		return 0, err
	}
	mode := e.Mode().Perm() | 0o644
	// Not every zip has the modes that the scripts need.
	if path.Base(path.Dir(e.Name)) == "bin" {
		mode |= 0o755
	}
	src, err := e.Open()
	if err != nil {
		return 0, err
	}
	defer src.Close()
	f, err := root.OpenFile(e.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, io.LimitReader(src, limit+1))
	if n > limit {
		err = fmt.Errorf("the zip holds more than %d bytes", int64(maxUnpacked))
	}
	return n, errors.Join(err, f.Close())
}

// lacksRoot tells whether the distribution answers nothing at GET /: the
// handler moved from the server to a module that the distribution for
// integration tests does not have.
func lacksRoot(h Home, dir string) (bool, error) {
	if h.Major < 8 {
		return false, nil
	}
	z, err := zip.OpenReader(filepath.Join(dir, "lib", "elasticsearch-"+h.Version+".jar"))
	if err != nil {
		return false, err
	}
	defer z.Close()
	for _, e := range z.File {
		if strings.HasSuffix(e.Name, "/RestMainAction.class") {
			return false, nil
		}
	}
	_, err = os.Stat(filepath.Join(dir, "modules", "rest-root"))
	return errors.Is(err, fs.ErrNotExist), nil
}

// addRootInfo compiles the module in folder rootinfo for this version.
func addRootInfo(ctx context.Context, h Home, jdk rig.Java, dir, tmp string) error {
	classpath := filepath.Join(dir, "lib", "*")
	api, err := exec.CommandContext(ctx, jdk.Tool("javap"), "-cp", classpath, "org.elasticsearch.plugins.ActionPlugin").Output()
	if err != nil {
		return fmt.Errorf("javap: %w", err)
	}
	variant := "src8"
	if strings.Contains(string(api), "getRestHandlers(org.elasticsearch.plugins.ActionPlugin$RestHandlersServices") {
		variant = "src9"
	}
	src, classes, mod := filepath.Join(tmp, "rootinfo"), filepath.Join(tmp, "classes"), filepath.Join(dir, "modules", module)
	for _, d := range []string{src, mod} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.CopyFS(src, rootInfo); err != nil {
		return err
	}
	release := strconv.Itoa(minJava(h.Major))
	err = run(ctx, jdk.Tool("javac"), "--release", release, "-nowarn", "-proc:none", "-cp", classpath, "-d", classes,
		filepath.Join(src, "rootinfo/src/berth/rootinfo/RootHandler.java"),
		filepath.Join(src, "rootinfo", variant, "berth/rootinfo/RootInfoPlugin.java"))
	if err != nil {
		return err
	}
	if err := run(ctx, jdk.Tool("jar"), "cf", filepath.Join(mod, module+".jar"), "-C", classes, "."); err != nil {
		return err
	}
	descriptor := fmt.Sprintf("name=%s\ndescription=Answers GET /\nversion=%s\nelasticsearch.version=%s\njava.version=%s\nclassname=berth.rootinfo.RootInfoPlugin\n",
		module, h.Version, h.Version, release)
	return os.WriteFile(filepath.Join(mod, "plugin-descriptor.properties"), []byte(descriptor), 0o644)
}

func rootInfoFingerprint() string {
	sum := sha256.New()
	err := fs.WalkDir(rootInfo, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := rootInfo.ReadFile(name)
		fmt.Fprintf(sum, "%s %d\n%s", name, len(b), b)
		return err
	})
	if err != nil {
		panic("embedded files cannot fail to be read: " + err.Error())
	}
	return hex.EncodeToString(sum.Sum(nil))[:12]
}

// run runs a tool; its output is shown only when it fails.
func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w:\n%s", filepath.Base(name), err, out)
	}
	return nil
}
