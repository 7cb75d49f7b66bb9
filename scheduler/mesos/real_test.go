package mesos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	mesosv1 "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/berthdata/berth/test/rig"
	rigmesos "github.com/berthdata/berth/test/rig/mesos"
	rigzk "github.com/berthdata/berth/test/rig/zookeeper"
)

const (
	realRole      = "berth-test"
	realPrincipal = "berth"
	realSecret    = "s3cret-of-the-test"
	realDeadline  = 90 * time.Second
)

// realMesos is a master that demands Basic authentication and one agent.
type realMesos struct {
	master string // host:port
	secret string // file
}

// realInstall finds Mesos: BERTH_TEST_MESOSD names its program, otherwise it is
// in the rig's cache. Without one the test is skipped, or fails if
// BERTH_TEST_REQUIRE_REAL is 1.
func realInstall(t *testing.T) rigmesos.Install {
	t.Helper()
	if testing.Short() {
		t.Skip("needs real systems")
	}
	if program := os.Getenv("BERTH_TEST_MESOSD"); program != "" {
		return rigmesos.Install{Dir: filepath.Dir(filepath.Dir(program))}
	}
	cache, err := rig.CacheDir()
	require.NoError(t, err)
	install, ok := rigmesos.Locate(cache)
	if !ok {
		require.NotEqual(t, "1", os.Getenv("BERTH_TEST_REQUIRE_REAL"), "Mesos is not built in %s", cache)
		t.Skipf("Mesos is not built in %s, and BERTH_TEST_MESOSD names no other", cache)
	}
	return install
}

func newRig(t *testing.T) *rig.Rig {
	t.Helper()
	r, err := rig.New("driver")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	return r
}

// startRealMesos runs a master that demands authentication everywhere, which
// the rig's own cluster cannot, as it asks the master itself.
func startRealMesos(t *testing.T) realMesos {
	t.Helper()
	program := filepath.Join(realInstall(t).Dir, "bin", "mesosd")
	r := newRig(t)
	secret := filepath.Join(r.Dir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte(realSecret+"\n"), 0o600))
	credentials, err := json.Marshal(map[string]any{"credentials": []map[string]string{
		{"principal": realPrincipal, "secret": realSecret},
	}})
	require.NoError(t, err)
	credentialsFile := filepath.Join(r.Dir(), "credentials")
	require.NoError(t, os.WriteFile(credentialsFile, credentials, 0o600))
	lease, err := r.Lease(2)
	require.NoError(t, err)
	masterPort, err := lease.Take()
	require.NoError(t, err)
	agentPort, err := lease.Take()
	require.NoError(t, err)
	master := fmt.Sprintf("127.0.0.1:%d", masterPort)
	_, err = r.Start(rig.Command{Name: "master", Path: program, Args: []string{
		"master", "--ip=127.0.0.1", fmt.Sprintf("--port=%d", masterPort), "--hostname=127.0.0.1",
		"--work_dir=" + filepath.Join(r.Dir(), "m"), "--registry=replicated_log", "--allocation_interval=200ms",
		"--authenticate_http_frameworks", "--http_framework_authenticators=basic",
		"--authenticate_http_readonly", "--authenticate_http_readwrite", "--credentials=" + credentialsFile,
	}})
	require.NoError(t, err)
	// All cpus and memory are reserved for another role: what is left is below
	// the master's default minimum for an offer.
	_, err = r.Start(rig.Command{Name: "agent", Path: program, Args: []string{
		"agent", "--master=" + master, "--ip=127.0.0.1", fmt.Sprintf("--port=%d", agentPort), "--hostname=agent.test",
		"--attributes=rack:r1;cores:4",
		"--resources=cpus(other):2;mem(other):1024;disk:8192;ports:[31000-31009]",
		"--work_dir=" + filepath.Join(r.Dir(), "a"), "--runtime_dir=" + filepath.Join(r.Dir(), "run"),
		"--fetcher_cache_dir=" + filepath.Join(r.Dir(), "fetch"), "--launcher_dir=" + filepath.Dir(program),
		"--launcher=posix", "--isolation=posix/cpu,posix/mem", "--no-systemd_enable_support",
		"--registration_backoff_factor=200ms",
	}})
	require.NoError(t, err)
	return realMesos{master, secret}
}

