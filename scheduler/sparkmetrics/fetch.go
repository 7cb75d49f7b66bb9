package sparkmetrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	v1 "github.com/berthdata/berth/api/v1"
)

// maxAnswer bounds one answer of a driver in bytes: its list of batches has at
// most spark.streaming.ui.retainedBatches (1,000) entries of some 500 bytes.
const maxAnswer = 8 << 20

// errNone is a driver that has no streams of the kind that was asked for.
var errNone = errors.New("not found")

// fetcher asks one driver.
type fetcher struct {
	client *http.Client
	base   *url.URL
	appID  string
}

func (f fetcher) get(ctx context.Context, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base.String()+path, nil)
	if err != nil {
		return err
	}
	res, err := f.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound:
		return errNone
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answered %s", path, res.Status)
	}
	body := io.LimitReader(res.Body, maxAnswer+1)
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if len(content) > maxAnswer {
		return fmt.Errorf("%s answered more than %d bytes", path, maxAnswer)
	}
	if err := json.Unmarshal(content, out); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// statistics and batches are what Spark's REST API says of DStreams
// (org.apache.spark.status.api.v1.streaming).
type statistics struct {
	BatchDuration      float64  `json:"batchDuration"`
	AvgInputRate       *float64 `json:"avgInputRate"`
	AvgSchedulingDelay *float64 `json:"avgSchedulingDelay"`
}

type batch struct {
	Status         string   `json:"status"`
	ProcessingTime *float64 `json:"processingTime"`
}

// streams asks for everything. Samples of the queries' last batches are added to
// the ones before.
func (f fetcher) streams(ctx context.Context, samples *samples) ([]v1.SparkStream, error) {
	var list []v1.SparkStream
	d, err := f.dstreams(ctx)
	switch {
	case err == nil:
		list = append(list, d)
	case !errors.Is(err, errNone):
		return nil, err
	}
	queries, err := f.queries(ctx, samples)
	if err != nil && !errors.Is(err, errNone) {
		return nil, err
	}
	return append(list, queries...), nil
}

func (f fetcher) dstreams(ctx context.Context) (v1.SparkStream, error) {
	path := "/api/v1/applications/" + url.PathEscape(f.appID) + "/streaming/"
	var s statistics
	if err := f.get(ctx, path+"statistics", &s); err != nil {
		return v1.SparkStream{}, err
	}
	var batches []batch
	if err := f.get(ctx, path+"batches", &batches); err != nil {
		return v1.SparkStream{}, err
	}
	out := v1.SparkStream{Name: "dstreams", Kind: v1.SparkDStreams, BatchInterval: &s.BatchDuration, SchedulingDelay: s.AvgSchedulingDelay}
	if s.AvgInputRate != nil {
		out.InputRate = *s.AvgInputRate
	}
	waiting := 0
	var took []float64
	for _, b := range batches {
		if b.Status == "QUEUED" {
			waiting++
		}
		if b.ProcessingTime != nil {
			took = append(took, *b.ProcessingTime)
		}
	}
	out.BatchesWaiting, out.ProcessingTime = &waiting, times(took)
	return out, nil
}

// gauges are Spark's metrics as its MetricsServlet writes them.
type gauges struct {
	Gauges map[string]struct {
		Value any `json:"value"`
	} `json:"gauges"`
}

// streamingGauge is in the name of each gauge of a query: before it stands the
// metrics' namespace, after it the query's name or id, and what is measured
// (org.apache.spark.sql.execution.streaming.MetricsReporter).
const streamingGauge = ".driver.spark.streaming."

func (f fetcher) queries(ctx context.Context, s *samples) ([]v1.SparkStream, error) {
	var g gauges
	if err := f.get(ctx, "/metrics/json/", &g); err != nil {
		return nil, err
	}
	byName := map[string]v1.SparkStream{}
	for name, gauge := range g.Gauges {
		_, rest, found := strings.Cut(name, streamingGauge)
		dot := strings.LastIndexByte(rest, '.')
		value, number := gauge.Value.(float64)
		if !found || dot < 1 || !number {
			continue
		}
		query, measured := rest[:dot], rest[dot+1:]
		if _, known := byName[query]; !known && len(byName) >= maxStreams {
			continue
		}
		q := byName[query]
		q.Name, q.Kind = query, v1.SparkStructured
		switch measured {
		case "inputRate-total":
			q.InputRate = value
		case "processingRate-total":
			q.ProcessingRate = &value
		case "latency":
			// The last batch's time is what Spark tells: those of the last
			// looks stand for all.
			q.ProcessingTime = s.add(query, value)
		}
		byName[query] = q
	}
	s.keep(byName)
	var list []v1.SparkStream
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, byName[name])
	}
	return list, nil
}

const (
	// maxStreams bounds how many queries of one application are told of.
	maxStreams = 64
	// maxSamples is how many looks are kept of a query: ten minutes.
	maxSamples = 40
)

// samples are the times of the last batches of each query, as they were seen.
type samples struct{ byQuery map[string][]float64 }

func (s samples) clone() samples {
	out := samples{byQuery: map[string][]float64{}}
	for query, list := range s.byQuery {
		out.byQuery[query] = slices.Clone(list)
	}
	return out
}

func (s *samples) add(query string, ms float64) *v1.SparkTimes {
	list := append(s.byQuery[query], ms)
	if len(list) > maxSamples {
		list = list[len(list)-maxSamples:]
	}
	s.byQuery[query] = list
	return times(list)
}

// keep forgets queries that are gone.
func (s *samples) keep(present map[string]v1.SparkStream) {
	maps.DeleteFunc(s.byQuery, func(query string, _ []float64) bool {
		_, there := present[query]
		return !there
	})
}

// times are the mean and the 90th percentile (nearest rank); nil without any.
func times(ms []float64) *v1.SparkTimes {
	if len(ms) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(ms))
	sum := 0.0
	for _, t := range sorted {
		sum += t
	}
	rank := (9*len(sorted) + 9) / 10
	return &v1.SparkTimes{Mean: sum / float64(len(sorted)), P90: sorted[rank-1], Batches: len(sorted)}
}
