package workload

import (
	"fmt"

	"github.com/berthdata/berth/executor"
	"github.com/berthdata/berth/executor/process"
)

// NotStarted is the end of what could not be started, for a reason.
func NotStarted(what string, err error) Exit {
	return Exit{
		Report:  executor.Report{Phase: executor.PhaseExited, Cause: process.Clip(err.Error(), process.CauseSize)},
		Message: process.Clip(fmt.Sprintf("%s could not be started: %v", what, err), process.MessageSize),
	}
}
