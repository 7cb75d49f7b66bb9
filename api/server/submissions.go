package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/berthdata/berth/api/submission"
	v1 "github.com/berthdata/berth/api/v1"
)

const (
	submissions = "/" + submission.Version + "/submissions"
	// submissionTries is how often a name that is taken is drawn anew.
	submissionTries = 3
	// submissionCrowd is how many orders of killall and clear go on at once.
	submissionCrowd = 16
)

// submissionRoutes are Spark's REST submission protocol.
func (s *Server) submissionRoutes() []route {
	of := func(method, path string, a access, action string, handle func(http.ResponseWriter, *http.Request) error) route {
		return route{method: method, path: submissions + path, access: a, timeout: s.limits.SubmissionTimeout, handle: handle,
			fail: s.writeSubmissionError, away: func(w http.ResponseWriter, r *http.Request, leader string) { s.standby(w, r, action, leader) }}
	}
	ready := of("GET", "/readyz", accessPublic, submission.ReadyzResponse, s.submissionsReady)
	ready.local = true
	return []route{
		of("POST", "/create", accessSubmission, submission.CreateResponse, s.createSubmission),
		of("GET", "/status/{id}", accessSubmission, submission.StatusResponse, s.submissionStatus),
		of("POST", "/kill/{id}", accessSubmission, submission.KillResponse, s.killSubmission),
		of("POST", "/killall", accessOperator, submission.KillAllResponse, s.killSubmissions),
		of("POST", "/clear", accessOperator, submission.ClearResponse, s.clearSubmissions),
		ready,
	}
}

