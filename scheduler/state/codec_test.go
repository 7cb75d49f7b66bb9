package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type pony struct {
	Name  string            `json:"name"`
	Legs  int               `json:"legs"`
	Tags  map[string]string `json:"tags,omitempty"`
	Notes []string          `json:"notes,omitempty"`
}

// ponies has been through two changes: v1 {"title"}, v2 {"name"}, v3 {"name","legs"}.
var ponies = Kind[pony]{
	Name: "ponies", Version: 3,
	Upgrade: map[int]func([]byte) ([]byte, error){
		1: func(body []byte) ([]byte, error) {
			var old struct{ Title string }
			if err := json.Unmarshal(body, &old); err != nil {
				return nil, err
			}
			return json.Marshal(map[string]any{"name": old.Title})
		},
		2: func(body []byte) ([]byte, error) {
			var old map[string]any
			if err := json.Unmarshal(body, &old); err != nil {
				return nil, err
			}
			if old["name"] == "" {
				return nil, errors.New("a pony without a name")
			}
			old["legs"] = 4
			return json.Marshal(old)
		},
	},
}

func TestEncodeIsReadable(t *testing.T) {
	w, err := ponies.Encode("star", pony{Name: "Star <&> Ünï", Legs: 4})
	require.NoError(t, err)
	assert.Equal(t, Key("ponies/star"), w.Key)
	assert.Equal(t, `{"v":3,"kind":"ponies","body":{"name":"Star <&> Ünï","legs":4}}`, string(w.Value))
}

func TestDecodeOfEachVersion(t *testing.T) {
	for stored, want := range map[string]pony{
		`{"v":1,"kind":"ponies","body":{"title":"Star"}}`:                    {Name: "Star", Legs: 4},
		`{"v":2,"kind":"ponies","body":{"name":"Star"}}`:                     {Name: "Star", Legs: 4},
		`{"v":3,"kind":"ponies","body":{"name":"Star","legs":3}}`:            {Name: "Star", Legs: 3},
		" {\n \"v\": 3,\n \"kind\": \"ponies\", \"body\": {\"legs\": 3} }\n": {Legs: 3},
	} {
		got, err := ponies.Decode("ponies/star", []byte(stored))
		require.NoError(t, err, stored)
		assert.Equal(t, want, got, stored)
	}
}

func TestDecodeRefuses(t *testing.T) {
	const key = "ponies/star"
	for stored, want := range map[string]struct {
		is   error
		says string
	}{
		`{"v":4,"kind":"ponies","body":{"wings":2}}`: {ErrNewerSchema,
			"ponies/star: written by a newer Berth (ponies v4, this build reads up to v3): a downgrade is refused; start the newer version or restore a backup"},
		`{"v":4,"kind":"ponies","body":null}`: {ErrNewerSchema, "ponies v4"},
		``:                                    {ErrDamaged, "no JSON value"},
		`{`:                                   {ErrDamaged, "unexpected EOF"},
		`null`:                                {ErrDamaged, `kind ""`},
		`[]`:                                  {ErrDamaged, "envelope"},
		`{"v":3,"kind":"ponies","body":{"name":"Star"}}{}`:               {ErrDamaged, "data after"},
		`{"v":3,"kind":"ponies","body":{"name":"Star"}} x`:               {ErrDamaged, "data after"},
		`{"v":3,"kind":"ponies","body":{"name":"Star"},"x":1}`:           {ErrDamaged, `unknown field "x"`},
		`{"v":3,"kind":"ponies","body":{"name":"Star","wings":2}}`:       {ErrDamaged, `unknown field "wings"`},
		`{"v":3,"kind":"ponies","body":{"name":7}}`:                      {ErrDamaged, "name"},
		`{"v":3,"kind":"ponies","body":null}`:                            {ErrDamaged, "no body"},
		`{"v":3,"kind":"ponies"}`:                                        {ErrDamaged, "no body"},
		`{"v":3,"kind":"horses","body":{"name":"Star"}}`:                 {ErrDamaged, `kind "horses"`},
		`{"v":0,"kind":"ponies","body":{}}`:                              {ErrDamaged, "schema version 0"},
		`{"v":-1,"kind":"ponies","body":{}}`:                             {ErrDamaged, "schema version -1"},
		`{"v":"3","kind":"ponies","body":{}}`:                            {ErrDamaged, "envelope"},
		`{"v":2,"kind":"ponies","body":{"name":""}}`:                     {ErrDamaged, "upgrade from v2 to v3: a pony without a name"},
		`{"v":2,"kind":"ponies","body":{"name":"Star","wings":2}}`:       {ErrDamaged, `unknown field "wings"`},
		`{"v":3,"kind":"ponies","body":{"name":"Star"},"body":{"x":[}}}`: {ErrDamaged, "envelope"},
	} {
		_, err := ponies.Decode(key, []byte(stored))
		require.ErrorIs(t, err, want.is, stored)
		assert.ErrorContains(t, err, want.says, stored)
		assert.True(t, strings.HasPrefix(err.Error(), key+": "), "%s: the error begins with the key", err)
	}
	_, err := ponies.Decode("horses/star", []byte(`{"v":3,"kind":"ponies","body":{"name":"Star"}}`))
	require.ErrorIs(t, err, ErrDamaged)
	assert.ErrorContains(t, err, "horses/star")

	short := Kind[pony]{Name: "ponies", Version: 3, Upgrade: map[int]func([]byte) ([]byte, error){2: ponies.Upgrade[2]}}
	_, err = short.Decode(key, []byte(`{"v":1,"kind":"ponies","body":{"title":"Star"}}`))
	require.ErrorIs(t, err, ErrDamaged)
	assert.ErrorContains(t, err, "ponies v1 is too old")
}

