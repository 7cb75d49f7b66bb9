package fetcher

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func tgz(t *testing.T, headers ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range headers {
		body := []byte{}
		if h.Typeflag == tar.TypeReg {
			body = []byte("in " + h.Name)
			h.Size = int64(len(body))
		}
		require.NoError(t, w.WriteHeader(h))
		_, err := w.Write(body)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.Bytes()
}

// serve serves files by path and counts requests.
func serve(t *testing.T, files map[string][]byte) (url string, requests *int) {
	t.Helper()
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		b, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, err := w.Write(b)
		assert.NoError(t, err)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, &n
}

// fetchJSON runs the fetcher on items in the agent's form.
func fetchJSON(t *testing.T, sandbox, cache, items string) error {
	t.Helper()
	doc, err := json.Marshal(map[string]any{"sandbox_directory": sandbox, "cache_directory": cache, "items": json.RawMessage(items)})
	require.NoError(t, err)
	info, err := Parse(string(doc))
	require.NoError(t, err)
	return Run(info, io.Discard)
}

func read(t *testing.T, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	require.NoError(t, err)
	return string(b)
}

func TestFetch(t *testing.T) {
	archive := tgz(t,
		&tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o700},
		&tar.Header{Typeflag: tar.TypeReg, Name: "./d/run", Mode: 0o755},
		&tar.Header{Typeflag: tar.TypeReg, Name: "e/plain", Mode: 0o600},
		&tar.Header{Typeflag: tar.TypeSymlink, Name: "link", Linkname: "d/run"})
	url, _ := serve(t, map[string][]byte{"/tool": []byte("#!/bin/sh\n"), "/a.tar.gz": archive})
	local := filepath.Join(t.TempDir(), "notes.txt")
	require.NoError(t, os.WriteFile(local, []byte("local"), 0o600))

	dir := t.TempDir()
	require.NoError(t, fetchJSON(t, dir, "", `[
		{"uri": {"value": "`+url+`/tool?token=x/y", "executable": true}},
		{"uri": {"value": "`+url+`/a.tar.gz"}},
		{"uri": {"value": "file://`+local+`"}, "action": "BYPASS_CACHE"},
		{"uri": {"value": "`+local+`", "output_file": "sub/renamed"}},
		{"uri": {"value": "`+url+`/a.tar.gz", "extract": false, "output_file": "kept.tar.gz"}}]`))

	st, err := os.Stat(filepath.Join(dir, "tool"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o755), st.Mode())
	assert.Equal(t, "in ./d/run", read(t, dir, "d", "run"))
	assert.Equal(t, "in ./d/run", read(t, dir, "link"))
	st, err = os.Stat(filepath.Join(dir, "d", "run"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o755), st.Mode())
	assert.Equal(t, "in e/plain", read(t, dir, "e", "plain"))
	assert.Equal(t, "local", read(t, dir, "notes.txt"))
	assert.Equal(t, "local", read(t, dir, "sub", "renamed"))
	assert.Equal(t, string(archive), read(t, dir, "kept.tar.gz"))
}

func TestZip(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	h := &zip.FileHeader{Name: "bin/x"}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	require.NoError(t, err)
	_, err = w.Write([]byte("zipped"))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	url, _ := serve(t, map[string][]byte{"/a.zip": b.Bytes()})
	dir := t.TempDir()
	require.NoError(t, fetchJSON(t, dir, "", `[{"uri": {"value": "`+url+`/a.zip"}}]`))
	assert.Equal(t, "zipped", read(t, dir, "bin", "x"))
	st, err := os.Stat(filepath.Join(dir, "bin", "x"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o755), st.Mode())
}

func TestCacheIsFilledOnceAndThenUsed(t *testing.T) {
	url, requests := serve(t, map[string][]byte{"/f": []byte("body")})
	cache := filepath.Join(t.TempDir(), "cache")
	item := func(action string) string {
		return `[{"uri": {"value": "` + url + `/f", "cache": true}, "action": "` + action + `", "cache_filename": "c1-f"}]`
	}
	one, two := t.TempDir(), t.TempDir()
	require.NoError(t, fetchJSON(t, one, cache, item("DOWNLOAD_AND_CACHE")))
	require.NoError(t, fetchJSON(t, two, cache, item("RETRIEVE_FROM_CACHE")))
	assert.Equal(t, 1, *requests)
	assert.Equal(t, "body", read(t, one, "f"))
	assert.Equal(t, "body", read(t, two, "f"))
	assert.Equal(t, "body", read(t, cache, "c1-f"))
}

func TestRefusals(t *testing.T) {
	evil := tgz(t, &tar.Header{Typeflag: tar.TypeReg, Name: "../out", Mode: 0o644})
	viaLink := tgz(t,
		&tar.Header{Typeflag: tar.TypeSymlink, Name: "up", Linkname: ".."},
		&tar.Header{Typeflag: tar.TypeReg, Name: "up/out", Mode: 0o644})
	url, _ := serve(t, map[string][]byte{"/evil.tgz": evil, "/link.tgz": viaLink, "/f": nil, "/x.tar.xz": nil, "/bad.tar.gz": []byte("surely not a gzip stream")})
	for name, c := range map[string]struct{ item, want string }{
		"absent":          {`{"uri": {"value": "` + url + `/none"}}`, "404"},
		"scheme":          {`{"uri": {"value": "hdfs://nn/f"}}`, "only http"},
		"no name":         {`{"uri": {"value": "` + url + `/"}}`, "output_file"},
		"action":          {`{"uri": {"value": "` + url + `/f"}, "action": "GUESS"}`, "GUESS"},
		"xz":              {`{"uri": {"value": "` + url + `/x.tar.xz"}}`, "xz"},
		"corrupt archive": {`{"uri": {"value": "` + url + `/bad.tar.gz"}}`, "gzip"},
		"path above":      {`{"uri": {"value": "` + url + `/evil.tgz"}}`, "escapes"},
		"link above":      {`{"uri": {"value": "` + url + `/link.tgz"}}`, "escapes"},
		"output above":    {`{"uri": {"value": "` + url + `/f", "output_file": "../out"}}`, "escapes"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "sandbox")
			require.NoError(t, os.Mkdir(dir, 0o755))
			assert.ErrorContains(t, fetchJSON(t, dir, "", "["+c.item+"]"), c.want)
			assert.NoFileExists(t, filepath.Join(parent, "out"))
		})
	}
	_, err := Parse("{}")
	assert.ErrorContains(t, err, "sandbox_directory")
	_, err = Parse("")
	assert.ErrorContains(t, err, "MESOS_FETCHER_INFO")
}

func TestSandboxIsHandedOver(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	url, _ := serve(t, map[string][]byte{"/f": []byte("x")})
	dir := t.TempDir()
	info, err := Parse(`{"sandbox_directory": "` + dir + `", "user": "nobody", "items": [{"uri": {"value": "` + url + `/f"}}]}`)
	require.NoError(t, err)
	require.NoError(t, Run(info, io.Discard))
	for _, p := range []string{dir, filepath.Join(dir, "f")} {
		assert.NotZero(t, owner(t, p), p)
	}
	info.User = "no-such-user"
	assert.ErrorContains(t, Run(info, io.Discard), "no-such-user")
}

func owner(t *testing.T, path string) uint32 {
	t.Helper()
	st, err := os.Lstat(path)
	require.NoError(t, err)
	return st.Sys().(*syscall.Stat_t).Uid
}
