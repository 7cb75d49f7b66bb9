package conformance

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/agent"
	"github.com/berthdata/berth/executor/workload"
)

// kind is the workload of the scenarios' tasks: it does what it is told.
const kind = "told"

// What a task can be told.
const (
	beHealthy = "healthy" // say so
	fail      = "fail"    // end by itself
	crash     = "crash"   // take the executor along, without a word
	failLater = "fail later"
	crashLate = "crash later"
)

// later is long enough for an agent to be killed meanwhile.
const later = 3 * time.Second

// crashCode is what a crashed executor exits with.
const crashCode = 3

// order is the message that tells a task what to do. Messages of Berth have no
// room for that but one list of texts.
func order(what string) []byte {
	b, err := executor.Message{SeedHosts: []string{what}}.Encode()
	if err != nil {
		panic(err) // of a list of one text
	}
	return b
}

func ordered(data []byte) string {
	m, err := executor.DecodeMessage(data)
	if err != nil || len(m.SeedHosts) != 1 {
		return ""
	}
	return m.SeedHosts[0]
}

// beExecutor makes the test binary the executor: agents start it with this.
const beExecutor = "BERTH_TEST_BE_EXECUTOR"

// runExecutor is Berth's own executor around a workload that does as it is told.
func runExecutor() int {
	config, err := agent.ConfigFromEnv(os.Getenv)
	if err == nil {
		err = agent.Run(context.Background(), agent.Options{
			Config: config, Kinds: map[string]workload.New{kind: newRunner}, Log: zap.Must(zap.NewDevelopment()),
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

type runner struct{ stop, told chan string }

func newRunner(executor.Launch, workload.Env) workload.Runner {
	return &runner{stop: make(chan string, 1), told: make(chan string, 1)}
}

func (r *runner) Run(ctx context.Context, emit func(workload.Status)) workload.Exit {
	emit(workload.Status{Report: executor.Report{Phase: executor.PhaseStarting}, Message: "runs"})
	for {
		why := ""
		select {
		case what := <-r.told:
			switch what {
			case beHealthy:
				emit(workload.Status{Healthy: true, Report: executor.Report{Phase: executor.PhaseJoined}, Message: "healthy"})
				continue
			case failLater, crashLate:
				time.AfterFunc(later, func() { put(r.told, strings.TrimSuffix(what, " later")) })
				continue
			case crash:
				os.Exit(crashCode)
			}
			why = what
		case why = <-r.stop:
		case <-ctx.Done():
			why = "killed"
		}
		return workload.Exit{Message: why, Report: executor.Report{Phase: executor.PhaseExited}}
	}
}

func (r *runner) Stop(time.Duration) { put(r.stop, "stopped") }

func (r *runner) Tell(m executor.Message) {
	if len(m.SeedHosts) == 1 {
		put(r.told, m.SeedHosts[0])
	}
}

// put drops what has no room: nobody is told two things at a time.
func put(c chan string, what string) {
	select {
	case c <- what:
	default:
	}
}
