package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
)

func newClusterCommand(e *environment) *cobra.Command {
	return group(&cobra.Command{
		Use:     "cluster",
		Aliases: []string{"clusters"},
		Short:   "Apply, watch and delete clusters",
	},
		newApplyCommand(e), newDiffCommand(e), newListCommand(e), newGetCommand(e), newDeleteCommand(e),
		newRestartCommand(e), newReplaceCommand(e), newPauseCommand(e), newResumeCommand(e), newCancelCommand(e), newOverrideCommand(e),
		newNodesCommand(e), newPlanCommand(e), newExplainCommand(e), newSurvivesCommand(e), newEndpointsCommand(e))
}

// applyFlags are those of the commands that apply a spec.
type applyFlags struct {
	file, message string
	dryRun, wait  bool
	timeout       time.Duration
	generation    int64
}

// add declares the flags; kind is what is applied, what --wait waits for.
func (o *applyFlags) add(cmd *cobra.Command, kind, what string) {
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "the spec's file, - for the standard input")
	f.BoolVar(&o.dryRun, "dry-run", false, "only say what would change")
	f.StringVar(&o.message, "message", "", "the reason, for the audit log")
	f.Int64Var(&o.generation, "if-generation", 0, "only if the "+kind+" is at this generation (0: only if there is none)")
	addWaitFlags(cmd, &o.wait, &o.timeout, what)
}

func (o *applyFlags) options(cmd *cobra.Command) client.PutOptions {
	out := client.PutOptions{DryRun: o.dryRun, Message: o.message}
	if cmd.Flags().Changed("if-generation") {
		out.IfGeneration = &o.generation
	}
	return out
}

// apply sends the spec by put and has await see it through, if that is asked for.
func (o *applyFlags) apply(e *environment, cmd *cobra.Command, what string,
	put func(c *client.Client, ctx context.Context, name string, doc []byte, kind string, po client.PutOptions) (v1.Accepted, error),
	await func(c *client.Client, name string, a v1.Accepted) error) error {
	name, doc, kind, err := e.readSpec(o.file)
	if err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	a, err := put(c, cmd.Context(), name, doc, kind, o.options(cmd))
	if err != nil {
		return err
	}
	if err := e.accepted(label(what+" "+name, a), a); err != nil {
		return err
	}
	if !o.wait || o.dryRun {
		return nil
	}
	return await(c, name, a)
}

// label names what a spec was accepted for.
func label(what string, a v1.Accepted) string {
	if a.Generation > 0 { // a dry run of something new has none
		what += fmt.Sprintf(", generation %d", a.Generation)
	}
	return what
}

func newApplyCommand(e *environment) *cobra.Command {
	var o applyFlags
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make a spec the wanted one",
		Long: `Sends a cluster's whole spec, in YAML or JSON. Berth stores it and works towards
it; with --wait the command shows that work and ends when the cluster is green
(or after --timeout, with exit code 3; Berth goes on then).`,
		Example: `  berth cluster apply -f logs.yaml --wait
  berth cluster apply -f logs.yaml --dry-run
  berth cluster apply -f - --message "more disk, ticket 4711" < logs.yaml
  berth cluster apply -f logs.yaml --if-generation 7`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.apply(e, cmd, "cluster", (*client.Client).PutCluster, func(c *client.Client, name string, a v1.Accepted) error {
				return e.waiter(c, name, o.timeout).untilGreen(cmd.Context(), a.Generation)
			})
		},
	}
	o.add(cmd, "cluster", "the cluster is green")
	return cmd
}

