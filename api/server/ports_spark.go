package server

import (
	"context"
	"net/netip"

	v1 "github.com/berthdata/berth/api/v1"
)

// Spark is what the routes for Spark applications stand on. All three ports are
// needed; a Berth without Spark has no Spark in its Options, and no such routes.
type Spark struct {
	Commands SparkCommands
	Queries  SparkQueries
	Drivers  SparkDrivers

	// Versions are those of Spark that the catalogue has, the oldest first.
	Versions []string
	// Defaults are properties that submissions get where they do not set them.
	Defaults map[string]string
	// SubmittersFrom are networks whose clients may use the submission protocol
	// without a token, but for killall and clear: spark-submit can send none.
	SubmittersFrom []netip.Prefix

	// UIDomain is the domain below which each application's UI has a name of its
	// own, such as "ui.berth.example"; "": UIs are shown below a path only.
	UIDomain string
	// Metrics; nil: drivers are not asked for theirs.
	Metrics SparkMetrics
}

// SparkMetrics tells how an application's streams do, of which the caller has
// just read the view. It answers at once, with what is known.
type SparkMetrics interface {
	SparkMetrics(v v1.SparkView) v1.SparkMetrics
}

// SparkOptions accompany an order about one application.
type SparkOptions struct {
	// Message is the caller's reason, for the audit log.
	Message string
	// User is who asked.
	User string
}

// SparkScale is an operator's word on how many executors an application has. It
// holds over restarts of the driver and of Berth. Both nil: the spec's bounds
// are in force again; otherwise both are set, and 0 <= *Min <= *Max.
type SparkScale struct {
	Min, Max *int
}

// SparkCommands change applications. Errors, deadlines and repetition are as for
// Commands; an unknown application is v1.ProblemNotFound("application", name).
type SparkCommands interface {
	// PutSpark makes the spec the wanted one. Defaults are set and the spec is
	// valid. Accepted.Changed is false when it was the wanted one already.
	PutSpark(ctx context.Context, a v1.SparkApplication, o PutOptions) (v1.Accepted, error)
	// KillSpark ends an application. It is no error when it has ended already:
	// Accepted.Changed is false then.
	KillSpark(ctx context.Context, name string, o SparkOptions) (v1.Accepted, error)
	ScaleSpark(ctx context.Context, name string, s SparkScale, o SparkOptions) (v1.Accepted, error)
	// RemoveSpark takes an ended application out of the history. One that has
	// not ended is a conflict.
	RemoveSpark(ctx context.Context, name string, o SparkOptions) (v1.Accepted, error)
}

// SparkQueries read. Views carry the whole spec: the server redacts secrets.
type SparkQueries interface {
	// SparkApplications lists those that run and those of the history, by name.
	SparkApplications(ctx context.Context) ([]v1.SparkView, error)
	SparkApplication(ctx context.Context, name string) (v1.SparkView, error)
	// ExplainSpark says why the driver or executors have no place;
	// Explanation.Cluster is the application's name.
	ExplainSpark(ctx context.Context, name string) (v1.Explanation, error)
}

// SparkDrivers are the calls of drivers' backends (docs/spark-protocol.md). The
// server has decoded the bodies and checked their bounds, and the token. Errors
// are the protocol's problems: v1.ProblemSparkUnknown, ProblemSparkSuperseded,
// ProblemSparkEnded, or ProblemNotLeader when leadership ended meanwhile.
type SparkDrivers interface {
	// Admits says whether the token opens the application's calls; it compares
	// in constant time. An application that was never heard of is admitted by
	// its own token too: the calls then say that it is unknown.
	Admits(appID, token string) bool
	// Register and the other calls but Sync return once what they changed is
	// durable.
	Register(ctx context.Context, r v1.SparkRegistration) (v1.SparkRegistered, error)
	SetTarget(ctx context.Context, appID string, t v1.SparkTarget) (v1.SparkTargeted, error)
	KillExecutors(ctx context.Context, appID string, k v1.SparkKill) (v1.SparkDone, error)
	Unregister(ctx context.Context, appID string, u v1.SparkUnregister) (v1.SparkDone, error)
	// Sync answers at once when there is news, otherwise after s.WaitMs, or with
	// ctx's error when that ends first. A newer Sync of the application ends the
	// one that is held.
	Sync(ctx context.Context, appID string, s v1.SparkSync) (v1.SparkSynced, error)
}
