package elastic

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// productHeader is what Elasticsearch 7.14 and later put into every answer.
const productHeader = "X-Elastic-Product"

// endpoint is one node's HTTP address. It is an esapi.Transport: the requests
// of esapi run through it whatever the server's age.
//
// Which client it uses is found from what the server says of itself. The first
// answer comes over plain HTTP; from the first one with the product header on,
// go-elasticsearch takes over. Its product check runs on the response, so
// against an old server a refused call would have been executed all the same:
// the check must not be the thing that finds out.
type endpoint struct {
	base    *url.URL
	plain   plainClient
	product esapi.Transport // nil until the product header was seen
	rt      http.RoundTripper
}

func newEndpoint(raw string, rt http.RoundTripper) (*endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// Its text would repeat the address, and with it what must not be there.
		return nil, errors.New("not a URL")
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%q: want http://host:port or https://host:port, without credentials", u.Redacted())
	}
	u = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/")}
	return &endpoint{base: u, plain: plainClient{base: u, rt: rt}, rt: rt}, nil
}

// Perform implements esapi.Transport. Not safe for concurrent use: the adapter
// has one request in flight per cluster.
func (e *endpoint) Perform(req *http.Request) (*http.Response, error) {
	if e.product != nil {
		res, err := e.product.Perform(req)
		if errors.Is(err, errNotIdentified) {
			// Something else has this address now: find out anew next time.
			e.product = nil
		}
		return res, err
	}
	res, err := e.plain.Perform(req)
	if err != nil || res.Header.Get(productHeader) != "Elasticsearch" {
		return res, err
	}
	c, err := elasticsearch.NewBaseClient(elasticsearch.Config{
		Addresses:         []string{e.base.String()},
		Transport:         identified{e.rt},
		DisableRetry:      true, // the adapter goes on to the next node instead
		DisableMetaHeader: true,
	})
	if err != nil {
		res.Body.Close()
		return nil, fmt.Errorf("client for %s: %w", e.base, err)
	}
	e.product = c
	return res, nil
}

// errNotIdentified: a good answer came without the product header, from where
// it used to be.
var errNotIdentified = fail(observe.Unreadable, "the server no longer identifies itself as Elasticsearch 7.14 or later")

// identified checks the product header of every good answer. go-elasticsearch
// checks the first one only, and its error has no type to tell it by.
type identified struct{ rt http.RoundTripper }

func (i identified) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := i.rt.RoundTrip(req)
	if err == nil && res.StatusCode < 300 && res.Header.Get(productHeader) != "Elasticsearch" {
		res.Body.Close()
		return nil, errNotIdentified
	}
	return res, err
}

// plainClient speaks to servers without the product header (2.x to 7.13).
type plainClient struct {
	base *url.URL
	rt   http.RoundTripper
}

// Perform implements esapi.Transport.
func (p plainClient) Perform(req *http.Request) (*http.Response, error) {
	req.URL.Scheme, req.URL.Host = p.base.Scheme, p.base.Host
	req.URL.Path = p.base.Path + req.URL.Path
	req.Header.Set("Accept", "application/json")
	return p.rt.RoundTrip(req)
}
