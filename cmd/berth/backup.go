package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"sigs.k8s.io/yaml"

	"github.com/berthdata/berth/scheduler/app"
	"github.com/berthdata/berth/scheduler/state/backup"
)

// stateFlags say where the state is, as those of "berth scheduler" do.
type stateFlags struct {
	o      app.Options
	config string
}

const stateFlagsHelp = `The state is found as by "berth scheduler": by the same flags, the same
environment (BERTH_ZOOKEEPER, …) and the same file of flags (--config), of which
only the values for these flags are used.`

func (s *stateFlags) add(cmd *cobra.Command) {
	s.o = app.Defaults()
	f := cmd.Flags()
	f.StringVar(&s.config, "config", "", "YAML `file` of the scheduler's flag names and values")
	f.StringVar(&s.o.ZooKeeper, "zookeeper", "", "ZooKeeper `servers` of the state: host:port,host:port/chroot")
	f.StringVar(&s.o.ZooKeeperRoot, "zookeeper-root", s.o.ZooKeeperRoot, "`path` of the state in ZooKeeper")
	f.StringVar(&s.o.ZooKeeperAuth, "zookeeper-auth-file", "", "`file` with user:password for ZooKeeper's digest scheme")
	f.DurationVar(&s.o.SessionTimeout, "session-timeout", s.o.SessionTimeout, "ZooKeeper session")
	f.StringVar(&s.o.DevDir, "dev", "", "the state is in this `directory` instead of ZooKeeper")
}

// read fills in the flags that the command line left alone.
func (s *stateFlags) read(e *environment, flags *pflag.FlagSet) error {
	file := s.config
	if file == "" {
		file = e.getenv("BERTH_CONFIG")
	}
	fromFile := map[string]any{}
	if file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := yaml.UnmarshalStrict(raw, &fromFile); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	for _, name := range []string{"zookeeper", "zookeeper-root", "zookeeper-auth-file", "session-timeout", "dev"} {
		if flags.Changed(name) {
			continue
		}
		env := "BERTH_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		from, all := env, values(fromFile[name])
		if v := e.getenv(env); v != "" {
			all = []string{v}
		} else {
			from = file + ": " + name
		}
		for _, v := range all {
			if err := flags.Set(name, v); err != nil {
				return usagef("%s: %w", from, err)
			}
		}
	}
	if (s.o.ZooKeeper == "") == (s.o.DevDir == "") {
		return usagef("--zookeeper or --dev: exactly one of them says where the state is kept")
	}
	return nil
}

// root names the state's place for people.
func (s *stateFlags) root() string {
	if s.o.DevDir != "" {
		return s.o.DevDir
	}
	return s.o.ZooKeeperRoot
}

// place is root with where that is.
func (s *stateFlags) place() string {
	if s.o.DevDir != "" {
		return s.o.DevDir
	}
	return s.o.ZooKeeperRoot + " in ZooKeeper " + s.o.ZooKeeper
}

func (s *stateFlags) open() (app.State, error) { return s.o.OpenState(zap.NewNop()) }

// existing is open, but makes no directory.
func (s *stateFlags) existing() (app.State, error) {
	if s.o.DevDir != "" {
		if _, err := os.Stat(s.o.DevDir); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("--dev: %w", err)
		}
	}
	return s.open()
}

func newBackupCommand(e *environment) *cobra.Command {
	var at stateFlags
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write Berth's whole state to a file",
		Long: `Write Berth's whole state to a file: all records as they stood at one commit.
It reads ZooKeeper directly, needs no Berth to run and does not disturb one that
does. FILE is replaced as a whole, or left alone when something fails; "-" is the
standard output.

The file holds the key that executors' tokens are made with. It is made readable
for its owner only (mode 0600): keep it as safe as ZooKeeper's credentials.

` + stateFlagsHelp,
		Example: `  berth backup /var/backups/berth.jsonl --zookeeper zk1:2181,zk2:2181,zk3:2181
  berth backup - --dev ./state > state.jsonl`,
		Args: one("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := at.read(e, cmd.Flags()); err != nil {
				return err
			}
			from, err := at.existing()
			if err != nil {
				return err
			}
			defer from.Close()
			b, err := backup.Take(cmd.Context(), from, e.now(), version())
			if errors.Is(err, backup.ErrEmpty) {
				return fmt.Errorf("%s: %w: nothing was written; is it the right place?", at.place(), err)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", at.place(), err)
			}
			return e.keep(b, args[0])
		},
	}
	at.add(cmd)
	return cmd
}

// keep writes a backup and says what is in it.
func (e *environment) keep(b *backup.Backup, file string) error {
	var err error
	told := *e
	if file == "-" {
		told.out = e.err
		err = b.Write(e.out)
	} else {
		err = b.WriteFile(file)
	}
	if err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	if err := told.printBackup("written", file, b); err != nil {
		return err
	}
	if err := app.CheckRecords(b.Values); err != nil {
		return fmt.Errorf("the backup is complete, but this build of Berth could not restore it: %w", err)
	}
	return nil
}

// backupView is what the commands tell of a backup.
type backupView struct {
	File string `json:"file"`
	backup.Header
	Kinds map[string]int `json:"kinds"`
}

func (e *environment) printBackup(what, file string, b *backup.Backup) error {
	return e.print(backupView{file, b.Header, b.Kinds()}, func(w io.Writer) error {
		id := b.Framework
		if id == "" {
			id = "none yet"
		}
		fmt.Fprintf(w, "%s: backup %s\n", file, what)
		return indented(w, "  ", "", [][]string{
			{"taken", b.Time.UTC().Format(time.RFC3339)},
			{"framework", id},
			{"commit", fmt.Sprintf("%d of epoch %d", b.Commit, b.Epoch)},
			{"records", fmt.Sprintf("%d (%s)", b.Records, kindCounts(b.Kinds()))},
			{"sha256", b.SHA256},
		})
	})
}
