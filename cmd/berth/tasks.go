package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
)

func newTasksCommand(e *environment) *cobra.Command {
	return group(&cobra.Command{
		Use:     "tasks",
		Aliases: []string{"task"},
		Short:   "List tasks that no record explains; have one killed, or take that back",
	}, newTasksUnknownCommand(e), newTasksKillCommand(e), newTasksKeepCommand(e))
}

func newTasksUnknownCommand(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "unknown",
		Short: "List tasks of Berth's framework that no record explains",
		Long: `List tasks of Berth's framework that no record explains, such as those that were
launched after a backup which was put back. Berth leaves them alone: nothing but
"berth tasks kill" ends them. Many of them mean that the state is the wrong one.`,
		Example: `  berth tasks unknown
  berth tasks unknown -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client()
			if err != nil {
				return err
			}
			list, err := c.UnknownTasks(cmd.Context())
			if err != nil {
				return err
			}
			return e.print(list, func(w io.Writer) error { return e.unknownTable(w, list) })
		},
	}
}

func (e *environment) unknownTable(w io.Writer, list v1.UnknownTaskList) error {
	var rows [][]string
	for _, t := range list.Tasks {
		order := ""
		if o := t.KillOrder; o != nil {
			order = fmt.Sprintf("by %s at %s: %s", o.User, timestamp(&o.At), o.Message)
		}
		rows = append(rows, []string{t.TaskID, t.State, t.Hostname, t.AgentID, e.age(t.FirstSeen), e.age(t.LastSeen), oneLine(order), oneLine(t.Message)})
	}
	if err := table(w, "TASK STATE HOST AGENT FIRST-SEEN LAST-SEEN KILL-ORDERED MESSAGE", rows); err != nil {
		return err
	}
	if list.LeftOut > 0 {
		fmt.Fprintf(w, "and %d more\n", list.LeftOut)
	}
	return nil
}

func newTasksKillCommand(e *environment) *cobra.Command {
	var confirm, message string
	cmd := &cobra.Command{
		Use:   "kill ID",
		Short: "Order a task killed that no record explains",
		Long: `Records the order, with who gave it, when and why; Berth kills the task once Mesos
has told of it, and again until it has ended. Its data and its reservation stay.

Tasks that Berth knows are refused: change or delete their cluster instead. The
command asks for the task's id, unless --confirm gives it.`,
		Example: `  berth tasks kill old-es-0.3.7
  berth tasks kill old-es-0.3.7 --confirm old-es-0.3.7 --message "its data was moved"`,
		Args: one("task's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.order("task "+args[0]+", kill", func(c *client.Client) (v1.Accepted, error) {
				if err := e.confirm("kills", "task", "id", args[0], confirm, cmd.Flags().Changed("confirm")); err != nil {
					return v1.Accepted{}, err
				}
				return c.KillUnknownTask(cmd.Context(), args[0], message)
			})
		},
	}
	cmd.Flags().StringVar(&confirm, "confirm", "", "the task's id once more, instead of typing it")
	cmd.Flags().StringVar(&message, "message", "", "the reason, for the record")
	return cmd
}

func newTasksKeepCommand(e *environment) *cobra.Command {
	var message string
	cmd := &cobra.Command{
		Use:     "keep ID",
		Short:   "Take the order to kill an unknown task back",
		Example: `  berth tasks keep old-es-0.3.7 --message "it holds data"`,
		Args:    one("task's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.order("task "+args[0]+", keep", func(c *client.Client) (v1.Accepted, error) {
				return c.KeepUnknownTask(cmd.Context(), args[0], message)
			})
		},
	}
	cmd.Flags().StringVar(&message, "message", "", "the reason, for the record")
	return cmd
}
