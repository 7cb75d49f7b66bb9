package sparksubmit

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/server"
	"github.com/berthdata/berth/api/server/apitest"
	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig/rigtest"
	"github.com/berthdata/berth/test/rig/setup"
	"github.com/berthdata/berth/test/rig/spark"
)

// clientTime bounds one spark-submit: a JVM's start on a busy machine.
const clientTime = 2 * time.Minute

// berth is the API over a fake scheduler, and a Berth that follows it.
type berth struct {
	t              *testing.T
	fake           *apitest.Fake
	leader, follow *httptest.Server

	mu   sync.Mutex
	seen []string // method and path of each request to the leader
}

func newBerth(t *testing.T, change func(*server.Options)) *berth {
	t.Helper()
	b := &berth{t: t, fake: &apitest.Fake{}}
	make := func(change func(*server.Options)) *server.Server {
		o := server.Options{Commands: b.fake, Queries: b.fake, Events: server.NewEventHub(1), Spark: b.fake.Spark()}
		if change != nil {
			change(&o)
		}
		s, err := server.New(o)
		require.NoError(t, err)
		return s
	}
	handler := make(change).Handler()
	b.leader = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.seen = append(b.seen, r.Method+" "+r.URL.Path)
		b.mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(b.leader.Close)
	b.follow = httptest.NewServer(make(func(o *server.Options) {
		o.LeaderRedirect = func(context.Context) (bool, string) { return false, b.leader.URL }
	}).Handler())
	t.Cleanup(b.follow.Close)
	return b
}

func address(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }

// client runs spark-submit and returns what it printed; its exit code says
// nothing about refusals.
func client(t *testing.T, home spark.Home, args ...string) string {
	t.Helper()
	return command(t, home, nil, append([]string{home.Submit()}, args...)...)
}

func command(t *testing.T, home spark.Home, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientTime)
	defer cancel()
	cmd, err := home.Client(ctx, t.TempDir(), env, args...)
	require.NoError(t, err)
	out, err := cmd.CombinedOutput()
	t.Logf("%s\n%s", strings.Join(args, " "), out)
	require.NoError(t, ctx.Err(), "the client did not end")
	if err != nil {
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
	}
	return string(out)
}

var created = regexp.MustCompile(`Submission successfully created as (driver-\d{14}-[a-z0-9]{6})`)

// submitted demands that a client has submitted, and returns the application.
func (b *berth) submitted(out string) v1.SparkView {
	b.t.Helper()
	m := created.FindStringSubmatch(out)
	require.NotNil(b.t, m, "the client does not say that it has submitted")
	view, err := b.fake.SparkApplication(b.t.Context(), m[1])
	require.NoError(b.t, err)
	return view
}

func homes(t *testing.T) map[string]spark.Home {
	t.Helper()
	return rigtest.Need(t, setup.Want{Spark: spark.Versions}).Spark
}

const rest = "spark.master.rest.enabled=true"

// TestSparkSubmit: what the user said reaches the application as it was said.
func TestSparkSubmit(t *testing.T) {
	installed := homes(t)
	for _, tt := range []struct{ version, scheme string }{{"3.5.9", "mesos"}, {"3.5.9", "spark"}, {"4.3.0", "spark"}} {
		t.Run(tt.version+" "+tt.scheme, func(t *testing.T) {
			b := newBerth(t, nil)
			home := installed[tt.version]
			master := tt.scheme + "://" + address(b.leader)
			out := client(t, home, "--master", master, "--deploy-mode", "cluster", "--conf", rest, "--class", "example.Job", "--name", "a job",
				"--driver-memory", "2g", "--driver-cores", "2", "--executor-memory", "3g", "--total-executor-cores", "8", "--supervise",
				"--jars", "https://files.example/lib.jar", "--files", "https://files.example/conf.yaml",
				"--conf", "spark.executor.cores=4", "--conf", "spark.mesos.constraints=colo:east", "--conf", "spark.quoted=a \"b\" c",
				"--conf", "spark.driver.extraJavaOptions=-Dx=\"1 2\"", "--conf", "spark.mesos.driverEnv.TZ=UTC",
				"https://files.example/job.jar", "two words", `say "hi"`, "it's", "--flag=$HOME", "", "ümlaut")
			v := b.submitted(out)
			s := v.Spec
			require.Equal(t, []string{"two words", `say "hi"`, "it's", "--flag=$HOME", "", "ümlaut"}, s.Args)
			require.Equal(t, tt.version, s.Version)
			require.Equal(t, "https://files.example/job.jar", s.AppResource)
			require.Equal(t, "example.Job", s.MainClass)
			require.Equal(t, []string{"https://files.example/lib.jar"}, s.Jars)
			require.Equal(t, []string{"https://files.example/conf.yaml"}, s.Files)
			require.Equal(t, "a job", s.Properties["spark.app.name"])
			require.Equal(t, `a "b" c`, s.Properties["spark.quoted"])
			require.Equal(t, `-Dx="1 2"`, s.Properties["spark.driver.extraJavaOptions"])
			require.Equal(t, "UTC", s.Environment["TZ"])
			require.Equal(t, "2gb", s.Driver.Memory)
			require.Equal(t, 2.0, s.Driver.CPUs)
			require.NotNil(t, s.Driver.Supervise)
			two := 2
			require.Equal(t, v1.SparkExecutors{Count: &two, Cores: 4, Memory: "3gb", MemoryOverhead: "384mb",
				Constraints: []v1.Constraint{{Attribute: "colo", Operator: "EQ", Values: []string{"east"}}}}, s.Executors)

			b.fake.SetSpark(v.Name, func(v *v1.SparkView) {
				v.Status.Phase, v.Status.Driver.AgentID, v.Status.Driver.Hostname = "Running", "agent-1", "host-1"
			})
			out = client(t, home, "--master", master, "--status", v.Name)
			require.Contains(t, out, `"driverState" : "RUNNING"`)
			require.Contains(t, out, "host-1")
			out = client(t, home, "--master", master, "--kill", v.Name)
			require.Contains(t, out, "Kill request for "+v.Name+" submitted")
			killed, err := b.fake.SparkApplication(t.Context(), v.Name)
			require.NoError(t, err)
			require.Equal(t, "Killed", killed.Status.Phase)
			out = client(t, home, "--master", master, "--status", v.Name)
			require.Contains(t, out, `"driverState" : "KILLED"`, "the real end")
		})
	}
}

