package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berthdata/berth/api/client"
)

// Exit codes, documented in the help and in docs/spec.md.
const (
	exitFailure = 1
	exitUsage   = 2
	exitTimeout = 3
	exitPartly  = 4
)

// environment is everything that a command touches besides its arguments, so
// that tests can replace it.
type environment struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	now      func() time.Time

	server, tokenFile, caFile, output string
	// began is true once arguments and flags were accepted: errors before it
	// are the user's.
	began bool
}

// usageError is a wrong command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// verdictError ends a command that has said all there is to say with an exit code.
type verdictError struct{ code int }

func (v verdictError) Error() string { return fmt.Sprintf("exit code %d", v.code) }

// errTimeout is a wait that ended without what it waited for.
var errTimeout = errors.New("timeout")

// exitCode prints an error and maps it to the process's exit code.
func (e *environment) exitCode(err error) int {
	if err == nil {
		return 0
	}
	var usage usageError
	var verdict verdictError
	switch {
	case errors.As(err, &verdict):
		return verdict.code
	case !e.began || errors.As(err, &usage):
		fmt.Fprintf(e.err, "Error: %s\nSee \"berth --help\".\n", clean(err.Error()))
		return exitUsage
	case errors.Is(err, errTimeout):
		fmt.Fprintf(e.err, "Error: %s\n", clean(err.Error()))
		return exitTimeout
	default:
		fmt.Fprintf(e.err, "Error: %s\n", clean(err.Error()))
		return exitFailure
	}
}

const defaultServer = "http://127.0.0.1:8080"

func newRootCommand(e *environment) *cobra.Command {
	root := group(&cobra.Command{
		Use:   "berth",
		Short: "Elasticsearch clusters and Spark applications on Apache Mesos",
		Long: `Berth turns cluster specs into Elasticsearch nodes on Apache Mesos, with
reserved resources and persistent volumes, and keeps them running in place; and
it runs Spark's drivers and executors there.

"berth scheduler" is the daemon; "berth backup" and "berth restore" work on its
stored state; all other commands talk to its REST API.

Environment:
  BERTH_SERVER      address of the API (default ` + defaultServer + `)
  BERTH_TOKEN_FILE  file that holds the bearer token
  BERTH_TOKEN       the bearer token itself
  BERTH_CA_FILE     PEM certificates that the server's may be signed by

Exit codes:
  0  done
  1  failed
  2  wrong command line
  3  --wait ended by its --timeout
  4  "volumes audit" found nothing, but could not see everything`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if !slices.Contains(outputs, e.output) {
				return usagef("--output %q: must be one of %s", e.output, strings.Join(outputs, ", "))
			}
			e.began = true
			return nil
		},
	})
	root.SetIn(e.in)
	root.SetOut(e.out)
	root.SetErr(e.err)
	flags := root.PersistentFlags()
	flags.StringVar(&e.server, "server", "", "address of Berth's API (BERTH_SERVER; default "+defaultServer+")")
	flags.StringVar(&e.tokenFile, "token-file", "", "file that holds the bearer token (BERTH_TOKEN_FILE)")
	flags.StringVar(&e.caFile, "ca-file", "", "PEM certificates that the server's may be signed by (BERTH_CA_FILE)")
	flags.StringVarP(&e.output, "output", "o", outputText, "text, json or yaml")
	root.AddCommand(
		newSchedulerCommand(),
		newClusterCommand(e),
		newSparkCommand(e),
		newEventsCommand(e),
		newAuditCommand(e),
		newAgentsCommand(e),
		newVolumesCommand(e),
		newTasksCommand(e),
		newBackupCommand(e),
		newRestoreCommand(e),
		newTokenCommand(e),
		newVersionCommand(e),
	)
	return root
}

// group is a command that only holds others.
func group(cmd *cobra.Command, children ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("unknown command %q for %q", args[0], cmd.CommandPath())
		}
		return cmd.Help()
	}
	cmd.AddCommand(children...)
	return cmd
}

// one demands exactly one argument, which what names.
func one(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("%s wants one %s, not %d; see \"%s --help\"", cmd.CommandPath(), what, len(args), cmd.CommandPath())
		}
		return nil
	}
}

// atLeastOne demands an argument, which what names.
func atLeastOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s wants %s; see \"%s --help\"", cmd.CommandPath(), what, cmd.CommandPath())
		}
		return nil
	}
}

// client makes the API's client from flags and environment.
func (e *environment) client() (*client.Client, error) {
	first := func(values ...string) string {
		for _, v := range values {
			if v != "" {
				return v
			}
		}
		return ""
	}
	o := client.Options{
		Server:    first(e.server, e.getenv("BERTH_SERVER"), defaultServer),
		CAFile:    first(e.caFile, e.getenv("BERTH_CA_FILE")),
		UserAgent: "berth/" + version(),
	}
	var err error
	switch file := first(e.tokenFile, e.getenv("BERTH_TOKEN_FILE")); {
	case e.tokenFile == "" && e.getenv("BERTH_TOKEN") != "":
		o.Token = e.getenv("BERTH_TOKEN")
	case file != "":
		if o.Token, err = client.Token(file); err != nil {
			return nil, err
		}
	}
	c, err := client.New(o)
	if err != nil {
		return nil, usageError{err}
	}
	if o.Token != "" && sentInTheClear(o.Server) {
		fmt.Fprintf(e.err, "Warning: the bearer token travels unencrypted to %s; use https\n", o.Server)
	}
	return c, nil
}

func sentInTheClear(server string) bool {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" || u.Hostname() == "localhost" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return ip == nil || !ip.IsLoopback()
}

// clusterNames completes the name of a cluster from the server.
func (e *environment) clusterNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return e.completed(cmd, args, func(ctx context.Context, c *client.Client) ([]string, error) {
		list, err := c.Clusters(ctx)
		var names []string
		for _, view := range list {
			names = append(names, view.Name)
		}
		return names, err
	})
}

// completed completes the first argument from the server, quickly or not at all.
func (e *environment) completed(cmd *cobra.Command, args []string, list func(context.Context, *client.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := e.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	names, err := list(ctx, c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
