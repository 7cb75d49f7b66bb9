package server

import "net/http"

func (s *Server) listUnknownTasks(w http.ResponseWriter, r *http.Request) error {
	list, err := s.opts.Queries.UnknownTasks(r.Context())
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, list)
}

func (s *Server) killUnknownTask(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := confirmed(r, "task", id); err != nil {
		return err
	}
	o := TaskOptions{Confirm: id, User: infoOf(r).user}
	var err error
	if o.Message, err = message(r); err != nil {
		return err
	}
	accepted, err := s.opts.Commands.KillUnknownTask(r.Context(), id, o)
	return s.writeOrder(w, accepted, err)
}

func (s *Server) keepUnknownTask(w http.ResponseWriter, r *http.Request) error {
	o := TaskOptions{User: infoOf(r).user}
	var err error
	if o.Message, err = message(r); err != nil {
		return err
	}
	accepted, err := s.opts.Commands.KeepUnknownTask(r.Context(), r.PathValue("id"), o)
	return s.writeOrder(w, accepted, err)
}
