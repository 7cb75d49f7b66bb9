package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/node"
)

// renderCommand prints what the executor would write and run on this machine,
// and changes nothing.
func renderCommand(args []string, w io.Writer) error {
	flags := flag.NewFlagSet("berth-executor render", flag.ContinueOnError)
	file := flags.String("launch", "", "the launch document: TaskInfo.data, as JSON")
	sandbox := flags.String("sandbox", "/mnt/mesos/sandbox", "the task's sandbox")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *file == "" {
		return errors.New("render: --launch FILE is missing")
	}
	data, err := os.ReadFile(*file)
	if err != nil {
		return fmt.Errorf("render: %w", err)
	}
	launch, err := executor.DecodeLaunch(data)
	if err != nil {
		return fmt.Errorf("render: %w", err)
	}
	if launch.Kind != executor.KindElasticsearch {
		return fmt.Errorf("render: kind %q is not rendered to files", launch.Kind)
	}
	out, err := node.Preview(launch, *sandbox)
	if err != nil {
		return fmt.Errorf("render: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(out.Files)) {
		fmt.Fprintf(w, "# %s/config/%s\n%s\n", *sandbox, name, out.Files[name])
	}
	fmt.Fprintf(w, "# command\nenv -i \\\n  %s \\\n  %s\n", strings.Join(out.Env, " \\\n  "), strings.Join(append([]string{out.Path}, out.Args...), " "))
	return nil
}
