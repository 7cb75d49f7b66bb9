package berth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/berthdata/berth/api/client"
	"github.com/berthdata/berth/api/submission"
	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig"
)

// ApplySpark sends an application's spec as YAML.
func (b *Berth) ApplySpark(ctx context.Context, name, doc string) (v1.Accepted, error) {
	return b.PutSpark(ctx, name, []byte(doc), client.TypeYAML, client.PutOptions{})
}

// WaitSpark waits until an application satisfies a condition; an application that
// has ended does not any more, unless it does.
func (b *Berth) WaitSpark(ctx context.Context, name, what string, ok func(v1.SparkStatus) bool) (v1.SparkView, error) {
	var view v1.SparkView
	err := rig.Eventually(ctx, 50*time.Millisecond, fmt.Sprintf("application %s to be %s", name, what), func(ctx context.Context) error {
		var err error
		if view, err = b.SparkApplication(ctx, name); err != nil {
			var p *v1.Problem
			if errors.As(err, &p) && p.Status == http.StatusNotFound {
				return rig.Permanent(err)
			}
			return err
		}
		s := view.Status
		if ok(s) {
			return nil
		}
		err = fmt.Errorf("it is %s, attempt %d, driver %s, executors %+v: %s", s.Phase, s.Attempt, s.Driver.State, s.Scale, s.Message)
		if submission.Ended(s.Phase) {
			return rig.Permanent(err)
		}
		return err
	})
	return view, err
}

// WaitExecutors waits until exactly n executors run, each connected to the driver
// of an attempt, and none is on its way in or out.
func (b *Berth) WaitExecutors(ctx context.Context, name string, attempt int64, n int) (v1.SparkView, error) {
	return b.WaitSpark(ctx, name, fmt.Sprintf("running attempt %d with %d executors", attempt, n), func(s v1.SparkStatus) bool {
		connected := 0
		for _, x := range s.List {
			if x.Registered {
				connected++
			}
		}
		return s.Phase == "Running" && s.Attempt == attempt && connected == n && len(s.List) == n &&
			s.Scale.Running == n && s.Scale.Pending == 0 && s.Scale.Draining == 0
	})
}

// Sandbox is the sandbox of a task, by its id, below a rig's directory.
func Sandbox(dir, taskID string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "*", "work", "slaves", "*", "frameworks", "*", "executors", taskID, "runs", "latest"))
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%d sandboxes of %s below %s", len(found), taskID, dir)
	}
	return found[0], nil
}
