package server

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	v1 "github.com/berthdata/berth/api/v1"
)

const (
	// maxMessage bounds the reason that a caller gives for a change, in bytes.
	maxMessage = 1024
	// maxRetention bounds how long volumes can be asked to be kept.
	maxRetention = 10 * 365 * 24 * time.Hour
	// HeaderMessage is the header with the reason of a change.
	HeaderMessage = "X-Berth-Message"
)

func (s *Server) putCluster(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	opts, err := putOptions(r)
	if err != nil {
		return err
	}
	c, err := readDocument(r, v1.DecodeCluster)
	if err != nil {
		return err
	}
	if c.Name != name {
		return v1.ProblemSpecInvalid([]v1.FieldError{{Field: "name",
			Message: fmt.Sprintf("must be the name in the path, %q, not %q", short(name), short(c.Name))}})
	}
	c.SetDefaults()
	if roles := s.opts.Validation.Roles; c.Spec.Role == "" && len(roles) > 0 {
		c.Spec.Role = roles[0]
	}
	if p := c.Validate(s.opts.Validation); p != nil {
		return p
	}
	accepted, err := s.opts.Commands.PutCluster(r.Context(), c, opts)
	if err == nil && !opts.DryRun {
		w.Header().Set("ETag", etag(accepted.Generation))
	}
	return s.writeChange(w, accepted, opts.DryRun, err)
}

func putOptions(r *http.Request) (PutOptions, error) {
	o := PutOptions{User: infoOf(r).user}
	var err error
	if o.Message, err = message(r); err != nil {
		return o, err
	}
	if o.DryRun, err = boolParameter(r, "dryRun", false); err != nil {
		return o, err
	}
	o.IfGeneration, err = ifGeneration(r)
	return o, err
}

// ifGeneration reads the optimistic lock from its three spellings: the
// parameter, If-Match with the ETag of an answer, and If-None-Match: * for
// "must not exist".
func ifGeneration(r *http.Request) (*int64, error) {
	type spelling struct{ name, value string }
	var given []spelling
	if query := r.URL.Query(); query.Has("ifGeneration") {
		given = append(given, spelling{"?ifGeneration", query.Get("ifGeneration")})
	}
	for _, v := range r.Header.Values("If-Match") {
		unquoted, err := strconv.Unquote(strings.TrimSpace(v))
		if err != nil {
			return nil, wrongParameter("If-Match", "must be the ETag of one answer, such as \"3\" in its quotes")
		}
		given = append(given, spelling{"If-Match", unquoted})
	}
	for _, v := range r.Header.Values("If-None-Match") {
		if strings.TrimSpace(v) != "*" {
			return nil, wrongParameter("If-None-Match", "must be *, for a cluster that must not exist")
		}
		given = append(given, spelling{"If-None-Match", "0"})
	}
	switch len(given) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, wrongParameter(given[1].name, "the generation is given more than once")
	}
	n, err := strconv.ParseInt(given[0].value, 10, 64)
	if err != nil || n < 0 {
		return nil, wrongParameter(given[0].name, "must be a generation: a whole number, 0 for a cluster that must not exist")
	}
	return &n, nil
}

func etag(generation int64) string { return strconv.Quote(strconv.FormatInt(generation, 10)) }

// message reads the reason of a change from the parameter or the header.
func message(r *http.Request) (string, error) {
	field, text := "?message", r.URL.Query().Get("message")
	if header := r.Header.Get(HeaderMessage); header != "" {
		if text != "" {
			return "", wrongParameter(HeaderMessage, "the message is given more than once")
		}
		field, text = HeaderMessage, header
	}
	if len(text) > maxMessage {
		return "", wrongParameter(field, fmt.Sprintf("has %d bytes, at most %d are allowed", len(text), maxMessage))
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return "", wrongParameter(field, "must be one line without control characters")
	}
	return text, nil
}

func boolParameter(r *http.Request, name string, absent bool) (bool, error) {
	query := r.URL.Query()
	if !query.Has(name) {
		return absent, nil
	}
	switch query.Get(name) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, wrongParameter("?"+name, "must be true or false")
}

func wrongParameter(field, why string) *v1.Problem {
	p := badRequest("a parameter or header is wrong; nothing was changed")
	p.Fields = []v1.FieldError{{Field: field, Message: why}}
	return p
}

// confirmed demands that a destructive request repeats the name of what it
// destroys.
func confirmed(r *http.Request, kind, name string) error {
	switch got := r.URL.Query().Get("confirm"); got {
	case name:
		return nil
	case "":
		return v1.NewProblem(http.StatusBadRequest, v1.CodeConfirmMissing, "a confirmation is needed",
			fmt.Sprintf("to delete the %s, repeat its name: ?confirm=%s; nothing was changed", kind, short(name)))
	default:
		return v1.NewProblem(http.StatusBadRequest, v1.CodeConfirmWrong, "the confirmation is wrong",
			fmt.Sprintf("it names %q, but the %s is %q; nothing was changed", short(got), kind, short(name)))
	}
}

func (s *Server) deleteCluster(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if err := confirmed(r, "cluster", name); err != nil {
		return err
	}
	o := DeleteOptions{Confirm: name, User: infoOf(r).user}
	var err error
	if o.Message, err = message(r); err != nil {
		return err
	}
	if o.Retention, err = retentionParameter(r); err != nil {
		return err
	}
	accepted, err := s.opts.Commands.DeleteCluster(r.Context(), name, o)
	return s.writeOrder(w, accepted, err)
}

func (s *Server) listClusters(w http.ResponseWriter, r *http.Request) error {
	list, err := s.opts.Queries.Clusters(r.Context())
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, v1.ClusterList{Clusters: list})
}

func (s *Server) getCluster(w http.ResponseWriter, r *http.Request) error {
	view, err := s.opts.Queries.Cluster(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag(view.Generation))
	return s.writeJSON(w, http.StatusOK, view)
}

func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) error {
	view, err := s.opts.Queries.Cluster(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, view.Status)
}

func (s *Server) listNodes(w http.ResponseWriter, r *http.Request) error {
	list, err := s.opts.Queries.Nodes(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, v1.NodeList{Nodes: list})
}

func (s *Server) getPlan(w http.ResponseWriter, r *http.Request) error {
	view, err := s.opts.Queries.Plan(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, view)
}

func (s *Server) getExplanation(w http.ResponseWriter, r *http.Request) error {
	view, err := s.opts.Queries.Explain(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, view)
}

// getCertificate serves one cluster's, and without a name that of all.
func (s *Server) getCertificate(w http.ResponseWriter, r *http.Request) error {
	view, err := s.opts.Queries.Survives(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, view)
}

func (s *Server) getEndpoints(w http.ResponseWriter, r *http.Request) error {
	view, err := s.opts.Queries.Endpoints(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, view)
}

// short keeps text of the caller that an answer quotes short.
func short(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
