package executor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// KindElasticsearch is the Launch.Kind of an Elasticsearch node.
const KindElasticsearch = "elasticsearch"

// The phases of Report.Phase.
const (
	PhaseStarting  = "starting"  // the process is about to start, or has not answered yet
	PhaseAnswering = "answering" // HTTP answers, but the node has no master (yet, or any more)
	PhaseJoined    = "joined"    // HTTP answers and the node is in its cluster
	PhaseSilent    = "silent"    // it had joined, and now HTTP does not answer
	PhaseRunning   = "running"   // the process of a Spark driver or executor runs
	PhaseStopping  = "stopping"  // asked to stop, not yet gone
	PhaseExited    = "exited"    // the process group is gone
)

// Bounds on what a document may hold: Mesos keeps every TaskInfo in the
// master's memory, and a larger document is a mistake rather than a need.
const (
	MaxLaunchBytes = 256 << 10
	maxReportBytes = 16 << 10
)

// DecodeLaunch reads a launch document strictly: an unknown field means that
// the scheduler is newer than this executor, and guessing what it meant could
// start the wrong node. The error names the field.
func DecodeLaunch(data []byte) (Launch, error) {
	if len(data) > MaxLaunchBytes {
		return Launch{}, fmt.Errorf("launch document: %d bytes, at most %d are allowed", len(data), MaxLaunchBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	// Numbers in Config must keep their text: 9007199254740993 is a valid setting.
	dec.UseNumber()
	var l Launch
	if err := dec.Decode(&l); err != nil {
		return Launch{}, fmt.Errorf("launch document: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Launch{}, errors.New("launch document: something follows the JSON object")
	}
	if err := l.Validate(); err != nil {
		return Launch{}, err
	}
	return l, nil
}

// Validate says what in the document no executor could run.
func (l Launch) Validate() error {
	switch {
	case l.Version != LaunchVersion:
		return fmt.Errorf("launch document: version is %d, this executor reads %d: use the executor that the scheduler serves", l.Version, LaunchVersion)
	case l.TaskID == "":
		return errors.New("launch document: taskId is empty")
	case l.GraceSeconds < 0:
		return fmt.Errorf("launch document: graceSeconds is %d, below 0", l.GraceSeconds)
	case l.Kind == KindElasticsearch && l.Elasticsearch == nil:
		return errors.New("launch document: kind is elasticsearch but the field elasticsearch is missing")
	case l.Kind == KindElasticsearch:
		return l.Elasticsearch.validate()
	case (l.Kind == KindSparkDriver || l.Kind == KindSparkExecutor) && l.Spark == nil:
		return fmt.Errorf("launch document: kind is %s but the field spark is missing", l.Kind)
	case l.Kind == KindSparkDriver || l.Kind == KindSparkExecutor:
		return l.Spark.validate(l.Kind)
	case l.Kind == "":
		return errors.New("launch document: kind is empty")
	}
	return nil
}

func (e *Elasticsearch) validate() error {
	bad := func(field, why string) error {
		return fmt.Errorf("launch document: elasticsearch.%s %s", field, why)
	}
	for _, f := range []struct{ name, value string }{
		{"version", e.Version}, {"clusterName", e.ClusterName}, {"nodeName", e.NodeName}, {"address", e.Address},
	} {
		if f.value == "" {
			return bad(f.name, "is empty")
		}
	}
	for _, f := range []struct {
		name string
		port int
	}{{"httpPort", e.HTTPPort}, {"transportPort", e.TransportPort}} {
		if f.port < 1 || f.port > 65535 {
			return bad(f.name, fmt.Sprintf("is %d, not a port", f.port))
		}
	}
	if e.HTTPPort == e.TransportPort {
		return bad("transportPort", fmt.Sprintf("is %d, the same as httpPort", e.TransportPort))
	}
	if e.MilliCPUs <= 0 {
		return bad("milliCPUs", fmt.Sprintf("is %d, not above 0", e.MilliCPUs))
	}
	if e.MemoryMiB <= 0 {
		return bad("memoryMiB", fmt.Sprintf("is %d, not above 0", e.MemoryMiB))
	}
	if e.HeapMiB < 0 || e.HeapMiB >= e.MemoryMiB {
		return bad("heapMiB", fmt.Sprintf("is %d, not between 0 and memoryMiB (%d)", e.HeapMiB, e.MemoryMiB))
	}
	if e.DataPath == "" {
		// A master's state and a data node's shards must outlive the sandbox.
		if e.Stateful() {
			return bad("dataPath", "is empty, but the node's roles keep state: it needs a volume")
		}
		return nil
	}
	if !belowSandbox(e.DataPath) {
		return bad("dataPath", fmt.Sprintf("is %q, not a path below the sandbox", e.DataPath))
	}
	return nil
}

// belowSandbox says whether a path is a plain one below the sandbox.
func belowSandbox(p string) bool {
	return !path.IsAbs(p) && p == path.Clean(p) && p != "." && !strings.HasPrefix(p, "..")
}

// Stateful says whether the node keeps shards or cluster state.
func (e *Elasticsearch) Stateful() bool {
	for _, r := range e.Roles {
		if r == "master" || strings.HasPrefix(r, "data") {
			return true
		}
	}
	return false
}

// Encode writes the report for TaskStatus.data.
func (r Report) Encode() ([]byte, error) { return json.Marshal(r) }

// DecodeReport reads TaskStatus.data. It is lenient where DecodeLaunch is
// strict: an older scheduler must be able to read a newer executor. Empty data
// is the zero Report: statuses that the master or agent made carry none.
func DecodeReport(data []byte) (Report, error) {
	if len(data) == 0 {
		return Report{}, nil
	}
	if len(data) > maxReportBytes {
		return Report{}, fmt.Errorf("report: %d bytes, at most %d are allowed", len(data), maxReportBytes)
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return Report{}, fmt.Errorf("report: %w", err)
	}
	return r, nil
}
