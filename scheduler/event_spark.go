package scheduler

import (
	"time"

	v1 "github.com/berthdata/berth/api/v1"
)

// SparkPut asks to accept an application's spec. The core answers through Reply.
type SparkPut struct {
	Reply       ReplyID
	Application v1.SparkApplication // validated and defaulted
	// IfGeneration, when set, is the generation that must be the present one; 0:
	// the application must not be known, not even in the history.
	IfGeneration  *int64
	DryRun        bool
	User, Message string
}

// SparkKilled records the order to end an application.
type SparkKilled struct {
	Reply         ReplyID
	Name          string
	User, Message string
}

// SparkScaled bounds the number of executors in place of the spec; both nil: the
// spec's bounds are in force again.
type SparkScaled struct {
	Reply         ReplyID
	Name          string
	Min, Max      *int
	User, Message string
}

// SparkRemoved takes an ended application out of the history.
type SparkRemoved struct {
	Reply         ReplyID
	Name          string
	User, Message string
}

// SparkDriverRegistered is a driver's registration. It and the other calls of
// drivers are decoded and within their bounds; they are answered by Reply.Spark.
type SparkDriverRegistered struct {
	Reply        ReplyID
	Registration v1.SparkRegistration
}

// SparkTargetSet is how many executors a driver asks for.
type SparkTargetSet struct {
	Reply  ReplyID
	AppID  string
	Target v1.SparkTarget
}

// SparkExecutorsKilled: a driver gives executors up.
type SparkExecutorsKilled struct {
	Reply ReplyID
	AppID string
	Kill  v1.SparkKill
}

// SparkUnregistered: a driver's SparkContext stops.
type SparkUnregistered struct {
	Reply      ReplyID
	AppID      string
	Unregister v1.SparkUnregister
}

// SparkSynced is a driver's sync that says something new.
type SparkSynced struct {
	Reply ReplyID
	AppID string
	Sync  v1.SparkSync
	// Restate: the driver knows no events of this leadership, or wants them all
	// again; what is still true is told anew.
	Restate bool
}

// SparkHeartbeat is the hub's word on whether a driver calls. It decides nothing.
type SparkHeartbeat struct {
	AppID   string
	Attempt int64
	// SilentSince is since when no call has come; zero: calls come again.
	SilentSince time.Time
}

func (SparkPut) event()              {}
func (SparkKilled) event()           {}
func (SparkScaled) event()           {}
func (SparkRemoved) event()          {}
func (SparkDriverRegistered) event() {}
func (SparkTargetSet) event()        {}
func (SparkExecutorsKilled) event()  {}
func (SparkUnregistered) event()     {}
func (SparkSynced) event()           {}
func (SparkHeartbeat) event()        {}

// sparkEvent takes an event about an application; false: it is none.
func (c *Core) sparkEvent(ev Event) bool {
	switch e := ev.(type) {
	case SparkPut:
		c.sparkPut(e)
	case SparkKilled:
		c.sparkKilled(e)
	case SparkScaled:
		c.sparkScaled(e)
	case SparkRemoved:
		c.sparkRemoved(e)
	case SparkDriverRegistered:
		c.sparkRegistered(e)
	case SparkTargetSet:
		c.sparkTarget(e)
	case SparkExecutorsKilled:
		c.sparkKill(e)
	case SparkUnregistered:
		c.sparkUnregistered(e)
	case SparkSynced:
		c.sparkSynced(e)
	case SparkHeartbeat:
		c.sparkHeartbeat(e)
	default:
		return false
	}
	return true
}
