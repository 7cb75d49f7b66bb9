package mesos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-zookeeper/zk"
	"go.uber.org/zap"

	"github.com/berthdata/berth/scheduler/zkwire"
)

// masterPrefix of the znodes in which Mesos masters register; the one with the
// lowest sequence number leads. "info_" without it is the old binary format and
// "log_replicas" is no master at all.
const masterPrefix = "json.info_"

// zkLeader follows Mesos' election in ZooKeeper. A lost ZooKeeper is no lost
// master: the last leader stays known (Mesos rule 58).
type zkLeader struct {
	address zkAddress
	timeout time.Duration
	tls     bool
	log     *zap.Logger

	mu      sync.Mutex
	leader  *zkMaster     // nil: none known
	last    string        // identity of the last known leader
	arrived chan struct{} // closed while leader is not nil
	changed chan struct{} // closed and replaced when the identity changes
}

type zkMaster struct {
	identity string
	base     *url.URL
}

func newZKLeader(address zkAddress, timeout time.Duration, tls bool, log *zap.Logger) *zkLeader {
	return &zkLeader{
		address: address, timeout: timeout, tls: tls, log: log,
		arrived: make(chan struct{}), changed: make(chan struct{}),
	}
}

func (z *zkLeader) next(ctx context.Context) (*url.URL, <-chan struct{}, error) {
	for {
		z.mu.Lock()
		leader, arrived, changed := z.leader, z.arrived, z.changed
		z.mu.Unlock()
		if leader != nil {
			return leader.base, changed, ctx.Err()
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("%w: no leading master in %s: %w", ErrUnavailable, z.address, ctx.Err())
		}
	}
}

func (z *zkLeader) prefer(*url.URL) {}

func (z *zkLeader) candidates(ctx context.Context) ([]*url.URL, error) {
	base, _, err := z.next(ctx)
	if err != nil {
		return nil, err
	}
	return []*url.URL{base}, nil
}

// set records the leader; nil means that none is registered. Without a leader
// the present subscription goes on until it ends by itself or a new one comes.
func (z *zkLeader) set(leader *zkMaster) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if leader == nil {
		if z.leader != nil {
			z.log.Warn("no leading Mesos master is registered", zap.Stringer("zookeeper", z.address))
			z.arrived = make(chan struct{})
		}
		z.leader = nil
		return
	}
	if z.leader == nil {
		close(z.arrived)
	}
	z.leader = leader
	if leader.identity != z.last {
		z.last = leader.identity
		close(z.changed)
		z.changed = make(chan struct{})
		z.log.Info("leading Mesos master found", zap.Stringer("master", leader.base))
	}
}

func (z *zkLeader) run(ctx context.Context) {
	wait := newBackoff(5 * time.Second)
	for ctx.Err() == nil {
		began := time.Now()
		err := z.watch(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > resetAfter {
			wait.Reset()
		}
		pause := wait.NextBackOff()
		z.log.Warn("watching Mesos' election failed; the last known leader stays in use",
			zap.Stringer("zookeeper", z.address), zap.Duration("retry_in", pause), zap.Error(err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// watch follows the election over one ZooKeeper client until it fails.
func (z *zkLeader) watch(ctx context.Context) error {
	// The callback is the only way to see every session event: the channel
	// drops them silently (Mesos rule 57). The watches used below have
	// channels of their own, which do not.
	var history zkwire.History
	conn, _, err := zk.Connect(z.address.servers, z.timeout,
		zk.WithDialer(history.Dialer(net.DialTimeout)),
		zk.WithLogInfo(false), zk.WithLogger(zkLog{z.log}),
		zk.WithEventCallback(func(e zk.Event) {
			if e.Type == zk.EventSession {
				z.log.Debug("ZooKeeper session", zap.Stringer("state", e.State), zap.String("server", e.Server))
			}
		}))
	if err != nil {
		return err
	}
	// Requests of this client know no context: closing it ends them.
	stop := context.AfterFunc(ctx, conn.Close)
	defer func() {
		if stop() {
			conn.Close()
		}
	}()
	if z.address.userinfo != "" {
		if err := conn.AddAuth("digest", []byte(z.address.userinfo)); err != nil {
			return fmt.Errorf("authenticating: %w", err)
		}
	}
	return z.follow(ctx, conn)
}

// errLeaderGone: the znode vanished between listing and reading; look again.
var errLeaderGone = errors.New("leader znode is gone")

// election is what is needed of a ZooKeeper client.
type election interface {
	ChildrenW(path string) ([]string, *zk.Stat, <-chan zk.Event, error)
	ExistsW(path string) (bool, *zk.Stat, <-chan zk.Event, error)
	Get(path string) ([]byte, *zk.Stat, error)
}

// follow keeps the leader up to date until a request fails.
func (z *zkLeader) follow(ctx context.Context, conn election) error {
	for {
		event, err := z.look(conn)
		if errors.Is(err, errLeaderGone) {
			continue
		}
		if err != nil {
			return err
		}
		select {
		case <-event:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look reads the present leader and returns a watch on the next change.
func (z *zkLeader) look(conn election) (<-chan zk.Event, error) {
	children, _, event, err := conn.ChildrenW(z.address.path)
	if errors.Is(err, zk.ErrNoNode) {
		// No master has ever run: wait for the first.
		exists, _, event, err := conn.ExistsW(z.address.path)
		if err == nil && exists {
			return nil, errLeaderGone
		}
		return event, err
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", z.address.path, err)
	}
	name := lowest(children)
	if name == "" {
		z.set(nil)
		return event, nil
	}
	data, _, err := conn.Get(z.address.path + "/" + name)
	if errors.Is(err, zk.ErrNoNode) {
		return nil, errLeaderGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	leader, err := parseMasterInfo(data, z.tls)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	z.set(leader)
	return event, nil
}

// lowest returns the leader's znode: the lowest sequence number.
func lowest(children []string) string {
	name, least := "", uint64(0)
	for _, child := range children {
		digits, ok := strings.CutPrefix(child, masterPrefix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			continue
		}
		if name == "" || n < least {
			name, least = child, n
		}
	}
	return name
}

// parseMasterInfo reads the JSON of a master's znode. The IP is preferred, as it
// needs no name service; with TLS the host name, which certificates name.
func parseMasterInfo(data []byte, tls bool) (*zkMaster, error) {
	var info struct {
		ID      string `json:"id"`
		PID     string `json:"pid"` // "master@10.0.0.1:5050"
		Address struct {
			Hostname string `json:"hostname"`
			IP       string `json:"ip"`
			Port     int    `json:"port"`
		} `json:"address"`
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return nil, fmt.Errorf("master info is not the JSON expected: %w", err)
	}
	host := info.Address.IP
	if host == "" || (tls && info.Address.Hostname != "") {
		host = info.Address.Hostname
	}
	hostPort := net.JoinHostPort(host, strconv.Itoa(info.Address.Port))
	if host == "" {
		// Masters before 0.24 have no address.
		_, hostPort, _ = strings.Cut(info.PID, "@")
	}
	if err := checkHostPort(hostPort); err != nil {
		return nil, fmt.Errorf("master info names no address: %w", err)
	}
	scheme := "http"
	if tls {
		scheme = "https"
	}
	base := &url.URL{Scheme: scheme, Host: hostPort}
	return &zkMaster{identity: info.ID + "@" + hostPort, base: base}, nil
}

// zkLog passes the client's few messages on.
type zkLog struct{ log *zap.Logger }

func (l zkLog) Printf(format string, args ...any) { l.log.Sugar().Debugf(format, args...) }

// resetAfter is how long something must have worked for its backoff to begin
// anew: shorter lives are flapping (Mesos rule 7).
const resetAfter = 30 * time.Second

// newBackoff starts quickly, since starting up waits for it, and grows to most.
// The randomness keeps many schedulers from calling a new master at once.
func newBackoff(most time.Duration) *backoff.ExponentialBackOff {
	const spread = 0.5
	return &backoff.ExponentialBackOff{
		InitialInterval:     100 * time.Millisecond,
		RandomizationFactor: spread,
		Multiplier:          2,
		MaxInterval:         time.Duration(float64(most) / (1 + spread)),
	}
}
