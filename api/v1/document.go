package v1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// object is a JSON object with its keys in the order of the document, so that
// errors come in the reader's order.
type object struct {
	keys   []string
	values []any // object, []any, string, json.Number, bool or nil
}

// parseDocument reads exactly one JSON value. Doubled keys are returned as
// field errors, since encoding/json would silently keep the last of them.
func parseDocument(doc []byte) (root any, doubled []FieldError, err error) {
	if !utf8.Valid(doc) {
		return nil, nil, errors.New("it is not UTF-8 text")
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	p := documentParser{dec: d}
	root, err = p.value("", 0)
	if err != nil {
		return nil, nil, p.explain(doc, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("there is something after the document's end (%s)", position(doc, d.InputOffset()))
	}
	return root, p.doubled, nil
}

type documentParser struct {
	dec     *json.Decoder
	doubled []FieldError
}

func (p *documentParser) value(path string, depth int) (any, error) {
	tok, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return tok, nil
	}
	if depth >= MaxDepth {
		return nil, fmt.Errorf("%s nests deeper than %d levels", orDocument(path), MaxDepth)
	}
	if delim == '[' {
		list := []any{}
		for p.dec.More() {
			v, err := p.value(fmt.Sprintf("%s[%d]", path, len(list)), depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := p.dec.Token()
		return list, err
	}
	return p.object(path, depth)
}

func (p *documentParser) object(path string, depth int) (any, error) {
	var o object
	seen := map[string]bool{}
	for p.dec.More() {
		tok, err := p.dec.Token()
		if err != nil {
			return nil, err
		}
		key, ok := tok.(string)
		if !ok {
			return nil, fmt.Errorf("%s: an object's key must be a string", orDocument(path))
		}
		field := join(path, key)
		v, err := p.value(field, depth+1)
		if err != nil {
			return nil, err
		}
		if seen[key] {
			p.doubled = append(p.doubled, FieldError{Field: field, Message: "the field is given twice"})
			continue
		}
		seen[key] = true
		o.keys = append(o.keys, key)
		o.values = append(o.values, v)
	}
	_, err := p.dec.Token()
	return o, err
}

// explain turns a parser's error into a message that says where.
func (p *documentParser) explain(doc []byte, err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("%s: %s", position(doc, syntax.Offset), syntax.Error())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if len(bytes.TrimSpace(doc)) == 0 {
			return errors.New("it is empty")
		}
		return errors.New("it ends too early")
	default:
		return err
	}
}

// position names the line and column of a byte offset.
func position(doc []byte, offset int64) string {
	if offset > int64(len(doc)) {
		offset = int64(len(doc))
	}
	before := doc[:offset]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - (bytes.LastIndexByte(before, '\n') + 1)
	return fmt.Sprintf("line %d, column %d", line, column)
}

func orDocument(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

// join appends a key to a path; keys with dots of their own are quoted so that
// the path can be read back.
func join(path, key string) string {
	if key == "" || strings.ContainsAny(key, ".[] \"") || len(key) > 200 {
		return fmt.Sprintf("%s[%q]", path, clip(key))
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// checkAgainst walks a parsed document beside the type of out.
func checkAgainst(root any, out any, errs *fieldErrors) {
	checkValue("", root, reflect.TypeOf(out).Elem(), errs)
}

func checkValue(path string, v any, t reflect.Type, errs *fieldErrors) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if v == nil {
		errs.add(orDocument(path), "null is no value: leave the field out, or give it one")
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		checkStruct(path, v, t, errs)
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			errs.add(orDocument(path), "must be a list, not %s", kindOf(v))
			return
		}
		for i, e := range list {
			checkValue(fmt.Sprintf("%s[%d]", path, i), e, t.Elem(), errs)
		}
	case reflect.Map:
		o, ok := v.(object)
		if !ok {
			errs.add(orDocument(path), "must be an object, not %s", kindOf(v))
			return
		}
		for i, k := range o.keys {
			checkValue(join(path, k), o.values[i], t.Elem(), errs)
		}
	case reflect.String:
		if _, ok := v.(string); !ok {
			errs.add(orDocument(path), "must be a string, not %s%s", kindOf(v), quoteHint(v))
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			errs.add(orDocument(path), "must be true or false, not %s", kindOf(v))
		}
	case reflect.Int, reflect.Int64:
		n, ok := v.(json.Number)
		if !ok {
			errs.add(orDocument(path), "must be a whole number, not %s", kindOf(v))
		} else if _, err := strconv.ParseInt(string(n), 10, t.Bits()); err != nil {
			errs.add(orDocument(path), "must be a whole number in range, not %s", clip(string(n)))
		}
	case reflect.Float64:
		n, ok := v.(json.Number)
		if !ok {
			errs.add(orDocument(path), "must be a number, not %s", kindOf(v))
		} else if _, err := strconv.ParseFloat(string(n), 64); err != nil {
			errs.add(orDocument(path), "must be a number in range, not %s", clip(string(n)))
		}
	case reflect.Interface:
		checkFree(path, v, errs)
	default:
		errs.add(orDocument(path), "cannot be given")
	}
}

func checkStruct(path string, v any, t reflect.Type, errs *fieldErrors) {
	o, ok := v.(object)
	if !ok {
		errs.add(orDocument(path), "must be an object, not %s", kindOf(v))
		return
	}
	fields := map[string]reflect.Type{}
	required := []string{}
	for i := range t.NumField() {
		name, opts, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = t.Field(i).Type
		if !strings.Contains(opts, "omit") {
			required = append(required, name)
		}
	}
	given := map[string]bool{}
	for i, k := range o.keys {
		given[k] = true
		ft, known := fields[k]
		if !known {
			errs.add(join(path, k), "unknown field%s", similar(k, fields))
			continue
		}
		checkValue(join(path, k), o.values[i], ft, errs)
	}
	for _, name := range required {
		if !given[name] {
			errs.add(join(path, name), "is missing")
		}
	}
}

// checkFree judges a value without a fixed type (a setting in config): what
// must not happen is that decoding changes it.
func checkFree(path string, v any, errs *fieldErrors) {
	switch x := v.(type) {
	case nil:
		errs.add(path, "null is no value: leave the field out, or give it one")
	case []any:
		for i, e := range x {
			checkFree(fmt.Sprintf("%s[%d]", path, i), e, errs)
		}
	case object:
		for i, k := range x.keys {
			checkFree(join(path, k), x.values[i], errs)
		}
	case json.Number:
		// JSON numbers become float64, exact for whole numbers below 2^53 only.
		const exact = 1 << 53
		if f, err := x.Float64(); err != nil {
			errs.add(path, "number %s is out of range: write it as a string", clip(string(x)))
		} else if f >= exact || f <= -exact {
			errs.add(path, "number %s would lose digits: write it as a string", clip(string(x)))
		}
	}
}

func kindOf(v any) string {
	switch v.(type) {
	case object:
		return "an object"
	case []any:
		return "a list"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	default:
		return "null"
	}
}

// quoteHint helps with YAML, where 8.19 and yes are no strings.
func quoteHint(v any) string {
	switch x := v.(type) {
	case json.Number:
		return fmt.Sprintf(": write it in quotes, \"%s\"", clip(string(x)))
	case bool:
		return ": write it in quotes"
	default:
		return ""
	}
}

// similar proposes the known field that differs only in case, underscores or
// one letter.
func similar(key string, fields map[string]reflect.Type) string {
	fold := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
	}
	best := ""
	for name := range fields {
		if (fold(name) == fold(key) || oneEdit(fold(name), fold(key))) && (best == "" || name < best) {
			best = name
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// oneEdit reports whether a and b differ by one letter added, left out or
// replaced.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) == len(b) {
		return i == len(a) || a[i+1:] == b[i+1:]
	}
	return a[i:] == b[i+1:]
}
