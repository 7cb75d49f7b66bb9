package v1

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func registration() SparkRegistration {
	return SparkRegistration{Protocol: 1, AppID: "berth-wordcount-7", AttemptID: 2, AppName: "Word count", SparkVersion: "3.5.9", DriverTaskID: "t",
		DriverHost: "10.0.0.1", DriverPort: 7078, DriverURL: "spark://CoarseGrainedScheduler@10.0.0.1:7078", UIURL: "http://10.0.0.1:4040",
		Executor:            SparkExecutorTemplate{JavaOptions: []string{"-Dx=y"}, ClassPath: []string{"/x"}, LibraryPath: []string{"/l"}, Environment: set("A", "b")},
		Properties:          set("spark.mesos.x", "y"),
		Target:              &SparkTarget{Generation: 3, Profiles: []SparkProfile{{Total: 2, Cores: 1, MemoryMiB: 1024, Resources: set("gpu", int64(1))}}},
		RegisteredExecutors: []string{"1", "20"}, Killing: []string{"3"}, Draining: []string{"4"}, MaxExecutorID: 20}
}

func TestRegistrationCheck(t *testing.T) {
	require.Nil(t, registration().Check())
	long := strings.Repeat("ä", 40_000)
	many := make([]string, 10_001)
	for i := range many {
		many[i] = "1"
	}
	for field, change := range map[string]func(*SparkRegistration){
		"attemptId":              func(r *SparkRegistration) { r.AttemptID = 1 << 31 },
		"appId":                  func(r *SparkRegistration) { r.AppID = "a/b" },
		"appName":                func(r *SparkRegistration) { r.AppName = long },
		"sparkVersion":           func(r *SparkRegistration) { r.SparkVersion = long },
		"user":                   func(r *SparkRegistration) { r.User = "a\x00" },
		"driverHost":             func(r *SparkRegistration) { r.DriverHost = "" },
		"driverPort":             func(r *SparkRegistration) { r.DriverPort = 65536 },
		"driverUrl":              func(r *SparkRegistration) { r.DriverURL = "spark://x@h:1" },
		"uiUrl":                  func(r *SparkRegistration) { r.UIURL = long },
		"maxExecutorId":          func(r *SparkRegistration) { r.MaxExecutorID = -1 },
		"executor.javaOptions":   func(r *SparkRegistration) { r.Executor.JavaOptions = many },
		"executor.classPath[0]":  func(r *SparkRegistration) { r.Executor.ClassPath = []string{long} },
		`executor.env["A"]`:      func(r *SparkRegistration) { r.Executor.Environment = set("A", long) },
		"executor":               func(r *SparkRegistration) { r.Executor.JavaOptions = many[:1000]; r.Withheld = fill(200, 700) },
		"withheld":               func(r *SparkRegistration) { r.Withheld = many },
		"registeredExecutors":    func(r *SparkRegistration) { r.RegisteredExecutors = many },
		"registeredExecutors[1]": func(r *SparkRegistration) { r.RegisteredExecutors = []string{"1", "driver"} },
		"killing[0]":             func(r *SparkRegistration) { r.Killing = []string{"0"} },
		"draining[0]":            func(r *SparkRegistration) { r.Draining = []string{"01"} },
		"target.generation":      func(r *SparkRegistration) { r.Target.Generation = 0 },
	} {
		r := registration()
		change(&r)
		p := r.Check()
		require.NotNil(t, p, field)
		require.Equal(t, 400, p.Status)
		require.Len(t, p.Fields, 1, "%s: %v", field, p)
		require.Equal(t, field, p.Fields[0].Field)
	}
	r := registration()
	r.Protocol = 0
	require.Equal(t, CodeSparkProtocol, r.Check().Code)
	r = registration()
	r.AppName = strings.Repeat("ä", 1024)
	require.Nil(t, r.Check(), "the driver counts characters")
}

func fill(n, length int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = strings.Repeat("x", length)
	}
	return list
}

