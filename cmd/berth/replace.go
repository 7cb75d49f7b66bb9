package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
)

func newReplaceCommand(e *environment) *cobra.Command {
	var (
		message              string
		loss                 []string
		dryRun, cancel, wait bool
		timeout              time.Duration
	)
	cmd := &cobra.Command{
		Use:   "replace NAME NODE",
		Short: "Have another node take the place of one whose machine is lost",
		Long: `Orders a successor for a node that is Unreachable or Missing: a new node under
another name, on another machine, to which Elasticsearch copies what it has
elsewhere. The old volume is kept, and listed by "berth volumes list".

The order is refused while the node is not away, while the only copy of a shard
may be on its volume (the answer lists index and shards), while the masters'
majority would be at risk, and while any of that is not known. Bringing the
machine back is always the better way; --dry-run says what would happen.

Until the successor is launched --cancel takes the order back; it takes itself
back when the node comes back before that.

--accept-data-loss gives up the shards that would be lost. It must name exactly
the indices that the refusal lists, so that a decision on old facts is refused.`,
		Example: `  berth cluster replace logs logs-data-3 --dry-run
  berth cluster replace logs logs-data-3 --reason "host17 burnt, ticket 4711" --wait
  berth cluster replace logs logs-data-3 --accept-data-loss scratch-2026.01,scratch-2026.02
  berth cluster replace logs logs-data-3 --cancel`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s wants a cluster's and a node's name, not %d words; see \"%s --help\"", cmd.CommandPath(), len(args), cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: e.clusterNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			cluster, node := args[0], args[1]
			if cancel && (dryRun || wait || len(loss) > 0) {
				return usagef("--cancel goes with --reason only")
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			if cancel {
				a, err := c.CancelReplacement(cmd.Context(), cluster, node, message)
				if err != nil {
					return err
				}
				return e.accepted("node "+node+", replacement taken back", a)
			}
			a, err := c.ReplaceNode(cmd.Context(), cluster, node, client.ReplaceOptions{DryRun: dryRun, AcceptDataLoss: loss, Message: message})
			if err != nil {
				return withLossHint(err, cluster, node)
			}
			if err := e.accepted("node "+node+", replacement", a); err != nil {
				return err
			}
			if !wait || dryRun {
				return nil
			}
			return e.waiter(c, cluster, timeout).untilGreen(cmd.Context(), a.Generation)
		},
	}
	f := cmd.Flags()
	f.StringVar(&message, "message", "", "the reason, for the audit log (also --reason)")
	f.StringSliceVar(&loss, "accept-data-loss", nil, "give up the shards of exactly these `INDICES`")
	f.BoolVar(&dryRun, "dry-run", false, "only say what would happen")
	f.BoolVar(&cancel, "cancel", false, "take the order back")
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "reason" {
			name = "message"
		}
		return pflag.NormalizedName(name)
	})
	addWaitFlags(cmd, &wait, &timeout, "the cluster is green")
	return cmd
}

// withLossHint adds to a refusal for data at risk how to give that data up.
func withLossHint(err error, cluster, node string) error {
	var p *v1.Problem
	if !errors.As(err, &p) || p.Code != v1.CodeDataAtRisk || len(p.AtRisk) == 0 {
		return err
	}
	var names []string
	for _, r := range p.AtRisk {
		if len(names) == 0 || names[len(names)-1] != r.Index {
			names = append(names, r.Index)
		}
	}
	return fmt.Errorf("%w\nNothing was changed. To give these shards up for good:\n  berth cluster replace %s %s --accept-data-loss %s", err, cluster, node, shellWord(strings.Join(names, ",")))
}

// shellWord quotes a word for a shell where it has to be: an index's name may have
// characters that mean something there.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".,_-", r)
	}
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
