package volumes

import (
	"slices"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// Subtract returns what is left of an agent's total resources when those in use
// are taken off: what could be offered. Resources are matched by name, by
// reservation and by disk; allocation_info does not count. What is used but not
// in total is ignored: the two views may be of different moments.
func Subtract(total, used []mesos.Resource) []mesos.Resource {
	left := slices.Clone(total)
	for i := range used {
		key := resourceKey(&used[i])
		switch {
		case used[i].Scalar != nil:
			subtractScalar(left, key, scalarOf(&used[i]))
		case used[i].Ranges != nil:
			subtractRanges(left, key, rangesOf(&used[i]))
		}
	}
	return slices.DeleteFunc(left, func(r mesos.Resource) bool {
		return r.Scalar != nil && scalarOf(&r) <= 0 || r.Ranges != nil && len(r.Ranges.Range) == 0
	})
}

func resourceKey(r *mesos.Resource) string {
	key := r.Name + "|" + stackKey(r.Reservations) + "|" + sourceKey(r.Disk)
	if isVolume(r) {
		key += "|" + r.Disk.Persistence.ID
	}
	return key
}

func subtractScalar(left []mesos.Resource, key string, amount Amount) {
	for i := range left {
		if amount <= 0 {
			return
		}
		if left[i].Scalar == nil || resourceKey(&left[i]) != key {
			continue
		}
		part := min(amount, scalarOf(&left[i]))
		left[i].Scalar = &mesos.Value_Scalar{Value: (scalarOf(&left[i]) - part).Float()}
		amount -= part
	}
}

func subtractRanges(left []mesos.Resource, key string, cut []portRange) {
	for i := range left {
		if left[i].Ranges == nil || resourceKey(&left[i]) != key {
			continue
		}
		rest := rangesOf(&left[i])
		for _, c := range cut {
			var next []portRange
			for _, r := range rest {
				if c.last < r.first || c.first > r.last {
					next = append(next, r)
					continue
				}
				if r.first < c.first {
					next = append(next, portRange{first: r.first, last: c.first - 1})
				}
				if r.last > c.last {
					next = append(next, portRange{first: c.last + 1, last: r.last})
				}
			}
			rest = next
		}
		ranges := make([]mesos.Value_Range, len(rest))
		for j, r := range rest {
			ranges[j] = mesos.Value_Range{Begin: r.first, End: r.last}
		}
		left[i].Ranges = &mesos.Value_Ranges{Range: ranges}
	}
}
