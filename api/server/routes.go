package server

import (
	"net/http"
	"slices"
	"time"
)

// access says who may use a route.
type access int

const (
	accessPublic   access = iota // no credentials
	accessRead                   // scope readonly or operator
	accessOperator               // scope operator
	// accessSubmission is accessOperator, and whoever comes from one of the
	// networks whose clients may submit without a token.
	accessSubmission
	// accessDriver is the token of one application; the handler judges it.
	accessDriver
)

// routeEvents is the path of the event stream.
const routeEvents = "/v1/events"

// route is one operation of the API. The OpenAPI document has the same ones.
type route struct {
	method, path string
	access       access
	// local routes are answered by followers too.
	local bool
	// stream routes have no deadline for the whole of their answer.
	stream bool
	// secretPath routes carry a token in the path, which no log may show.
	secretPath bool
	// browser routes take the token as a Basic password too, which browsers ask
	// for.
	browser  bool
	anyQuery bool
	query    []string // the parameters allowed, unless any is
	handle   func(http.ResponseWriter, *http.Request) error
	// timeout for a call of a port; 0: Limits.RequestTimeout.
	timeout time.Duration
	// fail answers an error; nil: as a problem document.
	fail func(http.ResponseWriter, *http.Request, error)
	// away answers for a Berth that does not lead; nil: redirect.
	away func(w http.ResponseWriter, r *http.Request, leader string)
}

func (s *Server) routes() []route {
	const cluster, repairs = "/v1/clusters/{name}", "/v1/volumes/repairs"
	list := []route{
		{method: "GET", path: "/v1/clusters", access: accessRead, handle: s.listClusters},
		{method: "PUT", path: cluster, access: accessOperator, query: []string{"dryRun", "ifGeneration", "message"}, handle: s.putCluster},
		{method: "GET", path: cluster, access: accessRead, handle: s.getCluster},
		{method: "DELETE", path: cluster, access: accessOperator, query: []string{"confirm", "retention", "message"}, handle: s.deleteCluster},
		{method: "GET", path: cluster + "/status", access: accessRead, handle: s.getStatus},
		{method: "GET", path: cluster + "/nodes", access: accessRead, handle: s.listNodes},
		{method: "POST", path: cluster + "/nodes/{node}/replace", access: accessOperator, query: []string{"dryRun", "message"}, handle: s.replaceNode},
		{method: "DELETE", path: cluster + "/nodes/{node}/replace", access: accessOperator, query: []string{"message"}, handle: s.cancelReplacement},
		{method: "GET", path: cluster + "/plan", access: accessRead, handle: s.getPlan},
		{method: "POST", path: cluster + "/restart", access: accessOperator, query: []string{"nodes", "dryRun", "message"}, handle: s.restartCluster},
		{method: "POST", path: cluster + "/plan/{verb}", access: accessOperator, query: []string{"gate", "for", "message"}, handle: s.controlPlan},
		{method: "GET", path: cluster + "/explain", access: accessRead, handle: s.getExplanation},
		{method: "GET", path: cluster + "/survives", access: accessRead, handle: s.getCertificate},
		{method: "GET", path: "/v1/survives", access: accessRead, handle: s.getCertificate},
		{method: "GET", path: cluster + "/endpoints", access: accessRead, handle: s.getEndpoints},
		{method: "GET", path: routeEvents, access: accessRead, stream: true, query: []string{"after", "cluster", "follow"}, handle: s.streamEvents},
		{method: "GET", path: "/v1/audit", access: accessRead, query: []string{"user", "verb", "kind", "target", "since", "until", "before", "limit"}, handle: s.listAudit},
		{method: "GET", path: "/v1/agents", access: accessRead, handle: s.listAgents},
		{method: "GET", path: "/v1/volumes", access: accessRead, query: []string{"class", "cluster", "fresh"}, handle: s.listVolumes},
		{method: "DELETE", path: "/v1/volumes/{id}", access: accessOperator, query: []string{"confirm", "message"}, handle: s.destroyVolume},
		{method: "GET", path: repairs, access: accessRead, handle: s.listRepairs},
		{method: "POST", path: repairs, access: accessOperator, query: []string{"findings", "retained", "retention", "message"}, handle: s.planRepair},
		{method: "GET", path: repairs + "/{id}", access: accessRead, handle: s.getRepair},
		{method: "POST", path: repairs + "/{id}/approve", access: accessOperator, query: []string{"fingerprint", "message"}, handle: s.approveRepair},
		{method: "POST", path: repairs + "/{id}/cancel", access: accessOperator, query: []string{"step", "message"}, handle: s.cancelRepair},
		{method: "POST", path: "/v1/volumes/{id}/restore", access: accessOperator, query: []string{"message"}, handle: s.restoreVolume},
		{method: "GET", path: "/v1/tasks/unknown", access: accessRead, handle: s.listUnknownTasks},
		{method: "DELETE", path: "/v1/tasks/unknown/{id}", access: accessOperator, query: []string{"confirm", "message"}, handle: s.killUnknownTask},
		{method: "POST", path: "/v1/tasks/unknown/{id}/keep", access: accessOperator, query: []string{"message"}, handle: s.keepUnknownTask},
		{method: "GET", path: "/v1/artifacts/{taskId}/{token}/{file}", access: accessPublic, local: true, stream: true, secretPath: true, handle: s.getArtifact},
		{method: "GET", path: "/healthz", access: accessPublic, local: true, handle: s.getHealth},
		{method: "GET", path: "/readyz", access: accessPublic, local: true, handle: s.getReadiness},
		{method: "GET", path: "/metrics", access: accessRead, local: true, handle: s.getMetrics},
		{method: "GET", path: "/openapi.json", access: accessPublic, local: true, handle: s.getDocumentJSON},
		{method: "GET", path: "/openapi.yaml", access: accessPublic, local: true, handle: s.getDocumentYAML},
	}
	if s.opts.Spark != nil {
		list = slices.Concat(list, s.sparkRoutes(), s.uiRoutes(), s.driverRoutes(), s.submissionRoutes())
	}
	return list
}
