package mesos

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParsePip(t *testing.T) {
	for name, c := range map[string]struct {
		list string
		want pipConfig
	}{
		"nothing":             {"", pipConfig{}},
		"global":              {"global.index-url='https://a/simple'\nglobal.cert='/ca.pem'\n", pipConfig{"https://a/simple", "/ca.pem"}},
		"environment wins":    {":env:.index-url='https://env/'\nglobal.index-url='https://a/'\n", pipConfig{index: "https://env/"}},
		"command over global": {"download.index-url='https://d/'\nglobal.index-url='https://a/'\n", pipConfig{index: "https://d/"}},
		"others":              {"install.index-url='https://i/'\nglobal.timeout='60'\nnoise\n", pipConfig{}},
	} {
		assert.Equal(t, c.want, parsePip(c.list), name)
	}
}

func TestFindInIndex(t *testing.T) {
	for name, c := range map[string]struct{ contentType, page, want, fails string }{
		"json": {jsonIndex, `{"files": [{"url": "/files/other.whl"}, {"url": "../../files/` + archive + `#sha256=0"}]}`, "/files/" + archive, ""},
		"html": {"text/html", `<a href="/x/other.whl">o</a><A class="f" HREF='/x/` + archive + `?a=1&amp;b=2#sha256=0'>x</A>`, "/x/" + archive + "?a=1&b=2", ""},
		"none": {"text/html", `<a href="/x/other.whl">o</a>`, "", "does not have the file"},
		"bad":  {jsonIndex, `{`, "", "unexpected end"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "/simple/"+project+"/", r.URL.Path)
				w.Header().Set("Content-Type", c.contentType)
				_, err := w.Write([]byte(c.page))
				assert.NoError(t, err)
			}))
			defer srv.Close()
			got, err := findInIndex(t.Context(), srv.Client(), srv.URL+"/simple")
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
	_, err := findInIndex(t.Context(), srv.Client(), withSecret)
	require.ErrorContains(t, err, "404")
	assert.NotContains(t, err.Error(), "hunter2")
	srv.Close()
	_, err = findInIndex(t.Context(), http.DefaultClient, withSecret)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestSaveVerified(t *testing.T) {
	dest := filepath.Join(t.TempDir(), "downloads", "f")
	sum := sha256.Sum256([]byte("good"))
	want := hex.EncodeToString(sum[:])
	assert.ErrorContains(t, saveVerified(strings.NewReader("bad"), dest, want), "sha256")
	entries, err := os.ReadDir(filepath.Dir(dest))
	require.NoError(t, err)
	assert.Empty(t, entries, "a file with a wrong sum is not kept")
	require.NoError(t, saveVerified(strings.NewReader("good"), dest, want))
	assert.FileExists(t, dest)
}

func TestStubSources(t *testing.T) {
	code, script := stubSources([]elf.Symbol{
		{Name: "SSL_new", Version: "OPENSSL_1.0.0"},
		{Name: "BIO_new", Version: "OPENSSL_1.0.0"},
		{Name: "curl_easy_init", Version: "CURL_OPENSSL_3"},
		{Name: "PyExc_TypeError"}, {Name: "Py_Initialize"}, {Name: "_Py_NoneStruct"},
		{Name: "apr_initialize"}, {Name: "svn_txdelta"},
		{Name: "malloc", Version: "GLIBC_2.2.5"}, {Name: "environ"},
		{Name: "SSL_defined", Version: "OPENSSL_1.0.0", Section: 7},
	})
	assert.Equal(t, `#include "stub.h"
DATA(PyExc_TypeError)
ABORT(Py_Initialize)
DATA(_Py_NoneStruct)
ZERO(apr_initialize)
ABORT(svn_txdelta)
CURL(curl_easy_init)
ABORT(BIO_new)
ABORT(SSL_new)
`, string(code))
	assert.Equal(t, "CURL_OPENSSL_3 { global: curl_easy_init; };\nOPENSSL_1.0.0 { global: BIO_new; SSL_new; };\n", string(script))
}

func TestWithPorts(t *testing.T) {
	assert.Equal(t, "cpus:1;ports:[5-9]", withPorts("cpus:1", 5, 9))
	assert.Equal(t, "cpus:1;ports:[5-9]", withPorts("cpus:1;", 5, 9))
	assert.Equal(t, "cpus:1; ports:[1-2]", withPorts("cpus:1; ports:[1-2]", 5, 9))
	assert.Equal(t, "ports(role):[1-2]", withPorts("ports(role):[1-2]", 5, 9))
}

func TestOptionsAreChecked(t *testing.T) {
	assert.ErrorContains(t, (&Options{Masters: 3}).complete(), "need ZooKeeper")
	assert.ErrorContains(t, (&Options{ACLs: "{}", ZooKeeper: []string{"h:1"}}).complete(), "ACLs")
	var o Options
	require.NoError(t, o.complete())
	assert.Equal(t, Options{Masters: 1, AllocationInterval: 200 * time.Millisecond, PingTimeout: time.Second, PingCount: 3}, o)
	a := AgentOptions{}
	a.complete(7)
	assert.Equal(t, AgentOptions{Name: "agent7", Hostname: "agent7.test", Resources: "cpus:2;mem:4096;disk:20480"}, a)
}
