package mesos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gogo/protobuf/types"
	mesosgo "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/encoding/codecs"
	"github.com/mesos/mesos-go/api/v1/lib/master"
	"github.com/mesos/mesos-go/api/v1/lib/master/calls"

	"github.com/berthdata/berth/test/rig"
)

// maxAnswer bounds an answer of the operator API.
const maxAnswer = 64 << 20

// AgentInfo is what the master says of a registered agent.
type AgentInfo = master.Response_GetAgents_Agent

// Call sends a call of the operator API to the leading master, by way of any
// that runs, and returns its answer, which is empty for calls that only act.
// Package calls of mesos-go builds calls.
func (c *Cluster) Call(ctx context.Context, call *master.Call) (*master.Response, error) {
	body, err := call.Marshal()
	if err != nil {
		return nil, fmt.Errorf("mesos %s: %w", call.Type, err)
	}
	var errs []error
	for _, m := range c.Masters() {
		if !m.Running() {
			continue
		}
		resp, err := c.post(ctx, m.URL()+"/api/v1", body)
		if err == nil {
			return resp, nil
		}
		errs = append(errs, fmt.Errorf("mesos %s at %s: %w", call.Type, m.Name(), err))
	}
	if len(errs) == 0 {
		return nil, fmt.Errorf("mesos %s: no master runs", call.Type)
	}
	return nil, errors.Join(errs...)
}