// authenticate finds out who calls. Browsers send the token as a password. On
// routes of the submission protocol a
// caller without credentials is known by the network that it comes from.
func (s *Server) authenticate(rt route, r *http.Request) (Identity, error) {
	if rt.access == accessSubmission && r.Header.Get("Authorization") == "" && s.submits(r) {
		return Identity{User: "submitter@" + remoteHost(r), Scope: ScopeOperator, Anonymous: true, trusted: true}, nil
	}
	if _, token, basic := r.BasicAuth(); rt.browser && basic {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return s.opts.Auth.Authenticate(r)
}

// submits reports whether a request comes from a trusted network and from no
// browser: a page that somebody there looks at must not submit.
func (s *Server) submits(r *http.Request) bool {
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return false
	}
	addr, err := netip.ParseAddr(remoteHost(r))
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(s.opts.Spark.SubmittersFrom, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// bySubmission says whether an anonymous caller may see and end an application:
// only those that were submitted as it may do itself.
func bySubmission(r *http.Request) bool {
	return !infoOf(r).trusted || v1.SparkSubmissionName.MatchString(r.PathValue("id"))
}

// serverVersion goes into every answer: clients demand one and do not judge it.
func (s *Server) serverVersion() string {
	if v := s.opts.Spark.Versions; len(v) > 0 {
		return v[len(v)-1]
	}
	return "none"
}

func (s *Server) respond(w http.ResponseWriter, status int, a submission.Response) error {
	a.ServerSparkVersion = s.serverVersion()
	return s.write(w, status, "application/json", a)
}

func answered(action string, success bool, message string) submission.Response {
	return submission.Response{Action: action, Success: &success, Message: message}
}

// writeSubmissionError answers in the form in which clients show a message to
// their user; a refusal with 200 they would not show at all.
func (s *Server) writeSubmissionError(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problemOf(r, err)
	if err := s.respond(w, p.Status, submission.Response{Action: submission.ErrorResponse, Message: p.Error()}); err != nil {
		s.log.Error("an error of the submission protocol could not be written", zap.Error(err))
	}
}

// standby answers for a Berth that does not lead. Clients follow a redirect to
// plain HTTP, and ask the next of several masters when they read its message.
func (s *Server) standby(w http.ResponseWriter, r *http.Request, action, leader string) {
	a := answered(action, false, submission.Standby+"Another Berth leads: "+leader)
	if leader == "" {
		a.Message = submission.Standby + "No leader is known at the moment: try again in a few seconds"
	}
	a.SubmissionID = r.PathValue("id")
	status := http.StatusOK
	if strings.HasPrefix(leader, "http://") {
		w.Header().Set("Location", strings.TrimSuffix(leader, "/")+r.URL.RequestURI())
		status = http.StatusTemporaryRedirect
	}
	if err := s.respond(w, status, a); err != nil {
		s.log.Error("an answer of the submission protocol could not be written", zap.Error(err))
	}
}

// noSubmissionRoute answers below the protocol's paths what no route takes, in
// the protocol's own way.
func (s *Server) noSubmissionRoute(w http.ResponseWriter, r *http.Request, probe *statusProbe) bool {
	if s.opts.Spark == nil {
		return false
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) < 2 || parts[1] != "submissions" {
		return false
	}
	status, a := http.StatusBadRequest, submission.Response{Action: submission.ErrorResponse}
	switch {
	case parts[0] != submission.Version:
		status = submission.StatusUnknownVersion
		a.HighestProtocolVersion = submission.Version
		a.Message = fmt.Sprintf("Unknown protocol version '%s'.", short(parts[0]))
	case probe.status == http.StatusMethodNotAllowed:
		status = probe.status
		w.Header().Set("Allow", probe.header.Get("Allow"))
		a.Message = "This path answers to " + probe.header.Get("Allow") + "."
	case len(parts) == 3 && (parts[2] == "kill" || parts[2] == "status"):
		a.Message = fmt.Sprintf("Submission ID is missing in %s request.", parts[2])
	default:
		a.Message = "Missing an action: please specify one of /create, /kill, /killall, /clear, /status or /readyz."
	}
	a.Message += " Please submit requests through http://[host]:[port]" + submissions + "/..."
	if err := s.respond(w, status, a); err != nil {
		s.log.Error("an answer of the submission protocol could not be written", zap.Error(err))
	}
	return true
}

func (s *Server) createSubmission(w http.ResponseWriter, r *http.Request) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return v1.NewProblem(http.StatusUnsupportedMediaType, v1.CodeBodyType, "the body's type is not known", "send Content-Type: application/json")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	request, unknown, err := submission.Decode(body)
	if err != nil {
		return v1.NewProblem(http.StatusBadRequest, v1.CodeBodyInvalid, "Malformed request", err.Error())
	}
	spark := s.opts.Spark
	installation := submission.Installation{Versions: spark.Versions, Defaults: spark.Defaults}
	for try := 1; ; try++ {
		a, notes, p := request.Application(submissionName(), installation)
		if p != nil {
			return p
		}
		if err := s.completeSpark(&a); err != nil {
			return err
		}
		none := int64(0)
		o := PutOptions{IfGeneration: &none, User: infoOf(r).user, Message: "submitted by a client of Spark " + short(request.ClientSparkVersion)}
		_, err := spark.Commands.PutSpark(r.Context(), a, o)
		var taken *v1.Problem
		if errors.As(err, &taken) && taken.Code == v1.CodeGenerationMismatch && try < submissionTries {
			continue
		}
		if err != nil {
			return err
		}
		answer := answered(submission.CreateResponse, true, accepted(a, notes))
		answer.SubmissionID, answer.UnknownFields = a.Name, unknown
		return s.respond(w, http.StatusOK, answer)
	}
}

// completeSpark sets what an application's document leaves out, and checks it.
func (s *Server) completeSpark(a *v1.SparkApplication) error {
	a.SetDefaults()
	if roles := s.opts.Validation.Roles; a.Spec.Role == "" && len(roles) > 0 {
		a.Spec.Role = roles[0]
	}
	if p := a.Validate(s.opts.Validation); p != nil {
		return p
	}
	return nil
}

// accepted tells the client's user what was made of the request.
func accepted(a v1.SparkApplication, notes []string) string {
	e := a.Spec.Executors
	least, most := e.Bounds()
	number := fmt.Sprint(least)
	if most != least {
		number = fmt.Sprintf("%d to %d", least, most)
	}
	text := fmt.Sprintf("Berth has taken the application as %s, on Spark %s: driver of %g cpus and %s heap, executors: %s of %d cores and %s heap",
		a.Name, a.Spec.Version, a.Spec.Driver.CPUs, a.Spec.Driver.Memory, number, e.Cores, e.Memory)
	return strings.Join(append([]string{text}, notes...), "\n")
}

// submissionName draws a name as Spark's dispatcher makes them, but that no two
// Berths can give the same one.
func submissionName() string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	random := make([]byte, 6)
	for i := range random {
		n, _ := rand.Int(rand.Reader, big.NewInt(int64(len(letters)))) // never fails (crypto/rand)
		random[i] = letters[n.Int64()]
	}
	return "driver-" + time.Now().UTC().Format("20060102150405") + "-" + string(random)
}

