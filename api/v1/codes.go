package v1

import "fmt"

// Codes of problems: stable and meant for programs. The HTTP status that goes
// with each is in its comment.
const (
	CodeBodyMalformed      = "body.malformed"       // 400: not JSON or YAML, or too deep
	CodeBodyInvalid        = "body.invalid"         // 400: unknown, doubled or wrongly typed fields
	CodeBodyTooLarge       = "body.tooLarge"        // 413
	CodeBodyType           = "body.unsupportedType" // 415: Content-Type is neither JSON nor YAML
	CodeSpecInvalid        = "spec.invalid"         // 422: fields with values that are not allowed
	CodeSpecUnsupported    = "spec.unsupported"     // 422: a change that Berth does not carry out
	CodeRequestInvalid     = "request.invalid"      // 400: a wrong query parameter or header
	CodeConfirmMissing     = "confirm.missing"      // 400: a destructive verb without its confirmation
	CodeConfirmWrong       = "confirm.wrong"        // 400: a confirmation that names something else
	CodeGenerationMismatch = "generation.mismatch"  // 412: the optimistic lock failed
	CodeNotFound           = "not.found"            // 404
	CodeConflict           = "conflict"             // 409: the present state forbids it
	CodeDataAtRisk         = "data.atRisk"          // 409: shards would be lost, see atRisk
	CodeQuorumAtRisk       = "quorum.atRisk"        // 409: the masters' majority would be lost
	CodeFactsMissing       = "facts.missing"        // 409: what the decision rests on is not known now
	CodeMethodNotAllowed   = "method.notAllowed"    // 405
	CodeUnauthenticated    = "auth.missing"         // 401
	CodeForbidden          = "auth.forbidden"       // 403
	CodeHostRefused        = "host.refused"         // 403: a browser or a foreign Host header
	CodeRateLimited        = "rate.limited"         // 429
	CodeStreamsExhausted   = "streams.exhausted"    // 503: too many event streams
	CodeEventsGone         = "events.gone"          // 410: the history no longer reaches back that far
	CodeNotLeader          = "not.leader"           // 503: another Berth leads and its address is unknown
	CodeUnavailable        = "unavailable"          // 503: the state store or Mesos is away
	CodeTimeout            = "timeout"              // 504: no answer in time; repeating is safe
	CodeInternal           = "internal"             // 500
	CodeSparkProtocol      = "spark.protocol"       // 400: a version of the driver protocol that Berth does not speak
	CodeSparkUnknown       = "spark.unknown"        // 404: a driver's call about an application that is not known
	CodeSparkSuperseded    = "spark.superseded"     // 409: a driver's call about an attempt that is not the current one
	CodeSparkEnded         = "spark.ended"          // 410: a driver's call about an application that is to end, or has
)

// NewProblem builds a problem document; its type is a URN of the code.
func NewProblem(status int, code, title, detail string) *Problem {
	return &Problem{Type: "urn:berth:problem:" + code, Title: title, Status: status, Detail: detail, Code: code}
}

// ProblemNotFound says that kind ("cluster", "volume") has nothing called name.
func ProblemNotFound(kind, name string) *Problem {
	return NewProblem(404, CodeNotFound, "no such "+kind, fmt.Sprintf("there is no %s %q", kind, clip(name)))
}

// ProblemGenerationMismatch says that the optimistic lock failed: the caller
// changed generation want of a "cluster" or "application", the present one is
// have (0: there is none).
func ProblemGenerationMismatch(kind, name string, want, have int64) *Problem {
	detail := fmt.Sprintf("the change was made for generation %d, but %s %q is at generation %d: read it again and repeat the change", want, kind, clip(name), have)
	if have == 0 {
		detail = fmt.Sprintf("the change was made for generation %d, but there is no %s %q", want, kind, clip(name))
	} else if want == 0 {
		detail = fmt.Sprintf("%s %q exists already, at generation %d", kind, clip(name), have)
	}
	return NewProblem(412, CodeGenerationMismatch, "the "+kind+" has changed meanwhile", detail)
}

// ProblemConflict says that the present state of something forbids a request.
func ProblemConflict(title, detail string) *Problem {
	return NewProblem(409, CodeConflict, title, detail)
}

// ProblemNotLeader says that this Berth does not lead and knows no leader.
func ProblemNotLeader() *Problem {
	return NewProblem(503, CodeNotLeader, "this Berth is not the leader",
		"no leader is known at the moment: repeat the request in a few seconds")
}

// ProblemUnavailable says that something Berth needs is away; detail names it.
func ProblemUnavailable(detail string) *Problem {
	return NewProblem(503, CodeUnavailable, "Berth cannot act at the moment", detail)
}

// ProblemSpecInvalid is the answer to a spec with values that are not allowed.
func ProblemSpecInvalid(fields []FieldError) *Problem {
	p := NewProblem(422, CodeSpecInvalid, "the cluster's spec is not valid", "nothing was changed")
	p.Fields = fields
	return p
}

// ProblemSparkProtocol refuses a driver whose backend speaks another version of
// the protocol.
func ProblemSparkProtocol(got int) *Problem {
	p := NewProblem(400, CodeSparkProtocol, "the protocol's version is not spoken here",
		fmt.Sprintf("the driver speaks version %d, this Berth version %d: give the driver the backend of this Berth", got, SparkProtocol))
	p.Supported = []int{SparkProtocol}
	return p
}

// ProblemSparkUnknown makes a driver register anew.
func ProblemSparkUnknown(appID string) *Problem {
	return NewProblem(404, CodeSparkUnknown, "no such application", fmt.Sprintf("no driver has registered for application %q", clip(appID)))
}

// ProblemSparkSuperseded makes a driver end at once: attempt is not the one that
// owns the application.
func ProblemSparkSuperseded(appID string, attempt, current int64) *Problem {
	return NewProblem(409, CodeSparkSuperseded, "another attempt owns the application",
		fmt.Sprintf("attempt %d of application %q is not its current one, %d", attempt, clip(appID), current))
}

// ProblemSparkEnded makes a driver end in order; why is what the operator or
// Berth decided.
func ProblemSparkEnded(appID, why string) *Problem {
	return NewProblem(410, CodeSparkEnded, "the application is to end", fmt.Sprintf("application %q: %s", clip(appID), why))
}
