package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/berthdata/berth/api/server"
	v1 "github.com/berthdata/berth/api/v1"
)

// tokenFile writes a token file and returns its path and the two tokens.
func tokenFile(t *testing.T) (path, operator, readonly string) {
	t.Helper()
	operator, line1, err := server.NewToken(server.ScopeOperator, "ci")
	require.NoError(t, err)
	readonly, line2, err := server.NewToken(server.ScopeReadOnly, "eyes")
	require.NoError(t, err)
	path = filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(path, []byte("# tokens\n\n"+line1+"\n  "+line2+"  \n"), 0o600))
	return path, operator, readonly
}

func TestScopes(t *testing.T) {
	path, operator, readonly := tokenFile(t)
	tokens, err := server.LoadTokens(path)
	require.NoError(t, err)
	core, logs := observer.New(zapcore.DebugLevel)
	h := start(t, func(o *server.Options) {
		o.Auth, o.Logger = tokens, zap.New(core)
		o.Metrics = http.NotFoundHandler()
	})
	h.fake.Findings = true
	h.fake.Files = map[[3]string][]byte{{"t", "k", "f"}: []byte("x")}
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }

	for _, pattern := range server.RoutePatterns() {
		method, path, _ := strings.Cut(pattern, " ")
		if !server.Ordinary(method, path) {
			continue // see TestSubmissionScopes, TestDriverTokens
		}
		public := server.RouteFacts(method, path).Public
		url := strings.NewReplacer("{name}", "none", "{node}", "none", "{id}", "none", "{taskId}", "t", "{token}", "k", "{file}", "f", "{verb}", "pause").Replace(path)
		body := example(method, url, "none")
		if slices.Contains(server.RouteFacts(method, path).Query, "confirm") {
			url += "?confirm=none"
		}
		if strings.HasSuffix(path, "/events") {
			url += "?follow=false"
		}
		if strings.HasSuffix(path, "/approve") {
			url += "?fingerprint=none"
		}
		anonymous := h.do(method, url, body)
		if public {
			assert.Equal(t, 200, anonymous.status, pattern)
			continue
		}
		h.problem(anonymous, 401, v1.CodeUnauthenticated)
		assert.Contains(t, anonymous.header.Get("WWW-Authenticate"), "Bearer")
		h.problem(h.do(method, url, body, bearer("berth_wrong")...), 401, v1.CodeUnauthenticated)
		reading := h.do(method, url, body, bearer(readonly)...)
		done := []int{200, 201, 202, 404}
		if strings.Contains(path, "/ui") {
			done = []int{302, 409} // there is a UI, but no driver runs
		}
		if method == "GET" {
			assert.Contains(t, done, reading.status, pattern)
		} else {
			h.problem(reading, 403, v1.CodeForbidden)
		}
		assert.Contains(t, done, h.do(method, url, body, bearer(operator)...).status, pattern)
	}
	for _, call := range h.fake.Calls() {
		assert.Contains(t, fmt.Sprintf("%+v", call.Options), "User:ci", "only the operator got through, and is named")
	}
	require.Len(t, h.fake.Calls(), 17)

	for _, header := range []string{"bearer " + readonly, "BEARER  " + readonly} {
		require.Equal(t, 200, h.do("GET", "/v1/agents", "", "Authorization", header).status, "schemes have no case")
	}
	for _, header := range []string{"Basic " + operator, operator, "Bearer", "Bearer ", "Bearer " + operator + "x", "Bearer " + operator[1:]} {
		h.problem(h.do("GET", "/v1/agents", "", "Authorization", header), 401, v1.CodeUnauthenticated)
	}
	for _, e := range logs.All() {
		text := fmt.Sprint(e.Message, e.ContextMap())
		assert.NotContains(t, text, operator)
		assert.NotContains(t, text, readonly)
	}
	require.NotZero(t, logs.FilterField(zap.String("user", "ci")).Len())
}

func TestTokenFiles(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	for content, want := range map[string]string{
		"":                             "it holds no token",
		"# nothing\n\n":                "it holds no token",
		"operator " + hash:             "line 1: must be",
		"operator " + hash + " a b":    "line 1: must be",
		"# x\nadmin " + hash + " ci":   "line 2: the scope",
		"operator " + hash[1:] + " ci": "line 1: the second word",
		"operator berth_secret ci":     "line 1: the second word",
		"operator " + hash + " c/i":    "line 1: the name",
		"operator " + hash + " a\nreadonly " + hash + " a": "line 2: the name is that of line 1",
	} {
		path := filepath.Join(t.TempDir(), "tokens")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, err := server.LoadTokens(path)
		require.ErrorContains(t, err, want, "%q", content)
		require.ErrorContains(t, err, path)
		require.NotContains(t, err.Error(), "berth_secret", "a token put there by mistake is not shown")
	}
	_, err := server.LoadTokens(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestTokensReload(t *testing.T) {
	path, operator, _ := tokenFile(t)
	tokens, err := server.LoadTokens(path)
	require.NoError(t, err)
	h := start(t, func(o *server.Options) { o.Auth = tokens })
	get := func(token string) int {
		return h.do("GET", "/v1/agents", "", "Authorization", "Bearer "+token).status
	}
	require.Equal(t, 200, get(operator))
	require.NoError(t, os.WriteFile(path, []byte("garbage"), 0o600))
	require.Error(t, tokens.Reload())
	require.Equal(t, 200, get(operator), "a broken file leaves the tokens as they were")
	fresh, line, err := server.NewToken(server.ScopeReadOnly, "new")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(line), 0o600))
	require.NoError(t, tokens.Reload())
	require.Equal(t, 200, get(fresh))
	require.Equal(t, 401, get(operator), "a token that was taken out is refused")
}

