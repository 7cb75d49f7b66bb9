package realmesos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	mesosgo "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/recordio"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler/calls"
	"github.com/stretchr/testify/require"
)

const (
	protobuf  = "application/x-protobuf"
	role      = "berth-test"
	principal = "berth-principal"
)

// framework is the smallest client of the v1 scheduler API, independent of
// Berth's own driver: what it sees is the rig's doing.
type framework struct {
	url      string
	auth     mesosgo.Credential
	info     mesosgo.FrameworkInfo
	streamID string

	mu     sync.Mutex
	change chan struct{} // closed and replaced at every event
	offers map[string]mesosgo.Offer
	status map[string]mesosgo.TaskStatus // by task, the last one
	errors []string
	ended  error
}

func newFramework(masterURL string) *framework {
	checkpoint, failover := true, 600.0
	p := principal
	info := mesosgo.FrameworkInfo{
		Name: "realmesos", User: "nobody", Roles: []string{role}, Principal: &p,
		Checkpoint: &checkpoint, FailoverTimeout: &failover,
	}
	for _, t := range []mesosgo.FrameworkInfo_Capability_Type{
		mesosgo.FrameworkInfo_Capability_MULTI_ROLE,
		mesosgo.FrameworkInfo_Capability_RESERVATION_REFINEMENT,
		mesosgo.FrameworkInfo_Capability_PARTITION_AWARE,
	} {
		info.Capabilities = append(info.Capabilities, mesosgo.FrameworkInfo_Capability{Type: t})
	}
	return &framework{
		url: masterURL + "/api/v1/scheduler", info: info,
		offers: map[string]mesosgo.Offer{}, status: map[string]mesosgo.TaskStatus{}, change: make(chan struct{}),
	}
}

// subscribe subscribes; the stream is read until the test ends.
func (f *framework) subscribe(t *testing.T) error {
	ctx, cancel := context.WithCancel(context.Background())
	resp, err := f.send(ctx, calls.Subscribe(&f.info))
	if err != nil {
		cancel()
		return err
	}
	f.streamID = resp.Header.Get("Mesos-Stream-Id")
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.read(ctx, resp.Body)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		resp.Body.Close()
	})
	return nil
}

func (f *framework) read(ctx context.Context, body io.Reader) {
	frames := recordio.NewReader(body)
	for {
		b, err := frames.ReadFrame()
		ev := scheduler.Event{}
		if err == nil {
			err = ev.Unmarshal(b)
		}
		if err == nil && ev.GetType() == scheduler.Event_UPDATE {
			err = f.acknowledge(ctx, ev.GetUpdate().Status)
		}
		f.mu.Lock()
		if err != nil {
			f.ended = err
		} else {
			f.apply(ev)
		}
		close(f.change)
		f.change = make(chan struct{})
		f.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (f *framework) apply(ev scheduler.Event) {
	switch ev.GetType() {
	case scheduler.Event_SUBSCRIBED:
		f.info.ID = ev.GetSubscribed().FrameworkID
	case scheduler.Event_OFFERS:
		for _, o := range ev.GetOffers().Offers {
			f.offers[o.ID.Value] = o
		}
	case scheduler.Event_RESCIND:
		delete(f.offers, ev.GetRescind().OfferID.Value)
	case scheduler.Event_UPDATE:
		st := ev.GetUpdate().Status
		f.status[st.TaskID.Value] = st
	case scheduler.Event_ERROR:
		f.errors = append(f.errors, ev.GetError().Message)
	}
}

func (f *framework) acknowledge(ctx context.Context, st mesosgo.TaskStatus) error {
	if len(st.UUID) == 0 {
		return nil // Mesos rule 40
	}
	return f.call(ctx, calls.Acknowledge(st.AgentID.Value, st.TaskID.Value, st.UUID))
}

// wait waits until check, called with the state locked, is true.
func (f *framework) wait(ctx context.Context, t *testing.T, what string, check func() bool) {
	t.Helper()
	for {
		f.mu.Lock()
		ok, ended, change := check(), f.ended, f.change
		f.mu.Unlock()
		if ok {
			return
		}
		require.NoError(t, ended, "the subscription ended while waiting for %s", what)
		select {
		case <-change:
		case <-ctx.Done():
			f.mu.Lock()
			defer f.mu.Unlock()
			require.FailNow(t, "never came: "+what, "offers: %v\nstatus: %v\nerrors: %v", f.offers, f.status, f.errors)
		}
	}
}

// offer waits for an offer of a host that satisfies ok and takes it out.
func (f *framework) offer(ctx context.Context, t *testing.T, host string, ok func(mesosgo.Offer) bool) mesosgo.Offer {
	t.Helper()
	var found mesosgo.Offer
	f.wait(ctx, t, "offer of "+host, func() bool {
		for id, o := range f.offers {
			if o.Hostname == host && ok(o) {
				found = o
				delete(f.offers, id)
				return true
			}
		}
		return false
	})
	return found
}

func (f *framework) call(ctx context.Context, c *scheduler.Call) error {
	resp, err := f.send(ctx, c)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func (f *framework) send(ctx context.Context, c *scheduler.Call) (*http.Response, error) {
	f.mu.Lock()
	c.FrameworkID = f.info.ID
	f.mu.Unlock()
	b, err := c.Marshal()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", protobuf)
	req.Header.Set("Accept", protobuf)
	if f.streamID != "" {
		req.Header.Set("Mesos-Stream-Id", f.streamID)
	}
	if f.auth.Principal != "" {
		req.SetBasicAuth(f.auth.Principal, f.auth.GetSecret())
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		return nil, errors.Join(fmt.Errorf("%s: %s: %s", c.Type, resp.Status, b), err, resp.Body.Close())
	}
	return resp, nil
}