func TestSizeGate(t *testing.T) {
	fits := func(n int) (Write, error) { return ponies.Encode("star", pony{Name: strings.Repeat("x", n)}) }
	small, err := fits(0)
	require.NoError(t, err)
	room := MaxValue - len(small.Value)
	full, err := fits(room)
	require.NoError(t, err)
	assert.Len(t, full.Value, MaxValue)
	_, err = fits(room + 1)
	require.ErrorIs(t, err, ErrTooLarge)
	assert.ErrorContains(t, err, "ponies/star")
	assert.ErrorContains(t, err, fmt.Sprint(MaxValue+1))
}

func TestKeys(t *testing.T) {
	for _, good := range []string{"a/b", "slots/sec-events-data-0", "agents/b5fb0a5c-0000-S12", "x-1/A.b_c", "k/..a", "k/" + strings.Repeat("n", maxNameLength)} {
		kind, name, err := Key(good).Split()
		require.NoError(t, err, good)
		key, err := MakeKey(kind, name)
		require.NoError(t, err)
		assert.Equal(t, Key(good), key)
		assert.Equal(t, kind, key.Kind())
		assert.Equal(t, name, key.Name())
	}
	for bad, says := range map[string]string{
		"":      "want kind/name",
		"slots": "want kind/name",
		"/a":    "kind is empty",
		"a/":    "name is empty",
		"a/b/c": `'/' at byte 1`,
		"A/b":   `'A' at byte 0`,
		"a.b/c": `'.' at byte 1`,
		"a/b c": `' ' at byte 1`,
		"a/ü":   "byte 0",
		"a/b\n": `'\n' at byte 1`,
		"a/.":   "relative",
		"a/..":  "relative",
		"a/" + strings.Repeat("n", maxNameLength+1): "201 bytes",
	} {
		_, _, err := Key(bad).Split()
		require.ErrorIs(t, err, ErrBadKey, bad)
		assert.ErrorContains(t, err, says, bad)
		assert.ErrorIs(t, Write{Key: Key(bad)}.Check(), ErrBadKey)
	}
	_, err := ponies.Encode("a/b", pony{})
	require.ErrorIs(t, err, ErrBadKey)
	_, err = ponies.Delete("")
	require.ErrorIs(t, err, ErrBadKey)
	w, err := ponies.Delete("star")
	require.NoError(t, err)
	assert.Equal(t, Write{Key: "ponies/star"}, w)
}

func TestWhatIsEncodedDecodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := pony{Name: rapid.String().Draw(t, "name"), Legs: rapid.Int().Draw(t, "legs")}
		if tags := rapid.MapOfN(rapid.String(), rapid.String(), 0, 4).Draw(t, "tags"); len(tags) > 0 {
			want.Tags = tags
		}
		if notes := rapid.SliceOfN(rapid.String(), 0, 4).Draw(t, "notes"); len(notes) > 0 {
			want.Notes = notes
		}
		w, err := ponies.Encode("star", want)
		require.NoError(t, err)
		got, err := ponies.Decode(w.Key, w.Value)
		require.NoError(t, err)
		require.Equal(t, want, got)
		again, err := ponies.Encode("star", got)
		require.NoError(t, err)
		require.Equal(t, w, again, "the same record, the same bytes")
		own, ok := ponies.decodeOwn(w.Value)
		require.True(t, ok, "what this build wrote is decoded the short way")
		require.Equal(t, want, own)
	})
}

// FuzzDecode: any bytes give a record that can be stored again, or an error that
// names the key and says which of the two remedies applies.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"v":1,"kind":"ponies","body":{"title":"Star"}}`, `{"v":2,"kind":"ponies","body":{"name":"Star"}}`,
		`{"v":3,"kind":"ponies","body":{"name":"Star","legs":3,"tags":{"a":"b"},"notes":["x"]}}`,
		`{"v":3,"kind":"ponies","body":{"tags":{},"notes":[]}}`,
		`{"v":4,"kind":"ponies","body":{}}`, `{"v":3,"kind":"ponies","body":null}`, `{`, `null`, ``, "\xff\xfe",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		if own, ok := ponies.decodeOwn(stored); ok {
			any, err := ponies.decodeAny("ponies/star", stored)
			require.NoError(t, err, "what is decoded the short way is decoded the long one")
			require.Equal(t, any, own)
		}
		got, err := ponies.Decode("ponies/star", stored)
		if err != nil {
			require.True(t, errors.Is(err, ErrDamaged) != errors.Is(err, ErrNewerSchema), "%v", err)
			require.ErrorContains(t, err, "ponies/star")
			return
		}
		w, err := ponies.Encode("star", got)
		if errors.Is(err, ErrTooLarge) {
			return
		}
		require.NoError(t, err)
		again, err := ponies.Decode(w.Key, w.Value)
		require.NoError(t, err)
		// Not the Go forms: an empty map comes back as none.
		rewritten, err := ponies.Encode("star", again)
		require.NoError(t, err)
		require.Equal(t, w, rewritten)
	})
}
