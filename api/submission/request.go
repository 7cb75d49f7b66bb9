package submission

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Version of the protocol, as it stands in paths.
const Version = "v1"

// StatusUnknownVersion is the HTTP status for another version of the protocol.
const StatusUnknownVersion = 468

// Request is CreateSubmissionRequest: what a client asks to be run.
type Request struct {
	AppResource          string
	MainClass            string
	AppArgs              []string
	ClientSparkVersion   string
	EnvironmentVariables map[string]string
	SparkProperties      map[string]string
}

// createRequest is the action of a Request.
const createRequest = "CreateSubmissionRequest"

// Decode reads a Request. Fields that the protocol does not have are accepted
// and named, sorted; Spark answers them so. Values of another JSON type than
// string become their text, as Spark's own server reads them, and null is
// absent. Errors are for the client's user.
func Decode(doc []byte) (r Request, unknown []string, err error) {
	fields, err := object(doc)
	if err != nil {
		return r, nil, err
	}
	var action string
	for name, raw := range fields {
		var err error
		switch name {
		case "action":
			action, err = text(raw)
		case "message": // every document of the protocol may have one
		case "appResource":
			r.AppResource, err = text(raw)
		case "mainClass":
			r.MainClass, err = text(raw)
		case "appArgs":
			r.AppArgs, err = texts(raw)
		case "clientSparkVersion":
			r.ClientSparkVersion, err = text(raw)
		case "environmentVariables":
			r.EnvironmentVariables, err = textMap(raw)
		case "sparkProperties":
			r.SparkProperties, err = textMap(raw)
		default:
			unknown = append(unknown, name)
		}
		if err != nil {
			return Request{}, nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	slices.Sort(unknown)
	switch {
	case action == "":
		return Request{}, nil, errors.New("the field action is missing")
	case action != createRequest:
		return Request{}, nil, fmt.Errorf("the message is of the type %q, not %s", short(action), createRequest)
	case r.AppResource == "":
		return Request{}, nil, errors.New("the field appResource is missing: which jar or .py file is the application?")
	}
	return r, unknown, nil
}

// object reads exactly one JSON object.
func object(doc []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	var fields map[string]json.RawMessage
	if err := d.Decode(&fields); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	if fields == nil {
		return nil, errors.New("not a JSON object: null")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the JSON object")
	}
	return fields, nil
}

// text reads a string, number or boolean as its text; null is "".
func text(raw json.RawMessage) (string, error) {
	s := string(bytes.TrimSpace(raw))
	switch {
	case s == "null":
		return "", nil
	case s[0] == '"':
		err := json.Unmarshal(raw, &s)
		return s, err
	case s[0] == '{', s[0] == '[':
		return "", errors.New("must be a string")
	}
	return s, nil
}

func texts(raw json.RawMessage) ([]string, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, errors.New("must be a list of strings")
	}
	out := make([]string, len(list))
	for i, e := range list {
		var err error
		if out[i], err = text(e); err != nil {
			return nil, fmt.Errorf("entry %d %w", i, err)
		}
	}
	return out, nil
}

func textMap(raw json.RawMessage) (map[string]string, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, errors.New("must be an object of strings")
	}
	out := make(map[string]string, len(m))
	for name, e := range m {
		if string(bytes.TrimSpace(e)) == "null" {
			continue
		}
		s, err := text(e)
		if err != nil {
			return nil, fmt.Errorf("%q %w", short(name), err)
		}
		out[name] = s
	}
	return out, nil
}

// Encode writes the request as a client does.
func (r Request) Encode() ([]byte, error) {
	type document struct {
		Action               string            `json:"action"`
		AppResource          string            `json:"appResource"`
		MainClass            string            `json:"mainClass"`
		AppArgs              []string          `json:"appArgs"`
		ClientSparkVersion   string            `json:"clientSparkVersion"`
		EnvironmentVariables map[string]string `json:"environmentVariables"`
		SparkProperties      map[string]string `json:"sparkProperties"`
	}
	d := document{createRequest, r.AppResource, r.MainClass, r.AppArgs, r.ClientSparkVersion, r.EnvironmentVariables, r.SparkProperties}
	if d.AppArgs == nil {
		d.AppArgs = []string{}
	}
	if d.EnvironmentVariables == nil {
		d.EnvironmentVariables = map[string]string{}
	}
	if d.SparkProperties == nil {
		d.SparkProperties = map[string]string{}
	}
	return json.Marshal(d)
}

// short keeps text of the client that an answer quotes short.
func short(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(s[:most]), nil)) + "…"
}
