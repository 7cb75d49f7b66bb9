// Package documents writes and counts documents, so that tests and the demo can
// say that none was lost.
package documents

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// Index is one index of a cluster.
type Index struct {
	client *elasticsearch.Client
	name   string
}

// Open makes a handle on an index; nothing is sent.
func Open(urls []string, name string) (*Index, error) {
	client, err := elasticsearch.NewClient(elasticsearch.Config{Addresses: urls, MaxRetries: 5})
	if err != nil {
		return nil, err
	}
	return &Index{client: client, name: name}, nil
}

// Create makes the index with shards and replicas.
func (x *Index) Create(ctx context.Context, shards, replicas int) error {
	body := fmt.Sprintf(`{"settings":{"number_of_shards":%d,"number_of_replicas":%d}}`, shards, replicas)
	r, err := x.client.Indices.Create(x.name, x.client.Indices.Create.WithContext(ctx), x.client.Indices.Create.WithBody(strings.NewReader(body)))
	return read(r, err, nil)
}

// Write writes n documents with the ids first, first+1, …
func (x *Index) Write(ctx context.Context, first, n int) error {
	var body bytes.Buffer
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&body, "{\"index\":{\"_id\":\"%d\"}}\n{\"n\":%d,\"text\":\"document %d\"}\n", i, i, i)
	}
	var answer struct {
		Errors bool `json:"errors"`
	}
	r, err := x.client.Bulk(&body, x.client.Bulk.WithContext(ctx), x.client.Bulk.WithIndex(x.name))
	if err := read(r, err, &answer); err != nil {
		return err
	}
	if answer.Errors {
		return fmt.Errorf("index %s: some of %d documents were refused", x.name, n)
	}
	return nil
}

// Count refreshes every shard and counts; refresh=true on a bulk would refresh
// only the shards that it wrote to.
func (x *Index) Count(ctx context.Context) (int, error) {
	r, err := x.client.Indices.Refresh(x.client.Indices.Refresh.WithContext(ctx), x.client.Indices.Refresh.WithIndex(x.name))
	if err := read(r, err, nil); err != nil {
		return 0, err
	}
	var answer struct {
		Count  int `json:"count"`
		Shards struct {
			Failed int `json:"failed"`
		} `json:"_shards"`
	}
	r, err = x.client.Count(x.client.Count.WithContext(ctx), x.client.Count.WithIndex(x.name))
	if err := read(r, err, &answer); err != nil {
		return 0, err
	}
	if answer.Shards.Failed > 0 {
		return 0, fmt.Errorf("index %s: %d shards did not answer the count", x.name, answer.Shards.Failed)
	}
	return answer.Count, nil
}

// errContextLost: a node that was being stopped had answered the first phase of a
// search, and freed what the second was to fetch. Elasticsearch cannot go on with
// another copy then, and any node that stops does so (elastic/elasticsearch#8947).
var errContextLost = errors.New("the search lost its context")

func read(r *esapi.Response, err error, into any) error {
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		return err
	}
	if r.IsError() {
		if r.StatusCode == http.StatusNotFound && bytes.Contains(body, []byte(`"search_context_missing_exception"`)) {
			return fmt.Errorf("%s: %.300s: %w", r.Status(), body, errContextLost)
		}
		return fmt.Errorf("%s: %.300s", r.Status(), body)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}
