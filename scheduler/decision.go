package scheduler

import (
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	sched "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/state"
)

// Decision is what one Step decided.
//
// The order rule: Writes are durable BEFORE Calls (acknowledgements are among
// them), Operate, Elastic requests, Replies and Published events leave. Decisions leave
// in the order in which they were made; a caller may commit several together,
// but never lets a part out whose own or earlier Writes are not durable. When a
// commit fails, it is repeated: nothing of this or a later decision may leave
// meanwhile. So there is no task without a record (Mesos rule 39), no
// acknowledged status that could be lost (rule 40), and no answer to a user
// that a crash could take back.
type Decision struct {
	// Writes are absolute values by key; the last one of a key wins.
	Writes []state.Write
	// Calls go to the master, in order.
	Calls []*sched.Call
	// Elastic are questions to clusters, answered by ElasticObserved.
	Elastic []observe.Request
	// Operate are calls of the master's operator API, each answered by
	// OperatorAnswered.
	Operate []OperatorCall
	// ObserveAgents asks for an AgentsObserved from the operator API.
	ObserveAgents bool
	Replies       []Reply
	// Spark tells the hub of Spark drivers what has changed for them; before
	// Replies, since the answer to a driver may rest on it.
	Spark []SparkNotice
	// Published are events for the users' event stream.
	Published []v1.Event
	// Wake is when TimerFired is wanted; zero: no need.
	Wake time.Time
	// Why says in one line each what was decided and for what reason.
	Why []string
}

// OperatorCall frees what an approved repair names, without an offer (Mesos rule
// 55): it destroys volumes, or gives a reservation back; one of the two is set.
type OperatorCall struct {
	ID      string
	AgentID string
	Destroy []mesos.Resource
	// Unreserve has no volume (Mesos rule 31).
	Unreserve []mesos.Resource
}

// ReplyID ties a Reply to the request that a user sent.
type ReplyID uint64

// Reply answers a user's request, or the call of a Spark driver; exactly one of
// the parts is set.
type Reply struct {
	ID       ReplyID
	Accepted *v1.Accepted
	Problem  *v1.Problem
	// Spark answers a driver.
	Spark *SparkAnswer
}
