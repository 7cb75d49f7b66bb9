package v1

import (
	"encoding/json"
	"fmt"
)

// Limits of a document.
const (
	// MaxDocument is the largest request body in bytes.
	MaxDocument = 1 << 20
	// MaxDepth is how deep objects and lists may nest; a cluster needs 7.
	MaxDepth = 16
	// MaxFieldErrors is how many wrong fields one problem lists.
	MaxFieldErrors = 20
)

// DecodeCluster reads one cluster from JSON, strictly: an unknown or doubled
// field, a wrong type, null, and anything after the document are refused. The
// problem names every wrong field by its path, such as
// "spec.nodeSets[1].storage.size". Field names are compared exactly, unlike
// encoding/json. Defaults are not set and values are not checked.
func DecodeCluster(doc []byte) (Cluster, *Problem) {
	var c Cluster
	if p := decodeStrict(doc, &c); p != nil {
		return Cluster{}, p
	}
	return c, nil
}

// DecodeSparkApplication reads one Spark application from JSON, as DecodeCluster
// reads a cluster.
func DecodeSparkApplication(doc []byte) (SparkApplication, *Problem) {
	var a SparkApplication
	if p := decodeStrict(doc, &a); p != nil {
		return SparkApplication{}, p
	}
	return a, nil
}

// DecodeSparkScaling reads how many executors are wanted, as DecodeCluster reads
// a cluster.
func DecodeSparkScaling(doc []byte) (SparkScaling, *Problem) {
	var s SparkScaling
	if p := decodeStrict(doc, &s); p != nil {
		return SparkScaling{}, p
	}
	return s, nil
}

// decodeStrict decodes doc into the struct that out points to.
func decodeStrict(doc []byte, out any) *Problem {
	if len(doc) > MaxDocument {
		return NewProblem(413, CodeBodyTooLarge, "the document is too large",
			fmt.Sprintf("it has %d bytes, at most %d are read", len(doc), MaxDocument))
	}
	root, dup, err := parseDocument(doc)
	if err != nil {
		return NewProblem(400, CodeBodyMalformed, "the document is not valid JSON", err.Error())
	}
	errs := fieldErrors{list: dup}
	checkAgainst(root, out, &errs)
	if len(errs.list) > 0 {
		p := NewProblem(400, CodeBodyInvalid, "the document has unknown or wrong fields", "nothing was changed")
		p.Fields = errs.bounded()
		return p
	}
	// The walk above has proven the document to fit, so this cannot fail; if it
	// ever does, the walk has a hole and the error still reaches the caller.
	if err := json.Unmarshal(doc, out); err != nil {
		return NewProblem(400, CodeBodyInvalid, "the document does not fit", err.Error())
	}
	return nil
}

// fieldErrors collects wrong fields.
type fieldErrors struct{ list []FieldError }

func (e *fieldErrors) add(field, format string, args ...any) {
	e.list = append(e.list, FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
}

// bounded returns the errors, the last one replaced by a count when there are
// more than MaxFieldErrors.
func (e *fieldErrors) bounded() []FieldError {
	if len(e.list) <= MaxFieldErrors {
		return e.list
	}
	shown := append([]FieldError(nil), e.list[:MaxFieldErrors-1]...)
	return append(shown, FieldError{Field: "…", Message: fmt.Sprintf("and %d more", len(e.list)-len(shown))})
}
