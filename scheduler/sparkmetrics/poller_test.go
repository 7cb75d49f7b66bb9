package sparkmetrics

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
)

// driver answers as a Spark driver does; nil parts are not found.
type driver struct {
	statistics, batches, gauges string
	asked                       atomic.Int32
	hold                        chan struct{}
}

func (d *driver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.asked.Add(1)
	if d.hold != nil {
		select {
		case <-d.hold:
		case <-r.Context().Done():
		}
	}
	body := ""
	switch r.URL.Path {
	case "/api/v1/applications/berth-x-1/streaming/statistics":
		body = d.statistics
	case "/api/v1/applications/berth-x-1/streaming/batches":
		body = d.batches
	case "/metrics/json/":
		body = d.gauges
	}
	if body == "" {
		http.NotFound(w, r)
		return
	}
	if strings.HasPrefix(body, "http") {
		http.Redirect(w, r, body, http.StatusFound)
		return
	}
	fmt.Fprint(w, body)
}

func serve(t *testing.T, d *driver) string {
	t.Helper()
	ts := httptest.NewServer(d)
	t.Cleanup(ts.Close)
	t.Cleanup(ts.CloseClientConnections)
	return ts.URL
}

func running(name, url string) v1.SparkView {
	return v1.SparkView{SparkApplication: v1.SparkApplication{Name: name}, Status: v1.SparkStatus{
		Phase: "Running", AppID: "berth-" + name + "-1", Attempt: 1, UIURL: url, Driver: v1.SparkTaskView{Hostname: "127.0.0.1"},
		Scale: v1.SparkScaleView{Wanted: 3, Running: 2, Pending: 1}}}
}

var at = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

func poller(views ...v1.SparkView) *Poller {
	p := New(func(context.Context) ([]v1.SparkView, error) { return views, nil }, 0)
	p.now = func() time.Time { return at }
	return p
}

func f(n float64) *float64 { return &n }

func TestDStreams(t *testing.T) {
	d := &driver{
		statistics: `{"batchDuration":1000,"avgInputRate":12.5,"avgSchedulingDelay":40,"avgProcessingTime":300,"numActiveBatches":3,"unknown":[]}`,
		batches: `[{"batchId":5,"status":"QUEUED"},{"batchId":4,"status":"QUEUED"},{"batchId":3,"status":"PROCESSING","schedulingDelay":1},
			{"batchId":2,"status":"COMPLETED","processingTime":100},{"batchId":1,"status":"COMPLETED","processingTime":300}]`,
	}
	v := running("x", serve(t, d))
	p := poller(v)
	require.Equal(t, v1.SparkMetrics{Name: "x", Executors: v.Status.Scale}, p.SparkMetrics(v), "before the first round")
	p.round(t.Context())
	two := 2
	require.Equal(t, v1.SparkMetrics{Name: "x", Executors: v.Status.Scale, ObservedAt: &at, Streams: []v1.SparkStream{{
		Name: "dstreams", Kind: v1.SparkDStreams, InputRate: 12.5, BatchInterval: f(1000), SchedulingDelay: f(40), BatchesWaiting: &two,
		ProcessingTime: &v1.SparkTimes{Mean: 200, P90: 300, Batches: 2}}}}, p.SparkMetrics(v))

	require.Equal(t, map[string]float64{
		"berth_spark_applications phase=Running":                                      1,
		"berth_spark_batches_waiting application=x stream=dstreams":                   2,
		"berth_spark_executors application=x state=draining":                          0,
		"berth_spark_executors application=x state=pending":                           1,
		"berth_spark_executors application=x state=running":                           2,
		"berth_spark_executors application=x state=wanted":                            3,
		"berth_spark_input_records_per_second application=x stream=dstreams":          12.5,
		"berth_spark_observed application=x":                                          1,
		"berth_spark_processing_time_seconds application=x stat=mean stream=dstreams": 0.2,
		"berth_spark_processing_time_seconds application=x stat=p90 stream=dstreams":  0.3,
		"berth_spark_scheduling_delay_seconds application=x stream=dstreams":          0.04,
	}, series(t, p))
}

