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
