package v1

import "time"

// SparkPhases are what an application can be, as SparkStatus.Phase.
var SparkPhases = []string{
	"Pending",   // the driver has no place yet
	"Starting",  // the driver's task was launched and has not registered
	"Running",   // the driver is registered
	"Backoff",   // the driver failed; its next attempt waits
	"Detached",  // the driver's agent cannot be reached
	"Stopping",  // a kill was ordered, or the driver is ending
	"Succeeded", // ended: the driver exited with 0
	"Failed",    // ended: the driver failed and is not supervised, or the breaker is open
	"Killed",    // ended by order
}

// SparkView is an application as GET /v1/spark/{name} answers it. Values of
// properties and variables that look secret are redacted.
type SparkView struct {
	SparkApplication
	Generation int64       `json:"generation"`
	Status     SparkStatus `json:"status"`
}

// SparkStatus is what Berth knows of an application at one moment.
type SparkStatus struct {
	Phase string `json:"phase"`
	// AppID is Spark's application id, the same for every attempt.
	AppID string `json:"appId"`
	// Attempt counts from 1; 0: none was launched yet.
	Attempt int64           `json:"attempt"`
	Driver  SparkTaskView   `json:"driver"`
	Scale   SparkScaleView  `json:"scale"`
	List    []SparkTaskView `json:"executors"`
	// UIURL is where the driver's own UI listens; "" until it has registered.
	UIURL string `json:"uiUrl,omitempty"`
	// Attempts are the ended ones, newest first, bounded.
	Attempts   []SparkAttempt `json:"attempts,omitempty"`
	Conditions []Condition    `json:"conditions"`
	Message    string         `json:"message,omitempty"`
	CreatedAt  time.Time      `json:"createdAt"`
	UpdatedAt  time.Time      `json:"updatedAt"`
	EndedAt    *time.Time     `json:"endedAt,omitempty"`
}

// SparkScaleView is how many executors are wanted, and by whom.
type SparkScaleView struct {
	// Min and Max are the bounds in force: the spec's or the operator's.
	Min int `json:"min"`
	Max int `json:"max"`
	// Asked is the driver's own target, Wanted what the bounds make of it.
	Asked   int `json:"asked"`
	Wanted  int `json:"wanted"`
	Running int `json:"running"`
	Pending int `json:"pending"`
	// Draining executors are being decommissioned.
	Draining int `json:"draining"`
}

// SparkTaskView is the driver or one executor.
type SparkTaskView struct {
	// Name is the slot's; ExecutorID is Spark's, 0 for the driver.
	Name       string `json:"name,omitempty"`
	ExecutorID int64  `json:"executorId,omitempty"`
	State      string `json:"state"` // one of NodeStates
	TaskID     string `json:"taskId,omitempty"`
	AgentID    string `json:"agentId,omitempty"`
	Hostname   string `json:"hostname,omitempty"`
	// Address is the IP of the task's machine at which it listens.
	Address    string    `json:"address,omitempty"`
	Registered bool      `json:"registered,omitempty"`
	Failures   int       `json:"failures,omitempty"`
	Message    string    `json:"message,omitempty"`
	Since      time.Time `json:"since,omitzero"`
}

// SparkAttempt is one ended attempt of a driver.
type SparkAttempt struct {
	Attempt   int64     `json:"attempt"`
	TaskID    string    `json:"taskId"`
	Hostname  string    `json:"hostname,omitempty"`
	State     string    `json:"state"` // FINISHED, FAILED, KILLED, LOST: the real one
	ExitCode  int       `json:"exitCode,omitempty"`
	Message   string    `json:"message,omitempty"`
	StartedAt time.Time `json:"startedAt"`
	EndedAt   time.Time `json:"endedAt"`
}

// SparkSummary is an application in a list.
type SparkSummary struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels,omitempty"`
	Version     string            `json:"version"`
	AppResource string            `json:"appResource"`
	MainClass   string            `json:"mainClass,omitempty"`
	Generation  int64             `json:"generation"`
	Phase       string            `json:"phase"`
	AppID       string            `json:"appId"`
	Attempt     int64             `json:"attempt"`
	Hostname    string            `json:"hostname,omitempty"` // the driver's
	Scale       SparkScaleView    `json:"scale"`
	Message     string            `json:"message,omitempty"`
	CreatedAt   time.Time         `json:"createdAt"`
	UpdatedAt   time.Time         `json:"updatedAt"`
	EndedAt     *time.Time        `json:"endedAt,omitempty"`
}

// Summary leaves out what a list does not show.
func (v SparkView) Summary() SparkSummary {
	s := v.Status
	return SparkSummary{
		Name: v.Name, Labels: v.Labels, Version: v.Spec.Version, AppResource: v.Spec.AppResource, MainClass: v.Spec.MainClass,
		Generation: v.Generation, Phase: s.Phase, AppID: s.AppID, Attempt: s.Attempt, Hostname: s.Driver.Hostname, Scale: s.Scale,
		Message: s.Message, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, EndedAt: s.EndedAt,
	}
}

// SparkList answers GET /v1/spark, by name.
type SparkList struct {
	Applications []SparkSummary `json:"applications"`
}

// SparkExecutorList answers GET /v1/spark/{name}/executors.
type SparkExecutorList struct {
	Scale     SparkScaleView  `json:"scale"`
	Executors []SparkTaskView `json:"executors"`
}
