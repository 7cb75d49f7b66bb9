package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
)

func newVolumesCommand(e *environment) *cobra.Command {
	return group(&cobra.Command{
		Use:     "volumes",
		Aliases: []string{"volume"},
		Short:   "List and audit volumes; destroy kept ones, or take that back",
	}, newVolumesListCommand(e), newVolumesAuditCommand(e), newRepairCommand(e), newVolumesDestroyCommand(e), newVolumesRestoreCommand(e))
}

func newVolumesListCommand(e *environment) *cobra.Command {
	var q client.VolumeQuery
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List every reservation and volume that a record or an agent knows",
		Example: `  berth volumes list
  berth volumes list --class retained,destroying
  berth volumes list --cluster logs -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			list, err := c.Volumes(cmd.Context(), q)
			if err != nil {
				return err
			}
			return e.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, v := range list.Volumes {
					rows = append(rows, []string{v.ID, v.Class, v.Cluster, v.Node, v.Hostname, mib(v.SizeMiB),
						timestamp(v.RetainTo), timestamp(v.DestroyAt), oneLine(v.Message)})
				}
				return table(w, "ID CLASS CLUSTER NODE HOST SIZE KEPT-TO DESTROYED-AT MESSAGE", rows)
			})
		},
	}
	cmd.Flags().StringSliceVar(&q.Classes, "class", nil, "only these classes: "+strings.Join(v1.VolumeClasses, ", "))
	cmd.Flags().StringVar(&q.Cluster, "cluster", "", "only what is of this cluster")
	return cmd
}

// auditClasses are what an audit shows: everything on which the witnesses differ,
// or of which one cannot tell.
var auditClasses = []string{"missing", "orphan", "foreign", "unknown"}

func newVolumesAuditCommand(e *environment) *cobra.Command {
	var cached bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Compare the records with what the Mesos master shows",
		Long: `Has the Mesos master asked what its agents hold for Berth's roles, compares that
with Berth's own records, and lists what does not agree:

  missing   on record, and not on its agent: somebody else removed it
  orphan    carries a label of Berth's that no record explains
  foreign   reserved for a role of Berth's by somebody else
  unknown   cannot be told now: an agent is away, or the master does not answer

Nothing is changed. "berth volumes repair" makes a plan of what can be put right.

Exit codes:
  0  clean: both witnesses agree on everything
  1  there are findings (or the audit failed)
  2  wrong command line
  4  no findings, but a part could not be seen`,
		Example: `  berth volumes audit
  berth volumes audit -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			list, err := e.audit(cmd.Context(), c, !cached)
			if err != nil {
				return err
			}
			if err := e.print(list, func(w io.Writer) error { return e.printAudit(w, list) }); err != nil {
				return err
			}
			return auditVerdict(list)
		},
	}
	cmd.Flags().BoolVar(&cached, "cached", false, "compare with the master's last view instead of asking for a new one")
	return cmd
}

// audit reads the ledger. A master that does not answer keeps nobody from seeing
// what is known.
func (e *environment) audit(ctx context.Context, c *client.Client, fresh bool) (v1.VolumeList, error) {
	q := client.VolumeQuery{Classes: auditClasses, Fresh: fresh}
	list, err := c.Volumes(ctx, q)
	var p *v1.Problem
	if fresh && errors.As(err, &p) && p.Code == v1.CodeUnavailable {
		fmt.Fprintf(e.err, "Warning: no fresh view: %s\n", clean(cmp.Or(p.Detail, p.Title)))
		q.Fresh = false
		if list, err = c.Volumes(ctx, q); err == nil && list.Witness.Message == "" {
			list.Witness.Message = "it could not be asked again: " + cmp.Or(p.Detail, p.Title)
		}
	}
	return list, err
}

