package server

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
)

// defaultAudit is how many entries an answer has at most unless limit says otherwise.
const defaultAudit = 100

func (s *Server) listAudit(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	q := AuditQuery{User: query.Get("user"), Verb: query.Get("verb"), Kind: query.Get("kind"), Target: query.Get("target"), Limit: defaultAudit}
	if q.Verb != "" && !slices.Contains(v1.AuditVerbs, q.Verb) {
		return wrongParameter("?verb", fmt.Sprintf("%q is no verb; the verbs are %s", short(q.Verb), strings.Join(v1.AuditVerbs, ", ")))
	}
	if q.Kind != "" && !slices.Contains(v1.AuditKinds, q.Kind) {
		return wrongParameter("?kind", fmt.Sprintf("%q is no kind; the kinds are %s", short(q.Kind), strings.Join(v1.AuditKinds, ", ")))
	}
	for name, at := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if !query.Has(name) {
			continue
		}
		var err error
		if *at, err = time.Parse(time.RFC3339, query.Get(name)); err != nil {
			return wrongParameter("?"+name, "must be a time as in RFC 3339, such as 2026-01-31T08:00:00Z")
		}
	}
	if query.Has("before") {
		n, err := strconv.ParseInt(query.Get("before"), 10, 64)
		if err != nil || n < 1 {
			return wrongParameter("?before", "must be the id of an entry")
		}
		q.Before = n
	}
	if query.Has("limit") {
		n, err := strconv.Atoi(query.Get("limit"))
		if err != nil || n < 1 || n > v1.MaxAuditListed {
			return wrongParameter("?limit", fmt.Sprintf("must be a number from 1 to %d", v1.MaxAuditListed))
		}
		q.Limit = n
	}
	list, err := s.opts.Queries.Audit(r.Context(), q)
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, list)
}
