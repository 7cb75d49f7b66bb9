package scheduler

import (
	"time"

	"github.com/berthdata/berth/executor"
)

// Every wait, queue and history of the core is bounded by one of these.
const (
	// launchDeadline is how long a launch may stay without a word before its
	// task and operations are asked for explicitly (Mesos rule 41).
	launchDeadline = 30 * time.Second
	// killRepeat is how often a KILL that nobody confirmed is sent again: a
	// kill is not confirmed before a terminal update (Mesos rule 43).
	killRepeat = 30 * time.Second
	// releaseDeadline is how long DESTROY and UNRESERVE may stay unanswered.
	releaseDeadline = 30 * time.Second

	// backoffFirst and backoffMost bound the wait before a failed node's next life.
	backoffFirst = time.Second
	backoffMost  = 5 * time.Minute
	// stableAfter is how long a node must have been healthy for its failures
	// to be forgotten: a node that crashes every minute keeps backing off.
	stableAfter = 2 * time.Minute

	// idleRefuse is the filter of a decline when nothing is wanted, busyRefuse
	// when something is wanted that this offer does not fit, mergeRefuse when
	// one agent's resources came split and are to be merged (Mesos rules 17, 22).
	idleRefuse  = time.Hour
	busyRefuse  = 5 * time.Second
	mergeRefuse = 250 * time.Millisecond
	// reviveEvery bounds how often filters are cleared (Mesos rule 22).
	reviveEvery = 2 * time.Second
	// reviveStale is after how long REVIVE is sent again while slots still want
	// an offer.
	reviveStale = 5 * time.Minute

	// reconcileFirst and reconcileMost bound the back-off between rounds of
	// explicit reconciliation; reconcilePeriod is the routine round (rule 44).
	reconcileFirst  = 5 * time.Second
	reconcileMost   = time.Minute
	reconcilePeriod = 15 * time.Minute
	// askLostEvery is how often nodes on agents that are not there are asked for.
	askLostEvery = time.Minute
	// reconcileChunk is how many tasks one RECONCILE call names.
	reconcileChunk = 1000

	// observeForming, observeStable and observeFull are the pace of questions
	// to Elasticsearch; observeTimeout frees a question that got no answer.
	observeForming = 500 * time.Millisecond
	observeStable  = 10 * time.Second
	observeFull    = 30 * time.Second
	observeTimeout = 30 * time.Second
	// observeReturned is the pace of full questions while a replaced node that is back
	// waits to be stopped.
	observeReturned = 2 * time.Second
	// While a rolling restart waits for its gates the pace goes from observeForming to
	// observeWaiting: it is the time waited so far by observeWaited.
	observeWaiting = 5 * time.Second
	observeWaited  = 8
	// replaceTrusted is how old a full observation, by its question, may be for an
	// order to replace a node to rest on it: one of the routine pace still serves.
	replaceTrusted = 45 * time.Second
	// survivalTrusted is the same for what is said of losing a machine, which changes
	// nothing: a question or two may go without an answer.
	survivalTrusted = 90 * time.Second
	// observeTrusted is how long a cluster that was ready stays so without a
	// readable answer.
	observeTrusted = 35 * time.Second
	// formingFor is how long after a change of its spec a cluster that is not
	// green yet is asked at the pace of forming.
	formingFor = 10 * time.Minute

	// agentsEvery is the pace of questions to the operator API while a
	// reservation's fate is unsure, agentsRoutine the pace otherwise.
	agentsEvery   = 5 * time.Second
	agentsRoutine = time.Minute
	// witnessLag is how old a decision must be for a full view of the agents
	// that does not show it to prove that it never happened.
	witnessLag = 5 * time.Second
	// witnessTrusted is how long a view of the agents is believed: five times the
	// routine pace, so that one or two answers may fail.
	witnessTrusted = 5 * time.Minute
	// witnessWaits is how long a request waits for a newer view, at most.
	witnessWaits = time.Minute
	// findingsKept is how long what was found is remembered while its agent is away.
	findingsKept = 7 * 24 * time.Hour

	// restartTries is after how many failed lives a rolling restart halts, and
	// restartStuck after what time without a step it says that it is stuck.
	restartTries = 3
	restartStuck = 10 * time.Minute
	// restartFresh is how old an answer of Elasticsearch may be, by its question, for
	// a node to be stopped by it, and how long KILL may take to leave; restartRestrict
	// how long allocation may take to be restricted in between. Later than that all
	// is judged anew.
	restartFresh    = 15 * time.Second
	restartRestrict = 30 * time.Second

	// orphansFor is how long an executor may run on that its agent has forgotten: an
	// agent's default --recovery_timeout, 15 min, and what it takes to end.
	orphansFor = 20 * time.Minute

	// createTries is after how many refused CREATEs on one agent a slot
	// without data gives its reservation back and looks elsewhere.
	createTries = 3
	// reserveTries is after how many refused RESERVEs in a row a slot looks
	// elsewhere.
	reserveTries = 3
	// avoidFor is how long a slot keeps away from such an agent; it decays.
	avoidFor = 10 * time.Minute

	// maxRiskTold bounds the indices that one message names.
	maxRiskTold = 5

	// repairPatience is how long a step of a repair waits for an offer before it
	// goes by the operator API; repairTries is after how many tries it fails.
	repairPatience = time.Minute
	repairTries    = 5
	// maxRepairs bounds the repairs on record, maxRepairSteps the steps of one,
	// maxRepairStep the bytes of one step, maxRepairLeft the findings that it says
	// it leaves; maxRepairText and maxRepairLabels what a step says: all of it fits
	// into one record.
	maxRepairs      = 32
	maxRepairSteps  = 64
	maxRepairStep   = 4096
	maxRepairLeft   = 100
	maxRepairText   = 500
	maxRepairLabels = 8
	// maxOperatorCalls bounds the calls of the operator API without an answer.
	maxOperatorCalls = 4

	// maxRounds bounds how often one step looks at slots and clusters in turn;
	// three rounds settle everything that is known to happen.
	maxRounds = 20
	// maxUnknown bounds the tasks in quarantine, maxUnknownListed how many of them
	// are told of and listed, maxKillOrders how many are ordered killed at once.
	maxUnknown       = 100_000
	maxUnknownListed = 1000
	maxKillOrders    = 1000
	// maxFindings bounds what is remembered of the ledger's findings, maxTold how
	// many new ones of one view are told one by one.
	// maxFindingText bounds each text of theirs, in bytes: all of them fit into one
	// record.
	maxFindings    = 800
	maxTold        = 20
	maxFindingText = 100
	// maxWaits bounds the requests that wait for a newer view of the agents.
	maxWaits = 100
	// maxEnded bounds the ends of records that are remembered until the next view.
	maxEnded = 20_000
	// maxReturned bounds the offers that wait to be declined once more.
	maxReturned = 20_000
	// maxMessage bounds a message that is kept in a record, in bytes.
	maxMessage = 2048

	// maxAttempts and maxAttemptMessage bound what is kept of ended attempts,
	// maxEndedApplications and maxWaitingApplications the history and the queue.
	maxAttempts            = 20
	maxAttemptMessage      = 1024
	maxEndedApplications   = 200
	maxWaitingApplications = 1000
	// maxPendingExecutors bounds an application's executors that have no place yet:
	// the next ones follow as these find theirs.
	maxPendingExecutors = 200
	// maxAdopted bounds the executors that are adopted, maxExecutorID is Spark's.
	maxAdopted    = 2000
	maxExecutorID = 1<<31 - 2
	// maxTemplateBytes and maxTargetBytes bound what of a driver's word is kept in
	// the application's record, beside v1.MaxSparkSpec, and maxDriverDocument what
	// a spec makes of a driver's launch document.
	maxTemplateBytes  = 96 << 10
	maxTargetBytes    = 64 << 10
	maxDriverDocument = executor.MaxLaunchBytes - 4<<10
	// decommissionDeadline is how long an executor may take to finish its work and
	// go, and a driver to let go of what is above its bounds; leftoverExecutors how
	// long executors may outlive their SparkContext.
	decommissionDeadline = 10 * time.Minute
	leftoverExecutors    = time.Minute
	// hostFailures of executors within hostFailuresWithin keep an application off a
	// host for avoidFor. An executor that ends before quickFailure has crashed;
	// after crashWaves of that in a row the application is said to crash.
	hostFailures       = 3
	hostFailuresWithin = 10 * time.Minute
	quickFailure       = time.Minute
	crashWaves         = 3
)