// unknownApplication reports whether err says that there is no such application.
func unknownApplication(err error) bool {
	var p *v1.Problem
	return errors.As(err, &p) && p.Code == v1.CodeNotFound
}

func (s *Server) submissionStatus(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	view, err := v1.SparkView{}, error(v1.ProblemNotFound("application", id))
	if bySubmission(r) {
		view, err = s.opts.Spark.Queries.SparkApplication(r.Context(), id)
	}
	if unknownApplication(err) {
		a := answered(submission.StatusResponse, false, "")
		a.SubmissionID, a.DriverState = id, submission.NotFound
		return s.respond(w, http.StatusOK, a)
	}
	if err != nil {
		return err
	}
	return s.respond(w, http.StatusOK, submission.Status(view))
}

func (s *Server) killSubmission(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	done, err := v1.Accepted{}, error(v1.ProblemNotFound("application", id))
	if bySubmission(r) {
		done, err = s.opts.Spark.Commands.KillSpark(r.Context(), id, SparkOptions{User: infoOf(r).user, Message: "killed by the submission protocol"})
	}
	a := answered(submission.KillResponse, true, "Kill request for "+id+" submitted")
	a.SubmissionID = id
	switch no := false; {
	case unknownApplication(err):
		a.Success, a.Message = &no, "Driver "+short(id)+" does not exist"
	case err != nil:
		return err
	case !done.Changed:
		a.Success, a.Message = &no, "Driver "+id+" has already finished or is being killed"
	}
	return s.respond(w, http.StatusOK, a)
}

// killSubmissions ends what was submitted; applications that were applied by
// their spec are not concerned.
func (s *Server) killSubmissions(w http.ResponseWriter, r *http.Request) error {
	n, err := s.forSubmissions(r.Context(), func(phase string) bool { return !submission.Ended(phase) }, func(ctx context.Context, name string) (v1.Accepted, error) {
		return s.opts.Spark.Commands.KillSpark(ctx, name, SparkOptions{User: infoOf(r).user, Message: "killed by killall"})
	})
	if err != nil {
		return err
	}
	return s.respond(w, http.StatusOK, answered(submission.KillAllResponse, true, fmt.Sprintf("Kill requests for %d submissions submitted", n)))
}

// clearSubmissions forgets what was submitted and has ended.
func (s *Server) clearSubmissions(w http.ResponseWriter, r *http.Request) error {
	n, err := s.forSubmissions(r.Context(), submission.Ended, func(ctx context.Context, name string) (v1.Accepted, error) {
		return s.opts.Spark.Commands.RemoveSpark(ctx, name, SparkOptions{User: infoOf(r).user, Message: "cleared by the submission protocol"})
	})
	if err != nil {
		return err
	}
	return s.respond(w, http.StatusOK, answered(submission.ClearResponse, true, fmt.Sprintf("%d ended submissions are forgotten", n)))
}

// forSubmissions gives an order for each submission in a phase, and returns how
// many it changed something for. One that is gone meanwhile is no error.
func (s *Server) forSubmissions(ctx context.Context, in func(phase string) bool, order func(context.Context, string) (v1.Accepted, error)) (int64, error) {
	list, err := s.opts.Spark.Queries.SparkApplications(ctx)
	if err != nil {
		return 0, err
	}
	var changed atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(submissionCrowd)
	for _, v := range list {
		if !v1.SparkSubmissionName.MatchString(v.Name) || !in(v.Status.Phase) {
			continue
		}
		g.Go(func() error {
			done, err := order(ctx, v.Name)
			if err == nil && done.Changed {
				changed.Add(1)
			}
			if unknownApplication(err) {
				return nil
			}
			return err
		})
	}
	err = g.Wait()
	return changed.Load(), err
}

func (s *Server) submissionsReady(w http.ResponseWriter, r *http.Request) error {
	if readiness := s.opts.Queries.Readiness(r.Context()); !readiness.Ready {
		return v1.ProblemUnavailable("Master is not ready: " + readiness.Phase)
	}
	return s.respond(w, http.StatusOK, answered(submission.ReadyzResponse, true, ""))
}
