package mesos

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mesosv1 "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
)

const (
	realRole      = "berth-test"
	realPrincipal = "berth"
	realSecret    = "s3cret-of-the-test"
)

// realMesos is a master that demands Basic authentication and one agent.
type realMesos struct {
	master string // host:port
	secret string // file
}

// startRealMesos needs BERTH_TEST_MESOSD: a program that is a Mesos 1.11 master
// with the first argument "master" and an agent with "agent".
func startRealMesos(t *testing.T) realMesos {
	t.Helper()
	program := os.Getenv("BERTH_TEST_MESOSD")
	if program == "" {
		t.Skip("BERTH_TEST_MESOSD names no Mesos binary")
	}
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, []byte(realSecret+"\n"), 0o600))
	credentials, err := json.Marshal(map[string]any{"credentials": []map[string]string{
		{"principal": realPrincipal, "secret": realSecret},
	}})
	require.NoError(t, err)
	credentialsFile := filepath.Join(dir, "credentials")
	require.NoError(t, os.WriteFile(credentialsFile, credentials, 0o600))

	ports := freePorts(t, 2)
	master := fmt.Sprintf("127.0.0.1:%d", ports[0])
	startProcess(t, dir, program, "master",
		"--ip=127.0.0.1", fmt.Sprintf("--port=%d", ports[0]), "--hostname=127.0.0.1",
		"--work_dir="+filepath.Join(dir, "master"), "--registry=replicated_log", "--allocation_interval=200ms",
		"--authenticate_http_frameworks", "--http_framework_authenticators=basic",
		"--authenticate_http_readonly", "--authenticate_http_readwrite", "--credentials="+credentialsFile)
	// All but 16 MB of memory and a disk is reserved for another role: what is
	// left is below the master's default minimum for an offer.
	startProcess(t, dir, program, "agent",
		"--master="+master, "--ip=127.0.0.1", fmt.Sprintf("--port=%d", ports[1]), "--hostname=agent.test",
		"--attributes=rack:r1;cores:4",
		"--resources=cpus(other):2;mem(other):1024;disk:8192;ports:[31000-31009]",
		"--work_dir="+filepath.Join(dir, "agent"), "--runtime_dir="+filepath.Join(dir, "run"),
		"--fetcher_cache_dir="+filepath.Join(dir, "fetch"), "--launcher_dir="+filepath.Dir(program),
		"--launcher=posix", "--isolation=posix/cpu,posix/mem", "--no-systemd_enable_support",
		"--registration_backoff_factor=200ms")
	return realMesos{master, secret}
}

func startProcess(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	logFile, err := os.Create(filepath.Join(dir, args[0]+".log"))
	require.NoError(t, err)
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "MESOS_") && !strings.HasPrefix(kv, "LIBPROCESS_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		assert.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // always "killed"
		_ = logFile.Close()
		if t.Failed() {
			content, _ := os.ReadFile(logFile.Name())
			t.Logf("%s:\n%s", args[0], content[max(0, len(content)-4000):])
		}
	})
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
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
	r := start(t, d, "")
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
	r2 := start(t, second, sub.FrameworkID)
	sub2 := await[Subscribed](r2, nil)
	assert.Equal(t, sub.FrameworkID, sub2.FrameworkID)
	assert.NotEqual(t, sub.StreamID, sub2.StreamID)
	assert.ErrorContains(t, await[Disconnected](r, nil).Reason, "failed over")
	require.ErrorIs(t, <-r.done, ErrFailedOver)

	// After a teardown the id is gone for good: Mesos rule 10.
	teardownErr := second.Send(t.Context(), &scheduler.Call{Type: scheduler.Call_TEARDOWN})
	require.NoError(t, teardownErr)
	for ended := false; !ended; {
		select {
		case <-r2.events:
		case err := <-r2.done:
			require.ErrorIs(t, err, ErrFrameworkRemoved)
			ended = true
		}
	}
	third := start(t, m.driver(t, encoding), sub.FrameworkID)
	go func() {
		for range third.events {
		}
	}()
	require.ErrorIs(t, <-third.done, ErrFrameworkRemoved)
	close(third.events)
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