func TestDriverDocumentsCheck(t *testing.T) {
	profile := SparkProfile{Total: 1, Cores: 1, MemoryMiB: 1}
	target := func(change func(*SparkTarget, *SparkProfile)) SparkTarget {
		tt := SparkTarget{Protocol: 1, AttemptID: 1, Generation: 1, Profiles: []SparkProfile{profile}}
		change(&tt, &tt.Profiles[0])
		return tt
	}
	type checked interface{ Check() *Problem }
	for name, tt := range map[string]struct {
		doc   checked
		field string
	}{
		"target":          {target(func(*SparkTarget, *SparkProfile) {}), ""},
		"attempt":         {target(func(t *SparkTarget, _ *SparkProfile) { t.AttemptID = 0 }), "attemptId"},
		"total":           {target(func(_ *SparkTarget, p *SparkProfile) { p.Total = 10_001 }), "profiles[0].total"},
		"id":              {target(func(_ *SparkTarget, p *SparkProfile) { p.ID = -1 }), "profiles[0].id"},
		"cores":           {target(func(_ *SparkTarget, p *SparkProfile) { p.Cores = 0 }), "profiles[0].cores"},
		"memory":          {target(func(_ *SparkTarget, p *SparkProfile) { p.MemoryMiB = 1<<24 + 1 }), "profiles[0].memoryMiB"},
		"overhead":        {target(func(_ *SparkTarget, p *SparkProfile) { p.MemoryOverheadMiB = -1 }), "profiles[0].memoryOverheadMiB"},
		"off-heap":        {target(func(_ *SparkTarget, p *SparkProfile) { p.OffHeapMiB = -1 }), "profiles[0].offHeapMiB"},
		"python":          {target(func(_ *SparkTarget, p *SparkProfile) { p.PySparkMiB = -1 }), "profiles[0].pysparkMiB"},
		"resource":        {target(func(_ *SparkTarget, p *SparkProfile) { p.Resources = set("gpu", int64(0)) }), "profiles[0].resources.gpu"},
		"twice":           {target(func(t *SparkTarget, p *SparkProfile) { t.Profiles = append(t.Profiles, *p) }), "profiles[1].id"},
		"many profiles":   {target(func(t *SparkTarget, _ *SparkProfile) { t.Profiles = make([]SparkProfile, 257) }), "profiles"},
		"excluded":        {target(func(t *SparkTarget, _ *SparkProfile) { t.ExcludedNodes = []string{strings.Repeat("x", 256)} }), "excludedNodes[0]"},
		"kill":            {SparkKill{Protocol: 1, AttemptID: 1, ExecutorIDs: []string{"7"}}, ""},
		"kill of what":    {SparkKill{Protocol: 1, AttemptID: 1, ExecutorIDs: []string{"-7"}}, "executorIds[0]"},
		"unregister":      {SparkUnregister{Protocol: 1, AttemptID: 1, State: "FAILED", Message: "m"}, ""},
		"unregister how":  {SparkUnregister{Protocol: 1, AttemptID: 1, State: "DONE"}, "state"},
		"unregister long": {SparkUnregister{Protocol: 1, AttemptID: 1, State: "FAILED", Message: strings.Repeat("x", 4097)}, "message"},
		"sync":            {SparkSync{Protocol: 1, AttemptID: 1, WaitMs: 30_000, Epoch: 1, RegisteredExecutors: []string{"1"}}, ""},
		"sync's wait":     {SparkSync{Protocol: 1, AttemptID: 1, WaitMs: 30_001}, "waitMs"},
		"sync's epoch":    {SparkSync{Protocol: 1, AttemptID: 1, Epoch: -1}, "epoch"},
		"sync's place":    {SparkSync{Protocol: 1, AttemptID: 1, After: -1}, "after"},
		"sync's ids":      {SparkSync{Protocol: 1, AttemptID: 1, Draining: []string{"x"}}, "draining[0]"},
	} {
		p := tt.doc.Check()
		if tt.field == "" {
			require.Nil(t, p, name)
			continue
		}
		require.NotNil(t, p, name)
		require.Len(t, p.Fields, 1, name)
		require.Equal(t, tt.field, p.Fields[0].Field, name)
	}
	for _, doc := range []checked{SparkTarget{}, SparkKill{}, SparkUnregister{}, SparkSync{Protocol: 2}, SparkRegistration{}} {
		require.Equal(t, CodeSparkProtocol, doc.Check().Code)
	}
}

// FuzzDriverDocuments: no document makes a check panic, and problems are bounded.
func FuzzDriverDocuments(f *testing.F) {
	seed, err := json.Marshal(registration())
	require.NoError(f, err)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, doc []byte) {
		var r SparkRegistration
		var s SparkSync
		var g SparkTarget
		for _, in := range []interface{ Check() *Problem }{&r, &s, &g} {
			if json.Unmarshal(doc, in) == nil {
				if p := in.Check(); p != nil {
					require.LessOrEqual(t, len(p.Fields), MaxFieldErrors)
				}
			}
		}
	})
}
