package backup_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/scheduler/state/backup"
	"github.com/berthdata/berth/scheduler/state/memstore"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const frameworkID = "b5fbf49a-0000"

// The kinds as the scheduler stores them.
var (
	frameworks = state.Frameworks
	clusters   = state.Clusters
	slots      = state.Slots
	secrets    = state.Kind[map[string][]byte]{Name: "secrets", Version: 1}
)

// good are the writes of a state with n slots in one cluster.
func good(t testing.TB, n int) []state.Write {
	t.Helper()
	var all []state.Write
	add := func(w state.Write, err error) {
		require.NoError(t, err)
		all = append(all, w)
	}
	add(frameworks.Encode("berth", state.Framework{ID: frameworkID, NextIncarnation: int64(n + 1)}))
	add(clusters.Encode("logs", state.Cluster{Spec: v1.Cluster{Name: "logs"}, Incarnation: 1, Message: "<&> ü"}))
	add(secrets.Encode("executor", map[string][]byte{"key": []byte("0123456789abcdef")}))
	for i := range n {
		id := fmt.Sprintf("logs-data-%d.%d", i, i+2)
		add(slots.Encode(id, state.Slot{ID: id, Name: fmt.Sprintf("logs-data-%d", i), Kind: "elasticsearch",
			Owner: "logs", OwnerIncarnation: 1, Set: "data", Ordinal: i, Want: state.WantRun, Life: 1}))
	}
	return all
}

func asMap(writes []state.Write) map[state.Key][]byte {
	out := map[state.Key][]byte{}
	for _, w := range writes {
		out[w.Key] = w.Value
	}
	return out
}

// filled is a store that a Berth which has stopped left behind.
func filled(t testing.TB, e state.Elector, writes []state.Write) {
	t.Helper()
	lease, err := e.Campaign(t.Context(), "http://old.example:8080")
	require.NoError(t, err)
	require.NoError(t, lease.Store().Commit(t.Context(), writes))
	require.NoError(t, lease.Resign())
}

func take(t testing.TB, from state.Snapshotter) *backup.Backup {
	t.Helper()
	b, err := backup.Take(t.Context(), from, epoch, "v1.2.3")
	require.NoError(t, err)
	return b
}

func memory(t testing.TB) *memstore.Elector {
	e := memstore.NewMemory().NewElector()
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// text is a good backup as a file.
func text(t testing.TB, n int) string {
	t.Helper()
	e := memory(t)
	filled(t, e, good(t, n))
	var buf bytes.Buffer
	require.NoError(t, take(t, e).Write(&buf))
	return buf.String()
}

func TestTheFileIsAsDocumented(t *testing.T) {
	file := text(t, 2)
	lines := strings.SplitAfter(file, "\n")
	require.Len(t, lines, 1+5+1)
	sum := sha256.Sum256([]byte(strings.Join(lines[1:], "")))
	assert.Equal(t, `{"format":"berth-backup","version":1,"time":"2026-03-01T12:00:00Z","build":"v1.2.3","framework":"b5fbf49a-0000",`+
		`"epoch":1,"commit":1,"records":5,"sha256":"`+hex.EncodeToString(sum[:])+"\"}\n", lines[0])
	assert.True(t, strings.HasPrefix(lines[1], `{"key":"clusters/logs","value":{"v":1,"kind":"clusters","body":{"spec":`), lines[1])
	assert.Contains(t, lines[1], "<&> ü", "readable as it is stored")
	b, err := backup.Read(strings.NewReader(file))
	require.NoError(t, err)
	assert.Equal(t, asMap(good(t, 2)), b.Values)
	assert.Equal(t, map[string]int{"clusters": 1, "framework": 1, "secrets": 1, "slots": 2}, b.Kinds())
}

func TestAnyValueSurvivesTheFile(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		values := rapid.MapOf(
			rapid.Map(rapid.StringMatching(`[a-z0-9-]{1,8}/[a-zA-Z0-9_-]{1,20}`), func(s string) state.Key { return state.Key(s) }),
			rapid.OneOf(
				rapid.SliceOfN(rapid.Byte(), 0, 20),
				rapid.SliceOfN(rapid.SampledFrom([]byte("{}[]\":,1 \\n\u2028<\n")), 0, 12),
				rapid.Just([]byte(`{"v":1,"body":"<&>\u2028"}`)), rapid.Just([]byte("null")), rapid.Just([]byte(`"\r"`)),
			)).Filter(func(m map[state.Key][]byte) bool {
			return len(m) > 0 && m["framework/berth"] == nil && m["restore/unfinished"] == nil
		}).Draw(rt, "values")
		e := memstore.NewMemory().NewElector()
		defer e.Close()
		var writes []state.Write
		for key, value := range values {
			values[key] = append([]byte{}, value...)
			writes = append(writes, state.Write{Key: key, Value: values[key]})
		}
		filled(t, e, writes)
		b := take(t, e)
		path := filepath.Join(dir, "b")
		require.NoError(rt, b.WriteFile(path))
		got, err := backup.ReadFile(path)
		require.NoError(rt, err)
		require.Equal(rt, b, got)
		require.Equal(rt, values, got.Values)
	})
}

