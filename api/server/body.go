package server

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"

	"sigs.k8s.io/yaml"

	v1 "github.com/berthdata/berth/api/v1"
)

// readCluster reads a request's body as JSON or YAML, by its Content-Type.
func readCluster(r *http.Request) (v1.Cluster, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	asYAML := false
	switch kind {
	case "application/json":
	case "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml":
		asYAML = true
	default:
		return v1.Cluster{}, v1.NewProblem(http.StatusUnsupportedMediaType, v1.CodeBodyType, "the body's type is not known",
			"send Content-Type: application/json or application/yaml")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return v1.Cluster{}, err
		}
		return v1.Cluster{}, badRequest("the body could not be read to its end")
	}
	if asYAML {
		return DecodeYAML(body)
	}
	c, p := v1.DecodeCluster(body)
	if p != nil {
		return v1.Cluster{}, p
	}
	return c, nil
}

// DecodeYAML is v1.DecodeCluster for a document in YAML (or JSON, which is
// YAML): one document, no doubled keys. The error is a *v1.Problem.
func DecodeYAML(doc []byte) (v1.Cluster, error) {
	if len(doc) > v1.MaxDocument {
		return v1.Cluster{}, v1.NewProblem(http.StatusRequestEntityTooLarge, v1.CodeBodyTooLarge, "the document is too large", "")
	}
	if holdsSecondDocument(doc) {
		return v1.Cluster{}, v1.NewProblem(http.StatusBadRequest, v1.CodeBodyMalformed, "the document is not valid",
			"it holds more than one YAML document: apply them one by one")
	}
	asJSON, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return v1.Cluster{}, v1.NewProblem(http.StatusBadRequest, v1.CodeBodyMalformed, "the document is not valid YAML", err.Error())
	}
	c, p := v1.DecodeCluster(asJSON)
	if p != nil {
		return v1.Cluster{}, p
	}
	return c, nil
}

// holdsSecondDocument looks for a document marker after content. The YAML
// library reads the first document and drops the others without a word. A line
// that begins with "---" or "..." is a marker everywhere, even in a block text.
func holdsSecondDocument(doc []byte) bool {
	content, ended := false, false
	for line := range bytes.Lines(doc) {
		line = bytes.TrimRight(line, " \t\r\n")
		marker := bytes.HasPrefix(line, []byte("---")) && (len(line) == 3 || line[3] == ' ' || line[3] == '\t')
		switch {
		case len(line) == 0 || line[0] == '#' || (!content && line[0] == '%'):
		case marker:
			if content {
				return true
			}
			content = len(line) > 3
		case bytes.Equal(line, []byte("...")):
			ended = content
		default:
			if ended {
				return true
			}
			content = true
		}
	}
	return false
}