func (c *Cluster) post(ctx context.Context, url string, body []byte) (*master.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	media := codecs.MediaTypeProtobuf.ContentType()
	req.Header.Set("Content-Type", media)
	req.Header.Set("Accept", media)
	hr, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer hr.Body.Close()
	b, err := io.ReadAll(io.LimitReader(hr.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	resp := &master.Response{}
	switch hr.StatusCode {
	case http.StatusOK:
		if len(b) > 0 && hr.Header.Get("Content-Type") == media {
			err = resp.Unmarshal(b)
		}
		return resp, err
	case http.StatusAccepted:
		return resp, nil
	}
	return nil, fmt.Errorf("%s: %s", hr.Status, bytes.TrimSpace(b))
}

// WaitLeader waits until a master leads and has recovered, and returns it.
func (c *Cluster) WaitLeader(ctx context.Context) (*Master, error) {
	var leader *Master
	err := rig.Eventually(ctx, every, "a leading mesos master", func(ctx context.Context) error {
		if err := c.mastersEnded(); err != nil {
			return rig.Permanent(err)
		}
		resp, err := c.Call(ctx, calls.GetMaster())
		if err != nil {
			return err
		}
		// Only a master that has recovered answers for its agents.
		if _, err := c.Call(ctx, calls.GetAgents()); err != nil {
			return err
		}
		port := resp.GetGetMaster().GetMasterInfo().GetPort()
		for _, m := range c.Masters() {
			if m.port == int(port) {
				leader = m
				return nil
			}
		}
		return fmt.Errorf("the leader on port %d is none of this cluster's", port)
	})
	return leader, err
}

// waitReplicas waits until every master's copy of the registry can vote: until
// then the death of one may leave the others without a quorum.
func (c *Cluster) waitReplicas(ctx context.Context) error {
	for _, m := range c.Masters() {
		if err := rig.Eventually(ctx, every, "the replicated log of "+m.Name(), func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.URL()+"/metrics/snapshot", nil)
			if err != nil {
				return err
			}
			resp, err := c.client.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			var metrics map[string]float64
			if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&metrics); err != nil {
				return err
			}
			if metrics["registrar/log/recovered"] != 1 {
				return errors.New("it has not recovered")
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// mastersEnded is an error when no master runs any more.
func (c *Cluster) mastersEnded() error {
	var errs []error
	for _, m := range c.Masters() {
		if m.Running() {
			return nil
		}
		if m.proc != nil {
			errs = append(errs, m.proc.Ended())
		}
	}
	return errors.Join(errs...)
}

// WaitAgents waits until exactly n agents are registered and active.
func (c *Cluster) WaitAgents(ctx context.Context, n int) error {
	return rig.Eventually(ctx, every, fmt.Sprintf("%d active mesos agents", n), func(ctx context.Context) error {
		agents, err := c.AgentInfos(ctx)
		if err != nil {
			return err
		}
		active := 0
		for _, a := range agents {
			if a.Active {
				active++
			}
		}
		if active == n {
			return nil
		}
		for _, a := range c.Agents() {
			if a.proc != nil && !a.Running() && active < n {
				err = errors.Join(err, a.proc.Ended())
			}
		}
		return errors.Join(fmt.Errorf("%d are active", active), err)
	})
}

// WaitAgent waits until the agent is registered and active and returns what the
// master says of it.
func (c *Cluster) WaitAgent(ctx context.Context, a *Agent) (AgentInfo, error) {
	var info AgentInfo
	err := rig.Eventually(ctx, every, "mesos "+a.name+" to be active", func(ctx context.Context) error {
		if err := a.proc.Ended(); err != nil {
			return rig.Permanent(err)
		}
		var err error
		if info, err = c.AgentInfo(ctx, a); err != nil {
			return err
		}
		if !info.Active {
			return errors.New("registered and inactive")
		}
		return nil
	})
	return info, err
}

// AgentInfos are all registered agents.
func (c *Cluster) AgentInfos(ctx context.Context) ([]AgentInfo, error) {
	resp, err := c.Call(ctx, calls.GetAgents())
	if err != nil {
		return nil, err
	}
	return resp.GetGetAgents().GetAgents(), nil
}

// AgentInfo is what the master says of an agent; an error when it is not
// registered. An agent with a new id may be listed beside its own past, which
// is inactive: the active one wins.
func (c *Cluster) AgentInfo(ctx context.Context, a *Agent) (AgentInfo, error) {
	all, err := c.AgentInfos(ctx)
	if err != nil {
		return AgentInfo{}, err
	}
	var found *AgentInfo
	for i := range all {
		if all[i].AgentInfo.Hostname == a.opts.Hostname && (found == nil || all[i].Active) {
			found = &all[i]
		}
	}
	if found == nil {
		return AgentInfo{}, fmt.Errorf("mesos %s is not registered", a.name)
	}
	return *found, nil
}

// AgentID is the current id of an agent.
func (c *Cluster) AgentID(ctx context.Context, a *Agent) (mesosgo.AgentID, error) {
	info, err := c.AgentInfo(ctx, a)
	if err != nil {
		return mesosgo.AgentID{}, err
	}
	if info.AgentInfo.ID == nil {
		return mesosgo.AgentID{}, fmt.Errorf("mesos %s: the master tells no id", a.name)
	}
	return *info.AgentInfo.ID, nil
}

// Reserved is the dynamically reserved part of an agent's resources, volumes
// included.
func (c *Cluster) Reserved(ctx context.Context, a *Agent) ([]mesosgo.Resource, error) {
	info, err := c.AgentInfo(ctx, a)
	if err != nil {
		return nil, err
	}
	var out []mesosgo.Resource
	for _, r := range info.TotalResources {
		for _, res := range r.Reservations {
			if res.GetType() == mesosgo.Resource_ReservationInfo_DYNAMIC {
				out = append(out, r)
				break
			}
		}
	}
	return out, nil
}

// Volumes is the part of Reserved that is persistent volumes.
func (c *Cluster) Volumes(ctx context.Context, a *Agent) ([]mesosgo.Resource, error) {
	reserved, err := c.Reserved(ctx, a)
	if err != nil {
		return nil, err
	}
	var out []mesosgo.Resource
	for _, r := range reserved {
		if r.GetDisk().GetPersistence() != nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// Tasks are the tasks that the master holds for alive, launching or
// unreachable; not the completed ones.
func (c *Cluster) Tasks(ctx context.Context) ([]mesosgo.Task, error) {
	resp, err := c.Call(ctx, calls.GetTasks())
	if err != nil {
		return nil, err
	}
	t := resp.GetGetTasks()
	return append(append(t.GetPendingTasks(), t.GetTasks()...), t.GetUnreachableTasks()...), nil
}

// Frameworks are the registered frameworks, connected or not.
func (c *Cluster) Frameworks(ctx context.Context) ([]master.Response_GetFrameworks_Framework, error) {
	resp, err := c.Call(ctx, calls.GetFrameworks())
	if err != nil {
		return nil, err
	}
	return resp.GetGetFrameworks().GetFrameworks(), nil
}

// MarkGone declares an agent lost for ever, with its data (Mesos rule 49).
func (c *Cluster) MarkGone(ctx context.Context, a *Agent) error {
	return c.onAgent(ctx, a, calls.MarkAgentGone)
}

// Drain asks Mesos to kill the agent's tasks, each within grace, and to offer
// it no more; see WaitDrained.
func (c *Cluster) Drain(ctx context.Context, a *Agent, grace time.Duration) error {
	return c.onAgent(ctx, a, func(id mesosgo.AgentID) *master.Call {
		return calls.DrainAgent(id, func(d *master.Call_DrainAgent) {
			d.MaxGracePeriod = types.DurationProto(grace)
		})
	})
}

// WaitDrained waits until a Drain has come to its end. Reactivate is refused
// while the master still records that.
func (c *Cluster) WaitDrained(ctx context.Context, a *Agent) error {
	return rig.Eventually(ctx, every, "mesos "+a.name+" to be drained", func(ctx context.Context) error {
		info, err := c.AgentInfo(ctx, a)
		if err != nil {
			return err
		}
		if state := info.GetDrainInfo().GetState(); state != mesosgo.DrainState_DRAINED {
			return fmt.Errorf("its state is %s", state)
		}
		return nil
	})
}

// Deactivate stops offers of an agent; Reactivate ends that and Drain.
func (c *Cluster) Deactivate(ctx context.Context, a *Agent) error {
	return c.onAgent(ctx, a, calls.DeactivateAgent)
}

// Reactivate ends Deactivate and Drain.
func (c *Cluster) Reactivate(ctx context.Context, a *Agent) error {
	return c.onAgent(ctx, a, calls.ReactivateAgent)
}

func (c *Cluster) onAgent(ctx context.Context, a *Agent, call func(mesosgo.AgentID) *master.Call) error {
	id, err := c.AgentID(ctx, a)
	if err != nil {
		return err
	}
	_, err = c.Call(ctx, call(id))
	return err
}
