package server

import (
	"fmt"
	"net/http"

	"github.com/berthdata/berth/api/submission"
	v1 "github.com/berthdata/berth/api/v1"
)

const applicationKind = "application"

func (s *Server) sparkRoutes() []route {
	const one = "/v1/spark/{name}"
	return []route{
		{method: "GET", path: "/v1/spark", access: accessRead, query: []string{"ended"}, handle: s.listSpark},
		{method: "PUT", path: one, access: accessOperator, query: []string{"dryRun", "ifGeneration", "message"}, handle: s.putSpark},
		{method: "GET", path: one, access: accessRead, handle: s.getSpark},
		{method: "DELETE", path: one, access: accessOperator, query: []string{"confirm", "forget", "message"}, handle: s.deleteSpark},
		{method: "GET", path: one + "/executors", access: accessRead, handle: s.listExecutors},
		{method: "GET", path: one + "/metrics", access: accessRead, handle: s.sparkMetrics},
		{method: "GET", path: one + "/explain", access: accessRead, handle: s.explainSpark},
		{method: "PUT", path: one + "/scale", access: accessOperator, query: []string{"message"}, handle: s.scaleSpark},
		{method: "DELETE", path: one + "/scale", access: accessOperator, query: []string{"message"}, handle: s.unscaleSpark},
	}
}

func (s *Server) putSpark(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	opts, err := putOptions(r)
	if err != nil {
		return err
	}
	a, err := readDocument(r, v1.DecodeSparkApplication)
	if err != nil {
		return err
	}
	if a.Name != name {
		return v1.ProblemSparkInvalid([]v1.FieldError{{Field: "name",
			Message: fmt.Sprintf("must be the name in the path, %q, not %q", short(name), short(a.Name))}})
	}
	if v1.SparkSubmissionName.MatchString(name) {
		return v1.ProblemSparkInvalid([]v1.FieldError{{Field: "name",
			Message: "is that of a submission, which has no spec of its own to apply: choose another name"}})
	}
	if err := s.completeSpark(&a); err != nil {
		return err
	}
	accepted, err := s.opts.Spark.Commands.PutSpark(r.Context(), a, opts)
	if err == nil && !opts.DryRun {
		w.Header().Set("ETag", etag(accepted.Generation))
	}
	return s.writeChange(w, accepted, opts.DryRun, err)
}

// listSpark answers summaries: whole specs of many applications are too much.
func (s *Server) listSpark(w http.ResponseWriter, r *http.Request) error {
	withEnded, err := boolParameter(r, "ended", true)
	if err != nil {
		return err
	}
	list, err := s.opts.Spark.Queries.SparkApplications(r.Context())
	if err != nil {
		return err
	}
	out := v1.SparkList{}
	for _, v := range list {
		if withEnded || !submission.Ended(v.Status.Phase) {
			out.Applications = append(out.Applications, v.Summary())
		}
	}
	return s.writeJSON(w, http.StatusOK, out)
}

// application reads one with its secrets hidden.
func (s *Server) application(r *http.Request) (v1.SparkView, error) {
	view, err := s.opts.Spark.Queries.SparkApplication(r.Context(), r.PathValue("name"))
	view.Spec = view.Spec.Redact()
	return view, err
}

func (s *Server) getSpark(w http.ResponseWriter, r *http.Request) error {
	view, err := s.application(r)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag(view.Generation))
	return s.writeJSON(w, http.StatusOK, view)
}

// deleteSpark kills; an application that has ended is forgotten only when that
// is asked for, so that repeating a kill never takes the history away.
func (s *Server) deleteSpark(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if err := confirmed(r, applicationKind, name); err != nil {
		return err
	}
	o, err := sparkOptions(r)
	if err != nil {
		return err
	}
	forget, err := boolParameter(r, "forget", false)
	if err != nil {
		return err
	}
	order := s.opts.Spark.Commands.KillSpark
	if forget {
		order = s.opts.Spark.Commands.RemoveSpark
	}
	accepted, err := order(r.Context(), name, o)
	return s.writeOrder(w, accepted, err)
}

func sparkOptions(r *http.Request) (o SparkOptions, err error) {
	o.User = infoOf(r).user
	o.Message, err = message(r)
	return o, err
}

func (s *Server) listExecutors(w http.ResponseWriter, r *http.Request) error {
	view, err := s.application(r)
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, v1.SparkExecutorList{Scale: view.Status.Scale, Executors: view.Status.List})
}

func (s *Server) sparkMetrics(w http.ResponseWriter, r *http.Request) error {
	view, err := s.application(r)
	if err != nil {
		return err
	}
	m := v1.SparkMetrics{Name: view.Name, Executors: view.Status.Scale}
	if from := s.opts.Spark.Metrics; from != nil {
		m = from.SparkMetrics(view)
	}
	return s.writeJSON(w, http.StatusOK, m)
}

func (s *Server) explainSpark(w http.ResponseWriter, r *http.Request) error {
	view, err := s.opts.Spark.Queries.ExplainSpark(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, view)
}

func (s *Server) scaleSpark(w http.ResponseWriter, r *http.Request) error {
	o, err := sparkOptions(r)
	if err != nil {
		return err
	}
	scaling, err := readDocument(r, v1.DecodeSparkScaling)
	if err != nil {
		return err
	}
	least, most, p := scaling.Bounds()
	if p != nil {
		return p
	}
	return s.scale(w, r, SparkScale{Min: &least, Max: &most}, o)
}

// unscaleSpark puts the spec's own bounds in force again.
func (s *Server) unscaleSpark(w http.ResponseWriter, r *http.Request) error {
	o, err := sparkOptions(r)
	if err != nil {
		return err
	}
	return s.scale(w, r, SparkScale{}, o)
}

func (s *Server) scale(w http.ResponseWriter, r *http.Request, to SparkScale, o SparkOptions) error {
	accepted, err := s.opts.Spark.Commands.ScaleSpark(r.Context(), r.PathValue("name"), to, o)
	return s.writeChange(w, accepted, false, err)
}
