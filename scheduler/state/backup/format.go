// Package backup writes the whole state of a Berth to a file and puts it back.
//
// A file is JSON lines. The first is the Header; each of the others is one record,
// in the order of their keys:
//
//	{"format":"berth-backup","version":1,"time":"…","framework":"…","records":2,"sha256":"…",…}
//	{"key":"clusters/logs","value":{"v":1,"kind":"clusters","body":{…}}}
//	{"key":"slots/logs-data-0.2","base64":"…"}
//
// A value that is compact JSON stands in the line as it is, any other in base64.
// The checksum is that of all bytes after the first line, so that
// "tail -n +2 FILE | sha256sum" shows it too.
package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/state"
)

const (
	formatName = "berth-backup"
	// Version of the format that this build writes; it reads it and older ones.
	Version = 1
	// maxLine is above one record at state.MaxValue in base64 with its key.
	maxLine = 1 << 20
)

// Errors that callers branch on.
var (
	// ErrNoBackup: the file is something else.
	ErrNoBackup = errors.New("not a Berth backup")
	// ErrDamaged: the file is a backup, but not as it was written.
	ErrDamaged = errors.New("damaged backup")
	// ErrNewerFormat: a newer Berth wrote it.
	ErrNewerFormat = errors.New("written by a newer Berth")
)

// Header is the first line of a file.
type Header struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	// Time is when the state was read, UTC.
	Time time.Time `json:"time"`
	// Build is the version of the program that wrote the file.
	Build string `json:"build"`
	// Framework is the framework id in the records, "" if they have none.
	Framework string `json:"framework"`
	// The commit that the records are from.
	state.Position
	// Records is their number, SHA256 the checksum of their lines in hex.
	Records int    `json:"records"`
	SHA256  string `json:"sha256"`
}

// Backup is the state at one commit.
type Backup struct {
	Header
	// Values by key; not to be changed.
	Values map[state.Key][]byte
}

// Kinds counts the records of each kind.
func (b *Backup) Kinds() map[string]int {
	out := map[string]int{}
	for key := range b.Values {
		out[key.Kind()]++
	}
	return out
}

// line is a record in a file: Value or Base64.
type line struct {
	Key    state.Key       `json:"key"`
	Value  json.RawMessage `json:"value,omitempty"`
	Base64 *[]byte         `json:"base64,omitempty"`
}

func encodeLine(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return buf.Bytes(), err
}

func encodeRecord(key state.Key, value []byte) ([]byte, error) {
	l := line{Key: key}
	if compactJSON(value) {
		l.Value = value
	} else {
		l.Base64 = &value
	}
	return encodeLine(l)
}

// compactJSON says whether the encoder leaves the value as it is.
func compactJSON(value []byte) bool {
	var compact bytes.Buffer
	return utf8.Valid(value) && json.Compact(&compact, value) == nil && bytes.Equal(compact.Bytes(), value)
}

// sum is the checksum of the records' lines.
func sum(values map[state.Key][]byte) (string, error) {
	h := sha256.New()
	err := writeRecords(h, values)
	return hexSum(h), err
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

func writeRecords(w io.Writer, values map[state.Key][]byte) error {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		text, err := encodeRecord(key, values[key])
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return nil
}

// Write writes the backup in the form of a file.
func (b *Backup) Write(w io.Writer) error {
	header, err := encodeLine(b.Header)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriter(w)
	if _, err := buffered.Write(header); err != nil {
		return err
	}
	if err := writeRecords(buffered, b.Values); err != nil {
		return err
	}
	return buffered.Flush()
}

// Read reads a file and checks that it is whole. It does not check that this build
// can read the records. Errors: ErrNoBackup, ErrDamaged, ErrNewerFormat, or those
// of r.
func Read(r io.Reader) (*Backup, error) {
	in := bufio.NewReaderSize(r, maxLine)
	b := &Backup{Values: map[state.Key][]byte{}}
	first, err := in.ReadSlice('\n')
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	if err := b.readHeader(first, err == nil); err != nil {
		return nil, err
	}
	h := sha256.New()
	last := state.Key("")
	for n := 2; ; n++ {
		text, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(text) == 0 {
			break
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%w: line %d ends in the middle", ErrDamaged, n)
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%w: line %d is longer than any record", ErrDamaged, n)
		case err != nil:
			return nil, err
		}
		_, _ = h.Write(text) // a hash never fails
		key, value, err := decodeRecord(text)
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrDamaged, n, err)
		}
		if key <= last {
			return nil, fmt.Errorf("%w: line %d: %s comes after %s", ErrDamaged, n, key, last)
		}
		b.Values[key], last = value, key
	}
	if err := b.check(hexSum(h)); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Backup) readHeader(text []byte, whole bool) error {
	var form struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	// A newer version may have other fields.
	if err := json.Unmarshal(text, &form); err != nil || form.Format != formatName {
		return fmt.Errorf("%w: the first line is not the header of one", ErrNoBackup)
	}
	switch {
	case form.Version > Version:
		return fmt.Errorf("%w: format %d, this build reads up to %d", ErrNewerFormat, form.Version, Version)
	case form.Version < 1 || !whole:
		return fmt.Errorf("%w: the header is not one of version %d", ErrDamaged, Version)
	}
	if err := strict(text, &b.Header); err != nil {
		return fmt.Errorf("%w: header: %w", ErrDamaged, err)
	}
	return nil
}

func decodeRecord(text []byte) (state.Key, []byte, error) {
	var l line
	if err := strict(text, &l); err != nil {
		return "", nil, err
	}
	value := []byte(l.Value)
	switch {
	case (l.Value == nil) == (l.Base64 == nil):
		return "", nil, fmt.Errorf("%s: exactly one of value and base64 must be there", l.Key)
	case l.Base64 != nil:
		value = *l.Base64
	}
	return l.Key, value, state.Write{Key: l.Key, Value: value}.Check()
}

// strict takes exactly one JSON value with known fields only.
func strict(text []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data after the JSON value")
	}
	return nil
}

// check compares the records with what the header says of them.
func (b *Backup) check(sha string) error {
	if len(b.Values) != b.Records {
		return fmt.Errorf("%w: the header says %d records, there are %d", ErrDamaged, b.Records, len(b.Values))
	}
	if sha != b.SHA256 {
		return fmt.Errorf("%w: the checksum of the records is %s, the header says %s", ErrDamaged, sha, b.SHA256)
	}
	// A framework record that cannot be read is for whoever checks the records.
	if id, err := scheduler.StoredFrameworkID(b.Values); err == nil && id != b.Framework {
		return fmt.Errorf("%w: the header says framework id %q, the records %q", ErrDamaged, b.Framework, id)
	}
	return nil
}
