package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
)

const logsYAML = `name: logs
spec:
  version: 8.19.21
  nodeSets:
  - {name: es, count: 3, resources: {cpus: 1, memory: 1gb}, storage: {size: 1gb}}
`

func (c *cli) spec(t *testing.T) string {
	t.Helper()
	file := filepath.Join(c.dir, "logs.yaml")
	require.NoError(t, os.WriteFile(file, []byte(logsYAML), 0o600))
	return file
}

func TestApplyWaitsUntilGreen(t *testing.T) {
	c := newCLI(t, nil)
	// Green of an older generation, then the new one, is not the end.
	c.fake.Script = func(v *v1.ClusterView, read int) {
		switch s := &v.Status; read {
		case 1:
			s.Phase, s.Health, s.NodesHealthy = "Deploying", "unknown", 1
		case 2:
			s.Phase, s.Health, s.NodesHealthy = "Ready", "green", 3
		default:
			s.ObservedGeneration = v.Generation
		}
	}
	r := c.run("", "cluster", "apply", "-f", c.spec(t), "--wait")
	require.Equal(t, 0, r.code, r.err)
	require.Equal(t, `cluster logs, generation 1: accepted
   0s  cluster logs: Deploying, health unknown, 1 of 3 nodes healthy
   0s  node logs-es-0: Healthy on host-1
   0s  node logs-es-1: Backoff on host-2: exit status 78: max virtual memory areas vm.max_map_count [65530] is too low
   0s  node logs-es-2: Pending
   0s  cluster logs: Ready, health green, 3 of 3 nodes healthy
   0s  cluster logs is green
`, r.stdout)
	require.Empty(t, r.err)
}

func TestApplyWaitTimesOutWithReasons(t *testing.T) {
	c := newCLI(t, nil)
	r := c.run("", "cluster", "apply", "-f", c.spec(t), "--wait", "--timeout", "600ms")
	require.Equal(t, exitTimeout, r.code)
	require.Contains(t, r.err, "Error: timeout after 600ms: cluster logs is not green yet; Berth goes on")
	require.Contains(t, r.stdout, "no place for logs-es-2: 3 agents were judged, none fits; would help: 512 MiB more memory on host-3")
}

func TestApplyWaitEnduresAnAbsentServer(t *testing.T) {
	c := newCLI(t, nil)
	reads := 0
	c.fake.Hook = func(_ context.Context, method string) error {
		if method == "Cluster" {
			if reads++; reads <= 2 {
				return v1.ProblemUnavailable("ZooKeeper is away")
			}
		}
		return nil
	}
	c.fake.Script = func(v *v1.ClusterView, _ int) {
		v.Status.Phase, v.Status.Health, v.Status.ObservedGeneration = "Ready", "green", v.Generation
	}
	r := c.run("", "cluster", "apply", "-f", c.spec(t), "--wait")
	require.Equal(t, 0, r.code, r.err)
	require.Equal(t, 1, strings.Count(r.stdout, "still trying"), "a lasting failure is told once")
	require.Contains(t, r.stdout, "ZooKeeper is away")
}

func TestApplyWaitEndsWhenTheClusterIsDeleted(t *testing.T) {
	c := newCLI(t, nil)
	c.fake.Script = func(v *v1.ClusterView, _ int) { v.Status.Phase = "Deleting" }
	r := c.run("", "cluster", "apply", "-f", c.spec(t), "--wait")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.err, "was deleted meanwhile")
}

func TestDeleteWaitsUntilGone(t *testing.T) {
	c := newCLI(t, nil)
	require.Equal(t, 0, c.run("", "cluster", "apply", "-f", c.spec(t)).code)
	reads := 0
	c.fake.Hook = func(_ context.Context, method string) error {
		if method == "Cluster" {
			if reads++; reads >= 3 {
				return v1.ProblemNotFound("cluster", "logs")
			}
		}
		return nil
	}
	r := c.run("logs\n", "cluster", "delete", "logs", "--wait", "--retention", "30d")
	require.Equal(t, 0, r.code, r.err)
	require.Contains(t, r.stdout, "cluster logs: Deleting")
	require.Contains(t, r.stdout, "cluster logs is gone")
	require.Equal(t, 3, reads)
}

func TestProgressLeavesJSONAlone(t *testing.T) {
	c := newCLI(t, nil)
	c.fake.Script = func(v *v1.ClusterView, _ int) {
		v.Status.Phase, v.Status.Health, v.Status.ObservedGeneration = "Ready", "green", v.Generation
	}
	r := c.run("", "cluster", "apply", "-f", c.spec(t), "--wait", "-o", "json")
	require.Equal(t, 0, r.code)
	require.JSONEq(t, `{"name":"logs","generation":1,"planId":"plan-1","changed":true}`, r.stdout)
	require.Contains(t, r.err, "is green")
}
