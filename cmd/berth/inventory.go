package main

import (
	"io"
	"strconv"

	"github.com/spf13/cobra"

	v1 "github.com/berthdata/berth/api/v1"
)

func newAgentsCommand(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "agents",
		Short: "List Mesos agents as Berth last saw them",
		Example: `  berth agents
  berth agents -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			list, err := c.Agents(cmd.Context())
			if err != nil {
				return err
			}
			return e.print(v1.AgentList{Agents: list}, func(w io.Writer) error {
				var rows [][]string
				for _, a := range list {
					state := "active"
					if !a.Active {
						state = "lost"
					}
					rows = append(rows, []string{a.Hostname, state, number(a.Free.CPUs), mib(a.Free.MemoryMiB), mib(a.Free.DiskMiB),
						strconv.Itoa(a.Free.Ports), strconv.Itoa(len(a.Nodes)), e.age(a.Seen), pairs(a.Attributes), a.ID})
				}
				return table(w, "HOST STATE CPUS MEMORY DISK PORTS NODES SEEN ATTRIBUTES ID", rows)
			})
		},
	}
}

func newVolumesCommand(e *environment) *cobra.Command {
	return group(&cobra.Command{
		Use:     "volumes",
		Aliases: []string{"volume"},
		Short:   "List volumes; destroy kept ones, or take that back",
	}, newVolumesListCommand(e), newVolumesDestroyCommand(e), newVolumesRestoreCommand(e))
}

func newVolumesListCommand(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List reservations and volumes that are Berth's",
		Example: `  berth volumes list
  berth volumes list -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			list, err := c.Volumes(cmd.Context())
			if err != nil {
				return err
			}
			return e.print(v1.VolumeList{Volumes: list}, func(w io.Writer) error {
				var rows [][]string
				for _, v := range list {
					rows = append(rows, []string{v.ID, v.Class, v.Cluster, v.Node, v.Hostname, mib(v.SizeMiB),
						timestamp(v.RetainTo), timestamp(v.DestroyAt), oneLine(v.Message)})
				}
				return table(w, "ID CLASS CLUSTER NODE HOST SIZE KEPT-TO DESTROYED-AT MESSAGE", rows)
			})
		},
	}
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
			c, err := e.client()
			if err != nil {
				return err
			}
			if err := e.confirm("destroys", "volume", "id", args[0], confirm, cmd.Flags().Changed("confirm")); err != nil {
				return err
			}
			a, err := c.DestroyVolume(cmd.Context(), args[0], message)
			if err != nil {
				return err
			}
			return e.accepted("volume "+args[0]+", destruction", a)
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
			c, err := e.client()
			if err != nil {
				return err
			}
			a, err := c.RestoreVolume(cmd.Context(), args[0], message)
			if err != nil {
				return err
			}
			return e.accepted("volume "+args[0]+", restoration", a)
		},
	}
	cmd.Flags().StringVar(&message, "message", "", "the reason, for the audit log")
	return cmd
}
