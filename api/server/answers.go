package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"go.uber.org/zap"

	v1 "github.com/berthdata/berth/api/v1"
)

// writeJSON answers with a document. It is encoded first, so that a failure
// still becomes a problem and not half an answer.
func (s *Server) writeJSON(w http.ResponseWriter, status int, body any) error {
	return s.write(w, status, "application/json", withEmptyLists(body))
}

func (s *Server) write(w http.ResponseWriter, status int, contentType string, body any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	content = append(content, '\n')
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(status)
	// A failed write means that the client has gone: there is nobody to tell.
	_, _ = w.Write(content)
	return nil
}

// writeOrder answers an order: what was accepted is stored, and is worked on.
func (s *Server) writeOrder(w http.ResponseWriter, accepted v1.Accepted, err error) error {
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusAccepted, accepted)
}

// writeChange answers a change as writeOrder does, or with 200 when there is
// nothing to work on: nothing changes, or nothing was meant to.
func (s *Server) writeChange(w http.ResponseWriter, accepted v1.Accepted, dryRun bool, err error) error {
	if err == nil && (!accepted.Changed || dryRun) {
		return s.writeJSON(w, http.StatusOK, accepted)
	}
	return s.writeOrder(w, accepted, err)
}

// writeProblem answers with what the caller may know of err; the rest is logged.
func (s *Server) writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problemOf(r, err)
	if err := s.write(w, p.Status, "application/problem+json", p); err != nil {
		s.log.Error("a problem document could not be written", zap.Error(err))
	}
}

func (s *Server) problemOf(r *http.Request, err error) *v1.Problem {
	var p *v1.Problem
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		if p.Status < 400 || p.Status > 599 {
			s.log.Error("a problem carries a status that is no error", zap.Int("status", p.Status), zap.String("code", p.Code))
			return v1.NewProblem(http.StatusInternalServerError, p.Code, p.Title, p.Detail)
		}
		return p
	case errors.As(err, &tooLarge):
		return v1.NewProblem(http.StatusRequestEntityTooLarge, v1.CodeBodyTooLarge, "the document is too large",
			"at most "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes are read")
	case errors.Is(err, context.DeadlineExceeded):
		return v1.NewProblem(http.StatusGatewayTimeout, v1.CodeTimeout, "no answer in time",
			"a change may or may not have happened: repeating the request is safe")
	case errors.Is(err, context.Canceled):
		return v1.ProblemUnavailable("the request was given up")
	}
	s.log.Error("a request failed", zap.String("route", infoOf(r).route), zap.Error(err))
	return v1.NewProblem(http.StatusInternalServerError, v1.CodeInternal, "Berth failed to answer", "the cause is in Berth's log")
}

// withEmptyLists returns a copy of a wire value in which lists and maps that
// are always present are empty instead of nil, so that no client meets null
// where the document promises a list. It never writes to its argument, whose
// parts the owner of the state may share.
func withEmptyLists(body any) any {
	return filled(reflect.ValueOf(body)).Interface()
}

func filled(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type().PkgPath() != reflect.TypeFor[v1.Event]().PkgPath() {
			return v // time.Time and the like
		}
		out := reflect.New(v.Type()).Elem()
		for i := range v.NumField() {
			f := v.Field(i)
			if f.Kind() == reflect.Map && f.IsNil() && !omitted(v.Type().Field(i)) {
				f = reflect.MakeMap(f.Type())
			} else if f.Kind() == reflect.Slice && f.IsNil() && !omitted(v.Type().Field(i)) {
				f = reflect.MakeSlice(f.Type(), 0, 0)
			}
			out.Field(i).Set(filled(f))
		}
		return out
	case reflect.Slice:
		if v.IsNil() || v.Type().Elem().Kind() != reflect.Struct {
			return v
		}
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(filled(v.Index(i)))
		}
		return out
	default:
		return v
	}
}

func omitted(f reflect.StructField) bool {
	return strings.HasSuffix(f.Tag.Get("json"), ",omitempty")
}
