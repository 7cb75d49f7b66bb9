package v1

import "fmt"

// Problem is an RFC 9457 problem document: every error that the API answers.
// It is also the error type of the ports behind the API.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Code is stable and meant for programs, such as "spec.invalid".
	Code string `json:"code"`
	// Fields name what is wrong in the request's body, by JSON path.
	Fields []FieldError `json:"fields,omitempty"`
	// Supported goes with spark.protocol: the versions that are spoken.
	Supported []int `json:"supported,omitempty"`
	// AtRisk goes with data.atRisk: the shards that would be lost.
	AtRisk []IndexAtRisk `json:"atRisk,omitempty"`
}

// FieldError is one wrong field.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error makes a Problem an error: what failed, then each field.
func (p *Problem) Error() string {
	s := p.Title
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	for _, f := range p.Fields {
		s += fmt.Sprintf("\n  %s: %s", f.Field, f.Message)
	}
	for i := range p.AtRisk {
		if i == maxRiskLines {
			s += fmt.Sprintf("\n  and %d more", len(p.AtRisk)-i)
			break
		}
		s += "\n  " + p.AtRisk[i].String()
	}
	return s
}
