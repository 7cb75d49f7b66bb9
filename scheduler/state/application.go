package state

import (
	"time"

	v1 "github.com/berthdata/berth/api/v1"
)

// Application is one Spark application with what Berth decided about it. An ended
// one stays as history, and keeps its identity: started again, its attempts and
// executor ids go on, so that nothing of before can be taken for something of after.
type Application struct {
	Spec       v1.SparkApplication `json:"spec"`
	Generation int64               `json:"generation"`
	// Incarnation tells it from its namesake before it.
	Incarnation int64 `json:"incarnation"`
	// AppID is Spark's application id, the same for every attempt.
	AppID string `json:"appId"`
	// Attempt is the newest that was launched, 0 before the first, NextAttempt the
	// lowest that was never given out. AttemptGeneration and AttemptVersion are the
	// generation of the spec and the version of Spark that Attempt was launched with.
	Attempt           int64  `json:"attempt"`
	NextAttempt       int64  `json:"nextAttempt"`
	AttemptGeneration int64  `json:"attemptGeneration"`
	AttemptVersion    string `json:"attemptVersion,omitempty"`
	// Recorded: the end of Attempt is among Attempts already, or it never ran.
	Recorded bool `json:"recorded,omitempty"`
	// NextExecutor is the lowest executor id that was never given out.
	NextExecutor int64 `json:"nextExecutor"`
	// Forgotten are the executor ids that may have been given out after the backup
	// that this record was restored from; until the next SparkContext registers.
	Forgotten *IDRange `json:"forgotten,omitempty"`
	// Contexts counts the SparkContexts that have registered.
	Contexts int64 `json:"contexts"`

	// Scale is an operator's word on the number of executors; nil: the spec's.
	Scale *Scale `json:"scale,omitempty"`
	// BoundsRevision rises with each change of the bounds in force.
	BoundsRevision int64     `json:"boundsRevision"`
	BoundsSince    time.Time `json:"boundsSince"`

	// Context is what the driver's newest SparkContext has said; nil while none
	// of the current attempt has registered.
	Context *SparkContext `json:"context,omitempty"`
	// Kill is the order to end it, End what became of it.
	Kill *Order `json:"kill,omitempty"`
	End  *End   `json:"end,omitempty"`
	// Attempts are the ended ones, newest first, bounded.
	Attempts []v1.SparkAttempt `json:"attempts,omitempty"`

	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
	UpdatedBy string    `json:"updatedBy,omitempty"`
	Message   string    `json:"message,omitempty"`
}

// IDRange are the ids from From up to, not including, To.
type IDRange struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Scale bounds the number of executors in place of the spec.
type Scale struct {
	Min     int       `json:"min"`
	Max     int       `json:"max"`
	At      time.Time `json:"at"`
	User    string    `json:"user,omitempty"`
	Message string    `json:"message,omitempty"`
}

// End is how an application ended.
type End struct {
	// State is Succeeded, Failed or Killed.
	State   string    `json:"state"`
	Message string    `json:"message,omitempty"`
	At      time.Time `json:"at"`
}

// SparkContext is one SparkContext of a driver. A driver's program may make
// several, one after the other; executors belong to one of them.
type SparkContext struct {
	// Number counts them over all attempts.
	Number  int64 `json:"number"`
	Attempt int64 `json:"attempt"`
	// At is when it registered first.
	At           time.Time `json:"at"`
	DriverURL    string    `json:"driverUrl"`
	UIURL        string    `json:"uiUrl,omitempty"`
	User         string    `json:"user,omitempty"`
	SparkVersion string    `json:"sparkVersion,omitempty"`
	// Executor is how executors are started; Withheld names what the driver left
	// out of it.
	Executor v1.SparkExecutorTemplate `json:"executor"`
	Withheld []string                 `json:"withheld,omitempty"`
	Target   *v1.SparkTarget          `json:"target,omitempty"`
	// Adopted are executors of the driver that no record explains, as after the
	// restore of a backup: they count, and are not Berth's to stop.
	Adopted []int64 `json:"adopted,omitempty"`
	// Unregistered is the driver's own word that the context stops.
	Unregistered *Unregistered `json:"unregistered,omitempty"`
}

// Unregistered is a driver's word on how its SparkContext ended.
type Unregistered struct {
	State   string    `json:"state"` // FINISHED or FAILED
	Message string    `json:"message,omitempty"`
	At      time.Time `json:"at"`
}

// SparkExecutor is what only the slot of an executor has. It lives once.
type SparkExecutor struct {
	// ID is Spark's executor id, Profile its resource profile.
	ID      int64 `json:"id"`
	Profile int   `json:"profile"`
	// Context is the number of the SparkContext that it belongs to.
	Context int64 `json:"context"`
	// Stop is why Berth ends it, "" while it does not.
	Stop string `json:"stop,omitempty"`
	// Decommission is the wish, told to the driver, that it goes by itself.
	Decommission *Decommission `json:"decommission,omitempty"`
}

// Decommission is a wish that an executor finishes its work and goes.
type Decommission struct {
	At  time.Time `json:"at"`
	Why string    `json:"why"`
}