func (e *environment) printAudit(w io.Writer, list v1.VolumeList) error {
	wit := list.Witness
	asked := "the master has not been asked yet"
	if wit.AskedAt != nil {
		asked = fmt.Sprintf("the master was asked %s ago, %d agents", time.Duration(wit.AgeSeconds)*time.Second, wit.Agents)
	}
	if wit.AgentsAway > 0 {
		asked += fmt.Sprintf(", %d of them away", wit.AgentsAway)
	}
	if wit.Message != "" {
		asked += ": " + clean(wit.Message)
	}
	fmt.Fprintf(w, "Witness: %s\n", asked)
	var counts []string
	for _, class := range v1.VolumeClasses {
		if n := list.Summary[class]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, class))
		}
	}
	fmt.Fprintf(w, "Ledger:  %s; confirmed by both: %d\n", cmp.Or(strings.Join(counts, ", "), "nothing"), list.Confirmed)
	for _, a := range wit.Away {
		fmt.Fprintf(w, "Away:    %s (%s): %s\n", clean(a.Hostname), clean(a.ID), clean(a.Message))
	}
	if len(list.Volumes) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, v := range list.Volumes {
		held, since := "", "-"
		if v.Reserved != nil {
			held = v.Reserved.Text
		}
		if v.FirstSeen != nil {
			since = e.age(*v.FirstSeen)
		}
		var labels []string
		for _, l := range v.Labels {
			labels = append(labels, l.Key+"="+l.Value)
		}
		rows = append(rows, []string{v.Finding, v.Class, since, cmp.Or(v.Hostname, v.AgentID), v.Role, v.Principal, strings.Join(labels, ","),
			v.Cluster, v.Node, held, oneLine(v.Message)})
		if v.Repair != "" {
			rows[len(rows)-1][10] += "; under " + v.Repair
		}
	}
	if err := table(w, "FINDING CLASS SINCE HOST ROLE PRINCIPAL LABELS CLUSTER NODE HOLDS WHY", rows); err != nil {
		return err
	}
	if slices.ContainsFunc(list.Volumes, func(v v1.VolumeView) bool { return v.Class != "unknown" && v.Repair == "" }) {
		fmt.Fprintln(w, "\nNothing is changed by itself: see \"berth volumes repair plan\".")
	}
	return nil
}

// auditVerdict is the audit in one exit code.
func auditVerdict(list v1.VolumeList) error {
	found := slices.ContainsFunc(list.Volumes, func(v v1.VolumeView) bool { return v.Class != "unknown" })
	switch {
	case found:
		return verdictError{exitFailure}
	case len(list.Volumes) > 0 || !list.Witness.Fresh || list.Witness.Message != "" || list.Witness.AgentsAway > 0:
		return verdictError{exitPartly}
	}
	return nil
}

func newVolumesDestroyCommand(e *environment) *cobra.Command {
	var confirm, message string
	cmd := &cobra.Command{
		Use:   "destroy ID",
		Short: "Order the destruction of a volume that no node uses",
		Long: `Records the order; Berth carries it out after the retention time. Until then
"berth volumes restore" takes it back.

The command asks for the volume's id, unless --confirm gives it.`,
		Example: `  berth volumes destroy logs-es-0-v1
  berth volumes destroy logs-es-0-v1 --confirm logs-es-0-v1 --message "copied"`,
		Args: one("volume's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.order("volume "+args[0]+", destruction", func(c *client.Client) (v1.Accepted, error) {
				if err := e.confirm("destroys", "volume", "id", args[0], confirm, cmd.Flags().Changed("confirm")); err != nil {
					return v1.Accepted{}, err
				}
				return c.DestroyVolume(cmd.Context(), args[0], message)
			})
		},
	}
	cmd.Flags().StringVar(&confirm, "confirm", "", "the volume's id once more, instead of typing it")
	cmd.Flags().StringVar(&message, "message", "", "the reason, for the audit log")
	return cmd
}

func newVolumesRestoreCommand(e *environment) *cobra.Command {
	var message string
	cmd := &cobra.Command{
		Use:     "restore ID",
		Short:   "Take the order to destroy a volume back",
		Example: `  berth volumes restore logs-es-0-v1 --message "still needed"`,
		Args:    one("volume's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.order("volume "+args[0]+", restoration", func(c *client.Client) (v1.Accepted, error) {
				return c.RestoreVolume(cmd.Context(), args[0], message)
			})
		},
	}
	cmd.Flags().StringVar(&message, "message", "", "the reason, for the audit log")
	return cmd
}
