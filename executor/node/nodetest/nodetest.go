// Package nodetest is a stand-in for Elasticsearch in tests of what supervises
// it: a distribution folder whose program is the test binary itself. It listens
// where its elasticsearch.yml says and answers the few requests that an
// executor makes; what it answers is set by a file in its data path.
package nodetest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// modeVar carries the Mode to the stand-in; its presence makes a test binary one.
const modeVar = "BERTH_TEST_FAKE_ELASTICSEARCH"

// Mode is how the stand-in behaves from its start.
type Mode string

// The modes.
const (
	Good     Mode = "good"     // answers, and stops on SIGTERM
	Stubborn Mode = "stubborn" // ignores SIGTERM, and so does a child of it
	BindFail Mode = "bindfail" // exits with 1 after a BindException
	Checks   Mode = "checks"   // exits with 78 after failed bootstrap checks
)

// The states that SetState can put a running stand-in into.
const (
	Joined   = "joined"
	NoMaster = "nomaster"
	Locked   = "locked"  // 401
	Stranger = "another" // has another name
	Hang     = "hang"    // accepts and does not answer
)

// UUID is the cluster uuid that the stand-in reports, unless its data path has
// a file "uuid".
const UUID = "fake-uuid"

// NodeID is the node id that the stand-in reports.
const NodeID = "fake-node-id"

// Main turns this process into the stand-in if it was started as one. Call it
// first in TestMain.
func Main() {
	if mode := Mode(os.Getenv(modeVar)); mode != "" {
		if err := run(mode); err != nil {
			fmt.Println("[ERROR] fake:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// Home makes a distribution folder of a version below dir, which every user
// must be able to enter.
func Home(t testing.TB, dir, version string, mode Mode) string {
	t.Helper()
	home := filepath.Join(dir, "elasticsearch-"+version)
	for _, d := range []string{"bin", "config", "lib"} {
		require.NoError(t, os.MkdirAll(filepath.Join(home, d), 0o755))
	}
	// The test binary lies in a folder that only its owner can enter.
	program := filepath.Join(home, "bin", "fake")
	copyFile(t, os.Args[0], program)
	write := func(name, content string, mode fs.FileMode) {
		require.NoError(t, os.WriteFile(filepath.Join(home, name), []byte(content), mode))
	}
	write("bin/elasticsearch", fmt.Sprintf("#!/bin/sh\n%s=%s exec %s\n", modeVar, mode, program), 0o755)
	write("lib/elasticsearch-"+version+".jar", "", 0o644)
	write("config/jvm.options", "-XX:+UseG1GC\n", 0o644)
	write("config/log4j2.properties", "status = error\n", 0o644)
	write("config/roles.yml", "# roles\n", 0o644)
	// A Java, so that none need be installed.
	require.NoError(t, os.MkdirAll(filepath.Join(home, "jdk", "bin"), 0o755))
	write("jdk/bin/java", "#!/bin/sh\nexit 1\n", 0o755)
	write("jdk/release", "JAVA_VERSION=\"21.0.2\"\n", 0o644)
	return home
}

// SetState changes what a running stand-in answers; data is its path.data.
func SetState(t testing.TB, data, state string) {
	t.Helper()
	tmp := filepath.Join(filepath.Dir(data), ".berth.json.state")
	require.NoError(t, os.WriteFile(tmp, []byte(state), 0o644))
	require.NoError(t, os.Rename(tmp, filepath.Join(data, "state")))
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	require.NoError(t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(out, in)
	require.NoError(t, errors.Join(err, out.Close()))
}

func run(mode Mode) error {
	switch mode {
	case BindFail:
		fmt.Println("org.elasticsearch.http.BindHttpException: Failed to bind to 127.0.0.1:1")
		fmt.Println("Caused by: java.net.BindException: Address already in use")
		os.Exit(1)
	case Checks:
		fmt.Println("ERROR: [1] bootstrap checks failed")
		fmt.Println("[1]: max virtual memory areas vm.max_map_count [65530] is too low, increase to at least [262144]")
		os.Exit(78)
	}
	set, err := settings(filepath.Join(os.Getenv("ES_PATH_CONF"), "elasticsearch.yml"))
	if err != nil {
		return err
	}
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	if mode == Stubborn {
		signal.Ignore(syscall.SIGTERM)
		if os.Getenv("BERTH_TEST_FAKE_CHILD") != "" {
			select {}
		}
		env := append(os.Environ(), "BERTH_TEST_FAKE_CHILD=1")
		if _, err := os.StartProcess(os.Args[0], os.Args[:1], &os.ProcAttr{Env: env, Files: []*os.File{nil, os.Stdout, os.Stderr}}); err != nil {
			return err
		}
	}
	data, _ := set["path.data"].(string)
	if err := os.WriteFile(filepath.Join(data, "written"), nil, 0o644); err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(fmt.Sprint(set["network.host"]), fmt.Sprint(set["http.port"])))
	if err != nil {
		return err
	}
	fmt.Printf("[INFO ] started as uid %d with descriptors %s\n", os.Getuid(), strings.Join(descriptors(), " "))
	go func() { _ = http.Serve(l, answer(set, data)) }()
	<-terminate
	fmt.Println("[INFO ] stopped")
	return nil
}

func answer(set map[string]any, data string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		state := Joined
		if b, err := os.ReadFile(filepath.Join(data, "state")); err == nil {
			state = strings.TrimSpace(string(b))
		}
		uuid := UUID
		if b, err := os.ReadFile(filepath.Join(data, "uuid")); err == nil {
			uuid = strings.TrimSpace(string(b))
		}
		name := set["node.name"]
		switch state {
		case Locked:
			http.Error(w, `{"error":"security"}`, http.StatusUnauthorized)
			return
		case Hang:
			<-r.Context().Done()
			return
		case Stranger:
			name = "stranger"
		}
		var body map[string]any
		switch r.URL.Path {
		case "/_nodes/_local/http":
			body = map[string]any{"cluster_name": set["cluster.name"], "nodes": map[string]any{NodeID: map[string]any{"name": name}}}
		case "/_cluster/state/master_node":
			body = map[string]any{"cluster_name": set["cluster.name"], "cluster_uuid": uuid}
			if state != NoMaster {
				body["master_node"] = NodeID
			}
		default:
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(body)
	}
}

// settings reads the flat YAML that Berth writes: "name: JSON" on each line.
func settings(path string) (map[string]any, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	set := map[string]any{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ": ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		var v any
		d := json.NewDecoder(strings.NewReader(value))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		set[name] = v
	}
	return set, lines.Err()
}

// descriptors lists what the process has inherited beyond the usual three.
func descriptors() []string {
	var out []string
	for fd := 3; fd < 10; fd++ {
		if target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && strings.HasPrefix(target, "/") {
			out = append(out, filepath.Base(target))
		}
	}
	return out
}
