package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	v1 "github.com/berthdata/berth/api/v1"
)

func newSurvivesCommand(e *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "survives [NAME]",
		Short: "Say what the loss of each machine would do",
		Long: `Says for each machine with nodes of a cluster, or of any cluster, whether its loss
would lose data or a majority of masters: by where shards and masters are now, not by
where they should be.

The exit code is 0 when every machine may go, 1 when one may not, and 4 when of one
it is not known.`,
		Example: `  berth cluster survives logs
  berth cluster survives -o json | jq -r '.machines[] | select(.survives != "True").machine'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: e.clusterNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			certificate, err := c.Survives(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			if err := e.print(certificate, func(w io.Writer) error { return showCertificate(w, certificate) }); err != nil {
				return err
			}
			switch certificate.Survives {
			case v1.VerdictFalse:
				return verdictError{exitFailure}
			case v1.VerdictUnknown:
				return verdictError{exitPartly}
			}
			return nil
		},
	}
	return cmd
}

func showCertificate(w io.Writer, x v1.Certificate) error {
	if len(x.Machines) == 0 {
		_, err := fmt.Fprintln(w, "No node has a place: there is nothing to lose yet.")
		return err
	}
	var rows [][]string
	for _, m := range x.Machines {
		for _, c := range m.Clusters {
			rows = append(rows, []string{m.Machine, c.Survives, c.Cluster, strings.Join(c.Nodes, ","), strings.Join(c.Reasons, ","), oneLine(c.Message)})
		}
	}
	return table(w, "MACHINE SURVIVES CLUSTER NODES REASONS WHY", rows)
}
