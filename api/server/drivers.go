package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
)

const (
	driverApps = "/v1/spark/apps"
	routeSync  = driverApps + "/{appId}/sync"
	// syncGrace is how much longer than the driver wants to wait a sync may take.
	syncGrace = 5 * time.Second
)

// driverRoutes are the calls of drivers' backends (docs/spark-protocol.md). The
// token is judged by the handlers: a follower has no key, and sends the driver
// to the leader.
func (s *Server) driverRoutes() []route {
	of := func(method, path string, handle func(http.ResponseWriter, *http.Request) error) route {
		return route{method: method, path: driverApps + path, access: accessDriver, handle: handle}
	}
	sync := of("POST", "/{appId}/sync", s.syncDriver)
	sync.stream = true
	return []route{
		of("POST", "", s.registerDriver),
		of("PUT", "/{appId}/target", s.setTarget),
		of("POST", "/{appId}/kill", s.killExecutors),
		of("POST", "/{appId}/unregister", s.unregisterDriver),
		sync,
	}
}

// fromDriver reads and checks a driver's document. Fields that are not known are
// ignored: an old backend and a new Berth understand each other.
func fromDriver[T interface{ Check() *v1.Problem }](s *Server, w http.ResponseWriter, r *http.Request, id func(T) string) (T, error) {
	var doc, none T
	appID := r.PathValue("appId")
	token, given := bearer(r)
	if !given {
		return none, s.refuseDriver(w, r, ErrNoCredentials)
	}
	if appID != "" {
		if err := s.admitDriver(w, r, appID, token); err != nil {
			return none, err
		}
	} else if !s.clients.allow("address " + remoteHost(r)) {
		return none, s.tooFast(w) // whose call this is stands in the body
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return none, err
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return none, v1.NewProblem(http.StatusBadRequest, v1.CodeBodyMalformed, "the document is not JSON of the protocol", err.Error())
	}
	if appID == "" {
		if err := s.admitDriver(w, r, id(doc), token); err != nil {
			return none, err
		}
	}
	if p := doc.Check(); p != nil {
		return none, p
	}
	return doc, nil
}

// admitDriver lets the bearer of an application's token in, as often as any
// other client.
func (s *Server) admitDriver(w http.ResponseWriter, r *http.Request, appID, token string) error {
	if !v1.SparkAppID(appID) || !s.opts.Spark.Drivers.Admits(appID, token) {
		return s.refuseDriver(w, r, ErrBadCredentials)
	}
	infoOf(r).user = "driver " + appID
	if !s.clients.allow("driver " + appID) {
		return s.tooFast(w)
	}
	return nil
}

func (s *Server) refuseDriver(w http.ResponseWriter, r *http.Request, err error) error {
	if !s.clients.allow("address " + remoteHost(r)) {
		return s.tooFast(w)
	}
	return s.unauthenticated(w, err)
}

// driverCall decodes, calls the port and answers.
func driverCall[In interface{ Check() *v1.Problem }, Out any](s *Server, w http.ResponseWriter, r *http.Request,
	call func(ctx context.Context, appID string, in In) (Out, error)) error {
	in, err := fromDriver[In](s, w, r, nil)
	if err != nil {
		return err
	}
	out, err := call(r.Context(), r.PathValue("appId"), in)
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, out)
}

func (s *Server) registerDriver(w http.ResponseWriter, r *http.Request) error {
	in, err := fromDriver(s, w, r, func(r v1.SparkRegistration) string { return r.AppID })
	if err != nil {
		return err
	}
	out, err := s.opts.Spark.Drivers.Register(r.Context(), in)
	if err != nil {
		return err
	}
	return s.writeJSON(w, http.StatusOK, out)
}

func (s *Server) setTarget(w http.ResponseWriter, r *http.Request) error {
	return driverCall(s, w, r, s.opts.Spark.Drivers.SetTarget)
}

func (s *Server) killExecutors(w http.ResponseWriter, r *http.Request) error {
	return driverCall(s, w, r, s.opts.Spark.Drivers.KillExecutors)
}

func (s *Server) unregisterDriver(w http.ResponseWriter, r *http.Request) error {
	return driverCall(s, w, r, s.opts.Spark.Drivers.Unregister)
}

// syncDriver holds the call until there is news. How many are held is bounded,
// and each ends with its time, its driver's connection, or this server.
func (s *Server) syncDriver(w http.ResponseWriter, r *http.Request) error {
	return driverCall(s, w, r, func(ctx context.Context, appID string, in v1.SparkSync) (v1.SparkSynced, error) {
		select {
		case s.syncs <- struct{}{}:
			defer func() { <-s.syncs }()
		default:
			w.Header().Set("Retry-After", "5")
			return v1.SparkSynced{}, v1.NewProblem(http.StatusServiceUnavailable, v1.CodeStreamsExhausted, "too many drivers wait",
				"this Berth holds as many calls as it may: try again")
		}
		s.metrics.syncs.Inc()
		defer s.metrics.syncs.Dec()
		ctx, cancel := context.WithTimeout(ctx, time.Duration(in.WaitMs)*time.Millisecond+syncGrace)
		defer cancel()
		if stopped, ok := r.Context().Value(stopKey{}).(context.Context); ok {
			defer context.AfterFunc(stopped, cancel)()
		}
		out, err := s.opts.Spark.Drivers.Sync(ctx, appID, in)
		if errors.Is(err, context.Canceled) {
			return out, v1.ProblemNotLeader() // this server ends: another one goes on
		}
		return out, err
	})
}
