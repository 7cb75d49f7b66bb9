package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
)

func newSparkCommand(e *environment) *cobra.Command {
	return group(&cobra.Command{
		Use:   "spark",
		Short: "Apply, submit, scale and kill Spark applications",
	},
		newSparkApplyCommand(e), newSparkSubmitCommand(e), newSparkProxyCommand(e), newSparkListCommand(e), newSparkStatusCommand(e),
		newExecutorsCommand(e), newSparkExplainCommand(e), newScaleCommand(e), newKillCommand(e), newForgetCommand(e))
}

func newSparkApplyCommand(e *environment) *cobra.Command {
	var o applyFlags
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make a spec the wanted one",
		Long: `Sends an application's whole spec, in YAML or JSON. Berth stores it, launches the
driver and keeps it running; with --wait the command ends when the driver has
registered (or after --timeout, with exit code 3; Berth goes on then).`,
		Example: `  berth spark apply -f wordcount.yaml --wait
  berth spark apply -f wordcount.yaml --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.apply(e, cmd, "application", (*client.Client).PutSpark, func(c *client.Client, name string, a v1.Accepted) error {
				return e.sparkWaiter(c, name, o.timeout).untilRunning(cmd.Context())
			})
		},
	}
	o.add(cmd, "application", "the driver runs")
	return cmd
}

// sparkNames completes the name of an application from the server, quickly or
// not at all.
func (e *environment) sparkNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return e.completed(cmd, args, func(ctx context.Context, c *client.Client) ([]string, error) {
		list, err := c.SparkApplications(ctx, true)
		var names []string
		for _, a := range list {
			names = append(names, a.Name)
		}
		return names, err
	})
}

func newSparkListCommand(e *environment) *cobra.Command {
	var running bool
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List applications, those that have ended too",
		Example: `  berth spark list
  berth spark list --running -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			list, err := c.SparkApplications(cmd.Context(), !running)
			if err != nil {
				return err
			}
			return e.print(v1.SparkList{Applications: list}, func(w io.Writer) error {
				var rows [][]string
				for _, a := range list {
					since := a.CreatedAt
					if a.EndedAt != nil {
						since = *a.EndedAt
					}
					rows = append(rows, []string{a.Name, a.Version, a.Phase, strconv.FormatInt(a.Attempt, 10),
						fmt.Sprintf("%d/%d", a.Scale.Running, a.Scale.Wanted), a.Hostname, e.age(since), oneLine(a.Message)})
				}
				return table(w, "NAME VERSION PHASE ATTEMPT EXECUTORS DRIVER AGE MESSAGE", rows)
			})
		},
	}
	cmd.Flags().BoolVar(&running, "running", false, "leave out those that have ended")
	return cmd
}

func newSparkStatusCommand(e *environment) *cobra.Command {
	cmd := sparkReader(e, "status", "Show an application, its driver and its attempts",
		`  berth spark status wordcount
  berth spark status wordcount --spec -o yaml`,
		(*client.Client).SparkApplication, e.showApplication)
	cmd.Aliases = []string{"get"}
	addSpecFlag(e, cmd, "only name, labels and spec; secrets are redacted in it", func(ctx context.Context, c *client.Client, name string) (any, error) {
		view, err := c.SparkApplication(ctx, name)
		return view.SparkApplication, err
	})
	return cmd
}

// sparkReader is reader for applications.
func sparkReader[T any](e *environment, use, short, example string, read func(*client.Client, context.Context, string) (T, error), text func(io.Writer, T) error) *cobra.Command {
	cmd := reader(e, use, short, example, read, text)
	cmd.Args = one("application's name")
	cmd.ValidArgsFunction = e.sparkNames
	return cmd
}

func (e *environment) showApplication(w io.Writer, v v1.SparkView) error {
	s := v.Status
	ended := ""
	if s.EndedAt != nil {
		ended = e.age(*s.EndedAt) + " ago"
	}
	program := v.Spec.AppResource
	if v.Spec.MainClass != "" {
		program = v.Spec.MainClass + " in " + program
	}
	rows := [][]string{
		{"Name:", v.Name},
		{"Version:", v.Spec.Version},
		{"Program:", program},
		{"Phase:", s.Phase},
		{"Message:", oneLine(s.Message)},
		{"Spark's id:", s.AppID},
		{"Attempt:", strconv.FormatInt(s.Attempt, 10)},
		{"Driver:", strings.TrimSpace(s.Driver.State + " " + s.Driver.Hostname)},
		{"Executors:", scaleText(s.Scale)},
		{"UI:", s.UIURL},
		{"Generation:", strconv.FormatInt(v.Generation, 10)},
		{"Role:", v.Spec.Role},
		{"Labels:", pairs(v.Labels)},
		{"Age:", e.age(s.CreatedAt)},
		{"Ended:", ended},
	}
	if err := table(w, "", rows); err != nil {
		return err
	}
	if err := e.showConditions(w, s.Conditions); err != nil || len(s.Attempts) == 0 {
		return err
	}
	fmt.Fprintln(w, "\nEarlier attempts:")
	rows = nil
	for _, a := range s.Attempts {
		rows = append(rows, []string{strconv.FormatInt(a.Attempt, 10), a.State, strconv.Itoa(a.ExitCode), a.Hostname,
			a.EndedAt.Sub(a.StartedAt).Round(time.Second).String(), e.age(a.EndedAt), oneLine(a.Message)})
	}
	return indented(w, "  ", "ATTEMPT STATE EXIT HOST RAN ENDED MESSAGE", rows)
}