func (m realMesos) driver(t *testing.T, encoding Encoding) *Driver {
	t.Helper()
	info, err := BuildFrameworkInfo(FrameworkOptions{
		User: "nobody", Name: "berth-driver-test", Principal: realPrincipal, Roles: []string{realRole},
	})
	require.NoError(t, err)
	d, err := New(Config{
		Masters: m.master, Framework: info, Principal: realPrincipal, SecretFile: m.secret, Encoding: encoding,
	}, zaptest.NewLogger(t))
	require.NoError(t, err)
	return d
}

func startReal(t *testing.T, d *Driver, id string) *running {
	t.Helper()
	r := start(t, d, id)
	r.within = realDeadline
	return r
}

// waitReplicas waits until every master's copy of the registry can vote: until
// then the death of one may leave no quorum.
func waitReplicas(ctx context.Context, t *testing.T, cluster *rigmesos.Cluster) {
	t.Helper()
	for _, m := range cluster.Masters() {
		require.NoError(t, rig.Eventually(ctx, 100*time.Millisecond, "the replicated log of "+m.URL(), func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.URL()+"/metrics/snapshot", nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			var metrics map[string]float64
			if err := json.NewDecoder(resp.Body).Decode(&metrics); err != nil {
				return err
			}
			if metrics["registrar/log/recovered"] != 1 {
				return errors.New("not recovered")
			}
			return nil
		}))
	}
}

// TestRealMesos goes once through a framework's life, in both encodings, with
// Basic authentication.
func TestRealMesos(t *testing.T) {
	m := startRealMesos(t)
	for _, encoding := range []Encoding{Protobuf, JSON} {
		t.Run(string(encoding), func(t *testing.T) { testRealLife(t, m, encoding) })
	}
	t.Run("wrong secret", func(t *testing.T) {
		wrong := m
		wrong.secret = filepath.Join(t.TempDir(), "secret")
		require.NoError(t, os.WriteFile(wrong.secret, []byte("wrong"), 0o600))
		assert.ErrorIs(t, wrong.driver(t, Protobuf).Operator().Health(t.Context()), ErrUnauthorized)
	})
}

