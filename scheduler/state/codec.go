package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Errors of decoding that callers branch on: both mean that Berth must not go on
// with what it has, but the remedies differ.
var (
	// ErrNewerSchema: the record was written by a newer Berth. Going on would
	// drop what that version knew, so a downgrade is refused.
	ErrNewerSchema = errors.New("written by a newer Berth")
	// ErrDamaged: the stored bytes are not a record of the kind that their key
	// names. Restore a backup, or correct the record by hand.
	ErrDamaged = errors.New("damaged record")
	// ErrBadKey: a kind or name has characters that the store does not take.
	ErrBadKey = errors.New("bad key")
)

// maxNameLength bounds the name part of a key in bytes. It is generous for the
// names that users and Mesos choose, and keeps a listing of one of ZooKeeper's
// buckets far below its 1 MiB reply limit.
const maxNameLength = 200

// MakeKey joins a kind and a name. The error is ErrBadKey and names the part and
// the first character that is wrong.
func MakeKey(kind, name string) (Key, error) {
	if err := checkPart("kind", kind, isKindChar); err != nil {
		return "", err
	}
	if err := checkPart("name", name, isNameChar); err != nil {
		return "", err
	}
	return Key(kind + "/" + name), nil
}

// Split returns the key's kind and name, or ErrBadKey.
func (k Key) Split() (kind, name string, err error) {
	kind, name, found := strings.Cut(string(k), "/")
	if !found {
		return "", "", fmt.Errorf("%w %q: want kind/name", ErrBadKey, string(k))
	}
	if _, err := MakeKey(kind, name); err != nil {
		return "", "", err
	}
	return kind, name, nil
}

// Kind returns the part before the slash, "" in a key without one.
func (k Key) Kind() string {
	kind, _, found := strings.Cut(string(k), "/")
	if !found {
		return ""
	}
	return kind
}

// Name returns the part after the slash.
func (k Key) Name() string {
	_, name, _ := strings.Cut(string(k), "/")
	return name
}

func checkPart(what, s string, allowed func(byte) bool) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: the %s is empty", ErrBadKey, what)
	case len(s) > maxNameLength:
		return fmt.Errorf("%w: the %s %.20q… has %d bytes, the limit is %d", ErrBadKey, what, s, len(s), maxNameLength)
	case s == "." || s == "..":
		return fmt.Errorf("%w: the %s %q would be a relative path", ErrBadKey, what, s)
	}
	for i := range len(s) {
		if !allowed(s[i]) {
			return fmt.Errorf("%w: the %s %q has %q at byte %d", ErrBadKey, what, s, s[i], i)
		}
	}
	return nil
}

func isKindChar(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-'
}

func isNameChar(c byte) bool {
	return isKindChar(c) || 'A' <= c && c <= 'Z' || c == '.' || c == '_'
}

// Check reports what keeps the write out of any Store: ErrBadKey, or ErrTooLarge
// with the key and the size. Stores call it before they write anything.
func (w Write) Check() error {
	if _, _, err := w.Key.Split(); err != nil {
		return err
	}
	if len(w.Value) > MaxValue {
		return fmt.Errorf("%s: %w: %d bytes, the gate is %d", w.Key, ErrTooLarge, len(w.Value), MaxValue)
	}
	return nil
}

// Kind is the schema of one kind of record, with T its present Go form. Stored
// form, readable with zkCli: {"v":2,"kind":"clusters","body":{…}}.
type Kind[T any] struct {
	// Name is the key's kind and the envelope's: "clusters".
	Name string
	// Version is the schema that this build writes, from 1 upwards. It rises
	// with every change of T, added fields included: older builds decode
	// strictly, so that they never silently drop a field on the next write.
	Version int
	// Upgrade[n] turns a body of version n into one of version n+1. Bodies
	// older than the chain of upgrades reaches are refused.
	Upgrade map[int]func(body []byte) ([]byte, error)
}

type envelope struct {
	V    int             `json:"v"`
	Kind string          `json:"kind"`
	Body json.RawMessage `json:"body"`
}

// Key returns the key of the record with this name.
func (k Kind[T]) Key(name string) (Key, error) { return MakeKey(k.Name, name) }

