package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
)

func newRestartCommand(e *environment) *cobra.Command {
	var (
		nodes   []string
		dryRun  bool
		message string
	)
	cmd := &cobra.Command{
		Use:   "restart NAME",
		Short: "Restart a cluster's nodes one by one, each through its gates",
		Long: `Records the order. One node at a time is stopped, comes back in place on its own
volume and joins, before the next one's turn; those that cannot be master go first
and the elected master goes last. "berth cluster plan" shows how far it is and
which gate holds it; pause, resume, cancel and override steer it.`,
		Example: `  berth cluster restart logs --message "kernel update"
  berth cluster restart logs --node logs-data-3 --node logs-data-4
  berth cluster restart logs --dry-run`,
		Args:              one("cluster's name"),
		ValidArgsFunction: e.clusterNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.order("cluster "+args[0]+", restart", func(c *client.Client) (v1.Accepted, error) {
				return c.RestartCluster(cmd.Context(), args[0], nodes, dryRun, message)
			})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&nodes, "node", nil, "only this node; may be given several times")
	f.BoolVar(&dryRun, "dry-run", false, "only say what would be restarted, and in what order")
	f.StringVar(&message, "message", "", "the reason, for the audit log")
	return cmd
}

func newPauseCommand(e *environment) *cobra.Command {
	return planVerb(e, "pause", "Hold the plan under way after the node under way")
}

func newResumeCommand(e *environment) *cobra.Command {
	return planVerb(e, "resume", "Go on with a plan that was paused, or that Berth halted")
}

func newCancelCommand(e *environment) *cobra.Command {
	return planVerb(e, "cancel", "End the plan under way after the node under way")
}

func planVerb(e *environment, verb, short string) *cobra.Command {
	var message string
	cmd := &cobra.Command{
		Use: verb + " NAME", Short: short,
		Example:           fmt.Sprintf("  berth cluster %s logs --message \"ticket 4711\"", verb),
		Args:              one("cluster's name"),
		ValidArgsFunction: e.clusterNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.planOrder(args[0], func(c *client.Client) (v1.Accepted, error) {
				return c.ControlPlan(cmd.Context(), args[0], verb, message)
			})
		},
	}
	cmd.Flags().StringVar(&message, "message", "", "the reason, for the audit log")
	return cmd
}

// planOrder is order for the plan of a cluster.
func (e *environment) planOrder(cluster string, give func(*client.Client) (v1.Accepted, error)) error {
	return e.orderNamed(func(a v1.Accepted) string { return "cluster " + cluster + ", plan " + a.PlanID }, give)
}

func newOverrideCommand(e *environment) *cobra.Command {
	var (
		gate, message string
		length        time.Duration
	)
	cmd := &cobra.Command{
		Use:   "override NAME --gate GATE",
		Short: "Set one gate of the plan under way aside for a while",
		Long: `Sets one gate aside: for this plan only, for a time, and for a reason that is kept.
No other gate is touched. "berth cluster plan" lists the gates and why they hold.`,
		Example: `  berth cluster override logs --gate ClusterGreen --for 2h --message "index old-x is known to be yellow"`,
		Args:    one("cluster's name"), ValidArgsFunction: e.clusterNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if gate == "" || message == "" {
				return usagef("say which gate and why: --gate GATE --message REASON")
			}
			return e.planOrder(args[0], func(c *client.Client) (v1.Accepted, error) {
				return c.OverrideGate(cmd.Context(), args[0], gate, length, message)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&gate, "gate", "", "the gate's name, as berth cluster plan shows it")
	f.DurationVar(&length, "for", time.Hour, "how long it is set aside")
	f.StringVar(&message, "message", "", "the reason, for the audit log")
	return cmd
}

func showPlan(w io.Writer, p v1.PlanView) error {
	fmt.Fprintf(w, "Plan %s for generation %d: %s\n", clean(p.ID), p.Generation, clean(p.Status))
	if p.Message != "" {
		fmt.Fprintln(w, oneLine(p.Message))
	}
	var rows [][]string
	for _, phase := range p.Phases {
		if len(phase.Steps) == 0 {
			rows = append(rows, []string{phase.Name, "", "", phase.Status, ""})
		}
		for _, s := range phase.Steps {
			rows = append(rows, []string{phase.Name, s.Node, s.Action, s.Status, oneLine(s.Waiting)})
		}
	}
	if err := table(w, "PHASE NODE ACTION STATUS WAITING", rows); err != nil || len(p.Gates) == 0 {
		return err
	}
	fmt.Fprintf(w, "\nGates of %s:\n", clean(p.Gates[0].Node))
	rows = nil
	for _, g := range p.Gates {
		state := "holds"
		switch {
		case g.Open:
			state = "open"
		case g.Overridden:
			state = "overridden"
		}
		rows = append(rows, []string{g.Name, state, oneLine(g.Message)})
	}
	return indented(w, "  ", "GATE STATE MESSAGE", rows)
}
