package setup

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/elasticsearch"
	"github.com/berthdata/berth/test/rig/mesos"
	"github.com/berthdata/berth/test/rig/spark"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

// minJava runs ZooKeeper and Elasticsearch up to 8.
const minJava = 17

const (
	// maxManifest bounds the manifest of a jar.
	maxManifest = 1 << 20
)

// libraryDirs are where distributions keep shared libraries.
var libraryDirs = []string{"/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"}

// libraries maps what Mesos loads at run time to the Debian package that has it.
var libraries = []struct{ file, pkg string }{
	{"libsasl2.so.2", "libsasl2-2"},
	{"sasl2/libcrammd5.so", "libsasl2-modules"},
	{"libcurl.so.4", "libcurl4"},
	{"libz.so.1", "zlib1g"},
}

func missingLibraries() (missing []string) {
	for _, l := range libraries {
		if !hasLibrary(l.file) {
			missing = append(missing, l.file)
		}
	}
	return missing
}

func hasLibrary(file string) bool {
	return slices.ContainsFunc(libraryDirs, func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, file))
		return err == nil
	})
}

func zookeeperDir(cache string) string { return filepath.Join(cache, zookeeper.CacheFolder) }

// missingPackages lists the Debian packages of what is wanted, found missing by
// what they provide: a tool from elsewhere serves as well.
func (s *session) missingPackages() []string {
	var pkgs []string
	need := func(pkg string, there bool) {
		if !there && !slices.Contains(pkgs, pkg) {
			pkgs = append(pkgs, pkg)
		}
	}
	tool := func(name string) bool { _, err := exec.LookPath(name); return err == nil }
	if s.want.Mesos {
		for _, l := range libraries {
			need(l.pkg, hasLibrary(l.file))
		}
		if _, ok := mesos.Locate(s.cache); !ok {
			need("g++", tool("g++"))
			need("gcc", tool("gcc"))
			need("binutils", tool("strip"))
			need("python3", tool("python3"))
			need("python3-pip", tool("python3") && exec.Command("python3", "-c", "import pip").Run() == nil)
		}
	}
	if s.want.ZooKeeper {
		_, err := zookeeper.FindIn(s.cache)
		need("zookeeper", err == nil)
		_, err = rig.FindJava(minJava, false)
		need("openjdk-17-jdk-headless", err == nil)
	}
	for _, v := range s.want.Elasticsearch {
		if _, err := elasticsearch.Locate(s.cache, v); err == nil {
			continue
		}
		need("maven", tool("mvn"))
		// Debian 12 has no newer one: later versions' own error tells what they need.
		if _, err := rig.FindJava(minJava, true); err != nil {
			need("openjdk-17-jdk-headless", false)
		}
	}
	if s.want.Maven {
		need("maven", tool("mvn"))
		_, err := rig.FindJava(spark.MinJava, true)
		need("openjdk-17-jdk-headless", err == nil)
	}
	for _, v := range s.want.Spark {
		_, err := rig.FindJava(spark.MinJava, false)
		need("openjdk-17-jdk-headless", err == nil)
		need("python3", tool("python3"))
		if _, err := spark.Locate(s.cache, v); err != nil {
			need("python3-pip", tool("python3") && exec.Command("python3", "-c", "import pip").Run() == nil)
		}
	}
	return pkgs
}

func (s *session) installPackages(ctx context.Context) error {
	pkgs := s.missingPackages()
	if os.Geteuid() != 0 {
		// The one package that runs from any folder is unpacked into the cache.
		pkgs = slices.DeleteFunc(pkgs, func(p string) bool { return p == "zookeeper" })
	}
	if len(pkgs) == 0 {
		return nil
	}
	install := append([]string{"install", "-y", "--no-install-recommends"}, pkgs...)
	if os.Geteuid() != 0 {
		return fmt.Errorf("set-up: missing packages: %s: run: sudo apt-get %s", strings.Join(pkgs, " "), strings.Join(install, " "))
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("set-up: missing Debian packages: %s, and this system has no apt-get: install their like by hand", strings.Join(pkgs, " "))
	}
	return s.step("packages", "", func() error {
		fmt.Fprintf(s.log, "%-14s %s\n", "", strings.Join(pkgs, " "))
		if err := run(ctx, "", "apt-get", "update"); err != nil {
			return err
		}
		return run(ctx, "", "apt-get", install...)
	})
}

// fetchZooKeeper unpacks Debian's ZooKeeper and the libraries that its jar
// names into the cache, for users who may not install packages.
func fetchZooKeeper(ctx context.Context, cache string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; or run: sudo apt-get install -y --no-install-recommends zookeeper", err)
		}
	}()
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("not installed, and without %s it cannot be fetched", tool)
		}
	}
	tmp, err := os.MkdirTemp(cache, ".zookeeper-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	pkgs, err := javaLibraries(ctx, "libzookeeper-java")
	if err != nil {
		return err
	}
	if err := run(ctx, tmp, "apt-get", append([]string{"download"}, pkgs...)...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil {
		return err
	}
	root := filepath.Join(tmp, "root")
	for _, deb := range debs {
		if err := run(ctx, tmp, "dpkg", "-x", deb, root); err != nil {
			return err
		}
	}
	// Without a logging backend the server does not say why it failed.
	jars, err := classpath(filepath.Join(root, zookeeper.JarDir), "zookeeper.jar", "slf4j-simple.jar")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, zookeeper.ClasspathFile), []byte(strings.Join(jars, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	if err := os.RemoveAll(zookeeperDir(cache)); err != nil {
		return err
	}
	return os.Rename(root, zookeeperDir(cache))
}

// classpath lists the names of jars in dir and of all jars that their manifests
// lead to and that are there. The manifests of Debian's jars name absolute
// paths, at which nothing is when the packages were not installed.
func classpath(dir string, names ...string) ([]string, error) {
	var found []string
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		if slices.Contains(found, name) {
			continue
		}
		more, err := manifestClasspath(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && len(found) > 0 {
			continue // of an optional dependency
		}
		if err != nil {
			return nil, err
		}
		found = append(found, name)
		for _, m := range more {
			names = append(names, filepath.Base(m))
		}
	}
	return found, nil
}

func manifestClasspath(jar string) ([]string, error) {
	z, err := zip.OpenReader(jar)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	f, err := z.Open("META-INF/MANIFEST.MF")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", jar, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", jar, err)
	}
	// A line that begins with a blank continues the one before it.
	text := strings.NewReplacer("\r\n ", "", "\n ", "").Replace(string(b))
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "Class-Path:"); ok {
			return strings.Fields(value), nil
		}
	}
	return nil, nil
}

// javaLibraries is a package and its dependencies that are Java libraries: the
// rest, such as the Java runtime, is looked for elsewhere.
func javaLibraries(ctx context.Context, pkg string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "apt-cache", "depends", "--recurse", "--important", pkg).Output()
	if err != nil {
		return nil, fmt.Errorf("apt-cache depends %s: %w", pkg, err)
	}
	var pkgs []string
	for line := range strings.Lines(string(out)) {
		name := strings.TrimSpace(line)
		if strings.HasPrefix(line, " ") || !strings.HasPrefix(name, "lib") || !strings.HasSuffix(name, "-java") {
			continue
		}
		pkgs = append(pkgs, name)
	}
	if len(pkgs) == 0 {
		return nil, errors.New("apt knows no package " + pkg)
	}
	return pkgs, nil
}

// run runs a tool in dir; its output is shown only when it fails.
func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w:\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
