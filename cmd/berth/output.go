package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"sigs.k8s.io/yaml"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
)

// Values of --output.
const (
	outputText = "text"
	outputJSON = "json"
	outputYAML = "yaml"
)

var outputs = []string{outputText, outputJSON, outputYAML}

// print writes a value as --output says; text writes it for people.
func (e *environment) print(value any, text func(w io.Writer) error) error {
	switch e.output {
	case outputJSON:
		content, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(e.out, "%s\n", content)
		return err
	case outputYAML:
		content, err := yaml.Marshal(value)
		if err != nil {
			return err
		}
		_, err = e.out.Write(content)
		return err
	default:
		return text(e.out)
	}
}

// table writes rows in columns under headings, which blanks separate; "" is none.
func table(w io.Writer, headings string, rows [][]string) error {
	return indented(w, "", headings, rows)
}

func indented(w io.Writer, indent, headings string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if headings != "" {
		fmt.Fprintln(t, indent+strings.Join(strings.Fields(headings), "\t"))
	}
	for _, row := range rows {
		for i := range row {
			row[i] = clean(row[i])
			if row[i] == "" {
				row[i] = "-"
			}
		}
		// A trailing tab would pad the last column with blanks.
		fmt.Fprintln(t, indent+strings.Join(row, "\t"))
	}
	return t.Flush()
}

// clean makes text from elsewhere (a node's log, say) safe for a terminal: no
// control character but the line feed passes.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || !unicode.IsControl(r) {
			return r
		}
		return ' '
	}, s)
}

// age is the time since then in its largest unit.
func (e *environment) age(then time.Time) string {
	if then.IsZero() {
		return "-"
	}
	d := max(e.now().Sub(then), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
}

func mib(n float64) string { return v1.FormatSize(int64(n) * v1.MiB) }

func number(n float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", n), "0"), ".")
}

func pairs(m map[string]string) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, k+"="+m[k])
	}
	return strings.Join(list, ",")
}

func timestamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// order gives one order and writes what was accepted.
func (e *environment) order(what string, give func(*client.Client) (v1.Accepted, error)) error {
	return e.orderNamed(func(v1.Accepted) string { return what }, give)
}

// orderNamed is order for what only the answer names.
func (e *environment) orderNamed(what func(v1.Accepted) string, give func(*client.Client) (v1.Accepted, error)) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	a, err := give(c)
	if err != nil {
		return err
	}
	return e.accepted(what(a), a)
}

// accepted writes the answer to a change.
func (e *environment) accepted(what string, a v1.Accepted) error {
	return e.print(a, func(w io.Writer) error {
		switch {
		case a.DryRun && !a.Changed:
			fmt.Fprintf(w, "%s: nothing would change (dry run)\n", what)
		case a.DryRun:
			fmt.Fprintf(w, "%s: would be changed (dry run)\n", what)
		case !a.Changed:
			fmt.Fprintf(w, "%s: unchanged\n", what)
		default:
			fmt.Fprintf(w, "%s: accepted\n", what)
		}
		for _, c := range a.Changes {
			fmt.Fprintf(w, "  %s\n", clean(c.String()))
		}
		if a.Message != "" {
			fmt.Fprintf(w, "  %s\n", clean(a.Message))
		}
		return showPlacements(w, a)
	})
}

// showPlacements says where a dry run's nodes would go.
func showPlacements(w io.Writer, a v1.Accepted) error {
	if len(a.Placements) == 0 {
		return nil
	}
	if r := a.Reserves; r != nil {
		fmt.Fprintf(w, "\nNodes without a place, as things are now; they would reserve %g cpus, %g MiB of memory, %g MiB of disk, %d ports:\n",
			r.CPUs, r.MemoryMiB, r.DiskMiB, r.Ports)
	}
	var rows [][]string
	for _, p := range a.Placements {
		rows = append(rows, []string{p.Node, p.NodeSet, p.Hostname, oneLine(p.Problem)})
	}
	return indented(w, "  ", "NODE SET HOST PROBLEM", rows)
}
