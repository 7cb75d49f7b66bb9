// Package client calls Berth's REST API. Errors that the API answered are
// *v1.Problem.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	v1 "github.com/berthdata/berth/api/v1"
)

// Options make a Client.
type Options struct {
	// Server is the base URL, such as "https://berth.example:8080".
	Server string
	// Token is the bearer token; "": none is sent.
	Token string
	// CAFile holds further PEM certificates that a server's may be signed by.
	CAFile string
	// UserAgent; "": "berth".
	UserAgent string
	// Timeout of one request, streams excepted; 0: one minute.
	Timeout time.Duration
}

// Client is safe for concurrent use.
type Client struct {
	base    *url.URL
	token   string
	agent   string
	timeout time.Duration
	http    *http.Client
}

const (
	// maxAnswer bounds one answer in bytes: 2,000 nodes of 10,000 clusters fit.
	maxAnswer    = 256 << 20
	maxRedirects = 3
)

// New checks the options; it does not connect.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.Server)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, fmt.Errorf("server %q: must be a URL, such as http://127.0.0.1:8080", o.Server)
	}
	if base.User != nil {
		return nil, errors.New("server: must not carry credentials: put the token into a file")
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	transport.ResponseHeaderTimeout = time.Minute
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("CA file: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s: it holds no PEM certificate", o.CAFile)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	c := &Client{base: base, token: o.Token, agent: o.UserAgent, timeout: o.Timeout}
	if c.agent == "" {
		c.agent = "berth"
	}
	if c.timeout == 0 {
		c.timeout = time.Minute
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: c.followLeader}
	return c, nil
}

// followLeader takes the token along to the leader, which net/http would leave
// behind on another host. The server we trust names the leader, but must not
// make us send the token in the clear.
func (c *Client) followLeader(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("too many redirects: the Berths do not agree on their leader; try again")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("%s redirects from https to http: refused", via[0].URL.Host)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return nil
}

// Server is the base URL that the client was made for.
func (c *Client) Server() string { return c.base.String() }

func (c *Client) request(ctx context.Context, method, path string, query url.Values, body []byte) (*http.Request, error) {
	// The path is escaped already.
	target := c.base.String() + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.agent)
	req.Header.Set("Accept", "application/json, application/problem+json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// call sends a request and decodes the answer into out.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body []byte, contentType string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := c.request(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return c.explain(err)
	}
	// Readiness answers 503 with its own document, not with a problem.
	if res.StatusCode >= 300 && (path != pathReady || !isJSON(res)) {
		return problemOf(res, content)
	}
	if err := json.Unmarshal(content, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not Berth's: %w", method, path, err)
	}
	return nil
}

func isJSON(res *http.Response) bool {
	return strings.HasPrefix(res.Header.Get("Content-Type"), "application/json")
}

// problemOf makes an error of an answer: Berth's problem document, or, when
// something else answered, a description of that.
func problemOf(res *http.Response, content []byte) error {
	var p v1.Problem
	if json.Unmarshal(content, &p) == nil && p.Code != "" && p.Title != "" {
		p.Status = res.StatusCode
		return &p
	}
	const most = 200
	text := strings.Join(strings.Fields(string(content)), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return fmt.Errorf("%s answered %s, which is no answer of Berth: %s", res.Request.URL.Host, res.Status, text)
}

// explain adds what a person can do about a connection that failed.
func (c *Client) explain(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer from %s in time: %w", c.base, err)
	}
	return fmt.Errorf("cannot reach Berth at %s (is it running, is the address right?): %w", c.base, err)
}

// Token reads a bearer token's file; blanks around the token do not count.
func Token(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("token file %s: must hold one token and nothing else", file)
	}
	return token, nil
}
