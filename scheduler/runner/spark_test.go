package runner_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/runner"
)

// notified checks each notice when it comes.
type notified struct {
	*outside
	t      *testing.T
	before func() bool // whether the reply of the step has left already
	seen   chan scheduler.SparkNotice
}

func (n *notified) Notify(list []scheduler.SparkNotice) {
	for _, x := range list {
		assert.Contains(n.t, string(n.records(n.t)["applications/etl"]), x.AppID, "told before it was durable")
		assert.False(n.t, n.before(), "told after the reply")
		n.seen <- x
	}
}

// What drivers are told rests on durable records, and comes before the replies.
func TestNoticesComeAfterWritesAndBeforeReplies(t *testing.T) {
	replied := make(chan struct{})
	n := &notified{t: t, seen: make(chan scheduler.SparkNotice, 10), before: func() bool {
		select {
		case <-replied:
			return true
		default:
			return false
		}
	}}
	r := start(t, func(o *outside, opts *runner.Options) {
		n.outside = o
		core, err := scheduler.New(scheduler.Config{
			Epoch: o.lease.Epoch(), Roles: []string{"db"}, SparkCatalogue: map[string]scheduler.Distribution{"3.5.9": {Home: "/opt/spark"}},
		}, nil)
		require.NoError(t, err)
		opts.Core, opts.Spark = core, n
	})
	spec := v1.SparkApplication{Name: "etl", Spec: v1.SparkSpec{Version: "3.5.9", AppResource: "local:/etl.py"}}
	spec.SetDefaults()
	_, err := r.Ask(r.ctx, func(id scheduler.ReplyID) scheduler.Event { return scheduler.SparkPut{Reply: id, Application: spec} })
	close(replied)
	require.NoError(t, err)
	require.Len(t, n.seen, 1)
	assert.Equal(t, "berth-etl-1", (<-n.seen).AppID)
	_, err = r.Reply(r.ctx, func(id scheduler.ReplyID) scheduler.Event {
		return scheduler.SparkSynced{Reply: id, AppID: "nobody", Sync: v1.SparkSync{AttemptID: 1}}
	})
	var p *v1.Problem
	require.ErrorAs(t, err, &p)
	assert.Equal(t, v1.CodeSparkUnknown, p.Code)
}
