// Package check verifies a placement against its workload. It reads both as
// text and shares no code with the engine or the generator, so that a mistake
// in either is not repeated here.
package check

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
)

// Verdict is what was found.
type Verdict struct {
	Wanted, Placed int
	HostsUsed      int
	// Violations counts by kind: over-cpus, over-mem, over-disk, over-ports,
	// attribute, max-per-host, too-many, unknown.
	Violations map[string]int
	// SpreadRatio is the mean, over the groups with a spread, of the largest
	// count on one value by the least possible one; 1 is perfect, 0 says that
	// no group has a spread.
	SpreadRatio float64
}

// Total is how many violations there are.
func (v Verdict) Total() (n int) {
	for _, k := range v.Violations {
		n += k
	}
	return n
}

type host struct {
	ID         string
	CPUs       float64
	Mem, Disk  int64
	Ports      [][2]int64
	Attributes map[string]string
}

type group struct {
	ID              string
	Count           int
	CPUs            float64
	Mem, Disk       int64
	Ports           int64
	Attributes      map[string]string
	MaxPerHost      int
	Spread          *string
	perHost         map[string]int
	placed          int
	onValue, usable map[string]int
}

type used struct{ deciCPUs, mem, disk, ports int64 }

// Check reads a workload (JSON) and a placement of it: lines of a group's id, a
// tab and a host's id, one a task.
func Check(workload, placement io.Reader) (Verdict, error) {
	var w struct {
		Hosts  []host
		Groups []group
	}
	if err := json.NewDecoder(workload).Decode(&w); err != nil {
		return Verdict{}, fmt.Errorf("workload: %w", err)
	}
	v := Verdict{Violations: map[string]int{}}
	hosts, groups := map[string]*host{}, map[string]*group{}
	for i := range w.Hosts {
		hosts[w.Hosts[i].ID] = &w.Hosts[i]
	}
	for i := range w.Groups {
		g := &w.Groups[i]
		g.perHost, g.onValue, g.usable = map[string]int{}, map[string]int{}, map[string]int{}
		groups[g.ID] = g
		v.Wanted += g.Count
	}
	use := map[string]*used{}
	lines := bufio.NewScanner(placement)
	for lines.Scan() {
		gid, hid, _ := strings.Cut(lines.Text(), "\t")
		g, h := groups[gid], hosts[hid]
		if g == nil || h == nil {
			v.Violations["unknown"]++
			continue
		}
		v.Placed++
		if use[hid] == nil {
			use[hid] = &used{}
		}
		u := use[hid]
		u.deciCPUs += int64(math.Round(g.CPUs * 10))
		u.mem, u.disk, u.ports = u.mem+g.Mem, u.disk+g.Disk, u.ports+g.Ports
		g.placed++
		g.perHost[hid]++
		if !suits(h, g) {
			v.Violations["attribute"]++
		}
		if g.Spread != nil {
			g.onValue[h.Attributes[*g.Spread]]++
		}
	}
	if err := lines.Err(); err != nil {
		return Verdict{}, fmt.Errorf("placement: %w", err)
	}
	v.HostsUsed = len(use)
	for hid, u := range use {
		v.capacity(hosts[hid], u)
	}
	v.groups(w.Hosts, groups)
	return v, nil
}

func (v *Verdict) capacity(h *host, u *used) {
	ports := int64(0)
	for _, r := range h.Ports {
		ports += r[1] - r[0] + 1
	}
	for kind, over := range map[string]bool{
		"over-cpus": u.deciCPUs > int64(math.Round(h.CPUs*10)), "over-mem": u.mem > h.Mem,
		"over-disk": u.disk > h.Disk, "over-ports": u.ports > ports,
	} {
		if over {
			v.Violations[kind]++
		}
	}
}

func (v *Verdict) groups(hosts []host, groups map[string]*group) {
	sum, n := 0.0, 0
	for _, g := range groups {
		if g.placed > g.Count {
			v.Violations["too-many"]++
		}
		for _, k := range g.perHost {
			if g.MaxPerHost > 0 && k > g.MaxPerHost {
				v.Violations["max-per-host"]++
			}
		}
		if g.Spread == nil || g.placed == 0 {
			continue
		}
		for i := range hosts {
			if suits(&hosts[i], g) {
				g.usable[hosts[i].Attributes[*g.Spread]]++
			}
		}
		most := 0
		for _, k := range g.onValue {
			most = max(most, k)
		}
		values := max(1, len(g.usable))
		sum += float64(most) / float64((g.placed+values-1)/values)
		n++
	}
	if n > 0 {
		v.SpreadRatio = sum / float64(n)
	}
}

func suits(h *host, g *group) bool {
	for k, want := range g.Attributes {
		if h.Attributes[k] != want {
			return false
		}
	}
	return true
}