func scaleText(s v1.SparkScaleView) string {
	bounds := strconv.Itoa(s.Min)
	if s.Max != s.Min {
		bounds = fmt.Sprintf("%d to %d", s.Min, s.Max)
	}
	return fmt.Sprintf("%d wanted (%s allowed, %d asked for), %d running, %d pending, %d draining",
		s.Wanted, bounds, s.Asked, s.Running, s.Pending, s.Draining)
}

func newExecutorsCommand(e *environment) *cobra.Command {
	return sparkReader(e, "executors", "List an application's executors",
		`  berth spark executors wordcount
  berth spark executors wordcount -o json`, (*client.Client).Executors,
		func(w io.Writer, list v1.SparkExecutorList) error {
			fmt.Fprintf(w, "Executors: %s\n", scaleText(list.Scale))
			var rows [][]string
			for _, x := range list.Executors {
				registered := "no"
				if x.Registered {
					registered = "yes"
				}
				rows = append(rows, []string{strconv.FormatInt(x.ExecutorID, 10), x.State, registered, x.Hostname, x.TaskID, e.age(x.Since), oneLine(x.Message)})
			}
			return table(w, "ID STATE REGISTERED HOST TASK SINCE MESSAGE", rows)
		})
}

func newSparkExplainCommand(e *environment) *cobra.Command {
	return sparkReader(e, "explain", "Show why the driver or executors have no place",
		`  berth spark explain wordcount`, (*client.Client).ExplainSpark, showExplanation("Everything"))
}

func newScaleCommand(e *environment) *cobra.Command {
	var (
		message string
		reset   bool
	)
	cmd := &cobra.Command{
		Use:   "scale NAME (COUNT | MIN:MAX | --reset)",
		Short: "Say how many executors a running application is to have",
		Long: `Sets how many executors an application has, or the bounds of dynamic allocation.
It holds over restarts of the driver and of Berth, until --reset puts the spec's
own number in force again. Executors that are too many finish their tasks, hand
over their blocks and go.`,
		Example: `  berth spark scale wordcount 5
  berth spark scale wordcount 2:10 --message "more input tonight"
  berth spark scale wordcount --reset`,
		Args:              atLeastOne("an application's name"),
		ValidArgsFunction: e.sparkNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 2 || reset == (len(args) == 2) {
				return usagef("say how many executors: a count, MIN:MAX, or --reset")
			}
			var scaling v1.SparkScaling
			if !reset {
				var err error
				if scaling, err = parseScaling(args[1]); err != nil {
					return err
				}
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			var a v1.Accepted
			if reset {
				a, err = c.UnscaleSpark(cmd.Context(), args[0], message)
			} else {
				a, err = c.ScaleSpark(cmd.Context(), args[0], scaling, message)
			}
			if err != nil {
				return err
			}
			return e.accepted("application "+args[0]+", scale", a)
		},
	}
	cmd.Flags().BoolVar(&reset, "reset", false, "the spec's own number again")
	cmd.Flags().StringVar(&message, "message", "", "the reason, for the audit log")
	return cmd
}

// parseScaling reads COUNT or MIN:MAX.
func parseScaling(text string) (v1.SparkScaling, error) {
	parts := strings.Split(text, ":")
	var n []int
	for _, part := range parts {
		i, err := strconv.Atoi(part)
		if err != nil || len(parts) > 2 {
			return v1.SparkScaling{}, usagef("%q is neither a count nor MIN:MAX", text)
		}
		n = append(n, i)
	}
	if len(n) == 1 {
		return v1.SparkScaling{Count: &n[0]}, nil
	}
	return v1.SparkScaling{Min: &n[0], Max: &n[1]}, nil
}

func newKillCommand(e *environment) *cobra.Command {
	var (
		confirm, message string
		wait             bool
		timeout          time.Duration
	)
	cmd := &cobra.Command{
		Use:   "kill NAME",
		Short: "End an application",
		Long: `Ends an application: its driver is told to stop, and its executors with it. The
application stays in the history; "berth spark forget" removes it from there.

The command asks for the application's name, unless --confirm gives it.`,
		Example: `  berth spark kill wordcount
  berth spark kill wordcount --confirm wordcount --wait`,
		Args:              one("application's name"),
		ValidArgsFunction: e.sparkNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			c, err := e.client()
			if err != nil {
				return err
			}
			if err := e.confirm("ends", "application", "name", name, confirm, cmd.Flags().Changed("confirm")); err != nil {
				return err
			}
			a, err := c.KillSpark(cmd.Context(), name, message)
			if err != nil {
				return err
			}
			if err := e.accepted("application "+name+", kill", a); err != nil || !wait {
				return err
			}
			_, err = e.sparkWaiter(c, name, timeout).untilEnded(cmd.Context())
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&confirm, "confirm", "", "the application's name once more, instead of typing it")
	f.StringVar(&message, "message", "", "the reason, for the audit log")
	addWaitFlags(cmd, &wait, &timeout, "the application has ended")
	return cmd
}

func newForgetCommand(e *environment) *cobra.Command {
	var message string
	cmd := &cobra.Command{
		Use:               "forget NAME",
		Short:             "Take an application that has ended out of the history",
		Example:           `  berth spark forget wordcount`,
		Args:              one("application's name"),
		ValidArgsFunction: e.sparkNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.order("application "+args[0]+", history", func(c *client.Client) (v1.Accepted, error) {
				return c.ForgetSpark(cmd.Context(), args[0], message)
			})
		},
	}
	cmd.Flags().StringVar(&message, "message", "", "the reason, for the audit log")
	return cmd
}
