package v1

import "time"

// SparkMetrics answers GET /v1/spark/{name}/metrics.
type SparkMetrics struct {
	Name string `json:"name"`
	// Executors is how many are wanted and run now.
	Executors SparkScaleView `json:"executors"`
	// ObservedAt is when the driver was asked last with success; absent: never.
	ObservedAt *time.Time `json:"observedAt,omitempty"`
	// Error is why the driver could not be asked since then.
	Error string `json:"error,omitempty"`
	// Streams are what the driver processes, by name: its DStreams as one, and
	// each query of Structured Streaming. None for a batch job.
	Streams []SparkStream `json:"streams"`
}

// The kinds of SparkStream.
const (
	SparkDStreams   = "DStreams"
	SparkStructured = "StructuredStreaming"
)

// SparkStream is how one stream runs. Times are in ms; what Spark does not tell
// is absent.
type SparkStream struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// InputRate and ProcessingRate are records a second.
	InputRate      float64  `json:"inputRate"`
	ProcessingRate *float64 `json:"processingRate,omitempty"`
	// BatchInterval, SchedulingDelay and BatchesWaiting are known for DStreams
	// only. A scheduling delay that grows says that batches take too long.
	BatchInterval   *float64 `json:"batchInterval,omitempty"`
	SchedulingDelay *float64 `json:"schedulingDelay,omitempty"`
	BatchesWaiting  *int     `json:"batchesWaiting,omitempty"`
	// ProcessingTime is of the last batches.
	ProcessingTime *SparkTimes `json:"processingTime,omitempty"`
}

// SparkTimes are a mean and the time that nine of ten batches keep, in ms.
type SparkTimes struct {
	Mean float64 `json:"mean"`
	P90  float64 `json:"p90"`
	// Batches is how many these were.
	Batches int `json:"batches"`
}