// TestPython: by mesos:// with 3.5, the only way that spark-submit offers.
func TestPython(t *testing.T) {
	home := homes(t)["3.5.9"]
	b := newBerth(t, nil)
	out := client(t, home, "--master", "mesos://"+address(b.leader), "--deploy-mode", "cluster", "--conf", rest,
		"--py-files", "https://files.example/a.zip,https://files.example/b.py", "https://files.example/job.py", "two words", "3")
	s := b.submitted(out).Spec
	require.Equal(t, "https://files.example/job.py", s.AppResource)
	require.Empty(t, s.MainClass)
	require.Equal(t, []string{"https://files.example/a.zip", "https://files.example/b.py"}, s.PyFiles)
	require.Equal(t, []string{"two words", "3"}, s.Args)
}

// TestRefusal: the client shows its user why.
func TestRefusal(t *testing.T) {
	for version, home := range homes(t) {
		t.Run(version, func(t *testing.T) {
			b := newBerth(t, nil)
			out := client(t, home, "--master", "spark://"+address(b.leader), "--deploy-mode", "cluster", "--conf", rest, "--class", "example.Job",
				"--conf", "spark.mesos.executor.docker.image=x", "https://files.example/job.jar")
			require.Contains(t, out, "spark.mesos.executor.docker.image: cannot be honoured")
			require.NotRegexp(t, created, out)
			out = client(t, home, "--master", "spark://"+address(b.leader), "--kill", "driver-20240506070809-aaaaaa")
			require.Contains(t, out, "does not exist")
		})
	}
}

// TestFollower: clients reach the leader through a Berth that follows, by its
// redirect; and with two masters when it cannot redirect.
func TestFollower(t *testing.T) {
	installed := homes(t)
	for _, tt := range []struct{ version, scheme string }{{"3.5.9", "mesos"}, {"4.3.0", "spark"}} {
		t.Run(tt.version, func(t *testing.T) {
			b := newBerth(t, nil)
			out := client(t, installed[tt.version], "--master", tt.scheme+"://"+address(b.follow), "--deploy-mode", "cluster", "--conf", rest,
				"--class", "example.Job", "https://files.example/job.jar")
			b.submitted(out)
		})
	}
	t.Run("two masters", func(t *testing.T) {
		b := newBerth(t, nil)
		s, err := server.New(server.Options{Commands: b.fake, Queries: b.fake, Events: server.NewEventHub(1), Spark: b.fake.Spark(),
			LeaderRedirect: func(context.Context) (bool, string) { return false, "https://elsewhere.example" }})
		require.NoError(t, err)
		standby := httptest.NewServer(s.Handler())
		t.Cleanup(standby.Close)
		out := client(t, installed["4.3.0"], "--master", "spark://"+address(standby)+","+address(b.leader), "--deploy-mode", "cluster", "--conf", rest,
			"--class", "example.Job", "https://files.example/job.jar")
		b.submitted(out)
	})
}

// TestProxy: with a token that spark-submit itself cannot send.
func TestProxy(t *testing.T) {
	installed := homes(t)
	operator, line, err := server.NewToken(server.ScopeOperator, "ci")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tokens"), []byte(line+"\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte(operator+"\n"), 0o600))
	tokens, err := server.LoadTokens(filepath.Join(dir, "tokens"))
	require.NoError(t, err)
	binary := filepath.Join(dir, "berth")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/berthdata/berth/cmd/berth")
	built, err := build.CombinedOutput()
	require.NoError(t, err, string(built))
	for _, tt := range []struct{ version, scheme, app string }{{"3.5.9", "mesos", "https://files.example/job.py"}, {"4.3.0", "spark", "https://files.example/job.jar"}} {
		t.Run(tt.version, func(t *testing.T) {
			b := newBerth(t, func(o *server.Options) { o.Auth = tokens })
			home := installed[tt.version]
			class := []string{"--class", "example.Job"}
			if strings.HasSuffix(tt.app, ".py") {
				class = nil
			}
			env := []string{"BERTH_SERVER=" + b.leader.URL, "BERTH_TOKEN_FILE=" + filepath.Join(dir, "token")}
			run := func(args ...string) string {
				return command(t, home, env, append([]string{binary, "spark", "proxy", "--scheme", tt.scheme, "--", home.Submit()}, args...)...)
			}
			v := b.submitted(run(append(class, tt.app, "two words")...))
			require.Equal(t, []string{"two words"}, v.Spec.Args)
			require.Contains(t, run("--status", v.Name), `"driverState" : "SUBMITTED"`)
			out := client(t, home, "--master", tt.scheme+"://"+address(b.leader), "--status", v.Name)
			require.Contains(t, out, "no bearer token", "without the proxy")
		})
	}
}
