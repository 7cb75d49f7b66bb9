package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
)

func newEventsCommand(e *environment) *cobra.Command {
	var (
		o      client.EventOptions
		follow bool
	)
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what has happened, and with -f what happens",
		Long: `Shows the events that Berth still keeps, the oldest first; with -f it goes on
with new ones until it is interrupted, over reconnections and fail-overs.
With -o json each event is one line.`,
		Example: `  berth events
  berth events -f --cluster logs
  berth events -f --after 4711 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.After < 0 {
				return usagef("--after: must not be negative")
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			o.Once = !follow
			o.Lost = func(why error) { fmt.Fprintf(e.err, "Events were missed: %s\n", oneLine(why.Error())) }
			o.Retry = func(why error, wait time.Duration) {
				fmt.Fprintf(e.err, "The stream broke (%s); connecting again\n", oneLine(why.Error()))
			}
			err = c.Events(cmd.Context(), o, e.showEvent)
			if errors.Is(err, context.Canceled) {
				return nil // interrupted: that is how -f ends
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on with new events")
	f.Int64Var(&o.After, "after", 0, "only events behind this id")
	f.BoolVar(&o.Latest, "latest", false, "with -f: leave out what has happened already")
	f.StringVar(&o.Cluster, "cluster", "", "only this cluster's events")
	return cmd
}

func (e *environment) showEvent(ev v1.Event) error {
	switch e.output {
	case outputJSON:
		content, err := json.Marshal(ev)
		if err == nil {
			_, err = fmt.Fprintf(e.out, "%s\n", content)
		}
		return err
	case outputYAML:
		content, err := yaml.Marshal(ev)
		if err == nil {
			_, err = fmt.Fprintf(e.out, "---\n%s", content)
		}
		return err
	}
	words := []string{ev.Time.UTC().Format(time.RFC3339), fmt.Sprintf("%6d", ev.ID), fmt.Sprintf("%-20s", ev.Type)}
	for _, w := range []string{ev.Cluster, ev.Node, ev.Message} {
		if w != "" {
			words = append(words, oneLine(w))
		}
	}
	_, err := fmt.Fprintln(e.out, clean(strings.Join(words, "  ")))
	return err
}
