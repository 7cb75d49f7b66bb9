package scenario

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// ledger counts resources in thousandths, by a text that says what they are;
// ports are counted one by one. It shares no code with package volumes.
type ledger struct {
	count map[string]int64
	kind  map[string]mesos.Resource // one of each, without its amount
}

func newLedger(rs ...mesos.Resource) *ledger {
	l := &ledger{count: map[string]int64{}, kind: map[string]mesos.Resource{}}
	l.add(rs...)
	return l
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// parts splits a resource into what is counted.
func parts(r mesos.Resource) (amounts map[string]int64, kinds map[string]mesos.Resource) {
	amounts, kinds = map[string]int64{}, map[string]mesos.Resource{}
	r.AllocationInfo = nil
	if len(r.Reservations) == 0 {
		r.Reservations = nil
	}
	ranges, scalar := r.Ranges, r.Scalar
	r.Ranges, r.Scalar = nil, nil
	key := r.Name + "|" + asJSON(r.Reservations) + "|" + asJSON(r.Disk)
	if ranges == nil {
		amounts[key], kinds[key] = int64(scalar.Value*1000+.5), r
		return amounts, kinds
	}
	for _, x := range ranges.Range {
		for p := x.Begin; p <= x.End; p++ {
			k := fmt.Sprintf("%s|%05d", key, p)
			amounts[k]++
			kinds[k] = r
		}
	}
	return amounts, kinds
}

func (l *ledger) add(rs ...mesos.Resource) {
	for _, r := range rs {
		amounts, kinds := parts(r)
		for k, n := range amounts {
			l.count[k] += n
			l.kind[k] = kinds[k]
		}
	}
}

// remove takes resources off, or changes nothing and says what is not there.
func (l *ledger) remove(rs ...mesos.Resource) error {
	want := map[string]int64{}
	for _, r := range rs {
		amounts, _ := parts(r)
		for k, n := range amounts {
			want[k] += n
		}
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if l.count[k] < want[k] {
			return fmt.Errorf("there is %d of the %d thousandths of %s", l.count[k], want[k], k)
		}
	}
	for k, n := range want {
		if l.count[k] -= n; l.count[k] == 0 {
			delete(l.count, k)
		}
	}
	return nil
}

// takeOff takes off as much as there is: views of different moments may disagree.
func (l *ledger) takeOff(rs ...mesos.Resource) {
	for _, r := range rs {
		amounts, _ := parts(r)
		for k, n := range amounts {
			if l.count[k] -= n; l.count[k] <= 0 {
				delete(l.count, k)
			}
		}
	}
}

func (l *ledger) clone() *ledger {
	return &ledger{count: maps.Clone(l.count), kind: maps.Clone(l.kind)}
}

func (l *ledger) empty() bool { return len(l.count) == 0 }

// list gives the resources back as messages, in a fixed order.
func (l *ledger) list() []mesos.Resource {
	var out []mesos.Resource
	last := ""
	for _, k := range slices.Sorted(maps.Keys(l.count)) {
		r := l.kind[k]
		if r.Name != "ports" {
			r.Scalar = &mesos.Value_Scalar{Value: float64(l.count[k]) / 1000}
			out = append(out, r)
			continue
		}
		cut := strings.LastIndexByte(k, '|')
		var port uint64
		if _, err := fmt.Sscanf(k[cut+1:], "%d", &port); err != nil {
			panic(err)
		}
		if k[:cut] != last {
			last = k[:cut]
			r.Ranges = &mesos.Value_Ranges{}
			out = append(out, r)
		}
		rs := out[len(out)-1].Ranges
		if n := len(rs.Range); n > 0 && rs.Range[n-1].End+1 == port {
			rs.Range[n-1].End = port
		} else {
			rs.Range = append(rs.Range, mesos.Value_Range{Begin: port, End: port})
		}
	}
	return out
}

// label is the slot that a reservation is for.
func label(r mesos.Resource) string {
	for _, res := range r.Reservations {
		for _, l := range res.GetLabels().GetLabels() {
			if l.Key == "berth.slot" {
				return l.GetValue()
			}
		}
	}
	return ""
}

// bare is the disk under a volume.
func bare(r mesos.Resource) mesos.Resource {
	if r.Disk.GetSource() == nil {
		r.Disk = nil
		return r
	}
	r.Disk = &mesos.Resource_DiskInfo{Source: r.Disk.Source}
	return r
}

// text is a resource in a few words.
func text(rs []mesos.Resource) string {
	words := make([]string, 0, len(rs))
	for _, r := range rs {
		word := r.Name
		switch {
		case r.Ranges != nil:
			for _, x := range r.Ranges.Range {
				word += fmt.Sprintf(" %d-%d", x.Begin, x.End)
			}
		case r.Disk.GetPersistence() != nil:
			word = fmt.Sprintf("volume %s %g", r.Disk.Persistence.ID, r.Scalar.Value)
		default:
			word += fmt.Sprintf(" %g", r.Scalar.Value)
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}
