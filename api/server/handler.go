package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	v1 "github.com/berthdata/berth/api/v1"
)

// requestInfo is what the inner layers tell the outer ones about a request.
type requestInfo struct {
	route string // the pattern, for metrics and logs
	path  string // what the log may show of the URL
	user  string
	// trusted: an anonymous caller that its network lets in.
	trusted bool
	status  int // of the answer, 0 until it began
	bytes   int64
}

type infoKey struct{}

func infoOf(r *http.Request) *requestInfo {
	info, _ := r.Context().Value(infoKey{}).(*requestInfo)
	return info
}

// routeUnknown is the metrics' label of requests that no route takes.
const routeUnknown = "unknown"

func (s *Server) buildHandler(routes []route) http.Handler {
	mux := http.NewServeMux()
	for _, rt := range routes {
		mux.Handle(rt.method+" "+rt.path, s.serveRoute(rt))
	}
	return s.observed(s.uiHosts(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern == "" {
			s.noRoute(w, r, h)
			return
		}
		mux.ServeHTTP(w, r)
	})))
}

// observed is the outermost layer: it counts, logs, recovers, and sets the
// deadline for the whole answer. Queries and headers are never logged, nor the
// path of a route whose path carries a token.
func (s *Server) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		info := &requestInfo{route: routeUnknown}
		r = r.WithContext(context.WithValue(r.Context(), infoKey{}, info))
		out := &answer{ResponseWriter: w, info: info}
		// An error here means that the writer has no deadlines (a recorder).
		_ = http.NewResponseController(w).SetWriteDeadline(began.Add(s.limits.RequestTimeout + s.limits.WriteTimeout))
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")

		defer func() {
			failure := recover()
			begun := info.status != 0
			if failure != nil && failure != http.ErrAbortHandler {
				s.log.Error("a request handler panicked",
					zap.String("route", info.route), zap.Any("panic", failure), zap.ByteString("stack", debug.Stack()))
				if !begun {
					s.writeProblem(out, r, v1.NewProblem(http.StatusInternalServerError, v1.CodeInternal,
						"Berth failed to answer", "the cause is in Berth's log"))
				}
			}
			took := time.Since(began)
			s.metrics.observe(info.route, knownMethod(r.Method), info.status, took)
			s.log.Debug("request", zap.String("method", knownMethod(r.Method)), zap.String("route", info.route),
				zap.String("path", info.path), zap.Int("status", info.status), zap.Int64("bytes", info.bytes),
				zap.Duration("took", took), zap.String("user", info.user), zap.String("remote", r.RemoteAddr))
			if failure != nil && (begun || failure == http.ErrAbortHandler) {
				// Half an answer went out: cutting the connection is the only
				// way to tell the client.
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(out, r)
	})
}

// knownMethod keeps made-up methods out of metrics and logs.
func knownMethod(m string) string {
	known := []string{"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"}
	if slices.Contains(known, m) {
		return m
	}
	return "other"
}

// noRoute answers what the mux has no route for: it asks the mux's own handler
// whether that is a wrong method or an unknown path.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request, h http.Handler) {
	probe := &statusProbe{header: http.Header{}}
	h.ServeHTTP(probe, r)
	if s.noSubmissionRoute(w, r, probe) {
		return
	}
	if probe.status == http.StatusMethodNotAllowed {
		allow := probe.header.Get("Allow")
		w.Header().Set("Allow", allow)
		s.writeProblem(w, r, v1.NewProblem(http.StatusMethodNotAllowed, v1.CodeMethodNotAllowed,
			"the method is not allowed", "this path answers to "+allow))
		return
	}
	s.writeProblem(w, r, v1.NewProblem(http.StatusNotFound, v1.CodeNotFound,
		"no such path", "the API's paths are listed in /openapi.yaml"))
}

type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }

// serveRoute is what all requests of one route pass: Host and origin, caller,
// rate, leadership, query; then the handler.
func (s *Server) serveRoute(rt route) http.Handler {
	fail, away, timeout := rt.fail, rt.away, rt.timeout
	if fail == nil {
		fail = s.writeProblem
	}
	if away == nil {
		away = s.sendToLeader
	}
	if timeout == 0 {
		timeout = s.limits.RequestTimeout
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := infoOf(r)
		info.route, info.path = rt.path, r.URL.Path
		if rt.secretPath {
			info.path = rt.path
		}
		if err := s.admit(rt, w, r); err != nil {
			fail(w, r, err)
			return
		}
		if !rt.local && s.opts.LeaderRedirect != nil {
			if leading, leader := s.opts.LeaderRedirect(r.Context()); !leading {
				away(w, r, leader)
				return
			}
		}
		if !rt.anyQuery {
			if err := checkQuery(r, rt.query); err != nil {
				fail(w, r, err)
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, v1.MaxDocument)
		if !rt.stream {
			ctx, cancel := context.WithTimeout(r.Context(), timeout)
			defer cancel()
			r = r.WithContext(ctx)
		}
		if err := rt.handle(w, r); err != nil {
			fail(w, r, err)
		}
	})
}

