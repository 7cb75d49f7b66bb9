package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
)

func newListCommand(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List clusters",
		Example: `  berth cluster list
  berth cluster list -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			list, err := c.Clusters(cmd.Context())
			if err != nil {
				return err
			}
			return e.print(v1.ClusterList{Clusters: list}, func(w io.Writer) error {
				var rows [][]string
				for _, v := range list {
					s := v.Status
					rows = append(rows, []string{v.Name, v.Spec.Version, s.Phase, s.Health,
						fmt.Sprintf("%d/%d", s.NodesHealthy, s.NodesWanted), strconv.FormatInt(v.Generation, 10), e.age(s.CreatedAt)})
				}
				return table(w, "NAME VERSION PHASE HEALTH NODES GENERATION AGE", rows)
			})
		},
	}
}

// reader builds a command that reads one thing about one cluster.
func reader[T any](e *environment, use, short, example string, read func(*client.Client, context.Context, string) (T, error), text func(io.Writer, T) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " NAME", Short: short, Example: example,
		Args:              one("cluster's name"),
		ValidArgsFunction: e.clusterNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			value, err := read(c, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return e.print(value, func(w io.Writer) error { return text(w, value) })
		},
	}
}

// addSpecFlag has a reader show, with --spec, only what read answers: a spec, in
// YAML unless JSON is asked for.
func addSpecFlag(e *environment, cmd *cobra.Command, help string, read func(ctx context.Context, c *client.Client, name string) (any, error)) {
	spec := cmd.Flags().Bool("spec", false, help)
	whole := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !*spec {
			return whole(cmd, args)
		}
		c, err := e.client()
		if err != nil {
			return err
		}
		value, err := read(cmd.Context(), c, args[0])
		if err != nil {
			return err
		}
		if e.output == outputText {
			e.output = outputYAML // a spec has no other text
		}
		return e.print(value, nil)
	}
}

func newGetCommand(e *environment) *cobra.Command {
	cmd := reader(e, "get", "Show a cluster, its state and what goes on",
		`  berth cluster get logs
  berth cluster get logs --spec -o yaml > logs.yaml`,
		(*client.Client).Cluster, e.showCluster)
	addSpecFlag(e, cmd, "only what can be applied again: name, labels and spec", func(ctx context.Context, c *client.Client, name string) (any, error) {
		view, err := c.Cluster(ctx, name)
		return view.Cluster, err
	})
	return cmd
}

func (e *environment) showCluster(w io.Writer, v v1.ClusterView) error {
	s := v.Status
	rows := [][]string{
		{"Name:", v.Name},
		{"Version:", v.Spec.Version},
		{"Phase:", s.Phase},
		{"Health:", s.Health},
		{"Nodes:", fmt.Sprintf("%d wanted, %d running, %d healthy", s.NodesWanted, s.NodesRunning, s.NodesHealthy)},
		{"Generation:", fmt.Sprintf("%d, done up to %d", v.Generation, s.ObservedGeneration)},
		{"Replicas:", replicasOf(v.Spec)},
		{"Role:", v.Spec.Role},
		{"Cluster UUID:", s.ClusterUUID},
		{"Labels:", pairs(v.Labels)},
		{"Age:", e.age(s.CreatedAt)},
	}
	if err := table(w, "", rows); err != nil {
		return err
	}
	if err := e.showConditions(w, s.Conditions); err != nil {
		return err
	}
	if len(s.InProgress) > 0 {
		fmt.Fprintln(w, "\nIn progress:")
		rows = nil
		for _, p := range s.InProgress {
			rows = append(rows, []string{p.Node, p.Action, e.age(p.Since), oneLine(p.Message)})
		}
		return indented(w, "  ", "NODE ACTION SINCE MESSAGE", rows)
	}
	return nil
}

func (e *environment) showConditions(w io.Writer, conditions []v1.Condition) error {
	if len(conditions) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nConditions:")
	var rows [][]string
	for _, c := range conditions {
		rows = append(rows, []string{c.Type, c.Status, c.Reason, e.age(c.Since), oneLine(c.Message)})
	}
	return indented(w, "  ", "TYPE STATUS REASON SINCE MESSAGE", rows)
}

func replicasOf(s v1.ClusterSpec) string {
	if s.Replicas == nil {
		return ""
	}
	return strconv.Itoa(*s.Replicas)
}

func newNodesCommand(e *environment) *cobra.Command {
	read := func(c *client.Client, ctx context.Context, name string) (v1.NodeList, error) {
		nodes, err := c.Nodes(ctx, name)
		return v1.NodeList{Nodes: nodes}, err
	}
	return reader(e, "nodes", "List a cluster's nodes",
		`  berth cluster nodes logs
  berth cluster nodes logs -o json`, read,
		func(w io.Writer, list v1.NodeList) error {
			var rows [][]string
			for _, n := range list.Nodes {
				address := ""
				if n.HTTPPort != 0 {
					address = fmt.Sprintf("%s:%d", n.Address, n.HTTPPort)
				}
				rows = append(rows, []string{n.Name, strings.Join(n.Roles, ","), n.State, strconv.FormatInt(n.Life, 10),
					strconv.Itoa(n.Failures), n.Hostname, address, n.VolumeID, e.age(n.Since), oneLine(n.Message)})
			}
			return table(w, "NAME ROLES STATE LIFE FAILURES HOST HTTP VOLUME SINCE MESSAGE", rows)
		})
}

func newPlanCommand(e *environment) *cobra.Command {
	return reader(e, "plan", "Show a cluster's plan and what holds it",
		`  berth cluster plan logs`, (*client.Client).Plan,
		showPlan)
}

func newExplainCommand(e *environment) *cobra.Command {
	return reader(e, "explain", "Say why nodes have no place, and what would help",
		`  berth cluster explain logs
  berth cluster explain logs -o json`, (*client.Client).Explain, showExplanation("Every node"))
}

// showExplanation says why nodes have no place; all is what has one otherwise.
func showExplanation(all string) func(io.Writer, v1.Explanation) error {
	return func(w io.Writer, x v1.Explanation) error {
		if len(x.Nodes) == 0 {
			_, err := fmt.Fprintf(w, "%s of %s has its place.\n", all, clean(x.Cluster))
			return err
		}
		for _, n := range x.Nodes {
			fmt.Fprintf(w, "%s: %s\n", clean(n.Node), oneLine(n.Summary))
			fmt.Fprintf(w, "  agents judged: %d, fitting: %d\n", n.Agents, n.Fitting)
			showReasons(w, n.Reasons, 1)
			if n.SmallestChange != "" {
				fmt.Fprintf(w, "  smallest change that would help: %s\n", oneLine(n.SmallestChange))
			}
		}
		return nil
	}
}

// maxReasonDepth is deeper than any tree of reasons is.
const maxReasonDepth = 8

func showReasons(w io.Writer, reasons []v1.ReasonNode, depth int) {
	for _, r := range reasons {
		examples := ""
		if len(r.Examples) > 0 {
			examples = " (" + oneLine(strings.Join(r.Examples, ", ")) + ")"
		}
		fmt.Fprintf(w, "%s%s, %s: %s%s\n", strings.Repeat("  ", depth), clean(r.Name), agents(r.Agents), oneLine(r.Reason), examples)
		if depth < maxReasonDepth {
			showReasons(w, r.Children, depth+1)
		}
	}
}

func agents(n int) string {
	if n == 1 {
		return "1 agent"
	}
	return strconv.Itoa(n) + " agents"
}

func newEndpointsCommand(e *environment) *cobra.Command {
	return reader(e, "endpoints", "List addresses at which a cluster answers",
		`  berth cluster endpoints logs
  curl $(berth cluster endpoints logs -o json | jq -r '.http[0]')/_cluster/health`, (*client.Client).Endpoints,
		func(w io.Writer, x v1.Endpoints) error {
			var rows [][]string
			for _, a := range x.HTTP {
				rows = append(rows, []string{"http", a})
			}
			for _, a := range x.Transport {
				rows = append(rows, []string{"transport", a})
			}
			return table(w, "KIND ADDRESS", rows)
		})
}

// oneLine keeps a message from breaking a table.
func oneLine(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }
