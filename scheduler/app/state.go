package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"

	"go.uber.org/zap"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/scheduler/state/backup"
	"github.com/berthdata/berth/scheduler/state/memstore"
	"github.com/berthdata/berth/scheduler/state/zkstore"
)

// State is where a Berth's records are: to lead, or only to read.
type State interface {
	state.Elector
	state.Snapshotter
}

func (o *Options) checkState() error {
	if (o.ZooKeeper == "") == (o.DevDir == "") {
		return errors.New("--zookeeper or --dev: exactly one of them says where the state is kept")
	}
	return nil
}

// OpenState opens the state that the options name; of them it uses those of
// ZooKeeper and DevDir alone. Nothing is read or written yet, but for the
// directory, which is made if missing.
func (o *Options) OpenState(log *zap.Logger) (State, error) {
	if err := o.checkState(); err != nil {
		return nil, err
	}
	if o.DevDir != "" {
		return memstore.Open(o.DevDir)
	}
	auth, err := secret(o.ZooKeeperAuth)
	if err != nil {
		return nil, fmt.Errorf("ZooKeeper's credentials: %w", err)
	}
	return zkstore.New(zkstore.Options{
		Servers: o.ZooKeeper, Root: o.ZooKeeperRoot, SessionTimeout: o.SessionTimeout, Auth: auth, Log: log.Named("zookeeper"),
	})
}

// CheckRecords says what would keep this build from starting on the records, or
// nil. The errors are those of scheduler.CheckRecords.
func CheckRecords(records map[state.Key][]byte) error {
	core := maps.Clone(records)
	_, _, err := takeTokenKey(core)
	return errors.Join(err, scheduler.CheckRecords(core))
}

// secretRecord holds the key that executors' tokens are made with.
var secretRecord = state.Kind[tokenSecret]{Name: "secrets", Version: 1}

const secretName = "executor"

type tokenSecret struct {
	Key []byte `json:"key"`
}

// takeTokenKey takes the key out of the records, which then hold only the core's
// kinds.
func takeTokenKey(records map[state.Key][]byte) (key []byte, found bool, err error) {
	id, err := secretRecord.Key(secretName)
	if err != nil {
		return nil, false, err
	}
	raw, found := records[id]
	if !found {
		return nil, false, nil
	}
	delete(records, id)
	s, err := secretRecord.Decode(id, raw)
	return s.Key, true, err
}

// tokenKey is takeTokenKey, but makes a key on the first day: then first is what
// stores it.
func tokenKey(records map[state.Key][]byte) (key []byte, first []state.Write, err error) {
	key, found, err := takeTokenKey(records)
	if err != nil || found {
		return key, nil, err
	}
	s := tokenSecret{Key: make([]byte, 32)}
	if _, err := rand.Read(s.Key); err != nil {
		return nil, nil, fmt.Errorf("making the executors' key: %w", err)
	}
	w, err := secretRecord.Encode(secretName, s)
	return s.Key, []state.Write{w}, err
}

// checkState says before the campaign what this build would only find out when it
// leads: that it cannot read the state, as after a downgrade. So it is told to who
// starts it, and not to who needs it when the leader fails. Where the state cannot
// be had at the moment, leading looks again.
func (a *App) checkState(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.o.SessionTimeout)
	defer cancel()
	records, _, err := a.state.Snapshot(ctx)
	if err != nil {
		a.log.Info("the state is not looked at before the campaign", zap.Error(err))
		return nil
	}
	if backup.CheckFinished(records) != nil {
		return nil // a restore is under way, or leading says so
	}
	if err := CheckRecords(records); err != nil {
		return fmt.Errorf("this Berth (%s) cannot work with the state that is there: %w", orUnknown(a.o.Version), err)
	}
	return nil
}

func orUnknown(version string) string {
	if version == "" {
		return "of an unknown version"
	}
	return version
}
