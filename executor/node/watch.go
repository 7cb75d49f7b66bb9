package node

import (
	"context"
	"time"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/host"
	"github.com/berthdata/berth/executor/workload"
)

// pace is how often the node is looked at, and how many looks in a row must
// fail before a joined node counts as unhealthy: a long garbage collection is
// no news.
type pace struct {
	joining time.Duration
	joined  time.Duration
	misses  int
}

var defaultPace = pace{joining: 200 * time.Millisecond, joined: 5 * time.Second, misses: 3}

// tracker turns observations into the few changes that are worth a status
// update. It holds no clock and does no I/O.
type tracker struct {
	misses  int // allowed in a row
	phase   string
	healthy bool
	missed  int
	uuid    string
	node    string
}

// next says what to report, if anything.
func (t *tracker) next(o observation) (workload.Status, bool) {
	if o.joined {
		t.missed = 0
		// The uuid of an old version may come later than the join.
		if t.healthy && o.uuid == t.uuid {
			return workload.Status{}, false
		}
		t.phase, t.healthy, t.uuid, t.node = executor.PhaseJoined, true, o.uuid, o.nodeID
		return t.status("joined the cluster"), true
	}
	was, phase := t.phase, executor.PhaseAnswering
	if !o.answers {
		phase = executor.PhaseSilent
	}
	if t.healthy {
		if t.missed++; t.missed < t.misses {
			return workload.Status{}, false
		}
	} else if phase == executor.PhaseSilent && (was == executor.PhaseStarting || was == executor.PhaseAnswering && t.node == "") {
		return workload.Status{}, false // still on its way up
	}
	if !t.healthy && phase == was {
		return workload.Status{}, false
	}
	t.phase, t.healthy = phase, false
	return t.status(o.problem), true
}

func (t *tracker) status(message string) workload.Status {
	return workload.Status{
		Healthy: t.healthy,
		Message: "the node " + message,
		Report:  executor.Report{Phase: t.phase, ClusterUUID: t.uuid, NodeID: t.node},
	}
}

// watch looks at the node until ctx ends. It only reports: a node that does not
// answer may be recovering a terabyte, and killing it would start that again.
func (n *Node) watch(ctx context.Context, v *host.Volume, emit func(workload.Status)) {
	p := newProber(n.es)
	defer p.close()
	t := tracker{misses: n.pace.misses, phase: executor.PhaseStarting}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		o := p.look(ctx)
		if ctx.Err() != nil {
			return // an answer that the end cut off says nothing
		}
		if o.joined && o.uuid != "" && v != nil {
			if err := v.Remember(o.uuid); err != nil {
				o = observation{answers: true, nodeID: o.nodeID, problem: err.Error()}
			}
		}
		if s, changed := t.next(o); changed {
			emit(s)
		}
		if t.healthy {
			timer.Reset(n.pace.joined)
		} else {
			timer.Reset(n.pace.joining)
		}
	}
}
