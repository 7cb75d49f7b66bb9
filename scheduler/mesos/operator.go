package mesos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	mesosv1 "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/master"
)

// Operator speaks to the leading master's operator API: the second witness for
// reservations and volumes, and a way to free them, which does not wait for offers
// (Mesos rule 55).
type Operator struct{ d *Driver }

// Operator returns a client that asks the driver's master. With a list of URLs
// it works without Run; with zk:// Run must be running, since that follows the
// election. Its methods are safe for concurrent use.
func (d *Driver) Operator() *Operator { return &Operator{d} }

// Agent is one agent as the leading master knows it.
type Agent struct {
	ID       string // may change for the same machine and disks (Mesos rule 48)
	Hostname string
	IP       string // from the agent's pid; "" if the master does not say
	Port     int
	Version  string // of Mesos
	// Registered is false for an agent that the master knows from its registry
	// only and that has not come back since the master's failover: it may be
	// alive (Mesos rule 45), and its resources are not known.
	Registered bool
	// Active: the master offers its resources and talks to it.
	Active bool
	// Deactivated by an operator; its tasks go on.
	Deactivated bool
	// Drain is not nil while an operator drains the agent and afterwards.
	Drain        *Drain
	RegisteredAt time.Time // zero if unknown
	// ReregisteredAt is the last return, zero if there was none.
	ReregisteredAt time.Time
	Attributes     []mesosv1.Attribute
	Domain         *mesosv1.DomainInfo
	Capabilities   []mesosv1.AgentInfo_Capability_Type
	// Total includes what is reserved and volumes made; Allocated is what
	// frameworks use, Offered what is offered now. Resources are in the
	// reservations[] format only (Mesos rule 15).
	Total     []mesosv1.Resource
	Allocated []mesosv1.Resource
	Offered   []mesosv1.Resource
}

// Drain of an agent (Mesos rule 49).
type Drain struct {
	Draining bool // false: drained
	// MarkGone: the agent will be marked gone, and its data lost, when drained.
	MarkGone bool
	// MaxGracePeriod for killing tasks; 0 = the tasks' own.
	MaxGracePeriod time.Duration
	// StartedAt is the master's estimate, zero if unknown.
	StartedAt time.Time
}

// HasCapability tells whether the agent announced c, AGENT_OPERATION_FEEDBACK
// for example (Mesos rule 34).
func (a *Agent) HasCapability(c mesosv1.AgentInfo_Capability_Type) bool {
	for _, have := range a.Capabilities {
		if have == c {
			return true
		}
	}
	return false
}

// GetAgents lists all agents, those not yet back after a master failover
// included. Errors: ErrUnavailable, ErrUnauthorized, ErrRejected.
func (o *Operator) GetAgents(ctx context.Context) ([]Agent, error) {
	answer, err := o.call(ctx, master.Call_GET_AGENTS)
	if err != nil {
		return nil, err
	}
	list := answer.GetGetAgents()
	if list == nil {
		return nil, fmt.Errorf("%w: the answer to GET_AGENTS holds no agents message", ErrUnavailable)
	}
	agents := make([]Agent, 0, len(list.Agents)+len(list.RecoveredAgents))
	for i := range list.Agents {
		agents = append(agents, registeredAgent(&list.Agents[i]))
	}
	for i := range list.RecoveredAgents {
		agents = append(agents, describedAgent(&list.RecoveredAgents[i]))
	}
	return agents, nil
}

// Health is nil if a leading master answers that it is healthy.
func (o *Operator) Health(ctx context.Context) error {
	answer, err := o.call(ctx, master.Call_GET_HEALTH)
	if err != nil {
		return err
	}
	if !answer.GetGetHealth().GetHealthy() {
		return fmt.Errorf("%w: the leading master says that it is not healthy", ErrUnavailable)
	}
	return nil
}

// DestroyVolumes asks the master to destroy persistent volumes that no task uses; it
// rescinds offers that hold them. Nil says that the master has taken the call, not
// that the agent has done it (Mesos rule 6): ask for the agents again.
//
// Errors: ErrRejected (in use, not there, no such agent), ErrUnauthorized,
// ErrUnavailable, after which it may or may not have happened.
func (o *Operator) DestroyVolumes(ctx context.Context, agentID string, volumes []mesosv1.Resource) error {
	return o.act(ctx, &master.Call{Type: master.Call_DESTROY_VOLUMES, DestroyVolumes: &master.Call_DestroyVolumes{
		AgentID: mesosv1.AgentID{Value: agentID}, Volumes: volumes,
	}})
}

// UnreserveResources asks the master to take the innermost dynamic reservation off
// resources that no task uses and that hold no volume (Mesos rule 31). Errors are
// as for DestroyVolumes.
func (o *Operator) UnreserveResources(ctx context.Context, agentID string, resources []mesosv1.Resource) error {
	return o.act(ctx, &master.Call{Type: master.Call_UNRESERVE_RESOURCES, UnreserveResources: &master.Call_UnreserveResources{
		AgentID: mesosv1.AgentID{Value: agentID}, Resources: resources,
	}})
}

func (o *Operator) act(ctx context.Context, call *master.Call) error {
	_, err := o.send(ctx, call)
	return err
}

// answerLimit of the operator API: one answer holds several times what one
// event with all offers holds.
const answerLimit = 4

// call asks the master subscribed to, else each known one, and follows
// redirects to the leader.
func (o *Operator) call(ctx context.Context, what master.Call_Type) (*master.Response, error) {
	return o.send(ctx, &master.Call{Type: what})
}

