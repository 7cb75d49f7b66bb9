package stories

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"github.com/berthdata/berth/volumes"
)

// machine is what one Mesos agent holds. It changes only by operations that the
// core sent, by the rules of Mesos, and refuses those that the master would.
type machine struct {
	id, hostname string
	copy         bool // of another one's disks
	attributes   []mesos.Attribute
	free         bag
	// tasks and executors are what is in use, by task id; they end apart.
	tasks, executors map[string]bag
}

// bag counts resources by kind: thousandths of scalars, and single ports.
type bag map[string]piece

type piece struct {
	like  mesos.Resource // without amount
	milli int64
	ports map[uint64]bool
}

// bagOf sums resources up. What Mesos would merge has one kind.
func bagOf(rs []mesos.Resource) bag {
	b := bag{}
	for _, r := range rs {
		like := r
		like.Scalar, like.Ranges, like.AllocationInfo = nil, nil, nil
		kind, err := json.Marshal(&like)
		if err != nil {
			panic(err) // of a message that was just built
		}
		p, ok := b[string(kind)]
		if !ok {
			p = piece{like: like, ports: map[uint64]bool{}}
		}
		if r.Scalar != nil {
			p.milli += int64(math.Round(r.Scalar.Value * 1000))
		}
		for _, x := range r.GetRanges().GetRange() {
			for port := x.Begin; port <= x.End; port++ {
				p.ports[port] = true
			}
		}
		b[string(kind)] = p
	}
	return b
}

func (b bag) add(o bag) {
	for kind, p := range o {
		q, ok := b[kind]
		if !ok {
			q = piece{like: p.like, ports: map[uint64]bool{}}
		}
		q.milli += p.milli
		maps.Copy(q.ports, p.ports)
		b[kind] = q
	}
}

// take subtracts o, all or nothing.
func (b bag) take(o bag) error {
	for kind, p := range o {
		if b[kind].milli < p.milli {
			return fmt.Errorf("there are %g of %s, not %g", float64(b[kind].milli)/1000, kind, float64(p.milli)/1000)
		}
		for port := range p.ports {
			if !b[kind].ports[port] {
				return fmt.Errorf("port %d of %s is not there", port, kind)
			}
		}
	}
	for kind, p := range o {
		q := b[kind]
		q.milli -= p.milli
		maps.DeleteFunc(q.ports, func(port uint64, _ bool) bool { return p.ports[port] })
		if b[kind] = q; q.milli == 0 && len(q.ports) == 0 {
			delete(b, kind)
		}
	}
	return nil
}

// resources lists the bag as messages; role is whom they are offered to, "" for
// the operator API.
func (b bag) resources(role string) []mesos.Resource {
	var out []mesos.Resource
	for _, kind := range slices.Sorted(maps.Keys(b)) {
		p := b[kind]
		r := p.like
		if len(p.ports) > 0 {
			r.Ranges = &mesos.Value_Ranges{}
			for _, port := range slices.Sorted(maps.Keys(p.ports)) {
				if n := len(r.Ranges.Range); n > 0 && r.Ranges.Range[n-1].End+1 == port {
					r.Ranges.Range[n-1].End = port
					continue
				}
				r.Ranges.Range = append(r.Ranges.Range, mesos.Value_Range{Begin: port, End: port})
			}
		} else {
			r.Scalar = &mesos.Value_Scalar{Value: float64(p.milli) / 1000}
		}
		if role != "" {
			r.AllocationInfo = &mesos.Resource_AllocationInfo{Role: &role}
		}
		out = append(out, r)
	}
	return out
}

// used is what tasks and executors occupy.
func (m *machine) used() bag {
	b := bag{}
	for _, held := range []map[string]bag{m.tasks, m.executors} {
		for _, o := range held {
			b.add(o)
		}
	}
	return b
}

func (m *machine) total() bag {
	b := m.used()
	b.add(m.free)
	return b
}

// apply carries out one operation of an ACCEPT (Mesos rules 28 to 34).
func (m *machine) apply(op mesos.Offer_Operation) error {
	switch op.Type {
	case mesos.Offer_Operation_RESERVE:
		return m.turn(op.GetReserve().GetResources(), unreserved, false)
	case mesos.Offer_Operation_UNRESERVE:
		return m.turn(op.GetUnreserve().GetResources(), unreserved, true)
	case mesos.Offer_Operation_CREATE:
		return m.turn(op.GetCreate().GetVolumes(), unmade, false)
	case mesos.Offer_Operation_DESTROY:
		return m.turn(op.GetDestroy().GetVolumes(), unmade, true)
	case mesos.Offer_Operation_LAUNCH:
		for _, t := range op.GetLaunch().GetTaskInfos() {
			task, executor := bagOf(t.Resources), bagOf(t.GetExecutor().GetResources())
			if err := m.free.take(task); err != nil {
				return fmt.Errorf("LAUNCH of %s: %w", t.TaskID.Value, err)
			}
			m.tasks[t.TaskID.Value] = task
			if err := m.free.take(executor); err != nil {
				return fmt.Errorf("LAUNCH of %s, its executor: %w", t.TaskID.Value, err)
			}
			m.executors[t.TaskID.Value] = executor
		}
		return nil
	}
	return fmt.Errorf("operation %s is not known here", op.Type)
}

// turn makes resources from what they were before an operation, or back.
func (m *machine) turn(rs []mesos.Resource, before func(mesos.Resource) mesos.Resource, back bool) error {
	plain := make([]mesos.Resource, len(rs))
	for i, r := range rs {
		plain[i] = before(r)
	}
	from, to := plain, rs
	if back {
		from, to = rs, plain
	}
	if err := m.free.take(bagOf(from)); err != nil {
		return err
	}
	m.free.add(bagOf(to))
	return nil
}

func unreserved(r mesos.Resource) mesos.Resource {
	r.Reservations = r.Reservations[:len(r.Reservations)-1]
	if len(r.Reservations) == 0 {
		r.Reservations = nil
	}
	return r
}

func unmade(r mesos.Resource) mesos.Resource {
	source := r.Disk.GetSource()
	if r.Disk = nil; source != nil {
		r.Disk = &mesos.Resource_DiskInfo{Source: source}
	}
	return r
}

// endTask frees what a task used; its executor lives on until endExecutor.
func (m *machine) endTask(id string) {
	m.free.add(m.tasks[id])
	delete(m.tasks, id)
}

func (m *machine) endExecutor(id string) {
	m.free.add(m.executors[id])
	delete(m.executors, id)
}

// labels lists the slots that have anything reserved here.
func (m *machine) labels() map[string]bool {
	out := map[string]bool{}
	for _, p := range m.total() {
		for i := range p.like.Reservations {
			for _, l := range p.like.Reservations[i].GetLabels().GetLabels() {
				if l.Key == volumes.LabelKey {
					out[l.GetValue()] = true
				}
			}
		}
	}
	return out
}

func scalar(name string, value float64) mesos.Resource {
	return mesos.Resource{Name: name, Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: value}}
}

func portRange(begin, end uint64) mesos.Resource {
	return mesos.Resource{Name: "ports", Type: mesos.RANGES.Enum(), Ranges: &mesos.Value_Ranges{
		Range: []mesos.Value_Range{{Begin: begin, End: end}}}}
}
