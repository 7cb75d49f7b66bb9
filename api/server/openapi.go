package server

import (
	_ "embed"
	"net/http"

	"sigs.k8s.io/yaml"
)

//go:embed openapi.yaml
var openapiYAML []byte

// document is the API's description in both spellings.
type document struct{ json, yaml []byte }

func loadDocument() (document, error) {
	asJSON, err := yaml.YAMLToJSONStrict(openapiYAML)
	return document{json: asJSON, yaml: openapiYAML}, err
}

func (s *Server) getDocumentJSON(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.doc.json)
	return nil
}

func (s *Server) getDocumentYAML(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(s.doc.yaml)
	return nil
}
