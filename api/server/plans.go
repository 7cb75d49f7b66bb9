package server

import (
	"net/http"
	"slices"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
)

// maxOverride bounds how long a gate can be set aside.
const maxOverride = 7 * 24 * time.Hour

// maxNodesNamed bounds the nodes that one order names.
const maxNodesNamed = 500

// planVerbs are what can be asked of a plan.
var planVerbs = []string{"pause", "resume", "cancel", "override"}

func (s *Server) restartCluster(w http.ResponseWriter, r *http.Request) error {
	o := RestartOptions{User: infoOf(r).user}
	if query := r.URL.Query(); query.Has("nodes") {
		o.Nodes = strings.Split(query.Get("nodes"), ",")
	}
	if len(o.Nodes) > maxNodesNamed {
		return wrongParameter("?nodes", "names too many nodes: at most 500, or leave it out for all")
	}
	var err error
	if o.Message, err = message(r); err != nil {
		return err
	}
	if o.DryRun, err = boolParameter(r, "dryRun", false); err != nil {
		return err
	}
	accepted, err := s.opts.Commands.RestartCluster(r.Context(), r.PathValue("name"), o)
	return s.writeChange(w, accepted, o.DryRun, err)
}

func (s *Server) controlPlan(w http.ResponseWriter, r *http.Request) error {
	o := PlanOptions{Verb: r.PathValue("verb"), User: infoOf(r).user}
	if !slices.Contains(planVerbs, o.Verb) {
		return v1.ProblemNotFound("verb of a plan", o.Verb)
	}
	var err error
	if o.Message, err = message(r); err != nil {
		return err
	}
	query := r.URL.Query()
	if o.Verb != "override" && (query.Has("gate") || query.Has("for")) {
		return wrongParameter("?gate", "belongs to override")
	}
	if o.Verb == "override" {
		if o.Gate = query.Get("gate"); o.Gate == "" {
			return wrongParameter("?gate", "is missing: name the gate to set aside")
		}
		if o.Message == "" {
			return wrongParameter("?message", "is missing: a gate is set aside for a reason")
		}
		if o.For, err = v1.ParseDuration(query.Get("for")); err != nil || o.For <= 0 || o.For > maxOverride {
			return wrongParameter("?for", "must be how long the gate is set aside, such as 2h, at most 7d")
		}
	}
	accepted, err := s.opts.Commands.ControlPlan(r.Context(), r.PathValue("name"), o)
	return s.writeOrder(w, accepted, err)
}