// series are a collector's, by name and labels.
func series(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	families, err := registry.Gather()
	require.NoError(t, err)
	out := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			key := family.GetName()
			for _, l := range m.Label {
				key += " " + l.GetName() + "=" + l.GetValue()
			}
			out[key] = m.Gauge.GetValue()
		}
	}
	return out
}

// A driver whose first batch is under way has no averages yet.
func TestYoungDStreams(t *testing.T) {
	v := running("x", serve(t, &driver{statistics: `{"batchDuration":1000}`, batches: `[]`}))
	p := poller(v)
	p.round(t.Context())
	m := p.SparkMetrics(v)
	zero := 0
	require.Equal(t, []v1.SparkStream{{Name: "dstreams", Kind: v1.SparkDStreams, BatchInterval: f(1000), BatchesWaiting: &zero}}, m.Streams)
}

func TestStructuredStreaming(t *testing.T) {
	d := &driver{}
	v := running("x", serve(t, d))
	p := poller(v)
	look := func(latency int) v1.SparkMetrics {
		d.gauges = fmt.Sprintf(`{"version":"4.0.0","gauges":{
			"x.driver.spark.streaming.my.query.inputRate-total":{"value":10},
			"x.driver.spark.streaming.my.query.processingRate-total":{"value":20.5},
			"x.driver.spark.streaming.my.query.latency":{"value":%d},
			"x.driver.spark.streaming.my.query.eventTime-watermark":{"value":"1970-01-01"},
			"x.driver.BlockManager.memory.maxMem_MB":{"value":366},
			"x.driver.spark.streaming.":{"value":1},
			"x.driver.jvm.pools":{"value":{"a":1}}},"counters":{}}`, latency)
		p.round(t.Context())
		return p.SparkMetrics(v)
	}
	m := look(100)
	require.Equal(t, []v1.SparkStream{{Name: "my.query", Kind: v1.SparkStructured, InputRate: 10, ProcessingRate: f(20.5),
		ProcessingTime: &v1.SparkTimes{Mean: 100, P90: 100, Batches: 1}}}, m.Streams)
	for range 8 {
		look(100)
	}
	require.Equal(t, &v1.SparkTimes{Mean: 190, P90: 100, Batches: 10}, look(1000).Streams[0].ProcessingTime)
	require.Equal(t, 1000.0, look(1000).Streams[0].ProcessingTime.P90)
	for range 50 {
		m = look(7)
	}
	require.Equal(t, &v1.SparkTimes{Mean: 7, P90: 7, Batches: maxSamples}, m.Streams[0].ProcessingTime)

	d.gauges = `{"gauges":{}}`
	p.round(t.Context())
	require.Empty(t, p.SparkMetrics(v).Streams)
	require.Empty(t, p.known["berth-x-1"].samples.byQuery, "a query that has ended is forgotten")

	many := []string{}
	for i := range 200 {
		many = append(many, fmt.Sprintf(`"x.driver.spark.streaming.q%d.inputRate-total":{"value":1}`, i))
	}
	d.gauges = `{"gauges":{` + strings.Join(many, ",") + `}}`
	p.round(t.Context())
	require.Len(t, p.SparkMetrics(v).Streams, maxStreams)
}

func TestBatchJob(t *testing.T) {
	v := running("x", serve(t, &driver{gauges: `{"gauges":{"x.driver.jvm.heap.used":{"value":1}}}`}))
	p := poller(v)
	p.round(t.Context())
	m := p.SparkMetrics(v)
	require.NotNil(t, m.ObservedAt)
	require.Empty(t, m.Streams)
	require.Empty(t, m.Error)
}