func (o *Operator) send(ctx context.Context, call *master.Call) (*master.Response, error) {
	d, what := o.d, call.Type
	body, err := encode(d.codec, call)
	if err != nil {
		return nil, err
	}
	auth, err := d.credentials()
	if err != nil {
		return nil, err
	}
	bases := []*url.URL{d.leading()}
	if bases[0] == nil {
		if bases, err = d.leader.candidates(ctx); err != nil {
			return nil, err
		}
	}
	var answer *master.Response
	for _, base := range bases {
		answer, err = o.ask(ctx, what, request{base: base, path: operatorPath, auth: auth, body: body})
		if err == nil || !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			break
		}
	}
	return answer, err
}

func (o *Operator) ask(ctx context.Context, what master.Call_Type, r request) (*master.Response, error) {
	d := o.d
	ctx, cancel := context.WithTimeoutCause(ctx, d.cfg.SubscribeTimeout,
		fmt.Errorf("no answer within %s", d.cfg.SubscribeTimeout))
	defer cancel()
	for range maxRedirects + 1 {
		resp, _, err := d.post(ctx, r)
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, fmt.Errorf("%w: %s to %s: %w", ErrUnavailable, what, r.base, err)
		}
		switch resp.StatusCode {
		case http.StatusOK:
			answer := new(master.Response)
			return answer, o.readAnswer(resp, what, answer)
		case http.StatusAccepted: // to a call that only acts
			text(resp)
			return new(master.Response), nil
		case http.StatusTemporaryRedirect:
			text(resp)
			if r.base, err = redirect(r.base, resp); err != nil {
				return nil, err
			}
		case http.StatusForbidden:
			// Here it means a missing permission, not a stale subscription.
			return nil, fmt.Errorf("%w: %s is not allowed on %s: %s", ErrUnauthorized, what, r.base, orNone(clip(text(resp))))
		default:
			return nil, statusError(what.String(), r.base.String(), resp.StatusCode, text(resp))
		}
	}
	return nil, fmt.Errorf("%w: masters redirected %d times, the last to %s", ErrUnavailable, maxRedirects, r.base)
}

func (o *Operator) readAnswer(resp *http.Response, what master.Call_Type, answer *master.Response) error {
	defer resp.Body.Close()
	limit := int64(o.d.cfg.FrameLimit) * answerLimit
	raw, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return fmt.Errorf("%w: reading the answer to %s: %w", ErrUnavailable, what, err)
	}
	if int64(len(raw)) > limit {
		return fmt.Errorf("%w: the answer to %s is longer than the limit of %d bytes; raise the frame limit", ErrUnavailable, what, limit)
	}
	if err := decode(o.d.codec, raw, answer); err != nil {
		return fmt.Errorf("%w: answer to %s of %d bytes: %w", ErrUnavailable, what, len(raw), err)
	}
	return nil
}

// describedAgent is an agent of which only the info is known.
func describedAgent(info *mesosv1.AgentInfo) Agent {
	return Agent{
		ID:         info.GetID().GetValue(),
		Hostname:   info.Hostname,
		Port:       int(info.GetPort()),
		Attributes: info.Attributes,
		Domain:     info.Domain,
	}
}

func registeredAgent(a *master.Response_GetAgents_Agent) Agent {
	agent := describedAgent(&a.AgentInfo)
	agent.Registered = true
	agent.Active = a.Active
	agent.Deactivated = a.GetDeactivated()
	agent.Version = a.Version
	agent.RegisteredAt = instant(a.RegisteredTime)
	agent.ReregisteredAt = instant(a.ReregisteredTime)
	agent.Total = oneFormat(a.TotalResources)
	agent.Allocated = oneFormat(a.AllocatedResources)
	agent.Offered = oneFormat(a.OfferedResources)
	if ip, port, ok := pidAddress(a.GetPID()); ok {
		agent.IP, agent.Port = ip, port
	}
	for _, c := range a.Capabilities {
		agent.Capabilities = append(agent.Capabilities, c.Type)
	}
	if info := a.DrainInfo; info != nil {
		agent.Drain = &Drain{
			Draining:       info.State != mesosv1.DrainState_DRAINED,
			MarkGone:       info.Config.GetMarkGone(),
			MaxGracePeriod: time.Duration(info.Config.GetMaxGracePeriod().GetNanoseconds()),
			StartedAt:      instant(a.EstimatedDrainStartTime),
		}
	}
	return agent
}

// pidAddress splits "slave(1)@10.0.0.7:5051".
func pidAddress(pid string) (ip string, port int, ok bool) {
	_, address, found := strings.Cut(pid, "@")
	if !found {
		return "", 0, false
	}
	host, digits, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, false
	}
	port, err = strconv.Atoi(digits)
	return host, port, err == nil
}

func instant(t *mesosv1.TimeInfo) time.Time {
	if t == nil {
		return time.Time{}
	}
	return time.Unix(0, t.Nanoseconds).UTC()
}

// oneFormat drops the old reservation fields: the operator API fills both them
// and reservations[], and only the latter is handled (Mesos rule 15).
func oneFormat(resources []mesosv1.Resource) []mesosv1.Resource {
	for i := range resources {
		r := &resources[i]
		if len(r.Reservations) == 0 && r.GetRole() != "*" {
			r.Reservations = []mesosv1.Resource_ReservationInfo{oldReservation(r)}
		}
		r.Role, r.Reservation = nil, nil
	}
	return resources
}

// oldReservation translates a reservation that exists in the old fields only.
func oldReservation(r *mesosv1.Resource) mesosv1.Resource_ReservationInfo {
	kind := mesosv1.Resource_ReservationInfo_STATIC
	var info mesosv1.Resource_ReservationInfo
	if r.Reservation != nil {
		kind = mesosv1.Resource_ReservationInfo_DYNAMIC
		info.Principal, info.Labels = r.Reservation.Principal, r.Reservation.Labels
	}
	info.Type, info.Role = &kind, ptr(r.GetRole())
	return info
}