// admit decides whether the caller may use the route.
func (s *Server) admit(rt route, w http.ResponseWriter, r *http.Request) error {
	if rt.access == accessPublic || rt.access == accessDriver {
		return nil
	}
	// A page in a browser must not reach through to a Berth on loopback:
	// neither by a cross-site request nor by a name that resolves to it.
	if err := s.origin.Check(r); err != nil {
		return v1.NewProblem(http.StatusForbidden, v1.CodeHostRefused, "the request is refused", "it comes from a page of another site")
	}
	who, err := s.authenticate(rt, r)
	if err != nil {
		if !s.clients.allow("address " + remoteHost(r)) {
			return s.tooFast(w)
		}
		refusal := s.unauthenticated(w, err)
		if rt.browser {
			w.Header().Add("WWW-Authenticate", `Basic realm="Berth: any name, and a token as the password", charset="UTF-8"`)
		}
		return refusal
	}
	infoOf(r).user, infoOf(r).trusted = who.User, who.trusted
	key := "user " + who.User
	if who.Anonymous && !who.trusted {
		if host := hostOf(r.Host); !s.opts.Insecure && !isLoopback(host) && !belowLocalhost(host) {
			return v1.NewProblem(http.StatusForbidden, v1.CodeHostRefused, "the request is refused",
				"without bearer tokens Berth answers on loopback only: use http://127.0.0.1:PORT, not another name of this host")
		}
	}
	if who.Anonymous {
		key = "address " + remoteHost(r)
	}
	if !s.clients.allow(key) {
		return s.tooFast(w)
	}
	if rt.access != accessRead && who.Scope != ScopeOperator {
		return v1.NewProblem(http.StatusForbidden, v1.CodeForbidden, "not allowed",
			"the token's scope is "+string(who.Scope)+"; changes want the scope "+string(ScopeOperator))
	}
	return nil
}

// belowLocalhost: names below localhost lead to loopback whatever a name server
// says (RFC 6761), so no page can point one of its own at it.
func belowLocalhost(host string) bool {
	return strings.HasSuffix(strings.ToLower(host), ".localhost")
}

func (s *Server) unauthenticated(w http.ResponseWriter, err error) error {
	if !errors.Is(err, ErrNoCredentials) && !errors.Is(err, ErrBadCredentials) {
		return err
	}
	w.Header().Add("WWW-Authenticate", `Bearer realm="berth"`)
	return v1.NewProblem(http.StatusUnauthorized, v1.CodeUnauthenticated, "the caller is not known",
		err.Error()+": send \"Authorization: Bearer TOKEN\" with a token of this Berth")
}

func (s *Server) tooFast(w http.ResponseWriter) error {
	w.Header().Set("Retry-After", "1")
	return v1.NewProblem(http.StatusTooManyRequests, v1.CodeRateLimited, "too many requests",
		"this client sends more than its share: wait a second")
}

// sendToLeader redirects with 307, which keeps method and body. The leader's
// address comes from the election, never from the request.
func (s *Server) sendToLeader(w http.ResponseWriter, r *http.Request, leader string) {
	if leader == "" {
		w.Header().Set("Retry-After", "2")
		s.writeProblem(w, r, v1.ProblemNotLeader())
		return
	}
	w.Header().Set("Location", strings.TrimSuffix(leader, "/")+r.URL.RequestURI())
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// checkQuery refuses unknown and doubled parameters: a misspelt dryRun must not
// change anything.
func checkQuery(r *http.Request, allowed []string) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("the query cannot be read: " + err.Error())
	}
	for name, values := range query {
		if !slices.Contains(allowed, name) {
			p := badRequest("unknown query parameter")
			p.Fields = []v1.FieldError{{Field: "?" + name, Message: "is not known here; allowed: " + orNone(allowed)}}
			return p
		}
		if len(values) > 1 {
			p := badRequest("doubled query parameter")
			p.Fields = []v1.FieldError{{Field: "?" + name, Message: "is given more than once"}}
			return p
		}
	}
	return nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func badRequest(detail string) *v1.Problem {
	return v1.NewProblem(http.StatusBadRequest, v1.CodeRequestInvalid, "the request is not valid", detail)
}

func remoteHost(r *http.Request) string { return hostOf(r.RemoteAddr) }

func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

// answer notes what was answered.
type answer struct {
	http.ResponseWriter
	info *requestInfo
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	if a.info.status == 0 {
		a.info.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.info.status == 0 {
		a.info.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(b)
	a.info.bytes += int64(n)
	return n, err
}
