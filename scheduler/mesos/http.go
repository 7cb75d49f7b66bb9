package mesos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	schedulerPath = "/api/v1/scheduler"
	operatorPath  = "/api/v1"
	streamHeader  = "Mesos-Stream-Id"

	dialTimeout  = 5 * time.Second
	maxRedirects = 5
	// maxAnswer bounds the body of an answer that should be empty or a text.
	maxAnswer = 64 << 10
)

// newTransport makes connections to masters. A subscription holds its own
// connection for as long as it lives, so that calls use others (Mesos rule 1).
func newTransport(cfg Config) *http.Transport {
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
	}
	t := &http.Transport{
		DialContext: dial,
		// Events must not wait in a compressor.
		DisableCompression:  true,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     90 * time.Second,
	}
	if cfg.TLS != nil {
		t.TLSClientConfig = cfg.TLS.Clone()
	}
	return t
}

// credentials of HTTP Basic. Its String never shows the secret.
type credentials struct{ principal, secret string }

func (credentials) String() string   { return "credentials(REDACTED)" }
func (credentials) GoString() string { return "credentials(REDACTED)" }

// credentials reads the secret anew, so that it can be rotated.
func (d *Driver) credentials() (*credentials, error) {
	if d.cfg.SecretFile == "" {
		return nil, nil
	}
	secret, err := readSecret(d.cfg.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	return &credentials{d.cfg.Principal, secret}, nil
}

// request is one POST to a master.
type request struct {
	base   *url.URL
	path   string
	stream string // "" on SUBSCRIBE and on the operator API
	auth   *credentials
	body   []byte
}

// post sends r and returns the answer, whatever its status. sent says whether a
// connection was there, so that the master may have seen the call.
func (d *Driver) post(ctx context.Context, r request) (resp *http.Response, sent bool, err error) {
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base.String()+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("Content-Type", d.codec.Type.ContentType())
	req.Header.Set("Accept", d.codec.Type.ContentType())
	req.Header.Set("User-Agent", "berth")
	if r.stream != "" {
		req.Header.Set(streamHeader, r.stream)
	}
	if r.auth != nil {
		req.SetBasicAuth(r.auth.principal, r.auth.secret)
	}
	resp, err = d.client.Do(req)
	return resp, connected.Load(), err
}

// redirect returns the base URL of the master that a 307 points to (Mesos rule
// 5). Mesos sends a Location without a scheme ("//host:port/…"), which keeps
// ours. Leaving https would hand our secret over in clear.
func redirect(from *url.URL, resp *http.Response) (*url.URL, error) {
	location := resp.Header.Get("Location")
	u, err := url.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("%w: %s redirects to %q, which is no URL", ErrUnavailable, from, clip(location))
	}
	u = from.ResolveReference(u)
	if location == "" || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%w: %s redirects to %q, which names no master", ErrUnavailable, from, clip(location))
	}
	if from.Scheme == "https" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: %s redirects from https to %s; not followed", ErrUnavailable, from, u.Scheme)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// text reads and closes a short answer, so that its connection can be reused.
func text(resp *http.Response) string {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil && len(b) == 0 {
		return "(" + err.Error() + ")"
	}
	return string(b)
}
