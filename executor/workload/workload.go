// Package workload is the seam between the agent-side executor, which speaks to
// Mesos, and what it runs: an Elasticsearch node today, other kinds beside it.
package workload

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/berthdata/berth/executor"
)

// Status is one change of a running workload that the scheduler hears of.
type Status struct {
	Healthy bool
	Report  executor.Report
	Message string // for people
}

// Exit is the end of a workload: no process of it is left.
type Exit struct {
	// Finished: it has done its work. Otherwise an end that nobody asked for is
	// a failure, with whatever exit code.
	Finished bool
	Report   executor.Report
	Message  string // for people
}

// Runner runs one task once.
type Runner interface {
	// Run prepares and runs the workload until nothing of it is left. It calls
	// emit from one goroutine at a time, in order, never after it returned.
	// Ending ctx kills the workload at once.
	Run(ctx context.Context, emit func(Status)) Exit
	// Stop asks for the end within grace. It may be called at any time, from
	// any goroutine, more than once: the earliest deadline holds.
	Stop(grace time.Duration)
}

// Listener is a Runner that takes the scheduler's messages while it runs. A
// message may be lost, repeated, or come before the workload is ready for it.
type Listener interface {
	Tell(m executor.Message)
}

// Env is what the executor gives a workload.
type Env struct {
	Sandbox string // absolute
	Log     *zap.Logger
}

// New makes a runner for a launch document of its kind.
type New func(l executor.Launch, env Env) Runner
