package server

import (
	"errors"
	"io"
	"mime"
	"net/http"

	v1 "github.com/berthdata/berth/api/v1"
)

func (s *Server) replaceNode(w http.ResponseWriter, r *http.Request) error {
	o := ReplaceOptions{User: infoOf(r).user}
	var err error
	if o.Message, err = message(r); err != nil {
		return err
	}
	if o.DryRun, err = boolParameter(r, "dryRun", false); err != nil {
		return err
	}
	body, err := readReplaceRequest(r)
	if err != nil {
		return err
	}
	o.AcceptDataLoss = body.AcceptDataLoss
	accepted, err := s.opts.Commands.ReplaceNode(r.Context(), r.PathValue("name"), r.PathValue("node"), o)
	return s.writeChange(w, accepted, o.DryRun, err)
}

func (s *Server) cancelReplacement(w http.ResponseWriter, r *http.Request) error {
	o := ReplaceOptions{User: infoOf(r).user}
	var err error
	if o.Message, err = message(r); err != nil {
		return err
	}
	accepted, err := s.opts.Commands.CancelReplacement(r.Context(), r.PathValue("name"), r.PathValue("node"), o)
	return s.writeOrder(w, accepted, err)
}

// readReplaceRequest reads the body of an order to replace a node, in JSON. Most
// orders have none.
func readReplaceRequest(r *http.Request) (v1.ReplaceRequest, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return v1.ReplaceRequest{}, err
		}
		return v1.ReplaceRequest{}, badRequest("the body could not be read to its end")
	}
	if len(body) == 0 {
		return v1.ReplaceRequest{}, nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return v1.ReplaceRequest{}, v1.NewProblem(http.StatusUnsupportedMediaType, v1.CodeBodyType, "the body's type is not known",
			"send Content-Type: application/json, or no body")
	}
	request, p := v1.DecodeReplaceRequest(body)
	if p != nil {
		return v1.ReplaceRequest{}, p
	}
	return request, nil
}
