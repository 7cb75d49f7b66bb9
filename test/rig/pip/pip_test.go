package pip

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var file = File{Project: "some-project", Name: "some.project-1.0.tar.gz"}

func TestParseConfig(t *testing.T) {
	for name, c := range map[string]struct {
		list string
		want config
	}{
		"nothing":             {"", config{}},
		"global":              {"global.index-url='https://a/simple'\nglobal.cert='/ca.pem'\n", config{"https://a/simple", "/ca.pem"}},
		"environment wins":    {":env:.index-url='https://env/'\nglobal.index-url='https://a/'\n", config{index: "https://env/"}},
		"command over global": {"download.index-url='https://d/'\nglobal.index-url='https://a/'\n", config{index: "https://d/"}},
		"others":              {"install.index-url='https://i/'\nglobal.timeout='60'\nnoise\n", config{}},
	} {
		assert.Equal(t, c.want, parseConfig(c.list), name)
	}
}

func TestFindInIndex(t *testing.T) {
	for name, c := range map[string]struct{ contentType, page, want, fails string }{
		"json": {jsonIndex, `{"files": [{"url": "/files/other.whl"}, {"url": "../../files/` + file.Name + `#sha256=0"}]}`, "/files/" + file.Name, ""},
		"html": {"text/html", `<a href="/x/other.whl">o</a><A class="f" HREF='/x/` + file.Name + `?a=1&amp;b=2#sha256=0'>x</A>`, "/x/" + file.Name + "?a=1&b=2", ""},
		"none": {"text/html", `<a href="/x/other.whl">o</a>`, "", "does not have the file"},
		"bad":  {jsonIndex, `{`, "", "unexpected end"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "/simple/"+file.Project+"/", r.URL.Path)
				w.Header().Set("Content-Type", c.contentType)
				_, err := w.Write([]byte(c.page))
				assert.NoError(t, err)
			}))
			defer srv.Close()
			got, err := file.find(t.Context(), srv.Client(), srv.URL+"/simple")
			if c.fails != "" {
				assert.ErrorContains(t, err, c.fails)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, srv.URL+c.want, got)
		})
	}
}

func TestSecretsOfAnIndexStayOutOfErrors(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	withSecret := strings.Replace(srv.URL, "http://", "http://me:hunter2@", 1)
	_, err := file.find(t.Context(), srv.Client(), withSecret)
	require.ErrorContains(t, err, "404")
	assert.NotContains(t, err.Error(), "hunter2")
	srv.Close()
	_, err = file.find(t.Context(), http.DefaultClient, withSecret)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestSaveVerified(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "downloads", "f")
	sum := sha256.Sum256([]byte("good"))
	f := File{SHA256: hex.EncodeToString(sum[:]), MaxBytes: 4}
	assert.ErrorContains(t, f.save(strings.NewReader("bad"), dest), "sha256")
	entries, err := os.ReadDir(filepath.Dir(dest))
	require.NoError(t, err)
	assert.Empty(t, entries, "a file with a wrong sum is not kept")
	require.NoError(t, f.save(strings.NewReader("good"), dest))
	assert.FileExists(t, dest)
}
