package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
)

// uiRoute is where the UI of an application's driver is shown.
const uiRoute = "/v1/spark/{name}/ui"

// uiTime bounds one answer of a driver's UI.
const uiTime = 2 * time.Minute

// killPaths are what the UI changes: it ends jobs and stages. Spark answers them
// to GET as well, which a page of another site could have a browser send.
var killPaths = []string{"/jobs/job/kill/", "/stages/stage/kill/"}

// driverTransport leads to drivers and nowhere else: through no proxy.
func driverTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Transport{
		DialContext: dialer.DialContext, ResponseHeaderTimeout: 30 * time.Second, TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConns: 256, MaxIdleConnsPerHost: 8, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
	}
}

// uiRoutes show drivers' UIs below Berth's own paths.
func (s *Server) uiRoutes() []route {
	page := s.uiPage()
	page.path = uiRoute + "/{path...}"
	bare := route{method: "GET", path: uiRoute, access: accessRead, browser: true, anyQuery: true, handle: func(w http.ResponseWriter, r *http.Request) error {
		http.Redirect(w, r, r.URL.EscapedPath()+"/", http.StatusFound)
		return nil
	}}
	routes := []route{bare, page}
	for _, path := range killPaths {
		kill := s.uiKill()
		kill.path = uiRoute + path + "{$}"
		routes = append(routes, kill)
	}
	return routes
}

func (s *Server) uiPage() route {
	return route{method: "GET", access: accessRead, browser: true, anyQuery: true, stream: true, handle: s.showUI, away: s.uiAway}
}

func (s *Server) uiKill() route {
	return route{method: "POST", access: accessOperator, browser: true, anyQuery: true, stream: true, handle: s.showUI, away: s.uiAway}
}

// uiHosts answers names below the UI's domain: each application's driver has a
// name of its own there, so that its pages cannot reach Berth's.
func (s *Server) uiHosts(next http.Handler) http.Handler {
	if s.opts.Spark == nil || s.opts.Spark.UIDomain == "" {
		return next
	}
	page, kill := s.uiPage(), s.uiKill()
	page.path, kill.path = "UI host", "UI host kill"
	show, end := s.serveRoute(page), s.serveRoute(kill)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, below := strings.CutSuffix(strings.ToLower(hostOf(r.Host)), "."+strings.ToLower(s.opts.Spark.UIDomain))
		if !below {
			next.ServeHTTP(w, r)
			return
		}
		r.SetPathValue("name", name)
		r = r.WithContext(context.WithValue(r.Context(), uiHostKey{}, true))
		switch {
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			show.ServeHTTP(w, r)
		case r.Method == http.MethodPost && slices.Contains(killPaths, r.URL.Path):
			end.ServeHTTP(w, r)
		default:
			w.Header().Set("Allow", "GET, HEAD")
			s.writeProblem(w, r, v1.NewProblem(http.StatusMethodNotAllowed, v1.CodeMethodNotAllowed, "the method is not allowed", "a driver's UI answers to GET and HEAD"))
		}
	})
}

// uiHostKey marks a request that came to an application's own name.
type uiHostKey struct{}

// uiPlace says where a request stands in its UI: what goes before the UI's own
// paths ("" under a name of its own), and the path itself, both escaped.
func uiPlace(r *http.Request) (base, path string) {
	if r.Context().Value(uiHostKey{}) != nil {
		return "", r.URL.EscapedPath()
	}
	base = strings.Replace(uiRoute, "{name}", url.PathEscape(r.PathValue("name")), 1)
	return base, strings.TrimPrefix(r.URL.EscapedPath(), base)
}

// uiAway sends a browser to the leader, where the UI is below a path: the
// leader's certificate may not know the names.
func (s *Server) uiAway(w http.ResponseWriter, r *http.Request, leader string) {
	if base, path := uiPlace(r); leader != "" && base == "" {
		base = strings.Replace(uiRoute, "{name}", url.PathEscape(r.PathValue("name")), 1)
		http.Redirect(w, r, strings.TrimSuffix(leader, "/")+base+path, http.StatusTemporaryRedirect)
		return
	}
	s.sendToLeader(w, r, leader)
}