func newDiffCommand(e *environment) *cobra.Command {
	o := applyFlags{dryRun: true}
	cmd := &cobra.Command{
		Use:   "diff -f FILE",
		Short: "Say what a spec would change, and where new nodes would go",
		Long: `Compares a spec with the one that is wanted now and changes nothing: the fields that
differ, the hosts that nodes without a place would get as things are now, and what
they would reserve there. It is what "apply --dry-run" says.`,
		Example: `  berth cluster diff -f logs.yaml
  berth cluster diff -f logs.yaml -o json | jq .changes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.apply(e, cmd, "cluster", (*client.Client).PutCluster, nil)
		},
	}
	cmd.Flags().StringVarP(&o.file, "file", "f", "", "the spec's file, - for the standard input")
	return cmd
}

func addWaitFlags(cmd *cobra.Command, wait *bool, timeout *time.Duration, what string) {
	cmd.Flags().BoolVar(wait, "wait", false, "show progress until "+what)
	cmd.Flags().DurationVar(timeout, "timeout", 10*time.Minute, "how long --wait waits")
}

// readSpec reads a spec's file as it is; only its name is looked at.
func (e *environment) readSpec(file string) (name string, doc []byte, kind string, err error) {
	if file == "" {
		return "", nil, "", usagef("say which spec: -f FILE, or -f - for the standard input")
	}
	source, label := e.in, "on the standard input"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", nil, "", err
		}
		defer f.Close()
		source, label = f, file
	}
	doc, err = io.ReadAll(io.LimitReader(source, v1.MaxDocument+1))
	if err != nil {
		return "", nil, "", fmt.Errorf("the spec %s: %w", label, err)
	}
	if len(doc) > v1.MaxDocument {
		return "", nil, "", fmt.Errorf("the spec %s has more than %d bytes", label, v1.MaxDocument)
	}
	kind = client.TypeYAML
	if bytes.HasPrefix(bytes.TrimSpace(doc), []byte("{")) {
		kind = client.TypeJSON // whose errors name line and column
	}
	var head struct {
		Name any `json:"name"`
	}
	if err := yaml.Unmarshal(doc, &head); err != nil {
		return "", nil, "", fmt.Errorf("the spec %s is no YAML or JSON: %w", label, err)
	}
	name, _ = head.Name.(string)
	if strings.Trim(name, "./") == "" {
		return "", nil, "", fmt.Errorf("the spec %s has no name: write \"name: my-name\" at its top", label)
	}
	return name, doc, kind, nil
}

func newDeleteCommand(e *environment) *cobra.Command {
	var (
		confirm, retention, message string
		wait                        bool
		timeout                     time.Duration
	)
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a cluster, keeping its volumes for a while",
		Long: `Stops a cluster's nodes and forgets the cluster. Its volumes are kept for the
retention time (the scheduler's default, unless --retention says otherwise) and
are listed by "berth volumes" meanwhile.

The command asks for the cluster's name, unless --confirm gives it.`,
		Example: `  berth cluster delete logs
  berth cluster delete logs --confirm logs --retention 30d --message "moved to audit"`,
		Args:              one("cluster's name"),
		ValidArgsFunction: e.clusterNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			var keep *time.Duration
			if retention != "" {
				d, err := v1.ParseDuration(retention)
				if err != nil {
					return usagef("--retention: %w", err)
				}
				keep = &d
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			if err := e.confirm("destroys", "cluster", "name", name, confirm, cmd.Flags().Changed("confirm")); err != nil {
				return err
			}
			a, err := c.DeleteCluster(cmd.Context(), name, keep, message)
			if err != nil {
				return err
			}
			if err := e.accepted("cluster "+name+", deletion", a); err != nil {
				return err
			}
			if !wait {
				return nil
			}
			return e.waiter(c, name, timeout).untilGone(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&confirm, "confirm", "", "the cluster's name once more, instead of typing it")
	f.StringVar(&retention, "retention", "", "how long its volumes are kept, such as 12h or 30d")
	f.StringVar(&message, "message", "", "the reason, for the audit log")
	addWaitFlags(cmd, &wait, &timeout, "the cluster is gone")
	return cmd
}

// confirm demands the name of what is to be destroyed.
func (e *environment) confirm(verb, kind, word, name, given string, flag bool) error {
	if !flag {
		given = e.typed(fmt.Sprintf("This %s the %s %q. Type its %s to go on: ", verb, kind, name, word))
	}
	if given != name {
		return fmt.Errorf("%q is not the %s's %s %q: nothing was changed", given, kind, word, name)
	}
	return nil
}

// typed asks for one line.
func (e *environment) typed(prompt string) string {
	fmt.Fprint(e.err, prompt)
	line := make([]byte, 0, 256)
	for one := make([]byte, 1); len(line) < cap(line); line = append(line, one[0]) {
		// Byte by byte: what follows the line is not ours to read.
		if n, err := e.in.Read(one); n == 0 || err != nil || one[0] == '\n' {
			break
		}
	}
	return strings.TrimSpace(string(line))
}