func testRealLife(t *testing.T, m realMesos, encoding Encoding) {
	d := m.driver(t, encoding)
	r := startReal(t, d, "")
	sub := await[Subscribed](r, nil)
	require.NotEmpty(t, sub.FrameworkID)
	assert.Equal(t, 15*time.Second, sub.HeartbeatInterval)
	assert.Equal(t, "1.11.0", sub.MasterInfo.GetVersion())

	// The agent has no cpus and no memory left, only disk: Mesos rule 24.
	offered := await(r, ofType(scheduler.Event_OFFERS))
	offer := offered.Event.GetOffers().Offers[0]
	assert.Equal(t, "agent.test", offer.Hostname)
	assert.Equal(t, realRole, offer.GetAllocationInfo().GetRole())

	// RESERVE and CREATE with operation ids, confirmed by events.
	var disk mesosv1.Resource
	for _, res := range offer.Resources {
		if res.Name == "disk" {
			disk = res
		}
	}
	require.NotNil(t, disk.Scalar, "offer holds no disk: %v", offer.Resources)
	accept := reserveAndCreate(offer, disk, string(encoding))
	require.NoError(t, d.Enqueue(sub.StreamID, accept))
	for _, name := range []string{"reserve-", "create-"} {
		got := await(r, ofType(scheduler.Event_UPDATE_OPERATION_STATUS)).Event.GetUpdateOperationStatus().Status
		assert.Equal(t, name+string(encoding), got.GetOperationID().GetValue())
		assert.Equal(t, mesosv1.OPERATION_FINISHED, got.State, got.GetMessage())
		require.NotEmpty(t, got.GetUUID().GetValue())
		require.NoError(t, d.Enqueue(sub.StreamID, &scheduler.Call{
			Type: scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS,
			AcknowledgeOperationStatus: &scheduler.Call_AcknowledgeOperationStatus{
				AgentID: got.AgentID, OperationID: *got.OperationID, UUID: got.GetUUID().GetValue(),
			},
		}))
	}

	// The operator API shows the volume without an offer: Mesos rule 55.
	agents, err := d.Operator().GetAgents(t.Context())
	require.NoError(t, err)
	require.Len(t, agents, 1)
	checkRealAgent(t, agents[0], offer.AgentID.Value, string(encoding))
	require.NoError(t, d.Operator().Health(t.Context()))

	// A call that the master finds invalid comes back with its text.
	require.NoError(t, d.Enqueue(sub.StreamID, &scheduler.Call{Type: scheduler.Call_KILL}))
	failed := await[CallFailed](r, nil)
	assert.ErrorIs(t, failed.Err, ErrRejected)
	assert.False(t, failed.Uncertain)

	// A second scheduler with the same id takes over: Mesos rule 2.
	second := m.driver(t, encoding)
	r2 := startReal(t, second, sub.FrameworkID)
	sub2 := await[Subscribed](r2, nil)
	assert.Equal(t, sub.FrameworkID, sub2.FrameworkID)
	assert.NotEqual(t, sub.StreamID, sub2.StreamID)
	assert.ErrorContains(t, await[Disconnected](r, nil).Reason, "failed over")
	require.ErrorIs(t, <-r.done, ErrFailedOver)

	// After a teardown the id is gone for good: Mesos rule 10. The master just
	// ends the stream; the next SUBSCRIBE is told.
	require.NoError(t, second.Send(t.Context(), &scheduler.Call{Type: scheduler.Call_TEARDOWN}))
	require.ErrorIs(t, r2.ended(), ErrFrameworkRemoved)
	require.ErrorIs(t, startReal(t, m.driver(t, encoding), sub.FrameworkID).ended(), ErrFrameworkRemoved)
}

// TestRealFailover kills the leader of three masters, which ZooKeeper elects.
func TestRealFailover(t *testing.T) {
	install := realInstall(t)
	server := rigzk.Run(t, rigzk.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), realDeadline)
	defer cancel()
	cluster, err := rigmesos.Start(ctx, newRig(t), install, rigmesos.Options{Masters: 3, ZooKeeper: []string{server.Addr},
		MasterFlags: []string{"--zk_session_timeout=5secs"}})
	require.NoError(t, err)
	info, err := BuildFrameworkInfo(FrameworkOptions{User: "nobody", Name: "berth-driver-test", Roles: []string{realRole}})
	require.NoError(t, err)
	d, err := New(Config{Masters: cluster.MasterURL(), Framework: info}, zaptest.NewLogger(t))
	require.NoError(t, err)
	waitReplicas(ctx, t, cluster)
	r := startReal(t, d, "")
	first := await[Subscribed](r, nil)
	leader, err := cluster.WaitLeader(ctx)
	require.NoError(t, err)
	assert.Equal(t, leader.URL(), first.Master)

	killed := time.Now()
	require.NoError(t, leader.Kill9(ctx))
	assert.ErrorIs(t, await[Disconnected](r, nil).Reason, ErrUnavailable)
	second := await[Subscribed](r, nil)
	t.Logf("subscribed to the new leader %s after the death of the old one", time.Since(killed).Round(time.Millisecond))
	assert.NotEqual(t, first.Master, second.Master)
	assert.NotEqual(t, first.StreamID, second.StreamID)
	assert.Equal(t, first.FrameworkID, second.FrameworkID)
	leader, err = cluster.WaitLeader(ctx)
	require.NoError(t, err)
	assert.Equal(t, leader.URL(), second.Master)
	require.NoError(t, d.Operator().Health(ctx))

	// A list of URLs works as well: whoever does not lead points to the leader.
	for _, m := range cluster.Masters() {
		if !m.Running() {
			continue
		}
		info := *info
		listed, err := New(Config{Masters: m.URL(), Framework: &info}, zaptest.NewLogger(t))
		require.NoError(t, err)
		other := startReal(t, listed, "")
		assert.Equal(t, leader.URL(), await[Subscribed](other, nil).Master)
		require.NoError(t, listed.Operator().Health(ctx))
		require.NoError(t, listed.Send(ctx, &scheduler.Call{Type: scheduler.Call_TEARDOWN}))
		require.ErrorIs(t, other.ended(), ErrFrameworkRemoved)
	}
	require.NoError(t, d.Enqueue(second.StreamID, &scheduler.Call{Type: scheduler.Call_REVIVE}))
	require.NoError(t, d.Send(ctx, &scheduler.Call{Type: scheduler.Call_TEARDOWN}))
}