func TestCheckExposure(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:8080", "127.1.2.3:0", "[::1]:8080", "localhost:8080", "LocalHost:1"} {
		require.NoError(t, server.CheckExposure(addr, false, false), addr)
	}
	for _, addr := range []string{":8080", "0.0.0.0:8080", "[::]:8080", "10.0.0.1:8080", "host.example:8080", "localhost.example:1", "[fe80::1]:1"} {
		err := server.CheckExposure(addr, false, false)
		require.ErrorContains(t, err, "berth token new", addr)
		require.ErrorContains(t, err, "--insecure")
		require.NoError(t, server.CheckExposure(addr, true, false))
		require.NoError(t, server.CheckExposure(addr, false, true))
	}
	require.ErrorContains(t, server.CheckExposure(":1", false, false), "every address of this machine")
	require.ErrorContains(t, server.CheckExposure("8080", true, true), "must be host:port")
}

// A page in the operator's browser must not reach a Berth on loopback.
func TestBrowsersAreKeptOut(t *testing.T) {
	h := start(t, nil)
	restore := "/v1/volumes/logs-es-0-v1/restore"
	h.problem(h.do("POST", restore, "", "Sec-Fetch-Site", "cross-site"), 403, v1.CodeHostRefused)
	h.problem(h.do("POST", restore, "", "Origin", "https://evil.example"), 403, v1.CodeHostRefused)
	p := h.problem(h.do("POST", restore, "", "Host", "rebound.example:8080"), 403, v1.CodeHostRefused)
	require.Contains(t, p.Detail, "127.0.0.1")
	h.problem(h.do("GET", "/v1/agents", "", "Host", "rebound.example"), 403, v1.CodeHostRefused)
	require.Empty(t, h.fake.Calls())
	for _, host := range []string{"localhost:8080", "127.0.0.1", "[::1]:8080", "[::1]"} {
		require.Equal(t, 202, h.do("POST", restore, "", "Host", host).status, host)
	}
	require.Equal(t, 200, h.do("GET", "/readyz", "", "Host", "berth.example").status, "probes may use any name")

	open := start(t, func(o *server.Options) { o.Insecure = true })
	require.Equal(t, 202, open.do("POST", restore, "", "Host", "berth.example").status)

	path, operator, _ := tokenFile(t)
	tokens, err := server.LoadTokens(path)
	require.NoError(t, err)
	guarded := start(t, func(o *server.Options) { o.Auth = tokens })
	require.Equal(t, 202, guarded.do("POST", restore, "", "Host", "berth.example", "Authorization", "Bearer "+operator).status)
}

// certificateFor writes a new self-signed certificate and returns it.
func certificateFor(t *testing.T, certFile, keyFile string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "berth"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	_, err := server.LoadTLS(certFile, keyFile)
	require.ErrorContains(t, err, certFile)
	first := certificateFor(t, certFile, keyFile, 1)
	config, err := server.LoadTLS(certFile, keyFile)
	require.NoError(t, err)

	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	require.NoError(t, err)
	h := start(t, nil)
	s, err := server.New(server.Options{Commands: h.fake, Queries: h.fake, Events: h.hub})
	require.NoError(t, err)
	ended := make(chan error, 1)
	ctx := t.Context()
	go func() { ended <- s.Serve(ctx, ln) }()
	t.Cleanup(func() { <-ended })

	serial := func(cert *x509.Certificate, version uint16) (int64, error) {
		pool := x509.NewCertPool()
		pool.AddCert(cert)
		conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: version})
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
		require.NoError(t, err)
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
	}
	got, err := serial(first, tls.VersionTLS13)
	require.NoError(t, err)
	require.EqualValues(t, 1, got)
	_, err = serial(first, tls.VersionTLS11)
	require.Error(t, err, "TLS 1.1 is refused")

	require.NoError(t, os.WriteFile(certFile, []byte("half written"), 0o600))
	got, err = serial(first, tls.VersionTLS12)
	require.NoError(t, err, "while the new files cannot be read the old certificate stays")
	require.EqualValues(t, 1, got)
	second := certificateFor(t, certFile, keyFile, 2)
	later := time.Now().Add(time.Minute) // file systems may have coarse times
	require.NoError(t, os.Chtimes(certFile, later, later))
	got, err = serial(second, tls.VersionTLS13)
	require.NoError(t, err)
	require.EqualValues(t, 2, got)
}
