package setup

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/test/rig/zookeeper"
)

// tools makes PATH a folder of scripts that append their name and arguments to
// the returned file.
func tools(t *testing.T, names ...string) (calls string) {
	t.Helper()
	dir := t.TempDir()
	calls = filepath.Join(dir, "calls")
	for _, name := range names {
		script := "#!/bin/sh\necho " + name + " \"$@\" >> " + calls + "\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	}
	t.Setenv("PATH", dir)
	t.Setenv("BERTH_CACHE", t.TempDir())
	return calls
}

func TestFindNamesWhatIsMissing(t *testing.T) {
	tools(t)
	_, err := Find(Want{Mesos: true, Elasticsearch: []string{"8.19.21", "7.17.29"}, Spark: []string{"3.5.9"}, Maven: true})
	require.ErrorIs(t, err, ErrMissing)
	for _, what := range []string{"mesos 1.11.0", "elasticsearch 8.19.21", "elasticsearch 7.17.29", "spark 3.5.9", "mvn", "make setup"} {
		assert.ErrorContains(t, err, what)
	}
	_, err = Find(Want{})
	assert.NoError(t, err)
}

func TestMissingToolsBecomePackages(t *testing.T) {
	tools(t, "g++", "strip", "python3")
	s := &session{cache: t.TempDir(), want: Want{Mesos: true, Elasticsearch: []string{"8.19.21"}}}
	pkgs := s.missingPackages()
	assert.Subset(t, pkgs, []string{"gcc", "maven"})
	assert.NotContains(t, pkgs, "g++")
	assert.NotContains(t, pkgs, "python3")
	s.want = Want{Spark: []string{"3.5.9"}, Maven: true}
	assert.Subset(t, s.missingPackages(), []string{"maven"})
}

func TestPackages(t *testing.T) {
	calls := tools(t, "apt-get", "g++", "strip", "python3")
	var log bytes.Buffer
	s := &session{cache: t.TempDir(), want: Want{Mesos: true}, log: &log}
	err := s.installPackages(t.Context())
	if os.Geteuid() != 0 {
		assert.ErrorContains(t, err, "sudo apt-get install -y --no-install-recommends")
		assert.ErrorContains(t, err, "gcc")
		asked, _ := os.ReadFile(calls) // missing when no tool was asked at all
		assert.NotContains(t, string(asked), "apt-get", "nothing is installed without root")
		return
	}
	require.NoError(t, err)
	b, err := os.ReadFile(calls)
	require.NoError(t, err)
	lines := strings.Split(string(b), "\n")
	got := lines[len(lines)-3:]
	assert.Equal(t, "apt-get update", got[0])
	assert.True(t, strings.HasPrefix(got[1], "apt-get install -y --no-install-recommends"), got[1])
	assert.Contains(t, got[1], " gcc")
	assert.Contains(t, log.String(), "gcc")
}

func TestNothingMissingCallsNothing(t *testing.T) {
	calls := tools(t, "apt-get", "mvn")
	s := &session{cache: t.TempDir(), want: Want{}, log: &bytes.Buffer{}}
	require.NoError(t, s.installPackages(t.Context()))
	assert.NoFileExists(t, calls)
}

func TestFailingToolIsQuoted(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "apt-get"), []byte("#!/bin/sh\necho no network; exit 100\n"), 0o755))
	t.Setenv("PATH", dir)
	err := run(t.Context(), "", "apt-get", "update")
	assert.ErrorContains(t, err, "apt-get update: exit status 100")
	assert.ErrorContains(t, err, "no network")
}

// jar writes a jar whose manifest names others.
func jar(t *testing.T, dir, name, manifest string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	require.NoError(t, err)
	z := zip.NewWriter(f)
	if manifest != "" {
		w, err := z.Create("META-INF/MANIFEST.MF")
		require.NoError(t, err)
		_, err = w.Write([]byte(manifest))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
}

func TestClasspathFollowsManifests(t *testing.T) {
	dir := t.TempDir()
	jar(t, dir, "zookeeper.jar", "Manifest-Version: 1.0\r\nClass-Path: /usr/share/java/a.jar /usr/share/java/abs\r\n ent.jar /usr/share/ja\r\n va/b.jar\r\nBuilt-By: x\r\n")
	jar(t, dir, "slf4j-simple.jar", "")
	jar(t, dir, "a.jar", "Class-Path: b.jar zookeeper.jar\n")
	jar(t, dir, "b.jar", "Manifest-Version: 1.0\n")
	got, err := classpath(dir, "zookeeper.jar", "slf4j-simple.jar")
	require.NoError(t, err)
	assert.Equal(t, []string{"zookeeper.jar", "slf4j-simple.jar", "a.jar", "b.jar"}, got)
	_, err = classpath(dir, "none.jar")
	assert.Error(t, err)
}

func TestUnpackedZooKeeperIsFound(t *testing.T) {
	t.Setenv("JAVA_HOME", t.TempDir())
	cache := t.TempDir()
	require.NoError(t, os.Mkdir(zookeeperDir(cache), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(zookeeperDir(cache), zookeeper.ClasspathFile), []byte("zookeeper.jar\na.jar\n"), 0o644))
	cp, err := zookeeper.FindIn(cache)
	require.NoError(t, err)
	base := filepath.Join(zookeeperDir(cache), zookeeper.JarDir)
	assert.Equal(t, filepath.Join(base, "zookeeper.jar")+":"+filepath.Join(base, "a.jar"), cp)
}