func TestTheLargestValuesFitALine(t *testing.T) {
	e := memory(t)
	key := state.Key(strings.Repeat("k", 200) + "/" + strings.Repeat("n", 200))
	filled(t, e, []state.Write{{Key: key, Value: bytes.Repeat([]byte{0xff}, state.MaxValue)}})
	var file bytes.Buffer
	b := take(t, e)
	require.NoError(t, b.Write(&file))
	got, err := backup.Read(&file)
	require.NoError(t, err)
	require.Equal(t, b, got)
}

// header replaces a field of the first line, nil removes it.
func header(t *testing.T, file, field string, value any) string {
	first, rest, _ := strings.Cut(file, "\n")
	var h map[string]any
	require.NoError(t, json.Unmarshal([]byte(first), &h))
	h[field] = value
	out, err := json.Marshal(h)
	require.NoError(t, err)
	return string(out) + "\n" + rest
}

func TestBadFilesAreRefused(t *testing.T) {
	file := text(t, 3)
	first, rest, _ := strings.Cut(file, "\n")
	lines := strings.SplitAfter(rest, "\n")
	for name, test := range map[string]struct {
		file string
		is   error
		says string
	}{
		"empty":               {"", backup.ErrNoBackup, "the first line"},
		"another file":        {"{\"format\":\"elf\"}\n", backup.ErrNoBackup, ""},
		"binary":              {strings.Repeat("\x00", 3<<20), backup.ErrNoBackup, ""},
		"header alone, cut":   {first[:40], backup.ErrNoBackup, ""},
		"no line feed":        {first, backup.ErrDamaged, ""},
		"newer format":        {header(t, file, "version", 2), backup.ErrNewerFormat, "format 2, this build reads up to 1"},
		"newer, other fields": {"{\"format\":\"berth-backup\",\"version\":7,\"cipher\":\"x\"}\n", backup.ErrNewerFormat, "format 7"},
		"version 0":           {header(t, file, "version", 0), backup.ErrDamaged, ""},
		"unknown field":       {header(t, file, "colour", "red"), backup.ErrDamaged, "colour"},
		"a byte flipped":      {strings.Replace(file, "logs-data-1", "logs-data-7", 1), backup.ErrDamaged, ""},
		"value changed":       {strings.Replace(file, `"want":"run"`, `"want":"rum"`, 1), backup.ErrDamaged, "checksum"},
		"cut at a line":       {first + "\n" + strings.Join(lines[:len(lines)-2], ""), backup.ErrDamaged, "the header says 6 records, there are 5"},
		"cut in a line":       {file[:len(file)-9], backup.ErrDamaged, "line 7 ends in the middle"},
		"cut by one byte":     {file[:len(file)-1], backup.ErrDamaged, "line 7 ends in the middle"},
		"line doubled":        {file + lines[len(lines)-2], backup.ErrDamaged, "line 8: slots/logs-data-2.4 comes after slots/logs-data-2.4"},
		"lines swapped":       {first + "\n" + lines[1] + lines[0] + strings.Join(lines[2:], ""), backup.ErrDamaged, "comes after"},
		"line added":          {file + "\n", backup.ErrDamaged, "line 8"},
		"line too long":       {file + strings.Repeat("x", 2<<20) + "\n", backup.ErrDamaged, "line 8 is longer"},
		"two values":          {first + "\n{\"key\":\"a/b\",\"value\":1,\"base64\":\"\"}\n", backup.ErrDamaged, "exactly one"},
		"no value":            {first + "\n{\"key\":\"a/b\"}\n", backup.ErrDamaged, "exactly one"},
		"bad key":             {first + "\n{\"key\":\"a/../b\",\"value\":1}\n", backup.ErrDamaged, "bad key"},
		"other checksum":      {header(t, file, "sha256", strings.Repeat("0", 64)), backup.ErrDamaged, "checksum"},
		"other framework":     {header(t, file, "framework", "other"), backup.ErrDamaged, `framework id "other"`},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := backup.Read(strings.NewReader(test.file))
			require.ErrorIs(t, err, test.is)
			require.ErrorContains(t, err, test.says)
			assert.Nil(t, b)
		})
	}
}

