package sparkmetrics

import (
	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/berthdata/berth/api/v1"
)

var (
	applicationsDesc = prometheus.NewDesc("berth_spark_applications", "Spark applications on record, by phase.", []string{"phase"}, nil)
	executorsDesc    = prometheus.NewDesc("berth_spark_executors", "Executors of a Spark application, by state: wanted, running, pending, draining.", []string{"application", "state"}, nil)
	observedDesc     = prometheus.NewDesc("berth_spark_observed", "1 when an application's driver answered the last question for its metrics.", []string{"application"}, nil)
	inputDesc        = prometheus.NewDesc("berth_spark_input_records_per_second", "Records that a stream takes in.", []string{"application", "stream"}, nil)
	delayDesc        = prometheus.NewDesc("berth_spark_scheduling_delay_seconds", "How long batches of DStreams wait before they start, in the mean.", []string{"application", "stream"}, nil)
	processingDesc   = prometheus.NewDesc("berth_spark_processing_time_seconds", "Time that a stream's last batches took: mean, and p90.", []string{"application", "stream", "stat"}, nil)
	waitingDesc      = prometheus.NewDesc("berth_spark_batches_waiting", "Batches of DStreams that wait.", []string{"application", "stream"}, nil)
)

// Describe implements prometheus.Collector.
func (p *Poller) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{applicationsDesc, executorsDesc, observedDesc, inputDesc, delayDesc, processingDesc, waitingDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector: what the last round saw. Applications
// that have ended are counted only.
func (p *Poller) Collect(ch chan<- prometheus.Metric) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	phases := map[string]int{}
	for _, v := range p.views {
		phases[v.Status.Phase]++
		if v.Status.EndedAt != nil {
			continue
		}
		m := p.metrics(v)
		for state, n := range map[string]int{"wanted": m.Executors.Wanted, "running": m.Executors.Running, "pending": m.Executors.Pending, "draining": m.Executors.Draining} {
			gauge(executorsDesc, float64(n), v.Name, state)
		}
		answered := 0.0
		if m.ObservedAt != nil && m.Error == "" {
			answered = 1
		}
		gauge(observedDesc, answered, v.Name)
		for _, s := range m.Streams {
			collectStream(gauge, v.Name, s)
		}
	}
	for phase, n := range phases {
		gauge(applicationsDesc, float64(n), phase)
	}
}

func collectStream(gauge func(*prometheus.Desc, float64, ...string), application string, s v1.SparkStream) {
	gauge(inputDesc, s.InputRate, application, s.Name)
	if s.SchedulingDelay != nil {
		gauge(delayDesc, *s.SchedulingDelay/1000, application, s.Name)
	}
	if s.BatchesWaiting != nil {
		gauge(waitingDesc, float64(*s.BatchesWaiting), application, s.Name)
	}
	if t := s.ProcessingTime; t != nil {
		gauge(processingDesc, t.Mean/1000, application, s.Name, "mean")
		gauge(processingDesc, t.P90/1000, application, s.Name, "p90")
	}
}
