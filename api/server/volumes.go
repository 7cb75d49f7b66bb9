package server

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
)

func (s *Server) listVolumes(w http.ResponseWriter, r *http.Request) error {
	q := VolumeQuery{Cluster: r.URL.Query().Get("cluster")}
	var err error
	if q.Classes, err = listParameter(r, "class"); err != nil {
		return err
	}
	for _, class := range q.Classes {
		if !slices.Contains(v1.VolumeClasses, class) {
			return wrongParameter("?class", fmt.Sprintf("%q is no class; the classes are %s", short(class), strings.Join(v1.VolumeClasses, ", ")))
		}
	}
	if q.Fresh, err = boolParameter(r, "fresh", false); err != nil {
		return err
	}
	list, err := s.opts.Queries.Volumes(r.Context(), q)
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, list)
}

// maxListed bounds how many values one parameter lists.
const maxListed = 200

// listParameter reads values that commas separate; an empty one is refused.
func listParameter(r *http.Request, name string) ([]string, error) {
	query := r.URL.Query()
	if !query.Has(name) {
		return nil, nil
	}
	values := strings.Split(query.Get(name), ",")
	if len(values) > maxListed || slices.Contains(values, "") {
		return nil, wrongParameter("?"+name, fmt.Sprintf("must list 1 to %d values, with commas and without blanks between them", maxListed))
	}
	return values, nil
}

func (s *Server) destroyVolume(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := confirmed(r, "volume", id); err != nil {
		return err
	}
	o := VolumeOptions{Confirm: id, User: infoOf(r).user}
	var err error
	if o.Message, err = message(r); err != nil {
		return err
	}
	accepted, err := s.opts.Commands.DestroyVolume(r.Context(), id, o)
	return s.writeOrder(w, accepted, err)
}

func (s *Server) restoreVolume(w http.ResponseWriter, r *http.Request) error {
	o := VolumeOptions{User: infoOf(r).user}
	var err error
	if o.Message, err = message(r); err != nil {
		return err
	}
	accepted, err := s.opts.Commands.RestoreVolume(r.Context(), r.PathValue("id"), o)
	return s.writeOrder(w, accepted, err)
}

func (s *Server) listRepairs(w http.ResponseWriter, r *http.Request) error {
	list, err := s.opts.Queries.Repairs(r.Context())
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, list)
}

func (s *Server) getRepair(w http.ResponseWriter, r *http.Request) error {
	view, err := s.opts.Queries.Repair(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, view)
}

func (s *Server) planRepair(w http.ResponseWriter, r *http.Request) error {
	o := RepairOptions{User: infoOf(r).user}
	var err error
	if o.Message, err = message(r); err != nil {
		return err
	}
	if o.Findings, err = listParameter(r, "findings"); err != nil {
		return err
	}
	if o.Retained, err = boolParameter(r, "retained", false); err != nil {
		return err
	}
	if o.Retention, err = retentionParameter(r); err != nil {
		return err
	}
	accepted, err := s.opts.Commands.PlanRepair(r.Context(), o)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/volumes/repairs/"+url.PathEscape(accepted.Name))
	return s.writeJSON(w, http.StatusCreated, accepted)
}

func (s *Server) approveRepair(w http.ResponseWriter, r *http.Request) error {
	o := ApprovalOptions{User: infoOf(r).user, Fingerprint: r.URL.Query().Get("fingerprint")}
	if o.Fingerprint == "" {
		return v1.NewProblem(http.StatusBadRequest, v1.CodeConfirmMissing, "a confirmation is needed",
			"to approve a repair, name the fingerprint of the plan that you have looked at: ?fingerprint=…; nothing was changed")
	}
	var err error
	if o.Message, err = message(r); err != nil {
		return err
	}
	accepted, err := s.opts.Commands.ApproveRepair(r.Context(), r.PathValue("id"), o)
	return s.writeOrder(w, accepted, err)
}

func (s *Server) cancelRepair(w http.ResponseWriter, r *http.Request) error {
	o := CancelOptions{User: infoOf(r).user}
	var err error
	if o.Message, err = message(r); err != nil {
		return err
	}
	if query := r.URL.Query(); query.Has("step") {
		if o.Step, err = strconv.Atoi(query.Get("step")); err != nil || o.Step < 1 {
			return wrongParameter("?step", "must be the number of a step, from 1")
		}
	}
	accepted, err := s.opts.Commands.CancelRepair(r.Context(), r.PathValue("id"), o)
	return s.writeOrder(w, accepted, err)
}

// retentionParameter reads how long volumes are kept; nil without one.
func retentionParameter(r *http.Request) (*time.Duration, error) {
	query := r.URL.Query()
	if !query.Has("retention") {
		return nil, nil
	}
	d, err := v1.ParseDuration(query.Get("retention"))
	if err != nil {
		return nil, wrongParameter("?retention", err.Error())
	}
	if d > maxRetention {
		return nil, wrongParameter("?retention", "must be at most 3650d")
	}
	return &d, nil
}
