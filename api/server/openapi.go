package server

import (
	"bytes"
	_ "embed"
	"net/http"
	"strconv"

	"sigs.k8s.io/yaml"
)

// The document is one; it lies in several files because it is long.
var (
	//go:embed openapi_paths.yaml
	openapiPaths []byte
	//go:embed openapi_spark_paths.yaml
	openapiSparkPaths []byte
	//go:embed openapi_components.yaml
	openapiComponents []byte
	//go:embed openapi_spark_components.yaml
	openapiSparkComponents []byte
)

// document is the API's description in both spellings.
type document struct{ json, yaml []byte }

func loadDocument() (document, error) {
	whole := bytes.Join([][]byte{openapiPaths, openapiSparkPaths, openapiComponents, openapiSparkComponents}, nil)
	asJSON, err := yaml.YAMLToJSONStrict(whole)
	return document{json: asJSON, yaml: whole}, err
}

func (s *Server) getDocumentJSON(w http.ResponseWriter, _ *http.Request) error {
	return sendDocument(w, "application/json", s.doc.json)
}

func (s *Server) getDocumentYAML(w http.ResponseWriter, _ *http.Request) error {
	return sendDocument(w, "application/yaml", s.doc.yaml)
}

func sendDocument(w http.ResponseWriter, contentType string, content []byte) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content)
	return nil
}
