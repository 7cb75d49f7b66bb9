package main

import (
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/berthdata/berth/api/server"
)

func newTokenCommand(e *environment) *cobra.Command {
	return group(&cobra.Command{
		Use:   "token",
		Short: "Make bearer tokens for the API",
	}, newTokenNewCommand(e))
}

func newTokenNewCommand(e *environment) *cobra.Command {
	var scope, name, file string
	cmd := &cobra.Command{
		Use:   "new --scope SCOPE --name NAME",
		Short: "Make a token, shown once, and its line for the scheduler's token file",
		Long: `Writes a new bearer token to the standard output, the only time that it is
shown, and the line that stands for it in the scheduler's token file: to the end
of that file with --append, else to the error stream. The file holds only a hash
of the token.

The scope readonly may read; operator may do everything.`,
		Example: `  berth token new --scope operator --name ci --append tokens > ci.token
  berth token new --scope readonly --name dashboard`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			token, line, err := server.NewToken(server.Scope(scope), name)
			if err != nil {
				return usageError{err}
			}
			if file != "" {
				if err := appendLine(file, line); err != nil {
					return err
				}
			} else if e.output == outputText {
				fmt.Fprintf(e.err, "Add this line to the scheduler's token file:\n%s\n", line)
			}
			value := map[string]string{"token": token, "line": line}
			return e.print(value, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, token)
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&scope, "scope", "", "operator or readonly")
	f.StringVar(&name, "name", "", "who will use it; shown in logs")
	f.StringVar(&file, "append", "", "the token file that gets the line")
	return cmd
}

// appendLine appends to a file that only its owner can write to, making it if
// need be. The line begins with a line feed when the file's last line is open.
func appendLine(file, line string) (err error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if size := info.Size(); size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = "\n" + line
		}
	}
	_, err = f.WriteString(line + "\n")
	return err
}

func newVersionCommand(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show this program's version",
		Example: `  berth version
  berth version -o json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			value := map[string]string{"version": version(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
			return e.print(value, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "berth %s (%s, %s)\n", value["version"], value["go"], value["platform"])
				return err
			})
		},
	}
}
