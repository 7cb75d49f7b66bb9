package scheduler

import (
	"fmt"
	"slices"
	"time"

	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

// settleObservation asks Elasticsearch when it is time to, one question at a
// time, and returns when to look again.
func (c *Core) settleObservation(cl *cluster) time.Time {
	endpoints := cl.endpoints()
	if len(endpoints) == 0 {
		return time.Time{}
	}
	if !cl.askedAt.IsZero() {
		lost := cl.askedAt.Add(observeTimeout)
		if lost.After(c.now) {
			return lost
		}
		cl.askedAt = time.Time{}
	}
	if due := cl.nextAsk; due.After(c.now) {
		return due
	}
	c.askSeq++
	cl.askedAt, cl.askSeq = c.now, c.askSeq
	away := cl.away()
	req := observe.Request{
		Cluster: cl.Spec.Name, Version: cl.lowestVersion(), Endpoints: endpoints,
		Seq: cl.askSeq, Kind: observe.KindObserve, Full: !cl.fullAt.Add(observeFull).After(c.now), Away: away,
	}
	awayDue := cl.awayDue(c.now, away)
	req.Full = req.Full || awayDue
	if r := cl.Restart; !awayDue || r != nil && r.Step != "" {
		c.restartQuestion(cl, &req)
	}
	cl.askKind = req.Kind
	c.out.Elastic = append(c.out.Elastic, req)
	return c.now.Add(observeTimeout)
}

// awayDue reports whether it is time to ask what would be lost with the nodes that
// are away: a question of its own, beside those of a rolling restart.
func (cl *cluster) awayDue(now time.Time, away []string) bool {
	pace := observeFull
	if cl.hasReturned() {
		pace = observeReturned
	}
	return len(away) > 0 && (!slices.Equal(cl.awayFull.Away, away) || !cl.awayAsked.Add(pace).After(now))
}

// elasticObserved takes an answer. One that could not be had or read changes
// nothing of what is known, and says so.
func (c *Core) elasticObserved(e ElasticObserved) {
	cl := c.clusters[e.Cluster]
	if cl == nil || e.Observation.Seq != cl.askSeq {
		return // of a cluster that is gone, or overtaken
	}
	asked := cl.askedAt
	cl.askedAt = time.Time{}
	c.lookOwners[e.Cluster] = true
	if cl.askKind == observe.KindAllocation {
		failure := ""
		if e.Err != "" {
			failure = clip(fmt.Sprintf("%s: %s", e.ErrClass, e.Err))
		}
		c.allocationAnswered(cl, failure)
		cl.nextAsk = c.now.Add(observeForming)
		return
	}
	cl.noMaster, cl.noMasterAsked = e.ErrClass == string(observe.NoMaster), asked
	switch uuid := e.Observation.ClusterUUID; {
	case e.Err != "":
		cl.observeErr = clip(fmt.Sprintf("%s: %s", e.ErrClass, e.Err))
	case cl.foreign(uuid):
		// What another cluster says of itself says nothing of this one.
		cl.observeErr = clip(fmt.Sprintf("the answer came from another cluster, with uuid %s", uuid))
		c.clusterFormed(cl.Spec.Name, cl.Incarnation, uuid)
	default:
		was := cl.health()
		cl.observation, cl.observedAt, cl.observeErr = e.Observation, c.now, ""
		if e.Observation.Full {
			cl.fullAt, cl.fullAsked, cl.lastFull = c.now, asked, e.Observation
			if slices.Equal(e.Observation.Away, cl.away()) {
				cl.awayAsked, cl.awayFull = asked, e.Observation
			}
		}
		if now := cl.health(); now != was {
			c.publish("HealthChanged", cl.Spec.Name, "", "Elasticsearch says %s (was %s)", now, was)
		}
		c.clusterFormed(cl.Spec.Name, cl.Incarnation, uuid)
	}
	pace := observeStable
	if cl.Restart != nil {
		pace = cl.restartPace(c.now)
	} else if n := cl.census(); c.now.Before(cl.UpdatedAt.Add(formingFor)) && !cl.green(n.wanted) || n.healthy < n.wanted {
		pace = observeForming
	} else if cl.hasReturned() {
		pace = observeReturned
	}
	cl.nextAsk = c.now.Add(pace)
}

// endpoints are the HTTP addresses of the nodes that have answered, or, while
// none has, of those that run.
func (cl *cluster) endpoints() []string {
	var healthy, running []string
	for _, s := range cl.list() {
		if s.Task == nil || s.Task.State != state.TaskRunning || s.Bind == nil || len(s.Bind.Ports) < portsPerNode {
			continue
		}
		if s.Task.Healthy {
			healthy = append(healthy, s.httpURL())
		} else {
			running = append(running, s.httpURL())
		}
	}
	if len(healthy) > 0 {
		return healthy
	}
	return running
}

// Each node has two ports, in this order.
const (
	portsPerNode  = 2
	portHTTP      = 0
	portTransport = 1
)

func (s *slot) httpURL() string {
	return fmt.Sprintf("http://%s:%d", s.Bind.Address, s.Bind.Ports[portHTTP])
}

func (s *slot) transport() string {
	return fmt.Sprintf("%s:%d", s.Bind.Address, s.Bind.Ports[portTransport])
}

// lowestVersion is the oldest Elasticsearch that runs in the cluster: in an
// upgrade it decides how a node may answer.
func (cl *cluster) lowestVersion() string {
	lowest := cl.Spec.Spec.Version
	for _, s := range cl.list() {
		if s.live() && s.Task.Version != "" && plan.Newer(lowest, s.Task.Version) {
			lowest = s.Task.Version
		}
	}
	return lowest
}
