// Package workload makes placement workloads: hosts, and groups of tasks to
// place on them. A workload depends on its name, sizes and seed alone.
package workload

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
)

// Workload is a set of hosts and groups of tasks, in order of arrival. CPUs are
// cores in multiples of 0.1, mem and disk MiB. The generator keeps the use of
// every kind of host well under 100 %, so a correct engine places every task.
type Workload struct {
	Name   string  `json:"name"`
	Seed   uint64  `json:"seed"`
	Hosts  []Host  `json:"hosts"`
	Groups []Group `json:"groups"`
}

// Host is one agent.
type Host struct {
	ID         string            `json:"id"`
	CPUs       float64           `json:"cpus"`
	Mem        int64             `json:"mem"`
	Disk       int64             `json:"disk"`
	Ports      [][2]uint64       `json:"ports"`
	Attributes map[string]string `json:"attributes"`
}

// Group is a number of equal tasks.
type Group struct {
	ID    string  `json:"id"`
	Kind  string  `json:"kind"`
	Count int     `json:"count"`
	CPUs  float64 `json:"cpus"`
	Mem   int64   `json:"mem"`
	Disk  int64   `json:"disk"`
	Ports int     `json:"ports"`
	// Attributes must all be equal on the host.
	Attributes map[string]string `json:"attributes"`
	// MaxPerHost caps the group's tasks on a host; 0 = no cap.
	MaxPerHost int `json:"maxPerHost"`
	// Spread names the attribute over whose values the group is kept even.
	Spread *string `json:"spread"`
}

// Standard are the sizes of the named workloads: hosts and tasks.
var Standard = map[string][2]int{
	"w-100": {100, 500}, "w-1k": {1000, 5000}, "w-5k": {5000, 25000}, "w-10k": {10000, 50000},
	"w-1k-1k": {1000, 1000}, "w-5k-5k": {5000, 5000}, "w-10k-10k": {10000, 10000},
}

// StandardSeed is the seed of the named workloads.
const StandardSeed = 42

// Open reads a workload file; a standard name that is no file is generated.
func Open(nameOrFile string) (*Workload, error) {
	data, err := os.ReadFile(nameOrFile)
	if size, ok := Standard[nameOrFile]; ok && os.IsNotExist(err) {
		return Generate(nameOrFile, size[0], size[1], StandardSeed), nil
	}
	if err != nil {
		return nil, fmt.Errorf("workload %q is neither a file nor a standard name: %w", nameOrFile, err)
	}
	w := &Workload{}
	if err := json.Unmarshal(data, w); err != nil {
		return nil, fmt.Errorf("workload file %s: %w", nameOrFile, err)
	}
	return w, nil
}

// generator is one Generate under way.
type generator struct {
	*rand.Rand
	w      *Workload
	left   int // tasks still to make
	number int // of the next application
}

// Generate makes a workload: hosts of several sizes and classes over racks and
// zones; search clusters, streaming jobs and plain services as tasks.
func Generate(name string, hosts, tasks int, seed uint64) *Workload {
	g := &generator{
		Rand: rand.New(rand.NewPCG(seed, uint64(hosts)<<32|uint64(tasks))),
		w:    &Workload{Name: name, Seed: seed}, left: tasks,
	}
	g.hosts(hosts)
	for ; g.left > 0; g.number++ {
		switch k := g.Float64(); {
		case k < .40:
			g.searchCluster()
		case k < .65:
			g.streamingJob()
		default:
			g.service()
		}
	}
	return g.w
}

// classes repeats with five hosts: two of five are for data.
var classes = [...]string{"data", "compute", "data", "compute", "general"}

func (g *generator) hosts(n int) {
	racks := max(4, n/50)
	for i := range n {
		cores := pick(g, 8, 16, 16, 32)
		g.w.Hosts = append(g.w.Hosts, Host{
			ID: fmt.Sprintf("h%05d", i), CPUs: float64(cores), Mem: cores * pick(g, 4096, 6144, 8192),
			Disk: pick(g, 500_000, 1_000_000, 2_000_000), Ports: [][2]uint64{{31000, 31999}},
			Attributes: map[string]string{
				"class": classes[i%len(classes)],
				"rack":  fmt.Sprintf("r%03d", g.IntN(racks)),
				"zone":  fmt.Sprintf("z%d", g.IntN(3)),
				"ssd":   fmt.Sprint(g.IntN(2) == 0),
			},
		})
	}
}

func pick(g *generator, from ...int64) int64 { return from[g.IntN(len(from))] }

func (g *generator) between(low, high int) int { return low + g.IntN(high-low+1) }

func (g *generator) add(group Group) {
	group.Count = min(group.Count, g.left)
	if group.Count == 0 {
		return
	}
	if group.Attributes == nil {
		group.Attributes = map[string]string{}
	}
	g.left -= group.Count
	g.w.Groups = append(g.w.Groups, group)
}

// searchCluster is three masters, data nodes and two coordinating nodes.
func (g *generator) searchCluster() {
	id := fmt.Sprintf("es%04d", g.number)
	rack, zone := "rack", "zone"
	data := map[string]string{"class": "data"}
	if g.IntN(2) == 0 {
		data["ssd"] = "true"
	}
	nodes := g.between(4, max(4, min(24, len(g.w.Hosts)/10)))
	g.add(Group{ID: id + "-master", Kind: "es", Count: 3, CPUs: 1, Mem: 4096, Disk: 20_000, Ports: 2, MaxPerHost: 1, Spread: &zone})
	g.add(Group{ID: id + "-data", Kind: "es", Count: nodes, CPUs: 2, Mem: 8192, Disk: 100_000, Ports: 2, Attributes: data, MaxPerHost: 1, Spread: &rack})
	g.add(Group{ID: id + "-coord", Kind: "es", Count: 2, CPUs: 1, Mem: 4096, Disk: 1000, Ports: 1, Attributes: map[string]string{"class": "general"}, MaxPerHost: 1})
}

// streamingJob is one driver and its executors.
func (g *generator) streamingJob() {
	id := fmt.Sprintf("sp%04d", g.number)
	executors := g.between(8, max(8, min(80, len(g.w.Hosts)/5)))
	g.add(Group{ID: id + "-driver", Kind: "spark", Count: 1, CPUs: 1, Mem: 2048, Disk: 1000, Ports: 3, Attributes: map[string]string{"class": "compute"}})
	g.add(Group{ID: id + "-exec", Kind: "spark", Count: executors, CPUs: 1, Mem: 3072, Disk: 5000, Ports: 1, Attributes: map[string]string{"class": "compute"}, MaxPerHost: 2})
}

func (g *generator) service() {
	rack := "rack"
	g.add(Group{ID: fmt.Sprintf("sv%04d", g.number), Kind: "service", Count: g.between(5, 40), CPUs: .5, Mem: 512, Disk: 100, Ports: 1, MaxPerHost: 4, Spread: &rack})
}
