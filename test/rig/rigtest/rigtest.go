// Package rigtest ties rigs to tests.
package rigtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/setup"
)

// Need returns what is installed. When something is missing it skips the test,
// or fails it under BERTH_TEST_REQUIRE_REAL=1, which make test sets after its
// set-up; with -short it skips.
func Need(t testing.TB, want setup.Want) setup.Assets {
	t.Helper()
	if testing.Short() {
		t.Skip("needs real systems, which -short leaves out")
	}
	assets, err := setup.Find(want)
	switch {
	case err == nil:
	case errors.Is(err, setup.ErrMissing) && os.Getenv("BERTH_TEST_REQUIRE_REAL") != "1":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
	return assets
}

// New makes a rig that is closed with the test. The test fails if something
// could not be stopped or is left; a failed test shows the end of every log.
func New(t testing.TB) *rig.Rig {
	t.Helper()
	r, err := rig.New("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			showLogs(t, r)
		}
		if err := r.Close(); err != nil {
			t.Errorf("close the rig: %v", err)
		}
		left, err := rig.Strays(r.Dir())
		if err != nil || len(left) > 0 {
			t.Errorf("processes left after the rig was closed: %v %v", left, err)
		}
	})
	return r
}

// Context ends with the test or after limit. Cleanups run after its end: those
// of a rig do not depend on it.
func Context(t testing.TB, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func showLogs(t testing.TB, r *rig.Rig) {
	logs, err := filepath.Glob(filepath.Join(r.Dir(), "*.log"))
	if err != nil {
		t.Logf("find logs: %v", err)
	}
	for _, l := range logs {
		t.Logf("end of %s:\n%s", filepath.Base(l), rig.Tail(l))
	}
	t.Logf("set BERTH_TEST_KEEP=1 to keep %s", r.Dir())
}
