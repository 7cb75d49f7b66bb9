package mesos

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	mesosv1 "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/encoding"
	"github.com/mesos/mesos-go/api/v1/lib/encoding/codecs"
	"github.com/mesos/mesos-go/api/v1/lib/master"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// answering serves one answer of the operator API, checking what was asked.
func answering(t *testing.T, want master.Call_Type, answer *master.Response) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		codec := codecs.ByMediaType[encoding.MediaType(r.Header.Get("Content-Type"))]
		raw, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		var call master.Call
		assert.NoError(t, decode(codec, raw, &call))
		assert.Equal(t, want, call.Type)
		assert.NotContains(t, r.Header, streamHeader)
		raw, err = encode(codec, answer)
		assert.NoError(t, err)
		_, _ = w.Write(raw)
	}
}

func agentsAnswer() *master.Response {
	dynamic := mesosv1.Resource_ReservationInfo_DYNAMIC
	return &master.Response{Type: master.Response_GET_AGENTS, GetAgents: &master.Response_GetAgents{
		Agents: []master.Response_GetAgents_Agent{{
			AgentInfo: mesosv1.AgentInfo{ID: &mesosv1.AgentID{Value: "S1"}, Hostname: "h1", Port: ptr(int32(1)),
				Attributes: []mesosv1.Attribute{{Name: "rack", Type: mesosv1.TEXT, Text: &mesosv1.Value_Text{Value: "r1"}}}},
			Active: true, Deactivated: ptr(true), Version: "1.11.0", PID: ptr("slave(1)@10.0.0.7:5051"),
			RegisteredTime: &mesosv1.TimeInfo{Nanoseconds: 1e9}, ReregisteredTime: &mesosv1.TimeInfo{Nanoseconds: 2e9},
			Capabilities: []mesosv1.AgentInfo_Capability{{Type: mesosv1.AgentInfo_Capability_AGENT_OPERATION_FEEDBACK}},
			DrainInfo: &mesosv1.DrainInfo{State: mesosv1.DrainState_DRAINING, Config: mesosv1.DrainConfig{
				MarkGone: ptr(true), MaxGracePeriod: &mesosv1.DurationInfo{Nanoseconds: 3e9}}},
			EstimatedDrainStartTime: &mesosv1.TimeInfo{Nanoseconds: 4e9},
			TotalResources: []mesosv1.Resource{
				// Both formats, as Mesos sends it.
				{Name: "cpus", Type: mesosv1.SCALAR.Enum(), Scalar: &mesosv1.Value_Scalar{Value: 1}, Role: ptr("data"),
					Reservation:  &mesosv1.Resource_ReservationInfo{Principal: ptr("berth")},
					Reservations: []mesosv1.Resource_ReservationInfo{{Type: &dynamic, Role: ptr("data"), Principal: ptr("berth")}}},
				// The old one only: static, dynamic, and none.
				{Name: "mem", Type: mesosv1.SCALAR.Enum(), Scalar: &mesosv1.Value_Scalar{Value: 2}, Role: ptr("static")},
				{Name: "disk", Type: mesosv1.SCALAR.Enum(), Scalar: &mesosv1.Value_Scalar{Value: 3}, Role: ptr("data"),
					Reservation: &mesosv1.Resource_ReservationInfo{Principal: ptr("p"), Labels: &mesosv1.Labels{Labels: []mesosv1.Label{{Key: "k"}}}}},
				{Name: "mem", Type: mesosv1.SCALAR.Enum(), Scalar: &mesosv1.Value_Scalar{Value: 4}, Role: ptr("*")},
			},
			AllocatedResources: []mesosv1.Resource{{Name: "cpus", Type: mesosv1.SCALAR.Enum(), Scalar: &mesosv1.Value_Scalar{Value: 5}}},
			OfferedResources:   []mesosv1.Resource{{Name: "cpus", Type: mesosv1.SCALAR.Enum(), Scalar: &mesosv1.Value_Scalar{Value: 6}}},
		}},
		RecoveredAgents: []mesosv1.AgentInfo{{ID: &mesosv1.AgentID{Value: "S2"}, Hostname: "h2"}},
	}}
}

