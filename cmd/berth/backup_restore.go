package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthdata/berth/scheduler/app"
	"github.com/berthdata/berth/scheduler/state/backup"
)

func newRestoreCommand(e *environment) *cobra.Command {
	var at stateFlags
	var confirm string
	var replace, check bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put Berth's whole state back from a backup",
		Long: `Put Berth's whole state back from a file of "berth backup".

Stop every Berth first. It is refused while one leads, when the file is damaged or
of a newer Berth, when this build cannot read one of its records, and when there
is a state already (unless --replace). To confirm, name the framework id of the
backup, or the path in ZooKeeper (the directory with --dev); where the state of
another framework is written over, only the path will do.

What was decided since the backup is forgotten: Berth then lists tasks and volumes
that it does not know, and leaves them alone. Numbers are raised so that no name
handed out since is used again, and orders to destroy volumes and to kill unknown
tasks are taken back.

A restore that was interrupted leaves a state on which no Berth starts: repeat the
same command.

` + stateFlagsHelp,
		Example: `  berth restore berth.jsonl --check
  berth restore berth.jsonl --zookeeper zk1:2181,zk2:2181,zk3:2181 --confirm b5fbf49a-0000
  berth restore berth.jsonl --dev ./state --replace --confirm ./state`,
		Args: one("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if check {
				return e.checkBackup(args[0])
			}
			if err := at.read(e, cmd.Flags()); err != nil {
				return err
			}
			b, err := backup.ReadFile(args[0])
			if err != nil {
				return err
			}
			into, err := at.open()
			if err != nil {
				return err
			}
			defer into.Close()
			r, err := backup.Restore(cmd.Context(), into, backup.Order{
				Backup: b, Root: at.root(), Confirm: confirm, Replace: replace, Now: e.now(), Check: app.CheckRecords,
				Progress: func(s string) { fmt.Fprintln(e.err, clean(s)) },
			})
			if errors.Is(err, backup.ErrNotConfirmed) {
				return usagef("--confirm: %w", err)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", at.place(), err)
			}
			return e.restored(at.place(), r)
		},
	}
	at.add(cmd)
	f := cmd.Flags()
	f.StringVar(&confirm, "confirm", "", "the framework id or the path of the state, as a `NAME` that only who means it gives")
	f.BoolVar(&replace, "replace", false, "write over the state that is there")
	f.BoolVar(&check, "check", false, "only check the file and whether this build can restore it")
	return cmd
}

// checkBackup reads a file and no state.
func (e *environment) checkBackup(file string) error {
	b, err := backup.ReadFile(file)
	if err != nil {
		return err
	}
	if err := app.CheckRecords(b.Values); err != nil {
		return fmt.Errorf("%s: the file is whole, but this build of Berth could not restore it: %w", file, err)
	}
	return e.printBackup("is good", file, b)
}

func (e *environment) restored(place string, r backup.Result) error {
	return e.print(r, func(w io.Writer) error {
		fmt.Fprintf(w, "%s: restored, %d records: %d written, %d removed, the others were there\n", place, r.Records, r.Written, r.Removed)
		for _, id := range r.TakenBack {
			fmt.Fprintf(w, "  the order to destroy volume %s was taken back: give it again if it still holds\n", clean(id))
		}
		for _, id := range r.RepairsTakenBack {
			fmt.Fprintf(w, "  what %s had not done was taken back: plan again if it is still needed\n", clean(id))
		}
		for _, id := range r.KillsTakenBack {
			fmt.Fprintf(w, "  the order to kill task %s was taken back: give it again if it still holds\n", clean(id))
		}
		fmt.Fprintln(w, "Start Berth; then look at what it does not know: berth tasks unknown, and berth volumes audit")
		return nil
	})
}

// kindCounts is "clusters 2, slots 9".
func kindCounts(kinds map[string]int) string {
	var list []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		list = append(list, fmt.Sprintf("%s %d", kind, kinds[kind]))
	}
	return strings.Join(list, ", ")
}
