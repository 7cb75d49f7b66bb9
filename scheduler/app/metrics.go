package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/berthdata/berth/scheduler"
	"github.com/berthdata/berth/scheduler/mesos"
	"github.com/berthdata/berth/scheduler/runner"
)

// metrics are Berth's Prometheus series.
type metrics struct {
	steps, calls, commits *prometheus.HistogramVec
	events, failures      *prometheus.CounterVec
	subscriptions         prometheus.Counter
	connected             prometheus.Gauge
	queued                *prometheus.GaugeVec
}

func newMetrics(reg *prometheus.Registry, a *App) *metrics {
	buckets := []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5}
	m := &metrics{
		steps:         prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "berth_core_step_seconds", Help: "Time of one step of the core, by event.", Buckets: buckets}, []string{"event"}),
		calls:         prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "berth_mesos_call_seconds", Help: "Time of one call to the Mesos master, by type.", Buckets: buckets}, []string{"type"}),
		commits:       prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "berth_state_commit_seconds", Help: "Time of one commit to the state store, by outcome.", Buckets: buckets}, []string{"outcome"}),
		events:        prometheus.NewCounterVec(prometheus.CounterOpts{Name: "berth_mesos_events_total", Help: "Events of the Mesos master, by type."}, []string{"type"}),
		failures:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "berth_mesos_call_failures_total", Help: "Calls that the Mesos master did not take, by type."}, []string{"type"}),
		subscriptions: prometheus.NewCounter(prometheus.CounterOpts{Name: "berth_mesos_subscriptions_total", Help: "Subscriptions to a Mesos master."}),
		connected:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "berth_mesos_connected", Help: "1 while subscribed to a Mesos master."}),
		queued:        prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "berth_queue_length", Help: "What waits in Berth's queues: calls, decisions."}, []string{"queue"}),
	}
	reg.MustRegister(m.steps, m.calls, m.commits, m.events, m.failures, m.subscriptions, m.connected, m.queued, &stateCollector{app: a})
	return m
}

func (m *metrics) runnerHooks() runner.Hooks {
	return runner.Hooks{
		Step: func(event string, took time.Duration) { m.steps.WithLabelValues(event).Observe(took.Seconds()) },
		Commit: func(_ int, took time.Duration, err error) {
			outcome := "ok"
			if err != nil {
				outcome = "failed"
			}
			m.commits.WithLabelValues(outcome).Observe(took.Seconds())
		},
		Queued: func(n int) { m.queued.WithLabelValues("decisions").Set(float64(n)) },
	}
}

func (m *metrics) mesosHooks() mesos.Hooks {
	return mesos.Hooks{
		Subscribed:   func() { m.subscriptions.Inc(); m.connected.Set(1) },
		Disconnected: func() { m.connected.Set(0) },
		Event:        func(typ string, _ int) { m.events.WithLabelValues(typ).Inc() },
		Call: func(typ string, took time.Duration, err error) {
			m.calls.WithLabelValues(typ).Observe(took.Seconds())
			if err != nil {
				m.failures.WithLabelValues(typ).Inc()
			}
		},
	}
}

// stateCollector asks the core for its counts when Prometheus scrapes.
type stateCollector struct{ app *App }

var (
	leaderDesc  = prometheus.NewDesc("berth_leader", "1 on the Berth that leads.", nil, nil)
	nodesDesc   = prometheus.NewDesc("berth_nodes", "Nodes on record, by state.", []string{"state"}, nil)
	clusterDesc = prometheus.NewDesc("berth_clusters", "Clusters, by phase.", []string{"phase"}, nil)
	wantingDesc = prometheus.NewDesc("berth_nodes_wanting_offers", "Nodes that wait for an offer.", nil, nil)
	agentsDesc  = prometheus.NewDesc("berth_agents", "Mesos agents that Berth knows.", nil, nil)
	unknownDesc = prometheus.NewDesc("berth_unknown", "What Mesos shows and no record explains: tasks, reservations.", []string{"what"}, nil)
	ledgerDesc  = prometheus.NewDesc("berth_ledger", "Findings of the ledger, by class: missing, orphan, foreign.", []string{"class"}, nil)
	repairDesc  = prometheus.NewDesc("berth_repair_steps", "Steps of repairs that are under way, by state.", []string{"state"}, nil)
	witnessDesc = prometheus.NewDesc("berth_ledger_witness_age_seconds", "How long ago the master was asked for the view that the ledger compares with.", nil, nil)
	silentDesc  = prometheus.NewDesc("berth_tasks_unanswered", "Tasks that have not answered reconciliation.", nil, nil)
)

func (s *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{leaderDesc, nodesDesc, clusterDesc, wantingDesc, agentsDesc, unknownDesc, ledgerDesc, repairDesc, witnessDesc, silentDesc} {
		ch <- d
	}
}

func (s *stateCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	l := s.app.leading.Load()
	if l == nil {
		gauge(leaderDesc, 0)
		return
	}
	gauge(leaderDesc, 1)
	ctx, cancel := context.WithTimeout(context.Background(), readinessTimeout)
	defer cancel()
	var st scheduler.Stats
	if l.runner.Query(ctx, func(c *scheduler.Core) { st = c.Stats() }) != nil {
		return // a scrape does not wait for a busy core
	}
	for name, n := range st.SlotStates {
		gauge(nodesDesc, float64(n), name)
	}
	for phase, n := range st.ClusterPhases {
		gauge(clusterDesc, float64(n), phase)
	}
	gauge(wantingDesc, float64(st.Wanting))
	gauge(agentsDesc, float64(st.Agents))
	gauge(unknownDesc, float64(st.UnknownTasks), "tasks")
	gauge(unknownDesc, float64(st.UnknownLabels), "reservations")
	for _, class := range []string{"missing", "orphan", "foreign"} {
		gauge(ledgerDesc, float64(st.Findings[class]), class)
	}
	for state, n := range st.RepairSteps {
		gauge(repairDesc, float64(n), state)
	}
	if !st.WitnessAt.IsZero() {
		gauge(witnessDesc, time.Since(st.WitnessAt).Seconds())
	}
	gauge(silentDesc, float64(st.Unanswered))
}
