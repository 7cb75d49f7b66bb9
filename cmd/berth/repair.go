package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
)

func newRepairCommand(e *environment) *cobra.Command {
	return group(&cobra.Command{
		Use:   "repair",
		Short: "Put right what an audit found, by a plan that a person approves",
	}, newRepairPlanCommand(e), newRepairListCommand(e), newRepairShowCommand(e), newRepairApproveCommand(e), newRepairCancelCommand(e))
}

func newRepairPlanCommand(e *environment) *cobra.Command {
	var (
		o         client.RepairOptions
		retention string
	)
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Make a plan from the present audit; nothing is done yet",
		Long: `Makes a plan of what can be put right and records it. Nothing is done before
"berth volumes repair approve" names it together with its fingerprint.

Without --finding the plan deals with orphans and with what is missing where no
node was ever healthy on it. What belongs to others is repaired only when it is
named. Orphaned volumes are kept for the retention time after the approval and can
be taken back until then.`,
		Example: `  berth volumes repair plan
  berth volumes repair plan --finding 0123456789ab,ba9876543210 --retention 30d
  berth volumes repair plan --retained --message "disks are full"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if retention != "" {
				d, err := v1.ParseDuration(retention)
				if err != nil {
					return usagef("--retention: %w", err)
				}
				o.Retention = &d
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			a, err := c.PlanRepair(cmd.Context(), o)
			if err != nil {
				return err
			}
			r, err := c.Repair(cmd.Context(), a.Name)
			if err != nil {
				return fmt.Errorf("%s is planned, but cannot be shown: %w", a.Name, err)
			}
			return e.print(r, func(w io.Writer) error { return e.printRepair(w, r) })
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.Findings, "finding", nil, "only these findings of the audit, by their ids")
	f.BoolVar(&o.Retained, "retained", false, "also order kept volumes of deleted clusters destroyed whose retention time is over")
	f.StringVar(&retention, "retention", "", "how long orphaned volumes are kept after the approval, such as 12h or 30d")
	f.StringVar(&o.Message, "message", "", "the reason, for the audit log")
	return cmd
}

func newRepairListCommand(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the repairs on record",
		Example: `  berth volumes repair list`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			list, err := c.Repairs(cmd.Context())
			if err != nil {
				return err
			}
			return e.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, r := range list.Repairs {
					approved := ""
					if r.Approved != nil {
						approved = cmp.Or(r.Approved.User, "somebody")
					}
					rows = append(rows, []string{r.ID, r.State, stepCounts(r), r.Fingerprint, e.age(r.Planned.At), r.Planned.User, approved, oneLine(r.Planned.Message)})
				}
				return table(w, "ID STATE STEPS FINGERPRINT AGE PLANNED-BY APPROVED-BY MESSAGE", rows)
			})
		},
	}
}

// stepCounts counts a repair's steps by state, in the order of their states.
func stepCounts(r v1.RepairView) string {
	count := map[string]int{}
	for _, s := range r.Steps {
		count[s.State]++
	}
	var parts []string
	for _, s := range v1.RepairStepStates {
		if count[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[s], s))
		}
	}
	return strings.Join(parts, ",")
}

func newRepairShowCommand(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show what a repair touches, and how far it is",
		Example: `  berth volumes repair show repair-7`,
		Args:    one("repair's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			r, err := c.Repair(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return e.print(r, func(w io.Writer) error { return e.printRepair(w, r) })
		},
	}
}

func newRepairApproveCommand(e *environment) *cobra.Command {
	var fingerprint, message string
	cmd := &cobra.Command{
		Use:   "approve ID",
		Short: "Have exactly this plan carried out",
		Long: `Approves a plan as it is on record, named by its fingerprint. It is refused when
anything that it touches has changed since it was planned. Each step is judged again
before anything is sent, and skipped when its target is not what was approved.

The command shows the plan and asks for its fingerprint, unless --fingerprint gives
it.`,
		Example: `  berth volumes repair approve repair-7
  berth volumes repair approve repair-7 --fingerprint 00112233aabbccdd --message "ticket 4711"`,
		Args: one("repair's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("fingerprint") {
				r, err := c.Repair(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if err := e.printRepair(e.err, r); err != nil {
					return err
				}
				fingerprint = e.typed("\nThis has " + r.ID + " carried out as shown. Type its fingerprint to go on: ")
				if fingerprint != r.Fingerprint {
					return fmt.Errorf("%q is not the fingerprint of %s, %s: nothing was changed", fingerprint, r.ID, r.Fingerprint)
				}
			}
			a, err := c.ApproveRepair(cmd.Context(), args[0], fingerprint, message)
			if err != nil {
				return err
			}
			return e.accepted("repair "+args[0]+", approval", a)
		},
	}
	cmd.Flags().StringVar(&fingerprint, "fingerprint", "", "of the plan that you have looked at, instead of typing it")
	cmd.Flags().StringVar(&message, "message", "", "the reason, for the audit log")
	return cmd
}

func newRepairCancelCommand(e *environment) *cobra.Command {
	var (
		step    int
		message string
	)
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "Take a repair back, or what of it has not begun",
		Example: `  berth volumes repair cancel repair-7
  berth volumes repair cancel repair-7 --step 2 --message "still needed"`,
		Args: one("repair's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("step") && step < 1 {
				return usagef("--step: must be the number of a step, from 1")
			}
			return e.order("repair "+args[0]+", withdrawal", func(c *client.Client) (v1.Accepted, error) {
				return c.CancelRepair(cmd.Context(), args[0], step, message)
			})
		},
	}
	cmd.Flags().IntVar(&step, "step", 0, "only this step")
	cmd.Flags().StringVar(&message, "message", "", "the reason, for the audit log")
	return cmd
}

// printRepair shows all that a person has to know before approving.
func (e *environment) printRepair(w io.Writer, r v1.RepairView) error {
	fmt.Fprintf(w, "Repair:      %s, %s\n", r.ID, r.State)
	fmt.Fprintf(w, "Fingerprint: %s\n", r.Fingerprint)
	fmt.Fprintf(w, "Retention:   %s\n", r.Retention)
	fmt.Fprintf(w, "Witness:     the master was asked at %s\n", r.WitnessAt.UTC().Format(time.RFC3339))
	by := func(what string, o v1.OrderView) {
		fmt.Fprintf(w, "%-12s %s at %s", what+":", clean(cmp.Or(o.User, "somebody")), o.At.UTC().Format(time.RFC3339))
		if o.Message != "" {
			fmt.Fprintf(w, ": %s", clean(oneLine(o.Message)))
		}
		fmt.Fprintln(w)
	}
	by("Planned", r.Planned)
	if r.Approved != nil {
		by("Approved", *r.Approved)
	}
	if r.Cancelled != nil {
		by("Cancelled", *r.Cancelled)
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, s := range r.Steps {
		name := s.Finding
		for _, l := range s.Labels {
			name += " " + l.Key + "=" + l.Value
		}
		rows = append(rows, []string{strconv.Itoa(s.Step), s.Action, s.Class, name, cmp.Or(s.Hostname, s.AgentID), s.Role, s.Principal,
			s.Cluster, s.Node, s.Touches, s.State, timestamp(s.NotBefore), oneLine(s.Message)})
	}
	if err := table(w, "STEP ACTION CLASS WHAT HOST ROLE PRINCIPAL CLUSTER NODE TOUCHES STATE NOT-BEFORE MESSAGE", rows); err != nil {
		return err
	}
	if len(r.Left) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\nLeft as it is:\n")
	rows = nil
	for _, l := range r.Left {
		rows = append(rows, []string{l.Finding, l.Class, oneLine(l.Message)})
	}
	if err := indented(w, "  ", "", rows); err != nil {
		return err
	}
	if r.LeftOut > 0 {
		fmt.Fprintf(w, "  and %d more\n", r.LeftOut)
	}
	return nil
}