func TestGetAgents(t *testing.T) {
	for _, e := range []Encoding{Protobuf, JSON} {
		t.Run(string(e), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				n.master(t, "m:5050").onOperator = answering(t, master.Call_GET_AGENTS, agentsAnswer())
				d, _ := testDriver(t, n, "m:5050", func(c *Config) { c.Encoding = e })
				agents, err := d.Operator().GetAgents(t.Context())
				require.NoError(t, err)
				require.Len(t, agents, 2)
				a := agents[0]
				total := a.Total
				assert.Len(t, a.Allocated, 1)
				assert.Len(t, a.Offered, 1)
				a.Total, a.Allocated, a.Offered = nil, nil, nil
				assert.Equal(t, Agent{
					ID: "S1", Hostname: "h1", IP: "10.0.0.7", Port: 5051, Version: "1.11.0",
					Registered: true, Active: true, Deactivated: true,
					Drain:        &Drain{Draining: true, MarkGone: true, MaxGracePeriod: 3 * time.Second, StartedAt: time.Unix(4, 0).UTC()},
					RegisteredAt: time.Unix(1, 0).UTC(), ReregisteredAt: time.Unix(2, 0).UTC(),
					Attributes:   a.Attributes,
					Capabilities: []mesosv1.AgentInfo_Capability_Type{mesosv1.AgentInfo_Capability_AGENT_OPERATION_FEEDBACK},
				}, a)
				assert.Equal(t, "r1", a.Attributes[0].GetText().GetValue())
				assert.False(t, a.HasCapability(mesosv1.AgentInfo_Capability_MULTI_ROLE))
				assert.Equal(t, "DYNAMIC data berth|STATIC static |DYNAMIC data p|none", reservations(total))
				assert.Equal(t, Agent{ID: "S2", Hostname: "h2", Port: 5051}, agents[1])
			})
		})
	}
}

func reservations(resources []mesosv1.Resource) string {
	out := ""
	for i, r := range resources {
		if i > 0 {
			out += "|"
		}
		if r.Role != nil || r.Reservation != nil || len(r.Reservations) > 1 {
			return "old format left in " + r.String()
		}
		if len(r.Reservations) == 0 {
			out += "none"
			continue
		}
		res := r.Reservations[0]
		out += fmt.Sprint(res.GetType(), " ", res.GetRole(), " ", res.GetPrincipal())
	}
	return out
}

func TestOperatorFindsTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.master(t, "recovering:1").onOperator = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
		n.master(t, "follower:1").onOperator = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "//leader:1/master/api/v1")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
		healthy := &master.Response{Type: master.Response_GET_HEALTH, GetHealth: &master.Response_GetHealth{Healthy: true}}
		n.master(t, "leader:1").onOperator = answering(t, master.Call_GET_HEALTH, healthy)
		d, _ := testDriver(t, n, "dead:1,recovering:1,follower:1", nil)
		require.NoError(t, d.Operator().Health(t.Context()))
		healthy.GetHealth.Healthy = false
		assert.ErrorContains(t, d.Operator().Health(t.Context()), "is not healthy")
	})
}

func TestOperatorErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		serve http.HandlerFunc
		want  error
		text  string
	}{
		"not allowed":  {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no permission", http.StatusForbidden) }, ErrUnauthorized, "no permission"},
		"wrong secret": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, ErrUnauthorized, "401"},
		"refused":      {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad call", http.StatusBadRequest) }, ErrRejected, "bad call"},
		"no protobuf":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, ErrUnavailable, "of 6 bytes"},
		"other answer": {func(w http.ResponseWriter, _ *http.Request) {}, ErrUnavailable, "holds no agents"},
		"too long": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, answerLimit*minFrameLimit+1))
		}, ErrUnavailable, "longer than the limit of 16777216 bytes"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("x"))
		}, ErrUnavailable, "unexpected EOF"},
		"silent": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice the end of the request
			<-r.Context().Done()
		}, ErrUnavailable, "no answer within 30s"},
		"in circles": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "//m:5050/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, ErrUnavailable, "redirected 5 times"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				n.master(t, "m:5050").onOperator = tc.serve
				d, _ := testDriver(t, n, "m:5050", func(c *Config) { c.FrameLimit = minFrameLimit })
				_, err := d.Operator().GetAgents(t.Context())
				require.ErrorIs(t, err, tc.want)
				assert.ErrorContains(t, err, tc.text)
			})
		})
	}
}

// Freeing resources: what is asked, and what the master's answers mean.
func TestOperatorFrees(t *testing.T) {
	disk := mesosv1.Resource{
		Name: "disk", Type: mesosv1.SCALAR.Enum(), Scalar: &mesosv1.Value_Scalar{Value: 3},
		Reservations: []mesosv1.Resource_ReservationInfo{{Type: mesosv1.Resource_ReservationInfo_DYNAMIC.Enum(), Role: ptr("data"), Principal: ptr("berth")}},
		Disk:         &mesosv1.Resource_DiskInfo{Persistence: &mesosv1.Resource_DiskInfo_Persistence{ID: "v"}},
	}
	for name, tc := range map[string]struct {
		status int
		text   string
		want   error
	}{
		"taken":       {http.StatusAccepted, "", nil},
		"in use":      {http.StatusConflict, "the resources are in use", ErrRejected},
		"no agent":    {http.StatusBadRequest, "No agent found with specified ID", ErrRejected},
		"not allowed": {http.StatusForbidden, "", ErrUnauthorized},
		"recovering":  {http.StatusServiceUnavailable, "", ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				var got master.Call
				n.master(t, "m:5050").onOperator = func(w http.ResponseWriter, r *http.Request) {
					raw, err := io.ReadAll(r.Body)
					assert.NoError(t, err)
					got = master.Call{}
					assert.NoError(t, decode(codecs.ByMediaType[encoding.MediaType(r.Header.Get("Content-Type"))], raw, &got))
					if tc.status != http.StatusAccepted {
						http.Error(w, tc.text, tc.status)
						return
					}
					w.WriteHeader(tc.status)
				}
				d, _ := testDriver(t, n, "m:5050", nil)
				err := d.Operator().DestroyVolumes(t.Context(), "S1", []mesosv1.Resource{disk})
				require.ErrorIs(t, err, tc.want)
				if tc.want != nil {
					require.ErrorContains(t, err, tc.text)
				}
				assert.Equal(t, master.Call{Type: master.Call_DESTROY_VOLUMES, DestroyVolumes: &master.Call_DestroyVolumes{
					AgentID: mesosv1.AgentID{Value: "S1"}, Volumes: []mesosv1.Resource{disk},
				}}, got)
				bare := disk
				bare.Disk = nil
				require.ErrorIs(t, d.Operator().UnreserveResources(t.Context(), "S1", []mesosv1.Resource{bare}), tc.want)
				assert.Equal(t, master.Call{Type: master.Call_UNRESERVE_RESOURCES, UnreserveResources: &master.Call_UnreserveResources{
					AgentID: mesosv1.AgentID{Value: "S1"}, Resources: []mesosv1.Resource{bare},
				}}, got)
			})
		})
	}
}

func TestPIDAddress(t *testing.T) {
	ip, port, ok := pidAddress("slave(1)@[fd00::1]:5051")
	assert.Equal(t, "fd00::1 5051 true", fmt.Sprint(ip, " ", port, " ", ok))
	for _, bad := range []string{"", "slave(1)", "slave(1)@h", "slave(1)@h:x"} {
		_, _, ok := pidAddress(bad)
		assert.False(t, ok, bad)
	}
}
