package main

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/server"
	"github.com/berthdata/berth/api/server/apitest"
	v1 "github.com/berthdata/berth/api/v1"
)

// cli runs command lines against a fake scheduler.
type cli struct {
	dir    string
	fake   *apitest.Fake
	hub    *server.EventHub
	server *httptest.Server
	env    map[string]string
}

func newCLI(t *testing.T, change func(*server.Options)) *cli {
	t.Helper()
	c := &cli{dir: t.TempDir(), fake: &apitest.Fake{}, hub: server.NewEventHub(100), env: map[string]string{}}
	opts := server.Options{Commands: c.fake, Queries: c.fake, Events: c.hub, Spark: c.fake.Spark()}
	if change != nil {
		change(&opts)
	}
	s, err := server.New(opts)
	require.NoError(t, err)
	c.server = httptest.NewServer(s.Handler())
	t.Cleanup(c.server.Close)
	c.env["BERTH_SERVER"] = c.server.URL
	return c
}

type result struct {
	code        int
	stdout, err string
}

func (c *cli) run(stdin string, args ...string) result {
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "$DIR", c.dir)
	}
	var out, errOut bytes.Buffer
	code := run(args, &environment{
		in: strings.NewReader(stdin), out: &out, err: &errOut,
		getenv: func(name string) string { return c.env[name] },
		now:    func() time.Time { return apitest.Epoch.Add(90 * time.Second) },
	})
	return result{code, c.scrub(out.String()), c.scrub(errOut.String())}
}

var port = regexp.MustCompile(`127\.0\.0\.1:\d+`)

func (c *cli) scrub(s string) string {
	s = strings.ReplaceAll(s, c.server.URL, "$SERVER")
	s = strings.ReplaceAll(s, c.dir, "$DIR")
	return port.ReplaceAllString(s, "127.0.0.1:PORT")
}

// The files in testdata are command lines and what they answer. Run with
// -rewrite to write the answers anew, and read the difference.
func TestCommandLines(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c := newCLI(t, nil)
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				switch d.Cmd {
				case "file": // file name=X: writes the input to $DIR/X
					var name string
					d.ScanArgs(t, "name", &name)
					require.NoError(t, os.WriteFile(filepath.Join(c.dir, name), []byte(d.Input+"\n"), 0o600))
					return ""
				case "events": // events: publishes three
					for i, e := range []v1.Event{
						{Type: "ClusterPut", Cluster: "logs", Message: "generation 1"},
						{Type: "NodeStarted", Cluster: "logs", Node: "logs-es-0", Message: "on host-1"},
						{Type: "AgentLost", Message: "host-9 \x1b[31mred\nline"},
					} {
						e.ID, e.Time = int64(i+1), apitest.Epoch
						c.hub.Publish(e)
					}
					return ""
				case "ledger": // ledger [findings] [away] [silent]: what the fake's ledger shows
					c.fake.Findings, c.fake.Away, c.fake.Silent = d.HasArg("findings"), d.HasArg("away"), ""
					if d.HasArg("silent") {
						c.fake.Silent = "the master's operator API did not answer within 20s"
					}
					return ""
				case "calls": // calls: the commands that the scheduler was given
					return fmt.Sprintf("%+v\n", c.fake.Calls())
				case "spark": // spark name=X: the driver of X runs, and one of its two executors
					var name string
					d.ScanArgs(t, "name", &name)
					c.fake.SetSpark(name, runs)
					return ""
				case "berth": // the input's first line is the arguments, the rest the standard input
					line, stdin, _ := strings.Cut(d.Input, "\n")
					r := c.run(stdin, words(line)...)
					out := r.stdout
					if r.err != "" {
						out += "--- standard error\n" + strings.TrimSuffix(r.err, "\n") + "\n"
					}
					return out + fmt.Sprintf("--- exit %d\n", r.code)
				default:
					t.Fatalf("unknown directive %q", d.Cmd)
					return ""
				}
			})
		})
	}
}

// runs is an application in its third attempt.
func runs(v *v1.SparkView) {
	began := apitest.Epoch
	s := &v.Status
	s.Phase, s.Attempt, s.UIURL = "Running", 3, "http://10.0.0.1:40123"
	s.Driver.State, s.Driver.Hostname, s.Driver.AgentID = "Running", "host-1", "agent-1"
	s.Scale = v1.SparkScaleView{Min: 1, Max: 4, Asked: 2, Wanted: 2, Running: 1, Pending: 1}
	s.List = []v1.SparkTaskView{
		{Name: v.Name + "-exec-1", ExecutorID: 1, State: "Running", TaskID: v.Name + "-exec-1.5.1", Hostname: "host-2", Registered: true, Since: began},
		{Name: v.Name + "-exec-2", ExecutorID: 2, State: "Pending", Since: began, Message: "no agent fits"},
	}
	s.Conditions = []v1.Condition{{Type: "ExecutorsRunning", Status: "False", Reason: "NotAllRunning", Message: "1 of 2 run: see explain", Since: began}}
	s.Attempts = []v1.SparkAttempt{
		{Attempt: 2, TaskID: "t2", Hostname: "host-3", State: "FAILED", ExitCode: 1, Message: "exit status 1", StartedAt: began.Add(-time.Minute), EndedAt: began},
		{Attempt: 1, TaskID: "t1", State: "LOST", Message: "agent removed", StartedAt: began.Add(-time.Hour), EndedAt: began.Add(-time.Minute)},
	}
}

