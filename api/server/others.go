package server

import (
	"errors"
	"io/fs"
	"net/http"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
)

func (s *Server) listAgents(w http.ResponseWriter, r *http.Request) error {
	list, err := s.opts.Queries.Agents(r.Context())
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, v1.AgentList{Agents: list})
}

// getArtifact serves a file to an agent's fetcher. Only the task's token opens
// it; a wrong one looks like an unknown file.
func (s *Server) getArtifact(w http.ResponseWriter, r *http.Request) error {
	unknown := v1.NewProblem(http.StatusNotFound, v1.CodeNotFound, "no such artifact", "")
	if s.opts.Artifacts == nil {
		return unknown
	}
	file := r.PathValue("file")
	content, modified, _, err := s.opts.Artifacts.Open(r.PathValue("taskId"), r.PathValue("token"), file)
	if errors.Is(err, fs.ErrNotExist) {
		return unknown
	}
	if err != nil {
		return err
	}
	defer content.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(newPatientWriter(w, s.limits.WriteTimeout), r, file, modified, content)
	return nil
}

// patientWriter gives each write its own deadline, so that a large file may
// take as long as the client keeps reading, and no longer.
type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func newPatientWriter(w http.ResponseWriter, timeout time.Duration) *patientWriter {
	return &patientWriter{ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout}
}

func (p *patientWriter) Write(b []byte) (int, error) {
	// An error here means that the writer has no deadlines (a recorder).
	_ = p.control.SetWriteDeadline(time.Now().Add(p.timeout))
	return p.ResponseWriter.Write(b)
}

func (s *Server) getHealth(w http.ResponseWriter, _ *http.Request) error {
	return s.writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (s *Server) getReadiness(w http.ResponseWriter, r *http.Request) error {
	readiness := s.opts.Queries.Readiness(r.Context())
	status := http.StatusOK
	if !readiness.Ready {
		status = http.StatusServiceUnavailable
	}
	return s.writeJSON(w, status, readiness)
}

func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) error {
	if s.opts.Metrics == nil {
		return v1.NewProblem(http.StatusNotFound, v1.CodeNotFound, "no metrics", "this Berth was started without metrics")
	}
	s.opts.Metrics.ServeHTTP(w, r)
	return nil
}