func reserveAndCreate(offer mesosv1.Offer, disk mesosv1.Resource, name string) *scheduler.Call {
	reserved := disk
	reserved.Scalar = &mesosv1.Value_Scalar{Value: 64}
	dynamic := mesosv1.Resource_ReservationInfo_DYNAMIC
	reserved.Reservations = []mesosv1.Resource_ReservationInfo{{
		Type: &dynamic, Role: ptr(realRole), Principal: ptr(realPrincipal),
		Labels: &mesosv1.Labels{Labels: []mesosv1.Label{{Key: "slot", Value: ptr(name)}}},
	}}
	vol := reserved
	rw := mesosv1.RW
	vol.Disk = &mesosv1.Resource_DiskInfo{
		Persistence: &mesosv1.Resource_DiskInfo_Persistence{ID: "volume-" + name, Principal: ptr(realPrincipal)},
		Volume:      &mesosv1.Volume{ContainerPath: "data", Mode: &rw},
	}
	return &scheduler.Call{Type: scheduler.Call_ACCEPT, Accept: &scheduler.Call_Accept{
		OfferIDs: []mesosv1.OfferID{offer.ID},
		Operations: []mesosv1.Offer_Operation{
			{Type: mesosv1.Offer_Operation_RESERVE, ID: &mesosv1.OperationID{Value: "reserve-" + name},
				Reserve: &mesosv1.Offer_Operation_Reserve{Resources: []mesosv1.Resource{reserved}}},
			{Type: mesosv1.Offer_Operation_CREATE, ID: &mesosv1.OperationID{Value: "create-" + name},
				Create: &mesosv1.Offer_Operation_Create{Volumes: []mesosv1.Resource{vol}}},
		},
	}}
}

func checkRealAgent(t *testing.T, a Agent, id, name string) {
	t.Helper()
	assert.Equal(t, id, a.ID)
	assert.Equal(t, "agent.test", a.Hostname)
	assert.Equal(t, "127.0.0.1", a.IP)
	assert.Equal(t, "1.11.0", a.Version)
	assert.True(t, a.Registered)
	assert.True(t, a.Active)
	assert.False(t, a.Deactivated)
	assert.Nil(t, a.Drain)
	assert.False(t, a.RegisteredAt.IsZero())
	assert.Len(t, a.Attributes, 2)
	assert.True(t, a.HasCapability(mesosv1.AgentInfo_Capability_AGENT_OPERATION_FEEDBACK))
	found := false
	for _, r := range a.Total {
		assert.Nil(t, r.Role, "only the reservations[] format: %v", r)
		assert.Nil(t, r.Reservation)
		if r.GetDisk().GetPersistence().GetID() == "volume-"+name {
			found = true
			require.Len(t, r.Reservations, 1)
			assert.Equal(t, realRole, r.Reservations[0].GetRole())
			assert.Equal(t, name, r.Reservations[0].GetLabels().GetLabels()[0].GetValue())
		}
	}
	assert.True(t, found, "total resources show the volume: %v", a.Total)
}