func TestDriversThatDoNotAnswer(t *testing.T) {
	good := &driver{statistics: `{"batchDuration":1}`, batches: `[]`}
	url := serve(t, good)
	v := running("x", url)
	p := poller(v)
	p.round(t.Context())
	for name, change := range map[string]func(){
		"nonsense":   func() { good.statistics = `<html>` },
		"a redirect": func() { good.statistics = "http://127.0.0.1:1/elsewhere" },
		"too much":   func() { good.statistics = `{"x":"` + strings.Repeat("x", maxAnswer) + `"}` },
	} {
		change()
		p.round(t.Context())
		m := p.SparkMetrics(v)
		require.Contains(t, m.Error, "does not answer as expected", name)
		require.NotNil(t, m.ObservedAt, "what was known stays")
		require.Len(t, m.Streams, 1)
	}
	require.Zero(t, series(t, p)["berth_spark_observed application=x"])
	// Another attempt is another driver: nothing is known of it.
	v.Status.Attempt = 2
	require.Nil(t, p.SparkMetrics(v).ObservedAt)
}

// One that hangs holds neither the others nor the API.
func TestSlowDriver(t *testing.T) {
	slow := &driver{hold: make(chan struct{})}
	a, b := running("slow", serve(t, slow)), running("x", serve(t, &driver{statistics: `{"batchDuration":1}`, batches: `[]`}))
	p := poller(a, b)
	done := make(chan struct{})
	go func() { p.round(t.Context()); close(done) }()
	require.Eventually(t, func() bool { return p.SparkMetrics(b).ObservedAt != nil }, 5*time.Second, time.Millisecond)
	require.Nil(t, p.SparkMetrics(a).ObservedAt)
	close(slow.hold)
	<-done
}

// Only drivers that run, on the machine that Mesos gave them, are asked; those
// that have gone are forgotten.
func TestWhoIsAsked(t *testing.T) {
	d := &driver{gauges: `{}`}
	url := serve(t, d)
	ended := running("ended", url)
	ended.Status.Phase, ended.Status.EndedAt = "Succeeded", &at
	elsewhere := running("elsewhere", url)
	elsewhere.Status.Driver.Hostname = "10.0.0.1"
	views := []v1.SparkView{ended, elsewhere}
	p := New(func(context.Context) ([]v1.SparkView, error) { return views, nil }, 0)
	p.round(t.Context())
	require.Zero(t, d.asked.Load())
	require.Empty(t, p.known)
	told := series(t, p)
	require.Equal(t, 1.0, told["berth_spark_applications phase=Succeeded"])
	require.Equal(t, 2.0, told["berth_spark_executors application=elsewhere state=running"])
	require.NotContains(t, told, "berth_spark_executors application=ended state=running")

	views = []v1.SparkView{running("x", url)}
	p.round(t.Context())
	require.Len(t, p.known, 1)
	views = nil
	p.round(t.Context())
	require.Empty(t, p.known)
	require.Empty(t, series(t, p))
}

func TestRunEnds(t *testing.T) {
	v := running("x", serve(t, &driver{gauges: `{}`}))
	p := poller(v)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()
	require.Eventually(t, func() bool { return len(series(t, p)) > 1 }, 5*time.Second, time.Millisecond)
	stop()
	<-done
	require.Empty(t, series(t, p), "another Berth may lead now")

	p = New(func(context.Context) ([]v1.SparkView, error) { return nil, errors.New("not the leader") }, 0)
	p.round(t.Context())
	require.Empty(t, series(t, p))
}

func TestTimes(t *testing.T) {
	require.Nil(t, times(nil))
	for n, want := range map[int]float64{1: 1, 2: 2, 9: 9, 10: 9, 11: 10, 20: 18, 100: 90} {
		list := make([]float64, n)
		for i := range list {
			list[n-1-i] = float64(i + 1)
		}
		require.Equal(t, want, times(list).P90, "%d", n)
	}
}
