package elasticsearch

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/test/rig"
)

// fakeHome is a home of a version with the config files of a distribution.
func fakeHome(t *testing.T, major int, modules ...string) Home {
	t.Helper()
	dir := t.TempDir()
	for _, d := range append([]string{"config"}, modules...) {
		if d != "config" {
			d = filepath.Join("modules", d)
		}
		require.NoError(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	jvm := "## comment\n-Xss1m\n-XX:HeapDumpPath=data\n-XX:ErrorFile=logs/hs_err_pid%p.log\n" +
		"9-:-Xlog:gc*,gc+age=trace:file=logs/gc.log\n8:-Xloggc:logs/gc.log\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config", "jvm.options"), []byte(jvm), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config", "log4j2.properties"), []byte("status = error\n"), 0o644))
	return Home{Version: "x", Major: major, Dir: dir, Java: rig.Java{Home: "/java"}}
}

func node(t *testing.T, home Home) nodeFiles {
	t.Helper()
	return nodeFiles{
		home: home, dir: t.TempDir(), cluster: "c", name: "n-0", roles: []string{"master", "data"}, http: 9200, transport: 9300,
		seeds: []string{"127.0.0.1:9300", "127.0.0.1:9301", "127.0.0.1:9302"}, masters: []string{"n-0", "n-1", "n-2"},
		heap: "256m", java: []string{"-Da=b"}, settings: []string{"extra.setting: 1"},
	}
}

func TestConfigurationByVersion(t *testing.T) {
	zen2 := []string{"transport.port: 9300", `node.roles: ["master", "data"]`, `cluster.initial_master_nodes: ["n-0", "n-1", "n-2"]`}
	zen1 := []string{"transport.tcp.port: 9300", "node.master: true", "node.data: true", "discovery.zen.minimum_master_nodes: 2"}
	for _, c := range []struct {
		major     int
		lines     []string
		not       string
		env, args []string
	}{
		{9, zen2, "zen", []string{"ES_JAVA_OPTS=-Xms256m -Xmx256m -Da=b", "ES_JAVA_HOME=/java", "CLI_JAVA_OPTS=-Xms4m -Xmx32m"}, nil},
		{7, zen2, "zen", []string{"ES_JAVA_OPTS=-Xms256m -Xmx256m -Da=b"}, nil},
		{6, zen1, "initial_master", []string{"ES_JAVA_OPTS=-Xms256m -Xmx256m -Da=b"}, nil},
		{5, zen1, "initial_master", []string{"ES_JAVA_OPTS=-Xms256m -Xmx256m -Da=b"}, []string{"-Epath.conf="}},
		{2, zen1, "initial_master", []string{"ES_HEAP_SIZE=256m"}, []string{"--path.conf="}},
	} {
		n := node(t, fakeHome(t, c.major))
		require.NoError(t, n.write())
		b, err := os.ReadFile(n.path("config", "elasticsearch.yml"))
		require.NoError(t, err)
		for _, line := range append(c.lines, "http.port: 9200", "network.host: 127.0.0.1", "extra.setting: 1") {
			assert.Contains(t, strings.Split(string(b), "\n"), line, "version %d", c.major)
		}
		assert.NotContains(t, string(b), c.not, "version %d", c.major)
		assert.NotContains(t, string(b), "xpack", "version %d", c.major)
		assert.FileExists(t, n.path("config", "log4j2.properties"))
		cmd := n.command()
		for _, e := range c.env {
			assert.Contains(t, cmd.Env, e, "version %d", c.major)
		}
		for _, a := range c.args {
			assert.Contains(t, strings.Join(cmd.Args, " "), a, "version %d", c.major)
		}
	}
}

func TestBootstrapIsSetForAnEmptyNodeOnly(t *testing.T) {
	n := node(t, fakeHome(t, 8, "x-pack-security"))
	require.NoError(t, n.write())
	assert.Contains(t, n.yml(), "cluster.initial_master_nodes")
	assert.Contains(t, n.yml(), "xpack.security.enabled: false")
	require.NoError(t, os.Mkdir(n.path("data", "_state"), 0o755))
	assert.NotContains(t, n.yml(), "cluster.initial_master_nodes")
	data := node(t, n.home)
	data.roles = []string{"data"}
	assert.NotContains(t, data.yml(), "cluster.initial_master_nodes")
}

func TestJVMFilesStayOutOfTheHome(t *testing.T) {
	n := node(t, fakeHome(t, 7))
	require.NoError(t, n.write())
	b, err := os.ReadFile(n.path("config", "jvm.options"))
	require.NoError(t, err)
	assert.Equal(t, "## comment\n-Xss1m\n-XX:HeapDumpPath="+n.path("logs")+"\n-XX:ErrorFile="+n.path("logs", "hs_err_pid%p.log")+"\n", string(b))
	old := node(t, fakeHome(t, 6))
	require.NoError(t, old.write())
	b, err = os.ReadFile(old.path("config", "jvm.options"))
	require.NoError(t, err)
	assert.Contains(t, string(b), "-Djava.io.tmpdir="+old.path("tmp"))
}

func TestVersionsAreChecked(t *testing.T) {
	for _, v := range []string{"", "8", "8.19", "latest", "1.7.6", "8.19.21-x", "../8.0.0", "8.1.2.3"} {
		_, err := newHome("/cache", v)
		assert.ErrorContains(t, err, "three numbers", v)
	}
	h, err := newHome("/cache", "9.5.3")
	require.NoError(t, err)
	assert.Equal(t, Home{Version: "9.5.3", Major: 9, Dir: "/cache/elasticsearch-9.5.3"}, h)
}

func TestLocateWantsACompleteHome(t *testing.T) {
	cache := t.TempDir()
	dir := filepath.Join(cache, "elasticsearch-8.19.21")
	require.NoError(t, os.Mkdir(dir, 0o755))
	_, err := Locate(cache, "8.19.21")
	assert.EqualError(t, err, "elasticsearch 8.19.21", "without a stamp the unpacking was cut off")
	require.NoError(t, os.WriteFile(filepath.Join(dir, stampFile), []byte(`{"sha256":"x","rootInfo":"older"}`), 0o644))
	_, err = Locate(cache, "8.19.21")
	assert.EqualError(t, err, "elasticsearch 8.19.21", "its module was compiled from another source")
}

func TestUnpack(t *testing.T) {
	write := func(names ...string) string {
		file := filepath.Join(t.TempDir(), "x.zip")
		f, err := os.Create(file)
		require.NoError(t, err)
		z := zip.NewWriter(f)
		for _, name := range names {
			w, err := z.Create(name)
			require.NoError(t, err)
			_, err = w.Write([]byte("body"))
			require.NoError(t, err)
		}
		require.NoError(t, z.Close())
		require.NoError(t, f.Close())
		return file
	}
	dir := t.TempDir()
	require.NoError(t, unpack(write("es/bin/elasticsearch", "es/lib/a.jar"), dir))
	st, err := os.Stat(filepath.Join(dir, "es/bin/elasticsearch"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o755), st.Mode())
	st, err = os.Stat(filepath.Join(dir, "es/lib/a.jar"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o644), st.Mode())
	assert.Error(t, unpack(write("../out"), t.TempDir()))
}
