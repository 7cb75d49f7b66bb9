package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	yamlnodes "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	v1 "github.com/berthdata/berth/api/v1"
)

// decoder reads one JSON document, strictly.
type decoder[T any] func(doc []byte) (T, *v1.Problem)

// readDocument reads a request's body as JSON or YAML, by its Content-Type.
func readDocument[T any](r *http.Request, decode decoder[T]) (T, error) {
	var none T
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
		return none, v1.NewProblem(http.StatusUnsupportedMediaType, v1.CodeBodyType, "the body's type is not known",
			"send Content-Type: application/json or application/yaml")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return none, err
		}
		return none, badRequest("the body could not be read to its end")
	}
	if asYAML {
		return decodeYAML(body, decode)
	}
	doc, p := decode(body)
	if p != nil {
		return none, p
	}
	return doc, nil
}

// DecodeYAML is v1.DecodeCluster for a document in YAML (or JSON, which is
// YAML): one document, no doubled keys. The error is a *v1.Problem.
func DecodeYAML(doc []byte) (v1.Cluster, error) { return decodeYAML(doc, v1.DecodeCluster) }

// DecodeSparkYAML is v1.DecodeSparkApplication for a document in YAML, as
// DecodeYAML is.
func DecodeSparkYAML(doc []byte) (v1.SparkApplication, error) {
	return decodeYAML(doc, v1.DecodeSparkApplication)
}

func decodeYAML[T any](doc []byte, decode decoder[T]) (T, error) {
	var none T
	asJSON, err := yamlToJSON(doc)
	if err != nil {
		return none, err
	}
	out, p := decode(asJSON)
	if p != nil {
		return none, p
	}
	return out, nil
}

// yamlToJSON turns one YAML document into JSON, within the bounds of a document.
// The error is a *v1.Problem.
func yamlToJSON(doc []byte) ([]byte, error) {
	if len(doc) > v1.MaxDocument {
		return nil, v1.NewProblem(http.StatusRequestEntityTooLarge, v1.CodeBodyTooLarge, "the document is too large", "")
	}
	if holdsSecondDocument(doc) {
		return nil, v1.NewProblem(http.StatusBadRequest, v1.CodeBodyMalformed, "the document is not valid",
			"it holds more than one YAML document: apply them one by one")
	}
	if err := checkAliases(doc); err != nil {
		return nil, notYAML(err)
	}
	asJSON, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return nil, notYAML(err)
	}
	return asJSON, nil
}

func notYAML(err error) *v1.Problem {
	// The library lists everything that it dislikes, which may be longer than the
	// document.
	const most = 1000
	text := err.Error()
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return v1.NewProblem(http.StatusBadRequest, v1.CodeBodyMalformed, "the document is not valid YAML", text)
}

// checkAliases refuses a document whose aliases stand for more text than any
// document may have: the library bounds how often they are followed, but not the
// size of what they name, and a hundred kilobytes could unfold to gigabytes.
func checkAliases(doc []byte) error {
	if !bytes.ContainsRune(doc, '&') || !bytes.ContainsRune(doc, '*') {
		return nil
	}
	var root yamlnodes.Node
	if err := yamlnodes.Unmarshal(doc, &root); err != nil {
		return err
	}
	size := unfolding{known: map[*yamlnodes.Node]int{}}
	if size.of(&root) > v1.MaxDocument {
		return fmt.Errorf("with its aliases unfolded it has more than %d bytes: excessive aliasing", v1.MaxDocument)
	}
	return nil
}

// unfolding sums up text, with each alias counted as what it stands for. It stops
// counting soon after the limit.
type unfolding struct{ known map[*yamlnodes.Node]int }

func (u unfolding) of(n *yamlnodes.Node) int {
	if n.Kind == yamlnodes.AliasNode {
		size, found := u.known[n.Alias]
		if !found {
			// It stands inside of what it names: that never ends.
			return v1.MaxDocument + 1
		}
		return size
	}
	size := len(n.Value) + 1
	for _, child := range n.Content {
		if size > v1.MaxDocument {
			break
		}
		size += u.of(child)
	}
	if n.Anchor != "" {
		u.known[n] = size
	}
	return size
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