// Every single flipped bit of the records is found.
func TestAnyFlippedBitIsFound(t *testing.T) {
	file := []byte(text(t, 2))
	start := bytes.IndexByte(file, '\n') + 1
	for i := start; i < len(file); i++ {
		bad := bytes.Clone(file)
		bad[i] ^= 1 << (i % 8)
		_, err := backup.Read(bytes.NewReader(bad))
		require.ErrorIs(t, err, backup.ErrDamaged, "byte %d", i)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(text(f, 1)))
	f.Add([]byte(`{"format":"berth-backup","version":1,"records":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}` + "\n"))
	f.Add([]byte(`{"format":"berth-backup","version":2}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := backup.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		require.NoError(t, b.Write(&again))
		if back, err := backup.Read(&again); err == nil {
			require.Equal(t, b.Values, back.Values)
		} else {
			// Its lines were not as this build writes them.
			require.ErrorIs(t, err, backup.ErrDamaged)
		}
		for key, value := range b.Values {
			require.NoError(t, state.Write{Key: key, Value: value}.Check())
		}
	})
}

func TestNoBackupOfNothing(t *testing.T) {
	_, err := backup.Take(t.Context(), memory(t), epoch, "v1")
	require.ErrorIs(t, err, backup.ErrEmpty)
}

// What this build cannot read is kept all the same.
func TestBackupOfADamagedState(t *testing.T) {
	e := memory(t)
	bad := state.Write{Key: "framework/berth", Value: []byte("{")}
	filled(t, e, append(good(t, 1), bad, state.Write{Key: "quotas/new", Value: []byte{0}}))
	var file bytes.Buffer
	require.NoError(t, take(t, e).Write(&file))
	b, err := backup.Read(&file)
	require.NoError(t, err)
	assert.Equal(t, "{", string(b.Values["framework/berth"]))
	assert.Equal(t, []byte{0}, b.Values["quotas/new"])
	assert.Empty(t, b.Framework)
}

func TestWriteFileIsPrivateAndWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "backup")
	require.NoError(t, os.WriteFile(path, []byte("older"), 0o644))
	e := memory(t)
	filled(t, e, good(t, 1))
	b := take(t, e)
	require.NoError(t, b.WriteFile(path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "also in place of one that others could read")
	got, err := backup.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, b, got)

	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(path, link))
	require.ErrorContains(t, b.WriteFile(link), "no regular file")
	require.ErrorContains(t, b.WriteFile(dir), "no regular file")
	require.Error(t, b.WriteFile(filepath.Join(dir, "none", "backup")))

	// A failure leaves the older file, and nothing beside it.
	broken := *b
	broken.Header.Time = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) // cannot be encoded
	require.Error(t, broken.WriteFile(path))
	again, err := backup.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, b, again)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 2, "the file and the link")
	_, err = backup.ReadFile(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
