package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
)

func newAuditCommand(e *environment) *cobra.Command {
	var (
		q            client.AuditQuery
		since, until string
		all          bool
	)
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who ordered what, when and why, and how it ended",
		Long: `Lists the audit log, the newest entry first: orders that were accepted, and how
they ended. Berth keeps the newest 2,000 entries or so; --all with -o json exports
what it has.`,
		Example: `  berth audit
  berth audit --target logs --since 24h
  berth audit --user ann --verb delete
  berth audit --all -o json > audit.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if q.Since, err = e.moment("since", since); err != nil {
				return err
			}
			if q.Until, err = e.moment("until", until); err != nil {
				return err
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			list, err := readAudit(cmd.Context(), c, q, all)
			if err != nil {
				return err
			}
			return e.print(list, func(w io.Writer) error { return showAudit(w, list) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.User, "user", "", "only what this user ordered")
	f.StringVar(&q.Verb, "verb", "", "only this verb, such as apply, delete, replace; outcome: how things ended")
	f.StringVar(&q.Kind, "kind", "", "only about this kind: "+strings.Join(v1.AuditKinds, ", "))
	f.StringVar(&q.Target, "target", "", "only about this cluster, node, volume, task, repair or application")
	f.StringVar(&since, "since", "", `not before this: a time, or how long ago, such as "36h"`)
	f.StringVar(&until, "until", "", "before this")
	f.IntVar(&q.Limit, "limit", 100, "how many entries at most, up to 500")
	f.BoolVar(&all, "all", false, "every entry that Berth keeps and that matches")
	return cmd
}

// moment reads a time, or how long ago it was.
func (e *environment) moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return e.now().Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usagef("--%s: must be a time such as 2026-01-31T08:00:00Z, or how long ago, such as 36h", flag)
	}
	return at, nil
}

// readAudit reads one answer, or all of them one after the other.
func readAudit(ctx context.Context, c *client.Client, q client.AuditQuery, all bool) (v1.AuditList, error) {
	if all {
		q.Limit = v1.MaxAuditListed
	}
	list, err := c.Audit(ctx, q)
	for all && err == nil && list.More && len(list.Entries) > 0 {
		q.Before = list.Entries[len(list.Entries)-1].ID
		var more v1.AuditList
		if more, err = c.Audit(ctx, q); err == nil {
			list.Entries, list.More = append(list.Entries, more.Entries...), more.More && len(more.Entries) > 0
		}
	}
	return list, err
}

func showAudit(w io.Writer, list v1.AuditList) error {
	var rows [][]string
	for _, x := range list.Entries {
		target := x.Target
		if x.Owner != "" {
			target += " of " + x.Owner
		}
		what := x.Verb
		if x.Event != "" {
			what = x.Event
		}
		var details []string
		for _, change := range x.Changes {
			details = append(details, change.String())
		}
		if more := x.ChangesTotal - len(x.Changes); more > 0 {
			details = append(details, fmt.Sprintf("and %d more", more))
		}
		for _, text := range []string{x.Detail, x.Outcome} {
			if text != "" {
				details = append(details, text)
			}
		}
		rows = append(rows, []string{strconv.FormatInt(x.ID, 10), x.Time.UTC().Format(time.RFC3339), x.User, what, x.Kind, target,
			oneLine(x.Message), oneLine(strings.Join(details, "; "))})
	}
	if err := table(w, "ID TIME USER VERB KIND TARGET REASON DETAILS", rows); err != nil {
		return err
	}
	if list.More {
		fmt.Fprintln(w, "\nThere are older ones: see --all.")
	}
	return nil
}
