package server

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	streams  prometheus.Gauge
	syncs    prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_api_requests_total",
			Help: "Requests that the API answered, by route, method and status code.",
		}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "berth_api_request_duration_seconds",
			Help:    "Time from a request's header to the end of its answer; event streams and drivers' long polls are not counted.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route", "method"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "berth_api_event_streams",
			Help: "Event streams that are open.",
		}),
		syncs: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "berth_api_spark_syncs",
			Help: "Calls of Spark drivers that are held until there is news.",
		}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.streams, m.syncs} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(route, method string, code int, took time.Duration) {
	m.requests.WithLabelValues(route, method, strconv.Itoa(code)).Inc()
	if route != routeEvents && route != routeSync {
		m.duration.WithLabelValues(route, method).Observe(took.Seconds())
	}
}