// words splits a line at blanks, but not within quotes.
func words(line string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`"([^"]*)"|\S+`).FindAllStringSubmatch(line, -1) {
		if strings.HasPrefix(m[0], `"`) {
			out = append(out, m[1])
		} else {
			out = append(out, m[0])
		}
	}
	return out
}

func TestEveryCommandHasHelpAndExamples(t *testing.T) {
	root := newRootCommand(&environment{getenv: os.Getenv, now: time.Now})
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		assert.NotEmpty(t, cmd.Short, cmd.CommandPath())
		if !cmd.HasSubCommands() {
			assert.NotEmpty(t, cmd.Example, "%s has no example", cmd.CommandPath())
			assert.Contains(t, cmd.Example, cmd.CommandPath(), "the example of %s shows another command", cmd.CommandPath())
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(root)
}

// No flag takes a secret: arguments are seen by every user of a machine.
func TestNoSecretOnTheCommandLine(t *testing.T) {
	c := newCLI(t, nil)
	r := c.run("", "cluster", "list", "--token", "x")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.err, "unknown flag: --token")
}

func TestVersion(t *testing.T) {
	c := newCLI(t, nil)
	require.Regexp(t, `^berth \S+ \(go\S+, \w+/\w+\)\n$`, c.run("", "version").stdout)
}

func TestCompletionAsksTheServer(t *testing.T) {
	c := newCLI(t, nil)
	require.Equal(t, 0, c.run("", "cluster", "apply", "-f", c.spec(t)).code)
	r := c.run("", "__complete", "cluster", "get", "")
	require.Contains(t, r.stdout, "logs\n")
	require.Equal(t, 0, c.run("", "completion", "bash").code)
}

func TestTokenNew(t *testing.T) {
	c := newCLI(t, nil)
	file := filepath.Join(c.dir, "tokens")
	require.NoError(t, os.WriteFile(file, []byte("# ours"), 0o600)) // without a line feed at its end
	r := c.run("", "token", "new", "--scope", "operator", "--name", "ci", "--append", file)
	require.Equal(t, 0, r.code, r.err)
	token := strings.TrimSpace(r.stdout)
	require.Regexp(t, `^berth_[A-Za-z0-9_-]{43}$`, token)
	require.Empty(t, r.err)
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Regexp(t, `^# ours\noperator [0-9a-f]{64} ci\n$`, string(content))
	require.NotContains(t, string(content), token)
	_, err = server.LoadTokens(file)
	require.NoError(t, err)

	again := c.run("", "token", "new", "--scope", "readonly", "--name", "eyes")
	require.NotEqual(t, r.stdout, again.stdout)
	require.Regexp(t, `readonly [0-9a-f]{64} eyes`, again.err)
	require.Equal(t, exitUsage, c.run("", "token", "new", "--scope", "root", "--name", "x").code)
}

func TestTokensOfCallers(t *testing.T) {
	dir := t.TempDir()
	operator, line1, err := server.NewToken(server.ScopeOperator, "ci")
	require.NoError(t, err)
	reader, line2, err := server.NewToken(server.ScopeReadOnly, "eyes")
	require.NoError(t, err)
	file := filepath.Join(dir, "tokens")
	require.NoError(t, os.WriteFile(file, []byte(line1+"\n"+line2+"\n"), 0o600))
	tokens, err := server.LoadTokens(file)
	require.NoError(t, err)
	c := newCLI(t, func(o *server.Options) { o.Auth = tokens })

	r := c.run("", "cluster", "list")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.err, "no bearer token was sent")

	c.env["BERTH_TOKEN"] = reader
	require.Equal(t, 0, c.run("", "cluster", "list").code)
	r = c.run("", "volumes", "restore", "logs-es-0-v1")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.err, "readonly")

	ci := filepath.Join(dir, "ci.token")
	require.NoError(t, os.WriteFile(ci, []byte(operator+"\n"), 0o600))
	require.Equal(t, 0, c.run("", "volumes", "restore", "logs-es-0-v1", "--token-file", ci).code, "the flag goes before BERTH_TOKEN")
	c.env = map[string]string{"BERTH_SERVER": c.server.URL, "BERTH_TOKEN_FILE": ci}
	require.Equal(t, 0, c.run("", "volumes", "restore", "logs-es-0-v1").code)
}
