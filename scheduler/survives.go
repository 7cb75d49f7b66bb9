package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

// Survives says what the loss of each single machine would do to a cluster, or with
// "" to all. The host rule is a promise about placement; this is what holds now, by
// where shards and masters really are.
func (c *Core) Survives(name string) (v1.Certificate, *v1.Problem) {
	names := slices.Sorted(maps.Keys(c.clusters))
	if name != "" {
		if c.clusters[name] == nil {
			return v1.Certificate{}, v1.ProblemNotFound("cluster", name)
		}
		names = []string{name}
	}
	losses := map[string][]v1.ClusterLoss{}
	for _, n := range names {
		for machine, loss := range c.losses(c.clusters[n]) {
			losses[machine] = append(losses[machine], loss)
		}
	}
	out := v1.Certificate{Machines: make([]v1.MachineLoss, 0, len(losses))}
	for _, machine := range slices.Sorted(maps.Keys(losses)) {
		m := v1.MachineLoss{Machine: machine, Clusters: losses[machine]}
		for _, loss := range m.Clusters {
			m.Survives = weaker(m.Survives, loss.Survives)
		}
		out.Machines = append(out.Machines, m)
		out.Survives = weaker(out.Survives, m.Survives)
	}
	if out.Survives == "" {
		out.Survives = v1.VerdictUnknown // of what has no place nothing is known
	}
	return out, nil
}

// weaker is the verdict on two things together.
func weaker(a, b string) string {
	switch {
	case a == v1.VerdictFalse || b == v1.VerdictFalse:
		return v1.VerdictFalse
	case a == v1.VerdictUnknown || b == v1.VerdictUnknown:
		return v1.VerdictUnknown
	}
	return v1.VerdictTrue
}

// losses are what the loss of each machine would do to a cluster, by machine.
func (c *Core) losses(cl *cluster) map[string]v1.ClusterLoss {
	out := map[string]v1.ClusterLoss{}
	at := map[string]string{} // machines of nodes
	healthy, masters := 0, map[string]int{}
	healthyOn := map[string]int{}
	for _, s := range cl.nodes() {
		if !s.counts() {
			continue
		}
		m := s.Bind.Machine
		at[s.Name] = m
		loss := out[m]
		loss.Nodes = append(loss.Nodes, s.Name)
		out[m] = loss
		if set, _ := plan.Set(cl.Spec.Spec, s.Set); !plan.MasterEligible(set) || s.Want != state.WantRun {
			continue
		}
		masters[m]++
		if s.healthy() {
			healthy++
			healthyOn[m]++
		}
	}
	sole := map[string][]observe.SoleMachine{}
	for _, x := range cl.lastFull.Sole {
		m, known := at[x.Nodes[0]]
		if !known && x.Host != "" {
			m = x.Host
		} else if !known {
			m = x.Nodes[0]
		}
		sole[m] = append(sole[m], x)
		if loss, placed := out[m]; !placed {
			loss.Nodes = slices.Clone(x.Nodes) // members that no record explains
			out[m] = loss
		}
	}
	unseen := c.unjudged(cl)
	needed := len(plan.Masters(cl.Spec))/2 + 1
	for m, loss := range out {
		loss.Cluster, loss.Reasons = cl.Spec.Name, []string{}
		loss.Masters, loss.MastersElsewhere, loss.MastersNeeded = masters[m], healthy-healthyOn[m], needed
		c.judgeLoss(cl, &loss, sole[m], unseen)
		out[m] = loss
	}
	return out
}

// judgeLoss gives the verdict; unseen is why what Elasticsearch said last does not
// count, or "".
func (c *Core) judgeLoss(cl *cluster, loss *v1.ClusterLoss, sole []observe.SoleMachine, unseen string) {
	loss.Survives = v1.VerdictTrue
	var texts []string
	say := func(verdict, reason, format string, args ...any) {
		loss.Survives = weaker(loss.Survives, verdict)
		loss.Reasons = append(loss.Reasons, reason)
		texts = append(texts, fmt.Sprintf(format, args...))
	}
	full := cl.lastFull
	if full.Full {
		at := cl.fullAt
		loss.ObservedAt = &at
	}
	for _, x := range sole {
		loss.IndicesAtRisk += x.IndexTotal
		loss.ShardsAtRisk += x.ShardTotal
		for _, i := range x.Indices {
			if len(loss.AtRisk) < observe.MaxSoleIndices {
				loss.AtRisk = append(loss.AtRisk, v1.IndexAtRisk{
					Index: i.Index, Shards: slices.Clone(i.Shards), ShardCount: i.ShardCount, Reason: "only on " + strings.Join(x.Nodes, ", "),
				})
			}
		}
	}
	if loss.ShardsAtRisk > 0 {
		say(v1.VerdictFalse, v1.LossData, "the only started copies of shards are there, %d in all, such as %s", loss.ShardsAtRisk, loss.AtRisk[0])
	}
	if loss.MastersElsewhere < loss.MastersNeeded {
		say(v1.VerdictFalse, v1.LossQuorum, "healthy masters elsewhere: %d, a majority: %d", loss.MastersElsewhere, loss.MastersNeeded)
	}
	switch {
	case unseen != "":
		say(v1.VerdictUnknown, v1.LossUnseen, "%s", unseen)
	case full.AtRiskTotal > 0:
		say(v1.VerdictUnknown, v1.LossAlready, "shards have no started copy as it is, such as %s", c.riskView(cl, &full.AtRisk[0]))
	}
	loss.Message = clip(strings.Join(texts, "; "))
}

// unjudged says why Elasticsearch's last word on its shards is not today's.
func (c *Core) unjudged(cl *cluster) string {
	switch {
	case !cl.lastFull.Full:
		return "Elasticsearch has not said yet where its shards are"
	case cl.observeErr != "":
		return "Elasticsearch does not answer now: " + cl.observeErr
	case cl.fullAsked.Add(survivalTrusted).Before(c.now):
		return fmt.Sprintf("Elasticsearch was asked last at %s", cl.fullAsked.UTC().Format(time.RFC3339))
	case cl.lastFull.TimedOut:
		return "the elected master is behind with its work"
	case !slices.Equal(cl.lastFull.Away, cl.away()):
		return "other nodes are away than when Elasticsearch was asked"
	}
	for _, s := range cl.nodes() {
		if s.counts() && s.since().After(cl.fullAsked) {
			return s.Name + " has changed since Elasticsearch was asked"
		}
	}
	return ""
}