// showUI passes a request on to the driver that is registered, at the address
// that Mesos gave it, and to nothing else.
func (s *Server) showUI(w http.ResponseWriter, r *http.Request) error {
	base, path := uiPlace(r)
	if r.Method != http.MethodPost && strings.Contains(path, "/kill") {
		return v1.NewProblem(http.StatusMethodNotAllowed, v1.CodeMethodNotAllowed, "the method is not allowed", "jobs and stages are killed by POST")
	}
	name := r.PathValue("name")
	view, err := s.opts.Spark.Queries.SparkApplication(r.Context(), name)
	if err != nil {
		return err
	}
	target, err := view.Status.UIAddress()
	if err != nil {
		return v1.ProblemConflict("the application shows no UI", fmt.Sprintf("application %q: %s", name, err))
	}
	select {
	case s.uis <- struct{}{}:
		defer func() { <-s.uis }()
	default:
		w.Header().Set("Retry-After", "2")
		return v1.NewProblem(http.StatusServiceUnavailable, v1.CodeStreamsExhausted, "too many UIs are asked", "this Berth asks as many drivers as it may: try again")
	}
	ctx, cancel := context.WithTimeout(r.Context(), uiTime)
	defer cancel()
	w.Header().Del("Cache-Control") // what the driver says counts
	var failed error
	proxy := &httputil.ReverseProxy{
		Transport: s.toDrivers,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.Out.URL.RawPath = path
			p.Out.URL.Path, _ = url.PathUnescape(path) // it was escaped
			forwarded(p, base)
		},
		ModifyResponse: func(res *http.Response) error {
			s.fromDriver(res, r, base, target)
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}
	proxy.ServeHTTP(newPatientWriter(w, s.limits.WriteTimeout), r.WithContext(ctx))
	if failed != nil {
		w.Header().Set("Cache-Control", "no-store")
		return v1.ProblemUnavailable(fmt.Sprintf("the driver's UI at %s does not answer: %s", target.Host, failed))
	}
	return nil
}

// forwarded tells the UI where its pages are seen, and keeps the caller's
// credentials from it.
func forwarded(p *httputil.ProxyRequest, base string) {
	for _, name := range []string{"Authorization", "Cookie", "Upgrade", "Connection", "X-Forwarded-Context", "X-Forwarded-Prefix", HeaderMessage} {
		p.Out.Header.Del(name)
	}
	p.SetXForwarded()
	if base != "" {
		p.Out.Header.Set("X-Forwarded-Context", base) // Spark puts it before its links
	}
}

// ofBerth are headers with which a driver would speak for Berth's own address.
var ofBerth = []string{"Set-Cookie", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
	"Access-Control-Allow-Methods", "Strict-Transport-Security", "Clear-Site-Data", "Service-Worker-Allowed", "WWW-Authenticate", "Alt-Svc",
	"Content-Security-Policy", "Content-Security-Policy-Report-Only"}

// fromDriver makes a driver's answer one that Berth can give.
func (s *Server) fromDriver(res *http.Response, r *http.Request, base string, target *url.URL) {
	for _, name := range ofBerth {
		res.Header.Del(name)
	}
	if res.Header.Get("Cache-Control") == "" {
		res.Header.Set("Cache-Control", "no-store")
	}
	if at, err := url.Parse(res.Header.Get("Location")); err == nil && res.Header.Get("Location") != "" {
		own := at.Host == "" || at.Host == target.Host || at.Host == r.Host
		if own && strings.HasPrefix(at.Path, "/") {
			if at.Path != base && !strings.HasPrefix(at.Path, base+"/") {
				at.Path, at.RawPath = base+at.Path, ""
			}
			at.Scheme, at.Host, at.User = "", "", nil
			res.Header.Set("Location", at.String())
		}
	}
	if base != "" {
		res.Header.Set("Content-Security-Policy", confined(r.Host+base+"/"))
	}
}

// confined is the policy for pages of a program that share their address with
// Berth's API: they may ask for what is below their own path, and cannot open or
// embed another page of it.
func confined(place string) string {
	return "sandbox allow-same-origin allow-scripts allow-forms allow-downloads; connect-src " + place + "; form-action " + place +
		"; frame-src 'none'; worker-src 'none'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
}
