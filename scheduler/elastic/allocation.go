package elastic

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/berthdata/berth/scheduler/elastic/observe"
)

// enableSetting is the cluster setting behind KindAllocation
// (Elasticsearch's reference, "Cluster-level shard allocation").
const enableSetting = "cluster.routing.allocation.enable"

// allocate flushes, sets the setting and reads it back. What somebody else has
// set is not overwritten: it may be the reason why nothing must move.
func (r reader) allocate(ctx context.Context) (observe.Observation, error) {
	o := observe.Observation{Seq: r.req.Seq}
	if err := r.identify(ctx); err != nil {
		return o, err
	}
	have, err := r.enabled(ctx)
	if err != nil {
		return o, err
	}
	if err := r.mayChange(have); err != nil {
		return o, err
	}
	if r.req.Flush {
		r.flush(ctx)
	}
	if have.persistent != r.req.Allocation {
		if err := r.enable(ctx); err != nil {
			return o, err
		}
		now, err := r.enabled(ctx)
		if err != nil {
			return o, err
		}
		if now.effective() != r.req.Allocation {
			return o, fail(observe.Conflict, "%s was set to %s and reads %s: somebody else is changing it", enableSetting, orAll(r.req.Allocation), orAll(now.effective()))
		}
	}
	return o, nil
}

// enabling is the setting's two levels; "" is Elasticsearch's default, all.
type enabling struct{ persistent, transient string }

func (e enabling) effective() string {
	if e.transient != "" {
		return e.transient
	}
	return e.persistent
}

func orAll(v string) string {
	if v == "" {
		return "all"
	}
	return v
}

func (r reader) mayChange(have enabling) error {
	switch v := have.effective(); {
	case v == "", v == observe.AllocationPrimaries && r.req.Owned && have.transient == "":
		return nil
	default:
		return fail(observe.Conflict, "%s is %s, and Berth did not set it: find out who restricts allocation and why, then set it to null", enableSetting, v)
	}
}

// enabled reads the setting. "all" in words is the default, too: 2.x cannot
// take a setting back.
func (r reader) enabled(ctx context.Context) (enabling, error) {
	levels, err := r.clusterSettings(ctx, false)
	if err != nil {
		return enabling{}, err
	}
	value := func(m map[string]any) (string, error) {
		switch v := m[enableSetting].(type) {
		case nil:
			return "", nil
		case string:
			if strings.EqualFold(v, "all") {
				return "", nil
			}
			return strings.ToLower(v), nil
		default:
			return "", fail(observe.Unreadable, "_cluster/settings: %s is %v", enableSetting, v)
		}
	}
	var e enabling
	if e.persistent, err = value(levels.Persistent); err != nil {
		return e, err
	}
	e.transient, err = value(levels.Transient)
	return e, err
}

// enable writes the persistent setting: it outlives the master, and Berth knows
// from its own record that it has to take it back.
func (r reader) enable(ctx context.Context) error {
	var value any
	switch {
	case r.req.Allocation != "":
		value = r.req.Allocation
	case r.major() < 5:
		value = "all" // null came with 5.0
	}
	return r.putSettings(ctx, map[string]any{"persistent": map[string]any{enableSetting: value}})
}

// flush is a help, not a condition: a node whose translog is long recovers more
// slowly. Up to 7.5 a synced flush also marks the copies, so that equal ones are
// not compared file by file; it answers 409 where it could not mark all.
func (r reader) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	path := "/_flush"
	if r.major() < 7 {
		path = "/_flush/synced"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, path, nil)
	if err != nil {
		return
	}
	res, err := r.ep.Perform(req)
	if err != nil {
		return
	}
	_, _ = readBody(path, res.Body, smallBody)
	_ = res.Body.Close()
}

// major is the request's major version; one that cannot be read counts as new.
func (r reader) major() int {
	first, _, _ := strings.Cut(r.req.Version, ".")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 9
	}
	return n
}