// Encode returns the write that stores v under the name. Errors: ErrBadKey,
// ErrTooLarge with key and size, or v not being encodable as JSON.
func (k Kind[T]) Encode(name string, v T) (Write, error) {
	key, err := k.Key(name)
	if err != nil {
		return Write{}, err
	}
	body, err := marshal(v)
	if err != nil {
		return Write{}, fmt.Errorf("encode %s: %w", key, err)
	}
	value, err := marshal(envelope{V: k.Version, Kind: k.Name, Body: body})
	if err != nil {
		return Write{}, fmt.Errorf("encode %s: %w", key, err)
	}
	w := Write{Key: key, Value: value}
	return w, w.Check()
}

// Delete returns the write that removes the record with this name.
func (k Kind[T]) Delete(name string) (Write, error) {
	key, err := k.Key(name)
	return Write{Key: key}, err
}

// Decode returns the record that was stored under the key, upgraded to the
// present schema. Errors: ErrNewerSchema, ErrDamaged; both name the key.
func (k Kind[T]) Decode(key Key, value []byte) (T, error) {
	kind, _, err := key.Split()
	if err != nil {
		var zero T
		return zero, err
	}
	if v, ok := k.decodeOwn(value); ok && kind == k.Name {
		return v, nil
	}
	return k.decodeAny(key, value)
}

// decodeAny decodes every form that a record may have.
func (k Kind[T]) decodeAny(key Key, value []byte) (v T, err error) {
	var zero T
	damaged := func(format string, args ...any) (T, error) {
		return zero, fmt.Errorf("%s: %w: %w", key, ErrDamaged, fmt.Errorf(format, args...))
	}
	if key.Kind() != k.Name {
		return damaged("asked to decode it as one of %s", k.Name)
	}
	var env envelope
	if err := unmarshal(value, &env); err != nil {
		return damaged("envelope: %w", err)
	}
	switch {
	case env.Kind != k.Name:
		return damaged("its envelope says kind %q", env.Kind)
	case env.V < 1:
		return damaged("schema version %d", env.V)
	case env.V > k.Version:
		return zero, fmt.Errorf("%s: %w (%s v%d, this build reads up to v%d): a downgrade is refused; "+
			"start the newer version or restore a backup", key, ErrNewerSchema, k.Name, env.V, k.Version)
	}
	body := []byte(env.Body)
	if nothing(body) {
		return damaged("no body") // which no upgrade need expect
	}
	for v := env.V; v < k.Version; v++ {
		upgrade := k.Upgrade[v]
		if upgrade == nil {
			return damaged("%s v%d is too old: this build has no upgrade from it to v%d", k.Name, v, v+1)
		}
		if body, err = upgrade(body); err != nil {
			return damaged("upgrade from v%d to v%d: %w", v, v+1, err)
		}
	}
	if nothing(body) {
		return damaged("the upgrade from v%d left no body", env.V)
	}
	if err := unmarshal(body, &v); err != nil {
		return damaged("%s v%d body: %w", k.Name, env.V, err)
	}
	return v, nil
}

// nothing reports whether a body is absent or null.
func nothing(body []byte) bool {
	return len(body) == 0 || bytes.Equal(bytes.TrimSpace(body), []byte("null"))
}

// decodeOwn decodes what this build wrote itself, byte for byte in the form of
// Encode: without a pass over the whole text for the envelope, since a new leader
// reads tens of thousands of records before it can do anything. Anything else is
// for decodeAny to judge.
func (k Kind[T]) decodeOwn(value []byte) (v T, ok bool) {
	rest, ok := bytes.CutPrefix(value, fmt.Appendf(make([]byte, 0, 64), `{"v":%d,"kind":%q,"body":{`, k.Version, k.Name))
	if !ok || len(rest) == 0 || rest[len(rest)-1] != '}' {
		return v, false
	}
	start := len(value) - len(rest) - 1
	if err := unmarshal(value[start:len(value)-1], &v); err != nil {
		var zero T
		return zero, false
	}
	return v, true
}

// marshal keeps <, > and & as they are, for whoever reads a znode by eye.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// unmarshal takes exactly one JSON value with known fields only.
func unmarshal(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("no JSON value")
		}
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("data after the JSON value, at byte %d", dec.InputOffset())
	}
	return nil
}
