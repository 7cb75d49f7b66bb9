package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/berthdata/berth/api/submission"
	v1 "github.com/berthdata/berth/api/v1"
)

func sparkPath(name, part string) string {
	path := "/v1/spark/" + url.PathEscape(name)
	if part != "" {
		path += "/" + part
	}
	return path
}

// PutSpark sends an application's spec as it was written, as PutCluster does.
func (c *Client) PutSpark(ctx context.Context, name string, doc []byte, contentType string, o PutOptions) (v1.Accepted, error) {
	return c.put(ctx, sparkPath(name, ""), doc, contentType, o)
}

// SparkApplications lists applications; ended says whether those of the history
// are wanted too.
func (c *Client) SparkApplications(ctx context.Context, ended bool) ([]v1.SparkSummary, error) {
	query := url.Values{}
	if !ended {
		query.Set("ended", "false")
	}
	var out v1.SparkList
	err := c.call(ctx, http.MethodGet, "/v1/spark", query, nil, "", &out)
	return out.Applications, err
}

// SparkApplication reads one application. What looks secret is redacted.
func (c *Client) SparkApplication(ctx context.Context, name string) (v1.SparkView, error) {
	return get[v1.SparkView](ctx, c, sparkPath(name, ""))
}

// Executors lists an application's executors.
func (c *Client) Executors(ctx context.Context, name string) (v1.SparkExecutorList, error) {
	return get[v1.SparkExecutorList](ctx, c, sparkPath(name, "executors"))
}

// ExplainSpark reads why the driver or executors have no place.
func (c *Client) ExplainSpark(ctx context.Context, name string) (v1.Explanation, error) {
	return get[v1.Explanation](ctx, c, sparkPath(name, "explain"))
}

// ScaleSpark says how many executors an application is to have.
func (c *Client) ScaleSpark(ctx context.Context, name string, s v1.SparkScaling, message string) (v1.Accepted, error) {
	doc, err := json.Marshal(s)
	if err != nil {
		return v1.Accepted{}, err
	}
	var out v1.Accepted
	err = c.call(ctx, http.MethodPut, sparkPath(name, "scale"), withMessage(url.Values{}, message), doc, TypeJSON, &out)
	return out, err
}

// UnscaleSpark puts the spec's own number of executors in force again.
func (c *Client) UnscaleSpark(ctx context.Context, name, message string) (v1.Accepted, error) {
	var out v1.Accepted
	err := c.call(ctx, http.MethodDelete, sparkPath(name, "scale"), withMessage(url.Values{}, message), nil, "", &out)
	return out, err
}

// KillSpark ends an application.
func (c *Client) KillSpark(ctx context.Context, name, message string) (v1.Accepted, error) {
	return c.deleteSpark(ctx, name, url.Values{"confirm": {name}}, message)
}

// ForgetSpark takes an application that has ended out of the history.
func (c *Client) ForgetSpark(ctx context.Context, name, message string) (v1.Accepted, error) {
	return c.deleteSpark(ctx, name, url.Values{"confirm": {name}, "forget": {"true"}}, message)
}

func (c *Client) deleteSpark(ctx context.Context, name string, query url.Values, message string) (v1.Accepted, error) {
	var out v1.Accepted
	err := c.call(ctx, http.MethodDelete, sparkPath(name, ""), withMessage(query, message), nil, "", &out)
	return out, err
}

const submissionsPath = "/" + submission.Version + "/submissions/"

// Submit sends a request of Spark's submission protocol.
func (c *Client) Submit(ctx context.Context, r submission.Request) (submission.Response, error) {
	var out submission.Response
	doc, err := r.Encode()
	if err != nil {
		return out, err
	}
	res, err := c.ForwardSubmission(ctx, http.MethodPost, "create", TypeJSON, doc)
	if err != nil {
		return out, err
	}
	if json.Unmarshal(res.Body, &out) != nil || out.Action == "" {
		return out, fmt.Errorf("%s answered %d, which is no answer of Berth", c.base.Host, res.Status)
	}
	if !out.Accepted() {
		return out, errors.New(out.Message)
	}
	return out, nil
}

// ForwardedAnswer is what the server answered.
type ForwardedAnswer struct {
	Status      int
	ContentType string
	Body        []byte
}

// ForwardSubmission sends a call of Spark's submission protocol on, with this
// client's token. The path is what follows /v1/submissions/.
func (c *Client) ForwardSubmission(ctx context.Context, method, path, contentType string, body []byte) (ForwardedAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := c.request(ctx, method, submissionsPath+path, nil, body)
	if err != nil {
		return ForwardedAnswer{}, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return ForwardedAnswer{}, c.explain(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return ForwardedAnswer{}, c.explain(err)
	}
	return ForwardedAnswer{Status: res.StatusCode, ContentType: res.Header.Get("Content-Type"), Body: bytes.TrimSpace(content)}, nil
}
