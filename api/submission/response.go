package submission

import (
	v1 "github.com/berthdata/berth/api/v1"
)

// Actions of responses.
const (
	CreateResponse  = "CreateSubmissionResponse"
	StatusResponse  = "SubmissionStatusResponse"
	KillResponse    = "KillSubmissionResponse"
	KillAllResponse = "KillAllSubmissionResponse"
	ClearResponse   = "ClearResponse"
	ReadyzResponse  = "ReadyzResponse"
	ErrorResponse   = "ErrorResponse"
)

// Response is any of the protocol's responses. Clients demand action,
// serverSparkVersion and, but for errors, success; for status and kill the
// submission's id as well.
type Response struct {
	Action             string `json:"action"`
	ServerSparkVersion string `json:"serverSparkVersion"`
	Success            *bool  `json:"success,omitempty"`
	// Message is logged as an error by clients that asked for a status.
	Message        string   `json:"message,omitempty"`
	SubmissionID   string   `json:"submissionId,omitempty"`
	UnknownFields  []string `json:"unknownFields,omitempty"`
	DriverState    string   `json:"driverState,omitempty"`
	WorkerID       string   `json:"workerId,omitempty"`
	WorkerHostPort string   `json:"workerHostPort,omitempty"`
	// HighestProtocolVersion goes with StatusUnknownVersion.
	HighestProtocolVersion string `json:"highestProtocolVersion,omitempty"`
}

// Accepted reports whether the response is neither an error nor a refusal.
func (r Response) Accepted() bool {
	return r.Action != ErrorResponse && (r.Success == nil || *r.Success)
}

// Standby begins the message of a server that does not lead: a client with
// several masters asks the next one then.
const Standby = "Current state is not alive: STANDBY. "

// NotFound is the driver's state of an unknown submission.
const NotFound = "NOT_FOUND"

// driverStates are Spark's own words for the phases of an application: those of
// its standalone master.
var driverStates = map[string]string{
	"Pending": "SUBMITTED", "Starting": "SUBMITTED", "Running": "RUNNING", "Backoff": "RELAUNCHING",
	"Detached": "UNKNOWN", "Stopping": "RUNNING", "Succeeded": "FINISHED", "Failed": "FAILED", "Killed": "KILLED",
}

// DriverState is Spark's word for a phase of an application.
func DriverState(phase string) string {
	if s, known := driverStates[phase]; known {
		return s
	}
	return "UNKNOWN"
}

// Ended reports whether a phase is final.
func Ended(phase string) bool {
	return phase == "Succeeded" || phase == "Failed" || phase == "Killed"
}

// Status answers a question about an application that is known.
func Status(v v1.SparkView) Response {
	yes := true
	r := Response{
		Action: StatusResponse, Success: &yes, SubmissionID: v.Name, DriverState: DriverState(v.Status.Phase),
		WorkerID: v.Status.Driver.AgentID, WorkerHostPort: v.Status.Driver.Hostname,
	}
	if v.Status.Phase == "Failed" {
		r.Message = v.Status.Message
	}
	return r
}
